//! Undoing Content-Encoding while a body is read.
//!
//! Each coding is a layer between two readers with one small buffer of what is still coded; what is decoded
//! goes straight to the reader above. So a decompression bomb costs its reader's buffer and the window of
//! its coding (32 KB for gzip and deflate, 16 MB for br, 8 MB for zstd), however far it expands.
//!
//! The end of the coded data is not the end of the body: what follows is read to its end and ignored (but for br, where
//! it is an error), as the connection below is of use to the next request only then, and a body cut short is noticed
//! only then. How much a layer takes in without giving anything out is bounded: empty members, headers without end, and
//! what follows the end could otherwise keep it busy for hours, for a few bytes on the wire.

use std::io::{self, ErrorKind, Read};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use brotli_decompressor::{
    Allocator, BrotliDecompressStream, BrotliResult, BrotliState, SliceWrapper, SliceWrapperMut,
};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as Zstd, InBuffer, Operation, OutBuffer};

use crate::future::control::Control;
use crate::message::error::{DecodeError, Error};

/// The most codings that are undone on top of each other; as many as urllib3 undoes. Each one multiplies what
/// a bomb can cost in time.
const MAX_CODINGS: usize = 5;

/// RFC 9659: no zstd content coding needs a window of more than 8 MB.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How much coded data a layer holds.
const BUFFER: usize = 16 * 1024;

/// The most coded data that a layer takes in without giving anything out.
const BARREN: usize = 1024 * 1024;

/// The most that a layer gives out between two looks at the clock.
const STEP: usize = 256 * 1024;

/// A reader of what `source` is before `content_encoding` was applied: the value of the header, or several
/// joined with commas. With a coding among them that is unknown nothing is undone. What stops the request stops
/// every layer, however little comes out of it.
pub fn decoder<R: Read + Send + 'static>(
    content_encoding: &str,
    source: R,
    control: &Arc<Control>,
) -> Decoded<R> {
    let codings = codings(content_encoding).unwrap_or_default();
    if codings.is_empty() {
        return Decoded { body: Body::Identity(source), failure: None };
    }
    if codings.len() > MAX_CODINGS {
        let detail = format!(
            "its Content-Encoding names {} codings, of which {MAX_CODINGS} are the most",
            codings.len()
        );
        let failure = Some(Failure::Broken(DecodeError { coding: "coded", detail }));
        return Decoded { body: Body::Identity(source), failure };
    }
    // Named in the order in which they were applied: the last one is the outermost.
    let mut layers: Box<dyn Read + Send> = Box::new(source);
    for coding in codings.into_iter().rev() {
        layers = Box::new(Layer::new(coding, layers, control.clone()));
    }
    Decoded { body: Body::Coded(layers), failure: None }
}

/// The codings to undo, or `None` when one of them is unknown.
fn codings(content_encoding: &str) -> Option<Vec<Coding>> {
    let mut codings = Vec::new();
    for token in content_encoding.split(',').map(str::trim).filter(|token| !token.is_empty()) {
        match token.to_ascii_lowercase().as_str() {
            "identity" => {}
            "gzip" | "x-gzip" => codings.push(Coding::Gzip),
            "deflate" => codings.push(Coding::Deflate),
            "br" => codings.push(Coding::Brotli),
            "zstd" => codings.push(Coding::Zstd),
            _ => return None,
        }
    }
    Some(codings)
}

/// A body, decoded while it is read. After an error every read fails: a body that broke never seems to end.
pub struct Decoded<R> {
    body: Body<R>,
    failure: Option<Failure>,
}

enum Body<R> {
    Identity(R),
    Coded(Box<dyn Read + Send>),
}

