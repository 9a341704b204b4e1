/* Credentials: basic, digest, bearer; of the request, the session, netrc and the URL; none at all. */
#include "check.h"

#include <sys/stat.h>

static int status_of(rf_session *session, const char *url, const rf_options *options) {
  rf_future *future = get(session, url, options);
  int code = rf_response_status_code(RESPONSE(future));
  rf_future_free(future);
  return code;
}

/* The Authorization header that a GET sends, or "". */
static const char *sent(rf_session *session, const char *url, const rf_options *options) {
  rf_future *future = get(session, url, options);
  const char *header = rf_response_request_header(RESPONSE(future), "Authorization");
  const char *copy = text("%s", header != NULL ? header : "");
  rf_future_free(future);
  return copy;
}

static const char *with_user_info(const char *user_info, const char *path) {
  return text("http://%s@127.0.0.1:%s%s", user_info, env("RF_TEST_HTTP_PORT"), path);
}

static rf_options *basic(const char *user, const char *password) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_auth_basic(options, user, password));
  return options;
}

static void basic_and_bearer(void) {
  rf_session *session = new_session();
  rf_options *options = basic("user", "pass");
  CHECK_INT(401, status_of(session, http("/basic-auth/user/pass"), NULL));
  CHECK_INT(200, status_of(session, http("/basic-auth/user/pass"), options));
  CHECK_INT(200, status_of(session, http("/hidden-basic-auth/user/pass"), options)); /* sent unasked */
  CHECK_INT(401, status_of(session, http("/basic-auth/user/other"), options));
  CHECK_STR("Basic dXNlcjpwYXNz", sent(session, http("/get"), options));
  rf_options_free(options);

  options = new_options();
  CHECK_OK(rf_options_set_auth_bearer(options, "to.ken"));
  CHECK_STR("Bearer to.ken", sent(session, http("/bearer"), options));
  CHECK_INT(200, status_of(session, http("/bearer"), options));
  rf_options_free(options);
  rf_session_free(session);
}

static void from_the_url(void) {
  rf_session *session = new_session();
  rf_future *future = get(session, with_user_info("user:pass", "/basic-auth/user/pass"), NULL);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  CHECK_STR(http("/basic-auth/user/pass"), rf_response_url(RESPONSE(future))); /* they leave the URL */
  rf_future_free(future);
  /* Percent-decoded. */
  CHECK_STR("Basic dXNlcjpwQHNz", sent(session, with_user_info("user:p%40ss", "/get"), NULL));
  rf_session_free(session);
}

/* The request's win over the session's, these over netrc's, these over the URL's. */
static void precedence(void) {
  const char *netrc = text("%s/%s", env("RF_TEST_DIR"), unique("netrc"));
  FILE *file = fopen(netrc, "w");
  CHECK(file != NULL);
  fprintf(file, "# comment\nmachine example.test login no password no\n");
  fprintf(file, "machine 127.0.0.1\n  login net\n  password rc\n");
  fclose(file);
  CHECK(chmod(netrc, 0600) == 0);

  rf_session *session = new_session();
  rf_options *none = new_options(), *own = basic("own", "1"), *of_session = basic("session", "1");
  CHECK_OK(rf_options_set_auth_none(none));
  const char *url = with_user_info("url:1", "/get");
  CHECK_STR("Basic dXJsOjE=", sent(session, url, NULL));

  setenv("NETRC", netrc, 1);
  CHECK_STR("Basic bmV0OnJj", sent(session, http("/get"), NULL));
  CHECK_STR("Basic bmV0OnJj", sent(session, url, NULL));
  const char *other = text("http://localhost:%s/get", env("RF_TEST_HTTP_PORT"));
  CHECK_STR("", sent(session, other, NULL)); /* another machine */
  rf_options *untrusting = new_options();
  CHECK_OK(rf_options_set_trust_env(untrusting, false));
  CHECK_STR("", sent(session, http("/get"), untrusting));
  CHECK_STR("Basic dXJsOjE=", sent(session, url, untrusting));
  rf_options_free(untrusting);
  CHECK_STR("", sent(session, http("/get"), none)); /* none at all */

  CHECK_OK(rf_session_update(session, of_session));
  CHECK_STR("Basic c2Vzc2lvbjox", sent(session, http("/get"), NULL));
  CHECK_STR("Basic c2Vzc2lvbjox", sent(session, url, NULL));
  CHECK_STR("Basic b3duOjE=", sent(session, http("/get"), own));
  CHECK_STR("", sent(session, http("/get"), none));
  /* Taken back from the defaults: netrc's are next. */
  CHECK_OK(rf_session_update(session, none));
  const char *after = sent(session, http("/get"), NULL);
  CHECK(strcmp(after, "Basic c2Vzc2lvbjox") != 0);
  unsetenv("NETRC");
  remove(netrc);
  rf_options_free(none);
  rf_options_free(own);
  rf_options_free(of_session);
  rf_session_free(session);
}

