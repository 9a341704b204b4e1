//! Functions of C with their user data, as the core's traits.

use std::ffi::c_void;
use std::sync::{Arc, OnceLock};

use super::handle;
use super::types::{
    rf_background_fn, rf_callback_status, rf_challenge_fn, rf_drop_fn, rf_hook_fn, rf_log_fn, rf_prepare_fn,
    rf_progress_fn, rf_read_fn, rf_resolve_fn, rf_rewind_fn, rf_status, rf_trace_fn, rf_write_fn,
};
use crate::executor::wire::Finders;
use crate::future::trace::{Kind, Trace};
use crate::message::options::{
    Borrowed, Hook, HookCall, NamedHook, Output, Owned, Progress, Reader, Refused,
};
use crate::message::prepared::{BaseAdapter, Challenge, Prepare, Prepared, Verdict};
use crate::message::resolve::{Found, Resolve};
use crate::message::response::{Response, UserData};
use crate::message::terminated::Terminated;
use crate::system::fiber::{outside, outside_or};
use crate::system::log::Log;
use crate::system::symbol::Symbol;

/// User data of C. Its drop function runs once, when the last use is over.
pub(super) struct Data {
    pub(super) pointer: *mut c_void,
    drop: rf_drop_fn,
}

// SAFETY: the header says that callbacks may run on any thread, so their data may go to any thread.
unsafe impl Send for Data {}
// SAFETY: as above; what the library itself does with the pointer is to pass it on.
unsafe impl Sync for Data {}

impl Data {
    /// Takes the data over: only where the registration can no longer fail.
    pub(super) fn new(pointer: *mut c_void, drop: rf_drop_fn) -> Data {
        Data { pointer, drop }
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if let Some(function) = self.drop {
            // SAFETY: the caller gave this function for this data.
            outside(|| unsafe { function(self.pointer) });
        }
    }
}

/// Calls a function that fails the request if it refuses, and counts as if it had where the request is over before.
fn called(call: impl FnOnce() -> rf_callback_status) -> rf_status {
    outside_or(rf_callback_status(rf_status::RF_FAILED as i32), call).into()
}

fn outcome(status: rf_status) -> Result<(), Refused> {
    if status == rf_status::RF_OK { Ok(()) } else { Err(Refused) }
}

/// The name of a function, which is looked up when another process is to be told.
#[derive(Default)]
pub(super) struct Name(OnceLock<Result<Symbol, String>>);

impl Name {
    fn of(&self, function: Option<*const c_void>, data: Option<&[u8]>) -> Result<NamedHook, String> {
        let look_up = || {
            let function = function.ok_or("there is no function")?;
            Symbol::of(function).map_err(|nameless| nameless.to_string())
        };
        let function = self.0.get_or_init(look_up).clone()?;
        Ok(NamedHook { function, data: data.map(|data| data.to_vec().into()) })
    }

    /// The same for a function with user data of C.
    fn with_pointer(&self, function: Option<*const c_void>, data: &Data) -> Result<NamedHook, String> {
        let named = self.of(function, None)?;
        if data.pointer.is_null() {
            return Ok(named);
        }
        let Symbol { name, object, .. } = &named.function;
        Err(format!("the user_data of {name} ({}) is an address, not bytes", object.display()))
    }
}

/// What a function of the user's is called with.
pub(super) enum FunctionData {
    Pointer(Data),
    /// Bytes of our own.
    Bytes(Owned),
}

impl FunctionData {
    fn pointer(&self) -> *mut c_void {
        match self {
            FunctionData::Pointer(data) => data.pointer,
            // The header says that the bytes are not to be changed.
            FunctionData::Bytes(bytes) => bytes.bytes().as_ptr().cast_mut().cast(),
        }
    }

    fn named(&self, name: &Name, function: Option<*const c_void>) -> Result<NamedHook, String> {
        match self {
            FunctionData::Pointer(data) => name.with_pointer(function, data),
            FunctionData::Bytes(bytes) => name.of(function, Some(bytes.bytes())),
        }
    }

    /// What came with a name.
    fn of(named: &NamedHook) -> FunctionData {
        match &named.data {
            Some(data) => FunctionData::Bytes(Owned::new(data)),
            None => FunctionData::Pointer(Data::new(std::ptr::null_mut(), None)),
        }
    }
}

