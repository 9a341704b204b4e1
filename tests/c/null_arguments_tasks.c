/* null_arguments.c for worker processes, executors of one's own and their tasks. */
#include "check.h"

static int drops;
static void count_drop(void *user_data) {
  (void)user_data;
  INCREMENT(drops);
}

static rf_status never_submit(rf_task *task, void *user_data) {
  (void)task, (void)user_data;
  FAIL("called");
  return RF_OK;
}

static rf_status never_write(const uint8_t *data, size_t length, void *user_data) {
  (void)data, (void)length, (void)user_data;
  FAIL("called");
  return RF_OK;
}

static void executors(void) {
  rf_executor *executor;
  rf_executor_ops ops = {.size = sizeof ops, .submit = never_submit};
  NO(rf_executor_new_processes(1, NULL));
  BAD_OUT(executor, rf_executor_new_processes(0, &executor));

  NO_OUT(executor, rf_executor_new_custom(NULL, NULL, count_drop, &executor));
  NO(rf_executor_new_custom(&ops, NULL, count_drop, NULL));
  ops.submit = NULL;
  NO_OUT(executor, rf_executor_new_custom(&ops, NULL, count_drop, &executor));
  ops.submit = never_submit;
  ops.size = 0;
  BAD_OUT(executor, rf_executor_new_custom(&ops, NULL, count_drop, &executor));
  CHECK_INT(0, drops);
}

static void no_task(void) {
  uint8_t *bytes;
  size_t length = 1;
  uint8_t byte = 0;
  rf_task_run(NULL);
  rf_task_free(NULL);
  NO_OUT(bytes, rf_task_encode(NULL, &bytes, &length));
  CHECK_INT(0, length);
  length = 1;
  NO_OUT(bytes, rf_task_execute(NULL, 1, &bytes, &length));
  CHECK_INT(0, length);
  NO(rf_task_execute(&byte, 1, NULL, &length));
  BAD_OUT(bytes, rf_task_execute(&byte, 1, &bytes, &length)); /* no task at all */
  NO(rf_task_complete(NULL, &byte, 1));
  rf_bytes_free(NULL, 0);

  CHECK(rf_task_format() > 0);
  CHECK_INT(0, rf_task_id(NULL));
  CHECK_NULL(rf_task_method(NULL));
  CHECK_NULL(rf_task_url(NULL));
  CHECK_INT(0, rf_task_priority(NULL));
  CHECK_INT(0, rf_task_deadline_ms(NULL));
  CHECK(!rf_task_is_repeatable(NULL));
  NO(rf_task_start(NULL));
  NO(rf_task_fail(NULL, RF_ERROR_CONNECTION, "message"));
  NO(rf_task_respond(NULL, NULL));
  length = 1;
  NO_OUT(bytes, rf_task_encode_for(NULL, RF_ENCODE_HERE, &bytes, &length));
  CHECK_INT(0, length);
  length = 1;
  NO_OUT(bytes, rf_task_execute_with(NULL, 1, RF_EXECUTE_ALL, NULL, &bytes, &length));
  CHECK_INT(0, length);
  NO(rf_task_execute_with(&byte, 1, RF_EXECUTE_ALL, NULL, NULL, &length));
  BAD_OUT(bytes, rf_task_execute_with(&byte, 1, RF_EXECUTE_ALL, NULL, &bytes, &length));
  NO(rf_task_execute_to(NULL, 1, RF_EXECUTE_ALL, NULL, never_write, NULL));
  NO(rf_task_execute_to(&byte, 1, RF_EXECUTE_ALL, NULL, NULL, NULL));
  BAD(rf_task_execute_to(&byte, 1, RF_EXECUTE_ALL, NULL, never_write, NULL));

  rf_reply *reply;
  NO(rf_stop_new(NULL));
  rf_stop_set(NULL);
  rf_stop_free(NULL);
  NO_OUT(reply, rf_reply_new(NULL, &reply));
  NO(rf_reply_add(NULL, &byte, 1));
  NO(rf_task_complete_with(NULL, NULL));
  rf_reply_free(NULL);
}

/* What can only be asked of a task: as an executor that refuses it in the end. */
static rf_status look_at_task(rf_task *task, void *user_data) {
  uint8_t byte = 0;
  size_t length = 1;
  *(int *)user_data += 1;
  NO(rf_task_encode(task, NULL, &length));
  CHECK_INT(0, length);
  NO(rf_task_encode_for(task, RF_ENCODE_HERE, NULL, &length));
  NO(rf_task_respond(task, NULL));
  NO(rf_task_complete_with(task, NULL));
  NO(rf_reply_new(task, NULL));
  rf_reply *reply = NULL;
  CHECK_OK(rf_reply_new(task, &reply));
  NO(rf_reply_add(reply, NULL, 1));
  NO(rf_task_complete_with(NULL, reply));
  rf_reply_free(reply);
  NO(rf_task_complete(task, NULL, 1)); /* it is still ours */
  BAD(rf_task_complete(task, &byte, 1));
  return RF_E_RESOURCE;
}

static void tasks(void) {
  rf_executor_ops ops = {.size = sizeof ops, .submit = look_at_task};
  rf_executor *executor = NULL;
  rf_config *config = NULL;
  rf_session *session = NULL;
  int looked = 0;
  CHECK_OK(rf_executor_new_custom(&ops, &looked, count_drop, &executor));
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_executor(config, executor));
  CHECK_OK(rf_session_new(config, &session));
  rf_future *future = get(session, "http://127.0.0.1:1/", NULL);
  ERROR_OF(RF_ERROR_SHUTDOWN, future);
  CHECK_INT(1, looked);
  rf_future_free(future);
  rf_session_free(session);
  rf_config_free(config);
  rf_executor_free(executor);
  EVENTUALLY(LOAD(drops) == 1);
}

int main(void) {
  executors();
  no_task();
  tasks();
  return finish();
}
