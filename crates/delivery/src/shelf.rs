//! Rows that a scan sets aside until its cut, copied from the engine's memory.

use lakeferry_store::{Visibility, VisitedRow};

/// Bytes of a board at least, so that rows share few pieces of memory.
const BOARD_BYTES: usize = 256 * 1024;

/// Holds copies of rows.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    boards: Vec<Board>,
    bytes: u64,
}

/// Rows with one visibility, one behind the other.
#[derive(Debug)]
struct Board {
    visibility: Visibility,
    data: Vec<u8>,
}

/// Where a row lies: its board, its start, and the bytes of its key and entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    board: u32,
    start: u32,
    key: u32,
    entry: u32,
}

impl Shelf {
    /// Copies a row.
    pub(crate) fn put(&mut self, row: &VisitedRow<'_>) -> Slot {
        let wanted = row.key.len() + row.entry.len();
        let has_room = self.boards.last().is_some_and(|board| {
            board.visibility == row.visibility && board.data.capacity() - board.data.len() >= wanted
        });
        if !has_room {
            let data = Vec::with_capacity(wanted.max(BOARD_BYTES));
            self.bytes += data.capacity() as u64;
            self.boards.push(Board { visibility: row.visibility, data });
        }
        let board = self.boards.len() - 1;
        let data = &mut self.boards[board].data;
        let start = data.len();
        data.extend_from_slice(row.key);
        data.extend_from_slice(row.entry);
        let narrow = |number: usize| u32::try_from(number).expect("memory and rows end before 4 GiB");
        let [board, start, key, entry] = [board, start, row.key.len(), row.entry.len()].map(narrow);
        Slot { board, start, key, entry }
    }

    /// The row at that place.
    ///
    /// # Panics
    /// If it was put before the shelf was cleared.
    pub(crate) fn get(&self, slot: Slot) -> VisitedRow<'_> {
        let board = &self.boards[slot.board as usize];
        let (key, rest) = board.data[slot.start as usize..].split_at(slot.key as usize);
        VisitedRow { key, entry: &rest[..slot.entry as usize], visibility: board.visibility }
    }

    /// Bytes of memory that it holds.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Lets go of all rows.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were_put() {
        let mut shelf = Shelf::default();
        let later = Visibility::ALL.hiding_below(Some(7));
        let rows: Vec<(Vec<u8>, Vec<u8>, Visibility)> = [0, 5, 70_000, 300_000, 1, 200_000]
            .into_iter()
            .zip([Visibility::ALL, later].into_iter().cycle())
            .map(|(size, visibility)| (vec![7; size / 3 + 1], vec![9; size], visibility))
            .collect();
        let slots: Vec<Slot> = rows
            .iter()
            .map(|(key, entry, visibility)| shelf.put(&VisitedRow { key, entry, visibility: *visibility }))
            .collect();
        for (slot, (key, entry, visibility)) in slots.into_iter().zip(&rows) {
            let row = shelf.get(slot);
            assert_eq!((row.key, row.entry, row.visibility), (&key[..], &entry[..], *visibility));
        }
        let held: usize = rows.iter().map(|(key, entry, _)| key.len() + entry.len()).sum();
        assert!(shelf.bytes() >= held as u64);
        shelf.clear();
        assert_eq!(shelf.bytes(), 0);
    }
}
