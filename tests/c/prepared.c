/* A request about to be sent: what request hooks see and change, and authentication of one's own. */
#include "check.h"

static rf_session *session;

static rf_future *post(rf_session *session, const char *url, const rf_options *options) {
  return request(session, "POST", url, options);
}

static const rf_json *json_at(const rf_response *response, const char *pointer) {
  const rf_json *json = NULL;
  CHECK_OK(rf_response_json(response, &json, NULL));
  return rf_json_pointer(json, pointer);
}

static int64_t json_int(const rf_response *response, const char *pointer) {
  int64_t value = -1;
  CHECK_OK(rf_json_int(json_at(response, pointer), &value));
  return value;
}

/* What a header held when it arrived; NULL: there was none. */
static const char *sent(const rf_options *options, const char *name) {
  rf_future *future = get(session, http("/headers"), options);
  const char *value = rf_json_string(json_at(RESPONSE(future), text("/headers/%s", name)), NULL);
  if (value != NULL) value = text("%s", value);
  rf_future_free(future);
  return value;
}

/* What a function does, and what it has seen. */
typedef struct seen {
  rf_status (*act)(rf_prepared *prepared, struct seen *seen);
  rf_status (*judge)(rf_prepared *prepared, const rf_response *response, struct seen *seen);
  int calls, judged, registered, drops, number;
  char urls[16][300];
  char methods[16][16];
  unsigned hops[16], attempts[16];
  uint64_t sum;     /* of the body */
  int64_t length;   /* of the body */
  size_t in_memory; /* bytes of it */
  const char *name, *value;
} seen;

static rf_status prepare(rf_prepared *prepared, void *user_data) {
  seen *seen = user_data;
  int at = __atomic_fetch_add(&seen->calls, 1, __ATOMIC_SEQ_CST);
  if (at < 16) {
    snprintf(seen->urls[at], sizeof seen->urls[at], "%s", rf_prepared_url(prepared));
    snprintf(seen->methods[at], sizeof seen->methods[at], "%s", rf_prepared_method(prepared));
    seen->hops[at] = rf_prepared_hop(prepared);
    seen->attempts[at] = rf_prepared_attempt(prepared);
  }
  CHECK(rf_prepared_session(prepared) == session);
  CHECK(!rf_prepared_is_stopped(prepared));
  return seen->act != NULL ? seen->act(prepared, seen) : RF_OK;
}

static rf_status challenge(rf_prepared *prepared, const rf_response *response, void *user_data) {
  seen *seen = user_data;
  INCREMENT(seen->judged);
  CHECK_STATUS(RF_E_STATE, rf_prepared_set_header(prepared, "X", "y"));
  CHECK_STATUS(RF_E_STATE, rf_prepared_set_query(prepared, "x=y"));
  return seen->judge(prepared, response, seen);
}

static void dropped(void *user_data) { INCREMENT(((seen *)user_data)->drops); }

/* Each registration is dropped once, when its last use is over, on whatever thread that is. */
static void over(seen *seen) { EVENTUALLY(LOAD(seen->drops) == seen->registered); }

static void add_hook(rf_options *options, rf_prepare_fn function, seen *seen) {
  seen->registered++;
  CHECK_OK(rf_options_add_request_hook(options, function, seen, dropped));
}

static rf_options *hooked(seen *seen) {
  rf_options *options = new_options();
  add_hook(options, prepare, seen);
  return options;
}

static rf_options *authenticated(seen *seen, bool everywhere) {
  rf_options *options = new_options();
  rf_challenge_fn judge = seen->judge != NULL ? challenge : NULL;
  seen->registered++;
  CHECK_OK(rf_options_set_auth_custom(options, prepare, judge, everywhere, seen, dropped));
  return options;
}

/* ---- request hooks ---- */

