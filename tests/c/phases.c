/* Where the time of a request goes, and what is known of the connection that its response came over. */
#include "elsewhere.h"

#include <strings.h>

#define FIRST RF_PHASE_QUEUE
#define LAST RF_PHASE_PAUSE

static int64_t us(const rf_response *response, int phase) { return rf_response_phase_us(response, phase); }

static int64_t sum_of(const rf_response *response) {
  int64_t sum = 0;
  for (int phase = FIRST; phase <= LAST; phase++) {
    CHECK(us(response, phase) >= -1);
    if (us(response, phase) > 0) sum += us(response, phase);
  }
  return sum;
}

/* The phases of a response and of its history are its total, and so it is for each of its history. */
static void adds_up(const rf_response *response) {
  int64_t sum = sum_of(response);
  size_t count = rf_response_history_count(response);
  for (size_t i = 0; i < count; i++) {
    sum += sum_of(rf_response_history_at(response, i));
    adds_up(rf_response_history_at(response, i));
  }
  CHECK_INT(rf_response_total_us(response), sum);
  CHECK(sum > 0);
}

/* Since the clock was read before it was submitted. */
static void lasts_no_longer(const rf_response *response, int64_t start_ms) {
  CHECK_RANGE(0, (now_ms() - start_ms + 1) * 1000, rf_response_total_us(response));
}

static rf_retry *retry_of(uint32_t total, int64_t pause_ms) {
  rf_retry *retry = NULL;
  CHECK_OK(rf_retry_new(total, &retry));
  CHECK_OK(rf_retry_set_backoff(retry, pause_ms, pause_ms, 0));
  CHECK_OK(rf_retry_add_status(retry, 500, 599));
  return retry;
}

static void a_new_connection_is_made_and_a_kept_one_is_not(void) {
  rf_session *session = new_session();
  int64_t start = now_ms();
  rf_future *future = get(session, http("/get"), NULL);
  const rf_response *response = RESPONSE(future);
  adds_up(response);
  lasts_no_longer(response, start);
  static const int had[] = {RF_PHASE_QUEUE, RF_PHASE_CONNECT, RF_PHASE_SEND, RF_PHASE_WAIT, RF_PHASE_RECEIVE};
  static const int none[] = {RF_PHASE_RESOLVE, RF_PHASE_TLS, RF_PHASE_HOOK, RF_PHASE_PAUSE, 0, 10, -1, 1 << 30};
  for (size_t i = 0; i < sizeof had / sizeof *had; i++) CHECK(us(response, had[i]) >= 0);
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) CHECK_INT(-1, us(response, none[i]));
  CHECK(!rf_response_is_reused(response));
  CHECK_INT(1, rf_response_attempts(response));
  CHECK_STR(text("127.0.0.1:%s", env("RF_TEST_HTTP_PORT")), rf_response_remote_address(response));
  CHECK(strncmp(rf_response_local_address(response), "127.0.0.1:", 10) == 0);
  CHECK_STR("HTTP/1.1", rf_response_http_version(response));
  CHECK_NULL(rf_response_tls_version(response));
  CHECK_NULL(rf_response_tls_cipher(response));
  CHECK_INT(0, rf_response_certificate_count(response));
  size_t length = 5;
  CHECK_NULL(rf_response_certificate_at(response, 0, &length));
  CHECK_INT(0, length);
  rf_future *other = get(session, http("/get"), NULL);
  const rf_response *second = RESPONSE(other);
  adds_up(second);
  CHECK_INT(-1, us(second, RF_PHASE_CONNECT));
  CHECK(rf_response_is_reused(second));
  CHECK_STR(rf_response_local_address(response), rf_response_local_address(second));
  rf_future_free(future);
  rf_future_free(other);
  future = get(session, raw("/http10?n=20"), NULL);
  CHECK_STR("HTTP/1.0", rf_response_http_version(RESPONSE(future)));
  rf_future_free(future);
  const char *six = getenv("RF_TEST_HTTP6");
  if (six != NULL) {
    future = get(session, text("%s/get", six), NULL);
    CHECK_STR(six + strlen("http://"), rf_response_remote_address(RESPONSE(future)));
    CHECK(strncmp(rf_response_local_address(RESPONSE(future)), "[::1]:", 6) == 0);
    rf_future_free(future);
  }
  rf_session_free(session);
}

