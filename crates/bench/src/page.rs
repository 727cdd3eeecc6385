//! What a page of rows costs bare: one copy of its bytes, the checksums of its cells and rows, its MD5.
//!
//! The checksums are computed by the plainest table, a byte at a time, over exactly the bytes that the protocol
//! has them cover. Where those lie is found out before anything is measured.

use std::ops::Range;
use std::time::Duration;

use md5::{Digest, Md5};

use crate::Failure;
use crate::bare::thread_cpu;

/// A page as it came, and the bytes that each checksum in it covers.
pub struct Page {
    bytes: Vec<u8>,
    /// Of each cell: name, value, timestamp, in the order in which they are fed.
    cells: Vec<[Range<usize>; 3]>,
    rows: usize,
}

impl Page {
    /// Takes a page of rows apart.
    pub fn new(bytes: Vec<u8>) -> Result<Self, Failure> {
        let mut page = Self { bytes, cells: Vec::new(), rows: 0 };
        let mut at = 4;
        while at < page.bytes.len() {
            at = page.cell_or_tag(at).ok_or("a page is not as the protocol has it")?;
        }
        Ok(page)
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Passes a cell, or one of the tags between cells.
    fn cell_or_tag(&mut self, at: usize) -> Option<usize> {
        const ROW_PK: u8 = 0x01;
        const ROW_DATA: u8 = 0x02;
        const CELL: u8 = 0x03;
        const ROW_CHECKSUM: u8 = 0x09;
        match *self.bytes.get(at)? {
            ROW_PK | ROW_DATA => Some(at + 1),
            ROW_CHECKSUM => {
                self.rows += 1;
                Some(at + 2)
            }
            CELL => {
                let name = self.counted(at + 1, 0x04)?;
                let value = self.counted(name.end, 0x05)?;
                let (timestamp, end) = match *self.bytes.get(value.end)? {
                    0x07 => (value.end + 1..value.end + 9, value.end + 9),
                    _ => (0..0, value.end),
                };
                self.cells.push([name, value, timestamp]);
                (self.bytes.get(end) == Some(&0x0a)).then_some(end + 2)
            }
            _ => None,
        }
    }

    /// A field that says how long it is.
    fn counted(&self, at: usize, tag: u8) -> Option<Range<usize>> {
        let length = self.bytes.get(at + 1..at + 5)?.try_into().ok()?;
        let start = at + 5;
        let end = start + usize::try_from(u32::from_le_bytes(length)).ok()?;
        (self.bytes.get(at) == Some(&tag) && end <= self.bytes.len()).then_some(start..end)
    }
}

/// The CPU time of one copy of the pages and of all checksums in them.
pub fn encode(pages: &[Page]) -> Duration {
    let table = table();
    let mut out = Vec::with_capacity(pages.iter().map(|page| page.bytes.len()).max().unwrap_or(0));
    let mut checksums = 0_u8;
    let started = thread_cpu();
    for page in pages {
        out.clear();
        out.extend_from_slice(&page.bytes);
        for cell in &page.cells {
            let parts = cell.iter().flat_map(|part| &out[part.clone()]);
            let checksum = parts.fold(0, |crc: u8, byte| table[usize::from(crc ^ byte)]);
            // The row's checksum covers one byte of each cell.
            checksums = table[usize::from(checksums ^ checksum)];
        }
    }
    let took = thread_cpu().saturating_sub(started);
    std::hint::black_box((out, checksums));
    took
}

/// The CPU time of the pages' MD5.
pub fn digest(pages: &[Page]) -> Duration {
    let started = thread_cpu();
    for page in pages {
        std::hint::black_box(Md5::digest(&page.bytes));
    }
    thread_cpu().saturating_sub(started)
}

/// Polynomial 7, most significant bit first.
fn table() -> [u8; 256] {
    let mut table = [0; 256];
    for (byte, entry) in (0..=u8::MAX).zip(&mut table) {
        *entry = (0..8).fold(byte, |crc, _| if crc & 0x80 == 0 { crc << 1 } else { (crc << 1) ^ 7 });
    }
    table
}

#[cfg(test)]
mod tests {
    use lakeferry_model::ValueRef;
    use lakeferry_wire::plain_buffer::RowWriter;

    use super::*;

    #[test]
    fn the_checksum_is_the_protocols() {
        let table = table();
        assert_eq!(b"123456789".iter().fold(0, |crc: u8, byte| table[usize::from(crc ^ byte)]), 0xf4);
    }

    #[test]
    fn each_checksum_of_a_page_is_that_of_the_bytes_found_for_it() {
        let mut writer = RowWriter::new();
        for id in 0..3 {
            writer.start_row();
            writer.key_cell("id", ValueRef::Integer(id));
            writer.cell("text", ValueRef::String("x"), 7);
            writer.cell("flag", ValueRef::Boolean(true), 8);
            writer.end_row();
        }
        let page = Page::new(writer.finish().to_vec()).unwrap();
        assert_eq!((page.cells.len(), page.rows()), (9, 3));
        let table = table();
        for cell in &page.cells {
            let parts = cell.iter().flat_map(|part| &page.bytes[part.clone()]);
            let checksum = parts.fold(0, |crc: u8, byte| table[usize::from(crc ^ byte)]);
            let end = cell.iter().map(|part| part.end).max().unwrap();
            assert_eq!(page.bytes[end..end + 2], [0x0a, checksum]);
        }
    }
}
