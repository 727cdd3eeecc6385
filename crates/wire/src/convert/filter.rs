//! Filters and column conditions: nested messages in `bytes` fields into the model's tree, and back.
//!
//! The tree is checked while it is taken apart, a node before its children, so that nothing that is too large
//! or too deep is ever built: a filter has at most 32 nodes, so it is at most 32 deep.
//!
//! A column pagination filter cuts a row that is shown; it says nothing about whether it is. It stands alone or
//! below ANDs, once. NOT and OR of it would mean nothing.

use bytes::Bytes;
use lakeferry_model::filter::{
    CastKind, ColumnTest, Combinator, Comparator, Comparison, Patterns, ValueTransfer, check_filter_count,
    too_many_filters,
};
use lakeferry_model::{ColumnCondition, ColumnPage, Filter, Violation};
use prost::Message;

use super::enum_value;
use crate::plain_buffer::variant::{self, Variant};
use crate::proto;
use crate::proto::bounded::BoundedError;

/// What is read of a filter's message at most: 32 nodes take less than a quarter of it.
const READS_MAX: usize = 1024;

/// Takes the only filter of a read.
///
/// # Errors
/// The first broken rule.
pub fn filter(bytes: &Bytes) -> Result<Filter, Violation> {
    filter_among(bytes, &mut Patterns::default())
}

/// Takes one of the filters of a request, which has these patterns already.
pub(super) fn filter_among(bytes: &Bytes, patterns: &mut Patterns) -> Result<Filter, Violation> {
    let mut decoder = Decoder { count: 0, misshapen: None, patterns };
    let filter = decoder.node(&decode(bytes)?)?;
    decoder.misshapen.map_or(Ok(filter), Err)
}

/// Takes what the only write of a request asks of its row's columns.
///
/// # Errors
/// The first broken rule; there is nothing to paginate either.
pub fn column_condition(bytes: &Bytes) -> Result<ColumnCondition, Violation> {
    column_condition_among(bytes, &mut Patterns::default())
}

/// Takes one of the column conditions of a request, which has these patterns already.
pub(super) fn column_condition_among(
    bytes: &Bytes,
    patterns: &mut Patterns,
) -> Result<ColumnCondition, Violation> {
    match filter_among(bytes, patterns)? {
        Filter { condition: Some(condition), page: None } => Ok(condition),
        Filter { .. } => {
            Err(Violation::parameter("A column condition must not hold a column pagination filter."))
        }
    }
}

/// A filter's bytes, for requests; none if it keeps everything.
pub fn filter_bytes(filter: &Filter) -> Option<Bytes> {
    let condition = filter.condition.as_ref().map(condition_message);
    let page = filter.page.map(page_message);
    let message = match (condition, page) {
        (None, None) => return None,
        (Some(one), None) | (None, Some(one)) => one,
        (Some(condition), Some(page)) => combined(proto::LogicalOperator::And, vec![condition, page]),
    };
    Some(message.encode_to_vec().into())
}

/// A column condition's bytes, for requests.
pub fn column_condition_bytes(condition: &ColumnCondition) -> Bytes {
    condition_message(condition).encode_to_vec().into()
}

struct Decoder<'p> {
    /// Nodes met so far.
    count: usize,
    /// What is wrong with the shape of the first combinator that has a wrong one. Told last, as the original does:
    /// a filter that is too large is told to be that.
    misshapen: Option<Violation>,
    /// Patterns met so far in the whole request.
    patterns: &'p mut Patterns,
}

