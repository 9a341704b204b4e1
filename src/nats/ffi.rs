//! The C face.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::null_mut;
use std::time::Duration;

use crate::client::{Executor, Settings, functions};
use crate::message::Names;
use crate::rf::{
    self, RF_E_INVALID, RF_E_NULL, RF_FAILED, RF_OK, rf_executor, rf_executor_ops, rf_status,
};

/// How a NATS server is reached, and what is agreed on with the workers.
#[allow(non_camel_case_types)]
pub struct rf_nats_config {
    settings: Settings,
    error: CString,
}

unsafe fn change(
    config: *mut rf_nats_config,
    change: impl FnOnce(&mut Settings) -> Option<()>,
) -> rf_status {
    // SAFETY: the caller vouches that it is NULL or alive.
    match unsafe { config.as_mut() } {
        None => RF_E_NULL,
        Some(config) => change(&mut config.settings).map_or(RF_E_INVALID, |()| RF_OK),
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
    set: impl FnOnce(&mut Settings, String) -> Option<()>,
) -> rf_status {
    // SAFETY: passed on.
    match unsafe { text(given) } {
        Ok(given) => unsafe { change(config, |settings| set(settings, given)) },
        Err(status) => status,
    }
}

/// Makes a configuration with the defaults that the functions below tell. Free it with rf_nats_config_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_new(out: *mut *mut rf_nats_config) -> rf_status {
    if out.is_null() {
        return RF_E_NULL;
    }
    let config = rf_nats_config { settings: Settings::default(), error: CString::default() };
    // SAFETY: the caller vouches for a pointer to write to.
    unsafe { out.write(Box::into_raw(Box::new(config))) };
    RF_OK
}

/// URLs of the servers, with commas between them: any of a cluster, the others are learnt. "tls://..." is TLS. Default:
/// nats://127.0.0.1:4222. RF_E_INVALID: empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_set_servers(
    config: *mut rf_nats_config,
    servers: *const c_char,
) -> rf_status {
    // SAFETY: passed on.
    unsafe {
        set_text(config, servers, |settings, servers| {
            let servers: Vec<String> =
                servers.split(',').map(|server| server.trim().to_owned()).filter(|server| !server.is_empty()).collect();
            if servers.is_empty() {
                return None;
            }
            settings.servers = servers;
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
        set_text(config, path, |settings, path| {
            settings.credentials = Some(path);
            Some(())
        })
    }
}

/// The certificates (PEM) that the server's is checked with, beside the system's. With it, TLS is demanded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_set_ca(config: *mut rf_nats_config, path: *const c_char) -> rf_status {
    // SAFETY: passed on.
    unsafe {
        set_text(config, path, |settings, path| {
            settings.ca = Some(path);
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
        set_text(config, cert, |settings, cert| {
            settings.certificate = Some((cert, key));
            Some(())
        })
    }
}

/// How long rf_nats_executor_new waits for the server. Default 10 s. RF_E_INVALID: less than 1 ms.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_set_connect_timeout(config: *mut rf_nats_config, ms: i64) -> rf_status {
    // SAFETY: passed on.
    unsafe { change(config, |settings| set_time(&mut settings.connect_timeout, ms, 1)) }
}

/// A worker that is silent for so long is lost: what it was doing is done again by another one where that does no harm
/// (rf_task_is_repeatable), and fails with RF_ERROR_BROKEN_POOL where it might. The workers are to be told the same
/// (--lease-ms). Default 5 s. RF_E_INVALID: less than 100 ms.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_set_lease(config: *mut rf_nats_config, ms: i64) -> rf_status {
    // SAFETY: passed on.
    unsafe { change(config, |settings| set_time(&mut settings.lease, ms, 100)) }
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
        set_text(config, prefix, |settings, prefix| {
            settings.prefix = Some(prefix).filter(|prefix| Names::is_fit(prefix))?;
            Some(())
        })
    }
}

/// Over how many partitions the tasks go, by scheme, host and port, as the workers have it (--partitions, --take): so that one
/// host's requests are carried out by those workers that take its partition. Default 1. RF_E_INVALID: 0, or more than
/// 1,000,000.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_set_partitions(
    config: *mut rf_nats_config,
    partitions: u32,
) -> rf_status {
    // SAFETY: passed on.
    unsafe {
        change(config, |settings| {
            settings.partitions = Some(partitions).filter(|partitions| (1..=1_000_000).contains(partitions))?;
            Some(())
        })
    }
}

/// How many servers of a cluster keep the stream, where this program makes it. Default 1. RF_E_INVALID: not 1 to 5.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_nats_config_set_replicas(config: *mut rf_nats_config, replicas: u32) -> rf_status {
    // SAFETY: passed on.
    unsafe {
        change(config, |settings| {
            settings.replicas = Some(replicas as usize).filter(|replicas| (1..=5).contains(replicas))?;
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
        drop(unsafe { Box::from_raw(config) });
    }
}

/// Makes an executor whose requests are carried out by requests-futures-nats-worker processes: connects, and makes the stream
/// unless it is there. `config` may be NULL. It is for rf_config_set_executor, and freed with rf_executor_free; each has
/// a connection and two threads. Futures end, and done callbacks run, on one thread of its own. RF_FAILED: the
/// server cannot be reached, refuses, or has a stream with other settings; rf_nats_config_error says what. RF_E_NULL: `out` is
/// NULL.
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
    let executor = match Executor::new(&settings) {
        Ok(executor) => Box::into_raw(Box::new(executor)),
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
        drop(unsafe { Box::from_raw(executor) });
    }
    status
}
