/* Turns of requests that an executor of the program's own carries out elsewhere: it is given a task when that has its turn,
   which lasts as long as the task. */
#include "elsewhere.h"

#include <pthread.h>

enum { MOST = 32 };

/* An executor that keeps what it gets, in the order in which it came. */
typedef struct keeper {
  pthread_mutex_t lock;
  rf_task *tasks[MOST];
  int64_t given_at[MOST];
  int count, ended, shut_down;
  bool waits; /* what its shutdown was told */
  rf_status answer;
  rf_executor *executor;
  rf_session *session;
} keeper;

static rf_status keep(rf_task *task, void *user_data) {
  keeper *keeper = user_data;
  rf_status answer = keeper->answer;
  if (answer != RF_OK) return answer;
  pthread_mutex_lock(&keeper->lock);
  CHECK(keeper->count < MOST);
  keeper->given_at[keeper->count] = now_ms();
  keeper->tasks[keeper->count++] = task;
  pthread_mutex_unlock(&keeper->lock);
  return RF_OK;
}

static void shut_down(bool wait, bool cancel_futures, void *user_data) {
  keeper *keeper = user_data;
  (void)cancel_futures;
  keeper->waits = wait;
  INCREMENT(keeper->shut_down);
}

static void ended(uint64_t task_id, void *user_data) {
  keeper *keeper = user_data;
  (void)task_id;
  INCREMENT(keeper->ended);
}

static int given(keeper *keeper) {
  pthread_mutex_lock(&keeper->lock);
  int count = keeper->count;
  pthread_mutex_unlock(&keeper->lock);
  return count;
}

/* The task that came as that one; it has to be there. */
static rf_task *task_of(keeper *keeper, int number) {
  CHECK(number < given(keeper));
  pthread_mutex_lock(&keeper->lock);
  rf_task *task = keeper->tasks[number];
  keeper->tasks[number] = NULL;
  pthread_mutex_unlock(&keeper->lock);
  CHECK(task != NULL);
  return task;
}

static keeper *new_keeper(rf_config *config) {
  keeper *keeper = calloc(1, sizeof *keeper);
  CHECK(keeper != NULL);
  pthread_mutex_init(&keeper->lock, NULL);
  rf_executor_ops ops = {sizeof ops, keep, shut_down, ended};
  CHECK_OK(rf_executor_new_custom(&ops, keeper, NULL, &keeper->executor));
  CHECK_OK(rf_config_set_executor(config, keeper->executor));
  keeper->session = session_of(config);
  return keeper;
}

static keeper *keeper_with_turns(size_t per_host) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_per_host(config, per_host));
  return new_keeper(config);
}

static void end(keeper *keeper) {
  rf_session_free(keeper->session);
  rf_executor_free(keeper->executor);
  pthread_mutex_destroy(&keeper->lock);
  free(keeper);
}

static const char *url_of(const char *host, int number) { return text("http://%s.invalid/%d", host, number); }

/* Carries a task out: a response made by hand. */
static void answer(rf_task *task) {
  rf_response *response = NULL;
  CHECK_OK(rf_response_new(200, "text/plain", "done", 4, &response));
  CHECK_OK(rf_task_respond(task, response));
  rf_response_free(response);
}

