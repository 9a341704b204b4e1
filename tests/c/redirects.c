/* Redirects: which method and body go on, where to, how many, and what is kept of the way. */
#include "wire.h"

static rf_session *session;

static rf_future *send_body(const char *method, const char *url) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_body(options, "body", 4));
  CHECK_OK(rf_options_set_header(options, "Content-Type", "text/plain"));
  rf_future *future = request(session, method, url, options);
  rf_options_free(options);
  return future;
}

static void methods(void) {
  static const struct {
    int code;
    const char *method, *next;
    bool body;
  } all[] = {
      {301, "POST", "GET", false},     {301, "PUT", "PUT", false},  {301, "DELETE", "DELETE", false},
      {302, "POST", "GET", false},     {302, "PUT", "GET", false},  {302, "DELETE", "GET", false},
      {303, "POST", "GET", false},     {303, "PUT", "GET", false},  {303, "PATCH", "GET", false},
      {307, "POST", "POST", true},     {307, "PUT", "PUT", true},   {307, "DELETE", "DELETE", true},
      {308, "POST", "POST", true},     {308, "PATCH", "PATCH", true},
      {301, "GET", "GET", false},      {307, "GET", "GET", true},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    const char *url = http(text("/redirect-to?url=/anything&status_code=%d", all[i].code));
    rf_future *future = send_body(all[i].method, url);
    const rf_response *response = RESPONSE(future);
    const char *method = json_string(response, "/method"), *data = json_string(response, "/data");
    if (method == NULL || strcmp(method, all[i].next) != 0 || strcmp(data, all[i].body ? "body" : "") != 0) {
      FAIL("%d to %s became %s with '%s'", all[i].code, all[i].method, method, data);
    }
    CHECK_STR(all[i].next, rf_response_request_method(response));
    /* The body's headers go with it. */
    CHECK_STR(all[i].body ? "text/plain" : NULL, json_string(response, "/headers/Content-Type"));
    CHECK_NULL(json_string(response, "/headers/Transfer-Encoding"));
    CHECK_INT(1, rf_response_history_count(response));
    const rf_response *hop = rf_response_history_at(response, 0);
    CHECK_INT(all[i].code, rf_response_status_code(hop));
    CHECK_STR(all[i].method, rf_response_request_method(hop));
    CHECK(rf_response_is_redirect(hop));
    CHECK(rf_response_is_permanent_redirect(hop) == (all[i].code == 301 || all[i].code == 308));
    rf_future_free(future);
  }
}

static void not_followed(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_allow_redirects(options, false));
  rf_future *future = get(session, http("/redirect/2"), options);
  CHECK_INT(302, rf_response_status_code(RESPONSE(future)));
  CHECK(rf_response_is_redirect(RESPONSE(future)));
  CHECK(rf_response_ok(RESPONSE(future)));
  CHECK_INT(0, rf_response_history_count(RESPONSE(future)));
  rf_future_free(future);
  /* HEAD does only when told to. */
  CHECK_OK(rf_options_set_allow_redirects(options, true));
  future = request(session, "HEAD", http("/redirect/2"), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  CHECK_STR("HEAD", rf_response_request_method(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);
  future = request(session, "HEAD", http("/redirect/2"), NULL);
  CHECK_INT(302, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);

  /* No redirect without a Location, nor with another status. */
  future = get(session, raw("/redirect"), NULL);
  CHECK_INT(302, rf_response_status_code(RESPONSE(future)));
  CHECK(!rf_response_is_redirect(RESPONSE(future)));
  rf_future_free(future);
  static const int codes[] = {300, 304, 305, 306, 201};
  for (size_t i = 0; i < 5; i++) {
    future = get(session, raw(text("/redirect?location=/ok&code=%d", codes[i])), NULL);
    CHECK_INT(codes[i], rf_response_status_code(RESPONSE(future)));
    rf_future_free(future);
  }
}

static void limits(void) {
  rf_future *future = get(session, http("/redirect/30"), NULL);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  CHECK_INT(30, rf_response_history_count(RESPONSE(future)));
  rf_future_free(future);
  future = get(session, http("/redirect/31"), NULL);
  const rf_error *error = ERROR_OF(RF_ERROR_TOO_MANY_REDIRECTS, future);
  CHECK_HAS("30 redirects", rf_error_message(error));
  CHECK_INT(302, rf_response_status_code(rf_error_response(error)));
  CHECK_INT(30, rf_response_history_count(rf_error_response(error)));
  rf_future_free(future);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_max_redirects(options, 2));
  future = get(session, http("/redirect/2"), options);
  RESPONSE(future);
  rf_future_free(future);
  future = get(session, http("/redirect/3"), options);
  ERROR_OF(RF_ERROR_TOO_MANY_REDIRECTS, future);
  rf_future_free(future);
  rf_options_free(options);
  /* The library survives one that never ends, many times. */
  for (int i = 0; i < 3; i++) {
    future = get(session, raw("/loop/0"), NULL);
    ERROR_OF(RF_ERROR_TOO_MANY_REDIRECTS, future);
    rf_future_free(future);
  }
}

