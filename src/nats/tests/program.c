/* What is asked of an executor beyond a NATS server, one scenario in each run: program SCENARIO. */
#include "elsewhere.h"

#include <requests_futures_nats.h>

#include <sys/wait.h>
#include <unistd.h>

static rf_executor *executor;

static void new_executor(void) {
  rf_nats_config *config = NULL;
  CHECK_OK(rf_nats_config_new(&config));
  CHECK_STR("", rf_nats_config_error(config));
  CHECK_OK(rf_nats_config_set_servers(config, env("NATS_URL")));
  if (rf_nats_executor_new(config, &executor) != RF_OK) FAIL("%s", rf_nats_config_error(config));
  rf_nats_config_free(config);
}

static rf_session *session_there(void) {
  new_executor();
  return session_on(executor);
}

static void end(rf_session *session) {
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
  CHECK_OK(rf_executor_shutdown(executor, true, false));
  rf_executor_free(executor);
}

/* ---- answers ---- */

static void the_same(rf_session *there, rf_session *here, const char *method, const char *url, const rf_options *options) {
  rf_future *plain = request(here, method, url, options), *future = request(there, method, url, options);
  char *expected = describe(plain, here), *got = describe(future, there);
  CHECK_STR(expected, got);
  free(expected);
  free(got);
  rf_future_free(plain);
  rf_future_free(future);
}

static void count_call(rf_future *future, void *user_data) {
  CHECK(rf_future_done(future));
  INCREMENT(*(int *)user_data);
}

static void answers(void) {
  rf_session *there = session_there(), *here = new_session_workers(1);
  static const char *const paths[] = {"/hello", "/bytes/3000000?seed=1", "/redirect/2", "/status/404", "/gzip",
                                      "/cookies/set?a=1", "/cookies", "/stream/3"};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) the_same(there, here, "GET", http(paths[i]), NULL);
  the_same(there, here, "GET", env("RF_TEST_CLOSED"), NULL); /* an error */
  the_same(there, here, "GET", "nonsense://h/", NULL);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_json(options, "{\"a\":[1,2]}"));
  the_same(there, here, "POST", http("/anything"), options);
  CHECK_OK(rf_options_set_stream(options, true));
  the_same(there, here, "PUT", http("/anything"), options);
  rf_options_free(options);
  /* One that is too long for the stream. */
  size_t length = 3000000;
  char *body = malloc(length);
  CHECK(body != NULL);
  for (size_t i = 0; i < length; i++) body[i] = (char)('a' + i % 23);
  options = new_options();
  CHECK_OK(rf_options_set_body(options, body, length));
  the_same(there, here, "POST", http("/anything"), options);
  rf_options_free(options);
  free(body);

  /* Callbacks and queues are where they were. */
  enum { COUNT = 50 };
  rf_future *futures[COUNT];
  int calls = 0;
  for (int i = 0; i < COUNT; i++) {
    futures[i] = get(there, http("/hello"), NULL);
    CHECK_OK(rf_future_add_done_callback(futures[i], count_call, &calls, NULL));
  }
  CHECK_OK(rf_session_close(there, RF_CLOSE_WAIT));
  CHECK_INT(COUNT, LOAD(calls));
  for (int i = 0; i < COUNT; i++) {
    CHECK_STR("Hello, world!", rf_response_text(RESPONSE(futures[i]), NULL));
    rf_future_free(futures[i]);
  }
  rf_future *late = NULL;
  CHECK_STATUS(RF_E_SHUTDOWN, rf_session_get(there, http("/hello"), NULL, &late));
  end(there);
  rf_session_free(here);

  /* What is a file of this machine does not travel. */
  there = session_there();
  options = new_options();
  CHECK_OK(rf_options_set_body_file(options, env("RF_TEST_CA")));
  rf_future *future = request(there, "POST", http("/anything"), options);
  CHECK_HAS("another machine", rf_error_message(ERROR_OF(RF_ERROR_NOT_TRANSFERABLE, future)));
  rf_future_free(future);
  rf_options_free(options);
  /* Sessions share it, and it takes nothing more when it is shut down. */
  rf_session *other = session_on(executor);
  future = get(other, http("/hello"), NULL);
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  CHECK_OK(rf_executor_shutdown(executor, true, false));
  CHECK_STATUS(RF_E_SHUTDOWN, rf_session_get(other, http("/hello"), NULL, &late));
  rf_session_free(other);
  rf_session_free(there);
  rf_executor_free(executor);

  /* Who frees everything at once leaves nothing behind when the request is over, which nobody waits for. */
  const char *gate = unique("left");
  there = session_there();
  future = get(there, gate_url(gate), NULL);
  rf_session_free(there);
  rf_executor_free(executor);
  rf_future_free(future);
  gate_wait(gate, 1);
  gate_open(gate);
}

