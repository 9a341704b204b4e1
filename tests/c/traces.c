/* What a trace function is told: lines, heads and bodies of many requests at once, told apart, secrets starred out. */
#include "elsewhere.h"

#include <pthread.h>

#define MOST 4096

typedef struct piece {
  uint64_t id;
  int kind;
  size_t length;
  char *data; /* a NUL follows */
  pthread_t thread;
} piece;

typedef struct story {
  pthread_mutex_t lock;
  piece pieces[MOST];
  size_t count;
  int dropped;
} story;

static void tell(uint64_t id, int kind, const uint8_t *data, size_t length, void *user_data) {
  story *story = user_data;
  char *copy = malloc(length + 1);
  memcpy(copy, data, length);
  copy[length] = '\0';
  pthread_mutex_lock(&story->lock);
  CHECK(story->count < MOST);
  piece *piece = &story->pieces[story->count++];
  piece->id = id;
  piece->kind = kind;
  piece->length = length;
  piece->data = copy;
  piece->thread = pthread_self();
  pthread_mutex_unlock(&story->lock);
}

static void drop_story(void *user_data) { INCREMENT(((story *)user_data)->dropped); }

static story *new_story(void) {
  story *story = calloc(1, sizeof *story);
  pthread_mutex_init(&story->lock, NULL);
  return story;
}

static void forget(story *story) {
  for (size_t i = 0; i < story->count; i++) free(story->pieces[i].data);
  story->count = 0;
}

/* Once nobody can be told any more. */
static void end_story(story *story) {
  EVENTUALLY(LOAD(story->dropped) == 1);
  forget(story);
  pthread_mutex_destroy(&story->lock);
  free(story);
}

static rf_options *traced(story *story, bool secrets) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_trace(options, tell, secrets, story, drop_story));
  return options;
}

/* All that was told of a kind, one piece behind the other; free it. */
static char *all_of(story *story, uint64_t id, int kind, size_t *length) {
  char *all = calloc(1, 1);
  size_t sum = 0;
  pthread_mutex_lock(&story->lock);
  for (size_t i = 0; i < story->count; i++) {
    const piece *piece = &story->pieces[i];
    CHECK(piece->length > 0);
    if (piece->id != id || piece->kind != kind) continue;
    all = realloc(all, sum + piece->length + 2);
    memcpy(all + sum, piece->data, piece->length);
    sum += piece->length;
    if (kind == RF_TRACE_INFO) {
      CHECK_NULL(strchr(piece->data, '\n'));
      all[sum++] = '\n';
    }
    all[sum] = '\0';
  }
  pthread_mutex_unlock(&story->lock);
  if (length != NULL) *length = sum;
  return all;
}

static size_t count_of(story *story, int kind) {
  size_t count = 0;
  pthread_mutex_lock(&story->lock);
  for (size_t i = 0; i < story->count; i++) count += story->pieces[i].kind == kind;
  pthread_mutex_unlock(&story->lock);
  return count;
}

/* Of one request, which is over. */
#define HAS(part, kind) has((part), story, rf_future_id(future), (kind), true, __FILE__, __LINE__)
#define HAS_NOT(part, kind) has((part), story, rf_future_id(future), (kind), false, __FILE__, __LINE__)
static void has(const char *part, story *story, uint64_t id, int kind, bool wanted, const char *file, int line) {
  char *all = all_of(story, id, kind, NULL);
  if ((strstr(all, part) != NULL) != wanted) {
    fprintf(stderr, "%s:%d: \"%s\" is %s\n%s\n", file, line, part, wanted ? "not in" : "in", all);
    exit(1);
  }
  free(all);
}

