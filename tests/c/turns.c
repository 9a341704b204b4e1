/* Turns: at most so many requests to one host at once. Who waits is pending and holds no worker, and whatever ends it ends
   it at once. */
#include "arrivals.h"
#include "elsewhere.h"
#include "threads.h"

static rf_config *limits(size_t per_host) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_per_host(config, per_host));
  return config;
}

static rf_session *limited(size_t workers, size_t per_host) {
  rf_config *config = limits(per_host);
  CHECK_OK(rf_config_set_max_workers(config, workers));
  return session_of(config);
}

static rf_options *streaming(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_stream(options, true));
  return options;
}

/* A server that is shut, with as many requests before its door as there are turns. */
static arrivals *occupy(rf_session *session, rf_future **holders, int turns) {
  arrivals *server = arrivals_start(turns);
  arrivals_shut(server, true);
  for (int i = 0; i < turns; i++) holders[i] = get(session, arrivals_url(server, 'n', 1000 + i), NULL);
  arrivals_wait(server, turns);
  return server;
}

static void release(arrivals *server, rf_future **holders, int turns) {
  arrivals_shut(server, false);
  for (int i = 0; i < turns; i++) {
    RESPONSE(holders[i]);
    rf_future_free(holders[i]);
  }
}

static void count_one(rf_future *future, void *count) {
  (void)future;
  INCREMENT(*(int *)count);
}

/* ---- no worker is held ---- */

static void others_are_not_delayed(void) {
  rf_session *session = limited(4, 2);
  rf_future *holders[2], *waiting[20];
  arrivals *slow = occupy(session, holders, 2), *quick = arrivals_start(2);
  int called = 0;
  for (int i = 0; i < 20; i++) {
    waiting[i] = get(session, arrivals_url(slow, 'n', i), NULL);
    CHECK_OK(rf_future_add_done_callback(waiting[i], count_one, &called, NULL));
  }
  /* Another port is another host, and so is another name, by which more come than the two. */
  arrivals_limit(slow, 0);
  for (int i = 0; i < 40; i++) {
    const char *url = i % 2 ? arrivals_url(quick, 'n', i) : text("http://localhost:%d/q%d", slow->server->port, i);
    rf_future *other = get(session, url, NULL);
    CHECK_STR(text("%d", i), rf_response_text(RESPONSE(other), NULL));
    rf_future_free(other);
  }
  for (int i = 0; i < 20; i++) {
    CHECK(!rf_future_running(waiting[i]));
    CHECK(!rf_future_done(waiting[i]));
  }
  CHECK_INT(2 + 20, arrivals_count(slow)); /* the two, and what came by its other name */
  CHECK_INT(0, LOAD(called));
  arrivals_limit(slow, 2);
  release(slow, holders, 2);
  for (int i = 0; i < 20; i++) {
    RESPONSE(waiting[i]);
    rf_future_free(waiting[i]);
  }
  EVENTUALLY(LOAD(called) == 20);
  rf_session_free(session);
  arrivals_stop(slow);
  arrivals_stop(quick);
}

/* Names are compared in any case, as in pools, and a default port is one that was written. */
static void one_host_in_any_spelling(void) {
  rf_session *session = limited(4, 1);
  arrivals *server = arrivals_start(1);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_proxy(options, "http", text("http://127.0.0.1:%d", server->server->port)));
  CHECK_OK(rf_options_set_trust_env(options, false));
  arrivals_hold(server, 20);
  static const char *const urls[] = {"http://a.example/n1", "http://A.Example/n2", "http://a.example:80/n3",
                                     "HTTP://a.eXample:80/n4"};
  rf_future *futures[4];
  for (int i = 0; i < 4; i++) futures[i] = get(session, urls[i], options);
  for (int i = 0; i < 4; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  /* A proxy's request line has the whole URL, so nobody waited for a number: it is how many at once that counts. */
  CHECK_INT(4, arrivals_count(server));
  CHECK_INT(1, arrivals_most(server));
  rf_options_free(options);
  rf_session_free(session);
  arrivals_stop(server);
}

