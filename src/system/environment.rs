//! The environment variables that a request takes with it when it is submitted.
//!
//! Submitting is the hot path, so one pass over `environ` answers for all names at once, looks at little more
//! than the first byte of each variable, and allocates only when a value differs from the last one seen. The
//! C library's own list is read, not a copy of it: what the program set with `setenv` or `putenv` a moment
//! ago counts. As with `getenv`, a program must not change its environment while another thread reads it.

use std::ffi::{CStr, OsStr, c_char};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::system::fork::PerProcess;

/// What the environment said when a request was submitted. Never changes afterwards.
///
/// Empty values count as unset, except for `netrc`: `NETRC=` says that there is no such file, rather than
/// that the usual places are to be looked at. `HOME` is no part of it, see [`home`].
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// `http_proxy`, or else `HTTP_PROXY`.
    pub http_proxy: Option<String>,
    /// `https_proxy`, or else `HTTPS_PROXY`.
    pub https_proxy: Option<String>,
    /// `all_proxy`, or else `ALL_PROXY`.
    pub all_proxy: Option<String>,
    /// `no_proxy`, or else `NO_PROXY`.
    pub no_proxy: Option<String>,
    /// `NETRC`, as it was written: a leading `~` is still there.
    pub netrc: Option<PathBuf>,
    /// `REQUESTS_CA_BUNDLE`.
    pub requests_ca_bundle: Option<PathBuf>,
    /// `CURL_CA_BUNDLE`.
    pub curl_ca_bundle: Option<PathBuf>,
    /// `SSLKEYLOGFILE`, unless the program runs with the rights of others than those who started it.
    pub ssl_key_log_file: Option<PathBuf>,
}

/// The last snapshot. Only ever tried: who finds it locked makes one of his own.
static LAST: PerProcess<Mutex<Option<Arc<Environment>>>> = PerProcess::new(|_| Mutex::new(None));

impl Environment {
    /// The environment as it is now; `None` when it says nothing that a request would ask for.
    ///
    /// As long as the values stay the same, snapshots share one allocation.
    pub fn snapshot() -> Option<Arc<Environment>> {
        let list = current();
        // SAFETY: `list` is the C library's environment: NULL, or a NULL-terminated list of NUL-terminated
        // strings, which the program leaves alone while it calls us; nothing borrowed outlives this function.
        let values = unsafe { Values::read(list) };
        if values == Values::default() {
            return None;
        }
        let Some(mut last) = LAST.get().try_lock() else { return Some(Arc::new(values.to_environment())) };
        Some(match &*last {
            Some(known) if values.are_those_of(known) => known.clone(),
            _ => last.insert(Arc::new(values.to_environment())).clone(),
        })
    }

    /// The proxy for URLs of `scheme`, whatever `no_proxy` says.
    pub fn proxy(&self, scheme: &str) -> Option<&str> {
        let own = match scheme {
            "http" => &self.http_proxy,
            "https" => &self.https_proxy,
            _ => &None,
        };
        own.as_deref().or(self.all_proxy.as_deref())
    }

    /// The certificates to trust in place of the system's: a PEM file or a directory.
    pub fn ca_bundle(&self) -> Option<&Path> {
        self.requests_ca_bundle.as_deref().or(self.curl_ca_bundle.as_deref())
    }

    /// What of it counts on another machine: its paths do not, and no netrc does there.
    pub fn for_other_machine(self) -> Environment {
        let Environment { http_proxy, https_proxy, all_proxy, no_proxy, .. } = self;
        let mut other =
            Environment { http_proxy, https_proxy, all_proxy, no_proxy, ..Environment::default() };
        other.without_netrc();
        other
    }

    /// No netrc counts, not even one that is where it is looked for.
    pub fn without_netrc(&mut self) {
        self.netrc = Some(PathBuf::new());
    }

