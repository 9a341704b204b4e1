/* TLS: what is trusted, what is refused, and that a connection made without looking never serves one who looks. */
#include "check.h"

static rf_options *trusting(const char *bundle) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_ca_bundle(options, bundle));
  return options;
}

static const char *on(const char *server, const char *path) { return text("%s%s", env(server), path); }

static void trusted(void) {
  static const char *const servers[] = {"RF_TEST_HTTPS", "RF_TEST_HTTPS_NAME", "RF_TEST_HTTPS_TLS12",
                                        "RF_TEST_HTTPS_TLS13"};
  static const char *const bundles[] = {"RF_TEST_CA", "RF_TEST_CA_DIR", "RF_TEST_BOTH_CA"};
  rf_session *session = new_session();
  for (size_t i = 0; i < 4; i++) {
    for (size_t j = 0; j < 3; j++) {
      rf_options *options = trusting(env(bundles[j]));
      rf_future *future = get(session, on(servers[i], "/get?a=b"), options);
      CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
      CHECK_STR("b", json_string(RESPONSE(future), "/args/a"));
      rf_future_free(future);
      rf_options_free(options);
    }
  }
  /* The name is sent to the server; an address is not. */
  rf_options *options = trusting(env("RF_TEST_CA"));
  rf_future *future = get(session, on("RF_TEST_HTTPS_NAME", "/tls"), options);
  CHECK_STR("localhost", json_string(RESPONSE(future), "/sni"));
  rf_future_free(future);
  future = get(session, on("RF_TEST_HTTPS", "/tls"), options);
  CHECK_NULL(json_string(RESPONSE(future), "/sni"));
  rf_future_free(future);
  /* A large body, both ways. */
  size_t length = 0;
  char *body = calloc(1, 300000);
  CHECK_OK(rf_options_set_body(options, body, 300000));
  future = NULL;
  CHECK_OK(rf_session_post(session, on("RF_TEST_HTTPS", "/echo"), options, &future));
  CHECK(memcmp(rf_response_content(RESPONSE(future), &length), body, 300000) == 0);
  CHECK_INT(300000, length);
  free(body);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

static void refused(void) {
  static const struct {
    const char *server, *bundle;
  } all[] = {
      {"RF_TEST_HTTPS", NULL}, /* the system does not know this CA */
      {"RF_TEST_HTTPS", "RF_TEST_WRONG_CA"},
      {"RF_TEST_HTTPS_EXPIRED", "RF_TEST_CA"},
      {"RF_TEST_HTTPS_WRONG_HOST", "RF_TEST_CA"},
      {"RF_TEST_HTTPS_UNTRUSTED", "RF_TEST_CA"},
      {"RF_TEST_HTTPS_SELF_SIGNED", "RF_TEST_CA"},
      {"RF_TEST_HTTPS_CLIENT_CERT", "RF_TEST_CA"}, /* it wants one */
      {"RF_TEST_TLS_PLAIN", "RF_TEST_CA"},         /* it speaks no TLS */
      {"RF_TEST_HTTPS", "RF_TEST_BAD_PEM"},
  };
  rf_session *session = new_session();
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    rf_options *options = trusting(all[i].bundle != NULL ? env(all[i].bundle) : NULL);
    rf_future *future = get(session, on(all[i].server, "/get"), options);
    const rf_error *error = NULL;
    CHECK_OK(rf_future_exception(future, LONG_MS, &error));
    if (rf_error_kind_of(error) != RF_ERROR_SSL) {
      FAIL("%s with %s: %s, not RF_ERROR_SSL: %s", all[i].server, all[i].bundle != NULL ? all[i].bundle : "nothing",
           rf_error_kind_name(rf_error_kind_of(error)), rf_error_message(error));
    }
    CHECK(rf_error_is(error, RF_ERROR_CONNECTION));
    CHECK(!rf_error_is(error, RF_ERROR_TIMEOUT));
    CHECK_STR(on(all[i].server, "/get"), rf_error_url(error));
    rf_future_free(future);
    rf_options_free(options);
  }
  rf_session_free(session);
}

/* Files that are not there or do not load: the error names the path. */
static void files(void) {
  rf_session *session = new_session();
  for (int i = 0; i < 5; i++) {
    rf_options *options = trusting(env("RF_TEST_CA"));
    const char *named = "/no/such/file.pem";
    if (i == 0) CHECK_OK(rf_options_set_ca_bundle(options, named));
    if (i == 1) CHECK_OK(rf_options_set_cert(options, named, NULL));
    if (i == 2) CHECK_OK(rf_options_set_cert(options, env("RF_TEST_CLIENT_CERT"), named));
    if (i == 3) CHECK_OK(rf_options_set_ca_bundle(options, named = env("RF_TEST_BAD_PEM")));
    if (i == 4) CHECK_OK(rf_options_set_cert(options, named = env("RF_TEST_BAD_PEM"), NULL));
    rf_future *future = get(session, on("RF_TEST_HTTPS", "/get"), options);
    CHECK_HAS(named, rf_error_message(ERROR_OF(RF_ERROR_SSL, future)));
    rf_future_free(future);
    /* Looked at only for https. */
    future = get(session, http("/hello"), options);
    RESPONSE(future);
    rf_future_free(future);
    rf_options_free(options);
  }
  rf_session_free(session);
}