impl Decoder<'_> {
    fn node(&mut self, message: &proto::Filter) -> Result<Filter, Violation> {
        self.count += 1;
        check_filter_count(self.count)?;
        match enum_value("filter type", message.r#type)? {
            proto::FilterType::SingleColumnValue => {
                let test = column_test(decode(&message.filter)?, self.patterns)?;
                Ok(ColumnCondition::Column(test).into())
            }
            proto::FilterType::CompositeColumnValue => self.composite(&decode(&message.filter)?),
            proto::FilterType::ColumnPagination => {
                Ok(Filter { condition: None, page: Some(page(&decode(&message.filter)?)?) })
            }
        }
    }

    fn composite(&mut self, message: &proto::CompositeColumnValueFilter) -> Result<Filter, Violation> {
        let combinator = match enum_value("logical operator", message.combinator)? {
            proto::LogicalOperator::Not => Combinator::Not,
            proto::LogicalOperator::And => Combinator::And,
            proto::LogicalOperator::Or => Combinator::Or,
        };
        if let Err(wrong) = combinator.check(message.sub_filters.len()) {
            self.misshapen.get_or_insert(wrong);
        }
        let mut conditions = Vec::with_capacity(message.sub_filters.len().min(8));
        let mut page = None;
        for child in &message.sub_filters {
            let child = self.node(child)?;
            conditions.extend(child.condition);
            if child.page.is_some() && (page.is_some() || combinator != Combinator::And) {
                return Err(Violation::parameter(
                    "A column pagination filter can stand alone or once below AND operators.",
                ));
            }
            page = page.or(child.page);
        }
        // What is left of an AND without its pagination filter may be one condition.
        let condition = match (combinator, conditions.pop()) {
            (Combinator::Not, last) => last.map(|condition| ColumnCondition::Not(Box::new(condition))),
            (_, last) if conditions.is_empty() => last,
            (combinator, last) => {
                conditions.extend(last);
                Some(match combinator {
                    Combinator::Or => ColumnCondition::Or(conditions),
                    Combinator::And | Combinator::Not => ColumnCondition::And(conditions),
                })
            }
        };
        Ok(Filter { condition, page })
    }
}

fn column_test(
    message: proto::SingleColumnValueFilter,
    patterns: &mut Patterns,
) -> Result<ColumnTest, Violation> {
    let comparison = match enum_value("comparator", message.comparator)? {
        // The value that comes along is a dummy.
        proto::ComparatorType::Exist => Comparison::Exists,
        proto::ComparatorType::NotExist => Comparison::IsMissing,
        compared => match variant::decode(&message.column_value)? {
            Variant::Value(value) => Comparison::To(comparator(compared), value),
            Variant::InfMin | Variant::InfMax => {
                return Err(Violation::parameter(format!(
                    "An infinity is no value to compare the column '{}' with.",
                    message.column_name
                )));
            }
        },
    };
    let test = ColumnTest {
        column: message.column_name.into(),
        comparison,
        pass_if_missing: !message.filter_if_missing,
        latest_version_only: message.latest_version_only,
        transfer: message.value_trans_rule.map(|rule| value_transfer(&rule, patterns)).transpose()?,
    };
    test.check()?;
    Ok(test)
}

fn value_transfer(
    rule: &proto::ValueTransferRule,
    patterns: &mut Patterns,
) -> Result<ValueTransfer, Violation> {
    let cast = match rule.cast_type.map(|cast| enum_value("cast type", cast)).transpose()? {
        // No value has the type of an absent one, so it asks for no cast.
        None | Some(proto::VariantType::Null) => None,
        Some(proto::VariantType::Integer) => Some(CastKind::Integer),
        Some(proto::VariantType::Double) => Some(CastKind::Double),
        Some(proto::VariantType::String) => Some(CastKind::String),
        Some(proto::VariantType::Blob) => Some(CastKind::Binary),
    };
    patterns.transfer(&rule.regex, cast)
}

fn page(message: &proto::ColumnPaginationFilter) -> Result<ColumnPage, Violation> {
    let offset = u32::try_from(message.offset).map_err(|_| {
        Violation::parameter("The offset of a column pagination filter must not be less than 0.")
    })?;
    match u32::try_from(message.limit) {
        Ok(limit @ 1..) => Ok(ColumnPage { offset, limit }),
        _ => Err(Violation::parameter("The limit of a column pagination filter must be greater than 0.")),
    }
}

fn decode<M: Message + Default>(bytes: &Bytes) -> Result<M, Violation> {
    proto::bounded::decode(bytes.clone(), READS_MAX).map_err(|error| match error {
        BoundedError::Malformed(error) => Violation::parameter(format!("Invalid filter: {error}.")),
        BoundedError::TooManyFields => too_many_filters(),
    })
}

