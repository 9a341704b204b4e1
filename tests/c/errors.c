/* What can go wrong with a request: each is the outcome of its future, of the right kind, with a message that names
   what was wrong, the URL that was asked for, and the system's code where there is one. */
#include "wire.h"

#include <errno.h>

static rf_session *session;

/* The error of a GET. */
static rf_future *last;
#define FAILURE(kind, url, options) failure((kind), (url), (options), __FILE__, __LINE__)
static const rf_error *failure(int kind, const char *url, const rf_options *options, const char *file, int line) {
  rf_future_free(last);
  last = NULL;
  CHECK_OK(rf_session_get(session, url, options, &last)); /* never reported by the call that submits */
  const rf_error *error = error_of(kind, last, file, line);
  if (rf_error_message(error) == NULL || *rf_error_message(error) == '\0') {
    FAIL("%s:%d: no message", file, line);
  }
  check_int(true, rf_error_is(error, kind), "rf_error_is(error, its kind)", file, line);
  check_int(true, rf_error_is(error, RF_ERROR_REQUEST), "rf_error_is(error, RF_ERROR_REQUEST)", file, line);
  check_str(url, rf_error_url(error), "rf_error_url(error)", file, line);
  return error;
}

static void connecting(void) {
  const rf_error *error = FAILURE(RF_ERROR_CONNECTION, text("%s/", env("RF_TEST_CLOSED")), NULL);
  CHECK_INT(ECONNREFUSED, rf_error_os_code(error));
  CHECK(!rf_error_is(error, RF_ERROR_TIMEOUT));
  CHECK(!rf_error_is(error, RF_ERROR_SSL));
  CHECK_HAS("127.0.0.1", rf_error_message(error));
  CHECK_NULL(rf_error_response(error));

  error = FAILURE(RF_ERROR_CONNECTION, "http://nosuchhost.invalid/path", NULL);
  CHECK_HAS("nosuchhost.invalid", rf_error_message(error));

  rf_options *options = new_options();
  CHECK_OK(rf_options_set_timeout(options, 200, RF_FOREVER));
  int64_t start = now_ms();
  error = FAILURE(RF_ERROR_CONNECT_TIMEOUT, text("%s/", env("RF_TEST_BLACKHOLE")), options);
  CHECK_RANGE(190, 2000 * patience(), now_ms() - start);
  CHECK(rf_error_is(error, RF_ERROR_CONNECTION));
  CHECK(rf_error_is(error, RF_ERROR_TIMEOUT));
  CHECK(!rf_error_is(error, RF_ERROR_READ_TIMEOUT));
  CHECK_HAS("connect timeout=0.2", rf_error_message(error));
  rf_options_free(options);
}

static void reading(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_timeout(options, RF_FOREVER, 200));
  int64_t start = now_ms();
  const rf_error *error = FAILURE(RF_ERROR_READ_TIMEOUT, raw("/silent"), options);
  CHECK_RANGE(190, 2000 * patience(), now_ms() - start);
  CHECK(rf_error_is(error, RF_ERROR_TIMEOUT));
  CHECK(!rf_error_is(error, RF_ERROR_CONNECTION));
  CHECK_HAS("Read timed out. (read timeout=0.2)", rf_error_message(error));
  FAILURE(RF_ERROR_READ_TIMEOUT, raw("/stall/body"), options);
  rf_options_free(options);
}

