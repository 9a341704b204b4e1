/* Adapters of one's own: a function answers in the place of the network. */
#include "stub.h"

/* ---- what is refused ---- */

static void what_is_refused(void) {
  rf_adapter *adapter = NULL;
  rf_executor *executor = NULL;
  rf_session *session = new_session_workers(1);
  CHECK_OK(rf_executor_new_threads(1, &executor));
  for (int what = 0; what < 6; what++) {
    rf_config *config = NULL;
    CHECK_OK(rf_config_new(&config));
    if (what == 0) CHECK_OK(rf_config_set_executor(config, executor));
    if (what == 1) CHECK_OK(rf_config_set_max_workers(config, 8)); /* though it is the default */
    if (what == 2) CHECK_OK(rf_config_set_base_session(config, session));
    if (what == 3) CHECK_OK(rf_config_set_max_queued(config, 1));
    if (what == 5) {
      CHECK_OK(rf_config_set_pool_maxsize(config, 1));
      CHECK_OK(rf_config_set_pool_connections(config, 1));
      CHECK_OK(rf_config_set_pool_block(config, true));
      CHECK_OK(rf_config_set_max_retries(config, 3));
      CHECK_OK(rf_config_set_max_per_host(config, 3));
      CHECK_OK(rf_config_set_rate(config, 3, 3));
    }
    if (what < 4) BAD_OUT(adapter, rf_adapter_new_http(config, &adapter));
    if (what >= 4) CHECK_OK(rf_adapter_new_http(config, &adapter));
    rf_adapter_free(adapter);
    rf_config_free(config);
  }
  CHECK_OK(rf_adapter_new_http(NULL, &adapter));
  rf_adapter_free(adapter);
  rf_adapter_free(NULL);
  NO(rf_adapter_new_http(NULL, NULL));

  rf_adapter_ops ops = {sizeof ops, stub_send};
  stub stub = {.act = respond};
  NO_OUT(adapter, rf_adapter_new_custom(NULL, &stub, stub_drop, &adapter));
  NO(rf_adapter_new_custom(&ops, &stub, stub_drop, NULL));
  ops.send = NULL;
  adapter = (void *)(uintptr_t)1;
  CHECK(rf_adapter_new_custom(&ops, &stub, stub_drop, &adapter) < 0);
  CHECK_NULL(adapter);
  ops.send = stub_send;
  ops.size = sizeof ops.size; /* `send` does not count */
  adapter = (void *)(uintptr_t)1;
  CHECK(rf_adapter_new_custom(&ops, &stub, stub_drop, &adapter) < 0);
  CHECK_NULL(adapter);
  NO(rf_prepared_respond(NULL, NULL));
  const rf_error *error = NULL;
  rf_response *response = NULL;
  NO_OUT(response, rf_adapter_send(NULL, NULL, &response, &error));
  CHECK_INT(0, LOAD(stub.drops)); /* after a registration that failed it never runs */
  rf_executor_free(executor);
  rf_session_free(session);
}

/* ---- what it answers ---- */

static void an_answer(void) {
  stub stub = {.act = respond, .response = made_with(201, "made", "X-By", "hand")};
  rf_session *session = mocked(&stub);
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_param(options, "a", "b c"));
  rf_future *future = request(session, "put", "MOCK://User:pw@Some.Host/path#part", options);
  const rf_response *response = RESPONSE(future);
  CHECK_INT(201, rf_response_status_code(response));
  CHECK_STR("Created", rf_response_reason(response));
  CHECK_STR("hand", rf_response_header(response, "X-By"));
  CHECK_STR("text/plain", rf_response_header(response, "Content-Type"));
  CHECK_STR("made", rf_response_text(response, NULL));
  CHECK_HAS("mock://some.host/path?a=b", rf_response_url(response));
  CHECK_STR("PUT", rf_response_request_method(response));
  CHECK_STR("some.host", rf_response_request_header(response, "Host"));
  CHECK(strncmp("Basic ", rf_response_request_header(response, "Authorization"), 6) == 0);
  CHECK_INT(0, rf_response_history_count(response));
  CHECK(rf_response_elapsed_us(response) >= 0);
  CHECK_INT(1, stub.calls);
  CHECK_STR("PUT", stub.methods[0]);
  CHECK_HAS("mock://some.host/path?a=b", stub.urls[0]);
  CHECK(strchr(stub.urls[0], '#') == NULL && strchr(stub.urls[0], '@') == NULL);
  rf_options_free(options);
  over(&stub);
  CHECK_STR("made", rf_response_text(response, NULL)); /* the future's, whatever has become of the rest */
  rf_future_free(future);
}

