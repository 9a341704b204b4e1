/* The connection pool: what is kept, how much of it, and that a kept connection which has died is never seen. */
#include "wire.h"

static rf_session *session_with(size_t workers, size_t hosts, size_t size, bool block) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_workers(config, workers));
  if (hosts > 0) CHECK_OK(rf_config_set_pool_connections(config, hosts));
  if (size > 0) CHECK_OK(rf_config_set_pool_maxsize(config, size));
  CHECK_OK(rf_config_set_pool_block(config, block));
  return session_of(config);
}

static void fetch(rf_session *session, const char *url) {
  rf_future *future = get(session, url, NULL);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
}

/* Answers each request when so many are waiting: all at once, on a connection each. */
typedef struct meeting {
  pthread_mutex_t lock;
  pthread_cond_t change;
  int wanted, waiting, round;
} meeting;

static void meet(wire_connection *connection, void *user_data) {
  meeting *all = user_data;
  while (wire_next(connection)) {
    pthread_mutex_lock(&all->lock);
    int round = all->round;
    if (++all->waiting == all->wanted) {
      all->waiting = 0;
      all->round++;
      pthread_cond_broadcast(&all->change);
    }
    while (round == all->round) pthread_cond_wait(&all->change, &all->lock);
    pthread_mutex_unlock(&all->lock);
    wire_answer(connection, "200 OK", "", "met");
  }
}

static void meet_at(meeting *all, int wanted) {
  memset(all, 0, sizeof *all);
  pthread_mutex_init(&all->lock, NULL);
  pthread_cond_init(&all->change, NULL);
  all->wanted = wanted;
}

static void fetch_at_once(rf_session *session, const char *url, int count) {
  rf_future *futures[64];
  CHECK(count <= 64);
  for (int i = 0; i < count; i++) futures[i] = get(session, url, NULL);
  for (int i = 0; i < count; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
}

static void kept_alive(void) {
  wire *server = wire_start(wire_keep, NULL);
  rf_session *session = new_session_workers(1);
  for (int i = 0; i < 20; i++) fetch(session, wire_url(server, "/"));
  CHECK_INT(1, wire_connections(server));
  CHECK_INT(20, wire_requests(server));
  rf_session_free(session);
  EVENTUALLY(wire_open(server) == 0); /* nothing is left open */
  wire_stop(server);
}

/* Ten at once open ten connections; as many as pool_maxsize are kept. */
static void idle_connections_are_limited(void) {
  static const size_t sizes[] = {1, 3, 10};
  for (size_t i = 0; i < 3; i++) {
    meeting all;
    meet_at(&all, 10);
    wire *server = wire_start(meet, &all);
    rf_session *session = session_with(10, 0, sizes[i], false);
    fetch_at_once(session, wire_url(server, "/"), 10);
    CHECK_INT(10, wire_connections(server));
    EVENTUALLY(wire_open(server) == (int)sizes[i]);
    rf_session_free(session);
    EVENTUALLY(wire_open(server) == 0);
    wire_stop(server);
  }
}

/* Both default to 10, or with more workers than that to their number. */
static void defaults(void) {
  static const size_t workers[] = {8, 16};
  for (size_t i = 0; i < 2; i++) {
    meeting all;
    meet_at(&all, (int)workers[i]);
    wire *server = wire_start(meet, &all);
    rf_session *session = new_session_workers(workers[i]);
    fetch_at_once(session, wire_url(server, "/"), (int)workers[i]);
    fetch_at_once(session, wire_url(server, "/"), (int)workers[i]);
    CHECK_INT(workers[i], wire_connections(server));
    CHECK_INT(workers[i], wire_open(server));
    rf_session_free(session);
    wire_stop(server);
  }
  /* A shared executor counts like a session's own. */
  meeting all;
  meet_at(&all, 16);
  wire *server = wire_start(meet, &all);
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_threads(16, &executor));
  rf_session *session = session_on(executor);
  fetch_at_once(session, wire_url(server, "/"), 16);
  fetch_at_once(session, wire_url(server, "/"), 16);
  CHECK_INT(16, wire_connections(server));
  CHECK_INT(16, wire_open(server));
  rf_session_free(session);
  rf_executor_free(executor);
  wire_stop(server);
}

/* With pool_block a request waits for a connection: never more than pool_maxsize at once. */
static void slow_answers(wire_connection *connection, void *unused) {
  (void)unused;
  while (wire_next(connection)) {
    sleep_ms(20);
    wire_answer(connection, "200 OK", "", "slow");
  }
}

