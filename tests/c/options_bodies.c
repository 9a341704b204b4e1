/* What a request carries: params, headers, bodies of every kind. */
#include "wire.h"

static rf_session *session;

static rf_future *send_to(const char *method, const char *url, const rf_options *options) {
  return request(session, method, url, options);
}

static rf_future *post(const char *url, const rf_options *options) { return send_to("POST", url, options); }

/* A new file of RF_TEST_DIR with these bytes; its path. */
static const char *new_file(const char *data, size_t length) {
  const char *path = text("%s/%s.txt", env("RF_TEST_DIR"), unique("file"));
  FILE *file = fopen(path, "wb");
  CHECK(file != NULL && fwrite(data, 1, length, file) == length);
  CHECK(fclose(file) == 0);
  return path;
}

/* The request as it went over the wire. */
static const char *wire_text_of(rf_future *future) { return rf_response_text(RESPONSE(future), NULL); }

static void params(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_param(options, "b", "two words & more"));
  CHECK_OK(rf_options_add_param(options, "a", "1"));
  CHECK_OK(rf_options_add_param(options, "b", "\xc3\xa4"));
  rf_future *future = get(session, http("/get?first=0"), options);
  CHECK_STR(http("/get?first=0&b=two+words+%26+more&a=1&b=%C3%A4"), rf_response_url(RESPONSE(future)));
  CHECK_STR(http("/get?first=0&b=two+words+%26+more&a=1&b=%C3%A4"), json_string(RESPONSE(future), "/url"));
  CHECK_STR("two words & more", json_string(RESPONSE(future), "/args/b/0"));
  rf_future_free(future);
  /* A value of NULL takes the name out again. */
  CHECK_OK(rf_options_add_param(options, "b", NULL));
  future = get(session, http("/get"), options);
  CHECK_STR(http("/get?a=1"), rf_response_url(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);

  options = new_options();
  CHECK_OK(rf_options_set_query(options, "raw=%20+&x"));
  future = get(session, http("/get?a=b"), options);
  CHECK_STR(http("/get?a=b&raw=%20+&x"), rf_response_url(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);

  /* What is encoded already is left alone; what is not is encoded. */
  future = get(session, http("/anything/a%20b/\xc3\xa4?q=%41 c"), NULL);
  CHECK_HAS("/anything/a%20b/%C3%A4?q=", json_string(RESPONSE(future), "/url"));
  CHECK_HAS("%20c", json_string(RESPONSE(future), "/url"));
  rf_future_free(future);
  /* White space before the URL is dropped. */
  future = get(session, text("  \t%s", http("/get")), NULL);
  RESPONSE(future);
  rf_future_free(future);
}

static void headers(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_header(options, "x-LOWER-Upper", "kept"));
  CHECK_OK(rf_options_add_header(options, "X-Twice", "1"));
  CHECK_OK(rf_options_add_header(options, "X-Twice", "2"));
  CHECK_OK(rf_options_set_header(options, "User-Agent", "own/1.0"));
  CHECK_OK(rf_options_set_header(options, "Accept-Encoding", NULL));
  CHECK_OK(rf_options_set_header(options, "Host", "example.test"));
  rf_future *future = get(session, raw("/echo"), options);
  const char *sent = wire_text_of(future);
  CHECK_HAS("GET /echo HTTP/1.1\r\n", sent);
  CHECK_HAS("\r\nx-LOWER-Upper: kept\r\n", sent);
  CHECK_HAS("\r\nX-Twice: 1\r\n", sent);
  CHECK_HAS("\r\nX-Twice: 2\r\n", sent);
  CHECK_HAS("\r\nUser-Agent: own/1.0\r\n", sent);
  CHECK_HAS("\r\nHost: example.test\r\n", sent);
  CHECK(strstr(sent, "127.0.0.1") == NULL);
  CHECK(strstr(sent, "Accept-Encoding") == NULL);
  CHECK(strstr(sent, "Content-Length") == NULL);
  CHECK(strstr(strstr(sent, "User-Agent") + 1, "User-Agent") == NULL);
  rf_future_free(future);
  /* Setting replaces all of that name. */
  CHECK_OK(rf_options_set_header(options, "x-twice", "3"));
  future = get(session, raw("/echo"), options);
  CHECK(strstr(wire_text_of(future), "X-Twice: 1") == NULL);
  CHECK_HAS("wice: 3\r\n", wire_text_of(future));
  rf_future_free(future);
  rf_options_free(options);
}

