/* Through proxies that others wrote: RF_REAL_PROXY, an http proxy that adds a Via header, and RF_REAL_SOCKS, a SOCKS 5
   proxy, both as host:port. CI starts them; without them there is nothing to do here. */
#include "check.h"

static rf_options *by(const char *proxy) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_proxy(options, "all", proxy));
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  return options;
}

static void through(const char *proxy) {
  rf_session *session = new_session_workers(4);
  rf_options *options = by(proxy);
  const char *const bases[] = {env("RF_TEST_HTTP"), env("RF_TEST_HTTPS")};
  for (int i = 0; i < 2; i++) {
    rf_future *futures[8];
    for (int j = 0; j < 8; j++) futures[j] = get(session, text("%s/get?n=%d", bases[i], j), options);
    for (int j = 0; j < 8; j++) {
      CHECK_STR(text("%d", j), json_string(RESPONSE(futures[j]), "/args/n"));
      rf_future_free(futures[j]);
    }
    CHECK_OK(rf_options_set_body(options, "some bytes", 10));
    /* Tinyproxy ends a connection after the answer without saying so: that may come when this is on its way already. */
    CHECK_OK(rf_options_set_repeatable(options, true));
    rf_future *future = request(session, "POST", text("%s/post", bases[i]), options);
    CHECK_STR("some bytes", json_string(RESPONSE(future), "/data"));
    rf_future_free(future);
    rf_options_free(options);
    options = by(proxy);
  }
  /* A target that cannot be reached is the proxy's failure, or an answer of its own. */
  rf_future *future = get(session, text("%s/", env("RF_TEST_CLOSED")), options);
  const rf_error *error = NULL;
  CHECK_OK(rf_future_exception(future, 30000, &error));
  if (error != NULL) CHECK(rf_error_is(error, RF_ERROR_CONNECTION));
  else CHECK(rf_response_status_code(RESPONSE(future)) >= 500);
  rf_future_free(future);
  rf_options_free(options);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
}

int main(void) {
  const char *http_proxy = getenv("RF_REAL_PROXY"), *socks = getenv("RF_REAL_SOCKS");
  if (http_proxy == NULL || socks == NULL) {
    printf("skipped: RF_REAL_PROXY and RF_REAL_SOCKS name no proxies\n");
    return 0;
  }
  through(text("http://%s", http_proxy));
  through(text("socks5://%s", socks));
  through(text("socks5h://%s", socks));

  /* It really went that way. */
  rf_session *session = new_session();
  rf_options *options = by(text("http://%s", http_proxy));
  rf_future *future = get(session, http("/headers"), options);
  CHECK(json_string(RESPONSE(future), "/headers/Via") != NULL);
  rf_future_free(future);
  rf_options_free(options);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
  return finish();
}
