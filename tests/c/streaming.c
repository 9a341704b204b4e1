/* Streamed responses: read in pieces, by line, closed early, aborted; output files and functions; limits. */
#include "wire.h"

#include <sys/resource.h>

static rf_session *session;

static rf_options *streaming(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_stream(options, true));
  return options;
}

static rf_future *stream(const char *url) {
  rf_options *options = streaming();
  rf_future *future = get(session, url, options);
  rf_options_free(options);
  return future;
}

/* Reads all that is left; how much, and how it ended. */
static rf_status drain(const rf_response *response, size_t capacity, size_t *total, const rf_error **error) {
  uint8_t buffer[65536];
  *total = 0;
  for (;;) {
    size_t length = 99;
    rf_status status = rf_response_read(response, buffer, capacity, &length, error);
    if (status != RF_OK) {
      CHECK_INT(0, length);
      return status;
    }
    if (error != NULL) CHECK_NULL(*error);
    if (length == 0) return RF_OK;
    CHECK(length <= capacity);
    *total += length;
  }
}

static void in_pieces(void) {
  static const size_t capacities[] = {1, 100, 65536};
  for (size_t i = 0; i < 3; i++) {
    rf_future *future = stream(http(i == 0 ? "/bytes/1000" : "/bytes/1000000"));
    const rf_response *response = RESPONSE(future);
    const rf_error *error = (void *)session;
    size_t total = 0, length = 9;
    uint8_t buffer[8];
    CHECK_INT(200, rf_response_status_code(response));
    CHECK_OK(drain(response, capacities[i], &total, &error));
    CHECK_INT(i == 0 ? 1000 : 1000000, total);
    /* Past the end: the end again. Content is no longer to be had. */
    CHECK_OK(rf_response_read(response, buffer, sizeof buffer, &length, &error));
    CHECK_INT(0, length);
    CHECK_NULL(rf_response_content(response, &length));
    CHECK_NULL(rf_response_text(response, NULL));
    const rf_json *json = NULL;
    CHECK_STATUS(RF_FAILED, rf_response_json(response, &json, &error));
    CHECK_INT(RF_ERROR_STREAM_CONSUMED, rf_error_kind_of(error));
    rf_future_free(future);
  }
  /* Decoded, as everything is. */
  rf_future *future = stream(http("/encoded?with=gzip&n=300000"));
  size_t total = 0;
  CHECK_OK(drain(RESPONSE(future), 65536, &total, NULL));
  CHECK_INT(300000, total);
  rf_future_free(future);
}

/* The future finishes with the headers. */
static void headers_first(void) {
  int64_t start = now_ms();
  rf_future *future = stream(http("/slow-body?ms=1000&n=3"));
  RESPONSE(future);
  CHECK_RANGE(0, 2500 * patience(), now_ms() - start);
  size_t total = 0;
  CHECK_OK(drain(RESPONSE(future), 100, &total, NULL));
  CHECK_RANGE(2850, 60000, now_ms() - start);
  CHECK_INT(24, total);
  rf_future_free(future);
}

