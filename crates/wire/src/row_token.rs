//! Where the read of a wide row goes on: behind the last cell that was answered.
//!
//! ```text
//! token = format:u8=1  crc8:u8  timestamp_ms:i64 (little-endian)  column
//! ```
//!
//! The checksum covers what follows it. Clients hand a token back as they got it; one that is none of ours is
//! refused rather than taken for a place. A token names a place among the cells and nothing that a server would
//! have to remember: cells that were written behind that place meanwhile are read, those before it are not.

use bytes::Bytes;
use bytestring::ByteString;
use lakeferry_model::Violation;

use crate::plain_buffer::crc8;

const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 10;

/// The last cell of a piece of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowToken {
    /// The cell's column.
    pub column: ByteString,
    /// The cell's version, in milliseconds since the epoch.
    pub timestamp_ms: i64,
}

impl RowToken {
    /// Whether a cell lies behind this place: columns come in name order, versions newest first.
    pub fn is_before(&self, column: &[u8], timestamp_ms: i64) -> bool {
        match column.cmp(self.column.as_bytes()) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => timestamp_ms < self.timestamp_ms,
            std::cmp::Ordering::Greater => true,
        }
    }

    /// The token as answers carry it.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(HEAD_BYTES + self.column.len());
        out.extend_from_slice(&[FORMAT, 0]);
        out.extend_from_slice(&self.timestamp_ms.to_le_bytes());
        out.extend_from_slice(self.column.as_bytes());
        out[1] = crc8::update(0, &out[2..]);
        out.into()
    }

    /// Takes a token of a request.
    ///
    /// # Errors
    /// It is none that [`Self::encode`] made.
    pub fn decode(token: &Bytes) -> Result<Self, Violation> {
        let foreign = || Violation::parameter("The token is not one of this server's.");
        let Some(([FORMAT, checksum], rest)) = token.split_first_chunk::<2>() else { return Err(foreign()) };
        let (timestamp_ms, _) = rest.split_first_chunk::<8>().ok_or_else(foreign)?;
        if crc8::update(0, rest) != *checksum {
            return Err(foreign());
        }
        let column = ByteString::try_from(token.slice(HEAD_BYTES..)).map_err(|_| foreign())?;
        Ok(Self { column, timestamp_ms: i64::from_le_bytes(*timestamp_ms) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_lies_between_the_cells_answered_and_those_left() {
        let token = RowToken { column: "b".into(), timestamp_ms: 5 };
        for (column, timestamp_ms, left) in [
            ("a", 1, false),
            ("b", 6, false),
            ("b", 5, false),
            ("b", 4, true),
            ("ba", 9, true),
            ("c", 9, true),
        ] {
            assert_eq!(token.is_before(column.as_bytes(), timestamp_ms), left, "{column}@{timestamp_ms}");
        }
    }

    #[test]
    fn a_damaged_token_is_refused() {
        let token = RowToken { column: "col".into(), timestamp_ms: 1_700_000_000_000 }.encode();
        for length in 0..token.len() {
            assert!(RowToken::decode(&token.slice(..length)).is_err(), "{length}");
        }
        for at in 0..token.len() {
            let mut damaged = token.to_vec();
            damaged[at] ^= 0x10;
            assert!(RowToken::decode(&damaged.into()).is_err(), "{at}");
        }
        assert!(RowToken::decode(&Bytes::from_static(b"x")).is_err());
    }

    proptest! {
        #[test]
        fn a_token_comes_back_as_it_was(column in ".{0,20}", timestamp_ms: i64) {
            let token = RowToken { column: column.into(), timestamp_ms };
            prop_assert_eq!(RowToken::decode(&token.encode()), Ok(token));
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..32)) {
            let _ = RowToken::decode(&bytes.into());
        }
    }
}
