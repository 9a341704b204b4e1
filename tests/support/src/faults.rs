//! A relay that damages what it carries: most of it arrives as it was sent, the rest late, cut short, twice, wrong, or
//! not at all. What happens to which piece is drawn from a seed; what a piece is, the network decides.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::{Map, Value};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// What may happen to a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It arrives, but later.
    Delay,
    /// A part of it arrives, then a reset; the other end gets one too.
    Reset,
    /// A part of it arrives, then the connection is closed in the ordinary way.
    Cut,
    /// It arrives twice.
    Duplicate,
    /// Some of its octets are others.
    Flip,
    /// Octets that nobody sent arrive with it.
    Insert,
}

/// By the number of each, and with the name that `/fault-stats` has for it.
const FAULTS: [(Fault, &str); 6] = [
    (Fault::Delay, "delay"),
    (Fault::Reset, "reset"),
    (Fault::Cut, "cut"),
    (Fault::Duplicate, "duplicate"),
    (Fault::Flip, "flip"),
    (Fault::Insert, "insert"),
];
/// One piece in so many meets with each of the faults.
const ONE_IN: usize = 150;
/// Mostly short; one delay in `STALLS` is longer than a client would wait.
const DELAY_MS: u64 = 30;
const STALLS: u64 = 8;
const STALL_MS: u64 = 600;
const PIECE: usize = 16 * 1024;

/// What the relays have done.
#[derive(Debug)]
pub struct FaultStats {
    pub seed: u64,
    connections: AtomicU64,
    pieces: AtomicU64,
    counts: [AtomicU64; FAULTS.len()],
}

impl FaultStats {
    pub fn new(seed: u64) -> FaultStats {
        FaultStats {
            seed,
            connections: AtomicU64::new(0),
            pieces: AtomicU64::new(0),
            counts: Default::default(),
        }
    }

    /// How often each fault was made, by its name.
    pub fn faults(&self) -> impl Iterator<Item = (&'static str, u64)> {
        FAULTS.iter().zip(&self.counts).map(|((_, name), count)| (*name, count.load(Relaxed)))
    }

    pub fn to_json(&self) -> Value {
        let mut all = Map::new();
        all.insert("connections".to_owned(), self.connections.load(Relaxed).into());
        all.insert("pieces".to_owned(), self.pieces.load(Relaxed).into());
        all.extend(self.faults().map(|(name, count)| (name.to_owned(), count.into())));
        all.into()
    }
}

/// splitmix64: the same numbers for the same start.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A place in a piece, or its end.
    fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64 + 1)).unwrap_or(0)
    }

    fn octet(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Which directions are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    Both,
    /// What goes to a proxy stays as it is: it would go wherever damage sends it.
    Answers,
}

/// Relays what comes to the listener to a port of this machine.
pub async fn serve(listener: TcpListener, port: u16, damage: Damage, stats: Arc<FaultStats>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let number = stats.connections.fetch_add(1, Relaxed);
        let stats = Arc::clone(&stats);
        tokio::spawn(async move {
            // Whatever goes wrong shows at both ends.
            let _ = relay(client, port, damage, number, &stats).await;
        });
    }
}

async fn relay(
    mut client: TcpStream,
    port: u16,
    damage: Damage,
    number: u64,
    stats: &FaultStats,
) -> io::Result<()> {
    let mut server = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let mut random = Random(stats.seed ^ number.wrapping_mul(0xD134_2543_DE82_EF95));
    let (up, down) = (Random(random.next()), Random(random.next()));
    let up = (damage == Damage::Both).then_some(up);
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::try_join!(
            carry(from_client, to_server, up, stats),
            carry(from_server, to_client, Some(down), stats)
        )
    };
    if matches!(ended, Err(End::Reset)) {
        for stream in [&client, &server] {
            SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
        }
    }
    Ok(())
}

/// Why a connection is given up before both ends have closed it.
enum End {
    Reset,
    Cut,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> End {
        End::Cut
    }
}

/// One direction, until its sender closes it.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut random: Option<Random>,
    stats: &FaultStats,
) -> Result<(), End> {
    let mut buffer = [0; PIECE];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            to.shutdown().await?;
            return Ok(());
        }
        let piece = &mut buffer[..length];
        let Some(random) = &mut random else {
            to.write_all(piece).await?;
            continue;
        };
        stats.pieces.fetch_add(1, Relaxed);
        let chosen = random.place(ONE_IN - 1);
        let fault = FAULTS.get(chosen).map(|(fault, _)| {
            stats.counts[chosen].fetch_add(1, Relaxed);
            *fault
        });
        match fault {
            None => to.write_all(piece).await?,
            Some(Fault::Delay) => {
                let most = if random.below(STALLS) == 0 { STALL_MS } else { DELAY_MS };
                sleep(Duration::from_millis(random.below(most))).await;
                to.write_all(piece).await?;
            }
            // Never the whole of it: whoever counts faults may count on each having done something.
            Some(Fault::Reset) => {
                to.write_all(&piece[..random.place(length - 1)]).await?;
                return Err(End::Reset);
            }
            Some(Fault::Cut) => {
                to.write_all(&piece[..random.place(length - 1)]).await?;
                return Err(End::Cut);
            }
            Some(Fault::Duplicate) => {
                to.write_all(piece).await?;
                to.write_all(piece).await?;
            }
            Some(Fault::Flip) => {
                for _ in 0..=random.below(4) {
                    piece[random.place(length - 1)] ^= random.octet() | 1;
                }
                to.write_all(piece).await?;
            }
            Some(Fault::Insert) => {
                let place = random.place(length);
                let garbage: Vec<u8> = (0..=random.below(64)).map(|_| random.octet()).collect();
                to.write_all(&[&piece[..place], &garbage, &piece[place..]].concat()).await?;
            }
        }
    }
}
