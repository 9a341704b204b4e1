/* Waiting for many: rf_wait in its three ways, rf_as_completed, its descriptor. */
#include "check.h"

#include <poll.h>
#include <pthread.h>

enum { COUNT = 3 };

/* Requests that stand before a gate each, on enough workers. */
typedef struct held {
  rf_session *session;
  const char *gates[COUNT];
  rf_future *futures[COUNT];
} held;

static held hold(void) {
  held all;
  all.session = new_session();
  for (int i = 0; i < COUNT; i++) {
    all.gates[i] = unique("wait");
    all.futures[i] = get(all.session, gate_url(all.gates[i]), NULL);
  }
  return all;
}

static void let_go(held *all) {
  for (int i = 0; i < COUNT; i++) gate_open(all->gates[i]);
  for (int i = 0; i < COUNT; i++) rf_future_free(all->futures[i]);
  rf_session_free(all->session);
}

#define CHECK_DONE(one, two, three)                                     \
  do {                                                                  \
    if (done[0] != (one) || done[1] != (two) || done[2] != (three)) {   \
      FAIL("done is %d, %d, %d", (int)done[0], (int)done[1], (int)done[2]); \
    }                                                                   \
  } while (0)

static void first_completed(void) {
  held all = hold();
  bool done[COUNT] = {true, true, true};
  CHECK_STATUS(RF_TIMEOUT, rf_wait(all.futures, COUNT, 0, RF_FIRST_COMPLETED, done));
  CHECK_DONE(false, false, false);
  int64_t start = now_ms();
  CHECK_STATUS(RF_TIMEOUT, rf_wait(all.futures, COUNT, 50, RF_FIRST_COMPLETED, done));
  CHECK_RANGE(49, 1000 * patience(), now_ms() - start);
  gate_open(all.gates[1]);
  CHECK_OK(rf_wait(all.futures, COUNT, LONG_MS, RF_FIRST_COMPLETED, done));
  CHECK_DONE(false, true, false);
  CHECK_OK(rf_wait(all.futures, COUNT, 0, RF_FIRST_COMPLETED, done)); /* already */
  CHECK_DONE(false, true, false);
  let_go(&all);
}

static void first_exception(void) {
  held all = hold();
  bool done[COUNT];
  gate_open(all.gates[0]);
  RESPONSE(all.futures[0]); /* a success is no reason to return */
  CHECK_STATUS(RF_TIMEOUT, rf_wait(all.futures, COUNT, 50, RF_FIRST_EXCEPTION, done));
  CHECK_DONE(true, false, false);
  gate_wait(all.gates[2], 1);
  CHECK(rf_future_abort(all.futures[2]));
  CHECK_OK(rf_wait(all.futures, COUNT, LONG_MS, RF_FIRST_EXCEPTION, done));
  CHECK_DONE(true, false, true);
  let_go(&all);

  /* Without any, it is when all are done. A cancelled one is no exception. */
  rf_session *session = new_session_workers(1);
  const char *gate = unique("no-exception");
  rf_future *futures[COUNT] = {get(session, gate_url(gate), NULL), get(session, http("/hello"), NULL),
                               get(session, http("/hello"), NULL)};
  gate_wait(gate, 1);
  CHECK(rf_future_cancel(futures[1]));
  CHECK_STATUS(RF_TIMEOUT, rf_wait(futures, COUNT, 50, RF_FIRST_EXCEPTION, done));
  CHECK_DONE(false, true, false);
  gate_open(gate);
  CHECK_OK(rf_wait(futures, COUNT, LONG_MS, RF_FIRST_EXCEPTION, done));
  CHECK_DONE(true, true, true);
  for (int i = 0; i < COUNT; i++) rf_future_free(futures[i]);
  rf_session_free(session);
}

