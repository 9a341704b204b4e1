/* Every message that a user can get, each provoked for real. They say who (host and port), in which phase, how much of
   how much, and what was wrong; no word in them is another library's, and none is a secret. */
#include "elsewhere.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static rf_session *session;
static char folder[] = "/tmp/rf-messages-XXXXXX";
static int listed, wrong;

/* What holds for all of them. */
static void check_style(const char *message) {
  static const char *const never[] = {"os error", "address information", "\x1b", "Error(", "Some(", "None", "rustls", "ureq", "\n"};
  size_t length = strlen(message);
  bool is_of_requests = strncmp(message, "Exceeded", 8) == 0; /* word for word */
  if (length == 0 || (message[length - 1] == '.' && !is_of_requests)) FAIL("ends with a full stop, or is empty: %s", message);
  for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
    if (strstr(message, never[i]) != NULL) FAIL("has \"%s\": %s", never[i], message);
  }
}

/* The future fails with this kind and exactly this message. An `expected` that ends with * is a beginning. */
#define SAYS(kind, expected, future) says((kind), (expected), (future), __FILE__, __LINE__)
static void says(int kind, const char *expected, rf_future *future, const char *file, int line) {
  const rf_error *error = error_of(kind, future, file, line);
  const char *message = rf_error_message(error);
  size_t length = strlen(expected);
  check_style(message);
  if (length > 0 && expected[length - 1] == '*' ? strncmp(expected, message, length - 1) != 0 : strcmp(expected, message) != 0) {
    fprintf(stderr, "%s:%d:\n  expected: %s\n  found:    %s\n", file, line, expected, message);
    wrong++;
  }
  listed++;
  rf_future_free(future);
}

/* The same of a GET. */
#define SAYS_OF(kind, expected, url, options) says((kind), (expected), get(session, (url), (options)), __FILE__, __LINE__)

/* Frees the options after the request. */
#define SAYS_WITH(kind, expected, url, options)          \
  do {                                                   \
    rf_options *with_ = (options);                       \
    SAYS_OF((kind), (expected), (url), with_);           \
    rf_options_free(with_);                              \
  } while (0)

/* Host and port of a URL of the local server's. */
static const char *place_of(const char *variable) { return strstr(env(variable), "//") + 2; }

static rf_options *limited(int64_t connect_ms, int64_t read_ms, int64_t deadline_ms) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_timeout(options, connect_ms, read_ms));
  CHECK_OK(rf_options_set_deadline(options, deadline_ms));
  return options;
}

/* ---- what was asked for ---- */

static void urls(void) {
  static const struct {
    int kind;
    const char *url, *message;
  } all[] = {
      {RF_ERROR_MISSING_SCHEMA, "example.com/path",
       "Invalid URL 'example.com/path': it has no scheme; perhaps you meant https://example.com/path"},
      {RF_ERROR_INVALID_SCHEMA, "localhost:80/x",
       "Invalid URL 'localhost:80/x': its scheme is neither http nor https; perhaps you meant http://localhost:80/x"},
      {RF_ERROR_INVALID_SCHEMA, "ftp://example.com/file",
       "Invalid URL 'ftp://example.com/file': its scheme is neither http nor https"},
      {RF_ERROR_INVALID_URL, "http://", "Invalid URL 'http://': it has no host"},
      {RF_ERROR_INVALID_URL, "http://h:99999/", "Invalid URL 'http://h:99999/': '99999' is no port (1 to 65535)"},
      {RF_ERROR_INVALID_URL, "http://h:port/", "Invalid URL 'http://h:port/': 'port' is no port (1 to 65535)"},
      {RF_ERROR_INVALID_URL, "http://[::1/", "Invalid URL 'http://[::1/': '[::1' is no valid host"},
      {RF_ERROR_INVALID_URL, "http://two words/", "Invalid URL 'http://two words/': 'two words' is no valid host"},
      {RF_ERROR_INVALID_URL, "http://*.example.com/",
       "Invalid URL 'http://*.example.com/': '*.example.com' is no valid host"},
      {RF_ERROR_INVALID_URL, "http://me:secret@two words/",
       "Invalid URL 'http://two words/': 'two words' is no valid host"},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) SAYS_OF(all[i].kind, all[i].message, all[i].url, NULL);
}

static rf_options *with_header(const char *name, const char *value) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_header(options, name, value));
  return options;
}

static rf_options *with_body(rf_options *options) {
  CHECK_OK(rf_options_set_body(options, "four", 4));
  return options;
}

