/* event_loop - requests in a program that has an event loop, here libuv's: no thread of its own, nothing blocks.
 *
 *   ./event_loop http://localhost:8000        or  URL=http://localhost:8000 ./event_loop
 *
 * Every event loop can do it that watches descriptors: rf_completed_fd is readable whenever a future has finished.
 */
#define _POSIX_C_SOURCE 200809L
#include <requests_futures.h>
#include <uv.h>
#include <stdio.h>
#include <stdlib.h>

enum { REQUESTS = 3 };

typedef struct program {
  rf_completed *completed;
  rf_future *futures[REQUESTS];
  uv_poll_t finished;
  uv_timer_t clock;
  int ticks, failed;
} program;

/* The loop goes on meanwhile. */
static void tick(uv_timer_t *clock) { ((program *)clock->data)->ticks++; }

/* Some future has finished: takes all that have, without waiting for others. */
static void take(uv_poll_t *handle, int error, int events) {
  program *self = handle->data;
  rf_future *future;
  size_t index;
  rf_status status;
  (void)events;
  if (error != 0) self->failed = 1;
  while ((status = rf_completed_next(self->completed, 0, &future, &index)) == RF_OK) {
    const rf_response *response;
    if (rf_future_result(future, 0, &response) == RF_OK) {
      printf("request %zu: status %d\n", index, rf_response_status_code(response));
      if (!rf_response_ok(response)) self->failed = 1;
    } else {
      printf("request %zu: no response\n", index);
      self->failed = 1;
    }
    /* More can be added here with rf_completed_add. */
  }
  if (status == RF_TIMEOUT && error == 0) return; /* some have not finished: the descriptor will say when */

  /* None is left, and with these two nothing keeps the loop running. Later they could be started anew. */
  uv_close((uv_handle_t *)&self->finished, NULL);
  uv_close((uv_handle_t *)&self->clock, NULL);
}

int main(int argc, char **argv) {
  static const char *const paths[REQUESTS] = {"/get", "/delay/0.5", "/get"};
  const char *base = argc > 1 ? argv[1] : getenv("URL");
  program self = {0};
  rf_session *session = NULL;
  char url[1024];

  if (base == NULL) {
    fprintf(stderr, "usage: %s URL\n", argv[0]);
    return 2;
  }
  if (rf_session_new(NULL, &session) != RF_OK || rf_as_completed(NULL, 0, &self.completed) != RF_OK) return 1;
  for (int i = 0; i < REQUESTS; i++) {
    snprintf(url, sizeof url, "%s%s", base, paths[i]);
    if (rf_session_get(session, url, NULL, &self.futures[i]) != RF_OK ||
        rf_completed_add(self.completed, self.futures[i]) != RF_OK) {
      return 1;
    }
  }

  uv_loop_t *loop = uv_default_loop();
  self.finished.data = self.clock.data = &self;
  if (uv_poll_init(loop, &self.finished, rf_completed_fd(self.completed)) != 0 ||
      uv_timer_init(loop, &self.clock) != 0) {
    return 1;
  }
  uv_poll_start(&self.finished, UV_READABLE, take);
  uv_timer_start(&self.clock, tick, 10, 10);
  uv_run(loop, UV_RUN_DEFAULT);
  uv_loop_close(loop);
  printf("the loop has turned: %s\n", self.ticks > 1 ? "yes" : "no");

  /* The descriptor belongs to the queue: the loop gives it up first. */
  rf_completed_free(self.completed);
  for (int i = 0; i < REQUESTS; i++) rf_future_free(self.futures[i]);
  rf_session_free(session);
  return self.failed;
}
