/* Who goes first: priorities, in every line a request can stand in, and how long it may stand there. */
#include "arrivals.h"
#include "elsewhere.h"

#include <limits.h>

static rf_options *with_priority(int priority) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_priority(options, priority));
  return options;
}

static rf_future *get_at(rf_session *session, const char *url, int priority) {
  rf_options *options = with_priority(priority);
  rf_future *future = get(session, url, options);
  rf_options_free(options);
  return future;
}

/* The order of arrival from `from` on: the priorities that number_of() was given do not rise, and equals come in the order
   in which their thread submitted them. */
#define NUMBER(priority, thread, index) (((priority) + 5) * 10000 + (thread) * 100 + (index))

static void check_order(arrivals *server, int from, int count) {
  CHECK_INT(from + count, arrivals_count(server));
  for (int i = from + 1; i < from + count; i++) {
    int before = arrivals_at(server, i - 1).number, now = arrivals_at(server, i).number;
    if (now / 10000 > before / 10000) FAIL("number %d came before %d", before, now);
    for (int j = from; j < i; j++) {
      int other = arrivals_at(server, j).number;
      if (other / 100 == now / 100 && other > now) FAIL("number %d came before %d", other, now);
    }
  }
}

/* ---- in the line for a worker ---- */

enum { THREADS = 8, EACH = 20 };
static rf_session *sessions[2];
static arrivals *server;
static rf_future *futures[THREADS * EACH];

static void *submit_some(void *number) {
  int thread = (int)(uintptr_t)number;
  for (int i = 0; i < EACH; i++) {
    static const int priorities[] = {0, 3, -2, 0, 1, -2, 3};
    int priority = priorities[(thread + i) % 7];
    const char *url = arrivals_url(server, 'n', NUMBER(priority, thread, i));
    rf_session *session = sessions[(thread + i / 2) % 2];
    /* Zero is what nobody has set. */
    futures[thread * EACH + i] = priority == 0 ? get(session, url, NULL) : get_at(session, url, priority);
  }
  return NULL;
}

