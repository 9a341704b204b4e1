//! How fast a body may go, and how slow a transfer is to be given up.
//!
//! Both belong to one direction of one sending. What is fast is slowed down between two pieces of the body. What is slow is
//! noticed where it shows: while the socket waits. So the time that passes elsewhere, in the user's functions, between
//! the reads of a stream or while a limit holds a body back, is never counted as slow.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use crate::message::options::{LowSpeed, Options, SpeedLimit};

/// Of one direction.
#[derive(Debug)]
pub struct Pace {
    pub limit: Option<Bucket>,
    pub low: Option<Watch>,
}

impl Pace {
    /// Of the body that is sent. None: nobody asked for any.
    #[inline]
    pub fn of_sending(options: &Options) -> Option<Box<Pace>> {
        Pace::of(options, |limit| limit.send)
    }

    /// Of the answer.
    #[inline]
    pub fn of_receiving(options: &Options) -> Option<Box<Pace>> {
        Pace::of(options, |limit| limit.receive)
    }

    #[inline]
    fn of(options: &Options, direction: fn(&SpeedLimit) -> u64) -> Option<Box<Pace>> {
        if options.speed_limit.is_none() && options.low_speed.is_none() {
            return None;
        }
        Pace::asked_for(options, direction)
    }

    #[cold]
    fn asked_for(options: &Options, direction: fn(&SpeedLimit) -> u64) -> Option<Box<Pace>> {
        let limit = options.speed_limit.as_ref().map_or(0, direction);
        let low = options.low_speed.flatten();
        if limit == 0 && low.is_none() {
            return None;
        }
        Some(Box::new(Pace { limit: (limit > 0).then(|| Bucket::new(limit)), low: low.map(Watch::new) }))
    }
}

/// Tells when so many bytes may have gone: not before the limit gives them the time. What was late may catch up with
/// [`BURST`], and no more: so in no time does more go than the limit allows, and a burst.
#[derive(Debug)]
pub struct Bucket {
    bytes_per_s: u64,
    /// When all that went has had its time; None: nothing went.
    ready: Cell<Option<Instant>>,
}

/// So much of the time may be made up for.
const BURST: Duration = Duration::from_millis(50);
/// The body goes in pieces that take as long, but not in smaller or larger ones than these.
const PIECES: std::ops::RangeInclusive<u64> = 256..=64 * 1024;

impl Bucket {
    fn new(bytes_per_s: u64) -> Bucket {
        Bucket { bytes_per_s, ready: Cell::new(None) }
    }

    /// The most that is to go at once.
    pub fn piece(&self) -> usize {
        (self.bytes_per_s / 20).clamp(*PIECES.start(), *PIECES.end()) as usize
    }

    /// Counts so many bytes, and says when they have had their time.
    pub fn take(&self, count: usize, now: Instant) -> Instant {
        let late = BURST.max(self.time_of(self.piece()));
        let earliest = now.checked_sub(late).unwrap_or(now);
        let before = self.ready.get().map_or(now, |ready| ready.max(earliest));
        let ready = before + self.time_of(count);
        self.ready.set(Some(ready));
        ready
    }