static void without_verifying(void) {
  static const char *const servers[] = {"RF_TEST_HTTPS", "RF_TEST_HTTPS_EXPIRED", "RF_TEST_HTTPS_WRONG_HOST",
                                        "RF_TEST_HTTPS_UNTRUSTED", "RF_TEST_HTTPS_SELF_SIGNED"};
  rf_session *session = new_session();
  rf_options *unverified = new_options();
  CHECK_OK(rf_options_set_verify(unverified, false));
  for (size_t i = 0; i < 5; i++) {
    rf_future *future = get(session, on(servers[i], "/get"), unverified);
    CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
    rf_future_free(future);

    /* The connection is idle now, and kept; but it is not for those who verify. */
    if (i == 0) continue;
    rf_options *options = trusting(env("RF_TEST_CA"));
    future = get(session, on(servers[i], "/get"), options);
    ERROR_OF(RF_ERROR_SSL, future);
    rf_future_free(future);
    rf_options_free(options);
    future = get(session, on(servers[i], "/get"), NULL);
    ERROR_OF(RF_ERROR_SSL, future);
    rf_future_free(future);
  }

  /* Two settings, two connections; each is used again by its own kind. */
  rf_options *options = trusting(env("RF_TEST_CA"));
  int64_t ids[4];
  for (int i = 0; i < 4; i++) {
    rf_future *future = get(session, on("RF_TEST_HTTPS_TLS12", "/connection-id"), i % 2 == 0 ? unverified : options);
    const rf_json *json = NULL;
    CHECK_OK(rf_response_json(RESPONSE(future), &json, NULL));
    CHECK_OK(rf_json_int(rf_json_get(json, "id"), &ids[i]));
    rf_future_free(future);
  }
  CHECK(ids[0] != ids[1]);
  CHECK_INT(ids[0], ids[2]);
  CHECK_INT(ids[1], ids[3]);
  rf_options_free(options);

  /* As the session's default. */
  CHECK_OK(rf_session_update(session, unverified));
  rf_future *future = get(session, on("RF_TEST_HTTPS_SELF_SIGNED", "/get"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  rf_options_free(unverified);
  rf_session_free(session);
}

static void client_certificates(void) {
  rf_session *session = new_session();
  rf_options *options = trusting(env("RF_TEST_CA"));
  CHECK_OK(rf_options_set_cert(options, env("RF_TEST_CLIENT_CERT"), env("RF_TEST_CLIENT_KEY")));
  rf_future *future = get(session, on("RF_TEST_HTTPS_CLIENT_CERT", "/get"), options);
  RESPONSE(future);
  rf_future_free(future);

  /* Not for those without one. */
  rf_options *without = trusting(env("RF_TEST_CA"));
  future = get(session, on("RF_TEST_HTTPS_CLIENT_CERT", "/get"), without);
  ERROR_OF(RF_ERROR_SSL, future);
  rf_future_free(future);
  rf_options_free(without);

  CHECK_OK(rf_options_set_cert(options, env("RF_TEST_CLIENT_COMBINED"), NULL));
  future = get(session, on("RF_TEST_HTTPS_CLIENT_CERT", "/get"), options);
  RESPONSE(future);
  rf_future_free(future);
  CHECK_OK(rf_options_set_cert(options, env("RF_TEST_WRONG_CLIENT_COMBINED"), NULL));
  future = get(session, on("RF_TEST_HTTPS_CLIENT_CERT", "/get"), options);
  ERROR_OF(RF_ERROR_SSL, future);
  rf_future_free(future);
  CHECK_OK(rf_options_set_cert(options, NULL, NULL));
  future = get(session, on("RF_TEST_HTTPS", "/get"), options);
  RESPONSE(future);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

/* The environment's bundles, when the environment is trusted. */
static void environment(void) {
  static const char *const names[] = {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"};
  for (size_t i = 0; i < 2; i++) {
    rf_session *session = new_session();
    rf_options *options = new_options();
    CHECK(setenv(names[i], env("RF_TEST_CA"), 1) == 0);
    rf_future *future = get(session, on("RF_TEST_HTTPS", "/get"), NULL);
    RESPONSE(future);
    rf_future_free(future);
    CHECK_OK(rf_options_set_trust_env(options, false));
    future = get(session, on("RF_TEST_HTTPS", "/get"), options);
    ERROR_OF(RF_ERROR_SSL, future);
    rf_future_free(future);
    unsetenv(names[i]);
    rf_options_free(options);
    rf_session_free(session);
  }
}

int main(void) {
  trusted();
  refused();
  files();
  without_verifying();
  client_certificates();
  environment();
  return finish();
}
