/* Server-sent events: what the HTML standard makes of a stream, however it is cut into pieces; when an event is there,
   what ends a read that waits, and what else may be read between two events. */
#include "elsewhere.h"
#include "threads.h"
#include "wire.h"

typedef struct expected {
  const char *type, *data;
  size_t length; /* 0: that of the string */
  const char *id;
  int64_t retry_ms;
} expected;

typedef struct format {
  const char *says, *stream;
  size_t length;
  expected events[5]; /* up to one without data */
} format;

#define STREAM(bytes) bytes, sizeof(bytes) - 1
#define MESSAGE(data) {"message", data, 0, "", -1}

/* What the format tests of the Web Platform Tests try, and a little more. */
static const format formats[] = {
    {"one line of data", STREAM("data: a\n\n"), {MESSAGE("a")}},
    {"nothing", STREAM(""), {{0}}},
    {"only line ends", STREAM("\n\r\n\r\n\n\r"), {{0}}},
    {"a mark in front is dropped, and only there", STREAM("\xef\xbb\xbf" "data:1\n\n\xef\xbb\xbf" "data:2\n\ndata:3\n\n"),
     {MESSAGE("1"), MESSAGE("3")}},
    {"and only one", STREAM("\xef\xbb\xbf\xef\xbb\xbf" "data:1\n\ndata:2\n\n"), {MESSAGE("2")}},
    {"two thirds of a mark are none", STREAM("\xef\xbb" "data:1\n\ndata:2\n\n"), {MESSAGE("2")}},
    {"a mark and nothing else", STREAM("\xef\xbb\xbf"), {{0}}},
    {"a mark in front of an empty line", STREAM("\xef\xbb\xbf\ndata:1\n\n"), {MESSAGE("1")}},
    {"comments are passed over", STREAM(":\ndata:1\r:\0\n:\r\ndata:2\n:: data:9\rdata:3\n:data:fail\r: \ndata:4\n\n"),
     {MESSAGE("1\n2\n3\n4")}},
    {"an event needs its empty line", STREAM("retry:1000\ndata:test1\n\nid:test\ndata:test2"),
     {{"message", "test1", 0, "", 1000}}},
    {"the end of its last line is not enough", STREAM("data:1\n\ndata:2\n"), {MESSAGE("1")}},
    {"empty data are data, no data are none", STREAM("data:\n\ndata\ndata\n\ndata:test\n\nevent:e\n\n"),
     {MESSAGE(""), MESSAGE("\n"), MESSAGE("test")}},
    {"a name that is empty is none", STREAM("event: \ndata:data\n\n"), {MESSAGE("data")}},
    {"a name is that of one event", STREAM("event:test\ndata:x\n\ndata:x\n\n"),
     {{"test", "x", 0, "", -1}, MESSAGE("x")}},
    {"nor of the next when its own has no data", STREAM("event:test\n\ndata:x\n\n"), {MESSAGE("x")}},
    {"the last name counts", STREAM("event:a\ndata:x\nevent:b c\n\nevent:a\nevent\ndata:y\n\n"),
     {{"b c", "x", 0, "", -1}, MESSAGE("y")}},
    {"an id stays until there is another", STREAM("id: 1\ndata:a\n\ndata:b\n\nid:2\n\ndata:c\n\n"),
     {{"message", "a", 0, "1", -1}, {"message", "b", 0, "1", -1}, {"message", "c", 0, "2", -1}}},
    {"an empty one takes it back", STREAM("id:1\ndata:a\n\nid\ndata:b\n\nid:2\ndata:c\n\nid:\ndata:d\n\n"),
     {{"message", "a", 0, "1", -1}, MESSAGE("b"), {"message", "c", 0, "2", -1}, MESSAGE("d")}},
    {"one with a NUL is none", STREAM("id:1\nid:\0\nid:2\0\nid:\0x\ndata:a\n\n"), {{"message", "a", 0, "1", -1}}},
    {"an id is UTF-8", STREAM("id:\xe2\x80\xa6\ndata:a\n\n"), {{"message", "a", 0, "\xe2\x80\xa6", -1}}},
    {"names of fields are exact",
     STREAM("data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n"),
     {{"message", "\0\n 2\n1\n3\n\n4", 11, "", -1}}},
    {"unknown fields are passed over",
     STREAM("data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n"),
     {MESSAGE("test\n\ntest")}},
    {"one space in front of a value is dropped", STREAM("data:\ttest\rdata: \ndata:test\ndata:  x\n\n"),
     {MESSAGE("\ttest\n\ntest\n x")}},
    {"LF, CR and CRLF end lines, each once", STREAM("data:test\r\ndata\ndata:test\r\n\r\ndata:1\r\rdata:2\n\ndata:3\n\r\n"),
     {MESSAGE("test\n\ntest"), MESSAGE("1"), MESSAGE("2"), MESSAGE("3")}},
    {"CR, then LF, is one end", STREAM("data:1\r\n\ndata:2\r\n\r\n"), {MESSAGE("1"), MESSAGE("2")}},
    {"a NUL is a character", STREAM("data:\0\n\n\n\n"), {{"message", "\0", 1, "", -1}}},
    {"retry is a number", STREAM("retry:3000\nretry:1000x\nretry\nretry:\nretry: 5 \nretry:-1\nretry:+7\nretry:0x9\ndata:x\n\n"),
     {{"message", "x", 0, "", 3000}}},
    {"the last one counts, without data as well", STREAM("retry:7\n\nretry: 0008\n\ndata:x\n\nretry:0\ndata:y\n\n"),
     {{"message", "x", 0, "", 8}, {"message", "y", 0, "", 0}}},
    {"one that is too large is a long time", STREAM("retry:99999999999999999999999\ndata:x\n\n"),
     {{"message", "x", 0, "", INT64_MAX}}},
    {"other digits are none", STREAM("retry:\xd9\xa1\ndata:x\n\n"), {MESSAGE("x")}},
    {"whatever it is, it is read as UTF-8", STREAM("event:\xfc\ndata:ok\xe2\x80\xa6\xff\xe2\x82" "a\n\n"),
     {{"\xef\xbf\xbd", "ok\xe2\x80\xa6\xef\xbf\xbd\xef\xbf\xbd" "a", 0, "", -1}}},
    {"other ends of lines are none", STREAM("data:a\x0b" "b\x0c" "c\xc2\x85" "d\xe2\x80\xa8" "e\n\n"),
     {MESSAGE("a\x0b" "b\x0c" "c\xc2\x85" "d\xe2\x80\xa8" "e")}},
};

