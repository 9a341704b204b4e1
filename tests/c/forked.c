/* fork(): in the child what was made before gives errors and never hangs, and what is made there works. */
#include "check.h"
#include "wire.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static rf_session *session;
static rf_executor *executor;
static rf_future *slow, *queued, *done;
static rf_completed *completed;

static void never(rf_future *future, void *user_data) {
  (void)user_data;
  FAIL("called back for %p", (void *)future);
}

static void in_the_child(void) {
  const rf_response *response = NULL;
  const rf_error *error = NULL;
  rf_future *future = (void *)session;
  bool over[2];
  rf_future *const both[] = {slow, done};

  /* What was over stays readable. */
  CHECK_OK(rf_future_result(done, RF_FOREVER, &response));
  CHECK_STR("Hello, world!", rf_response_text(response, NULL));
  /* What was not over never will be. */
  CHECK_STATUS(RF_E_SHUTDOWN, rf_future_result(slow, RF_FOREVER, &response));
  CHECK_STATUS(RF_E_SHUTDOWN, rf_future_exception(queued, RF_FOREVER, &error));
  CHECK_STATUS(RF_E_SHUTDOWN, rf_wait(both, 2, RF_FOREVER, RF_ALL_COMPLETED, over));
  CHECK(!over[0] && over[1]);
  CHECK(!rf_future_cancel(queued));
  CHECK(!rf_future_abort(slow));
  CHECK_STATUS(RF_E_SHUTDOWN, rf_future_add_done_callback(slow, never, NULL, NULL));
  CHECK_STATUS(RF_E_SHUTDOWN, rf_completed_next(completed, RF_FOREVER, NULL, NULL));
  CHECK_STATUS(RF_E_SHUTDOWN, rf_completed_add(completed, done));
  CHECK_INT(-1, rf_completed_fd(completed));
  CHECK_STATUS(RF_E_SHUTDOWN, rf_session_get(session, http("/hello"), NULL, &future));
  CHECK_NULL(future);
  CHECK_STATUS(RF_E_SHUTDOWN, rf_session_close(session, RF_CLOSE_WAIT));
  CHECK_OK(rf_executor_shutdown(executor, true, true));
  rf_completed_free(completed);
  /* A queue of its own delivers, of what was made before, what was over: once. */
  rf_future *const three[] = {done, slow, done};
  CHECK_OK(rf_as_completed(three, 3, &completed));
  CHECK_OK(rf_completed_next(completed, RF_FOREVER, &future, NULL));
  CHECK(future == done);
  CHECK_STATUS(RF_E_SHUTDOWN, rf_completed_next(completed, RF_FOREVER, NULL, NULL));
  rf_completed_free(completed);
  rf_future_free(slow);
  rf_future_free(queued);
  rf_future_free(done);
  rf_session_free(session);
  rf_executor_free(executor);

  /* New ones work, deadlines and look-ups included. */
  rf_session *own = new_session();
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 20000));
  future = get(own, text("http://localhost:%s/hello", env("RF_TEST_HTTP_PORT")), options);
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  rf_options_free(options);
  CHECK_OK(rf_session_close(own, RF_CLOSE_WAIT));
  rf_session_free(own);
}

/* ---- fork() while threads wait ---- */