static rf_status look_at_it(rf_prepared *prepared, stub *stub) {
  uint8_t buffer[16];
  size_t length = 0;
  CHECK_STR("hook", rf_prepared_header(prepared, "X-From"));
  CHECK_STR("5", rf_prepared_header(prepared, "Content-Length"));
  CHECK_INT(5, rf_prepared_body_length(prepared));
  CHECK_OK(rf_prepared_read_body(prepared, buffer, sizeof buffer, &length));
  CHECK_INT(5, length);
  CHECK(memcmp(buffer, "bytes", 5) == 0);
  CHECK(rf_prepared_session(prepared) == stub->session);
  CHECK(!rf_prepared_is_stopped(prepared));
  return respond(prepared, stub);
}

static rf_status hook_before(rf_prepared *prepared, void *unused) {
  (void)unused;
  return rf_prepared_set_header(prepared, "X-From", "hook");
}

static rf_status hook_after(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call;
  CHECK_STR("answer", rf_response_text(response, NULL));
  INCREMENT(*(int *)user_data);
  return RF_OK;
}

static void between_hooks(void) {
  stub stub = {.act = look_at_it, .response = made(200, "answer")};
  rf_session *session = mocked(&stub);
  rf_options *options = new_options();
  int after = 0;
  CHECK_OK(rf_options_set_body(options, "bytes", 5));
  CHECK_OK(rf_options_add_request_hook(options, hook_before, NULL, NULL));
  CHECK_OK(rf_options_add_hook(options, hook_after, &after, NULL));
  rf_future *future = request(session, "POST", "mock://a/", options);
  CHECK_STR("answer", rf_response_text(RESPONSE(future), NULL));
  CHECK_STR("hook", rf_response_request_header(RESPONSE(future), "X-From"));
  CHECK_INT(1, after);
  rf_future_free(future);
  rf_options_free(options);
  over(&stub);
}

/* ---- headers count as if they had come over the wire ---- */

static rf_status walk(rf_prepared *prepared, stub *stub) {
  const char *url = rf_prepared_url(prepared), *path = strchr(strstr(url, "://") + 3, '/');
  const char *cookie = rf_prepared_header(prepared, "Cookie");
  rf_response *response = NULL;
  (void)stub;
  if (strcmp(path, "/login") == 0) {
    response = made_with(302, NULL, "Location", "home?from=login");
    CHECK_OK(rf_response_add_header(response, "Set-Cookie", "id=7; Path=/"));
    CHECK_OK(rf_response_add_header(response, "Set-Cookie", "tab=2; Path=/home"));
  } else if (strcmp(path, "/away") == 0) {
    response = made_with(307, NULL, "Location", "mock://b.example/home");
  } else if (strcmp(path, "/wire") == 0) {
    response = made_with(302, NULL, "Location", http("/hello"));
  } else if (strcmp(path, "/loop") == 0) {
    response = made_with(302, NULL, "Location", "/loop");
  } else if (strcmp(path, "/nowhere") == 0) {
    response = made_with(302, NULL, "Location", "other://b.example/");
  } else {
    response = made(200, cookie != NULL ? cookie : "no cookie");
  }
  rf_status status = rf_prepared_respond(prepared, response);
  rf_response_free(response); /* the library has its own */
  return status;
}

