//! The place of a future among those that are not over, and the threads that are inside such a future.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Weak};

use smallvec::SmallVec;

use super::timer;

/// Hands futures out and keeps a list of those that are not over.
pub trait Holder: Send + Sync {
    /// The future at this place is over, callbacks included.
    fn leave(&self, place: u32);
    /// The thread that runs the future at this place, or tells about it, is going to wait in a close or a shutdown.
    fn closing(&self, place: u32);
}

/// The place of one future. Dropped when the future is over, callbacks included.
pub struct Ticket {
    holder: Arc<dyn Holder>,
    place: u32,
    /// How many times of it the timer knows: its deadline, the end of its time in the queue.
    times: u8,
}

impl Ticket {
    pub fn new(holder: Arc<dyn Holder>, place: u32, times: u8) -> Ticket {
        Ticket { holder, place, times }
    }

    /// Marks this thread as one that the ticket waits for, so that waiting for the ticket here does not wait for itself.
    pub fn hold(&self) -> Held {
        ENTERED.with(|held| held.borrow_mut().push((Arc::downgrade(&self.holder), self.place)));
        Held(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        (0..self.times).for_each(|_| timer::forget());
        self.holder.leave(self.place);
    }
}

/// By its holder and place.
type HeldFuture = (Weak<dyn Holder>, u32);

thread_local! {
    /// The futures that this thread runs or tells about, innermost last. Without a destructor, so that destructors of
    /// other thread-locals and atexit handlers can still ask; and without memory of its own while they are few.
    static ENTERED: ManuallyDrop<RefCell<SmallVec<[HeldFuture; 4]>>> =
        const { ManuallyDrop::new(RefCell::new(SmallVec::new_const())) };
}

/// Tells the holders of the futures that this thread runs or tells about that it is going to wait in a close or a
/// shutdown. True when there are any.
pub fn announce_closing() -> bool {
    // Not under the borrow: letting go of a holder may run what the user gave it.
    let held = ENTERED.with(|held| held.borrow().clone());
    for (holder, place) in &held {
        if let Some(holder) = holder.upgrade() {
            holder.closing(*place);
        }
    }
    !held.is_empty()
}

/// While it lives, this thread is inside a future: it runs it or calls its callbacks.
pub struct Held(());

impl Drop for Held {
    fn drop(&mut self) {
        ENTERED.with(|held| {
            let mut held = held.borrow_mut();
            let future = held.pop();
            if held.is_empty() && held.spilled() {
                *held = SmallVec::new();
            }
            drop(held);
            // Letting go of a holder may run what the user gave it.
            drop(future);
        });
    }
}
