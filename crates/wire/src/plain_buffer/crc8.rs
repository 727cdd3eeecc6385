//! CRC-8 as PlainBuffer has it: polynomial 0x07, start 0, most significant bit first, no final xor.
//!
//! Each input byte is one table lookup that waits for the one before. Eight tables let eight bytes be looked
//! up at once: table `n` holds what a byte becomes after `n` more zero bytes, and the checksum is linear.

const TABLES: [[u8; 256]; 8] = tables();

/// Goes on with a checksum that stands at `crc`.
#[inline]
pub(crate) fn update(mut crc: u8, bytes: &[u8]) -> u8 {
    let (blocks, rest) = bytes.as_chunks::<8>();
    for block in blocks {
        crc = update_8(crc, *block);
    }
    for byte in rest {
        crc = update_1(crc, *byte);
    }
    crc
}

/// Goes on with one byte.
#[inline]
pub(super) fn update_1(crc: u8, byte: u8) -> u8 {
    TABLES[0][usize::from(crc ^ byte)]
}

/// Goes on with the eight bytes of a number.
#[inline]
pub(super) fn update_8(crc: u8, bytes: [u8; 8]) -> u8 {
    let [first, b1, b2, b3, b4, b5, b6, b7] = bytes.map(usize::from);
    let b0 = first ^ usize::from(crc);
    (TABLES[7][b0] ^ TABLES[6][b1] ^ TABLES[5][b2] ^ TABLES[4][b3])
        ^ (TABLES[3][b4] ^ TABLES[2][b5] ^ TABLES[1][b6] ^ TABLES[0][b7])
}

const fn tables() -> [[u8; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "the loop ends below 256")]
        let mut crc = byte as u8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x80 == 0 { crc << 1 } else { (crc << 1) ^ 0x07 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            tables[table][byte] = tables[0][tables[table - 1][byte] as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_is_the_known_one() {
        assert_eq!(update(0, b"123456789"), 0xf4);
        assert_eq!(TABLES[0][..8], [0x00, 0x07, 0x0e, 0x09, 0x1c, 0x1b, 0x12, 0x15]);
    }

    #[test]
    fn eight_bytes_at_once_are_eight_bytes_one_by_one() {
        let bytes: Vec<u8> = (0..100u8).map(|i| i.wrapping_mul(37)).collect();
        for end in 0..bytes.len() {
            let one_by_one = bytes[..end].iter().fold(9, |crc, byte| update_1(crc, *byte));
            assert_eq!(update(9, &bytes[..end]), one_by_one, "{end}");
        }
    }
}
