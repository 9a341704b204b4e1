/* How many requests may be pending: one more is refused, and costs nothing. */
#include "wire.h"

static rf_config *queued(size_t workers, size_t most) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_workers(config, workers));
  CHECK_OK(rf_config_set_max_queued(config, most));
  return config;
}

static rf_status submit(rf_session *session, const char *url, const rf_options *options, rf_future **out) {
  *out = (void *)(uintptr_t)1;
  return rf_session_get(session, url, options, out);
}

static void one_more_is_refused(void) {
  rf_session *session = session_of(queued(1, 2));
  const char *gate = unique("queue");
  rf_future *running = get(session, gate_url(gate), NULL), *pending[2], *refused;
  gate_wait(gate, 1);
  for (int i = 0; i < 2; i++) pending[i] = get(session, http("/hello"), NULL);
  for (int i = 0; i < 3; i++) {
    CHECK_STATUS(RF_E_BUSY, submit(session, http("/hello"), NULL, &refused));
    CHECK_NULL(refused);
  }
  CHECK_STR("RF_E_BUSY", rf_status_name(RF_E_BUSY));
  /* Cancelled is not pending. */
  CHECK(rf_future_cancel(pending[0]));
  rf_future *third = get(session, http("/hello"), NULL);
  CHECK_STATUS(RF_E_BUSY, submit(session, http("/hello"), NULL, &refused));
  gate_open(gate);
  RESPONSE(running);
  RESPONSE(pending[1]);
  RESPONSE(third);
  for (int i = 0; i < 50; i++) { /* one after the other there is always room */
    rf_future *future = get(session, http("/hello"), NULL);
    RESPONSE(future);
    rf_future_free(future);
  }
  rf_future_free(running);
  rf_future_free(pending[0]);
  rf_future_free(pending[1]);
  rf_future_free(third);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  CHECK_STATUS(RF_E_SHUTDOWN, submit(session, http("/hello"), NULL, &refused));
  rf_session_free(session);
}

static void count_drop(void *count) { INCREMENT(*(int *)count); }

/* What was refused leaves nothing behind: the options are the caller's alone again. */
static void what_is_refused_costs_nothing(void) {
  rf_session *session = session_of(queued(1, 1));
  const char *gate = unique("refused");
  rf_future *running = get(session, gate_url(gate), NULL), *refused;
  gate_wait(gate, 1);
  rf_future *pending = get(session, http("/hello"), NULL);
  int drops = 0;
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_body_borrowed(options, "body", 4, &drops, count_drop));
  CHECK_STATUS(RF_E_BUSY, submit(session, http("/hello"), options, &refused));
  rf_options_free(options);
  CHECK_INT(1, LOAD(drops));
  gate_open(gate);
  RESPONSE(running);
  RESPONSE(pending);
  rf_future_free(running);
  rf_future_free(pending);
  rf_session_free(session);
}

/* What waits for its connection is pending as well; a deadline makes room. */
static void what_waits_for_a_connection_is_pending(void) {
  rf_config *config = queued(4, 3);
  CHECK_OK(rf_config_set_pool_maxsize(config, 1));
  CHECK_OK(rf_config_set_pool_block(config, true));
  rf_session *session = session_of(config);
  const char *gate = unique("place");
  rf_future *running = get(session, gate_url(gate), NULL), *waiting[3], *refused;
  gate_wait(gate, 1);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 100));
  for (int i = 0; i < 3; i++) waiting[i] = get(session, http("/hello"), i == 0 ? options : NULL);
  CHECK_STATUS(RF_E_BUSY, submit(session, http("/hello"), NULL, &refused));
  ERROR_OF(RF_ERROR_TIMEOUT, waiting[0]);
  rf_future *late = get(session, http("/hello"), NULL);
  CHECK(rf_future_abort(waiting[1]));
  rf_future *last = get(session, http("/hello"), NULL);
  CHECK_STATUS(RF_E_BUSY, submit(session, http("/hello"), NULL, &refused));
  gate_open(gate);
  RESPONSE(running);
  RESPONSE(waiting[2]);
  RESPONSE(late);
  RESPONSE(last);
  for (int i = 0; i < 3; i++) rf_future_free(waiting[i]);
  rf_future_free(running);
  rf_future_free(late);
  rf_future_free(last);
  rf_options_free(options);
  rf_session_free(session);
}

