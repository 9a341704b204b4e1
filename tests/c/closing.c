/* Closing sessions and shutting executors down, in all modes, from everywhere: from threads that have nothing to do
   with it, from inside what the pool itself calls, twice, and while others submit. Every future that was handed out
   ends, its callback runs once, and nobody waits for himself. */
#include "wire.h"

#include <pthread.h>

enum { QUEUED = 5, SUBMITTERS = 4, MOST = 20000 };

/* The ways to end a pool. */
typedef enum how { WAIT, CANCEL_PENDING, ABORT, SHUTDOWN, SHUTDOWN_CANCEL, SHUTDOWN_NO_WAIT, HOWS } how;
static const char *const HOW_NAMES[] = {"WAIT", "CANCEL_PENDING", "ABORT", "shutdown", "shutdown, cancel",
                                        "shutdown, no wait"};

typedef struct pool {
  rf_session *session;
  rf_executor *executor; /* NULL: the session's own */
} pool;

static pool new_pool(size_t workers, bool shared) {
  pool made = {NULL, NULL};
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  if (shared) {
    CHECK_OK(rf_executor_new_threads(workers, &made.executor));
    CHECK_OK(rf_config_set_executor(config, made.executor));
  } else {
    CHECK_OK(rf_config_set_max_workers(config, workers));
  }
  made.session = session_of(config);
  return made;
}

static void end(pool *self, how way) {
  switch (way) {
    case SHUTDOWN: CHECK_OK(rf_executor_shutdown(self->executor, true, false)); break;
    case SHUTDOWN_CANCEL: CHECK_OK(rf_executor_shutdown(self->executor, true, true)); break;
    case SHUTDOWN_NO_WAIT: CHECK_OK(rf_executor_shutdown(self->executor, false, true)); break;
    default: CHECK_OK(rf_session_close(self->session, (int)way)); break;
  }
}

static void free_pool(pool *self) {
  rf_session_free(self->session);
  rf_executor_free(self->executor);
}

static int called, dropped;
static void count_call(rf_future *future, void *user_data) {
  (void)user_data;
  CHECK(rf_future_done(future));
  INCREMENT(called);
}
static void count_drop(void *user_data) {
  (void)user_data;
  INCREMENT(dropped);
}

/* ---- while others submit ---- */

typedef struct submitter {
  pthread_t thread;
  pool *pool;
  rf_future *futures[MOST];
  int count;
} submitter;

static void *submit_until_closed(void *argument) {
  submitter *self = argument;
  static const char *const paths[] = {"/hello", "/hello", "/hello", "/delay/0.01"};
  while (self->count < MOST) {
    rf_future *future = NULL;
    rf_status status = rf_session_get(self->pool->session, http(paths[self->count % 4]), NULL, &future);
    if (status == RF_E_SHUTDOWN) return NULL;
    CHECK_OK(status);
    CHECK_OK(rf_future_add_done_callback(future, count_call, NULL, count_drop));
    self->futures[self->count++] = future;
    sleep_ms(self->count % 8 == 0);
  }
  FAIL("never closed");
}

typedef struct closer {
  pthread_t thread;
  pool *pool;
  how way;
} closer;

static void *close_soon(void *argument) {
  closer *self = argument;
  sleep_ms(10);
  end(self->pool, self->way);
  end(self->pool, self->way);
  return NULL;
}

static void while_others_submit(how way, how other, size_t workers, bool shared) {
  static submitter submitters[SUBMITTERS];
  pool all = new_pool(workers, shared);
  closer closers[] = {{.pool = &all, .way = way}, {.pool = &all, .way = other}};
  int made = 0;
  called = dropped = 0;
  for (int i = 0; i < SUBMITTERS; i++) {
    submitters[i].pool = &all;
    submitters[i].count = 0;
    CHECK_INT(0, pthread_create(&submitters[i].thread, NULL, submit_until_closed, &submitters[i]));
  }
  for (int i = 0; i < 2; i++) CHECK_INT(0, pthread_create(&closers[i].thread, NULL, close_soon, &closers[i]));
  for (int i = 0; i < SUBMITTERS; i++) pthread_join(submitters[i].thread, NULL);
  for (int i = 0; i < 2; i++) pthread_join(closers[i].thread, NULL);
  /* Nothing is under way after a close that came from outside, callbacks included. */
  CHECK_OK(rf_session_close(all.session, RF_CLOSE_WAIT));
  for (int i = 0; i < SUBMITTERS; i++) {
    for (int n = 0; n < submitters[i].count; n++) {
      const rf_error *error = NULL;
      CHECK(rf_future_done(submitters[i].futures[n]));
      CHECK_OK(rf_future_exception(submitters[i].futures[n], 0, &error));
      int kind = rf_error_kind_of(error);
      if (kind != 0 && kind != RF_ERROR_CANCELLED && kind != RF_ERROR_ABORTED) FAIL("%s", rf_error_message(error));
      if (way == WAIT && other == WAIT) CHECK_INT(0, kind);
      rf_future_free(submitters[i].futures[n]);
      made++;
    }
  }
  CHECK_INT(made, LOAD(called));
  CHECK_INT(made, LOAD(dropped));
  free_pool(&all);
}

