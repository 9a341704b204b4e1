/* Sessions: the seven verbs and any other, defaults, closing in three ways, from anywhere. */
#include "check.h"

typedef rf_status (*verb_fn)(rf_session *, const char *, const rf_options *, rf_future **);

static void verbs(void) {
  static const struct {
    const char *name;
    verb_fn verb;
  } all[] = {{"GET", rf_session_get},   {"OPTIONS", rf_session_options}, {"HEAD", rf_session_head},
             {"POST", rf_session_post}, {"PUT", rf_session_put},         {"PATCH", rf_session_patch},
             {"DELETE", rf_session_delete}};
  rf_session *session = new_session();
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    rf_future *future = NULL;
    CHECK_OK(all[i].verb(session, http("/anything"), NULL, &future));
    const rf_response *response = RESPONSE(future);
    CHECK_INT(200, rf_response_status_code(response));
    CHECK_STR(all[i].name, rf_response_request_method(response));
    if (strcmp(all[i].name, "HEAD") == 0) {
      size_t length = 1;
      CHECK(rf_response_content(response, &length) != NULL);
      CHECK_INT(0, length);
    } else {
      CHECK_STR(all[i].name, json_string(response, "/method"));
    }
    rf_future_free(future);

    future = request(session, all[i].name, http("/anything"), NULL);
    CHECK_STR(all[i].name, rf_response_request_method(RESPONSE(future)));
    rf_future_free(future);
  }
  /* Any token is a method, and goes out in upper case. */
  rf_future *future = request(session, "propfind", http("/anything"), NULL);
  CHECK_STR("PROPFIND", json_string(RESPONSE(future), "/method"));
  rf_future_free(future);
  rf_session_free(session);
}

/* HEAD is the one verb that follows no redirect. */
static void head_follows_no_redirect(void) {
  rf_session *session = new_session();
  rf_future *future = NULL;
  CHECK_OK(rf_session_head(session, http("/redirect/1"), NULL, &future));
  CHECK_INT(302, rf_response_status_code(RESPONSE(future)));
  CHECK(rf_response_is_redirect(RESPONSE(future)));
  rf_future_free(future);
  future = get(session, http("/redirect/2"), NULL);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  CHECK_INT(2, rf_response_history_count(RESPONSE(future)));
  rf_future_free(future);
  rf_session_free(session);
}

static void usual_headers(void) {
  rf_session *session = new_session();
  rf_future *future = get(session, http("/headers"), NULL);
  const rf_response *response = RESPONSE(future);
  CHECK_STR(text("requests-futures-c/%s", rf_version()), json_string(response, "/headers/User-Agent"));
  CHECK_STR("gzip, deflate, br, zstd", json_string(response, "/headers/Accept-Encoding"));
  CHECK_STR("*/*", json_string(response, "/headers/Accept"));
  CHECK_STR("keep-alive", json_string(response, "/headers/Connection"));
  CHECK_STR(text("127.0.0.1:%s", env("RF_TEST_HTTP_PORT")), json_string(response, "/headers/Host"));
  CHECK_NULL(json_string(response, "/headers/Content-Length"));
  rf_future_free(future);
  rf_session_free(session);
}

static void defaults(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_header(options, "X-One", "1"));
  CHECK_OK(rf_options_set_header(options, "X-Two", "2"));
  CHECK_OK(rf_options_add_param(options, "p", "1"));
  CHECK_OK(rf_session_update(session, options));

  /* What was given is copied: changing it afterwards changes nothing. */
  CHECK_OK(rf_options_set_header(options, "X-One", "changed"));
  rf_options_free(options);
  rf_future *future = get(session, http("/get"), NULL);
  const rf_response *response = RESPONSE(future);
  CHECK_STR("1", json_string(response, "/headers/X-One"));
  CHECK_STR("2", json_string(response, "/headers/X-Two"));
  CHECK_STR("1", json_string(response, "/args/p"));
  rf_future_free(future);

  /* Merged by name, whatever its case; NULL takes one out for this request, */
  options = new_options();
  CHECK_OK(rf_options_set_header(options, "x-one", "other"));
  CHECK_OK(rf_options_set_header(options, "X-TWO", NULL));
  CHECK_OK(rf_options_set_header(options, "Accept", NULL));
  CHECK_OK(rf_options_add_param(options, "p", NULL));
  CHECK_OK(rf_options_add_param(options, "q", "2"));
  future = get(session, http("/get"), options);
  response = RESPONSE(future);
  CHECK_STR("other", json_string(response, "/headers/X-One"));
  CHECK_NULL(json_string(response, "/headers/X-Two"));
  CHECK_NULL(json_string(response, "/headers/Accept"));
  CHECK_NULL(json_string(response, "/args/p"));
  CHECK_STR("2", json_string(response, "/args/q"));
  rf_future_free(future);
  future = get(session, http("/get"), NULL);
  CHECK_STR("2", json_string(RESPONSE(future), "/headers/X-Two"));
  rf_future_free(future);

  /* and among the defaults for good. */
  CHECK_OK(rf_session_update(session, options));
  rf_options_free(options);
  future = get(session, http("/get"), NULL);
  response = RESPONSE(future);
  CHECK_STR("other", json_string(response, "/headers/X-One"));
  CHECK_NULL(json_string(response, "/headers/X-Two"));
  CHECK_NULL(json_string(response, "/headers/Accept"));
  CHECK_NULL(json_string(response, "/args/p"));
  CHECK_STR("2", json_string(response, "/args/q"));
  rf_future_free(future);
  rf_session_free(session);
}

