//! Where the time of a request goes: so much in each of its phases.
//!
//! Times are whole microseconds since the request was submitted, and what is told of a phase is the difference of two of
//! them: so the phases add up to the whole, to the microsecond.

use crate::system::clock::Moment;
use crate::system::lock::Mutex;

/// What a request is busy with. The numbers are part of the ABI (`rf_phase`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    Queue = 1,
    Resolve,
    Connect,
    Tls,
    Send,
    Wait,
    Receive,
    Hook,
    Pause,
}

impl Phase {
    pub const ALL: [Phase; 9] = [
        Phase::Queue,
        Phase::Resolve,
        Phase::Connect,
        Phase::Tls,
        Phase::Send,
        Phase::Wait,
        Phase::Receive,
        Phase::Hook,
        Phase::Pause,
    ];

    pub fn from_code(code: i32) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| *phase as i32 == code)
    }

    fn place(self) -> usize {
        self as usize - 1
    }
}

/// Microseconds in each phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    micros: [u64; Phase::ALL.len()],
    /// A bit for each phase that there was, however short.
    had: u16,
}

impl Spent {
    /// None: there was no such phase.
    pub fn of(&self, phase: Phase) -> Option<u64> {
        (self.had & 1 << phase.place() != 0).then(|| self.micros[phase.place()])
    }

    /// Of each phase, in order, as [`Spent::of`] has it.
    pub fn parts(&self) -> [Option<u64>; 9] {
        Phase::ALL.map(|phase| self.of(phase))
    }

    pub fn of_parts(parts: [Option<u64>; 9]) -> Spent {
        let mut spent = Spent::default();
        for (phase, micros) in Phase::ALL.into_iter().zip(parts) {
            if let Some(micros) = micros {
                spent.add(phase, micros);
            }
        }
        spent
    }

    pub fn total(&self) -> u64 {
        self.micros.iter().fold(0, |sum, micros| sum.saturating_add(*micros))
    }

    pub fn add(&mut self, phase: Phase, micros: u64) {
        self.had |= 1 << phase.place();
        let of_phase = &mut self.micros[phase.place()];
        *of_phase = of_phase.saturating_add(micros);
    }

    pub fn add_all(&mut self, other: &Spent) {
        for phase in Phase::ALL {
            if let Some(micros) = other.of(phase) {
                self.add(phase, micros);
            }
        }
    }
}

/// Counts the time of one request from its submission on. It has one phase after the other, on whatever thread.
pub struct Stopwatch {
    since: Moment,
    now: Mutex<Now>,
}

struct Now {
    phase: Phase,
    /// When that began, or was looked at last: microseconds since the submission.
    mark: u64,
    spent: Spent,
}

impl Now {
    fn pass(&mut self, until: u64) {
        // A clock reading may be older than one that another thread has taken meanwhile.
        let passed = until.saturating_sub(self.mark);
        self.spent.add(self.phase, passed);
        self.mark += passed;
    }
}

impl Stopwatch {
    /// Of a request that was submitted at that time, and has waited since.
    pub fn since(since: Moment) -> Stopwatch {
        let now = Now { phase: Phase::Queue, mark: 0, spent: Spent::default() };
        Stopwatch { since, now: Mutex::new(now) }
    }

    /// Microseconds from the submission to that time.
    fn at(&self, time: Moment) -> u64 {
        time.micros_since(self.since)
    }

    /// Microseconds since the submission.
    pub fn elapsed(&self) -> u64 {
        self.at(Moment::now())
    }

    /// From now on it is in this phase; the one before.
    pub fn enter(&self, phase: Phase) -> Phase {
        self.enter_at(phase, Moment::now())
    }

    /// The same from that time on, which was read from the clock just now.
    pub fn enter_at(&self, phase: Phase, time: Moment) -> Phase {
        let time = self.at(time);
        let mut now = self.now.lock();
        now.pass(time);
        std::mem::replace(&mut now.phase, phase)
    }

    /// Runs functions of the user's. Where one fails, that stays the phase: the error says so.
    pub fn in_hook<T, E>(&self, call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let before = self.enter(Phase::Hook);
        let result = call()?;
        self.enter(before);
        Ok(result)
    }

    pub fn phase(&self) -> Phase {
        self.now.lock().phase
    }

    /// What was spent so far since the last [`Stopwatch::take`], without what the phase of this moment has taken.
    pub fn spent(&self) -> Spent {
        self.now.lock().spent
    }

    /// What was spent up to now since the last call. After that it is queued again.
    pub fn take(&self) -> Spent {
        let time = self.elapsed();
        let mut now = self.now.lock();
        now.pass(time);
        now.phase = Phase::Queue;
        std::mem::take(&mut now.spent)
    }

    /// What was taken is to be counted along with what comes.
    pub fn give_back(&self, spent: &Spent) {
        self.now.lock().spent.add_all(spent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn phases_add_up_to_the_time_since_the_submission() {
        let start = Moment::now();
        let watch = Stopwatch::since(start);
        let after = |micros: u64| start.after(Duration::from_nanos(micros * 1000 + 999));
        assert_eq!(watch.enter_at(Phase::Connect, after(10)), Phase::Queue);
        assert_eq!(watch.enter_at(Phase::Send, after(25)), Phase::Connect);
        // An older reading of the clock.
        assert_eq!(watch.enter_at(Phase::Wait, after(20)), Phase::Send);
        assert_eq!(watch.enter_at(Phase::Send, after(30)), Phase::Wait);
        let spent = watch.spent();
        let of = |phase| spent.of(phase);
        assert_eq!(
            [of(Phase::Queue), of(Phase::Connect), of(Phase::Send), of(Phase::Wait), of(Phase::Tls)],
            [Some(10), Some(15), Some(0), Some(5), None]
        );
        assert_eq!(spent.total(), 30);
        let first = watch.take();
        assert_eq!((watch.phase(), watch.spent()), (Phase::Queue, Spent::default()));
        watch.give_back(&first);
        assert_eq!(watch.spent(), first);
    }

    #[test]
    fn every_code_leads_back_to_its_phase() {
        for phase in Phase::ALL {
            assert_eq!(Phase::from_code(phase as i32), Some(phase));
        }
        assert_eq!((Phase::from_code(0), Phase::from_code(10)), (None, None));
    }
}
