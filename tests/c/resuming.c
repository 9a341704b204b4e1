/* RF_OUTPUT_RESUME: what stays of a download that breaks off, what the next request asks for, and what never becomes of the
   file, whatever a server answers, whoever else writes, and whenever the process is killed. */
#include "elsewhere.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { LENGTH = 5000 };

static rf_session *session;

static const char *new_path(void) { return text("%s/%s", env("RF_TEST_DIR"), unique("resuming")); }
static const char *part_of(const char *path) { return text("%s.part", path); }
static const char *meta_of(const char *path) { return text("%s.part.meta", path); }
static bool is_there(const char *path) { return access(path, F_OK) == 0; }

static void put(const char *path, const char *data, size_t length) {
  FILE *file = fopen(path, "w");
  CHECK(file != NULL && fwrite(data, 1, length, file) == length && fclose(file) == 0);
}

static int64_t size_of(const char *path) {
  struct stat about;
  return stat(path, &about) == 0 ? (int64_t)about.st_size : -1;
}

/* The file has just these bytes. */
static void check_file(const char *path, const char *data, size_t length) {
  CHECK_INT(length, size_of(path));
  char *content = malloc(length + 1);
  FILE *file = fopen(path, "r");
  CHECK(content != NULL && file != NULL && fread(content, 1, length, file) == length);
  CHECK(memcmp(content, data, length) == 0);
  fclose(file);
  free(content);
}

/* It is complete: nothing else is left of it. The file is removed. */
static void check_complete(const char *path, const char *data, size_t length) {
  check_file(path, data, length);
  CHECK(!is_there(part_of(path)) && !is_there(meta_of(path)));
  CHECK_INT(0, unlink(path));
}

static const char *bytes(int version, size_t length) {
  static char content[2][300000];
  if (content[0][0] == '\0') {
    for (size_t i = 0; i < sizeof content[0]; i++) {
      content[0][i] = (char)('a' + (i * 7 + i / 251) % 26);
      content[1][i] = (char)('A' + (i * 11 + i / 241) % 26);
    }
  }
  CHECK(length <= sizeof content[0]);
  return content[version];
}

/* ---- a server that breaks off ---- */

typedef struct store {
  const char *body;
  size_t length;
  const char *validator; /* what If-Range has to be; NULL: Range is ignored */
  const char *headers;   /* of each 200 and 206 */
  int cuts;              /* so many answers break off ... */
  size_t each;           /* ... after so many bytes */
  bool stalls;           /* ... or say nothing more */
  bool chunked;
  size_t most;           /* of one range */
  const char *ranged_answer; /* the whole answer to a request with a Range */
  int times;                 /* so often; 0: always */
  const char *answer;        /* the whole answer to any other request */
  int ranged, plain, stalled;
  char range[64], if_range[128], encoding[64];
} store;

static void send_body(wire_connection *connection, store *store, size_t first, size_t end) {
  /* Once something is said the test may change the rest. */
  bool cut = store->cuts > 0, chunked = store->chunked, stalls = store->stalls;
  size_t count = end - first;
  if (cut) store->cuts--;
  if (cut && count > store->each) count = store->each;
  if (chunked) wire_say(connection, text("%zx\r\n", count));
  wire_bytes(connection, store->body + first, count);
  if (chunked) wire_say(connection, cut ? "\r\n" : "\r\n0\r\n\r\n");
  if (!cut) return;
  if (stalls) {
    INCREMENT(store->stalled);
    wire_stall(connection);
  }
  shutdown(connection->fd, SHUT_RDWR);
}

static void serve(wire_connection *connection, void *user_data) {
  store *store = user_data;
  while (wire_next(connection)) {
    char range[64] = "", if_range[128] = "";
    bool has_range = wire_header(connection, "Range", range, sizeof range) != NULL;
    wire_header(connection, "If-Range", if_range, sizeof if_range);
    wire_header(connection, "Accept-Encoding", store->encoding, sizeof store->encoding);
    memcpy(store->range, range, sizeof range);
    memcpy(store->if_range, if_range, sizeof if_range);
    if (has_range) INCREMENT(store->ranged);
    else INCREMENT(store->plain);
    const char *whole = has_range ? store->ranged_answer : store->answer;
    if (whole != NULL) {
      if (has_range && store->times > 0 && --store->times == 0) store->ranged_answer = NULL;
      wire_say(connection, whole);
      return;
    }
    size_t first = 0, end = store->length;
    if (has_range && store->validator != NULL && strcmp(if_range, store->validator) == 0) {
      CHECK(sscanf(range, "bytes=%zu-", &first) == 1);
      if (first >= store->length) {
        wire_answer(connection, "416 Range Not Satisfiable", text("Content-Range: bytes */%zu\r\n", store->length), "no");
        continue;
      }
      if (store->most > 0 && end - first > store->most) end = first + store->most;
      wire_say(connection, text("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %zu-%zu/%zu\r\n", first, end - 1,
                                store->length));
    } else {
      wire_say(connection, "HTTP/1.1 200 OK\r\n");
    }
    wire_say(connection, store->headers);
    wire_say(connection, store->chunked ? "Transfer-Encoding: chunked\r\n\r\n"
                                        : text("Content-Length: %zu\r\n\r\n", end - first));
    send_body(connection, store, first, end);
  }
}

static store usual(void) {
  store made;
  memset(&made, 0, sizeof made);
  made.body = bytes(0, LENGTH), made.length = LENGTH;
  made.validator = "\"v1\"", made.headers = "ETag: \"v1\"\r\n";
  made.cuts = 1, made.each = 1000;
  return made;
}

static rf_options *resuming(const char *path) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_output_file(options, path));
  CHECK_OK(rf_options_set_output_mode(options, RF_OUTPUT_RESUME));
  return options;
}

static void set_retry(rf_options *options, uint32_t total) {
  rf_retry *retry = NULL;
  CHECK_OK(rf_retry_new(total, &retry));
  CHECK_OK(rf_options_set_retry(options, retry));
  rf_retry_free(retry);
}

/* Sends it, and frees the options. The status of its response, or the error's kind, less than 0. */
static int fetch_with(rf_session *by, const char *url, rf_options *options) {
  wire_in_order();
  rf_future *future = get(by, url, options);
  const rf_error *error = NULL;
  const rf_response *response = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  wire_in_order();
  rf_future_result(future, 0, &response);
  int outcome = error != NULL ? -rf_error_kind_of(error) : rf_response_status_code(response);
  if (response != NULL && (outcome == 200 || outcome == 206)) CHECK_STR("", rf_response_text(response, NULL));
  rf_future_free(future);
  rf_options_free(options);
  return outcome;
}

static int fetch(wire *server, const char *path) {
  return fetch_with(session, wire_url(server, "/file?x=1"), resuming(path));
}

