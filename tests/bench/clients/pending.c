/* What a future costs that waits for its turn: the only worker of the session is held up by the first request, so all
   others stay pending. in-flight: how many are pending at once; requests: how many are submitted in all. */
#include "client.h"

#include <requests_futures.h>

static void ok(rf_status status) {
  if (status != RF_OK) fail(rf_status_name(status));
}

static double thread_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  struct work work = work_from(argc, argv);
  rf_config *config;
  rf_session *session;
  rf_future *first;
  ok(rf_config_new(&config));
  ok(rf_config_set_max_workers(config, 1));
  ok(rf_session_new(config, &session));
  ok(rf_session_get(session, work.url, NULL, &first));
  while (!rf_future_running(first)) usleep(1000);

  size_t at_once = (size_t)work.in_flight;
  rf_future **futures = must(malloc(at_once * sizeof *futures));
  memset(futures, 1, at_once * sizeof *futures); /* resident from the start */
  double submitting = 0, cancelling = 0;
  long kb = 0, rounds = work.requests / work.in_flight;
  /* The first round is there to warm up, unless it is the only one. */
  for (long round = rounds > 1 ? -1 : 0; round < rounds; round++) {
    long before_kb = memory_kb("VmRSS");
    double start = thread_seconds();
    for (size_t i = 0; i < at_once; i++) ok(rf_session_get(session, work.url, NULL, &futures[i]));
    double between = thread_seconds();
    if (rounds == 1) kb = memory_kb("VmRSS") - before_kb;
    double between_too = thread_seconds();
    for (size_t i = 0; i < at_once; i++) {
      if (!rf_future_cancel(futures[i])) fail("it was not pending");
      rf_future_free(futures[i]);
    }
    double end = thread_seconds();
    /* Looking at the clock takes time as well. */
    double clock = thread_seconds() - end;
    if (round < 0) continue;
    submitting += between - start - clock;
    cancelling += end - between_too - clock;
  }
  double submitted = (double)(rounds * work.in_flight);
  printf("{\"submit_us\": %.4f, \"cancel_us\": %.4f, \"bytes\": %.1f, \"url_bytes\": %zu}\n", submitting / submitted * 1e6,
         cancelling / submitted * 1e6, (double)kb * 1024 / (double)work.in_flight, strlen(work.url));
  rf_future_abort(first);
  rf_future_free(first);
  ok(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
  return 0;
}