    /// Paths to files, as they were given.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.netrc, &self.requests_ca_bundle, &self.curl_ca_bundle, &self.ssl_key_log_file]
            .into_iter()
            .flatten()
    }

    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.netrc, &mut self.requests_ca_bundle, &mut self.curl_ca_bundle, &mut self.ssl_key_log_file]
            .into_iter()
            .flatten()
    }
}

/// Only which variables are set: proxies carry passwords, and this ends up in messages.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = [
            ("http_proxy", self.http_proxy.is_some()),
            ("https_proxy", self.https_proxy.is_some()),
            ("all_proxy", self.all_proxy.is_some()),
            ("no_proxy", self.no_proxy.is_some()),
            ("NETRC", self.netrc.is_some()),
            ("REQUESTS_CA_BUNDLE", self.requests_ca_bundle.is_some()),
            ("CURL_CA_BUNDLE", self.curl_ca_bundle.is_some()),
            ("SSLKEYLOGFILE", self.ssl_key_log_file.is_some()),
        ];
        f.write_str("Environment ")?;
        f.debug_set().entries(set.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name)).finish()
    }
}

/// The user's home directory: `HOME`, or what the user database says.
///
/// Asked for when a netrc file is looked for, not when a request is submitted: nearly every process has a
/// `HOME`, so a snapshot that held it would allocate for everybody, and no program moves home between the
/// two.
pub fn home() -> Option<PathBuf> {
    std::env::home_dir()
}

/// Whether HOME, which [`home`] goes by, still has this value. Costs less than to ask for the value.
pub fn is_home_variable(known: Option<&OsStr>) -> bool {
    // SAFETY: the name is a C string, and the program leaves its environment alone while it is read; nothing borrowed
    // outlives this function.
    unsafe {
        let value = libc::getenv(c"HOME".as_ptr());
        let now = (!value.is_null()).then(|| CStr::from_ptr(value).to_bytes());
        now == known.map(OsStr::as_bytes)
    }
}

/// Whether the environment is that of somebody with fewer privileges, as in a set-uid program.
pub fn is_privileged() -> bool {
    #[cfg(target_os = "linux")]
    // SAFETY: no pointers.
    return unsafe { libc::getauxval(libc::AT_SECURE) != 0 };
    #[cfg(any(
        target_vendor = "apple",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd"
    ))]
    // SAFETY: no pointers.
    return unsafe { issetugid() != 0 };
    #[allow(unreachable_code)]
    // SAFETY: no pointers.
    unsafe {
        libc::getuid() != libc::geteuid() || libc::getgid() != libc::getegid()
    }
}

#[cfg(any(target_vendor = "apple", target_os = "freebsd", target_os = "netbsd", target_os = "openbsd"))]
unsafe extern "C" {
    // The libc crate does not declare it for all of these.
    fn issetugid() -> std::ffi::c_int;
}

/// The list that `getenv` reads. NULL after `clearenv`.
#[cfg(not(target_vendor = "apple"))]
fn current() -> *const *const c_char {
    unsafe extern "C" {
        // `mut` because C code changes it, so that no two reads may be taken for one.
        static mut environ: *const *const c_char;
    }
    // SAFETY: POSIX defines this variable, and reading the pointer is what `getenv` does as well.
    unsafe { environ }
}

/// The list that `getenv` reads. Apple's dynamic libraries cannot name `environ` itself.
#[cfg(target_vendor = "apple")]
fn current() -> *const *const c_char {
    // SAFETY: the function has no preconditions and returns the address of the process's `environ`.
    unsafe { (*libc::_NSGetEnviron()).cast_const().cast() }
}

/// The effective values, borrowed from the environment itself.
#[derive(Default, PartialEq, Eq)]
struct Values<'a> {
    http_proxy: Option<&'a [u8]>,
    https_proxy: Option<&'a [u8]>,
    all_proxy: Option<&'a [u8]>,
    no_proxy: Option<&'a [u8]>,
    netrc: Option<&'a [u8]>,
    requests_ca_bundle: Option<&'a [u8]>,
    curl_ca_bundle: Option<&'a [u8]>,
    ssl_key_log_file: Option<&'a [u8]>,
}