static void names_are_looked_up_once(void) {
  rf_session *session = new_session();
  const char *url = text("http://localhost:%s/close", env("RF_TEST_HTTP_PORT"));
  for (int known = 0; known < 2; known++) {
    rf_future *future = get(session, url, NULL);
    const rf_response *response = RESPONSE(future);
    adds_up(response);
    CHECK((us(response, RF_PHASE_RESOLVE) >= 0) == !known);
    CHECK(us(response, RF_PHASE_CONNECT) >= 0);
    rf_future_free(future);
  }
  rf_session_free(session);
}

static rf_status sleeping_hook(rf_hook_call *call, const rf_response *response, void *unused) {
  (void)call;
  (void)unused;
  sleep_ms(100);
  /* What was spent before is there, and the rest is not. */
  CHECK(us(response, RF_PHASE_SEND) >= 0);
  CHECK(us(response, RF_PHASE_HOOK) >= 95000); /* that of the request hook */
  CHECK_INT(-1, rf_response_total_us(response));
  return RF_OK;
}

static rf_status sleeping_prepare(rf_prepared *prepared, void *unused) {
  (void)prepared;
  (void)unused;
  sleep_ms(100);
  return RF_OK;
}

static rf_status sleeping_output(const uint8_t *data, size_t length, void *unused) {
  (void)data;
  (void)length;
  (void)unused;
  sleep_ms(100);
  return RF_OK;
}

static int64_t sleeping_read(uint8_t *buffer, size_t capacity, void *left) {
  (void)capacity;
  if (*(int *)left == 0) return 0;
  sleep_ms(100);
  --*(int *)left;
  *buffer = 'x';
  return 1;
}

static rf_status sleeping_progress(int64_t sent, int64_t send_total, int64_t received, int64_t total, void *calls) {
  (void)sent;
  (void)send_total;
  (void)received;
  (void)total;
  sleep_ms(50);
  ++*(int *)calls;
  return RF_OK;
}

/* Nearly that long: the server may have begun to count before this side has. */
static int64_t nearly(int64_t ms) { return ms - 5 * patience(); }

/* What takes this request so long, at least so many milliseconds, is this phase. */
static void it_is(int phase, int64_t least_ms, rf_future *future) {
  const rf_response *response = RESPONSE(future);
  adds_up(response);
  CHECK_RANGE(least_ms * 1000, rf_response_total_us(response), us(response, phase));
  rf_future_free(future);
}

static void what_takes_long_is_in_its_phase(void) {
  rf_session *session = new_session_workers(1);
  it_is(RF_PHASE_WAIT, nearly(300), get(session, http("/slow-headers?ms=300"), NULL));
  it_is(RF_PHASE_RECEIVE, nearly(300), get(session, http("/slow-body?ms=100&n=3"), NULL));
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, sleeping_hook, NULL, NULL));
  CHECK_OK(rf_options_add_request_hook(options, sleeping_prepare, NULL, NULL));
  it_is(RF_PHASE_HOOK, 200, get(session, http("/get"), options));
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_output(options, sleeping_output, NULL, NULL));
  it_is(RF_PHASE_HOOK, 100, get(session, http("/get"), options));
  rf_options_free(options);
  int left = 3, calls = 0;
  options = new_options();
  CHECK_OK(rf_options_set_body_reader(options, sleeping_read, NULL, -1, &left, NULL));
  it_is(RF_PHASE_HOOK, 300, request(session, "POST", http("/upload"), options));
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_progress(options, sleeping_progress, &calls, NULL));
  it_is(RF_PHASE_HOOK, 100, get(session, http("/get"), options));
  CHECK(calls >= 2);
  rf_options_free(options);
  /* The one worker has something else to do first. */
  const char *gate = unique("phases");
  rf_future *first = get(session, gate_url(gate), NULL);
  gate_wait(gate, 1);
  rf_future *second = get(session, http("/get"), NULL);
  sleep_ms(200);
  gate_open(gate);
  if (on_events()) {
    RESPONSE(second);
    rf_future_free(second);
  } else {
    it_is(RF_PHASE_QUEUE, nearly(200), second);
  }
  rf_future_free(first);
  rf_session_free(session);
}