/* A part of so many bytes. */
static void begin(store *store, wire *server, const char *path) {
  CHECK_INT(-RF_ERROR_CHUNKED_ENCODING, fetch(server, path));
  CHECK(!is_there(path));
  check_file(part_of(path), store->body, store->each);
}

/* ---- going on ---- */

static void goes_on(rf_session *by) {
  store store = usual();
  wire *server = wire_start(serve, &store);
  const char *path = new_path();
  struct stat about;
  store.cuts = 2;
  for (int i = 1; i <= 2; i++) {
    CHECK_INT(-RF_ERROR_CHUNKED_ENCODING, fetch_with(by, wire_url(server, "/file#part"), resuming(path)));
    CHECK(!is_there(path));
    check_file(part_of(path), store.body, store.each * (size_t)i);
    CHECK_STR("identity", store.encoding);
  }
  CHECK_STR("bytes=1000-", store.range);
  CHECK_INT(0, stat(meta_of(path), &about));
  CHECK_INT(0600, about.st_mode & 07777);
  CHECK_INT(206, fetch_with(by, wire_url(server, "/file"), resuming(path)));
  CHECK_STR("bytes=2000-", store.range);
  CHECK_STR("\"v1\"", store.if_range);
  check_complete(path, store.body, LENGTH);
  /* What is complete is asked for as a whole, and replaced. */
  put(path, "old", 3);
  CHECK_INT(0, chmod(path, 0640));
  CHECK_INT(200, fetch_with(by, wire_url(server, "/file"), resuming(path)));
  CHECK_INT(0, stat(path, &about));
  CHECK_INT(0640, about.st_mode & 07777);
  check_complete(path, store.body, LENGTH);
  wire_stop(server);
}

typedef struct reports {
  int64_t last, total;
  bool went_back;
} reports;

static rf_status report(int64_t sent, int64_t send_total, int64_t received, int64_t receive_total, void *user_data) {
  reports *reports = user_data;
  (void)sent, (void)send_total;
  if (received < reports->last) reports->went_back = true;
  reports->last = received, reports->total = receive_total;
  return RF_OK;
}

static void in_one_request(rf_session *by, bool is_here) {
  store store = usual();
  wire *server = wire_start(serve, &store);
  const char *path = new_path();
  reports reports = {0, 0, false};
  store.cuts = 4;
  rf_options *options = resuming(path);
  set_retry(options, 4);
  if (is_here) CHECK_OK(rf_options_set_progress(options, report, &reports, NULL));
  CHECK_INT(206, fetch_with(by, wire_url(server, "/"), options));
  CHECK_INT(1, store.plain);
  CHECK_INT(4, store.ranged);
  CHECK_STR("bytes=4000-", store.range);
  if (is_here) CHECK(!reports.went_back && reports.last == LENGTH && reports.total == LENGTH);
  check_complete(path, store.body, LENGTH);
  /* Used up: what has arrived stays. */
  store.cuts = 4;
  options = resuming(path);
  set_retry(options, 2);
  CHECK_INT(-RF_ERROR_CHUNKED_ENCODING, fetch_with(by, wire_url(server, "/"), options));
  check_file(part_of(path), store.body, 3000);
  /* So it does where it may not be sent again. */
  options = resuming(path);
  set_retry(options, 2);
  CHECK_OK(rf_options_set_repeatable(options, false));
  CHECK_INT(-RF_ERROR_CHUNKED_ENCODING, fetch_with(by, wire_url(server, "/"), options));
  check_file(part_of(path), store.body, 4000);
  CHECK_INT(206, fetch_with(by, wire_url(server, "/"), resuming(path)));
  check_complete(path, store.body, LENGTH);
  /* Without a validator it begins anew each time, in the same request as well. */
  store.headers = "", store.cuts = 2;
  options = resuming(path);
  set_retry(options, 2);
  int ranged = store.ranged;
  CHECK_INT(200, fetch_with(by, wire_url(server, "/"), options));
  CHECK_INT(ranged, store.ranged);
  check_complete(path, store.body, LENGTH);
  wire_stop(server);
}

/* A server may give less than it is asked for: the rest is asked for at once, without a retry. */
static void in_pieces(void) {
  store store = usual();
  store.most = 700;
  wire *server = wire_start(serve, &store);
  const char *path = new_path();
  begin(&store, server, path);
  /* What may not be repeated is not. */
  rf_options *options = resuming(path);
  CHECK_OK(rf_options_set_repeatable(options, false));
  rf_future *future = get(session, wire_url(server, "/file?x=1"), options);
  CHECK_HAS("a part of the file only", rf_error_message(ERROR_OF(RF_ERROR_REQUEST, future)));
  check_file(part_of(path), store.body, 1700);
  rf_future_free(future);
  rf_options_free(options);
  CHECK_INT(206, fetch(server, path));
  CHECK_INT(6, store.ranged);
  check_complete(path, store.body, LENGTH);
  wire_stop(server);
}

/* ---- what a part can be gone on with ---- */

#define MODIFIED "Thu, 05 Nov 2026 10:00:00 GMT"

