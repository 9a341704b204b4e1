/* Limits of speed: a body takes the time that its limit gives it, whatever it is and whichever way it goes. And low speed: a
   trickle, which is never silent, is given up. */
#include "elsewhere.h"
#include "wire.h"

static rf_session *session;

enum { LIMIT = 50000, LENGTH = 60000, LEAST_MS = 1200 };

static char *large; /* zeros */
enum { LARGE = 64 << 20 };

static rf_options *limited(uint64_t send, uint64_t receive) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_speed_limit(options, send, receive));
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  return options;
}

static rf_options *low(uint64_t bytes_per_s, int64_t for_ms) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_low_speed(options, bytes_per_s, for_ms));
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  return options;
}

static void take_time(const char *what, int64_t start, int64_t least_ms) {
  int64_t took = now_ms() - start;
  if (took < least_ms - 5 || took > least_ms + 3000 * patience()) FAIL("%s took %d ms", what, (int)took);
}

/* ---- limits ---- */

typedef struct run {
  const char *name, *method, *url;
  rf_options *options;
} run;

/* All at once: each takes as long as if it were alone. */
static void take_as_long_as_the_limit_says(const run *runs, size_t count) {
  rf_future *futures[16];
  rf_session *wide = new_session_workers(16);
  int64_t start = now_ms();
  for (size_t i = 0; i < count; i++) futures[i] = request(wide, runs[i].method, runs[i].url, runs[i].options);
  for (size_t i = 0; i < count; i++) {
    size_t length = 0;
    int64_t sent = 0;
    const rf_response *response = RESPONSE(futures[i]);
    take_time(runs[i].name, start, LEAST_MS);
    CHECK_INT(200, rf_response_status_code(response));
    if (strcmp(runs[i].method, "GET") == 0) {
      rf_response_content(response, &length);
    } else {
      const rf_json *json = NULL;
      CHECK_OK(rf_response_json(response, &json, NULL));
      CHECK_OK(rf_json_int(rf_json_get(json, "length"), &sent));
      length = (size_t)sent;
    }
    /* What frames a form comes on top of it. */
    CHECK_RANGE(LENGTH, LENGTH + 400, length);
    rf_future_free(futures[i]);
    rf_options_free(runs[i].options);
  }
  rf_session_free(wide);
}

static void every_answer(void) {
  const char *bytes = text("/bytes/%d", LENGTH), *https = env("RF_TEST_HTTPS");
  rf_options *forwarded = limited(0, LIMIT), *tunnelled = limited(0, LIMIT), *by_unix = limited(0, LIMIT);
  rf_options *patient = limited(0, LIMIT);
  CHECK_OK(rf_options_set_proxy(forwarded, "http", env("RF_TEST_PROXY")));
  CHECK_OK(rf_options_set_proxy(tunnelled, "https", env("RF_TEST_PROXY")));
  CHECK_OK(rf_options_set_unix_socket(by_unix, env("RF_TEST_UNIX")));
  CHECK_OK(rf_options_set_max_body(patient, LENGTH));
  const run runs[] = {
      {"plain", "GET", http(bytes), limited(0, LIMIT)},
      {"TLS", "GET", text("%s%s", https, bytes), limited(0, LIMIT)},
      {"forwarded", "GET", http(bytes), forwarded},
      {"tunnelled", "GET", text("%s%s", https, bytes), tunnelled},
      {"Unix socket", "GET", text("http://unix%s", bytes), by_unix},
      {"chunked", "GET", http(text("/stream-bytes/%d", LENGTH)), limited(0, LIMIT)},
      {"chunked over TLS", "GET", text("%s/stream-bytes/%d", https, LENGTH), limited(0, LIMIT)},
      {"coded", "GET", http(text("/encoded?with=gzip&n=%d", LENGTH)), limited(0, LIMIT)},
      {"until the end", "GET", raw(text("/close-delimited?n=%d", LENGTH)), limited(0, LIMIT)},
      {"bounded", "GET", http(bytes), patient},
      /* The other way's limit is its own affair. */
      {"both", "GET", http(bytes), limited(100, LIMIT)},
  };
  take_as_long_as_the_limit_says(runs, sizeof runs / sizeof *runs);
}

