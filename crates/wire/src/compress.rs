//! The protocol's one compression. Its name is `deflate`, but it is the zlib container (RFC 1950).

use std::io::{Read, Write};

use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

/// Why a compressed body could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum InflateError {
    /// It would come out larger than it may.
    #[error("body inflates to more than {bytes_max} bytes")]
    TooLarge {
        /// The bound that it passed.
        bytes_max: usize,
    },
    /// It is not a zlib stream, or one that was cut off.
    #[error("read zlib stream")]
    Broken(#[source] std::io::Error),
}

/// Compresses a body.
pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(bytes.len() / 2), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a vector takes every write")
}

/// Takes a compressed body apart, but never to more than `bytes_max` bytes, so that a small body cannot fill
/// the memory.
///
/// # Errors
/// The body is broken or comes out too large.
pub fn inflate(bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, InflateError> {
    let mut out = Vec::with_capacity(bytes.len().saturating_mul(2).min(bytes_max));
    let bound = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    ZlibDecoder::new(bytes).take(bound).read_to_end(&mut out).map_err(InflateError::Broken)?;
    if out.len() > bytes_max {
        return Err(InflateError::TooLarge { bytes_max });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_comes_back_as_it_was() {
        for body in [&b""[..], b"x", &[7; 100_000]] {
            let deflated = deflate(body);
            assert_eq!(deflated[0], 0x78, "the zlib container begins with its header");
            assert_eq!(inflate(&deflated, body.len()).unwrap(), body);
        }
    }

    #[test]
    fn a_small_body_cannot_inflate_past_the_bound() {
        let bomb = deflate(&vec![0; 1 << 20]);
        assert!(bomb.len() < 1 << 15);
        assert!(matches!(inflate(&bomb, (1 << 20) - 1), Err(InflateError::TooLarge { .. })));
    }

    #[test]
    fn a_body_that_is_cut_off_is_refused() {
        let deflated = deflate(b"some text that is long enough");
        for end in 0..deflated.len() {
            assert!(inflate(&deflated[..end], 1000).is_err(), "{end}");
        }
    }
}