static void cookies_and_redirects(void) {
  stub stub = {.act = walk};
  rf_session *session = mocked(&stub);
  rf_future *future = get(session, "mock://a.example/login", NULL);
  const rf_response *response = RESPONSE(future);
  CHECK_HAS("id=7", rf_response_text(response, NULL));
  CHECK_HAS("tab=2", rf_response_text(response, NULL));
  CHECK_STR("mock://a.example/home?from=login", rf_response_url(response));
  CHECK_INT(1, rf_response_history_count(response));
  CHECK_INT(302, rf_response_status_code(rf_response_history_at(response, 0)));
  CHECK_STR("mock://a.example/login", rf_response_url(rf_response_history_at(response, 0)));
  CHECK(stub.hops[0] == 0 && stub.hops[1] == 1);
  rf_future_free(future);
  /* They are the session's, and of that host. */
  future = get(session, "mock://a.example/", NULL);
  CHECK_STR("id=7", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  future = request(session, "PUT", "mock://a.example/away", NULL);
  CHECK_STR("no cookie", rf_response_text(RESPONSE(future), NULL));
  CHECK_STR("PUT", rf_response_request_method(RESPONSE(future)));
  rf_future_free(future);
  /* Out into the network. */
  future = get(session, "mock://a.example/wire", NULL);
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
  CHECK_INT(1, rf_response_history_count(RESPONSE(future)));
  rf_future_free(future);
  future = get(session, "mock://a.example/nowhere", NULL);
  ERROR_OF(RF_ERROR_INVALID_SCHEMA, future);
  rf_future_free(future);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_max_redirects(options, 3));
  int before = stub.calls;
  future = get(session, "mock://a.example/loop", options);
  ERROR_OF(RF_ERROR_TOO_MANY_REDIRECTS, future);
  CHECK_INT(before + 4, stub.calls);
  rf_future_free(future);
  CHECK_OK(rf_options_set_allow_redirects(options, false));
  future = get(session, "mock://a.example/loop", options);
  CHECK_INT(302, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);
  over(&stub);
}

/* What it gives is decoded already. */
static void a_body_is_decoded_already(void) {
  stub stub = {.act = respond, .response = made_with(200, "not compressed", "Content-Encoding", "gzip")};
  rf_session *session = mocked(&stub);
  rf_future *future = get(session, "mock://a/", NULL);
  CHECK_STR("not compressed", rf_response_text(RESPONSE(future), NULL));
  CHECK_STR("gzip", rf_response_header(RESPONSE(future), "Content-Encoding"));
  rf_future_free(future);
  over(&stub);
}

/* ---- retries ---- */

static void a_status_is_tried_again(void) {
  stub stub = {.act = respond, .response = made(503, "busy")};
  rf_session *session = mocked(&stub);
  rf_options *options = tried(3);
  int hooked = 0;
  CHECK_OK(rf_options_add_hook(options, hook_after, &hooked, NULL));
  rf_future *future = get(session, "mock://a/", options);
  const rf_error *error = ERROR_OF(RF_ERROR_RETRY, future);
  CHECK_STR("busy", rf_response_text(rf_error_response(error), NULL));
  CHECK_INT(4, stub.calls); /* once for each attempt */
  for (unsigned i = 0; i < 4; i++) CHECK(stub.attempts[i] == i && stub.hops[i] == 0);
  CHECK_INT(0, hooked);
  rf_future_free(future);
  rf_options_free(options);
  over(&stub);
}

static rf_status fail_at_first(rf_prepared *prepared, stub *stub) {
  if (rf_prepared_attempt(prepared) < 2) {
    CHECK_STATUS(RF_FAILED, rf_prepared_fail_as(prepared, stub->status, "no line"));
    return RF_FAILED;
  }
  return respond(prepared, stub);
}