static void no_body(void) {
  static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "GET"};
  for (size_t i = 0; i < 6; i++) {
    rf_future *future = send_to(methods[i], raw("/echo"), NULL);
    bool length = strstr(wire_text_of(future), "\r\nContent-Length: 0\r\n") != NULL;
    if (length != (i < 5)) FAIL("%s: %s", methods[i], wire_text_of(future));
    CHECK(strstr(wire_text_of(future), "Transfer-Encoding") == NULL);
    rf_future_free(future);
  }
}

static void bytes(void) {
  char data[] = "bytes\0with a NUL";
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_body(options, data, sizeof data - 1));
  memset(data, '?', sizeof data - 1); /* it was copied */
  /* Any method may carry one. */
  static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE", "GET", "OPTIONS"};
  for (size_t i = 0; i < 6; i++) {
    rf_future *future = send_to(methods[i], http("/echo"), options);
    size_t length = 0;
    const uint8_t *echo = rf_response_content(RESPONSE(future), &length);
    CHECK_INT(16, length);
    CHECK(memcmp(echo, "bytes\0with a NUL", 16) == 0);
    rf_future_free(future);
  }
  rf_future *future = post(http("/headers"), options);
  CHECK_NULL(json_string(RESPONSE(future), "/headers/Content-Type"));
  CHECK_STR("16", json_string(RESPONSE(future), "/headers/Content-Length"));
  rf_future_free(future);
  rf_options_free(options);
}

static int drops;
static void drop(void *user_data) {
  CHECK(user_data == &drops);
  INCREMENT(drops);
}

static void borrowed_bytes(void) {
  static const char data[] = "borrowed";
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_body_borrowed(options, data, 8, &drops, drop));
  rf_future *future = post(http("/post"), options);
  rf_future *again = post(http("/post"), options);
  CHECK_INT(0, drops); /* the options have them still */
  rf_options_free(options);
  CHECK_STR("borrowed", json_string(RESPONSE(future), "/data"));
  CHECK_STR("borrowed", json_string(RESPONSE(again), "/data"));
  rf_future_free(future);
  rf_future_free(again);
  EVENTUALLY(LOAD(drops) == 1);
  drops = 0;

  /* Never used: dropped all the same; replaced: dropped at once. */
  options = new_options();
  CHECK_OK(rf_options_set_body_borrowed(options, data, 8, &drops, drop));
  CHECK_OK(rf_options_set_body(options, "x", 1));
  CHECK_INT(1, drops);
  CHECK_OK(rf_options_set_body_borrowed(options, data, 8, &drops, drop));
  rf_options_free(options);
  CHECK_INT(2, drops);
  drops = 0;
}

static void files(void) {
  size_t size = 1000000;
  char *data = malloc(size);
  for (size_t i = 0; i < size; i++) data[i] = (char)(i * 7 % 251);
  const char *path = new_file(data, size);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_body_file(options, path));
  rf_future *future = post(http("/echo"), options);
  size_t length = 0;
  const uint8_t *echo = rf_response_content(RESPONSE(future), &length);
  CHECK_INT(size, length);
  CHECK(memcmp(echo, data, size) == 0);
  CHECK_STR("1000000", rf_response_request_header(RESPONSE(future), "Content-Length"));
  CHECK_NULL(rf_response_request_body(RESPONSE(future), NULL)); /* it came from a file */
  rf_future_free(future);
  rf_options_free(options);
  free(data);
  remove(path);
}

