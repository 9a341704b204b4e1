//! What clients and workers say to each other, as bytes, and under which subjects. Numbers are little-endian.

use std::ops::RangeInclusive;

use bytes::Bytes;

/// The version of the protocol. It stands in each subject, so that versions never meet.
pub const VERSION: u32 = 1;
/// Bodies go in pieces of this size.
pub const PIECE: usize = 512 * 1024;
/// A task that is longer is fetched by the worker once it may start.
pub const INLINE: usize = 256 * 1024;

/// How many partitions there may be, and how long a lease.
pub const PARTITIONS: RangeInclusive<u32> = 1..=1000;
pub const LEASES_MS: RangeInclusive<u64> = 100..=3_600_000;

/// The names of subjects and of the stream.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: String,
}

impl Names {
    pub fn new(prefix: &str) -> Names {
        Names { prefix: prefix.to_owned() }
    }

    /// Whether it can be one word of a subject.
    pub fn is_fit(word: &str) -> bool {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        !word.is_empty() && word.bytes().all(is_fit)
    }

    /// The same for all versions, so that each finds the other.
    pub fn stream(&self) -> String {
        format!("{}_tasks", self.prefix)
    }

    pub fn tasks(&self) -> String {
        format!("{}.{VERSION}.task.>", self.prefix)
    }

    pub fn task(&self, partition: u32, client: &Address) -> String {
        format!("{}.{VERSION}.task.{partition}.{client}", self.prefix)
    }

    pub fn tasks_of_partition(&self, partition: u32) -> String {
        format!("{}.{VERSION}.task.{partition}.>", self.prefix)
    }

    pub fn tasks_of_client(&self, client: &Address) -> String {
        format!("{}.{VERSION}.task.*.{client}", self.prefix)
    }

    /// Whose task it is, by its subject. A server's permissions can see to that; what stands in a message says nothing.
    pub fn client_of(&self, subject: &str) -> Option<Address> {
        let rest = subject.strip_prefix(&format!("{}.{VERSION}.task.", self.prefix))?;
        let mut words = rest.split('.');
        let (_, name, id, None) = (words.next()?, words.next()?, words.next()?, words.next()) else {
            return None;
        };
        Address::new(name, id)
    }

    pub fn consumer(&self, partition: u32) -> String {
        format!("workers_{partition}")
    }

    /// What a client hears: `what` is ask, beat, piece, fetch, or `*`.
    pub fn client(&self, client: &Address, what: &str) -> String {
        format!("{}.{VERSION}.client.{client}.{what}", self.prefix)
    }

    /// Where a client's own questions are answered.
    pub fn client_inbox(&self, client: &Address) -> String {
        self.client(client, "inbox")
    }

    /// What a worker hears.
    pub fn worker(&self, worker: &str) -> String {
        format!("{}.{VERSION}.worker.{worker}", self.prefix)
    }

    /// Where a worker's questions are answered, and its tasks delivered.
    pub fn worker_inbox(&self, worker: &str) -> String {
        format!("{}.{VERSION}.inbox.{worker}", self.prefix)
    }

    /// Where workers tell each other that they are there.
    pub fn member(&self) -> String {
        format!("{}.{VERSION}.member", self.prefix)
    }
}

/// A client: the name that its user has given, and one that nobody else has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    name: String,
    id: String,
}

impl Address {
    pub fn new(name: &str, id: &str) -> Option<Address> {
        let is_fit = Names::is_fit(name) && Names::is_fit(id);
        is_fit.then(|| Address { name: name.to_owned(), id: id.to_owned() })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{}.{}", self.name, self.id)
    }
}

/// What all that use a stream have in common. It stands in the stream's description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    pub version: u32,
    pub partitions: u32,
    pub lease_ms: u64,
}

impl Agreement {
    pub fn describe(&self) -> String {
        let Agreement { version, partitions, lease_ms } = self;
        format!("requests-futures: protocol {version}, partitions {partitions}, lease {lease_ms} ms")
    }

    pub fn read(description: &str) -> Option<Agreement> {
        let words = description.strip_prefix("requests-futures: ")?;
        let number = |name: &str| -> Option<u64> {
            let (_, rest) = words.split_once(&format!("{name} "))?;
            rest.split([',', ' ']).next()?.parse().ok()
        };
        Some(Agreement {
            version: number("protocol")?.try_into().ok()?,
            partitions: number("partitions")?.try_into().ok().filter(|number| PARTITIONS.contains(number))?,
            lease_ms: number("lease").filter(|lease| LEASES_MS.contains(lease))?,
        })
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
    pub task: u64,
    /// Scheme, host and port of its URL.
    pub host: &'a str,
    /// Of the bytes of the task.
    pub length: u64,
    /// None of them, where they are to be fetched.
    pub bytes: &'a [u8],
}

impl<'a> TaskMessage<'a> {
    pub fn encode(&self) -> Bytes {
        let head = Writer::default().number(self.task).text(self.host).number(self.length);
        head.rest(if self.bytes.len() <= INLINE { self.bytes } else { &[] })
    }

