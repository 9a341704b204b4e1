/* download - streams a large body into a file, with a progress bar on a terminal. What breaks off goes on where it was: in
 * the same run, and in the next one.
 *
 *   ./download http://localhost:8000 [PATH [FILE]]        or  URL=http://localhost:8000 ./download
 *
 * Without a PATH the server has to have the route /breaking, as the local server does: a file that breaks off ten times, and
 * its check sum. SIZE=1000000000 ./download ... makes it 1 GB instead of 100 MB.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <requests_futures.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Called on the worker: at the start, at most every 100 ms, and at the end. Totals are -1 while unknown; what was there
   already counts. Anything but RF_OK would end the request. */
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

/* FNV-1a. */
static uint64_t sum_of(const char *path) {
  static unsigned char buffer[1 << 16];
  uint64_t sum = UINT64_C(0xcbf29ce484222325);
  FILE *file = fopen(path, "rb");
  size_t count;
  while (file != NULL && (count = fread(buffer, 1, sizeof buffer, file)) > 0) {
    for (size_t i = 0; i < count; i++) sum = (sum ^ buffer[i]) * UINT64_C(0x100000001b3);
  }
  if (file != NULL) fclose(file);
  return sum;
}

/* Whether the file is what the server says that it is. */
static int is_right(rf_session *session, const char *url, const char *file) {
  rf_future *future = NULL;
  const rf_response *response = NULL;
  char sum[32];
  if (rf_session_get(session, url, NULL, &future) != RF_OK) return 0;
  rf_future_result(future, RF_FOREVER, &response);
  snprintf(sum, sizeof sum, "%016" PRIx64, sum_of(file));
  int right = response != NULL && rf_response_ok(response) && strcmp(sum, rf_response_text(response, NULL)) == 0;
  printf("%s: check sum %s, %s\n", file, sum, right ? "as the server says" : "which is wrong");
  rf_future_free(future);
  return right;
}

int main(int argc, char **argv) {
  const char *base = argc > 1 ? argv[1] : getenv("URL");
  const char *path = argc > 2 ? argv[2] : NULL;
  const char *size = getenv("SIZE") != NULL ? getenv("SIZE") : "100000000";
  char *file = argc > 3 ? argv[3] : "download.bin";
  char url[1024];
  int failed = 0;

  if (base == NULL) {
    fprintf(stderr, "usage: %s URL [PATH [FILE]]\n", argv[0]);
    return 2;
  }
  rf_session *session = NULL;
  rf_options *options = NULL;
  rf_retry *retry = NULL;
  rf_future *future = NULL;
  if (rf_session_new(NULL, &session) != RF_OK || rf_options_new(&options) != RF_OK) return 1;

  /* Until it is complete the body is in FILE.part: there is never half a download under its name, and never a whole one in
     memory. What is in there is gone on with, unless the server has another file by now. */
  rf_options_set_output_file(options, file);
  rf_options_set_output_mode(options, RF_OUTPUT_RESUME);
  if (rf_retry_new(20, &retry) != RF_OK) return 1;
  rf_retry_set_backoff(retry, path != NULL ? 500 : 20, path != NULL ? 10000 : 50, 0.5);
  rf_options_set_retry(options, retry);
  rf_options_set_timeout(options, 5000, 30000);
  rf_options_set_raise_for_status(options, true); /* the answer to a wrong path is an error, and no file */
  if (isatty(STDERR_FILENO)) rf_options_set_progress(options, bar, file, NULL);

  if (path != NULL) snprintf(url, sizeof url, "%s%s", base, path);
  else snprintf(url, sizeof url, "%s/breaking/%s?key=download-%ld&times=10", base, size, (long)getpid());
  if (rf_session_get(session, url, options, &future) != RF_OK) return 1;

  const rf_response *response;
  const rf_error *error = NULL;
  rf_status status = rf_future_result(future, RF_FOREVER, &response);
  if (isatty(STDERR_FILENO)) fprintf(stderr, "\n");
  if (status == RF_OK) {
    const char *type = rf_response_header(response, "content-type");
    printf("%s: %s\n", file, type != NULL ? type : "unknown type");
    snprintf(url, sizeof url, "%s/breaking/%s/fnv1a", base, size);
    if (path == NULL) failed = !is_right(session, url, file);
  } else {
    rf_future_exception(future, 0, &error);
    fprintf(stderr, "%s\n", rf_error_message(error));
    failed = 1;
  }

  rf_future_free(future);
  rf_retry_free(retry);
  rf_options_free(options);
  rf_session_free(session);
  return failed;
}
