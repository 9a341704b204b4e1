/* rf_options_set_raise_for_status: which responses fail the future, when in a request's life, and what is left of them. */
#include "elsewhere.h"
#include "wire.h"

static rf_options *raising(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_raise_for_status(options, true));
  return options;
}

/* The error of a status, whose response has this text. */
static void raises(rf_session *session, const char *url, rf_options *options, int status, const char *body) {
  rf_future *future = get(session, url, options);
  const rf_error *error = ERROR_OF(RF_ERROR_HTTP, future), *said = NULL;
  const rf_response *response = rf_error_response(error);
  CHECK_INT(status, rf_response_status_code(response));
  CHECK_STR(body, rf_response_text(response, NULL));
  CHECK_STATUS(RF_FAILED, rf_response_raise_for_status(response, &said));
  CHECK_STR(rf_error_message(said), rf_error_message(error));
  CHECK_HAS(text("%d %s Error: ", status, status < 500 ? "Client" : "Server"), rf_error_message(error));
  CHECK_STR(rf_response_url(response), rf_error_url(error));
  rf_future_free(future);
}

static void by_status(rf_session *session) {
  rf_options *options = raising();
  raises(session, http("/no/such/path"), options, 404, "{\"error\":\"not found\"}");
  raises(session, http("/status/500"), options, 500, "");
  raises(session, http("/status/599"), options, 599, "");
  raises(session, http("/redirect-to?url=%2Fno%2Fsuch"), options, 404, "{\"error\":\"not found\"}");
  static const char *const good[] = {"/status/200", "/status/204", "/status/304", "/redirect/1", "/status/600"};
  for (size_t i = 0; i < 5; i++) {
    rf_future *future = get(session, http(good[i]), options);
    RESPONSE(future);
    rf_future_free(future);
  }
  /* A redirect that is not followed is no error. */
  CHECK_OK(rf_options_set_allow_redirects(options, false));
  rf_future *future = get(session, http("/status/302"), options);
  CHECK_INT(302, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  /* What led there is in its history. */
  CHECK_OK(rf_options_set_allow_redirects(options, true));
  future = get(session, http("/redirect-to?url=%2Fstatus%2F503"), options);
  CHECK_INT(1, rf_response_history_count(rf_error_response(ERROR_OF(RF_ERROR_HTTP, future))));
  rf_future_free(future);
  CHECK_OK(rf_options_set_raise_for_status(options, false));
  future = get(session, http("/status/503"), options);
  CHECK_INT(503, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);
}

/* In memory also where the request streams, or has an output, which stays as it was. */
static rf_status never(const uint8_t *data, size_t length, void *user_data) {
  (void)data, (void)length, (void)user_data;
  FAIL("an output got the body of an error");
  return RF_OK;
}

static void not_in_outputs(rf_session *session, bool takes_functions) {
  rf_options *options = raising();
  CHECK_OK(rf_options_set_stream(options, true));
  raises(session, http("/no/such"), options, 404, "{\"error\":\"not found\"}");
  /* A stream that is none is one still. */
  rf_future *future = get(session, http("/hello"), options);
  uint8_t buffer[5];
  size_t length = 0;
  CHECK_OK(rf_response_read(RESPONSE(future), buffer, sizeof buffer, &length, NULL));
  CHECK(length > 0 && memcmp(buffer, "Hello", length) == 0);
  CHECK_NULL(rf_response_content(RESPONSE(future), NULL));
  rf_future_free(future);
  rf_options_free(options);

  const char *path = text("%s/%s", env("RF_TEST_DIR"), unique("output"));
  FILE *file = fopen(path, "w");
  CHECK(file != NULL && fputs("old", file) >= 0 && fclose(file) == 0);
  options = raising();
  CHECK_OK(rf_options_set_output_file(options, path));
  raises(session, http("/no/such"), options, 404, "{\"error\":\"not found\"}");
  char content[16] = "";
  file = fopen(path, "r");
  CHECK(file != NULL && fgets(content, sizeof content, file) != NULL && fclose(file) == 0);
  CHECK_STR("old", content);
  CHECK_INT(0, unlink(path));
  raises(session, http("/no/such"), options, 404, "{\"error\":\"not found\"}");
  CHECK(access(path, F_OK) != 0);
  rf_options_free(options);

  if (!takes_functions) return;
  options = raising();
  CHECK_OK(rf_options_set_output(options, never, NULL, NULL));
  raises(session, http("/no/such"), options, 404, "{\"error\":\"not found\"}");
  rf_options_free(options);
}

/* What hooks have left counts; the background callback comes too late. */
static rf_status replace(rf_hook_call *call, const rf_response *response, void *user_data) {
  rf_response *other = NULL;
  int status = *(int *)user_data;
  (void)response;
  CHECK_OK(rf_response_new(status, "text/plain", "replaced", 8, &other));
  rf_status result = rf_hook_replace(call, other);
  rf_response_free(other);
  return result;
}

static rf_status see(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call;
  *(int *)user_data = rf_response_status_code(response);
  return RF_OK;
}

static rf_status in_vain(rf_hook_call *call, rf_session *session, const rf_response *response, void *user_data) {
  (void)call, (void)session, (void)response;
  ++*(int *)user_data;
  return RF_OK;
}

static void after_hooks(rf_session *session) {
  int status = 200, seen = 0, background = 0;
  rf_options *options = raising();
  CHECK_OK(rf_options_add_hook(options, see, &seen, NULL));
  CHECK_OK(rf_options_add_hook(options, replace, &status, NULL));
  CHECK_OK(rf_options_set_background_callback(options, in_vain, &background, NULL));
  rf_future *future = get(session, http("/status/404"), options);
  CHECK_STR("replaced", rf_response_text(RESPONSE(future), NULL));
  CHECK_INT(404, seen);
  CHECK_INT(1, background);
  rf_future_free(future);
  status = 502;
  future = get(session, http("/hello"), options);
  const rf_response *response = rf_error_response(ERROR_OF(RF_ERROR_HTTP, future));
  CHECK_INT(502, rf_response_status_code(response));
  CHECK_STR("replaced", rf_response_text(response, NULL));
  CHECK_INT(200, seen);
  CHECK_INT(1, background);
  rf_future_free(future);
  rf_options_free(options);
}

/* What is tried again has not come so far, nor has what asks for credentials. */
static void after_attempts(rf_session *session) {
  rf_options *options = raising();
  rf_retry *retry = NULL;
  CHECK_OK(rf_retry_new(2, &retry));
  CHECK_OK(rf_retry_add_status(retry, 503, 503));
  CHECK_OK(rf_options_set_retry(options, retry));
  rf_future *future = get(session, http(text("/status/503,503,200?key=%s", unique("raising"))), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  future = get(session, http("/status/503"), options);
  ERROR_OF(RF_ERROR_RETRY, future);
  rf_future_free(future);
  CHECK_OK(rf_retry_set_raise_on_status(retry, false));
  CHECK_OK(rf_options_set_retry(options, retry));
  raises(session, http("/status/503"), options, 503, "");
  rf_retry_free(retry);
  CHECK_OK(rf_options_set_auth_digest(options, "u", "p"));
  future = get(session, http("/digest-auth/auth/u/p"), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  future = get(session, http("/digest-auth/auth/u/other"), options);
  ERROR_OF(RF_ERROR_HTTP, future);
  rf_future_free(future);
  rf_options_free(options);
}

static void cut(wire_connection *connection, void *unused) {
  (void)unused;
  if (wire_next(connection)) wire_say(connection, "HTTP/1.1 500 Broken\r\nContent-Length: 100\r\n\r\nhalf");
}

/* A body that cannot be had whole is what went wrong. */
static void without_a_body(rf_session *session) {
  wire *server = wire_start(cut, NULL);
  rf_options *options = raising();
  rf_future *future = get(session, wire_url(server, "/"), options);
  const rf_error *error = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  CHECK(rf_error_is(error, RF_ERROR_CHUNKED_ENCODING) || rf_error_is(error, RF_ERROR_CONNECTION));
  rf_future_free(future);
  CHECK_OK(rf_options_set_max_body(options, 5));
  future = get(session, http("/no/such"), options);
  ERROR_OF(RF_ERROR_BODY_TOO_LARGE, future);
  rf_future_free(future);
  rf_options_free(options);
  wire_stop(server);
}

static void by_default(void) {
  rf_session *session = new_session_workers(1);
  rf_options *options = raising();
  CHECK_OK(rf_session_update(session, options));
  raises(session, http("/status/500"), NULL, 500, "");
  CHECK_OK(rf_options_set_raise_for_status(options, false));
  rf_future *future = get(session, http("/status/500"), options);
  CHECK_INT(500, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

int main(void) {
  places places = new_places();
  for (int i = 0; i < PLACES; i++) {
    by_status(places.at[i]);
    not_in_outputs(places.at[i], i == HERE);
    after_attempts(places.at[i]);
    without_a_body(places.at[i]);
  }
  after_hooks(places.at[HERE]);
  by_default();
  end_places(places);
  return finish();
}