/* ---- a child ---- */

/* It may let go of what its parent has. */
static void forked(void) {
  rf_session *session = session_there();
  fflush(NULL);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(60);
    rf_executor_shutdown(executor, true, true);
    rf_session_free(session);
    rf_executor_free(executor);
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  rf_future *future = get(session, http("/hello"), NULL);
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  end(session);
}

/* ---- aborts ---- */

/* Whoever aborts and frees everything at once leaves the worker nothing to do. */
static void aborted_and_freed(void) {
  rf_session *session = session_there();
  const char *gate = unique("freed");
  rf_future *future = get(session, gate_url(gate), NULL);
  gate_wait(gate, 1);
  CHECK(rf_future_abort(future));
  rf_future_free(future);
  end(session);
  session = session_there();
  future = get(session, http("/hello"), NULL);
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  end(session);
  gate_open(gate);
}

static void aborts(void) {
  rf_session *session = session_there();
  const char *gate = unique("aborted");
  rf_future *future = get(session, gate_url(gate), NULL);
  gate_wait(gate, 1);
  CHECK(rf_future_running(future));
  CHECK(!rf_future_cancel(future));
  int64_t start = now_ms();
  CHECK(rf_future_abort(future));
  ERROR_OF(RF_ERROR_ABORTED, future);
  CHECK_RANGE(0, 5000 * patience(), now_ms() - start);
  rf_future_free(future);
  /* The only slot is free. */
  future = get(session, http("/hello"), NULL);
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  /* So it is after a deadline. */
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 500));
  future = get(session, gate_url(gate), options);
  ERROR_OF(RF_ERROR_TIMEOUT, future);
  rf_future_free(future);
  rf_options_free(options);
  future = get(session, http("/hello"), NULL);
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  /* And one that waits is cancelled without having been there. */
  const char *key = unique("waits");
  future = get(session, gate_url(gate), NULL);
  gate_wait(gate, 1);
  rf_future *waits = get(session, http(text("/count?key=%s", key)), NULL);
  CHECK(rf_future_cancel(waits));
  CHECK_OK(rf_session_close(session, RF_CLOSE_ABORT));
  ERROR_OF(RF_ERROR_ABORTED, future);
  CHECK_INT(0, counted(key));
  rf_future_free(future);
  rf_future_free(waits);
  end(session);
}

/* ---- nobody is there ---- */

static void nobody(void) {
  rf_session *session = session_there(), *other = session_on(executor);
  const char *url = http("/count?key=nobody");
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 300));
  rf_future *late = request(session, "POST", url, options), *cancelled = get(session, url, NULL);
  rf_future *aborted = get(session, url, NULL), *closed = get(session, url, NULL);
  rf_future *dropped = get(other, url, NULL);
  int64_t start = now_ms();
  ERROR_OF(RF_ERROR_TIMEOUT, late);
  CHECK_RANGE(0, 20000 * patience(), now_ms() - start);
  CHECK(rf_future_cancel(cancelled));
  CHECK(rf_future_abort(aborted));
  ERROR_OF(RF_ERROR_CANCELLED, aborted);
  CHECK_OK(rf_session_close(session, RF_CLOSE_CANCEL_PENDING));
  ERROR_OF(RF_ERROR_CANCELLED, closed);
  CHECK_OK(rf_executor_shutdown(executor, true, true));
  ERROR_OF(RF_ERROR_CANCELLED, dropped);
  rf_future *all[] = {late, cancelled, aborted, closed, dropped};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) rf_future_free(all[i]);
  rf_options_free(options);
  printf("over\n");
  fflush(stdout);
  CHECK_INT(EOF, getchar());
  rf_session_free(session);
  rf_session_free(other);
  rf_executor_free(executor);
}

/* ---- hooks ---- */

static rf_future *hooked(rf_session *session, rf_options *options) {
  rf_future *future = get(session, http("/hello"), options);
  rf_options_free(options);
  return future;
}

static void hooks(void) {
  rf_session *session = session_there();
  rf_future *future = hooked(session, options_with_hook("tell_process"));
  CHECK(process_of(RESPONSE(future)) != (long)getpid());
  rf_future_free(future);
  end(session);
}

static void forbidden(void) {
  rf_session *session = session_there();
  rf_future *future = hooked(session, options_with_hook("tell_process"));
  CHECK_HAS("a hook", rf_error_message(ERROR_OF(RF_ERROR_NOT_TRANSFERABLE, future)));
  rf_future_free(future);
  end(session);
}

