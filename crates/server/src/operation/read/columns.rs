//! The columns that a read asks for, by their names or by where they lie.

use std::cmp::Ordering;

use lakeferry_model::TableSchema;
use lakeferry_wire::convert::ReadOptions;

/// The attribute columns that a reader is shown.
#[derive(Debug, Clone)]
pub struct Columns<'a> {
    /// Names in order, each once; `None` for all.
    names: Option<Vec<&'a str>>,
    /// The first that is shown, in name order.
    start: &'a str,
    /// The first that is shown no more.
    end: Option<&'a str>,
    show_every_row: bool,
}

impl<'a> Columns<'a> {
    /// What the options ask for.
    pub fn new(options: &'a ReadOptions, schema: &TableSchema) -> Self {
        let asked = &options.columns_to_get;
        let names = (!asked.is_empty()).then(|| in_order(asked.iter().map(String::as_str).collect()));
        // Where a column of the primary key is asked for, a row has it, whatever else it lacks.
        let is_named = |names: &Vec<&str>| {
            schema.primary_key.iter().any(|key| names.binary_search(&key.name.as_str()).is_ok())
        };
        let show_every_row = names.as_ref().is_none_or(is_named);
        let start = options.start_column.as_deref().unwrap_or("");
        Self { names, start, end: options.end_column.as_deref(), show_every_row }
    }

    /// Of these columns, those that have one of the names.
    pub fn among(&self, names: Vec<&'a str>) -> Self {
        let names = in_order(names);
        let names = match &self.names {
            None => names,
            Some(own) => names.into_iter().filter(|name| own.binary_search(name).is_ok()).collect(),
        };
        Self { names: Some(names), show_every_row: false, ..self.clone() }
    }

    /// Whether a row is shown also if it has none of the columns.
    pub fn show_every_row(&self) -> bool {
        self.show_every_row
    }

    /// Whether a row has these columns as it has, none of them asked for: nobody needs to look.
    pub fn is_empty(&self) -> bool {
        self.names.as_ref().is_some_and(Vec::is_empty)
    }

    /// Begins to walk along a row's columns.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor { columns: self, names: self.names.as_deref() }
    }
}

fn in_order(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names.dedup();
    names
}

/// Walks along the names asked for, while a row's columns come in the same order.
#[derive(Debug, Clone)]
pub struct Cursor<'c> {
    columns: &'c Columns<'c>,
    names: Option<&'c [&'c str]>,
}

/// What a column is to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// It is shown.
    Yes,
    /// It is not, but one behind it may be.
    No,
    /// Neither it nor any behind it.
    NoMore,
}

impl Cursor<'_> {
    /// What the row's next column is to the reader.
    #[inline]
    pub fn take(&mut self, column: &[u8]) -> Wanted {
        if self.columns.end.is_some_and(|end| column >= end.as_bytes()) {
            return Wanted::NoMore;
        }
        if column < self.columns.start.as_bytes() {
            return Wanted::No;
        }
        let Some(names) = &mut self.names else { return Wanted::Yes };
        while let Some((first, rest)) = names.split_first() {
            match first.as_bytes().cmp(column) {
                Ordering::Less => *names = rest,
                Ordering::Equal => return Wanted::Yes,
                Ordering::Greater => return Wanted::No,
            }
        }
        Wanted::NoMore
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakeferry_model::{KeyColumn, KeyKind, TableName};

    fn schema() -> TableSchema {
        TableSchema {
            name: TableName::parse("t").unwrap(),
            primary_key: vec![KeyColumn { name: "pk".into(), kind: KeyKind::Integer, auto_increment: false }],
            defined_columns: Vec::new(),
        }
    }

    fn options(names: &[&str], start: Option<&str>, end: Option<&str>) -> ReadOptions {
        ReadOptions {
            columns_to_get: names.iter().map(|&name| name.to_owned()).collect(),
            start_column: start.map(str::to_owned),
            end_column: end.map(str::to_owned),
            ..ReadOptions::default()
        }
    }

    /// Which of the columns `a` to `f` are shown: `+`, `-`, or `.` for no more.
    fn shown(columns: &Columns<'_>) -> String {
        let mut cursor = columns.cursor();
        let mark = |wanted| match wanted {
            Wanted::Yes => '+',
            Wanted::No => '-',
            Wanted::NoMore => '.',
        };
        ["a", "b", "c", "d", "e", "f"].iter().map(|name| mark(cursor.take(name.as_bytes()))).collect()
    }

    #[test]
    fn columns_are_found_by_name_and_by_place() {
        for (names, start, end, expected) in [
            (&[][..], None, None, "++++++"),
            (&["e", "b", "bb", "b"], None, None, "-+--+."),
            (&[], Some("b"), Some("e"), "-+++.."),
            (&[], Some("bb"), None, "--++++"),
            (&["a", "c", "e"], Some("b"), Some("e"), "--+-.."),
        ] {
            let options = options(names, start, end);
            assert_eq!(shown(&Columns::new(&options, &schema())), expected, "{names:?} {start:?} {end:?}");
        }
    }

    #[test]
    fn a_filter_sees_of_its_columns_those_that_are_asked_for() {
        let all = options(&[], None, Some("e"));
        let columns = Columns::new(&all, &schema());
        assert_eq!(shown(&columns.among(vec!["f", "b"])), "-+--..");
        let some = options(&["a", "c"], None, None);
        let columns = Columns::new(&some, &schema());
        assert_eq!(shown(&columns.among(vec!["b", "c"])), "--+...");
        assert!(columns.among(vec!["b"]).is_empty());
    }

    #[test]
    fn a_row_without_the_columns_is_shown_if_its_key_is_asked_for() {
        for (names, expected) in [(&[][..], true), (&["c"], false), (&["c", "pk"], true)] {
            let options = options(names, None, None);
            assert_eq!(Columns::new(&options, &schema()).show_every_row(), expected, "{names:?}");
        }
    }
}