static void those_who_wait_for_their_turn_are_queued(void) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_per_host(config, 1));
  rf_session *session = session_of(config);
  rf_future *first = get(session, http("/slow-headers?ms=200"), NULL);
  EVENTUALLY(rf_future_running(first));
  rf_future *second = get(session, http("/get"), NULL);
  it_is(RF_PHASE_WAIT, nearly(200), first);
  RESPONSE(second);
  CHECK(us(RESPONSE(second), RF_PHASE_QUEUE) > us(RESPONSE(second), RF_PHASE_WAIT));
  adds_up(RESPONSE(second));
  rf_future_free(second);
  rf_session_free(session);
}

static void a_hop_has_its_own_phases(void) {
  rf_session *session = new_session();
  int64_t start = now_ms();
  rf_future *future = get(session, http("/redirect-to?url=/slow-headers%3Fms%3D100"), NULL);
  const rf_response *response = RESPONSE(future);
  CHECK_INT(1, rf_response_history_count(response));
  const rf_response *redirect = rf_response_history_at(response, 0);
  adds_up(response);
  lasts_no_longer(response, start);
  CHECK(us(redirect, RF_PHASE_CONNECT) >= 0 && !rf_response_is_reused(redirect));
  CHECK(us(response, RF_PHASE_CONNECT) == -1 && rf_response_is_reused(response));
  CHECK(us(response, RF_PHASE_WAIT) >= nearly(100) * 1000);
  CHECK(rf_response_total_us(redirect) < rf_response_total_us(response));
  CHECK_INT(1, rf_response_attempts(redirect));
  rf_future_free(future);
  future = get(session, http("/redirect/5"), NULL);
  CHECK_INT(5, rf_response_history_count(RESPONSE(future)));
  adds_up(RESPONSE(future));
  rf_future_free(future);
  /* An error has a response as well. */
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_max_redirects(options, 2));
  future = request(session, "POST", raw("/loop"), options);
  const rf_error *error = ERROR_OF(RF_ERROR_TOO_MANY_REDIRECTS, future);
  adds_up(rf_error_response(error));
  CHECK_INT(RF_PHASE_RECEIVE, rf_error_phase(error));
  CHECK_INT(1, rf_error_attempts(error));
  CHECK_STR("GET", rf_error_method(error));
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

