/* Every call of the system that the library makes fails once, with each error that its manual names. The request then fails
   or succeeds; nothing hangs, is lost or left open, and what succeeds is right. */
#include "failing.h"

/* ---- what is done while a call fails ---- */

enum { PLAIN, BY_NAME, POSTED_FILE, TLS, PROXIED, STREAMED, OUTPUT_FILE, RESUMED, QUEUED, PROCESS, PROCESS_POOL, SCENARIOS };
static const char *const names[] = {"plain",       "by name", "posted file", "TLS",     "proxied",     "streamed",
                                    "output file", "resumed", "queue",       "process", "process pool"};
static char path[400], source[420];
static rf_executor *lasting; /* its worker process has started */
static bool is_armed;

/* Breaks off in the middle, and has the rest for who asks for that. */
static void break_off(wire_connection *connection, void *unused) {
  char range[32];
  (void)unused;
  while (wire_next(connection)) {
    if (wire_header(connection, "Range", range, sizeof range) == NULL) {
      wire_say(connection, "HTTP/1.1 200 OK\r\nETag: \"v\"\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nHello, \r\n");
      return;
    }
    int first = atoi(range + strlen("bytes="));
    wire_say(connection, text("HTTP/1.1 206 Partial Content\r\nETag: \"v\"\r\nContent-Range: bytes %d-12/13\r\n"
                              "Content-Length: %d\r\n\r\n%s",
                              first, 13 - first, &"Hello, world!"[first]));
  }
}

static rf_options *options_for(int scenario, const char **url, const char **expected) {
  rf_options *options = new_options();
  *url = http("/hello"), *expected = "Hello, world!";
  if (scenario == BY_NAME) *url = text("http://localhost:%s/hello", env("RF_TEST_HTTP_PORT"));
  if (scenario == POSTED_FILE) {
    CHECK_OK(rf_options_set_body_file(options, source));
    *url = http("/echo"), *expected = "what is sent";
  }
  if (scenario == TLS) {
    CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
    *url = text("%s/hello", env("RF_TEST_HTTPS"));
  }
  if (scenario == PROXIED) CHECK_OK(rf_options_set_proxy(options, "http", env("RF_TEST_PROXY")));
  if (scenario == STREAMED) CHECK_OK(rf_options_set_stream(options, true));
  if (scenario == OUTPUT_FILE) {
    unlink(path);
    CHECK_OK(rf_options_set_output_file(options, path));
    *expected = "";
  }
  if (scenario == RESUMED) {
    /* What an attempt before this one has left is gone on with. */
    rf_retry *retry = NULL;
    unlink(path);
    CHECK_OK(rf_options_set_output_file(options, path));
    CHECK_OK(rf_options_set_output_mode(options, RF_OUTPUT_RESUME));
    CHECK_OK(rf_retry_new(1, &retry));
    CHECK_OK(rf_options_set_retry(options, retry));
    rf_retry_free(retry);
    /* It is always the same URL, whichever server there is. */
    CHECK_OK(rf_options_set_unix_socket(options, text("%s.socket", path)));
    *url = "http://breaking/", *expected = "";
  }
  return options;
}

static rf_session *session_for(int scenario, rf_executor **pool) {
  rf_session *session = NULL;
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_workers(config, 1));
  if (scenario == PROCESS) CHECK_OK(rf_config_set_executor(config, lasting));
  if (scenario == PROCESS_POOL && is_made(rf_executor_new_processes(1, pool))) {
    CHECK_OK(rf_config_set_executor(config, *pool));
  }
  is_made(rf_session_new(config, &session));
  rf_config_free(config);
  return session;
}

static void check_stream(const rf_response *response, const char *expected) {
  char all[100];
  size_t length = 0, sum = 0;
  const rf_error *error = NULL;
  rf_status status;
  do {
    sum += length;
    status = rf_response_read(response, (uint8_t *)all + sum, sizeof all - sum, &length, &error);
  } while (status == RF_OK && length > 0);
  if (status == RF_OK) {
    CHECK(sum == strlen(expected) && memcmp(all, expected, sum) == 0);
  } else {
    CHECK_STATUS(RF_FAILED, status);
    CHECK(rf_error_message(error)[0] != '\0');
  }
}

