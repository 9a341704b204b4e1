/* download - streams a large body into a file, with a progress bar on a terminal.
 *
 *   ./download http://localhost:8000 [PATH [FILE]]        or  URL=http://localhost:8000 ./download
 */
#define _POSIX_C_SOURCE 200809L
#include <requests_futures.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Called on the worker: at the start, at most every 100 ms, and at the end. Totals are -1 while unknown. Anything
   but RF_OK would end the request. */
static rf_status bar(int64_t sent, int64_t send_total, int64_t received, int64_t receive_total, void *user_data) {
  const char *name = user_data;
  (void)sent, (void)send_total;
  if (receive_total > 0) {
    char filled[41] = "";
    int width = (int)(received * 40 / receive_total);
    for (int i = 0; i < width && i < 40; i++) filled[i] = '#', filled[i + 1] = '\0';
    fprintf(stderr, "\r%s [%-40s] %3d%%", name, filled, (int)(received * 100 / receive_total));
  } else {
    fprintf(stderr, "\r%s %lld bytes", name, (long long)received);
  }
  return RF_OK;
}

int main(int argc, char **argv) {
  const char *base = argc > 1 ? argv[1] : getenv("URL");
  const char *path = argc > 2 ? argv[2] : "/bytes/100000";
  char *file = argc > 3 ? argv[3] : "download.bin";
  char url[1024];
  int failed = 0;

  if (base == NULL) {
    fprintf(stderr, "usage: %s URL [PATH [FILE]]\n", argv[0]);
    return 2;
  }
  rf_session *session = NULL;
  rf_options *options = NULL;
  rf_future *future = NULL;
  if (rf_session_new(NULL, &session) != RF_OK || rf_options_new(&options) != RF_OK) return 1;

  /* The body goes to a temporary file beside this one, which takes its name when it is complete: there is never
     half a download under that name, and never a whole one in memory. */
  rf_options_set_output_file(options, file);
  rf_options_set_timeout(options, 5000, 30000);
  if (isatty(STDERR_FILENO)) rf_options_set_progress(options, bar, file, NULL);

  snprintf(url, sizeof url, "%s%s", base, path);
  if (rf_session_get(session, url, options, &future) != RF_OK) return 1;

  const rf_response *response;
  const rf_error *error = NULL;
  rf_status status = rf_future_result(future, RF_FOREVER, &response);
  if (isatty(STDERR_FILENO)) fprintf(stderr, "\n");
  if (status != RF_OK) rf_future_exception(future, 0, &error);
  /* The answer to a wrong path is a body as well, and now in the file. */
  else rf_response_raise_for_status(response, &error);

  if (error == NULL) {
    const char *type = rf_response_header(response, "content-type");
    printf("%s: %s\n", file, type != NULL ? type : "unknown type");
  } else {
    fprintf(stderr, "%s\n", rf_error_message(error));
    failed = 1;
  }

  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
  return failed;
}
