//! Finding a cell's column by its name, without hashing most of the time.
//!
//! Rows of one table mostly hold the same columns in the same order. So beside the map from names to entries,
//! each entry remembers which one followed it last: the next name is compared with that one first, and only
//! a miss is looked up. A row that lacks a column costs one look-up, not one for each column behind.

use std::collections::{HashMap, HashSet};

use lakeferry_model::ValueKind;

use crate::schema::{ObjectSchema, Source};

/// Names with their numbers, counted from 0 in the order in which they were learned.
#[derive(Debug, Default)]
pub(crate) struct NameTable {
    entries: Vec<Entry>,
    by_name: HashMap<Box<str>, usize>,
    /// The entry that the first cell of a row matched last.
    first: usize,
    /// The entry that the latest cell matched.
    previous: Option<usize>,
}

#[derive(Debug)]
struct Entry {
    name: Box<str>,
    follower: usize,
}

impl NameTable {
    /// Learns a name and gives its number. A name that is known keeps the number it has.
    pub(crate) fn learn(&mut self, name: &str) -> usize {
        if let Some(&number) = self.by_name.get(name) {
            return number;
        }
        let number = self.entries.len();
        self.entries.push(Entry { name: name.into(), follower: number + 1 });
        self.by_name.insert(name.into(), number);
        number
    }

    /// Begins a row: the next name found is its first.
    pub(crate) fn begin_row(&mut self) {
        self.previous = None;
    }

    /// The number of a name, if it is known.
    #[inline]
    pub(crate) fn find(&mut self, name: &str) -> Option<usize> {
        let expected = match self.previous {
            Some(previous) => self.entries[previous].follower,
            None => self.first,
        };
        let number = match self.entries.get(expected) {
            Some(entry) if *entry.name == *name => expected,
            _ => self.look_up(name)?,
        };
        self.previous = Some(number);
        Some(number)
    }

    fn look_up(&mut self, name: &str) -> Option<usize> {
        let number = *self.by_name.get(name)?;
        match self.previous {
            Some(previous) => self.entries[previous].follower = number,
            None => self.first = number,
        }
        Some(number)
    }

    pub(crate) fn name(&self, number: usize) -> &str {
        &self.entries[number].name
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Looks at rows before they are encoded, for columns that an open schema does not have yet.
#[derive(Debug)]
pub struct ColumnScout {
    names: NameTable,
    known: HashSet<String>,
    found: Vec<(String, ValueKind)>,
    found_max: usize,
    /// By the number of a name: whether it is one of the found columns.
    is_found: Vec<bool>,
}

impl ColumnScout {
    /// A scout for columns beyond those of the schema. It remembers 1,024 of them at most.
    pub fn new(schema: &ObjectSchema) -> Self {
        let mut names = NameTable::default();
        for column in schema.columns() {
            if let Source::Attribute(name) = &column.source {
                names.learn(name);
            }
        }
        let known = schema.columns().iter().map(|column| column.target.clone()).collect();
        let is_found = vec![false; names.len()];
        Self { names, known, found: Vec::new(), found_max: 1024, is_found }
    }

    /// Looks at the cells of one row: whether one of them belongs to a found column.
    pub fn look<'a>(&mut self, cells: impl IntoIterator<Item = (&'a str, ValueKind)>) -> bool {
        self.names.begin_row();
        let mut has_found = false;
        for (name, kind) in cells {
            has_found |= match self.names.find(name) {
                Some(number) => self.is_found[number],
                None => self.meet(name, kind),
            };
        }
        has_found
    }

    /// Remembers a name that was never seen, if there is room: whether its column was found by that.
    #[cold]
    fn meet(&mut self, name: &str, kind: ValueKind) -> bool {
        if self.found.len() >= self.found_max {
            return false;
        }
        self.names.learn(name);
        let is_found = self.known.insert(name.to_owned());
        if is_found {
            self.found.push((name.to_owned(), kind));
        }
        self.is_found.push(is_found);
        is_found
    }

    /// The columns found so far, in the order in which they were first seen, with the type first seen.
    /// [`ObjectSchema::widened_with_all`] takes them.
    pub fn found(&self) -> impl Iterator<Item = (&str, ValueKind)> {
        self.found.iter().map(|(name, kind)| (name.as_str(), *kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakeferry_model::{KeyColumn, KeyKind, TableName, TableSchema};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_table_of_names_answers_as_a_map_does(
            rows in prop::collection::vec(prop::collection::vec("[a-d]{0,2}", 0..6), 0..12),
            known in prop::collection::hash_set("[a-d]{0,2}", 0..8),
        ) {
            let mut table = NameTable::default();
            let numbers: HashMap<String, usize> =
                known.into_iter().map(|name| { let number = table.learn(&name); (name, number) }).collect();
            for row in rows {
                table.begin_row();
                for name in row {
                    prop_assert_eq!(table.find(&name), numbers.get(&name).copied());
                }
            }
        }
    }

    #[test]
    fn a_scout_tells_new_columns_once_with_the_type_first_seen() {
        let key = KeyColumn { name: "k".to_owned(), kind: KeyKind::Integer, auto_increment: false };
        let table = TableSchema {
            name: TableName::parse("t").unwrap(),
            primary_key: vec![key],
            defined_columns: vec![],
        };
        let schema = ObjectSchema::automatic(&table, false).widened_with("a", ValueKind::Double).unwrap();
        let mut scout = ColumnScout::new(&schema);
        assert!(!scout.look([("a", ValueKind::Integer)]));
        assert!(scout.look([("a", ValueKind::Integer), ("b", ValueKind::String)]));
        assert!(scout.look([("b", ValueKind::Double), ("c", ValueKind::Boolean), ("k", ValueKind::Binary)]));
        assert!(scout.look([("c", ValueKind::Double)]));
        // A column of that name is there, so it never joins.
        assert!(!scout.look([("k", ValueKind::Binary)]));
        let found: Vec<_> = scout.found().collect();
        assert_eq!(found, [("b", ValueKind::String), ("c", ValueKind::Boolean)]);
        assert_eq!(schema.widened_with_all(found).unwrap().columns().len(), 4);
    }
}