static void methods_headers_and_credentials(void) {
  const char *url = http("/hello");
  SAYS(RF_ERROR_REQUEST, "Invalid method \"GE T\": a method is made of letters, digits and !#$%&'*+-.^_`|~",
       request(session, "GE T", url, NULL));
  SAYS_WITH(RF_ERROR_INVALID_HEADER, "Invalid header \"\": its name is empty", url, with_header("", "x"));
  SAYS_WITH(RF_ERROR_INVALID_HEADER,
            "Invalid header \"X\": its name goes on with byte 0x20, which no name may hold", url,
            with_header("X Token", "secret"));
  SAYS_WITH(RF_ERROR_INVALID_HEADER, "Invalid header \"X-Token\": byte 6 of its value is a line break or a NUL", url,
            with_header("X-Token", "secret\r\nX: 1"));
  SAYS_WITH(RF_ERROR_INVALID_HEADER, "Invalid header \"X-Token\": its value has leading white space", url,
            with_header("X-Token", " secret"));
  SAYS_WITH(RF_ERROR_INVALID_HEADER, "Invalid header \"Content-Length\": it contradicts the body", url,
            with_body(with_header("Content-Length", "7")));
  rf_options *options = with_header("Host", "a.example");
  CHECK_OK(rf_options_add_header(options, "Host", "b.example"));
  SAYS_WITH(RF_ERROR_INVALID_HEADER, "Invalid header \"Host\": there can be only one", url, options);
  options = new_options();
  CHECK_OK(rf_options_set_auth_basic(options, "me", "sec\nret"));
  SAYS_WITH(RF_ERROR_INVALID_HEADER, "Invalid credentials: the password holds a line break or a NUL", url, options);
  options = new_options();
  CHECK_OK(rf_options_set_auth_bearer(options, "sec\nret"));
  SAYS_WITH(RF_ERROR_INVALID_HEADER, "Invalid credentials: the token holds a line break or a NUL", url, options);
  options = new_options();
  CHECK_OK(rf_options_set_proxy(options, "all", "gopher://me:secret@proxy:1"));
  SAYS_WITH(RF_ERROR_INVALID_PROXY_URL,
            "Invalid proxy URL \"gopher://proxy:1\": its scheme is none of http, https, socks4, socks4a, socks5 and socks5h",
            url, options);
  options = new_options();
  CHECK_OK(rf_options_set_proxy(options, "all", "http://"));
  SAYS_WITH(RF_ERROR_INVALID_PROXY_URL, "Invalid proxy URL \"http://\": it has no host", url, options);
  options = new_options();
  CHECK_OK(rf_options_set_proxy(options, "all", "http://proxy:99999"));
  SAYS_WITH(RF_ERROR_INVALID_PROXY_URL, "Invalid proxy URL \"http://proxy:99999\": its port is above 65535", url, options);
}

/* ---- the body of the request ---- */

static int64_t read_nothing(uint8_t *buffer, size_t capacity, void *user_data) {
  (void)buffer, (void)capacity, (void)user_data;
  return 0;
}
static int64_t read_and_fail(uint8_t *buffer, size_t capacity, void *user_data) {
  (void)buffer, (void)capacity, (void)user_data;
  return -5;
}
static int64_t read_too_much(uint8_t *buffer, size_t capacity, void *user_data) {
  (void)buffer, (void)user_data;
  return (int64_t)capacity + 1;
}
static int64_t read_four(uint8_t *buffer, size_t capacity, void *user_data) {
  CHECK(capacity >= 4);
  int *left = user_data;
  memcpy(buffer, "four", 4);
  return (*left)-- > 0 ? 4 : 0;
}
static rf_status fail_to_rewind(void *user_data) {
  (void)user_data;
  return RF_FAILED;
}

static rf_options *with_reader(rf_read_fn read, rf_rewind_fn rewind, int64_t length, void *user_data) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_body_reader(options, read, rewind, length, user_data, NULL));
  return options;
}

static void redirect_post(wire_connection *connection, void *unused) {
  (void)unused;
  while (wire_next(connection)) {
    wire_answer(connection, wire_asks(connection, "POST /begin") ? "307 Temporary Redirect" : "200 OK", "Location: /end\r\n", "");
  }
}

static rf_future *post(const char *url, rf_options *options) {
  rf_future *future = request(session, "POST", url, options);
  rf_options_free(options);
  return future;
}

