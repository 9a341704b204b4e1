/* A set-uid program on a process pool, whose environment is that of somebody else. tests/c_programs.rs sees to it that
   it is one, that the library and its worker lie beside each other, and that the environment names another worker. */
#include "check.h"

int main(void) {
  rf_executor *executor = NULL;
  rf_session *session = NULL;
  if (geteuid() == getuid()) {
    printf("skipped: the system does not obey the set-uid bit here\n");
    return 0;
  }
  CHECK_STR("/nonexistent", getenv("REQUESTS_FUTURES_WORKER"));
  CHECK_OK(rf_executor_new_processes(1, &executor));
  session = session_on(executor);
  for (int i = 0; i < 2; i++) {
    rf_future *future = get(session, http("/hello"), NULL);
    CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
    rf_future_free(future);
  }
  /* Nor does it tell the secrets of its connections, here and in a worker process: tests/c_programs.rs looks at the file. */
  CHECK(getenv("SSLKEYLOGFILE") != NULL);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_verify(options, false));
  rf_session *here = new_session();
  rf_session *const both[] = {session, here};
  for (int i = 0; i < 2; i++) {
    rf_future *future = get(both[i], text("%s/hello", env("RF_TEST_HTTPS")), options);
    CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
    rf_future_free(future);
  }
  rf_options_free(options);
  rf_session_free(here);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  CHECK_OK(rf_executor_shutdown(executor, true, false));
  rf_session_free(session);
  rf_executor_free(executor);
  return finish();
}
