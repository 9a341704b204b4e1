//! ## Responses
//!
//! What a getter returns is borrowed: it lives as long as the response does, and the response as long as its
//! future or your clone. Any thread may use a response.

use std::ffi::{c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use super::boundary::{Out, bytes, length_of, nothing, optional_text, status, text, value};
use super::callback::{BodyReader, Data};
use super::cookies::Cookies;
use super::handle;
use super::types::{rf_cookies, rf_drop_fn, rf_error, rf_event, rf_json, rf_read_fn, rf_response, rf_status};
use crate::future::stopwatch::Phase;
use crate::http::cookies::{Jar, cookie_url};
use crate::message::head::{Head, breaks_lines};
use crate::message::peer::Peer;
use crate::message::response::{JsonRefusal, Refusal, Response, Unchanged};
use crate::message::terminated::Terminated;
use crate::message::url::Url;

/// Reads something of a response; `otherwise` for NULL.
unsafe fn read<T>(response: *const rf_response, otherwise: T, get: impl FnOnce(&Response) -> Option<T>) -> T {
    // SAFETY: the caller vouches for its pointers, here and in every function below.
    value(otherwise, || get(unsafe { handle::peek(response) }.ok()?))
}

/// The status code, such as 200; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_status_code(response: *const rf_response) -> c_int {
    // SAFETY: see read.
    unsafe { read(response, 0, |response| Some(response.status().into())) }
}

/// The reason, as the server sent it, such as "OK"; empty when it sent none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_reason(response: *const rf_response) -> *const c_char {
    // SAFETY: see read.
    unsafe { read(response, null(), |response| Some(response.head().word().as_ptr().cast())) }
}

/// The URL that answered, after redirects, with its fragment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_url(response: *const rf_response) -> *const c_char {
    // SAFETY: see read.
    unsafe { read(response, null(), |response| Some(response.url().as_ptr().cast())) }
}

/// Whether the status is neither 4xx nor 5xx.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_ok(response: *const rf_response) -> bool {
    // SAFETY: see read.
    unsafe { read(response, false, |response| Some(response.is_ok())) }
}

/// Whether it is a redirect that could be followed: 301, 302, 303, 307 or 308 with a Location.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_is_redirect(response: *const rf_response) -> bool {
    // SAFETY: see read.
    unsafe { read(response, false, |response| Some(response.is_redirect())) }
}

/// Whether it is a permanent redirect: 301 or 308 with a Location.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_is_permanent_redirect(response: *const rf_response) -> bool {
    // SAFETY: see read.
    unsafe { read(response, false, |response| Some(response.is_permanent_redirect())) }
}

/// The value of a header, its name in any case; repeated headers are joined by ", ". NULL: there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_header(
    response: *const rf_response,
    name: *const c_char,
) -> *const c_char {
    // SAFETY: see read.
    unsafe { header(response, Response::head, name) }
}

unsafe fn header(
    response: *const rf_response,
    head: impl FnOnce(&Response) -> &Head,
    name: *const c_char,
) -> *const c_char {
    // SAFETY: see read.
    unsafe {
        read(response, null(), |response| {
            let name = text(name).ok()?;
            Response::lend_header(head(response), name, response).map(<*const u8>::cast)
        })
    }
}

/// How many header lines there are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_header_count(response: *const rf_response) -> usize {
    // SAFETY: see read.
    unsafe { read(response, 0, |response| Some(response.head().count())) }
}

/// Name and value of a header line as they came, in order. RF_E_INVALID: `index` is too large.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_header_at(
    response: *const rf_response,
    index: usize,
    name: *mut *const c_char,
    value: *mut *const c_char,
) -> rf_status {
    // SAFETY: see read.
    unsafe { header_at(response, |response| Some(response.head()), index, name, value) }
}