static void blocking(void) {
  wire *server = wire_start(slow_answers, NULL);
  rf_session *session = session_with(8, 0, 2, true);
  fetch_at_once(session, wire_url(server, "/"), 30);
  CHECK_INT(2, wire_connections(server));
  CHECK_INT(30, wire_requests(server));

  /* One that waits for a connection can be aborted, and its deadline holds. */
  rf_session_free(session);
  wire_stop(server);
  session = session_with(2, 0, 1, true);
  const char *gate = unique("block");
  rf_future *slow = get(session, gate_url(gate), NULL);
  gate_wait(gate, 1);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 200));
  rf_future *waits = get(session, http("/hello"), options);
  const rf_error *error = NULL;
  CHECK_OK(rf_future_exception(waits, LONG_MS, &error));
  CHECK(error != NULL);
  rf_future_free(waits);
  rf_options_free(options);
  waits = get(session, http("/hello"), NULL);
  sleep_ms(100);
  CHECK(!rf_future_running(waits)); /* pending until it has its place */
  CHECK(rf_future_abort(waits));
  ERROR_OF(RF_ERROR_CANCELLED, waits);
  rf_future_free(waits);
  gate_open(gate);
  RESPONSE(slow);
  rf_future_free(slow);
  fetch(session, http("/hello"));
  rf_session_free(session);
}

/* So many hosts are remembered; the one used longest ago goes first. */
static void hosts_are_limited(void) {
  wire *servers[3];
  rf_session *session = session_with(1, 2, 0, false);
  for (int i = 0; i < 3; i++) servers[i] = wire_start(wire_keep, NULL);
  fetch(session, wire_url(servers[0], "/"));
  fetch(session, wire_url(servers[1], "/"));
  fetch(session, wire_url(servers[0], "/"));
  fetch(session, wire_url(servers[2], "/")); /* server 1 is forgotten */
  EVENTUALLY(wire_open(servers[1]) == 0);
  fetch(session, wire_url(servers[0], "/"));
  CHECK_INT(1, wire_connections(servers[0]));
  CHECK_INT(1, wire_connections(servers[2]));
  fetch(session, wire_url(servers[1], "/"));
  CHECK_INT(2, wire_connections(servers[1]));
  rf_session_free(session);
  for (int i = 0; i < 3; i++) wire_stop(servers[i]);
}

/* So many hosts are kept after a burst to many more, and in each there is room for as many requests as before. */
static void hosts_are_limited_after_a_burst(void) {
  for (int block = 0; block < 2; block++) {
    meeting all;
    meet_at(&all, 40);
    wire *server = wire_start(meet, &all);
    rf_session *session = session_with(40, 2, 1, block == 1);
    rf_options *options = new_options();
    rf_future *futures[40];
    for (int i = 0; i < 40; i++) {
      CHECK_OK(rf_options_set_resolve(options, text("host-%d.test", i), (uint16_t)server->port, "127.0.0.1"));
    }
    for (int round = 0; round < 2; round++) {
      for (int i = 0; i < 40; i++) {
        futures[i] = get(session, text("http://host-%d.test:%d/", i, server->port), options);
      }
      for (int i = 0; i < 40; i++) {
        RESPONSE(futures[i]);
        rf_future_free(futures[i]);
      }
      EVENTUALLY(wire_open(server) == 2);
    }
    rf_options_free(options);
    rf_session_free(session);
    EVENTUALLY(wire_open(server) == 0);
    wire_stop(server);
  }
}

/* A host that was over the limit comes back with its count: never more than pool_maxsize connections at once. */
typedef struct most {
  pthread_mutex_t lock;
  int now[4], most;
} most;

static void count_at_once(wire_connection *connection, void *user_data) {
  most *seen = user_data;
  while (wire_next(connection)) {
    char host[64] = "";
    CHECK(wire_header(connection, "Host", host, sizeof host) != NULL);
    int *now = &seen->now[host[5] - '0'];
    pthread_mutex_lock(&seen->lock);
    if (++*now > seen->most) seen->most = *now;
    pthread_mutex_unlock(&seen->lock);
    sleep_ms(5);
    pthread_mutex_lock(&seen->lock);
    --*now;
    pthread_mutex_unlock(&seen->lock);
    wire_answer(connection, "200 OK", "", "counted");
  }
}

