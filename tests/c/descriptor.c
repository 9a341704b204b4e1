/* The descriptor of rf_completed in the ways that event loops use one: poll, epoll level-triggered and edge-triggered;
   one that is asked for late, several threads, and the end. */
#include "check.h"

#include <poll.h>
#include <pthread.h>

#ifndef __linux__
int main(void) {
  printf("skipped: no epoll on this system\n");
  return 0;
}
#else
#include <sys/epoll.h>

enum { COUNT = 300 };

static int watch(int fd, uint32_t events) {
  struct epoll_event event;
  int loop = epoll_create1(EPOLL_CLOEXEC);
  memset(&event, 0, sizeof event);
  event.events = events;
  CHECK(loop >= 0);
  CHECK_INT(0, epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event));
  return loop;
}

/* Whether an event comes in time. */
static bool told(int loop, int64_t timeout_ms) {
  struct epoll_event event;
  int count = epoll_wait(loop, &event, 1, (int)timeout_ms);
  CHECK(count >= 0);
  if (count > 0) CHECK(event.events == EPOLLIN);
  return count > 0;
}

static bool readable(rf_completed *completed) {
  struct pollfd one = {rf_completed_fd(completed), POLLIN, 0};
  CHECK(poll(&one, 1, 0) >= 0);
  CHECK((one.revents & ~POLLIN) == 0);
  return one.revents != 0;
}

static rf_completed *all_of(rf_future **futures, size_t count) {
  rf_completed *completed = NULL;
  CHECK_OK(rf_as_completed(futures, count, &completed));
  return completed;
}

/* Requests that stand before a gate each, until they are let go. Nothing opens or closes a descriptor meanwhile. */
static const char *gates[4];
static rf_future *futures[4];
static rf_session *session;

static void hold(void) {
  session = new_session();
  for (int i = 0; i < 4; i++) {
    gates[i] = unique("descriptor");
    futures[i] = get(session, gate_url(gates[i]), NULL);
  }
  for (int i = 0; i < 4; i++) gate_wait(gates[i], 1);
}

static void let_go(int which) {
  gate_open(gates[which]);
  RESPONSE(futures[which]);
}

static void end(void) {
  for (int i = 0; i < 4; i++) rf_future_free(futures[i]);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
}

/* Level-triggered: an event each time somebody looks, as long as something is ready. */
static void a_level_lasts_until_the_last_is_taken(void) {
  hold();
  rf_completed *completed = all_of(futures, 4);
  int loop = watch(rf_completed_fd(completed), EPOLLIN);
  CHECK(!told(loop, 50));
  let_go(0);
  let_go(1);
  CHECK(told(loop, LONG_MS));
  CHECK(told(loop, 0));
  CHECK_OK(rf_completed_next(completed, 0, NULL, NULL));
  CHECK(told(loop, LONG_MS)); /* the second */
  CHECK_OK(rf_completed_next(completed, 0, NULL, NULL));
  CHECK(!told(loop, 50));
  let_go(2);
  let_go(3);
  CHECK(told(loop, LONG_MS));
  CHECK_OK(rf_completed_next(completed, LONG_MS, NULL, NULL));
  CHECK_OK(rf_completed_next(completed, LONG_MS, NULL, NULL));
  for (int i = 0; i < 3; i++) {
    CHECK(told(loop, 0)); /* the end is no wait either, and stays */
    CHECK_STATUS(RF_END, rf_completed_next(completed, 0, NULL, NULL));
  }
  close(loop);
  rf_completed_free(completed);
  end();
}

/* Edge-triggered: who takes until there is nothing hears of everything that comes later. */
static void an_edge_comes_for_what_finishes_after_the_last_was_taken(void) {
  hold();
  rf_completed *completed = all_of(futures, 4);
  int loop = watch(rf_completed_fd(completed), EPOLLIN | EPOLLET);
  CHECK(!told(loop, 50));
  for (int i = 0; i < 3; i++) {
    let_go(i);
    CHECK(told(loop, LONG_MS));
    CHECK_OK(rf_completed_next(completed, LONG_MS, NULL, NULL));
    CHECK_STATUS(RF_TIMEOUT, rf_completed_next(completed, 0, NULL, NULL));
    CHECK(!told(loop, 20));
  }
  let_go(3);
  CHECK(told(loop, LONG_MS));
  CHECK_OK(rf_completed_next(completed, LONG_MS, NULL, NULL));
  CHECK_STATUS(RF_END, rf_completed_next(completed, 0, NULL, NULL));
  close(loop);
  rf_completed_free(completed);
  end();
}

/* The end is an edge as well, when another thread takes what was last. */
static void *take_one(void *completed) {
  CHECK_OK(rf_completed_next(completed, LONG_MS, NULL, NULL));
  return NULL;
}

static void an_edge_comes_for_the_end(void) {
  hold();
  rf_completed *completed = all_of(futures, 1);
  int loop = watch(rf_completed_fd(completed), EPOLLIN | EPOLLET);
  pthread_t thread;
  CHECK_INT(0, pthread_create(&thread, NULL, take_one, completed));
  CHECK(!told(loop, 50));
  for (int i = 0; i < 4; i++) let_go(i);
  pthread_join(thread, NULL);
  CHECK(told(loop, LONG_MS));
  CHECK_STATUS(RF_END, rf_completed_next(completed, 0, NULL, NULL));
  close(loop);
  rf_completed_free(completed);
  end();
}