/* A reader over so many bytes 'r', a few at a time. */
typedef struct source {
  size_t total, at, step;
  int rewinds, drops;
  int64_t refuse; /* returned in place of the bytes, when negative */
} source;

static int64_t read_source(uint8_t *buffer, size_t capacity, void *user_data) {
  source *from = user_data;
  size_t left = from->total - from->at;
  if (from->refuse < 0 && left < from->total) return from->refuse;
  size_t take = left < from->step ? left : from->step;
  if (take > capacity) take = capacity;
  memset(buffer, 'r', take);
  from->at += take;
  return (int64_t)take;
}
static rf_status rewind_source(void *user_data) {
  source *from = user_data;
  from->at = 0;
  from->rewinds++;
  return RF_OK;
}
static void drop_source(void *user_data) { INCREMENT(((source *)user_data)->drops); }

static rf_future *post_source(source *from, int64_t length, const char *url) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_body_reader(options, read_source, rewind_source, length, from, drop_source));
  rf_future *future = post(url, options);
  rf_options_free(options);
  return future;
}

static void readers(void) {
  source from = {100000, 0, 777, 0, 0, 0};
  rf_future *future = post_source(&from, 100000, http("/upload"));
  const rf_json *json = NULL;
  int64_t length = 0;
  CHECK_OK(rf_response_json(RESPONSE(future), &json, NULL));
  CHECK_OK(rf_json_int(rf_json_get(json, "length"), &length));
  CHECK_INT(100000, length);
  CHECK(!rf_json_bool(rf_json_get(json, "chunked")));
  CHECK_STR("100000", rf_response_request_header(RESPONSE(future), "Content-Length"));
  rf_future_free(future);
  EVENTUALLY(LOAD(from.drops) == 1);

  /* Of unknown length: in chunks. */
  source chunked = {100000, 0, 777, 0, 0, 0};
  future = post_source(&chunked, -1, http("/upload"));
  CHECK_OK(rf_response_json(RESPONSE(future), &json, NULL));
  CHECK_OK(rf_json_int(rf_json_get(json, "length"), &length));
  CHECK_INT(100000, length);
  CHECK(rf_json_bool(rf_json_get(json, "chunked")));
  CHECK_STR("chunked", rf_response_request_header(RESPONSE(future), "Transfer-Encoding"));
  rf_future_free(future);
  EVENTUALLY(LOAD(chunked.drops) == 1);
  source empty = {0, 0, 777, 0, 0, 0};
  future = post_source(&empty, -1, http("/upload"));
  CHECK_HAS("\"length\":0", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  EVENTUALLY(LOAD(empty.drops) == 1);

  /* One that ends short of its length: never a hang, never as if whole. */
  source shorter = {500, 0, 100, 0, 0, 0};
  const rf_error *error = NULL;
  future = post_source(&shorter, 1000, http("/upload"));
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  CHECK(error != NULL);
  rf_future_free(future);
  EVENTUALLY(LOAD(shorter.drops) == 1);

  source refuses = {500, 0, 100, 0, 0, -1};
  future = post_source(&refuses, 500, http("/upload"));
  ERROR_OF(RF_ERROR_HOOK, future);
  rf_future_free(future);
  EVENTUALLY(LOAD(refuses.drops) == 1);
  source refuses_chunked = {500, 0, 100, 0, 0, -5};
  future = post_source(&refuses_chunked, -1, http("/upload"));
  ERROR_OF(RF_ERROR_HOOK, future);
  rf_future_free(future);
  EVENTUALLY(LOAD(refuses_chunked.drops) == 1);

  /* Sent again after a 307. */
  source twice = {5000, 0, 777, 0, 0, 0};
  future = post_source(&twice, 5000, http("/redirect-to?url=/upload&status_code=307"));
  CHECK_HAS("\"length\":5000", rf_response_text(RESPONSE(future), NULL));
  CHECK_RANGE(1, 2, twice.rewinds);
  rf_future_free(future);
  EVENTUALLY(LOAD(twice.drops) == 1);
}

static void json(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_json(options, "{\"a\": [1, 2.50, \"\xc3\xa4\"]}"));
  rf_future *future = post(http("/post"), options);
  CHECK_STR("application/json", json_string(RESPONSE(future), "/headers/Content-Type"));
  CHECK_STR("\xc3\xa4", json_string(RESPONSE(future), "/json/a/2"));
  rf_future_free(future);
  CHECK_OK(rf_options_set_header(options, "Content-Type", "application/vnd.own+json"));
  future = post(http("/post"), options);
  CHECK_STR("application/vnd.own+json", json_string(RESPONSE(future), "/headers/Content-Type"));
  rf_future_free(future);

  static const char *const bad[] = {"", "{", "nope", "[1,]", "{\"a\": NaN}", "1 2"};
  for (size_t i = 0; i < 6; i++) {
    CHECK_OK(rf_options_set_json(options, bad[i]));
    future = post(http("/post"), options);
    ERROR_OF(RF_ERROR_INVALID_JSON, future);
    rf_future_free(future);
  }
  rf_options_free(options);
}