/* The host is that of the URL: behind one proxy there are many. */
static void hosts_behind_a_proxy(void) {
  rf_session *session = limited(4, 1);
  arrivals *server = arrivals_start(0);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_proxy(options, "http", text("http://127.0.0.1:%d", server->server->port)));
  CHECK_OK(rf_options_set_trust_env(options, false));
  arrivals_shut(server, true);
  rf_future *futures[4];
  for (int i = 0; i < 4; i++) futures[i] = get(session, text("http://%c.example/", "aabb"[i]), options);
  arrivals_wait(server, 2);
  sleep_ms(50);
  CHECK_INT(2, arrivals_count(server));
  arrivals_shut(server, false);
  for (int i = 0; i < 4; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  rf_options_free(options);
  rf_session_free(session);
  arrivals_stop(server);
}

static void first_in_first_out(void) {
  rf_session *session = limited(1, 1);
  arrivals *server = arrivals_start(1);
  rf_future *futures[40];
  for (int i = 0; i < 40; i++) futures[i] = get(session, arrivals_url(server, 'n', i), NULL);
  for (int i = 0; i < 40; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  for (int i = 0; i < 40; i++) CHECK_INT(i, arrivals_at(server, i).number);
  rf_session_free(session);
  arrivals_stop(server);
}

/* ---- never more ---- */

static rf_session *crowded;
static arrivals *crowd;
static int over;

static void *submit_all_kinds(void *seed) {
  unsigned state = (unsigned)(uintptr_t)seed;
  rf_options *late = new_options(), *again = new_options(), *stream = streaming();
  rf_retry *retry = NULL;
  CHECK_OK(rf_retry_new(2, &retry));
  CHECK_OK(rf_retry_add_status(retry, 503, 503));
  CHECK_OK(rf_retry_set_backoff(retry, 10, 10, 0.5));
  CHECK_OK(rf_options_set_retry(again, retry));
  CHECK_OK(rf_options_set_auth_digest(again, "u", "p"));
  CHECK_OK(rf_options_set_deadline(late, 15));
  rf_retry_free(retry);
  for (int i = 0; i < 60; i++) {
    state = state * 1103515245u + 12345u;
    unsigned what = (state >> 16) % 10;
    int number = (int)(uintptr_t)seed * 1000 + i;
    const rf_options *options = what == 1 ? late : what == 3 || what == 4 ? again : what == 6 ? stream : NULL;
    const char *url = arrivals_url(crowd, "nnrsdhbnnn"[what], number);
    if (what == 2) url = text("%s?%s", url, arrivals_url(crowd, 'n', number));
    rf_future *future = get(crowded, url, options);
    CHECK_OK(rf_future_add_done_callback(future, count_one, &over, NULL));
    if (what == 7) rf_future_cancel(future);
    if (what == 8) sleep_ms(state >> 20 & 15);
    if (what >= 8) rf_future_abort(future);
    rf_future_free(future); /* a stream's turn goes with it */
  }
  rf_options_free(late);
  rf_options_free(again);
  rf_options_free(stream);
  return NULL;
}

static void never_more_than_so_many(void) {
  crowded = limited(6, 2);
  crowd = arrivals_start(2);
  arrivals_hold(crowd, 3);
  over = 0;
  pthread_t all[4];
  for (int i = 0; i < 4; i++) CHECK_INT(0, pthread_create(&all[i], NULL, submit_all_kinds, (void *)(uintptr_t)(i + 1)));
  for (int i = 0; i < 4; i++) CHECK_INT(0, pthread_join(all[i], NULL));
  EVENTUALLY(LOAD(over) == 240);
  CHECK_INT(2, arrivals_most(crowd));
  /* No turn was lost on the way: two at once go on. */
  int before = arrivals_count(crowd);
  arrivals_shut(crowd, true);
  rf_future *two[2];
  for (int i = 0; i < 2; i++) two[i] = get(crowded, arrivals_url(crowd, 'n', 9000 + i), NULL);
  arrivals_wait(crowd, before + 2);
  release(crowd, two, 2);
  CHECK_OK(rf_session_close(crowded, RF_CLOSE_WAIT));
  rf_session_free(crowded);
  arrivals_stop(crowd);
}

/* Each hop has a turn at its own host, and has left the one of the last hop before. */
static void each_hop_waits_for_itself(void) {
  rf_session *session = limited(3, 1);
  rf_future *holder[1], *futures[8];
  arrivals *slow = occupy(session, holder, 1), *first = arrivals_start(1);
  for (int i = 0; i < 8; i++) {
    const char *url = text("%s?%s", arrivals_url(first, 'r', i), arrivals_url(slow, 'n', i));
    futures[i] = get(session, url, NULL);
  }
  arrivals_wait(first, 8);
  for (int i = 0; i < 8; i++) EVENTUALLY(rf_future_running(futures[i]));
  rf_future *other = get(session, arrivals_url(first, 'q', 1), NULL);
  RESPONSE(other);
  rf_future_free(other);
  CHECK_INT(1, arrivals_count(slow));
  release(slow, holder, 1);
  for (int i = 0; i < 8; i++) {
    CHECK_INT(1, rf_response_history_count(RESPONSE(futures[i])));
    rf_future_free(futures[i]);
  }
  /* One that leads to its own host: nobody waits for himself. */
  rf_future *own = get(session, text("%s?%s", arrivals_url(first, 'r', 9), arrivals_url(first, 'n', 10)), NULL);
  CHECK_STR("10", rf_response_text(RESPONSE(own), NULL));
  rf_future_free(own);
  CHECK_INT(1, arrivals_most(slow));
  CHECK_INT(1, arrivals_most(first));
  rf_session_free(session);
  arrivals_stop(slow);
  arrivals_stop(first);
}

static void a_stream_has_its_turn(void) {
  for (int how = 0; how < 4; how++) {
    rf_session *session = limited(2, 1);
    rf_options *options = streaming();
    arrivals *server = arrivals_start(1);
    rf_future *stream = get(session, arrivals_url(server, 'b', 1), options);
    const rf_response *response = RESPONSE(stream);
    rf_future *next = get(session, arrivals_url(server, 'n', 2), NULL);
    sleep_ms(50);
    CHECK_INT(1, arrivals_count(server));
    CHECK(!rf_future_done(next) && !rf_future_running(next));
    if (how == 0) rf_response_content(response, NULL);
    if (how == 1) rf_response_close(response);
    if (how == 2) rf_future_free(stream);
    if (how == 3) {
      uint8_t buffer[8192];
      size_t length = 1;
      const rf_error *error = NULL;
      while (length > 0) CHECK_OK(rf_response_read(response, buffer, sizeof buffer, &length, &error));
    }
    RESPONSE(next);
    rf_future_free(next);
    if (how != 2) rf_future_free(stream);
    rf_options_free(options);
    rf_session_free(session);
    arrivals_stop(server);
  }
}

/* The answer to a challenge goes within the same turn, before others that wait. */
static void a_challenge_is_answered_within_the_turn(void) {
  rf_session *session = limited(3, 1);
  rf_future *holder[1], *known, *next[5];
  arrivals *server = occupy(session, holder, 1);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_auth_digest(options, "u", "p"));
  known = get(session, arrivals_url(server, 'd', 1), options);
  sleep_ms(30 * patience());
  for (int i = 0; i < 5; i++) next[i] = get(session, arrivals_url(server, 'n', i), NULL);
  release(server, holder, 1);
  CHECK_INT(200, rf_response_status_code(RESPONSE(known)));
  for (int i = 0; i < 5; i++) {
    RESPONSE(next[i]);
    rf_future_free(next[i]);
  }
  for (int i = 0; i < arrivals_count(server); i++) {
    if (arrivals_at(server, i).kind != 'd') continue;
    CHECK(i + 1 < arrivals_count(server) && arrivals_at(server, i + 1).kind == 'd');
    break;
  }
  CHECK_INT(1, arrivals_most(server));
  rf_future_free(known);
  rf_options_free(options);
  rf_session_free(session);
  arrivals_stop(server);
}

