/* Rates: in any t seconds at most burst + t * per_second sendings to one host, judged by what arrives there. */
#include "arrivals.h"
#include "elsewhere.h"
#include "threads.h"

#include <math.h>

static rf_config *rate(double per_second, uint32_t burst) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_rate(config, per_second, burst));
  return config;
}

static rf_session *rated(size_t workers, double per_second, uint32_t burst) {
  rf_config *config = rate(per_second, burst);
  CHECK_OK(rf_config_set_max_workers(config, workers));
  return session_of(config);
}

static void what_is_refused(void) {
  rf_config *config = NULL;
  rf_session *base = new_session_workers(1), *none = NULL;
  CHECK_OK(rf_config_new(&config));
  static const double bad[] = {0, -0.0, -1, -1e-300, NAN, INFINITY, -INFINITY};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) BAD(rf_config_set_rate(config, bad[i], 1));
  BAD(rf_config_set_rate(config, 1, 0));
  CHECK_OK(rf_config_set_rate(config, 1e-300, 1));
  CHECK_OK(rf_config_set_rate(config, 1e300, UINT32_MAX));
  CHECK_OK(rf_config_set_base_session(config, base));
  BAD_OUT(none, rf_session_new(config, &none));
  rf_config_free(config);
  rf_session_free(base);
}

/* However high or low it is. */
static void extremes(void) {
  static const double rates[] = {1e300, 1e-300};
  for (int i = 0; i < 2; i++) {
    arrivals *server = arrivals_start(0);
    rf_session *session = rated(4, rates[i], i == 0 ? UINT32_MAX : 1);
    rf_future *futures[30];
    for (int n = 0; n < 30; n++) futures[n] = get(session, arrivals_url(server, 'n', n), NULL);
    if (i == 0) {
      for (int n = 0; n < 30; n++) RESPONSE(futures[n]);
    } else {
      int cancelled = 0;
      arrivals_wait(server, 1); /* of four workers any may be the first */
      sleep_ms(100);
      for (int n = 0; n < 30; n++) cancelled += rf_future_cancel(futures[n]);
      CHECK_INT(29, cancelled);
      CHECK_INT(1, arrivals_count(server));
    }
    for (int n = 0; n < 30; n++) rf_future_free(futures[n]);
    rf_session_free(session);
    arrivals_stop(server);
  }
}

/* ---- what arrives ---- */

static rf_session *shared;
static arrivals *watched;
static int taken;

