/* This library, used through its header in four ways.
   mode=list: everything is submitted, then taken from rf_completed: the queue is never empty.
   mode=completed: as many are submitted as are to be in flight, and one more for each that rf_completed delivers.
   mode=callbacks: the callback of a request that is over submits the next.
   mode=processes: a list, run by as many worker processes as are to be in flight.
   mode=events-list, events-completed, events-callbacks: the first three on one event loop. */
#include "client.h"

#include <pthread.h>
#include <requests_futures.h>

static struct work work;
static rf_session *session;
static rf_options *options;
static char **urls;

static void ok(rf_status status) {
  if (status != RF_OK) fail(rf_status_name(status));
}

static rf_future *submit(long number) {
  rf_future *future;
  ok(rf_session_request(session, work.method, urls[number % work.hosts], options, &future));
  return future;
}

/* The body is for a function: each piece is looked at and let go. One request at a time has one. */
static size_t given;

static rf_status pass(const uint8_t *data, size_t length, void *user_data) {
  (void)data, (void)user_data;
  given += length;
  return RF_OK;
}

/* Whether the server resumed a session. Fails unless the answer is the expected one. */
static bool look_at(const rf_future *future) {
  const rf_response *response;
  const rf_error *error;
  size_t length;
  if (rf_future_result(future, 0, &response) != RF_OK) {
    ok(rf_future_exception(future, 0, &error));
    fail(rf_error_message(error));
  }
  if (!rf_response_ok(response)) fail("status");
  const uint8_t *content = rf_response_content(response, &length);
  if (work.give) {
    length = given;
    given = 0;
  }
  if (work.expect >= 0 && length != (size_t)work.expect) fail("length");
  return !work.give && says_resumed((const char *)content, length);
}

static long run_completed(long requests, long window) {
  rf_completed *completed;
  long submitted = 0, over = 0, resumed = 0;
  rf_future *future;
  ok(rf_as_completed(NULL, 0, &completed));
  while (over < requests) {
    while (submitted < requests && submitted - over < window) {
      ok(rf_completed_add(completed, submit(submitted)));
      submitted++;
    }
    /* Our own handle is the one that comes back: nothing has to be looked up. */
    ok(rf_completed_next(completed, RF_FOREVER, &future, NULL));
    resumed += look_at(future);
    rf_future_free(future);
    over++;
  }
  rf_completed_free(completed);
  return resumed;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all_over = PTHREAD_COND_INITIALIZER;
static long wanted, submitted, over, resumed_in_callbacks;

static void done(rf_future *future, void *user_data);

static void submit_next(void) {
  long number = __atomic_fetch_add(&submitted, 1, __ATOMIC_RELAXED);
  if (number >= wanted) return;
  rf_future *future = submit(number);
  ok(rf_future_add_done_callback(future, done, NULL, NULL));
  rf_future_free(future);
}

static void done(rf_future *future, void *user_data) {
  (void)user_data;
  if (look_at(future)) __atomic_fetch_add(&resumed_in_callbacks, 1, __ATOMIC_RELAXED);
  submit_next();
  if (__atomic_add_fetch(&over, 1, __ATOMIC_ACQ_REL) == wanted) {
    pthread_mutex_lock(&lock);
    pthread_cond_signal(&all_over);
    pthread_mutex_unlock(&lock);
  }
}

static long run_callbacks(long requests, int window) {
  wanted = requests;
  submitted = over = resumed_in_callbacks = 0;
  for (int i = 0; i < window; i++) submit_next();
  pthread_mutex_lock(&lock);
  while (__atomic_load_n(&over, __ATOMIC_ACQUIRE) < requests) pthread_cond_wait(&all_over, &lock);
  pthread_mutex_unlock(&lock);
  return resumed_in_callbacks;
}

int main(int argc, char **argv) {
  work = work_from(argc, argv);
  bool events = strncmp(work.mode, "events-", 7) == 0;
  if (events) work.mode += 7;
  bool callbacks = strcmp(work.mode, "callbacks") == 0, processes = strcmp(work.mode, "processes") == 0;
  bool list = processes || strcmp(work.mode, "list") == 0;
  int workers = work.connections > work.in_flight ? work.connections : work.in_flight;
  rf_config *config;
  rf_executor *executor = NULL;
  ok(rf_config_new(&config));
  if (processes) {
    ok(rf_executor_new_processes((size_t)workers, &executor));
    ok(rf_config_set_executor(config, executor));
  }
  if (events) {
    ok(rf_executor_new_events((size_t)workers, 1, &executor));
    ok(rf_config_set_executor(config, executor));
  }
  ok(rf_config_set_max_workers(config, (size_t)workers));
  if (work.hosts > 1) {
    ok(rf_config_set_pool_connections(config, (size_t)work.hosts));
    ok(rf_config_set_pool_maxsize(config, (size_t)workers));
  }
  ok(rf_session_new(config, &session));
  rf_config_free(config);
  ok(rf_options_new(&options));
  if (work.fresh) ok(rf_options_set_header(options, "Connection", "close"));
  if (work.ca != NULL) ok(rf_options_set_ca_bundle(options, work.ca));
  if (work.http2) ok(rf_options_set_http_version(options, RF_HTTP_2));
  if (work.give) ok(rf_options_set_output(options, pass, NULL, NULL));
  if (work.body > 0) ok(rf_options_set_body_borrowed(options, body_of(work.body), work.body, NULL, NULL));

  urls = urls_of(work.warm_url, work.hosts);
  run_completed(work.warm, workers);
  urls = urls_of(work.url, work.hosts);
  struct meter before = meter_now();
  long resumed = callbacks ? run_callbacks(work.requests, work.in_flight)
                           : run_completed(work.requests, list ? work.requests : work.in_flight);
  report(before, work.requests, resumed);

  rf_options_free(options);
  ok(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
  rf_executor_free(executor);
  return 0;
}