static void answered(rf_future *future) {
  CHECK_STR("done", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
}

/* So many at once, by host; each that ends, however it does, makes room for the next. */
static void given_when_it_is_its_turn(void) {
  keeper *keeper = keeper_with_turns(2);
  rf_future *futures[8];
  for (int i = 0; i < 8; i++) futures[i] = get(keeper->session, url_of("one", i), NULL);
  CHECK_INT(2, given(keeper));
  rf_future *other = get(keeper->session, url_of("other", 0), NULL); /* another host has turns of its own */
  CHECK_INT(3, given(keeper));
  answer(task_of(keeper, 2));
  answered(other);
  sleep_ms(50);
  CHECK_INT(3, given(keeper));
  for (int i = 0; i < 8; i++) CHECK(!rf_future_running(futures[i]) && !rf_future_done(futures[i]));

  answer(task_of(keeper, 0)); /* not started */
  EVENTUALLY(given(keeper) == 4);
  rf_task *started = task_of(keeper, 1);
  CHECK_OK(rf_task_start(started));
  CHECK(rf_future_running(futures[1]));
  sleep_ms(20);
  CHECK_INT(4, given(keeper));
  answer(started);
  EVENTUALLY(given(keeper) == 5);
  rf_task *dropped = task_of(keeper, 3); /* the third */
  CHECK_OK(rf_task_start(dropped));
  rf_task_free(dropped);
  ERROR_OF(RF_ERROR_BROKEN_POOL, futures[2]);
  EVENTUALLY(given(keeper) == 6);
  CHECK_OK(rf_task_fail(task_of(keeper, 4), RF_ERROR_CONNECTION, "no"));
  ERROR_OF(RF_ERROR_CONNECTION, futures[3]);
  EVENTUALLY(given(keeper) == 7);
  /* One whose future is over has its turn until it is freed: somebody may still be at it. */
  rf_task *aborted = task_of(keeper, 5);
  CHECK_OK(rf_task_start(aborted));
  CHECK(rf_future_abort(futures[4]));
  ERROR_OF(RF_ERROR_ABORTED, futures[4]);
  CHECK_INT(1, LOAD(keeper->ended));
  sleep_ms(50);
  CHECK_INT(7, given(keeper));
  rf_task_free(aborted);
  EVENTUALLY(given(keeper) == 8);
  for (int i = 6; i < 9; i++) {
    EVENTUALLY(given(keeper) > i);
    answer(task_of(keeper, i));
  }
  answered(futures[0]);
  answered(futures[1]);
  for (int i = 2; i < 5; i++) rf_future_free(futures[i]);
  for (int i = 5; i < 8; i++) answered(futures[i]);
  CHECK_INT(9, given(keeper));
  end(keeper);
}

/* What waits can be ended by all that ends a pending request, and the executor never hears of it. */
static void what_waits_can_be_ended(void) {
  keeper *keeper = keeper_with_turns(1);
  rf_future *holder = get(keeper->session, url_of("one", 0), NULL);
  rf_options *late = new_options(), *impatient = new_options();
  CHECK_OK(rf_options_set_deadline(late, 100));
  CHECK_OK(rf_options_set_queue_timeout(impatient, 100));
  rf_future *futures[] = {get(keeper->session, url_of("one", 1), NULL), get(keeper->session, url_of("one", 2), NULL),
                          get(keeper->session, url_of("one", 3), late), get(keeper->session, url_of("one", 4), impatient)};
  CHECK(rf_future_cancel(futures[0]));
  CHECK(rf_future_abort(futures[1]));
  static const int kinds[] = {RF_ERROR_CANCELLED, RF_ERROR_CANCELLED, RF_ERROR_TIMEOUT, RF_ERROR_TIMEOUT};
  for (int i = 0; i < 4; i++) {
    ERROR_OF(kinds[i], futures[i]);
    rf_future_free(futures[i]);
  }
  rf_future *next = get(keeper->session, url_of("one", 5), NULL);
  answer(task_of(keeper, 0));
  answered(holder);
  EVENTUALLY(given(keeper) >= 2);
  CHECK_HAS("/5", rf_task_url(keeper->tasks[1]));
  answer(task_of(keeper, 1));
  answered(next);
  CHECK_INT(2, given(keeper));
  CHECK_INT(0, LOAD(keeper->ended));
  rf_options_free(late);
  rf_options_free(impatient);
  end(keeper);
}

static void by_priority(void) {
  keeper *keeper = keeper_with_turns(1);
  static const int priorities[] = {0, -1, 3, 3, 0};
  static const char *const order[] = {"/2", "/3", "/0", "/4", "/1"};
  rf_future *holder = get(keeper->session, url_of("one", 9), NULL), *futures[5];
  for (int i = 0; i < 5; i++) {
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_priority(options, priorities[i]));
    futures[i] = get(keeper->session, url_of("one", i), options);
    rf_options_free(options);
  }
  answer(task_of(keeper, 0));
  answered(holder);
  for (int i = 0; i < 5; i++) {
    EVENTUALLY(given(keeper) == i + 2);
    CHECK_HAS(order[i], rf_task_url(keeper->tasks[i + 1]));
    answer(task_of(keeper, i + 1));
  }
  for (int i = 0; i < 5; i++) answered(futures[i]);
  end(keeper);
}