/* All workers are busy while eight threads submit: one worker takes them in order. `sessions` are two, or twice the same. */
static void submitted_while_all_are_busy(void) {
  server = arrivals_start(0);
  arrivals_shut(server, true);
  rf_future *busy = get(sessions[0], arrivals_url(server, 'n', 99), NULL);
  arrivals_wait(server, 1);
  pthread_t all[THREADS];
  for (int i = 0; i < THREADS; i++) CHECK_INT(0, pthread_create(&all[i], NULL, submit_some, (void *)(uintptr_t)i));
  for (int i = 0; i < THREADS; i++) CHECK_INT(0, pthread_join(all[i], NULL));
  sleep_ms(50 * patience());
  arrivals_shut(server, false);
  RESPONSE(busy);
  rf_future_free(busy);
  for (int i = 0; i < THREADS * EACH; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  check_order(server, 1, THREADS * EACH);
  arrivals_stop(server);
}

static void one_session(void) {
  sessions[0] = sessions[1] = new_session_workers(1);
  submitted_while_all_are_busy();
  rf_session_free(sessions[0]);
}

static void sessions_that_share_an_executor(void) {
  for (int processes = 0; processes < 2; processes++) {
    rf_executor *executor = NULL;
    if (processes) CHECK_OK(rf_executor_new_processes(1, &executor));
    if (!processes) CHECK_OK(rf_executor_new_threads(1, &executor));
    for (int i = 0; i < 2; i++) sessions[i] = session_on(executor);
    submitted_while_all_are_busy();
    for (int i = 0; i < 2; i++) {
      CHECK_OK(rf_session_close(sessions[i], RF_CLOSE_WAIT));
      rf_session_free(sessions[i]);
    }
    CHECK_OK(rf_executor_shutdown(executor, true, false));
    rf_executor_free(executor);
  }
}

/* ---- in the line for a turn, and for a place in the pool ---- */

static void in_the_line_of_a_host(void) {
  for (int line = 0; line < 4; line++) {
    rf_executor *executor = NULL;
    if (line == 3) CHECK_OK(rf_executor_new_processes(4, &executor));
    if (line < 3) CHECK_OK(rf_executor_new_threads(4, &executor));
    rf_config *config = NULL;
    CHECK_OK(rf_config_new(&config));
    CHECK_OK(rf_config_set_executor(config, executor));
    if (line == 0 || line == 3) CHECK_OK(rf_config_set_max_per_host(config, 1));
    if (line == 1) CHECK_OK(rf_config_set_pool_maxsize(config, 1));
    if (line == 1) CHECK_OK(rf_config_set_pool_block(config, true));
    if (line == 2) CHECK_OK(rf_config_set_rate(config, 20, 1));
    rf_session *session = session_of(config);
    arrivals *at = arrivals_start(line == 2 ? 0 : 1);
    enum { MANY = 24 };
    rf_future *waiting[MANY], *holder;
    arrivals_shut(at, line != 2); /* there it is the rate that holds them back */
    holder = get_at(session, arrivals_url(at, 'n', 99), 5);
    arrivals_wait(at, 1);
    for (int i = 0; i < MANY; i++) {
      int priority = i % 5 - 2;
      waiting[i] = get_at(session, arrivals_url(at, 'n', NUMBER(priority, 0, i)), priority);
    }
    /* All of them stand there, as far as there is room. */
    sleep_ms(100 * patience());
    int from = arrivals_count(at);
    arrivals_shut(at, false);
    RESPONSE(holder);
    rf_future_free(holder);
    for (int i = 0; i < MANY; i++) {
      RESPONSE(waiting[i]);
      rf_future_free(waiting[i]);
    }
    /* Those that a rate let go meanwhile went before all had come. */
    check_order(at, from, MANY + 1 - from);
    CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
    rf_session_free(session);
    CHECK_OK(rf_executor_shutdown(executor, true, false));
    rf_executor_free(executor);
    arrivals_stop(at);
  }
}

/* It overtakes who waits for the same host, and is not held up by who waits for another. */
static void a_late_one_overtakes(void) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_per_host(config, 1));
  CHECK_OK(rf_config_set_max_workers(config, 2));
  rf_session *session = session_of(config);
  arrivals *at = arrivals_start(1), *other = arrivals_start(1);
  arrivals_shut(at, true);
  rf_future *all[8];
  all[0] = get(session, arrivals_url(at, 'n', 0), NULL);
  arrivals_wait(at, 1);
  for (int i = 1; i < 7; i++) all[i] = get_at(session, arrivals_url(at, 'n', i), 3);
  sleep_ms(50 * patience());
  all[7] = get_at(session, arrivals_url(at, 'n', 7), 4);
  rf_future *low = get_at(session, arrivals_url(other, 'n', 1), INT_MIN);
  RESPONSE(low);
  rf_future_free(low);
  sleep_ms(50 * patience());
  arrivals_shut(at, false);
  static const int order[] = {0, 7, 1, 2, 3, 4, 5, 6};
  for (int i = 0; i < 8; i++) {
    RESPONSE(all[i]);
    rf_future_free(all[i]);
  }
  for (int i = 0; i < 8; i++) CHECK_INT(order[i], arrivals_at(at, i).number);
  rf_session_free(session);
  arrivals_stop(at);
  arrivals_stop(other);
}