static void forms(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_form(options, "a", "1"));
  CHECK_OK(rf_options_add_form(options, "b", "two words&=\xc3\xa4"));
  CHECK_OK(rf_options_add_form(options, "a", "2"));
  rf_future *future = post(http("/echo"), options);
  CHECK_STR("a=1&b=two+words%26%3D%C3%A4&a=2", rf_response_text(RESPONSE(future), NULL));
  CHECK_STR("application/x-www-form-urlencoded", rf_response_request_header(RESPONSE(future), "Content-Type"));
  rf_future_free(future);
  future = post(http("/post"), options);
  CHECK_STR("1", json_string(RESPONSE(future), "/form/a/0"));
  CHECK_STR("2", json_string(RESPONSE(future), "/form/a/1"));
  CHECK_STR("two words&=\xc3\xa4", json_string(RESPONSE(future), "/form/b"));
  rf_future_free(future);
  rf_options_free(options);
}

static void multipart(void) {
  const char *path = new_file("from a file", 11);
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_form(options, "field", "value"));
  CHECK_OK(rf_options_add_part(options, "plain", NULL, NULL, "part", 4));
  CHECK_OK(rf_options_add_part(options, "named", "a \"quoted\"\r\n name.txt", "text/x-own", "text", 4));
  CHECK_OK(rf_options_add_file(options, "file", path, "application/x-file"));
  CHECK_OK(rf_options_add_file(options, "file", path, NULL));
  rf_future *future = post(http("/parts"), options);
  const rf_response *response = RESPONSE(future);
  CHECK_HAS("multipart/form-data; boundary=", rf_response_request_header(response, "Content-Type"));
  CHECK(rf_response_request_header(response, "Content-Length") != NULL);
  CHECK_STR("field", json_string(response, "/parts/0/name"));
  CHECK_STR("value", json_string(response, "/parts/0/text"));
  CHECK_NULL(json_string(response, "/parts/0/filename"));
  CHECK_STR("plain", json_string(response, "/parts/1/name"));
  CHECK_NULL(json_string(response, "/parts/1/filename"));
  CHECK_STR("part", json_string(response, "/parts/1/text"));
  CHECK_STR("named", json_string(response, "/parts/2/name"));
  CHECK_HAS("filename=\"a %22quoted%22%0D%0A name.txt\"", json_string(response, "/parts/2/disposition"));
  CHECK_STR("text/x-own", json_string(response, "/parts/2/content_type"));
  CHECK_STR("file", json_string(response, "/parts/3/name"));
  CHECK_STR(strrchr(path, '/') + 1, json_string(response, "/parts/3/filename"));
  CHECK_STR("application/x-file", json_string(response, "/parts/3/content_type"));
  CHECK_STR("from a file", json_string(response, "/parts/3/text"));
  CHECK_STR("from a file", json_string(response, "/parts/4/text"));
  CHECK_NULL(json_string(response, "/parts/5/name"));
  rf_future_free(future);
  rf_options_free(options);
  remove(path);

  options = new_options();
  CHECK_OK(rf_options_add_file(options, "file", "/no/such/file", NULL));
  future = post(http("/parts"), options);
  const rf_error *error = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  CHECK_HAS("/no/such/file", rf_error_message(error));
  CHECK(rf_error_os_code(error) != 0);
  rf_future_free(future);
  rf_options_free(options);
}