/// The comparator of one that compares: existence is no comparison.
fn comparator(compared: proto::ComparatorType) -> Comparator {
    match compared {
        proto::ComparatorType::NotEqual => Comparator::NotEqual,
        proto::ComparatorType::GreaterThan => Comparator::Greater,
        proto::ComparatorType::GreaterEqual => Comparator::GreaterOrEqual,
        proto::ComparatorType::LessThan => Comparator::Less,
        proto::ComparatorType::LessEqual => Comparator::LessOrEqual,
        proto::ComparatorType::Equal | proto::ComparatorType::Exist | proto::ComparatorType::NotExist => {
            Comparator::Equal
        }
    }
}

fn condition_message(condition: &ColumnCondition) -> proto::Filter {
    let all = |conditions: &[ColumnCondition]| conditions.iter().map(condition_message).collect();
    match condition {
        ColumnCondition::Column(test) => {
            wrapped(proto::FilterType::SingleColumnValue, &column_test_message(test))
        }
        ColumnCondition::Not(condition) => {
            combined(proto::LogicalOperator::Not, vec![condition_message(condition)])
        }
        ColumnCondition::And(conditions) => combined(proto::LogicalOperator::And, all(conditions)),
        ColumnCondition::Or(conditions) => combined(proto::LogicalOperator::Or, all(conditions)),
    }
}

fn column_test_message(test: &ColumnTest) -> proto::SingleColumnValueFilter {
    use lakeferry_model::ValueRef;
    let (comparator, value) = match &test.comparison {
        Comparison::To(comparator, value) => (comparator_message(*comparator), value.as_ref()),
        Comparison::Exists => (proto::ComparatorType::Exist, ValueRef::Integer(0)),
        Comparison::IsMissing => (proto::ComparatorType::NotExist, ValueRef::Integer(0)),
    };
    proto::SingleColumnValueFilter {
        comparator: comparator.into(),
        column_name: test.column.to_string(),
        column_value: variant::encode(value),
        filter_if_missing: !test.pass_if_missing,
        latest_version_only: test.latest_version_only,
        value_trans_rule: test.transfer.as_ref().map(value_transfer_message),
    }
}

fn comparator_message(comparator: Comparator) -> proto::ComparatorType {
    match comparator {
        Comparator::Equal => proto::ComparatorType::Equal,
        Comparator::NotEqual => proto::ComparatorType::NotEqual,
        Comparator::Greater => proto::ComparatorType::GreaterThan,
        Comparator::GreaterOrEqual => proto::ComparatorType::GreaterEqual,
        Comparator::Less => proto::ComparatorType::LessThan,
        Comparator::LessOrEqual => proto::ComparatorType::LessEqual,
    }
}

fn value_transfer_message(transfer: &ValueTransfer) -> proto::ValueTransferRule {
    let cast = transfer.cast().map(|cast| match cast {
        CastKind::Integer => proto::VariantType::Integer,
        CastKind::Double => proto::VariantType::Double,
        CastKind::String => proto::VariantType::String,
        CastKind::Binary => proto::VariantType::Blob,
    });
    proto::ValueTransferRule { regex: transfer.pattern().to_owned(), cast_type: cast.map(Into::into) }
}

fn page_message(page: ColumnPage) -> proto::Filter {
    let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let message = proto::ColumnPaginationFilter { offset: number(page.offset), limit: number(page.limit) };
    wrapped(proto::FilterType::ColumnPagination, &message)
}

fn combined(combinator: proto::LogicalOperator, sub_filters: Vec<proto::Filter>) -> proto::Filter {
    let message = proto::CompositeColumnValueFilter { combinator: combinator.into(), sub_filters };
    wrapped(proto::FilterType::CompositeColumnValue, &message)
}

