/* TLS: what is trusted, what is refused, and that a connection made without looking never serves one who looks. */
#include "wire.h"

#include <fcntl.h>
#include <net/if.h>
#include <sys/stat.h>

static rf_options *trusting(const char *bundle) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_ca_bundle(options, bundle));
  return options;
}

/* The same over HTTP/1.1, where "/close" closes the connection. */
static rf_options *once(const char *bundle) {
  rf_options *options = trusting(bundle);
  CHECK_OK(rf_options_set_http_version(options, RF_HTTP_1_1));
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

/* ---- which certificates are taken ---- */

/* The message of a request that must fail; kept until the end of the test. */
#define FAILURE(session, url, options, kind) failure_of((session), (url), (options), (kind), __FILE__, __LINE__)
static const char *failure_of(rf_session *session, const char *url, const rf_options *options, rf_error_kind kind,
                              const char *file, int line) {
  rf_future *future = get(session, url, options);
  const char *message = text("%s", rf_error_message(error_of((int)kind, future, file, line)));
  rf_future_free(future);
  return message;
}

#define SUCCEEDS(session, url, options) succeeds((session), (url), (options), __FILE__, __LINE__)
static void succeeds(rf_session *session, const char *url, const rf_options *options, const char *file, int line) {
  rf_future *future = get(session, url, options);
  check_int(200, rf_response_status_code(response_of(future, file, line)), url, file, line);
  rf_future_free(future);
}

/* With verify off any certificate is taken, whether it can be read or not. */
static void off_is_off(void) {
  static const char *const taken[] = {"RF_TEST_HTTPS_VERSION_1", "RF_TEST_HTTPS_VERSION_1_TLS12",
                                      "RF_TEST_HTTPS_ODD_EXTENSION", "RF_TEST_HTTPS_RSA_1024", "RF_TEST_HTTPS_RSA_PSS",
                                      "RF_TEST_HTTPS_GARBAGE", "RF_TEST_HTTPS_OWN_EXPIRED"};
  static const char *const forged[] = {"RF_TEST_HTTPS_WRONG_KEY", "RF_TEST_HTTPS_WRONG_KEY_TLS12"};
  rf_session *session = new_session();
  rf_options *unverified = new_options();
  rf_options *verified = trusting(env("RF_TEST_CA"));
  CHECK_OK(rf_options_set_verify(unverified, false));
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
    SUCCEEDS(session, on(taken[i], "/get"), unverified);
    CHECK_HAS("certificate verify failed for 127.0.0.1:", FAILURE(session, on(taken[i], "/get"), verified, RF_ERROR_SSL));
  }
  /* A handshake that is signed with another key than the certificate's is not taken. */
  for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
    CHECK_HAS("a signature is wrong", FAILURE(session, on(forged[i], "/get"), unverified, RF_ERROR_SSL));
  }
  rf_options_free(unverified);
  rf_options_free(verified);
  rf_session_free(session);
}