static void a_failure_is_tried_again(void) {
  static const struct {
    int kind;
    bool again;
  } kinds[] = {{RF_ERROR_CONNECTION, true}, {RF_ERROR_CONNECT_TIMEOUT, true}, {RF_ERROR_READ_TIMEOUT, true},
               {RF_ERROR_PROXY, true},      {RF_ERROR_HOOK, false},           {RF_ERROR_INVALID_URL, false}};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    stub stub = {.act = fail_at_first, .response = made(200, "at last"), .status = kinds[i].kind};
    rf_session *session = mocked(&stub);
    rf_options *options = tried(2);
    rf_future *future = get(session, "mock://a.example/x", options);
    if (kinds[i].again) {
      CHECK_STR("at last", rf_response_text(RESPONSE(future), NULL));
      CHECK_INT(0, rf_response_history_count(RESPONSE(future)));
    } else {
      CHECK_STR("no line", rf_error_message(ERROR_OF(kinds[i].kind, future)));
    }
    CHECK_INT(kinds[i].again ? 3 : 1, stub.calls);
    rf_future_free(future);
    /* Without a retry it is the outcome. */
    future = get(session, "mock://a.example/x", NULL);
    const rf_error *error = ERROR_OF(kinds[i].kind, future);
    CHECK_STR("no line", rf_error_message(error));
    CHECK_STR("mock://a.example/x", rf_error_url(error));
    rf_future_free(future);
    rf_options_free(options);
    over(&stub);
  }
}

static rf_status busy_then_asked(rf_prepared *prepared, stub *stub) {
  static const int statuses[] = {503, 401, 200};
  int call = LOAD(stub->calls);
  rf_response *response = made(statuses[call < 3 ? call - 1 : 2], "x");
  rf_status status = rf_prepared_respond(prepared, response);
  rf_response_free(response);
  return status;
}

static rf_status ask_once(rf_prepared *prepared, const rf_response *response, void *last) {
  *(int *)last = (int)(10 * rf_prepared_attempt(prepared) + rf_prepared_challenges(prepared));
  bool is_asked = rf_response_status_code(response) == 401 && rf_prepared_challenges(prepared) == 0;
  return is_asked ? RF_AGAIN : RF_OK;
}