static void urls(void) {
  const rf_error *error = FAILURE(RF_ERROR_MISSING_SCHEMA, "example.com/path", NULL);
  CHECK_HAS("example.com/path", rf_error_message(error));
  CHECK_HAS("Invalid URL", rf_error_message(error));
  FAILURE(RF_ERROR_MISSING_SCHEMA, "", NULL);
  FAILURE(RF_ERROR_MISSING_SCHEMA, "/only/a/path", NULL);

  error = FAILURE(RF_ERROR_INVALID_SCHEMA, "ftp://example.com/file", NULL);
  CHECK_HAS("ftp://example.com/file", rf_error_message(error));
  FAILURE(RF_ERROR_INVALID_SCHEMA, "localhost:3128/path", NULL);

  static const char *const invalid[] = {
      "http://",                "http:///path", "http://two words/",     "http://127.0.0.1:99999/",
      "http://127.0.0.1:port/", "http://[::1/", "http://*.example.com/", "http://.example.com/",
      "http://\xe2\x98\x83.net/",
  };
  for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
    error = FAILURE(RF_ERROR_INVALID_URL, invalid[i], NULL);
    CHECK(rf_error_is(error, RF_ERROR_INVALID_URL));
    CHECK(!rf_error_is(error, RF_ERROR_CONNECTION));
    CHECK_INT(0, rf_error_os_code(error));
  }
  CHECK_HAS("99999", rf_error_message(FAILURE(RF_ERROR_INVALID_URL, "http://127.0.0.1:99999/", NULL)));
  CHECK_HAS("two words", rf_error_message(FAILURE(RF_ERROR_INVALID_URL, "http://two words/", NULL)));
}

/* A bad header: nothing is sent. */
static void headers(void) {
  static const char *const bad[][2] = {
      {"X-Bad", "line\r\nX-Injected: 1"}, {"X-Bad", "line\nbreak"}, {"X-Bad", "return\rhere"},
      {"X-Bad", " leading"},              {"X-Bad", "\tleading"},   {"X Bad", "space"},
      {"X-Bad:", "colon"},                {"X-B\xc3\xa4" "d", "x"}, {"", "no name"},
      {"X-Bad\r\n", "break"},
  };
  wire *server = wire_start(wire_keep, NULL);
  const char *url = wire_url(server, "/");
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_header(options, bad[i][0], bad[i][1])); /* the setter does not judge */
    const rf_error *error = FAILURE(RF_ERROR_INVALID_HEADER, url, options);
    if (i == 3) CHECK_HAS("leading", rf_error_message(error));
    rf_options_free(options);
    options = new_options();
    CHECK_OK(rf_options_add_header(options, bad[i][0], bad[i][1]));
    FAILURE(RF_ERROR_INVALID_HEADER, url, options);
    rf_options_free(options);
  }
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_header(options, "Content-Length", "7"));
  CHECK_OK(rf_options_set_body(options, "four", 4));
  FAILURE(RF_ERROR_INVALID_HEADER, url, options); /* it contradicts the body */
  rf_options_free(options);
  CHECK_INT(0, wire_requests(server));
  rf_future_free(last);
  last = NULL;
  wire_stop(server);
}