/* A certificate that stands in the bundle itself is trusted whatever its extensions: its names and dates count. */
static void listed(void) {
  static const struct {
    const char *server, *bundle, *refusal;
  } all[] = {
      {"RF_TEST_HTTPS_OWN", "RF_TEST_CERT_OWN", NULL},
      {"RF_TEST_HTTPS_ODD_EXTENSION", "RF_TEST_CERT_ODD_EXTENSION", NULL},
      {"RF_TEST_HTTPS_RSA_PSS", "RF_TEST_CERT_RSA_PSS", NULL},
      {"RF_TEST_HTTPS_P521", "RF_TEST_CERT_P521_CA", NULL},
      {"RF_TEST_HTTPS_P521_TLS12", "RF_TEST_CERT_P521_CA", NULL},
      {"RF_TEST_HTTPS_P521", "RF_TEST_CA", "not signed by a trusted authority"},
      {"RF_TEST_HTTPS_OWN", "RF_TEST_CA", "that of an authority"},
      {"RF_TEST_HTTPS_OWN", "RF_TEST_CERT_ODD_EXTENSION", "that of an authority"},
      {"RF_TEST_HTTPS_OWN_EXPIRED", "RF_TEST_CERT_OWN_EXPIRED", "has expired on 2020-06-01 00:00:00 UTC"},
      {"RF_TEST_HTTPS_OWN_OTHERS", "RF_TEST_CERT_OWN_OTHERS",
       "is for other names: a.example.test, b.example.test, c.example.test and 1 more"},
      {"RF_TEST_HTTPS_VERSION_1", "RF_TEST_CERT_VERSION_1", "names no host"},
      {"RF_TEST_HTTPS_WRONG_KEY_TLS12", "RF_TEST_CERT_ODD_EXTENSION", "a signature is wrong"},
  };
  rf_session *session = new_session();
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    rf_options *options = trusting(env(all[i].bundle));
    if (all[i].refusal == NULL) {
      SUCCEEDS(session, on(all[i].server, "/get"), options);
    } else {
      const char *message = FAILURE(session, on(all[i].server, "/get"), options, RF_ERROR_SSL);
      CHECK_HAS("certificate verify failed for 127.0.0.1:", message);
      CHECK_HAS(all[i].refusal, message);
    }
    rf_options_free(options);
  }
  rf_session_free(session);
}

/* OpenSSL's trusted form of a certificate is read, and what it says about servers is heeded. */
static void trusted_form(void) {
  rf_session *session = new_session();
  rf_options *options = trusting(env("RF_TEST_TRUSTED_CA"));
  SUCCEEDS(session, on("RF_TEST_HTTPS", "/get"), options);
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_DISTRUSTED_CA")));
  CHECK_HAS(env("RF_TEST_DISTRUSTED_CA"), FAILURE(session, on("RF_TEST_HTTPS", "/get"), options, RF_ERROR_SSL));
  rf_options_free(options);
  rf_session_free(session);
}

/* ---- names ---- */

/* A host of which TLS would not know that it is one is connected to, and the certificate must be for it. */
static void odd_names(void) {
  static const struct {
    const char *host;
    bool taken;
  } all[] = {{"foo-.example.test", true}, {"-foo.example.test", true}, {"foo_.example.test", true},
             {"foo-.example", false},     {"foo.example-", false}};
  int port = atoi(env("RF_TEST_HTTPS_PORT"));
  rf_session *session = new_session();
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    rf_options *options = trusting(env("RF_TEST_CA"));
    const char *url = text("https://%s:%d/get", all[i].host, port);
    CHECK_OK(rf_options_set_resolve(options, all[i].host, (uint16_t)port, "127.0.0.1"));
    if (all[i].taken) {
      SUCCEEDS(session, url, options);
    } else {
      const char *message = FAILURE(session, url, options, RF_ERROR_SSL);
      CHECK_HAS(text("certificate verify failed for %s:%d", all[i].host, port), message);
      CHECK_HAS("is for other names: localhost, ", message);
    }
    CHECK_OK(rf_options_set_verify(options, false));
    SUCCEEDS(session, url, options);
    rf_options_free(options);
  }
  rf_session_free(session);
}

/* The zone of an address is for connecting; the certificate is for the address. */
static void zones(void) {
  const char *server = getenv("RF_TEST_HTTPS6");
  unsigned zone = if_nametoindex("lo");
  if (server == NULL || zone == 0) return;
  rf_session *session = new_session();
  rf_options *options = trusting(env("RF_TEST_CA"));
  SUCCEEDS(session, text("%s/get", server), options);
  SUCCEEDS(session, text("https://[::1%%25%u]:%s/get", zone, strrchr(server, ':') + 1), options);
  rf_options_free(options);
  rf_session_free(session);
}

/* ---- files ---- */