/// Finds functions by their names, in this process.
pub(super) const FINDERS: Finders = Finders {
    hook: |named| {
        // SAFETY: by the name of a hook its owner vouched for what is found there, here and below.
        let function: rf_hook_fn = unsafe { std::mem::transmute(named.function.find()?) };
        Ok(Arc::new(HookFunction { function, data: FunctionData::of(named), name: Name::default() }))
    },
    background: |named| {
        // SAFETY: as above.
        let function: rf_background_fn = unsafe { std::mem::transmute(named.function.find()?) };
        let data = Data::new(std::ptr::null_mut(), None);
        Ok(Arc::new(BackgroundFunction { function, data, name: Name::default() }))
    },
    prepare: |named| {
        // SAFETY: as above.
        let function: rf_prepare_fn = unsafe { std::mem::transmute(named.function.find()?) };
        Ok(Arc::new(PrepareFunction {
            function,
            data: FunctionData::of(named).into(),
            name: Name::default(),
        }))
    },
    adapter: |named| {
        // SAFETY: as above.
        let function: rf_prepare_fn = unsafe { std::mem::transmute(named.function.find()?) };
        Ok(Arc::new(SendFunction { function, data: FunctionData::of(named), name: Name::default() }))
    },
    resolver: |named| {
        // SAFETY: as above.
        let function: rf_resolve_fn = unsafe { std::mem::transmute(named.function.find()?) };
        let data = Data::new(std::ptr::null_mut(), None);
        Ok(Arc::new(ResolveFunction { function, data, name: Name::default() }))
    },
    challenge: |named| {
        // SAFETY: as above.
        let function: rf_challenge_fn = unsafe { std::mem::transmute(named.function.find()?) };
        Ok(Arc::new(ChallengeFunction {
            function,
            data: FunctionData::of(named).into(),
            name: Name::default(),
        }))
    },
};

pub(super) struct HookFunction {
    pub(super) function: rf_hook_fn,
    pub(super) data: FunctionData,
    pub(super) name: Name,
}

impl Hook for HookFunction {
    fn call(&self, call: &mut HookCall, response: &Arc<Response>) -> Result<(), Refused> {
        let Some(function) = self.function else { return Ok(()) };
        let response = handle::lend(Arc::as_ptr(response));
        let call = std::ptr::from_mut(call).cast();
        // SAFETY: both handles live for the length of the call, and the data until it is dropped.
        outcome(called(|| unsafe { function(call, response, self.data.pointer()) }))
    }

    fn named(&self) -> Result<NamedHook, String> {
        self.data.named(&self.name, self.function.map(|function| function as *const c_void))
    }
}

pub(super) struct PrepareFunction {
    pub(super) function: rf_prepare_fn,
    pub(super) data: Arc<FunctionData>,
    pub(super) name: Name,
}

impl Prepare for PrepareFunction {
    fn prepare(&self, prepared: &mut Prepared<'_>) -> Result<(), Refused> {
        let Some(function) = self.function else { return Ok(()) };
        let prepared = std::ptr::from_mut(prepared).cast();
        // SAFETY: as above.
        outcome(called(|| unsafe { function(prepared, self.data.pointer()) }))
    }

    fn named(&self) -> Result<NamedHook, String> {
        self.data.named(&self.name, self.function.map(|function| function as *const c_void))
    }
}

pub(super) struct SendFunction {
    pub(super) function: rf_prepare_fn,
    pub(super) data: FunctionData,
    pub(super) name: Name,
}

impl BaseAdapter for SendFunction {
    fn send(&self, prepared: &mut Prepared<'_>) -> Result<(), Refused> {
        let Some(function) = self.function else { return Err(Refused) };
        let prepared = std::ptr::from_mut(prepared).cast();
        // SAFETY: as above.
        outcome(called(|| unsafe { function(prepared, self.data.pointer()) }))
    }

    fn named(&self) -> Result<NamedHook, String> {
        self.data.named(&self.name, self.function.map(|function| function as *const c_void))
    }
}

pub(super) struct ChallengeFunction {
    pub(super) function: rf_challenge_fn,
    pub(super) data: Arc<FunctionData>,
    pub(super) name: Name,
}

impl Challenge for ChallengeFunction {
    fn judge(&self, prepared: &mut Prepared<'_>, response: &Arc<Response>) -> Result<Verdict, Refused> {
        let Some(function) = self.function else { return Ok(Verdict::Taken) };
        let response = handle::lend(Arc::as_ptr(response));
        let prepared = std::ptr::from_mut(prepared).cast();
        // SAFETY: as above.
        let status = outside_or(rf_callback_status(rf_status::RF_FAILED as i32), || unsafe {
            function(prepared, response, self.data.pointer())
        });
        match status.0 {
            0 => Ok(Verdict::Taken),
            again if again == rf_status::RF_AGAIN as i32 => Ok(Verdict::Again),
            _ => Err(Refused),
        }
    }

    fn named(&self) -> Result<NamedHook, String> {
        self.data.named(&self.name, self.function.map(|function| function as *const c_void))
    }
}

pub(super) struct BackgroundFunction {
    pub(super) function: rf_background_fn,
    pub(super) data: Data,
    pub(super) name: Name,
}

impl Hook for BackgroundFunction {
    fn call(&self, call: &mut HookCall, response: &Arc<Response>) -> Result<(), Refused> {
        let Some(function) = self.function else { return Ok(()) };
        let session = handle::lend_owner(&call.owner).cast_mut();
        let response = handle::lend(Arc::as_ptr(response));
        let call = std::ptr::from_mut(call).cast();
        // SAFETY: as above; the call holds the session.
        outcome(called(|| unsafe { function(call, session, response, self.data.pointer) }))
    }

