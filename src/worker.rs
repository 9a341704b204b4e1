//! The program of a worker process.
//!
//! Hooks live in shared objects that link the shared library, so the library that serves here must be that very one: it
//! is loaded, not linked. The process that starts a worker names it; otherwise it lies beside this program, in the
//! `lib` that belongs to its `libexec`, or where the system looks for shared libraries.

use std::env;
use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::fs;
use std::io::{self, Write};
use std::mem;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::exit;

const VERSION: &str = env!("CARGO_PKG_VERSION");

const NAMES: [&str; 2] = if cfg!(target_vendor = "apple") {
    ["librequests_futures.0.dylib", "librequests_futures.dylib"]
} else {
    ["librequests_futures.so.0", "librequests_futures.so"]
};

fn main() {
    close_inherited();
    // Where it lies nowhere near, the system's loader knows the place of what is installed.
    let library = env::args_os().nth(1).map(PathBuf::from).or_else(beside);
    match load(&library.unwrap_or_else(|| NAMES[0].into())) {
        Ok(main) => exit(main()),
        Err(why) => {
            // The process that started this one reads it.
            // SAFETY: the standard input is open as long as the program runs.
            let input = unsafe { BorrowedFd::borrow_raw(0) };
            let told = input.try_clone_to_owned().map(|input: OwnedFd| tell(input, &why));
            if !matches!(told, Ok(Ok(()))) {
                let _ = writeln!(io::stderr(), "requests-futures-worker: {why}");
            }
            exit(127);
        }
    }
}

/// What the program has open and did not mark as its own came along: a listening socket would keep its port. Only the
/// three standard descriptors are meant for a worker, whose own come later.
fn close_inherited() {
    const FIRST: c_uint = 3;
    #[cfg(target_os = "linux")]
    // SAFETY: nothing in this process has opened a descriptor yet that it would miss.
    if unsafe { libc::syscall(libc::SYS_close_range, FIRST, c_uint::MAX, 0) } == 0 {
        return;
    }
    let folder = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    let numbers = fs::read_dir(folder).into_iter().flatten().flatten();
    let open: Vec<c_int> = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|number| *number >= FIRST as c_int) {
        // SAFETY: as above; that of the folder is closed already.
        unsafe { libc::close(descriptor) };
    }
}

fn tell(to: OwnedFd, why: &str) -> io::Result<()> {
    std::os::unix::net::UnixStream::from(to).write_all(why.as_bytes())
}

fn beside() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let folder = program.parent()?;
    let folders = [folder.to_path_buf(), folder.join("../../lib"), folder.join("../../lib64")];
    let all = folders.iter().flat_map(|folder| NAMES.map(|name| folder.join(name)));
    all.into_iter().find(|path| path.is_file())
}

/// The library's function for workers.
fn load(path: &Path) -> Result<extern "C" fn() -> c_int, String> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| "its path holds a NUL".to_string())?;
    // SAFETY: a NUL-terminated path of the library that this program is made for.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    let function = |name: &CStr| {
        // SAFETY: the handle is checked before it is used, and the name ends with a NUL.
        let function = if handle.is_null() { handle } else { unsafe { libc::dlsym(handle, name.as_ptr()) } };
        if function.is_null() {
            // SAFETY: the loader's own text, which lives until this thread's next call.
            let why = unsafe { libc::dlerror().cast_const().as_ref().map(|text| CStr::from_ptr(text)) };
            let why = why.map_or("unknown".into(), CStr::to_string_lossy);
            return Err(format!("the library {} cannot be loaded: {why}", path.display()));
        }
        Ok(function)
    };
    // SAFETY: the library exports functions of these types under these names, in every version.
    let version = unsafe {
        mem::transmute::<*mut libc::c_void, extern "C" fn() -> *const c_char>(function(c"rf_version")?)
    };
    // SAFETY: as above.
    let main = unsafe {
        mem::transmute::<*mut libc::c_void, extern "C" fn() -> c_int>(function(c"rf_worker_main")?)
    };
    // What the two say to each other is theirs alone, and may be another in each version.
    // SAFETY: a string that lives as long as the library.
    let version = unsafe { CStr::from_ptr(version()) }.to_string_lossy();
    if version != VERSION {
        let (path, program) = (path.display(), env::current_exe().unwrap_or_default());
        return Err(format!(
            "the library {path} is of version {version}, and the worker program {} of version {VERSION}: install both \
             of one version",
            program.display()
        ));
    }
    Ok(main)
}