/// How many trailers came: fields behind the last chunk of the body, or behind a body of HTTP/2. 0 until the body has
/// been read, which for a stream means until reading has given its end. They are no headers: nobody but you looks at
/// them. A section that breaks off, or that is longer than a head may be, is dropped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_trailer_count(response: *const rf_response) -> usize {
    // SAFETY: see read.
    unsafe { read(response, 0, |response| Some(response.trailers()?.count())) }
}

/// Name and value of a trailer as they came, in order. RF_E_INVALID: `index` is too large.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_trailer_at(
    response: *const rf_response,
    index: usize,
    name: *mut *const c_char,
    value: *mut *const c_char,
) -> rf_status {
    // SAFETY: see read.
    unsafe { header_at(response, Response::trailers, index, name, value) }
}

unsafe fn header_at(
    response: *const rf_response,
    head: impl FnOnce(&Response) -> Option<&Head>,
    index: usize,
    name: *mut *const c_char,
    value: *mut *const c_char,
) -> rf_status {
    status(|| {
        // SAFETY: see read.
        let (name, value) = unsafe { (Out::required(name, null()), Out::required(value, null())) };
        let (name, value) = (name?, value?);
        // SAFETY: see read.
        let response = unsafe { handle::peek(response) }?;
        let found = head(response).and_then(|head| head.at(index));
        let (found_name, found_value) = found.ok_or(rf_status::RF_E_INVALID)?;
        name.set(found_name.as_ptr().cast());
        value.set(found_value.as_ptr().cast());
        Ok(())
    })
}

unsafe fn with_length<T>(found: Option<(*const T, usize)>, length: *mut usize) -> *const T {
    // SAFETY: see read.
    let length = unsafe { Out::optional(length, 0) };
    match found {
        None => null(),
        Some((address, count)) => {
            length.set(count);
            address
        }
    }
}

/// The decoded body, with its length in bytes. A NUL follows the last byte. A streamed body is first read to its end,
/// from the network, on this thread. NULL: it was read by rf_response_read or rf_response_read_line, or closed, or it
/// broke off or does not fit in memory, of which rf_response_read then gives the error. A body that went to an output
/// is empty here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_content(response: *const rf_response, length: *mut usize) -> *const u8 {
    // SAFETY: see read.
    unsafe {
        let found = read(response, None, |response| {
            response.content().ok().map(|content| Some((content.as_ptr(), content.len())))
        });
        with_length(found, length)
    }
}

/// The body as UTF-8, with its length in bytes, decoded by rf_response_encoding, or by what the bytes look like
/// where that is NULL. NULL: as rf_response_content, or there is no memory for the text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_text(response: *const rf_response, length: *mut usize) -> *const c_char {
    // SAFETY: see read.
    unsafe { with_length(read(response, None, |response| Some(response.text())), length).cast() }
}

/// The encoding that rf_response_text uses: what was set, or what the Content-Type says or implies. NULL: detected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_encoding(response: *const rf_response) -> *const c_char {
    // SAFETY: see read.
    unsafe { read(response, null(), |response| response.lend_encoding().map(<*const u8>::cast)) }
}

/// Sets the encoding for the texts asked for from now on; those handed out before stay as they are. NULL: detect.
/// A name that nobody knows decodes as UTF-8 with replacement characters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_set_encoding(
    response: *const rf_response,
    encoding: *const c_char,
) -> rf_status {
    status(|| {
        // SAFETY: see read.
        let (response, encoding) = unsafe { (handle::peek(response)?, optional_text(encoding)?) };
        response.set_encoding(encoding);
        Ok(())
    })
}

/// What the bytes of the body look like, such as "utf-8". NULL: as rf_response_content.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_apparent_encoding(response: *const rf_response) -> *const c_char {
    // SAFETY: see read.
    unsafe { read(response, null(), |response| response.lend_apparent_encoding().map(<*const u8>::cast)) }
}