/// What can be told again of an error that was handed out.
enum Failure {
    Broken(DecodeError),
    Source(ErrorKind, String),
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.failure {
            Some(Failure::Broken(broken)) => return Err(broken.clone().into()),
            Some(Failure::Source(kind, text)) => return Err(io::Error::new(*kind, text.as_str())),
            None => {}
        }
        let outcome = match &mut self.body {
            Body::Identity(source) => source.read(buffer),
            Body::Coded(layers) => layers.read(buffer),
        };
        if let Err(error) = &outcome {
            self.failure = match DecodeError::of(error) {
                // By its contract an interrupted read did nothing and may be tried again.
                _ if error.kind() == ErrorKind::Interrupted => None,
                Some(broken) => Some(Failure::Broken(broken.clone())),
                None => Some(Failure::Source(error.kind(), error.to_string())),
            };
        }
        outcome
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }

    fn broken(self, detail: impl Into<String>) -> io::Error {
        DecodeError { coding: self.name(), detail: detail.into() }.into()
    }

    /// The engine for the stream that begins with `coded`, at the start of the body or after `previous`;
    /// `None` when nothing that counts does. Fewer than three bytes are all there are.
    fn begin(self, coded: &[u8], previous: Option<Engine>) -> io::Result<Option<Engine>> {
        if coded.is_empty() {
            return Ok(None);
        }
        Ok(match (self, previous) {
            (Coding::Gzip, None) => Some(Engine::gzip()),
            // Other members may follow, and what does not begin like one is ignored, as by urllib3 and gzip.
            (Coding::Gzip, Some(_)) => match coded {
                [0x1F, 0x8B, 8, ..] => Some(Engine::gzip()),
                [0x1F, 0x8B] => return Err(self.broken("the last member is cut short")),
                _ => None,
            },
            // Meant to have zlib's header; some servers send it without.
            (Coding::Deflate, None) => Some(Engine::Inflate(Decompress::new(has_zlib_header(coded)))),
            (Coding::Brotli, None) => Some(Engine::brotli()),
            (Coding::Deflate, Some(_)) => None,
            // As curl and urllib3 have it.
            (Coding::Brotli, Some(_)) => return Err(self.broken("there is more behind its end")),
            (Coding::Zstd, None) => Some(Engine::zstd().map_err(|error| self.broken(error.to_string()))?),
            // Frames follow each other, in the same memory; anything else is an error, as in urllib3.
            (Coding::Zstd, Some(engine)) => Some(engine),
        })
    }
}

fn has_zlib_header(coded: &[u8]) -> bool {
    match coded {
        // Method 8, a window of up to 32 KB, and a check that makes both bytes a multiple of 31.
        [method, flags, ..] => {
            method & 0x0F == 8 && method >> 4 <= 7 && u16::from_be_bytes([*method, *flags]) % 31 == 0
        }
        _ => false,
    }
}

enum Engine {
    Inflate(Decompress),
    Brotli(Box<BrotliState<Fallible, Fallible, Fallible>>),
    Zstd(Zstd<'static>),
}

/// Why an engine cannot go on.
enum Trouble {
    Broken(String),
    OutOfMemory,
}

/// Memory for brotli, whose window the other side chooses. The decoder knows of no failure to get it: that unwinds out
/// of it, and the decoder is not used again.
struct Fallible;

struct Memory<T>(Vec<T>);

struct NoMemory;

impl<T: Clone + Default> Allocator<T> for Fallible {
    type AllocatedMemory = Memory<T>;

    fn alloc_cell(&mut self, length: usize) -> Memory<T> {
        let mut memory = Vec::new();
        if memory.try_reserve_exact(length).is_err() {
            panic::resume_unwind(Box::new(NoMemory));
        }
        memory.resize(length, T::default());
        Memory(memory)
    }

    fn free_cell(&mut self, _: Memory<T>) {}
}

impl<T> Default for Memory<T> {
    fn default() -> Memory<T> {
        Memory(Vec::new())
    }
}

impl<T> SliceWrapper<T> for Memory<T> {
    fn slice(&self) -> &[T] {
        &self.0
    }
}

impl<T> SliceWrapperMut<T> for Memory<T> {
    fn slice_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

/// What one step of an engine did.
struct Step {
    consumed: usize,
    produced: usize,
    /// Whether the stream (of gzip: the member, of zstd: the frame) is complete.
    complete: bool,
}

impl Engine {
    fn gzip() -> Engine {
        Engine::Inflate(Decompress::new_gzip(15))
    }

    fn brotli() -> Engine {
        // Strict: without "large windows", which are no part of `br` and take up to 1 GB.
        Engine::Brotli(Box::new(BrotliState::new_strict(Fallible, Fallible, Fallible)))
    }