fn wrapped(kind: proto::FilterType, message: &impl Message) -> proto::Filter {
    proto::Filter { r#type: kind.into(), filter: message.encode_to_vec().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use lakeferry_model::Value;
    use proptest::prelude::*;

    fn test(column: &str, value: i64) -> ColumnCondition {
        ColumnTest::compare(column, Comparator::Equal, Value::Integer(value)).into()
    }

    fn tests(count: usize) -> Vec<ColumnCondition> {
        (0..count).map(|at| test("c", at.try_into().unwrap())).collect()
    }

    fn again(filter: &Filter) -> Result<Filter, Violation> {
        super::filter(&filter_bytes(filter).unwrap())
    }

    fn message_of(condition: ColumnCondition) -> String {
        again(&condition.into()).unwrap_err().message
    }

    #[test]
    fn golden_filter() {
        let request = proto::GetRowRequest::decode(golden::bytes(golden::GET_ROW_REQUEST)).unwrap();
        let bytes = request.filter.unwrap();
        let expected = ColumnTest {
            column: "i".into(),
            comparison: Comparison::To(Comparator::Equal, Value::Integer(7)),
            pass_if_missing: true,
            latest_version_only: true,
            transfer: None,
        };
        let filter = filter(&bytes).unwrap();
        assert_eq!(filter, ColumnCondition::Column(expected).into());
        assert_eq!(filter_bytes(&filter), Some(bytes));
    }

    #[test]
    fn a_filter_has_at_most_32_nodes_combinators_among_them() {
        assert!(again(&ColumnCondition::And(tests(31)).into()).is_ok());
        let message = "The count of filter exceeds the max: 32.";
        assert_eq!(message_of(ColumnCondition::Or(tests(32))), message);
        let nested = |depth| (0..depth).fold(test("c", 1), |inner, _| ColumnCondition::Not(Box::new(inner)));
        assert!(again(&nested(31).into()).is_ok());
        assert_eq!(message_of(nested(32)), message);
        assert_eq!(message_of(nested(500)), message);
    }

    #[test]
    fn combinators_have_the_children_that_the_protocol_allows() {
        let not = |children: usize| {
            let children = tests(children).iter().map(condition_message).collect();
            let bytes = combined(proto::LogicalOperator::Not, children).encode_to_vec();
            filter(&bytes.into()).unwrap_err().message
        };
        let message = "Invalid NOT operator: the number of sub-filters must be 1.";
        assert_eq!([not(0), not(2), not(31)], [message, message, message]);
        let too_many = "The count of filter exceeds the max: 32.";
        assert_eq!([not(32), not(1000)], [too_many, too_many], "size comes before shape");
        let message = "Invalid AND/OR operator: the number of sub-filters must be more than 1.";
        assert_eq!(message_of(ColumnCondition::And(tests(1))), message);
        assert_eq!(message_of(ColumnCondition::Or(Vec::new())), message);
    }

    #[test]
    fn names_and_values_are_those_of_columns() {
        assert_eq!(message_of(test("#c", 1)), "Invalid column name: '#c'.");
        let large = Value::String("x".repeat(2_097_153).into());
        let message =
            "The length of attribute column: 'c' exceeds the MaxLength:2097152 with CurrentLength:2097153.";
        assert_eq!(message_of(ColumnTest::compare("c", Comparator::Less, large).into()), message);
    }

    #[test]
    fn a_pagination_filter_stands_alone_or_once_below_ands() {
        let page = ColumnPage { offset: 2, limit: 3 };
        let alone = Filter { condition: None, page: Some(page) };
        assert_eq!(again(&alone).unwrap(), alone);
        let both = Filter { condition: Some(test("c", 1)), page: Some(page) };
        assert_eq!(again(&both).unwrap(), both);
        let several = Filter { condition: Some(ColumnCondition::And(tests(2))), page: Some(page) };
        assert_eq!(again(&several).unwrap(), several);
        let below = |operator, children: Vec<proto::Filter>| {
            filter(&combined(operator, children).encode_to_vec().into())
        };
        let message = "A column pagination filter can stand alone or once below AND operators.";
        let refused = |outcome: Result<Filter, Violation>| assert_eq!(outcome.unwrap_err().message, message);
        refused(below(proto::LogicalOperator::Not, vec![page_message(page)]));
        refused(below(
            proto::LogicalOperator::Or,
            vec![page_message(page), condition_message(&test("c", 1))],
        ));
        refused(below(proto::LogicalOperator::And, vec![page_message(page), page_message(page)]));
        for (offset, limit) in [(-1, 1), (0, 0), (0, -1)] {
            let bad = wrapped(
                proto::FilterType::ColumnPagination,
                &proto::ColumnPaginationFilter { offset, limit },
            );
            assert!(filter(&bad.encode_to_vec().into()).is_err(), "{offset} {limit}");
        }
        assert!(column_condition(&filter_bytes(&both).unwrap()).is_err());
        assert_eq!(column_condition(&column_condition_bytes(&test("c", 1))), Ok(test("c", 1)));
    }

    #[test]
    fn a_test_of_existence_ignores_its_dummy_value() {
        let dummy = proto::SingleColumnValueFilter {
            comparator: proto::ComparatorType::NotExist.into(),
            column_name: "c".into(),
            column_value: Bytes::from_static(b"\xff"),
            filter_if_missing: true,
            latest_version_only: true,
            value_trans_rule: None,
        };
        let bytes = wrapped(proto::FilterType::SingleColumnValue, &dummy).encode_to_vec();
        let Some(ColumnCondition::Column(test)) = filter(&bytes.into()).unwrap().condition else { panic!() };
        assert_eq!(test.comparison, Comparison::IsMissing);
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for bytes in [&b"\xff"[..], b"\x08\x09\x12\x00", b"\x08\x01\x12\x01\xff", b"\x08\x02\x12\x00", b""] {
            assert!(filter(&Bytes::from_static(bytes)).is_err(), "{bytes:?}");
        }
        let infinite = proto::SingleColumnValueFilter {
            comparator: proto::ComparatorType::LessThan.into(),
            column_name: "c".into(),
            column_value: variant::encode_variant(&Variant::InfMax),
            ..Default::default()
        };
        let bytes = wrapped(proto::FilterType::SingleColumnValue, &infinite).encode_to_vec();
        assert!(filter(&bytes.into()).unwrap_err().message.contains("infinity"));
    }

    fn any_condition() -> impl Strategy<Value = ColumnCondition> {
        let comparison = prop_oneof![
            any::<i64>().prop_map(|value| Comparison::To(Comparator::GreaterOrEqual, Value::Integer(value))),
            "[a-z]{0,4}".prop_map(|text| Comparison::To(Comparator::NotEqual, Value::String(text.into()))),
            any::<bool>().prop_map(|value| Comparison::To(Comparator::Less, Value::Boolean(value))),
            Just(Comparison::Exists),
            Just(Comparison::IsMissing),
        ];
        let cast = prop::sample::select(vec![
            None,
            Some(CastKind::Integer),
            Some(CastKind::Double),
            Some(CastKind::String),
            Some(CastKind::Binary),
        ]);
        let transfer = prop::option::of(cast.prop_map(|cast| ValueTransfer::new("k([0-9]+)", cast).unwrap()));
        let test = ("[a-z]{1,3}", comparison, any::<bool>(), any::<bool>(), transfer).prop_map(
            |(column, comparison, pass_if_missing, latest_version_only, transfer)| {
                ColumnCondition::Column(ColumnTest {
                    column: column.into(),
                    comparison,
                    pass_if_missing,
                    latest_version_only,
                    transfer,
                })
            },
        );
        test.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|condition| ColumnCondition::Not(Box::new(condition))),
                prop::collection::vec(inner.clone(), 2..4).prop_map(ColumnCondition::And),
                prop::collection::vec(inner, 2..4).prop_map(ColumnCondition::Or),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_condition_comes_back_as_it_was(condition in any_condition()) {
            match column_condition(&column_condition_bytes(&condition)) {
                Ok(read) => prop_assert_eq!(read, condition),
                Err(violation) => prop_assert!(violation.message.starts_with("The count"), "{}", violation),
            }
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = filter(&bytes.into());
        }

        #[test]
        fn damaged_filters_never_panic(condition in any_condition(), at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = column_condition_bytes(&condition).to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = filter(&bytes.into());
        }
    }
}
