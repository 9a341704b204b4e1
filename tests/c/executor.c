/* Thread pools: their size, sharing one, shutting it down. */
#include "check.h"

static rf_executor *new_threads(size_t workers) {
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_threads(workers, &executor));
  CHECK(executor != NULL);
  return executor;
}

static rf_session *session_asking_for_77(rf_executor *executor) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_executor(config, executor));
  CHECK_OK(rf_config_set_max_workers(config, 77)); /* the executor's counts */
  return session_of(config);
}

static void workers_are_counted(void) {
  rf_executor *executor = (void *)&executor;
  CHECK_STATUS(RF_E_INVALID, rf_executor_new_threads(0, &executor));
  CHECK_NULL(executor);
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_STATUS(RF_E_INVALID, rf_config_set_max_workers(config, 0));
  rf_config_free(config);

  rf_session *session = new_session();
  CHECK_INT(8, rf_session_max_workers(session));
  rf_session_free(session);
  session = new_session_workers(3);
  CHECK_INT(3, rf_session_max_workers(session));
  rf_session_free(session);

  executor = new_threads(5);
  CHECK_INT(5, rf_executor_max_workers(executor));
  session = session_asking_for_77(executor);
  CHECK_INT(5, rf_session_max_workers(session));
  rf_session_free(session);
  rf_executor_free(executor); /* that never did anything */
}

/* 32 requests of a second each take four seconds on 8 workers and one on 32. */
static void as_many_at_once_as_workers(size_t workers, int64_t low, int64_t high) {
  rf_session *session = new_session_workers(workers);
  const char *key = unique("peak");
  rf_future *futures[32];
  bool done[32];
  int64_t start = now_ms();
  for (int i = 0; i < 32; i++) futures[i] = get(session, http(text("/delay/1?key=%s", key)), NULL);
  CHECK_OK(rf_wait(futures, 32, LONG_MS, RF_ALL_COMPLETED, done));
  CHECK_RANGE(low, high * patience(), now_ms() - start);
  for (int i = 0; i < 32; i++) {
    CHECK_INT(200, rf_response_status_code(RESPONSE(futures[i])));
    rf_future_free(futures[i]);
  }
  CHECK_RANGE(1, workers, ask(http(text("/peak?of=%s", key)), "/peak"));
  rf_session_free(session);
}

static void first_in_first_out(void) {
  rf_session *session = new_session_workers(1);
  const char *gate = unique("order");
  rf_future *slow = get(session, gate_url(gate), NULL), *futures[20];
  for (int i = 0; i < 20; i++) futures[i] = get(session, http("/hello"), NULL);
  rf_completed *completed = NULL;
  CHECK_OK(rf_as_completed(futures, 20, &completed));
  gate_open(gate);
  for (size_t i = 0; i < 20; i++) {
    size_t index = 99;
    CHECK_OK(rf_completed_next(completed, LONG_MS, NULL, &index));
    CHECK_INT(i, index);
  }
  rf_completed_free(completed);
  for (int i = 0; i < 20; i++) rf_future_free(futures[i]);
  rf_future_free(slow);
  rf_session_free(session);
}