static void *wait_for_result(void *session_) {
  rf_future *future = get(session_, http("/hello"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  return NULL;
}

static void *wait_for_many(void *session_) {
  bool over[2];
  rf_future *both[] = {get(session_, http("/hello"), NULL), get(session_, http("/hello"), NULL)};
  CHECK_OK(rf_wait(both, 2, RF_FOREVER, RF_ALL_COMPLETED, over));
  rf_future_free(both[0]);
  rf_future_free(both[1]);
  return NULL;
}

static void *wait_for_next(void *session_) {
  rf_future *future = get(session_, http("/hello"), NULL);
  rf_completed *queue = NULL;
  CHECK_OK(rf_as_completed(&future, 1, &queue));
  CHECK_OK(rf_completed_next(queue, RF_FOREVER, NULL, NULL));
  CHECK_STATUS(RF_END, rf_completed_next(queue, RF_FOREVER, NULL, NULL));
  rf_completed_free(queue);
  rf_future_free(future);
  return NULL;
}

static void *wait_for_close(void *session_) {
  rf_future *future = get(session_, http("/hello"), NULL);
  CHECK_OK(rf_session_close(session_, RF_CLOSE_WAIT));
  CHECK(rf_future_done(future));
  rf_future_free(future);
  return NULL;
}

enum { WAITS = 4 };
static void *(*const waits[WAITS])(void *) = {wait_for_result, wait_for_many, wait_for_next, wait_for_close};

/* Every kind of wait at once, each on a thread of its own: in the parent these are the threads that are forked away
   from, in the child they stand where those stood. Closing needs a session that nobody else uses. */
static void wait_in_all_ways(rf_session *shared, rf_session *closed, pthread_t all[WAITS]) {
  for (int i = 0; i < WAITS; i++) {
    CHECK_INT(0, pthread_create(&all[i], NULL, waits[i], waits[i] == wait_for_close ? closed : shared));
  }
}

/* How often a program forks: few times where every fork takes long. */
static int forks(void) { return patience() > 1 ? 10 : 200; }

static void fork_while_others_wait(void) {
  for (int turn = 0; turn < forks(); turn++) {
    pthread_t all[WAITS];
    rf_session *mine = new_session_workers(1), *closed = new_session_workers(1);
    const char *gate = unique("waits");
    /* Whoever waits does so behind these, until the gate opens. */
    rf_future *first[] = {get(mine, gate_url(gate), NULL), get(closed, gate_url(gate), NULL)};
    gate_wait(gate, 2);
    wait_in_all_ways(mine, closed, all);
    if (turn % 2 == 0) sleep_ms(2); /* now they wait; or they are on the way to it */
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      alarm(60 * (unsigned)patience()); /* a hang is a failure */
      rf_session *own = new_session(), *other = new_session();
      wait_in_all_ways(own, other, all);
      for (int i = 0; i < WAITS; i++) CHECK_INT(0, pthread_join(all[i], NULL));
      CHECK_OK(rf_session_close(own, RF_CLOSE_WAIT));
      kill(getpid(), SIGKILL); /* as below */
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) FAIL("child %d of %d ended with %d", turn, forks(), status);
    gate_open(gate);
    for (int i = 0; i < WAITS; i++) CHECK_INT(0, pthread_join(all[i], NULL));
    rf_future_free(first[0]);
    rf_future_free(first[1]);
    rf_session_free(mine);
    rf_session_free(closed);
  }
}

/* ---- a function of the program's forks and returns in the child as well ---- */

static int wakes[2]; /* a byte for each callback that was called, in whichever process */
static long parent;

static void fork_here(void) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) return;
  /* What the child does, it has done when the parent goes on. An alarm would not end it: workers block all signals. */
  int status = 0;
  int64_t until = now_ms() + 20000 * patience();
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (now_ms() > until) {
      kill(child, SIGKILL);
      FAIL("the child goes on");
    }
    sleep_ms(1);
  }
  if (WIFSIGNALED(status)) FAIL("the child was ended by signal %d", WTERMSIG(status));
}

static rf_status fork_in_hook(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response, (void)user_data;
  fork_here();
  return RF_OK;
}
static rf_status fork_in_background(rf_hook_call *call, rf_session *own, const rf_response *response, void *user_data) {
  (void)own;
  return fork_in_hook(call, response, user_data);
}
static rf_status fork_in_output(const uint8_t *data, size_t length, void *user_data) {
  int *calls = user_data;
  (void)data, (void)length;
  if (++*calls == 1) fork_here();
  return RF_OK;
}
static rf_status fork_in_progress(int64_t sent, int64_t send_total, int64_t received, int64_t receive_total,
                                  void *user_data) {
  int *calls = user_data;
  (void)sent, (void)send_total, (void)received, (void)receive_total;
  if (++*calls == 1) fork_here();
  return RF_OK;
}
static int64_t fork_in_reader(uint8_t *buffer, size_t capacity, void *user_data) {
  int *calls = user_data;
  if (++*calls == 1) fork_here();
  if (*calls > 3) return 0;
  CHECK(capacity >= 1000);
  memset(buffer, 'a' + *calls, 1000);
  return 1000;
}
static void wake(rf_future *future, void *user_data) {
  (void)future, (void)user_data;
  CHECK_INT(1, write(wakes[1], "w", 1));
}
static void fork_in_callback(rf_future *future, void *user_data) {
  (void)future, (void)user_data;
  fork_here();
}

enum { IN_HOOK, IN_BACKGROUND, IN_OUTPUT, IN_PROGRESS, IN_READER, IN_CALLBACK, FUNCTIONS };

static rf_status run_and_end(rf_task *task, void *user_data) {
  (void)user_data;
  rf_task_run(task);
  if (getpid() != parent) _exit(0); /* the child: it has come back, which is all that it is to do */
  return RF_OK;
}

