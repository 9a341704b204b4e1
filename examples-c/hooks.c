/* hooks - parses the answer in the background: on the worker, before the future is done.
 *
 *   ./hooks http://localhost:8000        or  URL=http://localhost:8000 ./hooks
 */
#include <requests_futures.h>
#include <stdio.h>
#include <stdlib.h>

/* What the hook makes of a response. */
typedef struct summary {
  size_t members;
  size_t bytes;
} summary;

/* Runs on a worker thread, once for every response of the request, redirects included. Reading the body here is
   what a hook is for: nobody waits for the parsing but this request. */
static rf_status parse(rf_hook_call *call, const rf_response *response, void *user_data) {
  const rf_json *json;
  const rf_error *error;
  (void)user_data;

  if (rf_response_json(response, &json, &error) != RF_OK) {
    return rf_hook_fail(call, rf_error_message(error)); /* the future fails with RF_ERROR_HOOK */
  }
  summary *made = malloc(sizeof *made);
  if (made == NULL) return rf_hook_fail(call, "out of memory");
  made->members = rf_json_size(json);
  rf_response_content(response, &made->bytes);

  /* The response carries it from here, and frees it in the end. */
  return rf_response_set_data(response, made, free);
}

int main(int argc, char **argv) {
  const char *base = argc > 1 ? argv[1] : getenv("URL");
  char url[1024];
  int failed = 0;

  if (base == NULL) {
    fprintf(stderr, "usage: %s URL\n", argv[0]);
    return 2;
  }
  rf_session *session = NULL;
  rf_options *options = NULL;
  if (rf_session_new(NULL, &session) != RF_OK || rf_options_new(&options) != RF_OK) return 1;

  /* For every request of the session; hooks given to a single request would replace it. */
  rf_options_add_hook(options, parse, NULL, NULL);
  if (rf_session_update(session, options) != RF_OK) failed = 1;
  rf_options_free(options);

  /* The second one is no JSON: there the hook refuses. */
  const char *paths[] = {"/get", "/html"};
  rf_future *futures[] = {NULL, NULL};
  for (size_t i = 0; i < 2; i++) {
    snprintf(url, sizeof url, "%s%s", base, paths[i]);
    if (rf_session_get(session, url, NULL, &futures[i]) != RF_OK) failed = 1;
  }

  const rf_response *response;
  if (rf_future_result(futures[0], RF_FOREVER, &response) == RF_OK) {
    const summary *made = rf_response_data(response); /* already parsed */
    printf("%s: %zu members in %zu bytes\n", paths[0], made->members, made->bytes);
  } else {
    failed = 1;
  }

  const rf_error *error = NULL;
  rf_future_exception(futures[1], RF_FOREVER, &error);
  if (rf_error_is(error, RF_ERROR_HOOK)) {
    printf("%s: %s\n", paths[1], rf_error_message(error));
  } else {
    failed = 1;
  }

  rf_future_free(futures[0]);
  rf_future_free(futures[1]);
  rf_session_free(session);
  return failed;
}