static void a_plain_request_is_shown_whole(void) {
  rf_session *session = new_session();
  story *story = new_story();
  rf_options *options = traced(story, false);
  rf_future *future = get(session, text("http://localhost:%s/get", env("RF_TEST_HTTP_PORT")), options);
  const rf_response *response = RESPONSE(future);
  CHECK(rf_future_id(future) != 0);
  HAS("localhost has the address", RF_TRACE_INFO);
  HAS("Trying 127.0.0.1:", RF_TRACE_INFO);
  HAS("Connected to localhost:", RF_TRACE_INFO);
  HAS(text("(%s) from %s", rf_response_remote_address(response), rf_response_local_address(response)), RF_TRACE_INFO);
  HAS("GET /get HTTP/1.1\r\nHost: localhost:", RF_TRACE_HEAD_OUT);
  HAS("HTTP/1.1 200 OK\r\n", RF_TRACE_HEAD_IN);
  CHECK_INT(1, count_of(story, RF_TRACE_HEAD_OUT));
  CHECK_INT(1, count_of(story, RF_TRACE_HEAD_IN));
  CHECK_INT(0, count_of(story, RF_TRACE_BODY_OUT));
  for (size_t i = 0; i < story->count; i++) {
    const piece *piece = &story->pieces[i];
    CHECK(piece->id == rf_future_id(future));
    if (piece->kind != RF_TRACE_HEAD_IN && piece->kind != RF_TRACE_HEAD_OUT) continue;
    CHECK(piece->length > 4 && strcmp(piece->data + piece->length - 4, "\r\n\r\n") == 0);
  }
  size_t length = 0, told = 0;
  const uint8_t *content = rf_response_content(response, &length);
  char *body = all_of(story, rf_future_id(future), RF_TRACE_BODY_IN, &told);
  CHECK(told == length && memcmp(body, content, length) == 0);
  free(body);
  /* What the function took is not lost. */
  int64_t sum = 0;
  for (int phase = RF_PHASE_QUEUE; phase <= RF_PHASE_PAUSE; phase++) {
    int64_t us = rf_response_phase_us(response, phase);
    sum += us > 0 ? us : 0;
  }
  CHECK(rf_response_phase_us(response, RF_PHASE_HOOK) >= 0);
  CHECK_INT(rf_response_total_us(response), sum);
  rf_future_free(future);
  forget(story);
  future = get(session, text("http://localhost:%s/get", env("RF_TEST_HTTP_PORT")), options);
  RESPONSE(future);
  HAS("Using a kept connection to localhost:", RF_TRACE_INFO);
  HAS_NOT("Trying", RF_TRACE_INFO);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
  end_story(story);
}

static int64_t three_bytes(uint8_t *buffer, size_t capacity, void *left) {
  (void)capacity;
  if (*(int *)left == 0) return 0;
  memcpy(buffer, "abc", 3);
  --*(int *)left;
  return 3;
}

static void bodies_are_as_they_go_over_the_wire(void) {
  rf_session *session = new_session();
  story *story = new_story();
  rf_options *options = traced(story, false);
  CHECK_OK(rf_options_set_body(options, "the body", 8));
  rf_future *future = request(session, "POST", http("/echo"), options);
  RESPONSE(future);
  HAS("the body", RF_TRACE_BODY_OUT);
  HAS("the body", RF_TRACE_BODY_IN);
  rf_future_free(future);
  int left = 2;
  CHECK_OK(rf_options_set_body_reader(options, three_bytes, NULL, -1, &left, NULL));
  future = request(session, "POST", http("/upload"), options);
  RESPONSE(future);
  char *sent = all_of(story, rf_future_id(future), RF_TRACE_BODY_OUT, NULL);
  CHECK_STR("abcabc", sent);
  free(sent);
  rf_future_free(future);
  rf_options_free(options);
  end_story(story);
  story = new_story();
  options = traced(story, false);
  future = get(session, http("/gzip"), options);
  CHECK_HAS("gzipped", rf_response_text(RESPONSE(future), NULL));
  HAS("\x1f\x8b", RF_TRACE_BODY_IN);
  HAS_NOT("gzipped", RF_TRACE_BODY_IN);
  rf_future_free(future);
  future = get(session, http("/chunks?c=one&c=two"), options);
  RESPONSE(future);
  char *received = all_of(story, rf_future_id(future), RF_TRACE_BODY_IN, NULL);
  CHECK_STR("onetwo", received);
  free(received);
  rf_future_free(future);
  /* Heads between. */
  forget(story);
  future = get(session, raw("/informational?code=103&n=2"), options);
  RESPONSE(future);
  CHECK_INT(3, count_of(story, RF_TRACE_HEAD_IN));
  HAS("HTTP/1.1 103", RF_TRACE_HEAD_IN);
  rf_future_free(future);
  /* A stream's is told on the thread that reads it. */
  CHECK_OK(rf_options_set_stream(options, true));
  forget(story);
  future = get(session, http("/bytes/100000"), options);
  RESPONSE(future);
  CHECK_INT(0, count_of(story, RF_TRACE_BODY_IN));
  size_t length = 0;
  CHECK(rf_response_content(RESPONSE(future), &length) != NULL);
  size_t told = 0;
  free(all_of(story, rf_future_id(future), RF_TRACE_BODY_IN, &told));
  CHECK_INT(length, told);
  for (size_t i = 0; i < story->count; i++) {
    if (story->pieces[i].kind == RF_TRACE_BODY_IN) CHECK(pthread_equal(story->pieces[i].thread, pthread_self()));
  }
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
  end_story(story);
}