/* Answers with what it was asked for, once it may. */
static void answer_when_told(wire_connection *connection, void *may) {
  while (wire_next(connection)) {
    char path[64] = "";
    sscanf(connection->request, "%*s %63s", path);
    EVENTUALLY(LOAD(*(int *)may));
    wire_answer(connection, "200 OK", "", path);
  }
}

static void check_answer(rf_session *on, const wire *server, const char *path) {
  rf_future *future = get(on, wire_url(server, path), NULL);
  CHECK_STR(path, rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
}

/* Each response is that of its request, over the one connection, and nobody is told twice. */
static void check_forks(rf_session *on, int function, bool is_async) {
  int calls = 0, may = 1;
  char told[16];
  wire *server = wire_start(answer_when_told, &may);
  rf_options *options = new_options();
  CHECK_INT(0, pipe(wakes));
  if (function == IN_HOOK) CHECK_OK(rf_options_add_hook(options, fork_in_hook, NULL, NULL));
  if (function == IN_BACKGROUND) CHECK_OK(rf_options_set_background_callback(options, fork_in_background, NULL, NULL));
  if (function == IN_OUTPUT) CHECK_OK(rf_options_set_output(options, fork_in_output, &calls, NULL));
  if (function == IN_PROGRESS) CHECK_OK(rf_options_set_progress(options, fork_in_progress, &calls, NULL));
  if (function == IN_READER) CHECK_OK(rf_options_set_body_reader(options, fork_in_reader, NULL, -1, &calls, NULL));
  check_answer(on, server, "/before");
  __atomic_store_n(&may, !is_async, __ATOMIC_SEQ_CST);
  rf_future *future = request(on, "POST", wire_url(server, "/forks"), options);
  if (function == IN_CALLBACK) CHECK_OK(rf_future_add_done_callback(future, fork_in_callback, NULL, NULL));
  CHECK_OK(rf_future_add_done_callback(future, wake, NULL, NULL));
  __atomic_store_n(&may, 1, __ATOMIC_SEQ_CST);
  const rf_response *response = RESPONSE(future);
  CHECK_STR(function == IN_OUTPUT ? "" : "/forks", rf_response_text(response, NULL));
  check_answer(on, server, "/after");
  CHECK_INT(1, wire_connections(server));
  CHECK_INT(3, wire_requests(server));
  CHECK_OK(rf_session_close(on, RF_CLOSE_WAIT));
  CHECK_INT(1, read(wakes[0], told, sizeof told));
  close(wakes[0]);
  close(wakes[1]);
  rf_future_free(future);
  rf_options_free(options);
  wire_stop(server);
}

static void the_child_of_a_function_goes_no_further(void) {
  parent = (long)getpid();
  for (int function = 0; function < FUNCTIONS; function++) {
    rf_session *pooled = new_session_workers(1);
    check_forks(pooled, function, true);
    rf_session_free(pooled);

    rf_session *own = session_run_by(run_and_end);
    /* The future is over before anybody can add a callback to it. */
    if (function != IN_CALLBACK) check_forks(own, function, false);
    rf_session_free(own);
  }
}

int main(void) {
  CHECK_OK(rf_executor_new_threads(1, &executor));
  session = session_on(executor);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 60000)); /* there is a timer */
  done = get(session, http("/hello"), options);
  RESPONSE(done);
  const char *gate = unique("fork");
  slow = get(session, gate_url(gate), options);
  gate_wait(gate, 1);
  queued = get(session, http("/hello"), options);
  rf_future *const open[] = {slow, queued};
  CHECK_OK(rf_as_completed(open, 2, &completed));

  int ends[2];
  char answer = 'n';
  CHECK_INT(0, pipe(ends));
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(60 * (unsigned)patience()); /* a hang is a failure */
    in_the_child();
    CHECK_INT(1, write(ends[1], "y", 1));
    /* What the threads held that stayed behind is lost here, which is no leak that valgrind should look for. */
    kill(getpid(), SIGKILL);
  }
  close(ends[1]);
  CHECK_INT(1, read(ends[0], &answer, 1));
  CHECK_INT('y', answer);
  close(ends[0]);
  CHECK(waitpid(child, NULL, 0) == child);

  /* The parent has noticed nothing. */
  gate_open(gate);
  RESPONSE(slow);
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(queued), NULL));
  rf_completed_free(completed);
  rf_future_free(slow);
  rf_future_free(queued);
  rf_future_free(done);
  rf_options_free(options);
  rf_session_free(session);
  CHECK_OK(rf_executor_shutdown(executor, true, false));
  rf_executor_free(executor);
  fork_while_others_wait();
  the_child_of_a_function_goes_no_further();
  return finish();
}