static void bodies_of_requests(void) {
  const char *url = http("/post");
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_json(options, "{\n \"a\" 1}"));
  SAYS(RF_ERROR_INVALID_JSON,
       "The JSON of the request body does not parse: expected ':': line 2 column 6 (char 7)", post(url, options));
  options = new_options();
  CHECK_OK(rf_options_set_body_file(options, "/no/such/file"));
  SAYS(RF_ERROR_REQUEST, text("Cannot open /no/such/file: %s", strerror(ENOENT)), post(url, options));
  options = new_options();
  CHECK_OK(rf_options_set_body_file(options, "/tmp"));
  SAYS(RF_ERROR_REQUEST, text("Cannot open /tmp: %s", strerror(EISDIR)), post(url, options));
  options = new_options();
  CHECK_OK(rf_options_set_body_file(options, "/dev/null"));
  SAYS(RF_ERROR_REQUEST, "Cannot send /dev/null: it is no regular file", post(url, options));
  options = new_options();
  CHECK_OK(rf_options_add_part(options, "name", NULL, "text/plain\r\nX: 1", "x", 1));
  SAYS(RF_ERROR_INVALID_HEADER, "Invalid content type of a part: byte 10 is a line break or a NUL", post(url, options));
  SAYS(RF_ERROR_HOOK, "The reader of the request body failed: it returned -5",
       post(url, with_reader(read_and_fail, NULL, -1, NULL)));
  SAYS(RF_ERROR_HOOK, "The reader of the request body returned 65537, and its buffer has 65536 bytes",
       post(url, with_reader(read_too_much, NULL, -1, NULL)));
  int left = 1;
  SAYS(RF_ERROR_REQUEST, "The request body ended after 4 of the 9 bytes that were announced",
       post(url, with_reader(read_four, NULL, 9, &left)));
  wire *server = wire_start(redirect_post, NULL);
  left = 1;
  SAYS(RF_ERROR_UNREWINDABLE_BODY, "Unable to rewind the request body to send it again: its reader cannot be rewound",
       post(wire_url(server, "/begin"), with_reader(read_four, NULL, -1, &left)));
  left = 1;
  SAYS(RF_ERROR_HOOK, "The reader of the request body failed to rewind: its rewind function returned other than RF_OK",
       post(wire_url(server, "/begin"), with_reader(read_four, fail_to_rewind, -1, &left)));
  wire_stop(server);
}

/* ---- connections ---- */

static void connecting(void) {
  SAYS_OF(RF_ERROR_CONNECTION,
          text("Failed to establish a new connection to %s: %s", place_of("RF_TEST_CLOSED"), strerror(ECONNREFUSED)),
          text("%s/", env("RF_TEST_CLOSED")), NULL);
  SAYS_OF(RF_ERROR_CONNECTION,
          text("Failed to establish a new connection to localhost:%d (127.0.0.1:%d): %s", closed_port(), closed_port(),
               strerror(ECONNREFUSED)),
          text("http://localhost:%d/", closed_port()), NULL);
  SAYS_OF(RF_ERROR_CONNECTION, "Failed to resolve 'nosuchhost.invalid' (*", "http://nosuchhost.invalid/", NULL);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_unix_socket(options, "/no/such/socket"));
  SAYS_WITH(RF_ERROR_CONNECTION, text("Failed to connect to the Unix socket /no/such/socket: %s", strerror(ENOENT)),
            "http://a/", options);
  const char *blackhole = text("%s/", env("RF_TEST_BLACKHOLE"));
  SAYS_WITH(RF_ERROR_CONNECT_TIMEOUT,
            text("No connection to %s within 0.2 s: Connection timed out. (connect timeout=0.2)", place_of("RF_TEST_BLACKHOLE")),
            blackhole, limited(200, RF_FOREVER, RF_FOREVER));
  SAYS_WITH(RF_ERROR_TIMEOUT,
            text("The deadline of 0.2 s has passed while connecting to %s", place_of("RF_TEST_BLACKHOLE")), blackhole,
            limited(RF_FOREVER, RF_FOREVER, 200));
  const char *silent = text("%s/", env("RF_TEST_TLS_SILENT"));
  /* Within it there has to be a connection, where a checker makes all slow as well. */
  const int64_t within = 200 * patience();
  SAYS_WITH(RF_ERROR_CONNECT_TIMEOUT,
            text("No end of the TLS handshake with %s within %.1f s: Connection timed out. (connect timeout=%.1f)",
                 place_of("RF_TEST_TLS_SILENT"), (double)within / 1000, (double)within / 1000),
            silent, limited(within, RF_FOREVER, RF_FOREVER));
}

static rf_options *slowest(uint64_t bytes_per_s, int64_t for_ms) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_low_speed(options, bytes_per_s, for_ms));
  return options;
}