    fn zstd() -> io::Result<Engine> {
        let mut engine = Zstd::new()?;
        engine.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
        Ok(Engine::Zstd(engine))
    }

    /// Decodes from `coded` into `out` as much as goes; the error says what is wrong.
    fn step(&mut self, coded: &[u8], out: &mut [u8]) -> Result<Step, Trouble> {
        match self {
            Engine::Inflate(inflate) => {
                let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
                let status = inflate
                    .decompress(coded, out, FlushDecompress::None)
                    .map_err(|error| error.message().map_or_else(|| error.to_string(), str::to_owned))
                    .map_err(Trouble::Broken)?;
                Ok(Step {
                    consumed: (inflate.total_in() - before_in) as usize,
                    produced: (inflate.total_out() - before_out) as usize,
                    complete: status == Status::StreamEnd,
                })
            }
            Engine::Brotli(state) => {
                let (mut available_in, mut consumed) = (coded.len(), 0);
                let (mut available_out, mut produced, mut total) = (out.len(), 0, 0);
                let mut decompress = || {
                    BrotliDecompressStream(
                        &mut available_in,
                        &mut consumed,
                        coded,
                        &mut available_out,
                        &mut produced,
                        out,
                        &mut total,
                        state,
                    )
                };
                let result =
                    panic::catch_unwind(AssertUnwindSafe(&mut decompress)).map_err(
                        |payload| match payload.is::<NoMemory>() {
                            true => Trouble::OutOfMemory,
                            false => panic::resume_unwind(payload),
                        },
                    )?;
                match result {
                    BrotliResult::ResultFailure => Err(Trouble::Broken("the data is malformed".into())),
                    _ => Ok(Step {
                        consumed,
                        produced,
                        complete: matches!(result, BrotliResult::ResultSuccess),
                    }),
                }
            }
            Engine::Zstd(engine) => {
                let (mut input, mut output) = (InBuffer::around(coded), OutBuffer::around(out));
                let missing = engine.run(&mut input, &mut output).map_err(|error| {
                    let text = error.to_string();
                    // The crate's errors are words.
                    if text.contains("Allocation error") {
                        Trouble::OutOfMemory
                    } else {
                        Trouble::Broken(text)
                    }
                })?;
                Ok(Step { consumed: input.pos(), produced: output.pos(), complete: missing == 0 })
            }
        }
    }
}

/// One coding over the reader of what it was applied to.
struct Layer<S> {
    coding: Coding,
    source: S,
    buffer: Box<[u8]>,
    /// The part of `buffer` that is read and not decoded yet.
    start: usize,
    end: usize,
    /// Whether the source has ended.
    ended: bool,
    phase: Phase,
    control: Arc<Control>,
    /// How much was taken in since something was given out.
    barren: usize,
}

enum Phase {
    /// Where a stream may begin: at the start, or after the stream of this engine.
    Between(Option<Engine>),
    /// Inside a stream. `full` after a step that filled its output, as there may be more without reading on.
    Inside { engine: Engine, full: bool },
    /// After the last stream.
    After,
}

impl<S: Read> Layer<S> {
    fn new(coding: Coding, source: S, control: Arc<Control>) -> Layer<S> {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        let phase = Phase::Between(None);
        Layer { coding, source, buffer, start: 0, end: 0, ended: false, phase, control, barren: 0 }
    }

    /// Takes so much of the buffer.
    fn take(&mut self, count: usize) -> io::Result<()> {
        self.start += count;
        self.barren += count;
        if self.barren > BARREN {
            return Err(self.coding.broken(format!("{BARREN} bytes in a row decode to nothing")));
        }
        Ok(())
    }