/* A task counts against the rate when it is started. */
static void at_a_rate(void) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_rate(config, 20, 1));
  keeper *keeper = new_keeper(config);
  rf_future *futures[6];
  for (int i = 0; i < 6; i++) futures[i] = get(keeper->session, url_of("one", i), NULL);
  for (int i = 0; i < 6; i++) {
    EVENTUALLY(given(keeper) == i + 1);
    rf_task *task = task_of(keeper, i);
    if (i == 0) {
      sleep_ms(200); /* until it is, nobody else is sent in its place */
      CHECK_INT(1, given(keeper));
    }
    CHECK_OK(rf_task_start(task));
    answer(task);
  }
  for (int i = 1; i < 6; i++) CHECK(keeper->given_at[i] - keeper->given_at[i - 1] >= 45);
  for (int i = 0; i < 6; i++) answered(futures[i]);
  end(keeper);
}

/* Its answer comes after the call has returned: the future has it. */
static void refused_later(void) {
  keeper *keeper = keeper_with_turns(1);
  rf_future *holder = get(keeper->session, url_of("one", 0), NULL), *busy = get(keeper->session, url_of("one", 1), NULL);
  keeper->answer = RF_E_BUSY;
  answer(task_of(keeper, 0));
  answered(holder);
  ERROR_OF(RF_ERROR_SHUTDOWN, busy);
  rf_future_free(busy);
  rf_future *none = NULL;
  CHECK_STATUS(RF_E_BUSY, rf_session_get(keeper->session, url_of("one", 2), NULL, &none)); /* it has its turn at once */
  CHECK_NULL(none);
  CHECK_INT(0, LOAD(keeper->ended));
  end(keeper);
}

static void *shut_down_waiting(void *executor) {
  CHECK_OK(rf_executor_shutdown(executor, true, false));
  return NULL;
}

/* What waits is still given to an executor that is shut down, which hears of that afterwards; or it is cancelled. */
static void shutting_down(void) {
  for (int how = 0; how < 3; how++) { /* waiting, not waiting, cancelling */
    keeper *keeper = keeper_with_turns(1);
    rf_future *holder = get(keeper->session, url_of("one", 0), NULL), *waits = get(keeper->session, url_of("one", 1), NULL);
    pthread_t thread;
    if (how == 0) CHECK_INT(0, pthread_create(&thread, NULL, shut_down_waiting, keeper->executor));
    if (how > 0) CHECK_OK(rf_executor_shutdown(keeper->executor, false, how == 2));
    sleep_ms(30);
    CHECK_INT(how == 2, LOAD(keeper->shut_down));
    answer(task_of(keeper, 0));
    answered(holder);
    if (how < 2) {
      EVENTUALLY(given(keeper) == 2);
      EVENTUALLY(LOAD(keeper->shut_down) == 1);
      CHECK_INT(how == 0, keeper->waits);
      answer(task_of(keeper, 1));
      answered(waits);
    } else {
      ERROR_OF(RF_ERROR_CANCELLED, waits);
      rf_future_free(waits);
      CHECK_INT(1, given(keeper));
    }
    if (how == 0) pthread_join(thread, NULL);
    rf_future *none = NULL;
    CHECK_STATUS(RF_E_SHUTDOWN, rf_session_get(keeper->session, url_of("one", 2), NULL, &none));
    end(keeper);
  }
}

static void shut_down_here(rf_future *future, void *executor) {
  (void)future;
  CHECK_OK(rf_executor_shutdown(executor, true, false));
}

/* Who ends a task and shuts down in its callback does not wait for those that wait for this very turn. */
static void shutting_down_in_a_callback(void) {
  keeper *keeper = keeper_with_turns(1);
  rf_future *holder = get(keeper->session, url_of("one", 0), NULL), *waits = get(keeper->session, url_of("one", 1), NULL);
  CHECK_OK(rf_future_add_done_callback(holder, shut_down_here, keeper->executor, NULL));
  answer(task_of(keeper, 0));
  answered(holder);
  EVENTUALLY(given(keeper) == 2);
  EVENTUALLY(LOAD(keeper->shut_down) == 1);
  answer(task_of(keeper, 1));
  answered(waits);
  end(keeper);
}

static void closing_the_session(void) {
  for (int mode = 0; mode < 2; mode++) {
    keeper *keeper = keeper_with_turns(1);
    rf_future *holder = get(keeper->session, url_of("one", 0), NULL), *waits = get(keeper->session, url_of("one", 1), NULL);
    rf_task *task = task_of(keeper, 0);
    if (mode == 0) answer(task); /* what is not started would be cancelled as well */
    if (mode == 0) EVENTUALLY(given(keeper) == 2);
    CHECK_OK(rf_session_close(keeper->session, mode == 0 ? RF_CLOSE_CANCEL_PENDING : RF_CLOSE_ABORT));
    ERROR_OF(RF_ERROR_CANCELLED, waits);
    if (mode == 0) rf_task_free(task_of(keeper, 1));
    if (mode == 1) rf_task_free(task);
    CHECK_INT(mode == 0 ? 2 : 1, given(keeper));
    rf_future_free(holder);
    rf_future_free(waits);
    end(keeper);
  }
}

