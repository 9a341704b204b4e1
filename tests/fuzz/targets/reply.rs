//! Replies that come in pieces from another machine. The first byte of the input says how long a body may be (0: as long as
//! it likes), the second one where the bytes are cut. Messages follow, each a letter (R, P, T or E: a reply, a piece of its
//! body, trailers, the end), the length of its content in two bytes, and that content: the mark, the version and the check
//! sum are put around it. After H comes a kind, and a length in four bytes that is only announced; after any other letter
//! come bytes as they are.
//!
//! However they are cut, the same comes of them; what is only announced takes no memory; a body is not longer than it may
//! be; and after something wrong nothing is taken any more.

use std::sync::Arc;

use requests_futures::executor::wire::{Added, ErrorMessage, Incoming, Reply, TaskName};
use requests_futures::future::control::Control;
use requests_futures::http::cookies::Cookie;
use requests_futures::http::request::Outcome;
use requests_futures::message::error::{Error, ErrorKind};

use super::memory;
use super::message::{FIXED, FOR_EACH_BYTE, message_seeds, sealed, show, start};

const KINDS: &[u8] = b"RPTE";
/// The kind of a message that is a reply; the others follow it in the order of their letters.
const REPLY: u8 = 2;

struct Input {
    max_body: Option<u64>,
    seed: u64,
    /// The task that the first reply belongs to.
    name: TaskName,
    /// Whether there is a reply that is whole.
    has_reply: bool,
    bytes: Vec<u8>,
}

/// What has come of a reply: its outcome, its cookies, and where its responses came from.
type Came = Option<(Outcome, Vec<Cookie>, String)>;

fn take<'a>(data: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, left) = data.split_at(count.min(data.len()));
    *data = left;
    taken
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

impl Input {
    fn of(data: &[u8]) -> Option<Input> {
        let [most, seed, data @ ..] = data else { return None };
        let mut input = Input {
            max_body: most.checked_sub(1).map(|most| u64::from(most) * 16),
            seed: u64::from(*seed) + 1,
            name: TaskName::of(1),
            has_reply: false,
            bytes: Vec::new(),
        };
        let mut data = data;
        while let [letter, rest @ ..] = data {
            data = rest;
            if *letter == b'H' {
                let kind = take(&mut data, 1);
                let length = (number(take(&mut data, 4)) as u32).to_le_bytes();
                input.bytes.extend_from_slice(&[&start()[..], kind, &length].concat());
                continue;
            }
            let length = number(take(&mut data, 2));
            let content = take(&mut data, length);
            let Some(kind) = KINDS.iter().position(|kind| kind == letter) else {
                input.bytes.extend_from_slice(content);
                continue;
            };
            let message = sealed(REPLY + kind as u8, content);
            if *letter == b'R' {
                if let Ok(reply) = Reply::decode(&message)
                    && !input.has_reply
                {
                    input.name = reply.name();
                }
                input.has_reply = true;
            }
            input.bytes.extend_from_slice(&message);
        }
        Some(input)
    }

    /// What comes of it when it is cut like this, and None when it is no reply.
    fn add(&self, mut cut: impl FnMut() -> usize) -> (Incoming<'static>, Option<Added>) {
        let mut incoming = Incoming::new(self.name, self.max_body);
        let mut last = incoming.add(b"").ok();
        let mut left = &self.bytes[..];
        while !left.is_empty() {
            let piece = take(&mut left, cut());
            let added = incoming.add(piece).ok();
            assert!(last != Some(Added::Whole) || added.is_none(), "something follows");
            assert!(last.is_some() || added.is_none(), "something follows what is wrong");
            last = added;
        }
        assert_eq!(incoming.is_whole(), last == Some(Added::Whole));
        assert_eq!(incoming.add(b"").ok(), last);
        (incoming, last)
    }

    fn outcome(&self, cut: impl FnMut() -> usize) -> (Option<Added>, Came) {
        let (incoming, added) = self.add(cut);
        Input::came(incoming, added)
    }

    /// The same of bytes that are not copied.
    fn outcome_borrowed(&self) -> (Option<Added>, Came) {
        let mut incoming = Incoming::new(self.name, self.max_body);
        let added = incoming.add_borrowed(&self.bytes).ok();
        Input::came(incoming, added)
    }

    fn came(mut incoming: Incoming<'_>, added: Option<Added>) -> (Option<Added>, Came) {
        if added != Some(Added::Whole) {
            return (added, None);
        }
        let outcome = incoming.outcome(&None, &Arc::new(Control::new())).ok();
        (added, outcome.map(|(outcome, cookies, urls)| (outcome, cookies, format!("{urls:?}"))))
    }
}