    pub fn decode(bytes: &'a [u8]) -> Option<TaskMessage<'a>> {
        let mut reader = Reader(bytes);
        let message = TaskMessage {
            task: reader.number()?,
            host: reader.text()?,
            length: reader.number()?,
            bytes: reader.0,
        };
        let is_fit = message.bytes.is_empty() || message.bytes.len() as u64 == message.length;
        is_fit.then_some(message)
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
            worker: reader.text().filter(|worker| Names::is_fit(worker))?,
            acknowledge: reader.text().filter(|subject| subject.starts_with("$JS.ACK."))?,
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

/// A worker tells the others of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It has just come, and wants to hear of the others.
    Hello,
    Here,
    /// It takes nothing new.
    Leaving,
}

impl Presence {
    pub fn encode(self, worker: &str) -> Bytes {
        Writer::default().number(self as u64).text(worker).end()
    }

    pub fn decode(bytes: &[u8]) -> Option<(Presence, &str)> {
        let mut reader = Reader(bytes);
        let number = reader.number()?;
        let presence = [Presence::Hello, Presence::Here, Presence::Leaving]
            .into_iter()
            .find(|one| *one as u64 == number)?;
        Some((presence, reader.text().filter(|worker| Names::is_fit(worker))?))
    }
}

/// Scheme, host and port of a URL, in small letters and without the port that the scheme has by itself.
pub fn host_of(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    let host = url[..end].to_ascii_lowercase();
    let own_port = [("http://", ":80"), ("https://", ":443")];
    let without = own_port
        .iter()
        .find_map(|(scheme, port)| host.strip_suffix(port).filter(|_| host.starts_with(scheme)));
    without.map(str::to_owned).unwrap_or(host)
}

/// A number that is the same for the same bytes, everywhere.
pub fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let mixed = bytes.into_iter().fold(14_695_981_039_346_656_037, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211)
    });
    // The last bytes are to change all bits.
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

/// The partition of what goes to a host.
pub fn partition_of(host: &str, partitions: u32) -> u32 {
    (hash(host.bytes()) % u64::from(partitions.max(1))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_less_is_nothing() {
        let task = TaskMessage { task: 7, host: "http://h", length: 3, bytes: b"abc" };
        let ask = Ask { task: 7, attempt: u64::MAX, format: 5, worker: "w", acknowledge: "$JS.ACK.x" };
        let piece = Piece { task: 7, attempt: 8, number: Piece::ERROR, bytes: b"why" };
        assert_eq!(TaskMessage::decode(&task.encode()), Some(task));
        assert_eq!(Ask::decode(&ask.encode()), Some(ask));
        assert_eq!(Piece::decode(&piece.encode()), Some(piece));
        for answer in [Answer::Yes, Answer::No, Answer::Later(250)] {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
        for presence in [Presence::Hello, Presence::Here, Presence::Leaving] {
            assert_eq!(Presence::decode(&presence.encode("w")), Some((presence, "w")));
        }
        let whole = Ask { task: 7, attempt: 9, format: 5, worker: "w", acknowledge: "$JS.ACK.a" }.encode();
        for end in 0..whole.len() {
            assert_eq!(Ask::decode(&whole[..end]), None);
        }
        assert_eq!(Ask::decode(&[0xff; 64]), None);
    }

    /// What is published where a message says so is what has that form, and nothing else.
    #[test]
    fn names_in_messages_are_words() {
        let ask = |worker, acknowledge| Ask { task: 1, attempt: 2, format: 3, worker, acknowledge }.encode();
        assert!(Ask::decode(&ask("a.b", "$JS.ACK.x")).is_none());
        assert!(Ask::decode(&ask("w", "elsewhere")).is_none());
        assert!(Presence::decode(&Presence::Here.encode("*")).is_none());
        let names = Names::new("rf");
        let client = Address::new("alice", "c1").expect("an address");
        assert_eq!(names.client_of(&names.task(3, &client)), Some(client));
        for other in
            ["rf.1.task.3.alice", "rf.1.task.3.alice.c1.x", "rf.2.task.3.alice.c1", "rf.1.task.3.*.c1"]
        {
            assert_eq!(names.client_of(other), None);
        }
    }

    #[test]
    fn what_is_agreed_on_is_read_from_the_description() {
        let agreed = Agreement { version: 1, partitions: 16, lease_ms: 5000 };
        assert_eq!(Agreement::read(&agreed.describe()), Some(agreed));
        for other in [
            "",
            "somebody's",
            "requests-futures: protocol 1",
            "requests-futures: protocol 1, partitions 0, lease 5000 ms",
            "requests-futures: protocol 1, partitions 4000000000, lease 5000 ms",
            "requests-futures: protocol 1, partitions 16, lease 1 ms",
        ] {
            assert_eq!(Agreement::read(other), None);
        }
    }

    #[test]
    fn a_long_task_is_fetched() {
        let long = vec![1; INLINE + 1];
        let bytes =
            TaskMessage { task: 1, host: "http://h", length: long.len() as u64, bytes: &long }.encode();
        let read = TaskMessage::decode(&bytes).expect("a task");
        assert_eq!((read.length, read.bytes.len()), (long.len() as u64, 0));
    }

    #[test]
    fn what_goes_to_one_host_goes_to_one_partition() {
        assert_eq!(host_of("http://A.example:80/x"), "http://a.example");
        assert_eq!(host_of("https://a.example:443?x"), "https://a.example");
        assert_eq!(host_of("http://a.example:443"), "http://a.example:443");
        for partitions in [1, 3, 16] {
            let of = |url| partition_of(&host_of(url), partitions);
            assert_eq!(of("http://a.example/x"), of("http://A.example:80/y?z"));
            assert!(of("https://b.example") < partitions);
        }
    }
}