static void *submit_ten(void *unused) {
  rf_future *futures[10];
  for (int i = 0; i < 10; i++) {
    futures[i] = get(shared, arrivals_url(watched, 'n', __atomic_add_fetch(&taken, 1, __ATOMIC_SEQ_CST)), NULL);
    if (i % 3 == 0) sleep_ms(7);
  }
  for (int i = 0; i < 10; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  return unused;
}

/* Over many threads and workers, with a burst and without, from a full bucket and after a rest. */
static void in_every_window(void) {
  static const uint32_t bursts[] = {1, 10};
  for (int i = 0; i < 2; i++) {
    shared = rated(8, 100, bursts[i]);
    watched = arrivals_start(0);
    pthread_t all[8];
    int64_t start = now_ms();
    for (int n = 0; n < 8; n++) CHECK_INT(0, pthread_create(&all[n], NULL, submit_ten, NULL));
    for (int n = 0; n < 8; n++) CHECK_INT(0, pthread_join(all[n], NULL));
    CHECK_INT(80, arrivals_count(watched));
    CHECK_RANGE((80 - (int)bursts[i]) * 10 - 60, 5000 * patience(), now_ms() - start);
    sleep_ms(300); /* at rest it fills up to the burst, and no further */
    CHECK_INT(0, pthread_create(&all[0], NULL, submit_ten, NULL));
    CHECK_INT(0, pthread_create(&all[1], NULL, submit_ten, NULL));
    for (int n = 0; n < 2; n++) CHECK_INT(0, pthread_join(all[n], NULL));
    arrivals_check_rate(watched, 100, (int)bursts[i]);
    rf_session_free(shared);
    arrivals_stop(watched);
  }
}

/* The burst is there at once. */
static void a_burst(void) {
  rf_session *session = rated(1, 0.001, 5); /* one worker: they come in order */
  arrivals *server = arrivals_start(0);
  rf_future *futures[6];
  for (int i = 0; i < 6; i++) futures[i] = get(session, arrivals_url(server, 'n', i), NULL);
  for (int i = 0; i < 5; i++) RESPONSE(futures[i]);
  sleep_ms(50);
  CHECK_INT(5, arrivals_count(server));
  CHECK(!rf_future_running(futures[5]) && !rf_future_done(futures[5]));
  CHECK(rf_future_cancel(futures[5]));
  for (int i = 0; i < 6; i++) rf_future_free(futures[i]);
  rf_session_free(session);
  arrivals_stop(server);
}

static rf_status again_twice(rf_prepared *prepared, const rf_response *response, void *unused) {
  (void)response, (void)unused;
  return rf_prepared_attempt(prepared) < 2 ? RF_AGAIN : RF_OK;
}

/* What is sent again is a sending: retries, the answer to a digest, RF_AGAIN, redirects to the same host. */
static void what_is_sent_again_counts(void) {
  static const char kinds[] = "sdqr";
  for (int kind = 0; kind < 4; kind++) {
    rf_session *session = rated(8, 60, 3);
    arrivals *server = arrivals_start(0);
    rf_options *options = new_options();
    rf_retry *retry = NULL;
    CHECK_OK(rf_retry_new(3, &retry));
    CHECK_OK(rf_retry_add_status(retry, 503, 503));
    if (kind == 0) CHECK_OK(rf_options_set_retry(options, retry));
    if (kind == 1) CHECK_OK(rf_options_set_auth_digest(options, "u", "p"));
    if (kind == 2) CHECK_OK(rf_options_set_auth_custom(options, NULL, again_twice, false, NULL, NULL));
    rf_future *futures[15];
    for (int i = 0; i < 15; i++) {
      const char *url = arrivals_url(server, kinds[kind], i);
      if (kind == 3) url = text("%s?/q%d", url, i);
      futures[i] = get(session, url, options);
    }
    for (int i = 0; i < 15; i++) {
      CHECK_INT(200, rf_response_status_code(RESPONSE(futures[i])));
      rf_future_free(futures[i]);
    }
    /* A digest that is known goes with the first sending of those that come later. */
    if (kind == 1) CHECK_RANGE(16, 30, arrivals_count(server));
    if (kind != 1) CHECK_INT(kind == 2 ? 45 : 30, arrivals_count(server));
    arrivals_check_rate(server, 60, 3);
    rf_retry_free(retry);
    rf_options_free(options);
    rf_session_free(session);
    arrivals_stop(server);
  }
}

/* Answers one request on each connection, and ends it when the next one has come. */
static void end_at_the_second(wire_connection *connection, void *user_data) {
  arrivals *noted = user_data;
  for (int i = 0; i < 2 && wire_next(connection); i++) {
    pthread_mutex_lock(&noted->lock);
    noted->all[noted->count++] = (arrival){now_ns(), 'n', 0};
    pthread_mutex_unlock(&noted->lock);
    if (i == 0) wire_answer(connection, "200 OK", "", "first");
  }
}

/* A kept connection that had ended: both sendings count. */
static void what_a_kept_connection_costs_counts(void) {
  static arrivals noted;
  pthread_mutex_init(&noted.lock, NULL);
  wire *server = wire_start(end_at_the_second, &noted);
  rf_session *session = rated(1, 50, 1);
  rf_future *futures[12];
  for (int i = 0; i < 12; i++) futures[i] = get(session, wire_url(server, "/"), NULL);
  for (int i = 0; i < 12; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  CHECK_INT(23, noted.count); /* each but the first was sent to a connection that then ended */
  arrivals_check_rate(&noted, 50, 1);
  rf_session_free(session);
  wire_stop(server);
  pthread_mutex_destroy(&noted.lock);
}

/* New connections that are all ready at the same moment: what goes out by them is as far apart as ever. */
static void slow_connections_do_not_bunch(void) {
  arrivals *server = arrivals_start(0);
  server->greeting_at_ms = now_ms() + 700;
  rf_session *session = rated(12, 20, 2);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_proxy(options, "http", text("socks5h://127.0.0.1:%d", server->server->port)));
  rf_future *futures[12];
  for (int i = 0; i < 12; i++) futures[i] = get(session, text("http://slow.example/n%d", i), options);
  for (int i = 0; i < 12; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  CHECK_INT(12, arrivals_count(server));
  arrivals_check_rate(server, 20, 2);
  rf_options_free(options);
  rf_session_free(session);
  arrivals_stop(server);
}

/* ---- several hosts, and who waits ---- */

static void hosts_are_independent(void) {
  rf_session *session = rated(1, 0.01, 1); /* one worker: who waits has none */
  arrivals *servers[4];
  rf_future *waiting[4][5];
  for (int i = 0; i < 4; i++) {
    servers[i] = arrivals_start(0);
    for (int n = 0; n < 5; n++) waiting[i][n] = get(session, arrivals_url(servers[i], 'n', n), NULL);
  }
  for (int i = 0; i < 4; i++) RESPONSE(waiting[i][0]);
  sleep_ms(50);
  for (int i = 0; i < 4; i++) {
    CHECK_INT(1, arrivals_count(servers[i]));
    for (int n = 1; n < 5; n++) CHECK(!rf_future_running(waiting[i][n]) && !rf_future_done(waiting[i][n]));
  }
  int64_t start = now_ms();
  for (int i = 0; i < 4; i++) {
    for (int n = 1; n < 5; n++) {
      CHECK(n % 2 ? rf_future_cancel(waiting[i][n]) : rf_future_abort(waiting[i][n]));
      ERROR_OF(RF_ERROR_CANCELLED, waiting[i][n]);
    }
  }
  CHECK_RANGE(0, 100 * patience(), now_ms() - start);
  for (int i = 0; i < 4; i++) {
    for (int n = 0; n < 5; n++) rf_future_free(waiting[i][n]);
    arrivals_stop(servers[i]);
  }
  rf_session_free(session);
}

static void ends(void) {
  arrivals *server = arrivals_start(0);
  static const int modes[] = {RF_CLOSE_CANCEL_PENDING, RF_CLOSE_ABORT};
  for (int i = 0; i < 2; i++) {
    rf_session *session = rated(2, 0.01, 1);
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_deadline(options, 100));
    rf_future *first = get(session, arrivals_url(server, 'n', 0), NULL);
    RESPONSE(first);
    int64_t start = now_ms();
    rf_future *late = get(session, arrivals_url(server, 'n', 1), options);
    ERROR_OF(RF_ERROR_TIMEOUT, late);
    CHECK_RANGE(99, 150 * patience(), now_ms() - start);
    rf_future *waiting[5];
    for (int n = 0; n < 5; n++) waiting[n] = get(session, arrivals_url(server, 'n', 2 + n), NULL);
    sleep_ms(20);
    start = now_ms();
    CHECK_OK(rf_session_close(session, modes[i]));
    CHECK_RANGE(0, 100 * patience(), now_ms() - start);
    for (int n = 0; n < 5; n++) {
      ERROR_OF(RF_ERROR_CANCELLED, waiting[n]);
      rf_future_free(waiting[n]);
    }
    rf_future_free(first);
    rf_future_free(late);
    rf_options_free(options);
    rf_session_free(session);
  }
  CHECK_INT(2, arrivals_count(server));
  arrivals_stop(server);
}

/* RF_CLOSE_WAIT runs what is queued, at its rate. */
static void closing_waits(void) {
  arrivals *server = arrivals_start(0);
  rf_session *session = rated(2, 50, 1);
  rf_future *futures[10];
  for (int i = 0; i < 10; i++) futures[i] = get(session, arrivals_url(server, 'n', i), NULL);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  for (int i = 0; i < 10; i++) {
    CHECK(rf_future_done(futures[i]));
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  arrivals_check_rate(server, 50, 1);
  rf_session_free(session);
  arrivals_stop(server);
}

/* Both limits at once, and sessions with a common base. */
static void together_and_shared(void) {
  rf_config *config = rate(100, 2);
  CHECK_OK(rf_config_set_max_per_host(config, 2));
  CHECK_OK(rf_config_set_max_workers(config, 6));
  rf_session *all[2] = {session_of(config), NULL};
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_base_session(config, all[0]));
  all[1] = session_of(config);
  arrivals *server = arrivals_start(2);
  arrivals_hold(server, 5);
  rf_future *futures[40];
  for (int i = 0; i < 40; i++) futures[i] = get(all[i % 2], arrivals_url(server, 'n', i), NULL);
  for (int i = 0; i < 40; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  CHECK_RANGE(1, 2, arrivals_most(server));
  arrivals_check_rate(server, 100, 2);
  rf_session_free(all[1]);
  rf_session_free(all[0]);
  arrivals_stop(server);
}

/* Kept where the request was submitted: worker processes share it. */
static void worker_processes(void) {
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_processes(3, &executor));
  rf_config *config = rate(50, 2);
  CHECK_OK(rf_config_set_executor(config, executor));
  pool pool = {executor, session_of(config)};
  arrivals *server = arrivals_start(0);
  rf_future *futures[25];
  for (int i = 0; i < 25; i++) futures[i] = get(pool.session, arrivals_url(server, 'n', i), NULL);
  for (int i = 0; i < 25; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  CHECK_INT(25, arrivals_count(server));
  arrivals_check_rate(server, 50, 2);
  end_pool(pool);
  arrivals_stop(server);
}

/* On an executor of the program's own its thread waits. */
static void threads_of_ones_own(void) {
  rf_executor *executor = NULL;
  rf_executor_ops ops = {.size = sizeof ops, .submit = run_on_a_thread};
  CHECK_OK(rf_executor_new_custom(&ops, NULL, NULL, &executor));
  rf_config *config = rate(50, 2);
  CHECK_OK(rf_config_set_executor(config, executor));
  rf_session *session = session_of(config);
  arrivals *server = arrivals_start(0);
  rf_future *futures[20];
  for (int i = 0; i < 20; i++) futures[i] = get(session, arrivals_url(server, 'n', i), NULL);
  for (int i = 0; i < 20; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  arrivals_check_rate(server, 50, 2);
  rf_session_free(session);
  rf_executor_free(executor);
  arrivals_stop(server);
}

int main(void) {
  what_is_refused();
  extremes();
  in_every_window();
  a_burst();
  what_is_sent_again_counts();
  what_a_kept_connection_costs_counts();
  slow_connections_do_not_bunch();
  hosts_are_independent();
  ends();
  closing_waits();
  together_and_shared();
  worker_processes();
  threads_of_ones_own();
  return finish();
}