static void waiting(void) {
  const char *peer = place_of("RF_TEST_RAW");
  SAYS_WITH(RF_ERROR_READ_TIMEOUT, text("No answer from %s for 0.2 s: Read timed out. (read timeout=0.2)", peer),
            raw("/silent"), limited(RF_FOREVER, 200, RF_FOREVER));
  SAYS_WITH(RF_ERROR_TIMEOUT, text("The deadline of 0.2 s has passed while waiting for an answer from %s", peer),
            raw("/silent"), limited(RF_FOREVER, RF_FOREVER, 200));
  SAYS_WITH(RF_ERROR_READ_TIMEOUT,
            text("No data from %s for 0.2 s, after 10 of 100 bytes: Read timed out. (read timeout=0.2)", peer),
            raw("/stall/body"), limited(RF_FOREVER, 200, RF_FOREVER));
  SAYS_WITH(RF_ERROR_TIMEOUT,
            text("The deadline of 0.2 s has passed while receiving the body from %s, after 10 of 100 bytes", peer),
            raw("/stall/body"), limited(RF_FOREVER, RF_FOREVER, 200));
  SAYS_WITH(RF_ERROR_READ_TIMEOUT,
            text("No data from %s for 0.2 s, after 10 bytes, before its last chunk: Read timed out. (read timeout=0.2)",
                 peer),
            raw("/stall/chunk"), limited(RF_FOREVER, 200, RF_FOREVER));

  SAYS_WITH(RF_ERROR_READ_TIMEOUT,
            text("No answer from %s, and only 0 bytes in 0.2 s: Read timed out. (low speed=1000 bytes/s for 0.2 s)", peer),
            raw("/silent"), slowest(1000, 200));
  SAYS_WITH(RF_ERROR_READ_TIMEOUT,
            text("Only 76 bytes to and from %s in 0.2 s, after 10 of 100 bytes: Read timed out. (low speed=1000 bytes/s for 0.2 s)",
                 peer),
            raw("/stall/body"), slowest(1000, 200));

  /* In the queue. */
  rf_session *narrow = new_session_workers(1);
  rf_future *slow = get(narrow, raw("/silent"), NULL);
  rf_options *options = limited(RF_FOREVER, RF_FOREVER, 100);
  EVENTUALLY(rf_future_running(slow));
  SAYS(RF_ERROR_TIMEOUT, "The deadline of 0.1 s has passed in the queue, before the request began",
       get(narrow, http("/hello"), options));
  CHECK(rf_future_abort(slow));
  SAYS(RF_ERROR_ABORTED, "The request was aborted", slow);
  rf_session_free(narrow);

  /* For a connection of the pool. */
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_workers(config, 2));
  CHECK_OK(rf_config_set_pool_maxsize(config, 1));
  CHECK_OK(rf_config_set_pool_block(config, true));
  narrow = session_of(config);
  slow = get(narrow, raw("/silent"), NULL);
  EVENTUALLY(rf_future_running(slow));
  sleep_ms(50);
  SAYS(RF_ERROR_TIMEOUT,
       text("The deadline of 0.1 s has passed while waiting for a connection to %s: all 1 are in use", peer),
       get(narrow, raw("/ok"), options));
  CHECK(rf_future_abort(slow));
  rf_future_free(slow);
  rf_session_free(narrow);
  rf_options_free(options);
}

/* ---- answers ---- */