static void locations(void) {
  const char *port = env("RF_TEST_HTTP_PORT");
  const struct {
    const char *location, *url;
  } all[] = {
      {"/anything/a", http("/anything/a")},
      {"anything/a", http("/anything/a")},
      {"../../anything/./b/../c", http("/anything/c")},
      {text("//127.0.0.1:%s/anything/d", port), http("/anything/d")},
      {text("http://127.0.0.1:%s/anything/e%%2525x", port), http("/anything/e%25x")},
      {"/anything/with%20space", http("/anything/with%20space")},
      {"/anything/%25C3%25A4", http("/anything/%C3%A4")},
      {"/anything/%C3%A4", http("/anything/%C3%A4")},
      {"/anything/f%23part", http("/anything/f#part")},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    rf_future *future = get(session, http(text("/redirect-to?url=%s", all[i].location)), NULL);
    CHECK_STR(all[i].url, rf_response_url(RESPONSE(future)));
    CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
    rf_future_free(future);
  }
  /* The fragment asked for is kept when the location has none. */
  rf_future *future = get(session, http("/redirect-to?url=/get#mine"), NULL);
  CHECK_STR(http("/get#mine"), rf_response_url(RESPONSE(future)));
  rf_future_free(future);
  future = get(session, http("/redirect-to?url=/get%23theirs#mine"), NULL);
  CHECK_STR(http("/get#theirs"), rf_response_url(RESPONSE(future)));
  rf_future_free(future);

  /* Where nobody can go. */
  future = get(session, http("/redirect-to?url=ftp://example.com/"), NULL);
  ERROR_OF(RF_ERROR_INVALID_SCHEMA, future);
  rf_future_free(future);
  future = get(session, http(text("/redirect-to?url=%s/", env("RF_TEST_CLOSED"))), NULL);
  ERROR_OF(RF_ERROR_CONNECTION, future);
  rf_future_free(future);
  future = get(session, http("/redirect-to?url=http://.example.com/"), NULL);
  ERROR_OF(RF_ERROR_INVALID_URL, future);
  rf_future_free(future);
}

/* Every hop is whole: its body too. */
static void hops(void) {
  rf_future *future = get(session, http("/redirect-to?url=/get&body=on%20the%20way"), NULL);
  const rf_response *hop = rf_response_history_at(RESPONSE(future), 0);
  CHECK_STR("on the way", rf_response_text(hop, NULL));
  CHECK(rf_response_elapsed_us(hop) > 0);
  rf_future_free(future);
  future = get(session, raw("/redirect-big?location=/ok"), NULL);
  size_t length = 0;
  rf_response_content(rf_response_history_at(RESPONSE(future), 0), &length);
  CHECK_INT(1048576, length);
  CHECK_STR("ok", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  /* A hop whose body is cut is an error or a hop, but never a hang. */
  future = get(session, raw("/redirect-short?location=/ok"), NULL);
  const rf_error *error = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  rf_future_free(future);
}

/* Another host: credentials stay behind, everything else goes along. */
static void other_hosts(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_auth_basic(options, "user", "secret"));
  CHECK_OK(rf_options_set_header(options, "X-Own", "goes along"));
  rf_future *future = get(session, http("/redirect-to?url=/get"), options);
  CHECK_HAS("Basic ", json_string(RESPONSE(future), "/headers/Authorization"));
  rf_future_free(future);
  const char *other = text("http://localhost:%s/get", env("RF_TEST_HTTP_PORT"));
  future = get(session, http(text("/redirect-to?url=%s", other)), options);
  CHECK_NULL(json_string(RESPONSE(future), "/headers/Authorization"));
  CHECK_STR("goes along", json_string(RESPONSE(future), "/headers/X-Own"));
  CHECK_STR(text("localhost:%s", env("RF_TEST_HTTP_PORT")), json_string(RESPONSE(future), "/headers/Host"));
  rf_future_free(future);
  /* Another port is another place. */
  future = get(session, raw(text("/redirect?location=%s", http("/get"))), options);
  CHECK_NULL(json_string(RESPONSE(future), "/headers/Authorization"));
  rf_future_free(future);
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_header(options, "Authorization", "Own secret"));
  future = get(session, http(text("/redirect-to?url=%s", other)), options);
  CHECK_NULL(json_string(RESPONSE(future), "/headers/Authorization"));
  rf_future_free(future);
  rf_options_free(options);
}