static void secrets_are_starred_out_unless_they_are_wanted(void) {
  for (int secrets = 0; secrets < 2; secrets++) {
    rf_session *session = new_session();
    story *story = new_story();
    rf_options *options = traced(story, secrets);
    CHECK_OK(rf_options_set_auth_bearer(options, "s3cret"));
    CHECK_OK(rf_options_set_cookie(options, "name", "s3cret"));
    CHECK_OK(rf_options_set_header(options, "proxy-authorization", "s3cret"));
    CHECK_OK(rf_options_set_header(options, "X-Own", "shown"));
    rf_future *future = get(session, http("/set-cookie?raw=a%3Dother"), options);
    RESPONSE(future);
    HAS("X-Own: shown", RF_TRACE_HEAD_OUT);
    HAS(secrets ? "Authorization: Bearer s3cret\r\n" : "Authorization: ***\r\n", RF_TRACE_HEAD_OUT);
    HAS(secrets ? "Cookie: name=s3cret\r\n" : "Cookie: ***\r\n", RF_TRACE_HEAD_OUT);
    HAS(secrets ? "proxy-authorization: s3cret\r\n" : "proxy-authorization: ***\r\n", RF_TRACE_HEAD_OUT);
    HAS(secrets ? "Set-Cookie: a=other" : "Set-Cookie: ***\r\n", RF_TRACE_HEAD_IN);
    if (!secrets) {
      HAS_NOT("s3cret", RF_TRACE_HEAD_OUT);
      HAS_NOT("s3cret", RF_TRACE_HEAD_IN);
      HAS_NOT("s3cret", RF_TRACE_INFO);
    }
    rf_future_free(future);
    rf_options_free(options);
    /* What is said to a proxy. */
    options = new_options();
    CHECK_OK(rf_options_set_trace(options, tell, secrets, story, NULL));
    CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_PROXY_AUTH")));
    CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
    future = get(session, text("%s/get", env("RF_TEST_HTTPS_TLS13")), options);
    RESPONSE(future);
    HAS("CONNECT 127.0.0.1:", RF_TRACE_HEAD_OUT);
    HAS(secrets ? "Proxy-Authorization: Basic " : "Proxy-Authorization: ***\r\n", RF_TRACE_HEAD_OUT);
    HAS("TLSv1.3, TLS_", RF_TRACE_INFO);
    HAS_NOT("user:pass", RF_TRACE_INFO);
    rf_future_free(future);
    rf_options_free(options);
    rf_session_free(session);
    end_story(story);
  }
}

static void what_happens_on_the_way_is_told(void) {
  rf_session *session = new_session();
  story *story = new_story();
  rf_options *options = traced(story, false);
  rf_future *future = request(session, "POST", http("/redirect-to?url=/get"), options);
  RESPONSE(future);
  HAS("Following the redirect by GET http://127.0.0.1:", RF_TRACE_INFO);
  HAS("POST /redirect-to", RF_TRACE_HEAD_OUT);
  HAS("GET /get HTTP/1.1", RF_TRACE_HEAD_OUT);
  rf_future_free(future);
  CHECK_OK(rf_options_set_auth_digest(options, "user", "passwd"));
  future = get(session, http("/digest-auth/auth/user/passwd"), options);
  RESPONSE(future);
  HAS("Asked for credentials by a 401", RF_TRACE_INFO);
  rf_future_free(future);
  rf_retry *retry = NULL;
  CHECK_OK(rf_retry_new(1, &retry));
  CHECK_OK(rf_retry_set_backoff(retry, 10, 10, 0));
  CHECK_OK(rf_retry_add_status(retry, 503, 503));
  CHECK_OK(rf_options_set_retry(options, retry));
  rf_retry_free(retry);
  future = get(session, http(text("/status/503,200?key=%s", unique("trace"))), options);
  RESPONSE(future);
  HAS("Answered with 503; once more in 10 ms", RF_TRACE_INFO);
  rf_future_free(future);
  future = get(session, env("RF_TEST_CLOSED"), options);
  const rf_error *error = ERROR_OF(RF_ERROR_CONNECTION, future);
  HAS("once more in 10 ms", RF_TRACE_INFO);
  HAS(text("\nFailed: %s\n", rf_error_message(error)), RF_TRACE_INFO);
  rf_future_free(future);
  CHECK_OK(rf_options_set_deadline(options, 200));
  future = get(session, raw("/silent"), options);
  error = ERROR_OF(RF_ERROR_TIMEOUT, future);
  HAS(text("\nFailed: %s\n", rf_error_message(error)), RF_TRACE_INFO);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
  end_story(story);
}

