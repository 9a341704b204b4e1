/* libcurl's easy interface: a thread for each request in flight, each with a handle of its own that is used again. */
#include "curl.h"

#include <pthread.h>

static long wanted, started, resumed;
static pthread_barrier_t begin, end;

static void run(struct transfer *transfer) {
  long number;
  while ((number = __atomic_fetch_add(&started, 1, __ATOMIC_RELAXED)) < wanted) {
    aim(transfer, number);
    CURLcode result = curl_easy_perform(transfer->easy);
    if (look_at(transfer, result)) __atomic_fetch_add(&resumed, 1, __ATOMIC_RELAXED);
  }
}

static void *worker(void *unused) {
  (void)unused;
  struct transfer transfer = {0};
  set_up(&transfer);
  for (int phase = 0; phase < 2; phase++) {
    pthread_barrier_wait(&begin);
    run(&transfer);
    pthread_barrier_wait(&end);
  }
  return NULL;
}

static void phase(const char *url, long requests) {
  urls = urls_of(url, work.hosts);
  wanted = requests;
  started = resumed = 0;
  pthread_barrier_wait(&begin);
  pthread_barrier_wait(&end);
}

int main(int argc, char **argv) {
  work = work_from(argc, argv);
  curl_global_init(CURL_GLOBAL_ALL);
  body = body_of(work.body);
  pthread_barrier_init(&begin, NULL, (unsigned)work.in_flight + 1);
  pthread_barrier_init(&end, NULL, (unsigned)work.in_flight + 1);
  for (int i = 0; i < work.in_flight; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, worker, NULL) != 0) fail("no thread");
    pthread_detach(thread);
  }
  phase(work.warm_url, work.warm);
  struct meter before = meter_now();
  phase(work.url, work.requests);
  report(before, work.requests, resumed);
  return 0;
}