static void check_outcome(int scenario, rf_future *future, const char *expected) {
  const rf_response *response = NULL;
  const rf_error *error = NULL;
  char line[32] = "";
  rf_status status = rf_future_result(future, LONG_MS, &response);
  if (status == RF_FAILED) {
    CHECK_OK(rf_future_exception(future, 0, &error));
    CHECK(rf_error_message(error)[0] != '\0');
    if (scenario == OUTPUT_FILE || scenario == RESUMED) CHECK(access(path, F_OK) != 0);
    if (scenario == RESUMED && !is_armed) FAIL("not gone on with: %s", rf_error_message(error));
    return;
  }
  CHECK_OK(status);
  CHECK_INT(scenario == RESUMED ? 206 : 200, rf_response_status_code(response));
  if (scenario == STREAMED) {
    check_stream(response, expected);
  } else {
    CHECK_HAS(expected, rf_response_text(response, NULL));
  }
  if (scenario == OUTPUT_FILE || scenario == RESUMED) {
    FILE *file = fopen(path, "r");
    CHECK(file != NULL && fgets(line, sizeof line, file) != NULL && fclose(file) == 0);
    CHECK_STR("Hello, world!", line);
  }
}

static void carry_out(int scenario) {
  const char *url, *expected;
  rf_executor *pool = NULL;
  rf_future *future = NULL;
  rf_completed *queue = NULL;
  wire *server = scenario == RESUMED ? wire_start_unix(text("%s.socket", path), break_off, NULL) : NULL;
  rf_options *options = options_for(scenario, &url, &expected);
  rf_session *session = session_for(scenario, &pool);
  const char *verb = scenario == POSTED_FILE ? "POST" : "GET";
  if (session != NULL && is_made(rf_session_request(session, verb, url, options, &future))) {
    if (scenario == QUEUED && is_made(rf_as_completed(&future, 1, &queue))) {
      rf_future *taken = NULL;
      rf_completed_fd(queue); /* -1: there is none to be had */
      CHECK_OK(rf_completed_next(queue, LONG_MS, &taken, NULL));
      CHECK(taken == future);
    }
    check_outcome(scenario, future, expected);
  }
  rf_completed_free(queue);
  rf_future_free(future);
  if (session != NULL) CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
  rf_options_free(options);
  if (pool != NULL) CHECK_OK(rf_executor_shutdown(pool, true, false));
  rf_executor_free(pool);
  if (server != NULL) wire_stop(server);
}

static void every_call_fails_once(int scenario) {
  int counts[FAILING_MOST], runs = 0;
  if (scenario == PROCESS) CHECK_OK(rf_executor_new_processes(1, &lasting));
  /* What is made once for the whole process is there after that. */
  for (int i = 0; i < 2; i++) carry_out(scenario);
  arm(-1, 0, 0);
  carry_out(scenario);
  for (int call = 0; call < FAILING_MOST; call++) counts[call] = count_of(call);
  int before = open_descriptors();
  for (int call = 0; call < FAILING_MOST; call++) {
    for (int nth = 1; nth <= counts[call]; nth++) {
      for (int i = 0; i < 8 && calls[call].errors[i] != 0; i++, runs++) {
        int error = calls[call].errors[i];
        int64_t start = now_ms();
        if (getenv("RF_SHOW") != NULL) fprintf(stderr, "%s: %s %d: error %d\n", names[scenario], calls[call].name, nth, error);
        arm(call, nth, error);
        is_armed = true;
        carry_out(scenario);
        arm(-1, 0, 0);
        is_armed = false;
        if (now_ms() - start > 10000 * patience()) FAIL("%s: %s %d, error %d: it hangs", names[scenario], calls[call].name, nth, error);
        carry_out(scenario); /* and what comes next goes well */
        int64_t until = now_ms() + 5000 * patience();
        while (open_descriptors() > before && now_ms() < until) sleep_ms(1);
        if (open_descriptors() > before) {
          FAIL("%s: %s %d, error %d: %d descriptors, not %d", names[scenario], calls[call].name, nth, error, open_descriptors(), before);
        }
      }
    }
  }
  printf("%s: %d failures;", names[scenario], runs);
  for (int call = 0; call < FAILING_MOST; call++) {
    if (counts[call] > 0) printf(" %s %d", calls[call].name, counts[call]);
  }
  printf("\n");
  CHECK(runs > 5);
  rf_executor_free(lasting);
  lasting = NULL;
}

int main(int argc, char **argv) {
  begin_failing(argv);
  snprintf(path, sizeof path, "%s/failing-%d", env("RF_TEST_DIR"), (int)getpid());
  snprintf(source, sizeof source, "%s.source", path);
  FILE *file = fopen(source, "w");
  CHECK(file != NULL && fputs("what is sent", file) >= 0 && fclose(file) == 0);
  for (int scenario = 0; scenario < SCENARIOS; scenario++) {
    if (argc < 2 || strcmp(argv[1], names[scenario]) == 0) every_call_fails_once(scenario);
  }
  unlink(text("%s.socket", path));
  unlink(path);
  unlink(source);
  return finish();
}
