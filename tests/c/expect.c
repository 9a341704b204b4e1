/* rf_options_set_expect_continue: a body is held back until the server wants it, or has said nothing for too long, and is
   not sent at all where the server has said something else. */
#include "elsewhere.h"
#include "wire.h"

#include <errno.h>

enum { LARGE = 1000000 };

static rf_session *session;

/* What a server says to a head, and what comes then. */
typedef struct script {
  const char *first;   /* to a head with Expect; NULL: nothing */
  const char *answer;  /* once the body is there, and to a head without Expect */
  int expected, plain; /* heads */
  int early;           /* bodies that came before they were asked for */
  int bodies;          /* bodies that came */
  size_t length;       /* of the last, framing included */
  int closed;          /* after something else than 100 the client has closed the connection, without a body */
  int together;        /* so many heads have to be there before anything is said */
} script;

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* Reads what belongs to the head that was read. */
static bool read_body(wire_connection *connection) {
  char value[64];
  size_t head = connection->consumed;
  if (wire_header(connection, "Content-Length", value, sizeof value) != NULL) {
    size_t length = (size_t)strtoul(value, NULL, 10);
    while (connection->length < head + length) {
      if (!wire_more(connection)) return false;
    }
    connection->body_length = length;
  } else if (wire_header(connection, "Transfer-Encoding", value, sizeof value) != NULL) {
    char *end;
    while ((end = strstr(connection->request + head, "0\r\n\r\n")) == NULL) {
      if (!wire_more(connection)) return false;
    }
    connection->body_length = (size_t)(end + 5 - (connection->request + head));
  }
  connection->consumed = head + connection->body_length;
  return true;
}

static void serve(wire_connection *connection, void *user_data) {
  script *script = user_data;
  char value[64];
  while (wire_head(connection)) {
    bool expects = wire_header(connection, "Expect", value, sizeof value) != NULL;
    const char *first = LOAD(script->first); /* a test may have another in mind as soon as it has the answer */
    if (expects) {
      CHECK_STR("100-continue", value);
      INCREMENT(script->expected);
      if (script->together > 0) EVENTUALLY(LOAD(script->expected) >= script->together);
      if (first != NULL) {
        sleep_ms(50);
        char byte;
        bool is_silent = recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
        if (!is_silent || connection->length > connection->consumed) INCREMENT(script->early);
        wire_say(connection, first);
        if (strstr(first, " 100 ") == NULL) {
          if (recv(connection->fd, &byte, 1, 0) == 0) INCREMENT(script->closed);
          return;
        }
      }
    } else {
      INCREMENT(script->plain);
    }
    if (!read_body(connection)) return;
    __atomic_store_n(&script->length, connection->body_length, __ATOMIC_SEQ_CST);
    INCREMENT(script->bodies);
    wire_say(connection, LOAD(script->answer));
  }
}

static script usual(const char *first) {
  script made;
  memset(&made, 0, sizeof made);
  made.first = first, made.answer = OK_ANSWER;
  return made;
}

static rf_options *with_body(size_t length, int64_t wait_ms) {
  static char body[LARGE];
  memset(body, 'b', sizeof body);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_body(options, body, length));
  CHECK_OK(rf_options_set_expect_continue(options, wait_ms));
  return options;
}

/* The status of the response, or the error's kind, less than 0. Frees the options. */
static int post(rf_session *by, wire *server, rf_options *options) {
  rf_future *future = request(by, "POST", wire_url(server, "/"), options);
  const rf_error *error = NULL;
  const rf_response *response = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  rf_future_result(future, 0, &response);
  int outcome = error != NULL ? -rf_error_kind_of(error) : rf_response_status_code(response);
  if (response != NULL) CHECK_INT(0, rf_response_history_count(response));
  rf_future_free(future);
  rf_options_free(options);
  return outcome;
}

#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"

typedef struct source {
  size_t left;
  int reads;
} source;

static int64_t read_source(uint8_t *buffer, size_t capacity, void *user_data) {
  source *source = user_data;
  size_t count = source->left < capacity ? source->left : capacity;
  memset(buffer, 'r', count);
  source->left -= count;
  source->reads++;
  return (int64_t)count;
}

