/* Worker processes that crash, hang, talk nonsense or cannot start: that is the affair of the request they had, and of no
   other. */
#include "elsewhere.h"

#include <fcntl.h>
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

/* A child that it leaves behind has its sockets, and keeps them open. */
static void a_dead_one_is_noticed_though_a_child_of_it_lives(void) {
  pool pool = new_pool(1);
  check_breaks(pool, options_with_hook("die_and_leave_a_child"), "signal 9 (SIGKILL)");
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

/* Some child of this process; 0: there is none. Each belongs to the thread that started it. */
static long some_child(unsigned which) {
  DIR *all = opendir("/proc/self/task");
  struct dirent *entry;
  long found[64];
  unsigned count = 0;
  if (all == NULL) return 0;
  while ((entry = readdir(all)) != NULL) {
    if (entry->d_name[0] == '.') continue;
    FILE *file = fopen(text("/proc/self/task/%s/children", entry->d_name), "r");
    while (file != NULL && count < 64 && fscanf(file, "%ld", &found[count]) == 1) count++;
    if (file != NULL) fclose(file);
  }
  closedir(all);
  return count > 0 ? found[which % count] : 0;
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
  the_others_are_unharmed();
  killed();
  one_that_hangs_past_the_deadline_is_killed();
  a_pool_that_cannot_start_says_so();
  every_future_ends_once_whoever_is_killed();
  a_dead_one_is_noticed_though_a_child_of_it_lives();
  CHECK_INT(before, descriptors());
  return finish();
}