static void heads(void) {
  static const struct {
    int kind;
    const char *path, *message;
  } all[] = {
      {RF_ERROR_CONNECTION, "/close/empty", "Connection aborted: %s closed the connection without a response"},
      {RF_ERROR_CONNECTION, "/close/status-line",
       "Connection aborted: %s closed the connection inside the head of its response, after 11 bytes"},
      {RF_ERROR_CONNECTION, "/raw?bytes=HELLO", "Connection aborted: %s sent what is no response of HTTP/1: \"HELLO\""},
      {RF_ERROR_CONNECTION, "/bad-status?line=HTTP/1.1+OK",
       "Connection aborted: %s sent what does not begin with a status line of HTTP/1"},
      {RF_ERROR_CONNECTION, "/huge-header?size=300000",
       "Connection aborted: %s sent a response with a head of more than 262144 bytes"},
      {RF_ERROR_CONNECTION, "/many-headers?n=1100",
       "Connection aborted: %s sent a response with more than 1000 fields in its head"},
      {RF_ERROR_INVALID_HEADER, "/lengths?v=5x", "Invalid response from %s: its Content-Length is no number: \"5x\""},
      {RF_ERROR_INVALID_HEADER, "/lengths?v=99999999999999999999",
       "Invalid response from %s: its Content-Length is larger than any can be: 99999999999999999999"},
      {RF_ERROR_INVALID_HEADER, "/lengths?v=5&v=6",
       "Invalid response from %s: it has more than one Content-Length, and they contradict each other"},
      {RF_ERROR_INVALID_HEADER, "/raw?bytes=HTTP/1.1+200+OK%0d%0aContent-Length:%0d%0a%0d%0a",
       "Invalid response from %s: its Content-Length is empty"},
      {RF_ERROR_INVALID_HEADER, "/raw?bytes=HTTP/1.1+200+OK%0d%0aContent-Length+:+5%0d%0a%0d%0ahello",
       "Invalid response from %s: its Content-Length is malformed, so that the end of the body cannot be told"},
      {RF_ERROR_INVALID_HEADER, "/raw?bytes=HTTP/1.1+200+OK%0d%0aTransfer-Encoding:+%1b[31mred%07,+chunked%0d%0a%0d%0a",
       "Invalid response from %s: its Transfer-Encoding cannot be undone: \\x1b[31mred\\x07, chunked"},
      {RF_ERROR_INVALID_HEADER, "/unknown-coding",
       "Invalid response from %s: its Transfer-Encoding cannot be undone: foo"},
      {RF_ERROR_CHUNKED_ENCODING, "/close/body?declared=500&sent=120",
       "Connection broken: the body from %s ended after 120 of 500 bytes"},
      {RF_ERROR_CHUNKED_ENCODING, "/close/after-chunk?n=2&size=10",
       "Connection broken: the body from %s ended after 20 bytes, before its last chunk"},
      {RF_ERROR_CHUNKED_ENCODING, "/chunks/bad-size",
       "Connection broken: %s sent something else where the size of a chunk should be"},
      {RF_ERROR_CHUNKED_ENCODING, "/raw?bytes=HTTP/1.1+200+OK%0d%0aTransfer-Encoding:+chunked%0d%0a%0d%0a5z%0d%0a",
       "Connection broken: %s sent a chunk size that is no hexadecimal number"},
      {RF_ERROR_CHUNKED_ENCODING, "/raw?bytes=HTTP/1.1+200+OK%0d%0aTransfer-Encoding:+chunked%0d%0a%0d%0a5%0d.",
       "Connection broken: %s sent a chunk size whose line has no end"},
      {RF_ERROR_CHUNKED_ENCODING, "/chunks/overflow", "Connection broken: %s sent a chunk that is larger than any can be"},
      {RF_ERROR_CHUNKED_ENCODING, "/chunks/no-crlf", "Connection broken: %s sent a chunk that is longer than its size says"},
      {RF_ERROR_CHUNKED_ENCODING, "/chunks/long-line",
       "Connection broken: %s sent a chunk size whose line is longer than 16 KB"},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    SAYS_OF(all[i].kind, text(all[i].message, place_of("RF_TEST_RAW")), raw(all[i].path), NULL);
  }
  SAYS_OF(RF_ERROR_CHUNKED_ENCODING,
          text("Connection broken: the body from %s ended after 120 of 500 bytes: %s", place_of("RF_TEST_RAW"),
               strerror(ECONNRESET)),
          raw("/rst/body?declared=500&sent=120"), NULL);
  SAYS_OF(RF_ERROR_CONNECTION,
          text("Connection aborted while waiting for an answer from %s: %s", place_of("RF_TEST_RAW"), strerror(ECONNRESET)),
          raw("/rst/empty"), NULL);
}

static void too_much_before_it(wire_connection *connection, void *unused) {
  (void)unused;
  if (!wire_next(connection)) return;
  for (int i = 0; i < 200; i++) wire_say(connection, "HTTP/1.1 103 Early Hints\r\n\r\n");
  wire_stall(connection);
}

static void bodies_of_responses(void) {
  const char *peer = place_of("RF_TEST_HTTP");
  static const struct {
    const char *path, *message;
  } all[] = {
      {"/compressed-truncated?with=gzip", "Cannot decode the gzip body from %s: the data is cut short"},
      {"/compressed-corrupt?with=gzip&where=start", "Cannot decode the gzip body from %s: incorrect header check"},
      {"/compressed-corrupt?with=gzip&where=checksum", "Cannot decode the gzip body from %s: incorrect data check"},
      {"/compressed-corrupt?with=br", "Cannot decode the br body from %s: the data is malformed"},
      {"/compressed-corrupt?with=zstd&where=start", "Cannot decode the zstd body from %s: *"},
      {"/compressed-trailing?with=br", "Cannot decode the br body from %s: there is more behind its end"},
      {"/encoded?with=gzip,gzip,gzip,gzip,gzip,gzip,gzip",
       "Cannot decode the coded body from %s: its Content-Encoding names 7 codings, of which 5 are the most"},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    SAYS_OF(RF_ERROR_CONTENT_DECODING, text(all[i].message, peer), http(all[i].path), NULL);
  }
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_max_body(options, 100));
  SAYS_WITH(RF_ERROR_BODY_TOO_LARGE, text("The body from %s is longer than the limit of 100 bytes", peer), http("/bytes/101"), options);
  wire *server = wire_start(too_much_before_it, NULL);
  SAYS_OF(RF_ERROR_CONNECTION,
          text("Connection aborted: 127.0.0.1:%d sent more than 100 interim responses", server->port),
          wire_url(server, "/"), NULL);
  wire_stop(server);
  options = new_options();
  CHECK_OK(rf_options_set_max_redirects(options, 3));
  SAYS_WITH(RF_ERROR_TOO_MANY_REDIRECTS, "Exceeded 3 redirects.", http("/redirect/9"), options);
}