/// Lengths by chance, the same for the same seed.
fn cuts(mut seed: u64) -> impl FnMut() -> usize {
    let most = 1 << (seed % 13);
    move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        1 + seed as usize % most
    }
}

pub fn reply(data: &[u8]) {
    let Some(input) = Input::of(data) else { return };
    // A message is decoded when it is whole. Before, it takes what it is, and twice that while it grows.
    let most = 4096 + 4 * input.bytes.len();
    let most = if input.has_reply { most + FIXED + FOR_EACH_BYTE * data.len() } else { most };
    memory::within(most, || input.add(|| usize::MAX));
    memory::within(most, || input.add(cuts(input.seed)));

    let at_once = input.outcome(|| usize::MAX);
    let in_pieces = input.outcome(cuts(input.seed));
    assert_eq!(at_once.0, in_pieces.0);
    let say = |outcome: &Came| {
        outcome.as_ref().map(|(outcome, cookies, urls)| (show(outcome), cookies.clone(), urls.clone()))
    };
    // Once: what streams is read by it.
    let said = say(&at_once.1);
    assert_eq!(said, say(&in_pieces.1));
    let borrowed = input.outcome_borrowed();
    assert_eq!(borrowed.0 == Some(Added::Whole), at_once.0 == Some(Added::Whole));
    assert_eq!(said, say(&borrowed.1));

    if let (Some((Ok(response), ..)), Some(most)) = (input.outcome(|| usize::MAX).1, input.max_body) {
        let (mut length, mut piece) = (0, [0; 100]);
        while let Ok(count @ 1..) = response.read(&mut piece) {
            length += count as u64;
        }
        assert!(length <= most, "{length} bytes of a body, and {most} are the most");
    }
}

/// Whether something comes of it.
pub fn is_reply(data: &[u8]) -> bool {
    Input::of(data).is_some_and(|input| input.outcome(|| usize::MAX).1.is_some())
}

/// Inputs of all kinds of replies, for the corpus: `RF_UPDATE_CORPUS=1` writes them there.
pub fn reply_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let reply = |name: &str| {
        let seeds = message_seeds();
        let (_, input) = seeds.iter().find(|(seed, _)| *seed == name).expect("a seed of that name");
        (b'R', input[1..].to_vec())
    };
    let input = |most: u8, cuts: u8, messages: &[(u8, Vec<u8>)]| {
        let mut input = vec![most, cuts];
        for (letter, content) in messages {
            input.push(*letter);
            input.extend_from_slice(&(content.len() as u16).to_le_bytes());
            input.extend_from_slice(content);
        }
        input
    };
    let (some, more) = ((b'P', b"some of a body, ".to_vec()), (b'P', b"and the rest of it".to_vec()));
    let (trailers, end) = ((b'T', b"X-Trailer: behind it\r\n".to_vec()), (b'E', Vec::new()));
    let error = Error::new(ErrorKind::ChunkedEncoding, "It broke off").at("http://h/");
    let broken = (b'E', ErrorMessage::to_end(&error));
    let follows = reply("reply_whole_follows");
    let all = [follows.clone(), some.clone(), more.clone(), trailers.clone(), end.clone()];
    let announced = [&[0, 5][..], b"H\x03", &0x7fff_fff0_u32.to_le_bytes(), b"x\x04\0some"].concat();
    vec![
        ("reply", input(0, 2, &[reply("reply_read")])),
        ("history", input(0, 5, &[reply("reply_history")])),
        ("error", input(0, 4, &[reply("reply_error")])),
        ("whole", input(0, 3, &all)),
        ("whole_of_a_limit", input(5, 6, &all)),
        ("beyond_the_limit", input(2, 1, &all)),
        ("rest", input(0, 0, &[reply("reply_rest_follows"), some.clone(), more, trailers, end.clone()])),
        ("broken_off", input(0, 1, &[follows.clone(), some.clone(), broken.clone()])),
        ("rest_broken_off", input(0, 1, &[reply("reply_rest_follows"), some.clone(), broken])),
        ("without_an_end", input(0, 7, &[follows.clone(), some.clone()])),
        ("something_follows", input(0, 8, &[reply("reply_read"), end.clone()])),
        ("twice", input(0, 9, &[follows.clone(), follows, end.clone()])),
        ("a_piece_alone", input(0, 10, &[some, end])),
        ("announced", announced),
    ]
}
