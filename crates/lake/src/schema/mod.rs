//! The columns of a task's objects: where each takes its values from, its type, its encoding.
//!
//! A schema is made from the fields that a task names, or from its table; the latter stays open and is
//! widened by columns as they are seen. [`ObjectSchema::check_strict`] and [`ObjectSchema::check_wire`] look
//! for the same doubts: our own program refuses them, the wire takes them with a warning.

mod check;
mod kind;
mod parquet_schema;

use std::collections::HashSet;

use lakeferry_model::delivery::{Encoding, Field, ReservedSource};
use lakeferry_model::{TableSchema, ValueKind, Violation};
use serde::{Deserialize, Serialize};

use check::Doubt;

use crate::prefix::Prefix;
pub use kind::ColumnKind;
pub(crate) use parquet_schema::CREATED_BY;
pub use parquet_schema::{arrow_schema, writer_properties};

/// Columns of an automatic schema at most, unless asked otherwise; fields of a manual one at most.
const COLUMNS_MAX: usize = 1024;

/// The columns of objects, in order. All of them may be null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectSchema {
    columns: Vec<Column>,
    /// How many columns there may be one day; nothing for a manual schema, which stays as it is.
    open_to: Option<usize>,
}

/// One column of the objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Where its values come from.
    pub source: Source,
    /// Its name in the objects.
    pub target: String,
    /// Its type in the objects.
    pub kind: ColumnKind,
    /// Its encoding in the objects; always one that the type can have.
    pub encoding: Encoding,
}

/// Where a column's values come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A primary key column, by name and by its place in the primary key.
    Key(String, usize),
    /// An attribute column.
    Attribute(String),
    /// BASE, PUT, UPDATE or DELETE.
    Operation,
    /// When the change became durable, in microseconds since the epoch.
    CommitTime,
    /// The change's position in its partition's change log.
    Sequence,
}

impl Source {
    fn resolve(name: &str, table: &TableSchema) -> Self {
        match ReservedSource::parse(name) {
            Some(ReservedSource::Operation) => Self::Operation,
            Some(ReservedSource::CommitTime) => Self::CommitTime,
            Some(ReservedSource::Sequence) => Self::Sequence,
            None => match table.primary_key.iter().position(|key| key.name == name) {
                Some(position) => Self::Key(name.to_owned(), position),
                None => Self::Attribute(name.to_owned()),
            },
        }
    }

    /// The name that a field would give.
    pub fn name(&self) -> &str {
        match self {
            Self::Key(name, _) | Self::Attribute(name) => name,
            Self::Operation => ReservedSource::Operation.name(),
            Self::CommitTime => ReservedSource::CommitTime.name(),
            Self::Sequence => ReservedSource::Sequence.name(),
        }
    }
}

impl ObjectSchema {
    /// The schema of exactly these fields. An encoding that the type cannot have becomes PLAIN.
    ///
    /// # Errors
    /// A parameter violation: no field or too many, a field without a name, two targets of one name, a type
    /// that no value of a table has.
    pub fn manual(fields: &[Field], table: &TableSchema) -> Result<Self, Violation> {
        if fields.is_empty() || fields.len() > COLUMNS_MAX {
            return Err(Violation::parameter("A delivery schema has 1 to 1024 columns."));
        }
        let mut targets = HashSet::new();
        let mut columns = Vec::with_capacity(fields.len());
        for field in fields {
            if field.source.is_empty() || field.target.is_empty() {
                return Err(Violation::parameter("A column of a delivery schema needs a source and a name."));
            }
            if !targets.insert(&field.target) {
                let target = &field.target;
                return Err(Violation::parameter(format!("Two delivered columns are named '{target}'.")));
            }
            let kind = ColumnKind::of(field)?;
            let encoding = if kind.can_have(field.encoding) { field.encoding } else { Encoding::Plain };
            let source = Source::resolve(&field.source, table);
            columns.push(Column { source, target: field.target.clone(), kind, encoding });
        }
        Ok(Self { columns, open_to: None })
    }