static rf_options *with_header(const char *value) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_header(options, "authorization", value));
  return options;
}

/* Request's auth, request's header, session's auth, session's header, netrc, URL: the first that is there, alone. */
static void precedence_of_headers(void) {
  const char *netrc = text("%s/%s", env("RF_TEST_DIR"), unique("netrc"));
  FILE *file = fopen(netrc, "w");
  CHECK(file != NULL);
  fprintf(file, "machine 127.0.0.1 login net password rc\n");
  fclose(file);
  setenv("NETRC", netrc, 1);
  rf_session *session = new_session();
  rf_options *own = basic("own", "1"), *both = basic("own", "1"), *none = new_options(), *digest = new_options();
  rf_options *header = with_header("Own header"), *out = with_header(NULL), *none_and_header = with_header("Own header");
  rf_options *of_session = basic("session", "1"), *header_of_session = with_header("Session header");
  CHECK_OK(rf_options_set_header(both, "Authorization", "Own header"));
  CHECK_OK(rf_options_set_auth_none(none));
  CHECK_OK(rf_options_set_auth_none(none_and_header));
  CHECK_OK(rf_options_set_auth_digest(digest, "user", "pw"));
  CHECK_OK(rf_options_set_header(digest, "Authorization", "Own header"));
  const char *url = with_user_info("url:1", "/get");

  CHECK_STR("Basic bmV0OnJj", sent(session, url, NULL));
  CHECK_STR("Own header", sent(session, url, header)); /* over netrc and the URL */
  CHECK_STR("Basic b3duOjE=", sent(session, url, both));
  CHECK_STR("", sent(session, url, digest)); /* nobody has asked yet, and the header has lost */

  CHECK_OK(rf_session_update(session, header_of_session));
  CHECK_STR("Session header", sent(session, url, NULL)); /* over netrc and the URL */
  CHECK_STR("Own header", sent(session, url, header));
  CHECK_STR("Basic b3duOjE=", sent(session, url, own));
  CHECK_STR("Basic bmV0OnJj", sent(session, url, out));
  CHECK_STR("", sent(session, url, none)); /* not even the session's header */
  CHECK_STR("Own header", sent(session, url, none_and_header));

  CHECK_OK(rf_session_update(session, of_session));
  CHECK_STR("Basic c2Vzc2lvbjox", sent(session, url, NULL)); /* over the session's header */
  CHECK_STR("Own header", sent(session, url, header));       /* a request's header over the session's auth */
  CHECK_STR("Basic b3duOjE=", sent(session, url, both));
  CHECK_STR("Basic c2Vzc2lvbjox", sent(session, url, out));
  unsetenv("NETRC");
  remove(netrc);
  rf_options *all[] = {own, both, none, digest, header, out, none_and_header, of_session, header_of_session};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) rf_options_free(all[i]);
  rf_session_free(session);
}

