/* Time-outs: connecting, silence, the deadline; each against a server that stalls just there. And abort, likewise. */
#include "wire.h"

static rf_session *session;

static rf_options *limited(int64_t connect_ms, int64_t read_ms, int64_t deadline_ms) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_timeout(options, connect_ms, read_ms));
  CHECK_OK(rf_options_set_deadline(options, deadline_ms));
  return options;
}

/* The request ends with this kind, after so many milliseconds and not much later. */
static void ends(int kind, int64_t after_ms, const char *url, const rf_options *options) {
  int64_t start = now_ms();
  rf_future *future = get(session, url, options);
  const rf_error *error = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  int64_t took = now_ms() - start;
  if (rf_error_kind_of(error) != kind) {
    const char *message = rf_error_message(error);
    FAIL("%s: %s, not %s: %s", url, rf_error_kind_name(rf_error_kind_of(error)), rf_error_kind_name(kind),
         message != NULL ? message : "");
  }
  if (took < after_ms - 10 || took > after_ms + 2000 * patience()) {
    FAIL("%s: %d ms, not %d", url, (int)took, (int)after_ms);
  }
  rf_future_free(future);
}

static void connecting(void) {
  rf_options *options = limited(200, RF_FOREVER, RF_FOREVER);
  ends(RF_ERROR_CONNECT_TIMEOUT, 200, env("RF_TEST_BLACKHOLE"), options);
  ends(RF_ERROR_CONNECT_TIMEOUT, 200, env("RF_TEST_TLS_SILENT"), options); /* the handshake is part of it */
  /* It does not limit what comes after. */
  rf_future *future = get(session, http("/slow-headers?ms=500"), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);
}