static void hook_missing(void) {
  const char *copy = text("%s-%ld.so", env("RF_TEST_HOOK_LIBRARY"), (long)getpid());
  CHECK_INT(0, system(text("cp '%s' '%s'", env("RF_TEST_HOOK_LIBRARY"), copy)));
  CHECK_INT(0, setenv("RF_TEST_HOOK_LIBRARY", copy, 1));
  rf_session *session = session_there();
  rf_options *options = options_with_hook("tell_process");
  CHECK_INT(0, unlink(copy));
  rf_future *future = hooked(session, options);
  CHECK_HAS(copy, rf_error_message(ERROR_OF(RF_ERROR_NOT_TRANSFERABLE, future)));
  rf_future_free(future);
  end(session);
}

/* ---- arguments ---- */

static void arguments(void) {
  rf_nats_config *config = NULL;
  NO(rf_nats_config_new(NULL));
  CHECK_OK(rf_nats_config_new(&config));
  CHECK_STR("", rf_nats_config_error(config));
  CHECK_NULL(rf_nats_config_error(NULL));
  struct { rf_status (*set)(rf_nats_config *, const char *); const char *bad; } texts[] = {
      {rf_nats_config_set_servers, " , "}, {rf_nats_config_set_credentials, "\xff"}, {rf_nats_config_set_ca, "\xff"},
      {rf_nats_config_set_prefix, "a.b"},  {rf_nats_config_set_name, "*"},
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    NO(texts[i].set(NULL, "word"));
    NO(texts[i].set(config, NULL));
    BAD(texts[i].set(config, texts[i].bad));
    BAD(texts[i].set(config, "\xff"));
    CHECK_OK(texts[i].set(config, "word"));
  }
  NO(rf_nats_config_set_cert(NULL, "a", "b"));
  NO(rf_nats_config_set_cert(config, NULL, "b"));
  NO(rf_nats_config_set_cert(config, "a", NULL));
  CHECK_OK(rf_nats_config_set_cert(config, "a", "b"));
  struct { rf_status (*set)(rf_nats_config *, int64_t); int64_t bad, good; } times[] = {
      {rf_nats_config_set_connect_timeout, 0, 1}, {rf_nats_config_set_lease, 99, 100},
      {rf_nats_config_set_lease, 3600001, 3600000}, {rf_nats_config_set_connect_timeout, -1, 1},
  };
  for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
    NO(times[i].set(NULL, times[i].good));
    BAD(times[i].set(config, times[i].bad));
    CHECK_OK(times[i].set(config, times[i].good));
  }
  struct { rf_status (*set)(rf_nats_config *, uint32_t); uint32_t low, high, good; } numbers[] = {
      {rf_nats_config_set_partitions, 0, 1001, 1000}, {rf_nats_config_set_replicas, 0, 6, 5},
  };
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    NO(numbers[i].set(NULL, numbers[i].good));
    BAD(numbers[i].set(config, numbers[i].low));
    BAD(numbers[i].set(config, numbers[i].high));
    CHECK_OK(numbers[i].set(config, numbers[i].good));
  }
  NO(rf_nats_executor_new(config, NULL));
  FAILS_OUT(RF_FAILED, executor, rf_nats_executor_new(config, &executor)); /* there is no file word */
  CHECK_HAS("word", rf_nats_config_error(config));
  rf_nats_config_free(config);
  rf_nats_config_free(NULL);
}

/* ---- limits of a session ---- */

/* Its turns are waited for here, and at the worker nobody else's place is taken meanwhile. */
static void limits(void) {
  enum { COUNT = 20 };
  rf_config *config = NULL;
  rf_future *futures[COUNT];
  new_executor();
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_per_host(config, 2));
  CHECK_OK(rf_config_set_rate(config, 40, 4));
  CHECK_OK(rf_config_set_executor(config, executor));
  rf_session *session = session_of(config), *other = session_on(executor);
  for (int i = 0; i < COUNT; i++) futures[i] = get(session, http(text("/turns/%s?ms=20&number=%d", env("RF_TEST_KEY"), i)), NULL);
  rf_future *between = get(other, http("/hello"), NULL);
  RESPONSE(between);
  CHECK(!rf_future_done(futures[COUNT - 1]));
  rf_future_free(between);
  for (int i = 0; i < COUNT; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  rf_session_free(other);
  end(session);
}

int main(int argc, char **argv) {
  static const struct { const char *name; void (*run)(void); } scenarios[] = {
      {"answers", answers},     {"aborts", aborts}, {"nobody", nobody},
      {"hooks", hooks},         {"forbidden", forbidden},
      {"forked", forked},       {"freed", aborted_and_freed},
      {"hook_missing", hook_missing}, {"arguments", arguments}, {"limits", limits},
  };
  for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
    if (argc == 2 && strcmp(argv[1], scenarios[i].name) == 0) {
      scenarios[i].run();
      return finish();
    }
  }
  return 2;
}
