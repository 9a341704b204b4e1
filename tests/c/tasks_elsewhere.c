/* Tasks that are carried out elsewhere: what they say of themselves, starting, ending, bytes for other machines, what may not be
   executed, stops, and replies in pieces. */
#include "elsewhere.h"
#include "wire.h"

#include <pthread.h>

/* An executor that keeps what it gets, and what it is told. */
static rf_task *kept;
static uint64_t ended_id;
static int ended_calls;
static rf_status answer;

static rf_status keep(rf_task *task, void *user_data) {
  (void)user_data;
  if (answer == RF_OK) kept = task;
  return answer;
}
static void ended(uint64_t task_id, void *user_data) {
  CHECK(user_data == &kept);
  __atomic_store_n(&ended_id, task_id, __ATOMIC_SEQ_CST);
  INCREMENT(ended_calls);
}

static rf_session *new_keeper(void) {
  rf_executor_ops ops = {sizeof ops, keep, NULL, ended};
  rf_executor *executor = NULL;
  kept = NULL;
  ended_id = 0;
  ended_calls = 0;
  answer = RF_OK;
  CHECK_OK(rf_executor_new_custom(&ops, &kept, NULL, &executor));
  rf_session *session = session_on(executor);
  rf_executor_free(executor);
  return session;
}

static rf_task *take(void) {
  rf_task *task = kept;
  CHECK(task != NULL);
  kept = NULL;
  return task;
}

/* ---- what a task says of itself ---- */

static bool repeatable(rf_session *session, const char *method, const rf_options *options) {
  rf_future *future = request(session, method, "http://127.0.0.1:1/", options);
  rf_task *task = take();
  bool is = rf_task_is_repeatable(task);
  rf_task_free(task);
  rf_future_free(future);
  return is;
}

static void a_task_says_what_it_is(void) {
  rf_session *session = new_keeper();
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_priority(options, -7));
  CHECK_OK(rf_options_set_deadline(options, 60000));
  rf_future *future = request(session, "post", "http://user:secret@127.0.0.1:1/path?a=b#c", options);
  rf_task *task = take();
  CHECK(rf_task_id(task) != 0 && rf_task_id(task) == rf_future_id(future));
  CHECK_STR("POST", rf_task_method(task));
  CHECK_STR("http://127.0.0.1:1/path?a=b#c", rf_task_url(task));
  CHECK_INT(-7, rf_task_priority(task));
  CHECK_RANGE(1, 60000, rf_task_deadline_ms(task));
  CHECK(rf_future_cancel(future)); /* it says so still */
  CHECK_STR("POST", rf_task_method(task));
  rf_task_free(task);
  rf_future_free(future);
  rf_options_free(options);

  future = get(session, "http://127.0.0.1:1/", NULL);
  CHECK_INT(RF_FOREVER, rf_task_deadline_ms(kept));
  CHECK_INT(0, rf_task_priority(kept));
  rf_task_free(take());
  rf_future_free(future);

  options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 1));
  future = get(session, "http://127.0.0.1:1/", options);
  ERROR_OF(RF_ERROR_TIMEOUT, future);
  CHECK_INT(0, rf_task_deadline_ms(kept));
  rf_task_free(take());
  rf_future_free(future);
  rf_options_free(options);

  CHECK(repeatable(session, "GET", NULL));
  CHECK(repeatable(session, "delete", NULL));
  CHECK(!repeatable(session, "POST", NULL));
  CHECK(!repeatable(session, "PATCH", NULL));
  options = new_options();
  CHECK_OK(rf_options_set_header(options, "idempotency-key", "1"));
  CHECK(repeatable(session, "POST", options));
  CHECK_OK(rf_options_set_repeatable(options, false));
  CHECK(!repeatable(session, "POST", options));
  CHECK(!repeatable(session, "GET", options));
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_repeatable(options, true));
  CHECK(repeatable(session, "POST", options));
  rf_options_free(options);
  rf_session_free(session);
}

static void a_full_executor_refuses_the_call(void) {
  rf_session *session = new_keeper();
  rf_future *future = (void *)session;
  answer = RF_E_BUSY;
  CHECK_STATUS(RF_E_BUSY, rf_session_get(session, http("/hello"), NULL, &future));
  CHECK_NULL(future);
  answer = RF_E_RESOURCE;
  future = get(session, http("/hello"), NULL);
  ERROR_OF(RF_ERROR_SHUTDOWN, future);
  rf_future_free(future);
  CHECK_INT(0, LOAD(ended_calls)); /* it had neither */
  rf_session_free(session);
}

/* ---- starting ---- */

static void a_started_future_runs(void) {
  rf_session *session = new_keeper();
  rf_future *future = get(session, http("/hello"), NULL);
  rf_task *task = take();
  CHECK(!rf_future_running(future));
  CHECK_OK(rf_task_start(task));
  CHECK(rf_future_running(future));
  CHECK_STATUS(RF_E_STATE, rf_task_start(task)); /* once */
  CHECK(!rf_future_cancel(future));
  rf_task_run(task);
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);

  /* One that is over is not to be carried out. */
  future = get(session, http("/hello"), NULL);
  CHECK(rf_future_cancel(future));
  CHECK_STATUS(RF_E_STATE, rf_task_start(kept));
  CHECK_INT(1, LOAD(ended_calls));
  CHECK(ended_id == rf_future_id(future));
  rf_task_free(take());
  rf_future_free(future);
  CHECK_INT(1, LOAD(ended_calls));
  rf_session_free(session);
}

static void a_started_one_that_is_freed_may_have_been_carried_out(void) {
  rf_session *session = new_keeper();
  rf_future *future = get(session, http("/hello"), NULL);
  CHECK_OK(rf_task_start(kept));
  rf_task_free(take());
  const rf_error *error = ERROR_OF(RF_ERROR_BROKEN_POOL, future);
  CHECK_HAS("may have been carried out", rf_error_message(error));
  CHECK_STR(http("/hello"), rf_error_url(error));
  CHECK_STR("GET", rf_error_method(error));
  CHECK_INT(0, LOAD(ended_calls));
  rf_future_free(future);
  rf_session_free(session);
}

