/* process_pool - hooks that may crash: every request and its hooks run in a worker process.
 *
 *   ./process_pool http://localhost:8000        or  URL=http://localhost:8000 ./process_pool
 */
#include <requests_futures.h>
#include <stdio.h>
#include <stdlib.h>

/* In process_pool_hooks.c, a shared object of its own: there a worker finds it by its name. */
rf_status summarize(rf_hook_call *call, const rf_response *response, void *user_data);

int main(int argc, char **argv) {
  const char *base = argc > 1 ? argv[1] : getenv("URL");
  const char *paths[] = {"/get", "/json", "/html", "/robots.txt"};
  rf_future *futures[4] = {NULL};
  char url[1024];
  int failed = 0, answered = 0, broken = 0;

  if (base == NULL) {
    fprintf(stderr, "usage: %s URL\n", argv[0]);
    return 2;
  }
  rf_executor *workers = NULL;
  rf_config *config = NULL;
  rf_session *session = NULL;
  rf_options *options = NULL;
  if (rf_executor_new_processes(2, &workers) != RF_OK || rf_config_new(&config) != RF_OK ||
      rf_config_set_executor(config, workers) != RF_OK || rf_session_new(config, &session) != RF_OK ||
      rf_options_new(&options) != RF_OK) {
    return 1;
  }
  rf_options_add_hook(options, summarize, NULL, NULL);
  for (int i = 0; i < 4; i++) {
    snprintf(url, sizeof url, "%s%s", base, paths[i]);
    if (rf_session_get(session, url, options, &futures[i]) != RF_OK) failed = 1;
  }

  for (int i = 0; i < 4; i++) {
    const rf_response *response;
    const rf_error *error = NULL;
    if (rf_future_result(futures[i], RF_FOREVER, &response) == RF_OK) {
      /* What the hook attached has come back with the response. */
      printf("%s: %s\n", paths[i], (const char *)rf_response_extra(response, "summary", NULL));
      answered++;
    } else {
      rf_future_exception(futures[i], RF_FOREVER, &error);
      printf("%s: %s\n", paths[i], rf_error_message(error));
      /* The worker died of this one. Another has taken its place. */
      if (rf_error_is(error, RF_ERROR_BROKEN_POOL)) broken++;
    }
    rf_future_free(futures[i]);
  }

  rf_options_free(options);
  rf_config_free(config);
  rf_session_free(session);
  rf_executor_shutdown(workers, true, false); /* the workers have ended when it returns */
  rf_executor_free(workers);
  return failed || answered != 3 || broken != 1;
}
