//! How far a request has come, for those who want to watch.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::future::control::Control;
use crate::message::error::{Error, ErrorKind};
use crate::message::options::Progress;
use crate::system::fork::Origin;

/// No two reports are closer than this, but for the first and the last.
const INTERVAL: Duration = Duration::from_millis(100);

/// Counts bytes of bodies and reports them. Without a function to tell it costs nothing.
#[derive(Clone, Default)]
pub struct Meter {
    watch: Option<Box<Watch>>,
}

#[derive(Clone)]
struct Watch {
    progress: Arc<dyn Progress>,
    control: Arc<Control>,
    last: Instant,
    sent: u64,
    send_total: Option<u64>,
    received: u64,
    receive_total: Option<u64>,
}

impl Meter {
    pub fn new(progress: Option<&Arc<dyn Progress>>, control: &Arc<Control>) -> Meter {
        let watch = progress.map(|progress| {
            Box::new(Watch {
                progress: progress.clone(),
                control: control.clone(),
                last: Instant::now(),
                sent: 0,
                send_total: None,
                received: 0,
                receive_total: None,
            })
        });
        Meter { watch }
    }

    pub fn is_on(&self) -> bool {
        self.watch.is_some()
    }

    /// A hop begins; of what it asks for, `there` bytes are there already.
    pub fn begin(&mut self, send_total: Option<u64>, there: u64) -> Result<(), Error> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        (watch.sent, watch.send_total, watch.received, watch.receive_total) = (0, send_total, there, None);
        watch.report()
    }

    pub fn sent(&mut self, count: usize) -> Result<(), Error> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        watch.sent += count as u64;
        watch.report_now_and_then()
    }

    /// The answer's head is there; its body goes behind `there` bytes.
    pub fn answered(&mut self, length: Option<u64>, there: u64) {
        if let Some(watch) = &mut self.watch {
            watch.received = there;
            watch.receive_total = length.and_then(|length| length.checked_add(there));
        }
    }

    fn received(&mut self, count: usize) -> Result<(), Error> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        watch.received += count as u64;
        if count == 0 { watch.report() } else { watch.report_now_and_then() }
    }
}

impl Watch {
    fn report_now_and_then(&mut self) -> Result<(), Error> {
        if self.last.elapsed() >= INTERVAL { self.report() } else { Ok(()) }
    }

    fn report(&mut self) -> Result<(), Error> {
        self.last = Instant::now();
        let origin = Origin::here();
        let Watch { progress, sent, send_total, received, receive_total, .. } = self;
        self.control.stopwatch.in_hook(|| {
            let reported = progress.report(*sent, *send_total, *received, *receive_total);
            if origin.has_left() {
                return Err(Error::forked());
            }
            reported.map_err(|_| Error::new(ErrorKind::Hook, "The progress function refused to go on"))
        })
    }
}

/// A body that tells how much of it was received.
pub struct Metered<R> {
    pub source: R,
    pub meter: Meter,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.meter.received(count).map_err(Error::into_io)?;
        Ok(count)
    }
}

/// A decoded body that may not be longer than a limit, and that an abort or the deadline ends: a few bytes from the
/// wire can be decoded for minutes, with no socket to be shut down.
pub struct Limited<R> {
    pub source: R,
    pub control: Arc<Control>,
    pub limit: u64,
    pub seen: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let too_large = || {
            let text = format!("longer than the limit of {} bytes", self.limit);
            Error::new(ErrorKind::BodyTooLarge, text).into_io()
        };
        if self.seen > self.limit {
            return Err(too_large());
        }
        // One byte over the limit is read to tell a body that fits from one that does not.
        let most = usize::try_from((self.limit - self.seen).saturating_add(1)).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let count = self.source.read(&mut buffer[..most])?;
        if count > 0 {
            self.control.check().map_err(|why| Error::from(why).into_io())?;
        }
        self.seen += count as u64;
        if self.seen > self.limit { Err(too_large()) } else { Ok(count) }
    }
}
