/* Trying again: after failures and after statuses, how often, how long after, and what ends it. */
#include "threads.h"
#include "wire.h"

#include <math.h>
#include <time.h>

static rf_session *session;

static rf_retry *new_retry(uint32_t total) {
  rf_retry *retry = NULL;
  CHECK_OK(rf_retry_new(total, &retry));
  CHECK(retry != NULL);
  return retry;
}

/* Frees the settings. */
static rf_options *with_retry(rf_retry *retry) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_retry(options, retry));
  rf_retry_free(retry);
  return options;
}

/* Says what its script says, one entry for each request: 0 hangs up without a word, 1 in the middle of a head; other
   numbers are statuses. The last one repeats. */
typedef struct script {
  const int *says;
  int count, at;
  const char *headers;
  int64_t times[64];
} script;

static void play(wire_connection *connection, void *user_data) {
  script *script = user_data;
  while (wire_next(connection)) {
    int at = __atomic_fetch_add(&script->at, 1, __ATOMIC_SEQ_CST);
    if (at < 64) script->times[at] = now_ms();
    int says = script->says[at < script->count ? at : script->count - 1];
    if (says == 0) return;
    if (says == 1) {
      wire_say(connection, "HTTP/1.1 200 OK\r\nContent-");
      return;
    }
    wire_answer(connection, text("%d Said", says), script->headers != NULL ? script->headers : "",
                text("body %d", at));
  }
}

/* One request against a script: how many requests came, and what came of them: a status, or minus the kind of the error.
   Frees the options. */
typedef struct outcome {
  int requests, result;
  int64_t took;
  int64_t pauses[63];
  char body[32];
} outcome;

static outcome tried(const char *method, const int *says, int count, const char *headers, rf_options *options) {
  script script = {says, count, 0, headers, {0}};
  wire *server = wire_start(play, &script);
  outcome outcome = {0, 0, 0, {0}, ""};
  int64_t start = now_ms();
  rf_future *future = request(session, method, wire_url(server, "/"), options);
  const rf_error *error = NULL;
  const rf_response *response = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  outcome.took = now_ms() - start;
  if (error == NULL) {
    CHECK_OK(rf_future_result(future, 0, &response));
    outcome.result = rf_response_status_code(response);
    CHECK_INT(0, rf_response_history_count(response));
  } else {
    outcome.result = -rf_error_kind_of(error);
    response = rf_error_response(error);
  }
  if (response != NULL) snprintf(outcome.body, sizeof outcome.body, "%s", rf_response_text(response, NULL));
  rf_future_free(future);
  rf_options_free(options);
  wire_stop(server);
  outcome.requests = script.at;
  for (int i = 1; i < script.at && i < 64; i++) outcome.pauses[i - 1] = script.times[i] - script.times[i - 1];
  return outcome;
}

#define TRIED(requests_, result_, method, options, headers, ...)                                                        \
  do {                                                                                                                  \
    static const int says[] = {__VA_ARGS__};                                                                            \
    outcome got = tried(method, says, sizeof says / sizeof *says, headers, options);                                    \
    CHECK_INT(requests_, got.requests);                                                                                 \
    CHECK_INT(result_, got.result);                                                                                     \
  } while (0)

static rf_retry *for_statuses(uint32_t total) {
  rf_retry *retry = new_retry(total);
  CHECK_OK(rf_retry_add_status(retry, 500, 599));
  CHECK_OK(rf_retry_add_status(retry, 418, 418));
  return retry;
}

/* ---- how often ---- */

static void after_failures(void) {
  TRIED(1, -RF_ERROR_CONNECTION, "GET", new_options(), NULL, 0, 200);
  TRIED(3, 200, "GET", with_retry(new_retry(2)), NULL, 0, 1, 200);
  TRIED(3, -RF_ERROR_CONNECTION, "GET", with_retry(new_retry(2)), NULL, 0, 1, 0, 200);
  TRIED(1, -RF_ERROR_CONNECTION, "GET", with_retry(new_retry(0)), NULL, 0, 200);
  /* Something was sent: the limit for that counts, the other one does not. */
  rf_retry *retry = new_retry(5);
  CHECK_OK(rf_retry_set_read(retry, 1));
  TRIED(2, -RF_ERROR_CONNECTION, "GET", with_retry(retry), NULL, 0, 0, 200);
  retry = new_retry(5);
  CHECK_OK(rf_retry_set_connect(retry, 0));
  CHECK_OK(rf_retry_set_status(retry, 0));
  TRIED(3, 200, "GET", with_retry(retry), NULL, 0, 0, 200);
  retry = new_retry(1); /* the total is the limit of all */
  CHECK_OK(rf_retry_set_read(retry, 5));
  TRIED(2, -RF_ERROR_CONNECTION, "GET", with_retry(retry), NULL, 0, 0, 200);
}