static void all_completed(void) {
  held all = hold();
  bool done[COUNT];
  gate_open(all.gates[0]);
  gate_open(all.gates[2]);
  RESPONSE(all.futures[0]);
  RESPONSE(all.futures[2]);
  CHECK_STATUS(RF_TIMEOUT, rf_wait(all.futures, COUNT, 50, RF_ALL_COMPLETED, done));
  CHECK_DONE(true, false, true); /* filled all the same */
  gate_open(all.gates[1]);
  CHECK_OK(rf_wait(all.futures, COUNT, RF_FOREVER, RF_ALL_COMPLETED, done));
  CHECK_DONE(true, true, true);

  /* None at all: at once. The same twice: fine. */
  CHECK_OK(rf_wait(NULL, 0, RF_FOREVER, RF_ALL_COMPLETED, NULL));
  CHECK_OK(rf_wait(NULL, 0, RF_FOREVER, RF_FIRST_COMPLETED, NULL));
  rf_future *twice[COUNT] = {all.futures[0], all.futures[1], all.futures[0]};
  done[0] = done[1] = done[2] = false;
  CHECK_OK(rf_wait(twice, COUNT, RF_FOREVER, RF_ALL_COMPLETED, done));
  CHECK_DONE(true, true, true);
  let_go(&all);
}

/* A cancelled future is done at once, though it stands in the queue still. */
static void *cancel_soon(void *future) {
  sleep_ms(100);
  CHECK(rf_future_cancel(future));
  return NULL;
}

static void cancelled_while_waited_for(void) {
  rf_session *session = new_session_workers(1);
  const char *gate = unique("cancelled");
  rf_future *slow = get(session, gate_url(gate), NULL), *queued = get(session, http("/hello"), NULL);
  rf_future *other = get(session, http("/hello"), NULL);
  rf_completed *completed = NULL;
  pthread_t thread;
  bool done[1];
  gate_wait(gate, 1);
  CHECK(pthread_create(&thread, NULL, cancel_soon, queued) == 0);
  CHECK_OK(rf_wait(&queued, 1, LONG_MS, RF_ALL_COMPLETED, done));
  CHECK(done[0]);
  pthread_join(thread, NULL);

  CHECK_OK(rf_as_completed(&other, 1, &completed));
  CHECK(pthread_create(&thread, NULL, cancel_soon, other) == 0);
  CHECK_OK(rf_completed_next(completed, LONG_MS, NULL, NULL));
  pthread_join(thread, NULL);
  CHECK_STATUS(RF_END, rf_completed_next(completed, 0, NULL, NULL));
  rf_completed_free(completed);
  CHECK(!rf_future_done(slow));
  gate_open(gate);
  rf_future_free(slow);
  rf_future_free(queued);
  rf_future_free(other);
  rf_session_free(session);
}

static void as_completed(void) {
  held all = hold();
  rf_completed *completed = NULL;
  rf_future *future = (void *)&all;
  size_t index = 99;
  gate_open(all.gates[2]);
  RESPONSE(all.futures[2]);

  /* Those already done come first, then in the order in which they finish. */
  CHECK_OK(rf_as_completed(all.futures, COUNT, &completed));
  CHECK_OK(rf_completed_next(completed, 0, &future, &index));
  CHECK_INT(2, index);
  CHECK(rf_future_done(future));
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  CHECK_STATUS(RF_TIMEOUT, rf_completed_next(completed, 0, &future, &index));
  CHECK_NULL(future);
  CHECK_INT(0, index);
  int64_t start = now_ms();
  CHECK_STATUS(RF_TIMEOUT, rf_completed_next(completed, 50, &future, &index));
  CHECK_RANGE(49, 1000 * patience(), now_ms() - start);
  gate_open(all.gates[1]);
  CHECK_OK(rf_completed_next(completed, LONG_MS, &future, &index));
  CHECK_INT(1, index);
  gate_open(all.gates[0]);
  CHECK_OK(rf_completed_next(completed, RF_FOREVER, NULL, NULL));
  future = (void *)&all;
  index = 99;
  CHECK_STATUS(RF_END, rf_completed_next(completed, RF_FOREVER, &future, &index));
  CHECK_NULL(future);
  CHECK_INT(0, index);
  CHECK_STATUS(RF_END, rf_completed_next(completed, 0, NULL, NULL));

  /* After the end one may be added, and there is something again. */
  rf_future *late = get(all.session, http("/hello"), NULL);
  CHECK_OK(rf_completed_add(completed, late));
  CHECK_OK(rf_completed_next(completed, LONG_MS, &future, &index));
  CHECK_INT(3, index);
  CHECK_STATUS(RF_END, rf_completed_next(completed, RF_FOREVER, NULL, NULL));
  rf_future_free(late);
  rf_completed_free(completed);
  let_go(&all);
}