/* Content, text and JSON read what has not been read, all of it. */
static void content_of_a_stream(void) {
  rf_future *future = stream(http("/json"));
  CHECK_STR("Sample Slide Show", json_string(RESPONSE(future), "/slideshow/title"));
  CHECK(rf_response_content(RESPONSE(future), NULL) != NULL);
  CHECK(rf_response_text(RESPONSE(future), NULL) != NULL);
  rf_future_free(future);
  /* After a part has been read there is no whole. */
  future = stream(http("/bytes/1000"));
  uint8_t buffer[10];
  size_t length = 0;
  CHECK_OK(rf_response_read(RESPONSE(future), buffer, sizeof buffer, &length, NULL));
  CHECK(length > 0);
  CHECK_NULL(rf_response_content(RESPONSE(future), NULL));
  CHECK_NULL(rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  /* One that was not streamed is read all the same. */
  future = get(session, http("/hello"), NULL);
  CHECK_OK(rf_response_read(RESPONSE(future), buffer, sizeof buffer, &length, NULL));
  CHECK_INT(10, length);
  CHECK(memcmp(buffer, "Hello, wor", 10) == 0);
  CHECK_OK(rf_response_read(RESPONSE(future), buffer, sizeof buffer, &length, NULL));
  CHECK_INT(3, length);
  CHECK_OK(rf_response_read(RESPONSE(future), buffer, sizeof buffer, &length, NULL));
  CHECK_INT(0, length);
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
}

static void lines(void) {
  static const char *const ends[] = {"lf", "crlf", "cr"};
  for (size_t i = 0; i < 3; i++) {
    rf_future *future = stream(http(text("/stream/50?end=%s", ends[i])));
    const char *line = NULL;
    const rf_error *error = NULL;
    size_t length = 0, count = 0;
    rf_status status;
    while ((status = rf_response_read_line(RESPONSE(future), &line, &length, &error)) == RF_OK) {
      CHECK_INT(length, strlen(line));
      CHECK_HAS(text("{\"id\":%zu,", count), line);
      CHECK_INT('}', line[length - 1]);
      count++;
    }
    CHECK_STATUS(RF_END, status);
    CHECK_NULL(line);
    CHECK_INT(0, length);
    CHECK_INT(50, count);
    CHECK_STATUS(RF_END, rf_response_read_line(RESPONSE(future), &line, &length, &error));
    rf_future_free(future);
  }
  /* Ends across reads, empty lines, a last one without an end. */
  rf_future *future = stream(http("/chunks?c=one%0D&c=%0Atwo%0A%0A&c=thr&c=ee%0Dfour"));
  static const char *const expected[] = {"one", "two", "", "three", "four"};
  for (size_t i = 0; i < 5; i++) {
    const char *line = NULL;
    CHECK_OK(rf_response_read_line(RESPONSE(future), &line, NULL, NULL));
    CHECK_STR(expected[i], line);
  }
  CHECK_STATUS(RF_END, rf_response_read_line(RESPONSE(future), &(const char *){NULL}, NULL, NULL));
  rf_future_free(future);
}

static void failing_bodies(void) {
  static const char *const cut[] = {"/close/body?declared=100&sent=10", "/close/after-chunk?n=2&size=10",
                                    "/rst/body?declared=100&sent=10"};
  for (size_t i = 0; i < 3; i++) {
    rf_future *future = stream(raw(cut[i]));
    const rf_response *response = RESPONSE(future);
    const rf_error *error = NULL;
    size_t total = 0, length = 9;
    uint8_t buffer[8];
    CHECK_STATUS(RF_FAILED, drain(response, 65536, &total, &error));
    CHECK(rf_error_is(error, RF_ERROR_CONNECTION) || rf_error_is(error, RF_ERROR_CHUNKED_ENCODING));
    CHECK(rf_error_message(error) != NULL);
    /* It stays so: never a good end after it. */
    CHECK_STATUS(RF_FAILED, rf_response_read(response, buffer, sizeof buffer, &length, &error));
    CHECK(error != NULL);
    CHECK_INT(0, length);
    rf_future_free(future);
    /* A line that was cut is not delivered. */
    future = stream(raw(cut[i]));
    const char *line = "?";
    CHECK_STATUS(RF_FAILED, rf_response_read_line(RESPONSE(future), &line, &length, &error));
    CHECK_NULL(line);
    CHECK(error != NULL);
    rf_future_free(future);
  }
  rf_options *options = streaming();
  CHECK_OK(rf_options_set_timeout(options, RF_FOREVER, 200));
  rf_future *future = get(session, raw("/stall/body"), options);
  const rf_error *error = NULL;
  size_t total = 0;
  CHECK_STATUS(RF_FAILED, drain(RESPONSE(future), 100, &total, &error));
  CHECK_INT(RF_ERROR_READ_TIMEOUT, rf_error_kind_of(error));
  CHECK_INT(10, total);
  rf_future_free(future);
  rf_options_free(options);
}

static void two_pieces(wire_connection *connection, void *unused) {
  (void)unused;
  if (!wire_next(connection)) return;
  wire_say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegin");
  wire_stall(connection);
}

static void closing(void) {
  wire *server = wire_start(two_pieces, NULL);
  const char *url = wire_url(server, "/");
  uint8_t buffer[100];
  size_t length = 0;

  /* Closed: no more reading, and the connection is given up. */
  rf_future *future = stream(url);
  CHECK_OK(rf_response_read(RESPONSE(future), buffer, sizeof buffer, &length, NULL));
  CHECK_OK(rf_response_close(RESPONSE(future)));
  CHECK_OK(rf_response_close(RESPONSE(future)));
  CHECK_STATUS(RF_E_STATE, rf_response_read(RESPONSE(future), buffer, sizeof buffer, &length, NULL));
  CHECK_INT(0, length);
  EVENTUALLY(wire_open(server) == 0);
  rf_future_free(future);

  /* Freed unread. */
  future = stream(url);
  RESPONSE(future);
  CHECK_INT(1, wire_open(server));
  rf_future_free(future);
  EVENTUALLY(wire_open(server) == 0);

  /* Aborted: true only before it had finished, but its body ends. */
  future = stream(url);
  const rf_error *error = NULL;
  CHECK_OK(rf_response_read(RESPONSE(future), buffer, sizeof buffer, &length, NULL));
  CHECK(!rf_future_abort(future));
  CHECK_STATUS(RF_FAILED, rf_response_read(RESPONSE(future), buffer, sizeof buffer, &length, &error));
  CHECK_INT(RF_ERROR_ABORTED, rf_error_kind_of(error));
  EVENTUALLY(wire_open(server) == 0);
  rf_future_free(future);
  wire_stop(server);
}

/* Closing the session neither ends streams nor waits for their readers. */
static void outliving_the_session(void) {
  rf_session *own = new_session_workers(1);
  rf_options *options = streaming();
  rf_future *future = get(own, http("/bytes/1000000"), options);
  RESPONSE(future);
  CHECK_OK(rf_session_close(own, RF_CLOSE_WAIT));
  rf_session_free(own);
  rf_response *clone = NULL;
  CHECK_OK(rf_response_clone(RESPONSE(future), &clone));
  rf_future_free(future);
  size_t total = 0;
  CHECK_OK(drain(clone, 65536, &total, NULL));
  CHECK_INT(1000000, total);
  rf_response_free(clone);

  /* Except ABORT. */
  own = new_session();
  future = get(own, raw("/stall/body"), options);
  RESPONSE(future);
  CHECK_OK(rf_session_close(own, RF_CLOSE_ABORT));
  const rf_error *error = NULL;
  CHECK_STATUS(RF_FAILED, drain(RESPONSE(future), 100, &total, &error));
  CHECK_INT(RF_ERROR_ABORTED, rf_error_kind_of(error));
  rf_future_free(future);
  rf_session_free(own);
  rf_options_free(options);
}

/* A stream read to its end gives its connection back. */
static void reuse(void) {
  rf_session *own = new_session_workers(1);
  rf_options *options = streaming();
  wire *server = wire_start(wire_keep, NULL);
  for (int i = 0; i < 3; i++) {
    rf_future *future = get(own, wire_url(server, "/path"), options);
    size_t total = 0;
    CHECK_OK(drain(RESPONSE(future), 100, &total, NULL));
    CHECK_INT(5, total);
    rf_future_free(future);
  }
  CHECK_INT(1, wire_connections(server));
  rf_options_free(options);
  rf_session_free(own);
  wire_stop(server);
}

typedef struct sink {
  size_t total;
  int refuse, drops;
} sink;

static rf_status write_sink(const uint8_t *data, size_t length, void *user_data) {
  sink *to = user_data;
  CHECK(data != NULL && length > 0);
  to->total += length;
  return to->refuse ? RF_FAILED : RF_OK;
}
static void drop_sink(void *user_data) { INCREMENT(((sink *)user_data)->drops); }

static long file_size(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) return -1;
  fseek(file, 0, SEEK_END);
  long size = ftell(file);
  fclose(file);
  return size;
}