static rf_status count_attempt(rf_prepared *prepared, void *user_data) {
  CHECK_INT(LOAD(*(int *)user_data), rf_prepared_attempt(prepared));
  INCREMENT(*(int *)user_data);
  return RF_OK;
}

/* Nothing was sent: any method is tried again. */
static void before_anything_was_sent(void) {
  for (int limited = 0; limited < 2; limited++) {
    int attempts = 0;
    rf_retry *retry = new_retry(3);
    CHECK_OK(rf_retry_set_read(retry, 0));
    if (limited) CHECK_OK(rf_retry_set_connect(retry, 1));
    rf_options *options = with_retry(retry);
    CHECK_OK(rf_options_add_request_hook(options, count_attempt, &attempts, NULL));
    CHECK_OK(rf_options_set_repeatable(options, false));
    rf_future *future = request(session, "POST", env("RF_TEST_CLOSED"), options);
    ERROR_OF(RF_ERROR_CONNECTION, future);
    CHECK_INT(limited ? 2 : 4, LOAD(attempts));
    rf_future_free(future);
    rf_options_free(options);
  }
}

static void after_statuses(void) {
  TRIED(1, 503, "GET", with_retry(new_retry(3)), NULL, 503, 200);
  TRIED(3, 200, "GET", with_retry(for_statuses(3)), NULL, 503, 418, 200);
  TRIED(1, 404, "GET", with_retry(for_statuses(3)), NULL, 404, 200);
  TRIED(4, -RF_ERROR_RETRY, "GET", with_retry(for_statuses(3)), NULL, 500);
  TRIED(1, -RF_ERROR_RETRY, "GET", with_retry(for_statuses(0)), NULL, 500);
  rf_retry *retry = for_statuses(5);
  CHECK_OK(rf_retry_set_status(retry, 1));
  TRIED(2, -RF_ERROR_RETRY, "GET", with_retry(retry), NULL, 500);
  retry = for_statuses(2);
  CHECK_OK(rf_retry_set_raise_on_status(retry, false));
  TRIED(3, 500, "GET", with_retry(retry), NULL, 500);
  /* Failures and statuses share the total. */
  TRIED(3, -RF_ERROR_RETRY, "GET", with_retry(for_statuses(2)), NULL, 0, 500);
  TRIED(3, -RF_ERROR_CONNECTION, "GET", with_retry(for_statuses(2)), NULL, 500, 500, 1);

  /* The last response comes with the error, body included. */
  static const int says[] = {500, 502, 599};
  outcome got = tried("GET", says, 3, NULL, with_retry(for_statuses(2)));
  CHECK_INT(-RF_ERROR_RETRY, got.result);
  CHECK_STR("body 2", got.body);
}

static void methods(void) {
  TRIED(1, 500, "POST", with_retry(for_statuses(3)), NULL, 500, 200);
  TRIED(1, -RF_ERROR_CONNECTION, "POST", with_retry(new_retry(3)), NULL, 0, 200);
  static const char *const default_methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "get"};
  for (int i = 0; i < 7; i++) TRIED(2, 200, default_methods[i], with_retry(for_statuses(3)), NULL, 500, 200);
  static const char *const given[] = {"*", " * ", "POST", "PATCH  post "};
  for (int i = 0; i < 4; i++) {
    rf_retry *retry = for_statuses(3);
    CHECK_OK(rf_retry_set_methods(retry, given[i]));
    TRIED(3, 200, "POST", with_retry(retry), NULL, 500, 1, 200);
    retry = for_statuses(3);
    CHECK_OK(rf_retry_set_methods(retry, given[i]));
    TRIED(i < 2 ? 2 : 1, i < 2 ? 200 : 500, "GET", with_retry(retry), NULL, 500, 200);
  }
  /* Whatever the method: a key, or the word of who knows. */
  rf_options *options = with_retry(for_statuses(3));
  CHECK_OK(rf_options_set_header(options, "Idempotency-Key", "1"));
  TRIED(3, 200, "POST", options, NULL, 500, 1, 200);
  options = with_retry(for_statuses(3));
  CHECK_OK(rf_options_set_repeatable(options, true));
  TRIED(3, 200, "POST", options, NULL, 500, 1, 200);
  options = with_retry(for_statuses(3));
  CHECK_OK(rf_options_set_header(options, "Idempotency-Key", "1"));
  CHECK_OK(rf_options_set_repeatable(options, false));
  TRIED(1, 500, "GET", options, NULL, 500, 200);
}