/* What a response is asked for afterwards. */
static void responses(void) {
  rf_future *future = get(session, http("/json-bad"), NULL);
  const rf_json *json = NULL;
  const rf_error *error = NULL;
  CHECK_STATUS(RF_FAILED, rf_response_json(RESPONSE(future), &json, &error));
  CHECK_STR(text("The body from %s is no JSON: expected a value: line 2 column 7 (char 15)", place_of("RF_TEST_HTTP")),
            rf_error_message(error));
  check_style(rf_error_message(error));
  rf_future_free(future);
  future = get(session, http("/status/404"), NULL);
  CHECK_STATUS(RF_FAILED, rf_response_raise_for_status(RESPONSE(future), &error));
  CHECK_STR(text("404 Client Error: Not Found for url: %s", http("/status/404")), rf_error_message(error));
  rf_future_free(future);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_stream(options, true));
  future = get(session, http("/hello"), options);
  uint8_t bytes[64];
  size_t length;
  do CHECK_OK(rf_response_read(RESPONSE(future), bytes, sizeof bytes, &length, NULL));
  while (length > 0);
  CHECK_STATUS(RF_FAILED, rf_response_json(RESPONSE(future), &json, &error));
  CHECK_INT(RF_ERROR_STREAM_CONSUMED, rf_error_kind_of(error));
  CHECK_STR("The content for this response was already consumed", rf_error_message(error));
  rf_future_free(future);
  rf_options_free(options);
  listed += 3;
}

/* ---- TLS ---- */

static rf_options *trusting(const char *bundle) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_ca_bundle(options, bundle));
  return options;
}

static void tls(void) {
  static const struct {
    const char *server, *message;
  } all[] = {
      {"RF_TEST_TLS_PLAIN", "%s speaks no TLS"},
      {"RF_TEST_HTTPS_EXPIRED", "certificate verify failed for %s: the certificate has expired on *"},
      {"RF_TEST_HTTPS_WRONG_HOST",
       "certificate verify failed for %s: the certificate is for other names: wrong.example.test"},
      {"RF_TEST_HTTPS_UNTRUSTED",
       "certificate verify failed for %s: the certificate is not signed by a trusted authority"},
      {"RF_TEST_HTTPS_SELF_SIGNED",
       "certificate verify failed for %s: the certificate is not signed by a trusted authority"},
      {"RF_TEST_HTTPS_GARBAGE", "certificate verify failed for %s: the certificate is malformed"},
      {"RF_TEST_HTTPS_CLIENT_CERT", "TLS handshake refused by %s with alert \"certificate required\""},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    SAYS_WITH(RF_ERROR_SSL, text(all[i].message, place_of(all[i].server)), text("%s/get", env(all[i].server)),
              trusting(env("RF_TEST_CA")));
  }
  const char *url = text("%s/get", env("RF_TEST_HTTPS"));
  SAYS_WITH(RF_ERROR_SSL,
            text("Could not find a suitable TLS CA certificate bundle, invalid path: /no/such/file: %s", strerror(ENOENT)),
            url, trusting("/no/such/file"));
  SAYS_WITH(RF_ERROR_SSL, text("No certificate in the TLS certificate file %s", env("RF_TEST_BAD_PEM")), url,
            trusting(env("RF_TEST_BAD_PEM")));
  static const char *const pairs[][3] = {
      {"/no/such/file", NULL, "Could not read the TLS certificate file /no/such/file: *"},
      {"RF_TEST_CLIENT_CERT", "/no/such/key", "Could not read the TLS key file /no/such/key: *"},
      {"RF_TEST_CLIENT_CERT", NULL, "Could not find a private key in the TLS key file *"},
  };
  for (size_t i = 0; i < 3; i++) {
    rf_options *options = trusting(env("RF_TEST_CA"));
    const char *cert = pairs[i][0][0] == '/' ? pairs[i][0] : env(pairs[i][0]);
    CHECK_OK(rf_options_set_cert(options, cert, pairs[i][1]));
    SAYS_WITH(RF_ERROR_SSL, pairs[i][2], url, options);
  }
}

/* ---- proxies ---- */

static rf_options *through(const char *proxy) {
  rf_options *options = limited(500, RF_FOREVER, RF_FOREVER);
  CHECK_OK(rf_options_set_proxy(options, "all", proxy));
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  return options;
}

