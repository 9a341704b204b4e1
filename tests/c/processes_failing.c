/* Worker processes that crash, hang, talk nonsense or cannot start: that is the affair of the request they had, and of no
   other. */
#include "elsewhere.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* The request fails, says why, and the next one finds a worker. */
static void check_breaks(pool pool, rf_options *options, const char *why) {
  int64_t start = now_ms();
  rf_future *future = get(pool.session, http("/get"), options);
  const rf_error *error = ERROR_OF(RF_ERROR_BROKEN_POOL, future);
  CHECK_HAS("worker process", rf_error_message(error));
  CHECK_HAS(why, rf_error_message(error));
  CHECK_STR(http("/get"), rf_error_url(error));
  CHECK_RANGE(0, 10000 * patience(), now_ms() - start);
  rf_future_free(future);
  rf_options_free(options);
  options = options_with_hook("tell_process");
  future = get(pool.session, http("/get"), options);
  CHECK(process_of(RESPONSE(future)) != (long)getpid());
  rf_future_free(future);
  rf_options_free(options);
}

static void one_that_dies_fails_its_request_and_is_replaced(void) {
  pool pool = new_pool(1);
  check_breaks(pool, options_with_hook("crash"), "signal 11 (SIGSEGV)");
  check_breaks(pool, options_with_hook("give_up"), "signal 6 (SIGABRT)");
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook_bytes(options, hook("leave"), "7", 2));
  check_breaks(pool, options, "exited with status 7");
  options = new_options();
  CHECK_OK(rf_options_add_hook_bytes(options, hook("leave"), "0", 2));
  check_breaks(pool, options, "exited with status 0");
  check_breaks(pool, options_with_hook("close_everything"), "closed its connection");
  end_pool(pool);
}

static void rubbish_is_no_answer(void) {
  pool pool = new_pool(1);
  check_breaks(pool, options_with_hook("write_rubbish"), "sent what is no answer");
  end_pool(pool);
}

static uint8_t *reply;
static size_t reply_length;
static rf_status execute_and_keep_the_reply(rf_task *task, void *user_data) {
  uint8_t *bytes = NULL;
  size_t length = 0;
  (void)user_data;
  CHECK_OK(rf_task_encode(task, &bytes, &length));
  CHECK_OK(rf_task_execute(bytes, length, &reply, &reply_length));
  CHECK_OK(rf_task_complete(task, reply, reply_length));
  rf_bytes_free(bytes, length);
  return RF_OK;
}