/* A machine is the host that a URL names, however it is written. */
static void a_machine_in_two_spellings(void) {
  const char *netrc = text("%s/%s", env("RF_TEST_DIR"), unique("netrc"));
  FILE *file = fopen(netrc, "w");
  CHECK(file != NULL);
  fprintf(file, "machine B\xC3\x9C" "cher.EXAMPLE login net password rc\n");
  fclose(file);
  setenv("NETRC", netrc, 1);
  rf_session *session = new_session();
  rf_options *options = new_options();
  const char *port = env("RF_TEST_HTTP_PORT");
  CHECK_OK(rf_options_set_resolve(options, "xn--bcher-kva.example", (uint16_t)atoi(port), "127.0.0.1"));
  CHECK_STR("Basic bmV0OnJj", sent(session, text("http://b\xC3\xBC" "cher.example:%s/get", port), options));
  CHECK_STR("Basic bmV0OnJj", sent(session, text("http://xn--bcher-kva.example:%s/get", port), options));
  unsetenv("NETRC");
  remove(netrc);
  rf_options_free(options);
  rf_session_free(session);
}

/* ~/.netrc is what it is when a request is sent, however short a time before it was made or removed. */
static void a_netrc_that_comes_and_goes(void) {
  const char *before = text("%s", env("HOME")), *home = text("%s/%s", env("RF_TEST_DIR"), unique("home"));
  const char *netrc = text("%s/.netrc", home);
  CHECK_INT(0, mkdir(home, 0700));
  CHECK_INT(0, setenv("HOME", home, 1));
  rf_session *session = new_session();
  for (int i = 0; i < 5; i++) {
    CHECK_STR("", sent(session, http("/get"), NULL));
    FILE *file = fopen(netrc, "w");
    CHECK(file != NULL);
    fprintf(file, "machine 127.0.0.1 login net password rc\n");
    fclose(file);
    CHECK_STR("Basic bmV0OnJj", sent(session, http("/get"), NULL));
    CHECK_INT(0, remove(netrc));
    CHECK_STR("", sent(session, http("/get"), NULL));
    sleep_ms(15); /* only many requests in a short time may hear of it a moment later */
  }
  rf_session_free(session);
  CHECK_INT(0, setenv("HOME", before, 1));
  CHECK_INT(0, rmdir(home));
}

/* A line break is an error that names no secret. */
static void what_breaks_lines(void) {
  rf_session *session = new_session();
  rf_options *all[] = {basic("us\ner", "secret"), basic("user", "sec\rret"), new_options(), new_options()};
  CHECK_OK(rf_options_set_auth_digest(all[2], "user", "secret\n"));
  CHECK_OK(rf_options_set_auth_bearer(all[3], "sec\r\nret"));
  static const char *const whose[] = {"the user name", "the password", "the password", "the token"};
  for (size_t i = 0; i < 4; i++) {
    rf_future *future = get(session, http("/get"), all[i]);
    const char *message = rf_error_message(ERROR_OF(RF_ERROR_INVALID_HEADER, future));
    CHECK_HAS(text("%s holds a line break", whose[i]), message);
    CHECK(strstr(message, "sec") == NULL);
    rf_future_free(future);
    rf_options_free(all[i]);
  }
  rf_session_free(session);
}

static void digest(void) {
  static const char *const algorithms[] = {"MD5",         "SHA",          "SHA-256",      "SHA-512",
                                           "SHA-512-256", "MD5-sess",     "SHA-sess",     "SHA-256-sess",
                                           "SHA-512-sess", "SHA-512-256-sess"};
  static const char *const qops[] = {"auth", "auth,auth-int", "auth-int", "none"};
  for (size_t i = 0; i < 10; i++) {
    for (size_t j = 0; j < 4; j++) {
      if (j == 3 && i >= 5) continue; /* -sess needs a qop */
      rf_session *session = new_session();
      rf_options *options = new_options();
      CHECK_OK(rf_options_set_auth_digest(options, "us er", "pa:ss"));
      const char *url = http(text("/digest-auth/%s/us%%20er/pa:ss/%s?a=b", qops[j], algorithms[i]));
      rf_future *future = get(session, url, options);
      const rf_response *response = RESPONSE(future);
      if (rf_response_status_code(response) != 200) {
        FAIL("%s with qop %s: %d", algorithms[i], qops[j], rf_response_status_code(response));
      }
      CHECK_INT(1, rf_response_history_count(response));
      CHECK_INT(401, rf_response_status_code(rf_response_history_at(response, 0)));
      CHECK_HAS("Digest username=\"us er\"", rf_response_request_header(response, "Authorization"));
      rf_future_free(future);
      rf_options_free(options);
      rf_session_free(session);
    }
  }
}