/// The body as JSON: `*out` and all below it live as long as the response. RF_FAILED: it does not parse
/// (`*error` is an RF_ERROR_JSON_DECODE that names line and column), there is no memory for the document, it broke off,
/// or it was read to its end before (RF_ERROR_STREAM_CONSUMED); the error belongs to the response. RF_E_STATE: the body
/// was read in part or closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_json(
    response: *const rf_response,
    out: *mut *const rf_json,
    error: *mut *const rf_error,
) -> rf_status {
    status(|| {
        // SAFETY: see read.
        let error = unsafe { Out::optional(error, null()) };
        // SAFETY: see read.
        let out = unsafe { Out::required(out, null()) }?;
        // SAFETY: see read.
        let response = unsafe { handle::peek(response) }?;
        match response.json() {
            Ok(root) => {
                out.set(handle::lend(root));
                Ok(())
            }
            Err(JsonRefusal::State) => Err(rf_status::RF_E_STATE),
            Err(JsonRefusal::Failed(why)) => {
                error.set(handle::lend(why));
                Err(rf_status::RF_FAILED)
            }
        }
    })
}

/// RF_FAILED when the status is 4xx or 5xx; `*error`, which belongs to the response, is then an RF_ERROR_HTTP.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_raise_for_status(
    response: *const rf_response,
    error: *mut *const rf_error,
) -> rf_status {
    status(|| {
        // SAFETY: see read.
        let error = unsafe { Out::optional(error, null()) };
        // SAFETY: see read.
        let response = unsafe { handle::retain(response) }?;
        match response.bad_status() {
            None => Ok(()),
            Some(why) => {
                error.set(handle::lend(std::ptr::from_ref(why)));
                Err(rf_status::RF_FAILED)
            }
        }
    })
}

/// Microseconds from sending the request of this hop to its response's head.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_elapsed_us(response: *const rf_response) -> i64 {
    // SAFETY: see read.
    unsafe { read(response, 0, |response| i64::try_from(response.elapsed().as_micros()).ok()) }
}

/// How long this hop was in a phase, an rf_phase, in microseconds, all its sendings together. -1: there was no such phase,
/// as none is made of a connection that was kept; no such rf_phase; or the response was made by hand. What an answer that
/// asked for credentials has taken is that answer's where the history shows it, and not counted again. So those of a
/// response and of its history add up to rf_response_total_us. Before the body has come, in a hook, it is what was spent
/// before the response was there; of a stream that is read it goes on. A request that was carried out elsewhere has
/// waited, in its first hop, for all the time that nobody has counted there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_phase_us(response: *const rf_response, phase: c_int) -> i64 {
    // SAFETY: see read.
    unsafe {
        read(response, -1, |response| {
            let spent = response.spent_by_now().of(Phase::from_code(phase)?)?;
            i64::try_from(spent).ok()
        })
    }
}

/// Microseconds from the submission to the end of the body. The pauses between two reads of a stream count as
/// receiving. -1: the end has not come; or the response was made by hand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_total_us(response: *const rf_response) -> i64 {
    // SAFETY: see read.
    unsafe { read(response, -1, |response| i64::try_from(response.total()?).ok()) }
}

/// How often this hop was sent, for whatever reason: attempts, answers to a challenge, a kept connection that had ended.
/// One that came to no connection counts as well. 0: the response was made by hand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_attempts(response: *const rf_response) -> u32 {
    // SAFETY: see read.
    unsafe { read(response, 0, |response| Some(response.attempts())) }
}

/// Whether its connection had served before. False where it came over none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_is_reused(response: *const rf_response) -> bool {
    // SAFETY: see read.
    unsafe { read(response, false, |response| Some(response.seen().reused)) }
}

unsafe fn of_peer(
    response: *const rf_response,
    get: impl FnOnce(&Peer) -> Option<&Terminated>,
) -> *const c_char {
    // SAFETY: see read.
    unsafe {
        read(response, null(), |response| {
            let peer = response.seen().peer.as_deref()?;
            get(peer).map(|text| text.as_ptr().cast())
        })
    }
}