static void copy(const char *from, const char *to) {
  char buffer[16384];
  const char *fresh = text("%s.new", to);
  FILE *in = fopen(from, "rb"), *out = fopen(fresh, "wb");
  CHECK(in != NULL && out != NULL);
  size_t length = fread(buffer, 1, sizeof buffer, in);
  CHECK_INT(length, fwrite(buffer, 1, length, out));
  fclose(in);
  CHECK(fclose(out) == 0);
  CHECK(rename(fresh, to) == 0);
}

/* Looks are a second apart. */
static void wait_for_look(void) { sleep_ms(1100); }

/* New connections use what the files say now. */
static void renewed(void) {
  const char *cert = text("%s/%s", env("RF_TEST_DIR"), unique("renewed-client"));
  const char *bundle = text("%s/%s", env("RF_TEST_DIR"), unique("renewed-ca"));
  const char *directory = text("%s/%s", env("RF_TEST_DIR"), unique("renewed-cas"));
  const char *entry = text("%s/some.pem", directory);
  const char *url = on("RF_TEST_HTTPS_CLIENT_CERT", "/close");
  rf_session *session = new_session();
  CHECK(mkdir(directory, 0700) == 0);

  copy(env("RF_TEST_WRONG_CLIENT_COMBINED"), cert);
  copy(env("RF_TEST_CA"), bundle);
  rf_options *options = once(bundle);
  CHECK_OK(rf_options_set_cert(options, cert, NULL));
  FAILURE(session, url, options, RF_ERROR_SSL);
  copy(env("RF_TEST_CLIENT_COMBINED"), cert);
  wait_for_look();
  SUCCEEDS(session, url, options);
  copy(env("RF_TEST_WRONG_CA"), bundle);
  wait_for_look();
  CHECK_HAS("not signed by a trusted authority", FAILURE(session, url, options, RF_ERROR_SSL));
  copy(env("RF_TEST_CA"), bundle);

  /* One that does not load is the request's error, and the next request tries again. */
  copy(env("RF_TEST_BAD_PEM"), cert);
  wait_for_look();
  CHECK_HAS(cert, FAILURE(session, url, options, RF_ERROR_SSL));
  CHECK(unlink(cert) == 0);
  CHECK_HAS(cert, FAILURE(session, url, options, RF_ERROR_SSL));
  copy(env("RF_TEST_CLIENT_COMBINED"), cert);
  SUCCEEDS(session, url, options);

  /* A file inside of a directory, written over where it stands. */
  copy(env("RF_TEST_WRONG_CA"), entry);
  CHECK_OK(rf_options_set_ca_bundle(options, directory));
  FAILURE(session, url, options, RF_ERROR_SSL);
  FILE *in = fopen(env("RF_TEST_CA"), "rb"), *out = fopen(entry, "r+b");
  char buffer[16384];
  size_t length = fread(buffer, 1, sizeof buffer, in);
  CHECK_INT(length, fwrite(buffer, 1, length, out));
  CHECK(ftruncate(fileno(out), (off_t)length) == 0);
  fclose(in);
  fclose(out);
  wait_for_look();
  SUCCEEDS(session, url, options);

  /* A connection that rests goes on with what it was made with. */
  rf_options_free(options);
  options = once(bundle);
  int64_t ids[2];
  for (int i = 0; i < 2; i++) {
    rf_future *future = get(session, on("RF_TEST_HTTPS", "/connection-id"), options);
    const rf_json *json = NULL;
    CHECK_OK(rf_response_json(RESPONSE(future), &json, NULL));
    CHECK_OK(rf_json_int(rf_json_get(json, "id"), &ids[i]));
    rf_future_free(future);
    copy(env("RF_TEST_WRONG_CA"), bundle);
    if (i == 0) wait_for_look();
  }
  CHECK_INT(ids[0], ids[1]);
  rf_options_free(options);
  rf_session_free(session);
}