static void an_abort_reaches_a_started_one(void) {
  rf_session *session = new_keeper();
  rf_future *future = get(session, http("/hello"), NULL);
  rf_task *task = take();
  CHECK_OK(rf_task_start(task));
  CHECK(rf_future_abort(future));
  CHECK(rf_future_done(future));
  const rf_error *error = ERROR_OF(RF_ERROR_ABORTED, future);
  CHECK_STR(http("/hello"), rf_error_url(error));
  CHECK_INT(1, LOAD(ended_calls));
  CHECK(ended_id == rf_future_id(future));
  CHECK(rf_task_id(task) == rf_future_id(future)); /* it is still ours */
  uint8_t *bytes;
  FAILS_OUT(RF_E_STATE, bytes, rf_task_encode_for(task, RF_ENCODE_OTHER_MACHINE, &bytes, NULL));
  rf_task_run(task); /* comes too late */
  ERROR_OF(RF_ERROR_ABORTED, future);
  CHECK_INT(1, LOAD(ended_calls));
  rf_future_free(future);

  /* Closing the session does not wait for an executor that takes its time. */
  future = get(session, http("/hello"), NULL);
  task = take();
  CHECK_OK(rf_task_start(task));
  CHECK_OK(rf_session_close(session, RF_CLOSE_ABORT));
  ERROR_OF(RF_ERROR_ABORTED, future);
  CHECK_INT(2, LOAD(ended_calls));
  rf_task_free(task);
  ERROR_OF(RF_ERROR_ABORTED, future);
  rf_future_free(future);
  rf_session_free(session);
}

static void a_started_one_ends_at_its_deadline(void) {
  rf_session *session = new_keeper();
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 300));
  int64_t start = now_ms();
  rf_future *future = get(session, http("/hello"), options);
  rf_task *task = take();
  CHECK_OK(rf_task_start(task));
  const rf_error *error = ERROR_OF(RF_ERROR_TIMEOUT, future);
  CHECK_RANGE(290, 5000 * patience(), now_ms() - start);
  CHECK_HAS("0.3 s", rf_error_message(error));
  CHECK_HAS("elsewhere", rf_error_message(error));
  EVENTUALLY(LOAD(ended_calls) == 1);
  CHECK_INT(0, rf_task_deadline_ms(task));
  rf_task_free(task);
  ERROR_OF(RF_ERROR_TIMEOUT, future);
  rf_future_free(future);

  /* So does one that nobody has started. */
  future = get(session, http("/hello"), options);
  task = take();
  ERROR_OF(RF_ERROR_TIMEOUT, future);
  EVENTUALLY(LOAD(ended_calls) == 2);
  CHECK_STATUS(RF_E_STATE, rf_task_start(task));
  rf_task_free(task);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

static rf_status keep_until_ended(rf_task *task, void *user_data) {
  (void)user_data;
  EVENTUALLY(LOAD(ended_calls) == 1);
  CHECK(ended_id == rf_task_id(task)); /* it is still ours to free */
  rf_task_free(task);
  return RF_OK;
}

static void it_is_told_of_the_end_before_submit_has_returned(void) {
  rf_executor_ops ops = {sizeof ops, keep_until_ended, NULL, ended};
  rf_executor *executor = NULL;
  ended_calls = 0;
  CHECK_OK(rf_executor_new_custom(&ops, &kept, NULL, &executor));
  rf_session *session = session_on(executor);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 50));
  rf_future *future = get(session, http("/hello"), options);
  ERROR_OF(RF_ERROR_TIMEOUT, future);
  CHECK_INT(1, LOAD(ended_calls));
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
  rf_executor_free(executor);
}

/* ---- ending ---- */

static void a_task_fails_with_any_kind(void) {
  rf_session *session = new_keeper();
  for (int started = 0; started < 2; started++) {
    rf_future *future = get(session, http("/hello"), NULL);
    if (started) CHECK_OK(rf_task_start(kept));
    BAD(rf_task_fail(kept, 0, "no such kind"));
    BAD(rf_task_fail(kept, 99, "no such kind"));
    BAD(rf_task_fail(kept, RF_ERROR_CONNECTION, "\xff"));
    CHECK(!rf_future_done(future));
    CHECK_OK(rf_task_fail(take(), RF_ERROR_CONNECTION, "no carrier"));
    const rf_error *error = ERROR_OF(RF_ERROR_CONNECTION, future);
    CHECK_STR("no carrier", rf_error_message(error));
    CHECK_STR(http("/hello"), rf_error_url(error));
    rf_future_free(future);
  }
  rf_future *future = get(session, http("/hello"), NULL);
  CHECK_OK(rf_task_fail(take(), RF_ERROR_BROKEN_POOL, NULL));
  ERROR_OF(RF_ERROR_BROKEN_POOL, future);
  rf_future_free(future);
  future = get(session, http("/hello"), NULL);
  CHECK(rf_future_cancel(future));
  CHECK_OK(rf_task_fail(take(), RF_ERROR_CONNECTION, "too late"));
  ERROR_OF(RF_ERROR_CANCELLED, future);
  rf_future_free(future);
  CHECK_INT(1, LOAD(ended_calls)); /* for the cancelled one */
  rf_session_free(session);
}

static int64_t read_abc(uint8_t *buffer, size_t capacity, void *user_data) {
  int *read = user_data;
  if (*read > 0 || capacity < 3) return 0;
  *read += 3;
  memcpy(buffer, "abc", 3);
  return 3;
}

