/* custom_executor - requests on threads of your own.
 *
 *   ./custom_executor http://localhost:8000        or  URL=http://localhost:8000 ./custom_executor
 *
 * The library's own pool does all of this: see rf_executor_new_threads. This one is for programs that have threads
 * already, and want requests to run there.
 */
#include <requests_futures.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 4, REQUESTS = 20 };

/* A task stands in the queue until a thread takes it. */
typedef struct item {
  rf_task *task;
  struct item *next;
} item;

typedef struct pool {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  item *first, **last;
  bool closed;
  int running; /* threads that have not ended */
} pool;

/* The next task; NULL: there will be none. */
static rf_task *take(pool *self) {
  rf_task *task = NULL;
  pthread_mutex_lock(&self->lock);
  while (self->first == NULL && !self->closed) pthread_cond_wait(&self->changed, &self->lock);
  item *taken = self->first;
  if (taken != NULL) {
    task = taken->task;
    self->first = taken->next;
    if (self->first == NULL) self->last = &self->first;
  }
  pthread_mutex_unlock(&self->lock);
  free(taken);
  return task;
}

static void *work(void *argument) {
  pool *self = argument;
  rf_task *task;
  /* Without the lock: a request may take long, and its callbacks may submit others. */
  while ((task = take(self)) != NULL) rf_task_run(task);
  pthread_mutex_lock(&self->lock);
  self->running--;
  pthread_cond_broadcast(&self->changed);
  pthread_mutex_unlock(&self->lock);
  return NULL;
}

/* Called by whichever thread submits a request. What is not RF_OK leaves the task with the library, and the future
   fails. */
static rf_status submit(rf_task *task, void *user_data) {
  pool *self = user_data;
  item *added = malloc(sizeof *added);
  if (added == NULL) return RF_E_RESOURCE;
  added->task = task;
  added->next = NULL;
  pthread_mutex_lock(&self->lock);
  bool closed = self->closed;
  if (!closed) {
    *self->last = added;
    self->last = &added->next;
    pthread_cond_broadcast(&self->changed);
  }
  pthread_mutex_unlock(&self->lock);
  if (closed) free(added);
  return closed ? RF_E_SHUTDOWN : RF_OK;
}

/* Called by rf_executor_shutdown: not from one of these threads, which would wait for itself. */
static void shut_down(bool wait, bool cancel_futures, void *user_data) {
  pool *self = user_data;
  item *unwanted = NULL;
  pthread_mutex_lock(&self->lock);
  self->closed = true;
  if (cancel_futures) {
    unwanted = self->first;
    self->first = NULL;
    self->last = &self->first;
  }
  pthread_cond_broadcast(&self->changed);
  pthread_mutex_unlock(&self->lock);
  /* A task that is freed and not run cancels its future, whose callbacks run here: again without the lock. */
  while (unwanted != NULL) {
    item *next = unwanted->next;
    rf_task_free(unwanted->task);
    free(unwanted);
    unwanted = next;
  }
  pthread_mutex_lock(&self->lock);
  while (wait && self->running > 0) pthread_cond_wait(&self->changed, &self->lock);
  pthread_mutex_unlock(&self->lock);
}

/* False when there is not one thread. */
static bool start(pool *self) {
  pthread_mutex_init(&self->lock, NULL);
  pthread_cond_init(&self->changed, NULL);
  self->first = NULL;
  self->last = &self->first;
  self->closed = false;
  self->running = 0;
  for (int i = 0; i < THREADS; i++) {
    pthread_t thread;
    pthread_mutex_lock(&self->lock);
    if (pthread_create(&thread, NULL, work, self) == 0) {
      pthread_detach(thread); /* `running` says when it has ended */
      self->running++;
    }
    pthread_mutex_unlock(&self->lock);
  }
  return self->running > 0;
}

int main(int argc, char **argv) {
  static pool threads; /* as long as any of its threads may run */
  const rf_executor_ops ops = {.size = sizeof ops, .submit = submit, .shutdown = shut_down};
  const char *base = argc > 1 ? argv[1] : getenv("URL");
  rf_executor *executor = NULL;
  rf_config *config = NULL;
  rf_session *session = NULL;
  rf_future *futures[REQUESTS] = {NULL};
  char url[1024];
  int failed = 0;

  if (base == NULL) {
    fprintf(stderr, "usage: %s URL\n", argv[0]);
    return 2;
  }
  if (!start(&threads)) return 1;
  if (rf_executor_new_custom(&ops, &threads, NULL, &executor) != RF_OK || rf_config_new(&config) != RF_OK) return 1;
  rf_config_set_executor(config, executor);
  rf_status status = rf_session_new(config, &session);
  rf_config_free(config);
  if (status != RF_OK) return 1;

  snprintf(url, sizeof url, "%s/get", base);
  for (int i = 0; i < REQUESTS; i++) {
    if (rf_session_get(session, url, NULL, &futures[i]) != RF_OK) failed = 1;
  }

  /* What is queued runs to its end; with cancel_futures it would be cancelled. */
  rf_executor_shutdown(executor, true, false);
  for (int i = 0; i < REQUESTS; i++) {
    const rf_response *response = NULL;
    if (rf_future_result(futures[i], 0, &response) != RF_OK || !rf_response_ok(response)) failed = 1;
    rf_future_free(futures[i]);
  }
  printf("%d requests on %d threads: %s\n", REQUESTS, THREADS, failed ? "some failed" : "all answered");
  rf_session_free(session);
  rf_executor_free(executor);
  return failed;
}
