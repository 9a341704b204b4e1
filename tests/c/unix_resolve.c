/* Requests over Unix sockets, and names that are given an address by hand. */
#include "wire.h"

static void unix_sockets(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_unix_socket(options, env("RF_TEST_UNIX")));
  /* The URL gives Host and path; its host is never looked up. */
  rf_future *future = get(session, "http://no.such.host.invalid/get?a=b", options);
  const rf_response *response = RESPONSE(future);
  CHECK_STR("no.such.host.invalid", json_string(response, "/headers/Host"));
  CHECK_STR("b", json_string(response, "/args/a"));
  CHECK_STR("unix", json_string(response, "/origin"));
  rf_future_free(future);
  /* Every hop of the request. */
  future = get(session, "http://unix.test/redirect/2", options);
  CHECK_STR("unix", json_string(RESPONSE(future), "/origin"));
  CHECK_INT(2, rf_response_history_count(RESPONSE(future)));
  rf_future_free(future);
  CHECK_OK(rf_options_set_body(options, "over a socket", 13));
  future = request(session, "POST", "http://unix.test/post", options);
  CHECK_STR("over a socket", json_string(RESPONSE(future), "/data"));
  rf_future_free(future);
  rf_options_free(options);

  /* https works over it. */
  options = new_options();
  CHECK_OK(rf_options_set_unix_socket(options, env("RF_TEST_UNIX_TLS")));
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  future = get(session, "https://example.test/tls", options);
  CHECK_STR("example.test", json_string(RESPONSE(future), "/sni"));
  rf_future_free(future);
  rf_options_free(options);

  options = new_options();
  CHECK_OK(rf_options_set_unix_socket(options, "/no/such/socket"));
  future = get(session, "http://unix.test/", options);
  const rf_error *error = ERROR_OF(RF_ERROR_CONNECTION, future);
  CHECK(rf_error_os_code(error) != 0);
  CHECK_HAS("/no/such/socket", rf_error_message(error));
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

/* Pooled by path: two sockets for one URL are two places. */
static void named(wire_connection *connection, void *name) {
  while (wire_next(connection)) wire_answer(connection, "200 OK", "", name);
}

static void pooled_by_path(void) {
  const char *paths[2];
  wire *servers[2];
  static char *const names[] = {"one", "two"};
  rf_session *session = new_session_workers(1);
  for (int i = 0; i < 2; i++) {
    paths[i] = text("%s/%s", env("RF_TEST_DIR"), unique("s"));
    servers[i] = wire_start_unix(paths[i], named, names[i]);
  }
  for (int i = 0; i < 6; i++) {
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_unix_socket(options, paths[i % 2]));
    rf_future *future = get(session, "http://same.test/", options);
    CHECK_STR(names[i % 2], rf_response_text(RESPONSE(future), NULL));
    rf_future_free(future);
    rf_options_free(options);
  }
  CHECK_INT(1, wire_connections(servers[0]));
  CHECK_INT(1, wire_connections(servers[1]));
  rf_session_free(session);
  for (int i = 0; i < 2; i++) {
    wire_stop(servers[i]);
    unlink(paths[i]);
  }
}

static void resolving(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  int port = atoi(env("RF_TEST_HTTP_PORT")), tls = atoi(env("RF_TEST_HTTPS_PORT"));
  CHECK_OK(rf_options_set_resolve(options, "www.example.test", (uint16_t)port, "127.0.0.1"));
  rf_future *future = get(session, text("http://www.example.test:%d/get", port), options);
  CHECK_STR(text("www.example.test:%d", port), json_string(RESPONSE(future), "/headers/Host"));
  CHECK_STR(text("http://www.example.test:%d/get", port), rf_response_url(RESPONSE(future)));
  rf_future_free(future);
  future = get(session, text("http://WWW.Example.TEST:%d/get", port), options); /* in any case */
  RESPONSE(future);
  rf_future_free(future);
  /* However either of them writes the name. */
  CHECK_OK(rf_options_set_resolve(options, "B\xC3\x9C" "cher.example", (uint16_t)port, "127.0.0.1"));
  future = get(session, text("http://b\xC3\xBC" "cher.EXAMPLE:%d/get", port), options);
  CHECK_STR(text("xn--bcher-kva.example:%d", port), json_string(RESPONSE(future), "/headers/Host"));
  rf_future_free(future);
  /* That port alone. */
  future = get(session, "http://www.example.test:1/get", options);
  ERROR_OF(RF_ERROR_CONNECTION, future);
  rf_future_free(future);
  /* An address may be led elsewhere as well. */
  CHECK_OK(rf_options_set_resolve(options, "192.0.2.1", (uint16_t)port, "127.0.0.1"));
  future = get(session, text("http://192.0.2.1:%d/get", port), options);
  RESPONSE(future);
  rf_future_free(future);
  rf_options_free(options);

  /* Host, SNI and certificate stay the name's. */
  options = new_options();
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  CHECK_OK(rf_options_set_resolve(options, "www.example.test", (uint16_t)tls, "127.0.0.1"));
  CHECK_OK(rf_options_set_resolve(options, "www.other.test", (uint16_t)tls, "127.0.0.1"));
  future = get(session, text("https://www.example.test:%d/tls", tls), options);
  CHECK_STR("www.example.test", json_string(RESPONSE(future), "/sni"));
  rf_future_free(future);
  future = get(session, text("https://www.other.test:%d/tls", tls), options);
  ERROR_OF(RF_ERROR_SSL, future);
  rf_future_free(future);
  rf_options_free(options);

  /* IPv6, where there is any. */
  const char *six = getenv("RF_TEST_HTTP6");
  if (six != NULL && *six != '\0') {
    int port6 = atoi(strrchr(six, ':') + 1);
    future = get(session, text("%s/get", six), NULL);
    RESPONSE(future);
    rf_future_free(future);
    options = new_options();
    CHECK_OK(rf_options_set_resolve(options, "six.test", (uint16_t)port6, "::1"));
    future = get(session, text("http://six.test:%d/get", port6), options);
    RESPONSE(future);
    rf_future_free(future);
    rf_options_free(options);
  }
  rf_session_free(session);
}

int main(void) {
  unix_sockets();
  pooled_by_path();
  resolving();
  return finish();
}