static void a_response_made_by_hand_answers(void) {
  rf_session *session = new_keeper();
  rf_response *response = NULL;
  CHECK_OK(rf_response_new(201, "text/plain", "made", 4, &response));
  CHECK_OK(rf_response_add_header(response, "X-Made", "by hand"));
  for (int started = 0; started < 2; started++) { /* as many requests as you like */
    rf_future *future = request(session, "PUT", "mock://nowhere/at/all", NULL);
    if (started) CHECK_OK(rf_task_start(kept));
    CHECK_OK(rf_task_respond(take(), response));
    const rf_response *got = RESPONSE(future);
    CHECK_INT(201, rf_response_status_code(got));
    CHECK_STR("made", rf_response_text(got, NULL));
    CHECK_STR("by hand", rf_response_header(got, "x-made"));
    CHECK_STR("mock://nowhere/at/all", rf_response_url(got));
    CHECK_STR("PUT", rf_response_request_method(got));
    rf_future_free(future);
  }
  /* One that is over stays as it is. */
  rf_future *over = get(session, "mock://nowhere/", NULL);
  CHECK(rf_future_cancel(over));
  CHECK_OK(rf_task_respond(take(), response));
  ERROR_OF(RF_ERROR_CANCELLED, over);
  rf_future_free(over);
  CHECK_INT(1, LOAD(ended_calls)); /* for that */
  rf_response_free(response);

  /* A reader answers one. */
  int read = 0;
  CHECK_OK(rf_response_new_reader(200, read_abc, -1, &read, NULL, &response));
  rf_future *future = get(session, "mock://nowhere/", NULL);
  CHECK_OK(rf_task_respond(take(), response));
  CHECK_STR("abc", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  future = get(session, "mock://nowhere/", NULL);
  CHECK_STATUS(RF_E_STATE, rf_task_respond(kept, response));
  CHECK(!rf_future_done(future));
  rf_task_free(take());
  ERROR_OF(RF_ERROR_CANCELLED, future);
  rf_future_free(future);
  rf_response_free(response);
  CHECK_INT(1, LOAD(ended_calls));
  rf_session_free(session);
}

/* ---- bytes for another machine ---- */

static void check_stays(rf_session *session, const rf_options *options, const char *what) {
  uint8_t *bytes = NULL;
  rf_future *future = request(session, "POST", http("/anything"), options);
  rf_task *task = take();
  CHECK_OK(rf_task_encode_for(task, RF_ENCODE_HERE, &bytes, NULL));
  rf_bytes_free(bytes, 0);
  FAILS_OUT(RF_FAILED, bytes, rf_task_encode_for(task, RF_ENCODE_OTHER_MACHINE, &bytes, NULL));
  CHECK(!rf_future_done(future));
  rf_task_free(task);
  const rf_error *error = ERROR_OF(RF_ERROR_NOT_TRANSFERABLE, future);
  CHECK_HAS("another machine", rf_error_message(error));
  CHECK_HAS(what, rf_error_message(error));
  rf_future_free(future);
}

static void what_is_of_this_machine_stays_here(void) {
  rf_session *session = new_keeper();
  struct { rf_status (*set)(rf_options *, const char *); const char *what; } files[] = {
      {rf_options_set_body_file, "the body"},
      {rf_options_set_output_file, "the output"},
      {rf_options_set_ca_bundle, "the certificate bundle"},
      {rf_options_set_unix_socket, "the Unix socket"},
  };
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    rf_options *options = new_options();
    CHECK_OK(files[i].set(options, "/some/path"));
    check_stays(session, options, files[i].what);
    rf_options_free(options);
  }
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_cert(options, "/some/path", NULL));
  check_stays(session, options, "the client's certificate");
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_add_file_as(options, "name", "/some/path", NULL, NULL));
  check_stays(session, options, "a part of the body");
  rf_options_free(options);
  /* A session's path as well, unless the request takes it back. */
  options = new_options();
  CHECK_OK(rf_options_set_ca_bundle(options, "/some/path"));
  CHECK_OK(rf_session_update(session, options));
  check_stays(session, NULL, "the certificate bundle");
  CHECK_OK(rf_options_set_ca_bundle(options, NULL));
  rf_future *future = get(session, http("/hello"), options);
  uint8_t *bytes = NULL;
  size_t length = 0;
  CHECK_OK(rf_task_encode_for(kept, RF_ENCODE_OTHER_MACHINE, &bytes, &length));
  CHECK_NULL(memmem(bytes, length, "/some/path", 10));
  rf_bytes_free(bytes, length);
  BAD_OUT(bytes, rf_task_encode_for(kept, 2, &bytes, &length));
  BAD_OUT(bytes, rf_task_encode_for(kept, -1, &bytes, &length));
  CHECK_INT(0, length);
  rf_task_free(take());
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

static bool holds(const uint8_t *bytes, size_t length, const char *what) {
  return memmem(bytes, length, what, strlen(what)) != NULL;
}

static void execute_and_complete(rf_task *task, int encode_flags, int execute_flags) {
  uint8_t *bytes = NULL, *reply = NULL;
  size_t length = 0, reply_length = 0;
  CHECK_OK(rf_task_encode_for(task, encode_flags, &bytes, &length));
  CHECK_OK(rf_task_execute_with(bytes, length, execute_flags, NULL, &reply, &reply_length));
  CHECK_OK(rf_task_complete(task, reply, reply_length));
  rf_bytes_free(bytes, length);
  rf_bytes_free(reply, reply_length);
}

