//! A place in line: in which order those who wait for the same thing get it.

use std::cmp::Reverse;
use std::sync::{Arc, Weak};

use crate::future::control::Control;
use crate::future::waiting::{Reason, Waiting};
use crate::system::lock::Mutex;

/// Who goes before whom: the least is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// What was sent already and is sent again goes before all others, who may wait for what it has.
    is_new: bool,
    priority: Reverse<i32>,
    /// First in, first out among equals: who was submitted first, on whatever thread it came here.
    order: u64,
    /// No two have the same.
    number: u64,
}

impl Rank {
    pub fn new(control: &Control, number: u64) -> Rank {
        Rank { is_new: true, priority: Reverse(control.priority()), order: control.order(), number }
    }

    pub fn again(number: u64) -> Rank {
        Rank { is_new: false, priority: Reverse(0), order: 0, number }
    }

    pub fn number(self) -> u64 {
        self.number
    }
}

/// A request in line, and what it got there.
pub struct InLine<Grant> {
    pub waiting: Arc<Waiting>,
    pub control: Weak<Control>,
    granted: Mutex<Option<Grant>>,
}

impl<Grant> InLine<Grant> {
    pub fn new(control: &Arc<Control>, reason: impl Reason + 'static) -> Arc<InLine<Grant>> {
        Arc::new(InLine {
            waiting: Waiting::new(reason, control.priority()),
            control: Arc::downgrade(control),
            granted: Mutex::default(),
        })
    }

    /// Its turn has come. Whoever grants it wakes it, without a lock that it would need.
    pub fn grant(&self, grant: Grant) {
        *self.granted.lock() = Some(grant);
    }

    pub fn take(&self) -> Option<Grant> {
        self.granted.lock().take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_higher_priority_goes_first_and_among_equals_who_came_first() {
        let rank = |priority, number| Rank::new(&Control::with_priority(priority, 0), number);
        let mut ranks = [rank(0, 1), rank(-5, 2), rank(7, 4), rank(7, 3), rank(i32::MAX, 6), Rank::again(5)];
        ranks.sort();
        assert_eq!(ranks.iter().map(|rank| rank.number).collect::<Vec<_>>(), [5, 6, 3, 4, 1, 2]);
        let submitted = |order, number| Rank::new(&Control::with_priority(0, order), number);
        assert!(submitted(1, 2) < submitted(2, 1));
    }
}