static void validators(void) {
  static const struct {
    const char *headers, *validator;
  } cases[] = {
      {"ETag: \"v1\"\r\nLast-Modified: " MODIFIED "\r\n", "\"v1\""},
      {"ETag: W/\"v1\"\r\n", NULL},
      {"ETag: w/\"v1\"\r\n", NULL},
      {"Last-Modified: " MODIFIED "\r\nDate: Thu, 05 Nov 2026 10:00:01 GMT\r\n", MODIFIED},
      {"Last-Modified: " MODIFIED "\r\nDate: Thu, 05 Nov 2026 10:00:00 GMT\r\n", NULL},
      {"Last-Modified: " MODIFIED "\r\nDate: Thu, 05 Nov 2026 09:59:59 GMT\r\n", NULL},
      {"Last-Modified: " MODIFIED "\r\n", NULL},
      {"Last-Modified: yesterday\r\nDate: Thu, 05 Nov 2026 10:00:01 GMT\r\n", NULL},
      /* Who has an ETag must not go by the date. */
      {"ETag: W/\"v1\"\r\nLast-Modified: " MODIFIED "\r\nDate: Thu, 05 Nov 2026 11:00:00 GMT\r\n", NULL},
      {"", NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    store store = usual();
    store.headers = cases[i].headers, store.validator = cases[i].validator;
    wire *server = wire_start(serve, &store);
    const char *path = new_path();
    begin(&store, server, path);
    CHECK_INT(cases[i].validator != NULL ? 206 : 200, fetch(server, path));
    CHECK_STR(cases[i].validator != NULL ? "bytes=1000-" : "", store.range);
    CHECK_STR(cases[i].validator != NULL ? cases[i].validator : "", store.if_range);
    check_complete(path, store.body, LENGTH);
    wire_stop(server);
  }
}

/* Answers to a range that do not fit, each with a body that would show in the file. */
static void unfit(void) {
#define PART(headers) "HTTP/1.1 206 Partial Content\r\n" headers "Content-Length: 4\r\nConnection: close\r\n\r\nEVIL"
  static const char *const answers[] = {
      PART("Content-Range: bytes 996-999/5000\r\nETag: \"v1\"\r\n"),
      PART("Content-Range: bytes 1001-1004/5000\r\nETag: \"v1\"\r\n"),
      PART("Content-Range: bytes 1000-1003/1004\r\nETag: \"v1\"\r\n"),
      PART("Content-Range: bytes 1000-1003/*\r\nETag: \"v1\"\r\n"),
      PART("Content-Range: bytes 1000-1004/5000\r\nETag: \"v1\"\r\n"),
      PART("Content-Range: bytes 1000-1003/5000\r\nETag: \"v2\"\r\n"),
      PART("Content-Range: bytes 1000-1003/5000\r\nETag: W/\"v1\"\r\n"),
      PART("Content-Range: bytes 1000-1003/5000\r\n"),
      PART("Content-Range: bytes 1000-1003/5000\r\nETag: \"v1\"\r\nContent-Encoding: gzip\r\n"),
      PART("Content-Range: letters 1000-1003/5000\r\nETag: \"v1\"\r\n"),
      PART("Content-Range: bytes 1003-1000/5000\r\nETag: \"v1\"\r\n"),
      PART("Content-Range: bytes 1000-1003/5000\r\nContent-Range: bytes 0-3/5000\r\nETag: \"v1\"\r\n"),
      PART("ETag: \"v1\"\r\n"),
      PART("Content-Type: multipart/byteranges; boundary=x\r\nETag: \"v1\"\r\n"),
      PART("Content-Type: Multipart/ByteRanges;boundary=x\r\nContent-Range: bytes 1000-1003/5000\r\nETag: \"v1\"\r\n"),
      "HTTP/1.1 416 No\r\nContent-Range: bytes */4999\r\nContent-Length: 0\r\n\r\n",
      /* The length was said to be another one. */
      "HTTP/1.1 416 No\r\nContent-Range: bytes */1000\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n",
  };
  for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
    store store = usual();
    wire *server = wire_start(serve, &store);
    const char *path = new_path();
    begin(&store, server, path);
    /* May it not be sent again, it fails; else all of it is asked for, whatever the retries. */
    store.ranged_answer = answers[i];
    rf_options *options = resuming(path);
    CHECK_OK(rf_options_set_repeatable(options, false));
    CHECK_INT(-RF_ERROR_INVALID_HEADER, fetch_with(session, wire_url(server, "/file?x=1"), options));
    check_file(part_of(path), store.body, store.each);
    CHECK_INT(200, fetch(server, path));
    CHECK_INT(2, store.ranged);
    check_complete(path, store.body, LENGTH);
    wire_stop(server);
  }
  /* A server that gives nothing but the wrong part. */
  store store = usual();
  wire *server = wire_start(serve, &store);
  const char *path = new_path();
  begin(&store, server, path);
  store.ranged_answer = store.answer = answers[0];
  CHECK_INT(-RF_ERROR_INVALID_HEADER, fetch(server, path));
  CHECK(!is_there(path));
  check_file(part_of(path), store.body, store.each);
  /* One that gives more than it says: nothing that it gave is believed, so that the next request asks for all of it. */
  store.answer = NULL;
  store.ranged_answer = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1000-1003/5000\r\nETag: \"v1\"\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n3\r\nEVI\r\n3\r\nLXX\r\n0\r\n\r\n";
  CHECK_INT(-RF_ERROR_REQUEST, fetch(server, path));
  CHECK(!is_there(path) && !is_there(part_of(path)) && !is_there(meta_of(path)));
  CHECK_INT(200, fetch(server, path));
  check_complete(path, store.body, LENGTH);
  wire_stop(server);
}

/* The file has changed, or it is another URL's: it begins anew. */
static void another_file(void) {
  store store = usual();
  wire *server = wire_start(serve, &store);
  const char *path = new_path();
  begin(&store, server, path);
  store.body = bytes(1, LENGTH), store.validator = "\"v2\"", store.headers = "ETag: \"v2\"\r\n";
  CHECK_INT(200, fetch(server, path));
  CHECK_STR("bytes=1000-", store.range);
  check_complete(path, store.body, LENGTH);
  store.cuts = 1;
  begin(&store, server, path);
  int ranged = store.ranged;
  CHECK_INT(200, fetch_with(session, wire_url(server, "/file?x=2"), resuming(path)));
  CHECK_INT(ranged, store.ranged);
  check_complete(path, store.body, LENGTH);
  wire_stop(server);
}