static void of_the_environment_proxies_travel(void) {
  const char *netrc = text("%s/elsewhere-netrc", env("RF_TEST_DIR"));
  FILE *file = fopen(netrc, "w");
  CHECK(file != NULL);
  fprintf(file, "machine 127.0.0.1 login from password netrc\nmachine localhost login other password secret-of-others\n");
  fclose(file);
  CHECK_INT(0, setenv("NETRC", netrc, 1));
  CHECK_INT(0, setenv("REQUESTS_CA_BUNDLE", "/some/bundle", 1));
  CHECK_INT(0, setenv("CURL_CA_BUNDLE", "/some/other/bundle", 1));
  CHECK_INT(0, setenv("SSLKEYLOGFILE", "/some/keys", 1));
  CHECK_INT(0, setenv("https_proxy", "http://proxy.test:3128", 1));
  rf_session *session = new_keeper();
  uint8_t *bytes = NULL;
  size_t length = 0;
  rf_future *future = get(session, http("/basic-auth/from/netrc"), NULL);
  CHECK_OK(rf_task_encode_for(kept, RF_ENCODE_OTHER_MACHINE, &bytes, &length));
  CHECK(holds(bytes, length, "proxy.test"));
  CHECK(!holds(bytes, length, "/some/") && !holds(bytes, length, netrc) && !holds(bytes, length, "secret-of-others"));
  rf_bytes_free(bytes, length);
  execute_and_complete(take(), RF_ENCODE_OTHER_MACHINE, RF_EXECUTE_NO_FILES);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);

  /* Where credentials were given, they count; and where the environment is not trusted, no netrc does. */
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_auth_basic(options, "own", "own"));
  future = get(session, http("/basic-auth/own/own"), options);
  execute_and_complete(take(), RF_ENCODE_OTHER_MACHINE, RF_EXECUTE_ALL);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_trust_env(options, false));
  future = get(session, http("/basic-auth/from/netrc"), options);
  execute_and_complete(take(), RF_ENCODE_OTHER_MACHINE, RF_EXECUTE_ALL);
  CHECK_INT(401, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);

  /* No netrc does where it is executed, not even for a host that it has. */
  options = new_options();
  CHECK_OK(rf_options_set_auth_none(options));
  future = get(session, http("/headers"), options);
  execute_and_complete(take(), RF_ENCODE_OTHER_MACHINE, RF_EXECUTE_ALL);
  CHECK_NULL(json_string(RESPONSE(future), "/headers/Authorization"));
  rf_future_free(future);
  rf_options_free(options);

  /* The certificates of the executing machine count, and not those of the environment of this one. */
  CHECK_INT(0, setenv("no_proxy", "127.0.0.1", 1));
  future = get(session, text("%s/hello", env("RF_TEST_HTTPS")), NULL);
  execute_and_complete(take(), RF_ENCODE_OTHER_MACHINE, RF_EXECUTE_NO_FILES);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  future = get(session, text("%s/hello", env("RF_TEST_HTTPS")), NULL);
  execute_and_complete(take(), RF_ENCODE_HERE, RF_EXECUTE_ALL);
  CHECK_HAS("/some/bundle", rf_error_message(ERROR_OF(RF_ERROR_SSL, future)));
  rf_future_free(future);
  CHECK_INT(0, unsetenv("no_proxy"));
  CHECK_INT(0, unsetenv("SSLKEYLOGFILE"));

  /* What names a file of this machine is one. */
  future = get(session, http("/hello"), NULL);
  execute_and_complete(take(), RF_ENCODE_HERE, RF_EXECUTE_NO_FILES);
  CHECK_HAS("environment", rf_error_message(ERROR_OF(RF_ERROR_NOT_TRANSFERABLE, future)));
  rf_future_free(future);
  CHECK_INT(0, unsetenv("NETRC"));
  CHECK_INT(0, unsetenv("REQUESTS_CA_BUNDLE"));
  CHECK_INT(0, unsetenv("CURL_CA_BUNDLE"));
  CHECK_INT(0, unsetenv("https_proxy"));
  rf_session_free(session);
}

/* ---- what may not be executed ---- */

static void check_forbidden(rf_session *session, const rf_options *options, const char *what, int flags, int other) {
  const char *key = unique("forbidden");
  const char *url = http(text("/count?key=%s", key));
  rf_future *future = request(session, "POST", url, options);
  execute_and_complete(take(), RF_ENCODE_HERE, flags);
  CHECK_HAS(what, rf_error_message(ERROR_OF(RF_ERROR_NOT_TRANSFERABLE, future)));
  rf_future_free(future);
  CHECK_INT(0, counted(key));
  /* The other flag says nothing about it. */
  future = request(session, "POST", url, options);
  execute_and_complete(take(), RF_ENCODE_HERE, other);
  const rf_error *error = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  CHECK(error == NULL || rf_error_kind_of(error) != RF_ERROR_NOT_TRANSFERABLE);
  rf_future_free(future);
}

/* Sessions whose tasks bring functions without an option that says so. */
static rf_session *keeper_of(rf_config *config) {
  rf_executor_ops ops = {sizeof ops, keep, NULL, ended};
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_custom(&ops, &kept, NULL, &executor));
  CHECK_OK(rf_config_set_executor(config, executor));
  rf_executor_free(executor);
  return session_of(config);
}

static rf_config *config_with_resolver(void) {
  rf_config *config = NULL;
  void *symbol = hook_symbol("resolve_any");
  rf_resolve_fn resolve;
  memcpy(&resolve, &symbol, sizeof resolve);
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_resolver(config, resolve, NULL, NULL));
  return config;
}

static void resolvers_and_adapters_may_be_forbidden(void) {
  const int no_hooks = RF_EXECUTE_NO_HOOKS, no_files = RF_EXECUTE_NO_FILES;
  rf_session *session = keeper_of(config_with_resolver());
  check_forbidden(session, NULL, "the resolver", no_hooks, no_files);
  rf_session_free(session);

  rf_config *config = config_with_resolver();
  rf_adapter *adapter = NULL;
  CHECK_OK(rf_adapter_new_http(config, &adapter));
  rf_config_free(config);
  session = new_keeper();
  CHECK_OK(rf_session_mount(session, "http://", adapter));
  check_forbidden(session, NULL, "an adapter or its resolver", no_hooks, no_files);
  rf_adapter_free(adapter);

  rf_adapter_ops ops = {sizeof ops, prepare_hook("answer_all")}; /* the types are the same */
  CHECK_OK(rf_adapter_new_custom(&ops, NULL, NULL, &adapter));
  CHECK_OK(rf_session_mount(session, "http://", adapter));
  rf_adapter_free(adapter);
  check_forbidden(session, NULL, "an adapter", no_hooks, no_files);
  rf_future *future = get(session, http("/hello"), NULL);
  execute_and_complete(take(), RF_ENCODE_HERE, RF_EXECUTE_ALL);
  CHECK_STR("by an adapter", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  rf_session_free(session);
}

static void hooks_and_files_may_be_forbidden(void) {
  const int no_hooks = RF_EXECUTE_NO_HOOKS, no_files = RF_EXECUTE_NO_FILES;
  rf_session *session = new_keeper();
  rf_options *options = options_with_hook("tell_process");
  check_forbidden(session, options, "a hook", no_hooks, no_files);
  check_forbidden(session, options, "a hook", no_hooks | no_files, no_files);
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_add_request_hook(options, prepare_hook("sign"), NULL, NULL));
  check_forbidden(session, options, "a request hook", no_hooks, no_files);
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_auth_custom(options, prepare_hook("sign"), NULL, false, NULL, NULL));
  check_forbidden(session, options, "the authentication", no_hooks, no_files);
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_background_callback(options, background_hook("in_background"), NULL, NULL));
  check_forbidden(session, options, "the background callback", no_hooks, no_files);
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_body_file(options, env("RF_TEST_CA")));
  check_forbidden(session, options, "the body", no_files, no_hooks);
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_add_file_as(options, "name", env("RF_TEST_CA"), NULL, NULL));
  check_forbidden(session, options, "a part of the body", no_files, no_hooks);
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  check_forbidden(session, options, "the certificate bundle", no_files, no_hooks);
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_cert(options, env("RF_TEST_CLIENT_COMBINED"), NULL));
  check_forbidden(session, options, "the client's certificate", no_files, no_hooks);
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_output_file(options, text("%s/forbidden", env("RF_TEST_DIR"))));
  check_forbidden(session, options, "the output", no_files, no_hooks);
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_unix_socket(options, env("RF_TEST_UNIX")));
  check_forbidden(session, options, "the Unix socket", no_files, no_hooks);
  rf_options_free(options);
  /* What has none of these is carried out. */
  rf_future *future = get(session, http("/hello"), NULL);
  execute_and_complete(take(), RF_ENCODE_HERE, no_hooks | no_files);
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  uint8_t *bytes = NULL, *reply;
  size_t length = 0;
  future = get(session, http("/hello"), NULL);
  CHECK_OK(rf_task_encode(kept, &bytes, &length));
  BAD_OUT(reply, rf_task_execute_with(bytes, length, 4, NULL, &reply, NULL));
  BAD_OUT(reply, rf_task_execute_with(bytes, length, -1, NULL, &reply, NULL));
  CHECK_INT(bytes[3], rf_task_format());
  rf_bytes_free(bytes, length);
  rf_task_free(take());
  rf_future_free(future);
  rf_session_free(session);
}