    /// Reads more behind what is left in the buffer, of which there is little whenever this is called.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let length = self.source.read(&mut self.buffer[self.end..])?;
        self.end += length;
        self.ended = length == 0;
        Ok(())
    }
}

impl<S: Read> Read for Layer<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let most = out.len().min(STEP);
        let out = &mut out[..most];
        loop {
            Error::check(&self.control, " while decoding the body").map_err(Error::into_io)?;
            match &mut self.phase {
                Phase::Between(previous) => {
                    let coded = &self.buffer[self.start..self.end];
                    // Enough to tell what begins here.
                    if coded.len() < 3 && !self.ended {
                        self.fill()?;
                        continue;
                    }
                    self.phase = match self.coding.begin(coded, previous.take())? {
                        Some(engine) => Phase::Inside { engine, full: false },
                        None => Phase::After,
                    };
                }
                Phase::Inside { engine, full } => {
                    if self.start == self.end && !self.ended && !*full {
                        self.fill()?;
                        continue;
                    }
                    let coded = &self.buffer[self.start..self.end];
                    let step = engine.step(coded, out).map_err(|trouble| match trouble {
                        Trouble::Broken(detail) => self.coding.broken(detail),
                        Trouble::OutOfMemory => {
                            let what = format_args!("the window of a {} body", self.coding.name());
                            Error::out_of_memory(what).into_io()
                        }
                    })?;
                    // Without progress there is no more until more is read, and at the end no more at all.
                    let stuck = step.consumed == 0 && step.produced == 0 && !step.complete;
                    if stuck && (self.ended || !coded.is_empty()) {
                        return Err(self.coding.broken("the data is cut short"));
                    }
                    *full = step.produced == out.len();
                    self.take(step.consumed)?;
                    if step.complete {
                        let ended = std::mem::replace(&mut self.phase, Phase::After);
                        if let Phase::Inside { engine, .. } = ended {
                            self.phase = Phase::Between(Some(engine));
                        }
                    }
                    if step.produced > 0 {
                        self.barren = 0;
                        return Ok(step.produced);
                    }
                }
                Phase::After => {
                    self.take(self.end - self.start)?;
                    if self.ended {
                        return Ok(0);
                    }
                    self.fill()?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::fmt;
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use flate2::Compression;

    use super::*;

    fn decoder<R: Read + Send + 'static>(content_encoding: &str, source: R) -> Decoded<R> {
        super::decoder(content_encoding, source, &Arc::default())
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn br(bytes: &[u8]) -> Vec<u8> {
        let mut coded = Vec::new();
        brotli::CompressorWriter::new(&mut coded, 4096, 5, 22).write_all(bytes).unwrap();
        coded
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(bytes, 3).unwrap()
    }

    /// Every coding in every shape.
    type Encoder = fn(&[u8]) -> Vec<u8>;
    const ENCODERS: [(&str, Encoder); 6] = [
        ("gzip", gzip),
        ("X-GZip", gzip),
        ("deflate", zlib),
        ("deflate", raw_deflate),
        ("br", br),
        ("zstd", zstd),
    ];

    /// Bytes that compress, though not to nothing.
    fn body(length: usize) -> Vec<u8> {
        let mut state = 7_u32;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b"aaaaaaabbcdefgh "[(state >> 28) as usize]
        };
        (0..length).map(next).collect()
    }

    fn decoded(content_encoding: &str, coded: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decoder(content_encoding, io::Cursor::new(coded.to_vec())).read_to_end(&mut out)?;
        Ok(out)
    }

    /// A source that gives prepared pieces, errors among them, and counts what it gave.
    struct Pieces {
        pieces: VecDeque<io::Result<Vec<u8>>>,
        given: Arc<AtomicUsize>,
        /// How often its end was seen.
        ends: Arc<AtomicUsize>,
    }

    impl Pieces {
        fn new(pieces: impl IntoIterator<Item = io::Result<Vec<u8>>>) -> Pieces {
            let pieces =
                pieces.into_iter().filter(|piece| !matches!(piece, Ok(bytes) if bytes.is_empty())).collect();
            Pieces { pieces, given: Arc::default(), ends: Arc::default() }
        }

        fn bytewise(bytes: &[u8]) -> Pieces {
            Pieces::new(bytes.iter().map(|byte| Ok(vec![*byte])))
        }
    }

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(piece) = self.pieces.pop_front() else {
                self.ends.fetch_add(1, Ordering::Relaxed);
                return Ok(0);
            };
            let mut piece = piece?;
            let length = piece.len().min(buffer.len());
            buffer[..length].copy_from_slice(&piece[..length]);
            self.given.fetch_add(length, Ordering::Relaxed);
            if length < piece.len() {
                self.pieces.push_front(Ok(piece.split_off(length)));
            }
            Ok(length)
        }
    }