    fn time_of(&self, count: usize) -> Duration {
        let nanos = (count as u128 * 1_000_000_000).div_ceil(self.bytes_per_s.into());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// Watches how many bytes come and go while the socket waits.
#[derive(Debug)]
pub struct Watch {
    asked: LowSpeed,
    window: RefCell<Window>,
    /// How many bytes had left for the other side when this was last looked at.
    gone: Cell<Option<i64>>,
}

impl Watch {
    fn new(asked: LowSpeed) -> Watch {
        let window = RefCell::new(Window::new(asked));
        Watch { asked, window, gone: Cell::new(None) }
    }

    /// How long nothing may come before it is too slow; None: it is.
    pub fn left(&self) -> Option<Duration> {
        self.window.borrow().left()
    }

    /// So long was waited, and so many bytes have come.
    pub fn waited(&self, time: Duration, bytes: u64) {
        self.window.borrow_mut().pass(time, bytes);
    }

    /// How many bytes more have left, now that it is so many in all.
    pub fn left_since(&self, gone: i64) -> u64 {
        let before = self.gone.get().unwrap_or(gone);
        self.gone.set(Some(before.max(gone)));
        u64::try_from(gone - before).unwrap_or(0)
    }

    /// What was asked for, and how many bytes there were instead, if that is too slow.
    pub fn verdict(&self) -> Option<(LowSpeed, u64)> {
        self.window.borrow().too_few.map(|bytes| (self.asked, bytes))
    }
}

/// How many bytes went in the last while. The while is cut into parts, and looked at as a whole whenever one of them ends.
#[derive(Debug)]
struct Window {
    part: Duration,
    /// So many bytes have to go in all parts together.
    need: u64,
    /// The last parts, the oldest at `oldest`.
    parts: [u64; PARTS],
    oldest: usize,
    /// How many parts have passed, as far as that matters.
    passed: usize,
    /// Of the part that is not over.
    current: u64,
    time: Duration,
    /// So many bytes there were when it was looked at last, and those were too few.
    too_few: Option<u64>,
}

const PARTS: usize = 10;

impl Window {
    fn new(asked: LowSpeed) -> Window {
        let need = (u128::from(asked.bytes_per_s) * asked.time.as_millis()).div_ceil(1000);
        Window {
            part: asked.time / PARTS as u32,
            need: u64::try_from(need).unwrap_or(u64::MAX),
            parts: [0; PARTS],
            oldest: 0,
            passed: 0,
            current: 0,
            time: Duration::ZERO,
            too_few: None,
        }
    }

    /// Time passes, and at its end there are so many bytes.
    fn pass(&mut self, time: Duration, bytes: u64) {
        self.time += time;
        let ended = self.time.as_nanos() / self.part.as_nanos();
        if ended > 0 {
            let ended = usize::try_from(ended).unwrap_or(usize::MAX);
            for _ in 0..ended.min(PARTS) {
                self.parts[self.oldest] = std::mem::take(&mut self.current);
                self.oldest = (self.oldest + 1) % PARTS;
            }
            self.passed = self.passed.saturating_add(ended).min(PARTS);
            let rest = self.time.as_nanos() % self.part.as_nanos();
            self.time = Duration::from_nanos(u64::try_from(rest).unwrap_or(u64::MAX));
            // Nobody knows whether what is here now came before or after the part had ended.
            let sum = self.parts.iter().fold(bytes, |sum, part| sum.saturating_add(*part));
            self.too_few = (self.passed == PARTS && sum < self.need).then_some(sum);
        }
        self.current = self.current.saturating_add(bytes);
    }

    /// How long it takes, if nothing more comes, until there are too few; None: there are.
    fn left(&self) -> Option<Duration> {
        if self.too_few.is_some() {
            return None;
        }
        let mut sum = self.parts.iter().fold(self.current, |sum, part| sum.saturating_add(*part));
        let mut ends = 0;
        for part in 0..PARTS {
            sum -= self.parts[(self.oldest + part) % PARTS].min(sum);
            ends = part + 1;
            if self.passed + ends >= PARTS && sum < self.need {
                return Some(self.until_end_of(ends));
            }
        }
        // What came in this part will do for as long as it counts.
        Some(self.until_end_of(ends + 1))
    }

    fn until_end_of(&self, parts: usize) -> Duration {
        self.part.saturating_mul(parts as u32).saturating_sub(self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn window(bytes_per_s: u64, for_ms: u64) -> Window {
        Window::new(LowSpeed { bytes_per_s, time: ms(for_ms) })
    }

    #[test]
    fn a_body_takes_the_time_that_its_limit_gives_it() {
        let bucket = Bucket::new(100_000);
        let start = Instant::now();
        let mut now = start;
        for _ in 0..200 {
            now = now.max(bucket.take(bucket.piece(), now));
        }
        assert_eq!(bucket.piece(), 5000);
        assert_eq!(now - start, Duration::from_secs(10));
    }

    #[test]
    fn no_time_has_more_than_the_limit_and_a_burst() {
        for bytes_per_s in [1000, 30_000, 1_000_000, 300_000_000] {
            let bucket = Bucket::new(bytes_per_s);
            let start = Instant::now();
            let (mut now, mut went, mut total) = (start, Vec::new(), 0.0);
            // Late and in time by turns; sometimes nothing comes for long.
            for turn in 0..400 {
                let count = bucket.piece() * (turn % 4 + 1) / 4;
                let pause = [0, 0, 1, 70, 0, 3000][turn % 6];
                now += ms(pause);
                now = now.max(bucket.take(count, now));
                total += count as f64;
                went.push((now, total));
            }
            let burst = (bytes_per_s as f64 / 20.0).max(bucket.piece() as f64);
            for (first, (from, _)) in went.iter().enumerate() {
                let before = if first == 0 { 0.0 } else { went[first - 1].1 };
                for (to, after) in &went[first..] {
                    let most = (*to - *from).as_secs_f64() * bytes_per_s as f64 + burst + 1.0;
                    assert!(after - before <= most, "{} of {most} at {bytes_per_s}", after - before);
                }
            }
        }
    }

    #[test]
    fn what_comes_more_slowly_than_the_limit_is_not_held_back() {
        let bucket = Bucket::new(1000);
        let mut now = Instant::now();
        bucket.take(10, now);
        for _ in 0..100 {
            now += ms(100);
            assert!(bucket.take(90, now) <= now);
        }
    }

    #[test]
    fn every_limit_has_pieces_and_times() {
        for bytes_per_s in [1, 255, 5120, u64::MAX] {
            let bucket = Bucket::new(bytes_per_s);
            assert!((256..=65536).contains(&bucket.piece()));
            let now = Instant::now();
            assert!(bucket.take(1, now) >= now);
        }
        assert_eq!(Bucket::new(1).time_of(256), Duration::from_secs(256));
    }

    #[test]
    fn silence_is_too_slow_after_its_time_and_not_before() {
        let mut window = window(1, 1000);
        assert_eq!(window.left(), Some(ms(1000)));
        window.pass(ms(999), 0);
        assert_eq!(window.left(), Some(ms(1)));
        window.pass(ms(1), 0);
        assert_eq!((window.left(), window.too_few), (None, Some(0)));
    }

    #[test]
    fn as_many_bytes_as_asked_for_are_enough() {
        let mut window = window(1000, 1000);
        for _ in 0..500 {
            window.pass(ms(100), 100);
            assert_eq!(window.too_few, None);
        }
        // Those of the last part, which had just begun, count for ten more.
        window.pass(ms(100), 0);
        assert!(window.left().is_some());
        for _ in 0..500 {
            window.pass(ms(50), 40);
        }
        // Ten parts, and what has just come.
        assert_eq!(window.too_few, Some(840));
    }

    #[test]
    fn a_burst_counts_for_as_long_as_the_window_and_a_part_at_most() {
        let mut window = window(1000, 1000);
        window.pass(ms(30), 1000);
        assert_eq!(window.left(), Some(ms(1070)));
        window.pass(ms(1069), 0);
        assert_eq!(window.too_few, None);
        window.pass(ms(1), 0);
        assert_eq!(window.too_few, Some(0));
    }

    #[test]
    fn what_is_left_is_when_it_turns_out_to_be_too_slow() {
        // Whatever comes, waiting for as long as is left, and no less, ends it.
        let mut state = 1_u64;
        for _ in 0..2000 {
            let mut window = window(700, 300);
            for _ in 0..40 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                window.pass(ms(state >> 60), (state >> 40) % 20);
                let Some(left) = window.left() else { break };
                let mut waits = Window { parts: window.parts, ..window };
                waits.pass(left - Duration::from_nanos(1), 0);
                assert_eq!(waits.too_few, None);
                waits.pass(Duration::from_nanos(1), 0);
                assert!(waits.too_few.is_some());
            }
        }
    }

    #[test]
    fn the_largest_numbers_are_numbers_like_others() {
        let mut window = window(u64::MAX, u64::MAX / 1_000_000);
        assert!(window.left().is_some());
        window.pass(ms(5), u64::MAX);
        window.pass(ms(5), u64::MAX);
        assert!(window.left().is_some());
        let mut shortest = self::window(1, 1);
        shortest.pass(ms(1), 0);
        assert_eq!(shortest.too_few, Some(0));
    }

    #[test]
    fn bytes_that_leave_count_once() {
        let watch = Watch::new(LowSpeed { bytes_per_s: 1, time: ms(1) });
        let counted = [-5, 10, 10, 7, 12].map(|gone| watch.left_since(gone));
        assert_eq!(counted, [0, 15, 0, 0, 2]);
    }
}