/* In a pause between two attempts the turn is somebody else's. */
static void a_pause_has_no_turn(bool streamed) {
  rf_session *session = limited(2, 1);
  arrivals *server = arrivals_start(0);
  rf_options *options = new_options();
  rf_retry *retry = NULL;
  CHECK_OK(rf_retry_new(1, &retry));
  CHECK_OK(rf_retry_add_status(retry, 503, 503));
  CHECK_OK(rf_retry_set_backoff(retry, 30000, RF_FOREVER, 0));
  CHECK_OK(rf_options_set_retry(options, retry));
  CHECK_OK(rf_options_set_stream(options, streamed));
  rf_future *pausing = get(session, arrivals_url(server, streamed ? 'u' : 's', 1), options);
  arrivals_wait(server, 1);
  for (int i = 0; i < 3; i++) {
    rf_future *other = get(session, arrivals_url(server, 'n', i), NULL);
    RESPONSE(other);
    rf_future_free(other);
  }
  CHECK(rf_future_running(pausing));
  CHECK(rf_future_abort(pausing));
  ERROR_OF(RF_ERROR_ABORTED, pausing);
  rf_future_free(pausing);
  rf_retry_free(retry);
  rf_options_free(options);
  rf_session_free(session);
  arrivals_stop(server);
}

