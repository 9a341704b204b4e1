/* An adapter that lets another one answer: by the network, or by a function again. */
#include "stub.h"

/* ---- through another adapter ---- */

/* Sends by `next`, so many times, and answers with the last. */
static rf_status pass_on(rf_prepared *prepared, stub *stub) {
  rf_response *response = NULL;
  const rf_error *error = NULL;
  for (int i = 0; i <= stub->mode; i++) {
    rf_response_free(response);
    stub->status = rf_adapter_send(stub->next, prepared, &response, &error);
    if (stub->status != RF_OK) {
      CHECK_NULL(response);
      if (stub->status == RF_FAILED) CHECK(rf_error_message(error) != NULL);
      return stub->status;
    }
  }
  CHECK_STR("Hello, world!", rf_response_text(response, NULL));
  rf_status status = rf_prepared_respond(prepared, response);
  rf_response_free(response);
  return status;
}

static rf_session *mounted_everywhere(stub *stub) {
  rf_session *session = mocked(stub);
  rf_adapter *adapter = NULL;
  rf_adapter_ops ops = {sizeof ops, stub_send};
  CHECK_OK(rf_adapter_new_custom(&ops, stub, NULL, &adapter)); /* the same, for http */
  CHECK_OK(rf_session_mount(session, "http://", adapter));
  rf_adapter_free(adapter);
  return session;
}

static void by_the_network(void) {
  for (int times = 0; times < 3; times++) {
    stub stub = {.act = pass_on, .mode = times};
    CHECK_OK(rf_adapter_new_http(NULL, &stub.next));
    rf_session *session = mounted_everywhere(&stub);
    const char *key = unique("adapter");
    rf_future *future = get(session, http(text("/hello?key=%s", key)), NULL);
    const rf_response *response = RESPONSE(future);
    CHECK_STR("Hello, world!", rf_response_text(response, NULL));
    CHECK_STR("text/plain", rf_response_header(response, "Content-Type"));
    CHECK_INT(0, rf_response_history_count(response));
    CHECK_INT(times + 1, counted(key));
    CHECK_INT(1, stub.calls);
    rf_future_free(future);
    rf_adapter_free(stub.next);
    over(&stub);
  }
}

/* Its body comes as it is read: a stream goes through without being held in memory. */
static rf_status pass_on_unread(rf_prepared *prepared, stub *stub) {
  rf_response *response = NULL;
  const rf_error *error = NULL;
  rf_status status = rf_adapter_send(stub->next, prepared, &response, &error);
  if (status != RF_OK) return status;
  status = rf_prepared_respond(prepared, response);
  rf_response_free(response);
  return status;
}

