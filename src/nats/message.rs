//! What clients and workers say to each other, as bytes. Numbers are little-endian.

use bytes::Bytes;

/// The version of the protocol. It stands in each subject, so that versions never meet.
pub const VERSION: u8 = 1;
/// Bodies go in pieces of this size.
pub const PIECE: usize = 512 * 1024;
/// A task that is longer is fetched by the worker once it may start.
pub const INLINE: usize = 256 * 1024;

/// The names of subjects and of the stream.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: String,
}

impl Names {
    pub fn new(prefix: &str) -> Names {
        Names { prefix: prefix.to_owned() }
    }

    pub fn is_fit(prefix: &str) -> bool {
        !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    }

    pub fn stream(&self) -> String {
        format!("{}_{VERSION}_tasks", self.prefix)
    }

    pub fn tasks(&self) -> String {
        format!("{}.{VERSION}.task.*", self.prefix)
    }

    pub fn task(&self, partition: u32) -> String {
        format!("{}.{VERSION}.task.{partition}", self.prefix)
    }

    pub fn consumer(&self, partition: u32) -> String {
        format!("workers_{partition}")
    }

    /// What a client hears: `what` is ask, beat, piece, fetch, or `*`.
    pub fn client(&self, client: &str, what: &str) -> String {
        format!("{}.{VERSION}.client.{client}.{what}", self.prefix)
    }

    /// What a worker hears.
    pub fn worker(&self, worker: &str) -> String {
        format!("{}.{VERSION}.worker.{worker}", self.prefix)
    }
}

#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    pub fn number(mut self, number: u64) -> Writer {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub fn text(mut self, text: &str) -> Writer {
        self = self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub fn rest(mut self, bytes: &[u8]) -> Bytes {
        self.0.extend_from_slice(bytes);
        self.0.into()
    }

    pub fn end(self) -> Bytes {
        self.0.into()
    }
}

pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    pub fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

/// A task in the stream.
#[derive(Debug, PartialEq, Eq)]
pub struct TaskMessage<'a> {
    pub client: &'a str,
    pub task: u64,
    /// Of the bytes of the task.
    pub length: u64,
    /// None of them, where they are to be fetched.
    pub bytes: &'a [u8],
}

impl<'a> TaskMessage<'a> {
    pub fn encode(&self) -> Bytes {
        let head = Writer::default().text(self.client).number(self.task).number(self.length);
        head.rest(if self.bytes.len() <= INLINE { self.bytes } else { &[] })
    }

    pub fn decode(bytes: &'a [u8]) -> Option<TaskMessage<'a>> {
        let mut reader = Reader(bytes);
        let message = TaskMessage {
            client: reader.text()?,
            task: reader.number()?,
            length: reader.number()?,
            bytes: reader.0,
        };
        let is_fit = message.bytes.is_empty() || message.bytes.len() as u64 == message.length;
        let is_name = message.client.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (is_fit && is_name && !message.client.is_empty()).then_some(message)
    }
}

/// A worker asks whether it may start a task.
#[derive(Debug, PartialEq, Eq)]
pub struct Ask<'a> {
    pub task: u64,
    pub attempt: u64,
    /// Of the bytes of tasks that it reads.
    pub format: u64,
    pub worker: &'a str,
    /// Where the message is acknowledged.
    pub acknowledge: &'a str,
}

impl<'a> Ask<'a> {
    pub fn encode(&self) -> Bytes {
        let head = Writer::default().number(self.task).number(self.attempt).number(self.format);
        head.text(self.worker).text(self.acknowledge).end()
    }

    pub fn decode(bytes: &'a [u8]) -> Option<Ask<'a>> {
        let mut reader = Reader(bytes);
        Some(Ask {
            task: reader.number()?,
            attempt: reader.number()?,
            format: reader.number()?,
            worker: reader.text()?,
            acknowledge: reader.text()?,
        })
    }
}

/// What a client answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Yes,
    /// It is over, or another worker's.
    No,
    /// Ask again after so many milliseconds.
    Later(u64),
}

