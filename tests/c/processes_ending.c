/* Worker processes: how requests, streams, sessions and pools end, as with threads; and that nothing is left behind. */
#include "elsewhere.h"
#include "wire.h"

#include <poll.h>
#include <sys/stat.h>

/* A pending future is cancelled, one that a worker has taken is not. */
static void cancelling(void) {
  pool pool = new_pool(1);
  const char *gate = unique("cancelling"), *key = unique("cancelling");
  rf_future *running = get(pool.session, gate_url(gate), NULL);
  gate_wait(gate, 1);
  rf_future *pending = get(pool.session, http(text("/get?key=%s", key)), NULL);
  CHECK(!rf_future_cancel(running));
  CHECK(rf_future_cancel(pending));
  ERROR_OF(RF_ERROR_CANCELLED, pending);
  gate_open(gate);
  RESPONSE(running);
  CHECK_INT(0, counted(key));
  rf_future_free(running);
  rf_future_free(pending);
  end_pool(pool);
}

/* Aborts it when it is under way, and tells how long it took to end. */
static int64_t time_to_abort(pool pool, const char *url, const char *hook_name) {
  rf_options *options = hook_name != NULL ? options_with_hook(hook_name) : new_options();
  rf_future *future = get(pool.session, url, options);
  rf_options_free(options);
  EVENTUALLY(rf_future_running(future));
  sleep_ms(150);
  CHECK(!rf_future_done(future));
  int64_t start = now_ms();
  CHECK(rf_future_abort(future));
  ERROR_OF(RF_ERROR_ABORTED, future);
  int64_t took = now_ms() - start;
  rf_future_free(future);
  return took;
}

static void check_abort(pool pool, const char *what, const char *url, const char *hook_name) {
  int64_t best = INT64_MAX;
  /* What counts is what the library needs, not what else the machine does at that moment. */
  for (int i = 0; i < 3; i++) {
    int64_t took = time_to_abort(pool, url, hook_name);
    if (took < best) best = took;
  }
  if (getenv("RF_TEST_VERBOSE") != NULL) fprintf(stderr, "abort %s: %" PRId64 " ms\n", what, best);
  CHECK_RANGE(0, 100 * patience(), best);
}