/* ---- stops ---- */

typedef struct execution {
  const uint8_t *bytes;
  size_t length;
  rf_stop *stop;
  uint8_t *reply;
  size_t reply_length;
} execution;

static void *execute(void *argument) {
  execution *one = argument;
  CHECK_OK(rf_task_execute_with(one->bytes, one->length, RF_EXECUTE_ALL, one->stop, &one->reply, &one->reply_length));
  return NULL;
}

static void a_stop_ends_executions(void) {
  rf_session *session = new_keeper();
  enum { COUNT = 3 };
  rf_future *futures[COUNT];
  rf_task *tasks[COUNT];
  pthread_t threads[COUNT];
  execution executions[COUNT];
  uint8_t *bytes[COUNT];
  rf_stop *stop = NULL;
  const char *gate = unique("stop");
  CHECK_OK(rf_stop_new(&stop));
  for (int i = 0; i < COUNT; i++) {
    execution one = {NULL, 0, stop, NULL, 0};
    executions[i] = one;
    futures[i] = get(session, gate_url(gate), NULL);
    tasks[i] = take();
    CHECK_OK(rf_task_start(tasks[i]));
    CHECK_OK(rf_task_encode(tasks[i], &bytes[i], &executions[i].length)); /* also of one that was started */
    executions[i].bytes = bytes[i];
    /* The last one begins when it is set already. */
    if (i < COUNT - 1) CHECK_INT(0, pthread_create(&threads[i], NULL, execute, &executions[i]));
  }
  gate_wait(gate, COUNT - 1);
  int64_t start = now_ms();
  rf_stop_set(stop);
  CHECK_INT(0, pthread_create(&threads[COUNT - 1], NULL, execute, &executions[COUNT - 1]));
  for (int i = 0; i < COUNT; i++) pthread_join(threads[i], NULL);
  CHECK_RANGE(0, 5000 * patience(), now_ms() - start);
  rf_stop_free(stop);
  for (int i = 0; i < COUNT; i++) {
    CHECK_OK(rf_task_complete(tasks[i], executions[i].reply, executions[i].reply_length));
    ERROR_OF(RF_ERROR_ABORTED, futures[i]);
    rf_future_free(futures[i]);
    rf_bytes_free(bytes[i], 0);
    rf_bytes_free(executions[i].reply, 0);
  }
  gate_open(gate);
  rf_session_free(session);
}

/* It may be freed as soon as nobody will set it: the execution goes on, and ends as it would have. */
static void a_stop_is_freed_while_an_execution_has_it(void) {
  rf_session *session = new_keeper();
  for (int set = 0; set < 2; set++) {
    const char *gate = unique("freed");
    rf_future *future = get(session, gate_url(gate), NULL);
    rf_task *task = take();
    rf_stop *stop = NULL;
    uint8_t *bytes = NULL;
    pthread_t thread;
    CHECK_OK(rf_stop_new(&stop));
    execution one = {NULL, 0, stop, NULL, 0};
    CHECK_OK(rf_task_encode(task, &bytes, &one.length));
    one.bytes = bytes;
    CHECK_INT(0, pthread_create(&thread, NULL, execute, &one));
    gate_wait(gate, 1);
    if (set) rf_stop_set(stop);
    rf_stop_free(stop);
    if (!set) gate_open(gate);
    pthread_join(thread, NULL);
    CHECK_OK(rf_task_complete(task, one.reply, one.reply_length));
    if (set) {
      ERROR_OF(RF_ERROR_ABORTED, future);
      gate_open(gate);
    } else {
      CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
    }
    rf_future_free(future);
    rf_bytes_free(bytes, 0);
    rf_bytes_free(one.reply, 0);
  }
  rf_session_free(session);
}

/* ---- replies in pieces ---- */

typedef struct pieces {
  description bytes;
  int count;
  size_t longest;
  int most;       /* then it refuses; 0: never */
  const char *gate; /* opened at the second piece */
} pieces;

static rf_status collect(const uint8_t *data, size_t length, void *user_data) {
  pieces *to = user_data;
  to->count++;
  if (to->count > 1 && length > to->longest) to->longest = length;
  if (to->most > 0 && to->count > to->most) return RF_FAILED;
  say_bytes(&to->bytes, data, length);
  if (to->gate != NULL && to->count == 2) gate_open(to->gate);
  return RF_OK;
}

static pieces execute_to(rf_task *task, int flags) {
  pieces made = {{NULL, 0, 0}, 0, 0, 0, NULL};
  uint8_t *bytes = NULL;
  size_t length = 0;
  CHECK_OK(rf_task_encode(task, &bytes, &length));
  CHECK_OK(rf_task_execute_to(bytes, length, flags, NULL, collect, &made));
  CHECK(made.count > 0);
  rf_bytes_free(bytes, length);
  return made;
}

