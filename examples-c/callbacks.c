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
  int *status_code; /* where main looks for it in the end */
} note;

/* Runs on the thread that finished the future. The future is borrowed; everything here may be called, and
   result does not wait any more. */
static void finished(rf_future *future, void *user_data) {
  const note *about = user_data;
  const rf_response *response;
  if (rf_future_result(future, 0, &response) == RF_OK) *about->status_code = rf_response_status_code(response);
  printf("%s is done: status %d\n", about->name, *about->status_code);
}

static note *new_note(const char *name, int *status_code) {
  note *about = malloc(sizeof *about);
  if (about == NULL) exit(1);
  about->name = name;
  about->status_code = status_code;
  return about;
}

int main(int argc, char **argv) {
  const char *base = argc > 1 ? argv[1] : getenv("URL");
  const char *names[] = {"first", "second", "third"};
  int status_codes[] = {0, 0, 0}, failed = 0;
  char url[1024];

  if (base == NULL) {
    fprintf(stderr, "usage: %s URL\n", argv[0]);
    return 2;
  }
  rf_session *session = NULL;
  if (rf_session_new(NULL, &session) != RF_OK) return 1;

  snprintf(url, sizeof url, "%s/get", base);
  for (size_t i = 0; i < 3; i++) {
    rf_future *future = NULL;
    note *about = new_note(names[i], &status_codes[i]);
    /* The last argument, here free, is called once with the user data when nobody needs it any more. A callback
       that is added too late, after the future has finished, runs at once. */
    if (rf_session_get(session, url, NULL, &future) != RF_OK ||
        rf_future_add_done_callback(future, finished, about, free) != RF_OK) {
      free(about); /* after a failed call every argument is still ours */
    }
    /* The request goes on without its handle, and the callback runs. */
    rf_future_free(future);
  }

  /* Waits until everything has run, callbacks included. */
  if (rf_session_close(session, RF_CLOSE_WAIT) != RF_OK) failed = 1;
  rf_session_free(session);
  for (size_t i = 0; i < 3; i++) failed |= status_codes[i] != 200;
  return failed;
}