/// The address that its connection led to, with the port: "192.0.2.1:443", "[2001:db8::1]:443"; a proxy's where there is
/// one. NULL: a Unix socket, or the response came over no connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_remote_address(response: *const rf_response) -> *const c_char {
    // SAFETY: see read.
    unsafe { of_peer(response, Peer::remote_text) }
}

/// The address that its connection came from, in the same form. NULL as well.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_local_address(response: *const rf_response) -> *const c_char {
    // SAFETY: see read.
    unsafe { of_peer(response, Peer::local_text) }
}

/// The version that it came by: "HTTP/1.0", "HTTP/1.1", "HTTP/2". NULL: it was made by hand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_http_version(response: *const rf_response) -> *const c_char {
    // SAFETY: see read.
    unsafe { read(response, null(), |response| Some(response.seen().version?.name().as_ptr().cast())) }
}

/// The version of TLS with the server: "TLSv1.3", "TLSv1.2". NULL: there was none; that with a proxy does not count.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_tls_version(response: *const rf_response) -> *const c_char {
    // SAFETY: see read.
    unsafe { of_peer(response, |peer| Some(&peer.tls.as_ref()?.version)) }
}

/// The cipher suite of TLS with the server, by its IANA name: "TLS_AES_256_GCM_SHA384". NULL as rf_response_tls_version.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_tls_cipher(response: *const rf_response) -> *const c_char {
    // SAFETY: see read.
    unsafe { of_peer(response, |peer| Some(&peer.tls.as_ref()?.cipher)) }
}

/// How many certificates the server has shown, whether or not they were verified; 0 without TLS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_certificate_count(response: *const rf_response) -> usize {
    // SAFETY: see read.
    unsafe { read(response, 0, |response| Some(certificates(response)?.len())) }
}

/// One of them in DER, with its length in bytes: the server's own first, then those that it says have signed. NULL:
/// `index` is too large.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_certificate_at(
    response: *const rf_response,
    index: usize,
    length: *mut usize,
) -> *const u8 {
    // SAFETY: see read.
    unsafe {
        let found = read(response, None, |response| {
            certificates(response)?.get(index).map(|one| Some((one.as_ptr(), one.len())))
        });
        with_length(found, length)
    }
}

fn certificates(response: &Response) -> Option<&[serde_bytes::ByteBuf]> {
    Some(&response.seen().peer.as_ref()?.tls.as_ref()?.certificates)
}

/// How many responses came before this one: the redirects that led to it; or, where none did, the answers that asked for
/// credentials first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_history_count(response: *const rf_response) -> usize {
    // SAFETY: see read.
    unsafe { read(response, 0, |response| Some(response.history().len())) }
}

/// One of them, oldest first, whole; NULL when `index` is too large.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_history_at(
    response: *const rf_response,
    index: usize,
) -> *const rf_response {
    // SAFETY: see read.
    unsafe {
        read(response, null(), |response| {
            response.history().get(index).map(|earlier| handle::lend(Arc::as_ptr(earlier)))
        })
    }
}

/// The cookies that this response set. Free them with rf_cookies_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_cookies(
    response: *const rf_response,
    out: *mut *mut rf_cookies,
) -> rf_status {
    status(|| {
        // SAFETY: see read.
        let out = unsafe { Out::required(out, null_mut()) }?;
        // SAFETY: see read.
        let response = unsafe { handle::peek(response) }?;
        let jar = Jar::default();
        if let Ok(url) = Url::parse(response.url().as_str()) {
            let url = cookie_url(&url, response.request_head().get("host"));
            for line in response.head().all_octets("set-cookie") {
                jar.set(&url, line);
            }
        }
        out.set(handle::give(Cookies::new(jar.snapshot())));
        Ok(())
    })
}