/* After its pause a request stands in line with its priority. */
static void after_a_pause(void) {
  for (int low = 0; low < 2; low++) {
    rf_session *session = new_session_workers(1);
    arrivals *at = arrivals_start(0);
    rf_options *options = with_priority(low ? INT_MIN : INT_MAX);
    rf_retry *retry = NULL;
    CHECK_OK(rf_retry_new(1, &retry));
    CHECK_OK(rf_retry_add_status(retry, 503, 503));
    CHECK_OK(rf_retry_set_backoff(retry, 150, RF_FOREVER, 0));
    CHECK_OK(rf_options_set_retry(options, retry));
    rf_future *again = get(session, arrivals_url(at, 's', 50), options), *others[6];
    arrivals_wait(at, 1);
    arrivals_shut(at, true);
    for (int i = 0; i < 6; i++) others[i] = get(session, arrivals_url(at, 'n', i), NULL);
    arrivals_wait(at, 2);
    sleep_ms(250 * patience()); /* the pause is over, and the only worker is busy */
    CHECK_INT(2, arrivals_count(at));
    arrivals_shut(at, false);
    CHECK_INT(200, rf_response_status_code(RESPONSE(again)));
    for (int i = 0; i < 6; i++) RESPONSE(others[i]);
    CHECK_INT(50, arrivals_at(at, low ? 7 : 2).number);
    for (int i = 0; i < 6; i++) rf_future_free(others[i]);
    rf_future_free(again);
    rf_retry_free(retry);
    rf_options_free(options);
    rf_session_free(session);
    arrivals_stop(at);
  }
}

/* The session's holds until a request has one of its own. */
static void of_a_session(void) {
  rf_session *session = new_session_workers(1);
  rf_options *defaults = with_priority(2);
  CHECK_OK(rf_session_update(session, defaults));
  rf_options_free(defaults);
  arrivals *at = arrivals_start(0);
  arrivals_shut(at, true);
  rf_future *all[5];
  all[0] = get(session, arrivals_url(at, 'n', 0), NULL);
  arrivals_wait(at, 1);
  all[1] = get_at(session, arrivals_url(at, 'n', 1), 1);
  all[2] = get(session, arrivals_url(at, 'n', 2), NULL);
  all[3] = get_at(session, arrivals_url(at, 'n', 3), 3);
  all[4] = get_at(session, arrivals_url(at, 'n', 4), 0);
  arrivals_shut(at, false);
  static const int order[] = {0, 3, 2, 1, 4};
  for (int i = 0; i < 5; i++) RESPONSE(all[i]);
  for (int i = 0; i < 5; i++) {
    CHECK_INT(order[i], arrivals_at(at, i).number);
    rf_future_free(all[i]);
  }
  rf_session_free(session);
  arrivals_stop(at);
}

/* ---- how long it may stand there ---- */

static rf_options *patient(int64_t ms) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_queue_timeout(options, ms));
  return options;
}

/* Frees the options and the future. */
static void times_out(rf_session *session, const char *url, rf_options *options, int64_t low, int64_t high) {
  int64_t start = now_ms();
  rf_future *future = get(session, url, options);
  const rf_error *error = ERROR_OF(RF_ERROR_TIMEOUT, future);
  CHECK_RANGE(low - 1, high * patience(), now_ms() - start);
  CHECK(!rf_error_is(error, RF_ERROR_CONNECT_TIMEOUT) && !rf_error_is(error, RF_ERROR_READ_TIMEOUT));
  rf_future_free(future);
  rf_options_free(options);
}

static void what_is_refused(void) {
  rf_options *options = new_options();
  BAD(rf_options_set_queue_timeout(options, 0));
  BAD(rf_options_set_queue_timeout(options, -2));
  BAD(rf_options_set_queue_timeout(options, INT64_MIN));
  CHECK_OK(rf_options_set_queue_timeout(options, 1));
  CHECK_OK(rf_options_set_queue_timeout(options, INT64_MAX));
  CHECK_OK(rf_options_set_queue_timeout(options, RF_FOREVER));
  CHECK_OK(rf_options_set_priority(options, INT_MIN));
  CHECK_OK(rf_options_set_priority(options, INT_MAX));
  rf_options_free(options);
}