static void requests_are_told_apart(void) {
  enum { COUNT = 20 };
  rf_session *session = new_session();
  story *story = new_story();
  rf_options *defaults = traced(story, false), *quiet = new_options();
  CHECK_OK(rf_session_update(session, defaults));
  rf_options_free(defaults);
  CHECK_OK(rf_options_set_trace(quiet, NULL, false, NULL, NULL));
  rf_future *futures[COUNT], *silent = get(session, http("/anything/quiet"), quiet);
  for (int i = 0; i < COUNT; i++) futures[i] = get(session, http(text("/anything/number-%d-", i)), NULL);
  for (int i = 0; i < COUNT; i++) {
    rf_future *future = futures[i];
    RESPONSE(future);
    HAS(text("GET /anything/number-%d- HTTP/1.1\r\n", i), RF_TRACE_HEAD_OUT);
    HAS(text("/anything/number-%d-", i), RF_TRACE_BODY_IN);
    for (int other = 0; other < i; other++) CHECK(rf_future_id(future) != rf_future_id(futures[other]));
  }
  RESPONSE(silent);
  for (size_t i = 0; i < story->count; i++) CHECK(story->pieces[i].id != rf_future_id(silent));
  for (int i = 0; i < COUNT; i++) rf_future_free(futures[i]);
  rf_future_free(silent);
  rf_options_free(quiet);
  /* It is the session's no more. */
  CHECK_INT(0, LOAD(story->dropped));
  defaults = new_options();
  CHECK_OK(rf_options_set_trace(defaults, NULL, false, NULL, NULL));
  CHECK_OK(rf_session_update(session, defaults));
  rf_options_free(defaults);
  end_story(story);
  rf_session_free(session);
}

static void it_stays_in_this_process(void) {
  rf_session *session = session_run_by(run_by_bytes);
  story *story = new_story();
  rf_options *options = traced(story, false);
  rf_future *future = get(session, http("/get"), options);
  CHECK_HAS("trace", rf_error_message(ERROR_OF(RF_ERROR_NOT_TRANSFERABLE, future)));
  CHECK_INT(0, story->count);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
  end_story(story);
}

/* It may come back into the library. */
static void ask_more(uint64_t id, int kind, const uint8_t *data, size_t length, void *session) {
  (void)id;
  (void)data;
  (void)length;
  if (kind != RF_TRACE_HEAD_IN) return;
  rf_future *future = get(session, http("/get"), NULL);
  RESPONSE(future);
  rf_future_free(future);
}

static void a_trace_function_may_ask_for_more(void) {
  rf_session *session = new_session(), *other = new_session();
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_trace(options, ask_more, false, other, NULL));
  rf_future *future = get(session, http("/get"), options);
  RESPONSE(future);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
  rf_session_free(other);
}

#ifndef __SANITIZE_THREAD__ /* it does not know of fibers */
typedef struct busy {
  int inside, held;
} busy;

static rf_status hold(rf_hook_call *call, const rf_response *response, void *user_data) {
  busy *busy = user_data;
  (void)call;
  (void)response;
  INCREMENT(busy->inside);
  while (LOAD(busy->held)) sleep_ms(2);
  return RF_OK;
}

/* On an event loop, whose only thread for functions is busy. */
static void an_end_does_not_wait_for_a_thread_that_is_busy(void) {
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_events(4, 1, &executor));
  rf_session *session = session_on(executor);
  busy busy = {0, 1};
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, hold, &busy, NULL));
  rf_future *holding = get(session, http("/get"), options);
  rf_options_free(options);
  EVENTUALLY(LOAD(busy.inside) == 1);
  story *story = new_story();
  options = traced(story, false);
  rf_future *aborted = get(session, http("/get"), options);
  EVENTUALLY(rf_future_running(aborted));
  sleep_ms(50);
  int64_t start = now_ms();
  CHECK(rf_future_abort(aborted));
  ERROR_OF(RF_ERROR_ABORTED, aborted);
  CHECK_RANGE(0, 250 * patience(), now_ms() - start);
  CHECK_OK(rf_options_set_deadline(options, 100));
  start = now_ms();
  rf_future *late = get(session, http("/get"), options);
  ERROR_OF(RF_ERROR_TIMEOUT, late);
  CHECK_RANGE(99, 100 + 250 * patience(), now_ms() - start);
  __atomic_store_n(&busy.held, 0, __ATOMIC_SEQ_CST);
  RESPONSE(holding);
  rf_future_free(holding);
  rf_future_free(aborted);
  rf_future_free(late);
  rf_options_free(options);
  rf_session_free(session);
  rf_executor_shutdown(executor, true, false);
  rf_executor_free(executor);
  end_story(story);
}
#endif

int main(void) {
#ifndef __SANITIZE_THREAD__
  an_end_does_not_wait_for_a_thread_that_is_busy();
#endif
  a_plain_request_is_shown_whole();
  bodies_are_as_they_go_over_the_wire();
  secrets_are_starred_out_unless_they_are_wanted();
  what_happens_on_the_way_is_told();
  requests_are_told_apart();
  it_stays_in_this_process();
  a_trace_function_may_ask_for_more();
  return finish();
}