static void proxies(void) {
  const char *plain = http("/get"), *secure = text("%s/get", env("RF_TEST_HTTPS"));
  const char *closed = env("RF_TEST_CLOSED");
  SAYS_WITH(RF_ERROR_PROXY,
            text("Failed to establish a new connection to proxy %s (%s): %s", closed, place_of("RF_TEST_CLOSED"),
                 strerror(ECONNREFUSED)),
            plain, through(closed));
  SAYS_WITH(RF_ERROR_PROXY, "Unable to connect to proxy http://nosuchhost.invalid:3128: Failed to resolve 'nosuchhost.invalid' (*",
            plain, through("http://nosuchhost.invalid:3128"));
  const struct {
    int kind;
    const char *proxy, *message;
  } all[] = {
      {RF_ERROR_PROXY, "RF_TEST_PROXY_AUTH_BARE",
       "Unable to connect to %s through proxy %s: Tunnel connection failed: 407 Proxy Authentication Required"},
      {RF_ERROR_PROXY, "RF_TEST_PROXY_502", "Unable to connect to %s through proxy %s: Tunnel connection failed: 502 Bad Gateway"},
      {RF_ERROR_PROXY, "RF_TEST_PROXY_CLOSE",
       "Unable to connect to %s through proxy %s: it closed the connection before its answer was complete"},
      {RF_ERROR_PROXY, "RF_TEST_PROXY_GARBAGE", "Unable to connect to %s through proxy %s: it did not answer CONNECT with HTTP"},
      {RF_ERROR_CONNECT_TIMEOUT, "RF_TEST_PROXY_SILENT",
       "No tunnel to %s through proxy %s within 0.5 s: Connection timed out. (connect timeout=0.5)"},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    SAYS_WITH(all[i].kind, text(all[i].message, place_of("RF_TEST_HTTPS"), env(all[i].proxy)), secure, through(env(all[i].proxy)));
  }
  SAYS_WITH(RF_ERROR_PROXY,
            text("Unable to talk to proxy %s: Connection aborted: proxy %s closed the connection without a response",
                 env("RF_TEST_PROXY_CLOSE"), env("RF_TEST_PROXY_CLOSE")),
            plain, through(env("RF_TEST_PROXY_CLOSE")));
  const char *socks = strstr(env("RF_TEST_HTTP"), "//") + 2;
  SAYS_WITH(RF_ERROR_PROXY, text("Unable to connect to %s through proxy socks5://%s: the proxy did not answer with SOCKS5", socks, socks),
            plain, through(text("socks5://%s", socks)));
  rf_options *options = through(env("RF_TEST_SOCKS5"));
  CHECK_OK(rf_options_set_timeout(options, 5000, 300));
  SAYS_WITH(RF_ERROR_PROXY, text("Unable to connect to %s through proxy %s: SOCKS5 proxy: connection refused (0x05)", place_of("RF_TEST_HTTP"), env("RF_TEST_SOCKS5_REFUSE")),
            plain, through(env("RF_TEST_SOCKS5_REFUSE")));
  SAYS_WITH(RF_ERROR_PROXY,
            text("Unable to connect to %s through proxy %s: the SOCKS5 proxy does not let anybody in without authentication",
                 place_of("RF_TEST_HTTP"), env("RF_TEST_SOCKS5_AUTH_BARE")),
            plain, through(env("RF_TEST_SOCKS5_AUTH_BARE")));
  SAYS_WITH(RF_ERROR_READ_TIMEOUT,
            text("No answer from %s through proxy %s for 0.3 s: Read timed out. (read timeout=0.3)",
                 place_of("RF_TEST_RAW"), env("RF_TEST_SOCKS5")),
            raw("/silent"), options);
}

/* ---- functions of the user's ---- */

static rf_status fail_with_words(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)response, (void)user_data;
  return rf_hook_fail(call, "no token in it");
}
static rf_status fail_without(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response, (void)user_data;
  return RF_FAILED;
}
static rf_status refuse_bytes(const uint8_t *data, size_t length, void *user_data) {
  (void)data, (void)length, (void)user_data;
  return RF_FAILED;
}
static rf_status refuse_progress(int64_t sent, int64_t send_total, int64_t received, int64_t receive_total, void *user_data) {
  (void)sent, (void)send_total, (void)received, (void)receive_total, (void)user_data;
  return RF_FAILED;
}

