/* fork(): in the child what was made before gives errors and never hangs, and what is made there works. */
#include "check.h"

#include <signal.h>
#include <sys/wait.h>

static rf_session *session;
static rf_executor *executor;
static rf_future *slow, *queued, *done;
static rf_completed *completed;

static void in_the_child(void) {
  const rf_response *response = NULL;
  const rf_error *error = NULL;
  rf_future *future = (void *)session;
  bool over[2];
  rf_future *const both[] = {slow, done};

  /* What was over stays readable. */
  CHECK_OK(rf_future_result(done, RF_FOREVER, &response));
  CHECK_STR("Hello, world!", rf_response_text(response, NULL));
  /* What was not over never will be. */
  CHECK_STATUS(RF_E_SHUTDOWN, rf_future_result(slow, RF_FOREVER, &response));
  CHECK_STATUS(RF_E_SHUTDOWN, rf_future_exception(queued, RF_FOREVER, &error));
  CHECK_STATUS(RF_E_SHUTDOWN, rf_wait(both, 2, RF_FOREVER, RF_ALL_COMPLETED, over));
  CHECK(!over[0] && over[1]);
  CHECK(!rf_future_cancel(queued));
  CHECK(!rf_future_abort(slow));
  CHECK_STATUS(RF_E_SHUTDOWN, rf_completed_next(completed, RF_FOREVER, NULL, NULL));
  CHECK_STATUS(RF_E_SHUTDOWN, rf_session_get(session, http("/hello"), NULL, &future));
  CHECK_NULL(future);
  CHECK_STATUS(RF_E_SHUTDOWN, rf_session_close(session, RF_CLOSE_WAIT));
  CHECK_OK(rf_executor_shutdown(executor, true, true));
  rf_completed_free(completed);
  rf_future_free(slow);
  rf_future_free(queued);
  rf_future_free(done);
  rf_session_free(session);
  rf_executor_free(executor);

  /* New ones work, deadlines and look-ups included. */
  rf_session *own = new_session();
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 20000));
  future = get(own, text("http://localhost:%s/hello", env("RF_TEST_HTTP_PORT")), options);
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  rf_options_free(options);
  CHECK_OK(rf_session_close(own, RF_CLOSE_WAIT));
  rf_session_free(own);
}

int main(void) {
  CHECK_OK(rf_executor_new_threads(1, &executor));
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_executor(config, executor));
  CHECK_OK(rf_session_new(config, &session));
  rf_config_free(config);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 60000)); /* there is a timer */
  done = get(session, http("/hello"), options);
  RESPONSE(done);
  const char *gate = unique("fork");
  slow = get(session, gate_url(gate), options);
  gate_wait(gate, 1);
  queued = get(session, http("/hello"), options);
  rf_future *const open[] = {slow, queued};
  CHECK_OK(rf_as_completed(open, 2, &completed));

  int ends[2];
  char answer = 'n';
  CHECK_INT(0, pipe(ends));
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(60 * (unsigned)patience()); /* a hang is a failure */
    in_the_child();
    CHECK_INT(1, write(ends[1], "y", 1));
    /* What the threads held that stayed behind is lost here, which is no leak that valgrind should look for. */
    kill(getpid(), SIGKILL);
  }
  close(ends[1]);
  CHECK_INT(1, read(ends[0], &answer, 1));
  CHECK_INT('y', answer);
  close(ends[0]);
  CHECK(waitpid(child, NULL, 0) == child);

  /* The parent has noticed nothing. */
  gate_open(gate);
  RESPONSE(slow);
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(queued), NULL));
  rf_completed_free(completed);
  rf_future_free(slow);
  rf_future_free(queued);
  rf_future_free(done);
  rf_options_free(options);
  rf_session_free(session);
  CHECK_OK(rf_executor_shutdown(executor, true, false));
  rf_executor_free(executor);
  return finish();
}