static void silence(void) {
  static const char *const stalls[] = {"/silent", "/stall/head", "/stall/body", "/stall/chunk", "/stall/tail"};
  rf_options *options = limited(RF_FOREVER, 200, RF_FOREVER);
  for (size_t i = 0; i < 5; i++) ends(RF_ERROR_READ_TIMEOUT, 200, raw(stalls[i]), options);
  ends(RF_ERROR_READ_TIMEOUT, 200, raw("/redirect-stall?location=/ok"), options);
  rf_future *future = get(session, raw("/silent"), options);
  CHECK_HAS("Read timed out. (read timeout=0.2)", rf_error_message(ERROR_OF(RF_ERROR_READ_TIMEOUT, future)));
  rf_future_free(future);
  rf_options_free(options);
  options = limited(RF_FOREVER, 1000, RF_FOREVER);
  future = get(session, raw("/silent"), options);
  CHECK_HAS("(read timeout=1.0)", rf_error_message(ERROR_OF(RF_ERROR_READ_TIMEOUT, future)));
  rf_future_free(future);
  rf_options_free(options);

  /* A trickle is no silence, however long it lasts. */
  options = limited(RF_FOREVER, 500, RF_FOREVER);
  future = get(session, raw("/trickle?ms=100&n=12"), options);
  CHECK_STR("xxxxxxxxxxxx", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  rf_options_free(options);

  /* Over TLS as well. */
  options = limited(RF_FOREVER, 200, RF_FOREVER);
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  ends(RF_ERROR_READ_TIMEOUT, 200, text("%s/silent", env("RF_TEST_RAW_TLS")), options);
  ends(RF_ERROR_READ_TIMEOUT, 200, text("%s/stall/body", env("RF_TEST_RAW_TLS")), options);
  rf_options_free(options);
}

/* The kind that a deadline ends with: a time-out, of the place where it struck. */
static void ends_in_time(int64_t after_ms, const char *url, const rf_options *options) {
  int64_t start = now_ms();
  rf_future *future = get(session, url, options);
  const rf_error *error = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  int64_t took = now_ms() - start;
  if (!rf_error_is(error, RF_ERROR_TIMEOUT)) {
    const char *message = rf_error_message(error);
    FAIL("%s: %s is no time-out: %s", url, rf_error_kind_name(rf_error_kind_of(error)), message ? message : "");
  }
  if (took < after_ms - 10 || took > after_ms + 2000 * patience()) {
    FAIL("%s: %d ms, not %d", url, (int)took, (int)after_ms);
  }
  rf_future_free(future);
}

static rf_status swallow(const uint8_t *data, size_t length, void *user_data) {
  (void)data, (void)length, (void)user_data;
  return RF_OK;
}

static void deadline(void) {
  rf_options *options = limited(RF_FOREVER, RF_FOREVER, 300);
  static const char *const stalls[] = {"/silent",     "/stall/head", "/stall/body",
                                       "/stall/tail", "/no-read",    "/trickle?ms=50&n=100"};
  for (size_t i = 0; i < 6; i++) ends_in_time(300, raw(stalls[i]), options);
  ends_in_time(300, env("RF_TEST_BLACKHOLE"), options);
  ends_in_time(300, env("RF_TEST_TLS_SILENT"), options);
  /* All redirects together. */
  ends_in_time(300, http("/redirect-to?url=/redirect-to?url=/delay/5"), options);
  /* Enough time is enough. */
  rf_future *future = get(session, http("/hello"), options);
  RESPONSE(future);
  rf_future_free(future);
  rf_options_free(options);

  /* A body that takes long to decode, when all of it has arrived. */
  options = limited(RF_FOREVER, RF_FOREVER, 500);
  CHECK_OK(rf_options_set_output(options, swallow, NULL, NULL));
  ends_in_time(500, raw("/bomb-chain"), options);
  rf_options_free(options);

  /* A request that does not get its body read. */
  options = limited(RF_FOREVER, RF_FOREVER, 300);
  size_t size = 20000000;
  char *data = calloc(1, size);
  CHECK_OK(rf_options_set_body(options, data, size));
  free(data);
  int64_t start = now_ms();
  future = request(session, "POST", raw("/no-read"), options);
  const rf_error *error = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  CHECK(rf_error_is(error, RF_ERROR_TIMEOUT));
  CHECK_RANGE(290, 2300 * patience(), now_ms() - start);
  rf_future_free(future);
  rf_options_free(options);
}

/* It counts from submission: waiting in the queue is part of it. */
static void deadline_in_the_queue(void) {
  rf_session *one = new_session_workers(1);
  const char *gate = unique("deadline"), *key = unique("deadline-key");
  rf_options *options = limited(RF_FOREVER, RF_FOREVER, 200);
  rf_future *slow = get(one, gate_url(gate), NULL);
  gate_wait(gate, 1);
  rf_future *queued = get(one, http(text("/hello?key=%s", key)), options);
  /* It ends in time, though nobody has come for it yet. */
  const rf_error *error = NULL;
  int64_t start = now_ms();
  CHECK_OK(rf_future_exception(queued, LONG_MS, &error));
  CHECK(rf_error_is(error, RF_ERROR_TIMEOUT));
  CHECK_RANGE(0, 2200 * patience(), now_ms() - start);
  CHECK(rf_future_running(slow));
  gate_open(gate);
  CHECK_INT(0, counted(key));
  rf_future_free(slow);
  rf_future_free(queued);
  rf_options_free(options);
  rf_session_free(one);
}

/* Abort ends a request wherever it stands. */
static void aborting(void) {
  const char *const places[] = {text("%s/", env("RF_TEST_BLACKHOLE")), text("%s/", env("RF_TEST_TLS_SILENT")),
                                raw("/silent"), raw("/stall/head"), raw("/stall/body"), raw("/trickle?ms=10&n=1000")};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    rf_future *future = get(session, places[i], NULL);
    EVENTUALLY(rf_future_running(future));
    sleep_ms(100);
    int64_t start = now_ms();
    CHECK(rf_future_abort(future));
    ERROR_OF(RF_ERROR_ABORTED, future);
    if (now_ms() - start > 300 * patience()) FAIL("%s: %d ms", places[i], (int)(now_ms() - start));
    rf_future_free(future);
  }
  /* While it sends. */
  rf_options *options = new_options();
  size_t size = 20000000;
  char *data = calloc(1, size);
  CHECK_OK(rf_options_set_body(options, data, size));
  free(data);
  rf_future *future = request(session, "POST", raw("/no-read"), options);
  sleep_ms(100);
  int64_t start = now_ms();
  CHECK(rf_future_abort(future));
  ERROR_OF(RF_ERROR_ABORTED, future);
  CHECK_RANGE(0, 300 * patience(), now_ms() - start);
  rf_future_free(future);
  rf_options_free(options);
}

/* A connection that was aborted or timed out is never used again. */
static void stall_first(wire_connection *connection, void *unused) {
  (void)unused;
  while (wire_next(connection)) {
    if (wire_asks(connection, "GET /stall")) wire_stall(connection);
    else wire_answer(connection, "200 OK", "", "fine");
  }
}

static void not_pooled(void) {
  rf_session *one = new_session_workers(1);
  wire *server = wire_start(stall_first, NULL);
  rf_options *options = limited(RF_FOREVER, 100, RF_FOREVER);
  rf_future *future = get(one, wire_url(server, "/fine"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  future = get(one, wire_url(server, "/stall"), options);
  ERROR_OF(RF_ERROR_READ_TIMEOUT, future);
  rf_future_free(future);
  int stalled = wire_requests(server);
  future = get(one, wire_url(server, "/fine"), NULL);
  CHECK_STR("fine", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  CHECK_INT(stalled + 1, wire_requests(server));
  CHECK_INT(2, wire_connections(server));
  CHECK_INT(2, stalled); /* it was not sent again */
  rf_options_free(options);
  rf_session_free(one);
  wire_stop(server);
}

int main(void) {
  session = new_session();
  connecting();
  silence();
  deadline();
  deadline_in_the_queue();
  aborting();
  not_pooled();
  rf_session_free(session);
  return finish();
}