static rf_status ignore(const uint8_t *data, size_t length, void *user_data) {
  (void)data, (void)length, (void)user_data;
  return RF_OK;
}
static rf_status ignore_progress(int64_t sent, int64_t send_total, int64_t received, int64_t receive_total,
                                 void *user_data) {
  (void)sent, (void)send_total, (void)received, (void)receive_total, (void)user_data;
  return RF_OK;
}

/* What belongs to one request is no default. */
static void no_such_defaults(void) {
  rf_session *session = new_session();
  for (int i = 0; i < 7; i++) {
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_header(options, "X-Refused", "1"));
    if (i == 0) CHECK_OK(rf_options_set_body(options, "x", 1));
    if (i == 1) CHECK_OK(rf_options_set_json(options, "{}"));
    if (i == 2) CHECK_OK(rf_options_add_form(options, "a", "b"));
    if (i == 3) CHECK_OK(rf_options_set_user_data(options, &i));
    if (i == 4) CHECK_OK(rf_options_set_output_file(options, "never"));
    if (i == 5) CHECK_OK(rf_options_set_output(options, ignore, NULL, NULL));
    if (i == 6) CHECK_OK(rf_options_set_progress(options, ignore_progress, NULL, NULL));
    CHECK_STATUS(RF_E_INVALID, rf_session_update(session, options));
    rf_options_free(options);
  }
  rf_future *future = get(session, http("/headers"), NULL);
  CHECK_NULL(json_string(RESPONSE(future), "/headers/X-Refused")); /* nothing of it was taken */
  rf_future_free(future);
  rf_session_free(session);
}

/* A request takes its settings when it is submitted. */
static void a_snapshot(void) {
  rf_session *session = new_session_workers(1);
  rf_options *options = new_options();
  const char *gate = unique("snapshot");
  rf_future *slow = get(session, gate_url(gate), NULL);
  CHECK_OK(rf_options_set_header(options, "X-When", "before"));
  rf_future *queued = get(session, http("/headers"), options);
  CHECK_OK(rf_options_set_header(options, "X-When", "after"));
  CHECK_OK(rf_options_set_header(options, "X-New", "after"));
  CHECK_OK(rf_session_update(session, options));
  rf_options_free(options);
  gate_open(gate);
  CHECK_STR("before", json_string(RESPONSE(queued), "/headers/X-When"));
  CHECK_NULL(json_string(RESPONSE(queued), "/headers/X-New"));
  rf_future_free(slow);
  rf_future_free(queued);
  rf_session_free(session);
}

static void closed(rf_session *session) {
  rf_future *future = (void *)session;
  CHECK_STATUS(RF_E_SHUTDOWN, rf_session_get(session, http("/hello"), NULL, &future));
  CHECK_NULL(future);
  future = (void *)session;
  CHECK_STATUS(RF_E_SHUTDOWN, rf_session_request(session, "GET", http("/hello"), NULL, &future));
  CHECK_NULL(future);
  /* Once more, in any way, changes nothing. */
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  CHECK_OK(rf_session_close(session, RF_CLOSE_CANCEL_PENDING));
  CHECK_OK(rf_session_close(session, RF_CLOSE_ABORT));
}

static void close_and_wait(void) {
  rf_session *session = new_session_workers(2);
  rf_future *futures[6];
  for (int i = 0; i < 6; i++) futures[i] = get(session, http("/delay/0.1"), NULL);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  for (int i = 0; i < 6; i++) {
    CHECK(rf_future_done(futures[i]));
    CHECK_INT(200, rf_response_status_code(RESPONSE(futures[i])));
    rf_future_free(futures[i]);
  }
  closed(session);
  rf_session_free(session);

  session = new_session(); /* nothing to wait for */
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  closed(session);
  rf_session_free(session);
}

static void close_and_cancel(void) {
  rf_session *session = new_session_workers(1);
  rf_future *slow = get(session, http("/delay/0.5"), NULL);
  rf_future *queued[3];
  for (int i = 0; i < 3; i++) queued[i] = get(session, http("/hello"), NULL);
  EVENTUALLY(rf_future_running(slow) || rf_future_done(slow));
  CHECK_OK(rf_session_close(session, RF_CLOSE_CANCEL_PENDING));
  CHECK(rf_future_done(slow));
  CHECK_INT(200, rf_response_status_code(RESPONSE(slow)));
  for (int i = 0; i < 3; i++) {
    CHECK(rf_future_cancelled(queued[i]));
    rf_future_free(queued[i]);
  }
  closed(session);
  rf_future_free(slow);
  rf_session_free(session);
}