/* What was sent again for another reason is no challenge that was answered. */
static void challenges_are_counted_by_themselves(void) {
  stub stub = {.act = busy_then_asked};
  rf_session *session = mocked(&stub);
  rf_options *options = tried(3);
  int last = -1;
  CHECK_OK(rf_options_set_auth_custom(options, NULL, ask_once, false, &last, NULL));
  rf_future *future = get(session, "mock://a/", options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  CHECK_INT(21, last);
  CHECK_INT(3, stub.calls);
  rf_future_free(future);
  rf_options_free(options);
  over(&stub);
}

/* ---- what goes wrong ---- */

static rf_status go_wrong(rf_prepared *prepared, stub *stub) {
  switch (stub->mode) {
    case 0: return RF_OK; /* and has said nothing */
    case 1: return rf_prepared_fail(prepared, "the reason");
    case 2: return RF_FAILED;
    case 3: return RF_E_INVALID;
    case 4: return RF_AGAIN;
    case 5: CHECK_OK(respond(prepared, stub)); return rf_prepared_fail(prepared, "the reason");
    case 6: CHECK_OK(respond(prepared, stub)); return RF_FAILED;
    case 7: CHECK_STATUS(RF_E_NULL, rf_prepared_respond(prepared, NULL)); return RF_OK;
    case 8: CHECK_STATUS(RF_E_INVALID, rf_prepared_fail_as(prepared, 9999, "no kind")); return RF_OK;
    default: return (rf_status)12345;
  }
}

static void what_goes_wrong(void) {
  stub stub = {.act = go_wrong, .response = made(200, "unseen")};
  rf_session *session = mocked(&stub);
  rf_options *options = tried(3);
  for (stub.mode = 0; stub.mode < 10; stub.mode++) {
    rf_future *future = get(session, "mock://a/", options);
    const rf_error *error = ERROR_OF(RF_ERROR_HOOK, future);
    CHECK(rf_error_message(error) != NULL && *rf_error_message(error) != '\0');
    if (stub.mode == 8) CHECK_STR("no kind", rf_error_message(error));
    if (stub.mode == 1 || stub.mode == 5) CHECK_STR("the reason", rf_error_message(error));
    rf_future_free(future);
  }
  CHECK_INT(10, stub.calls); /* none of these is tried again */
  rf_options_free(options);
  over(&stub);
}

static rf_status respond_twice(rf_prepared *prepared, stub *stub) {
  rf_response *first = made(404, "the first one");
  CHECK_OK(rf_prepared_respond(prepared, first));
  rf_response_free(first);
  return respond(prepared, stub);
}

static void the_last_response_counts(void) {
  stub stub = {.act = respond_twice, .response = made(200, "the last one")};
  rf_session *session = mocked(&stub);
  rf_future *future = get(session, "mock://a/", NULL);
  CHECK_STR("the last one", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  over(&stub);
}

static rf_status too_early(rf_prepared *prepared, void *user_data) {
  stub *stub = user_data;
  rf_response *out = NULL;
  const rf_error *error = NULL;
  CHECK_STATUS(RF_E_STATE, rf_prepared_respond(prepared, stub->response));
  FAILS_OUT(RF_E_STATE, out, rf_adapter_send(stub->next, prepared, &out, &error));
  return RF_OK;
}

static rf_status too_late(rf_prepared *prepared, const rf_response *response, void *user_data) {
  (void)response;
  return too_early(prepared, user_data);
}

static void inside_send_only(void) {
  stub stub = {.act = respond, .response = made(200, "answer")};
  rf_session *session = mocked(&stub);
  CHECK_OK(rf_adapter_new_http(NULL, &stub.next));
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_request_hook(options, too_early, &stub, NULL));
  CHECK_OK(rf_options_set_auth_custom(options, too_early, too_late, false, &stub, NULL));
  for (int i = 0; i < 2; i++) {
    rf_future *future = get(session, i == 0 ? "mock://a/" : http("/hello"), options);
    CHECK_STR(i == 0 ? "answer" : "Hello, world!", rf_response_text(RESPONSE(future), NULL));
    rf_future_free(future);
  }
  CHECK_INT(1, stub.calls);
  rf_options_free(options);
  rf_adapter_free(stub.next);
  over(&stub);
}

/* ---- one response for many requests ---- */

static void *ask_fifty_times(void *user_data) {
  stub *stub = user_data;
  for (int i = 0; i < 50; i++) {
    rf_future *future = get(stub->session, text("mock://host-%d.example/%d", i % 5, i), NULL);
    const rf_response *response = RESPONSE(future);
    CHECK_STR("for all", rf_response_text(response, NULL));
    CHECK_STR(text("mock://host-%d.example/%d", i % 5, i), rf_response_url(response));
    rf_future_free(future);
  }
  return NULL;
}

static void a_response_answers_many(void) {
  stub stub = {.act = respond, .response = made(200, "for all")};
  rf_session *session = mocked(&stub);
  pthread_t all[8];
  (void)session;
  for (int i = 0; i < 8; i++) CHECK_INT(0, pthread_create(&all[i], NULL, ask_fifty_times, &stub));
  for (int i = 0; i < 8; i++) CHECK_INT(0, pthread_join(all[i], NULL));
  CHECK_INT(400, stub.calls);
  CHECK_STR("for all", rf_response_text(stub.response, NULL)); /* it is still what it was, but for being given away */
  CHECK_STATUS(RF_E_STATE, rf_response_add_header(stub.response, "X", "y"));
  over(&stub);
}

typedef struct source {
  int64_t left;
  int calls, drops;
} source;

static int64_t pour(uint8_t *buffer, size_t capacity, void *user_data) {
  source *source = user_data;
  int64_t count = source->left < (int64_t)capacity ? source->left : (int64_t)capacity;
  if (count > 1000) count = 1000;
  INCREMENT(source->calls);
  memset(buffer, 'r', (size_t)count);
  source->left -= count;
  return count;
}
static void source_drop(void *user_data) { INCREMENT(((source *)user_data)->drops); }

static rf_status respond_and_tell(rf_prepared *prepared, stub *stub) {
  stub->status = rf_prepared_respond(prepared, stub->response);
  return stub->status == RF_OK ? RF_OK : rf_prepared_fail(prepared, "it was given away");
}

static void one_with_a_reader_answers_one(void) {
  stub stub = {.act = respond_and_tell};
  source source = {10000, 0, 0};
  CHECK_OK(rf_response_new_reader(200, pour, 10000, &source, source_drop, &stub.response));
  rf_session *session = mocked(&stub);
  rf_future *future = get(session, "mock://a/", NULL);
  size_t length = 0;
  CHECK(rf_response_content(RESPONSE(future), &length) != NULL);
  CHECK_INT(10000, length);
  CHECK_INT(0, source.left);
  rf_future_free(future);
  future = get(session, "mock://a/", NULL);
  CHECK_STR("it was given away", rf_error_message(ERROR_OF(RF_ERROR_HOOK, future)));
  CHECK_STATUS(RF_E_STATE, stub.status);
  rf_future_free(future);
  over(&stub);
  EVENTUALLY(LOAD(source.drops) == 1);
}

/* ---- where the body goes ---- */

static void streams_heads_and_files(void) {
  for (int what = 0; what < 5; what++) {
    stub stub = {.act = respond};
    source source = {100000, 0, 0};
    if (what < 3) {
      CHECK_OK(rf_response_new_reader(200, pour, what == 1 ? -1 : 100000, &source, source_drop, &stub.response));
    } else {
      stub.response = made_with(200, NULL, "Content-Length", "123456");
    }
    rf_session *session = mocked(&stub);
    rf_options *options = new_options();
    const char *path = text("%s/%s", env("RF_TEST_DIR"), unique("adapters"));
    if (what == 0) CHECK_OK(rf_options_set_stream(options, true));
    if (what == 1) CHECK_OK(rf_options_set_output_file(options, path));
    if (what == 2) CHECK_OK(rf_options_set_max_body(options, 50000));
    if (what == 4) CHECK_OK(rf_options_set_stream(options, true));
    rf_future *future = request(session, what < 3 ? "GET" : "HEAD", "mock://a/", options);
    size_t length = 1, whole = 0;
    if (what == 2) {
      ERROR_OF(RF_ERROR_BODY_TOO_LARGE, future);
    } else if (what == 0) {
      static uint8_t buffer[7000];
      const rf_error *error = NULL;
      CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
      CHECK_INT(0, LOAD(source.calls)); /* it is read by who reads the stream */
      for (; length > 0; whole += length) {
        CHECK_OK(rf_response_read(RESPONSE(future), buffer, sizeof buffer, &length, &error));
      }
      CHECK_INT(100000, whole);
    } else if (what == 1) {
      RESPONSE(future);
      FILE *file = fopen(path, "rb");
      CHECK(file != NULL);
      while (fgetc(file) == 'r') whole++;
      CHECK(feof(file) != 0);
      fclose(file);
      unlink(path);
      CHECK_INT(100000, whole);
    } else {
      CHECK_STR("123456", rf_response_header(RESPONSE(future), "Content-Length"));
      rf_response_content(RESPONSE(future), &length);
      CHECK_INT(0, length);
      CHECK_STR("HEAD", stub.methods[0]);
    }
    rf_future_free(future);
    rf_options_free(options);
    over(&stub);
    if (what < 3) EVENTUALLY(LOAD(source.drops) == 1);
  }
}

int main(void) {
  what_is_refused();
  an_answer();
  between_hooks();
  cookies_and_redirects();
  a_body_is_decoded_already();
  a_status_is_tried_again();
  a_failure_is_tried_again();
  challenges_are_counted_by_themselves();
  what_goes_wrong();
  the_last_response_counts();
  inside_send_only();
  a_response_answers_many();
  one_with_a_reader_answers_one();
  streams_heads_and_files();
  return finish();
}