static void other_statuses(void) {
  store store = usual();
  wire *server = wire_start(serve, &store);
  const char *path = new_path();
  /* Where nothing has arrived nothing is left. */
  store.answer = store.ranged_answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone";
  CHECK_INT(404, fetch(server, path));
  CHECK(!is_there(path) && !is_there(part_of(path)) && !is_there(meta_of(path)));
  store.answer = store.ranged_answer = NULL;
  begin(&store, server, path);
  store.ranged_answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone";
  rf_options *options = resuming(path);
  rf_future *future = get(session, wire_url(server, "/file?x=1"), options);
  CHECK_STR("gone", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  CHECK_OK(rf_options_set_raise_for_status(options, true));
  CHECK_INT(-RF_ERROR_HTTP, fetch_with(session, wire_url(server, "/file?x=1"), options));
  check_file(part_of(path), store.body, store.each);
  store.ranged_answer = NULL;
  CHECK_INT(206, fetch(server, path));
  check_complete(path, store.body, LENGTH);
  /* A status that is tried again, in one request. */
  store.cuts = 1;
  begin(&store, server, path);
  rf_retry *retry = NULL;
  CHECK_OK(rf_retry_new(1, &retry));
  CHECK_OK(rf_retry_add_status(retry, 400, 599));
  store.ranged_answer = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", store.times = 1;
  options = resuming(path);
  CHECK_OK(rf_options_set_retry(options, retry));
  CHECK_INT(206, fetch_with(session, wire_url(server, "/file?x=1"), options));
  check_complete(path, store.body, LENGTH);

  /* 416: all of it has arrived, though nobody has said so. */
  for (int raise = 0; raise < 2; raise++) {
    store.cuts = 1, store.each = LENGTH, store.chunked = true;
    begin(&store, server, path);
    options = resuming(path);
    if (raise) CHECK_OK(rf_options_set_raise_for_status(options, true));
    /* Nor is it tried again. */
    if (raise) CHECK_OK(rf_options_set_retry(options, retry));
    CHECK_INT(416, fetch_with(session, wire_url(server, "/file?x=1"), options));
    CHECK_STR("bytes=5000-", store.range);
    check_complete(path, store.body, LENGTH);
  }
  rf_retry_free(retry);
  /* An empty file. */
  store.length = 0, store.chunked = false, store.cuts = 0;
  CHECK_INT(200, fetch(server, path));
  check_complete(path, "", 0);
  wire_stop(server);
}

/* gzip with a stored block: what an old server sends, whatever it is asked for. */
static size_t zip(char *zipped, const char *data, size_t length) {
  size_t at = 0;
  uint8_t tail[8];
  memcpy(zipped, "\x1f\x8b\x08\0\0\0\0\0\0\xff", 10), at = 10;
  zipped[at++] = 1;
  zipped[at++] = (char)(length & 255), zipped[at++] = (char)(length >> 8);
  zipped[at++] = (char)(~length & 255), zipped[at++] = (char)(~length >> 8);
  memcpy(zipped + at, data, length), at += length;
  put_u32(tail, crc32((const uint8_t *)data, length)), put_u32(tail + 4, (uint32_t)length);
  memcpy(zipped + at, tail, 8);
  return at + 8;
}

static void coded(void) {
  static char zipped[LENGTH + 100];
  store store = usual();
  store.length = zip(zipped, bytes(0, LENGTH), LENGTH), store.body = zipped;
  store.headers = "ETag: \"v1\"\r\nContent-Encoding: gzip\r\n";
  wire *server = wire_start(serve, &store);
  const char *path = new_path();
  CHECK_INT(-RF_ERROR_CHUNKED_ENCODING, fetch(server, path));
  CHECK_INT(200, fetch(server, path));
  CHECK_INT(0, store.ranged);
  check_complete(path, bytes(0, LENGTH), LENGTH);
  /* As it came. */
  store.cuts = 1;
  rf_options *options = resuming(path);
  CHECK_OK(rf_options_set_decode(options, false));
  rf_future *future = get(session, wire_url(server, "/file?x=1"), options);
  ERROR_OF(RF_ERROR_CHUNKED_ENCODING, future);
  rf_future_free(future);
  check_file(part_of(path), zipped, store.each);
  CHECK_INT(206, fetch_with(session, wire_url(server, "/file?x=1"), options));
  check_complete(path, zipped, store.length);
  /* Begun as it came, and then decoded: anew. */
  store.cuts = 1;
  options = resuming(path);
  CHECK_OK(rf_options_set_decode(options, false));
  CHECK_INT(-RF_ERROR_CHUNKED_ENCODING, fetch_with(session, wire_url(server, "/file?x=1"), options));
  CHECK_INT(200, fetch(server, path));
  CHECK_INT(1, store.ranged);
  check_complete(path, bytes(0, LENGTH), LENGTH);
  wire_stop(server);
}

static void limits(void) {
  store store = usual();
  wire *server = wire_start(serve, &store);
  const char *path = new_path();
  begin(&store, server, path);
  rf_options *options = resuming(path);
  CHECK_OK(rf_options_set_max_body(options, LENGTH - 1));
  CHECK_INT(-RF_ERROR_BODY_TOO_LARGE, fetch_with(session, wire_url(server, "/file?x=1"), options));
  CHECK(!is_there(path));
  options = resuming(path);
  CHECK_OK(rf_options_set_max_body(options, LENGTH));
  CHECK_INT(206, fetch_with(session, wire_url(server, "/file?x=1"), options));
  check_complete(path, store.body, LENGTH);
  /* A deadline, an abort, a close. */
  for (int how = 0; how < 3; how++) {
    store.cuts = 2, store.stalls = true, store.stalled = 0;
    for (int i = 1; i <= 2; i++) {
      rf_session *own = new_session_workers(1);
      options = resuming(path);
      if (how == 0) CHECK_OK(rf_options_set_deadline(options, 300 * patience()));
      rf_future *future = get(own, wire_url(server, "/file?x=1"), options);
      EVENTUALLY(LOAD(store.stalled) == i && size_of(part_of(path)) == i * 1000);
      int64_t start = now_ms();
      if (how == 1) CHECK(rf_future_abort(future));
      if (how == 2) CHECK_OK(rf_session_close(own, RF_CLOSE_ABORT));
      ERROR_OF(how == 0 ? RF_ERROR_TIMEOUT : RF_ERROR_ABORTED, future);
      CHECK_RANGE(0, 2000 * patience(), now_ms() - start);
      check_file(part_of(path), store.body, (size_t)i * 1000);
      rf_future_free(future);
      rf_options_free(options);
      rf_session_free(own);
    }
    CHECK_INT(206, fetch(server, path));
    check_complete(path, store.body, LENGTH);
  }
  wire_stop(server);
}

/* The same while it waits to be tried again: nobody else may write the part meanwhile, and somebody may after that. */
static void paused(void) {
  store store = usual();
  store.cuts = 100;
  wire *server = wire_start(serve, &store);
  const char *path = new_path();
  for (int how = 0; how < 3; how++) {
    rf_session *own = new_session_workers(1);
    rf_retry *retry = NULL;
    CHECK_OK(rf_retry_new(3, &retry));
    CHECK_OK(rf_retry_set_backoff(retry, 2 * LONG_MS, 2 * LONG_MS, 0));
    rf_options *options = resuming(path);
    CHECK_OK(rf_options_set_retry(options, retry));
    if (how == 0) CHECK_OK(rf_options_set_deadline(options, LONG_MS / 2));
    int sent = store.plain + store.ranged;
    rf_future *future = get(own, wire_url(server, "/file?x=1"), options);
    EVENTUALLY(size_of(part_of(path)) == (how + 1) * 1000);
    sleep_ms(20);
    int64_t start = now_ms();
    if (how == 1) {
      CHECK_INT(-RF_ERROR_REQUEST, fetch(server, path));
      CHECK(rf_future_abort(future));
    }
    if (how == 2) CHECK_OK(rf_session_close(own, RF_CLOSE_ABORT));
    /* A pause that would last beyond the deadline is none. */
    ERROR_OF(how == 0 ? RF_ERROR_CHUNKED_ENCODING : RF_ERROR_ABORTED, future);
    CHECK_RANGE(0, 2000 * patience(), now_ms() - start);
    CHECK_INT(sent + 1, store.plain + store.ranged);
    rf_future_free(future);
    rf_options_free(options);
    rf_retry_free(retry);
    rf_session_free(own);
  }
  store.cuts = 0;
  CHECK_INT(206, fetch(server, path));
  CHECK_STR("bytes=3000-", store.range);
  check_complete(path, store.body, LENGTH);
  wire_stop(server);
}

/* There is room for so many bytes, and then there is more. */
static void no_room(void) {
  store store = usual();
  store.cuts = 0;
  wire *server = wire_start(serve, &store);
  const char *path = new_path();
  static const rlim_t rooms[] = {10, 2000};
  for (int i = 0; i < 2; i++) {
    struct rlimit before, small;
    CHECK_INT(0, getrlimit(RLIMIT_FSIZE, &before));
    small = before, small.rlim_cur = rooms[i];
    rf_options *options = resuming(path);
    CHECK_INT(0, setrlimit(RLIMIT_FSIZE, &small));
    rf_future *future = get(session, wire_url(server, "/file?x=1"), options);
    const rf_error *error = NULL;
    CHECK_OK(rf_future_exception(future, LONG_MS, &error));
    CHECK_INT(0, setrlimit(RLIMIT_FSIZE, &before));
    error = ERROR_OF(RF_ERROR_REQUEST, future);
    CHECK_INT(EFBIG, rf_error_os_code(error));
    CHECK_HAS(i == 0 ? ".part.meta" : path, rf_error_message(error));
    CHECK(!is_there(path));
    /* Without a description it would be of no use. */
    if (i == 0) CHECK(!is_there(part_of(path)) && !is_there(meta_of(path)));
    else check_file(part_of(path), store.body, 2000);
    rf_future_free(future);
    rf_options_free(options);
    CHECK_INT(i == 0 ? 200 : 206, fetch(server, path));
    check_complete(path, store.body, LENGTH);
  }
  wire_stop(server);
}

/* Gives 100 bytes so many times, and then fails. */
static int64_t give(uint8_t *buffer, size_t capacity, void *user_data) {
  int *left = user_data;
  if (capacity < 100 || (*left)-- == 0) return -1;
  memset(buffer, 'h', 100);
  return 100;
}

static rf_status put_in_place(rf_hook_call *call, const rf_response *response, void *user_data) {
  rf_response *other = NULL;
  (void)response;
  CHECK_OK(rf_response_new_reader(200, give, LENGTH, user_data, NULL, &other));
  CHECK_OK(rf_response_add_header(other, "ETag", "\"v1\""));
  rf_status result = rf_hook_replace(call, other);
  rf_response_free(other);
  return result;
}

static rf_status without_range(rf_prepared *prepared, void *unused) {
  (void)unused;
  CHECK_STR("bytes=1000-", rf_prepared_header(prepared, "Range"));
  CHECK_STR("\"v1\"", rf_prepared_header(prepared, "If-Range"));
  return rf_prepared_set_header(prepared, "Range", NULL);
}

static rf_status another_range(rf_prepared *prepared, void *unused) {
  (void)unused;
  rf_status status = rf_prepared_set_header(prepared, "Range", "bytes=5-");
  return status == RF_OK ? rf_prepared_set_header(prepared, "If-Range", "\"v1\"") : status;
}

typedef struct notes {
  char text[16000];
} notes;

static void note(uint64_t future, int kind, const uint8_t *data, size_t length, void *user_data) {
  notes *notes = user_data;
  size_t before = strlen(notes->text);
  (void)future;
  if (kind == RF_TRACE_INFO) snprintf(notes->text + before, sizeof notes->text - before, "%.*s\n", (int)length, (const char *)data);
}

/* A trace tells why it is asked again, and for what. */
static void traced(void) {
  store store = usual();
  store.most = 3500;
  wire *server = wire_start(serve, &store);
  const char *path = new_path();
  notes notes = {""};
  rf_options *options = resuming(path);
  set_retry(options, 1);
  CHECK_OK(rf_options_set_trace(options, note, false, &notes, NULL));
  rf_future *future = get(session, wire_url(server, "/file?x=1"), options);
  CHECK_INT(206, rf_response_status_code(RESPONSE(future)));
  CHECK_INT(3, rf_response_attempts(RESPONSE(future)));
  CHECK_HAS("Broken off: ", notes.text);
  CHECK_HAS("once more in 0 ms, from byte 1000", notes.text);
  CHECK_HAS("There is more of the file; asking for it from byte 4500", notes.text);
  check_complete(path, store.body, LENGTH);
  rf_future_free(future);
  store.cuts = 1;
  begin(&store, server, path);
  store.ranged_answer = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 7-8/5000\r\nETag: \"v1\"\r\nContent-Length: 2\r\n\r\nxx";
  CHECK_INT(200, fetch_with(session, wire_url(server, "/file?x=1"), options));
  CHECK_HAS("its Content-Range begins at byte 7, not 1000; asking for the whole file", notes.text);
  check_complete(path, store.body, LENGTH);
  /* What broke off says in which step. */
  store.cuts = 1, store.ranged_answer = NULL;
  options = resuming(path);
  future = get(session, wire_url(server, "/file?x=1"), options);
  const rf_error *error = ERROR_OF(RF_ERROR_CHUNKED_ENCODING, future);
  CHECK_INT(RF_PHASE_RECEIVE, rf_error_phase(error));
  CHECK_INT(1, rf_error_attempts(error));
  CHECK_STR("GET", rf_error_method(error));
  rf_future_free(future);
  rf_options_free(options);
  CHECK_INT(0, unlink(part_of(path)));
  CHECK_INT(0, unlink(meta_of(path)));
  wire_stop(server);
}

/* What functions of the user's do with requests and answers makes no mixed file either. */
static void through_functions(void) {
  store store = usual();
  store.cuts = 0;
  wire *server = wire_start(serve, &store);
  const char *path = new_path();
  /* What a hook has put in an answer's place is no beginning of what the server has. */
  int left = 5;
  rf_options *options = resuming(path);
  CHECK_OK(rf_options_add_hook(options, put_in_place, &left, NULL));
  CHECK(fetch_with(session, wire_url(server, "/file?x=1"), options) < 0);
  CHECK_INT(500, size_of(part_of(path)));
  CHECK_INT(200, fetch(server, path));
  CHECK_INT(0, store.ranged);
  check_complete(path, store.body, LENGTH);

  store.cuts = 1;
  begin(&store, server, path);
  options = resuming(path);
  CHECK_OK(rf_options_add_request_hook(options, another_range, NULL, NULL));
  CHECK_INT(-RF_ERROR_INVALID_HEADER, fetch_with(session, wire_url(server, "/file?x=1"), options));
  check_file(part_of(path), store.body, store.each);
  options = resuming(path);
  CHECK_OK(rf_options_add_request_hook(options, without_range, NULL, NULL));
  CHECK_INT(200, fetch_with(session, wire_url(server, "/file?x=1"), options));
  check_complete(path, store.body, LENGTH);
  wire_stop(server);
}

static void through_an_adapter(void) {
  rf_session *own = new_session_through();
  goes_on(own);
  in_one_request(own, false);
  rf_session_free(own);
}

/* Many at once on one thread, each to a file of its own, over TLS. */
static void in_fibers(void) {
  enum { MANY = 24, LONG = 60000 };
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_events(MANY, 1, &executor));
  rf_session *events = session_on(executor);
  const char *paths[MANY];
  rf_future *futures[MANY];
  rf_options *options = new_options();
  rf_future *whole = get(events, http(text("/bytes/%d", LONG)), NULL);
  const uint8_t *content = rf_response_content(RESPONSE(whole), NULL);
  for (int i = 0; i < MANY; i++) {
    rf_options_free(options);
    options = resuming(paths[i] = new_path());
    set_retry(options, 3);
    CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
    const char *url = text("/breaking/%d?times=3&key=%s", LONG, unique("breaking"));
    futures[i] = get(events, text("%s%s", env(i % 2 ? "RF_TEST_HTTP" : "RF_TEST_HTTPS"), url), options);
  }
  for (int i = 0; i < MANY; i++) {
    CHECK_INT(206, rf_response_status_code(RESPONSE(futures[i])));
    check_complete(paths[i], (const char *)content, LONG);
    rf_future_free(futures[i]);
  }
  rf_future_free(whole);
  rf_options_free(options);
  rf_session_free(events);
  rf_executor_free(executor);
}

