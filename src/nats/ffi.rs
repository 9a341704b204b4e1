//! The C face.

#![allow(
    clippy::missing_safety_doc,
    reason = "the comments are those of the C header, and the rules stand there"
)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::null_mut;
use std::time::Duration;

use crate::client::{Executor, functions};
use crate::message::{Names, PARTITIONS};
use crate::rf::{self, RF_E_INVALID, RF_E_NULL, RF_FAILED, RF_OK, rf_executor, rf_executor_ops, rf_status};
use crate::settings::Settings;

/// How a NATS server is reached, and what is agreed on with the workers.
#[allow(non_camel_case_types)]
pub struct rf_nats_config {
    settings: Settings,
    name: String,
    error: CString,
}

/// The name of clients that have none.
const NAME: &str = "any";

unsafe fn change(
    config: *mut rf_nats_config,
    change: impl FnOnce(&mut rf_nats_config) -> Option<()>,
) -> rf_status {
    // SAFETY: the caller vouches that it is NULL or alive.
    match unsafe { config.as_mut() } {
        None => RF_E_NULL,
        Some(config) => change(config).map_or(RF_E_INVALID, |()| RF_OK),
    }
}

/// A string, which must be there.
unsafe fn text(text: *const c_char) -> Result<String, rf_status> {
    if text.is_null() {
        return Err(RF_E_NULL);
    }
    // SAFETY: the caller vouches for a NUL-terminated string.
    unsafe { CStr::from_ptr(text) }.to_str().map(str::to_owned).map_err(|_| RF_E_INVALID)
}

unsafe fn set_text(
    config: *mut rf_nats_config,
    given: *const c_char,
    set: impl FnOnce(&mut rf_nats_config, String) -> Option<()>,
) -> rf_status {
    // SAFETY: passed on.
    match unsafe { text(given) } {
        // SAFETY: passed on.
        Ok(given) => unsafe { change(config, |config| set(config, given)) },
        Err(status) => status,
    }
}

/// Makes a configuration with the defaults that the functions below tell. Free it with rf_nats_config_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_new(out: *mut *mut rf_nats_config) -> rf_status {
    if out.is_null() {
        return RF_E_NULL;
    }
    let config =
        rf_nats_config { settings: Settings::default(), name: NAME.into(), error: CString::default() };
    // SAFETY: the caller vouches for a pointer to write to.
    unsafe { out.write(rf::give(config)) };
    RF_OK
}

/// URLs of the servers, with commas between them: any of a cluster, the others are learnt. "tls://..." is TLS, and
/// "nats://USER:PASSWORD@..." logs in. Default: nats://127.0.0.1:4222. RF_E_INVALID: empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_set_servers(
    config: *mut rf_nats_config,
    servers: *const c_char,
) -> rf_status {
    // SAFETY: passed on.
    unsafe {
        set_text(config, servers, |config, servers| {
            let servers: Vec<String> = servers
                .split(',')
                .map(|server| server.trim().to_owned())
                .filter(|server| !server.is_empty())
                .collect();
            if servers.is_empty() {
                return None;
            }
            config.settings.servers = servers;
            Some(())
        })
    }
}

/// A credentials file of NATS (`nsc generate creds`).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_set_credentials(
    config: *mut rf_nats_config,
    path: *const c_char,
) -> rf_status {
    // SAFETY: passed on.
    unsafe {
        set_text(config, path, |config, path| {
            config.settings.credentials = Some(path);
            Some(())
        })
    }
}

/// The certificates (PEM) that the server's is checked with, beside the system's. With it, TLS is demanded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_set_ca(
    config: *mut rf_nats_config,
    path: *const c_char,
) -> rf_status {
    // SAFETY: passed on.
    unsafe {
        set_text(config, path, |config, path| {
            config.settings.ca = Some(path);
            Some(())
        })
    }
}

/// This program's certificate and its key (PEM), for servers that ask for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_set_cert(
    config: *mut rf_nats_config,
    cert: *const c_char,
    key: *const c_char,
) -> rf_status {
    // SAFETY: passed on.
    let key = match unsafe { text(key) } {
        Ok(key) => key,
        Err(status) => return status,
    };
    // SAFETY: passed on.
    unsafe {
        set_text(config, cert, |config, cert| {
            config.settings.certificate = Some((cert, key));
            Some(())
        })
    }
}

/// How long rf_nats_executor_new waits for an answer of the server; one that refuses is an error at once. Default 10 s.
/// RF_E_INVALID: less than 1 ms.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_set_connect_timeout(
    config: *mut rf_nats_config,
    ms: i64,
) -> rf_status {
    // SAFETY: passed on.
    unsafe { change(config, |config| set_time(&mut config.settings.connect_timeout, ms, 1)) }
}

/// A worker that is silent for so long is lost: what it was doing is done again by another one where that does no harm
/// (rf_task_is_repeatable), and fails with RF_ERROR_BROKEN_POOL where it might, or when three workers were lost with it. It
/// is one for all that use the stream, and decided by who makes that: 5 s unless this says otherwise. Where the stream is
/// there with another lease, rf_nats_executor_new fails, and without this call it takes what is there: to change it, delete
/// the stream (PREFIX_tasks) when nobody uses it, or take another prefix. RF_E_INVALID: less than 100 ms, or more than an
/// hour.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_set_lease(config: *mut rf_nats_config, ms: i64) -> rf_status {
    // SAFETY: passed on.
    unsafe {
        change(config, |config| {
            let mut lease = Duration::ZERO;
            set_time(&mut lease, Some(ms).filter(|ms| *ms <= 3_600_000)?, 100)?;
            config.settings.lease = Some(lease);
            Some(())
        })
    }
}