/* A duplicate is handed out once, and uses up an index. */
static void duplicates(void) {
  rf_session *session = new_session_workers(1);
  rf_future *a = get(session, http("/hello"), NULL), *b = get(session, http("/hello"), NULL);
  RESPONSE(a);
  RESPONSE(b);
  rf_future *clone = NULL, *three[] = {a, a, b};
  rf_completed *completed = NULL;
  size_t index = 99;
  CHECK_OK(rf_as_completed(three, 3, &completed));
  CHECK_OK(rf_completed_next(completed, 0, NULL, &index));
  CHECK_INT(0, index);
  CHECK_OK(rf_completed_next(completed, 0, NULL, &index));
  CHECK_INT(2, index);
  CHECK_STATUS(RF_END, rf_completed_next(completed, 0, NULL, &index));
  CHECK_OK(rf_completed_add(completed, a));
  CHECK_OK(rf_future_clone(a, &clone)); /* another handle is the same future */
  CHECK_OK(rf_completed_add(completed, clone));
  CHECK_STATUS(RF_END, rf_completed_next(completed, 0, NULL, &index));
  rf_future *c = get(session, http("/hello"), NULL);
  CHECK_OK(rf_completed_add(completed, c));
  CHECK_OK(rf_completed_next(completed, LONG_MS, NULL, &index));
  CHECK_INT(5, index);
  rf_completed_free(completed);
  rf_future_free(a);
  rf_future_free(b);
  rf_future_free(c);
  rf_future_free(clone);
  rf_session_free(session);
}

/* A future that was delivered lives until the thread's next call; what was added before lives in the queue. */
static void handles_may_go_first(void) {
  rf_session *session = new_session();
  rf_completed *completed = NULL;
  rf_future *future;
  CHECK_OK(rf_as_completed(NULL, 0, &completed));
  for (int i = 0; i < 10; i++) {
    future = get(session, http(text("/get?i=%d", i)), NULL);
    CHECK_OK(rf_completed_add(completed, future));
    rf_future_free(future);
  }
  rf_session_free(session);
  size_t seen = 0, indices[10];
  rf_future *own[10];
  while (rf_completed_next(completed, LONG_MS, &future, &indices[seen]) == RF_OK) {
    CHECK_STR(text("%zu", indices[seen]), json_string(RESPONSE(future), "/args/i"));
    own[seen] = NULL;
    if (seen % 2 == 0) CHECK_OK(rf_future_clone(future, &own[seen]));
    seen++;
    if (seen == 10) break;
  }
  CHECK_INT(10, seen);
  CHECK_STATUS(RF_END, rf_completed_next(completed, LONG_MS, NULL, NULL));
  rf_completed_free(completed);
  for (size_t i = 0; i < 10; i++) {
    if (own[i] != NULL) CHECK_STR(text("%zu", indices[i]), json_string(RESPONSE(own[i]), "/args/i"));
    rf_future_free(own[i]);
  }

  /* And it may go before what it waits for. */
  session = new_session();
  const char *gate = unique("early");
  future = get(session, gate_url(gate), NULL);
  CHECK_OK(rf_as_completed(&future, 1, &completed));
  rf_completed_free(completed);
  gate_open(gate);
  RESPONSE(future);
  rf_future_free(future);
  rf_session_free(session);
}

static bool readable(int fd, int timeout_ms) {
  struct pollfd one = {fd, POLLIN, 0};
  CHECK(poll(&one, 1, timeout_ms) >= 0);
  return (one.revents & POLLIN) != 0;
}