static void wrong_requests(void) {
  const char *path = new_path();
  rf_options *options = resuming(path);
  rf_future *future = request(session, "POST", http("/anything"), options);
  CHECK_HAS("RF_OUTPUT_RESUME is for GET", rf_error_message(ERROR_OF(RF_ERROR_REQUEST, future)));
  rf_future_free(future);
  future = request(session, "HEAD", http("/anything"), options);
  ERROR_OF(RF_ERROR_REQUEST, future);
  rf_future_free(future);
  CHECK_OK(rf_options_set_header(options, "range", "bytes=5-"));
  CHECK_INT(-RF_ERROR_INVALID_HEADER, fetch_with(session, http("/range/100"), options));
  options = resuming(path);
  CHECK_OK(rf_options_set_header(options, "If-Range", "\"x\""));
  CHECK_INT(-RF_ERROR_INVALID_HEADER, fetch_with(session, http("/range/100"), options));
  future = get(session, http("/hello"), options = resuming(text("%s/no/such/file", env("RF_TEST_DIR"))));
  CHECK_HAS("does not exist; create it first", rf_error_message(ERROR_OF(RF_ERROR_REQUEST, future)));
  rf_future_free(future);
  rf_options_free(options);
  future = get(session, http("/hello"), options = resuming(env("RF_TEST_DIR")));
  CHECK_INT(EISDIR, rf_error_os_code(ERROR_OF(RF_ERROR_REQUEST, future)));
  rf_future_free(future);
  rf_options_free(options);
  /* A name so long that there is no room for the part's. */
  char name[256];
  memset(name, 'n', sizeof name), name[252] = '\0';
  future = get(session, http("/hello"), options = resuming(text("%s/%s", env("RF_TEST_DIR"), name)));
  CHECK_INT(ENAMETOOLONG, rf_error_os_code(ERROR_OF(RF_ERROR_REQUEST, future)));
  rf_future_free(future);
  rf_options_free(options);
  CHECK_INT(200, fetch_with(session, http("/hello"), resuming("/dev/null")));
  CHECK(!is_there("/dev/null.part"));
  /* Without a file it says nothing. */
  options = new_options();
  CHECK_OK(rf_options_set_output_mode(options, RF_OUTPUT_RESUME));
  future = get(session, http("/hello"), options);
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  rf_options_free(options);
  /* A redirect; and a link, beside whose file the part lies. */
  const char *link = new_path();
  CHECK_INT(0, symlink(path, link));
  CHECK_INT(200, fetch_with(session, http("/redirect-to?url=/range/5000"), resuming(link)));
  struct stat about;
  CHECK_INT(0, lstat(link, &about));
  CHECK(S_ISLNK(about.st_mode));
  CHECK_INT(5000, size_of(path));
  CHECK_INT(0, unlink(link));
  CHECK_INT(0, unlink(path));
}