/* The events of a body are these, and then it ends. */
static void check_events(const rf_response *response, const format *format, const char *how) {
  const rf_event *event = NULL;
  const rf_error *error = NULL;
  for (const expected *is = format->events; is->data != NULL; is++) {
    size_t length = 99, wanted = is->length != 0 ? is->length : strlen(is->data);
    rf_status status = rf_response_read_event(response, &event, &error);
    if (status != RF_OK) FAIL("%s, %s: event %d: %s", format->says, how, (int)(is - format->events), rf_status_name(status));
    const char *data = rf_event_data(event, &length);
    if (length != wanted || memcmp(data, is->data, length + 1) != 0) {
      FAIL("%s, %s: event %d: %zu bytes: %s", format->says, how, (int)(is - format->events), length, data);
    }
    CHECK_STR(is->type, rf_event_type(event));
    CHECK_STR(is->id, rf_event_id(event));
    CHECK_INT(is->retry_ms, rf_event_retry_ms(event));
  }
  for (int i = 0; i < 2; i++) {
    event = (void *)&error;
    rf_status status = rf_response_read_event(response, &event, &error);
    if (status != RF_END) FAIL("%s, %s: not over: %s", format->says, how, rf_status_name(status));
    CHECK_NULL(event);
    CHECK_NULL(error);
  }
}

/* Gives a stream in pieces of one size. */
typedef struct pieces {
  const char *stream;
  size_t length, piece, at;
} pieces;

