//! Shard iterators: a position in a stream's shard, as clients carry it.

use std::fmt;
use std::str::FromStr;

use lakeferry_model::{Micros, Violation};

/// A position in a shard. Two of them are one position exactly if their texts are equal: clients find out by
/// that whether they have read to the end.
///
/// ```text
/// iterator = "1" "-" table "-" shard "-" enabled_at "-" after [ "-" since ]
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardIterator {
    /// The table's id.
    pub table: u64,
    /// The shard: the number of the partition.
    pub shard: u64,
    /// When the stream was switched on, in microseconds since the epoch: a stream that is switched off and on
    /// again is another one.
    pub enabled_at: Micros,
    /// The sequence of the last record before the position.
    pub after: u64,
    /// Records of before this time, in microseconds since the epoch, are passed over. Left out once there cannot be
    /// such any more.
    pub since: Option<Micros>,
}

/// The format that this code writes.
const FORMAT: &str = "1";

impl fmt::Display for ShardIterator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, shard, enabled_at, after, since } = self;
        write!(f, "{FORMAT}-{table}-{shard}-{enabled_at}-{after}")?;
        since.map_or(Ok(()), |since| write!(f, "-{since}"))
    }
}

impl FromStr for ShardIterator {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        let invalid = || Violation::parameter(format!("Invalid shard iterator: '{text}'."));
        let mut parts = text.split('-');
        let mut part = || parts.next().ok_or_else(invalid);
        if part()? != FORMAT {
            return Err(invalid());
        }
        let mut number = || part()?.parse::<u64>().map_err(|_| invalid());
        let (table, shard, enabled_at, after) = (number()?, number()?, number()?, number()?);
        let time = |number: u64| Micros::try_from(number).map_err(|_| invalid());
        let since = parts.next().map(|since| time(since.parse().map_err(|_| invalid())?)).transpose()?;
        let iterator = Self { table, shard, enabled_at: time(enabled_at)?, after, since };
        // Also refuses what another text stands for, such as leading zeros.
        if iterator.to_string() == text { Ok(iterator) } else { Err(invalid()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iterator_comes_back_as_it_was() {
        for since in [None, Some(1_704_067_200_000_001)] {
            let enabled_at = 1_704_067_200_000_000;
            let iterator = ShardIterator { table: 3, shard: 17, enabled_at, after: u64::MAX, since };
            assert_eq!(iterator.to_string().parse(), Ok(iterator));
        }
    }

    #[test]
    fn what_is_no_iterator_is_refused() {
        for text in [
            "",
            "1",
            "1-2-3-4",
            "2-1-1-1-1",
            "1-1-1-1-1-01",
            "1-1-1-1-1-1-1",
            "1-01-1-1-1",
            "1-1-1-x-1",
            "1-1-1--1",
        ] {
            let refused = text.parse::<ShardIterator>().unwrap_err();
            assert_eq!(refused.message, format!("Invalid shard iterator: '{text}'."));
        }
    }
}