static void attempts_count_and_pauses_are_told(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  rf_retry *retry = retry_of(3, 50);
  CHECK_OK(rf_options_set_retry(options, retry));
  rf_retry_free(retry);
  const char *url = http(text("/status/503,503,200?key=%s", unique("attempts")));
  rf_future *future = get(session, url, options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  CHECK_INT(3, rf_response_attempts(RESPONSE(future)));
  CHECK(us(RESPONSE(future), RF_PHASE_PAUSE) >= 100000);
  CHECK(rf_response_is_reused(RESPONSE(future)));
  /* All of its sendings together. */
  CHECK(us(RESPONSE(future), RF_PHASE_CONNECT) >= 0);
  adds_up(RESPONSE(future));
  rf_future_free(future);
  future = get(session, http("/status/503"), options);
  const rf_error *error = ERROR_OF(RF_ERROR_RETRY, future);
  CHECK_INT(4, rf_error_attempts(error));
  CHECK_STR("GET", rf_error_method(error));
  CHECK_INT(4, rf_response_attempts(rf_error_response(error)));
  adds_up(rf_error_response(error));
  rf_future_free(future);
  future = get(session, text("%s/", env("RF_TEST_CLOSED")), options);
  error = ERROR_OF(RF_ERROR_CONNECTION, future);
  CHECK_INT(4, rf_error_attempts(error));
  CHECK_INT(RF_PHASE_CONNECT, rf_error_phase(error));
  rf_future_free(future);
  /* Behind a redirect, pauses are of the hop that was tried again. */
  int64_t start = now_ms();
  future = get(session, http(text("/redirect-to?url=/status/503,200%%3Fkey=%s", unique("behind"))), options);
  const rf_response *last = RESPONSE(future);
  CHECK_INT(200, rf_response_status_code(last));
  CHECK_INT(2, rf_response_attempts(last));
  CHECK(us(last, RF_PHASE_PAUSE) >= 50000);
  CHECK_INT(-1, us(rf_response_history_at(last, 0), RF_PHASE_PAUSE));
  adds_up(last);
  lasts_no_longer(last, start);
  rf_future_free(future);
  /* What a kept connection that had ended has cost counts as well. */
  rf_options_free(options);
  future = get(session, raw("/second-closes"), NULL);
  CHECK_INT(1, rf_response_attempts(RESPONSE(future)));
  rf_future_free(future);
  future = get(session, raw("/ok"), NULL);
  CHECK_INT(2, rf_response_attempts(RESPONSE(future)));
  CHECK(!rf_response_is_reused(RESPONSE(future)));
  adds_up(RESPONSE(future));
  rf_future_free(future);
  rf_session_free(session);
}

static rf_status once_more(rf_prepared *prepared, const rf_response *response, void *unused) {
  (void)response;
  (void)unused;
  return rf_prepared_challenges(prepared) == 0 && rf_prepared_hop(prepared) == 0 ? RF_AGAIN : RF_OK;
}

static void an_answer_that_asks_has_its_own_time(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_auth_digest(options, "user", "passwd"));
  rf_future *future = get(session, http("/digest-auth/auth/user/passwd"), options);
  const rf_response *response = RESPONSE(future);
  CHECK_INT(200, rf_response_status_code(response));
  CHECK_INT(1, rf_response_history_count(response));
  CHECK_INT(2, rf_response_attempts(response));
  const rf_response *asked = rf_response_history_at(response, 0);
  CHECK_INT(401, rf_response_status_code(asked));
  CHECK_INT(1, rf_response_attempts(asked));
  CHECK(us(asked, RF_PHASE_WAIT) >= 0 && us(response, RF_PHASE_WAIT) >= 0);
  CHECK(us(asked, RF_PHASE_CONNECT) >= 0 && us(response, RF_PHASE_CONNECT) == -1);
  adds_up(response);
  rf_future_free(future);
  /* Behind a redirect it is in no history: its time is that of its hop. */
  future = get(session, http("/redirect-to?url=/digest-auth/auth/user/passwd"), options);
  response = RESPONSE(future);
  CHECK_INT(200, rf_response_status_code(response));
  CHECK_INT(1, rf_response_history_count(response));
  CHECK_INT(2, rf_response_attempts(response));
  adds_up(response);
  rf_future_free(future);
  /* A proxy asks: for what it forwards, and before a tunnel, which is part of connecting. */
  CHECK_OK(rf_options_set_auth_none(options));
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  static const char *const asking[] = {"RF_TEST_PROXY_DIGEST", "RF_TEST_PROXY_DIGEST_CLOSE"};
  for (size_t i = 0; i < 2; i++) {
    rf_session *fresh = new_session();
    CHECK_OK(rf_options_set_proxy(options, "all", env(asking[i])));
    future = get(fresh, http("/redirect-to?url=/get"), options);
    response = RESPONSE(future);
    CHECK_INT(200, rf_response_status_code(response));
    /* One more where the connection that the proxy has ended looked as if it were still there. */
    CHECK_RANGE(2, 2 + i, rf_response_attempts(rf_response_history_at(response, 0)));
    adds_up(response);
    rf_future_free(future);
    rf_session_free(fresh);
    fresh = new_session();
    future = get(fresh, text("%s/get", env("RF_TEST_HTTPS_TLS13")), options);
    response = RESPONSE(future);
    CHECK_INT(0, rf_response_history_count(response));
    CHECK_INT(1, rf_response_attempts(response));
    adds_up(response);
    rf_future_free(future);
    rf_session_free(fresh);
  }
  rf_options_free(options);
  /* One that no history shows any more, because a redirect came after it. */
  options = new_options();
  CHECK_OK(rf_options_set_auth_custom(options, NULL, once_more, false, NULL, NULL));
  future = get(session, http("/redirect-to?url=/get"), options);
  response = RESPONSE(future);
  CHECK_INT(1, rf_response_history_count(response));
  asked = rf_response_history_at(response, 0);
  CHECK_INT(2, rf_response_attempts(asked));
  CHECK_INT(1, rf_response_history_count(asked));
  CHECK_INT(-1, us(asked, RF_PHASE_CONNECT));
  CHECK(us(response, RF_PHASE_CONNECT) >= 0);
  adds_up(response);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

static void a_stream_is_received_until_its_end(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_stream(options, true));
  uint8_t buffer[64];
  size_t length = 1;
  int64_t start = now_ms();
  rf_future *future = get(session, http("/slow-body?ms=50&n=2"), options);
  const rf_response *response = RESPONSE(future);
  int64_t before = us(response, RF_PHASE_RECEIVE);
  CHECK_INT(-1, rf_response_total_us(response));
  sleep_ms(200);
  CHECK(us(response, RF_PHASE_RECEIVE) >= before + 200000);
  while (length > 0) CHECK_OK(rf_response_read(response, buffer, sizeof buffer, &length, NULL));
  int64_t total = rf_response_total_us(response);
  CHECK_RANGE(200000, (now_ms() - start + 1) * 1000, total);
  adds_up(response);
  /* It does not go on. */
  sleep_ms(20);
  CHECK_INT(total, rf_response_total_us(response));
  rf_future_free(future);
  /* One that is closed, and one that breaks off. */
  future = get(session, http("/slow-body?ms=50&n=1000"), options);
  CHECK_OK(rf_response_close(RESPONSE(future)));
  adds_up(RESPONSE(future));
  rf_future_free(future);
  const rf_error *error = NULL;
  rf_status status = RF_OK;
  future = get(session, raw("/close/body"), options);
  while (status == RF_OK) status = rf_response_read(RESPONSE(future), buffer, sizeof buffer, &length, &error);
  CHECK_STATUS(RF_FAILED, status);
  CHECK_INT(RF_PHASE_RECEIVE, rf_error_phase(error));
  CHECK_INT(1, rf_error_attempts(error));
  CHECK_STR("GET", rf_error_method(error));
  adds_up(RESPONSE(future));
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

static rf_status refusing_hook(rf_hook_call *call, const rf_response *response, void *unused) {
  (void)response;
  (void)unused;
  return rf_hook_fail(call, "no");
}

/* Ends and frees the future. */
static void fails_in(int phase, uint32_t attempts, const char *method, int kind, rf_future *future) {
  const rf_error *error = ERROR_OF(kind, future);
  CHECK_INT(phase, rf_error_phase(error));
  CHECK_INT(attempts, rf_error_attempts(error));
  CHECK_STR(method, rf_error_method(error));
  rf_future_free(future);
}

static void an_error_says_where(void) {
  rf_session *session = new_session_workers(1);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_timeout(options, 100, 100));
  fails_in(RF_PHASE_CONNECT, 1, "GET", RF_ERROR_CONNECT_TIMEOUT, get(session, env("RF_TEST_BLACKHOLE"), options));
  fails_in(RF_PHASE_TLS, 1, "PUT", RF_ERROR_CONNECT_TIMEOUT,
           request(session, "PUT", env("RF_TEST_TLS_SILENT"), options));
  fails_in(RF_PHASE_WAIT, 1, "GET", RF_ERROR_READ_TIMEOUT, get(session, raw("/silent"), options));
  fails_in(RF_PHASE_RECEIVE, 1, "GET", RF_ERROR_READ_TIMEOUT, get(session, raw("/stall/head"), options));
  fails_in(RF_PHASE_RECEIVE, 1, "GET", RF_ERROR_READ_TIMEOUT, get(session, raw("/stall/body"), options));
  rf_options_free(options);
  fails_in(RF_PHASE_RESOLVE, 1, "GET", RF_ERROR_CONNECTION, get(session, "http://nobody.invalid/", NULL));
  fails_in(RF_PHASE_TLS, 1, "GET", RF_ERROR_SSL, get(session, text("%s/get", env("RF_TEST_HTTPS")), NULL));
  options = new_options();
  CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_PROXY_502")));
  fails_in(RF_PHASE_CONNECT, 1, "GET", RF_ERROR_PROXY, get(session, text("%s/get", env("RF_TEST_HTTPS")), options));
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_add_hook(options, refusing_hook, NULL, NULL));
  fails_in(RF_PHASE_HOOK, 1, "GET", RF_ERROR_HOOK, get(session, http("/get"), options));
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_raise_for_status(options, true));
  rf_future *future = get(session, http("/status/404"), options);
  adds_up(rf_error_response(ERROR_OF(RF_ERROR_HTTP, future)));
  rf_future_free(future);
  rf_options_free(options);
  /* The redirect has made a GET of it. */
  options = new_options();
  CHECK_OK(rf_options_set_timeout(options, RF_FOREVER, 100));
  const char *url = http(text("/redirect-to?url=%s/silent", env("RF_TEST_RAW")));
  fails_in(RF_PHASE_WAIT, 1, "GET", RF_ERROR_READ_TIMEOUT, request(session, "POST", url, options));
  rf_options_free(options);
  fails_in(0, 0, "GET", RF_ERROR_MISSING_SCHEMA, get(session, "nonsense", NULL));
  /* Those that never ran. */
  const char *gate = unique("errors");
  rf_future *first = get(session, gate_url(gate), NULL);
  gate_wait(gate, 1);
  options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 50));
  if (!on_events()) {
    fails_in(RF_PHASE_QUEUE, 0, "HEAD", RF_ERROR_TIMEOUT, request(session, "HEAD", http("/get"), options));
    future = get(session, http("/get"), NULL);
    CHECK(rf_future_cancel(future));
    fails_in(0, 0, NULL, RF_ERROR_CANCELLED, future);
  }
  /* Aborted while it waits for the answer, and late. */
  rf_session *other = new_session();
  CHECK_OK(rf_options_set_deadline(options, 500 * patience()));
  fails_in(RF_PHASE_WAIT, 1, "GET", RF_ERROR_TIMEOUT, get(other, raw("/silent"), options));
  rf_session_free(other);
  rf_options_free(options);
  CHECK(rf_future_abort(first));
  fails_in(RF_PHASE_WAIT, 1, "GET", RF_ERROR_ABORTED, first);
  gate_open(gate);
  rf_session_free(session);
}