fn set_time(time: &mut Duration, ms: i64, least: i64) -> Option<()> {
    *time = Duration::from_millis(u64::try_from(ms).ok().filter(|_| ms >= least)?);
    Some(())
}

/// The first word of all subjects and of the stream's name, as the workers have it (--prefix). Default "rf". RF_E_INVALID: not
/// of letters, digits, _ and -.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_set_prefix(
    config: *mut rf_nats_config,
    prefix: *const c_char,
) -> rf_status {
    // SAFETY: passed on.
    unsafe {
        set_text(config, prefix, |config, prefix| {
            config.settings.prefix = Some(prefix).filter(|prefix| Names::is_fit(prefix))?;
            Some(())
        })
    }
}

/// The word by which the server's permissions know this program: its tasks are published, and its answers heard, under
/// subjects that have it. Default "any". RF_E_INVALID: not of letters, digits, _ and -.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_set_name(
    config: *mut rf_nats_config,
    name: *const c_char,
) -> rf_status {
    // SAFETY: passed on.
    unsafe {
        set_text(config, name, |config, name| {
            config.name = Some(name).filter(|name| Names::is_fit(name))?;
            Some(())
        })
    }
}

/// Over how many partitions the tasks go, by scheme, host and port. One worker at a time takes those of a partition, so that
/// one host's connections and limits are in one place; 1: every worker takes any task. It is one for all that use the
/// stream, and decided by who makes that: 16 unless this says otherwise. Where the stream is there with another number,
/// rf_nats_executor_new fails, as with another lease. RF_E_INVALID: 0, or more than 1,000.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_set_partitions(
    config: *mut rf_nats_config,
    partitions: u32,
) -> rf_status {
    // SAFETY: passed on.
    unsafe {
        change(config, |config| {
            let partitions = Some(partitions).filter(|partitions| PARTITIONS.contains(partitions))?;
            config.settings.partitions = Some(partitions);
            Some(())
        })
    }
}

/// How many servers of a cluster keep the stream, where this program makes it. Default 1. RF_E_INVALID: not 1 to 5.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_set_replicas(
    config: *mut rf_nats_config,
    replicas: u32,
) -> rf_status {
    // SAFETY: passed on.
    unsafe {
        change(config, |config| {
            config.settings.replicas =
                Some(replicas as usize).filter(|replicas| (1..=5).contains(replicas))?;
            Some(())
        })
    }
}

/// Why the last rf_nats_executor_new with it has failed, in words; "" before. It lives until the next one, or until the
/// configuration is freed. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_error(config: *const rf_nats_config) -> *const c_char {
    // SAFETY: the caller vouches that it is NULL or alive.
    unsafe { config.as_ref() }.map_or(std::ptr::null(), |config| config.error.as_ptr())
}

/// Frees it. Executors that were made with it do not need it. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_free(config: *mut rf_nats_config) {
    if !config.is_null() {
        // SAFETY: the caller gives back what rf_nats_config_new gave.
        drop(unsafe { rf::take(config) });
    }
}

/// Makes an executor whose requests are carried out by requests-futures-nats-worker processes: connects, and makes the stream
/// unless it is there, or the server's permissions leave that to workers, of which one then has to come first. `config` may be
/// NULL, which leaves no way to the text of an error. It is for rf_config_set_executor, and freed with rf_executor_free; each
/// has a connection and two threads, and its rf_executor_max_workers is 0. Futures end, and done callbacks run, on one thread
/// of its own: no other future of it ends while a callback runs, so that a callback must not wait for one, nor close the
/// session. RF_FAILED: the server cannot be reached, refuses, or has a stream with other settings; rf_nats_config_error says
/// what. RF_E_NULL: `out` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_executor_new(
    config: *mut rf_nats_config,
    out: *mut *mut rf_executor,
) -> rf_status {
    if out.is_null() {
        return RF_E_NULL;
    }
    // SAFETY: the caller vouches for its pointers.
    let mut config = unsafe {
        out.write(null_mut());
        config.as_mut()
    };
    let settings = config.as_ref().map_or_else(Settings::default, |config| config.settings.clone());
    let name = config.as_ref().map_or(NAME, |config| config.name.as_str());
    let executor = match Executor::new(&settings, name) {
        Ok(executor) => rf::give(executor),
        Err(why) => {
            if let Some(config) = &mut config {
                config.error = CString::new(why.replace('\0', " ")).unwrap_or_default();
            }
            return RF_FAILED;
        }
    };
    let ops = rf_executor_ops {
        size: size_of::<rf_executor_ops>(),
        submit: Some(functions::submit),
        shutdown: Some(functions::shut_down),
        ended: Some(functions::ended),
    };
    // SAFETY: the functions are made for this executor, which goes with them.
    let status = unsafe {
        rf::rf_executor_new_custom(&raw const ops, executor.cast::<c_void>(), Some(functions::drop), out)
    };
    if status != RF_OK {
        // SAFETY: nobody has taken it.
        drop(unsafe { rf::take(executor) });
    }
    status
}