    fn assert_broken(outcome: io::Result<Vec<u8>>, coding: &str, what: &str) {
        let error = outcome.expect_err(what);
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{what}");
        assert_eq!(DecodeError::of(&error).unwrap().coding, coding, "{what}");
        assert!(error.to_string().starts_with(&format!("{coding}: ")), "{error}");
    }

    #[test]
    fn every_coding_is_undone() {
        for length in [0, 1, 100, 20_000, 1_000_000] {
            let body = body(length);
            for (name, encode) in ENCODERS {
                assert!(decoded(name, &encode(&body)).unwrap() == body, "{name} {length}");
            }
        }
    }

    #[test]
    fn the_sizes_of_reads_make_no_difference() {
        let body = body(3_000);
        for (name, encode) in ENCODERS {
            let coded = encode(&body);
            for size in [1, 2, 3, 64, 2_999, 3_000, 3_001] {
                for source in [Pieces::bytewise(&coded), Pieces::new([Ok(coded.clone())])] {
                    let mut reader = decoder(name, source);
                    let (mut out, mut buffer) = (Vec::new(), vec![0; size]);
                    loop {
                        match reader.read(&mut buffer).unwrap() {
                            0 => break,
                            length => out.extend_from_slice(&buffer[..length]),
                        }
                    }
                    assert!(out == body, "{name} by {size}");
                    assert_eq!(reader.read(&mut buffer).unwrap(), 0);
                }
            }
        }
    }