static void wanted(rf_session *by, bool is_here) {
  static const char *const said[] = {CONTINUE, "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" CONTINUE};
  for (size_t i = 0; i < 2; i++) {
    script script = usual(said[i]);
    wire *server = wire_start(serve, &script);
    static const size_t lengths[] = {1, 5000, LARGE};
    for (size_t j = 0; j < 3; j++) {
      CHECK_INT(200, post(by, server, with_body(lengths[j], LONG_MS)));
      CHECK_INT(lengths[j], LOAD(script.length));
    }
    if (is_here) {
      source source = {1000, 0};
      rf_options *options = new_options();
      CHECK_OK(rf_options_set_expect_continue(options, LONG_MS));
      CHECK_OK(rf_options_set_body_reader(options, read_source, NULL, -1, &source, NULL));
      CHECK_INT(200, post(by, server, options));
      CHECK(LOAD(script.length) > 1000);
    }
    CHECK_INT(is_here ? 4 : 3, LOAD(script.expected));
    CHECK_INT(0, LOAD(script.early));
    CHECK_INT(0, LOAD(script.plain));
    /* The connection goes on. */
    if (by == session) CHECK_INT(1, wire_connections(server));
    wire_stop(server);
  }
}

static void silent(void) {
  script script = usual(NULL);
  wire *server = wire_start(serve, &script);
  int64_t start = now_ms();
  CHECK_INT(200, post(session, server, with_body(5000, 300)));
  CHECK_RANGE(295, LONG_MS, now_ms() - start);
  CHECK_INT(5000, LOAD(script.length));
  /* The read time-out is no shorter wait. */
  rf_options *options = with_body(5000, 500);
  CHECK_OK(rf_options_set_timeout(options, LONG_MS, 200 * patience()));
  start = now_ms();
  CHECK_INT(200, post(session, server, options));
  CHECK_RANGE(495, LONG_MS, now_ms() - start);
  CHECK_INT(2, LOAD(script.bodies));
  wire_stop(server);
}

static void hang_up(wire_connection *connection, void *unused) {
  (void)unused;
  wire_head(connection);
}