static void outputs(void) {
  const char *path = text("%s/%s", env("RF_TEST_DIR"), unique("output"));
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_output_file(options, path));
  rf_future *future = get(session, http("/encoded?with=gzip&n=100000"), options); /* decoded bytes */
  size_t length = 9;
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_response_content(RESPONSE(future), &length);
  CHECK_INT(0, length);
  CHECK_STR("", rf_response_text(RESPONSE(future), NULL));
  CHECK_INT(100000, file_size(path));
  rf_future_free(future);
  remove(path);
  /* A broken body leaves no file. */
  future = get(session, raw("/close/body?declared=100&sent=10"), options);
  const rf_error *error = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  CHECK(error != NULL);
  CHECK_INT(-1, file_size(path));
  rf_future_free(future);
  CHECK_OK(rf_options_set_output_file(options, "/no/such/directory/file"));
  future = get(session, http("/hello"), options);
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  CHECK_HAS("/no/such/directory/file", rf_error_message(error));
  CHECK(rf_error_os_code(error) != 0);
  rf_future_free(future);
  rf_options_free(options);

  /* Only the final hop's body. */
  sink to = {0, 0, 0};
  options = new_options();
  CHECK_OK(rf_options_set_output(options, write_sink, &to, drop_sink));
  future = get(session, http("/redirect-to?url=/bytes/50000&body=hop"), options);
  RESPONSE(future);
  CHECK_INT(50000, to.total);
  rf_future_free(future);
  rf_options_free(options);
  EVENTUALLY(LOAD(to.drops) == 1);
  sink refuses = {0, 1, 0};
  options = new_options();
  CHECK_OK(rf_options_set_output(options, write_sink, &refuses, drop_sink));
  future = get(session, http("/bytes/50000"), options);
  ERROR_OF(RF_ERROR_HOOK, future);
  rf_future_free(future);
  rf_options_free(options);
  EVENTUALLY(LOAD(refuses.drops) == 1);
}