/* Adds it in pieces of this length. */
static void add(rf_reply *reply, const pieces *made, size_t piece) {
  const uint8_t *bytes = (const uint8_t *)made->bytes.text;
  size_t length = made->bytes.length;
  for (size_t at = 0; at < length; at += piece) {
    size_t count = length - at < piece ? length - at : piece;
    CHECK_STATUS(at + count < length ? RF_OK : RF_END, rf_reply_add(reply, bytes + at, count));
  }
}

static const char *const kinds[] = {"/hello", "/bytes/300000?seed=1", "/redirect/2", "/status/404", "/gzip"};

static void a_reply_in_pieces_is_the_same(void) {
  rf_session *session = new_keeper(), *here = new_session_workers(1);
  for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
    for (size_t piece = 1; piece < 10000000; piece *= 31) {
      if (kind == 1 && piece == 1) continue; /* for long enough */
      rf_future *plain = get(here, http(kinds[kind]), NULL), *future = get(session, http(kinds[kind]), NULL);
      rf_task *task = take();
      rf_reply *reply = NULL;
      if (kind % 2 == 0) CHECK_OK(rf_task_start(task));
      pieces made = execute_to(task, RF_EXECUTE_ALL);
      CHECK_OK(rf_reply_new(task, &reply));
      CHECK_STATUS(RF_E_STATE, rf_task_complete_with(task, reply)); /* nothing is there */
      add(reply, &made, piece);
      BAD(rf_reply_add(reply, (const uint8_t *)"x", 1)); /* nothing follows */
      rf_reply_free(reply);
      CHECK_OK(rf_reply_new(task, &reply));
      add(reply, &made, piece);
      CHECK_STATUS(RF_END, rf_reply_add(reply, NULL, 0));
      CHECK_OK(rf_task_complete_with(task, reply));
      char *expected = describe(plain, here), *got = describe(future, session);
      CHECK_STR(expected, got);
      free(expected);
      free(got);
      rf_future_free(plain);
      rf_future_free(future);
      free(made.bytes.text);
    }
    /* All at once. */
    rf_future *future = get(session, http(kinds[kind]), NULL);
    pieces made = execute_to(kept, RF_EXECUTE_ALL);
    if (kind == 1) CHECK(made.count > 4);
    CHECK(made.longest < 66000);
    CHECK_OK(rf_task_complete(take(), (const uint8_t *)made.bytes.text, made.bytes.length));
    RESPONSE(future);
    rf_future_free(future);
    free(made.bytes.text);
  }
  /* And what rf_task_execute_with gives is one, too. */
  rf_future *future = get(session, http("/hello"), NULL);
  uint8_t *bytes = NULL, *whole = NULL;
  size_t length = 0, whole_length = 0;
  rf_reply *reply = NULL;
  CHECK_OK(rf_task_encode(kept, &bytes, &length));
  CHECK_OK(rf_task_execute_with(bytes, length, RF_EXECUTE_ALL, NULL, &whole, &whole_length));
  CHECK_OK(rf_reply_new(kept, &reply));
  CHECK_STATUS(RF_END, rf_reply_add(reply, whole, whole_length));
  CHECK_OK(rf_task_complete_with(take(), reply));
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  rf_bytes_free(bytes, length);
  rf_bytes_free(whole, whole_length);
  rf_session_free(session);
  rf_session_free(here);
}

static void send_half(wire_connection *connection, void *gate) {
  char half[100000];
  memset(half, 'x', sizeof half);
  if (!wire_next(connection)) return;
  wire_say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\nConnection: close\r\n\r\n");
  wire_bytes(connection, half, sizeof half);
  if (gate != NULL) {
    rf_session *session = new_session_workers(1);
    rf_future *future = get(session, gate_url(gate), NULL);
    RESPONSE(future);
    rf_future_free(future);
    rf_session_free(session);
    wire_bytes(connection, half, sizeof half);
  }
}

static void pieces_come_while_the_body_arrives(void) {
  const char *gate = unique("pieces");
  wire *server = wire_start(send_half, (void *)(uintptr_t)gate);
  rf_session *session = new_keeper();
  for (int stream = 0; stream < 2; stream++) {
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_stream(options, stream));
    rf_future *future = get(session, wire_url(server, "/"), options);
    uint8_t *bytes = NULL;
    size_t length = 0;
    rf_reply *reply = NULL;
    /* The server waits for the gate, and the gate for a piece. */
    pieces made = {{NULL, 0, 0}, 0, 0, 0, gate};
    CHECK_OK(rf_task_encode(kept, &bytes, &length));
    CHECK_OK(rf_task_execute_to(bytes, length, RF_EXECUTE_ALL, NULL, collect, &made));
    CHECK_OK(rf_reply_new(kept, &reply));
    add(reply, &made, 512 * 1024);
    CHECK_OK(rf_task_complete_with(take(), reply));
    CHECK(rf_response_content(RESPONSE(future), &length) != NULL);
    CHECK_INT(200000, length);
    rf_bytes_free(bytes, 0);
    free(made.bytes.text);
    rf_future_free(future);
    rf_options_free(options);
  }
  rf_session_free(session);
  wire_stop(server);
}

static void a_body_that_breaks_off_fails_the_future(void) {
  wire *server = wire_start(send_half, NULL);
  rf_session *session = new_keeper();
  rf_future *future = get(session, wire_url(server, "/"), NULL);
  rf_reply *reply = NULL;
  pieces made = execute_to(kept, RF_EXECUTE_ALL);
  CHECK_OK(rf_reply_new(kept, &reply));
  add(reply, &made, 1000);
  CHECK_OK(rf_task_complete_with(take(), reply));
  ERROR_OF(RF_ERROR_CHUNKED_ENCODING, future);
  rf_future_free(future);
  free(made.bytes.text);

  /* Who takes no more ends the request. */
  future = get(session, http("/bytes/3000000?seed=1"), NULL);
  uint8_t *bytes = NULL;
  size_t length = 0;
  pieces few = {{NULL, 0, 0}, 0, 0, 3, NULL};
  CHECK_OK(rf_task_encode(kept, &bytes, &length));
  CHECK_STATUS(RF_FAILED, rf_task_execute_to(bytes, length, RF_EXECUTE_ALL, NULL, collect, &few));
  CHECK_INT(4, few.count);
  /* What is half there completes nothing. */
  CHECK_OK(rf_reply_new(kept, &reply));
  CHECK_OK(rf_reply_add(reply, (const uint8_t *)few.bytes.text, few.bytes.length));
  CHECK_STATUS(RF_E_STATE, rf_task_complete_with(kept, reply));
  CHECK(!rf_future_done(future));
  /* Another attempt is another reply. */
  pieces whole = execute_to(kept, RF_EXECUTE_ALL);
  BAD(rf_reply_add(reply, (const uint8_t *)whole.bytes.text, whole.bytes.length));
  rf_reply_free(reply);
  CHECK_OK(rf_reply_new(kept, &reply));
  add(reply, &whole, 65536);
  CHECK_OK(rf_task_complete_with(take(), reply));
  CHECK(rf_response_content(RESPONSE(future), &length) != NULL);
  CHECK_INT(3000000, length);
  rf_future_free(future);
  rf_bytes_free(bytes, 0);
  free(few.bytes.text);
  free(whole.bytes.text);
  rf_session_free(session);
  wire_stop(server);
}