/* What a redirect leads to may be another file each time, of the same length and with the same ETag. */
static void another_mirror(void) {
  store first = usual(), second = usual(), mirror = usual();
  second.body = bytes(1, LENGTH), second.cuts = 0;
  wire *a = wire_start(serve, &first), *b = wire_start(serve, &second), *m = wire_start(serve, &mirror);
  const char *path = new_path();
  char to[3][300];
  const char *const urls[] = {wire_url(a, "/file?signature=1"), wire_url(b, "/file"), wire_url(a, "/file?signature=2")};
  for (int i = 0; i < 3; i++) {
    snprintf(to[i], sizeof to[i], "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", urls[i]);
  }
  for (int i = 0; i < 2; i++) {
    mirror.answer = mirror.ranged_answer = to[0];
    first.cuts = 1;
    begin(&first, m, path);
    mirror.answer = mirror.ranged_answer = to[1 + i];
    CHECK_INT(i == 0 ? 200 : 206, fetch(m, path));
    check_complete(path, i == 0 ? second.body : first.body, LENGTH);
  }
  CHECK_INT(1, second.ranged);
  CHECK_INT(1, second.plain);
  CHECK_INT(1, first.ranged);
  wire_stop(a);
  wire_stop(b);
  wire_stop(m);
}

/* ---- others ---- */