/* ---- whose ---- */

static void sessions_with_a_common_base_share(void) {
  rf_session *base = limited(4, 1), *derived[2];
  for (int i = 0; i < 2; i++) {
    rf_config *config = NULL;
    CHECK_OK(rf_config_new(&config));
    CHECK_OK(rf_config_set_base_session(config, base));
    CHECK_OK(rf_config_set_max_workers(config, 3));
    derived[i] = session_of(config);
  }
  rf_future *holder[1], *waiting[3];
  arrivals *server = occupy(derived[0], holder, 1);
  rf_session *all[] = {base, derived[0], derived[1]};
  for (int i = 0; i < 3; i++) waiting[i] = get(all[i], arrivals_url(server, 'n', i), NULL);
  sleep_ms(100);
  CHECK_INT(1, arrivals_count(server));
  /* A session of its own has turns of its own. */
  rf_session *other = limited(1, 1);
  arrivals_limit(server, 0);
  rf_future *own = get(other, arrivals_url(server, 'q', 1), NULL);
  RESPONSE(own);
  rf_future_free(own);
  rf_session_free(other);
  release(server, holder, 1);
  for (int i = 0; i < 3; i++) {
    RESPONSE(waiting[i]);
    rf_future_free(waiting[i]);
  }
  for (int i = 0; i < 2; i++) rf_session_free(derived[i]);
  rf_session_free(base);
  arrivals_stop(server);
}

static void what_is_refused(void) {
  rf_config *config = NULL;
  rf_session *base = new_session_workers(1), *none = NULL;
  CHECK_OK(rf_config_new(&config));
  BAD(rf_config_set_max_per_host(config, 0));
  CHECK_OK(rf_config_set_max_per_host(config, SIZE_MAX));
  CHECK_OK(rf_config_set_base_session(config, base));
  BAD_OUT(none, rf_session_new(config, &none));
  rf_config_free(config);
  rf_session_free(base);
}

/* ---- ends ---- */

static void it_is_ended_at_once(void) {
  rf_session *session = limited(2, 1);
  rf_future *holder[1];
  arrivals *server = occupy(session, holder, 1);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 100));
  int called = 0;
  for (int how = 0; how < 3; how++) {
    rf_future *waiting = get(session, arrivals_url(server, 'n', how), how == 2 ? options : NULL);
    int64_t start = now_ms();
    CHECK_OK(rf_future_add_done_callback(waiting, count_one, &called, NULL));
    if (how < 2) sleep_ms(30);
    CHECK(!rf_future_running(waiting));
    if (how == 0) CHECK(rf_future_cancel(waiting));
    if (how == 1) CHECK(rf_future_abort(waiting));
    ERROR_OF(how < 2 ? RF_ERROR_CANCELLED : RF_ERROR_TIMEOUT, waiting);
    CHECK_RANGE(how == 2 ? 90 : 0, (how == 2 ? 150 : 80) * patience(), now_ms() - start);
    EVENTUALLY(LOAD(called) == how + 1);
    rf_future_free(waiting);
  }
  rf_options_free(options);
  rf_future *last = get(session, arrivals_url(server, 'n', 9), NULL);
  release(server, holder, 1);
  RESPONSE(last);
  CHECK_INT(2, arrivals_count(server));
  rf_future_free(last);
  rf_session_free(session);
  arrivals_stop(server);
}

/* Its second hop waits: it runs, so it cannot be cancelled, but aborted. */
static void a_running_one_is_ended_as_well(void) {
  rf_session *session = limited(2, 1);
  rf_future *holder[1];
  arrivals *server = occupy(session, holder, 1), *first = arrivals_start(1);
  rf_options *options = new_options();
  for (int late = 0; late < 2; late++) {
    CHECK_OK(rf_options_set_deadline(options, late ? 200 : LONG_MS));
    int64_t start = now_ms();
    const char *url = text("%s?%s", arrivals_url(first, 'r', late), arrivals_url(server, 'n', late));
    rf_future *waiting = get(session, url, options);
    arrivals_wait(first, late + 1);
    EVENTUALLY(rf_future_running(waiting));
    sleep_ms(50);
    CHECK(!rf_future_cancel(waiting));
    if (!late) CHECK(rf_future_abort(waiting));
    ERROR_OF(late ? RF_ERROR_TIMEOUT : RF_ERROR_ABORTED, waiting);
    CHECK_RANGE(0, (late ? 300 : 200) * patience(), now_ms() - start);
    rf_future_free(waiting);
  }
  rf_options_free(options);
  release(server, holder, 1);
  CHECK_INT(1, arrivals_count(server));
  rf_session_free(session);
  arrivals_stop(server);
  arrivals_stop(first);
}