static void unwanted(void) {
  static const struct {
    int status;
    const char *said;
  } cases[] = {
      {403, "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"},
      {200, OK_ANSWER},
      {500, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (int large = 0; large < 2; large++) {
      script script = usual(cases[i].said);
      wire *server = wire_start(serve, &script);
      source source = {1000, 0};
      CHECK_INT(cases[i].status, post(session, server, with_body(large ? LARGE : 10, LONG_MS)));
      EVENTUALLY(wire_open(server) == 0);
      CHECK_INT(1, LOAD(script.closed));
      rf_options *options = with_body(1, LONG_MS);
      CHECK_OK(rf_options_set_body_reader(options, read_source, NULL, 1000, &source, NULL));
      CHECK_INT(cases[i].status, post(session, server, options));
      CHECK_INT(0, source.reads);
      CHECK_INT(2, wire_connections(server));
      CHECK_INT(0, LOAD(script.bodies) + LOAD(script.early));
      wire_stop(server);
    }
  }
  /* It hangs up. */
  wire *server = wire_start(hang_up, NULL);
  CHECK_INT(-RF_ERROR_CONNECTION, post(session, server, with_body(10, LONG_MS)));
  wire_stop(server);
}

static rf_status count(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response;
  INCREMENT(*(int *)user_data);
  return RF_OK;
}

#define FAILED_417 "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"

static void failed(rf_session *by, bool is_here) {
  script script = usual(FAILED_417);
  wire *server = wire_start(serve, &script);
  int seen = 0;
  source source = {1000, 0};
  rf_options *options = with_body(10, LONG_MS);
  /* One that cannot be rewound: nothing was taken from it. */
  if (is_here) CHECK_OK(rf_options_set_body_reader(options, read_source, NULL, 1000, &source, NULL));
  if (is_here) CHECK_OK(rf_options_add_hook(options, count, &seen, NULL));
  CHECK_OK(rf_options_set_repeatable(options, false));
  CHECK_INT(200, post(by, server, options));
  CHECK_INT(1, LOAD(script.expected));
  CHECK_INT(1, LOAD(script.plain));
  CHECK_INT(is_here ? 1000 : 10, LOAD(script.length));
  CHECK_INT(is_here ? 1 : 0, seen);
  EVENTUALLY(LOAD(script.closed) == 1);
  /* Again: it is the response. */
  __atomic_store_n(&script.answer, FAILED_417, __ATOMIC_SEQ_CST);
  CHECK_INT(417, post(by, server, with_body(10, LONG_MS)));
  CHECK_INT(2, LOAD(script.expected));
  CHECK_INT(2, LOAD(script.plain));
  /* After the body: it is sent again, if it can be. */
  __atomic_store_n(&script.first, NULL, __ATOMIC_SEQ_CST);
  CHECK_INT(417, post(by, server, with_body(10, 50)));
  CHECK_INT(3, LOAD(script.expected));
  CHECK_INT(3, LOAD(script.plain));
  wire_stop(server);
}

/* Where it leads to, and who has to say who asks: all of that comes before the body. */
typedef struct way {
  int refused, bodies, early;
  size_t length;
} way;

static void lead(wire_connection *connection, void *user_data) {
  way *way = user_data;
  char value[256], byte;
  while (wire_head(connection)) {
    CHECK_STR("100-continue", wire_header(connection, "Expect", value, sizeof value));
    const char *answer = NULL;
    if (wire_asks(connection, "POST /from ")) {
      answer = "HTTP/1.1 307 Elsewhere\r\nLocation: /to\r\nContent-Length: 0\r\n\r\n";
    } else if (wire_header(connection, "Authorization", value, sizeof value) == NULL) {
      answer = "HTTP/1.1 401 Who\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\nContent-Length: 0\r\n\r\n";
    }
    if (answer != NULL) {
      INCREMENT(way->refused);
      wire_say(connection, answer);
      if (recv(connection->fd, &byte, 1, 0) != 0) INCREMENT(way->early);
      return;
    }
    wire_say(connection, "HTTP/1.1 100 Continue\r\n\r\n");
    if (!read_body(connection)) return;
    way->length = connection->body_length;
    INCREMENT(way->bodies);
    wire_say(connection, OK_ANSWER);
  }
}

static void led(void) {
  for (int reads = 0; reads < 2; reads++) {
    way way = {0, 0, 0, 0};
    source source = {1000, 0};
    wire *server = wire_start(lead, &way);
    rf_options *options = with_body(1000, LONG_MS);
    /* One that cannot be rewound is still at its beginning. */
    if (reads) CHECK_OK(rf_options_set_body_reader(options, read_source, NULL, 1000, &source, NULL));
    CHECK_OK(rf_options_set_auth_digest(options, "user", "password"));
    rf_future *future = request(session, "POST", wire_url(server, "/from"), options);
    CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
    CHECK_INT(2, way.refused);
    CHECK_INT(0, way.early);
    CHECK_INT(1, way.bodies);
    CHECK_INT(1000, way.length);
    rf_future_free(future);
    rf_options_free(options);
    wire_stop(server);
  }
}

static void ends(void) {
  script script = usual(NULL);
  wire *server = wire_start(serve, &script);
  rf_options *options = with_body(10, LONG_MS);
  CHECK_OK(rf_options_set_deadline(options, 300));
  int64_t start = now_ms();
  CHECK_INT(-RF_ERROR_TIMEOUT, post(session, server, options));
  CHECK_RANGE(295, 300 + 2000 * patience(), now_ms() - start);
  options = with_body(10, LONG_MS);
  rf_future *future = request(session, "POST", wire_url(server, "/"), options);
  EVENTUALLY(LOAD(script.expected) == 2);
  start = now_ms();
  CHECK(rf_future_abort(future));
  ERROR_OF(RF_ERROR_ABORTED, future);
  CHECK_RANGE(0, 2000 * patience(), now_ms() - start);
  rf_future_free(future);
  rf_session *own = new_session_workers(1);
  future = request(own, "POST", wire_url(server, "/"), options);
  EVENTUALLY(LOAD(script.expected) == 3);
  start = now_ms();
  CHECK_OK(rf_session_close(own, RF_CLOSE_ABORT));
  ERROR_OF(RF_ERROR_ABORTED, future);
  CHECK_RANGE(0, 2000 * patience(), now_ms() - start);
  rf_future_free(future);
  rf_session_free(own);
  rf_options_free(options);
  CHECK_INT(0, LOAD(script.bodies));
  wire_stop(server);
}

/* Who does not ask. */
static rf_status take_out(rf_prepared *prepared, void *unused) {
  (void)unused;
  CHECK_STR("100-continue", rf_prepared_header(prepared, "Expect"));
  return rf_prepared_set_header(prepared, "Expect", NULL);
}

static void does_not_ask(void) {
  script script = usual(NULL);
  wire *server = wire_start(serve, &script);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_expect_continue(options, LONG_MS));
  CHECK_INT(200, post(session, server, options));
  rf_session *own = new_session();
  rf_options *defaults = new_options();
  CHECK_OK(rf_options_set_expect_continue(defaults, LONG_MS));
  CHECK_OK(rf_session_update(own, defaults));
  rf_options_free(defaults);
  CHECK_INT(200, post(own, server, with_body(10, 0)));
  options = with_body(10, LONG_MS);
  CHECK_OK(rf_options_add_request_hook(options, take_out, NULL, NULL));
  CHECK_INT(200, post(own, server, options));
  CHECK_INT(0, LOAD(script.expected));
  CHECK_INT(3, LOAD(script.plain));
  /* By hand: it goes out as any header. */
  options = with_body(10, LONG_MS);
  CHECK_OK(rf_options_set_header(options, "expect", "100-continue"));
  CHECK_INT(200, post(own, server, options));
  CHECK_INT(1, LOAD(script.expected));
  __atomic_store_n(&script.first, CONTINUE, __ATOMIC_SEQ_CST);
  options = new_options();
  CHECK_OK(rf_options_set_body(options, "body", 4));
  CHECK_INT(200, post(own, server, options));
  CHECK_INT(2, LOAD(script.expected));
  CHECK_INT(0, LOAD(script.early));
  rf_session_free(own);
  wire_stop(server);
}