static int64_t next_piece(uint8_t *buffer, size_t capacity, void *user_data) {
  pieces *pieces = user_data;
  size_t count = pieces->length - pieces->at;
  if (count > pieces->piece) count = pieces->piece;
  if (count > capacity) count = capacity;
  memcpy(buffer, pieces->stream + pieces->at, count);
  pieces->at += count;
  return (int64_t)count;
}

static void the_format(void) {
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
    const format *format = &formats[i];
    rf_response *response = NULL;
    CHECK_OK(rf_response_new(200, "text/event-stream", format->stream, format->length, &response));
    check_events(response, format, "in memory");
    rf_response_free(response);
    for (size_t piece = 1; piece <= format->length; piece++) {
      pieces source = {format->stream, format->length, piece, 0};
      CHECK_OK(rf_response_new_reader(200, next_piece, -1, &source, NULL, &response));
      check_events(response, format, text("in pieces of %zu", piece));
      rf_response_free(response);
    }
  }
}

/* ---- over the wire ---- */

static rf_future *stream(rf_session *session, const char *url, int64_t read_ms, int64_t deadline_ms) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_stream(options, true));
  CHECK_OK(rf_options_set_timeout(options, RF_FOREVER, read_ms));
  CHECK_OK(rf_options_set_deadline(options, deadline_ms));
  rf_future *future = get(session, url, options);
  rf_options_free(options);
  return future;
}

static const rf_event *next(const rf_response *response) {
  const rf_event *event = NULL;
  const rf_error *error = NULL;
  rf_status status = rf_response_read_event(response, &event, &error);
  if (status != RF_OK) FAIL("%s: %s", rf_status_name(status), error != NULL ? rf_error_message(error) : "");
  return event;
}

static const char *next_data(const rf_response *response) { return rf_event_data(next(response), NULL); }

/* The next step of a server's is due when a test says so. */
static int step;
static void wait_for_step(int wanted) { EVENTUALLY(LOAD(step) >= wanted); }