static void closing_a_session(void) {
  static const int modes[] = {RF_CLOSE_WAIT, RF_CLOSE_CANCEL_PENDING, RF_CLOSE_ABORT};
  for (int i = 0; i < 3; i++) {
    rf_session *session = limited(2, 1);
    rf_future *holder[1], *waiting[10];
    arrivals *server = occupy(session, holder, 1);
    for (int n = 0; n < 10; n++) waiting[n] = get(session, arrivals_url(server, 'n', n), NULL);
    sleep_ms(30);
    closer closer = {session, modes[i], 0};
    pthread_t thread;
    int64_t start = now_ms();
    CHECK_INT(0, pthread_create(&thread, NULL, close_it, &closer));
    if (modes[i] != RF_CLOSE_WAIT) {
      for (int n = 0; n < 10; n++) ERROR_OF(RF_ERROR_CANCELLED, waiting[n]);
      CHECK_RANGE(0, 100 * patience(), now_ms() - start);
    }
    if (modes[i] == RF_CLOSE_ABORT) {
      ERROR_OF(RF_ERROR_ABORTED, holder[0]);
    } else {
      sleep_ms(50);
      CHECK(!LOAD(closer.is_closed));
      arrivals_shut(server, false);
      RESPONSE(holder[0]);
    }
    CHECK_INT(0, pthread_join(thread, NULL));
    for (int n = 0; n < 10; n++) {
      if (modes[i] == RF_CLOSE_WAIT) RESPONSE(waiting[n]);
      rf_future_free(waiting[n]);
    }
    CHECK_INT(modes[i] == RF_CLOSE_WAIT ? 11 : 1, arrivals_count(server));
    rf_future_free(holder[0]);
    rf_session_free(session);
    arrivals_stop(server);
  }
}

static void shutting_an_executor_down(void) {
  for (int cancel = 0; cancel < 2; cancel++) {
    rf_executor *executor = NULL;
    CHECK_OK(rf_executor_new_threads(3, &executor));
    rf_config *config = limits(1);
    CHECK_OK(rf_config_set_executor(config, executor));
    rf_session *session = session_of(config);
    rf_future *holder[1], *waiting[5];
    arrivals *server = occupy(session, holder, 1);
    for (int n = 0; n < 5; n++) waiting[n] = get(session, arrivals_url(server, 'n', n), NULL);
    sleep_ms(50);
    CHECK_OK(rf_executor_shutdown(executor, false, cancel));
    arrivals_shut(server, false);
    CHECK_OK(rf_executor_shutdown(executor, true, cancel));
    CHECK(rf_future_done(holder[0]));
    for (int n = 0; n < 5; n++) {
      if (cancel) ERROR_OF(RF_ERROR_CANCELLED, waiting[n]);
      if (!cancel) RESPONSE(waiting[n]);
      rf_future_free(waiting[n]);
    }
    rf_future_free(holder[0]);
    rf_session_free(session);
    rf_executor_free(executor);
    arrivals_stop(server);
  }
}

/* ---- what can never end ---- */

typedef struct nested {
  rf_session *session;
  const char *url;
  int status;
} nested;

static rf_status ask_again(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response;
  nested *nested = user_data;
  rf_future *future = get(nested->session, nested->url, NULL);
  const rf_response *answer = NULL;
  nested->status = rf_future_result(future, RF_FOREVER, &answer);
  if (nested->status != RF_OK) rf_future_abort(future);
  rf_future_free(future);
  return RF_OK;
}

static rf_status ask_before(rf_prepared *prepared, void *user_data) {
  (void)prepared;
  return ask_again(NULL, NULL, user_data);
}

static rf_status ask_at_the_head(rf_prepared *prepared, const rf_response *response, void *user_data) {
  (void)prepared;
  return ask_again(NULL, response, user_data);
}