typedef struct source {
  size_t left, most;
} source;

static int64_t read_source(uint8_t *buffer, size_t capacity, void *user_data) {
  source *from = user_data;
  size_t count = from->left < capacity ? from->left : capacity;
  memset(buffer, 'r', count);
  from->left -= count;
  if (count > from->most) from->most = count;
  return (int64_t)count;
}

static void every_body(void) {
  const char *url = http("/upload"), *path = text("%s/%s", env("RF_TEST_DIR"), unique("speeds"));
  const char *secure = text("%s/upload", env("RF_TEST_HTTPS"));
  source known = {LENGTH, 0}, unknown = {LENGTH, 0};
  FILE *file = fopen(path, "w");
  CHECK(file != NULL && fwrite(large, LENGTH, 1, file) == 1 && fclose(file) == 0);
  rf_options *bytes = limited(LIMIT, 0), *tls = limited(LIMIT, 0), *from_file = limited(LIMIT, 0);
  rf_options *sized = limited(LIMIT, 0), *chunked = limited(LIMIT, 0), *form = limited(LIMIT, 0);
  rf_options *forwarded = limited(LIMIT, 0), *file_by_tls = limited(LIMIT, 10000);
  CHECK_OK(rf_options_set_body(bytes, large, LENGTH));
  CHECK_OK(rf_options_set_body(tls, large, LENGTH));
  CHECK_OK(rf_options_set_body_file(from_file, path));
  CHECK_OK(rf_options_set_body_reader(sized, read_source, NULL, LENGTH, &known, NULL));
  CHECK_OK(rf_options_set_body_reader(chunked, read_source, NULL, -1, &unknown, NULL));
  CHECK_OK(rf_options_add_part(form, "part", "name", NULL, large, LENGTH / 2));
  CHECK_OK(rf_options_add_part(form, "other", "name", NULL, large, LENGTH / 2));
  CHECK_OK(rf_options_set_body(forwarded, large, LENGTH));
  CHECK_OK(rf_options_set_proxy(forwarded, "http", env("RF_TEST_PROXY")));
  CHECK_OK(rf_options_set_body_file(file_by_tls, path));
  const run runs[] = {
      {"bytes", "POST", url, bytes},         {"bytes over TLS", "POST", secure, tls},
      {"file", "POST", url, from_file},      {"reader", "POST", url, sized},
      {"chunked", "POST", url, chunked},     {"form", "POST", url, form},
      {"forwarded", "POST", url, forwarded}, {"file over TLS", "POST", secure, file_by_tls},
  };
  take_as_long_as_the_limit_says(runs, sizeof runs / sizeof *runs);
  unlink(path);
  /* A reader is asked for what goes in 50 ms, and for no more. */
  CHECK_RANGE(1, LIMIT / 20, known.most);
  CHECK_RANGE(1, LIMIT / 20, unknown.most);
}

/* Pieces of a body, with their times. */
typedef struct pieces {
  int count;
  int64_t at[4096], length[4096];
} pieces;

static rf_status note_piece(const uint8_t *data, size_t length, void *user_data) {
  pieces *seen = user_data;
  (void)data;
  CHECK(seen->count < 4096);
  seen->at[seen->count] = now_ms();
  seen->length[seen->count++] = (int64_t)length;
  return RF_OK;
}

/* Whenever one begins to look: no more than the limit, and what goes in 50 ms, and what a late thread had to catch up. */
static void check_flow(const pieces *seen, int64_t limit) {
  CHECK(seen->count > 10);
  for (int from = 0; from < seen->count; from++) {
    int64_t sum = 0;
    for (int to = from; to < seen->count; to++) {
      sum += seen->length[to];
      int64_t most = limit * (seen->at[to] - seen->at[from] + 50 + 2 + 200 * patience()) / 1000;
      if (sum > most) FAIL("%d bytes in %d ms", (int)sum, (int)(seen->at[to] - seen->at[from]));
    }
  }
}

