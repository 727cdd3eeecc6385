//! Doubts about a schema: what would make fields dirty for ever, or query engines fail or lie.

use std::collections::HashSet;

use lakeferry_model::delivery::Field;
use lakeferry_model::{TableSchema, ValueKind};

use super::kind::{encoding_name, has_idle_parameters, protocol_name};
use super::{Column, ObjectSchema, Source};
use crate::prefix::Prefix;

/// Something that our own program refuses and the wire takes.
pub(super) struct Doubt {
    what: String,
    /// What to ask for instead.
    instead: String,
    /// What is done if it is taken as it is.
    otherwise: &'static str,
}

impl Doubt {
    pub(super) fn refusal(&self) -> String {
        let mut letters = self.what.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        let what: String = first.into_iter().chain(letters).collect();
        format!("{what}. {}.", self.instead)
    }

    pub(super) fn warning(&self) -> String {
        format!("{}: {}", self.what, self.otherwise)
    }
}

pub(super) fn doubts_about_fields(
    fields: &[Field],
    schema: &ObjectSchema,
    table: &TableSchema,
    prefix: &Prefix,
) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    for (field, column) in fields.iter().zip(schema.columns()) {
        doubts.extend(doubt_about_type(field, column, table));
        doubts.extend(doubt_about_encoding(field, column));
        doubts.extend(doubt_about_parameters(field));
    }
    doubts.extend(doubts_about_names(schema, prefix));
    doubts
}

pub(super) fn doubts_about_names(schema: &ObjectSchema, prefix: &Prefix) -> Vec<Doubt> {
    let hive_keys: HashSet<String> = prefix.hive_keys().iter().map(|key| key.to_lowercase()).collect();
    let all: HashSet<String> = schema.columns().iter().map(|column| column.target.to_lowercase()).collect();
    let free = |target: &str| {
        let candidates = (2..).map(|number| format!("{target}_{number}"));
        candidates
            .into_iter()
            .find(|name| !all.contains(&name.to_lowercase()) && !hive_keys.contains(&name.to_lowercase()))
            .expect("there are more numbers than columns")
    };
    let mut seen = HashSet::new();
    let mut doubts = Vec::new();
    for Column { target, .. } in schema.columns() {
        let instead = || match schema.is_automatic() {
            false => format!("Name the column '{}', for one", free(target)),
            true => format!(
                "Name the folder variable otherwise, or choose the columns yourself and name this one '{}', for one",
                free(target)
            ),
        };
        if !seen.insert(target.to_lowercase()) {
            doubts.push(Doubt {
                what: format!("column '{target}' is named like another but for case"),
                instead: instead(),
                otherwise: "many query engines cannot tell the two apart",
            });
        }
        if hive_keys.contains(&target.to_lowercase()) {
            doubts.push(Doubt {
                what: format!(
                    "column '{target}' is named like the folder variable '{target}=' of the prefix"
                ),
                instead: instead(),
                otherwise: "query engines show the folder's value instead of the column's, or fail",
            });
        }
    }
    doubts
}

fn doubt_about_type(field: &Field, column: &Column, table: &TableSchema) -> Option<Doubt> {
    let source_kind = match &column.source {
        Source::Key(_, position) => table.primary_key[*position].kind.value_kind(),
        Source::Operation => ValueKind::String,
        Source::CommitTime | Source::Sequence => ValueKind::Integer,
        // An attribute may hold values of any type, declared or not.
        Source::Attribute(_) => return None,
    };
    if column.kind.can_take(source_kind) {
        return None;
    }
    let natural = protocol_name(super::ColumnKind::from(source_kind).named().0);
    Some(Doubt {
        what: format!(
            "column '{}' is delivered as {}, which '{}' never is",
            field.target,
            protocol_name(field.kind),
            field.source
        ),
        instead: format!("Use {natural}"),
        otherwise: "all its fields are dirty and left out",
    })
}

fn doubt_about_encoding(field: &Field, column: &Column) -> Option<Doubt> {
    (column.encoding != field.encoding).then(|| Doubt {
        what: format!(
            "column '{}' of type {} cannot be encoded as {}",
            field.target,
            protocol_name(field.kind),
            encoding_name(field.encoding)
        ),
        instead: "Use PLAIN".to_owned(),
        otherwise: "it is encoded as PLAIN",
    })
}