/* The descriptor is readable exactly while rf_completed_next would not wait. */
static void descriptor(void) {
  held all = hold();
  rf_completed *completed = NULL;
  CHECK_OK(rf_as_completed(all.futures, COUNT, &completed));
  int fd = rf_completed_fd(completed);
  CHECK(fd >= 0);
  CHECK_INT(fd, rf_completed_fd(completed));
  CHECK(!readable(fd, 50));
  gate_open(all.gates[0]);
  CHECK(readable(fd, LONG_MS));
  CHECK(readable(fd, 0)); /* until it is taken */
  CHECK_OK(rf_completed_next(completed, 0, NULL, NULL));
  CHECK(!readable(fd, 50));
  gate_open(all.gates[1]);
  gate_open(all.gates[2]);
  RESPONSE(all.futures[1]);
  RESPONSE(all.futures[2]);
  for (int left = 2; left > 0; left--) {
    CHECK(readable(fd, LONG_MS));
    CHECK_OK(rf_completed_next(completed, 0, NULL, NULL));
  }
  CHECK(readable(fd, 0)); /* the end does not wait either */
  CHECK_STATUS(RF_END, rf_completed_next(completed, 0, NULL, NULL));
  CHECK(readable(fd, 0));

  const char *gate = unique("added");
  rf_future *late = get(all.session, gate_url(gate), NULL);
  CHECK_OK(rf_completed_add(completed, late));
  CHECK(!readable(fd, 50));
  gate_open(gate);
  CHECK(readable(fd, LONG_MS));
  CHECK_OK(rf_completed_next(completed, 0, NULL, NULL));
  rf_future_free(late);
  rf_completed_free(completed);
  let_go(&all);

  /* One that is empty is at its end; one asked for late knows what was done before. */
  CHECK_OK(rf_as_completed(NULL, 0, &completed));
  CHECK(readable(rf_completed_fd(completed), 0));
  rf_completed_free(completed);
  rf_session *session = new_session();
  rf_future *future = get(session, http("/hello"), NULL);
  CHECK_OK(rf_as_completed(&future, 1, &completed));
  RESPONSE(future);
  CHECK(readable(rf_completed_fd(completed), LONG_MS));
  CHECK_OK(rf_completed_next(completed, 0, NULL, NULL));
  rf_completed_free(completed);
  rf_future_free(future);
  rf_session_free(session);
}

/* Several threads take from one; each future goes to one of them. */
typedef struct takers {
  rf_completed *completed;
  pthread_mutex_t lock;
  int taken[200];
} takers;

static void *take(void *argument) {
  takers *all = argument;
  size_t index;
  while (rf_completed_next(all->completed, LONG_MS, NULL, &index) == RF_OK) {
    pthread_mutex_lock(&all->lock);
    all->taken[index]++;
    pthread_mutex_unlock(&all->lock);
  }
  return NULL;
}

static void many_takers(void) {
  rf_session *session = new_session();
  takers all;
  rf_future *futures[200];
  pthread_t threads[4];
  memset(&all, 0, sizeof all);
  pthread_mutex_init(&all.lock, NULL);
  for (int i = 0; i < 200; i++) futures[i] = get(session, http("/hello"), NULL);
  CHECK_OK(rf_as_completed(futures, 200, &all.completed));
  for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, take, &all) == 0);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < 200; i++) {
    CHECK_INT(1, all.taken[i]);
    rf_future_free(futures[i]);
  }
  rf_completed_free(all.completed);
  pthread_mutex_destroy(&all.lock);
  rf_session_free(session);
}

/* What is said to be over, and the status, are of one moment. */
static void the_status_agrees_with_what_is_over(void) {
  rf_session *session = new_session();
  static const int modes[] = {RF_FIRST_COMPLETED, RF_FIRST_EXCEPTION, RF_ALL_COMPLETED};
  for (int i = 0; i < (patience() > 1 ? 60 : 600); i++) {
    rf_future *future = get(session, http("/hello"), NULL);
    bool done = false;
    for (int look = i; !done; look++) {
      /* Not only with looks: where threads take turns, as under valgrind, that would be nobody else's turn. */
      rf_status status = rf_wait(&future, 1, look % 2, modes[i % 3], &done);
      CHECK_STATUS(done ? RF_OK : RF_TIMEOUT, status);
    }
    rf_future_free(future);
  }
  rf_session_free(session);
}

int main(void) {
  first_completed();
  first_exception();
  all_completed();
  cancelled_while_waited_for();
  as_completed();
  duplicates();
  handles_may_go_first();
  descriptor();
  many_takers();
  the_status_agrees_with_what_is_over();
  return finish();
}