static int reports;
static rf_status report(int64_t sent, int64_t send_total, int64_t received, int64_t receive_total, void *user_data) {
  (void)sent, (void)send_total, (void)received, (void)receive_total, (void)user_data;
  INCREMENT(reports);
  return RF_OK;
}

/* What a server sees of a body: its pieces, as they come. */
static void note_pieces(wire_connection *connection, void *user_data) {
  pieces *seen = user_data;
  size_t body = 0;
  if (!wire_head(connection)) return;
  while (body < LENGTH) {
    size_t before = connection->length;
    if (!wire_more(connection)) return;
    note_piece(NULL, connection->length - before, seen);
    body += connection->length - before;
  }
  wire_answer(connection, "200 OK", "", "ok");
}

static void flows_evenly(void) {
  static pieces out, stream, in;
  rf_options *options = limited(0, LIMIT);
  CHECK_OK(rf_options_set_output(options, note_piece, &out, NULL));
  rf_future *future = get(session, text("%s/bytes/%d", env("RF_TEST_HTTPS"), LENGTH), options);
  RESPONSE(future);
  check_flow(&out, LIMIT);
  rf_future_free(future);
  rf_options_free(options);

  /* In the reads of a stream. */
  options = limited(0, LIMIT);
  CHECK_OK(rf_options_set_stream(options, true));
  future = get(session, http(text("/bytes/%d", LENGTH)), options);
  const rf_response *response = RESPONSE(future);
  static uint8_t buffer[LENGTH];
  size_t length = 1, total = 0;
  int64_t start = now_ms();
  while (length > 0) {
    CHECK_OK(rf_response_read(response, buffer, sizeof buffer, &length, NULL));
    note_piece(buffer, length, &stream);
    total += length;
  }
  take_time("stream", start, LEAST_MS);
  CHECK_INT(LENGTH, total);
  check_flow(&stream, LIMIT);
  rf_future_free(future);
  rf_options_free(options);

  wire *server = wire_start(note_pieces, &in);
  options = limited(LIMIT, 0);
  CHECK_OK(rf_options_set_body(options, large, LENGTH));
  CHECK_OK(rf_options_set_progress(options, report, NULL, NULL));
  future = request(session, "POST", wire_url(server, "/"), options);
  CHECK_STR("ok", rf_response_text(RESPONSE(future), NULL));
  check_flow(&in, LIMIT);
  CHECK(LOAD(reports) >= 5);
  rf_future_free(future);
  rf_options_free(options);
  wire_stop(server);
}

