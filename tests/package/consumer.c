/* consumer URL: what a project of somebody else's does first. Exits with 0 when the server answers, also by way of a
   worker process, and the header is that of the library. */
#include <requests_futures.h>

#include <stdio.h>
#include <string.h>

static int fetch(const char *url, rf_executor *executor) {
  rf_config *config = NULL;
  rf_session *session = NULL;
  rf_future *future = NULL;
  const rf_response *response = NULL;
  const rf_error *error = NULL;
  int failed = 1;
  if (rf_config_new(&config) != RF_OK || (executor != NULL && rf_config_set_executor(config, executor) != RF_OK) ||
      rf_session_new(config, &session) != RF_OK || rf_session_get(session, url, NULL, &future) != RF_OK)
    fprintf(stderr, "no request\n");
  else if (rf_future_result(future, 60000, &response) == RF_OK && rf_response_ok(response))
    failed = 0;
  else if (rf_future_exception(future, 0, &error) == RF_OK && error != NULL)
    fprintf(stderr, "%s\n", rf_error_message(error));
  rf_future_free(future);
  rf_session_free(session);
  rf_config_free(config);
  return failed;
}

int main(int argc, char **argv) {
  rf_executor *workers = NULL;
  int failed;
  if (argc != 2) return 2;
  if (strcmp(rf_version(), RF_VERSION) != 0) {
    fprintf(stderr, "the header is of %s, the library of %s\n", RF_VERSION, rf_version());
    return 3;
  }
  failed = fetch(argv[1], NULL);
  if (rf_executor_new_processes(1, &workers) != RF_OK) return 4;
  failed |= fetch(argv[1], workers);
  rf_executor_free(workers);
  return failed;
}