/* All of them wait at the same time, on one thread. */
static void in_fibers(void) {
  enum { MANY = 32 };
  script script = usual(CONTINUE);
  script.together = MANY;
  wire *server = wire_start(serve, &script);
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_events(MANY, 1, &executor));
  rf_session *events = session_on(executor);
  rf_options *options = with_body(5000, LONG_MS);
  rf_future *futures[MANY];
  for (int i = 0; i < MANY; i++) futures[i] = request(events, "POST", wire_url(server, "/"), options);
  for (int i = 0; i < MANY; i++) {
    CHECK_INT(200, rf_response_status_code(RESPONSE(futures[i])));
    rf_future_free(futures[i]);
  }
  CHECK_INT(MANY, LOAD(script.bodies));
  CHECK_INT(0, LOAD(script.early));
  rf_options_free(options);
  rf_session_free(events);
  rf_executor_free(executor);
  wire_stop(server);
}

static void over_tls(void) {
  rf_options *options = with_body(LARGE, LONG_MS);
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  CHECK_OK(rf_options_set_http_version(options, RF_HTTP_1_1)); /* the server asks for no body by HTTP/2 */
  for (int i = 0; i < 2; i++) {
    rf_future *future = request(session, "POST", text("%s/upload", env("RF_TEST_HTTPS")), options);
    CHECK_HAS("\"length\":1000000", rf_response_text(RESPONSE(future), NULL));
    CHECK_STR("100-continue", rf_response_request_header(RESPONSE(future), "Expect"));
    rf_future_free(future);
  }
  rf_options_free(options);
}

int main(void) {
  places places = new_places();
  session = places.at[HERE];
  wanted(session, true);
  wanted(places.at[BY_BYTES], false);
  wanted(places.at[IN_PROCESSES], false);
  silent();
  unwanted();
  failed(session, true);
  failed(places.at[BY_BYTES], false);
  failed(places.at[IN_PROCESSES], false);
  led();
  ends();
  does_not_ask();
  in_fibers();
  over_tls();
  end_places(places);
  return finish();
}