static void bytes_that_are_no_reply_are_refused(void) {
  rf_session *session = new_keeper();
  rf_future *future = get(session, http("/bytes/100000?seed=1"), NULL), *other = NULL;
  rf_task *task = take();
  rf_reply *reply = NULL;
  pieces made = execute_to(task, RF_EXECUTE_ALL);
  uint8_t *bytes = (uint8_t *)made.bytes.text;
  size_t length = made.bytes.length;
  /* A bit that is another one is found wherever it is, and what follows it counts no more. */
  for (size_t at = 0; at < length; at += at < 400 ? 1 : 997) {
    bytes[at] ^= 4;
    CHECK_OK(rf_reply_new(task, &reply));
    rf_status status = rf_reply_add(reply, bytes, length);
    /* A length that is another may say that more is to come, but never that it is whole. */
    CHECK(status == RF_E_INVALID || status == RF_OK);
    CHECK_STATUS(RF_E_STATE, rf_task_complete_with(task, reply));
    rf_reply_free(reply);
    CHECK(rf_task_complete(task, bytes, length) == RF_E_INVALID);
    bytes[at] ^= 4;
  }
  for (size_t end = 0; end < length; end += 331) CHECK_STATUS(RF_E_INVALID, rf_task_complete(task, bytes, end));
  /* That of another task. */
  other = get(session, http("/hello"), NULL);
  CHECK_OK(rf_reply_new(kept, &reply));
  BAD(rf_reply_add(reply, bytes, length));
  rf_reply_free(reply);
  CHECK_OK(rf_reply_new(task, &reply));
  add(reply, &made, length);
  BAD(rf_task_complete_with(kept, reply));
  CHECK_OK(rf_task_complete_with(task, reply));
  RESPONSE(future);
  rf_task_free(take());
  rf_future_free(future);
  rf_future_free(other);
  free(made.bytes.text);
  rf_session_free(session);
}

/* An announced length costs nothing, and of a body no more is taken than the request allows. */
static void hostile_bytes_cost_what_they_are(void) {
  rf_session *session = new_keeper();
  rf_options *options = new_options();
  uint8_t piece[9 + 50000 + 4];
  int64_t before = heap();
  CHECK_OK(rf_options_set_max_body(options, 120000));
  rf_future *future = get(session, http("/bytes/110000?seed=1"), options);
  rf_reply *reply = NULL;
  pieces made = execute_to(kept, RF_EXECUTE_ALL);
  CHECK_OK(rf_reply_new(kept, &reply));
  CHECK_OK(rf_reply_add(reply, (const uint8_t *)made.bytes.text, made.bytes.length - 13)); /* all but the end */
  memcpy(piece, made.bytes.text, 4);
  piece[4] = 3;
  put_u32(piece + 5, 50000);
  memset(piece + 9, 'x', 50000);
  put_u32(piece + 9 + 50000, crc32(piece, 9 + 50000));
  BAD(rf_reply_add(reply, piece, sizeof piece));
  rf_reply_free(reply);

  for (int kind = 0; kind < 256; kind++) {
    piece[4] = (uint8_t)kind;
    put_u32(piece + 5, 0x7ffffff0);
    CHECK_OK(rf_reply_new(kept, &reply));
    rf_status status = rf_reply_add(reply, piece, 5000);
    CHECK_STATUS(RF_E_INVALID, status); /* what is announced is more than the request allows */
    rf_reply_free(reply);
  }
  rf_task_free(take());
  rf_future_free(future);
  rf_options_free(options);

  /* Without a limit it is waited for. */
  future = get(session, http("/hello"), NULL);
  piece[4] = 2;
  CHECK_OK(rf_reply_new(kept, &reply));
  CHECK_OK(rf_reply_add(reply, piece, 5000));
  if (before >= 0) CHECK_RANGE(-1000000000, 4000000, heap() - before);
  rf_reply_free(reply);
  rf_task_free(take());
  rf_future_free(future);
  free(made.bytes.text);
  rf_session_free(session);
}

/* ---- cookies ---- */

/* Bytes in a reply are replaced by others, as many, and the check sum made right again. */
static void replace(uint8_t *bytes, size_t length, const char *what, const char *with, size_t count) {
  int found = 0;
  for (size_t at = 0; at + count <= length; at++) {
    if (memcmp(bytes + at, what, count) == 0) {
      memcpy(bytes + at, with, count);
      found++;
    }
  }
  CHECK(found > 0);
  put_u32(bytes + length - 4, crc32(bytes, length - 4));
}

/* Of the same length. */
#define FORGED(what, with) what, with, sizeof(what) - 1 + 0 * sizeof(char[sizeof(what) == sizeof(with) ? 1 : -1])
#define HONEST NULL, NULL, (size_t)0

/* What has come of a request for this URL, whose reply is another on its way. */
static void reply_with(rf_session *session, const char *url, const rf_options *options, const char *what, const char *with,
                       size_t count) {
  rf_future *future = get(session, url, options);
  uint8_t *bytes = NULL, *reply = NULL;
  size_t length = 0, reply_length = 0;
  CHECK_OK(rf_task_encode(kept, &bytes, &length));
  CHECK_OK(rf_task_execute(bytes, length, &reply, &reply_length));
  if (what != NULL) replace(reply, reply_length, what, with, count);
  CHECK_OK(rf_task_complete(take(), reply, reply_length));
  RESPONSE(future);
  rf_bytes_free(bytes, length);
  rf_bytes_free(reply, reply_length);
  rf_future_free(future);
}