static rf_status look_and_change(rf_prepared *prepared, seen *seen) {
  size_t length = 99, count = rf_prepared_header_count(prepared);
  const char *name, *value, *agent = rf_prepared_header(prepared, "user-agent");
  (void)seen;
  CHECK_STR("7", rf_prepared_header(prepared, "Content-Length"));
  CHECK_STR("application/x-www-form-urlencoded", rf_prepared_header(prepared, "content-type"));
  CHECK_STR("c=1", rf_prepared_header(prepared, "Cookie"));
  CHECK_STR("one, two", rf_prepared_header(prepared, "X-Twice"));
  CHECK(strncmp("Basic ", rf_prepared_header(prepared, "Authorization"), 6) == 0);
  CHECK(rf_prepared_header(prepared, "X-None") == NULL);
  CHECK_OK(rf_prepared_header_at(prepared, 0, &name, &value));
  CHECK_STR("Host", name);
  CHECK_STATUS(RF_E_INVALID, rf_prepared_header_at(prepared, count, &name, &value));
  CHECK(memcmp("a=1&b=2", rf_prepared_body(prepared, &length), 7) == 0);
  CHECK_INT(7, length);
  CHECK_INT(7, rf_prepared_body_length(prepared));
  CHECK_OK(rf_prepared_set_header(prepared, "user-agent", "the hook"));
  CHECK_OK(rf_prepared_set_header(prepared, "X-Twice", NULL));
  CHECK_OK(rf_prepared_set_header(prepared, "X-New", "n\xc3\xb6"));
  CHECK_OK(rf_prepared_set_query(prepared, "signature=a b%20c"));
  CHECK(strncmp("requests-futures-c/", agent, 19) == 0); /* it lives, though it was replaced */
  CHECK_STR("the hook", rf_prepared_header(prepared, "User-Agent"));
  CHECK(strstr(rf_prepared_url(prepared), "?signature=a%20b%20c") != NULL);
  return RF_OK;
}

static void what_goes_out_is_seen_and_changed(void) {
  seen seen = {.act = look_and_change};
  rf_options *options = hooked(&seen);
  CHECK_OK(rf_options_add_form(options, "a", "1"));
  CHECK_OK(rf_options_add_form(options, "b", "2"));
  CHECK_OK(rf_options_add_header(options, "X-Twice", "one"));
  CHECK_OK(rf_options_add_header(options, "X-Twice", "two"));
  CHECK_OK(rf_options_set_cookie(options, "c", "1"));
  CHECK_OK(rf_options_set_auth_basic(options, "user", "pass"));
  rf_future *future = post(session, text("%s/post?key=old#part", env("RF_TEST_HTTP")), options);
  const rf_response *response = RESPONSE(future);
  CHECK_STR("the hook", json_string(response, "/headers/User-Agent"));
  CHECK_STR("n\xc3\xb6", json_string(response, "/headers/X-New"));
  CHECK(json_at(response, "/headers/X-Twice") == NULL && json_at(response, "/args/key") == NULL);
  CHECK_STR("a b c", json_string(response, "/args/signature"));
  CHECK_STR("2", json_string(response, "/form/b"));
  CHECK_STR(text("%s/post?signature=a%%20b%%20c#part", env("RF_TEST_HTTP")), rf_response_url(response));
  CHECK_STR("the hook", rf_response_request_header(response, "User-Agent"));
  CHECK_STR(text("%s/post?key=old", env("RF_TEST_HTTP")), seen.urls[0]);
  CHECK_STR("POST", seen.methods[0]);
  CHECK_INT(1, seen.calls);
  rf_future_free(future);
  rf_options_free(options);
  EVENTUALLY(LOAD(seen.drops) == 1);
  over(&seen);
}

static rf_status add_letter(rf_prepared *prepared, seen *seen) {
  const char *before = rf_prepared_header(prepared, "X-Letters");
  CHECK_OK(rf_prepared_set_header(prepared, "X-Letters", text("%s%d", before != NULL ? before : "", seen->number)));
  return RF_OK;
}

/* In order, the authentication last; a request's instead of the session's; NULL takes the session's out. */
static void whose(void) {
  seen of_session = {.act = add_letter, .number = 1}, first = {.act = add_letter, .number = 2},
       second = {.act = add_letter, .number = 3}, last = {.act = add_letter, .number = 4};
  rf_session *before = session;
  session = new_session();
  rf_options *defaults = hooked(&of_session);
  CHECK_OK(rf_session_update(session, defaults));
  rf_options_free(defaults);
  CHECK_STR("1", sent(NULL, "X-Letters"));

  rf_options *options = authenticated(&last, false);
  CHECK_STR("14", sent(options, "X-Letters"));
  add_hook(options, prepare, &first);
  add_hook(options, prepare, &second);
  CHECK_STR("234", sent(options, "X-Letters"));
  CHECK_OK(rf_options_set_auth_none(options)); /* in the place of the authentication */
  CHECK_STR("23", sent(options, "X-Letters"));
  add_hook(options, NULL, &last);
  CHECK(sent(options, "X-Letters") == NULL);
  rf_options_free(options);
  CHECK_INT(1, of_session.calls - 1); /* twice in all */
  rf_session_free(session);
  session = before;
  over(&of_session);
  over(&first);
  over(&second);
  over(&last);
}