/* Writes a file into a FIFO, with pauses. */
static void *feed(void *path) {
  char buffer[16384];
  FILE *in = fopen(env("RF_TEST_CA"), "rb");
  size_t length = fread(buffer, 1, sizeof buffer, in);
  fclose(in);
  sleep_ms(50);
  int out = open(path, O_WRONLY);
  CHECK(out >= 0);
  for (size_t at = 0; at < length;) {
    size_t count = length - at < 300 ? length - at : 300;
    sleep_ms(20);
    CHECK_INT(count, write(out, buffer + at, count));
    at += count;
  }
  close(out);
  return NULL;
}

/* A FIFO that nobody writes to holds up nobody but the request that needs it, and that one until its deadline or an
   abort. */
static void fifos(void) {
  char fifo[1024];
  snprintf(fifo, sizeof fifo, "%s/%s", env("RF_TEST_DIR"), unique("fifo"));
  CHECK(mkfifo(fifo, 0600) == 0);
  rf_session *session = new_session();
  rf_options *options = once(fifo);
  const char *url = on("RF_TEST_HTTPS", "/close");

  CHECK_OK(rf_options_set_deadline(options, 300));
  int64_t start = now_ms();
  FAILURE(session, url, options, RF_ERROR_TIMEOUT);
  CHECK_RANGE(290, 400 * patience(), now_ms() - start);

  rf_options_free(options);
  options = once(fifo);
  CHECK_OK(rf_options_set_timeout(options, 300, RF_FOREVER));
  start = now_ms();
  FAILURE(session, url, options, RF_ERROR_CONNECT_TIMEOUT);
  CHECK_RANGE(290, 400 * patience(), now_ms() - start);

  rf_options_free(options);
  options = once(fifo);
  rf_future *first = get(session, url, options), *second = get(session, url, options);
  sleep_ms(100);
  rf_options *others = trusting(env("RF_TEST_CA"));
  SUCCEEDS(session, url, others);
  rf_options_free(others);
  start = now_ms();
  CHECK(rf_future_abort(first));
  CHECK(rf_future_abort(second));
  ERROR_OF(RF_ERROR_ABORTED, first);
  ERROR_OF(RF_ERROR_ABORTED, second);
  CHECK_RANGE(0, 50 * patience(), now_ms() - start);
  rf_future_free(first);
  rf_future_free(second);

  /* With a writer it is read to its end, by one for all, and not again. */
  pthread_t writer;
  CHECK(pthread_create(&writer, NULL, feed, fifo) == 0);
  first = get(session, url, options);
  second = get(session, url, options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(first)));
  CHECK_INT(200, rf_response_status_code(RESPONSE(second)));
  rf_future_free(first);
  rf_future_free(second);
  CHECK(pthread_join(writer, NULL) == 0);
  wait_for_look();
  SUCCEEDS(session, url, options);
  rf_options_free(options);

  /* As a shell's <(cat ca.pem). */
  int both[2];
  char buffer[16384];
  CHECK(pipe(both) == 0);
  FILE *in = fopen(env("RF_TEST_CA"), "rb");
  size_t length = fread(buffer, 1, sizeof buffer, in);
  fclose(in);
  CHECK_INT(length, write(both[1], buffer, length));
  close(both[1]);
  options = once(text("/dev/fd/%d", both[0]));
  SUCCEEDS(session, url, options);
  SUCCEEDS(session, url, options);
  close(both[0]);
  rf_options_free(options);

  /* What never ends is no file. */
  options = trusting("/dev/zero");
  CHECK_HAS("/dev/zero: longer than 64 MB", FAILURE(session, url, options, RF_ERROR_SSL));
  rf_options_free(options);
  rf_session_free(session);
}

/* ---- words ---- */

/* Reads something, and closes. */
static void hang_up(wire_connection *connection, void *unused) {
  (void)unused;
  wire_more(connection);
}

/* Reads something, and sends a TLS alert. */
static void alert(wire_connection *connection, void *unused) {
  (void)unused;
  wire_more(connection);
  wire_bytes(connection, "\x15\x03\x03\x00\x02\x02\x28", 7);
}