    #[test]
    fn what_has_arrived_is_delivered_before_more_is_read() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"first").unwrap();
        encoder.flush().unwrap();
        let failing = io::Error::other("asked for more");
        let mut reader = decoder("gzip", Pieces::new([Ok(encoder.get_ref().clone()), Err(failing)]));
        let mut buffer = [0; 100];
        assert_eq!(reader.read(&mut buffer).unwrap(), 5);
        // A buffer that is full may not be all there is: this must not be asked of the source.
        let mut reader =
            decoder("gzip", Pieces::new([Ok(encoder.get_ref().clone()), Err(io::Error::other("more"))]));
        assert_eq!(reader.read(&mut buffer[..2]).unwrap(), 2);
        assert_eq!(reader.read(&mut buffer).unwrap(), 3);
    }

    #[test]
    fn chains_are_undone_from_right_to_left() {
        let body = body(50_000);
        assert!(decoded("gzip, br", &br(&gzip(&body))).unwrap() == body);
        assert!(decoded("deflate,identity , ZSTD,,gzip", &gzip(&zstd(&zlib(&body)))).unwrap() == body);
        assert!(
            decoded("gzip, gzip, gzip, gzip, br", &br(&gzip(&gzip(&gzip(&gzip(&body)))))).unwrap() == body
        );
        assert!(decoded("gzip, br", &gzip(&br(&body))).is_err());
    }

    #[test]
    fn a_chain_that_is_too_long_is_an_error() {
        assert_broken(decoded(&["gzip"; 6].join(","), b""), "coded", "six codings");
    }

    #[test]
    fn an_unknown_coding_leaves_the_body_as_it_is() {
        let coded = gzip(b"x");
        for name in [
            "",
            "identity",
            "Identity, identity",
            "compress",
            "gzip, compress",
            "snappy, gzip",
            ",",
            "gzip;q=1",
        ] {
            assert_eq!(decoded(name, &coded).unwrap(), coded, "{name}");
        }
    }

    #[test]
    fn an_empty_body_is_empty_whatever_its_coding() {
        for name in ["gzip", "deflate", "br", "zstd", "gzip, br, zstd"] {
            assert_eq!(decoded(name, b"").unwrap(), b"", "{name}");
        }
    }

    #[test]
    fn members_of_gzip_and_frames_of_zstd_follow_each_other() {
        for (name, encode) in [("gzip", gzip as Encoder), ("zstd", zstd)] {
            let coded = [encode(b"one "), encode(b""), encode(b"two "), encode(b"three")].concat();
            assert_eq!(decoded(name, &coded).unwrap(), b"one two three");
            let mut out = String::new();
            decoder(name, Pieces::bytewise(&coded)).read_to_string(&mut out).unwrap();
            assert_eq!(out, "one two three");
            let cut = &coded[..coded.len() - 1];
            assert_broken(decoded(name, cut), name, "a cut last member");
        }
        let skippable = [0x50, 0x2A, 0x4D, 0x18, 2, 0, 0, 0, 9, 9];
        let coded = [&skippable, &zstd(b"one")[..], &skippable, &zstd(b"two")].concat();
        assert_eq!(decoded("zstd", &coded).unwrap(), b"onetwo");
    }

    #[test]
    fn garbage_after_the_end_is_ignored() {
        for (name, encode) in ENCODERS.into_iter().filter(|(name, _)| !matches!(*name, "zstd" | "br")) {
            for garbage in [&b"\0"[..], b"\x1F", b"\0\0\0\0", b"garbage", b"\x1F\x8Bx", &[7; 100_000]] {
                let coded = [&encode(b"body"), garbage].concat();
                assert_eq!(decoded(name, &coded).unwrap(), b"body", "{name}");
                let mut out = Vec::new();
                decoder(name, Pieces::bytewise(&coded[..coded.len().min(100)]))
                    .read_to_end(&mut out)
                    .unwrap();
                assert_eq!(out, b"body", "{name}");
            }
        }
        assert_broken(decoded("zstd", &[&zstd(b"body"), &b"garbage"[..]].concat()), "zstd", "garbage");
        for behind in [&b"garbage"[..], &br(b"second")] {
            assert_broken(decoded("br", &[&br(b"body")[..], behind].concat()), "br", "more behind its end");
        }
        assert_broken(decoded("gzip", &[&gzip(b"body"), &b"\x1F\x8B"[..]].concat()), "gzip", "half a magic");
    }

    #[test]
    fn the_source_is_read_to_its_end() {
        for (name, encode) in ENCODERS {
            let garbage = if matches!(name, "zstd" | "br") { vec![] } else { vec![7; 40_000] };
            let behind = [&encode(b"body")[..], &garbage].concat();
            for (name, coded) in [(name.to_owned(), behind.clone()), (format!("{name}, gzip"), gzip(&behind))]
            {
                let source = Pieces::new([Ok(coded), Ok(garbage.clone())]);
                let ends = source.ends.clone();
                let mut out = Vec::new();
                decoder(&name, source).read_to_end(&mut out).unwrap();
                assert_eq!((out.as_slice(), ends.load(Ordering::Relaxed)), (&b"body"[..], 1), "{name}");
            }
        }
    }

    #[test]
    fn an_error_behind_the_coded_data_is_an_error_of_the_body() {
        let source = Pieces::new([Ok(gzip(b"body")), Err(io::Error::other("cut short"))]);
        let mut out = Vec::new();
        let error = decoder("gzip", source).read_to_end(&mut out).unwrap_err();
        assert_eq!((out.as_slice(), error.to_string().as_str()), (&b"body"[..], "cut short"));
    }

    #[test]
    fn a_cut_body_is_broken_wherever_it_is_cut() {
        let body = body(2_000);
        for (name, encode) in ENCODERS {
            let coded = encode(&body);
            for length in 1..coded.len() {
                let coding = codings(name).unwrap()[0].name();
                assert_broken(decoded(name, &coded[..length]), coding, &format!("{name} cut at {length}"));
            }
        }
    }

    #[test]
    fn corrupt_bodies_are_broken() {
        for name in ["gzip", "deflate", "br", "zstd"] {
            assert_broken(decoded(name, b"<html>not coded at all</html>"), name, name);
        }
        for encode in [gzip as Encoder, zlib] {
            // The checksum.
            let mut coded = encode(b"some text");
            let at = coded.len() - 5;
            coded[at] ^= 1;
            let name = if coded[0] == 0x1F { "gzip" } else { "deflate" };
            assert_broken(decoded(name, &coded), name, "checksum");
        }
        // What is wrong is said by the layer where it is wrong.
        assert_broken(decoded("br, gzip", &gzip(b"not br")), "br", "inner");
        assert_broken(decoded("br, gzip", b"not gzip"), "gzip", "outer");
    }

    /// How much is delivered before the fault is up to the pieces: br loses what it has in its window.
    #[test]
    fn a_fault_is_found_in_whichever_pieces_it_arrives() {
        let body = body(60_000);
        let flip = |mut coded: Vec<u8>, from_end: usize| {
            let at = coded.len() - from_end;
            coded[at] ^= 1;
            coded
        };
        let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
        encoder.write_all(&body).unwrap();
        encoder.flush().unwrap();
        // A reserved bit is set.
        let malformed_br = [encoder.get_ref(), &[0x0E][..]].concat();
        for (name, coded) in [
            // The checksums.
            ("gzip", flip(gzip(&body), 5)),
            ("deflate", flip(zlib(&body), 1)),
            ("br", malformed_br),
            ("zstd", [&zstd(&body), &b"garbage"[..]].concat()),
        ] {
            for size in [1, 100, 8 * 1024, 100_000] {
                for source in [Pieces::bytewise(&coded), Pieces::new([Ok(coded.clone())])] {
                    let mut reader = decoder(name, source);
                    let (mut out, mut buffer) = (Vec::new(), vec![0; size]);
                    let outcome = loop {
                        match reader.read(&mut buffer) {
                            Ok(0) => break Ok(out.clone()),
                            Ok(length) => out.extend_from_slice(&buffer[..length]),
                            Err(error) => break Err(error),
                        }
                    };
                    assert_broken(outcome, name, &format!("{name} by {size}"));
                    assert!(body.starts_with(&out), "{name} by {size}");
                }
            }
        }
    }

    #[test]
    fn an_error_of_the_source_passes_through_untouched() {
        #[derive(Debug)]
        struct Own(u32);
        impl fmt::Display for Own {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "own {}", self.0)
            }
        }
        impl std::error::Error for Own {}
        for name in ["identity", "gzip", "deflate", "br", "zstd", "zstd, gzip"] {
            for coded in [vec![], zstd(&body(100))[..20].to_vec()] {
                let coded = if name.ends_with("zstd") { coded } else { vec![] };
                let source = Pieces::new([Ok(coded), Err(io::Error::new(ErrorKind::TimedOut, Own(42)))]);
                let error = decoder(name, source).read_to_end(&mut Vec::new()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{name}");
                assert_eq!(error.get_ref().unwrap().downcast_ref::<Own>().unwrap().0, 42, "{name}");
                assert!(DecodeError::of(&error).is_none());
            }
            let source = Pieces::new([Err(io::Error::from_raw_os_error(104))]);
            let error = decoder(name, source).read(&mut [0; 9]).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(104), "{name}");
        }
    }

    #[test]
    fn after_an_error_every_read_is_an_error() {
        let mut broken = decoder("gzip", io::Cursor::new(b"not gzip".to_vec()));
        let mut cut = decoder("gzip", io::Cursor::new(gzip(b"x")[..10].to_vec()));
        for _ in 0..3 {
            for reader in [&mut broken, &mut cut] {
                let error = reader.read(&mut [0; 9]).unwrap_err();
                assert_eq!(DecodeError::of(&error).unwrap().coding, "gzip");
                assert!(reader.read(&mut []).is_err());
            }
        }
        for name in ["", "gzip"] {
            let mut reader = decoder(name, Pieces::new([Err(io::Error::new(ErrorKind::TimedOut, "late"))]));
            for _ in 0..3 {
                let error = reader.read(&mut [0; 9]).unwrap_err();
                assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::TimedOut, "late"));
            }
        }
    }

    #[test]
    fn an_interrupted_read_may_be_tried_again() {
        let coded = gzip(b"body");
        let (first, rest) = coded.split_at(11);
        let interrupted = || Err(io::Error::from(ErrorKind::Interrupted));
        let pieces = [interrupted(), Ok(first.to_vec()), interrupted(), Ok(rest.to_vec()), interrupted()];
        let mut out = Vec::new();
        decoder("gzip", Pieces::new(pieces)).read_to_end(&mut out).unwrap();
        assert_eq!(out, b"body");
    }

    #[test]
    fn a_bomb_costs_the_buffer_of_its_reader() {
        let zeros = vec![0; 64 << 20];
        for (name, coded) in [
            ("gzip", gzip(&zeros)),
            ("deflate", raw_deflate(&zeros)),
            ("br", br(&zeros)),
            ("zstd", zstd(&zeros)),
            ("gzip, gzip", gzip(&gzip(&zeros))),
        ] {
            let tail = vec![7; 1 << 20];
            let source = Pieces::new([Ok(coded), Ok(tail)]);
            let given = source.given.clone();
            let mut reader = decoder(name, source);
            let mut buffer = [1; 1000];
            for _ in 0..10 {
                reader.read_exact(&mut buffer).unwrap();
                assert_eq!(buffer, [0; 1000]);
            }
            assert!(given.load(Ordering::Relaxed) <= BUFFER, "{name}");
        }
    }

    #[test]
    fn what_nothing_comes_of_ends_soon() {
        let empty = gzip(b"").repeat(100_000);
        let nested = |layers: usize| (0..layers).fold(empty.clone(), |coded, _| gzip(&coded));
        for layers in 0..4 {
            let name = vec!["gzip"; layers + 1].join(", ");
            assert_broken(decoded(&name, &nested(layers)), "gzip", "empty members");
        }
        let behind = [&gzip(b"body")[..], &vec![7; 2 * BARREN]].concat();
        assert_broken(decoded("gzip, gzip", &gzip(&behind)), "gzip", "garbage without end");
    }

    #[test]
    fn a_deadline_and_an_abort_end_every_layer() {
        let zeros = gzip(&gzip(&vec![0; 64 << 20]));
        for stopped in [true, false] {
            let control = Arc::new(Control::new());
            let mut reader =
                super::super::decode::decoder("gzip, gzip", io::Cursor::new(zeros.clone()), &control);
            let mut piece = [0; 100];
            assert_eq!(reader.read(&mut piece).unwrap(), 100);
            if stopped {
                control.abort()
            } else {
                let (at, after) = (std::time::Instant::now(), std::time::Duration::ZERO);
                control.set_deadline(crate::future::control::Deadline { at, after })
            }
            let error = Error::from_io(reader.read(&mut piece).unwrap_err()).unwrap();
            let expected = if stopped {
                crate::message::error::ErrorKind::Aborted
            } else {
                crate::message::error::ErrorKind::Timeout
            };
            assert_eq!(error.kind(), expected);
        }
    }

    #[test]
    fn a_window_that_there_is_no_memory_for_ends_the_decoder() {
        let payload = panic::catch_unwind(|| Allocator::<u8>::alloc_cell(&mut Fallible, usize::MAX / 2));
        assert!(payload.is_err_and(|payload| payload.is::<NoMemory>()));
    }

    #[test]
    fn a_window_of_zstd_over_8_mb_is_refused() {
        let frame = |window_log: u32| {
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(window_log).unwrap();
            encoder.write_all(b"small, but who knows").unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(decoded("zstd", &frame(23)).unwrap(), b"small, but who knows");
        assert_broken(decoded("zstd", &frame(24)), "zstd", "window");
    }

    #[test]
    fn large_windows_of_br_are_refused() {
        let coded = |large_window: bool, lgwin: i32| {
            let parameters = brotli::enc::BrotliEncoderParams { large_window, lgwin, ..Default::default() };
            let mut coded = Vec::new();
            brotli::CompressorWriter::with_params(&mut coded, 4096, &parameters).write_all(b"small").unwrap();
            coded
        };
        assert_eq!(decoded("br", &coded(false, 24)).unwrap(), b"small");
        assert_broken(decoded("br", &coded(true, 30)), "br", "large window");
    }

    #[test]
    fn nothing_is_boxed_when_there_is_nothing_to_decode() {
        assert!(matches!(decoder("identity", io::empty()).body, Body::Identity(_)));
        fn is_send<T: Send>(_: &T) {}
        is_send(&decoder("br", io::empty()));
    }
}