/* RFC 7616: the hash of user and realm in the place of the user, and the algorithm without quotes. */
static void digest_with_the_users_name_hashed(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_auth_digest(options, "J\xC3\xA4s\xC3\xB8n Doe", "Secret, or not?"));
  const char *path = "/digest-auth/auth/J%C3%A4s%C3%B8n%20Doe/Secret%2C%20or%20not%3F/SHA-512-256?userhash=1&realm=r";
  rf_future *future = get(session, http(path), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  const char *header = rf_response_request_header(RESPONSE(future), "Authorization");
  CHECK_HAS("userhash=true", header);
  CHECK_HAS("algorithm=SHA-512-256", header);
  CHECK(strstr(header, "username=\"J") == NULL);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

/* A body that a reader gives out, again after a rewind. */
typedef struct reading {
  int at, rewinds;
} reading;
static int64_t read_body(uint8_t *buffer, size_t capacity, void *user_data) {
  reading *reader = user_data;
  if (capacity == 0 || reader->at == 7) return 0;
  *buffer = (uint8_t)"payload"[reader->at++];
  return 1;
}
static rf_status rewind_body(void *user_data) {
  reading *reader = user_data;
  reader->at = 0;
  reader->rewinds++;
  return RF_OK;
}

/* auth-int covers the body: in memory, in files, from readers that can be rewound. Another leaves the 401 as it is. */
static void digest_of_bodies(void) {
  const char *name = text("%s/%s", env("RF_TEST_DIR"), unique("digest-body"));
  FILE *file = fopen(name, "w");
  CHECK(file != NULL && fputs("payload", file) >= 0 && fclose(file) == 0);
  for (int kind = 0; kind < 5; kind++) {
    for (int offer = 0; offer < 2; offer++) {
      reading reader = {0, 0};
      rf_session *session = new_session();
      rf_options *options = new_options();
      CHECK_OK(rf_options_set_auth_digest(options, "user", "pw"));
      switch (kind) {
        case 0: CHECK_OK(rf_options_set_body(options, "payload", 7)); break;
        case 1: CHECK_OK(rf_options_set_body_file(options, name)); break;
        case 2: CHECK_OK(rf_options_add_file(options, "field", name, NULL)); break;
        case 3: CHECK_OK(rf_options_set_body_reader(options, read_body, rewind_body, -1, &reader, NULL)); break;
        default: CHECK_OK(rf_options_set_body_reader(options, read_body, NULL, 7, &reader, NULL));
      }
      const char *url = http(text("/digest-auth/%s/user/pw/SHA-256", offer == 0 ? "auth-int" : "auth-int,auth"));
      rf_future *future = request(session, "POST", url, options);
      if (kind < 4) {
        const rf_response *response = RESPONSE(future);
        if (rf_response_status_code(response) != 200) FAIL("body %d: %d", kind, rf_response_status_code(response));
        const char *qop = offer == 0 ? "qop=\"auth-int\"" : "qop=\"auth\"";
        CHECK_HAS(qop, rf_response_request_header(response, "Authorization"));
        rf_future_free(future);
        /* The nonce is known: the body is hashed before it is sent for the first time. */
        future = request(session, "POST", url, options);
        CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
        CHECK_INT(0, rf_response_history_count(RESPONSE(future)));
      } else if (offer == 0) {
        CHECK_INT(401, rf_response_status_code(RESPONSE(future)));
        CHECK_INT(0, rf_response_history_count(RESPONSE(future)));
      } else {
        ERROR_OF(RF_ERROR_UNREWINDABLE_BODY, future); /* it has gone out, and cannot go out with the answer */
      }
      rf_future_free(future);
      rf_options_free(options);
      rf_session_free(session);
    }
  }
  remove(name);
}

static rf_status count_call(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response;
  INCREMENT(*(int *)user_data);
  return RF_OK;
}

static void digest_rules(void) {
  rf_session *session = new_session_workers(1);
  rf_options *options = new_options(), *wrong = new_options();
  const char *user = unique("digest");
  const char *stats = http(text("/digest-stats?user=%s", user));
  int calls = 0;
  CHECK_OK(rf_options_set_auth_digest(options, user, "pw"));
  CHECK_OK(rf_options_add_hook(options, count_call, &calls, NULL));
  const char *url = http(text("/digest-auth/auth/%s/pw", user));

  /* The nonce is used again: no second challenge. The extra round trip is not shown to hooks. */
  CHECK_INT(200, status_of(session, url, options));
  CHECK_INT(1, LOAD(calls));
  CHECK_INT(200, status_of(session, url, options));
  CHECK_INT(200, status_of(session, url, options));
  CHECK_INT(3, LOAD(calls));
  CHECK_INT(3, ask(stats, "/ok"));
  CHECK_INT(0, ask(stats, "/refused"));

  /* A body is sent again with the answer. */
  CHECK_OK(rf_options_set_body(options, "body", 4));
  rf_session *fresh = new_session();
  rf_future *future = request(fresh, "PUT", url, options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  rf_session_free(fresh);

  /* Wrong: one answer, then the 401. An unknown algorithm: the 401 as it is. */
  CHECK_OK(rf_options_set_auth_digest(wrong, user, "wrong"));
  fresh = new_session();
  future = get(fresh, url, wrong);
  CHECK_INT(401, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  future = get(fresh, http(text("/digest-auth/auth/%s/pw/UNKNOWN", user)), wrong);
  CHECK_INT(401, rf_response_status_code(RESPONSE(future)));
  CHECK_INT(0, rf_response_history_count(RESPONSE(future)));
  rf_future_free(future);
  rf_session_free(fresh);

  /* A stale nonce is replaced. */
  fresh = new_session_workers(1);
  rf_options *stale = new_options();
  CHECK_OK(rf_options_set_auth_digest(stale, user, "pw"));
  for (int i = 0; i < 4; i++) {
    CHECK_INT(200, status_of(fresh, http(text("/digest-auth/auth/%s/pw/MD5/1", user)), stale));
  }
  /* No challenge: no answer, and nothing in the header. */
  CHECK_INT(200, status_of(fresh, http("/get"), stale));
  rf_session_free(fresh);
  rf_options_free(stale);
  rf_options_free(options);
  rf_options_free(wrong);
  rf_session_free(session);
}

static void digest_among_many(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  const char *user = unique("many");
  rf_future *futures[40];
  CHECK_OK(rf_options_set_auth_digest(options, user, "pw"));
  const char *url = http(text("/digest-auth/auth/%s/pw?unordered=1", user));
  for (int i = 0; i < 40; i++) futures[i] = get(session, url, options);
  for (int i = 0; i < 40; i++) {
    CHECK_INT(200, rf_response_status_code(RESPONSE(futures[i])));
    rf_future_free(futures[i]);
  }
  CHECK_INT(0, ask(http(text("/digest-stats?user=%s", user)), "/refused"));
  rf_options_free(options);
  rf_session_free(session);
}

int main(void) {
  basic_and_bearer();
  from_the_url();
  precedence();
  precedence_of_headers();
  a_machine_in_two_spellings();
  a_netrc_that_comes_and_goes();
  what_breaks_lines();
  digest();
  digest_with_the_users_name_hashed();
  digest_of_bodies();
  digest_rules();
  digest_among_many();
  return finish();
}
