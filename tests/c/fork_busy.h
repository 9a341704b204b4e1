/* fork_busy.h - fork() in the middle of everything: threads submit requests with deadlines and look names up, and every
   child makes objects of its own, which work. Starting a thread may be made slow, so that whoever starts one under a lock
   is caught with it. */
#ifndef FORK_BUSY_H
#define FORK_BUSY_H

#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

enum { BUSY = 8 };

static int busy_until;

static void *keep_busy(void *session) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 30000 * patience()));
  CHECK_OK(rf_options_set_header(options, "Connection", "close")); /* so that the name is looked up each time */
  const char *url = text("http://localhost:%s/hello", env("RF_TEST_HTTP_PORT"));
  while (!LOAD(busy_until)) {
    rf_future *future = get(session, url, options);
    const rf_error *error = NULL;
    CHECK_OK(rf_future_exception(future, LONG_MS, &error));
    rf_future_free(future);
  }
  rf_options_free(options);
  return NULL;
}

/* Three requests, by name and with a deadline, on a session of its own. */
static void live(void) {
  rf_session *own = new_session_workers(2);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 30000 * patience()));
  const char *url = text("http://localhost:%s/hello", env("RF_TEST_HTTP_PORT"));
  rf_future *futures[3];
  bool done[3];
  for (int i = 0; i < 3; i++) futures[i] = get(own, url, options);
  CHECK_OK(rf_wait(futures, 3, LONG_MS, RF_ALL_COMPLETED, done));
  for (int i = 0; i < 3; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  rf_options_free(options);
  CHECK_OK(rf_session_close(own, RF_CLOSE_WAIT));
  rf_session_free(own);
}

/* RF_FORKS says otherwise how often. */
static int forks(int usually) {
  const char *said = getenv("RF_FORKS");
  return said != NULL && *said != '\0' ? atoi(said) : usually;
}

static int fork_in_the_middle(int forks) {
  pthread_t all[BUSY];
  rf_session *shared = new_session();
  for (int i = 0; i < BUSY; i++) CHECK_INT(0, pthread_create(&all[i], NULL, keep_busy, shared));
  for (int turn = 0; turn < forks; turn++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      alarm(30 * (unsigned)patience()); /* a hang is a failure */
      live();
      kill(getpid(), SIGKILL); /* what other threads held is lost here, which is no leak to be looked for */
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) FAIL("child %d of %d ended with %d", turn, forks, status);
  }
  __atomic_store_n(&busy_until, 1, __ATOMIC_SEQ_CST);
  for (int i = 0; i < BUSY; i++) CHECK_INT(0, pthread_join(all[i], NULL));
  CHECK_OK(rf_session_close(shared, RF_CLOSE_WAIT));
  rf_session_free(shared);
  return finish();
}

#endif
