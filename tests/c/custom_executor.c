/* Executors of one's own: tasks that run here, elsewhere, or not at all. */
#include "check.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>

typedef struct own {
  rf_status (*submit)(struct own *self, rf_task *task);
  pthread_t thread;
  rf_task *kept;
  int submitted, shutdowns, drops, ended;
  bool wait, cancel;
} own;

static rf_status submit(rf_task *task, void *user_data) {
  own *self = user_data;
  self->submitted++;
  return self->submit(self, task);
}
static void shut_down(bool wait, bool cancel_futures, void *user_data) {
  own *self = user_data;
  self->shutdowns++;
  self->wait = wait;
  self->cancel = cancel_futures;
}
static void drop(void *user_data) { INCREMENT(((own *)user_data)->drops); }

static rf_status run_at_once(own *self, rf_task *task) {
  (void)self;
  rf_task_run(task);
  return RF_OK;
}
static void *run_task(void *task) {
  rf_task_run(task);
  return NULL;
}
static rf_status run_in_thread(own *self, rf_task *task) {
  return pthread_create(&self->thread, NULL, run_task, task) == 0 ? RF_OK : RF_E_RESOURCE;
}
static rf_status free_it(own *self, rf_task *task) {
  (void)self;
  rf_task_free(task);
  return RF_OK;
}
static rf_status refuse(own *self, rf_task *task) {
  (void)self, (void)task;
  return RF_E_RESOURCE;
}
static rf_status keep(own *self, rf_task *task) {
  self->kept = task;
  return RF_OK;
}
static rf_executor *new_executor(own *self, rf_status (*how)(own *, rf_task *), rf_session **session) {
  rf_executor_ops ops = {.size = sizeof ops, .submit = submit, .shutdown = shut_down};
  rf_executor *executor = NULL;
  memset(self, 0, sizeof *self);
  self->submit = how;
  CHECK_OK(rf_executor_new_custom(&ops, self, drop, &executor));
  *session = session_on(executor);
  return executor;
}

static void end(own *self, rf_executor *executor, rf_session *session) {
  CHECK_INT(0, LOAD(self->drops));
  rf_session_free(session);
  rf_executor_free(executor);
  EVENTUALLY(LOAD(self->drops) == 1);
}

static void in_this_thread(void) {
  own self;
  rf_session *session = NULL;
  rf_executor *executor = new_executor(&self, run_at_once, &session);
  rf_future *future = get(session, http("/get?a=b"), NULL);
  CHECK(rf_future_done(future)); /* the call that submitted it ran it */
  CHECK_STR("b", json_string(RESPONSE(future), "/args/a"));
  CHECK_INT(1, self.submitted);
  rf_future_free(future);
  end(&self, executor, session);
}

static void in_a_thread(void) {
  own self;
  rf_session *session = NULL;
  rf_executor *executor = new_executor(&self, run_in_thread, &session);
  rf_future *future = get(session, http("/get?a=b"), NULL);
  CHECK_STR("b", json_string(RESPONSE(future), "/args/a"));
  pthread_join(self.thread, NULL);
  rf_future_free(future);
  end(&self, executor, session);
}

static void not_at_all(void) {
  own self;
  rf_session *session = NULL;
  rf_executor *executor = new_executor(&self, free_it, &session);
  rf_future *future = get(session, http("/hello"), NULL);
  ERROR_OF(RF_ERROR_CANCELLED, future);
  CHECK(rf_future_cancelled(future));
  rf_future_free(future);
  end(&self, executor, session);

  /* Refused: the task is still the library's. */
  executor = new_executor(&self, refuse, &session);
  future = get(session, http("/hello"), NULL);
  ERROR_OF(RF_ERROR_SHUTDOWN, future);
  rf_future_free(future);
  end(&self, executor, session);
}