impl<'a> Values<'a> {
    /// Reads all variables in one pass and settles which of them count, as Python's `getproxies_environment`
    /// and requests' `should_bypass_proxies` do.
    ///
    /// # Safety
    /// `list` is NULL, or a NULL-terminated list of NUL-terminated strings that live and stay as they are
    /// for `'a`.
    unsafe fn read(list: *const *const c_char) -> Values<'a> {
        // SAFETY: exactly what our caller promises.
        let found = unsafe { Found::read(list) };
        // A lower-case proxy variable that is set but empty hides the upper-case one: that is how one proxy
        // is switched off for a single command.
        let first = |lower: Option<&'a [u8]>, upper: Option<&'a [u8]>| set(lower.or(upper));
        Values {
            // To a CGI program HTTP_PROXY may come from the client's "Proxy:" header (CVE-2016-1000110).
            http_proxy: first(found.http_lower, found.http_upper.filter(|_| found.request_method.is_none())),
            https_proxy: first(found.https_lower, found.https_upper),
            all_proxy: first(found.all_lower, found.all_upper),
            // An empty no_proxy hides nothing: requests asks `get("no_proxy") or get("NO_PROXY")`.
            no_proxy: set(found.no_lower).or(set(found.no_upper)),
            netrc: found.netrc,
            requests_ca_bundle: set(found.requests_ca_bundle),
            curl_ca_bundle: set(found.curl_ca_bundle),
            ssl_key_log_file: set(found.ssl_key_log_file).filter(|_| !is_privileged()),
        }
    }

    fn are_those_of(&self, known: &Environment) -> bool {
        let text = |value: Option<&[u8]>, known: &Option<String>| match (value, known) {
            (Some(value), Some(known)) => {
                value == known.as_bytes() || String::from_utf8_lossy(value) == *known
            }
            (None, None) => true,
            _ => false,
        };
        let path = |value: Option<&[u8]>, known: &Option<PathBuf>| {
            value == known.as_ref().map(|known| known.as_os_str().as_bytes())
        };
        text(self.http_proxy, &known.http_proxy)
            && text(self.https_proxy, &known.https_proxy)
            && text(self.all_proxy, &known.all_proxy)
            && text(self.no_proxy, &known.no_proxy)
            && path(self.netrc, &known.netrc)
            && path(self.requests_ca_bundle, &known.requests_ca_bundle)
            && path(self.curl_ca_bundle, &known.curl_ca_bundle)
            && path(self.ssl_key_log_file, &known.ssl_key_log_file)
    }

    fn to_environment(&self) -> Environment {
        let text = |value: Option<&[u8]>| value.map(|value| String::from_utf8_lossy(value).into_owned());
        let path = |value: Option<&[u8]>| value.map(|value| PathBuf::from(OsStr::from_bytes(value)));
        Environment {
            http_proxy: text(self.http_proxy),
            https_proxy: text(self.https_proxy),
            all_proxy: text(self.all_proxy),
            no_proxy: text(self.no_proxy),
            netrc: path(self.netrc),
            requests_ca_bundle: path(self.requests_ca_bundle),
            curl_ca_bundle: path(self.curl_ca_bundle),
            ssl_key_log_file: path(self.ssl_key_log_file),
        }
    }
}

fn set(value: Option<&[u8]>) -> Option<&[u8]> {
    value.filter(|value| !value.is_empty())
}

/// What stands in the list, before anything is decided.
#[derive(Default)]
struct Found<'a> {
    http_lower: Option<&'a [u8]>,
    http_upper: Option<&'a [u8]>,
    https_lower: Option<&'a [u8]>,
    https_upper: Option<&'a [u8]>,
    all_lower: Option<&'a [u8]>,
    all_upper: Option<&'a [u8]>,
    no_lower: Option<&'a [u8]>,
    no_upper: Option<&'a [u8]>,
    netrc: Option<&'a [u8]>,
    requests_ca_bundle: Option<&'a [u8]>,
    curl_ca_bundle: Option<&'a [u8]>,
    ssl_key_log_file: Option<&'a [u8]>,
    request_method: Option<&'a [u8]>,
}