static void shared_by_sessions(void) {
  rf_executor *executor = new_threads(1);
  rf_session *one = session_asking_for_77(executor), *two = session_asking_for_77(executor);
  const char *gate = unique("shared");
  rf_future *slow = get(one, gate_url(gate), NULL);
  rf_future *pending = get(one, http("/hello"), NULL);
  rf_future *other = get(two, http("/hello"), NULL);
  const rf_response *response;
  gate_wait(gate, 1);
  CHECK_STATUS(RF_TIMEOUT, rf_future_result(other, 50, &response)); /* one worker for both */

  /* Only what is this session's goes. */
  CHECK_OK(rf_session_close(one, RF_CLOSE_ABORT));
  ERROR_OF(RF_ERROR_ABORTED, slow);
  CHECK(rf_future_cancelled(pending));
  CHECK_INT(200, rf_response_status_code(RESPONSE(other)));
  gate_open(gate);

  /* Closing a session leaves a shared pool running, */
  rf_future *future = (void *)one;
  CHECK_STATUS(RF_E_SHUTDOWN, rf_session_get(one, http("/hello"), NULL, &future));
  CHECK_NULL(future);
  future = get(two, http("/hello"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  /* and handles may go in any order. */
  rf_executor_free(executor);
  future = get(two, http("/hello"), NULL);
  RESPONSE(future);
  rf_future_free(future);

  rf_future_free(slow);
  rf_future_free(pending);
  rf_future_free(other);
  rf_session_free(one);
  rf_session_free(two);
}

static void shutdown_that_waits(void) {
  rf_executor *executor = new_threads(2);
  rf_session *session = session_asking_for_77(executor);
  rf_future *futures[6], *late = (void *)session;
  for (int i = 0; i < 6; i++) futures[i] = get(session, http("/delay/0.1"), NULL);
  CHECK_OK(rf_executor_shutdown(executor, true, false));
  for (int i = 0; i < 6; i++) {
    CHECK(rf_future_done(futures[i]));
    CHECK_INT(200, rf_response_status_code(RESPONSE(futures[i])));
    rf_future_free(futures[i]);
  }
  CHECK_STATUS(RF_E_SHUTDOWN, rf_session_get(session, http("/hello"), NULL, &late));
  CHECK_NULL(late);
  CHECK_OK(rf_executor_shutdown(executor, true, true)); /* again: nothing left to do */
  CHECK_OK(rf_executor_shutdown(executor, false, false));
  CHECK_INT(2, rf_executor_max_workers(executor));
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
  rf_executor_free(executor);
}

static void shutdown_that_does_not_wait(void) {
  rf_executor *executor = new_threads(1);
  rf_session *session = session_asking_for_77(executor);
  const char *gate = unique("nowait");
  rf_future *slow = get(session, gate_url(gate), NULL);
  rf_future *queued = get(session, http("/hello"), NULL), *late;
  gate_wait(gate, 1);
  CHECK_OK(rf_executor_shutdown(executor, false, false));
  CHECK(!rf_future_done(slow));
  CHECK(!rf_future_cancelled(queued));
  CHECK_STATUS(RF_E_SHUTDOWN, rf_session_get(session, http("/hello"), NULL, &late));
  gate_open(gate);
  RESPONSE(slow); /* what was submitted before runs all the same */
  RESPONSE(queued);
  rf_future_free(slow);
  rf_future_free(queued);
  rf_session_free(session);
  rf_executor_free(executor);
}

static void shutdown_that_cancels(void) {
  rf_executor *executor = new_threads(1);
  rf_session *session = session_asking_for_77(executor);
  const char *gate = unique("cancels");
  rf_future *slow = get(session, gate_url(gate), NULL);
  rf_future *queued = get(session, http("/hello"), NULL);
  gate_wait(gate, 1);
  CHECK_OK(rf_executor_shutdown(executor, false, true));
  CHECK(rf_future_cancelled(queued));
  CHECK(rf_future_running(slow)); /* what runs goes on */
  gate_open(gate);
  RESPONSE(slow);
  CHECK_OK(rf_executor_shutdown(executor, true, true));
  rf_future_free(slow);
  rf_future_free(queued);
  rf_session_free(session);
  rf_executor_free(executor);
}

/* A worker that shuts its own pool down does not wait for itself. */
static void shut_down(rf_future *future, void *user_data) {
  (void)future;
  CHECK_OK(rf_executor_shutdown(user_data, true, false));
}

static void shutdown_from_a_worker(void) {
  rf_executor *executor = new_threads(2);
  rf_session *session = session_asking_for_77(executor);
  const char *gate = unique("worker");
  rf_future *future = get(session, gate_url(gate), NULL), *late;
  CHECK_OK(rf_future_add_done_callback(future, shut_down, executor, NULL));
  gate_open(gate);
  CHECK_OK(rf_executor_shutdown(executor, true, false));
  RESPONSE(future);
  CHECK_STATUS(RF_E_SHUTDOWN, rf_session_get(session, http("/hello"), NULL, &late));
  rf_future_free(future);
  rf_session_free(session);
  rf_executor_free(executor);
}

/* A worker that would wait for work that only it could do is told so. */
static void wait_for_pending(rf_future *future, void *user_data) {
  rf_future *pending = user_data;
  const rf_response *response = (void *)user_data;
  const rf_error *error = (void *)user_data;
  rf_completed *completed = NULL;
  bool done[1];
  (void)future;
  CHECK_STATUS(RF_E_DEADLOCK, rf_future_result(pending, RF_FOREVER, &response));
  CHECK_NULL(response);
  CHECK_STATUS(RF_E_DEADLOCK, rf_future_exception(pending, RF_FOREVER, &error));
  CHECK_NULL(error);
  CHECK_STATUS(RF_E_DEADLOCK, rf_wait(&pending, 1, RF_FOREVER, RF_ALL_COMPLETED, done));
  CHECK_OK(rf_as_completed(&pending, 1, &completed));
  CHECK_STATUS(RF_E_DEADLOCK, rf_completed_next(completed, RF_FOREVER, NULL, NULL));
  rf_completed_free(completed);
  CHECK_STATUS(RF_TIMEOUT, rf_future_result(pending, 0, &response)); /* asking is no waiting */
}

static rf_status wait_for_it_in_a_hook(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response;
  wait_for_pending(NULL, LOAD(*(rf_future **)user_data));
  return RF_OK;
}

static void deadlocks_are_refused(bool in_hook) {
  rf_session *session = new_session_workers(1);
  const char *gate = unique("deadlock");
  rf_options *options = new_options();
  rf_future *pending = NULL;
  if (in_hook) CHECK_OK(rf_options_add_hook(options, wait_for_it_in_a_hook, &pending, NULL));
  rf_future *slow = get(session, gate_url(gate), options), *made = get(session, http("/hello"), NULL);
  __atomic_store_n(&pending, made, __ATOMIC_SEQ_CST);
  gate_wait(gate, 1);
  if (!in_hook) CHECK_OK(rf_future_add_done_callback(slow, wait_for_pending, pending, NULL));
  gate_open(gate);
  RESPONSE(slow);
  RESPONSE(pending);
  rf_session_close(session, RF_CLOSE_WAIT);
  rf_future_free(slow);
  rf_future_free(pending);
  rf_options_free(options);
  rf_session_free(session);
}

/* With a second worker to take it, waiting is fine. */
static void wait_for_other(rf_future *future, void *user_data) {
  (void)future;
  RESPONSE(user_data);
}

static void waiting_for_another_worker(void) {
  rf_session *session = new_session_workers(2);
  const char *gate = unique("another");
  rf_future *slow = get(session, gate_url(gate), NULL);
  gate_wait(gate, 1);
  rf_future *other = get(session, http("/delay/0.2"), NULL);
  CHECK_OK(rf_future_add_done_callback(slow, wait_for_other, other, NULL));
  gate_open(gate);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_future_free(slow);
  rf_future_free(other);
  rf_session_free(session);
}

int main(void) {
  workers_are_counted();
  as_many_at_once_as_workers(8, 4000, 5900);
  as_many_at_once_as_workers(32, 1000, 2000);
  first_in_first_out();
  shared_by_sessions();
  shutdown_that_waits();
  shutdown_that_does_not_wait();
  shutdown_that_cancels();
  shutdown_from_a_worker();
  deadlocks_are_refused(true);
  /* A callback that waits has lost the loop to another thread. */
  if (!on_events()) deadlocks_are_refused(false);
  waiting_for_another_worker();
  return finish();
}