/* A function that waits for a request whose turn its own request has is told, wherever it runs. */
static void waiting_for_ones_own_turn_is_a_deadlock(void) {
  arrivals *server = arrivals_start(0);
  for (int own = 0; own < 2; own++) {
    for (int where = 0; where < 4; where++) {
      rf_executor *executor = NULL;
      rf_executor_ops ops = {.size = sizeof ops, .submit = run_on_a_thread};
      if (own) CHECK_OK(rf_executor_new_custom(&ops, NULL, NULL, &executor));
      if (!own) CHECK_OK(rf_executor_new_threads(4, &executor));
      for (size_t turns = 1; turns < 3; turns++) {
        rf_config *config = limits(turns);
        CHECK_OK(rf_config_set_executor(config, executor));
        nested nested = {session_of(config), arrivals_url(server, 'q', 2), -100};
        rf_options *options = streaming(); /* one that was read may have no turn any more */
        if (where == 0) CHECK_OK(rf_options_add_request_hook(options, ask_before, &nested, NULL));
        if (where == 1) CHECK_OK(rf_options_add_hook(options, ask_again, &nested, NULL));
        if (where > 1) {
          CHECK_OK(rf_options_set_auth_custom(options, where == 2 ? ask_before : NULL,
                                              where == 2 ? NULL : ask_at_the_head, false, &nested, NULL));
        }
        rf_future *future = get(nested.session, arrivals_url(server, 'b', 1), options);
        RESPONSE(future);
        CHECK_STATUS(turns == 1 ? RF_E_DEADLOCK : RF_OK, nested.status);
        rf_future_free(future);
        rf_options_free(options);
        CHECK_OK(rf_session_close(nested.session, RF_CLOSE_WAIT));
        rf_session_free(nested.session);
      }
      rf_executor_free(executor);
    }
  }
  arrivals_stop(server);
}

/* Another host's turn is no deadlock, and neither is the wait of a thread of the program's own. */
static void waiting_for_anothers_turn_is_none(void) {
  arrivals *server = arrivals_start(1), *other = arrivals_start(1);
  nested nested = {limited(3, 1), arrivals_url(other, 'q', 1), -100};
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_request_hook(options, ask_before, &nested, NULL));
  rf_future *future = get(nested.session, arrivals_url(server, 'q', 2), options);
  RESPONSE(future);
  CHECK_STATUS(RF_OK, nested.status);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(nested.session);
  arrivals_stop(server);
  arrivals_stop(other);
}

/* ---- on other executors ---- */

/* An executor of the program's own gives its thread to the wait; the limit is the same. */
static void threads_of_ones_own(void) {
  rf_executor *executor = NULL;
  rf_executor_ops ops = {.size = sizeof ops, .submit = run_on_a_thread};
  CHECK_OK(rf_executor_new_custom(&ops, NULL, NULL, &executor));
  rf_config *config = limits(2);
  CHECK_OK(rf_config_set_executor(config, executor));
  rf_session *session = session_of(config);
  rf_future *holders[2], *waiting[12];
  arrivals *server = occupy(session, holders, 2);
  for (int i = 0; i < 12; i++) waiting[i] = get(session, arrivals_url(server, 'n', i), NULL);
  sleep_ms(50);
  CHECK_INT(2, arrivals_count(server));
  int64_t start = now_ms();
  CHECK(rf_future_abort(waiting[0]));
  const rf_error *error = NULL;
  CHECK_OK(rf_future_exception(waiting[0], LONG_MS, &error));
  CHECK(error != NULL);
  CHECK_RANGE(0, 80 * patience(), now_ms() - start);
  release(server, holders, 2);
  for (int i = 0; i < 12; i++) {
    if (i > 0) RESPONSE(waiting[i]);
    rf_future_free(waiting[i]);
  }
  CHECK_INT(2, arrivals_most(server));
  rf_session_free(session);
  rf_executor_free(executor);
  arrivals_stop(server);
}