static void blocking_counts_hosts_over_the_limit(void) {
  most seen;
  memset(&seen, 0, sizeof seen);
  pthread_mutex_init(&seen.lock, NULL);
  wire *server = wire_start(count_at_once, &seen);
  rf_session *session = session_with(16, 1, 2, true);
  rf_options *options = new_options();
  rf_future *futures[120];
  for (int i = 0; i < 4; i++) {
    CHECK_OK(rf_options_set_resolve(options, text("host-%d.test", i), (uint16_t)server->port, "127.0.0.1"));
  }
  for (int i = 0; i < 120; i++) {
    futures[i] = get(session, text("http://host-%d.test:%d/", i % 4, server->port), options);
  }
  for (int i = 0; i < 120; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  CHECK_INT(2, seen.most);
  EVENTUALLY(wire_open(server) <= 2);
  rf_options_free(options);
  rf_session_free(session);
  wire_stop(server);
}

/* Answers once, and closes: at once, in a moment, or when the next request has come. */
static void close_at_once(wire_connection *connection, void *unused) {
  (void)unused;
  if (wire_next(connection)) wire_answer(connection, "200 OK", "", "once");
}
static void close_soon(wire_connection *connection, void *unused) {
  (void)unused;
  if (wire_next(connection)) wire_answer(connection, "200 OK", "", "once");
  sleep_ms(20);
}
static void close_at_the_second(wire_connection *connection, void *unused) {
  (void)unused;
  if (wire_next(connection)) wire_answer(connection, "200 OK", "", "once");
  wire_next(connection);
}

/* What is repeatable is sent again, once, and nobody sees it. What is not fails when the connection ended in the moment of
   its use, unless nothing of it was written or the end was noticed before; an Idempotency-Key makes it repeatable. */
static void stale_connections(void) {
  wire_fn const all[] = {close_at_once, close_soon, close_at_the_second};
  static const char *const methods[] = {"GET", "POST", "PUT", "DELETE", "PATCH"};
  for (size_t i = 0; i < 3; i++) {
    wire *server = wire_start(all[i], NULL);
    rf_session *session = new_session_workers(1);
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_body(options, "can be sent again", 17));
    CHECK_OK(rf_options_set_header(options, "idempotency-key", "1"));
    for (int round = 0; round < 40; round++) {
      const char *method = methods[round % 5];
      rf_future *future = request(session, method, wire_url(server, "/"), round % 5 == 0 ? NULL : options);
      CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
      rf_future_free(future);
      if (round % 4 == 0) sleep_ms(round % 30);
    }
    rf_options_free(options);
    rf_session_free(session);
    wire_stop(server);
  }
  static const char *const once[] = {"POST", "PATCH"};
  for (size_t i = 0; i < 2; i++) {
    wire *server = wire_start(close_at_the_second, NULL);
    rf_session *session = new_session_workers(1);
    rf_future *future = get(session, wire_url(server, "/"), NULL);
    RESPONSE(future);
    rf_future_free(future);
    future = request(session, once[i], wire_url(server, "/"), NULL);
    CHECK_HAS("without a response", rf_error_message(ERROR_OF(RF_ERROR_CONNECTION, future)));
    rf_future_free(future);
    CHECK_INT(2, wire_requests(server));
    rf_session_free(session);
    wire_stop(server);
  }
  /* A retry after a kept connection failed uses a fresh one: the others that were kept are no better. */
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_retries(config, 1));
  rf_session *retrying = session_of(config);
  wire *twice = wire_start(close_at_the_second, NULL);
  fetch_at_once(retrying, wire_url(twice, "/"), 4);
  int before = wire_requests(twice);
  rf_future *again = get(retrying, wire_url(twice, "/"), NULL);
  RESPONSE(again);
  CHECK_INT(before + 2, wire_requests(twice));
  rf_future_free(again);
  rf_session_free(retrying);
  wire_stop(twice);
  /* The same of the local server, with many at once: closed while idle, closed with an RST, a 408 unasked. */
  static const char *const paths[] = {"/idle-close?ms=5", "/idle-rst?ms=5", "/idle-408?ms=5"};
  for (size_t i = 0; i < 3; i++) {
    rf_session *session = new_session();
    for (int round = 0; round < 20; round++) {
      fetch_at_once(session, raw(paths[i]), 8);
      sleep_ms(3 + round % 5);
    }
    rf_session_free(session);
  }
  rf_session *session = new_session_workers(2);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  for (int i = 0; i < 3; i++) {
    rf_future *future = get(session, text("%s/get", env("RF_TEST_HTTPS_IDLE")), options);
    RESPONSE(future);
    rf_future_free(future);
    sleep_ms(150);
  }
  rf_options_free(options);
  rf_session_free(session);
}

/* What a connection that must not be used again is used for: nothing. */
static void not_kept(void) {
  static const char *const paths[] = {"/http10?n=20", "/close-delimited?n=20", "/no-content-body",
                                      "/extra?bytes=HTTP/1.1%20200%20OK%0D%0AContent-Length:%204%0D%0A%0D%0Aevil"};
  rf_session *session = new_session_workers(1);
  for (size_t i = 0; i < 4; i++) {
    for (int round = 0; round < 3; round++) {
      rf_future *future = get(session, raw(paths[i]), NULL);
      const rf_response *response = NULL;
      rf_status status = rf_future_result(future, LONG_MS, &response);
      if (status == RF_OK) CHECK(strstr(rf_response_text(response, NULL), "evil") == NULL);
      rf_future_free(future);
      future = get(session, raw("/ok"), NULL);
      CHECK_STR("ok", rf_response_text(RESPONSE(future), NULL));
      rf_future_free(future);
    }
  }
  rf_session_free(session);
}