static void bodies_go_through(void) {
  stub stub = {.act = pass_on_unread};
  CHECK_OK(rf_adapter_new_http(NULL, &stub.next));
  rf_session *session = mounted_everywhere(&stub);
  rf_options *stream = new_options(), *body = new_options();
  CHECK_OK(rf_options_set_stream(stream, true));
  for (int how = 0; how < 3; how++) {
    rf_future *future = get(session, http("/bytes/3000000"), how == 0 ? stream : NULL);
    size_t length = 0;
    if (how < 2) CHECK(rf_response_content(RESPONSE(future), &length) != NULL);
    if (how < 2) CHECK_INT(3000000, length);
    if (how == 2) RESPONSE(future);
    rf_future_free(future);
  }
  CHECK_OK(rf_options_set_body(body, "the request's", 13));
  rf_future *future = request(session, "POST", http("/echo"), body);
  CHECK_STR("the request's", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  future = get(session, http("/gzip"), NULL);
  CHECK_HAS("\"gzipped\":true", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  rf_options_free(stream);
  rf_options_free(body);
  rf_adapter_free(stub.next);
  over(&stub);
}

static rf_status no_hook(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call;
  CHECK_INT(404, rf_response_status_code(response)); /* the adapter's, not what it was told */
  INCREMENT(*(int *)user_data);
  return RF_OK;
}

static rf_status count_sending(rf_prepared *prepared, void *user_data) {
  (void)prepared;
  INCREMENT(*(int *)user_data);
  return RF_OK;
}

static rf_status ask_once(rf_prepared *prepared, stub *stub) {
  rf_response *response = NULL;
  const rf_error *error = NULL;
  stub->status = rf_adapter_send(stub->next, prepared, &response, &error);
  if (stub->status == RF_OK) CHECK_INT(stub->mode, rf_response_status_code(response));
  rf_response_free(response);
  response = made(404, "made of it");
  CHECK_OK(rf_prepared_respond(prepared, response));
  rf_response_free(response);
  return RF_OK;
}

/* Once: no retries, redirects, hooks or challenges. A failure need not be the request's. */
static void once(void) {
  static const struct {
    char kind;
    int status;
  } all[] = {{'s', 503}, {'r', 302}, {'d', 401}, {'h', 0}};
  for (int i = 0; i < 4; i++) {
    stub stub = {.act = ask_once, .mode = all[i].status};
    rf_config *config = NULL;
    CHECK_OK(rf_config_new(&config));
    CHECK_OK(rf_config_set_max_retries(config, 3));
    CHECK_OK(rf_adapter_new_http(config, &stub.next));
    rf_config_free(config);
    rf_session *session = mounted_everywhere(&stub);
    arrivals *server = arrivals_start(0);
    rf_options *options = new_options();
    int hooks = 0, sendings = 0;
    CHECK_OK(rf_options_add_hook(options, no_hook, &hooks, NULL));
    CHECK_OK(rf_options_add_request_hook(options, count_sending, &sendings, NULL));
    CHECK_OK(rf_options_set_auth_digest(options, "u", "p"));
    rf_future *future = get(session, text("%s?/n1", arrivals_url(server, all[i].kind, 1)), options);
    CHECK_STR("made of it", rf_response_text(RESPONSE(future), NULL));
    CHECK_STATUS(all[i].status == 0 ? RF_FAILED : RF_OK, stub.status);
    CHECK_INT(1, arrivals_count(server));
    CHECK_INT(1, hooks);
    CHECK_INT(1, sendings);
    CHECK_INT(1, stub.calls);
    rf_future_free(future);
    rf_options_free(options);
    rf_adapter_free(stub.next);
    over(&stub);
    arrivals_stop(server);
  }
}

/* By another one of one's own, which sends by a third. */
static void by_others_of_ones_own(void) {
  stub stubs[3] = {{.act = pass_on}, {.act = pass_on}, {.act = respond, .response = made(200, "Hello, world!")}};
  for (int i = 1; i < 3; i++) adapter_of(&stubs[i]);
  stubs[0].next = stubs[1].adapter;
  stubs[1].next = stubs[2].adapter;
  rf_session *session = mocked(&stubs[0]);
  rf_future *future = get(session, "mock://a/b", NULL);
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
  CHECK_STR("mock://a/b", rf_response_url(RESPONSE(future)));
  for (int i = 0; i < 3; i++) CHECK_INT(1, stubs[i].calls);
  CHECK_STR("mock://a/b", stubs[2].urls[0]);
  rf_future_free(future);
  for (int i = 1; i < 3; i++) {
    CHECK_INT(0, LOAD(stubs[i].drops));
    rf_adapter_free(stubs[i].adapter);
    EVENTUALLY(LOAD(stubs[i].drops) == 1);
  }
  rf_response_free(stubs[2].response);
  over(&stubs[0]);
}

/* An adapter that is sending this request already, itself or a few calls above. */
static void no_cycles(void) {
  for (int length = 1; length < 4; length++) {
    stub stubs[3] = {{.act = pass_on}, {.act = pass_on}, {.act = pass_on}};
    rf_session *session = new_session_workers(2);
    for (int i = 0; i < length; i++) adapter_of(&stubs[i]);
    for (int i = 0; i < length; i++) stubs[i].next = stubs[(i + 1) % length].adapter;
    CHECK_OK(rf_session_mount(session, "mock://", stubs[0].adapter));
    for (int again = 0; again < 2; again++) { /* it may send the next request */
      rf_future *future = get(session, "mock://a/", NULL);
      ERROR_OF(RF_ERROR_HOOK, future);
      CHECK_STATUS(RF_E_STATE, stubs[length - 1].status);
      rf_future_free(future);
    }
    CHECK_INT(2, stubs[0].calls);
    rf_session_free(session);
    for (int i = 0; i < length; i++) {
      rf_adapter_free(stubs[i].adapter);
      EVENTUALLY(LOAD(stubs[i].drops) == 1);
    }
  }
}

/* What the last rf_adapter_send said is why, when send returns RF_FAILED. */
static void an_error_goes_through(void) {
  stub stub = {.act = pass_on};
  CHECK_OK(rf_adapter_new_http(NULL, &stub.next));
  rf_session *session = mounted_everywhere(&stub), *plain = new_session_workers(1);
  rf_future *future = get(session, text("%s/x", env("RF_TEST_CLOSED")), NULL),
            *same = get(plain, text("%s/x", env("RF_TEST_CLOSED")), NULL);
  const rf_error *error = ERROR_OF(RF_ERROR_CONNECTION, future), *expected = ERROR_OF(RF_ERROR_CONNECTION, same);
  CHECK_STR(rf_error_message(expected), rf_error_message(error));
  CHECK_STR(rf_error_url(expected), rf_error_url(error));
  CHECK_INT(rf_error_os_code(expected), rf_error_os_code(error));
  CHECK_STATUS(RF_FAILED, stub.status);
  CHECK_INT(1, stub.calls);
  rf_future_free(future);
  rf_future_free(same);
  /* And it is tried again as those of the network are. */
  rf_options *options = tried(2);
  future = get(session, env("RF_TEST_CLOSED"), options);
  ERROR_OF(RF_ERROR_CONNECTION, future);
  CHECK_INT(4, stub.calls);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(plain);
  rf_adapter_free(stub.next);
  over(&stub);
}

/* Where it sends by the network, the network's ends are its own. */
/* By its deadline of 200 ms, or by an abort, it is over at once, and the function returns. */
static void is_ended(stub *stub, rf_future *future, int how, int64_t start) {
  if (how == 1) {
    EVENTUALLY(LOAD(stub->inside) == 1);
    sleep_ms(100);
    start = now_ms();
    CHECK(rf_future_abort(future));
  }
  ERROR_OF(how == 0 ? RF_ERROR_TIMEOUT : RF_ERROR_ABORTED, future);
  CHECK_RANGE(0, (how == 0 ? 280 : 80) * patience(), now_ms() - start);
  EVENTUALLY(LOAD(stub->inside) == 0);
}

static void the_network_is_ended_through_it(void) {
  for (int how = 0; how < 2; how++) {
    stub stub = {.act = pass_on};
    CHECK_OK(rf_adapter_new_http(NULL, &stub.next));
    rf_session *session = mounted_everywhere(&stub);
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_deadline(options, how == 0 ? 200 : LONG_MS));
    int64_t start = now_ms();
    rf_future *future = get(session, raw("/silent"), options);
    is_ended(&stub, future, how, start);
    CHECK_STATUS(RF_FAILED, stub.status);
    rf_future_free(future);
    rf_options_free(options);
    rf_adapter_free(stub.next);
    over(&stub);
  }
}

/* The first answer has the turn that the second waits for, and nobody else reads it. */
static rf_status twice(rf_prepared *prepared, stub *stub) {
  rf_response *one = NULL, *two = NULL;
  const rf_error *error = NULL;
  CHECK_OK(rf_adapter_send(stub->next, prepared, &one, &error));
  CHECK_STATUS(RF_FAILED, rf_adapter_send(stub->next, prepared, &two, &error));
  CHECK_HAS("on this very thread", rf_error_message(error));
  rf_response_free(one);
  CHECK_OK(rf_adapter_send(stub->next, prepared, &two, &error));
  rf_status status = rf_prepared_respond(prepared, two);
  rf_response_free(two);
  return status;
}

static void ones_own_turn(void) {
  rf_config *config = NULL;
  stub stub = {.act = twice};
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_per_host(config, 1));
  CHECK_OK(rf_adapter_new_http(config, &stub.next));
  rf_config_free(config);
  rf_session *session = mounted_everywhere(&stub);
  arrivals *server = arrivals_start(1);
  rf_future *future = get(session, arrivals_url(server, 'b', 1), NULL);
  size_t length = 0;
  rf_response_content(RESPONSE(future), &length);
  CHECK_INT(200000, length);
  rf_future_free(future);
  rf_adapter_free(stub.next);
  over(&stub);
  arrivals_stop(server);
}