/* Neither a message nor rf_error_url shows what may be a secret: the value of a header, the userinfo of a URL. */
static void secrets(void) {
  static const char *const names[] = {"Authorization", "Proxy-Authorization", "Cookie", "X-Any"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_header(options, names[i], "SECRET\nSECRET"));
    const char *message = rf_error_message(FAILURE(RF_ERROR_INVALID_HEADER, http("/get"), options));
    CHECK_HAS(names[i], message);
    CHECK_HAS("line break", message);
    CHECK_HAS("byte 6", message);
    CHECK(strstr(message, "SECRET") == NULL);
    rf_options_free(options);
  }
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_header(options, "Authorization: SECRET", ""));
  CHECK(strstr(rf_error_message(FAILURE(RF_ERROR_INVALID_HEADER, http("/get"), options)), "SECRET") == NULL);
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_cookie(options, "name", "SECRET\r\n"));
  CHECK(strstr(rf_error_message(FAILURE(RF_ERROR_INVALID_HEADER, http("/get"), options)), "SECRET") == NULL);
  rf_options_free(options);

  const char *closed = strstr(env("RF_TEST_CLOSED"), "//") + 2;
  const struct {
    int kind;
    const char *given, *shown;
  } urls[] = {
      {RF_ERROR_INVALID_SCHEMA, "user:SECRET@example.com/x", "example.com/x"},
      {RF_ERROR_MISSING_SCHEMA, "SECRET@example.com/x", "example.com/x"},
      {RF_ERROR_INVALID_SCHEMA, "ftp://me:SECRET@example.com/x", "ftp://example.com/x"},
      {RF_ERROR_INVALID_URL, "http://me:SECRET@:99999/", "http://:99999/"},
      {RF_ERROR_INVALID_URL, "http://me:SEC/SECRET@example.com/", "http://example.com/"},
      {RF_ERROR_CONNECTION, text("http://me:SECRET@%s/x@y", closed), text("http://%s/x@y", closed)},
  };
  for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
    rf_future *future = get(session, urls[i].given, NULL);
    const rf_error *error = ERROR_OF(urls[i].kind, future);
    CHECK_STR(urls[i].shown, rf_error_url(error));
    if (strstr(rf_error_message(error), "SEC") != NULL) FAIL("%s: %s", urls[i].given, rf_error_message(error));
    rf_future_free(future);
  }
  /* One that ends before it has begun. */
  options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 200));
  rf_future *future = get(session, text("http://me:SECRET@%s/silent", strstr(env("RF_TEST_RAW"), "//") + 2), options);
  const rf_error *error = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  CHECK_STR(raw("/silent"), rf_error_url(error));
  rf_future_free(future);
  rf_options_free(options);
  /* A proxy's. */
  static const char *const proxies[] = {"ftp://me:SECRET@p", "http://me:SEC/SECRET@p", "SECRET@p:x", "http:/me:SECRET@p"};
  for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++) {
    options = new_options();
    CHECK_OK(rf_options_set_proxy(options, "all", proxies[i]));
    const char *message = rf_error_message(FAILURE(RF_ERROR_INVALID_PROXY_URL, http("/get"), options));
    if (strstr(message, "SEC") != NULL) FAIL("%s: %s", proxies[i], message);
    rf_options_free(options);
  }
}

/* Two servers on the way could read two Hosts in two ways. */
static void two_hosts(void) {
  wire *server = wire_start(wire_keep, NULL);
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_header(options, "Host", "a.example"));
  CHECK_OK(rf_options_add_header(options, "host", "a.example"));
  CHECK_HAS("host", rf_error_message(FAILURE(RF_ERROR_INVALID_HEADER, wire_url(server, "/"), options)));
  CHECK_INT(0, wire_connections(server));
  CHECK_OK(rf_options_set_header(options, "Host", "b.example")); /* one in the place of both */
  rf_future *future = get(session, wire_url(server, "/"), options);
  CHECK_STR("b.example", rf_response_request_header(RESPONSE(future), "Host"));
  rf_future_free(future);
  rf_options_free(options);
  wire_stop(server);
}

/* A body cut short is never a short success. */
static void cut_bodies(void) {
  static const char *const cut[] = {"/close/body?declared=100&sent=10", "/rst/body?declared=100&sent=10"};
  static const char *const chunks[] = {"/close/chunk?declared=100&sent=10", "/close/after-chunk?n=2&size=10",
                                       "/rst/chunk?declared=100&sent=10",   "/rst/after-chunk?n=2&size=10"};
  for (size_t i = 0; i < 2; i++) {
    rf_future *future = get(session, raw(cut[i]), NULL);
    const rf_error *error = NULL;
    CHECK_OK(rf_future_exception(future, LONG_MS, &error));
    CHECK(rf_error_is(error, RF_ERROR_CONNECTION) || rf_error_is(error, RF_ERROR_CHUNKED_ENCODING));
    CHECK_STR(raw(cut[i]), rf_error_url(error));
    rf_future_free(future);
  }
  for (size_t i = 0; i < 4; i++) {
    rf_future *future = get(session, raw(chunks[i]), NULL);
    const rf_error *error = NULL;
    CHECK_OK(rf_future_exception(future, LONG_MS, &error));
    CHECK(rf_error_is(error, RF_ERROR_CONNECTION) || rf_error_is(error, RF_ERROR_CHUNKED_ENCODING));
    rf_future_free(future);
  }
  static const char *const framing[] = {"/chunks/bad-size", "/chunks/negative", "/chunks/overflow",
                                        "/chunks/no-size"};
  for (size_t i = 0; i < 4; i++) {
    rf_future *future = get(session, raw(framing[i]), NULL);
    const rf_error *error = NULL;
    CHECK_OK(rf_future_exception(future, LONG_MS, &error));
    CHECK(rf_error_is(error, RF_ERROR_CONNECTION) || rf_error_is(error, RF_ERROR_CHUNKED_ENCODING));
    rf_future_free(future);
  }
}