/* A connection that fails is tried again, max_retries times. How often the server saw a request that it closes
   without an answer so many times; each on a session of its own, as a kept connection may be tried once more. */
static int64_t tries(uint32_t max_retries, const char *method, int times, bool good) {
  rf_config *config = NULL;
  const char *key = unique("retry");
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_retries(config, max_retries));
  rf_session *session = session_of(config);
  rf_future *future = request(session, method, raw(text("/close/empty?key=%s&times=%d", key, times)), NULL);
  if (good) CHECK_STR("ok", rf_response_text(RESPONSE(future), NULL));
  else ERROR_OF(RF_ERROR_CONNECTION, future);
  rf_future_free(future);
  rf_session_free(session);
  return counted(key);
}

static void retries(void) {
  CHECK_INT(3, tries(2, "GET", 2, true));
  CHECK_INT(3, tries(2, "GET", 3, false));
  CHECK_INT(2, tries(1, "PUT", 1, true));
  CHECK_INT(2, tries(1, "DELETE", 1, true));
  /* POST and PATCH never once bytes have left. */
  CHECK_INT(1, tries(2, "POST", 1, false));
  CHECK_INT(1, tries(2, "PATCH", 1, false));
  /* Without any: not even once. */
  CHECK_INT(1, tries(0, "GET", 1, false));
}

/* Servers that are not sure where their answers end, each after a harmless answer on the same connection. */
static const struct {
  const char *answer, *body, *reason;
  bool kept;
} odd_answers[] = {
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nodd\r\n0\r\n\r\n", "odd", "OK", false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nodd\r\n0\r\n\r\n", "odd", "OK", false},
    {"HTTP/1.1 103 Early\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
     "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "OK", true},
    {"\r\nHTTP/1.1 200 Fine\r\nContent-Length: 3\r\n\r\nodd", "odd", "Fine", true},
};
enum { ODD = sizeof odd_answers / sizeof *odd_answers };

static void answer_oddly(wire_connection *connection, void *user_data) {
  (void)user_data;
  while (wire_next(connection)) {
    char path[32];
    for (size_t i = 0; i < ODD; i++) {
      sprintf(path, "GET /%zu ", i);
      if (wire_asks(connection, path)) wire_say(connection, odd_answers[i].answer);
    }
    if (wire_asks(connection, "GET /plain ")) wire_answer(connection, "200 OK", "", "plain");
  }
}

static void odd_framing(void) {
  for (size_t i = 0; i < ODD; i++) {
    wire *server = wire_start(answer_oddly, NULL);
    rf_session *session = new_session_workers(1);
    char path[32];
    sprintf(path, "/%zu", i);
    for (int round = 0; round < 2; round++) {
      fetch(session, wire_url(server, "/plain"));
      rf_future *future = get(session, wire_url(server, path), NULL);
      CHECK_STR(odd_answers[i].body, (const char *)rf_response_content(RESPONSE(future), NULL));
      CHECK_STR(odd_answers[i].reason, rf_response_reason(RESPONSE(future)));
      rf_future_free(future);
    }
    CHECK_INT(odd_answers[i].kept ? 1 : 2, wire_connections(server));
    rf_session_free(session);
    wire_stop(server);
  }
}

/* It had said something: who knows what it did with the request. */
static void interim_and_gone(wire_connection *connection, void *user_data) {
  (void)user_data;
  if (wire_next(connection)) wire_answer(connection, "200 OK", "", "plain");
  if (wire_next(connection)) wire_say(connection, "HTTP/1.1 100 Continue\r\n\r\n");
}

static void not_sent_twice_after_an_interim_answer(void) {
  wire *server = wire_start(interim_and_gone, NULL);
  rf_session *session = new_session_workers(1);
  fetch(session, wire_url(server, "/"));
  rf_future *future = request(session, "POST", wire_url(server, "/"), NULL);
  ERROR_OF(RF_ERROR_CONNECTION, future);
  rf_future_free(future);
  CHECK_INT(2, wire_requests(server));
  rf_session_free(session);
  wire_stop(server);
}

int main(void) {
  odd_framing();
  not_sent_twice_after_an_interim_answer();
  kept_alive();
  idle_connections_are_limited();
  defaults();
  blocking();
  hosts_are_limited();
  hosts_are_limited_after_a_burst();
  blocking_counts_hosts_over_the_limit();
  stale_connections();
  not_kept();
  retries();
  return finish();
}