static void aborting(void) {
  pool pool = new_pool(1);
  rf_future *future = get(pool.session, http("/get"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  check_abort(pool, "connecting", text("%s/", env("RF_TEST_BLACKHOLE")), NULL);
  check_abort(pool, "in the handshake", text("%s/", env("RF_TEST_TLS_SILENT")), NULL);
  check_abort(pool, "waiting", raw("/silent"), NULL);
  check_abort(pool, "receiving", raw("/trickle?ms=20&n=10000"), NULL);
  check_abort(pool, "stalled", raw("/stall/body?declared=200000&sent=100000"), NULL);
  check_abort(pool, "in a hook that hangs", http("/get"), "hang");
  check_abort(pool, "in a hook that blocks signals", http("/get"), "hang_stubbornly");
  /* The next one is not hit. */
  future = get(pool.session, http("/get"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  end_pool(pool);
}

/* An abort while the worker is still starting. */
static void aborting_at_any_moment(void) {
  for (int ms = 0; ms < 30; ms += 3) {
    pool pool = new_pool(1);
    rf_future *future = get(pool.session, raw("/silent"), NULL);
    sleep_ms(ms);
    bool was_pending = rf_future_cancel(future);
    if (!was_pending) CHECK(rf_future_abort(future));
    ERROR_OF(was_pending ? RF_ERROR_CANCELLED : RF_ERROR_ABORTED, future);
    rf_future_free(future);
    future = get(pool.session, http("/get"), NULL);
    RESPONSE(future);
    rf_future_free(future);
    end_pool(pool);
  }
}

/* Many aborts of requests that are just beginning or ending: each hits its own. */
static void aborts_hit_their_own_request(void) {
  pool pool = new_pool(2);
  for (int i = 0; i < 200; i++) {
    rf_future *one = get(pool.session, http("/hello"), NULL), *other = get(pool.session, http("/hello?other"), NULL);
    for (int spin = 0; spin < i * 100; spin++) LOAD(spin);
    bool aborted = rf_future_abort(one);
    CHECK_STR("Hello, world!", rf_response_text(RESPONSE(other), NULL));
    const rf_error *error = NULL;
    rf_status status = rf_future_exception(one, LONG_MS, &error);
    CHECK_OK(status);
    CHECK_INT(aborted, error != NULL);
    if (error != NULL) {
      CHECK(rf_error_kind_of(error) == RF_ERROR_ABORTED || rf_error_kind_of(error) == RF_ERROR_CANCELLED);
    }
    rf_future_free(one);
    rf_future_free(other);
  }
  end_pool(pool);
}

/* ---- closing ---- */

static void closing(int close_mode) {
  pool pool = new_pool(1);
  const char *gate = unique("closing");
  rf_future *running = get(pool.session, gate_url(gate), NULL);
  gate_wait(gate, 1);
  rf_future *pending = get(pool.session, http("/hello"), NULL), *refused = NULL;
  if (close_mode != RF_CLOSE_ABORT) gate_open(gate);
  CHECK_OK(rf_session_close(pool.session, close_mode));
  CHECK(rf_future_done(running) && rf_future_done(pending));
  switch (close_mode) {
    case RF_CLOSE_WAIT:
      RESPONSE(running);
      RESPONSE(pending);
      break;
    case RF_CLOSE_CANCEL_PENDING: {
      /* The gate was open already: it may have run. */
      const rf_error *error = NULL;
      RESPONSE(running);
      CHECK_OK(rf_future_exception(pending, 0, &error));
      if (error != NULL) CHECK_INT(RF_ERROR_CANCELLED, rf_error_kind_of(error));
      break;
    }
    default:
      ERROR_OF(RF_ERROR_ABORTED, running);
      ERROR_OF(RF_ERROR_CANCELLED, pending);
      gate_open(gate);
  }
  CHECK_STATUS(RF_E_SHUTDOWN, rf_session_get(pool.session, http("/get"), NULL, &refused));
  rf_future_free(running);
  rf_future_free(pending);
  /* The pool is not the session's: it goes on. */
  rf_session *other = session_on(pool.executor);
  running = get(other, http("/hello"), NULL);
  RESPONSE(running);
  rf_future_free(running);
  rf_session_free(other);
  end_pool(pool);
}

static void freed_without_a_word(void) {
  pool pool = new_pool(2);
  rf_future *future = get(pool.session, http("/delay/0.2"), NULL);
  rf_session_free(pool.session);
  rf_executor_free(pool.executor);
  RESPONSE(future);
  rf_future_free(future);
  EVENTUALLY(children() == 0);
}

static void shutting_down_twice(void) {
  pool pool = new_pool(2);
  rf_future *future = get(pool.session, http("/delay/0.2"), NULL), *refused = NULL;
  CHECK_OK(rf_executor_shutdown(pool.executor, false, false));
  CHECK_STATUS(RF_E_SHUTDOWN, rf_session_get(pool.session, http("/get"), NULL, &refused));
  RESPONSE(future);
  rf_future_free(future);
  CHECK_OK(rf_executor_shutdown(pool.executor, true, true));
  CHECK_OK(rf_executor_shutdown(pool.executor, true, true));
  CHECK_INT(0, children());
  end_pool(pool);
}

static int callbacks;
static void shut_down_here(rf_future *future, void *user_data) {
  pool *pool = user_data;
  CHECK(rf_future_done(future));
  CHECK_OK(rf_session_close(pool->session, RF_CLOSE_WAIT));
  CHECK_OK(rf_executor_shutdown(pool->executor, true, false));
  INCREMENT(callbacks);
}

static void shutting_down_inside_a_callback(void) {
  pool pool = new_pool(1);
  callbacks = 0;
  rf_future *future = get(pool.session, http("/delay/0.1"), NULL);
  CHECK_OK(rf_future_add_done_callback(future, shut_down_here, &pool, NULL));
  RESPONSE(future);
  EVENTUALLY(LOAD(callbacks) == 1);
  rf_future_free(future);
  end_pool(pool);
}

static void free_here(rf_future *future, void *user_data) {
  pool *pool = user_data;
  (void)future;
  rf_session_free(pool->session);
  rf_executor_free(pool->executor);
  INCREMENT(callbacks);
}

static void freeing_inside_a_callback(void) {
  pool pool = new_pool(1);
  callbacks = 0;
  rf_future *future = get(pool.session, http("/delay/0.1"), NULL);
  CHECK_OK(rf_future_add_done_callback(future, free_here, &pool, NULL));
  RESPONSE(future);
  EVENTUALLY(LOAD(callbacks) == 1);
  rf_future_free(future);
  EVENTUALLY(children() == 0);
}

/* A worker of the pool that waits for the pool. */
static void wait_here(rf_future *future, void *user_data) {
  pool *pool = user_data;
  const rf_response *response = NULL;
  (void)future;
  rf_future *next = get(pool->session, http("/hello"), NULL);
  CHECK_STATUS(RF_E_DEADLOCK, rf_future_result(next, RF_FOREVER, &response));
  rf_future_free(next);
  INCREMENT(callbacks);
}

static void waiting_for_itself_is_a_deadlock(void) {
  pool pool = new_pool(1);
  callbacks = 0;
  rf_future *future = get(pool.session, http("/delay/0.1"), NULL);
  CHECK_OK(rf_future_add_done_callback(future, wait_here, &pool, NULL));
  EVENTUALLY(LOAD(callbacks) == 1);
  rf_future_free(future);
  end_pool(pool);
}

/* ---- streams ---- */

static rf_future *begin_stream(rf_session *session, const char *url, const rf_response **response) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_stream(options, true));
  rf_future *future = get(session, url, options);
  rf_options_free(options);
  *response = RESPONSE(future);
  return future;
}

static size_t read_all(const rf_response *response) {
  uint8_t piece[5000];
  size_t total = 0, length = 0;
  do {
    CHECK_OK(rf_response_read(response, piece, sizeof piece, &length, NULL));
    total += length;
  } while (length > 0);
  return total;
}

static void streams_outlive_session_and_pool(void) {
  pool pool = new_pool(1);
  const rf_response *response = NULL;
  rf_future *future = begin_stream(pool.session, http("/bytes/5000000"), &response);
  /* The worker goes on with the next request, though nobody has read yet. */
  rf_future *next = get(pool.session, http("/hello"), NULL);
  RESPONSE(next);
  rf_future_free(next);
  CHECK_OK(rf_session_close(pool.session, RF_CLOSE_WAIT));
  CHECK_OK(rf_executor_shutdown(pool.executor, true, false));
  rf_session_free(pool.session);
  rf_executor_free(pool.executor);
  CHECK_INT(5000000, read_all(response));
  rf_future_free(future);
  EVENTUALLY(children() == 0);
}

static void lines_come_as_they_arrive(void) {
  pool pool = new_pool(1);
  const rf_response *response = NULL;
  const char *line = NULL;
  int64_t start = now_ms();
  rf_future *future = begin_stream(pool.session, http("/slow-body?ms=1000&n=3"), &response);
  for (int i = 0; i < 3; i++) {
    CHECK_OK(rf_response_read_line(response, &line, NULL, NULL));
    CHECK_STR(text("piece %d", i), line);
    if (i == 0) CHECK_RANGE(0, 2500 * patience(), now_ms() - start);
  }
  CHECK_STATUS(RF_END, rf_response_read_line(response, &line, NULL, NULL));
  rf_future_free(future);
  end_pool(pool);
}

/* One that nobody reads any more frees its connection, and keeps nobody from ending. */
static void unread_streams_end(void) {
  pool pool = new_pool(1);
  wire *server = wire_start(wire_keep, NULL);
  const rf_response *response = NULL;
  uint8_t byte;
  size_t length;
  for (int how = 0; how < 4; how++) {
    rf_future *future = begin_stream(pool.session, http("/bytes/50000000"), &response);
    if (how == 1) CHECK_OK(rf_response_read(response, &byte, 1, &length, NULL));
    if (how == 2) {
      CHECK_OK(rf_response_close(response));
      CHECK_STATUS(RF_E_STATE, rf_response_read(response, &byte, 1, &length, NULL));
    }
    if (how == 3) {
      const rf_error *error = NULL;
      CHECK_OK(rf_response_read(response, &byte, 1, &length, NULL));
      CHECK(!rf_future_abort(future));
      rf_status status;
      do status = rf_response_read(response, &byte, 1, &length, &error);
      while (status == RF_OK && length > 0);
      CHECK_STATUS(RF_FAILED, status);
      CHECK_INT(RF_ERROR_ABORTED, rf_error_kind_of(error));
    }
    rf_future_free(future);
  }
  end_pool(pool);
  wire_stop(server);
}

static void closing_with_an_abort_ends_streams(void) {
  pool pool = new_pool(1);
  const rf_response *response = NULL;
  const rf_error *error = NULL;
  uint8_t piece[1000];
  size_t length = 0;
  rf_status status;
  rf_future *future = begin_stream(pool.session, raw("/trickle?ms=50&n=10000"), &response);
  CHECK_OK(rf_response_read(response, piece, sizeof piece, &length, NULL));
  CHECK_OK(rf_session_close(pool.session, RF_CLOSE_ABORT));
  do status = rf_response_read(response, piece, sizeof piece, &length, &error);
  while (status == RF_OK && length > 0);
  CHECK_STATUS(RF_FAILED, status);
  CHECK_INT(RF_ERROR_ABORTED, rf_error_kind_of(error));
  rf_future_free(future);
  end_pool(pool);
}

/* A worker that dies breaks off the bodies that come from it. */
static void a_dead_worker_breaks_its_streams_off(void) {
  pool pool = new_pool(1);
  const rf_response *response = NULL;
  const rf_error *error = NULL;
  uint8_t piece[1000];
  size_t length = 0;
  rf_status status;
  rf_options *options = options_with_hook("tell_process");
  CHECK_OK(rf_options_set_stream(options, true));
  rf_future *future = get(pool.session, raw("/trickle?ms=50&n=10000"), options);
  response = RESPONSE(future);
  CHECK_INT(0, kill((pid_t)process_of(response), SIGKILL));
  do status = rf_response_read(response, piece, sizeof piece, &length, &error);
  while (status == RF_OK && length > 0);
  CHECK_STATUS(RF_FAILED, status);
  CHECK_INT(RF_ERROR_BROKEN_POOL, rf_error_kind_of(error));
  rf_future_free(future);
  rf_options_free(options);
  end_pool(pool);
}

/* Reads until it fails, and tells the kind of the failure. */
static int read_to_failure(const rf_response *response) {
  const rf_error *error = NULL;
  uint8_t piece[1000];
  size_t length = 0;
  rf_status status;
  do status = rf_response_read(response, piece, sizeof piece, &length, &error);
  while (status == RF_OK && length > 0);
  CHECK_STATUS(RF_FAILED, status);
  return rf_error_kind_of(error);
}

/* Also when the worker does not say so: here it is stopped. */
static void a_stream_ends_at_its_deadline(void) {
  for (int stopped = 0; stopped < 2; stopped++) {
    pool pool = new_pool(1);
    rf_options *options = options_with_hook("tell_process");
    CHECK_OK(rf_options_set_stream(options, true));
    CHECK_OK(rf_options_set_deadline(options, 700 * patience()));
    int64_t start = now_ms();
    rf_future *future = get(pool.session, raw("/trickle?ms=20&n=100000"), options);
    const rf_response *response = RESPONSE(future);
    pid_t worker = (pid_t)process_of(response);
    if (stopped) CHECK_INT(0, kill(worker, SIGSTOP));
    CHECK_INT(RF_ERROR_TIMEOUT, read_to_failure(response));
    CHECK_RANGE(690 * patience(), 900 * patience(), now_ms() - start);
    CHECK_INT(0, kill(worker, SIGCONT));
    rf_future_free(future);
    rf_options_free(options);
    end_pool(pool);
  }
}

/* A worker that is stopped runs nothing: the request ends with its deadline, not a second later. */
static void a_stopped_worker_does_not_hold_a_deadline_up(void) {
  pool pool = new_pool(1);
  rf_options *options = options_with_hook("tell_process");
  rf_future *future = get(pool.session, http("/get"), options);
  pid_t worker = (pid_t)process_of(RESPONSE(future));
  rf_future_free(future);
  rf_options_free(options);
  CHECK_INT(0, kill(worker, SIGSTOP));
  options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 300 * patience()));
  int64_t start = now_ms();
  future = get(pool.session, http("/get"), options);
  ERROR_OF(RF_ERROR_TIMEOUT, future);
  CHECK_RANGE(290 * patience(), 300 * patience() + 400, now_ms() - start);
  rf_future_free(future);
  /* Another one takes its place. */
  future = get(pool.session, http("/get"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  rf_options_free(options);
  end_pool(pool);
}

/* Its sockets are open in a child that it leaves behind: that does not keep the reader waiting. */
static void a_dead_worker_breaks_its_streams_off_though_a_child_of_it_lives(void) {
  pool pool = new_pool(1);
  const rf_response *response = NULL;
  rf_future *future = begin_stream(pool.session, raw("/trickle?ms=20&n=100000"), &response);
  rf_options *options = options_with_hook("die_and_leave_a_child");
  int64_t start = now_ms();
  rf_future *other = get(pool.session, http("/get"), options);
  ERROR_OF(RF_ERROR_BROKEN_POOL, other);
  CHECK_INT(RF_ERROR_BROKEN_POOL, read_to_failure(response));
  CHECK_RANGE(0, 5000 * patience(), now_ms() - start);
  rf_future_free(other);
  rf_future_free(future);
  rf_options_free(options);
  end_pool(pool);
}

/* The time that a worker needs to start is part of a request's time. */
static void the_deadline_holds_however_long_a_worker_takes_to_start(void) {
  const char *set = getenv("REQUESTS_FUTURES_WORKER");
  char *before = set != NULL ? strdup(set) : NULL;
  char script[512];
  if (before == NULL) {
    printf("skipped: nothing says where the worker is\n");
    return;
  }
  snprintf(script, sizeof script, "%s/slow-worker-XXXXXX", env("TMPDIR"));
  int file = mkstemp(script);
  CHECK(file >= 0);
  CHECK_INT(0, fchmod(file, 0700));
  const char *lines = text("#!/bin/sh\nsleep 0.6\nexec '%s' \"$@\"\n", before);
  CHECK_INT(strlen(lines), write(file, lines, strlen(lines)));
  close(file);
  CHECK_INT(0, setenv("REQUESTS_FUTURES_WORKER", script, 1));
  pool pool = new_pool(1);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 1200 * patience()));
  int64_t start = now_ms();
  rf_future *future = get(pool.session, raw("/silent"), options);
  CHECK_STR(raw("/silent"), rf_error_url(ERROR_OF(RF_ERROR_TIMEOUT, future)));
  CHECK_RANGE(1190 * patience(), 1400 * patience(), now_ms() - start);
  rf_future_free(future);
  /* The worker has kept to it, and goes on. */
  CHECK_INT(1, children());
  future = get(pool.session, http("/get"), options);
  RESPONSE(future);
  rf_future_free(future);
  rf_options_free(options);
  CHECK_INT(0, setenv("REQUESTS_FUTURES_WORKER", before, 1));
  end_pool(pool);
  unlink(script);
  free(before);
}

