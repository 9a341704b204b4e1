/* basic - two requests at once, and waiting only when an answer is needed.
 *
 *   ./basic http://localhost:8000        or  URL=http://localhost:8000 ./basic
 */
#include <requests_futures.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  const char *base = argc > 1 ? argv[1] : getenv("URL");
  char url[1024];
  int failed = 0;

  if (base == NULL) {
    fprintf(stderr, "usage: %s URL\n", argv[0]);
    return 2;
  }

  /* A session with the default settings: 8 worker threads, connections kept alive, cookies remembered. */
  rf_session *session = NULL;
  if (rf_session_new(NULL, &session) != RF_OK) return 1;

  /* The first request is started in the background ... */
  rf_future *one = NULL, *two = NULL;
  snprintf(url, sizeof url, "%s/get", base);
  if (rf_session_get(session, url, NULL, &one) != RF_OK) failed = 1;

  /* ... and so is the second, immediately. The URL was copied: the buffer may be used again. */
  snprintf(url, sizeof url, "%s/get?foo=bar", base);
  if (rf_session_get(session, url, NULL, &two) != RF_OK) failed = 1;

  /* Wait for the first to complete, if it has not already. The response is borrowed: it lives as long as its
     future does. */
  const rf_response *response;
  if (rf_future_result(one, RF_FOREVER, &response) == RF_OK) {
    printf("response one status: %d\n", rf_response_status_code(response));
    printf("%s\n", rf_response_text(response, NULL));
  } else {
    failed = 1;
  }

  /* What went wrong is told by rf_future_exception. This does not wait any more, the future is done. */
  if (rf_future_result(two, RF_FOREVER, &response) == RF_OK) {
    printf("response two status: %d\n", rf_response_status_code(response));
    printf("%s\n", rf_response_text(response, NULL));
  } else {
    const rf_error *error = NULL;
    rf_future_exception(two, 0, &error);
    fprintf(stderr, "response two: %s\n", rf_error_message(error));
    failed = 1;
  }

  /* NULL is fine for every free function, and none of them waits. */
  rf_future_free(one);
  rf_future_free(two);
  rf_session_free(session);
  return failed;
}