/* For a worker, a turn, a rate, a place in the pool; on threads and in worker processes. */
static void in_every_line(void) {
  for (int processes = 0; processes < 2; processes++) {
    for (int line = 0; line < (processes ? 3 : 4); line++) {
      rf_executor *executor = NULL;
      size_t workers = line == 0 ? 1 : 3;
      if (processes) CHECK_OK(rf_executor_new_processes(workers, &executor));
      if (!processes) CHECK_OK(rf_executor_new_threads(workers, &executor));
      rf_config *config = NULL;
      CHECK_OK(rf_config_new(&config));
      CHECK_OK(rf_config_set_executor(config, executor));
      if (line == 1) CHECK_OK(rf_config_set_max_per_host(config, 1));
      if (line == 2) CHECK_OK(rf_config_set_rate(config, 0.001, 1));
      if (line == 3) CHECK_OK(rf_config_set_pool_maxsize(config, 1));
      if (line == 3) CHECK_OK(rf_config_set_pool_block(config, true));
      rf_session *session = session_of(config);
      arrivals *at = arrivals_start(0);
      arrivals_shut(at, true);
      rf_future *holder = get(session, arrivals_url(at, 'n', 0), NULL);
      arrivals_wait(at, 1);
      times_out(session, arrivals_url(at, 'n', 1), patient(150), 150, 250);
      /* Who has left is in nobody's way. */
      rf_future *next = get(session, arrivals_url(at, 'n', 2), NULL);
      arrivals_shut(at, false);
      RESPONSE(holder);
      if (line == 2) CHECK(rf_future_cancel(next));
      if (line != 2) RESPONSE(next);
      CHECK_INT(line == 2 ? 1 : 2, arrivals_count(at));
      rf_future_free(holder);
      rf_future_free(next);
      CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
      rf_session_free(session);
      CHECK_OK(rf_executor_shutdown(executor, true, false));
      rf_executor_free(executor);
      arrivals_stop(at);
    }
  }
}

typedef struct later {
  arrivals *server;
  int64_t ms;
} later;

static void *open_later(void *user_data) {
  later *later = user_data;
  sleep_ms(later->ms);
  arrivals_shut(later->server, false);
  return NULL;
}

/* One after the other they count together: first a worker, then a turn that a stream has; then at another host. */
static void all_lines_together(void) {
  for (int second_hop = 0; second_hop < 2; second_hop++) {
    rf_config *config = NULL;
    CHECK_OK(rf_config_new(&config));
    CHECK_OK(rf_config_set_max_per_host(config, 1));
    CHECK_OK(rf_config_set_max_workers(config, 1));
    rf_session *session = session_of(config);
    rf_options *streaming = new_options();
    CHECK_OK(rf_options_set_stream(streaming, true));
    arrivals *taken = arrivals_start(0), *at = arrivals_start(0);
    rf_future *stream = get(session, arrivals_url(taken, 'b', 0), streaming);
    RESPONSE(stream);
    arrivals_shut(at, true);
    rf_future *busy = get(session, arrivals_url(at, 'n', 0), NULL);
    arrivals_wait(at, 1);
    later later = {at, 400};
    pthread_t thread;
    CHECK_INT(0, pthread_create(&thread, NULL, open_later, &later));
    const char *url = arrivals_url(taken, 'n', 1);
    if (second_hop) url = text("%s?%s", arrivals_url(at, 'r', 1), url);
    times_out(session, url, patient(600), 600, 900);
    CHECK_INT(0, pthread_join(thread, NULL));
    RESPONSE(busy);
    CHECK_INT(second_hop ? 2 : 1, arrivals_count(at));
    CHECK_INT(1, arrivals_count(taken));
    rf_future_free(busy);
    rf_future_free(stream);
    rf_options_free(streaming);
    rf_session_free(session);
    arrivals_stop(taken);
    arrivals_stop(at);
  }
}