static void bad_heads(void) {
  static const char *const bad[] = {"/bad-status?line=HELLO%20WORLD", "/bad-status?line=HTTP/1.1%20abc%20what",
                                    "/close/empty",                   "/close/status-line",
                                    "/close/head",                    "/close/head-end",
                                    "/rst/empty",                     "/rst/head"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const rf_error *error = FAILURE(RF_ERROR_CONNECTION, raw(bad[i]), NULL);
    CHECK(!rf_error_is(error, RF_ERROR_TIMEOUT));
  }
  const rf_error *error = FAILURE(RF_ERROR_CONNECTION, raw("/rst/empty"), NULL);
  CHECK_INT(ECONNRESET, rf_error_os_code(error));
  FAILURE(RF_ERROR_INVALID_HEADER, raw("/lengths?v=5&v=6"), NULL);
}

static void others(void) {
  const rf_error *error = FAILURE(RF_ERROR_CONTENT_DECODING, http("/compressed-corrupt?with=gzip"), NULL);
  CHECK(!rf_error_is(error, RF_ERROR_CONNECTION));

  error = FAILURE(RF_ERROR_TOO_MANY_REDIRECTS, raw("/loop"), NULL);
  CHECK_INT(302, rf_response_status_code(rf_error_response(error)));
  CHECK_HAS("30", rf_error_message(error));

  rf_options *options = new_options();
  CHECK_OK(rf_options_set_json(options, "{\"a\": nope}"));
  FAILURE(RF_ERROR_INVALID_JSON, http("/post"), options);
  rf_options_free(options);

  options = new_options();
  CHECK_OK(rf_options_set_body_file(options, "/no/such/file"));
  rf_future *future = NULL;
  CHECK_OK(rf_session_post(session, http("/post"), options, &future));
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  CHECK_INT(ENOENT, rf_error_os_code(error));
  CHECK_HAS("/no/such/file", rf_error_message(error));
  rf_future_free(future);
  rf_options_free(options);

  /* What a response says about itself. */
  const rf_json *json = (void *)session;
  future = get(session, http("/json-bad"), NULL);
  CHECK_STATUS(RF_FAILED, rf_response_json(RESPONSE(future), &json, &error));
  CHECK_NULL(json);
  CHECK_INT(RF_ERROR_JSON_DECODE, rf_error_kind_of(error));
  CHECK(rf_error_is(error, RF_ERROR_INVALID_JSON));
  CHECK(rf_error_is(error, RF_ERROR_REQUEST));
  CHECK_HAS("line 2", rf_error_message(error));
  rf_future_free(future);
}

/* Names, for messages: every kind has one. */
static void names(void) {
  for (int kind = RF_ERROR_REQUEST; kind <= RF_ERROR_JSON_DECODE; kind++) CHECK(rf_error_kind_name(kind) != NULL);
  for (int kind = RF_ERROR_CANCELLED; kind <= RF_ERROR_BODY_TOO_LARGE; kind++) {
    CHECK(rf_error_kind_name(kind) != NULL);
  }
  for (int status = RF_E_STATE; status <= RF_END; status++) CHECK(rf_status_name(status) != NULL);
}

int main(void) {
  session = new_session();
  connecting();
  reading();
  urls();
  headers();
  secrets();
  two_hosts();
  cut_bodies();
  bad_heads();
  others();
  names();
  rf_future_free(last);
  rf_session_free(session);
  return finish();
}
