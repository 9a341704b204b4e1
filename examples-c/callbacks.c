/* callbacks - being told when a request is done, instead of asking.
 *
 *   ./callbacks http://localhost:8000        or  URL=http://localhost:8000 ./callbacks
 */
#include <requests_futures.h>
#include <stdio.h>
#include <stdlib.h>

/* What a callback needs to know comes in its user data. */
typedef struct note {
  const char *name;
  int status_code;
} note;

/* Runs on the thread that finished the future. The future is borrowed; everything here may be called, and
   result does not wait any more. */
static void finished(rf_future *future, void *user_data) {
  note *about = user_data;
  const rf_response *response;
  if (rf_future_result(future, 0, &response) == RF_OK) about->status_code = rf_response_status_code(response);
  printf("%s is done\n", about->name);
}

/* Runs exactly once, after the callback's last call: the place to free what belongs to it. */
static void report(void *user_data) {
  note *about = user_data;
  printf("%s: status %d\n", about->name, about->status_code);
  free(about);
}

static note *new_note(const char *name) {
  note *about = calloc(1, sizeof *about);
  if (about == NULL) exit(1);
  about->name = name;
  return about;
}

int main(int argc, char **argv) {
  const char *base = argc > 1 ? argv[1] : getenv("URL");
  const char *names[] = {"first", "second", "third"};
  char url[1024];
  int failed = 0;

  if (base == NULL) {
    fprintf(stderr, "usage: %s URL\n", argv[0]);
    return 2;
  }
  rf_session *session = NULL;
  if (rf_session_new(NULL, &session) != RF_OK) return 1;

  snprintf(url, sizeof url, "%s/get", base);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    rf_future *future = NULL;
    note *about = new_note(names[i]);
    /* A callback that is added too late, after the future has finished, runs at once. */
    if (rf_session_get(session, url, NULL, &future) != RF_OK ||
        rf_future_add_done_callback(future, finished, about, report) != RF_OK) {
      free(about); /* after a failed call every argument is still ours */
      failed = 1;
    }
    /* The request goes on without its handle, and the callback runs. */
    rf_future_free(future);
  }

  /* Waits until everything has run, callbacks included. */
  if (rf_session_close(session, RF_CLOSE_WAIT) != RF_OK) failed = 1;
  rf_session_free(session);
  return failed;
}