/* It is the session's own, with a base session as well. */
static void each_session_counts_its_own(void) {
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_threads(1, &executor));
  rf_session *base = session_on(executor);
  rf_config *config = queued(1, 1);
  CHECK_OK(rf_config_set_executor(config, executor));
  CHECK_OK(rf_config_set_base_session(config, base));
  rf_session *session = session_of(config);
  const char *gate = unique("base");
  rf_future *running = get(base, gate_url(gate), NULL), *refused;
  gate_wait(gate, 1);
  rf_future *of_base[5], *own = get(session, http("/hello"), NULL);
  for (int i = 0; i < 5; i++) of_base[i] = get(base, http("/hello"), NULL);
  CHECK_STATUS(RF_E_BUSY, submit(session, http("/hello"), NULL, &refused));
  gate_open(gate);
  RESPONSE(running);
  RESPONSE(own);
  for (int i = 0; i < 5; i++) {
    RESPONSE(of_base[i]);
    rf_future_free(of_base[i]);
  }
  rf_future_free(running);
  rf_future_free(own);
  rf_session_free(session);
  rf_session_free(base);
  rf_executor_free(executor);
}

/* However many threads submit, there are never more, and who was taken is answered. */
static rf_session *crowded;
static int taken, refusals, over;

static void count_over(rf_future *future, void *unused) {
  (void)future, (void)unused;
  INCREMENT(over);
}

static void *submit_many(void *unused) {
  for (int i = 0; i < 200; i++) {
    rf_future *future = NULL;
    rf_status status = rf_session_get(crowded, http("/hello"), NULL, &future);
    if (status == RF_E_BUSY) {
      INCREMENT(refusals);
      sleep_ms(1);
      continue;
    }
    CHECK_OK(status);
    CHECK_OK(rf_future_add_done_callback(future, count_over, NULL, NULL));
    INCREMENT(taken);

    rf_future_free(future);
  }
  return unused;
}

static void many_threads(void) {
  crowded = session_of(queued(2, 5));
  pthread_t all[8];
  for (int i = 0; i < 8; i++) CHECK_INT(0, pthread_create(&all[i], NULL, submit_many, NULL));
  for (int i = 0; i < 8; i++) CHECK_INT(0, pthread_join(all[i], NULL));
  CHECK_OK(rf_session_close(crowded, RF_CLOSE_WAIT));
  CHECK_INT(1600, taken + refusals);
  CHECK_INT(taken, over);
  CHECK(taken > 0 && refusals > 0);
  rf_session_free(crowded);
}

/* Worker processes, and an executor of the program's own: pending is what has not begun. */
static rf_task *kept[8];
static int kept_count;
static rf_status keep(rf_task *task, void *user_data) {
  (void)user_data;
  kept[kept_count++] = task;
  return RF_OK;
}

static void other_executors(void) {
  rf_executor_ops ops = {.size = sizeof ops, .submit = keep};
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_custom(&ops, NULL, NULL, &executor));
  rf_config *config = queued(1, 2);
  CHECK_OK(rf_config_set_executor(config, executor));
  rf_session *session = session_of(config);
  rf_future *futures[2], *refused;
  for (int i = 0; i < 2; i++) futures[i] = get(session, http("/hello"), NULL);
  CHECK_STATUS(RF_E_BUSY, submit(session, http("/hello"), NULL, &refused));
  rf_task_free(kept[0]);
  rf_task_run(kept[1]);
  ERROR_OF(RF_ERROR_CANCELLED, futures[0]);
  RESPONSE(futures[1]);
  for (int i = 0; i < 2; i++) rf_future_free(futures[i]);
  for (int i = 0; i < 2; i++) futures[i] = get(session, http("/hello"), NULL);
  CHECK_INT(4, kept_count);
  for (int i = 0; i < 2; i++) {
    rf_task_run(kept[2 + i]);
    rf_future_free(futures[i]);
  }
  rf_session_free(session);
  rf_executor_free(executor);
}

int main(void) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  BAD(rf_config_set_max_queued(config, 0));
  rf_config_free(config);
  one_more_is_refused();
  what_is_refused_costs_nothing();
  what_waits_for_a_connection_is_pending();
  each_session_counts_its_own();
  many_threads();
  other_executors();
  return finish();
}