/* A loop that takes until there is nothing, while others finish, misses none: not one wait is without an end. */
static void no_edge_is_missed(uint32_t events) {
  rf_session *busy = new_session();
  rf_future *many[COUNT];
  rf_completed *completed = all_of(NULL, 0);
  int loop = watch(rf_completed_fd(completed), events), taken = 0;
  for (int i = 0; i < COUNT; i++) {
    many[i] = get(busy, http("/hello"), NULL);
    CHECK_OK(rf_completed_add(completed, many[i]));
  }
  while (taken < COUNT) {
    rf_status status;
    CHECK(told(loop, LONG_MS));
    while ((status = rf_completed_next(completed, 0, NULL, NULL)) == RF_OK) taken++;
    CHECK_STATUS(taken < COUNT ? RF_TIMEOUT : RF_END, status);
  }
  for (int i = 0; i < COUNT; i++) rf_future_free(many[i]);
  close(loop);
  rf_completed_free(completed);
  rf_session_free(busy);
}

/* After the end one is added: silence, and then its own event. */
static void adding_after_the_end(uint32_t events) {
  hold();
  rf_completed *completed = all_of(NULL, 0);
  int loop = watch(rf_completed_fd(completed), events);
  CHECK(told(loop, 0)); /* it begins at its end */
  for (int i = 0; i < 4; i++) {
    CHECK_OK(rf_completed_add(completed, futures[i]));
    CHECK(!readable(completed));
    CHECK(!told(loop, 20));
    let_go(i);
    CHECK(told(loop, LONG_MS));
    CHECK_OK(rf_completed_next(completed, LONG_MS, NULL, NULL));
    CHECK_STATUS(RF_END, rf_completed_next(completed, 0, NULL, NULL));
    CHECK(readable(completed));
  }
  close(loop);
  rf_completed_free(completed);
  end();
}

/* One that is over already makes it readable, and so does one that is cancelled. */
static void what_is_over_is_readable_at_once(void) {
  hold();
  let_go(0);
  rf_completed *completed = all_of(NULL, 0);
  int loop = watch(rf_completed_fd(completed), EPOLLIN | EPOLLET);
  CHECK(told(loop, 0));
  CHECK_OK(rf_completed_add(completed, futures[1]));
  CHECK(!readable(completed));
  CHECK_OK(rf_completed_add(completed, futures[0]));
  CHECK(told(loop, 0));
  CHECK_OK(rf_completed_next(completed, 0, NULL, NULL));
  CHECK(!readable(completed));
  CHECK(rf_future_abort(futures[1]));
  CHECK(told(loop, LONG_MS));
  CHECK_OK(rf_completed_next(completed, LONG_MS, NULL, NULL));
  close(loop);

  /* Asked for when all is over, it knows. */
  rf_completed *late = all_of(futures, 2);
  CHECK(readable(late));
  CHECK_OK(rf_completed_next(late, 0, NULL, NULL));
  CHECK(readable(late));
  CHECK_OK(rf_completed_next(late, 0, NULL, NULL));
  CHECK(readable(late));
  CHECK_STATUS(RF_END, rf_completed_next(late, 0, NULL, NULL));
  rf_completed_free(late);
  rf_completed_free(completed);
  for (int i = 2; i < 4; i++) let_go(i);
  end();
}

/* It is the queue's own: an event loop of somebody else's that still knows it after the queue is gone is not told. */
static void freeing_the_queue_closes_it(void) {
  hold();
  rf_completed *completed = all_of(futures, 4);
  int fd = rf_completed_fd(completed), loop = watch(fd, EPOLLIN);
  rf_completed_free(completed);
  CHECK_INT(-1, write(fd, "x", 0)); /* closed */
  for (int i = 0; i < 4; i++) let_go(i);
  CHECK(!told(loop, 20));
  close(loop);
  end();
}

/* Several threads, each with a loop of its own, take what another one adds: each future goes to one of them, and the end
   is heard by all. */
typedef struct takers {
  rf_completed *completed;
  uint32_t events;
  int taken[COUNT];
  int added; /* all of them are */
} takers;

static void *take_from_a_loop(void *argument) {
  takers *all = argument;
  int loop = watch(rf_completed_fd(all->completed), all->events);
  size_t index;
  for (;;) {
    bool last = LOAD(all->added);
    rf_status status = rf_completed_next(all->completed, 0, NULL, &index);
    if (status == RF_OK) INCREMENT(all->taken[index]);
    else if (status == RF_END && last) break;
    else if (status == RF_TIMEOUT) CHECK(told(loop, LONG_MS));
  }
  close(loop);
  return NULL;
}

static void many_loops(uint32_t events) {
  static takers all;
  rf_session *busy = new_session();
  rf_future *many[COUNT];
  pthread_t threads[4];
  memset(&all, 0, sizeof all);
  all.events = events;
  all.completed = all_of(NULL, 0);
  for (int i = 0; i < 4; i++) CHECK_INT(0, pthread_create(&threads[i], NULL, take_from_a_loop, &all));
  for (int i = 0; i < COUNT; i++) {
    many[i] = get(busy, http("/hello"), NULL);
    CHECK_OK(rf_completed_add(all.completed, many[i]));
  }
  INCREMENT(all.added);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < COUNT; i++) {
    CHECK_INT(1, all.taken[i]);
    rf_future_free(many[i]);
  }
  rf_completed_free(all.completed);
  rf_session_free(busy);
}

int main(void) {
  a_level_lasts_until_the_last_is_taken();
  an_edge_comes_for_what_finishes_after_the_last_was_taken();
  an_edge_comes_for_the_end();
  no_edge_is_missed(EPOLLIN);
  no_edge_is_missed(EPOLLIN | EPOLLET);
  adding_after_the_end(EPOLLIN);
  adding_after_the_end(EPOLLIN | EPOLLET);
  what_is_over_is_readable_at_once();
  freeing_the_queue_closes_it();
  many_loops(EPOLLIN);
  many_loops(EPOLLIN | EPOLLET);
  return finish();
}
#endif
