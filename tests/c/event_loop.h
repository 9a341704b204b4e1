/* events.h - what the tests of event loops share: sessions on one, crowds of requests, and doors before which functions
   stand until a test lets them through. */
#ifndef EVENTS_H
#define EVENTS_H

#include "check.h"

#include <pthread.h>

enum { MANY = 1000 };

static inline rf_executor *new_events(size_t max_requests, size_t max_workers) {
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_events(max_requests, max_workers, &executor));
  CHECK(executor != NULL);
  return executor;
}

/* The only one on a loop of its own. */
static inline rf_session *session_on_events(size_t max_requests, size_t max_workers) {
  rf_executor *executor = new_events(max_requests, max_workers);
  rf_session *session = session_on(executor);
  rf_executor_free(executor);
  return session;
}

/* ---- many requests ---- */

typedef struct crowd {
  rf_future *futures[MANY];
  int count;
} crowd;

/* The same request so many times. */
static inline void crowd_begin(crowd *crowd, rf_session *session, const char *url, const rf_options *options, int count) {
  for (crowd->count = 0; crowd->count < count; crowd->count++) {
    crowd->futures[crowd->count] = get(session, url, options);
  }
}

/* Waits until all have succeeded. */
static inline void crowd_succeeds(crowd *crowd) {
  static __thread bool done[MANY];
  CHECK_OK(rf_wait(crowd->futures, (size_t)crowd->count, 2 * LONG_MS, RF_ALL_COMPLETED, done));
  for (int i = 0; i < crowd->count; i++) {
    CHECK_INT(200, rf_response_status_code(RESPONSE(crowd->futures[i])));
    rf_future_free(crowd->futures[i]);
  }
  crowd->count = 0;
}

/* Others have their way: so many requests begin and end. */
static inline void others_go_on(rf_session *session, int count) {
  crowd *others = calloc(1, sizeof *others);
  CHECK(others != NULL);
  crowd_begin(others, session, http("/hello"), NULL, count);
  crowd_succeeds(others);
  free(others);
}

/* ---- doors ---- */

typedef struct door {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool open;
  int inside, most, passed;
} door;

#define DOOR {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0, 0, 0}

/* Stands before it until it is open: in no function of the library. */
static inline void door_pass(door *door) {
  pthread_mutex_lock(&door->lock);
  if (++door->inside > door->most) door->most = door->inside;
  pthread_cond_broadcast(&door->changed);
  while (!door->open) pthread_cond_wait(&door->changed, &door->lock);
  door->inside--;
  door->passed++;
  pthread_mutex_unlock(&door->lock);
}

static inline void door_open(door *door) {
  pthread_mutex_lock(&door->lock);
  door->open = true;
  pthread_cond_broadcast(&door->changed);
  pthread_mutex_unlock(&door->lock);
}

static inline int door_inside(door *door) {
  pthread_mutex_lock(&door->lock);
  int inside = door->inside;
  pthread_mutex_unlock(&door->lock);
  return inside;
}

#endif