static void cancelled_before_it_runs(void) {
  own self;
  rf_session *session = NULL;
  const char *key = unique("custom");
  rf_executor *executor = new_executor(&self, keep, &session);
  rf_future *future = get(session, http(text("/hello?key=%s", key)), NULL);
  CHECK(!rf_future_running(future));
  CHECK(rf_future_cancel(future));
  CHECK(rf_future_cancelled(future));
  rf_task_run(self.kept); /* nothing to do any more, but to free it */
  CHECK_INT(0, counted(key));
  rf_future_free(future);

  /* The task outlives the session. */
  future = get(session, http("/hello"), NULL);
  rf_session_free(session);
  rf_executor_free(executor);
  rf_task_run(self.kept);
  RESPONSE(future);
  rf_future_free(future);
  EVENTUALLY(LOAD(self.drops) == 1);
}

static void shutting_down(void) {
  own self;
  rf_session *session = NULL;
  rf_executor *executor = new_executor(&self, run_at_once, &session);
  rf_future *future = (void *)session;
  CHECK_OK(rf_executor_shutdown(executor, false, true));
  CHECK_INT(1, self.shutdowns);
  CHECK(!self.wait);
  CHECK(self.cancel);
  CHECK_STATUS(RF_E_SHUTDOWN, rf_session_get(session, http("/hello"), NULL, &future));
  CHECK_NULL(future);
  CHECK_INT(0, self.submitted);
  end(&self, executor, session);
}

static void never(bool wait, bool cancel_futures, void *user_data) {
  (void)wait, (void)cancel_futures, (void)user_data;
  FAIL("a function behind the structure's end was called");
}

static void told(uint64_t task_id, void *user_data) {
  CHECK(task_id != 0);
  INCREMENT(((own *)user_data)->ended);
}
static void never_told(uint64_t task_id, void *user_data) {
  (void)task_id, (void)user_data;
  FAIL("a function behind the structure's end was called");
}

/* A function counts when the size reaches behind it; what lies behind the size is not read. */
static void every_size_of_the_functions(void) {
  long page = sysconf(_SC_PAGESIZE);
  uint8_t *pages = mmap(NULL, (size_t)page * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(pages != MAP_FAILED);
  CHECK_INT(0, mprotect(pages + page, (size_t)page, PROT_NONE));
  const size_t behind_submit = offsetof(rf_executor_ops, submit) + sizeof(void (*)(void));
  const size_t behind_ended = offsetof(rf_executor_ops, ended) + sizeof(void (*)(void));
  const size_t behind_shutdown = offsetof(rf_executor_ops, shutdown) + sizeof(void (*)(void));
  for (size_t size = 0; size <= sizeof(rf_executor_ops) + 16; size++) {
    own self;
    rf_executor *executor = NULL;
    rf_executor_ops whole = {size, submit, size >= behind_shutdown ? shut_down : never,
                             size >= behind_ended ? told : never_told};
    /* At the end of the page, where a structure of this size may lie. */
    size_t room = (size + sizeof(size_t) - 1) / sizeof(size_t) * sizeof(size_t);
    if (room < sizeof(size_t)) room = sizeof(size_t);
    uint8_t *at = pages + page - room;
    memset(at, 0xff, room);
    memcpy(at, &whole, room < sizeof whole ? room : sizeof whole);
    memset(&self, 0, sizeof self);
    self.submit = run_at_once;
    rf_status status = rf_executor_new_custom((const rf_executor_ops *)(void *)at, &self, drop, &executor);
    if (size < behind_submit) {
      CHECK_STATUS(RF_E_INVALID, status);
      CHECK_NULL(executor);
      CHECK_INT(0, self.drops);
      continue;
    }
    CHECK_OK(status);
    memset(at, 0xff, room); /* the functions were copied */
    rf_session *session = session_on(executor);
    self.submit = keep;
    rf_future *future = get(session, http("/hello"), NULL);
    CHECK(rf_future_cancel(future));
    CHECK_INT(size >= behind_ended, LOAD(self.ended));
    rf_task_free(self.kept);
    rf_future_free(future);
    rf_session_free(session);
    CHECK_OK(rf_executor_shutdown(executor, true, false));
    CHECK_INT(size >= behind_shutdown, self.shutdowns);
    rf_executor_free(executor);
    CHECK_INT(1, self.drops);
  }
  CHECK_INT(0, munmap(pages, (size_t)page * 2));
}

int main(void) {
  in_this_thread();
  in_a_thread();
  not_at_all();
  cancelled_before_it_runs();
  shutting_down();
  every_size_of_the_functions();
  return finish();
}
