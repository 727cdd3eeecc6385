//! Conditions beside a plain model of them.

use proptest::prelude::*;

use super::*;
use crate::value::Value;

/// A row as a list of columns, each with its values newest first.
#[derive(Debug, Clone)]
struct PlainRow(Vec<(&'static str, Vec<Value>)>);

impl ColumnValues for PlainRow {
    fn values(&self, column: &str) -> impl Iterator<Item = ValueRef<'_>> {
        let found = self.0.iter().find(|(name, _)| *name == column);
        found.into_iter().flat_map(|(_, values)| values.iter().map(Value::as_ref))
    }
}

const COLUMNS: [&str; 3] = ["a", "b", "c"];

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-2..3_i64).prop_map(Value::Integer),
        prop_oneof![Just(0.0), Just(-0.0), Just(1.5), Just(f64::NAN)].prop_map(Value::Double),
        any::<bool>().prop_map(Value::Boolean),
        prop_oneof![Just(""), Just("1"), Just("k2"), Just("k10"), Just("é")]
            .prop_map(|text| Value::String(text.into())),
        prop::sample::select(vec![&b""[..], b"1", b"\xff"])
            .prop_map(|bytes| Value::Binary(bytes::Bytes::from_static(bytes))),
    ]
}

fn any_row() -> impl Strategy<Value = PlainRow> {
    let column = || prop::option::of(prop::collection::vec(any_value(), 1..4));
    (column(), column(), column()).prop_map(|(a, b, c)| {
        let columns = COLUMNS.into_iter().zip([a, b, c]);
        PlainRow(columns.filter_map(|(name, values)| Some((name, values?))).collect())
    })
}

fn any_comparison() -> impl Strategy<Value = Comparison> {
    use Comparator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    let comparator = prop::sample::select(vec![Equal, NotEqual, Greater, GreaterOrEqual, Less, LessOrEqual]);
    prop_oneof![
        8 => (comparator, any_value()).prop_map(|(comparator, value)| Comparison::To(comparator, value)),
        1 => Just(Comparison::Exists),
        1 => Just(Comparison::IsMissing),
    ]
}

fn any_test() -> impl Strategy<Value = ColumnTest> {
    let transfer = prop::option::weighted(
        0.3,
        prop::bool::ANY.prop_map(|integer| {
            ValueTransfer::new("k([0-9]+)", integer.then_some(CastKind::Integer)).unwrap()
        }),
    );
    (prop::sample::select(COLUMNS.to_vec()), any_comparison(), any::<bool>(), any::<bool>(), transfer)
        .prop_map(|(column, comparison, pass_if_missing, latest_version_only, transfer)| ColumnTest {
            column: column.into(),
            comparison,
            pass_if_missing,
            latest_version_only,
            transfer,
        })
}

fn any_condition() -> impl Strategy<Value = ColumnCondition> {
    any_test().prop_map(ColumnCondition::Column).prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|condition| ColumnCondition::Not(Box::new(condition))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(ColumnCondition::And),
            prop::collection::vec(inner, 2..4).prop_map(ColumnCondition::Or),
        ]
    })
}

/// The rules as the protocol's table of cases has them, without a thought for speed.
fn model(condition: &ColumnCondition, row: &PlainRow) -> bool {
    match condition {
        ColumnCondition::Not(condition) => !model(condition, row),
        ColumnCondition::And(conditions) => {
            conditions.iter().filter(|condition| model(condition, row)).count() == conditions.len()
        }
        ColumnCondition::Or(conditions) => {
            conditions.iter().filter(|condition| model(condition, row)).count() > 0
        }
        ColumnCondition::Column(test) => model_test(test, row),
    }
}

fn model_test(test: &ColumnTest, row: &PlainRow) -> bool {
    let column = row.0.iter().find(|(name, _)| *name == &*test.column);
    let mut values = column.map(|(_, values)| values.clone()).unwrap_or_default();
    if test.latest_version_only {
        values.truncate(1);
    }
    let transferred: Vec<Value> = values.iter().filter_map(|value| model_transfer(test, value)).collect();
    match &test.comparison {
        Comparison::Exists => !transferred.is_empty(),
        Comparison::IsMissing => transferred.is_empty(),
        Comparison::To(..) if values.is_empty() => test.pass_if_missing,
        Comparison::To(comparator, expected) => {
            transferred.iter().any(|value| model_compare(*comparator, value, expected))
        }
    }
}

/// The pattern is `k([0-9]+)`.
fn model_transfer(test: &ColumnTest, value: &Value) -> Option<Value> {
    let Some(transfer) = &test.transfer else { return Some(value.clone()) };
    let Value::String(text) = value else { return None };
    let digits = text.strip_prefix('k')?;
    Some(match transfer.cast() {
        Some(_) => Value::Integer(digits.parse().unwrap()),
        None => Value::String(digits.into()),
    })
}