static int64_t read_some(uint8_t *buffer, size_t capacity, void *user_data) {
  int *left = user_data;
  if (*left == 0 || capacity == 0) return 0;
  --*left;
  buffer[0] = 'x';
  return 1;
}

static void a_body_that_cannot_be_rewound_is_sent_once(void) {
  int left = 10;
  rf_options *options = with_retry(for_statuses(3));
  CHECK_OK(rf_options_set_body_reader(options, read_some, NULL, 10, &left, NULL));
  TRIED(1, 500, "PUT", options, NULL, 500, 200);
}

/* ---- who says so ---- */

static void request_over_session_over_configuration(void) {
  rf_session *before = session;
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_retries(config, 1));
  session = session_of(config);
  TRIED(2, -RF_ERROR_CONNECTION, "GET", new_options(), NULL, 0);
  TRIED(4, -RF_ERROR_CONNECTION, "GET", with_retry(new_retry(3)), NULL, 0);
  TRIED(1, -RF_ERROR_CONNECTION, "GET", with_retry(new_retry(0)), NULL, 0);
  TRIED(2, -RF_ERROR_CONNECTION, "GET", with_retry(NULL), NULL, 0);
  rf_options *defaults = with_retry(new_retry(2));
  CHECK_OK(rf_session_update(session, defaults));
  TRIED(3, -RF_ERROR_CONNECTION, "GET", new_options(), NULL, 0);
  TRIED(3, -RF_ERROR_CONNECTION, "GET", with_retry(NULL), NULL, 0);
  TRIED(1, -RF_ERROR_CONNECTION, "GET", with_retry(new_retry(0)), NULL, 0);
  /* Set again, and taken back. */
  rf_options *options = with_retry(new_retry(5));
  CHECK_OK(rf_options_set_retry(options, NULL));
  TRIED(3, -RF_ERROR_CONNECTION, "GET", options, NULL, 0);
  CHECK_OK(rf_options_set_retry(defaults, NULL));
  CHECK_OK(rf_session_update(session, defaults));
  TRIED(2, -RF_ERROR_CONNECTION, "GET", new_options(), NULL, 0);
  rf_options_free(defaults);
  rf_session_free(session);
  session = before;
}

/* ---- pauses ---- */

static void back_off(void) {
  rf_retry *retry = for_statuses(4);
  CHECK_OK(rf_retry_set_backoff(retry, 50, 150, 0));
  static const int says[] = {500, 1, 500, 500, 200};
  outcome got = tried("GET", says, 5, NULL, with_retry(retry));
  CHECK_INT(200, got.result);
  static const int64_t wanted[] = {50, 100, 150, 150};
  for (int i = 0; i < 4; i++) CHECK_RANGE(wanted[i] - 1, wanted[i] + 60 * patience(), got.pauses[i]);

  /* What chance takes away: each pause is shorter, and not all are by the same. */
  int64_t least = 1000, most = 0;
  for (int i = 0; i < 8; i++) {
    retry = for_statuses(1);
    CHECK_OK(rf_retry_set_backoff(retry, 200, RF_FOREVER, 1));
    static const int once[] = {500, 200};
    got = tried("GET", once, 2, NULL, with_retry(retry));
    CHECK_RANGE(0, 200 + 60 * patience(), got.pauses[0]);
    if (got.pauses[0] < least) least = got.pauses[0];
    if (got.pauses[0] > most) most = got.pauses[0];
  }
  CHECK(most > least + 10);
}