/* ---- from inside ---- */

typedef struct inside {
  pool *pool;
  how way;
  bool armed; /* the first call ends the pool, the others do nothing */
  int ended, drops;
  int source; /* bytes that the body's reader has left */
} inside;

static void end_here(inside *self) {
  if (!__atomic_exchange_n(&self->armed, false, __ATOMIC_SEQ_CST)) return;
  end(self->pool, self->way);
  end(self->pool, self->way); /* again is nothing new */
  rf_future *late = NULL;
  CHECK_STATUS(RF_E_SHUTDOWN, rf_session_get(self->pool->session, http("/hello"), NULL, &late));
  CHECK_NULL(late);
  INCREMENT(self->ended);
}

static void in_a_callback(rf_future *future, void *self) {
  CHECK(rf_future_done(future));
  end_here(self);
}
static rf_status in_a_hook(rf_hook_call *call, const rf_response *response, void *self) {
  (void)call, (void)response;
  end_here(self);
  return RF_OK;
}
static rf_status in_the_background(rf_hook_call *call, rf_session *session, const rf_response *response, void *self) {
  (void)call, (void)session, (void)response;
  end_here(self);
  return RF_OK;
}
static rf_status in_an_output(const uint8_t *data, size_t length, void *self) {
  (void)data, (void)length;
  end_here(self);
  return RF_OK;
}
static rf_status in_progress(int64_t sent, int64_t send_total, int64_t received, int64_t total, void *self) {
  (void)sent, (void)send_total, (void)received, (void)total;
  end_here(self);
  return RF_OK;
}
static int64_t in_a_reader(uint8_t *buffer, size_t capacity, void *argument) {
  inside *self = argument;
  if (self->source == 0 || capacity == 0) return 0;
  end_here(self);
  buffer[0] = 'x';
  return self->source--;
}
static void in_a_drop(void *self) { end_here(self); }
static void just_drop(void *self) { INCREMENT(((inside *)self)->drops); }
static rf_status no_hook(rf_hook_call *call, const rf_response *response, void *self) {
  (void)call, (void)response, (void)self;
  return RF_OK;
}

typedef enum place { CALLBACK, HOOK, BACKGROUND, OUTPUT, PROGRESS, READER, DROP, PLACES } place;
static const char *const PLACE_NAMES[] = {"callback", "hook",   "background callback", "output",
                                          "progress", "reader", "drop"};