/* The last kind set wins. */
static void one_body(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_json(options, "{}"));
  CHECK_OK(rf_options_set_body(options, "bytes", 5));
  rf_future *future = post(http("/post"), options);
  CHECK_STR("bytes", json_string(RESPONSE(future), "/data"));
  CHECK_NULL(json_string(RESPONSE(future), "/headers/Content-Type"));
  rf_future_free(future);
  CHECK_OK(rf_options_add_form(options, "a", "b"));
  future = post(http("/post"), options);
  CHECK_STR("b", json_string(RESPONSE(future), "/form/a"));
  CHECK_STR("", json_string(RESPONSE(future), "/data"));
  rf_future_free(future);
  CHECK_OK(rf_options_set_json(options, "[true]"));
  future = post(http("/post"), options);
  CHECK_STR("[true]", json_string(RESPONSE(future), "/data"));
  rf_future_free(future);
  rf_options_free(options);
}

static void clones(void) {
  rf_options *options = new_options(), *clone = NULL;
  CHECK_OK(rf_options_set_header(options, "X-One", "1"));
  CHECK_OK(rf_options_set_body_borrowed(options, "body", 4, &drops, drop));
  CHECK_OK(rf_options_clone(options, &clone));
  CHECK_OK(rf_options_set_header(clone, "X-One", "2"));
  rf_future *future = post(http("/post"), options);
  CHECK_STR("1", json_string(RESPONSE(future), "/headers/X-One"));
  rf_future_free(future);
  rf_options_free(options);
  future = post(http("/post"), clone);
  CHECK_STR("2", json_string(RESPONSE(future), "/headers/X-One"));
  CHECK_STR("body", json_string(RESPONSE(future), "/data"));
  rf_future_free(future);
  CHECK_INT(0, drops);
  rf_options_free(clone);
  EVENTUALLY(LOAD(drops) == 1);
  drops = 0;
}

/* Every function may be called from a drop: also one that changes what is just being changed. */
static void drop_again(void *user_data) {
  rf_options *options = user_data;
  INCREMENT(drops);
  CHECK_OK(rf_options_set_header(options, "X-From", "the drop"));
  CHECK_OK(rf_options_set_body(options, "from the drop", 13));
}

static void drops_that_change_options(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_body_borrowed(options, "borrowed", 8, options, drop_again));
  CHECK_OK(rf_options_set_body(options, "replacement", 11));
  CHECK_INT(1, LOAD(drops));
  rf_future *future = post(http("/post"), options);
  CHECK_STR("the drop", json_string(RESPONSE(future), "/headers/X-From"));
  CHECK(json_string(RESPONSE(future), "/data")[0] != '\0'); /* one or the other */
  rf_future_free(future);
  rf_options_free(options);
  CHECK_INT(1, LOAD(drops));
  drops = 0;
}