static void in_steps(wire_connection *connection, void *unused) {
  (void)unused;
  if (!wire_next(connection)) return;
  wire_say(connection, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
  wait_for_step(1);
  wire_say(connection, "data: 2\r\n\r"); /* the LF that is missing would say nothing new */
  wait_for_step(2);
  wire_say(connection, "\ndata: 3\r\r");
  wait_for_step(3);
  wire_say(connection, "data: 4\n\nid: 5\ndata: 5\n\nthe ");
  wait_for_step(4);
  wire_say(connection, "rest\nof it");
}

/* An event is there as soon as its empty line is, and nothing is read beyond that. */
static void at_once(rf_session *session) {
  wire *server = wire_start(in_steps, NULL);
  rf_future *future = stream(session, wire_url(server, "/"), RF_FOREVER, LONG_MS);
  const rf_response *response = RESPONSE(future);
  CHECK_STR("1", next_data(response));
  INCREMENT(step);
  CHECK_STR("2", next_data(response));
  INCREMENT(step);
  CHECK_STR("3", next_data(response));
  INCREMENT(step);
  CHECK_STR("4", next_data(response));
  CHECK_STR("5", rf_event_id(next(response)));
  INCREMENT(step);
  const char *line = NULL;
  CHECK_OK(rf_response_read_line(response, &line, NULL, NULL));
  CHECK_STR("the rest", line);
  uint8_t buffer[16];
  size_t length = 0;
  CHECK_OK(rf_response_read(response, buffer, sizeof buffer, &length, NULL));
  CHECK(length >= 1 && length <= 5 && memcmp(buffer, "of it", length) == 0);
  rf_future_free(future);
  wire_stop(server);
}

/* All three ways to read go on where another stopped: behind the end of the line, whatever that is. */
static void mixed(void) {
  static const char *const ends[] = {"\n", "\r\n", "\r"};
  for (size_t i = 0; i < 3; i++) {
    for (size_t piece = 1; piece < 40; piece++) {
      const char *end = ends[i];
      const char *body = text("first%sid: 7%sdata: a%s%sxyzdata: b%s%s%sline%sdata: c%s%s\nend", end, end, end, end, end,
                              end, end, end, end, end);
      pieces source = {body, strlen(body), piece, 0};
      rf_response *response = NULL;
      CHECK_OK(piece % 2 == 0 ? rf_response_new_reader(200, next_piece, -1, &source, NULL, &response)
                              : rf_response_new(200, NULL, body, strlen(body), &response));
      const char *line = NULL;
      uint8_t buffer[8];
      size_t length = 0, all = 0;
      CHECK_OK(rf_response_read_line(response, &line, NULL, NULL));
      CHECK_STR("first", line);
      CHECK_STR("a", next_data(response));
      while (all < 3) {
        CHECK_OK(rf_response_read(response, buffer + all, 3 - all, &length, NULL));
        CHECK(length > 0);
        all += length;
      }
      CHECK(memcmp(buffer, "xyz", 3) == 0);
      const rf_event *event = next(response);
      CHECK_STR("b", rf_event_data(event, NULL));
      CHECK_STR("7", rf_event_id(event));
      CHECK_OK(rf_response_read_line(response, &line, NULL, NULL));
      CHECK_STR("", line);
      CHECK_STR("b", rf_event_data(event, NULL)); /* until the next event is read */
      CHECK_OK(rf_response_read_line(response, &line, NULL, NULL));
      CHECK_STR("line", line);
      CHECK_STR("c", next_data(response));
      /* After CR an LF is the rest of that end. */
      CHECK_OK(rf_response_read(response, buffer, 1, &length, NULL));
      CHECK_INT(strcmp(end, "\r") == 0 ? 'e' : '\n', buffer[0]);
      CHECK_STATUS(RF_END, rf_response_read_event(response, &event, NULL));
      rf_response_free(response);
    }
  }
  /* A mark is only at the very beginning. */
  static const char marked[] = "x\xef\xbb\xbf" "data: 1\n\ndata: 2\n\n";
  rf_response *response = NULL;
  uint8_t first;
  size_t length = 0;
  CHECK_OK(rf_response_new(200, NULL, marked, sizeof marked - 1, &response));
  CHECK_OK(rf_response_read(response, &first, 1, &length, NULL));
  CHECK_STR("2", next_data(response));
  rf_response_free(response);
}

static void endless(wire_connection *connection, void *unused) {
  (void)unused;
  if (!wire_next(connection)) return;
  wire_say(connection, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nid: 1\ndata: first\n\ndata: half");
  wire_stall(connection);
}

static void *after_a_moment(void *user_data) {
  sleep_ms(100);
  CHECK(!rf_future_abort(user_data)); /* the future is over, its body is not */
  return NULL;
}

static void *close_after_a_moment(void *user_data) {
  sleep_ms(100);
  CHECK_OK(rf_response_close(user_data));
  return NULL;
}

static void *close_session_after_a_moment(void *user_data) {
  sleep_ms(100);
  return close_it(user_data);
}

/* What ends a read that waits: time-outs, abort, close. */
static void ended(void) {
  wire *server = wire_start(endless, NULL);
  const rf_event *event = NULL;
  for (int how = 0; how < 5; how++) {
    rf_session *session = new_session_workers(1);
    rf_future *future = stream(session, wire_url(server, "/"), how == 0 ? 200 : RF_FOREVER, how == 1 ? 300 : LONG_MS);
    const rf_response *response = RESPONSE(future);
    const rf_error *error = NULL;
    closer closer = {session, RF_CLOSE_ABORT, 0};
    pthread_t thread;
    CHECK_STR("first", next_data(response));
    int64_t start = now_ms();
    if (how == 2) CHECK_INT(0, pthread_create(&thread, NULL, after_a_moment, future));
    if (how == 3) CHECK_INT(0, pthread_create(&thread, NULL, close_after_a_moment, (void *)response));
    if (how == 4) CHECK_INT(0, pthread_create(&thread, NULL, close_session_after_a_moment, &closer));
    event = (void *)&error;
    rf_status status = rf_response_read_event(response, &event, &error);
    CHECK_RANGE(50, 3000 * patience(), now_ms() - start);
    CHECK_NULL(event);
    CHECK_STATUS(how == 3 ? RF_E_STATE : RF_FAILED, status);
    if (how == 0) CHECK_INT(RF_ERROR_READ_TIMEOUT, rf_error_kind_of(error));
    if (how == 1) CHECK_INT(RF_ERROR_TIMEOUT, rf_error_kind_of(error));
    if (how == 2 || how == 4) CHECK_INT(RF_ERROR_ABORTED, rf_error_kind_of(error));
    /* It stays so. */
    CHECK_STATUS(status, rf_response_read_event(response, &event, &error));
    if (how >= 2) CHECK_INT(0, pthread_join(thread, NULL));
    rf_future_free(future);
    rf_session_free(session);
  }
  EVENTUALLY(wire_open(server) == 0);
  wire_stop(server);
}

/* A body that breaks off, one that is coded, one that was not streamed. */
static void other_bodies(rf_session *session) {
  rf_future *future = stream(session, raw("/close/body?declared=100&sent=10"), RF_FOREVER, LONG_MS);
  const rf_event *event = (void *)session;
  const rf_error *error = NULL;
  CHECK_STATUS(RF_FAILED, rf_response_read_event(RESPONSE(future), &event, &error));
  CHECK_NULL(event);
  CHECK(rf_error_is(error, RF_ERROR_CHUNKED_ENCODING) || rf_error_is(error, RF_ERROR_CONNECTION));
  rf_future_free(future);

  future = stream(session, http("/encoded?with=gzip&text=data%3A%20a%0A%0Adata%3A%20b%0A%0A"), RF_FOREVER, LONG_MS);
  CHECK_STR("a", next_data(RESPONSE(future)));
  CHECK_STR("b", next_data(RESPONSE(future)));
  CHECK_STATUS(RF_END, rf_response_read_event(RESPONSE(future), &event, NULL));
  rf_future_free(future);

  future = get(session, http("/chunks?c=data%3A%20a%0D%0A%0D&c=%0Adata%3A%20b%0A%0A"), NULL);
  CHECK_STR("a", next_data(RESPONSE(future)));
  CHECK_STR("b", next_data(RESPONSE(future)));
  CHECK_STATUS(RF_END, rf_response_read_event(RESPONSE(future), &event, NULL));
  CHECK_STR("data: a\r\n\r\ndata: b\n\n", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);

  /* A part that was read is no content, as with pieces and lines. */
  future = stream(session, http("/chunks?c=data%3A%20a%0A%0A"), RF_FOREVER, LONG_MS);
  CHECK_STR("a", next_data(RESPONSE(future)));
  CHECK_NULL(rf_response_text(RESPONSE(future), NULL));
  CHECK_OK(rf_response_close(RESPONSE(future)));
  CHECK_STATUS(RF_E_STATE, rf_response_read_event(RESPONSE(future), &event, NULL));
  rf_future_free(future);
}

/* ---- limits ---- */

#define MEGABYTE ((size_t)1024 * 1024)

/* Repeats a text for so many bytes, and ends with another. */
typedef struct flood {
  const char *text, *last;
  size_t length, left, at;
} flood;

static int64_t next_of_flood(uint8_t *buffer, size_t capacity, void *user_data) {
  flood *flood = user_data;
  size_t count = 0;
  while (count < capacity && (flood->left > 0 || flood->at != 0)) {
    buffer[count++] = (uint8_t)flood->text[flood->at++];
    if (flood->left > 0) flood->left--;
    if (flood->at == flood->length) flood->at = 0;
  }
  while (count < capacity && flood->left == 0 && flood->at == 0 && *flood->last != '\0') {
    buffer[count++] = (uint8_t)*flood->last++;
  }
  return (int64_t)count;
}

static void floods(void) {
  static const struct {
    const char *text, *last;
    size_t megabytes;
    const char *message; /* NULL: it is an event like any other */
  } all[] = {
      {"xxxxxxxxxxxxxxxx", "\n\n", 17, "A line of the events from (no host) is longer than 16 MB"},
      {": comment comment comment comment\n", "data: x\n\n", 17, NULL},
      {"data: 0123456789012345678901234\n", "data: x\n\n", 20, "An event from (no host) is longer than 16 MB"},
      {"unknown: 0123456789012345678901\n", "data: x\n\n", 17, NULL},
      {"data\n", "\n", 85, "An event from (no host) is longer than 16 MB"},
  };
  /* A checker that makes everything slow sees the same in the first three. */
  for (size_t i = 0; i < (patience() > 1 ? 3 : sizeof all / sizeof *all); i++) {
    for (int in_memory = 0; in_memory < 2; in_memory++) {
      flood flood = {all[i].text, all[i].last, strlen(all[i].text), all[i].megabytes * MEGABYTE, 0};
      rf_response *response = NULL;
      const rf_event *event = NULL;
      const rf_error *error = NULL;
      CHECK_OK(rf_response_new_reader(200, next_of_flood, -1, &flood, NULL, &response));
      if (in_memory) CHECK(rf_response_content(response, NULL) != NULL);
      rf_status status = rf_response_read_event(response, &event, &error);
      if (all[i].message == NULL) {
        CHECK_OK(status);
        CHECK_STR("x", rf_event_data(event, NULL));
      } else {
        CHECK_STATUS(RF_FAILED, status);
        CHECK_INT(RF_ERROR_BODY_TOO_LARGE, rf_error_kind_of(error));
        CHECK_HAS("longer than 16 MB", rf_error_message(error));
        uint8_t byte;
        size_t length = 0;
        /* Nothing more comes of a stream; what is in memory can be read another way. */
        CHECK_STATUS(in_memory ? RF_OK : RF_FAILED, rf_response_read(response, &byte, 1, &length, NULL));
      }
      rf_response_free(response);
    }
  }
}

/* ---- elsewhere ---- */

/* A hook there has read an event; here it goes on, and knows what the stream has said. */
static void in_other_processes(void) {
  pool processes = new_pool(1);
  rf_session *by_bytes = session_run_by(run_by_bytes);
  rf_session *const sessions[] = {processes.session, by_bytes};
  for (size_t i = 0; i < 2; i++) {
    for (int streams = 0; streams < 2; streams++) {
      rf_options *options = options_with_hook("read_event");
      CHECK_OK(rf_options_set_stream(options, streams));
      rf_future *future = get(sessions[i], http("/chunks?c=%EF%BB%BFid%3A%201%0Aretry%3A%2020%0Adata%3A%20a%0D%0A%0D&c=%0A%0Adata%3A%20b%0A%0A"), options);
      const rf_response *response = RESPONSE(future);
      CHECK_STR("a", (const char *)rf_response_extra(response, "event", NULL));
      const char *line = NULL;
      CHECK_OK(rf_response_read_line(response, &line, NULL, NULL));
      CHECK_STR("", line);
      const rf_event *event = next(response);
      CHECK_STR("b", rf_event_data(event, NULL));
      CHECK_STR("1", rf_event_id(event));
      CHECK_INT(20, rf_event_retry_ms(event));
      CHECK_STATUS(RF_END, rf_response_read_event(response, &event, NULL));
      rf_future_free(future);
      rf_options_free(options);
    }
  }
  rf_session_free(by_bytes);
  CHECK_OK(rf_session_close(processes.session, RF_CLOSE_WAIT));
  rf_session_free(processes.session);
  rf_executor_free(processes.executor);
}

int main(void) {
  rf_session *session = new_session();
  the_format();
  at_once(session);
  mixed();
  ended();
  other_bodies(session);
  floods();
  in_other_processes();
  rf_session_free(session);
  return finish();
}