static void from_inside(place where, how way, size_t workers, bool shared) {
  pool all = new_pool(workers, shared);
  inside self = {&all, way, true, 0, 0, 1};
  const char *gate = unique("closing");
  rf_options *options = new_options();
  called = dropped = 0;
  switch (where) {
    case HOOK: CHECK_OK(rf_options_add_hook(options, in_a_hook, &self, just_drop)); break;
    case BACKGROUND:
      CHECK_OK(rf_options_set_background_callback(options, in_the_background, &self, just_drop));
      break;
    case OUTPUT: CHECK_OK(rf_options_set_output(options, in_an_output, &self, just_drop)); break;
    case PROGRESS: CHECK_OK(rf_options_set_progress(options, in_progress, &self, just_drop)); break;
    case READER: CHECK_OK(rf_options_set_body_reader(options, in_a_reader, NULL, 1, &self, just_drop)); break;
    case DROP: CHECK_OK(rf_options_add_hook(options, no_hook, &self, in_a_drop)); break;
    default: break;
  }
  /* All workers are held until all are queued. */
  rf_future *held[3], *futures[QUEUED];
  for (size_t i = 0; i < workers; i++) held[i] = get(all.session, gate_url(gate), NULL);
  gate_wait(gate, (int64_t)workers);
  futures[0] = where == READER ? request(all.session, "POST", http("/post"), options)
                               : get(all.session, http("/delay/0.01"), options);
  rf_options_free(options); /* what is left of them goes with the request, on its worker */
  if (where == CALLBACK) CHECK_OK(rf_future_add_done_callback(futures[0], in_a_callback, &self, just_drop));
  for (int i = 1; i < QUEUED; i++) futures[i] = get(all.session, http("/delay/0.01"), NULL);
  for (int i = 0; i < QUEUED; i++) CHECK_OK(rf_future_add_done_callback(futures[i], count_call, NULL, count_drop));
  gate_open(gate);
  EVENTUALLY(LOAD(self.ended) == 1);
  CHECK_OK(rf_session_close(all.session, RF_CLOSE_WAIT));
  for (int i = 0; i < QUEUED; i++) {
    if (!rf_future_done(futures[i])) FAIL("%s, %s: future %d is not over", PLACE_NAMES[where], HOW_NAMES[way], i);
    rf_future_free(futures[i]);
  }
  CHECK_INT(QUEUED, LOAD(called));
  CHECK_INT(QUEUED, LOAD(dropped));
  for (size_t i = 0; i < workers; i++) {
    CHECK(rf_future_done(held[i]));
    rf_future_free(held[i]);
  }
  if (where != DROP) EVENTUALLY(LOAD(self.drops) >= 1);
  free_pool(&all);
}

/* ---- one session's callback closes another session ---- */

typedef struct other {
  rf_session *session;
  int mode, closed;
} other;

static void close_other(rf_future *future, void *user_data) {
  other *its = user_data;
  (void)future;
  CHECK_OK(rf_session_close(its->session, its->mode));
  INCREMENT(its->closed);
}

/* On one pool: what is queued may have nobody left to run it, and is not waited for. */
static void a_session_on_the_same_pool(size_t workers, int mode) {
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_threads(workers, &executor));
  rf_session *one = session_on(executor), *two = session_on(executor);
  other its = {two, mode, 0};
  const char *gate = unique("same-pool");
  rf_future *first = get(one, gate_url(gate), NULL), *queued[QUEUED];
  CHECK_OK(rf_future_add_done_callback(first, close_other, &its, NULL));
  for (int i = 0; i < QUEUED; i++) queued[i] = get(two, http("/delay/0.01"), NULL);
  gate_open(gate);
  EVENTUALLY(LOAD(its.closed) == 1);
  CHECK_OK(rf_session_close(two, RF_CLOSE_WAIT));
  for (int i = 0; i < QUEUED; i++) {
    CHECK(rf_future_done(queued[i]));
    rf_future_free(queued[i]);
  }
  /* The pool and the session that closed go on. */
  rf_future *after = get(one, http("/hello"), NULL);
  RESPONSE(after);
  rf_future_free(after);
  rf_future_free(first);
  rf_session_free(one);
  rf_session_free(two);
  rf_executor_free(executor);
}

/* A callback that runs in the caller of cancel is inside as well: it waits for all but its own future. */
static void from_the_callback_of_a_cancelled_one(int mode) {
  rf_session *session = new_session_workers(1);
  other its = {session, mode, 0};
  const char *gate = unique("cancelled");
  rf_future *held = get(session, gate_url(gate), NULL), *cancelled = get(session, http("/hello"), NULL);
  rf_future *queued = get(session, http("/hello"), NULL);
  gate_wait(gate, 1);
  CHECK_OK(rf_future_add_done_callback(cancelled, close_other, &its, NULL));
  if (mode != RF_CLOSE_ABORT) gate_open(gate);
  if (rf_future_cancel(cancelled)) CHECK(rf_future_done(held) && rf_future_done(queued));
  EVENTUALLY(LOAD(its.closed) == 1);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  CHECK(rf_future_done(held) && rf_future_done(queued));
  if (mode == RF_CLOSE_ABORT) gate_open(gate);
  rf_future_free(held);
  rf_future_free(cancelled);
  rf_future_free(queued);
  rf_session_free(session);
}