/* Asks for digest credentials at every place, once it has them leads from /a to /b, and says who it was asked by. */
static void asks_everywhere(wire_connection *connection, void *user_data) {
  (void)user_data;
  char value[512];
  static const char challenge[] = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n";
  while (wire_next(connection)) {
    if (wire_header(connection, "Authorization", value, sizeof value) == NULL) {
      wire_answer(connection, "401 Unauthorized", challenge, "");
    } else if (wire_asks(connection, "GET /a ")) {
      wire_answer(connection, "302 Found", "Location: /b\r\n", "");
    } else {
      wire_answer(connection, "200 OK", "", "welcome");
    }
  }
}

/* 401, 302, 401, 200: the history of the 200 is the 302, that of the 302 is the 401 before it. */
static void the_history_is_the_redirects_or_else_the_challenges(void) {
  wire *server = wire_start(asks_everywhere, NULL);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_auth_digest(options, "user", "pw"));
  rf_session *own = new_session();
  rf_future *future = get(own, wire_url(server, "/a"), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  CHECK_INT(4, wire_requests(server));
  CHECK_INT(1, rf_response_history_count(RESPONSE(future)));
  const rf_response *redirect = rf_response_history_at(RESPONSE(future), 0);
  CHECK_INT(302, rf_response_status_code(redirect));
  CHECK_INT(1, rf_response_history_count(redirect));
  const rf_response *challenge = rf_response_history_at(redirect, 0);
  CHECK_INT(401, rf_response_status_code(challenge));
  CHECK_STR(wire_url(server, "/a"), rf_response_url(challenge));
  CHECK_INT(0, rf_response_history_count(challenge));
  rf_future_free(future);

  /* Nothing led to it: the answer that asked. */
  rf_session_free(own);
  own = new_session();
  future = get(own, wire_url(server, "/b"), options);
  CHECK_INT(1, rf_response_history_count(RESPONSE(future)));
  CHECK_INT(401, rf_response_status_code(rf_response_history_at(RESPONSE(future), 0)));
  rf_future_free(future);
  rf_session_free(own);
  rf_options_free(options);
  wire_stop(server);
}

/* Answers with its Authorization header, or leads to where the query says. */
static void leads_on(wire_connection *connection, void *user_data) {
  (void)user_data;
  while (wire_next(connection)) {
    char *to = strstr(connection->request, "?to="), *end = strchr(connection->request, '\r');
    char value[512];
    if (to != NULL && to < end) {
      to += 4;
      wire_answer(connection, "302 Found", text("Location: %.*s\r\n", (int)strcspn(to, " "), to), "");
    } else {
      const char *given = wire_header(connection, "Authorization", value, sizeof value);
      wire_answer(connection, "200 OK", "", given != NULL ? given : "none");
    }
  }
}

