/* HTTP/2: what all requests of a connection have in common, what one of them must not do to the others, and servers that
   break its rules. */
#include "wire.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

static rf_options *by(int version) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_http_version(options, version));
  return options;
}

static const char *https(const char *path) { return text("%s%s", env("RF_TEST_HTTPS_NAME"), path); }

/* Over TLS, as the server chooses. */
static rf_options *chosen(void) {
  rf_options *options = by(RF_HTTP_AUTO);
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  return options;
}

static const char *connection_of(const rf_response *response) {
  const char *id = rf_response_header(response, "X-Connection-Id");
  CHECK(id != NULL);
  return text("%s", id);
}

static const char *connection_by(rf_session *session, const char *url, const rf_options *options) {
  rf_future *future = get(session, url, options);
  const rf_response *response = RESPONSE(future);
  CHECK_STR("HTTP/2", rf_response_http_version(response));
  const char *id = connection_of(response);
  rf_future_free(future);
  return id;
}

/* ---- which version ---- */

static void version_is(rf_session *session, const char *url, const rf_options *options, const char *version) {
  rf_future *future = get(session, url, options);
  CHECK_STR(version, rf_response_http_version(RESPONSE(future)));
  rf_future_free(future);
}

static const char *refused(const char *url, const rf_options *options) {
  rf_session *session = new_session();
  rf_future *future = get(session, url, options);
  const char *message = text("%s", rf_error_message(ERROR_OF(RF_ERROR_CONNECTION, future)));
  rf_future_free(future);
  rf_session_free(session);
  return message;
}

static void versions(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  if (getenv("RF_TEST_HTTP2") == NULL) version_is(session, https("/get"), options, "HTTP/1.1");
  CHECK_OK(rf_options_set_http_version(options, RF_HTTP_AUTO));
  version_is(session, https("/get"), options, "HTTP/2");
  version_is(session, http("/get"), options, strncmp(http(""), "https", 5) == 0 ? "HTTP/2" : "HTTP/1.1");
  CHECK_OK(rf_options_set_http_version(options, RF_HTTP_2));
  version_is(session, https("/get"), options, "HTTP/2");
  CHECK_OK(rf_options_set_http_version(options, RF_HTTP_1_1));
  version_is(session, https("/get"), options, "HTTP/1.1");
  CHECK_OK(rf_options_set_http_version(options, RF_HTTP_2_PRIOR_KNOWLEDGE));
  version_is(session, https("/get"), options, "HTTP/2");
  version_is(session, http("/get"), options, "HTTP/2");
  BAD(rf_options_set_http_version(options, 2));
  BAD(rf_options_set_http_version(options, -1));

  /* A server that speaks HTTP/1.1 alone. */
  CHECK_OK(rf_options_set_http_version(options, RF_HTTP_AUTO));
  CHECK_OK(rf_options_set_verify(options, false));
  const char *old = text("%s/get", env("RF_TEST_HTTPS_P521"));
  version_is(session, old, options, "HTTP/1.1");
  CHECK_OK(rf_options_set_http_version(options, RF_HTTP_2));
  CHECK_HAS("does not speak HTTP/2: offered it in the TLS handshake (ALPN), it chose \"http/1.1\"", refused(old, options));
  CHECK_HAS("HTTP/2 without TLS needs prior knowledge", refused("http://127.0.0.1:1/", options));
  rf_options_free(options);
  rf_session_free(session);
}