    /// The schema of a table: primary keys, defined columns, the reserved sources if asked, all under their
    /// own names. It is open up to 1,024 columns.
    pub fn automatic(table: &TableSchema, reserved: bool) -> Self {
        let keys = table.primary_key.iter().enumerate().map(|(position, key)| {
            plain_column(Source::Key(key.name.clone(), position), ColumnKind::from(key.kind.value_kind()))
        });
        let mut columns: Vec<Column> = keys.collect();
        columns.extend(table.defined_columns.iter().map(|defined| {
            plain_column(Source::Attribute(defined.name.clone()), ColumnKind::from(defined.kind.0))
        }));
        if reserved {
            // A table's column of a reserved name gives way: the task asked for the reserved one.
            columns.retain(|column| ReservedSource::parse(&column.target).is_none());
            columns.push(plain_column(Source::Operation, ColumnKind::Utf8));
            columns.push(plain_column(Source::CommitTime, ColumnKind::Int64));
            columns.push(plain_column(Source::Sequence, ColumnKind::Int64));
        }
        Self { columns, open_to: Some(COLUMNS_MAX) }
    }

    /// The same schema, if it is open, with another number of columns at most.
    #[must_use]
    pub fn open_to(mut self, columns_max: usize) -> Self {
        self.open_to = self.open_to.map(|_| columns_max);
        self
    }

    /// Looks for doubts about a task's fields and refuses the first, with a way out. Those in `known`, which a task
    /// has told of before, are told of again.
    ///
    /// # Errors
    /// A parameter violation.
    pub fn check_strict(
        fields: &[Field],
        table: &TableSchema,
        prefix: &Prefix,
        known: &[String],
    ) -> Result<Vec<String>, Violation> {
        let schema = Self::manual(fields, table)?;
        refuse_unknown(check::doubts_about_fields(fields, &schema, table, prefix), known)
    }

    /// The same with the names that an automatic schema begins with.
    ///
    /// # Errors
    /// A parameter violation.
    pub fn check_names_strict(&self, prefix: &Prefix, known: &[String]) -> Result<Vec<String>, Violation> {
        refuse_unknown(check::doubts_about_names(self, prefix), known)
    }

    /// Looks for doubts about a task's fields and tells what is done in spite of them.
    ///
    /// # Errors
    /// A parameter violation, if no schema can be made of the fields.
    pub fn check_wire(
        fields: &[Field],
        table: &TableSchema,
        prefix: &Prefix,
    ) -> Result<Vec<String>, Violation> {
        let schema = Self::manual(fields, table)?;
        let doubts = check::doubts_about_fields(fields, &schema, table, prefix);
        Ok(doubts.into_iter().map(|doubt| doubt.warning()).collect())
    }

    /// Doubts about the names of the columns as they are now: alike but for case, or named like a folder's
    /// Hive key. For automatic schemas, whose names come from the table.
    pub fn name_warnings(&self, prefix: &Prefix) -> Vec<String> {
        check::doubts_about_names(self, prefix).into_iter().map(|doubt| doubt.warning()).collect()
    }

    /// The columns, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The columns as a task would ask for them.
    pub fn fields(&self) -> Vec<Field> {
        let fields = self.columns.iter().map(|column| {
            let (kind, type_extend) = column.kind.named();
            let source = column.source.name().to_owned();
            Field { source, target: column.target.clone(), kind, encoding: column.encoding, type_extend }
        });
        fields.collect()
    }

    /// Whether a delete is delivered, as a row with its primary key and operation.
    pub fn delivers_deletes(&self) -> bool {
        self.columns.iter().any(|column| column.source == Source::Operation)
    }

    /// Whether the columns are those of the table.
    pub fn is_automatic(&self) -> bool {
        self.open_to.is_some()
    }

    /// Whether columns may still join.
    pub fn is_open(&self) -> bool {
        self.open_to.is_some_and(|columns_max| self.columns.len() < columns_max)
    }

    /// The schema with a column for this attribute at its end. Nothing if it is closed or full, or if it
    /// has a column of that source or name.
    pub fn widened_with(&self, name: &str, kind: ValueKind) -> Option<Self> {
        self.widened_with_all([(name, kind)])
    }

    /// The schema with columns for these attributes at its end, in the order given; of two for one name the
    /// first counts, and what no longer fits stays out. Nothing if none joins.
    pub fn widened_with_all<'a>(&self, seen: impl IntoIterator<Item = (&'a str, ValueKind)>) -> Option<Self> {
        if !self.is_open() {
            return None;
        }
        let mut taken: HashSet<String> = self.columns.iter().map(|column| column.target.clone()).collect();
        let mut wider = self.clone();
        for (name, kind) in seen {
            if wider.is_open() && taken.insert(name.to_owned()) {
                wider.columns.push(plain_column(Source::Attribute(name.to_owned()), ColumnKind::from(kind)));
            }
        }
        (wider.columns.len() > self.columns.len()).then_some(wider)
    }
}