/* An answer that comes before the body is read is not lost. */
static void early_answers(void) {
  size_t size = 20000000;
  char *data = calloc(1, size);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_body_borrowed(options, data, size, NULL, NULL));
  rf_future *future = post(raw("/early-413?then=slow&ms=1"), options);
  CHECK_INT(413, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  future = post(raw("/early-413?then=rst"), options);
  CHECK_INT(413, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  /* A server that reads nothing at all is not waited for; over TLS neither. */
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  const char *const ways[] = {
      "then=stall",
      "then=stall&after=300", /* when the body has filled every buffer, and TLS had its session tickets to read */
      "then=stall&after=300&pieces=1",
      "then=stall&after=300&before=HTTP/1.1%20103%20Early%20Hints%0d%0aLink:%20%3c/a%3e%0d%0a%0d%0a",
      "then=stall&after=300&before=%0d%0aHTTP/1.1%20100%20Continue%0a%0a%0d%0a", /* in other line ends, empty ones between */
  };
  for (size_t i = 0; i < 3 * sizeof ways / sizeof *ways; i++) {
    const char *server = env(i % 3 ? "RF_TEST_RAW_TLS" : "RF_TEST_RAW");
    /* The third way has TLS in TLS. */
    CHECK_OK(rf_options_set_proxy(options, "https", i % 3 == 2 ? env("RF_TEST_PROXY_TLS") : NULL));
    int64_t start = now_ms();
    future = post(text("%s/early-413?%s", server, ways[i / 3]), options);
    CHECK_INT(413, rf_response_status_code(RESPONSE(future)));
    CHECK_RANGE(0, 5000 * patience(), now_ms() - start);
    rf_future_free(future);
  }
  /* One that takes nothing is not excused by what it says meanwhile. */
  CHECK_OK(rf_options_set_proxy(options, "https", NULL));
  CHECK_OK(rf_options_set_timeout(options, 5000, 400));
  for (int i = 0; i < 2; i++) {
    int64_t start = now_ms();
    future = post(text("%s/early-413?then=stall&dribble=200", env(i ? "RF_TEST_RAW_TLS" : "RF_TEST_RAW")), options);
    CHECK(ERROR_OF(RF_ERROR_READ_TIMEOUT, future) != NULL);
    CHECK_RANGE(400, 2500 * patience(), now_ms() - start);
    rf_future_free(future);
  }
  rf_options_free(options);
  rf_session_close(session, RF_CLOSE_WAIT); /* nobody looks at the data any more */
  free(data);
}

/* Progress: at the start, at the end, and the totals are known. */
typedef struct progress {
  int calls, drops;
  int64_t sent, send_total, received, receive_total;
  int refuse_after;
} progress;

static rf_status note_progress(int64_t sent, int64_t send_total, int64_t received, int64_t receive_total,
                               void *user_data) {
  progress *seen = user_data;
  CHECK(sent >= seen->sent && received >= seen->received);
  seen->calls++;
  seen->sent = sent;
  seen->send_total = send_total;
  seen->received = received;
  seen->receive_total = receive_total;
  return seen->refuse_after != 0 && seen->calls >= seen->refuse_after ? RF_FAILED : RF_OK;
}
static void drop_progress(void *user_data) { INCREMENT(((progress *)user_data)->drops); }

static void progresses(void) {
  progress seen = {0, 0, 0, 0, 0, 0, 0};
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_body(options, "0123456789", 10));
  CHECK_OK(rf_options_set_progress(options, note_progress, &seen, drop_progress));
  rf_future *future = post(http("/echo"), options);
  RESPONSE(future);
  rf_future_free(future);
  rf_options_free(options);
  EVENTUALLY(LOAD(seen.drops) == 1);
  CHECK(seen.calls >= 2);
  CHECK_INT(10, seen.sent);
  CHECK_INT(10, seen.send_total);
  CHECK_INT(10, seen.received);
  CHECK_INT(10, seen.receive_total);

  progress refuses = {0, 0, 0, 0, 0, 0, 1};
  options = new_options();
  CHECK_OK(rf_options_set_progress(options, note_progress, &refuses, drop_progress));
  future = get(session, http("/bytes/100000"), options);
  ERROR_OF(RF_ERROR_HOOK, future);
  rf_future_free(future);
  rf_options_free(options);
  EVENTUALLY(LOAD(refuses.drops) == 1);
}

int main(void) {
  session = new_session();
  params();
  headers();
  no_body();
  bytes();
  borrowed_bytes();
  files();
  readers();
  json();
  forms();
  multipart();
  one_body();
  clones();
  drops_that_change_options();
  progresses();
  early_answers();
  rf_session_free(session);
  return finish();
}