/* "name=value domain" of the only cookie that is there, and how many there are. */
static const char *jar(rf_session *session) {
  rf_cookies *cookies = NULL;
  rf_cookie cookie = {0};
  const char *said = "";
  CHECK_OK(rf_session_cookies(session, &cookies));
  for (size_t i = 0; rf_cookies_at(cookies, i, &cookie) == RF_OK; i++) {
    said = text("%s%s=%s %s%s;", said, cookie.name, cookie.value, cookie.domain, cookie.secure ? " secure" : "");
  }
  rf_cookies_free(cookies);
  return said;
}

static const char *jar_after(const char *url, const rf_options *options, const char *what, const char *with, size_t count) {
  rf_session *session = new_keeper();
  reply_with(session, url, options, what, with, count);
  const char *said = jar(session);
  rf_session_free(session);
  return said;
}

static const char *setting(const char *base, const char *port, const char *set_cookie) {
  return text("%s:%s/response-headers?Set-Cookie=%s", base, env(port), set_cookie);
}

#define WIDE "a%3D1%3B%20Domain%3Dexample.test%3B%20Path%3D%2F"

static void cookies_are_stored_where_their_hosts_may_set_them(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_resolve(options, "sub.example.test", (uint16_t)atoi(env("RF_TEST_HTTP_PORT")), "127.0.0.1"));
  const char *own = setting("http://sub.example.test", "RF_TEST_HTTP_PORT", "a%3D1");
  const char *wide = setting("http://sub.example.test", "RF_TEST_HTTP_PORT", WIDE);
  CHECK_STR("a=1 sub.example.test;", jar_after(own, options, HONEST));
  CHECK_STR("a=1 example.test;", jar_after(wide, options, HONEST));
  /* In the reply a cookie's domain stands behind its length, which a URL's host does not. */
  CHECK_STR("", jar_after(wide, options, FORGED("\014example.test", "\014foreign.test")));
  CHECK_STR("", jar_after(wide, options, FORGED("\014example.test", "\014b.example.te")));
  CHECK_STR("", jar_after(own, options, FORGED("\020sub.example.test", "\020any.example.test")));
  rf_options_free(options);
}

/* A cookie in a reply: name, value, domain, path, the end of the session, and whether it is Secure, HttpOnly and of one host. */
#define COOKIE(name, value, secure) "\001" name "\001" value "\014example.test\001/\001" secure "\000\000"

static void secure_cookies_are_stored_from_https_alone(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_resolve(options, "sub.example.test", (uint16_t)atoi(env("RF_TEST_HTTP_PORT")), "127.0.0.1"));
  CHECK_OK(rf_options_set_resolve(options, "sub.example.test", (uint16_t)atoi(env("RF_TEST_HTTPS_PORT")), "127.0.0.1"));
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  const char *http_url = setting("http://sub.example.test", "RF_TEST_HTTP_PORT", WIDE);
  const char *https_url = setting("https://sub.example.test", "RF_TEST_HTTPS_PORT", WIDE);
  const char *secure_url = setting("https://sub.example.test", "RF_TEST_HTTPS_PORT", WIDE "%3B%20Secure");
  CHECK_STR("a=1 example.test secure;", jar_after(secure_url, options, HONEST));
  CHECK_STR("a=1 example.test secure;", jar_after(https_url, options, FORGED(COOKIE("a", "1", "\000"), COOKIE("a", "1", "\001"))));
  CHECK_STR("", jar_after(http_url, options, FORGED(COOKIE("a", "1", "\000"), COOKIE("a", "1", "\001"))));
  /* Nor is a Secure one that is there replaced by what came over http, but by what came over https. */
  for (int https = 0; https < 2; https++) {
    rf_session *session = new_keeper();
    CHECK_OK(rf_session_set_cookie(session, "https://sub.example.test/", "b=2; Domain=example.test; Path=/; Secure"));
    reply_with(session, https ? https_url : http_url, options, FORGED(COOKIE("a", "1", "\000"), COOKIE("b", "1", "\000")));
    CHECK_STR(https ? "b=1 example.test;" : "b=2 example.test secure;", jar(session));
    rf_session_free(session);
  }
  rf_options_free(options);
}

/* Who gives a Host header of its own has that host's cookies. */
static void cookies_are_those_of_a_host_header_given_by_hand(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_header(options, "Host", "sub.example.test"));
  const char *own = http("/response-headers?Set-Cookie=a%3D1"), *wide = http("/response-headers?Set-Cookie=" WIDE);
  CHECK_STR("a=1 sub.example.test;", jar_after(own, options, HONEST));
  CHECK_STR("a=1 example.test;", jar_after(wide, options, HONEST));
  CHECK_STR("", jar_after(wide, options, FORGED("\014example.test", "\014foreign.test")));
  rf_options_free(options);
}

int main(void) {
  /* This machine trusts it. */
  CHECK_INT(0, setenv("SSL_CERT_FILE", env("RF_TEST_CA"), 1));
  a_task_says_what_it_is();
  a_full_executor_refuses_the_call();
  a_started_future_runs();
  a_started_one_that_is_freed_may_have_been_carried_out();
  an_abort_reaches_a_started_one();
  a_started_one_ends_at_its_deadline();
  it_is_told_of_the_end_before_submit_has_returned();
  a_task_fails_with_any_kind();
  a_response_made_by_hand_answers();
  what_is_of_this_machine_stays_here();
  of_the_environment_proxies_travel();
  hooks_and_files_may_be_forbidden();
  resolvers_and_adapters_may_be_forbidden();
  a_stop_ends_executions();
  a_stop_is_freed_while_an_execution_has_it();
  a_reply_in_pieces_is_the_same();
  pieces_come_while_the_body_arrives();
  a_body_that_breaks_off_fails_the_future();
  bytes_that_are_no_reply_are_refused();
  hostile_bytes_cost_what_they_are();
  cookies_are_stored_where_their_hosts_may_set_them();
  secure_cookies_are_stored_from_https_alone();
  cookies_are_those_of_a_host_header_given_by_hand();
  return finish();
}