/* Turns are kept where the request was submitted: worker processes share them, and others run meanwhile. */
static void worker_processes(void) {
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_processes(3, &executor));
  rf_config *config = limits(2);
  CHECK_OK(rf_config_set_executor(config, executor));
  pool pool = {executor, session_of(config)};
  rf_future *holders[2], *waiting[10];
  arrivals *server = occupy(pool.session, holders, 2), *quick = arrivals_start(0);
  for (int i = 0; i < 10; i++) waiting[i] = get(pool.session, arrivals_url(server, 'n', i), NULL);
  for (int i = 0; i < 5; i++) {
    rf_future *other = get(pool.session, arrivals_url(quick, 'n', i), NULL);
    RESPONSE(other);
    rf_future_free(other);
  }
  for (int i = 0; i < 10; i++) CHECK(!rf_future_running(waiting[i]) && !rf_future_done(waiting[i]));
  CHECK_INT(2, arrivals_count(server));
  int64_t start = now_ms();
  CHECK(rf_future_cancel(waiting[0]));
  CHECK(rf_future_abort(waiting[1]));
  for (int i = 0; i < 2; i++) ERROR_OF(RF_ERROR_CANCELLED, waiting[i]);
  CHECK_RANGE(0, 100 * patience(), now_ms() - start);
  release(server, holders, 2);
  for (int i = 0; i < 10; i++) {
    if (i > 1) RESPONSE(waiting[i]);
    rf_future_free(waiting[i]);
  }
  CHECK_INT(2, arrivals_most(server));
  end_pool(pool);
  arrivals_stop(server);
  arrivals_stop(quick);
}

static rf_future *awaited;

static rf_status wait_for_it(rf_hook_call *call, const rf_response *response, void *status) {
  const rf_response *of_it = NULL;
  (void)call, (void)response;
  *(rf_status *)status = rf_future_result(awaited, RF_FOREVER, &of_it);
  return RF_OK;
}

static void nap(rf_future *future, void *ms) {
  (void)future;
  sleep_ms(*(int *)ms);
}

/* One that has got its turn, but no worker yet, is in nobody's way; nor is one that has its turn and waits for the rate. */
static void who_has_a_turn_is_waited_for(void) {
  for (int how = 0; how < 2; how++) {
    rf_config *config = limits(1);
    if (how == 1) CHECK_OK(rf_config_set_rate(config, 2, 1));
    CHECK_OK(rf_config_set_max_workers(config, 1));
    rf_session *session = session_of(config), *other = new_session();
    arrivals *server = arrivals_start(0);
    rf_options *options = how == 0 ? streaming() : new_options(), *hooked = new_options();
    rf_status status = RF_E_PANIC;
    static int ms = 300;
    if (how == 1) CHECK_OK(rf_options_set_auth_digest(options, "u", "p"));
    CHECK_OK(rf_options_add_hook(hooked, wait_for_it, &status, NULL));
    rf_future *first = get(session, arrivals_url(server, how == 0 ? 'b' : 'd', 1), options), *busy = NULL;
    awaited = first;
    if (how == 0) {
      const rf_response *response = RESPONSE(first);
      awaited = get(session, arrivals_url(server, 'q', 2), NULL);
      sleep_ms(50);
      busy = get(session, "http://", NULL); /* its worker has something else to do */
      rf_future_add_done_callback(busy, nap, &ms, NULL);
      rf_response_close(response);
    } else {
      arrivals_wait(server, 1);
    }
    rf_future *waiter = get(other, http("/hello"), hooked);
    RESPONSE(waiter);
    CHECK_STATUS(RF_OK, status);
    CHECK_INT(200, rf_response_status_code(RESPONSE(awaited)));
    rf_future_free(waiter);
    rf_future_free(first);
    if (how == 0) rf_future_free(awaited);
    if (busy != NULL) rf_future_free(busy);
    rf_options_free(options);
    rf_options_free(hooked);
    rf_session_free(session);
    rf_session_free(other);
    arrivals_stop(server);
  }
}

int main(void) {
  what_is_refused();
  others_are_not_delayed();
  one_host_in_any_spelling();
  hosts_behind_a_proxy();
  first_in_first_out();
  never_more_than_so_many();
  each_hop_waits_for_itself();
  a_stream_has_its_turn();
  a_challenge_is_answered_within_the_turn();
  a_pause_has_no_turn(false);
  a_pause_has_no_turn(true);
  sessions_with_a_common_base_share();
  it_is_ended_at_once();
  a_running_one_is_ended_as_well();
  closing_a_session();
  shutting_an_executor_down();
  waiting_for_ones_own_turn_is_a_deadlock();
  waiting_for_anothers_turn_is_none();
  who_has_a_turn_is_waited_for();
  threads_of_ones_own();
  worker_processes();
  return finish();
}