/* A sum over the body as it goes out, read in pieces of odd sizes; twice the same when it is read again. */
static rf_status add_up(rf_prepared *prepared, seen *seen) {
  uint8_t buffer[4099];
  size_t length = 1, in_memory = 0;
  seen->length = 0;
  seen->sum = 0;
  for (size_t want = 1; length > 0; want = want % sizeof buffer + 7) {
    rf_status status = rf_prepared_read_body(prepared, buffer, want < sizeof buffer ? want : sizeof buffer, &length);
    if (status != RF_OK) return status;
    for (size_t i = 0; i < length; i++) seen->sum = seen->sum * 31 + buffer[i];
    seen->length += (int64_t)length;
  }
  rf_prepared_body(prepared, &in_memory);
  seen->in_memory = in_memory;
  CHECK_OK(rf_prepared_set_header(prepared, "X-Sum", text("%llu", (unsigned long long)seen->sum)));
  return RF_OK;
}

/* What arrived at the server was what was summed. */
static void sums_up(const seen *seen, rf_future *future) {
  size_t length;
  const uint8_t *body = rf_response_content(RESPONSE(future), &length);
  uint64_t sum = 0;
  for (size_t i = 0; i < length; i++) sum = sum * 31 + body[i];
  CHECK_INT(seen->length, length);
  CHECK(sum == seen->sum);
  CHECK_STR(text("%llu", (unsigned long long)sum), rf_response_request_header(RESPONSE(future), "X-Sum"));
}

typedef struct reader {
  size_t length, at;
  int rewinds;
} reader;
static int64_t read_it(uint8_t *buffer, size_t capacity, void *user_data) {
  reader *reader = user_data;
  size_t count = reader->length - reader->at < capacity ? reader->length - reader->at : capacity;
  if (count > 1000) count = 1000;
  for (size_t i = 0; i < count; i++) buffer[i] = (uint8_t)((reader->at + i) * 7);
  reader->at += count;
  return (int64_t)count;
}
static rf_status rewind_it(void *user_data) {
  reader *reader = user_data;
  reader->at = 0;
  INCREMENT(reader->rewinds);
  return RF_OK;
}

static void bodies_of_every_kind_are_read_and_sent(void) {
  char path[] = "/tmp/rf-prepared-XXXXXX";
  int file = mkstemp(path);
  CHECK(file >= 0);
  for (int i = 0; i < 10000; i++) CHECK(write(file, "0123456789", 10) == 10);
  close(file);
  for (int kind = 0; kind < 7; kind++) {
    reader reader = {50000, 0, 0};
    seen seen = {.act = add_up}, again = {.act = add_up};
    rf_options *options = hooked(&seen);
    int64_t announced = 0;
    CHECK_OK(rf_options_add_request_hook(options, prepare, &again, NULL)); /* for the next function it is rewound */
    switch (kind) {
      case 0: break;
      case 1: CHECK_OK(rf_options_set_body(options, "bytes", 5)), announced = 5; break;
      case 2: CHECK_OK(rf_options_set_json(options, "{\"a\": 1}")), announced = 8; break;
      case 3: CHECK_OK(rf_options_set_body_file(options, path)), announced = 100000; break;
      case 4:
        CHECK_OK(rf_options_set_body_reader(options, read_it, rewind_it, 50000, &reader, NULL));
        announced = 50000;
        break;
      case 5:
        CHECK_OK(rf_options_set_body_reader(options, read_it, rewind_it, -1, &reader, NULL));
        announced = -1;
        break;
      case 6:
        CHECK_OK(rf_options_add_form(options, "field", "value"));
        CHECK_OK(rf_options_add_file(options, "file", path, NULL));
        announced = -2;
        break;
    }
    rf_future *future = post(session, http("/echo"), options);
    sums_up(&seen, future);
    CHECK(seen.sum == again.sum && seen.calls == 1 && again.calls == 1);
    if (announced >= 0) CHECK_INT(announced, seen.length);
    CHECK_INT(kind == 1 || kind == 2 ? announced : 0, seen.in_memory);
    rf_future_free(future);
    rf_options_free(options);
    over(&seen);
    over(&again);
  }
  unlink(path);

  reader once = {100, 0, 0};
  seen seen = {.act = add_up};
  rf_options *options = hooked(&seen);
  CHECK_OK(rf_options_set_body_reader(options, read_it, NULL, 100, &once, NULL));
  rf_future *future = post(session, http("/echo"), options);
  CHECK(ERROR_OF(RF_ERROR_HOOK, future) != NULL); /* RF_E_STATE, which the hook returned */
  CHECK_INT(0, once.at);
  rf_future_free(future);
  rf_options_free(options);
  over(&seen);
}