fn model_compare(comparator: Comparator, value: &Value, expected: &Value) -> bool {
    let (equal, less, greater) = match (value, expected) {
        (Value::Integer(a), Value::Integer(b)) => (a == b, a < b, a > b),
        (Value::Double(a), Value::Double(b)) => (a == b, a < b, a > b),
        (Value::Boolean(a), Value::Boolean(b)) => (a == b, !a & b, *a & !b),
        (Value::String(a), Value::String(b)) => {
            (a == b, a.as_bytes() < b.as_bytes(), a.as_bytes() > b.as_bytes())
        }
        (Value::Binary(a), Value::Binary(b)) => (a == b, a < b, a > b),
        _ => return false,
    };
    match comparator {
        Comparator::Equal => equal,
        Comparator::NotEqual => !equal,
        Comparator::Greater => greater,
        Comparator::GreaterOrEqual => greater || equal,
        Comparator::Less => less,
        Comparator::LessOrEqual => less || equal,
    }
}

proptest! {
    #[test]
    fn conditions_hold_where_the_model_says_so(condition in any_condition(), row in any_row()) {
        prop_assert_eq!(condition.evaluate(&row), model(&condition, &row));
    }

    #[test]
    fn a_missing_row_lacks_every_column(condition in any_condition()) {
        prop_assert_eq!(condition.evaluate(&MissingRow), model(&condition, &PlainRow(Vec::new())));
    }

    #[test]
    fn a_condition_looks_at_no_other_columns_than_it_names(condition in any_condition(), row in any_row()) {
        let names = condition.columns();
        let seen = row.0.iter().filter(|(name, _)| names.contains(name)).cloned().collect();
        prop_assert_eq!(condition.evaluate(&PlainRow(seen)), condition.evaluate(&row));
    }
}

fn one(column: &'static str, values: &[i64]) -> PlainRow {
    PlainRow(vec![(column, values.iter().copied().map(Value::Integer).collect())])
}

fn above(column: &'static str, value: i64) -> ColumnTest {
    ColumnTest::compare(column, Comparator::Greater, Value::Integer(value))
}

#[test]
fn any_version_passes_unless_only_the_newest_counts() {
    let newest = above("a", 5);
    let any = ColumnTest { latest_version_only: false, ..newest.clone() };
    let row = one("a", &[1, 9, 2]);
    assert!(!newest.evaluate(&row) && any.evaluate(&row));
}

#[test]
fn a_row_without_the_column_passes_if_it_is_told_to() {
    let strict = ColumnTest { pass_if_missing: false, ..above("a", 5) };
    assert!(above("a", 5).evaluate(&one("b", &[1])));
    assert!(!strict.evaluate(&one("b", &[1])));
    // A version that does not pass is not a missing column.
    assert!(!above("a", 5).evaluate(&one("a", &[1])));
}

#[test]
fn without_time_no_pattern_is_looked_for() {
    struct OutOfTime(PlainRow);
    impl ColumnValues for OutOfTime {
        fn values(&self, column: &str) -> impl Iterator<Item = ValueRef<'_>> {
            self.0.values(column)
        }
        fn has_time(&self) -> bool {
            false
        }
    }
    let row = OutOfTime(PlainRow(vec![("a", vec![Value::String("k2".into())])]));
    let plain = ColumnTest::new("a", Comparison::Exists);
    let transferred = ColumnTest { transfer: Some(ValueTransfer::new("k", None).unwrap()), ..plain.clone() };
    assert!(plain.evaluate(&row) && !transferred.evaluate(&row));
    let condition = |test| ColumnCondition::Not(Box::new(ColumnCondition::Column(test)));
    assert!(condition(transferred).may_take_long() && !condition(plain).may_take_long());
}

#[test]
fn values_of_two_types_are_not_even_unequal() {
    let test = ColumnTest::compare("a", Comparator::NotEqual, Value::Double(1.0));
    assert!(!test.evaluate(&one("a", &[2])));
}

#[test]
fn combinators_have_the_children_that_the_protocol_allows() {
    let message = |combinator: Combinator, children| combinator.check(children).unwrap_err().message;
    let not = "Invalid NOT operator: the number of sub-filters must be 1.";
    assert_eq!([message(Combinator::Not, 0), message(Combinator::Not, 2)], [not, not]);
    let several = "Invalid AND/OR operator: the number of sub-filters must be more than 1.";
    assert_eq!([message(Combinator::And, 1), message(Combinator::Or, 0)], [several, several]);
    assert!(Combinator::Not.check(1).is_ok() && Combinator::And.check(2).is_ok());
    assert_eq!(check_filter_count(33).unwrap_err().message, "The count of filter exceeds the max: 32.");
    assert!(check_filter_count(32).is_ok());
}

#[test]
fn names_and_values_of_a_test_have_the_bounds_of_columns() {
    let message = |column: &str, value: Value| {
        ColumnTest::compare(column, Comparator::Equal, value).check().unwrap_err().message
    };
    assert_eq!(message("#c", Value::Integer(1)), "Invalid column name: '#c'.");
    let large = Value::Binary(vec![0; limits::VALUE_BYTES_MAX + 1].into());
    let expected =
        "The length of attribute column: 'c' exceeds the MaxLength:2097152 with CurrentLength:2097153.";
    assert_eq!(message("c", large), expected);
}