impl Answer {
    pub fn encode(self) -> Bytes {
        match self {
            Answer::Yes => Writer::default().number(0).end(),
            Answer::No => Writer::default().number(1).end(),
            Answer::Later(ms) => Writer::default().number(2).number(ms).end(),
        }
    }

    pub fn decode(bytes: &[u8]) -> Option<Answer> {
        let mut reader = Reader(bytes);
        match reader.number()? {
            0 => Some(Answer::Yes),
            1 => Some(Answer::No),
            2 => Some(Answer::Later(reader.number()?)),
            _ => None,
        }
    }
}

/// Some of a reply, or why there is none.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    pub task: u64,
    pub attempt: u64,
    /// Which one it is, from 0; [`Piece::ERROR`]: the bytes say in words what is wrong.
    pub number: u64,
    pub bytes: &'a [u8],
}

impl<'a> Piece<'a> {
    pub const ERROR: u64 = u64::MAX;

    pub fn encode(&self) -> Bytes {
        Writer::default().number(self.task).number(self.attempt).number(self.number).rest(self.bytes)
    }

    pub fn decode(bytes: &'a [u8]) -> Option<Piece<'a>> {
        let mut reader = Reader(bytes);
        Some(Piece {
            task: reader.number()?,
            attempt: reader.number()?,
            number: reader.number()?,
            bytes: reader.0,
        })
    }
}

/// Pairs of a task and an attempt: those that run, in a heartbeat, or that are to end, to a worker.
pub fn pairs(bytes: &[u8]) -> impl Iterator<Item = (u64, u64)> + '_ {
    let mut reader = Reader(bytes);
    std::iter::from_fn(move || Some((reader.number()?, reader.number()?)))
}

/// The partition of a URL: that of its scheme, host and port.
pub fn partition_of(url: &str, partitions: u32) -> u32 {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    let hash = url[..end].bytes().fold(14_695_981_039_346_656_037_u64, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(1_099_511_628_211)
    });
    (hash % u64::from(partitions.max(1))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_less_is_nothing() {
        let task = TaskMessage { client: "c1", task: 7, length: 3, bytes: b"abc" };
        let ask = Ask { task: 7, attempt: u64::MAX, format: 5, worker: "w", acknowledge: "$JS.ACK.x" };
        let piece = Piece { task: 7, attempt: 8, number: Piece::ERROR, bytes: b"why" };
        assert_eq!(TaskMessage::decode(&task.encode()), Some(task));
        assert_eq!(Ask::decode(&ask.encode()), Some(ask));
        assert_eq!(Piece::decode(&piece.encode()), Some(piece));
        for answer in [Answer::Yes, Answer::No, Answer::Later(250)] {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
        let whole = Ask { task: 7, attempt: 9, format: 5, worker: "w", acknowledge: "a" }.encode();
        for end in 0..whole.len() {
            assert_eq!(Ask::decode(&whole[..end]), None);
        }
        assert_eq!(Ask::decode(&[0xff; 64]), None);
        assert!(TaskMessage::decode(&TaskMessage { client: "a.*", task: 1, length: 0, bytes: b"" }.encode()).is_none());
    }

    #[test]
    fn a_long_task_is_fetched() {
        let long = vec![1; INLINE + 1];
        let bytes = TaskMessage { client: "c", task: 1, length: long.len() as u64, bytes: &long }.encode();
        let read = TaskMessage::decode(&bytes).expect("a task");
        assert_eq!((read.length, read.bytes.len()), (long.len() as u64, 0));
    }

    #[test]
    fn what_goes_to_one_host_goes_to_one_partition() {
        for partitions in [1, 3, 16] {
            let of = |url| partition_of(url, partitions);
            assert_eq!(of("http://a.example:80/x"), of("http://A.example:80/y?z"));
            assert!(of("https://b.example") < partitions);
        }
    }
}