/// The URL in the Link header whose relation is `rel`, such as "next"; NULL: there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_link(response: *const rf_response, rel: *const c_char) -> *const c_char {
    // SAFETY: see read.
    unsafe { read(response, null(), |response| response.lend_link(text(rel).ok()?).map(<*const u8>::cast)) }
}

/// The method that this hop sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_request_method(response: *const rf_response) -> *const c_char {
    // SAFETY: see read.
    unsafe { read(response, null(), |response| Some(response.request_head().word().as_ptr().cast())) }
}

/// The URL that this hop asked for, with its fragment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_request_url(response: *const rf_response) -> *const c_char {
    // SAFETY: see read.
    unsafe { rf_response_url(response) }
}

/// A header that this hop sent, those that the library added included; NULL: there was none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_request_header(
    response: *const rf_response,
    name: *const c_char,
) -> *const c_char {
    // SAFETY: see read.
    unsafe { header(response, Response::request_head, name) }
}

/// How many header lines this hop sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_request_header_count(response: *const rf_response) -> usize {
    // SAFETY: see read.
    unsafe { read(response, 0, |response| Some(response.request_head().count())) }
}

/// Name and value of a header line that this hop sent. RF_E_INVALID: `index` is too large.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_request_header_at(
    response: *const rf_response,
    index: usize,
    name: *mut *const c_char,
    value: *mut *const c_char,
) -> rf_status {
    // SAFETY: see read.
    unsafe { header_at(response, |response| Some(response.request_head()), index, name, value) }
}

/// The body that this hop sent; NULL: none, or it came from a file or a reader.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_request_body(
    response: *const rf_response,
    length: *mut usize,
) -> *const u8 {
    // SAFETY: see read.
    unsafe {
        let found = read(response, None, |response| {
            response.request_body().map(|body| Some((body.as_ptr(), body.len())))
        });
        with_length(found, length)
    }
}

fn refused(response: &Response, refusal: Refusal, error: &Out<*const rf_error>) -> rf_status {
    match refusal {
        Refusal::State => rf_status::RF_E_STATE,
        Refusal::Failed(why) => {
            error.set(handle::lend(response.lend_error(why)));
            rf_status::RF_FAILED
        }
    }
}

/// Reads up to `capacity` bytes of the body on this thread. RF_OK and `*length` 0: the end. RF_FAILED: it broke off;
/// `*error`, which belongs to the response, says how. RF_E_STATE: it was closed. The body of a response that was not
/// streamed is delivered from its content.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_read(
    response: *const rf_response,
    buffer: *mut u8,
    capacity: usize,
    length: *mut usize,
    error: *mut *const rf_error,
) -> rf_status {
    status(|| {
        // SAFETY: see read.
        let error = unsafe { Out::optional(error, null()) };
        // SAFETY: see read.
        let length = unsafe { Out::optional(length, 0) };
        // SAFETY: see read.
        let response = unsafe { handle::peek(response) }?;
        if buffer.is_null() && capacity > 0 {
            return Err(rf_status::RF_E_NULL);
        }
        if isize::try_from(capacity).is_err() {
            return Err(rf_status::RF_E_INVALID);
        }
        let buffer = if capacity == 0 {
            &mut []
        } else {
            // SAFETY: the caller vouches for `capacity` writable bytes.
            unsafe { std::slice::from_raw_parts_mut(buffer, capacity) }
        };
        length.set(response.read(buffer).map_err(|refusal| refused(response, refusal, &error))?);
        Ok(())
    })
}