/* Tasks that are run here have the turn that they were given with, until their response is read. */
static rf_status start_and_run(rf_task *task, void *user_data) {
  bool starts = *(bool *)user_data;
  if (starts) CHECK_OK(rf_task_start(task));
  rf_task_run(task);
  return RF_OK;
}

static void run_here_after_all(void) {
  for (int starts = 0; starts < 2; starts++) {
    static bool does_start;
    does_start = starts == 1;
    rf_executor_ops ops = {sizeof ops, start_and_run, NULL, NULL};
    rf_executor *executor = NULL;
    CHECK_OK(rf_executor_new_custom(&ops, &does_start, NULL, &executor));
    rf_config *config = NULL;
    CHECK_OK(rf_config_new(&config));
    CHECK_OK(rf_config_set_max_per_host(config, 1));
    CHECK_OK(rf_config_set_executor(config, executor));
    rf_session *session = session_of(config);
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_stream(options, true));
    rf_future *first = get(session, http("/bytes/100000"), options), *second = get(session, http("/hello"), NULL);
    const rf_response *response = RESPONSE(first);
    sleep_ms(50);
    CHECK(!rf_future_done(second) && !rf_future_running(second));
    size_t length = 0;
    CHECK(rf_response_content(response, &length) != NULL);
    CHECK_INT(100000, length);
    RESPONSE(second);
    rf_future_free(first);
    rf_future_free(second);
    rf_options_free(options);
    rf_session_free(session);
    rf_executor_free(executor);
  }
}

/* Many threads submit, cancel and answer: never more than the limit at once, and each future is over. */
static rf_session *busy;
static int at_once, most_at_once, over;

static void *answer_soon(void *task) {
  sleep_ms(1);
  __atomic_sub_fetch(&at_once, 1, __ATOMIC_SEQ_CST); /* until the next line it has its turn still */
  answer(task);
  return NULL;
}

static rf_status answer_on_a_thread(rf_task *task, void *user_data) {
  (void)user_data;
  int now = __atomic_add_fetch(&at_once, 1, __ATOMIC_SEQ_CST);
  for (int most = LOAD(most_at_once); now > most; most = LOAD(most_at_once)) {
    __atomic_compare_exchange_n(&most_at_once, &most, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  }
  pthread_t thread;
  CHECK_INT(0, pthread_create(&thread, NULL, answer_soon, task));
  pthread_detach(thread);
  return RF_OK;
}

static void *submit_many(void *unused) {
  for (int i = 0; i < 100; i++) {
    const rf_error *error = NULL;
    rf_future *future = get(busy, url_of("one", i), NULL);
    /* Whether that comes in time or not. */
    bool is_cancelled = i % 3 == 0 && rf_future_cancel(future);
    CHECK_OK(rf_future_exception(future, LONG_MS, &error));
    CHECK_INT(is_cancelled, error != NULL);
    INCREMENT(over);
    rf_future_free(future);
  }
  return unused;
}

static void many_threads(void) {
  rf_executor_ops ops = {sizeof ops, answer_on_a_thread, NULL, NULL};
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_custom(&ops, NULL, NULL, &executor));
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_per_host(config, 3));
  CHECK_OK(rf_config_set_executor(config, executor));
  busy = session_of(config);
  pthread_t threads[6];
  for (int i = 0; i < 6; i++) CHECK_INT(0, pthread_create(&threads[i], NULL, submit_many, NULL));
  for (int i = 0; i < 6; i++) pthread_join(threads[i], NULL);
  CHECK_INT(600, LOAD(over));
  CHECK_RANGE(2, 3, LOAD(most_at_once));
  EVENTUALLY(LOAD(at_once) == 0);
  rf_session_free(busy);
  rf_executor_free(executor);
}

int main(void) {
  given_when_it_is_its_turn();
  what_waits_can_be_ended();
  by_priority();
  at_a_rate();
  refused_later();
  shutting_down();
  shutting_down_in_a_callback();
  closing_the_session();
  run_here_after_all();
  many_threads();
  return finish();
}
