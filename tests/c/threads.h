/* threads.h - threads that close a session, or run a task. */
#ifndef THREADS_H
#define THREADS_H

#include "check.h"

#include <pthread.h>

typedef struct closer {
  rf_session *session;
  int mode, is_closed;
} closer;

static inline void *close_it(void *user_data) {
  closer *closer = user_data;
  CHECK_OK(rf_session_close(closer->session, closer->mode));
  __atomic_store_n(&closer->is_closed, 1, __ATOMIC_SEQ_CST);
  return NULL;
}

static inline void *run_task(void *task) {
  rf_task_run(task);
  return NULL;
}

/* For an executor that has a thread for each task. */
static inline rf_status run_on_a_thread(rf_task *task, void *user_data) {
  (void)user_data;
  pthread_t thread;
  CHECK_INT(0, pthread_create(&thread, NULL, run_task, task));
  CHECK_INT(0, pthread_detach(thread));
  return RF_OK;
}

#endif
