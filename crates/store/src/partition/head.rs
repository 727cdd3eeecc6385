//! The head of a partition: how far its sequences have come, who keeps its log, and how far that is let go.
//!
//! ```text
//! head  = format:u8=1  sequence:u64  commit_time:i64  trimmed:u64  kept:u8
//! ```
//!
//! It lies in the partition's space beside the rows and is written with every group. Keys in a partition's
//! table: `00` the head, `00 01` an empty entry that settles the engine, `00 02` the key values set aside, `00 03` and
//! a partition's id how far a global index has followed that partition, `01` and a row key for each row, `02` and an
//! index's id and a key for each entry of a local index.

use lakeferry_model::Micros;

use crate::error::Error;

/// Where the head lies.
pub const HEAD_KEY: &[u8] = &[0x00];
/// Written to learn that nothing is under way in the engine.
pub const BARRIER_KEY: &[u8] = &[0x00, 0x01];
/// Where the auto-increment values lie that are set aside.
pub const SET_ASIDE_KEY: &[u8] = &[0x00, 0x02];
/// Begins the key of every row's entry.
pub const ROW_TAG: u8 = 0x01;
/// Begins the key that tells how far a global index has followed a partition.
pub const FOLLOWED_TAG: [u8; 2] = [0x00, 0x03];
/// Begins the key of every entry of a local index.
pub const INDEX_TAG: u8 = 0x02;
/// Greater than every row's key.
pub const ROWS_END: &[u8] = &[0x02];

const FORMAT: u8 = 1;

/// How far a partition's log has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogHead {
    /// The last sequence.
    pub sequence: u64,
    /// The last commit time, in microseconds since the epoch.
    pub commit_time: Micros,
}

/// The head as it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// The last sequence that was committed.
    pub sequence: u64,
    /// Its commit time.
    pub commit_time: Micros,
    /// The log up to this sequence is let go.
    pub trimmed: u64,
    /// Who keeps the log.
    pub kept: Kept,
}

/// Somebody on whose account the log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKeeper {
    /// The table's stream.
    Stream,
    /// Delivery tasks.
    Readers,
    /// Global indexes.
    Indexes,
}

/// Who keeps the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept(u8);

impl Kept {
    /// The same with one keeper switched.
    pub fn with(self, keeper: LogKeeper, on: bool) -> Self {
        let bit = match keeper {
            LogKeeper::Stream => 1,
            LogKeeper::Readers => 2,
            LogKeeper::Indexes => 4,
        };
        Self(if on { self.0 | bit } else { self.0 & !bit })
    }

    /// Whether anybody does.
    pub fn any(self) -> bool {
        self.0 != 0
    }
}

impl Head {
    /// What those who read the log want to know.
    pub fn log_head(&self) -> LogHead {
        LogHead { sequence: self.sequence, commit_time: self.commit_time }
    }

    /// The head's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(26);
        out.push(FORMAT);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.commit_time.to_le_bytes());
        out.extend_from_slice(&self.trimmed.to_le_bytes());
        out.push(self.kept.0);
        out
    }

    /// Reads a head's bytes.
    ///
    /// # Errors
    /// If they are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let damaged = || Error::Corrupt("the head of a partition is damaged".into());
        let bytes: &[u8; 26] = bytes.try_into().map_err(|_| damaged())?;
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        if bytes[0] != FORMAT {
            return Err(damaged());
        }
        Ok(Self {
            sequence: number(1),
            commit_time: number(9).cast_signed(),
            trimmed: number(17),
            kept: Kept(bytes[25]),
        })
    }
}

/// Appends the key of a row's entry.
pub fn row_key(key: &[u8], out: &mut Vec<u8>) {
    out.push(ROW_TAG);
    out.extend_from_slice(key);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_as_it_was() {
        let kept = Kept::default().with(LogKeeper::Readers, true);
        let head = Head { sequence: 7, commit_time: -1, trimmed: 3, kept };
        assert_eq!(Head::decode(&head.encode()).unwrap(), head);
        assert!(Head::decode(&head.encode()[1..]).is_err());
    }

    #[test]
    fn the_log_is_kept_while_anybody_keeps_it() {
        let both = Kept::default().with(LogKeeper::Stream, true).with(LogKeeper::Readers, true);
        assert!(both.with(LogKeeper::Stream, false).any());
        assert!(!both.with(LogKeeper::Stream, false).with(LogKeeper::Readers, false).any());
    }
}