/* For each hop what it sends: a redirect's method, body and URL. */
static void every_hop(void) {
  static const struct {
    int code;
    const char *method;
    int64_t length;
  } all[] = {{301, "GET", 0}, {303, "GET", 0}, {307, "POST", 4}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    seen seen = {.act = add_up};
    rf_options *options = hooked(&seen);
    CHECK_OK(rf_options_set_body(options, "body", 4));
    const char *url = http(text("/redirect-to?url=/anything&status_code=%d", all[i].code));
    rf_future *future = post(session, url, options);
    CHECK_STR(all[i].method, json_string(RESPONSE(future), "/method"));
    CHECK_INT(2, seen.calls);
    CHECK_STR(all[i].method, seen.methods[1]);
    CHECK_STR(http("/anything"), seen.urls[1]);
    CHECK(seen.hops[0] == 0 && seen.hops[1] == 1 && seen.attempts[1] == 0);
    CHECK_INT(all[i].length, seen.length);
    CHECK_STR(text("%llu", (unsigned long long)seen.sum), json_string(RESPONSE(future), "/headers/X-Sum"));
    rf_future_free(future);
    rf_options_free(options);
    over(&seen);
  }

  /* The answer to a digest is composed before. */
  seen digest = {.act = NULL};
  rf_options *options = hooked(&digest);
  CHECK_OK(rf_options_set_auth_digest(options, "user", "passwd"));
  rf_future *future = get(session, http("/digest-auth/auth/user/passwd"), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  CHECK_INT(2, digest.calls);
  CHECK(digest.attempts[0] == 0 && digest.attempts[1] == 1 && digest.hops[1] == 0);
  rf_future_free(future);
  rf_options_free(options);
  over(&digest);
}

static rf_status number_it(rf_prepared *prepared, seen *seen) {
  return rf_prepared_set_header(prepared, "X-Nonce", text("%d", seen->calls));
}

/* A kept connection that has ended: the same request is composed anew, so that no nonce is sent twice. */
static void what_is_sent_again_is_composed_again(void) {
  rf_session *before = session;
  session = new_session();
  seen seen = {.act = number_it};
  rf_options *options = hooked(&seen);
  rf_future *future = get(session, raw("/second-closes"), NULL);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  future = get(session, raw("/ok"), options); /* ends the connection without a byte */
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  CHECK_INT(2, seen.calls);
  CHECK(seen.attempts[0] == 0 && seen.attempts[1] == 1);
  CHECK_STR("2", rf_response_request_header(RESPONSE(future), "X-Nonce"));
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
  session = before;
  over(&seen);
}

static rf_status query_it(rf_prepared *prepared, seen *seen) {
  (void)seen;
  CHECK(rf_prepared_header(prepared, "Proxy-Authorization") == NULL);
  return rf_prepared_set_query(prepared, "signed=1");
}

/* What a proxy is told is about what the functions have left, and they do not see it. */
static void a_proxy_that_asks(void) {
  seen seen = {.act = query_it};
  rf_options *options = hooked(&seen);
  CHECK_OK(rf_options_set_proxy(options, "http", env("RF_TEST_PROXY_DIGEST")));
  for (int i = 0; i < 2; i++) {
    rf_future *future = get(session, http("/get?a=1"), options);
    CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
    CHECK_STR("1", json_string(RESPONSE(future), "/args/signed"));
    rf_future_free(future);
  }
  rf_options_free(options);
  over(&seen);
}

static rf_status set_it(rf_prepared *prepared, seen *seen) {
  return rf_prepared_set_header(prepared, seen->name, seen->value);
}
static rf_status refuse(rf_prepared *prepared, seen *seen) {
  (void)seen;
  return rf_prepared_fail(prepared, "not today");
}
static rf_status refuse_as(rf_prepared *prepared, seen *seen) {
  (void)seen;
  CHECK_STATUS(RF_E_INVALID, rf_prepared_fail_as(prepared, 12345, "no such kind"));
  return rf_prepared_fail_as(prepared, RF_ERROR_CONNECTION, "cannot sign");
}
static rf_status refuse_silently(rf_prepared *prepared, seen *seen) {
  (void)prepared, (void)seen;
  return RF_E_NULL;
}

/* What cannot be sent is not sent, and what fails fails the future. */
static void bad_changes(void) {
  static const struct {
    const char *name, *value, *message;
  } all[] = {
      {"X-Bad", "a\r\nb: c", "Invalid header \"X-Bad\": byte 1 of its value is a line break or a NUL"},
      {"X Bad", "a", "Invalid header \"X\": its name goes on with byte 0x20, which no name may hold"},
      {"X-Bad", " a", "Invalid header \"X-Bad\": its value has leading white space"},
      {"Content-Length", "5", "Invalid header \"Content-Length\": it contradicts the body"},
      {"Content-Length", NULL, "Invalid header \"Content-Length\": it was taken out, and there is a body"},
      {"Transfer-Encoding", "chunked", "Invalid header \"Transfer-Encoding\": it contradicts the body"},
      {"Host", NULL, "Invalid header \"Host\": it was taken out, and no request goes without it"},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    seen seen = {.act = set_it, .name = all[i].name, .value = all[i].value};
    rf_options *options = hooked(&seen);
    CHECK_OK(rf_options_set_body(options, "body", 4));
    int64_t before = counted("prepared");
    rf_future *future = post(session, http("/count?key=prepared"), options);
    CHECK_STR(all[i].message, rf_error_message(ERROR_OF(RF_ERROR_INVALID_HEADER, future)));
    CHECK_INT(before, counted("prepared"));
    rf_future_free(future);
    rf_options_free(options);
    over(&seen);
  }
  static const struct {
    rf_status (*act)(rf_prepared *prepared, seen *seen);
    int kind;
    const char *message;
  } failing[] = {
      {refuse, RF_ERROR_HOOK, "not today"},
      {refuse_as, RF_ERROR_CONNECTION, "cannot sign"},
      {refuse_silently, RF_ERROR_HOOK,
       "A request hook returned other than RF_OK, and set no message with rf_prepared_fail"},
  };
  for (size_t i = 0; i < sizeof failing / sizeof *failing; i++) {
    seen seen = {.act = failing[i].act};
    rf_options *options = hooked(&seen);
    rf_future *future = get(session, http("/hello"), options);
    CHECK_STR(failing[i].message, rf_error_message(ERROR_OF(failing[i].kind, future)));
    CHECK_STR(http("/hello"), rf_error_url(ERROR_OF(failing[i].kind, future)));
    rf_future_free(future);
    rf_options_free(options);
    over(&seen);
  }
}

/* ---- authentication of one's own ---- */

static rf_status sign(rf_prepared *prepared, seen *seen) {
  return rf_prepared_set_header(prepared, "Authorization", text("Own %d", seen->number));
}
static rf_status renew(rf_prepared *prepared, const rf_response *response, seen *seen) {
  (void)prepared;
  if (rf_response_status_code(response) != 401) return RF_OK;
  INCREMENT(seen->number);
  return RF_AGAIN;
}
static rf_status always(rf_prepared *prepared, const rf_response *response, seen *seen) {
  (void)prepared, (void)response, (void)seen;
  return RF_AGAIN;
}
static rf_status reject(rf_prepared *prepared, const rf_response *response, seen *seen) {
  (void)response, (void)seen;
  return rf_prepared_fail(prepared, "it asks for too much");
}

static rf_status renew_any(rf_prepared *prepared, const rf_response *response, seen *seen) {
  (void)response, (void)seen;
  return rf_prepared_attempt(prepared) == 0 ? RF_AGAIN : RF_OK;
}

static rf_status bearer(rf_prepared *prepared, seen *seen) {
  return seen->number == 0 ? RF_OK : rf_prepared_set_header(prepared, "Authorization", "Bearer t");
}

static void a_challenge_is_answered(void) {
  seen seen = {.act = bearer, .judge = renew};
  rf_options *options = authenticated(&seen, false);
  rf_future *future = get(session, http("/bearer"), options);
  const rf_response *response = RESPONSE(future);
  CHECK_INT(200, rf_response_status_code(response));
  CHECK_INT(2, seen.calls);
  CHECK_INT(2, seen.judged);
  CHECK(seen.attempts[0] == 0 && seen.attempts[1] == 1);
  CHECK_INT(1, rf_response_history_count(response)); /* as a digest's */
  CHECK_INT(401, rf_response_status_code(rf_response_history_at(response, 0)));
  rf_future_free(future);
  rf_options_free(options);
  EVENTUALLY(LOAD(seen.drops) == 1);

  struct seen endless = {.judge = always};
  options = authenticated(&endless, false);
  future = get(session, http("/hello"), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  CHECK_INT(11, endless.calls); /* the eleventh answer is the response */
  CHECK_INT(10, endless.judged);
  rf_future_free(future);
  rf_options_free(options);

  struct seen rejecting = {.judge = reject};
  options = authenticated(&rejecting, false);
  future = get(session, http("/hello"), options);
  CHECK_STR("it asks for too much", rf_error_message(ERROR_OF(RF_ERROR_HOOK, future)));
  rf_future_free(future);
  rf_options_free(options);

  reader once = {100, 0, 0};
  struct seen unrewindable = {.judge = always};
  options = authenticated(&unrewindable, false);
  CHECK_OK(rf_options_set_body_reader(options, read_it, NULL, 100, &once, NULL));
  future = post(session, http("/echo"), options);
  CHECK(ERROR_OF(RF_ERROR_UNREWINDABLE_BODY, future) != NULL);
  rf_future_free(future);
  rf_options_free(options);

  /* What asks may break off. */
  struct seen broken = {.judge = renew_any};
  options = authenticated(&broken, false);
  future = get(session, raw("/close/body"), options);
  CHECK_STATUS(RF_FAILED, rf_future_result(future, 60000, &response)); /* the second breaks off as well */
  CHECK_INT(2, broken.judged);
  rf_future_free(future);
  rf_options_free(options);

  /* What asks is read up to 64 KB. */
  struct seen long_answer = {.judge = always};
  options = authenticated(&long_answer, false);
  future = get(session, http("/bytes/1000000"), options);
  size_t length;
  CHECK(rf_response_content(RESPONSE(future), &length) != NULL);
  CHECK_INT(1000000, length);
  CHECK_INT(10, rf_response_history_count(RESPONSE(future)));
  CHECK(rf_response_content(rf_response_history_at(RESPONSE(future), 0), &length) != NULL);
  CHECK_INT(65536, length);
  rf_future_free(future);
  rf_options_free(options);
  over(&broken);
  over(&endless);
  over(&long_answer);
  over(&rejecting);
  over(&seen);
  over(&unrewindable);
}

static void redirects_drop_it_for_good(void) {
  for (int everywhere = 0; everywhere < 2; everywhere++) {
    seen seen = {.act = sign, .number = 7};
    rf_options *options = authenticated(&seen, everywhere);
    CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
    /* To another scheme and port, and back again. */
    const char *back = text("%s/headers", env("RF_TEST_HTTP"));
    const char *there = text("%s/redirect-to?url=%s", env("RF_TEST_HTTPS"), back);
    rf_future *future = get(session, text("%s/redirect-to?url=%s", env("RF_TEST_HTTP"), there), options);
    const rf_response *response = RESPONSE(future);
    CHECK_INT(2, rf_response_history_count(response));
    CHECK_INT(everywhere ? 3 : 1, seen.calls);
    if (everywhere)
      CHECK_STR("Own 7", json_string(response, "/headers/Authorization"));
    else
      CHECK(json_at(response, "/headers/Authorization") == NULL);
    rf_future_free(future);
    rf_options_free(options);
    over(&seen);
  }
}

/* Takes the place of other credentials, as they take its. */
static void one_kind_of_credentials(void) {
  seen of_session = {.act = sign, .number = 1}, own = {.act = sign, .number = 2};
  rf_session *before = session;
  session = new_session();
  rf_options *defaults = authenticated(&of_session, false);
  CHECK_OK(rf_session_update(session, defaults));
  rf_options_free(defaults);
  rf_options *options = authenticated(&own, false);
  CHECK_STR("Own 1", sent(NULL, "Authorization"));
  CHECK_STR("Own 2", sent(options, "Authorization"));
  CHECK_OK(rf_options_set_auth_bearer(options, "t"));
  EVENTUALLY(LOAD(own.drops) == 1);
  CHECK_STR("Bearer t", sent(options, "Authorization"));
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_header(options, "Authorization", "By hand"));
  CHECK_STR("By hand", sent(options, "Authorization"));
  CHECK_OK(rf_options_set_auth_none(options));
  CHECK_OK(rf_options_set_header(options, "Authorization", NULL));
  CHECK(sent(options, "Authorization") == NULL);
  rf_options_free(options);
  rf_session_free(session);
  session = before;
  EVENTUALLY(LOAD(of_session.drops) == 1);
  over(&of_session);
  over(&own);
}

static rf_status once(rf_prepared *prepared, const rf_response *response, seen *seen) {
  (void)response, (void)seen;
  return rf_prepared_attempt(prepared) == 0 ? RF_AGAIN : RF_OK;
}

static int64_t connection_of(rf_options *options, int64_t *requests) {
  rf_future *future = get(session, http("/connection-id"), options);
  int64_t id = json_int(RESPONSE(future), "/id");
  *requests = json_int(RESPONSE(future), "/requests");
  rf_future_free(future);
  return id;
}

/* A server may remember who was logged in by the connection. */
static void a_connection_serves_one_login(void) {
  rf_session *before = session;
  session = new_session();
  seen one = {.judge = once}, two = {.judge = once};
  rf_options *first = authenticated(&one, false), *second = authenticated(&two, false);
  int64_t requests;
  int64_t of_first = connection_of(first, &requests);
  CHECK_INT(2, requests); /* the second sending went by the same */
  int64_t of_second = connection_of(second, &requests);
  CHECK_INT(2, requests);
  int64_t of_none = connection_of(NULL, &requests);
  CHECK_INT(1, requests);
  CHECK(of_first != of_second && of_first != of_none && of_second != of_none);
  CHECK_INT(of_first, connection_of(first, &requests));
  CHECK_INT(4, requests);
  CHECK_INT(of_none, connection_of(NULL, &requests));
  CHECK_INT(of_second, connection_of(second, &requests));
  /* 32 at once: each goes on where it began. */
  rf_future *futures[32];
  for (int i = 0; i < 32; i++) futures[i] = get(session, http("/connection-id"), first);
  for (int i = 0; i < 32; i++) {
    const rf_response *response = RESPONSE(futures[i]), *asked = rf_response_history_at(response, 0);
    CHECK_INT(json_int(asked, "/id"), json_int(response, "/id"));
    CHECK_INT(json_int(asked, "/requests") + 1, json_int(response, "/requests"));
    CHECK(json_int(response, "/id") != of_none && json_int(response, "/id") != of_second);
    rf_future_free(futures[i]);
  }
  rf_options_free(first);
  rf_options_free(second);
  rf_session_free(session);
  session = before;
  over(&one);
  over(&two);
}

/* ---- ends ---- */

static rf_status sleep_long(rf_prepared *prepared, seen *seen) {
  (void)seen;
  for (int i = 0; i < 1000 && !rf_prepared_is_stopped(prepared); i++) sleep_ms(10);
  return RF_OK;
}

static void ends(void) {
  seen seen = {.act = sleep_long};
  rf_options *options = hooked(&seen);
  CHECK_OK(rf_options_set_deadline(options, 150));
  int64_t start = now_ms();
  rf_future *future = get(session, http("/hello"), options);
  CHECK(strstr(rf_error_message(ERROR_OF(RF_ERROR_TIMEOUT, future)), " in a request hook") != NULL);
  CHECK_RANGE(100, 150 + 300 * patience(), now_ms() - start);
  rf_future_free(future);
  CHECK_OK(rf_options_set_deadline(options, RF_FOREVER));
  future = get(session, http("/hello"), options);
  EVENTUALLY(LOAD(seen.calls) == 2);
  start = now_ms();
  CHECK(rf_future_abort(future));
  CHECK(ERROR_OF(RF_ERROR_ABORTED, future) != NULL);
  CHECK_RANGE(0, 300 * patience(), now_ms() - start);
  rf_future_free(future);
  rf_options_free(options);
  over(&seen);
}

int main(void) {
  session = new_session();
  what_goes_out_is_seen_and_changed();
  whose();
  bodies_of_every_kind_are_read_and_sent();
  every_hop();
  what_is_sent_again_is_composed_again();
  a_proxy_that_asks();
  bad_changes();
  a_challenge_is_answered();
  redirects_drop_it_for_good();
  one_kind_of_credentials();
  a_connection_serves_one_login();
  ends();
  rf_session_free(session);
  return finish();
}