/// Reads the next line of the body, which ends with LF, CRLF or CR, without its end. A NUL follows it. `*line` lives
/// until the next line is read. RF_END: that was the last. RF_FAILED, RF_E_STATE: as rf_response_read. There being no
/// memory for a line is a failure as well; of a streamed body nothing more can be read then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_read_line(
    response: *const rf_response,
    line: *mut *const c_char,
    length: *mut usize,
    error: *mut *const rf_error,
) -> rf_status {
    status(|| {
        // SAFETY: see read.
        let (error, length) = unsafe { (Out::optional(error, null()), Out::optional(length, 0)) };
        // SAFETY: see read.
        let line = unsafe { Out::required(line, null()) }?;
        // SAFETY: see read.
        let response = unsafe { handle::peek(response) }?;
        let next = response.read_line().map_err(|refusal| refused(response, refusal, &error))?;
        let (address, count) = next.ok_or(rf_status::RF_END)?;
        line.set(address.cast());
        length.set(count);
        Ok(())
    })
}

/// Reads the next server-sent event of the body, as browsers' EventSource does, whatever the Content-Type. It returns as
/// soon as the empty line has come that ends the event. It goes on where rf_response_read or rf_response_read_line stopped,
/// and leaves off behind that empty line, so that all three may be mixed. `*event` lives until the next event is read.
/// RF_END: the body has ended; an event without its empty line is dropped. RF_FAILED, RF_E_STATE: as
/// rf_response_read_line. RF_FAILED with RF_ERROR_BODY_TOO_LARGE as well: a line or the data of an event beyond 16 MB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_read_event(
    response: *const rf_response,
    event: *mut *const rf_event,
    error: *mut *const rf_error,
) -> rf_status {
    status(|| {
        // SAFETY: see read.
        let error = unsafe { Out::optional(error, null()) };
        // SAFETY: see read.
        let event = unsafe { Out::required(event, null()) }?;
        // SAFETY: see read.
        let response = unsafe { handle::peek(response) }?;
        let next = response.read_event().map_err(|refusal| refused(response, refusal, &error))?;
        event.set(handle::lend(next.ok_or(rf_status::RF_END)?));
        Ok(())
    })
}

/// Ends a streamed body: its connection is closed unless it was read to its end. Reading gives RF_E_STATE from now
/// on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_close(response: *const rf_response) -> rf_status {
    status(|| {
        // SAFETY: see read.
        unsafe { handle::peek(response) }?.close();
        Ok(())
    })
}

/// What rf_response_set_data attached; NULL before that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_data(response: *const rf_response) -> *mut c_void {
    // SAFETY: see read.
    unsafe { read(response, null_mut(), |response| Some(response.data() as *mut c_void)) }
}

/// Attaches something of yours, as a hook does with what it parsed. It stays in this process: a hook in a worker
/// process uses rf_response_set_extra. `drop`, which may be NULL, runs when something
/// else is attached, or with the response.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_set_data(
    response: *const rf_response,
    data: *mut c_void,
    drop: rf_drop_fn,
) -> rf_status {
    status(|| {
        // SAFETY: see read.
        let response = unsafe { handle::peek(response) }?;
        response.set_data(Some(Box::new(Data::new(data, drop))));
        Ok(())
    })
}

/// The bytes attached under this name, with their length; NULL: none. A NUL follows them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_extra(
    response: *const rf_response,
    name: *const c_char,
    length: *mut usize,
) -> *const u8 {
    // SAFETY: see read.
    unsafe {
        let found = read(response, None, |response| Some(response.extra(text(name).ok()?)));
        with_length(found, length)
    }
}

/// Attaches a copy of `length` bytes under a name, in the place of what was there; pointers to that stay good.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_set_extra(
    response: *const rf_response,
    name: *const c_char,
    data: *const c_void,
    length: usize,
) -> rf_status {
    status(|| {
        // SAFETY: see read.
        let (response, name, data) =
            unsafe { (handle::peek(response)?, text(name)?, bytes(data.cast(), length)?) };
        response.set_extra(name, data);
        Ok(())
    })
}