/* ---- each waits for the other, who waits ---- */

typedef struct ender {
  pthread_barrier_t *both;
  rf_session *session;   /* what it closes, */
  rf_executor *executor; /* or else shuts down */
  int *over;
} ender;

static void end_together(rf_future *future, void *user_data) {
  ender *self = user_data;
  (void)future;
  pthread_barrier_wait(self->both);
  if (self->session != NULL) CHECK_OK(rf_session_close(self->session, RF_CLOSE_WAIT));
  else CHECK_OK(rf_executor_shutdown(self->executor, true, false));
  INCREMENT(*self->over);
}

/* `one` runs the callback of the first, `two` that of the second, at the same time. */
static void end_at_once(rf_session *one, rf_session *two, ender first, ender second) {
  pthread_barrier_t both;
  const char *gate = unique("at-once");
  int over = 0;
  CHECK_INT(0, pthread_barrier_init(&both, NULL, 2));
  first.both = second.both = &both;
  first.over = second.over = &over;
  rf_future *futures[] = {get(one, gate_url(gate), NULL), get(two, gate_url(gate), NULL)};
  CHECK_OK(rf_future_add_done_callback(futures[0], end_together, &first, NULL));
  CHECK_OK(rf_future_add_done_callback(futures[1], end_together, &second, NULL));
  gate_open(gate);
  EVENTUALLY(LOAD(over) == 2);
  CHECK_OK(rf_session_close(one, RF_CLOSE_WAIT));
  CHECK_OK(rf_session_close(two, RF_CLOSE_WAIT));
  for (int i = 0; i < 2; i++) rf_future_free(futures[i]);
  pthread_barrier_destroy(&both);
}

static void two_that_end_each_other(void) {
  /* Two sessions with pools of their own that close each other. */
  rf_session *one = new_session(), *two = new_session();
  end_at_once(one, two, (ender){.session = two}, (ender){.session = one});
  rf_session_free(one);
  rf_session_free(two);

  /* The same on one pool; and one that closes a session where another one shuts the pool down. */
  for (int shutdown = 0; shutdown < 2; shutdown++) {
    rf_executor *executor = NULL;
    CHECK_OK(rf_executor_new_threads(4, &executor));
    one = session_on(executor);
    two = session_on(executor);
    end_at_once(one, two, (ender){.session = two}, shutdown ? (ender){.executor = executor} : (ender){.session = one});
    rf_session_free(one);
    rf_session_free(two);
    rf_executor_free(executor);
  }

  /* Two pools that shut each other down. */
  rf_executor *left = NULL, *right = NULL;
  CHECK_OK(rf_executor_new_threads(2, &left));
  CHECK_OK(rf_executor_new_threads(2, &right));
  one = session_on(left);
  two = session_on(right);
  end_at_once(one, two, (ender){.executor = right}, (ender){.executor = left});
  rf_session_free(one);
  rf_session_free(two);
  rf_executor_free(left);
  rf_executor_free(right);
}

/* ---- on an executor of one's own, with one thread ---- */

static struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  rf_task *tasks[QUEUED];
  int first, last;
} own = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static rf_status push(rf_task *task, void *user_data) {
  (void)user_data;
  pthread_mutex_lock(&own.lock);
  own.tasks[own.last++] = task;
  pthread_cond_signal(&own.changed);
  pthread_mutex_unlock(&own.lock);
  return RF_OK;
}

static void *run_all(void *unused) {
  (void)unused;
  for (int i = 0; i < QUEUED; i++) {
    pthread_mutex_lock(&own.lock);
    while (own.first == own.last) pthread_cond_wait(&own.changed, &own.lock);
    rf_task *task = own.tasks[own.first++];
    pthread_mutex_unlock(&own.lock);
    rf_task_run(task);
  }
  return NULL;
}

