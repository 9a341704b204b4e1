/* events - server-sent events: shows the words of an answer as they come, as chat services send them.
 *
 *   ./events http://localhost:8000       or  URL=http://localhost:8000 ./events
 *
 * The server has to have the route /chunks, which says what it is asked to say, as the local server does.
 */
#include <requests_futures.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An answer of seven words, one every 100 ms, and what says that it is over. */
#define PATH                                                                                                       \
  "/chunks?type=text/event-stream&ms=100&c=id:1%0Adata:Events%0A%0A&c=id:2%0Adata:%20%20are%0A%0A"                   \
  "&c=id:3%0Adata:%20%20shown%0A%0A&c=id:4%0Adata:%20%20as%0A%0A&c=:still%20here%0A%0A&c=id:5%0Adata:%20%20they%0A%0A" \
  "&c=id:6%0Adata:%20%20come.%0A%0A&c=event:done%0Adata%0A%0A"

int main(int argc, char **argv) {
  const char *base = argc > 1 ? argv[1] : getenv("URL");
  char url[1024];
  rf_session *session = NULL;
  rf_options *options = NULL;
  rf_future *future = NULL;
  const rf_response *response;
  const rf_event *event;
  const rf_error *error = NULL;

  if (base == NULL) {
    fprintf(stderr, "usage: %s URL\n", argv[0]);
    return 2;
  }
  snprintf(url, sizeof url, "%s%s", base, PATH);
  if (rf_session_new(NULL, &session) != RF_OK || rf_options_new(&options) != RF_OK) return 1;

  /* The future is over with the head; the body is read here, event by event. */
  rf_options_set_stream(options, true);
  rf_options_set_header(options, "Accept", "text/event-stream");
  rf_options_set_timeout(options, 5000, 30000); /* the longest silence; comments keep a stream alive */
  if (rf_session_get(session, url, options, &future) != RF_OK) return 1;

  bool is_done = false;
  rf_status status = rf_future_result(future, RF_FOREVER, &response);
  if (status != RF_OK) rf_future_exception(future, 0, &error);
  else status = rf_response_raise_for_status(response, &error);
  while (status == RF_OK && !is_done && (status = rf_response_read_event(response, &event, &error)) == RF_OK) {
    is_done = strcmp(rf_event_type(event), "done") == 0;
    printf("%s", is_done ? "\n" : rf_event_data(event, NULL));
    fflush(stdout);
  }
  if (!is_done) fprintf(stderr, "\n%s\n", error != NULL ? rf_error_message(error) : "the stream ended too soon");

  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
  return is_done ? 0 : 1;
}