/* A message says who failed, and why, in plain words. */
static void words(void) {
  static const struct {
    const char *server, *bundle, *message;
  } all[] = {
      {"RF_TEST_HTTPS", "RF_TEST_WRONG_CA",
       "certificate verify failed for %s: the certificate is not signed by a trusted authority"},
      {"RF_TEST_HTTPS_EXPIRED", "RF_TEST_CA",
       "certificate verify failed for %s: the certificate has expired on 2020-06-01 00:00:00 UTC"},
      {"RF_TEST_HTTPS_WRONG_HOST", "RF_TEST_CA",
       "certificate verify failed for %s: the certificate is for other names: wrong.example.test"},
      {"RF_TEST_HTTPS_OWN", "RF_TEST_CA",
       "certificate verify failed for %s: the certificate is that of an authority (CA:TRUE), and not among those that "
       "are trusted: see rf_options_set_ca_bundle"},
      {"RF_TEST_HTTPS_VERSION_1", "RF_TEST_CA",
       "certificate verify failed for %s: the certificate is of another version than 3"},
      {"RF_TEST_HTTPS_ODD_EXTENSION", "RF_TEST_CA",
       "certificate verify failed for %s: the certificate has a critical extension that is not known"},
      {"RF_TEST_HTTPS_GARBAGE", "RF_TEST_CA",
       "certificate verify failed for %s: the certificate is malformed"},
      {"RF_TEST_HTTPS_CLIENT_CERT", "RF_TEST_CA",
       "TLS handshake refused by %s with alert \"certificate required\""},
      {"RF_TEST_TLS_PLAIN", "RF_TEST_CA", "%s speaks no TLS"},
  };
  rf_session *session = new_session();
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    rf_options *options = trusting(env(all[i].bundle));
    CHECK_STR(text(all[i].message, env(all[i].server) + strlen("https://")),
              FAILURE(session, on(all[i].server, "/get"), options, RF_ERROR_SSL));
    rf_options_free(options);
  }
  /* A plain port of a web server, and a server that hangs up. */
  CHECK_STR(text("127.0.0.1:%s speaks no TLS", env("RF_TEST_HTTP_PORT")),
            FAILURE(session, text("https://127.0.0.1:%s/get", env("RF_TEST_HTTP_PORT")), NULL, RF_ERROR_SSL));
  wire *server = wire_start(hang_up, NULL);
  CHECK_STR(text("127.0.0.1:%d closed the connection during the TLS handshake", server->port),
            FAILURE(session, text("https://127.0.0.1:%d/", server->port), NULL, RF_ERROR_SSL));
  wire_stop(server);
  server = wire_start(alert, NULL);
  CHECK_STR(text("TLS handshake refused by 127.0.0.1:%d with alert \"handshake failure\"", server->port),
            FAILURE(session, text("https://127.0.0.1:%d/", server->port), NULL, RF_ERROR_SSL));
  wire_stop(server);
  /* A key that is another certificate's. */
  rf_options *options = trusting(env("RF_TEST_CA"));
  CHECK_OK(rf_options_set_cert(options, env("RF_TEST_CLIENT_CERT"), env("RF_TEST_WRONG_CLIENT_COMBINED")));
  CHECK_STR(text("The TLS certificate %s and the key %s cannot be used: the key is not that of the certificate",
                 env("RF_TEST_CLIENT_CERT"), env("RF_TEST_WRONG_CLIENT_COMBINED")),
            FAILURE(session, on("RF_TEST_HTTPS", "/get"), options, RF_ERROR_SSL));
  rf_options_free(options);
  rf_session_free(session);
}

int main(void) {
  trusted();
  refused();
  files();
  without_verifying();
  client_certificates();
  environment();
  off_is_off();
  listed();
  trusted_form();
  odd_names();
  zones();
  renewed();
  fifos();
  words();
  return finish();
}