/// What is told of known doubts, or the first other one as an error.
fn refuse_unknown(doubts: Vec<Doubt>, known: &[String]) -> Result<Vec<String>, Violation> {
    let told = |doubt: Doubt| {
        let warning = doubt.warning();
        if known.contains(&warning) { Ok(warning) } else { Err(Violation::parameter(doubt.refusal())) }
    };
    doubts.into_iter().map(told).collect()
}

fn plain_column(source: Source, kind: ColumnKind) -> Column {
    let target = source.name().to_owned();
    Column { source, target, kind, encoding: Encoding::Plain }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakeferry_model::delivery::FieldKind;
    use lakeferry_model::{DefinedColumn, DefinedKind, KeyColumn, KeyKind, TableName};

    fn table() -> TableSchema {
        let key = |name: &str, kind| KeyColumn { name: name.to_owned(), kind, auto_increment: false };
        TableSchema {
            name: TableName::parse("t").unwrap(),
            primary_key: vec![key("pk1", KeyKind::String), key("pk2", KeyKind::Integer)],
            defined_columns: vec![DefinedColumn {
                name: "photo".to_owned(),
                kind: DefinedKind(ValueKind::Binary),
            }],
        }
    }

    fn field(source: &str, target: &str, kind: FieldKind) -> Field {
        let (source, target) = (source.to_owned(), target.to_owned());
        Field { source, target, kind, encoding: Encoding::Plain, type_extend: None }
    }

    #[test]
    fn sources_are_keys_attributes_or_reserved() {
        let fields = [
            field("pk2", "id", FieldKind::Int64),
            field("name", "name", FieldKind::Utf8),
            field("$sequence", "seq", FieldKind::Int64),
        ];
        let schema = ObjectSchema::manual(&fields, &table()).unwrap();
        let sources: Vec<_> = schema.columns().iter().map(|column| column.source.clone()).collect();
        let expected =
            [Source::Key("pk2".to_owned(), 1), Source::Attribute("name".to_owned()), Source::Sequence];
        assert_eq!(sources, expected);
        assert_eq!(schema.fields(), fields);
        assert!(!schema.delivers_deletes() && !schema.is_open());
        assert_eq!(schema.widened_with("x", ValueKind::Integer), None);
    }

    #[test]
    fn a_schema_that_cannot_be_is_refused() {
        let refused = |fields: &[Field]| ObjectSchema::manual(fields, &table()).unwrap_err().message;
        refused(&[]);
        refused(&[field("", "x", FieldKind::Utf8)]);
        refused(&[field("x", "", FieldKind::Utf8)]);
        assert!(
            refused(&[field("a", "x", FieldKind::Utf8), field("b", "x", FieldKind::Utf8)]).contains("'x'")
        );
        refused(&vec![field("a", "x", FieldKind::Utf8); 1025]);
    }

    #[test]
    fn an_automatic_schema_starts_from_the_table_and_stays_open() {
        let schema = ObjectSchema::automatic(&table(), true);
        let names: Vec<_> = schema.columns().iter().map(|column| column.target.as_str()).collect();
        assert_eq!(names, ["pk1", "pk2", "photo", "$operation", "$commit_time", "$sequence"]);
        assert_eq!(schema.columns()[2].kind, ColumnKind::Binary);
        assert!(schema.delivers_deletes());

        let seen = [("age", ValueKind::Integer), ("pk1", ValueKind::Integer), ("age", ValueKind::String)];
        let wider = schema.widened_with_all(seen).unwrap();
        assert_eq!(wider.columns().len(), 7);
        assert_eq!(wider.columns()[6].kind, ColumnKind::Int64);
        assert_eq!(wider.widened_with("age", ValueKind::Double), None);
    }

    #[test]
    fn an_open_schema_is_full_one_day() {
        let schema = ObjectSchema::automatic(&table(), false).open_to(4);
        let wider = schema.widened_with_all([("a", ValueKind::Double), ("b", ValueKind::Double)]).unwrap();
        assert_eq!(wider.columns().len(), 4);
        assert!(!wider.is_open());
        assert_eq!(wider.widened_with("b", ValueKind::Double), None);
    }

    #[test]
    fn a_schema_survives_being_written_down() {
        let schema = ObjectSchema::automatic(&table(), true).widened_with("d", ValueKind::Double).unwrap();
        let text = serde_json::to_string(&schema).unwrap();
        assert_eq!(serde_json::from_str::<ObjectSchema>(&text).unwrap(), schema);
    }
}
