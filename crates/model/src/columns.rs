//! Defined columns that come and go while a table lives.

use crate::index::IndexSpec;
use crate::schema::{DefinedColumn, TableSchema};
use crate::violation::Violation;

impl TableSchema {
    /// The schema with further defined columns, behind those it has.
    ///
    /// # Errors
    /// A parameter violation if there is nothing to add, a name is taken, or there would be too many.
    pub fn with_defined_columns(&self, added: Vec<DefinedColumn>) -> Result<Self, Violation> {
        if added.is_empty() {
            return Err(Violation::parameter("No defined column is specified."));
        }
        let mut schema = self.clone();
        schema.defined_columns.extend(added);
        schema.check()?;
        Ok(schema)
    }

    /// The schema without some of its defined columns. What rows hold in them stays.
    ///
    /// # Errors
    /// A parameter violation if there is nothing to remove, a name is none of them or named twice, or an index
    /// needs it.
    pub fn without_defined_columns(
        &self,
        removed: &[String],
        indexes: &[&IndexSpec],
    ) -> Result<Self, Violation> {
        if removed.is_empty() {
            return Err(Violation::parameter("No defined column is specified."));
        }
        let mut schema = self.clone();
        for name in removed {
            let Some(at) = schema.defined_columns.iter().position(|column| column.name == *name) else {
                return Err(Violation::parameter(format!("Defined column '{name}' does not exist.")));
            };
            if let Some(index) = indexes.iter().find(|index| index.uses(name)) {
                return Err(Violation::parameter(format!(
                    "Defined column '{name}' is used by the index '{}'.",
                    index.name
                )));
            }
            schema.defined_columns.remove(at);
        }
        Ok(schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::IndexKind;
    use crate::name::TableName;
    use crate::schema::{DefinedKind, KeyColumn, KeyKind};
    use crate::value::ValueKind;

    fn column(name: impl Into<String>) -> DefinedColumn {
        DefinedColumn { name: name.into(), kind: DefinedKind(ValueKind::Integer) }
    }

    fn table() -> TableSchema {
        let key = KeyColumn { name: "k".into(), kind: KeyKind::String, auto_increment: false };
        let defined_columns = vec![column("a"), column("b")];
        TableSchema { name: TableName::parse("t").unwrap(), primary_key: vec![key], defined_columns }
    }

    fn names(schema: &TableSchema) -> Vec<&str> {
        schema.defined_columns.iter().map(|column| column.name.as_str()).collect()
    }

    #[test]
    fn columns_are_added_behind_those_that_are_there() {
        assert_eq!(names(&table().with_defined_columns(vec![column("0")]).unwrap()), ["a", "b", "0"]);
        let message = |added: Vec<DefinedColumn>| table().with_defined_columns(added).unwrap_err().message;
        assert_eq!(message(vec![]), "No defined column is specified.");
        assert_eq!(message(vec![column("a")]), "Duplicated column name: 'a'.");
        assert_eq!(message(vec![column("k")]), "Duplicated column name: 'k'.");
        assert_eq!(message(vec![column("#")]), "Invalid column name: '#'.");
        let many = (0..31).map(|n| column(format!("c{n}"))).collect();
        assert_eq!(message(many), "The number of defined columns must be in range: [0, 32].");
    }

    #[test]
    fn a_column_that_an_index_needs_stays() {
        let index = |key: &str| IndexSpec {
            name: TableName::parse("x").unwrap(),
            kind: IndexKind::Global,
            key_columns: vec![key.to_owned()],
            defined_columns: vec![],
        };
        let without = |names: &[&str], indexes: &[&IndexSpec]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            table().without_defined_columns(&names, indexes)
        };
        assert_eq!(names(&without(&["a"], &[&index("b")]).unwrap()), ["b"]);
        let message = |names, indexes: &[&IndexSpec]| without(names, indexes).unwrap_err().message;
        assert_eq!(message(&["a"], &[&index("a")]), "Defined column 'a' is used by the index 'x'.");
        assert_eq!(message(&["c"], &[]), "Defined column 'c' does not exist.");
        assert_eq!(message(&["a", "a"], &[]), "Defined column 'a' does not exist.");
        assert_eq!(message(&[], &[]), "No defined column is specified.");
    }
}