/* ---- the end of the parent ---- */

/* The other half of this program: starts workers, tells their numbers, and waits to be killed. */
static void be_a_parent(void) {
  pool pool = new_pool(3);
  rf_options *options = options_with_hook("tell_process"), *hanging = options_with_hook("hang_stubbornly");
  /* Told one after the other, while the one before is busy for ever. */
  const char *const ends[] = {"/hello", "/silent", "hang"};
  for (int i = 0; i < 3; i++) {
    rf_future *future = get(pool.session, http("/get"), options);
    printf("%ld\n", process_of(RESPONSE(future)));
    rf_future_free(future);
    if (strcmp(ends[i], "/silent") == 0) get(pool.session, raw("/silent"), NULL);
    if (strcmp(ends[i], "hang") == 0) get(pool.session, http("/get"), hanging);
    if (i == 0) get(pool.session, raw("/trickle?ms=20&n=100000"), NULL);
    sleep_ms(200);
  }
  /* A child that knows nothing of workers, and has all the descriptors that this process has. */
  fflush(stdout);
  pid_t child = fork();
  /* Should the test fail, nobody kills them. */
  alarm(60);
  if (child == 0) {
    fclose(stdout);
    for (;;) pause();
  }
  printf("child %ld\n", (long)child);
  fflush(stdout);
  for (;;) pause();
}