static void somebody_elses(void) {
  store store = usual();
  store.cuts = 0;
  wire *server = wire_start(serve, &store);
  const char *path = new_path(), *other = new_path();
  static const char *const metas[] = {
      "", "what is this?\n", "requests-futures part 1\nurl: http://other/\netag: \"v1\"\nend: \n",
      /* Not written to its end. */
      "requests-futures part 1\nurl: %s\netag: \"v1\"\n",
  };
  for (size_t i = 0; i <= sizeof metas / sizeof *metas; i++) {
    put(part_of(path), "somebody else's", 15);
    if (i > 0) {
      const char *meta = i == 4 ? text("requests-futures part 1\nurl: %s\netag: \"v1\"\n", wire_url(server, "/file?x=1"))
                                : metas[i - 1];
      put(meta_of(path), meta, strlen(meta));
    }
    CHECK_INT(200, fetch(server, path));
    CHECK_STR("", store.range);
    check_complete(path, store.body, LENGTH);
  }
  /* One that has no end, is no text, is a pipe, or says what the part is too long for. */
  for (int how = 0; how < 5; how++) {
    put(part_of(path), "somebody else's", 15);
    const char *good = text("requests-futures part 1\nurl: %s\netag: \"v1\"\nlength: 10\nend: \n", wire_url(server, "/file?x=1"));
    put(meta_of(path), how == 1 ? "\xff\xfe\0" : good, how == 1 ? 3 : strlen(good));
    if (how == 0) CHECK_INT(0, truncate(meta_of(path), (off_t)1 << 40));
    if (how == 2) CHECK(unlink(meta_of(path)) == 0 && mkfifo(meta_of(path), 0600) == 0);
    if (how == 3) CHECK(unlink(meta_of(path)) == 0 && symlink("/dev/zero", meta_of(path)) == 0);
    CHECK_INT(200, fetch(server, path));
    CHECK_INT(how < 4 ? 0 : 1, store.ranged);
    check_complete(path, store.body, LENGTH);
  }
  store.ranged = 0;
  /* What could be another file than it seems is refused, and stays as it was. */
  put(other, "other", 5);
  CHECK_INT(0, symlink(other, part_of(path)));
  CHECK_INT(-RF_ERROR_REQUEST, fetch(server, path));
  CHECK_INT(0, unlink(part_of(path)));
  CHECK_INT(0, link(other, part_of(path)));
  CHECK_INT(-RF_ERROR_REQUEST, fetch(server, path));
  CHECK_INT(0, unlink(part_of(path)));
  CHECK_INT(0, mkdir(part_of(path), 0700));
  CHECK_INT(-RF_ERROR_REQUEST, fetch(server, path));
  CHECK_INT(0, rmdir(part_of(path)));
  CHECK_INT(0, mkfifo(part_of(path), 0600));
  CHECK_INT(-RF_ERROR_REQUEST, fetch(server, path));
  CHECK_INT(0, unlink(part_of(path)));
  /* So is a description that cannot be replaced; where it can, what it led to stays. */
  CHECK_INT(0, mkdir(meta_of(path), 0700));
  CHECK_INT(-RF_ERROR_REQUEST, fetch(server, path));
  CHECK_INT(0, rmdir(meta_of(path)));
  CHECK_INT(0, symlink(other, meta_of(path)));
  CHECK_INT(200, fetch(server, path));
  check_complete(path, store.body, LENGTH);
  if (geteuid() == 0) {
    put(part_of(path), "other", 5);
    CHECK_INT(0, chown(part_of(path), 12345, 12345));
    CHECK_INT(-RF_ERROR_REQUEST, fetch(server, path));
    check_file(part_of(path), "other", 5);
    CHECK_INT(0, unlink(part_of(path)));
  }
  check_file(other, "other", 5);
  CHECK_INT(0, unlink(other));

  /* Somebody takes the part away, or puts another one there, while it is written. */
  for (int how = 0; how < 2; how++) {
    store.cuts = 1, store.stalls = true, store.stalled = 0;
    rf_options *options = resuming(path);
    set_retry(options, 1);
    CHECK_OK(rf_options_set_timeout(options, LONG_MS, 300));
    rf_future *future = get(session, wire_url(server, "/file?x=1"), options);
    EVENTUALLY(LOAD(store.stalled) == 1 && size_of(part_of(path)) == 1000);
    if (how == 0) CHECK_INT(0, unlink(part_of(path)));
    else CHECK_INT(0, rename(part_of(path), other));
    if (how == 1) put(part_of(path), "mine", 4);
    CHECK_HAS("is not there any more", rf_error_message(ERROR_OF(RF_ERROR_REQUEST, future)));
    CHECK(!is_there(path));
    if (how == 1) {
      check_file(part_of(path), "mine", 4);
      CHECK_INT(0, unlink(part_of(path)));
      CHECK_INT(0, unlink(other));
    }
    unlink(meta_of(path));
    rf_future_free(future);
    rf_options_free(options);
  }
  wire_stop(server);
}

static const char *program;

/* This program once more, as a child that downloads; `nth` and `torn` as below. */
static pid_t start_child(const char *url, const char *path, int nth, bool torn) {
  const char *number = text("%d", nth);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    execl(program, program, url, path, number, torn ? "torn" : "before", (char *)NULL);
    _exit(99);
  }
  return child;
}

static int outcome_of(pid_t child) {
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  return status;
}

static void two_writers(void) {
  store store = usual();
  store.stalls = true;
  wire *server = wire_start(serve, &store);
  const char *path = new_path(), *url = wire_url(server, "/file?x=1");
  rf_options *options = resuming(path);
  rf_future *first = get(session, url, options);
  EVENTUALLY(LOAD(store.stalled) == 1 && size_of(part_of(path)) == 1000);
  rf_future *second = get(session, url, options);
  const rf_error *error = ERROR_OF(RF_ERROR_REQUEST, second);
  CHECK_INT(EWOULDBLOCK, rf_error_os_code(error));
  CHECK_HAS(".part is being written by another request or process", rf_error_message(error));
  rf_future_free(second);
  int status = outcome_of(start_child(url, path, 0, false));
  CHECK(WIFEXITED(status));
  CHECK_INT(RF_ERROR_REQUEST, WEXITSTATUS(status));
  check_file(part_of(path), store.body, 1000);

  /* A child that was forked meanwhile does not keep it from the next request. */
  int fds[2];
  char byte;
  CHECK_INT(0, pipe(fds));
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    close(fds[1]);
    while (read(fds[0], &byte, 1) < 0) {
    }
    /* Without a look at what is the parent's. */
    kill(getpid(), SIGKILL);
  }
  close(fds[0]);
  CHECK(rf_future_abort(first));
  ERROR_OF(RF_ERROR_ABORTED, first);
  rf_future_free(first);
  store.stalls = false;
  /* It is free as soon as the future is over. */
  for (int i = 0; i < 50; i++) {
    store.cuts = 1, store.each = 10;
    rf_future *future = get(session, url, options);
    ERROR_OF(RF_ERROR_CHUNKED_ENCODING, future);
    rf_future_free(future);
  }
  CHECK_INT(206, fetch(server, path));
  check_complete(path, store.body, LENGTH);
  close(fds[1]);
  CHECK(WIFSIGNALED(outcome_of(child)));

  /* Many at once: one has it, and in the end it is whole. */
  enum { MANY = 8 };
  rf_future *futures[MANY];
  rf_session *many = new_session_workers(MANY);
  for (int round = 0; round < 20; round++) {
    int whole = 0;
    for (int i = 0; i < MANY; i++) futures[i] = get(many, url, options);
    for (int i = 0; i < MANY; i++) {
      CHECK_OK(rf_future_exception(futures[i], LONG_MS, &error));
      if (error == NULL) whole++;
      else CHECK_INT(EWOULDBLOCK, rf_error_os_code(error));
      rf_future_free(futures[i]);
    }
    CHECK(whole >= 1);
    check_complete(path, store.body, LENGTH);
  }
  rf_session_free(many);
  rf_options_free(options);
  wire_stop(server);
}