/// Makes a response by hand, for hooks that replace one and for tests. `content_type` may be NULL. RF_E_INVALID: the
/// status code is not between 100 and 999. Free it with rf_response_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_new(
    status_code: c_int,
    content_type: *const c_char,
    body: *const c_void,
    length: usize,
    out: *mut *mut rf_response,
) -> rf_status {
    status(|| {
        // SAFETY: see read.
        let out = unsafe { Out::required(out, null_mut()) }?;
        // SAFETY: see read.
        let (content_type, body) = unsafe { (optional_text(content_type)?, bytes(body.cast(), length)?) };
        let code = status_of(status_code)?;
        if content_type.is_some_and(breaks_lines) {
            return Err(rf_status::RF_E_INVALID);
        }
        let response = Response::made(code, content_type, body);
        out.set(handle::share(Arc::new(response)));
        Ok(())
    })
}

/// Makes a response by hand whose body is what `read` returns, when somebody asks for it: the worker, or who reads the
/// stream. `length` is -1 where it is not known; a reader that ends before `length` bytes fails the body with
/// RF_ERROR_CONNECTION, one that fails with RF_ERROR_HOOK. It is never called by two threads at once. RF_E_INVALID: the
/// status code is not between 100 and 999, or any other negative length. Free it with rf_response_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_new_reader(
    status_code: c_int,
    read: rf_read_fn,
    length: i64,
    user_data: *mut c_void,
    drop: rf_drop_fn,
    out: *mut *mut rf_response,
) -> rf_status {
    status(|| {
        // SAFETY: see read.
        let out = unsafe { Out::required(out, null_mut()) }?;
        if read.is_none() {
            return Err(rf_status::RF_E_NULL);
        }
        let (code, length) = (status_of(status_code)?, length_of(length)?);
        let reader = Box::new(BodyReader { read, rewind: None, data: Data::new(user_data, drop) });
        out.set(handle::share(Arc::new(Response::made_of_reader(code, reader, length))));
        Ok(())
    })
}

/// A status code that a response can have.
fn status_of(code: c_int) -> Result<u16, rf_status> {
    u16::try_from(code).ok().filter(|code| (100..1000).contains(code)).ok_or(rf_status::RF_E_INVALID)
}

/// Adds a header to a response made by hand, behind those of the same name. Content-Type and Content-Length of
/// rf_response_new are there already; a Content-Length added takes that one's place. RF_E_INVALID: `name` or `value`
/// cannot stand in a head. RF_E_STATE: the response was not made by hand, or was given away, to rf_hook_replace for
/// one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_add_header(
    response: *mut rf_response,
    name: *const c_char,
    value: *const c_char,
) -> rf_status {
    // SAFETY: see read.
    status(|| unsafe {
        let (response, name, value) = (handle::peek(response)?, text(name)?, text(value)?);
        changed(response.add_header(name, value))
    })
}

/// Sets the reason of a response made by hand, in the place of the usual one of its status. RF_E_INVALID and RF_E_STATE
/// as for rf_response_add_header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_set_reason(
    response: *mut rf_response,
    reason: *const c_char,
) -> rf_status {
    // SAFETY: see read.
    status(|| unsafe { changed(handle::peek(response)?.set_reason(text(reason)?)) })
}

fn changed(result: Result<(), Unchanged>) -> Result<(), rf_status> {
    result.map_err(|why| match why {
        Unchanged::State => rf_status::RF_E_STATE,
        Unchanged::Invalid => rf_status::RF_E_INVALID,
    })
}

/// Makes another handle of the same response, which then outlives its future. Free it with rf_response_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_clone(
    response: *const rf_response,
    out: *mut *mut rf_response,
) -> rf_status {
    status(|| {
        // SAFETY: see read.
        let out = unsafe { Out::required(out, null_mut()) }?;
        // SAFETY: see read.
        out.set(handle::share(unsafe { handle::retain(response) }?));
        Ok(())
    })
}

/// Frees a handle that rf_response_new, rf_response_new_reader or rf_response_clone made. A streamed body that was not
/// read to its end is closed with the last handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_response_free(response: *mut rf_response) {
    // SAFETY: see read.
    nothing(|| unsafe { handle::release(response) });
}