/* What a worker sends may be whole and a reply, and yet be one to another task. */
static void a_reply_to_another_task_is_no_answer(void) {
  rf_session *session = session_run_by(execute_and_keep_the_reply);
  rf_future *future = get(session, http("/get?of=another"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  rf_session_free(session);

  /* The length, and the message in which such a reply comes. */
  const size_t header = 16, length = header + reply_length;
  uint8_t *bytes = malloc(sizeof length + length);
  CHECK(bytes != NULL);
  memcpy(bytes, &length, sizeof length);
  uint8_t *message = bytes + sizeof length;
  memcpy(message, "\x93rfw", 4);
  put_u32(message + 4, 4);
  put_u32(message + 8, (uint32_t)reply_length);
  put_u32(message + 12, crc32(reply, reply_length));
  memcpy(message + header, reply, reply_length);
  pool pool = new_pool(1);
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook_bytes(options, hook("write_bytes"), bytes, sizeof length + length));
  check_breaks(pool, options, "sent what is no answer");
  end_pool(pool);
  free(bytes);
  rf_bytes_free(reply, reply_length);
}

/* A child that it leaves behind has its sockets, and keeps them open. */
static void a_dead_one_is_noticed_though_a_child_of_it_lives(void) {
  pool pool = new_pool(1);
  check_breaks(pool, options_with_hook("die_and_leave_a_child"), "signal 9 (SIGKILL)");
  end_pool(pool);
}

static bool is_gone(long process) { return kill((pid_t)process, 0) != 0 || is_zombie(process); }

/* A hook that forks and returns in the child as well: the child ends, and every request gets its own response. */
static void the_child_of_a_hook_does_not_answer(void) {
  pool pool = new_pool(1);
  for (int how = 0; how < 2; how++) {
    rf_options *options = how == 0 ? options_with_hook("fork_and_return_twice") : new_options();
    if (how == 1) {
      CHECK_OK(rf_options_set_background_callback(options, background_hook("fork_in_background"), NULL, NULL));
    }
    long worker = 0;
    for (int i = 0; i < 10; i++) {
      rf_future *future = get(pool.session, http(text("/get?number=%d", i)), options);
      const rf_response *response = RESPONSE(future);
      CHECK_STR(text("%d", i), json_string(response, "/args/number"));
      if (i > 0) CHECK_INT(worker, process_of(response));
      worker = process_of(response);
      long twin = atol(extra(response, "twin"));
      CHECK(twin != worker);
      EVENTUALLY(is_gone(twin));
      rf_future_free(future);
      future = get(pool.session, http(text("/get?number=%d", 100 + i)), NULL);
      CHECK_STR(text("%d", 100 + i), json_string(RESPONSE(future), "/args/number"));
      rf_future_free(future);
      CHECK_INT(1, children());
    }
    rf_options_free(options);
  }
  end_pool(pool);
}

static void the_others_are_unharmed(void) {
  pool pool = new_pool(4);
  const char *gate = unique("unharmed");
  rf_future *waiting[3];
  for (int i = 0; i < 3; i++) waiting[i] = get(pool.session, gate_url(gate), NULL);
  gate_wait(gate, 3);
  for (int i = 0; i < 3; i++) check_breaks(pool, options_with_hook(i == 1 ? "write_rubbish" : "crash"), "");
  for (int i = 0; i < 3; i++) CHECK(rf_future_running(waiting[i]));
  gate_open(gate);
  for (int i = 0; i < 3; i++) {
    CHECK_INT(200, rf_response_status_code(RESPONSE(waiting[i])));
    rf_future_free(waiting[i]);
  }
  end_pool(pool);
}

/* Killed from outside, while it waits and while it has nothing to do. */
static void killed(void) {
  pool pool = new_pool(1);
  rf_options *options = options_with_hook("tell_process");
  const char *gate = unique("killed");
  rf_future *future = get(pool.session, http("/get"), options);
  long worker = process_of(RESPONSE(future));
  rf_future_free(future);
  future = get(pool.session, gate_url(gate), NULL);
  gate_wait(gate, 1);
  CHECK_INT(0, kill((pid_t)worker, SIGKILL));
  const rf_error *error = ERROR_OF(RF_ERROR_BROKEN_POOL, future);
  CHECK_HAS(text("%ld", worker), rf_error_message(error));
  CHECK_HAS("SIGKILL", rf_error_message(error));
  rf_future_free(future);
  gate_open(gate);

  /* One that was idle has not seen the next request: that costs nobody anything. */
  for (int i = 0; i < 5; i++) {
    future = get(pool.session, http("/get"), options);
    worker = process_of(RESPONSE(future));
    rf_future_free(future);
    CHECK_INT(0, kill((pid_t)worker, SIGKILL));
    if (i % 2 == 0) sleep_ms(50);
    future = get(pool.session, http("/get"), options);
    const rf_response *response = NULL;
    rf_status status = rf_future_result(future, LONG_MS, &response);
    /* When it dies only after it was sent the request, nobody can tell what it has done. */
    if (status != RF_OK) ERROR_OF(RF_ERROR_BROKEN_POOL, future);
    if (i % 2 == 0) CHECK_OK(status);
    rf_future_free(future);
  }
  rf_options_free(options);
  end_pool(pool);
}

static void one_that_hangs_past_the_deadline_is_killed(void) {
  pool pool = new_pool(1);
  for (int i = 0; i < 2; i++) {
    rf_options *options = options_with_hook(i == 0 ? "hang" : "hang_stubbornly");
    CHECK_OK(rf_options_set_deadline(options, 500 * patience()));
    int64_t start = now_ms();
    rf_future *future = get(pool.session, http("/get"), options);
    const rf_error *error = NULL;
    CHECK_OK(rf_future_exception(future, LONG_MS, &error));
    CHECK_INT(RF_ERROR_BROKEN_POOL, rf_error_kind_of(error));
    CHECK_HAS("deadline", rf_error_message(error));
    CHECK_RANGE(500, 5000 * patience(), now_ms() - start);
    rf_future_free(future);
    rf_options_free(options);
    future = get(pool.session, http("/get"), NULL);
    RESPONSE(future);
    rf_future_free(future);
  }
  end_pool(pool);
}

/* ---- what does not fit in memory ---- */

/* In bytes. */
static rlim_t address_space(void) {
  FILE *file = fopen("/proc/self/statm", "r");
  unsigned long pages = 0;
  CHECK(file != NULL && fscanf(file, "%lu", &pages) == 1);
  fclose(file);
  return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* The sender chooses how long a reply is: that there is no memory for it is the outcome of that request. */
static void a_reply_that_does_not_fit_in_memory_fails_its_request(void) {
  if (getenv("RF_TEST_SLOW") != NULL) return; /* a checker's memory is its own */
  const size_t size = 192 * 1024 * 1024;
  static const char *const hooks[] = {"tell_process", "keep_much"};
  for (int how = 0; how < 3; how++) {
    pool pool = new_pool(1);
    rf_options *telling = options_with_hook("tell_process");
    rf_future *future = get(pool.session, http("/get"), telling);
    long worker = process_of(RESPONSE(future));
    rf_future_free(future);
    /* A body that comes in pieces, one that is in the worker's memory first, and bytes beside an empty one. */
    rf_options *options = how == 0 ? new_options() : options_with_hook(hooks[how - 1]);
    struct rlimit before, less;
    CHECK_INT(0, getrlimit(RLIMIT_AS, &before));
    less = before;
    less.rlim_cur = address_space() + 48 * 1024 * 1024;
    CHECK_INT(0, setrlimit(RLIMIT_AS, &less));
    future = get(pool.session, how == 2 ? http("/get") : http(text("/bytes/%zu", size)), options);
    const rf_error *error = ERROR_OF(RF_ERROR_REQUEST, future);
    CHECK_INT(0, setrlimit(RLIMIT_AS, &before));
    CHECK_STR(rf_error_message(error), strstr(rf_error_message(error), "Out of memory"));
    CHECK_INT(ENOMEM, rf_error_os_code(error));
    CHECK(rf_error_url(error) != NULL);
    rf_future_free(future);
    future = get(pool.session, http("/get"), telling);
    CHECK(process_of(RESPONSE(future)) != worker);
    CHECK_INT(1, children());
    rf_future_free(future);
    rf_options_free(options);
    rf_options_free(telling);
    end_pool(pool);
  }
}

/* ---- none can be started ---- */

static void check_cannot_start(const char *program) {
  CHECK_INT(0, setenv("REQUESTS_FUTURES_WORKER", program, 1));
  pool pool = new_pool(2);
  rf_future *futures[10];
  int64_t start = now_ms();
  for (int i = 0; i < 10; i++) futures[i] = get(pool.session, http("/get"), NULL);
  for (int i = 0; i < 10; i++) {
    const rf_error *error = ERROR_OF(RF_ERROR_BROKEN_POOL, futures[i]);
    CHECK_HAS(program, rf_error_message(error));
    CHECK_STR(http("/get"), rf_error_url(error));
    rf_future_free(futures[i]);
  }
  CHECK_RANGE(0, 10000 * patience(), now_ms() - start);
  end_pool(pool);
}

static void a_pool_that_cannot_start_says_so(void) {
  const char *set = getenv("REQUESTS_FUTURES_WORKER");
  char *before = set != NULL ? strdup(set) : NULL;
  char plain[] = "no-program-XXXXXX";
  int file = mkstemp(plain);
  CHECK(file >= 0);
  close(file);
  CHECK_INT(0, chmod(plain, 0600));
  char folder[512];
  CHECK(getcwd(folder, sizeof folder) != NULL);
  int output = dup(1), nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  check_cannot_start("/nonexistent/worker");
  check_cannot_start(text("%s/%s", folder, plain));
  check_cannot_start("/tmp");
  check_cannot_start("/bin/false");
  check_cannot_start("/bin/true");
  /* It would copy what it is named to its standard output, which is that of this process. */
  fflush(stdout);
  CHECK(dup2(nowhere, 1) == 1);
  check_cannot_start("/bin/cat");
  CHECK(dup2(output, 1) == 1);
  close(output);
  close(nowhere);
  unlink(plain);

  /* Once it can, the same pool goes on. */
  CHECK_INT(0, setenv("REQUESTS_FUTURES_WORKER", "/nonexistent", 1));
  pool pool = new_pool(1);
  rf_future *future = get(pool.session, http("/get"), NULL);
  CHECK_HAS("/nonexistent", rf_error_message(ERROR_OF(RF_ERROR_BROKEN_POOL, future)));
  rf_future_free(future);
  if (before != NULL) {
    CHECK_INT(0, setenv("REQUESTS_FUTURES_WORKER", before, 1));
  } else {
    CHECK_INT(0, unsetenv("REQUESTS_FUTURES_WORKER"));
  }
  future = get(pool.session, http("/get"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  end_pool(pool);
  free(before);
}

/* ---- many, and a worker killed all the time ---- */

#define MANY 2000

static int called[MANY], over;
static void count(rf_future *future, void *user_data) {
  CHECK(rf_future_done(future));
  INCREMENT(*(int *)user_data);
  INCREMENT(over);
}

static void every_future_ends_once_whoever_is_killed(void) {
  pool pool = new_pool(4);
  rf_future *futures[MANY];
  rf_completed *completed = NULL;
  unsigned number = 12345;
  int failed = 0, delivered = 0, kills = 0;
  char key[64];
  snprintf(key, sizeof key, "%s", unique("storm"));
  for (int i = 0; i < MANY; i++) {
    futures[i] = get(pool.session, http(text("/delay/0.002?n=%d&key=%s", i, key)), NULL);
    CHECK_OK(rf_future_add_done_callback(futures[i], count, &called[i], NULL));
  }
  int64_t start = now_ms();
  while (LOAD(over) < MANY) {
    number = number * 1103515245 + 12345;
    long child = some_child(number >> 16);
    /* It is not waited for by anybody but the pool: the number is still its own, or that of its zombie. */
    if (child > 0 && kill((pid_t)child, SIGKILL) == 0) kills++;
    sleep_ms(50);
    if (now_ms() - start > 100000 * patience()) FAIL("only %d of %d futures are over", LOAD(over), MANY);
  }
  CHECK_OK(rf_as_completed(futures, MANY, &completed));
  while (rf_completed_next(completed, 0, NULL, NULL) == RF_OK) delivered++;
  rf_completed_free(completed);
  CHECK_INT(MANY, delivered);
  for (int i = 0; i < MANY; i++) {
    const rf_error *error = NULL;
    CHECK_OK(rf_future_exception(futures[i], 0, &error));
    if (error != NULL) {
      ERROR_OF(RF_ERROR_BROKEN_POOL, futures[i]);
      failed++;
    } else {
      CHECK_STR(text("%d", i), json_string(RESPONSE(futures[i]), "/args/n"));
    }
    CHECK_INT(1, LOAD(called[i]));
    rf_future_free(futures[i]);
  }
  /* No request was sent twice, and none that succeeded was not sent. */
  CHECK_RANGE(MANY - failed, MANY, counted(key));
  CHECK_RANGE(0, kills, failed);
  if (getenv("RF_TEST_VERBOSE") != NULL) {
    fprintf(stderr, "%d of %d failed, %d were killed, in %" PRId64 " ms\n", failed, MANY, kills, now_ms() - start);
  }
  end_pool(pool);
}

int main(void) {
  CHECK_INT(0, chdir(env("RF_TEST_DIR"))); /* what is written for a moment is written there */
  one_that_dies_fails_its_request_and_is_replaced();
  int before = descriptors();
  rubbish_is_no_answer();
  a_reply_to_another_task_is_no_answer();
  the_child_of_a_hook_does_not_answer();
  the_others_are_unharmed();
  killed();
  one_that_hangs_past_the_deadline_is_killed();
  a_reply_that_does_not_fit_in_memory_fails_its_request();
  a_pool_that_cannot_start_says_so();
  every_future_ends_once_whoever_is_killed();
  a_dead_one_is_noticed_though_a_child_of_it_lives();
  CHECK_INT(before, descriptors());
  return finish();
}