static void functions(void) {
  const char *url = http("/hello");
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, fail_with_words, NULL, NULL));
  SAYS_WITH(RF_ERROR_HOOK, "no token in it", url, options);
  options = new_options();
  CHECK_OK(rf_options_add_hook(options, fail_without, NULL, NULL));
  SAYS_WITH(RF_ERROR_HOOK, "A hook returned other than RF_OK, and set no message with rf_hook_fail", url, options);
  options = new_options();
  CHECK_OK(rf_options_set_output(options, refuse_bytes, NULL, NULL));
  SAYS_WITH(RF_ERROR_HOOK, "The output function refused to go on", url, options);
  options = new_options();
  CHECK_OK(rf_options_set_progress(options, refuse_progress, NULL, NULL));
  SAYS_WITH(RF_ERROR_HOOK, "The progress function refused to go on", url, options);
  options = new_options();
  CHECK_OK(rf_options_set_output_file(options, "/no/such/directory/file"));
  SAYS_WITH(RF_ERROR_REQUEST, "Cannot write the output to /no/such/directory/file: the directory /no/such/directory does not exist; create it first",
            url, options);
  options = new_options();
  CHECK_OK(rf_options_set_output_file(options, folder));
  SAYS_WITH(RF_ERROR_REQUEST, text("Cannot write the output to %s: it is a directory", folder), url, options);
}

/* ---- ends, executors, processes ---- */

static rf_status refuse(rf_task *task, void *user_data) {
  (void)task, (void)user_data;
  return RF_FAILED;
}

static rf_status free_it(rf_task *task, void *user_data) {
  (void)user_data;
  rf_task_free(task);
  return RF_OK;
}

static void ends(void) {
  rf_session *narrow = new_session_workers(1);
  rf_future *slow = get(narrow, raw("/silent"), NULL), *queued = get(narrow, http("/hello"), NULL);
  EVENTUALLY(rf_future_running(slow));
  CHECK(rf_future_cancel(queued));
  SAYS(RF_ERROR_CANCELLED, "The future was cancelled", queued);
  CHECK(rf_future_abort(slow));
  CHECK_STR(raw("/silent"), rf_error_url(ERROR_OF(RF_ERROR_ABORTED, slow)));
  SAYS(RF_ERROR_ABORTED, "The request was aborted", slow);
  rf_session_free(narrow);
  narrow = session_run_by(refuse);
  SAYS(RF_ERROR_SHUTDOWN, "The executor refused the request: its submit function returned other than RF_OK",
       get(narrow, http("/hello"), NULL));
  rf_session_free(narrow);
  narrow = session_run_by(free_it);
  rf_future *future = get(narrow, http("/hello"), NULL);
  SAYS(RF_ERROR_CANCELLED, "The future was cancelled", future);
  rf_session_free(narrow);
}

static void worker_processes(void) {
  pool pool = new_pool(1);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_body_reader(options, read_nothing, NULL, -1, NULL, NULL));
  SAYS(RF_ERROR_NOT_TRANSFERABLE,
       "The reader of the request body cannot be sent to another process: it is a function (README, \"Worker processes\")",
       get(pool.session, http("/get"), options));
  rf_options_free(options);
  options = options_with_hook("tell_process");
  rf_future *future = get(pool.session, http("/get"), options);
  long worker = process_of(RESPONSE(future));
  rf_future_free(future);
  rf_options_free(options);
  future = get(pool.session, raw("/silent"), NULL);
  EVENTUALLY(rf_future_running(future));
  sleep_ms(100);
  CHECK_INT(0, kill((pid_t)worker, SIGKILL));
  SAYS(RF_ERROR_BROKEN_POOL, text("The worker process %ld that ran the request was killed by signal 9 (SIGKILL)", worker), future);
  end_pool(pool);
  const char *set = getenv("REQUESTS_FUTURES_WORKER");
  char *before = set != NULL ? strdup(set) : NULL;
  CHECK_INT(0, setenv("REQUESTS_FUTURES_WORKER", "/no/such/worker", 1));
  pool = new_pool(1);
  /* Under valgrind the child ends in its own way. */
  const char *why = getenv("RF_TEST_SLOW") != NULL ? "*" : strerror(ENOENT);
  SAYS(RF_ERROR_BROKEN_POOL, text("No worker process could be started: /no/such/worker: %s", why),
       get(pool.session, http("/get"), NULL));
  end_pool(pool);
  CHECK_INT(0, before != NULL ? setenv("REQUESTS_FUTURES_WORKER", before, 1) : unsetenv("REQUESTS_FUTURES_WORKER"));
  free(before);
}

int main(void) {
  CHECK(mkdtemp(folder) != NULL);
  session = new_session();
  urls();
  methods_headers_and_credentials();
  bodies_of_requests();
  connecting();
  waiting();
  heads();
  bodies_of_responses();
  responses();
  tls();
  proxies();
  functions();
  ends();
  worker_processes();
  rf_session_free(session);
  CHECK_INT(0, rmdir(folder));
  if (wrong > 0) FAIL("%d messages are others", wrong);
  if (listed < 90) FAIL("only %d messages", listed);
  return finish();
}