/// For every first letter of a name, the second letters that are worth a closer look, as bits by their place
/// in the alphabet. Nearly all variables end here, by a branch that is nearly always the same.
static SECOND: [u32; 256] = {
    let mut bits = [0; 256];
    let mut index = 0;
    let pairs = *b"htHTalALnoNONERECUSS";
    while index < pairs.len() {
        bits[pairs[index] as usize] |= 1 << (pairs[index + 1] & 31);
        index += 2;
    }
    bits
};

impl<'a> Found<'a> {
    /// # Safety
    /// As for [`Values::read`].
    unsafe fn read(list: *const *const c_char) -> Found<'a> {
        let mut found = Found::default();
        if list.is_null() {
            return found;
        }
        let mut next = list;
        loop {
            // SAFETY: `next` has not passed the list's final NULL, so it points into the list.
            let entry = unsafe { *next }.cast::<u8>();
            if entry.is_null() {
                return found;
            }
            // SAFETY: `entry` is not the final NULL, so there is one more behind it.
            next = unsafe { next.add(1) };
            // SAFETY: `entry` is a C string: it has at least its NUL.
            let first = unsafe { *entry };
            if first == 0 {
                continue;
            }
            // SAFETY: the first byte is no NUL, so the string has a second one.
            let second = unsafe { *entry.add(1) };
            if SECOND[usize::from(first)] >> (second & 31) & 1 == 0 {
                continue;
            }
            // SAFETY: a C string, as before, that stays for 'a as our caller promises.
            let is = |name: &[u8]| unsafe { value_of(entry, name) };
            // The variable that comes first counts when a name stands there twice, as with `getenv`.
            match [first, second] {
                [b'h', b't'] => {
                    keep(&mut found.http_lower, is(b"http_proxy="));
                    keep(&mut found.https_lower, is(b"https_proxy="));
                }
                [b'H', b'T'] => {
                    keep(&mut found.http_upper, is(b"HTTP_PROXY="));
                    keep(&mut found.https_upper, is(b"HTTPS_PROXY="));
                }
                [b'a', b'l'] => keep(&mut found.all_lower, is(b"all_proxy=")),
                [b'A', b'L'] => keep(&mut found.all_upper, is(b"ALL_PROXY=")),
                [b'n', b'o'] => keep(&mut found.no_lower, is(b"no_proxy=")),
                [b'N', b'O'] => keep(&mut found.no_upper, is(b"NO_PROXY=")),
                [b'N', b'E'] => keep(&mut found.netrc, is(b"NETRC=")),
                [b'R', b'E'] => {
                    keep(&mut found.requests_ca_bundle, is(b"REQUESTS_CA_BUNDLE="));
                    keep(&mut found.request_method, is(b"REQUEST_METHOD="));
                }
                [b'C', b'U'] => keep(&mut found.curl_ca_bundle, is(b"CURL_CA_BUNDLE=")),
                [b'S', b'S'] => keep(&mut found.ssl_key_log_file, is(b"SSLKEYLOGFILE=")),
                _ => {}
            }
        }
    }
}

fn keep<'a>(slot: &mut Option<&'a [u8]>, value: Option<&'a [u8]>) {
    if slot.is_none() {
        *slot = value;
    }
}