fn doubt_about_parameters(field: &Field) -> Option<Doubt> {
    has_idle_parameters(field).then(|| Doubt {
        what: format!(
            "column '{}' has a typeExtend that {} has no use for",
            field.target,
            protocol_name(field.kind)
        ),
        instead: "Leave it out".to_owned(),
        otherwise: "it is ignored",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakeferry_model::delivery::{Encoding, FieldKind};
    use lakeferry_model::{KeyColumn, KeyKind, TableName};

    fn check(fields: &[(&str, &str, FieldKind, Encoding)], prefix: &str, strict: &str, wire: &[&str]) {
        let table = TableSchema {
            name: TableName::parse("t").unwrap(),
            primary_key: vec![KeyColumn {
                name: "pk".to_owned(),
                kind: KeyKind::String,
                auto_increment: false,
            }],
            defined_columns: vec![],
        };
        let fields: Vec<Field> = fields
            .iter()
            .map(|(source, target, kind, encoding)| Field {
                source: (*source).to_owned(),
                target: (*target).to_owned(),
                kind: *kind,
                encoding: *encoding,
                type_extend: None,
            })
            .collect();
        let prefix = Prefix::parse(prefix).unwrap();
        let refusal = ObjectSchema::check_strict(&fields, &table, &prefix, &[]).err();
        assert_eq!(refusal.map_or(String::new(), |violation| violation.message), strict);
        let warnings = ObjectSchema::check_wire(&fields, &table, &prefix).unwrap();
        assert_eq!(warnings, wire);
        assert_eq!(ObjectSchema::check_strict(&fields, &table, &prefix, &warnings).unwrap(), wire);
    }

    #[test]
    fn a_schema_without_doubts_passes_both() {
        let fields = [
            ("pk", "pk", FieldKind::Utf8, Encoding::DeltaByteArray),
            ("a", "a", FieldKind::Int64, Encoding::DeltaBinaryPacked),
            ("$commit_time", "at", FieldKind::TimestampMicros, Encoding::Plain),
        ];
        check(&fields, "p/year=$yyyy", "", &[]);
    }

    #[test]
    fn a_key_mapped_to_a_type_it_never_has_is_taken_on_the_wire() {
        check(
            &[("pk", "pk", FieldKind::Bool, Encoding::Plain)],
            "p",
            "Column 'pk' is delivered as BOOL, which 'pk' never is. Use UTF8.",
            &["column 'pk' is delivered as BOOL, which 'pk' never is: all its fields are dirty and left out"],
        );
    }

    #[test]
    fn an_encoding_that_the_type_cannot_have_is_plain_on_the_wire() {
        check(
            &[("a", "a", FieldKind::Double, Encoding::DeltaBinaryPacked)],
            "p",
            "Column 'a' of type DOUBLE cannot be encoded as DELTA_BINARY_PACKED. Use PLAIN.",
            &["column 'a' of type DOUBLE cannot be encoded as DELTA_BINARY_PACKED: it is encoded as PLAIN"],
        );
    }

    #[test]
    fn names_that_mislead_query_engines_get_a_proposal() {
        check(
            &[
                ("a", "Name", FieldKind::Utf8, Encoding::Plain),
                ("b", "name", FieldKind::Utf8, Encoding::Plain),
                ("c", "NAME_2", FieldKind::Utf8, Encoding::Plain),
            ],
            "p",
            "Column 'name' is named like another but for case. Name the column 'name_3', for one.",
            &[
                "column 'name' is named like another but for case: many query engines cannot tell the two apart",
            ],
        );
        check(
            &[("a", "Year", FieldKind::Int64, Encoding::Plain)],
            "p/year=$yyyy",
            "Column 'Year' is named like the folder variable 'Year=' of the prefix. Name the column 'Year_2', for one.",
            &[
                "column 'Year' is named like the folder variable 'Year=' of the prefix: query engines show the folder's value instead of the column's, or fail",
            ],
        );
    }
}