/* What is left of another request's response is read when it is given, and what ends this request ends that. */
static rf_response *kept;

static rf_status keep_or_give(rf_prepared *prepared, stub *stub) {
  const rf_error *error = NULL;
  if (kept != NULL) return rf_prepared_respond(prepared, kept);
  CHECK_OK(rf_adapter_send(stub->next, prepared, &kept, &error));
  return rf_prepared_respond(prepared, stub->response);
}

static void stall(wire_connection *connection, void *unused) {
  (void)unused;
  while (wire_next(connection)) wire_say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
}

static void anothers_answer(void) {
  for (int how = 0; how < 2; how++) {
    wire *server = wire_start(stall, NULL);
    stub stub = {.act = keep_or_give, .response = made(200, "first")};
    CHECK_OK(rf_adapter_new_http(NULL, &stub.next));
    rf_session *session = mounted_everywhere(&stub);
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_deadline(options, how == 0 ? 200 : LONG_MS));
    rf_future *future = get(session, wire_url(server, "/one"), NULL);
    CHECK_STR("first", rf_response_text(RESPONSE(future), NULL));
    rf_future_free(future);
    int64_t start = now_ms();
    future = get(session, wire_url(server, "/two"), options);
    is_ended(&stub, future, how, start);
    rf_future_free(future);
    wire_stop(server);
    rf_response_free(kept);
    kept = NULL;
    rf_options_free(options);
    rf_adapter_free(stub.next);
    over(&stub);
  }
}

int main(void) {
  by_the_network();
  bodies_go_through();
  once();
  by_others_of_ones_own();
  no_cycles();
  an_error_goes_through();
  the_network_is_ended_through_it();
  ones_own_turn();
  anothers_answer();
  return finish();
}