static void workers_end_with_their_parent(const char *program) {
  int out[2];
  CHECK_INT(0, pipe(out));
  pid_t parent = fork();
  CHECK(parent >= 0);
  if (parent == 0) {
    dup2(out[1], 1);
    close(out[0]);
    close(out[1]);
    execl(program, program, "parent", (char *)NULL);
    _exit(127);
  }
  close(out[1]);
  FILE *lines = fdopen(out[0], "r");
  char line[64];
  long workers[3], child = 0;
  int count = 0;
  while (child == 0 && fgets(line, sizeof line, lines) != NULL) {
    if (sscanf(line, "child %ld", &child) == 1) break;
    CHECK(count < 3);
    workers[count++] = atol(line);
  }
  CHECK_INT(3, count);
  CHECK(child > 0);
  for (int i = 0; i < 3; i++) CHECK_INT(0, kill((pid_t)workers[i], 0));
  CHECK_INT(0, kill(parent, SIGKILL));
  CHECK_INT(parent, waitpid(parent, NULL, 0));
  int64_t start = now_ms();
  for (int i = 0; i < 3; i++) EVENTUALLY(kill((pid_t)workers[i], 0) != 0 || is_zombie(workers[i]));
  if (getenv("RF_TEST_VERBOSE") != NULL) {
    fprintf(stderr, "workers ended %" PRId64 " ms after their parent\n", now_ms() - start);
  }
  CHECK_INT(0, kill((pid_t)child, 0)); /* that one lives on */
  kill((pid_t)child, SIGKILL);
  fclose(lines);
}

