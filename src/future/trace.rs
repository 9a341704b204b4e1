//! What a request lets those know who watch it.

/// What is told. The numbers are part of the ABI (`rf_trace_kind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Kind {
    Info = 0,
    HeadOut,
    HeadIn,
    BodyOut,
    BodyIn,
}

pub trait Trace: Send + Sync {
    /// `future` is the number of the request's future.
    fn tell(&self, future: u64, kind: Kind, data: &[u8]);
    /// Whether it is told credentials and cookies.
    fn is_told_secrets(&self) -> bool;
}