static void close_and_abort(void) {
  rf_session *session = new_session_workers(1);
  const char *gate = unique("close-abort");
  rf_future *slow = get(session, gate_url(gate), NULL);
  rf_future *queued = get(session, http("/hello"), NULL);
  gate_wait(gate, 1);
  int64_t start = now_ms();
  CHECK_OK(rf_session_close(session, RF_CLOSE_ABORT));
  CHECK_RANGE(0, 1000 * patience(), now_ms() - start);
  CHECK(rf_future_done(slow));
  ERROR_OF(RF_ERROR_ABORTED, slow);
  CHECK(rf_future_cancelled(queued));
  closed(session);
  gate_open(gate);
  rf_future_free(slow);
  rf_future_free(queued);
  rf_session_free(session);
}

/* From a callback, on the session's own worker. */
static void close_it(rf_future *future, void *user_data) {
  (void)future;
  CHECK_OK(rf_session_close(user_data, RF_CLOSE_WAIT));
}

static void close_from_a_callback(void) {
  for (size_t workers = 1; workers <= 2; workers++) {
    rf_session *session = new_session_workers(workers);
    const char *gate = unique("from-callback");
    rf_future *future = get(session, gate_url(gate), NULL);
    rf_future *queued = get(session, http("/delay/0.1"), NULL);
    CHECK_OK(rf_future_add_done_callback(future, close_it, session, NULL));
    gate_open(gate);
    RESPONSE(future);
    RESPONSE(queued); /* what is queued still runs */
    CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
    closed(session);
    rf_future_free(future);
    rf_future_free(queued);
    rf_session_free(session);
  }
}

static void free_it(rf_future *future, void *user_data) {
  (void)future;
  rf_session_free(user_data);
}

/* Freeing never waits: submitted work finishes by itself. */
static void free_while_running(void) {
  rf_session *session = new_session_workers(1);
  const char *gate = unique("free");
  rf_future *slow = get(session, gate_url(gate), NULL);
  rf_future *queued = get(session, http("/hello"), NULL);
  gate_wait(gate, 1);
  int64_t start = now_ms();
  rf_session_free(session);
  CHECK_RANGE(0, 1000 * patience(), now_ms() - start);
  CHECK(!rf_future_done(slow));
  gate_open(gate);
  RESPONSE(slow);
  RESPONSE(queued);
  rf_future_free(slow);
  rf_future_free(queued);

  /* The same from a callback. */
  session = new_session_workers(1);
  gate = unique("free-in-callback");
  slow = get(session, gate_url(gate), NULL);
  queued = get(session, http("/hello"), NULL);
  CHECK_OK(rf_future_add_done_callback(slow, free_it, session, NULL));
  gate_open(gate);
  RESPONSE(queued);
  rf_future_free(slow);
  rf_future_free(queued);
}

static void base_session(void) {
  rf_session *base = new_session(), *outer = NULL, *none = (void *)base;
  rf_config *config = NULL;
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_header(options, "X-Base", "yes"));
  CHECK_OK(rf_session_update(base, options));
  rf_options_free(options);
  CHECK_OK(rf_session_set_cookie(base, http("/"), "from=base; Path=/"));

  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_base_session(config, base));
  CHECK_OK(rf_config_set_max_workers(config, 2));
  CHECK_OK(rf_session_new(config, &outer));
  CHECK_INT(2, rf_session_max_workers(outer));
  rf_future *future = get(outer, http("/get"), NULL);
  CHECK_STR("yes", json_string(RESPONSE(future), "/headers/X-Base"));
  CHECK_STR("from=base", json_string(RESPONSE(future), "/headers/Cookie"));
  rf_future_free(future);
  future = get(outer, http("/cookies/set?set=outside"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  rf_cookies *cookies = NULL;
  CHECK_OK(rf_session_cookies(base, &cookies));
  CHECK_STR("outside", rf_cookies_get(cookies, "set", NULL));
  rf_cookies_free(cookies);

  /* Closing the outer one leaves the base open. */
  CHECK_OK(rf_session_close(outer, RF_CLOSE_WAIT));
  closed(outer);
  rf_session_free(outer);
  future = get(base, http("/get"), NULL);
  RESPONSE(future);
  rf_future_free(future);

  /* A setting of the connections that the base has already is refused. */
  CHECK_OK(rf_config_set_pool_maxsize(config, 5));
  CHECK_STATUS(RF_E_INVALID, rf_session_new(config, &none));
  CHECK_NULL(none);
  rf_config_free(config);
  rf_session_free(base);
}

int main(void) {
  verbs();
  head_follows_no_redirect();
  usual_headers();
  defaults();
  no_such_defaults();
  a_snapshot();
  close_and_wait();
  close_and_cancel();
  close_and_abort();
  close_from_a_callback();
  free_while_running();
  base_session();
  return finish();
}
