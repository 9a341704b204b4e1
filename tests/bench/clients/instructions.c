/* The main paths on one thread, so that callgrind counts the same at each run: the executor only keeps the task, and this
   thread then runs it or frees it.
   mode=submit: submit, free the task, free the future, which is cancelled.
   mode=completed: the same, the future being added to an rf_completed before and taken from it after.
   mode=get: a small GET on a pooled connection, from submitting to freeing. The server is another process. */
#include "client.h"

#include <requests_futures.h>

static rf_task *submitted;

static void ok(rf_status status) {
  if (status != RF_OK) fail(rf_status_name(status));
}

static rf_status keep(rf_task *task, void *user_data) {
  (void)user_data;
  submitted = task;
  return RF_OK;
}

int main(int argc, char **argv) {
  struct work work = work_from(argc, argv);
  bool get = strcmp(work.mode, "get") == 0, completes = strcmp(work.mode, "completed") == 0;
  rf_executor_ops ops = {.size = sizeof ops, .submit = keep};
  rf_executor *executor;
  rf_config *config;
  rf_session *session;
  rf_completed *completed;
  ok(rf_executor_new_custom(&ops, NULL, NULL, &executor));
  ok(rf_config_new(&config));
  ok(rf_config_set_executor(config, executor));
  ok(rf_session_new(config, &session));
  ok(rf_as_completed(NULL, 0, &completed));
  for (long i = 0; i < work.requests; i++) {
    rf_future *future, *taken;
    const rf_response *response;
    size_t length;
    ok(rf_session_get(session, work.url, NULL, &future));
    if (completes) ok(rf_completed_add(completed, future));
    if (get) {
      rf_task_run(submitted);
      ok(rf_future_result(future, 0, &response));
      rf_response_content(response, &length);
      if (rf_response_status_code(response) != 200 || length != (size_t)work.expect) fail("answer");
    } else {
      rf_task_free(submitted);
    }
    if (completes) ok(rf_completed_next(completed, 0, &taken, NULL));
    rf_future_free(future);
  }
  rf_completed_free(completed);
  rf_session_free(session);
  rf_config_free(config);
  rf_executor_free(executor);
  return 0;
}
