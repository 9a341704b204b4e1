/* Proxies: http and https targets, SOCKS, credentials, the environment, and proxies that fail. */
#include "check.h"

static rf_options *through(const char *key, const char *proxy) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_proxy(options, key, proxy));
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  return options;
}

/* A count of a proxy, as it is now. */
static int64_t stat_of(const char *proxy, const char *what) {
  return ask(http(text("/proxy-stats?name=%s", proxy)), text("/%s", what));
}

/* A GET through this proxy succeeds, and moves the proxy's counter. */
static void passes(const char *key, const char *proxy, const char *url, const char *name, const char *counter) {
  rf_session *session = new_session();
  rf_options *options = through(key, proxy);
  int64_t before = stat_of(name, counter);
  rf_future *future = get(session, url, options);
  const rf_response *response = NULL;
  if (rf_future_result(future, LONG_MS, &response) != RF_OK) {
    const rf_error *error = NULL;
    rf_future_exception(future, 0, &error);
    FAIL("%s by %s: %s", url, proxy, rf_error_message(error));
  }
  CHECK_INT(200, rf_response_status_code(response));
  if (stat_of(name, counter) <= before) FAIL("%s did not go through %s", url, proxy);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

static void kinds_of_proxy(void) {
  const char *plain = http("/get?a=b"), *tls = text("%s/get", env("RF_TEST_HTTPS"));
  passes("http", env("RF_TEST_PROXY"), plain, "http", "forward"); /* in absolute form */
  passes("https", env("RF_TEST_PROXY"), tls, "http", "connect");
  passes("all", env("RF_TEST_PROXY"), plain, "http", "forward");
  passes("all", env("RF_TEST_PROXY"), tls, "http", "connect");
  passes("http", strstr(env("RF_TEST_PROXY"), "//") + 2, plain, "http", "forward"); /* no scheme: http */
  passes("http", env("RF_TEST_PROXY_AUTH"), plain, "http-auth", "forward");
  passes("https", env("RF_TEST_PROXY_AUTH"), tls, "http-auth", "connect");
  passes("http", env("RF_TEST_PROXY_TLS"), plain, "https", "forward");
  passes("https", env("RF_TEST_PROXY_TLS"), tls, "https", "connect");
  static const char *const socks[][2] = {
      {"RF_TEST_SOCKS4", "socks4"},  {"RF_TEST_SOCKS4A", "socks4"},          {"RF_TEST_SOCKS5", "socks5"},
      {"RF_TEST_SOCKS5H", "socks5"}, {"RF_TEST_SOCKS5_AUTH", "socks5-auth"}, {"RF_TEST_SOCKS5H_AUTH", "socks5-auth"}};
  for (size_t i = 0; i < 6; i++) {
    passes("http", env(socks[i][0]), plain, socks[i][1], "connect");
    passes("https", env(socks[i][0]), tls, socks[i][1], "connect");
  }
}

/* Who looks the name up: these two leave it to the proxy. */
static void names(void) {
  const char *url = text("http://only.the.proxy.test:%s/get", env("RF_TEST_HTTP_PORT"));
  passes("http", env("RF_TEST_PROXY"), url, "http", "by_name");
  passes("http", env("RF_TEST_SOCKS5H"), url, "socks5", "by_name");
  passes("http", env("RF_TEST_SOCKS4A"), url, "socks4", "by_name");
  passes("http", env("RF_TEST_SOCKS5"), text("http://localhost:%s/get", env("RF_TEST_HTTP_PORT")), "socks5",
         "by_address");
}

static bool went_through(rf_session *session, const char *url, const rf_options *options) {
  int64_t before = stat_of("http", "requests");
  rf_future *future = get(session, url, options);
  RESPONSE(future);
  rf_future_free(future);
  return stat_of("http", "requests") > before;
}

/* scheme://host before scheme before all://host before all. */
static void keys(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  const char *closed = env("RF_TEST_CLOSED"), *proxy = env("RF_TEST_PROXY");
  CHECK_OK(rf_options_set_proxy(options, "all", closed));
  CHECK_OK(rf_options_set_proxy(options, "all://127.0.0.1", proxy));
  rf_future *future = get(session, http("/get"), options);
  RESPONSE(future);
  rf_future_free(future);
  CHECK_OK(rf_options_set_proxy(options, "http", closed));
  future = get(session, http("/get"), options);
  ERROR_OF(RF_ERROR_PROXY, future);
  rf_future_free(future);
  CHECK_OK(rf_options_set_proxy(options, "http://127.0.0.1", proxy));
  future = get(session, http("/get"), options);
  RESPONSE(future);
  rf_future_free(future);
  rf_options_free(options);
  /* NULL: direct. */
  options = new_options();
  CHECK_OK(rf_options_set_proxy(options, "http", closed));
  CHECK_OK(rf_session_update(session, options));
  future = get(session, http("/get"), NULL);
  ERROR_OF(RF_ERROR_PROXY, future);
  rf_future_free(future);
  CHECK_OK(rf_options_set_proxy(options, "http", NULL));
  CHECK_OK(rf_session_update(session, options));
  future = get(session, http("/get"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

/* A key and no_proxy name the host that a URL names, however they write it. */
static void one_host_in_two_spellings(void) {
  static const char upper[] = "B\xC3\x9C" "cher.example", lower[] = "b\xC3\xBC" "cher.example";
  const char *url = text("http://%s:%s/get", lower, env("RF_TEST_HTTP_PORT"));
  rf_session *session = new_session();
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_resolve(options, lower, (uint16_t)atoi(env("RF_TEST_HTTP_PORT")), "127.0.0.1"));
  CHECK(!went_through(session, url, options));
  CHECK_OK(rf_options_set_proxy(options, text("all://%s", upper), env("RF_TEST_PROXY")));
  CHECK(went_through(session, url, options));
  CHECK_OK(rf_options_set_proxy(options, text("ALL://%s", lower), NULL)); /* the same key */
  CHECK(!went_through(session, url, options));

  rf_options *resolve = new_options();
  CHECK_OK(rf_options_set_resolve(resolve, lower, (uint16_t)atoi(env("RF_TEST_HTTP_PORT")), "127.0.0.1"));
  setenv("http_proxy", env("RF_TEST_PROXY"), 1);
  setenv("no_proxy", "127.0.0.1", 1);
  CHECK(went_through(session, url, resolve));
  setenv("no_proxy", text("127.0.0.1,.%s", upper), 1);
  CHECK(!went_through(session, url, resolve));
  unsetenv("http_proxy");
  unsetenv("no_proxy");
  rf_options_free(resolve);
  rf_options_free(options);
  rf_session_free(session);
}

static void failing(void) {
  static const struct {
    const char *proxy;
    bool tls;
  } all[] = {{"RF_TEST_CLOSED", false},         {"RF_TEST_CLOSED", true},        {"RF_TEST_PROXY_502", true},
             {"RF_TEST_PROXY_AUTH_BARE", true}, {"RF_TEST_PROXY_CLOSE", true},   {"RF_TEST_PROXY_GARBAGE", true},
             {"RF_TEST_SOCKS5_REFUSE", false},  {"RF_TEST_SOCKS4_REFUSE", true}, {"RF_TEST_SOCKS5_AUTH_BARE", false}};
  rf_session *session = new_session();
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    const char *proxy = env(all[i].proxy);
    if (strncmp(all[i].proxy, "RF_TEST_SOCKS", 13) != 0) proxy = strstr(proxy, "//") + 2;
    rf_options *options = through("all", proxy);
    const char *url = all[i].tls ? text("%s/get", env("RF_TEST_HTTPS")) : http("/get");
    rf_future *future = get(session, url, options);
    const rf_error *error = NULL;
    CHECK_OK(rf_future_exception(future, LONG_MS, &error));
    if (rf_error_kind_of(error) != RF_ERROR_PROXY) {
      FAIL("%s: %s", all[i].proxy, error != NULL ? rf_error_kind_name(rf_error_kind_of(error)) : "a success");
    }
    CHECK(rf_error_is(error, RF_ERROR_CONNECTION));
    CHECK_STR(url, rf_error_url(error)); /* what was asked for, not the proxy */
    rf_future_free(future);
    rf_options_free(options);
  }
  /* For an http target what the proxy says is the answer. */
  rf_options *options = through("http", env("RF_TEST_PROXY_502"));
  rf_future *future = get(session, http("/get"), options);
  CHECK_INT(502, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  CHECK_OK(rf_options_set_proxy(options, "http", env("RF_TEST_PROXY_AUTH_BARE")));
  future = get(session, http("/get"), options);
  CHECK_INT(407, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  CHECK_OK(rf_options_set_proxy(options, "http", "http://nosuchhost.invalid:1"));
  future = get(session, http("/get"), options);
  ERROR_OF(RF_ERROR_PROXY, future);
  rf_future_free(future);
  /* A URL without a host. */
  CHECK_OK(rf_options_set_proxy(options, "http", "http:///nothing"));
  future = get(session, http("/get"), options);
  const rf_error *error = ERROR_OF(RF_ERROR_INVALID_PROXY_URL, future);
  CHECK(rf_error_is(error, RF_ERROR_INVALID_URL));
  rf_future_free(future);
  rf_options_free(options);

  /* One that never answers can be timed out and aborted. */
  static const char *const silent[] = {"RF_TEST_PROXY_SILENT", "RF_TEST_PROXY_STALL", "RF_TEST_SOCKS5_SILENT",
                                       "RF_TEST_SOCKS5_STALL"};
  for (size_t i = 0; i < 4; i++) {
    options = through("https", env(silent[i]));
    CHECK_OK(rf_options_set_deadline(options, 300));
    int64_t start = now_ms();
    future = get(session, text("%s/get", env("RF_TEST_HTTPS")), options);
    CHECK_OK(rf_future_exception(future, LONG_MS, &error));
    CHECK(error != NULL);
    CHECK_RANGE(290, 2300 * patience(), now_ms() - start);
    rf_future_free(future);
    CHECK_OK(rf_options_set_deadline(options, RF_FOREVER));
    future = get(session, text("%s/get", env("RF_TEST_HTTPS")), options);
    EVENTUALLY(rf_future_running(future));
    sleep_ms(100);
    start = now_ms();
    CHECK(rf_future_abort(future));
    ERROR_OF(RF_ERROR_ABORTED, future);
    CHECK_RANGE(0, 300 * patience(), now_ms() - start);
    rf_future_free(future);
    rf_options_free(options);
  }
  rf_session_free(session);
}

static void environment(void) {
  static const char *const names[] = {"http_proxy", "all_proxy", "ALL_PROXY", "HTTP_PROXY"};
  rf_options *untrusting = new_options();
  CHECK_OK(rf_options_set_trust_env(untrusting, false));
  for (size_t i = 0; i < 4; i++) {
    rf_session *session = new_session();
    /* Asked for with the environment set: the counting requests go direct, to a host that no_proxy names. */
    const char *url = text("http://proxied.test:%s/get", env("RF_TEST_HTTP_PORT"));
    setenv("no_proxy", "127.0.0.1", 1);
    setenv(names[i], env("RF_TEST_PROXY"), 1);
    CHECK(went_through(session, url, NULL));
    CHECK(!went_through(session, http("/get"), NULL));
    CHECK(!went_through(session, http("/get"), untrusting));
    unsetenv(names[i]);
    unsetenv("no_proxy");
    rf_session_free(session);
  }
  rf_options_free(untrusting);

  /* What no_proxy may say: domains, ports, addresses, networks, everything. */
  static const struct {
    const char *no_proxy;
    bool direct;
  } all[] = {{"localhost", true},      {"LOCALHOST", true},  {".localhost", true},  {"other.test,localhost", true},
             {"*", true},              {"localhost:1", false}, {"example.com", false}};
  rf_session *session = new_session();
  setenv("http_proxy", env("RF_TEST_PROXY"), 1);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    bool star = strcmp(all[i].no_proxy, "*") == 0; /* means everything when it stands alone */
    setenv("no_proxy", star ? "*" : text("127.0.0.1,%s", all[i].no_proxy), 1);
    bool direct = !went_through(session, text("http://localhost:%s/get", env("RF_TEST_HTTP_PORT")), NULL);
    if (direct != all[i].direct) FAIL("no_proxy=%s: %s", all[i].no_proxy, direct ? "direct" : "through the proxy");
  }
  setenv("no_proxy", "10.0.0.0/8,127.0.0.0/8", 1);
  CHECK(!went_through(session, http("/get"), NULL));
  unsetenv("http_proxy");
  unsetenv("no_proxy");
  rf_session_free(session);
}

/* Credentials for the target are not the proxy's, nor the other way round. */
static void credentials(void) {
  rf_session *session = new_session();
  rf_options *options = through("all", env("RF_TEST_PROXY_AUTH"));
  rf_future *future = get(session, text("%s/headers", env("RF_TEST_HTTPS")), options);
  CHECK_NULL(json_string(RESPONSE(future), "/headers/Proxy-Authorization"));
  CHECK_NULL(json_string(RESPONSE(future), "/headers/Authorization"));
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

/* A proxy that wants Digest: for what it forwards and for tunnels, whether its connection survives the question or not. */
static void digest(void) {
  static const char *const all[][2] = {{"RF_TEST_PROXY_DIGEST", "digest"},
                                       {"RF_TEST_PROXY_DIGEST_CLOSE", "digest-close"}};
  const char *plain = http("/anything"), *tls = text("%s/anything", env("RF_TEST_HTTPS"));
  for (size_t i = 0; i < 2; i++) {
    for (int secure = 0; secure < 2; secure++) {
      const char *counter = secure ? "connect" : "forward", *url = secure ? tls : plain;
      rf_session *session = new_session_workers(1);
      rf_options *options = through("all", env(all[i][0]));
      CHECK_OK(rf_options_set_body(options, "body", 4));
      int64_t passed = stat_of(all[i][1], counter), refused = stat_of(all[i][1], "auth_refused");
      int64_t opened = stat_of(all[i][1], "connections");
      rf_future *future = request(session, "PUT", url, options);
      CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
      CHECK_STR("body", json_string(RESPONSE(future), "/data"));
      CHECK_NULL(json_string(RESPONSE(future), "/headers/Proxy-Authorization"));
      CHECK_INT(refused + 1, stat_of(all[i][1], "auth_refused")); /* Basic was sent, unasked */
      CHECK_INT(opened + (i == 0 ? 1 : 2), stat_of(all[i][1], "connections"));
      if (secure) {
        CHECK_INT(0, rf_response_history_count(RESPONSE(future)));
      } else {
        CHECK_INT(1, rf_response_history_count(RESPONSE(future)));
        CHECK_INT(407, rf_response_status_code(rf_response_history_at(RESPONSE(future), 0)));
        CHECK_HAS("Digest ", rf_response_request_header(RESPONSE(future), "Proxy-Authorization"));
      }
      rf_future_free(future);
      /* The next one knows what is wanted, on another connection too. */
      CHECK_OK(rf_options_set_header(options, "Connection", "close"));
      for (int again = 0; again < 2; again++) {
        future = request(session, "PUT", url, options);
        CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
        CHECK_INT(0, rf_response_history_count(RESPONSE(future)));
        rf_future_free(future);
      }
      CHECK_INT(refused + 1, stat_of(all[i][1], "auth_refused"));
      CHECK(stat_of(all[i][1], counter) > passed);
      rf_options_free(options);
      rf_session_free(session);
    }
  }

  /* The server's own question comes after the proxy's. */
  rf_session *session = new_session();
  rf_options *options = through("all", env("RF_TEST_PROXY_DIGEST"));
  CHECK_OK(rf_options_set_auth_digest(options, "us er", "pw"));
  rf_future *future = get(session, http("/digest-auth/auth/us%20er/pw/SHA-256"), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  CHECK_INT(2, rf_response_history_count(RESPONSE(future)));
  const rf_response *asked = rf_response_history_at(RESPONSE(future), 1);
  CHECK_INT(407, rf_response_status_code(rf_response_history_at(RESPONSE(future), 0)));
  CHECK_INT(401, rf_response_status_code(asked));
  CHECK_INT(1, rf_response_history_count(asked));
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);

  /* The wrong password: one answer, then the refusal. */
  session = new_session();
  options = through("all", env("RF_TEST_PROXY_DIGEST_WRONG"));
  int64_t refused = stat_of("digest", "auth_refused");
  future = get(session, plain, options);
  CHECK_INT(407, rf_response_status_code(RESPONSE(future)));
  CHECK_INT(refused + 2, stat_of("digest", "auth_refused"));
  rf_future_free(future);
  future = get(session, tls, options);
  const rf_error *error = ERROR_OF(RF_ERROR_PROXY, future);
  CHECK_HAS("407", rf_error_message(error));
  CHECK(strstr(rf_error_message(error), "wrong") == NULL);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

int main(void) {
  kinds_of_proxy();
  digest();
  names();
  keys();
  one_host_in_two_spellings();
  failing();
  environment();
  credentials();
  return finish();
}
