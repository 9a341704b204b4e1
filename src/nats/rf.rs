//! The public C interface of requests-futures, as far as it is used here.

use std::ffi::{c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

macro_rules! opaque {
    ($($name:ident),*) => {
        $(#[allow(non_camel_case_types)]
        #[repr(C)]
        pub struct $name {
            _opaque: [u8; 0],
        })*
    };
}

opaque!(rf_executor, rf_task, rf_reply, rf_stop);

#[allow(non_camel_case_types)]
pub type rf_status = c_int;

pub const RF_OK: c_int = 0;
pub const RF_FAILED: c_int = 3;
pub const RF_END: c_int = 4;
pub const RF_E_NULL: c_int = -1;
pub const RF_E_INVALID: c_int = -2;
pub const RF_E_SHUTDOWN: c_int = -3;
pub const RF_E_RESOURCE: c_int = -6;
pub const RF_E_STATE: c_int = -7;

pub const RF_ERROR_BROKEN_POOL: c_int = 104;
pub const RF_ERROR_NOT_TRANSFERABLE: c_int = 105;

pub const RF_ENCODE_OTHER_MACHINE: c_int = 1;
pub const RF_EXECUTE_NO_HOOKS: c_int = 1;
pub const RF_EXECUTE_NO_FILES: c_int = 2;

#[allow(non_camel_case_types)]
#[repr(C)]
pub struct rf_executor_ops {
    pub size: usize,
    pub submit: Option<unsafe extern "C" fn(*mut rf_task, *mut c_void) -> c_int>,
    pub shutdown: Option<unsafe extern "C" fn(bool, bool, *mut c_void)>,
    pub ended: Option<unsafe extern "C" fn(u64, *mut c_void)>,
}

unsafe extern "C" {
    pub fn rf_executor_new_custom(
        ops: *const rf_executor_ops,
        user_data: *mut c_void,
        drop: Option<unsafe extern "C" fn(*mut c_void)>,
        out: *mut *mut rf_executor,
    ) -> c_int;
    pub fn rf_task_id(task: *const rf_task) -> u64;
    pub fn rf_task_url(task: *const rf_task) -> *const c_char;
    pub fn rf_task_is_repeatable(task: *const rf_task) -> bool;
    pub fn rf_task_start(task: *mut rf_task) -> c_int;
    pub fn rf_task_fail(task: *mut rf_task, kind: c_int, message: *const c_char) -> c_int;
    pub fn rf_task_free(task: *mut rf_task);
    pub fn rf_task_format() -> u32;
    pub fn rf_task_encode_for(
        task: *const rf_task,
        flags: c_int,
        bytes: *mut *mut u8,
        length: *mut usize,
    ) -> c_int;
    pub fn rf_bytes_free(bytes: *mut u8, length: usize);
    pub fn rf_task_execute_to(
        bytes: *const u8,
        length: usize,
        flags: c_int,
        stop: *mut rf_stop,
        write: Option<unsafe extern "C" fn(*const u8, usize, *mut c_void) -> c_int>,
        user_data: *mut c_void,
    ) -> c_int;
    pub fn rf_stop_new(out: *mut *mut rf_stop) -> c_int;
    pub fn rf_stop_set(stop: *mut rf_stop);
    pub fn rf_stop_free(stop: *mut rf_stop);
    pub fn rf_reply_new(task: *const rf_task, out: *mut *mut rf_reply) -> c_int;
    pub fn rf_reply_add(reply: *mut rf_reply, piece: *const u8, length: usize) -> c_int;
    pub fn rf_reply_free(reply: *mut rf_reply);
    pub fn rf_task_complete_with(task: *mut rf_task, reply: *mut rf_reply) -> c_int;
}

/// A task, which one thread at a time uses, and which is freed unless somebody ends it.
pub struct Task(*mut rf_task);

// SAFETY: a task may go from thread to thread; one at a time has it.
unsafe impl Send for Task {}

impl Task {
    /// Takes over what an executor was given.
    ///
    /// # Safety
    /// The task is the caller's, who does not use it any more.
    pub unsafe fn own(task: *mut rf_task) -> Task {
        Task(task)
    }

    /// Gives it back as it is.
    pub fn into_raw(mut self) -> *mut rf_task {
        std::mem::replace(&mut self.0, std::ptr::null_mut())
    }

    pub fn id(&self) -> u64 {
        // SAFETY: the task is alive.
        unsafe { rf_task_id(self.0) }
    }

    /// Without userinfo.
    pub fn url(&self) -> String {
        // SAFETY: the task is alive, and so is its string, which may be NULL.
        unsafe {
            let url = rf_task_url(self.0);
            if url.is_null() {
                String::new()
            } else {
                std::ffi::CStr::from_ptr(url).to_string_lossy().into_owned()
            }
        }
    }

    pub fn is_repeatable(&self) -> bool {
        // SAFETY: the task is alive.
        unsafe { rf_task_is_repeatable(self.0) }
    }

    /// False: it is not to be carried out.
    pub fn start(&self) -> bool {
        // SAFETY: the task is alive, and this thread has it.
        unsafe { rf_task_start(self.0) == RF_OK }
    }

    /// The status where there are no bytes.
    pub fn encode(&self) -> Result<Vec<u8>, c_int> {
        let (mut bytes, mut length) = (std::ptr::null_mut(), 0);
        // SAFETY: the task is alive, and what is given belongs to us until it is freed.
        unsafe {
            match rf_task_encode_for(self.0, RF_ENCODE_OTHER_MACHINE, &raw mut bytes, &raw mut length) {
                RF_OK => {
                    let copy = std::slice::from_raw_parts(bytes, length).to_vec();
                    rf_bytes_free(bytes, length);
                    Ok(copy)
                }
                status => Err(status),
            }
        }
    }

    pub fn fail(mut self, kind: c_int, message: &str) {
        let message = std::ffi::CString::new(message.replace('\0', " ")).unwrap_or_default();
        // SAFETY: the task is alive, and gone when that was accepted.
        if unsafe { rf_task_fail(self.0, kind, message.as_ptr()) } == RF_OK {
            self.0 = std::ptr::null_mut();
        }
    }

    /// For a reply to it.
    pub fn reply(&self) -> Option<Reply> {
        let mut reply = std::ptr::null_mut();
        // SAFETY: the task is alive.
        (unsafe { rf_reply_new(self.0, &raw mut reply) } == RF_OK).then_some(Reply(reply))
    }

    pub fn complete(mut self, mut reply: Reply) {
        // SAFETY: both are alive, and gone when that was accepted.
        if unsafe { rf_task_complete_with(self.0, reply.0) } == RF_OK {
            self.0 = std::ptr::null_mut();
            reply.0 = std::ptr::null_mut();
        } else {
            self.fail(RF_ERROR_BROKEN_POOL, "The reply to the request could not be read; it was carried out");
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // SAFETY: it is ours, or NULL.
        unsafe { rf_task_free(self.0) };
    }
}

/// A reply that comes in pieces.
pub struct Reply(*mut rf_reply);

// SAFETY: one thread at a time has it.
unsafe impl Send for Reply {}

/// What a piece has made of a reply.
pub enum Added {
    More,
    Whole,
    /// It was no reply.
    Nonsense,
}

impl Reply {
    pub fn add(&mut self, piece: &[u8]) -> Added {
        // SAFETY: the reply is alive, and the bytes are there.
        match unsafe { rf_reply_add(self.0, piece.as_ptr(), piece.len()) } {
            RF_OK => Added::More,
            RF_END => Added::Whole,
            _ => Added::Nonsense,
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // SAFETY: it is ours, or NULL.
        unsafe { rf_reply_free(self.0) };
    }
}

/// Ends an execution.
pub struct Stop(*mut rf_stop, AtomicBool);

// SAFETY: any thread may use it.
unsafe impl Send for Stop {}
// SAFETY: as above.
unsafe impl Sync for Stop {}

impl Stop {
    pub fn new() -> Option<Stop> {
        let mut stop = std::ptr::null_mut();
        // SAFETY: a pointer to write to.
        (unsafe { rf_stop_new(&raw mut stop) } == RF_OK).then(|| Stop(stop, AtomicBool::new(false)))
    }

    pub fn is_set(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }

    pub fn set(&self) {
        self.1.store(true, Ordering::Relaxed);
        // SAFETY: it is alive.
        unsafe { rf_stop_set(self.0) };
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        // SAFETY: it is ours.
        unsafe { rf_stop_free(self.0) };
    }
}

/// Carries a task out on this thread. `write` takes its reply in pieces, and says whether it goes on.
pub fn execute(bytes: &[u8], flags: c_int, stop: &Stop, mut write: impl FnMut(&[u8]) -> bool) -> c_int {
    unsafe extern "C" fn call<F: FnMut(&[u8]) -> bool>(
        data: *const u8,
        length: usize,
        write: *mut c_void,
    ) -> c_int {
        // SAFETY: the library calls this on our thread with what we gave it, and the bytes are there.
        let (write, piece) = unsafe { (&mut *write.cast::<F>(), std::slice::from_raw_parts(data, length)) };
        if write(piece) { RF_OK } else { RF_FAILED }
    }
    fn of<F: FnMut(&[u8]) -> bool>(_: &F) -> unsafe extern "C" fn(*const u8, usize, *mut c_void) -> c_int {
        call::<F>
    }
    let function = of(&write);
    // SAFETY: all of it lives as long as the call.
    unsafe {
        rf_task_execute_to(
            bytes.as_ptr(),
            bytes.len(),
            flags,
            stop.0,
            Some(function),
            (&raw mut write).cast(),
        )
    }
}

/// The version of the bytes of tasks.
pub fn format() -> u32 {
    // SAFETY: no arguments.
    unsafe { rf_task_format() }
}

/// Gives a value to who calls this library.
#[expect(clippy::disallowed_methods, reason = "this is the place where values become pointers")]
pub fn give<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Takes it back.
///
/// # Safety
/// [`give`] has given it, and nobody uses it any more.
#[expect(clippy::disallowed_methods, reason = "this is the place where pointers become values")]
pub unsafe fn take<T>(pointer: *mut T) -> T {
    // SAFETY: as above.
    *unsafe { Box::from_raw(pointer) }
}