static long most_resident_kb(void) {
  struct rusage usage;
  CHECK_INT(0, getrusage(RUSAGE_SELF, &usage));
  return usage.ru_maxrss;
}

static void limits(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_max_body(options, 1000));
  rf_future *future = get(session, http("/bytes/1000"), options);
  RESPONSE(future);
  rf_future_free(future);
  static const char *const over[] = {"/bytes/1001", "/stream-bytes/1001", "/encoded?with=gzip&n=1001"};
  for (size_t i = 0; i < 3; i++) {
    future = get(session, http(over[i]), options);
    ERROR_OF(RF_ERROR_BODY_TOO_LARGE, future);
    rf_future_free(future);
  }
  /* 10 MB that unpack to 10 GB cost what the limit allows, and no more. */
  long before_kb = most_resident_kb();
  CHECK_OK(rf_options_set_max_body(options, 8000000));
  future = get(session, raw("/bomb"), options);
  ERROR_OF(RF_ERROR_BODY_TOO_LARGE, future);
  CHECK(patience() > 1 || most_resident_kb() - before_kb < 32 * 1024);
  rf_future_free(future);
  CHECK_OK(rf_options_set_stream(options, true));
  CHECK_OK(rf_options_set_max_body(options, 1000));
  future = get(session, http("/bytes/100000"), options);
  const rf_error *error = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  if (error == NULL) {
    size_t total = 0;
    CHECK_STATUS(RF_FAILED, drain(RESPONSE(future), 100, &total, &error));
    CHECK(total <= 1000);
  }
  CHECK_INT(RF_ERROR_BODY_TOO_LARGE, rf_error_kind_of(error));
  rf_future_free(future);
  rf_options_free(options);
}

int main(void) {
  session = new_session();
  in_pieces();
  headers_first();
  content_of_a_stream();
  lines();
  failing_bodies();
  closing();
  outliving_the_session();
  reuse();
  outputs();
  limits();
  rf_session_free(session);
  return finish();
}