static const char *date_in(int seconds) {
  char *line = (char *)text("%200s", "");
  time_t at = time(NULL) + seconds;
  struct tm parts;
  gmtime_r(&at, &parts);
  strftime(line, 200, "Retry-After: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
  return line;
}

static void retry_after(void) {
  static const int statuses[] = {413, 429, 503};
  for (int i = 0; i < 3; i++) {
    int says[] = {statuses[i], 200};
    outcome got = tried("GET", says, 2, "Retry-After: 1\r\n", with_retry(new_retry(1)));
    CHECK_INT(200, got.result);
    CHECK_RANGE(999, 1000 + 500 * patience(), got.pauses[0]);
  }
  static const int says[] = {503, 200};
  outcome got = tried("GET", says, 2, date_in(2), with_retry(new_retry(1)));
  CHECK_INT(200, got.result);
  CHECK_RANGE(900, 2000 + 500 * patience(), got.pauses[0]);
  /* In the place of the back-off: here it is none. */
  rf_retry *retry = for_statuses(3);
  CHECK_OK(rf_retry_set_backoff(retry, 30000, RF_FOREVER, 0));
  TRIED(2, 200, "GET", with_retry(retry), "Retry-After: 0\r\n", 500, 200);
  TRIED(2, 200, "GET", with_retry(new_retry(3)), date_in(-100), 429, 200);
  /* Without one, or with nonsense, these are statuses like others; 500 is not among them. */
  TRIED(1, 503, "GET", with_retry(new_retry(3)), NULL, 503, 200);
  TRIED(1, 503, "GET", with_retry(new_retry(3)), "Retry-After: soon\r\n", 503, 200);
  TRIED(1, 500, "GET", with_retry(new_retry(3)), "Retry-After: 0\r\n", 500, 200);
  TRIED(1, 503, "POST", with_retry(new_retry(3)), "Retry-After: 0\r\n", 503, 200);
  TRIED(1, 503, "GET", with_retry(new_retry(0)), "Retry-After: 0\r\n", 503, 200);
  /* Used up: as after any status that is to be tried again. */
  retry = new_retry(3);
  CHECK_OK(rf_retry_set_status(retry, 0));
  TRIED(1, -RF_ERROR_RETRY, "GET", with_retry(retry), "Retry-After: 0\r\n", 503, 200);
  /* Too long, or not respected. */
  retry = for_statuses(3);
  CHECK_OK(rf_retry_set_retry_after(retry, true, 900));
  TRIED(1, 503, "GET", with_retry(retry), "Retry-After: 1\r\n", 503, 200);
  TRIED(1, 503, "GET", with_retry(new_retry(3)), "Retry-After: 3601\r\n", 503, 200);
  TRIED(1, 503, "GET", with_retry(new_retry(3)), "Retry-After: 99999999999999999999999999\r\n", 503, 200);
  retry = new_retry(3);
  CHECK_OK(rf_retry_set_retry_after(retry, false, 0));
  TRIED(1, 503, "GET", with_retry(retry), "Retry-After: 0\r\n", 503, 200);
}

/* In a pause nobody is held: all are over soon after it, and others run meanwhile. */
static void pauses_hold_no_worker(void) {
  enum { MANY = 1000 };
  static rf_future *futures[MANY];
  rf_session *four = new_session_workers(4);
  rf_retry *retry = for_statuses(1);
  CHECK_OK(rf_retry_set_backoff(retry, 1000, RF_FOREVER, 0));
  rf_options *options = with_retry(retry);
  const char *key = unique("pauses");
  int64_t start = now_ms();
  for (int i = 0; i < MANY; i++) futures[i] = get(four, http(text("/status/503,200?key=%s-%d", key, i)), options);
  rf_future *other = get(four, http("/hello"), NULL);
  RESPONSE(other);
  CHECK(!rf_future_done(futures[MANY - 1])); /* it pauses, as those before it do */
  rf_future_free(other);
  for (int i = 0; i < MANY; i++) {
    CHECK_INT(200, rf_response_status_code(RESPONSE(futures[i])));
    rf_future_free(futures[i]);
  }
  CHECK_RANGE(1000, 25000 * patience(), now_ms() - start); /* one after the other it would be 250 s */
  rf_options_free(options);
  rf_session_free(four);
}

/* On an executor of the program's own the thread waits. */
static void where_it_cannot_be_put_aside(void) {
  rf_session *before = session;
  session = session_run_by(run_here);
  rf_retry *retry = for_statuses(2);
  CHECK_OK(rf_retry_set_backoff(retry, 100, RF_FOREVER, 0));
  static const int says[] = {500, 200};
  outcome got = tried("GET", says, 2, NULL, with_retry(retry));
  CHECK_INT(200, got.result);
  CHECK_RANGE(99, 200 * patience(), got.pauses[0]);
  rf_session_free(session);
  session = before;
}

/* ---- ends ---- */

static rf_options *long_pause(void) {
  rf_retry *retry = for_statuses(3);
  CHECK_OK(rf_retry_set_backoff(retry, 30000, RF_FOREVER, 0));
  return with_retry(retry);
}

static rf_status count_hook(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response;
  INCREMENT(*(int *)user_data);
  return RF_OK;
}

static void a_pause_ends(void) {
  for (int failed = 0; failed < 2; failed++) {
    const char *url = failed ? env("RF_TEST_CLOSED") : http("/status/503");
    for (int how = 0; how < 3; how++) {
      rf_session *own = new_session_workers(1);
      rf_options *options = long_pause();
      int seen = 0;
      CHECK_OK(rf_options_add_hook(options, count_hook, &seen, NULL));
      rf_future *future = get(own, url, options);
      EVENTUALLY(rf_future_running(future));
      sleep_ms(100);
      CHECK(rf_future_running(future));
      CHECK_INT(0, LOAD(seen));
      int64_t start = now_ms();
      if (how == 0) {
        CHECK(!rf_future_cancel(future));
        CHECK(rf_future_abort(future));
        ERROR_OF(RF_ERROR_ABORTED, future);
      } else {
        closer closer = {own, how == 1 ? RF_CLOSE_ABORT : RF_CLOSE_CANCEL_PENDING, 0};
        pthread_t thread;
        CHECK_INT(0, pthread_create(&thread, NULL, close_it, &closer));
        if (how == 1) {
          ERROR_OF(RF_ERROR_ABORTED, future);
        } else if (failed) {
          ERROR_OF(RF_ERROR_CONNECTION, future);
        } else {
          CHECK_INT(503, rf_response_status_code(RESPONSE(future)));
          CHECK_INT(1, LOAD(seen)); /* now it is the response */
        }
        CHECK_INT(0, pthread_join(thread, NULL));
      }
      CHECK_RANGE(0, 150 * patience(), now_ms() - start);
      rf_future_free(future);
      rf_options_free(options);
      rf_session_free(own);
    }
  }
}

/* A pause that would outlast the deadline is not begun. */
static void the_deadline_counts_on(void) {
  rf_options *options = long_pause();
  CHECK_OK(rf_options_set_deadline(options, 20000));
  static const int says[] = {500, 200};
  outcome got = tried("GET", says, 2, NULL, options);
  CHECK_INT(500, got.result);
  CHECK_STR("body 0", got.body);
  CHECK_INT(1, got.requests);
  CHECK_RANGE(0, 500 * patience(), got.took);

  options = long_pause();
  CHECK_OK(rf_options_set_deadline(options, 20000));
  rf_future *future = get(session, env("RF_TEST_CLOSED"), options);
  ERROR_OF(RF_ERROR_CONNECTION, future);
  rf_future_free(future);
  rf_options_free(options);

  rf_retry *retry = for_statuses(1000);
  CHECK_OK(rf_retry_set_backoff(retry, 40, 40, 0));
  options = with_retry(retry);
  CHECK_OK(rf_options_set_deadline(options, 300));
  static const int never[] = {500};
  got = tried("GET", never, 1, NULL, options);
  CHECK(got.result == 500 || got.result == -RF_ERROR_TIMEOUT);
  CHECK_RANGE(240, 350 * patience(), got.took);
}

/* RF_CLOSE_WAIT waits, and so does the shutdown of an executor. */
static void closing_waits(void) {
  rf_session *own = new_session_workers(2);
  rf_retry *retry = for_statuses(1);
  CHECK_OK(rf_retry_set_backoff(retry, 200, RF_FOREVER, 0));
  rf_options *options = with_retry(retry);
  rf_future *future = get(own, http(text("/status/503,200?key=%s", unique("closing"))), options);
  CHECK_OK(rf_session_close(own, RF_CLOSE_WAIT));
  CHECK(rf_future_done(future));
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(own);
}

/* ---- what else is seen of it ---- */

static void each_hop_counts_for_itself(void) {
  const char *key = unique("hops");
  rf_retry *retry = for_statuses(1);
  int seen = 0;
  rf_options *options = with_retry(retry);
  CHECK_OK(rf_options_add_hook(options, count_hook, &seen, NULL));
  const char *last = text("/status/503,200?key=%s", key);
  const char *url = http(text("/redirect-to?url=%s", last));
  rf_future *future = get(session, url, options);
  const rf_response *response = RESPONSE(future);
  CHECK_INT(200, rf_response_status_code(response));
  CHECK_INT(1, rf_response_history_count(response));
  CHECK_INT(2, LOAD(seen)); /* the redirect, and what came after the retry */
  CHECK_INT(2, counted(key));
  rf_future_free(future);
  rf_options_free(options);
}

/* A streamed response may be tried again as well; the last one is streamed. */
static void streams(void) {
  rf_options *options = with_retry(for_statuses(2));
  CHECK_OK(rf_options_set_stream(options, true));
  rf_future *future = get(session, http(text("/status/503,200?key=%s", unique("stream"))), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);
}

static void a_budget_bounds_retries(void) {
  rf_session *before = session;
  session = new_session_workers(1);
  int requests = 0;
  for (int i = 0; i < 20; i++) {
    rf_retry *retry = for_statuses(1000);
    CHECK_OK(rf_retry_set_budget(retry, 0.5));
    static const int never[] = {500};
    outcome got = tried("GET", never, 1, NULL, with_retry(retry));
    CHECK_INT(500, got.result); /* not used up: there is nothing to pay it from */
    requests += got.requests;
  }
  CHECK_INT(20 + 10 + 10, requests); /* all first ones, the 10 of the beginning, and a half of each first one */
  rf_session_free(session);
  session = before;
}

/* Challenges do not make more of the attempts: each is answered once in each attempt. */
static void challenges_are_no_way_around(void) {
  static const char digest[] = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n";
  static const int again[] = {401, 503, 401, 503, 401, 503, 401, 503, 401, 503, 401, 503}, refused[] = {401};
  rf_options *options = with_retry(for_statuses(1));
  CHECK_OK(rf_options_set_auth_digest(options, "u", "p"));
  script script = {again, 12, 0, digest, {0}};
  wire *server = wire_start(play, &script);
  rf_future *future = get(session, wire_url(server, "/"), options);
  const rf_error *error = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  CHECK(script.at <= 4);
  rf_future_free(future);
  rf_options_free(options);
  wire_stop(server);
  rf_retry *retry = new_retry(2);
  CHECK_OK(rf_retry_add_status(retry, 401, 401));
  options = with_retry(retry);
  CHECK_OK(rf_options_set_auth_digest(options, "u", "p"));
  script.says = refused;
  script.count = 1;
  script.at = 0;
  server = wire_start(play, &script);
  future = get(session, wire_url(server, "/"), options);
  ERROR_OF(RF_ERROR_RETRY, future);
  CHECK_RANGE(3, 6, script.at);
  rf_future_free(future);
  rf_options_free(options);
  wire_stop(server);
}

/* What is not tried again, for want of time, costs nothing of the budget. */
static void what_is_not_made_is_not_paid_for(void) {
  rf_session *own = new_session_workers(1);
  rf_retry *retry = for_statuses(1000);
  CHECK_OK(rf_retry_set_budget(retry, 0.01));
  CHECK_OK(rf_retry_set_backoff(retry, 20, 20, 0));
  rf_options *options = with_retry(retry);
  CHECK_OK(rf_options_set_deadline(options, 10));
  const char *key = unique("unpaid");
  for (int i = 0; i < 12; i++) {
    rf_future *future = get(own, http("/status/503"), options);
    const rf_error *error = NULL;
    CHECK_OK(rf_future_exception(future, LONG_MS, &error));
    rf_future_free(future);
  }
  CHECK_OK(rf_options_set_deadline(options, LONG_MS));
  rf_future *future = get(own, http(text("/status/503?key=%s", key)), options);
  CHECK_INT(503, rf_response_status_code(RESPONSE(future)));
  CHECK_INT(11, counted(key));
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(own);
}

static void say_much(wire_connection *connection, void *unused) {
  (void)unused;
  static char much[200001];
  memset(much, 'x', sizeof much - 1);
  while (wire_next(connection)) wire_answer(connection, "503 Said", "", much);
}

/* A stream whose pause is cut short is whole. */
static void a_stream_is_not_cut(void) {
  rf_session *own = new_session_workers(1);
  rf_options *options = long_pause();
  CHECK_OK(rf_options_set_stream(options, true));
  wire *server = wire_start(say_much, NULL);
  rf_future *future = get(own, wire_url(server, "/"), options);
  EVENTUALLY(wire_requests(server) == 1);
  sleep_ms(100);
  closer closer = {own, RF_CLOSE_CANCEL_PENDING, 0};
  pthread_t thread;
  CHECK_INT(0, pthread_create(&thread, NULL, close_it, &closer));
  const rf_response *response = RESPONSE(future);
  size_t length = 0;
  CHECK_INT(503, rf_response_status_code(response));
  rf_response_content(response, &length);
  CHECK_INT(200000, length);
  CHECK_INT(0, pthread_join(thread, NULL));
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(own);
  wire_stop(server);
}

/* Without any back-off, too, a close ends it. */
static void a_close_ends_retries_without_pauses(void) {
  rf_session *own = new_session_workers(1);
  rf_options *options = with_retry(new_retry(100000000));
  rf_future *future = get(own, env("RF_TEST_CLOSED"), options);
  EVENTUALLY(rf_future_running(future));
  sleep_ms(30);
  int64_t start = now_ms();
  CHECK_OK(rf_session_close(own, RF_CLOSE_CANCEL_PENDING));
  CHECK_RANGE(0, 100 * patience(), now_ms() - start);
  ERROR_OF(RF_ERROR_CONNECTION, future);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(own);
}

/* ---- bad input ---- */

static void bad_input(void) {
  rf_retry *retry = new_retry(1);
  BAD(rf_retry_add_status(retry, 99, 200));
  BAD(rf_retry_add_status(retry, 200, 1000));
  BAD(rf_retry_add_status(retry, 300, 299));
  BAD(rf_retry_add_status(retry, -1, 65537));
  BAD(rf_retry_set_methods(retry, ""));
  BAD(rf_retry_set_methods(retry, "  "));
  BAD(rf_retry_set_methods(retry, "GET,POST"));
  BAD(rf_retry_set_methods(retry, "GET\tPOST"));
  BAD(rf_retry_set_methods(retry, "\xff"));
  BAD(rf_retry_set_backoff(retry, -1, 1, 0));
  BAD(rf_retry_set_backoff(retry, 1, -2, 0));
  BAD(rf_retry_set_backoff(retry, 1, 1, -0.1));
  BAD(rf_retry_set_backoff(retry, 1, 1, 1.1));
  BAD(rf_retry_set_backoff(retry, 1, 1, NAN));
  BAD(rf_retry_set_retry_after(retry, true, -2));
  BAD(rf_retry_set_budget(retry, 0));
  BAD(rf_retry_set_budget(retry, -1));
  BAD(rf_retry_set_budget(retry, 1.01));
  BAD(rf_retry_set_budget(retry, NAN));
  /* The longest of everything is no defect. */
  CHECK_OK(rf_retry_set_backoff(retry, INT64_MAX, INT64_MAX, 1));
  CHECK_OK(rf_retry_set_retry_after(retry, true, INT64_MAX));
  CHECK_OK(rf_retry_set_budget(retry, 1));
  CHECK_OK(rf_retry_set_connect(retry, UINT32_MAX));
  /* What is copied does not change with the settings. */
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_retry(options, retry));
  CHECK_OK(rf_retry_set_read(retry, 0));
  rf_retry_free(retry);
  rf_retry_free(NULL);
  CHECK_OK(rf_options_set_deadline(options, 5000));
  TRIED(1, -RF_ERROR_CONNECTION, "GET", options, NULL, 0, 200); /* for ever is no pause that ends in time */
}

int main(void) {
  session = new_session_workers(2);
  after_failures();
  before_anything_was_sent();
  after_statuses();
  methods();
  a_body_that_cannot_be_rewound_is_sent_once();
  request_over_session_over_configuration();
  back_off();
  retry_after();
  pauses_hold_no_worker();
  where_it_cannot_be_put_aside();
  a_pause_ends();
  the_deadline_counts_on();
  closing_waits();
  each_hop_counts_for_itself();
  streams();
  a_budget_bounds_retries();
  challenges_are_no_way_around();
  what_is_not_made_is_not_paid_for();
  a_stream_is_not_cut();
  a_close_ends_retries_without_pauses();
  bad_input();
  rf_session_free(session);
  return finish();
}