/* What stayed behind at a change of origin does not come back, not even where it was meant for; netrc speaks for its host. */
static void what_was_dropped_stays_dropped(void) {
  wire *server = wire_start(leads_on, NULL), *other = wire_start(leads_on, NULL);
  const char *netrc = text("%s/%s", env("RF_TEST_DIR"), unique("netrc"));
  FILE *file = fopen(netrc, "w");
  CHECK(file != NULL && fputs("machine localhost login net password rc\n", file) >= 0 && fclose(file) == 0);
  setenv("NETRC", netrc, 1);
  rf_options *header = new_options(), *auth = new_options(), *untrusting = new_options();
  CHECK_OK(rf_options_set_header(header, "Authorization", "Own secret"));
  CHECK_OK(rf_options_set_auth_basic(auth, "own", "1"));
  CHECK_OK(rf_options_set_auth_basic(untrusting, "own", "1"));
  CHECK_OK(rf_options_set_trust_env(untrusting, false));
  const struct {
    const char *url;
    const rf_options *options;
    const char *sent;
  } all[] = {
      {wire_url(server, "/x?to=/y"), header, "Own secret"},
      {wire_url(server, "/x?to=/y"), auth, "Basic b3duOjE="},
      {wire_url(server, text("/x?to=%s", wire_url(other, "/y"))), header, "none"},
      {wire_url(server, text("/x?to=%s", wire_url(other, "/y"))), auth, "none"},
      {wire_url(server, text("/x?to=http://localhost:%d/y", server->port)), header, "Basic bmV0OnJj"},
      {wire_url(server, text("/x?to=http://localhost:%d/y", server->port)), auth, "Basic bmV0OnJj"},
      {wire_url(server, text("/x?to=http://localhost:%d/y", server->port)), untrusting, "none"},
      {wire_url(server, text("/x?to=http://localhost:%d/y?to=%s", server->port, wire_url(server, "/z"))), header, "none"},
      {wire_url(server, text("/x?to=http://localhost:%d/y?to=%s", server->port, wire_url(server, "/z"))), auth, "none"},
      {text("http://u:p@127.0.0.1:%d/x?to=%s?to=%s", server->port, wire_url(other, "/y"), wire_url(server, "/z")), NULL,
       "none"},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    rf_future *future = get(session, all[i].url, all[i].options);
    CHECK_STR(all[i].sent, rf_response_text(RESPONSE(future), NULL));
    rf_future_free(future);
  }
  unsetenv("NETRC");
  remove(netrc);
  rf_options_free(header);
  rf_options_free(auth);
  rf_options_free(untrusting);
  wire_stop(server);
  wire_stop(other);
}

/* A Location with credentials: they are in no text, whether it leads anywhere or not. */
static void secrets_in_locations(void) {
  wire *server = wire_start(leads_on, NULL);
  static const char *const bad[] = {"user:SECRET@example.com/x", "ftp://user:SECRET@example.com/x",
                                    "http://user:SECRET@:80/", "//user:SEC/SECRET@example.com/"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    rf_future *future = get(session, wire_url(server, text("/x?to=%s", bad[i])), NULL);
    const rf_error *error = NULL;
    CHECK_OK(rf_future_exception(future, LONG_MS, &error));
    CHECK(error != NULL);
    if (strstr(rf_error_message(error), "SEC") != NULL) FAIL("%s: %s", bad[i], rf_error_message(error));
    if (strstr(rf_error_url(error), "SEC") != NULL && strstr(rf_error_url(error), "?to=") == NULL) {
      FAIL("%s: %s", bad[i], rf_error_url(error));
    }
    rf_future_free(future);
  }
  rf_future *future = get(session, wire_url(server, text("/x?to=http://user:SECRET@127.0.0.1:%d/y", server->port)), NULL);
  CHECK_STR(wire_url(server, "/y"), rf_response_url(RESPONSE(future)));
  CHECK_STR("none", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  wire_stop(server);
}

/* A body that cannot be sent again. */
static int64_t read_once(uint8_t *buffer, size_t capacity, void *user_data) {
  int *calls = user_data;
  CHECK(capacity >= 4);
  if ((*calls)++ > 0) return 0;
  memcpy(buffer, "once", 4);
  return 4;
}
static rf_status cannot_rewind(void *user_data) {
  (void)user_data;
  return RF_FAILED;
}

static void bodies_that_cannot_be_sent_again(void) {
  int calls = 0;
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_body_reader(options, read_once, NULL, 4, &calls, NULL));
  rf_future *future = request(session, "POST", http("/redirect-to?url=/post&status_code=307"), options);
  ERROR_OF(RF_ERROR_UNREWINDABLE_BODY, future);
  rf_future_free(future);
  rf_options_free(options);

  /* It is not needed after a 303. */
  calls = 0;
  options = new_options();
  CHECK_OK(rf_options_set_body_reader(options, read_once, NULL, 4, &calls, NULL));
  future = request(session, "POST", http("/redirect-to?url=/get&status_code=303"), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);

  calls = 0;
  options = new_options();
  CHECK_OK(rf_options_set_body_reader(options, read_once, cannot_rewind, 4, &calls, NULL));
  future = request(session, "POST", http("/redirect-to?url=/post&status_code=308"), options);
  ERROR_OF(RF_ERROR_HOOK, future);
  rf_future_free(future);
  rf_options_free(options);
}

int main(void) {
  session = new_session();
  methods();
  not_followed();
  limits();
  locations();
  hops();
  other_hosts();
  the_history_is_the_redirects_or_else_the_challenges();
  what_was_dropped_stays_dropped();
  secrets_in_locations();
  bodies_that_cannot_be_sent_again();
  rf_session_free(session);
  return finish();
}