    fn named(&self) -> Result<NamedHook, String> {
        self.name.with_pointer(self.function.map(|function| function as *const c_void), &self.data)
    }
}

pub(super) struct OutputFunction {
    pub(super) function: rf_write_fn,
    pub(super) data: Data,
}

impl Output for OutputFunction {
    fn write(&self, data: &[u8]) -> Result<(), Refused> {
        let Some(function) = self.function else { return Ok(()) };
        // SAFETY: the piece is readable for its length during the call.
        outcome(called(|| unsafe { function(data.as_ptr(), data.len(), self.data.pointer) }))
    }
}

pub(super) struct ProgressFunction {
    pub(super) function: rf_progress_fn,
    pub(super) data: Data,
}

impl Progress for ProgressFunction {
    fn report(
        &self,
        sent: u64,
        send_total: Option<u64>,
        received: u64,
        receive_total: Option<u64>,
    ) -> Result<(), Refused> {
        let Some(function) = self.function else { return Ok(()) };
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let total = |total: Option<u64>| total.map_or(-1, count);
        let (send_total, receive_total) = (total(send_total), total(receive_total));
        // SAFETY: the data lives until it is dropped.
        outcome(called(|| unsafe {
            function(count(sent), send_total, count(received), receive_total, self.data.pointer)
        }))
    }
}

pub(super) struct BodyReader {
    pub(super) read: rf_read_fn,
    pub(super) rewind: rf_rewind_fn,
    pub(super) data: Data,
}

impl Reader for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> i64 {
        let Some(function) = self.read else { return -1 };
        // SAFETY: the buffer is writable for its length during the call.
        outside_or(-1, || unsafe { function(buffer.as_mut_ptr(), buffer.len(), self.data.pointer) })
    }

    fn can_rewind(&self) -> bool {
        self.rewind.is_some()
    }

    fn rewind(&mut self) -> bool {
        let Some(function) = self.rewind else { return false };
        // SAFETY: the data lives until it is dropped.
        outcome(called(|| unsafe { function(self.data.pointer) })).is_ok()
    }
}

/// Bytes of C's that stay where they are.
pub(super) struct BorrowedBytes {
    pub(super) address: *const u8,
    pub(super) length: usize,
    /// Held for its drop function, which says that the bytes are no longer needed.
    pub(super) _data: Data,
}

// SAFETY: the caller promised that the bytes stay as they are until drop runs; they are only read.
unsafe impl Send for BorrowedBytes {}
// SAFETY: as above.
unsafe impl Sync for BorrowedBytes {}

impl Borrowed for BorrowedBytes {
    fn bytes(&self) -> &[u8] {
        if self.length == 0 {
            return &[];
        }
        // SAFETY: the caller promised `length` readable bytes until drop runs, and we hold that off.
        unsafe { std::slice::from_raw_parts(self.address, self.length) }
    }
}

pub(super) struct ResolveFunction {
    pub(super) function: rf_resolve_fn,
    pub(super) data: Data,
    pub(super) name: Name,
}

impl Resolve for ResolveFunction {
    fn resolve(&self, found: &mut Found, host: &str, port: u16) -> Result<(), Refused> {
        let Some(function) = self.function else { return Err(Refused) };
        let host = Terminated::copy_of(host);
        let lookup = std::ptr::from_mut(found).cast();
        // SAFETY: both live for the length of the call, and the data until it is dropped.
        let status = outside(|| unsafe { function(lookup, host.as_ptr().cast(), port, self.data.pointer) });
        outcome(status.into())
    }

    fn named(&self) -> Result<NamedHook, String> {
        self.name.with_pointer(self.function.map(|function| function as *const c_void), &self.data)
    }
}

pub(super) struct TraceFunction {
    pub(super) function: rf_trace_fn,
    pub(super) secrets: bool,
    pub(super) data: Data,
}

impl Trace for TraceFunction {
    fn tell(&self, future: u64, kind: Kind, data: &[u8]) {
        let Some(function) = self.function else { return };
        // SAFETY: the bytes are readable for their length during the call, and the user data lives until it is dropped.
        outside_or((), || unsafe {
            function(future, kind as i32, data.as_ptr(), data.len(), self.data.pointer)
        });
    }

    fn is_told_secrets(&self) -> bool {
        self.secrets
    }
}

pub(super) struct LogFunction {
    pub(super) function: rf_log_fn,
    pub(super) data: Data,
}

impl Log for LogFunction {
    fn warn(&self, message: &str) {
        let message = Terminated::new(message);
        if let Some(function) = self.function {
            // SAFETY: the message lives for the length of the call, and the data until it is dropped.
            outside(|| unsafe { function(message.as_ptr().cast(), self.data.pointer) });
        }
    }
}

impl UserData for Data {
    fn address(&self) -> usize {
        self.pointer as usize
    }
}