static void old_server(wire_connection *connection, void *unused) {
  (void)unused;
  char byte;
  if (recv(connection->fd, &byte, 1, 0) == 1) wire_say(connection, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
  wire_stall(connection);
}

static void an_old_server_is_found_out_at_once(void) {
  rf_options *options = by(RF_HTTP_2_PRIOR_KNOWLEDGE);
  wire *server = wire_start(old_server, NULL);
  int64_t before = now_ms();
  CHECK_HAS("speaks HTTP/1, not HTTP/2", refused(wire_url(server, "/"), options));
  CHECK(now_ms() - before < 10000);
  wire_stop(server);
  CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_PROXY")));
  CHECK_HAS("A proxy that forwards a request without TLS speaks HTTP/1.1", refused("http://127.0.0.1:1/", options));
  rf_options_free(options);
}

static void a_server_that_wants_http1_gets_it(void) {
  rf_session *session = new_session();
  rf_options *options = chosen();
  rf_future *future = request(session, "POST", https("/http1-only"), options);
  CHECK_STR("HTTP/1.1", rf_response_text(RESPONSE(future), NULL));
  CHECK_STR("HTTP/1.1", rf_response_http_version(RESPONSE(future)));
  rf_future_free(future);
  version_is(session, https("/get"), options, "HTTP/1.1"); /* from now on */
  /* But who demands HTTP/2 gets it. */
  CHECK_OK(rf_options_set_http_version(options, RF_HTTP_2));
  version_is(session, https("/get"), options, "HTTP/2");
  rf_session_free(session);
  CHECK_HAS("HTTP_1_1_REQUIRED", refused(https("/http1-only"), options));
  rf_options_free(options);
}

/* What cannot be otherwise is not tried again. */
static void a_server_without_http2_is_asked_once(void) {
  rf_retry *retry = NULL;
  CHECK_OK(rf_retry_new(3, &retry));
  wire *server = wire_start(old_server, NULL);
  const struct { int version; const char *url; } rows[] = {
    {RF_HTTP_2, text("%s/get", env("RF_TEST_HTTPS_P521"))},
    {RF_HTTP_2_PRIOR_KNOWLEDGE, wire_url(server, "/")},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    rf_options *options = by(rows[i].version);
    CHECK_OK(rf_options_set_verify(options, false));
    CHECK_OK(rf_options_set_retry(options, retry));
    rf_session *session = new_session();
    rf_future *future = get(session, rows[i].url, options);
    CHECK_INT(1, rf_error_attempts(ERROR_OF(RF_ERROR_CONNECTION, future)));
    rf_future_free(future);
    rf_session_free(session);
    rf_options_free(options);
  }
  rf_retry_free(retry);
  wire_stop(server);
}

/* ---- what is shown of a request ---- */

static char shown[4096];

static void show(uint64_t future_id, int kind, const uint8_t *data, size_t length, void *unused) {
  (void)future_id;
  (void)unused;
  if (kind == RF_TRACE_HEAD_OUT || kind == RF_TRACE_INFO) {
    snprintf(shown + strlen(shown), sizeof shown - strlen(shown), "%.*s\n", (int)length, (const char *)data);
  }
}

/* As it was sent, where host is what HTTP/2 calls :authority. */
static void a_request_is_shown_as_it_was_sent(void) {
  rf_session *session = new_session();
  rf_options *options = chosen();
  CHECK_OK(rf_options_set_header(options, "X-Own", "1"));
  CHECK_OK(rf_options_set_header(options, "Keep-Alive", "5"));
  CHECK_OK(rf_options_set_trace(options, show, false, NULL, NULL));
  rf_future *future = get(session, https("/headers"), options);
  const rf_response *response = RESPONSE(future);
  CHECK_STR("1", rf_response_request_header(response, "X-OWN"));
  CHECK(rf_response_request_header(response, "Host") != NULL);
  CHECK(rf_response_request_header(response, "Connection") == NULL);
  CHECK(rf_response_request_header(response, "Keep-Alive") == NULL);
  for (size_t i = 0; i < rf_response_request_header_count(response); i++) {
    const char *name, *value;
    CHECK_OK(rf_response_request_header_at(response, i, &name, &value));
    for (const char *at = name; *at != '\0'; at++) CHECK(*at < 'A' || *at > 'Z');
  }
  rf_future_free(future);
  rf_session_free(session);
  CHECK_HAS("GET /headers HTTP/2\r\n", shown);
  CHECK_HAS("\r\nx-own: 1\r\n", shown);
  CHECK_HAS(", ALPN h2", shown);
  CHECK(strstr(shown, "onnection: ") == NULL);
  rf_options_free(options);
}

/* ---- one connection for many ---- */

static void share(rf_session *session, const char *base, const rf_options *options) {
  enum { MANY = 50 };
  rf_future *futures[MANY];
  const char *gate = unique("shared"), *first = NULL;
  const char *url = text("%s/gate/%s", base, gate);
  for (int i = 0; i < MANY; i++) futures[i] = get(session, url, options);
  gate_wait(gate, 8);
  gate_open(gate);
  for (int i = 0; i < MANY; i++) {
    const rf_response *response = RESPONSE(futures[i]);
    CHECK_STR("HTTP/2", rf_response_http_version(response));
    if (first == NULL) first = connection_of(response);
    CHECK_STR(first, connection_of(response));
    CHECK_STR("", rf_response_reason(response));
    rf_future_free(futures[i]);
  }
  CHECK_STR(first, connection_by(session, text("%s/get", base), options));
}

static void many_share_one_connection(void) {
  rf_options *options = chosen(), *known = by(RF_HTTP_2_PRIOR_KNOWLEDGE);
  rf_session *session = new_session_workers(8), *other = new_session();
  share(session, env("RF_TEST_HTTPS_NAME"), options);
  share(session, text("http://127.0.0.1:%s", env("RF_TEST_HTTP_PORT")), known);
  /* Those of another session do not. */
  const char *own = connection_by(session, https("/get"), options);
  CHECK(strcmp(own, connection_by(other, https("/get"), options)) != 0);
  rf_session_free(other);
  rf_session_free(session);
  rf_options_free(options);
  rf_options_free(known);
}

static void one_that_ends_leaves_the_others_alone(void) {
  rf_options *options = chosen(), *late = chosen(), *hurried = chosen(), *open = chosen();
  rf_session *session = new_session_workers(8);
  const char *gate = unique("kept"), *id = connection_by(session, https("/get"), options);
  rf_future *kept = get(session, https(text("/gate/%s", gate)), options);
  CHECK_OK(rf_options_set_timeout(late, RF_FOREVER, 200));
  CHECK_OK(rf_options_set_deadline(hurried, 200));
  rf_future *future = get(session, https("/delay/60"), late);
  ERROR_OF(RF_ERROR_READ_TIMEOUT, future);
  rf_future_free(future);
  future = get(session, https("/delay/60"), hurried);
  ERROR_OF(RF_ERROR_TIMEOUT, future);
  rf_future_free(future);
  const char *other = unique("aborted");
  future = get(session, https(text("/gate/%s", other)), options);
  gate_wait(other, 1);
  int64_t before = now_ms();
  rf_future_abort(future);
  ERROR_OF(RF_ERROR_ABORTED, future);
  CHECK(now_ms() - before < 10000);
  rf_future_free(future);
  /* A long body that nobody reads. */
  CHECK_OK(rf_options_set_stream(open, true));
  future = get(session, https("/bytes/20000000"), open);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  CHECK_STR(id, connection_by(session, https("/get"), options));
  uint8_t buffer[1000];
  size_t count = 0;
  CHECK_OK(rf_response_read(RESPONSE(future), buffer, sizeof buffer, &count, NULL));
  CHECK(count > 0);
  rf_future_free(future);
  CHECK_STR(id, connection_by(session, https("/get"), options));
  gate_open(gate);
  CHECK_STR(id, connection_of(RESPONSE(kept)));
  rf_future_free(kept);
  rf_session_free(session);
  rf_options_free(options);
  rf_options_free(late);
  rf_options_free(hurried);
  rf_options_free(open);
}

/* ---- what goes and comes ---- */

static int64_t all_of_it(uint8_t *buffer, size_t size, void *left) {
  size_t count = *(size_t *)left < size ? *(size_t *)left : size;
  memset(buffer, 'x', count);
  *(size_t *)left -= count;
  return (int64_t)count;
}

static void bodies(void) {
  enum { LONG = 5000000 };
  rf_session *session = new_session();
  char *body = malloc(LONG);
  memset(body, 'x', LONG);
  for (int mode = 0; mode < 4; mode++) {
    rf_options *options = mode % 2 == 0 ? chosen() : by(RF_HTTP_2_PRIOR_KNOWLEDGE);
    const char *base = mode % 2 == 0 ? env("RF_TEST_HTTPS_NAME") : text("http://127.0.0.1:%s", env("RF_TEST_HTTP_PORT"));
    size_t left = LONG;
    if (mode < 2) {
      CHECK_OK(rf_options_set_body(options, body, LONG));
    } else {
      CHECK_OK(rf_options_set_body_reader(options, all_of_it, NULL, -1, &left, NULL));
    }
    rf_future *future = request(session, "POST", text("%s/upload", base), options);
    const rf_json *json = NULL;
    int64_t length = 0;
    CHECK_OK(rf_response_json(RESPONSE(future), &json, NULL));
    CHECK_OK(rf_json_int(rf_json_pointer(json, "/length"), &length));
    CHECK_INT(LONG, length);
    CHECK_STR("HTTP/2", rf_response_http_version(RESPONSE(future)));
    rf_future_free(future);
    rf_options_free(options);
    options = mode % 2 == 0 ? chosen() : by(RF_HTTP_2_PRIOR_KNOWLEDGE);
    future = get(session, text("%s/bytes/%d", base, LONG), options);
    size_t size = 0;
    CHECK(rf_response_content(RESPONSE(future), &size) != NULL);
    CHECK_INT(LONG, size);
    rf_future_free(future);
    future = get(session, text("%s/stream-bytes/%d", base, LONG), options);
    rf_response_content(RESPONSE(future), &size);
    CHECK_INT(LONG, size);
    rf_future_free(future);
    future = request(session, "HEAD", text("%s/bytes/%d", base, LONG), options);
    CHECK_STR(text("%d", LONG), rf_response_header(RESPONSE(future), "Content-Length"));
    rf_future_free(future);
    rf_options_free(options);
  }
  free(body);
  rf_session_free(session);
}

/* ---- a server of one's own ---- */

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum { END_STREAM = 1, END_HEADERS = 4 };
enum { NO_ERROR = 0, PROTOCOL_ERROR = 1, INTERNAL_ERROR = 2, REFUSED_STREAM = 7, ENHANCE_YOUR_CALM = 11 };

typedef struct peer {
  wire_connection *wire;
  int requests; /* on this connection */
  uint32_t held; /* a stream that is to be answered later; 0: none */
  uint32_t flowing; /* one whose body goes on as fast as its window opens; 0: none */
  bool is_gone;
} peer;

/* What a server does with the head of a request. */
typedef void (*peer_fn)(peer *peer, uint32_t stream);

typedef struct scenario {
  peer_fn fn;
  peer_fn at_end; /* of a body; NULL: nothing is done then */
  bool answers_pings;
  const char *settings; /* of six bytes each */
  size_t settings_length;
  int requests, pings, pieces, resets; /* in all */
  uint32_t window; /* for each stream, as the client has said last */
} scenario;

/* A window that a long way needs. */
#define FAR (16u << 20)

static uint32_t get32(const unsigned char *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put32(unsigned char *at, uint32_t value) {
  for (int i = 0; i < 4; i++) at[i] = (unsigned char)(value >> (24 - 8 * i));
}

static void frame(peer *peer, int type, int flags, uint32_t stream, const void *payload, size_t length) {
  unsigned char head[9] = {(unsigned char)(length >> 16), (unsigned char)(length >> 8), (unsigned char)length,
                           (unsigned char)type, (unsigned char)flags};
  put32(head + 5, stream);
  wire_bytes(peer->wire, head, sizeof head);
  wire_bytes(peer->wire, payload, length);
}

static void number(peer *peer, int type, uint32_t stream, uint32_t value) {
  unsigned char payload[4];
  put32(payload, value);
  frame(peer, type, 0, stream, payload, 4);
}

static void go_away(peer *peer, uint32_t last, uint32_t reason) {
  unsigned char payload[8];
  put32(payload, last);
  put32(payload + 4, reason);
  frame(peer, GOAWAY, 0, 0, payload, 8);
}

/* ":status: 200", alone. */
static void answer(peer *peer, uint32_t stream) {
  frame(peer, HEADERS, END_HEADERS, stream, "\x88", 1);
  frame(peer, DATA, END_STREAM, stream, "fine", 4);
}

static bool take(peer *peer, void *buffer, size_t length) {
  for (size_t have = 0; have < length;) {
    ssize_t got = recv(peer->wire->fd, (char *)buffer + have, length - have, 0);
    if (got <= 0) return false;
    have += (size_t)got;
  }
  return true;
}

/* So much more of a body may be sent. It ends when the window is as wide as it gets. */
static void flow_on(peer *peer, uint32_t left, const scenario *scenario) {
  static const char piece[16384];
  if (peer->flowing == 0) return;
  while (left > 0) {
    uint32_t count = left < sizeof piece ? left : sizeof piece;
    frame(peer, DATA, 0, peer->flowing, piece, count);
    left -= count;
  }
  if (LOAD(scenario->window) < FAR) return;
  frame(peer, DATA, END_STREAM, peer->flowing, "", 0);
  peer->flowing = 0;
}

static void serve(wire_connection *connection, void *user_data) {
  scenario *scenario = user_data;
  peer peer = {connection, 0, 0, 0, false};
  unsigned char head[24], payload[70000];
  if (!take(&peer, head, 24) || memcmp(head, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24) != 0) return;
  frame(&peer, SETTINGS, 0, 0, scenario->settings, scenario->settings_length);
  while (!peer.is_gone && take(&peer, head, 9)) {
    size_t length = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    uint32_t stream = get32(head + 5) & 0x7fffffff;
    if (length > sizeof payload || !take(&peer, payload, length)) return;
    if (head[3] == SETTINGS && head[4] == 0) {
      frame(&peer, SETTINGS, 1, 0, NULL, 0);
      for (size_t at = 0; at + 6 <= length; at += 6) {
        if (payload[at + 1] != 4) continue;
        uint32_t window = get32(payload + at + 2), before = LOAD(scenario->window);
        __atomic_store_n(&scenario->window, window, __ATOMIC_SEQ_CST);
        if (window > before) flow_on(&peer, window - before, scenario);
      }
    }
    if (head[3] == WINDOW_UPDATE && stream == peer.flowing) flow_on(&peer, get32(payload), scenario);
    if (head[3] == PING && head[4] == 0) {
      INCREMENT(scenario->pings);
      if (scenario->answers_pings) frame(&peer, PING, 1, 0, payload, 8);
      /* One that was asked whether it is there has done what it was busy with. */
      if (scenario->answers_pings && peer.held > 0) answer(&peer, peer.held);
      peer.held = 0;
    }
    if (head[3] == HEADERS) {
      peer.requests++;
      INCREMENT(scenario->requests);
      scenario->fn(&peer, stream);
    }
    if (head[3] == RST_STREAM) INCREMENT(scenario->resets);
    if (head[3] == DATA && length > 0) INCREMENT(scenario->pieces);
    if (head[3] == DATA && (head[4] & END_STREAM) != 0 && scenario->at_end != NULL) scenario->at_end(&peer, stream);
  }
}

typedef struct visit {
  scenario scenario;
  wire *server;
  rf_session *session;
  rf_options *options;
} visit;

static visit *visit_of(peer_fn fn, const char *settings, size_t length) {
  visit *visit = calloc(1, sizeof *visit);
  visit->scenario.fn = fn;
  visit->scenario.settings = settings;
  visit->scenario.settings_length = length;
  visit->server = wire_start(serve, &visit->scenario);
  visit->session = new_session();
  visit->options = by(RF_HTTP_2_PRIOR_KNOWLEDGE);
  return visit;
}

static void leave(visit *visit) {
  rf_options_free(visit->options);
  rf_session_free(visit->session);
  wire_stop(visit->server);
  free(visit);
}

static rf_future *send_to(visit *visit, const char *method) {
  return request(visit->session, method, wire_url(visit->server, "/"), visit->options);
}

static void is_fine(rf_future *future) {
  CHECK_STR("fine", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
}

/* ---- what was not processed is sent again ---- */

static int refusals;

static void refuse_some(peer *peer, uint32_t stream) {
  if (__atomic_sub_fetch(&refusals, 1, __ATOMIC_SEQ_CST) >= 0) number(peer, RST_STREAM, stream, REFUSED_STREAM);
  else answer(peer, stream);
}

static void what_is_refused_is_sent_again(void) {
  visit *visit = visit_of(refuse_some, "", 0);
  refusals = 10;
  CHECK_OK(rf_options_set_body(visit->options, "body", 4));
  is_fine(send_to(visit, "POST"));
  CHECK_INT(11, LOAD(visit->scenario.requests));
  CHECK_INT(1, wire_connections(visit->server));
  refusals = 1000; /* but not for ever */
  rf_future *future = send_to(visit, "POST");
  CHECK_HAS("REFUSED_STREAM", rf_error_message(ERROR_OF(RF_ERROR_CONNECTION, future)));
  rf_future_free(future);
  CHECK_INT(22, LOAD(visit->scenario.requests));
  leave(visit);
}

/* Ends each connection with its first request, of which it knows nothing, but for the last. */
static void go_away_before(peer *peer, uint32_t stream) {
  if (peer->wire->number >= 3) {
    answer(peer, stream);
    return;
  }
  go_away(peer, 0, NO_ERROR);
  peer->is_gone = true;
}

/* Answers one, and no other one. */
static void go_away_after(peer *peer, uint32_t stream) {
  go_away(peer, stream, NO_ERROR);
  answer(peer, stream);
}

static void who_goes_away_is_asked_over_another_connection(void) {
  visit *visit = visit_of(go_away_before, "", 0);
  is_fine(send_to(visit, "POST"));
  CHECK_INT(4, wire_connections(visit->server));
  leave(visit);
  visit = visit_of(go_away_after, "", 0);
  for (int i = 0; i < 3; i++) is_fine(send_to(visit, "POST"));
  CHECK_INT(3, wire_connections(visit->server));
  leave(visit);
}

/* ---- what ends badly ---- */

static void break_off(peer *peer, uint32_t stream) {
  frame(peer, HEADERS, END_HEADERS, stream, "\x88", 1);
  frame(peer, DATA, 0, stream, "some", 4);
  number(peer, RST_STREAM, stream, INTERNAL_ERROR);
}

static void reset_at_once(peer *peer, uint32_t stream) { number(peer, RST_STREAM, stream, INTERNAL_ERROR); }

static void calm_down(peer *peer, uint32_t stream) {
  go_away(peer, stream, ENHANCE_YOUR_CALM);
  peer->is_gone = true;
}

static void hang_up(peer *peer, uint32_t stream) {
  (void)stream;
  peer->is_gone = true;
}

/* A head that goes on and on. */
static void endless_head(peer *peer, uint32_t stream) {
  static const char field[] = "\x00\x01" "a\x7f\x81\x01" /* a literal of 256 bytes */;
  static char fields[16 * 262];
  for (int i = 0; i < 16; i++) {
    memset(fields + 262 * i, 'b', 262);
    memcpy(fields + 262 * i, field, 6);
  }
  frame(peer, HEADERS, 0, stream, fields, sizeof fields);
  for (int i = 0; i < 5000; i++) frame(peer, CONTINUATION, 0, stream, fields, sizeof fields);
}

/* CONTINUATION frames without anything in them. */
static void empty_head(peer *peer, uint32_t stream) {
  frame(peer, HEADERS, 0, stream, "\x88", 1);
  for (int i = 0; i < 200000; i++) frame(peer, CONTINUATION, 0, stream, "", 0);
}

/* A value of 4,000 bytes that is put into the table, and said again and again, a byte each time. */
static void bomb(peer *peer, uint32_t stream) {
  static unsigned char head[4010 + 10000];
  head[0] = 0x88;
  memcpy(head + 1, "\x40\x01" "a\x7f\xa1\x1e", 6); /* 127 + 33 + 30 * 128 = 4000 */
  memset(head + 7, 'b', 4000);
  memset(head + 4007, 0xbe, sizeof head - 4007);
  frame(peer, HEADERS, END_HEADERS, stream, head, sizeof head);
}

static void unknown_stream(peer *peer, uint32_t stream) { frame(peer, DATA, 0, stream + 100, "data", 4); }
static void too_large_a_window(peer *peer, uint32_t stream) {
  (void)stream;
  number(peer, WINDOW_UPDATE, 0, 0x7fffffff);
}
static void push(peer *peer, uint32_t stream) { frame(peer, PUSH_PROMISE, END_HEADERS, stream, "\0\0\0\2\x82", 5); }
static void upper_case(peer *peer, uint32_t stream) {
  frame(peer, HEADERS, END_HEADERS | END_STREAM, stream, "\x88\x00\x01" "A\x01" "b", 6);
}
static void nonsense(peer *peer, uint32_t stream) { frame(peer, HEADERS, END_HEADERS, stream, "\xff\xff\xff\xff\xff\xff", 6); }
static void too_long(peer *peer, uint32_t stream) {
  unsigned char head[9] = {0xff, 0xff, 0xff, DATA};
  put32(head + 5, stream);
  wire_bytes(peer->wire, head, sizeof head);
}
static void more_than_announced(peer *peer, uint32_t stream) {
  frame(peer, HEADERS, END_HEADERS, stream, "\x88\x0f\x0d\x01" "3", 5); /* content-length: 3 */
  frame(peer, DATA, END_STREAM, stream, "four", 4);
}

static void fails(peer_fn fn, int kind, const char *name) {
  visit *visit = visit_of(fn, "", 0);
  rf_retry *never = NULL;
  CHECK_OK(rf_retry_new(0, &never));
  CHECK_OK(rf_options_set_retry(visit->options, never));
  rf_retry_free(never);
  CHECK_OK(rf_options_set_deadline(visit->options, LONG_MS / 2));
  rf_future *future = send_to(visit, "POST");
  const rf_error *error = ERROR_OF(kind, future);
  CHECK_HAS(name, rf_error_message(error));
  rf_future_free(future);
  /* Others are unharmed. */
  future = get(visit->session, http("/get"), NULL);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  leave(visit);
}

static void what_breaks_the_rules_has_a_name(void) {
  fails(break_off, RF_ERROR_CHUNKED_ENCODING, "after 4 bytes: Connection aborted");
  fails(break_off, RF_ERROR_CHUNKED_ENCODING, "INTERNAL_ERROR");
  fails(reset_at_once, RF_ERROR_CONNECTION, "reset the request: INTERNAL_ERROR");
  fails(calm_down, RF_ERROR_CONNECTION, "Connection aborted");
  fails(hang_up, RF_ERROR_CONNECTION, "closed the connection without a response");
  fails(endless_head, RF_ERROR_CONNECTION, "Connection aborted");
  fails(empty_head, RF_ERROR_CONNECTION, "Connection aborted");
  fails(bomb, RF_ERROR_CONNECTION, "Connection aborted");
  fails(unknown_stream, RF_ERROR_CONNECTION, "broke the rules of HTTP/2: PROTOCOL_ERROR");
  fails(too_large_a_window, RF_ERROR_CONNECTION, "broke the rules of HTTP/2: FLOW_CONTROL_ERROR");
  fails(push, RF_ERROR_CONNECTION, "broke the rules of HTTP/2: PROTOCOL_ERROR");
  fails(upper_case, RF_ERROR_CONNECTION, "broke the rules of HTTP/2: PROTOCOL_ERROR");
  fails(nonsense, RF_ERROR_CONNECTION, "broke the rules of HTTP/2: PROTOCOL_ERROR");
  fails(too_long, RF_ERROR_CONNECTION, "broke the rules of HTTP/2: FRAME_SIZE_ERROR");
  fails(more_than_announced, RF_ERROR_CHUNKED_ENCODING, "PROTOCOL_ERROR");
}

/* ---- what never ends ---- */

static bool has_hung_up(peer *peer) {
  char bytes[4096];
  for (;;) {
    ssize_t got = recv(peer->wire->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got <= 0) return got == 0 || (errno != EAGAIN && errno != EINTR);
  }
}

/* The same frame, until the other side has had enough. */
static void flood(peer *peer, int type, int flags, uint32_t stream, const void *payload, size_t length) {
  enum { MANY = 100 };
  size_t each = 9 + length;
  unsigned char *frames = malloc(MANY * each);
  for (int i = 0; i < MANY; i++) {
    unsigned char *head = frames + each * (size_t)i;
    memset(head, 0, 9);
    head[1] = (unsigned char)(length >> 8);
    head[2] = (unsigned char)length;
    head[3] = (unsigned char)type;
    head[4] = (unsigned char)flags;
    put32(head + 5, stream);
    memcpy(head + 9, payload, length);
  }
  for (int64_t until = now_ms() + LONG_MS; now_ms() < until && !has_hung_up(peer);) wire_bytes(peer->wire, frames, MANY * each);
  free(frames);
  peer->is_gone = true;
}

static void settings_flood(peer *peer, uint32_t stream) {
  (void)stream;
  flood(peer, SETTINGS, 0, 0, "\0\3\0\0\0\4", 6);
}
static void ping_flood(peer *peer, uint32_t stream) {
  (void)stream;
  flood(peer, PING, 0, 0, "12345678", 8);
}
static void window_flood(peer *peer, uint32_t stream) { flood(peer, WINDOW_UPDATE, 0, stream, "\0\0\0\1", 4); }
static void priority_flood(peer *peer, uint32_t stream) { flood(peer, PRIORITY, 0, stream, "\0\0\0\0\1", 5); }
static void unknown_frames(peer *peer, uint32_t stream) { flood(peer, 77, 0, stream, "12345678", 8); }
static void early_hints(peer *peer, uint32_t stream) { flood(peer, HEADERS, END_HEADERS, stream, "\x08\x03" "103", 5); }
static void empty_data(peer *peer, uint32_t stream) {
  frame(peer, HEADERS, END_HEADERS, stream, "\x88", 1);
  flood(peer, DATA, 0, stream, "", 0);
}
/* Heads that are large, and cost the server next to nothing. */
static void bombs(peer *peer, uint32_t stream) {
  static unsigned char head[12 + 4000 + 60] = "\x08\x03" "103" "\x40\x01" "a\x7f\xa1\x1e";
  memset(head + 11, 'b', 4000);
  memset(head + 4011, 0xbe, 60);
  frame(peer, HEADERS, END_HEADERS, stream, head, 4011 + 60);
  static unsigned char again[5 + 60] = "\x08\x03" "103";
  memset(again + 5, 0xbe, 60);
  flood(peer, HEADERS, END_HEADERS, stream, again, sizeof again);
}
static void endless_body(peer *peer, uint32_t stream) {
  static const char byte[1] = "x";
  frame(peer, HEADERS, END_HEADERS, stream, "\x88", 1);
  flood(peer, DATA, 0, stream, byte, 1);
}

/* The most memory that this process has had; 0 where nobody can tell, or what watches it takes some. */
static int64_t peak_kb(void) {
  char line[256];
  int64_t peak = 0;
  FILE *status = heap() > 0 ? fopen("/proc/self/status", "r") : NULL;
  if (status == NULL) return 0;
  while (fgets(line, sizeof line, status) != NULL) {
    if (sscanf(line, "VmHWM: %" SCNd64, &peak) == 1) break;
  }
  fclose(status);
  return peak;
}

/* One request, which is not tried again, fails without a deadline. */
static void had_enough(peer_fn fn, int kind, const char *name) {
  int64_t before = peak_kb();
  fails(fn, kind, name);
  CHECK_RANGE(0, 128 * 1024, peak_kb() - before);
}

/* It ends when its time is over. */
static void is_late(peer_fn fn) {
  visit *visit = visit_of(fn, "", 0);
  CHECK_OK(rf_options_set_deadline(visit->options, 700));
  rf_future *future = send_to(visit, "POST");
  ERROR_OF(RF_ERROR_TIMEOUT, future);
  rf_future_free(future);
  leave(visit);
}

static void floods_end(void) {
  had_enough(settings_flood, RF_ERROR_CONNECTION, "ENHANCE_YOUR_CALM");
  had_enough(ping_flood, RF_ERROR_CONNECTION, "ENHANCE_YOUR_CALM");
  had_enough(window_flood, RF_ERROR_CONNECTION, "ENHANCE_YOUR_CALM");
  had_enough(priority_flood, RF_ERROR_CONNECTION, "ENHANCE_YOUR_CALM");
  had_enough(unknown_frames, RF_ERROR_CONNECTION, "ENHANCE_YOUR_CALM");
  had_enough(early_hints, RF_ERROR_CONNECTION, "ENHANCE_YOUR_CALM");
  had_enough(bombs, RF_ERROR_CONNECTION, "ENHANCE_YOUR_CALM");
  had_enough(empty_data, RF_ERROR_CHUNKED_ENCODING, "ENHANCE_YOUR_CALM");
  is_late(endless_body);
}

/* What is no flood. */
static void ninety_nine_hints(peer *peer, uint32_t stream) {
  for (int i = 0; i < 99; i++) frame(peer, HEADERS, END_HEADERS, stream, "\x08\x03" "103", 5);
  answer(peer, stream);
}

/* Nothing, often, and then the body. */
static void signs_of_life(peer *peer, uint32_t stream) {
  frame(peer, HEADERS, END_HEADERS, stream, "\x88", 1);
  for (int i = 0; i < 150; i++) frame(peer, DATA, 0, stream, "", 0);
  frame(peer, DATA, END_STREAM, stream, "fine", 4);
}

static void what_is_no_flood_is_taken(void) {
  const peer_fn fns[] = {ninety_nine_hints, signs_of_life};
  for (size_t i = 0; i < sizeof fns / sizeof *fns; i++) {
    visit *visit = visit_of(fns[i], "", 0);
    for (int times = 0; times < 3; times++) is_fine(send_to(visit, "GET"));
    CHECK_INT(1, wire_connections(visit->server));
    leave(visit);
  }
}

/* A stream that its server ends has had its answer: it is no connection that has ended while nobody used it. */
static void reset_the_second(peer *peer, uint32_t stream) {
  if (peer->requests == 2) number(peer, RST_STREAM, stream, INTERNAL_ERROR);
  else answer(peer, stream);
}

static void what_is_reset_is_not_sent_again(void) {
  visit *visit = visit_of(reset_the_second, "", 0);
  is_fine(send_to(visit, "GET"));
  rf_future *future = send_to(visit, "GET");
  CHECK_HAS("INTERNAL_ERROR", rf_error_message(ERROR_OF(RF_ERROR_CONNECTION, future)));
  rf_future_free(future);
  is_fine(send_to(visit, "GET"));
  CHECK_INT(3, LOAD(visit->scenario.requests));
  CHECK_INT(1, wire_connections(visit->server));
  leave(visit);
}

/* ---- what is aborted ---- */

static void begin_body(peer *peer, uint32_t stream) {
  frame(peer, HEADERS, END_HEADERS, stream, "\x88", 1);
  frame(peer, DATA, 0, stream, "some", 4);
}

/* A stream that nobody reads is reset at once, not when somebody reads it. */
static void an_abort_resets_what_nobody_reads(void) {
  visit *visit = visit_of(begin_body, "", 0);
  CHECK_OK(rf_options_set_stream(visit->options, true));
  rf_future *future = send_to(visit, "GET");
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  CHECK_INT(0, LOAD(visit->scenario.resets));
  rf_future_abort(future);
  EVENTUALLY(LOAD(visit->scenario.resets) == 1);
  rf_future_free(future);
  leave(visit);
}

static int written;

static rf_status write_slowly(const uint8_t *data, size_t length, void *unused) {
  (void)data;
  (void)length;
  (void)unused;
  INCREMENT(written);
  sleep_ms(50);
  return RF_OK;
}

/* Even where more than it can take has been received. */
static void an_abort_and_a_deadline_end_a_slow_output(void) {
  rf_session *session = new_session();
  for (int late = 0; late < 2; late++) {
    rf_options *options = chosen();
    CHECK_OK(rf_options_set_output(options, write_slowly, NULL, NULL));
    if (late) CHECK_OK(rf_options_set_deadline(options, 500));
    __atomic_store_n(&written, 0, __ATOMIC_SEQ_CST);
    rf_future *future = get(session, https("/bytes/20000000"), options);
    EVENTUALLY(LOAD(written) > 0);
    if (!late) sleep_ms(200);
    if (!late) rf_future_abort(future);
    ERROR_OF(late ? RF_ERROR_TIMEOUT : RF_ERROR_ABORTED, future);
    /* 16 KB at a time: what has come by then would be many more. */
    CHECK_RANGE(1, 14 * patience(), LOAD(written));
    rf_future_free(future);
    rf_options_free(options);
  }
  rf_session_free(session);
}

/* ---- what is over stays over ---- */

/* Goes on with a stream that it has ended. */
static void behind_the_end(peer *peer, uint32_t stream) {
  answer(peer, stream);
  frame(peer, DATA, 0, stream, "more", 4);
  frame(peer, HEADERS, END_HEADERS, stream, "\x88", 1);
}

static void frames_behind_the_end_harm_no_other_request(void) {
  visit *visit = visit_of(behind_the_end, "", 0);
  for (int i = 0; i < 3; i++) is_fine(send_to(visit, "GET"));
  leave(visit);
}

static void nothing(peer *peer, uint32_t stream) {
  (void)peer;
  (void)stream;
}

/* Goes on with a stream that the client has reset. */
static void on_and_on(peer *peer, uint32_t stream) {
  if (peer->requests > 1) {
    answer(peer, stream);
    return;
  }
  frame(peer, HEADERS, END_HEADERS, stream, "\x88", 1);
  for (int i = 0; i < 2000; i++) frame(peer, DATA, 0, stream, "more", 4);
}

static void what_comes_for_one_that_was_reset_is_left_out(void) {
  visit *visit = visit_of(on_and_on, "", 0);
  CHECK_OK(rf_options_set_stream(visit->options, true));
  rf_future *future = send_to(visit, "GET");
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  is_fine(send_to(visit, "GET"));
  CHECK_INT(1, wire_connections(visit->server));
  leave(visit);
}

/* ---- no more than the server wants ---- */

static int overbooked, is_held;

/* Another request while this one is not answered is one too many. */
static void one_at_a_time(peer *peer, uint32_t stream) {
  unsigned char ahead[4096];
  sleep_ms(5);
  ssize_t have = recv(peer->wire->fd, ahead, sizeof ahead, MSG_PEEK | MSG_DONTWAIT);
  for (ssize_t at = 0; at + 9 <= have;) {
    if (ahead[at + 3] == HEADERS) INCREMENT(overbooked);
    at += 9 + (ahead[at] << 16 | ahead[at + 1] << 8 | ahead[at + 2]);
  }
  answer(peer, stream);
}

static void the_rest_waits_its_turn(void) {
  enum { MANY = 12 };
  rf_future *futures[MANY];
  visit *visit = visit_of(one_at_a_time, "\0\3\0\0\0\1", 6);
  for (int i = 0; i < MANY; i++) futures[i] = send_to(visit, "GET");
  for (int i = 0; i < MANY; i++) is_fine(futures[i]);
  CHECK_INT(0, LOAD(overbooked));
  leave(visit);
}

/* The first request of the first connection is answered when the test wants that. */
static void hold(peer *peer, uint32_t stream) {
  if (peer->wire->number == 0 && peer->requests == 1) EVENTUALLY(!LOAD(is_held));
  answer(peer, stream);
}

/* That is no read time-out. */
static void who_waits_for_long_goes_by_another_connection(void) {
  enum { READ_MS = 700 };
  visit *visit = visit_of(hold, "\0\3\0\0\0\1", 6);
  __atomic_store_n(&is_held, 1, __ATOMIC_SEQ_CST);
  rf_future *first = send_to(visit, "GET");
  EVENTUALLY(LOAD(visit->scenario.requests) == 1);
  CHECK_OK(rf_options_set_timeout(visit->options, RF_FOREVER, READ_MS));
  /* A slow machine may need longer than that once it has been sent. A wait that counted would end each time. */
  rf_retry *retry = NULL;
  CHECK_OK(rf_retry_new(10, &retry));
  CHECK_OK(rf_options_set_retry(visit->options, retry));
  rf_retry_free(retry);
  int64_t before = now_ms();
  is_fine(send_to(visit, "GET"));
  CHECK(now_ms() - before > READ_MS);
  CHECK(wire_connections(visit->server) >= 2);
  /* What is aborted while it waits leaves the line. */
  rf_future *second = send_to(visit, "GET");
  EVENTUALLY(rf_future_running(second));
  rf_future_abort(second);
  ERROR_OF(RF_ERROR_ABORTED, second);
  rf_future_free(second);
  __atomic_store_n(&is_held, 0, __ATOMIC_SEQ_CST);
  is_fine(first);
  leave(visit);
}

/* So does who came when there was no connection yet, and waited for the first one. */
static void who_waited_for_a_connection_waits_for_room_on_it(void) {
  visit *visit = visit_of(hold, "\0\3\0\0\0\1", 6);
  __atomic_store_n(&is_held, 1, __ATOMIC_SEQ_CST);
  rf_future *futures[3];
  for (int i = 0; i < 3; i++) futures[i] = send_to(visit, "GET");
  EVENTUALLY(rf_future_done(futures[0]) + rf_future_done(futures[1]) + rf_future_done(futures[2]) == 2);
  CHECK(wire_connections(visit->server) >= 2);
  __atomic_store_n(&is_held, 0, __ATOMIC_SEQ_CST);
  for (int i = 0; i < 3; i++) is_fine(futures[i]);
  leave(visit);
}

/* ---- how much is on its way ---- */

static void flow(peer *peer, uint32_t stream) {
  frame(peer, HEADERS, END_HEADERS, stream, "\x88", 1);
  static const char piece[16384];
  for (int i = 0; i < 40; i++) frame(peer, DATA, 0, stream, piece, sizeof piece);
  peer->flowing = stream;
}

/* A body that is read as fast as it comes gets windows that fill a long way; its end comes when they are wide enough. */
static void who_keeps_up_gets_more_at_a_time(void) {
  visit *visit = visit_of(flow, "", 0);
  rf_future *future = send_to(visit, "GET");
  size_t length = 0;
  CHECK(rf_response_content(RESPONSE(future), &length) != NULL);
  CHECK(length > 1 << 20);
  CHECK_INT(FAR, LOAD(visit->scenario.window));
  rf_future_free(future);
  leave(visit);
}

/* ---- whether anybody is there ---- */

static void hold_back(peer *peer, uint32_t stream) { peer->held = stream; }

static void who_does_not_answer_a_ping_is_gone(void) {
  if (getenv("RF_LIBRARY") != NULL && getenv("RF_SANITIZER") == NULL) return; /* only a build for tests is in a hurry */
  setenv("RF_TEST_PING_MS", "400", 1);
  visit *visit = visit_of(nothing, "", 0);
  rf_future *future = send_to(visit, "POST");
  CHECK_HAS("has not answered a PING", rf_error_message(ERROR_OF(RF_ERROR_CONNECTION, future)));
  rf_future_free(future);
  CHECK_INT(1, LOAD(visit->scenario.pings));
  leave(visit);
  setenv("RF_TEST_PING_MS", "3000", 1);
  visit = visit_of(hold_back, "", 0);
  visit->scenario.answers_pings = true;
  is_fine(send_to(visit, "POST"));
  CHECK_INT(1, LOAD(visit->scenario.pings));
  CHECK_INT(1, wire_connections(visit->server));
  leave(visit);
  unsetenv("RF_TEST_PING_MS");
}

/* ---- Expect ---- */

static void go_on(peer *peer, uint32_t stream) { frame(peer, HEADERS, END_HEADERS, stream, "\x08\x03" "100", 5); }
/* 413, and it is over. */
static void refuse(peer *peer, uint32_t stream) {
  frame(peer, HEADERS, END_HEADERS | END_STREAM, stream, "\x08\x03" "413", 5);
}

static void a_body_waits_until_it_is_wanted(void) {
  static char body[50000];
  struct { peer_fn fn; int64_t wait_ms; int status; bool comes; } const rows[] = {
    {go_on, LONG_MS, 200, true},
    {nothing, 100, 200, true}, /* it says nothing for too long */
    {refuse, LONG_MS, 413, false},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    visit *visit = visit_of(rows[i].fn, "", 0);
    visit->scenario.at_end = answer;
    CHECK_OK(rf_options_set_expect_continue(visit->options, rows[i].wait_ms));
    CHECK_OK(rf_options_set_body(visit->options, body, sizeof body));
    rf_future *future = send_to(visit, "POST");
    CHECK_INT(rows[i].status, rf_response_status_code(RESPONSE(future)));
    rf_future_free(future);
    CHECK_INT(rows[i].comes, LOAD(visit->scenario.pieces) > 0);
    leave(visit);
  }
}

/* ---- other processes ---- */

static void a_child_has_connections_of_its_own(void) {
  if (getenv("RF_TEST_EMULATED") != NULL) return; /* an emulator cannot fork a process with threads */
  rf_session *session = new_session();
  rf_options *known = by(RF_HTTP_2_PRIOR_KNOWLEDGE), *open = by(RF_HTTP_2_PRIOR_KNOWLEDGE);
  const char *base = text("http://127.0.0.1:%s", env("RF_TEST_HTTP_PORT"));
  CHECK_OK(rf_options_set_stream(open, true));
  rf_future *future = get(session, text("%s/bytes/20000000", base), open);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  const char *id = connection_by(session, text("%s/get", base), known);
  fflush(NULL);
  /* A thread that has just given an answer may hold the connection for a moment, and in the child for ever. */
  for (int how = 0, tries = 0; how != SIGKILL; tries++) {
    CHECK(tries < 100);
    sleep_ms(10);
    pid_t child = fork();
    if (child == 0) {
      int before = descriptors();
      rf_future_free(future);
      rf_session_free(session);
      bool is_closed = before == 0 || descriptors() < before; /* its copy of the connection */
      session = new_session();
      CHECK(strcmp(id, connection_by(session, text("%s/get", base), known)) != 0);
      rf_session_free(session);
      kill(getpid(), is_closed ? SIGKILL : SIGTERM); /* nobody counts what a child leaves behind of its parent's */
    }
    int status = 0;
    CHECK_INT(child, waitpid(child, &status, 0));
    how = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    CHECK(how == SIGKILL || how == SIGTERM);
  }
  /* Which has not harmed the one of its parent. */
  CHECK_STR(id, connection_by(session, text("%s/get", base), known));
  size_t size = 0;
  CHECK(rf_response_content(RESPONSE(future), &size) != NULL);
  CHECK_INT(20000000, size);
  rf_future_free(future);
  rf_options_free(open);
  rf_options_free(known);
  rf_session_free(session);
}

static void worker_processes_speak_it(void) {
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_processes(1, &executor));
  rf_session *session = session_on(executor);
  rf_executor_free(executor);
  rf_options *options = chosen();
  const char *id = connection_by(session, https("/get"), options);
  CHECK_STR(id, connection_by(session, https("/get"), options));
  rf_options_free(options);
  rf_session_free(session);
}

int main(void) {
  versions();
  an_old_server_is_found_out_at_once();
  a_server_that_wants_http1_gets_it();
  a_server_without_http2_is_asked_once();
  a_request_is_shown_as_it_was_sent();
  many_share_one_connection();
  one_that_ends_leaves_the_others_alone();
  bodies();
  what_is_refused_is_sent_again();
  who_goes_away_is_asked_over_another_connection();
  what_breaks_the_rules_has_a_name();
  floods_end();
  what_is_no_flood_is_taken();
  what_is_reset_is_not_sent_again();
  an_abort_resets_what_nobody_reads();
  an_abort_and_a_deadline_end_a_slow_output();
  frames_behind_the_end_harm_no_other_request();
  what_comes_for_one_that_was_reset_is_left_out();
  the_rest_waits_its_turn();
  who_waits_for_long_goes_by_another_connection();
  who_waited_for_a_connection_waits_for_room_on_it();
  who_keeps_up_gets_more_at_a_time();
  who_does_not_answer_a_ping_is_gone();
  a_body_waits_until_it_is_wanted();
  a_child_has_connections_of_its_own();
  worker_processes_speak_it();
  return finish();
}