/* A program that ends without freeing anything leaves no worker either. */
static void workers_end_when_the_program_just_exits(const char *program) {
  int out[2];
  CHECK_INT(0, pipe(out));
  pid_t parent = fork();
  CHECK(parent >= 0);
  if (parent == 0) {
    dup2(out[1], 1);
    close(out[0]);
    close(out[1]);
    execl(program, program, "exit", (char *)NULL);
    _exit(127);
  }
  close(out[1]);
  FILE *lines = fdopen(out[0], "r");
  long worker = 0;
  CHECK(fscanf(lines, "%ld", &worker) == 1);
  int status = 0;
  CHECK_INT(parent, waitpid(parent, &status, 0));
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EVENTUALLY(kill((pid_t)worker, 0) != 0 || is_zombie(worker));
  fclose(lines);
}

static int just_exit(void) {
  /* Kept where leak checkers look: not freeing is what this is about. */
  static rf_session *volatile session;
  static rf_executor *volatile executor;
  pool pool = new_pool(2);
  static rf_options *volatile options;
  static rf_future *volatile future;
  session = pool.session, executor = pool.executor;
  options = options_with_hook("tell_process");
  future = get(pool.session, http("/get"), options);
  printf("%ld\n", process_of(RESPONSE(future)));
  fflush(stdout);
  static rf_future *volatile silent;
  silent = get(pool.session, raw("/silent"), NULL);
  return silent == NULL || session == NULL || executor == NULL;
}

