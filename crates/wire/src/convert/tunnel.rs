//! Tunnel tokens: how far a channel is read, as clients carry it and as checkpoints keep it.
//!
//! Workers take a token apart: with an iterator in it the channel is one of a log, which is read with pauses;
//! else it is one of rows, read at full speed. The end has a word of its own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use lakeferry_model::{KeyValue, Micros, Violation};
use prost::Message;

use super::key_values;
use super::read::KeyColumns;
use crate::plain_buffer::{decode_row_to_write, encode};
use crate::proto::tunnel::{Token, TokenContent, TokenContentV2};

/// How far a channel is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelToken {
    /// Of rows: up to this key, or none yet.
    Rows {
        /// The key's columns.
        after: Option<KeyColumns>,
        /// Rows read so far.
        count: u64,
    },
    /// Of a log: up to this sequence.
    Log {
        /// The sequence.
        after: u64,
        /// The commit time of the last record that was read.
        time: Micros,
        /// Records read so far.
        count: u64,
    },
    /// To its end.
    Finished,
}

/// The token of a channel that is read to its end.
const FINISHED: &str = "finished";
/// Tokens are written in version 2, which counts, and read in both.
const VERSION: i64 = 2;
const NANOS_PER_MICRO: i64 = 1000;

impl ChannelToken {
    /// The token's text.
    pub fn encode(&self) -> String {
        let count = |count: u64| Some(i64::try_from(count).unwrap_or(i64::MAX));
        let content = match self {
            Self::Finished => return FINISHED.to_owned(),
            Self::Rows { after, count: rows } => TokenContentV2 {
                primary_key: after.as_ref().map(|columns| {
                    encode::key(columns.iter().map(|(name, value)| (&**name, KeyValue::as_ref(value))))
                }),
                iterator: None,
                timestamp: None,
                total_count: count(*rows),
            },
            Self::Log { after, time, count: records } => TokenContentV2 {
                primary_key: None,
                iterator: Some(after.to_string()),
                timestamp: Some(time.saturating_mul(NANOS_PER_MICRO)),
                total_count: count(*records),
            },
        };
        let token = Token { version: VERSION, content: content.encode_to_vec().into() };
        STANDARD.encode(token.encode_to_vec())
    }

    /// Takes a token's text.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        if text == FINISHED {
            return Ok(Self::Finished);
        }
        let content =
            content(text).ok_or_else(|| Violation::parameter(format!("Invalid token: '{text}'.")))?;
        let count = content.total_count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
        if let Some(iterator) = content.iterator.filter(|iterator| !iterator.is_empty()) {
            let after = iterator.parse();
            let after = after.map_err(|_| Violation::parameter(format!("Invalid token: '{text}'.")))?;
            return Ok(Self::Log { after, time: content.timestamp.unwrap_or(0) / NANOS_PER_MICRO, count });
        }
        let key = content.primary_key.filter(|key| !key.is_empty());
        let after = key.map(|key| Ok::<_, Violation>(key_values(decode_row_to_write(&key)?.key)?.collect()));
        Ok(Self::Rows { after: after.transpose()?, count })
    }
}

fn content(text: &str) -> Option<TokenContentV2> {
    let token = Token::decode(Bytes::from(STANDARD.decode(text).ok()?)).ok()?;
    match token.version {
        1 => {
            let TokenContent { primary_key, iterator, timestamp } =
                TokenContent::decode(token.content).ok()?;
            Some(TokenContentV2 { primary_key, iterator, timestamp, total_count: None })
        }
        VERSION => TokenContentV2::decode(token.content).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> ChannelToken {
        let key = vec![("pk".into(), KeyValue::String("a".into())), ("n".into(), KeyValue::Integer(-1))];
        ChannelToken::Rows { after: Some(key), count: 7 }
    }

    const LOG: ChannelToken = ChannelToken::Log { after: 42, time: 1_704_067_200_000_001, count: 9 };

    #[test]
    fn a_token_comes_back_as_it_was() {
        for token in [rows(), ChannelToken::Rows { after: None, count: 0 }, LOG, ChannelToken::Finished] {
            assert_eq!(ChannelToken::parse(&token.encode()), Ok(token));
        }
    }

    #[test]
    fn workers_tell_channels_apart_by_the_iterator() {
        let iterator = |token: ChannelToken| content(&token.encode()).unwrap().iterator().to_owned();
        assert_eq!((iterator(rows()).as_str(), iterator(LOG).as_str()), ("", "42"));
        assert_eq!(ChannelToken::Finished.encode(), "finished");
    }

    #[test]
    fn tokens_of_the_first_version_are_taken() {
        let content =
            TokenContent { primary_key: None, iterator: Some("5".to_owned()), timestamp: Some(7_000) };
        let token = Token { version: 1, content: content.encode_to_vec().into() };
        let text = STANDARD.encode(token.encode_to_vec());
        assert_eq!(ChannelToken::parse(&text), Ok(ChannelToken::Log { after: 5, time: 7, count: 0 }));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let version_3 = STANDARD.encode(Token { version: 3, content: Bytes::new() }.encode_to_vec());
        let bad_key = TokenContentV2 { primary_key: Some(Bytes::from_static(b"x")), ..Default::default() };
        let bad_key = Token { version: 2, content: bad_key.encode_to_vec().into() };
        for text in ["", "!", "Finished", &version_3, &STANDARD.encode(bad_key.encode_to_vec())] {
            assert!(ChannelToken::parse(text).is_err(), "{text}");
        }
    }
}