static void every_hop_and_no_other(void) {
  /* Twice the body, each within its limit. */
  rf_options *options = limited(LIMIT, 0);
  CHECK_OK(rf_options_set_body(options, large, 20000));
  int64_t start = now_ms();
  rf_future *future = request(session, "POST", http("/redirect-to?status_code=307&url=/upload"), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  take_time("redirect", start, 800);
  rf_future_free(future);
  rf_options_free(options);

  /* A limit of one byte would take for ever. */
  options = limited(1, 0);
  future = get(session, http("/bytes/1000000"), options);
  RESPONSE(future);
  rf_future_free(future);
  rf_options_free(options);
  options = limited(0, 1);
  CHECK_OK(rf_options_set_body(options, large, 1000000));
  future = request(session, "POST", http("/no-body/200"), options);
  RESPONSE(future);
  rf_future_free(future);
  rf_options_free(options);
  rf_session *slow = new_session();
  options = limited(1, 1);
  CHECK_OK(rf_session_update(slow, options));
  rf_options_free(options);
  options = limited(0, 0);
  CHECK_OK(rf_options_set_body(options, large, 1000000));
  future = request(slow, "POST", http("/echo"), options);
  RESPONSE(future);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(slow);

  /* To be held back is no silence. */
  for (int way = 0; way < 2; way++) {
    options = way == 0 ? limited(1000, 0) : limited(0, 1000);
    if (way == 0) CHECK_OK(rf_options_set_body(options, large, 1000));
    CHECK_OK(rf_options_set_timeout(options, RF_FOREVER, 100 * patience()));
    start = now_ms();
    future = request(session, way == 0 ? "POST" : "GET", http(way == 0 ? "/upload" : "/bytes/1000"), options);
    RESPONSE(future);
    take_time("no silence", start, 1000);
    rf_future_free(future);
    rf_options_free(options);
  }

  /* Who is not wanted is not held back any more. */
  options = limited(1000, 0);
  CHECK_OK(rf_options_set_body(options, large, 1000000));
  future = request(session, "POST", raw("/early-413?then=stall"), options);
  CHECK_INT(413, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);
}

/* Deadline, abort and close do not wait for a limit. */
static void ends_while_held_back(void) {
  for (int way = 0; way < 2; way++) {
    for (int end = 0; end < 3; end++) {
      rf_session *own = new_session();
      rf_options *options = way == 0 ? limited(10, 0) : limited(0, 10);
      if (way == 0) CHECK_OK(rf_options_set_body(options, large, 1000));
      if (end == 0) CHECK_OK(rf_options_set_deadline(options, 300));
      int64_t start = now_ms();
      rf_future *future = request(own, way == 0 ? "POST" : "GET", http(way == 0 ? "/upload" : "/bytes/1000"), options);
      if (end > 0) sleep_ms(100);
      if (end > 0) start = now_ms();
      if (end == 1) CHECK(rf_future_abort(future));
      if (end == 2) CHECK_OK(rf_session_close(own, RF_CLOSE_ABORT));
      const rf_error *error = ERROR_OF(end == 0 ? RF_ERROR_TIMEOUT : RF_ERROR_ABORTED, future);
      CHECK_RANGE(end == 0 ? 290 : 0, 1300 * patience(), now_ms() - start);
      if (end == 0) CHECK_HAS(way == 0 ? "while sending to" : "while receiving the body from", rf_error_message(error));
      rf_future_free(future);
      rf_options_free(options);
      rf_session_free(own);
    }
  }
  /* In the read of a stream. */
  rf_options *options = limited(0, 10);
  const rf_error *error = NULL;
  uint8_t byte;
  size_t length = 0;
  CHECK_OK(rf_options_set_stream(options, true));
  CHECK_OK(rf_options_set_deadline(options, 500 * patience()));
  rf_future *future = get(session, http("/bytes/1000"), options);
  rf_status status = RF_OK;
  const rf_response *response = RESPONSE(future);
  while (status == RF_OK) status = rf_response_read(response, &byte, 1, &length, &error);
  CHECK_INT(RF_ERROR_TIMEOUT, rf_error_kind_of(error));
  rf_future_free(future);
  rf_options_free(options);
}

/* ---- low speed ---- */

/* It is given up: not before `for_ms`, and not much later. */
static void too_slow(const char *method, const char *url, rf_options *options, int64_t for_ms, const char *message) {
  int64_t start = now_ms();
  rf_future *future = request(session, method, url, options);
  const rf_error *error = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  if (error == NULL) {
    /* It is a stream. */
    const rf_response *response = RESPONSE(future);
    uint8_t buffer[100];
    size_t length;
    while (rf_response_read(response, buffer, sizeof buffer, &length, &error) == RF_OK && length > 0) {
    }
  }
  if (rf_error_kind_of(error) != RF_ERROR_READ_TIMEOUT) {
    FAIL("%s: %s", url, error != NULL ? rf_error_message(error) : "it went well");
  }
  take_time(url, start, for_ms);
  CHECK_HAS("Read timed out. (low speed=", rf_error_message(error));
  CHECK_HAS(message, rf_error_message(error));
  rf_future_free(future);
  rf_options_free(options);
}

static void a_trickle_is_given_up(void) {
  const char *tls = env("RF_TEST_RAW_TLS"), *trickle = "/trickle?ms=50&n=1000";
  too_slow("GET", raw(trickle), low(1000, 500), 500, "(low speed=1000 bytes/s for 0.5 s)");
  too_slow("GET", raw(trickle), low(1000, 500), 500, "of 1000 bytes");
  too_slow("GET", raw("/trickle?ms=50&n=9&head=1"), low(1000, 500), 500, "No answer from ");
  too_slow("GET", raw("/silent"), low(1, 500), 500, "only 0 bytes in 0.5 s");
  too_slow("GET", raw("/stall/chunk"), low(1000, 300), 300, "before its last chunk");
  too_slow("GET", text("%s%s", tls, trickle), low(1000, 500), 500, "from ");
  rf_options *options = low(1000, 500);
  CHECK_OK(rf_options_set_stream(options, true));
  too_slow("GET", raw(trickle), options, 500, "from ");
  options = low(1000, 500);
  CHECK_OK(rf_options_set_stream(options, true));
  too_slow("GET", text("%s%s", tls, trickle), options, 500, "from ");
  options = low(1000, 500);
  CHECK_OK(rf_options_set_proxy(options, "http", env("RF_TEST_PROXY")));
  too_slow("GET", raw(trickle), options, 500, "from proxy ");
  /* The first that is over counts: here, and there. */
  options = low(1000, 300);
  CHECK_OK(rf_options_set_timeout(options, RF_FOREVER, 60000));
  too_slow("GET", raw("/silent"), options, 300, "low speed");
  options = low(1, 60000);
  CHECK_OK(rf_options_set_timeout(options, RF_FOREVER, 300));
  rf_future *future = get(session, raw("/silent"), options);
  CHECK_HAS("(read timeout=0.3)", rf_error_message(ERROR_OF(RF_ERROR_READ_TIMEOUT, future)));
  rf_future_free(future);
  rf_options_free(options);

  /* So it is with a server that takes little, or nothing. */
  const char *slow = "/slow-read?ms=100&size=100";
  for (int i = 0; i < 4; i++) {
    options = low(200000, 500);
    CHECK_OK(rf_options_set_body_borrowed(options, large, LARGE, NULL, NULL));
    too_slow("POST", text("%s%s", i < 2 ? env("RF_TEST_RAW") : tls, i % 2 == 0 ? "/no-read" : slow), options, 500,
             " took only ");
  }
}

static void what_is_fast_enough_goes_on(void) {
  /* For longer than the window. */
  rf_options *options = low(4, 1000 * patience());
  rf_future *future = get(session, raw(text("/trickle?ms=%d&n=22", 100)), options);
  CHECK_STR("xxxxxxxxxxxxxxxxxxxxxx", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  rf_options_free(options);
  options = low(20000, 1000 * patience());
  CHECK_OK(rf_options_set_body_borrowed(options, large, LARGE / 4, NULL, NULL));
  future = request(session, "POST", raw("/slow-read?ms=10&size=131072"), options);
  CHECK_STR("ok", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  rf_options_free(options);

  /* The session's is taken back by one, or the other. */
  rf_session *strict = new_session();
  options = low(1000, 200);
  CHECK_OK(rf_session_update(strict, options));
  rf_options_free(options);
  future = get(strict, raw("/trickle?ms=100&n=5"), NULL);
  CHECK_HAS("low speed=1000", rf_error_message(ERROR_OF(RF_ERROR_READ_TIMEOUT, future)));
  rf_future_free(future);
  for (int i = 0; i < 2; i++) {
    options = i == 0 ? low(0, 200) : low(1000, RF_FOREVER);
    future = get(strict, raw("/trickle?ms=100&n=5"), options);
    CHECK_STR("xxxxx", rf_response_text(RESPONSE(future), NULL));
    rf_future_free(future);
    rf_options_free(options);
  }
  rf_session_free(strict);

  options = new_options();
  CHECK_STATUS(RF_E_INVALID, rf_options_set_low_speed(options, 1, 0));
  CHECK_STATUS(RF_E_INVALID, rf_options_set_low_speed(options, 0, 0));
  CHECK_STATUS(RF_E_INVALID, rf_options_set_low_speed(options, 1, -2));
  CHECK_OK(rf_options_set_low_speed(options, UINT64_MAX, INT64_MAX));
  CHECK_OK(rf_options_set_speed_limit(options, UINT64_MAX, UINT64_MAX));
  CHECK_OK(rf_options_set_body(options, large, 100000));
  future = request(session, "POST", http("/echo"), options);
  RESPONSE(future);
  rf_future_free(future);
  rf_options_free(options);
}

/* ---- time that does not count ---- */

enum { PAUSE_MS = 700, WINDOW_MS = 300 };

static int64_t read_slowly(uint8_t *buffer, size_t capacity, void *user_data) {
  sleep_ms(PAUSE_MS);
  return read_source(buffer, capacity < 3 ? capacity : 3, user_data);
}
static rf_status write_slowly(const uint8_t *data, size_t length, void *user_data) {
  (void)data, (void)length, (void)user_data;
  sleep_ms(PAUSE_MS);
  return RF_OK;
}
static rf_status hook_slowly(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response, (void)user_data;
  sleep_ms(PAUSE_MS);
  return RF_OK;
}

static void functions_and_readers_take_their_time(void) {
  int64_t window = WINDOW_MS * patience();
  source from = {6, 0};
  rf_options *options = low(1, window);
  CHECK_OK(rf_options_set_body_reader(options, read_slowly, NULL, 6, &from, NULL));
  CHECK_OK(rf_options_set_output(options, write_slowly, NULL, NULL));
  CHECK_OK(rf_options_add_hook(options, hook_slowly, NULL, NULL));
  rf_future *future = request(session, "POST", http("/echo"), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);

  options = low(1, window);
  CHECK_OK(rf_options_set_stream(options, true));
  future = get(session, http("/chunks?c=one&c=two&c=three&ms=20"), options);
  const rf_response *response = RESPONSE(future);
  uint8_t buffer[2];
  size_t length = 1, total = 0;
  for (int i = 0; length > 0; i++) {
    if (i < 2) sleep_ms(PAUSE_MS * patience());
    CHECK_OK(rf_response_read(response, buffer, sizeof buffer, &length, NULL));
    total += length;
  }
  CHECK_INT(11, total);
  rf_future_free(future);
  rf_options_free(options);

  /* A limit below the low speed. */
  for (int way = 0; way < 2; way++) {
    options = low(10000, window);
    CHECK_OK(way == 0 ? rf_options_set_speed_limit(options, 500, 0) : rf_options_set_speed_limit(options, 0, 500));
    if (way == 0) CHECK_OK(rf_options_set_body(options, large, 600));
    int64_t start = now_ms();
    future = request(session, way == 0 ? "POST" : "GET", http(way == 0 ? "/upload" : "/bytes/600"), options);
    RESPONSE(future);
    take_time("limited", start, 1200);
    rf_future_free(future);
    rf_options_free(options);
  }
}

/* ---- elsewhere ---- */

static void in_other_processes(void) {
  pool pool = new_pool(2);
  rf_session *here = session;
  rf_options *options = limited(0, LIMIT);
  int64_t start = now_ms();
  rf_future *future = get(pool.session, http(text("/bytes/%d", LENGTH / 2)), options);
  RESPONSE(future);
  take_time("in another process", start, LEAST_MS / 2);
  rf_future_free(future);
  CHECK_OK(rf_options_set_body(options, large, 100));
  CHECK_OK(rf_options_set_speed_limit(options, 100, 0));
  start = now_ms();
  future = request(pool.session, "POST", http("/upload"), options);
  RESPONSE(future);
  take_time("in another process", start, 1000);
  rf_future_free(future);
  rf_options_free(options);
  session = pool.session;
  too_slow("GET", raw("/trickle?ms=50&n=1000"), low(1000, 300), 300, "(low speed=1000 bytes/s for 0.3 s)");
  options = low(1000, 300);
  CHECK_OK(rf_options_set_stream(options, true));
  too_slow("GET", raw("/trickle?ms=50&n=1000"), options, 300, "(low speed=1000 bytes/s for 0.3 s)");
  session = here;
  end_pool(pool);
}

int main(void) {
  large = calloc(1, LARGE);
  CHECK(large != NULL);
  session = new_session();
  every_answer();
  every_body();
  flows_evenly();
  every_hop_and_no_other();
  ends_while_held_back();
  a_trickle_is_given_up();
  what_is_fast_enough_goes_on();
  functions_and_readers_take_their_time();
  in_other_processes();
  rf_session_free(session);
  free(large);
  return finish();
}