/* Neither running nor a pause is waiting. */
static void what_does_not_count(void) {
  rf_session *session = new_session_workers(2);
  arrivals *at = arrivals_start(0);
  arrivals_hold(at, 400);
  rf_options *options = patient(150);
  rf_future *slow = get(session, arrivals_url(at, 'n', 0), options);
  RESPONSE(slow);
  rf_future_free(slow);
  rf_retry *retry = NULL;
  CHECK_OK(rf_retry_new(1, &retry));
  CHECK_OK(rf_retry_add_status(retry, 503, 503));
  CHECK_OK(rf_retry_set_backoff(retry, 400, RF_FOREVER, 0));
  CHECK_OK(rf_options_set_retry(options, retry));
  rf_future *again = get(session, arrivals_url(at, 's', 1), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(again)));
  rf_future_free(again);
  rf_retry_free(retry);
  rf_options_free(options);
  rf_session_free(session);
  arrivals_stop(at);
}

/* The connect time-out begins when the waiting is over, in the pool as well. */
static void the_connect_timeout_begins_after_it(void) {
  for (int line = 0; line < 2; line++) {
    rf_config *config = NULL;
    CHECK_OK(rf_config_new(&config));
    CHECK_OK(rf_config_set_max_workers(config, 2));
    if (line == 0) CHECK_OK(rf_config_set_max_per_host(config, 1));
    if (line == 1) CHECK_OK(rf_config_set_pool_maxsize(config, 1));
    if (line == 1) CHECK_OK(rf_config_set_pool_block(config, true));
    rf_session *session = session_of(config);
    rf_options *options = patient(LONG_MS), *first = new_options();
    CHECK_OK(rf_options_set_timeout(options, 200 * patience(), RF_FOREVER));
    CHECK_OK(rf_options_set_timeout(first, 500 * patience(), RF_FOREVER));
    int64_t start = now_ms();
    rf_future *holder = get(session, env("RF_TEST_BLACKHOLE"), first);
    EVENTUALLY(rf_future_running(holder));
    rf_future *next = get(session, env("RF_TEST_BLACKHOLE"), options);
    ERROR_OF(RF_ERROR_CONNECT_TIMEOUT, next);
    CHECK_RANGE((500 + 200) * patience() - 5, (500 + 200 + 400) * patience(), now_ms() - start);
    ERROR_OF(RF_ERROR_CONNECT_TIMEOUT, holder);
    rf_future_free(holder);
    rf_future_free(next);
    rf_options_free(options);
    rf_options_free(first);
    rf_session_free(session);
  }
}

static void whose(void) {
  rf_session *session = new_session_workers(1);
  rf_options *defaults = patient(150);
  CHECK_OK(rf_session_update(session, defaults));
  arrivals *at = arrivals_start(0);
  arrivals_shut(at, true);
  rf_future *holder = get(session, arrivals_url(at, 'n', 0), NULL);
  arrivals_wait(at, 1);
  rf_options *none = patient(RF_FOREVER), *longer = patient(LONG_MS);
  /* Its own holds, and without one the session's; RF_FOREVER takes the session's back. */
  int64_t start = now_ms();
  rf_future *by_session = get(session, arrivals_url(at, 'n', 1), NULL),
            *unlimited = get(session, arrivals_url(at, 'n', 2), none),
            *own = get(session, arrivals_url(at, 'n', 3), longer);
  ERROR_OF(RF_ERROR_TIMEOUT, by_session);
  CHECK_RANGE(149, 250 * patience(), now_ms() - start);
  sleep_ms(100);
  CHECK(!rf_future_done(unlimited) && !rf_future_done(own));
  arrivals_shut(at, false);
  RESPONSE(holder);
  RESPONSE(unlimited);
  RESPONSE(own);
  rf_future_free(holder);
  rf_future_free(by_session);
  rf_future_free(unlimited);
  rf_future_free(own);
  rf_options_free(defaults);
  rf_options_free(none);
  rf_options_free(longer);
  rf_session_free(session);
  arrivals_stop(at);
}

int main(void) {
  one_session();
  sessions_that_share_an_executor();
  in_the_line_of_a_host();
  a_late_one_overtakes();
  after_a_pause();
  of_a_session();
  what_is_refused();
  in_every_line();
  all_lines_together();
  what_does_not_count();
  the_connect_timeout_begins_after_it();
  whose();
  return finish();
}
