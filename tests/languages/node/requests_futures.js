// requests_futures from Node.js, by koffi: a promise for each request.
//
// One call of rf_completed_next at a time waits on a thread of libuv's pool for whichever request is over next. Functions
// that the library calls on its own threads, hooks, are carried out by the loop of Node.js: so nothing that waits for them
// may be called on the loop itself. rf_session_close is called on another thread, too.
'use strict';
const koffi = require('koffi');

const library = koffi.load('librequests_futures.so.0');
for (const name of ['rf_config', 'rf_options', 'rf_session', 'rf_future', 'rf_completed', 'rf_response', 'rf_error']) koffi.opaque(name);
koffi.opaque('rf_hook_call');
const hookPrototype = koffi.proto('int rf_hook_fn(rf_hook_call *call, const rf_response *response, void *user_data)');
const rf = {};
for (const declaration of [
  'const char *rf_status_name(int status)',
  'int rf_config_new(_Out_ rf_config **out)',
  'int rf_config_set_max_workers(rf_config *config, size_t workers)',
  'void rf_config_free(rf_config *config)',
  'int rf_session_new(rf_config *config, _Out_ rf_session **out)',
  'int rf_session_request(rf_session *session, const char *method, const char *url, rf_options *options, _Out_ rf_future **out)',
  'int rf_session_close(rf_session *session, int mode)',
  'void rf_session_free(rf_session *session)',
  'int rf_options_new(_Out_ rf_options **out)',
  'int rf_options_set_deadline(rf_options *options, int64_t ms)',
  'int rf_options_set_json(rf_options *options, const char *json)',
  'int rf_options_add_hook(rf_options *options, rf_hook_fn *hook, void *user_data, void *drop)',
  'void rf_options_free(rf_options *options)',
  'int rf_hook_fail(rf_hook_call *call, const char *message)',
  'bool rf_future_abort(rf_future *future)',
  'int rf_future_result(rf_future *future, int64_t timeout, _Out_ rf_response **out)',
  'int rf_future_exception(rf_future *future, int64_t timeout, _Out_ rf_error **out)',
  'void rf_future_free(rf_future *future)',
  'int rf_as_completed(void *futures, size_t count, _Out_ rf_completed **out)',
  'int rf_completed_add(rf_completed *completed, rf_future *future)',
  'int rf_completed_next(rf_completed *completed, int64_t timeout, _Out_ rf_future **future, _Out_ size_t *index)',
  'int rf_response_status_code(const rf_response *response)',
  'const char *rf_response_header(const rf_response *response, const char *name)',
  'const void *rf_response_content(const rf_response *response, _Out_ size_t *length)',
  'int rf_error_kind_of(const rf_error *error)',
  'const char *rf_error_kind_name(int kind)',
  'const char *rf_error_message(const rf_error *error)',
  'const char *rf_error_url(const rf_error *error)',
]) {
  const name = /(rf_\w+)\(/.exec(declaration)[1];
  rf[name] = library.func(declaration);
}
const OK = 0, FOREVER = -1, CLOSE_WAIT = 0, CLOSE_ABORT = 2, FAILED = 3;

function check(status) {
  if (status !== OK) throw new Error(rf.rf_status_name(status));
}

function made(call, ...parameters) {
  const out = [null];
  check(call(...parameters, out));
  return out[0];
}

class RequestError extends Error {
  constructor(error) {
    super(rf.rf_error_message(error));
    this.name = 'RequestError';
    this.kind = rf.rf_error_kind_name(rf.rf_error_kind_of(error));
    this.url = rf.rf_error_url(error);
  }
}

/** What is needed of a response, copied: it may then be kept for as long as it is liked. */
function copied(response) {
  const length = [0];
  const content = rf.rf_response_content(response, length);
  return {
    statusCode: rf.rf_response_status_code(response),
    contentType: rf.rf_response_header(response, 'Content-Type'),
    content: content === null ? null : Buffer.from(koffi.decode(content, 'uint8_t', Number(length[0]))),
  };
}

class Session {
  #session;
  #completed = made(rf.rf_as_completed, null, 0);
  #waiting = new Map();
  #count = 0;
  #pumping = false;

  constructor({ atOnce = 8 } = {}) {
    const config = made(rf.rf_config_new);
    check(rf.rf_config_set_max_workers(config, atOnce));
    this.#session = made(rf.rf_session_new, config);
    rf.rf_config_free(config);
  }

  /** A promise of the response. `signal`, an AbortSignal, aborts the request; `hook` is given each response on its way. */
  request(method, url, { json, deadline, hook, signal } = {}) {
    const options = made(rf.rf_options_new);
    if (deadline !== undefined) check(rf.rf_options_set_deadline(options, deadline));
    if (json !== undefined) check(rf.rf_options_set_json(options, JSON.stringify(json)));
    const callback = hook && koffi.register((call, response) => {
      try {
        hook(copied(response));
        return OK;
      } catch (error) {
        rf.rf_hook_fail(call, String(error.message));
        return FAILED;
      }
    }, koffi.pointer(hookPrototype));
    if (callback) check(rf.rf_options_add_hook(options, callback, null, null));
    return new Promise((resolve, reject) => {
      const future = made(rf.rf_session_request, this.#session, method, url, options);
      const abort = () => rf.rf_future_abort(future);
      this.#waiting.set(this.#count++, () => {
        signal?.removeEventListener('abort', abort);
        const out = [null];
        if (rf.rf_future_result(future, 0, out) === OK) resolve(copied(out[0]));
        else reject(new RequestError(made(rf.rf_future_exception, future, 0)));
        rf.rf_future_free(future);
        if (callback) koffi.unregister(callback);
      });
      check(rf.rf_completed_add(this.#completed, future));
      signal?.addEventListener('abort', abort);
      if (signal?.aborted) abort();
      if (!this.#pumping) this.#pump();
    }).finally(() => rf.rf_options_free(options));
  }

  get(url, options) {
    return this.request('GET', url, options);
  }

  #pump() {
    this.#pumping = this.#waiting.size > 0;
    if (!this.#pumping) return;
    const future = [null], index = [0];
    rf.rf_completed_next.async(this.#completed, FOREVER, future, index, (error, status) => {
      if (error === null && status === OK) this.#over(Number(index[0]));
      this.#pump();
    });
  }

  #over(index) {
    const finish = this.#waiting.get(index);
    this.#waiting.delete(index);
    finish();
  }

  /** When this is over no request runs, and no function will be called any more: the program may end. */
  async close({ abort = false } = {}) {
    const mode = abort ? CLOSE_ABORT : CLOSE_WAIT;
    await new Promise((resolve, reject) =>
      rf.rf_session_close.async(this.#session, mode, (error) => (error ? reject(error) : resolve())));
    rf.rf_session_free(this.#session);
    this.#session = null;
  }
}

module.exports = { Session, RequestError };
