//! Bodies of answers: at once, generated while they are sent, or paced by a task.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;

type Pieces = Box<dyn Iterator<Item = Bytes> + Send>;

pub enum Body {
    Full(Bytes),
    Pieces { pieces: Pieces, left: Option<u64>, breaks: bool },
    Paced { pieces: mpsc::Receiver<Bytes>, left: Option<u64> },
}

impl Body {
    pub fn empty() -> Body {
        Body::Full(Bytes::new())
    }

    /// With a length the answer gets a Content-Length, without one it is chunked.
    pub fn pieces(length: Option<u64>, pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Body {
        Body::Pieces { pieces: Box::new(pieces), left: length, breaks: false }
    }

    /// The sender's other end; the body ends when it is dropped.
    pub fn paced(length: Option<u64>) -> (mpsc::Sender<Bytes>, Body) {
        let (sender, pieces) = mpsc::channel(1);
        (sender, Body::Paced { pieces, left: length })
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Body {
        Body::Full(bytes.into())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let (piece, left) = match self.get_mut() {
            Body::Full(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Body::Full(bytes) => (Some(std::mem::take(bytes)), &mut None),
            Body::Pieces { pieces, left, breaks } => {
                let piece = pieces.next();
                if piece.is_none() && left.is_some_and(|left| left > 0) && !*breaks {
                    // What there was is sent before the connection breaks off.
                    *breaks = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                (piece, left)
            }
            Body::Paced { pieces, left } => match pieces.poll_recv(context) {
                Poll::Ready(piece) => (piece, left),
                Poll::Pending => return Poll::Pending,
            },
        };
        if let (Some(piece), Some(left)) = (&piece, left.as_mut()) {
            *left = left.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Full(bytes) => bytes.is_empty(),
            Body::Pieces { left, .. } | Body::Paced { left, .. } => *left == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Pieces { left: Some(left), .. } | Body::Paced { left: Some(left), .. } => {
                SizeHint::with_exact(*left)
            }
            _ => SizeHint::default(),
        }
    }
}

/// The most that is read into memory of one request.
pub const MAX_BODY: usize = 256 << 20;

pub enum ReadError {
    TooLarge,
    Broken(hyper::Error),
}

pub async fn read_all(mut body: Incoming) -> Result<Bytes, ReadError> {
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(ReadError::Broken)?.into_data() else { continue };
        if all.is_empty() && first.is_empty() {
            // Most bodies come in one piece, which needs no copy.
            first = data;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        if all.len() + data.len() > MAX_BODY {
            return Err(ReadError::TooLarge);
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { Bytes::from(all) })
}

/// Bytes anyone can compute: word k is splitmix64's output number k for the seed, little-endian.
pub struct Generated {
    state: u64,
    left: u64,
    piece: usize,
}

/// Of splitmix64's state from one word to the next.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Generated {
    /// `piece` is rounded up to whole words.
    pub fn new(seed: u64, length: u64, piece: usize) -> Generated {
        Generated { state: seed, left: length, piece: piece.max(1).next_multiple_of(8) }
    }

    /// The bytes from `first` up to `end`.
    pub fn part(seed: u64, first: u64, end: u64, piece: usize) -> impl Iterator<Item = Bytes> + Send {
        let (word, skipped) = (first / 8, (first % 8) as usize);
        let state = seed.wrapping_add(word.wrapping_mul(STEP));
        let pieces = Generated { state, ..Generated::new(seed, end - word * 8, piece) };
        pieces.enumerate().map(move |(at, bytes)| if at == 0 { bytes.slice(skipped..) } else { bytes })
    }

    pub fn all(seed: u64, length: usize) -> Bytes {
        Generated::new(seed, length as u64, length).next().unwrap_or_default()
    }
}

impl Iterator for Generated {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.left == 0 {
            return None;
        }
        let size = self.left.min(self.piece as u64) as usize;
        let mut out = Vec::with_capacity(size.next_multiple_of(8));
        while out.len() < size {
            self.state = self.state.wrapping_add(STEP);
            let mut word = self.state;
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            out.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
        }
        out.truncate(size);
        self.left -= size as u64;
        Some(Bytes::from(out))
    }
}

/// Cuts bytes that are at hand into pieces.
pub fn cut(bytes: Bytes, piece: usize) -> impl Iterator<Item = Bytes> + Send {
    let piece = piece.max(1);
    (0..bytes.len()).step_by(piece).map(move |at| bytes.slice(at..bytes.len().min(at + piece)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_bytes_do_not_depend_on_the_pieces() {
        let all = Generated::all(7, 1001);
        let joined: Vec<u8> = Generated::new(7, 1001, 16).flatten().collect();
        assert_eq!(all, joined);
        for first in [0, 1, 8, 500, 1000] {
            let part: Vec<u8> = Generated::part(7, first, 1001, 16).flatten().collect();
            assert_eq!(all[first as usize..], part);
        }
        assert_eq!(Generated::all(0, 8)[..], 0xE220_A839_7B1D_CDAF_u64.to_le_bytes());
    }

    #[test]
    fn cutting() {
        let pieces: Vec<_> = cut(Bytes::from_static(b"abcde"), 2).collect();
        assert_eq!(pieces, ["ab", "cd", "e"]);
    }
}