static void tls_is_told(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  static const char *const versions[][2] = {{"RF_TEST_HTTPS_TLS13", "TLSv1.3"}, {"RF_TEST_HTTPS_TLS12", "TLSv1.2"}};
  for (size_t i = 0; i < 2; i++) {
    rf_future *future = get(session, text("%s/get", env(versions[i][0])), options);
    const rf_response *response = RESPONSE(future);
    adds_up(response);
    CHECK(us(response, RF_PHASE_TLS) >= 0);
    CHECK_STR(versions[i][1], rf_response_tls_version(response));
    CHECK(strncmp(rf_response_tls_cipher(response), "TLS_", 4) == 0);
    CHECK(rf_response_certificate_count(response) >= 1);
    size_t length = 0;
    const uint8_t *certificate = rf_response_certificate_at(response, 0, &length);
    CHECK(length > 100 && certificate[0] == 0x30);
    /* A name of the server stands in it. */
    bool is_named = false;
    for (size_t at = 0; at + 12 <= length; at++) is_named |= memcmp(certificate + at, "example.test", 12) == 0;
    CHECK(is_named);
    CHECK_NULL(rf_response_certificate_at(response, rf_response_certificate_count(response), &length));
    rf_future_free(future);
  }
  rf_options_free(options);
  /* The same when nobody looks at it. */
  options = new_options();
  CHECK_OK(rf_options_set_verify(options, false));
  rf_future *future = get(session, text("%s/get", env("RF_TEST_HTTPS_SELF_SIGNED")), options);
  CHECK_INT(1, rf_response_certificate_count(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

static void a_proxy_is_who_is_spoken_with(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  const char *proxy = env("RF_TEST_PROXY");
  CHECK_OK(rf_options_set_proxy(options, "all", proxy));
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  rf_future *future = get(session, http("/get"), options);
  CHECK_STR(proxy + strlen("http://"), rf_response_remote_address(RESPONSE(future)));
  adds_up(RESPONSE(future));
  rf_future_free(future);
  future = get(session, text("%s/get", env("RF_TEST_HTTPS_TLS13")), options);
  CHECK_STR(proxy + strlen("http://"), rf_response_remote_address(RESPONSE(future)));
  CHECK_STR("TLSv1.3", rf_response_tls_version(RESPONSE(future)));
  adds_up(RESPONSE(future));
  rf_future_free(future);
  /* TLS with the proxy is not with the server. */
  CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_PROXY_TLS")));
  future = get(session, http("/get"), options);
  CHECK_NULL(rf_response_tls_version(RESPONSE(future)));
  CHECK(us(RESPONSE(future), RF_PHASE_TLS) >= 0);
  adds_up(RESPONSE(future));
  rf_future_free(future);
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_unix_socket(options, env("RF_TEST_UNIX")));
  future = get(session, "http://h/get", options);
  CHECK_NULL(rf_response_remote_address(RESPONSE(future)));
  CHECK_NULL(rf_response_local_address(RESPONSE(future)));
  CHECK_STR("HTTP/1.1", rf_response_http_version(RESPONSE(future)));
  CHECK(us(RESPONSE(future), RF_PHASE_CONNECT) >= 0);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

static rf_status replacing_hook(rf_hook_call *call, const rf_response *response, void *made) {
  (void)response;
  return rf_hook_replace(call, made);
}

static rf_status answering(rf_prepared *prepared, void *made) {
  sleep_ms(50);
  return rf_prepared_respond(prepared, made);
}

static void made_by_hand_there_is_nothing_to_tell(void) {
  rf_session *session = new_session();
  rf_response *made = NULL;
  CHECK_OK(rf_response_new(200, "text/plain", "ok", 2, &made));
  for (int replaced = 0; replaced < 2; replaced++) {
    rf_options *options = new_options();
    CHECK_OK(rf_options_add_hook(options, replacing_hook, made, NULL));
    rf_future *future = replaced ? get(session, http("/get"), options) : NULL;
    const rf_response *response = replaced ? RESPONSE(future) : made;
    for (int phase = FIRST; phase <= LAST; phase++) CHECK_INT(-1, us(response, phase));
    CHECK_INT(-1, rf_response_total_us(response));
    CHECK_INT(0, rf_response_attempts(response));
    CHECK(!rf_response_is_reused(response));
    CHECK_NULL(rf_response_remote_address(response));
    CHECK_NULL(rf_response_local_address(response));
    CHECK_NULL(rf_response_http_version(response));
    CHECK_NULL(rf_response_tls_version(response));
    rf_future_free(future);
    rf_options_free(options);
  }
  /* That of another request keeps what it has. */
  rf_future *earlier = get(session, http("/get"), NULL);
  int64_t total = rf_response_total_us(RESPONSE(earlier));
  rf_response *clone = NULL;
  CHECK_OK(rf_response_clone(RESPONSE(earlier), &clone));
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, replacing_hook, clone, NULL));
  rf_future *replaced = get(session, http("/get"), options);
  CHECK_INT(total, rf_response_total_us(RESPONSE(replaced)));
  adds_up(RESPONSE(replaced));
  rf_future_free(replaced);
  rf_future_free(earlier);
  rf_response_free(clone);
  rf_options_free(options);
  /* An adapter answers with it: time and attempts are the request's. */
  rf_adapter_ops ops = {sizeof ops, answering};
  rf_adapter *adapter = NULL;
  CHECK_OK(rf_adapter_new_custom(&ops, made, NULL, &adapter));
  CHECK_OK(rf_session_mount(session, "mock://", adapter));
  rf_future *future = get(session, "mock://h/", NULL);
  const rf_response *response = RESPONSE(future);
  adds_up(response);
  CHECK(us(response, RF_PHASE_HOOK) >= 50000);
  CHECK_INT(-1, us(response, RF_PHASE_SEND));
  CHECK_INT(1, rf_response_attempts(response));
  CHECK_NULL(rf_response_remote_address(response));
  CHECK_NULL(rf_response_http_version(response));
  rf_future_free(future);
  rf_adapter_free(adapter);
  rf_session_free(session);
  rf_response_free(made);
}

/* In worker processes, and where tasks are bytes. */
static void it_comes_back_from_elsewhere(rf_session *session) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  int64_t start = now_ms();
  rf_future *future = get(session, text("%s/redirect-to?url=/slow-headers%%3Fms%%3D100", env("RF_TEST_HTTPS")), options);
  const rf_response *response = RESPONSE(future);
  adds_up(response);
  lasts_no_longer(response, start);
  CHECK(us(response, RF_PHASE_WAIT) >= nearly(100) * 1000);
  const rf_response *redirect = rf_response_history_at(response, 0);
  CHECK(us(redirect, RF_PHASE_QUEUE) >= 0 && us(redirect, RF_PHASE_TLS) >= 0);
  CHECK(rf_response_is_reused(response) && !rf_response_is_reused(redirect));
  CHECK_INT(1, rf_response_attempts(response));
  CHECK_STR(rf_response_local_address(redirect), rf_response_local_address(response));
  CHECK_STR(strrchr(env("RF_TEST_HTTPS"), '/') + 1, rf_response_remote_address(response));
  CHECK_STR("HTTP/1.1", rf_response_http_version(response));
  CHECK_STR("TLSv1.3", rf_response_tls_version(response));
  CHECK(rf_response_certificate_count(response) >= 1);
  rf_future_free(future);
  CHECK_OK(rf_options_set_timeout(options, RF_FOREVER, 100));
  fails_in(RF_PHASE_WAIT, 1, "POST", RF_ERROR_READ_TIMEOUT, request(session, "POST", raw("/silent"), options));
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_stream(options, true));
  future = get(session, http("/slow-body?ms=50&n=3"), options);
  CHECK(rf_response_content(RESPONSE(future), NULL) != NULL);
  adds_up(RESPONSE(future));
  CHECK(us(RESPONSE(future), RF_PHASE_RECEIVE) >= 95000);
  rf_future_free(future);
  rf_options_free(options);
  /* A body that comes beside the reply. */
  future = get(session, http("/bytes/1000000"), NULL);
  adds_up(RESPONSE(future));
  rf_future_free(future);
}

int main(void) {
  a_new_connection_is_made_and_a_kept_one_is_not();
  names_are_looked_up_once();
  what_takes_long_is_in_its_phase();
  those_who_wait_for_their_turn_are_queued();
  a_hop_has_its_own_phases();
  attempts_count_and_pauses_are_told();
  an_answer_that_asks_has_its_own_time();
  a_stream_is_received_until_its_end();
  an_error_says_where();
  tls_is_told();
  a_proxy_is_who_is_spoken_with();
  made_by_hand_there_is_nothing_to_tell();
  rf_session *session = session_run_by(run_by_bytes);
  it_comes_back_from_elsewhere(session);
  rf_session_free(session);
  pool pool = new_pool(1);
  it_comes_back_from_elsewhere(pool.session);
  end_pool(pool);
  return finish();
}