/// What follows `name` (which ends with `=`) in `entry`.
///
/// # Safety
/// `entry` is a NUL-terminated string that lives and stays as it is for `'a`.
unsafe fn value_of<'a>(entry: *const u8, name: &[u8]) -> Option<&'a [u8]> {
    for (index, expected) in name.iter().enumerate() {
        // SAFETY: all bytes before this one were equal to those of `name`, which holds no NUL, so the
        // string has not ended before `index`.
        if unsafe { *entry.add(index) } != *expected {
            return None;
        }
    }
    // SAFETY: the whole name matched, so the string goes on behind it, if only with its NUL.
    Some(unsafe { CStr::from_ptr(entry.add(name.len()).cast()) }.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::process::Command;

    /// The environment that a process with exactly these variables would see.
    fn read(variables: &[&str]) -> Environment {
        let strings: Vec<CString> = variables.iter().map(|text| CString::new(*text).unwrap()).collect();
        let mut list: Vec<*const c_char> = strings.iter().map(|text| text.as_ptr()).collect();
        list.push(std::ptr::null());
        // SAFETY: the list ends with NULL, and the strings outlive the values borrowed from them.
        unsafe { Values::read(list.as_ptr()) }.to_environment()
    }

    #[test]
    fn every_variable_is_found_in_either_case() {
        let lower = read(&["x=y", "http_proxy=1", "https_proxy=2", "all_proxy=3", "no_proxy=4"]);
        let upper = read(&["HTTP_PROXY=1", "HTTPS_PROXY=2", "ALL_PROXY=3", "NO_PROXY=4", "HOME=/"]);
        assert_eq!(lower, upper);
        assert_eq!(
            (lower.proxy("http"), lower.proxy("https"), lower.proxy("ftp")),
            (Some("1"), Some("2"), Some("3"))
        );
        assert_eq!(lower.no_proxy.as_deref(), Some("4"));

        let files = read(&["NETRC=/n", "CURL_CA_BUNDLE=/c"]);
        assert_eq!(files.netrc.as_deref(), Some(Path::new("/n")));
        assert_eq!(files.ca_bundle(), Some(Path::new("/c")));
        assert_eq!(read(&["CURL_CA_BUNDLE=/c", "REQUESTS_CA_BUNDLE=/r"]).ca_bundle(), Some(Path::new("/r")));
        assert_eq!(read(&["CURL_CA_BUNDLE=/c", "REQUESTS_CA_BUNDLE="]).ca_bundle(), Some(Path::new("/c")));
    }

    #[test]
    fn lower_case_wins_even_when_it_is_empty() {
        assert_eq!(read(&["HTTP_PROXY=upper", "http_proxy=lower"]).http_proxy.as_deref(), Some("lower"));
        assert_eq!(read(&["http_proxy=lower", "HTTP_PROXY=upper"]).http_proxy.as_deref(), Some("lower"));
        assert_eq!(read(&["http_proxy=", "HTTP_PROXY=upper"]).http_proxy, None);
        assert_eq!(read(&["HTTPS_PROXY=upper", "https_proxy="]).https_proxy, None);
        // ... but for no_proxy, where requests falls back to the other case.
        assert_eq!(read(&["no_proxy=", "NO_PROXY=upper"]).no_proxy.as_deref(), Some("upper"));
    }

    #[test]
    fn http_proxy_in_upper_case_is_ignored_in_a_cgi_program() {
        assert_eq!(read(&["REQUEST_METHOD=GET", "HTTP_PROXY=upper"]).http_proxy, None);
        assert_eq!(read(&["HTTP_PROXY=upper", "REQUEST_METHOD="]).http_proxy, None);
        let cgi = read(&["REQUEST_METHOD=GET", "http_proxy=lower", "HTTPS_PROXY=upper"]);
        assert_eq!((cgi.proxy("http"), cgi.proxy("https")), (Some("lower"), Some("upper")));
    }

    #[test]
    fn names_that_only_begin_or_end_alike_are_not_taken() {
        let none = [
            "http_proxyx=1",
            "http_prox=1",
            "xhttp_proxy=1",
            "http_proxy",
            "Http_Proxy=1",
            "",
            "h",
            "=",
            "NETRC",
        ];
        assert_eq!(read(&none), Environment::default());
        assert_eq!(read(&["NETRC="]).netrc.as_deref(), Some(Path::new("")));
        assert_eq!(read(&["http_proxy=first", "http_proxy=second"]).http_proxy.as_deref(), Some("first"));
    }

    #[test]
    fn an_environment_that_was_cleared_is_empty() {
        // SAFETY: NULL is explicitly allowed.
        assert!(unsafe { Values::read(std::ptr::null()) } == Values::default());
    }

    #[test]
    fn its_debug_text_shows_no_value() {
        let text = format!("{:?}", read(&["http_proxy=http://u:secret@p", "NETRC=/n"]));
        assert_eq!(text, r#"Environment {"http_proxy", "NETRC"}"#);
    }

    #[test]
    fn values_that_are_not_utf8_are_taken_and_recognised_again() {
        let bytes = Values { http_proxy: Some(b"http://p\xff"), netrc: Some(b"/\xff"), ..Values::default() };
        let environment = bytes.to_environment();
        assert_eq!(environment.http_proxy.as_deref(), Some("http://p\u{fffd}"));
        assert_eq!(environment.netrc.as_ref().unwrap().as_os_str().as_bytes(), b"/\xff");
        assert!(bytes.are_those_of(&environment));
    }

    /// Not run by itself: `setenv` in a test binary would race with every other test.
    fn in_a_process_of_its_own(test: &str, body: fn()) {
        const MARK: &str = "REQUESTS_FUTURES_TEST_CHILD";
        if std::env::var_os(MARK).is_some() {
            return body();
        }
        let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--test-threads=1", "--nocapture"])
            .env_clear()
            .env(MARK, "1")
            .env("HOME", "/home/of/test")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}{output:?}");
    }

    fn set_as_c_does(name: &CStr, value: &CStr) {
        // SAFETY: two C strings; this process runs one test only, so no other thread reads the environment.
        assert_eq!(unsafe { libc::setenv(name.as_ptr(), value.as_ptr(), 1) }, 0);
    }

    #[test]
    fn a_snapshot_sees_what_a_c_program_set_a_moment_ago() {
        in_a_process_of_its_own("a_snapshot_sees_what_a_c_program_set_a_moment_ago", || {
            assert_eq!(Environment::snapshot(), None, "HOME alone is nothing");
            assert_eq!(home().as_deref(), Some(Path::new("/home/of/test")));

            set_as_c_does(c"http_proxy", c"http://one");
            let one = Environment::snapshot().unwrap();
            assert_eq!(one.proxy("http"), Some("http://one"));
            set_as_c_does(c"http_proxy", c"http://two");
            let two = Environment::snapshot().unwrap();
            assert_eq!((one.proxy("http"), two.proxy("http")), (Some("http://one"), Some("http://two")));

            // putenv keeps the program's own bytes, which it may write to afterwards.
            let own = CString::new("http_proxy=http://put").unwrap().into_raw();
            // SAFETY: the string is leaked, so it outlives the process's environment.
            assert_eq!(unsafe { libc::putenv(own) }, 0);
            assert_eq!(Environment::snapshot().unwrap().proxy("http"), Some("http://put"));
            // SAFETY: still inside that string, whose last letter this is.
            unsafe { *own.add(20) = b'T' as c_char };
            assert_eq!(Environment::snapshot().unwrap().proxy("http"), Some("http://puT"));

            // SAFETY: a C string, in a process where nobody else reads the environment.
            assert_eq!(unsafe { libc::unsetenv(c"http_proxy".as_ptr()) }, 0);
            assert_eq!(Environment::snapshot(), None);
        });
    }

    #[test]
    fn snapshots_of_the_same_values_are_one_allocation() {
        in_a_process_of_its_own("snapshots_of_the_same_values_are_one_allocation", || {
            set_as_c_does(c"https_proxy", c"http://one");
            set_as_c_does(c"NETRC", c"/n");
            let first = Environment::snapshot().unwrap();
            assert!(Arc::ptr_eq(&first, &Environment::snapshot().unwrap()));
            set_as_c_does(c"UNRELATED", c"1");
            assert!(Arc::ptr_eq(&first, &Environment::snapshot().unwrap()));
            set_as_c_does(c"NETRC", c"/other");
            assert!(!Arc::ptr_eq(&first, &Environment::snapshot().unwrap()));
        });
    }
}
