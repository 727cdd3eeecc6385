//! The name of a local transaction.

use std::fmt;

use crate::violation::Violation;

/// Names a local transaction. Opaque to callers; made by chance, so that nobody guesses another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransactionId(u128);

impl TransactionId {
    /// The id of these bits.
    pub fn new(bits: u128) -> Self {
        Self(bits)
    }

    /// Reads an id from a request. Whether there is such a transaction is another question.
    ///
    /// # Errors
    /// If the text is empty or no id at all.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let is_id = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let bits = if is_id { u128::from_str_radix(text, 16).ok() } else { None };
        bits.map(Self).ok_or_else(|| Violation::parameter("TransactionID is invalid."))
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_as_it_was() {
        for bits in [0, 1, u128::MAX] {
            let id = TransactionId::new(bits);
            assert_eq!(TransactionId::parse(&id.to_string()), Ok(id));
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let upper = "A".repeat(32);
        let signed = format!("+{}", "1".repeat(31));
        for text in ["", "fake_transaction_id", &"1".repeat(31), &"1".repeat(33), &upper, &signed] {
            assert_eq!(
                TransactionId::parse(text).unwrap_err().message,
                "TransactionID is invalid.",
                "{text}"
            );
        }
    }
}