/* What is queued runs after the callback that closes, on the same thread. */
static void on_an_executor_of_ones_own(void) {
  rf_executor_ops ops = {.size = sizeof ops, .submit = push};
  rf_executor *executor = NULL;
  rf_future *futures[QUEUED];
  pthread_t thread;
  CHECK_OK(rf_executor_new_custom(&ops, NULL, NULL, &executor));
  rf_session *session = session_on(executor);
  other its = {session, RF_CLOSE_WAIT, 0};
  for (int i = 0; i < QUEUED; i++) futures[i] = get(session, http("/hello"), NULL);
  CHECK_OK(rf_future_add_done_callback(futures[0], close_other, &its, NULL));
  CHECK_INT(0, pthread_create(&thread, NULL, run_all, NULL));
  EVENTUALLY(LOAD(its.closed) == 1);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  for (int i = 0; i < QUEUED; i++) {
    CHECK_OK(rf_future_result(futures[i], 0, &(const rf_response *){NULL}));
    rf_future_free(futures[i]);
  }
  pthread_join(thread, NULL);
  rf_session_free(session);
  rf_executor_free(executor);
}

static void wait_and_count(wire_connection *connection, void *unused) {
  (void)unused;
  if (wire_next(connection)) wire_stall(connection);
}

/* What is queued when a close with an abort begins is not begun: aborting what runs makes its worker free. */
static void nothing_begins_after_an_abort(void) {
  for (int round = 0; round < 100; round++) {
    wire *server = wire_start(wait_and_count, NULL);
    rf_session *session = new_session_workers(2);
    rf_future *futures[12];
    for (int i = 0; i < 12; i++) futures[i] = get(session, wire_url(server, "/"), NULL);
    EVENTUALLY(wire_requests(server) == 2);
    CHECK_OK(rf_session_close(session, RF_CLOSE_ABORT));
    for (int i = 0; i < 12; i++) {
      if (i < 2) {
        ERROR_OF(RF_ERROR_ABORTED, futures[i]);
      } else {
        CHECK(rf_future_cancelled(futures[i]));
      }
      rf_future_free(futures[i]);
    }
    rf_session_free(session);
    CHECK_INT(2, wire_requests(server));
    wire_stop(server);
  }
}

static rf_future *begun;

static void wait_for_what_had_begun(rf_future *future, void *called) {
  (void)future;
  EVENTUALLY(rf_future_done(begun));
  INCREMENT(*(int *)called);
}

/* The callbacks of what is queued run on the thread that closes: what runs is aborted before. */
static void a_slow_callback_does_not_delay_an_abort(void) {
  wire *server = wire_start(wait_and_count, NULL);
  rf_session *session = new_session_workers(1);
  rf_future *queued[3];
  int calls = 0;
  begun = get(session, wire_url(server, "/"), NULL);
  EVENTUALLY(wire_requests(server) == 1);
  for (int i = 0; i < 3; i++) {
    queued[i] = get(session, wire_url(server, "/"), NULL);
    CHECK_OK(rf_future_add_done_callback(queued[i], wait_for_what_had_begun, &calls, NULL));
  }
  CHECK_OK(rf_session_close(session, RF_CLOSE_ABORT));
  ERROR_OF(RF_ERROR_ABORTED, begun);
  for (int i = 0; i < 3; i++) {
    CHECK(rf_future_cancelled(queued[i]));
    rf_future_free(queued[i]);
  }
  CHECK_INT(3, LOAD(calls));
  CHECK_INT(1, wire_requests(server));
  rf_future_free(begun);
  rf_session_free(session);
  wire_stop(server);
}

int main(void) {
  alarm(110 * (unsigned)patience()); /* who waits for himself waits for ever */
  for (int way = 0; way < HOWS; way++) {
    bool executor = way >= SHUTDOWN;
    if (!executor) while_others_submit(way, way, 1, false);
    if (!executor) while_others_submit(way, (way + 1) % SHUTDOWN, 4, false);
    while_others_submit(way, way, 4, true);
    while_others_submit(way, SHUTDOWN, 2, true);
  }
  for (int where = 0; where < PLACES; where++) {
    for (int way = 0; way < HOWS; way++) {
      for (size_t workers = 1; workers <= 3; workers += 2) {
        if (way < SHUTDOWN) from_inside(where, way, workers, false);
        from_inside(where, way, workers, true);
      }
    }
  }
  for (int mode = RF_CLOSE_WAIT; mode <= RF_CLOSE_ABORT; mode++) {
    a_session_on_the_same_pool(1, mode);
    a_session_on_the_same_pool(2, mode);
    from_the_callback_of_a_cancelled_one(mode);
  }
  nothing_begins_after_an_abort();
  a_slow_callback_does_not_delay_an_abort();
  two_that_end_each_other();
  on_an_executor_of_ones_own();
  return finish();
}