/* A hook that forks and returns twice: what the child drops is the parent's. */
static int forked;
static rf_status forking(int64_t sent, int64_t send_total, int64_t received, int64_t receive_total, void *user_data) {
  (void)sent, (void)send_total, (void)receive_total, (void)user_data;
  if (received >= 1000 && __atomic_exchange_n(&forked, 1, __ATOMIC_SEQ_CST) == 0) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child > 0) CHECK(WIFSIGNALED(outcome_of(child)));
  }
  return RF_OK;
}

static rf_status run_and_leave(rf_task *task, void *user_data) {
  pid_t *parent = user_data;
  rf_task_run(task);
  if (getpid() != *parent) kill(getpid(), SIGKILL);
  return RF_OK;
}

static void forks_inside(rf_output_mode mode) {
  store store = usual();
  wire *server = wire_start(serve, &store);
  const char *path = new_path();
  if (mode == RF_OUTPUT_RESUME) begin(&store, server, path);
  store.cuts = 0, forked = 0;
  pid_t parent = getpid();
  rf_executor_ops ops = {.size = sizeof ops, .submit = run_and_leave};
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_custom(&ops, &parent, NULL, &executor));
  rf_session *here = session_on(executor);
  rf_options *options = resuming(path);
  CHECK_OK(rf_options_set_progress(options, forking, NULL, NULL));
  CHECK_OK(rf_options_set_output_mode(options, mode));
  CHECK_INT(mode == RF_OUTPUT_RESUME ? 206 : 200, fetch_with(here, wire_url(server, "/file?x=1"), options));
  CHECK_INT(1, forked);
  check_complete(path, store.body, LENGTH);
  rf_session_free(here);
  rf_executor_free(executor);
  wire_stop(server);
}

/* ---- killed ---- */

/* In a child: how many of these calls are left before it is killed. A torn write is made in part before that. */
static int countdown;
static bool is_torn;
#if defined(__GLIBC__) && defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define CAN_KILL 1
static bool is_due(void) { return countdown > 0 && __atomic_fetch_sub(&countdown, 1, __ATOMIC_SEQ_CST) == 1; }
static long killed_before(long number, long a, long b, long c, long d) {
  if (is_due()) kill(getpid(), SIGKILL);
  return syscall(number, a, b, c, d);
}
static bool is_file(int fd) {
  struct stat about;
  return countdown > 0 && fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
}
static long killed_in(long number, int fd, const void *data, size_t length, long at) {
  if (is_file(fd) && is_due()) {
    if (is_torn) syscall(number, fd, data, length / 2, at);
    kill(getpid(), SIGKILL);
  }
  return syscall(number, fd, data, length, at);
}
/* They stand in the place of the C library's, for the library as well. */
ssize_t write(int fd, const void *data, size_t length) { return killed_in(SYS_write, fd, data, length, 0); }
ssize_t pwrite64(int fd, const void *data, size_t length, off_t at) { return killed_in(SYS_pwrite64, fd, data, length, at); }
int ftruncate64(int fd, off_t length) { return (int)killed_before(SYS_ftruncate, fd, length, 0, 0); }
int rename(const char *from, const char *to) { return (int)killed_before(SYS_rename, (long)from, (long)to, 0, 0); }
int unlink(const char *path) { return (int)killed_before(SYS_unlink, (long)path, 0, 0, 0); }
int flock(int fd, int operation) { return (int)killed_before(SYS_flock, fd, operation, 0, 0); }
#endif

static int child(char **argv) {
  rf_session *own = new_session_workers(1);
  is_torn = strcmp(argv[4], "torn") == 0;
  countdown = atoi(argv[3]);
  int outcome = fetch_with(own, argv[1], resuming(argv[2]));
  rf_session_free(own);
  return outcome > 0 ? 0 : -outcome;
}

#ifdef CAN_KILL
static void killed(void) {
  enum { LONG = 200000 };
  if (getenv("RF_TEST_EMULATED") != NULL) return;
  for (int how = 0; how < 6; how++) {
    int nth = 0;
    for (bool was_killed = true; was_killed;) {
      store store = usual();
      store.body = bytes(0, LONG), store.length = LONG, store.cuts = how / 2 > 0, store.each = 100000;
      wire *server = wire_start(serve, &store);
      const char *path = new_path(), *url = wire_url(server, "/file?x=1");
      /* From nothing; from a part that is gone on with; from one that is begun anew. */
      if (how / 2 > 0) begin(&store, server, path);
      int version = how / 2 == 2;
      if (version) store.body = bytes(1, LONG), store.validator = "\"v2\"", store.headers = "ETag: \"v2\"\r\n";
      int status = outcome_of(start_child(url, path, ++nth, how & 1));
      was_killed = WIFSIGNALED(status);
      if (was_killed) CHECK_INT(SIGKILL, WTERMSIG(status));
      else CHECK_INT(0, status);
      if (!is_there(path)) {
        /* What is there is the beginning of one of them. */
        int64_t there = size_of(part_of(path));
        CHECK(was_killed && there <= LONG);
        if (there > 0) {
          FILE *file = fopen(part_of(path), "r");
          char start = (char)fgetc(file);
          fclose(file);
          check_file(part_of(path), bytes(start != bytes(0, 1)[0], LONG), (size_t)there);
        }
        CHECK_INT(0, outcome_of(start_child(url, path, 0, false)));
      }
      check_file(path, store.body, LONG);
      CHECK(!is_there(part_of(path)));
      CHECK_INT(0, unlink(path));
      unlink(meta_of(path));
      wire_stop(server);
    }
    /* Lock, pieces of the body, name, description, lock; and, unless it goes on, what was there and a new description. */
    CHECK_RANGE(how / 2 == 1 ? 6 : 9, 100, nth);
  }
}
#endif

int main(int argc, char **argv) {
  if (argc == 5) return child(argv);
  program = argv[0];
  places places = new_places();
  session = places.at[HERE];
  goes_on(session);
  goes_on(places.at[BY_BYTES]);
  goes_on(places.at[IN_PROCESSES]);
  in_one_request(session, true);
  in_one_request(places.at[BY_BYTES], false);
  in_one_request(places.at[IN_PROCESSES], false);
  in_pieces();
  validators();
  unfit();
  another_file();
  another_mirror();
  other_statuses();
  coded();
  limits();
  paused();
  no_room();
  traced();
  through_functions();
  through_an_adapter();
  in_fibers();
  wrong_requests();
  somebody_elses();
  two_writers();
  forks_inside(RF_OUTPUT_RESUME);
  forks_inside(RF_OUTPUT_REPLACE);
  forks_inside(RF_OUTPUT_APPEND);
#ifdef CAN_KILL
  killed();
#endif
  end_places(places);
  return finish();
}
