/* edges.h - everything that waits, submits or closes, for the moments when a thread or the whole process is ending: there
   thread-locals of others may be gone already. What goes wrong ends the process at once: exit() is no way out of an exit
   handler. */
#ifndef EDGES_H
#define EDGES_H

#include <requests_futures.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "thread_count.h"

#define EDGE(condition)                                                                         \
  do {                                                                                          \
    if (!(condition)) {                                                                         \
      fprintf(stderr, "%s:%d: not true in %s: %s\n", __FILE__, __LINE__, where, #condition); \
      _exit(1);                                                                                 \
    }                                                                                           \
  } while (0)

/* The library's threads end by themselves, soon after what they were for. One that is there when the process ends has
   memory that looks lost to a checker. */
static void last_threads_end(void) {
  const char *where = "the end of the last thread";
  for (int i = 0; i < 6000 && threads() > 1; i++) usleep(5000);
  EDGE(threads() == 1);
}

static int edge_callbacks, edge_drops, edge_hooks;

static void edge_done(rf_future *future, void *user_data) {
  (void)future, (void)user_data;
  __atomic_add_fetch(&edge_callbacks, 1, __ATOMIC_SEQ_CST);
}
static void edge_drop(void *user_data) {
  (void)user_data;
  __atomic_add_fetch(&edge_drops, 1, __ATOMIC_SEQ_CST);
}
static rf_status edge_hook(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response, (void)user_data;
  __atomic_add_fetch(&edge_hooks, 1, __ATOMIC_SEQ_CST);
  return RF_OK;
}
static rf_status edge_submit(rf_task *task, void *user_data) {
  (void)user_data;
  rf_task_run(task); /* on this very thread */
  return RF_OK;
}

static rf_executor *edge_executor(const char *where, int which) {
  rf_executor_ops ops = {sizeof(rf_executor_ops), edge_submit, NULL, NULL};
  rf_executor *executor = NULL;
  switch (which) {
    case 0: EDGE(rf_executor_new_threads(2, &executor) == RF_OK); break;
    case 1: EDGE(rf_executor_new_custom(&ops, NULL, NULL, &executor) == RF_OK); break;
    default: EDGE(rf_executor_new_processes(1, &executor) == RF_OK); break;
  }
  return executor;
}

/* With every kind of executor: a request that hooks and callbacks see, waited for in every way, streamed, and closed. */
static void live_at_the_edge(const char *where) {
  char url[300], chunked[300];
  snprintf(url, sizeof url, "%s/hello", getenv("RF_TEST_HTTP"));
  snprintf(chunked, sizeof chunked, "http://localhost:%s/stream/3", getenv("RF_TEST_HTTP_PORT"));
  for (int which = 0; which < 3; which++) {
    rf_executor *executor = edge_executor(where, which);
    rf_config *config = NULL;
    rf_session *session = NULL;
    rf_options *options = NULL;
    rf_future *future = NULL, *streamed = NULL;
    rf_completed *queue = NULL;
    const rf_response *response = NULL;
    const rf_error *error = NULL;
    bool done = false;
    int callbacks = edge_callbacks, drops = edge_drops, hooks = edge_hooks;
    EDGE(rf_config_new(&config) == RF_OK);
    EDGE(rf_config_set_executor(config, executor) == RF_OK);
    EDGE(rf_session_new(config, &session) == RF_OK);
    rf_config_free(config);
    EDGE(rf_options_new(&options) == RF_OK);
    EDGE(rf_options_set_deadline(options, 60000) == RF_OK);
    if (which < 2) EDGE(rf_options_add_hook(options, edge_hook, NULL, edge_drop) == RF_OK);
    EDGE(rf_session_get(session, url, options, &future) == RF_OK);
    EDGE(rf_future_add_done_callback(future, edge_done, NULL, edge_drop) == RF_OK);
    EDGE(rf_future_result(future, 60000, &response) == RF_OK);
    EDGE(rf_response_status_code(response) == 200);
    EDGE(rf_future_exception(future, 60000, &error) == RF_OK && error == NULL);
    EDGE(rf_wait(&future, 1, 60000, RF_ALL_COMPLETED, &done) == RF_OK && done);
    rf_options_free(options);
    EDGE(rf_options_new(&options) == RF_OK);
    EDGE(rf_options_set_stream(options, true) == RF_OK);
    EDGE(rf_session_get(session, chunked, options, &streamed) == RF_OK);
    rf_future *const both[] = {future, streamed};
    EDGE(rf_as_completed(both, 2, &queue) == RF_OK);
    for (int i = 0; i < 2; i++) EDGE(rf_completed_next(queue, 60000, NULL, NULL) == RF_OK);
    EDGE(rf_completed_next(queue, 60000, NULL, NULL) == RF_END);
    EDGE(rf_future_result(streamed, 60000, &response) == RF_OK);
    EDGE(rf_response_text(response, NULL) != NULL);
    rf_completed_free(queue);
    rf_options_free(options);
    rf_future_free(future);
    rf_future_free(streamed);
    EDGE(rf_session_close(session, RF_CLOSE_WAIT) == RF_OK);
    EDGE(rf_executor_shutdown(executor, true, false) == RF_OK);
    rf_session_free(session);
    rf_executor_free(executor);
    EDGE(edge_callbacks == callbacks + 1);
    EDGE(which == 2 || (edge_hooks == hooks + 1 && edge_drops == drops + 2));
  }
}

#endif