/* In the child of a fork the pool is an error, not a hang; and the workers stay the parent's. */
static void a_fork_in_between(void) {
  pool pool = new_pool(1);
  rf_future *future = get(pool.session, http("/hello"), NULL), *refused = NULL;
  RESPONSE(future);
  rf_future_free(future);
  pid_t child = fork();
  if (child == 0) {
    CHECK_STATUS(RF_E_SHUTDOWN, rf_session_get(pool.session, http("/hello"), NULL, &refused));
    rf_session_free(pool.session);
    rf_executor_free(pool.executor);
    /* What the threads held that stayed behind is lost here, which is no leak that valgrind should look for. */
    kill(getpid(), SIGKILL);
  }
  int status = 1;
  CHECK_INT(child, waitpid(child, &status, 0));
  CHECK(WIFSIGNALED(status));
  future = get(pool.session, http("/hello"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  end_pool(pool);
}

/* A child that lives on has all the sockets of this process; no worker waits for it to end. */
static void a_forked_child_keeps_no_worker_alive(void) {
  pool pool = new_pool(3);
  const rf_response *response = NULL;
  rf_future *futures[3];
  const char *gate = unique("forked");
  for (int i = 0; i < 3; i++) futures[i] = get(pool.session, text("%s?%d", gate_url(gate), i), NULL);
  gate_wait(gate, 3);
  gate_open(gate);
  for (int i = 0; i < 3; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  rf_future *stream = begin_stream(pool.session, http("/bytes/50000000"), &response);
  pid_t child = fork();
  if (child == 0) {
    alarm(60);
    for (;;) pause();
  }
  int64_t start = now_ms();
  rf_future_free(stream);
  CHECK_OK(rf_executor_shutdown(pool.executor, true, false));
  CHECK_RANGE(0, 1500 * patience(), now_ms() - start);
  kill(child, SIGKILL);
  CHECK_INT(child, waitpid(child, NULL, 0));
  end_pool(pool);
}

static int entries(const char *folder) {
  DIR *open = opendir(folder);
  int count = 0;
  CHECK(open != NULL);
  while (readdir(open) != NULL) count++;
  closedir(open);
  return count - 2;
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "parent") == 0) be_a_parent();
  if (argc > 1) return just_exit();
  /* Whatever is written for a moment is written here. */
  char folder[512];
  snprintf(folder, sizeof folder, "%s/processes-XXXXXX", env("RF_TEST_DIR"));
  CHECK(mkdtemp(folder) != NULL);
  CHECK_INT(0, setenv("TMPDIR", folder, 1));
  cancelling();
  int before = descriptors();
  aborting();
  aborting_at_any_moment();
  aborts_hit_their_own_request();
  closing(RF_CLOSE_WAIT);
  closing(RF_CLOSE_CANCEL_PENDING);
  closing(RF_CLOSE_ABORT);
  freed_without_a_word();
  shutting_down_twice();
  shutting_down_inside_a_callback();
  freeing_inside_a_callback();
  waiting_for_itself_is_a_deadlock();
  streams_outlive_session_and_pool();
  lines_come_as_they_arrive();
  unread_streams_end();
  closing_with_an_abort_ends_streams();
  a_stopped_worker_does_not_hold_a_deadline_up();
  a_dead_worker_breaks_its_streams_off();
  a_dead_worker_breaks_its_streams_off_though_a_child_of_it_lives();
  a_stream_ends_at_its_deadline();
  the_deadline_holds_however_long_a_worker_takes_to_start();
  a_fork_in_between();
  a_forked_child_keeps_no_worker_alive();
  workers_end_with_their_parent(argv[0]);
  workers_end_when_the_program_just_exits(argv[0]);
  CHECK_INT(before, descriptors());
  CHECK_INT(0, children());
  EVENTUALLY(entries(folder) == 0);
  rmdir(folder);
  return finish();
}
