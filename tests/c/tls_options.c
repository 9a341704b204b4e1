/* What a request can say of TLS: versions, authorities and certificates out of memory, keys under passwords, PKCS#12
   files, pinned keys, another name for the server, and the file with the secrets of connections. */
#include "elsewhere.h"
#include "wire.h"

#include <fcntl.h>
#include <sys/stat.h>

static const char *on(const char *server, const char *path) { return text("%s%s", env(server), path); }

static rf_options *trusting(const char *bundle) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_ca_bundle(options, bundle));
  return options;
}

#define FAILURE(session, url, options) failure_of((session), (url), (options), __FILE__, __LINE__)
static const char *failure_of(rf_session *session, const char *url, const rf_options *options, const char *file,
                              int line) {
  rf_future *future = get(session, url, options);
  const char *message = text("%s", rf_error_message(error_of(RF_ERROR_SSL, future, file, line)));
  rf_future_free(future);
  return message;
}

#define SUCCEEDS(session, url, options) succeeds((session), (url), (options), __FILE__, __LINE__)
static void succeeds(rf_session *session, const char *url, const rf_options *options, const char *file, int line) {
  rf_future *future = get(session, url, options);
  check_int(200, rf_response_status_code(response_of(future, file, line)), url, file, line);
  rf_future_free(future);
}

/* A string of what a server says of the connection at /tls. */
static const char *told(rf_session *session, const char *url, const rf_options *options, const char *pointer) {
  rf_future *future = get(session, url, options);
  const char *value = json_string(RESPONSE(future), pointer);
  if (value != NULL) value = text("%s", value);
  rf_future_free(future);
  return value;
}

static int64_t connection_of(rf_session *session, const char *server, const rf_options *options) {
  rf_future *future = get(session, on(server, "/connection-id"), options);
  const rf_json *json = NULL;
  int64_t id = 0;
  CHECK_OK(rf_response_json(RESPONSE(future), &json, NULL));
  CHECK_OK(rf_json_int(rf_json_get(json, "id"), &id));
  rf_future_free(future);
  return id;
}

/* A file, with a NUL behind it; to be freed. */
static char *content_of(const char *path, size_t *length) {
  FILE *file = fopen(path, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) FAIL("%s cannot be read", path);
  size_t size = (size_t)ftell(file);
  char *content = calloc(1, size + 1);
  if (content == NULL || fseek(file, 0, SEEK_SET) != 0) FAIL("%s cannot be read", path);
  *length = fread(content, 1, size, file);
  fclose(file);
  return content;
}

static const char *client_file(const char *name) { return text("%s/%s", env("RF_TEST_CLIENT_DIR"), name); }

/* ---- versions ---- */

static void versions(void) {
  static const struct {
    const char *server;
    int lowest, highest;
    const char *spoken; /* NULL: they have none in common */
  } all[] = {
      {"RF_TEST_HTTPS", 0, 0, "TLSv1.3"},        {"RF_TEST_HTTPS", RF_TLS_1_2, RF_TLS_1_2, "TLSv1.2"},
      {"RF_TEST_HTTPS", 0, RF_TLS_1_2, "TLSv1.2"}, {"RF_TEST_HTTPS", RF_TLS_1_3, 0, "TLSv1.3"},
      {"RF_TEST_HTTPS", RF_TLS_1_2, RF_TLS_1_3, "TLSv1.3"}, {"RF_TEST_HTTPS_TLS12", RF_TLS_1_2, 0, "TLSv1.2"},
      {"RF_TEST_HTTPS_TLS12", RF_TLS_1_3, RF_TLS_1_3, NULL}, {"RF_TEST_HTTPS_TLS13", 0, RF_TLS_1_2, NULL},
      {"RF_TEST_HTTPS_TLS13", RF_TLS_1_3, RF_TLS_1_3, "TLSv1.3"},
  };
  rf_session *session = new_session();
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    rf_options *options = trusting(env("RF_TEST_CA"));
    CHECK_OK(rf_options_set_tls_versions(options, all[i].lowest, all[i].highest));
    if (all[i].spoken != NULL) {
      CHECK_STR(all[i].spoken, told(session, on(all[i].server, "/tls"), options, "/version"));
    } else {
      CHECK_HAS(env(all[i].server) + strlen("https://"), FAILURE(session, on(all[i].server, "/tls"), options));
    }
    rf_options_free(options);
  }
  rf_options *options = trusting(env("RF_TEST_CA"));
  BAD(rf_options_set_tls_versions(options, RF_TLS_1_3, RF_TLS_1_2));
  BAD(rf_options_set_tls_versions(options, 11, RF_TLS_1_2));
  BAD(rf_options_set_tls_versions(options, 0, 14));
  BAD(rf_options_set_tls_versions(options, -1, 0));

  /* The session's, which a request takes back; each has connections of its own. */
  CHECK_OK(rf_options_set_tls_versions(options, RF_TLS_1_2, RF_TLS_1_2));
  CHECK_OK(rf_session_update(session, options));
  rf_options *back = new_options();
  CHECK_OK(rf_options_set_tls_versions(back, 0, 0));
  for (int i = 0; i < 2; i++) {
    CHECK_STR("TLSv1.2", told(session, on("RF_TEST_HTTPS", "/tls"), NULL, "/version"));
    CHECK_STR("TLSv1.3", told(session, on("RF_TEST_HTTPS", "/tls"), back, "/version"));
  }
  CHECK_OK(rf_session_update(session, back));
  CHECK_STR("TLSv1.3", told(session, on("RF_TEST_HTTPS", "/tls"), NULL, "/version"));
  rf_options_free(back);
  rf_options_free(options);
  rf_session_free(session);
}

/* ---- out of memory ---- */

static void authorities(void) {
  size_t length, wrong_length;
  char *pem = content_of(env("RF_TEST_CA"), &length), *wrong = content_of(env("RF_TEST_WRONG_CA"), &wrong_length);
  const char *url = on("RF_TEST_HTTPS", "/get");
  rf_session *session = new_session();
  rf_options *options = new_options();
  FAILURE(session, url, options);
  CHECK_OK(rf_options_set_ca_pem(options, pem, length));
  memset(pem, 'x', length); /* it was copied */
  SUCCEEDS(session, url, options);
  CHECK_HAS("not signed by a trusted authority", FAILURE(session, on("RF_TEST_HTTPS_UNTRUSTED", "/get"), options));

  /* Beside a bundle: both count. */
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_WRONG_CA")));
  SUCCEEDS(session, url, options);
  SUCCEEDS(session, on("RF_TEST_HTTPS_UNTRUSTED", "/get"), options);
  CHECK_OK(rf_options_set_ca_bundle(options, NULL));

  /* The environment's bundle does not. */
  CHECK_OK(rf_options_set_ca_pem(options, wrong, wrong_length));
  CHECK(setenv("REQUESTS_CA_BUNDLE", env("RF_TEST_CA"), 1) == 0);
  FAILURE(session, url, options);
  SUCCEEDS(session, on("RF_TEST_HTTPS_UNTRUSTED", "/get"), options);
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_ca_pem(options, wrong, wrong_length));
  FAILURE(session, url, options);
  CHECK_OK(rf_options_set_ca_pem(options, NULL, 0));
  SUCCEEDS(session, url, options);
  CHECK(unsetenv("REQUESTS_CA_BUNDLE") == 0);

  /* What says nothing is no PEM, whether it is looked at or not. */
  static const struct {
    const char *pem, *message;
  } bad[] = {
      {"\n", "No certificate in the PEM given to rf_options_set_ca_pem"},
      {"no PEM at all", "No certificate in the PEM given to rf_options_set_ca_pem"},
      {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
       "No usable CA certificate in the PEM given to rf_options_set_ca_pem"},
      {"-----BEGIN CERTIFICATE-----\nAAAA\n",
       "The PEM given to rf_options_set_ca_pem is not valid PEM: a section has no end"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    CHECK_OK(rf_options_set_ca_pem(options, bad[i].pem, strlen(bad[i].pem)));
    for (int verify = 0; verify < 2; verify++) {
      CHECK_OK(rf_options_set_verify(options, verify));
      CHECK_STR(bad[i].message, FAILURE(session, url, options));
    }
  }
  rf_options_free(options);

  /* The session's is taken back by a length of 0, and by that its connections are. */
  rf_options *defaults = new_options();
  CHECK_OK(rf_options_set_ca_pem(defaults, wrong, wrong_length));
  CHECK_OK(rf_session_update(session, defaults));
  SUCCEEDS(session, on("RF_TEST_HTTPS_UNTRUSTED", "/get"), NULL);
  options = new_options();
  CHECK_OK(rf_options_set_ca_pem(options, wrong, 0));
  FAILURE(session, on("RF_TEST_HTTPS_UNTRUSTED", "/get"), options);
  CHECK_OK(rf_session_update(session, options));
  FAILURE(session, on("RF_TEST_HTTPS_UNTRUSTED", "/get"), NULL);
  rf_options_free(options);
  rf_options_free(defaults);
  rf_session_free(session);
  free(pem);
  free(wrong);
}

static void certificates_in_memory(void) {
  size_t cert_length, key_length, both_length, other_length;
  char *cert = content_of(env("RF_TEST_CLIENT_CERT"), &cert_length);
  char *key = content_of(env("RF_TEST_CLIENT_KEY"), &key_length);
  char *both = content_of(env("RF_TEST_CLIENT_COMBINED"), &both_length);
  char *other = content_of(client_file("key.pem"), &other_length);
  const char *url = on("RF_TEST_HTTPS_CLIENT_CERT", "/tls");
  rf_session *session = new_session();
  rf_options *options = trusting(env("RF_TEST_CA"));
  CHECK_OK(rf_options_set_cert_pem(options, cert, cert_length, key, key_length));
  SUCCEEDS(session, url, options);
  CHECK_OK(rf_options_set_cert_pem(options, both, both_length, NULL, 0));
  SUCCEEDS(session, url, options);
  CHECK_OK(rf_options_set_cert_pem(options, NULL, 0, NULL, 0));
  CHECK_HAS("certificate required", FAILURE(session, url, options));

  /* The last one called counts. */
  CHECK_OK(rf_options_set_cert(options, env("RF_TEST_WRONG_CLIENT_COMBINED"), NULL));
  CHECK_OK(rf_options_set_cert_pem(options, cert, cert_length, key, key_length));
  SUCCEEDS(session, url, options);
  CHECK_OK(rf_options_set_cert(options, env("RF_TEST_WRONG_CLIENT_COMBINED"), NULL));
  FAILURE(session, url, options);
  CHECK_OK(rf_options_set_cert_pkcs12(options, client_file("aes.p12"), "secret"));
  SUCCEEDS(session, url, options);
  CHECK_OK(rf_options_set_cert(options, NULL, NULL));
  FAILURE(session, url, options);

  /* What cannot be used. */
  static const char given[] = "the PEM given to rf_options_set_cert_pem";
  CHECK_OK(rf_options_set_cert_pem(options, "\n", 1, key, key_length));
  CHECK_STR(text("No certificate in %s", given), FAILURE(session, url, options));
  CHECK_OK(rf_options_set_cert_pem(options, cert, cert_length, "\n", 1));
  CHECK_STR(text("Could not find a private key in %s: there is none in it", given), FAILURE(session, url, options));
  CHECK_OK(rf_options_set_cert_pem(options, cert, cert_length, NULL, 0));
  CHECK_STR(text("Could not find a private key in %s: there is none in it", given), FAILURE(session, url, options));
  CHECK_OK(rf_options_set_cert_pem(options, cert, cert_length, other, other_length));
  CHECK_STR("The TLS certificate of rf_options_set_cert_pem and the key cannot be used: the key is not that of the "
            "certificate",
            FAILURE(session, url, options));
  rf_options_free(options);
  rf_session_free(session);
  free(cert);
  free(key);
  free(both);
  free(other);
}

/* ---- passwords ---- */

static void encrypted_keys(void) {
  static const char *const taken[] = {"key.pem",          "key-aes256.pem",      "key-aes128-sha512.pem",
                                      "key-des3-sha1.pem", "key-scrypt.pem",      "key-pkcs12-3des.pem",
                                      "key-pkcs12-rc2-128.pem"};
  static const struct {
    const char *name, *message;
  } refused[] = {
      {"key-md5-des.pem", "is encrypted in a way that is not supported (1.2.840.113549.1.5.3)"},
      {"key-camellia.pem", "is encrypted in a way that is not supported (1.2.392.200011.61.1.1.1.4 with "
                           "1.2.840.113549.1.5.12)"},
      {"key-100m.pem", "is encrypted so that trying its password takes too much time or memory"},
      {"key-old.pem", "is encrypted in an old form that is not supported: openssl pkcs8 -topk8 converts it"},
  };
  const char *url = on("RF_TEST_HTTPS_CLIENT_CERT", "/get");
  size_t chain_length;
  char *chain = content_of(client_file("chain.pem"), &chain_length);
  rf_session *session = new_session();
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
    const char *path = client_file(taken[i]);
    rf_options *options = trusting(env("RF_TEST_CA"));
    CHECK_OK(rf_options_set_cert(options, client_file("chain.pem"), path));
    if (i > 0) {
      CHECK_STR(text("The private key in the TLS key file %s is encrypted, and there is no password for it: see "
                     "rf_options_set_key_password", path),
                FAILURE(session, url, options));
      CHECK_OK(rf_options_set_key_password(options, "wrong"));
      CHECK_STR(text("The password of the private key in the TLS key file %s is wrong", path),
                FAILURE(session, url, options));
    }
    CHECK_OK(rf_options_set_key_password(options, "secret"));
    SUCCEEDS(session, url, options);
    /* A connection made with the password is not for who has another one. */
    if (i == 1) {
      CHECK_OK(rf_options_set_key_password(options, "wrong"));
      FAILURE(session, url, options);
    }

    size_t length;
    char *key = content_of(path, &length);
    CHECK_OK(rf_options_set_cert_pem(options, chain, chain_length, key, length));
    CHECK_OK(rf_options_set_key_password(options, "secret"));
    SUCCEEDS(session, url, options);
    if (i > 0) {
      CHECK_OK(rf_options_set_key_password(options, "wrong"));
      CHECK_STR("The password of the private key in the PEM given to rf_options_set_cert_pem is wrong",
                FAILURE(session, url, options));
    }
    free(key);
    rf_options_free(options);
  }
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    rf_options *options = trusting(env("RF_TEST_CA"));
    CHECK_OK(rf_options_set_cert(options, client_file("chain.pem"), client_file(refused[i].name)));
    CHECK_OK(rf_options_set_key_password(options, "secret"));
    CHECK_STR(text("The private key in the TLS key file %s %s", client_file(refused[i].name), refused[i].message),
              FAILURE(session, url, options));
    rf_options_free(options);
  }

  /* The session's password, taken back. */
  rf_options *defaults = trusting(env("RF_TEST_CA")), *options = new_options();
  CHECK_OK(rf_options_set_key_password(defaults, "secret"));
  CHECK_OK(rf_options_set_cert(defaults, client_file("chain.pem"), client_file("key-aes256.pem")));
  CHECK_OK(rf_session_update(session, defaults));
  SUCCEEDS(session, url, NULL);
  CHECK_OK(rf_options_set_key_password(options, NULL));
  CHECK_HAS("there is no password for it", FAILURE(session, url, options));
  rf_options_free(options);
  rf_options_free(defaults);
  rf_session_free(session);
  free(chain);
}

/* A password that takes a second to try holds up nobody for longer than they wait. */
static void patient_keys(void) {
  if (patience() > 1) return; /* a checker would make minutes of it */
  rf_session *session = new_session();
  rf_options *options = trusting(env("RF_TEST_CA"));
  CHECK_OK(rf_options_set_cert(options, client_file("chain.pem"), client_file("key-10m.pem")));
  CHECK_OK(rf_options_set_key_password(options, "secret"));
  CHECK_OK(rf_options_set_deadline(options, 100));
  int64_t start = now_ms();
  rf_future *future = get(session, on("RF_TEST_HTTPS_CLIENT_CERT", "/get"), options);
  ERROR_OF(RF_ERROR_TIMEOUT, future);
  CHECK_RANGE(100, 200, now_ms() - start);
  rf_future_free(future);
  CHECK_OK(rf_options_set_deadline(options, RF_FOREVER));
  future = get(session, on("RF_TEST_HTTPS_CLIENT_CERT", "/get"), options);
  sleep_ms(50);
  start = now_ms();
  CHECK(rf_future_abort(future));
  ERROR_OF(RF_ERROR_ABORTED, future);
  CHECK_RANGE(0, 100, now_ms() - start);
  rf_future_free(future);
  SUCCEEDS(session, on("RF_TEST_HTTPS_CLIENT_CERT", "/get"), options);
  rf_options_free(options);
  rf_session_free(session);
}

static void pkcs12_files(void) {
  static const struct {
    const char *name, *password;
  } taken[] = {
      {"aes.p12", "secret"},           {"legacy.p12", "secret"},
      {"3des.p12", "secret"},          {"3des2.p12", "secret"},
      {"rc2-128.p12", "secret"},       {"sha512.p12", "secret"},
      {"no-mac.p12", "secret"},        {"plain.p12", "secret"},
      {"empty-password.p12", ""},      {"empty-password.p12", NULL},
      {"empty-password-legacy.p12", ""}, {"empty-password-legacy.p12", NULL},
      {"unicode.p12", "p\xC3\xA4ssw\xC3\xB6rd \xE2\x82\xAC"},
      {"unicode-legacy.p12", "p\xC3\xA4ssw\xC3\xB6rd \xE2\x82\xAC"},
  };
  static const struct {
    const char *name, *password, *message;
  } refused[] = {
      {"no-key.p12", "secret", "No private key in the PKCS#12 file %s"},
      {"no-certificate.p12", "secret", "No certificate in the PKCS#12 file %s"},
      {"rc4.p12", "secret", "The PKCS#12 file %s is encrypted in a way that is not supported (1.2.840.113549.1.12.1.1)"},
      {"key.pem", "secret", "%s is no PKCS#12 file, or a damaged one"},
      {"aes.p12", NULL, "The password of the PKCS#12 file %s is wrong"},
      {"aes.p12", "secret ", "The password of the PKCS#12 file %s is wrong"},
      {"legacy.p12", "Secret", "The password of the PKCS#12 file %s is wrong"},
      {"empty-password.p12", "secret", "The password of the PKCS#12 file %s is wrong"},
      {"no-mac.p12", "wrong", "The password of the PKCS#12 file %s is wrong"},
      {"unicode.p12", "passwort", "The password of the PKCS#12 file %s is wrong"},
  };
  const char *url = on("RF_TEST_HTTPS_CLIENT_CERT", "/get");
  rf_session *session = new_session();
  rf_options *options = trusting(env("RF_TEST_CA"));
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
    CHECK_OK(rf_options_set_cert_pkcs12(options, client_file(taken[i].name), taken[i].password));
    SUCCEEDS(session, url, options);
  }
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    CHECK_OK(rf_options_set_cert_pkcs12(options, client_file(refused[i].name), refused[i].password));
    CHECK_STR(text(refused[i].message, client_file(refused[i].name)), FAILURE(session, url, options));
  }
  CHECK_OK(rf_options_set_cert_pkcs12(options, "/no/such.p12", "secret"));
  CHECK_HAS("/no/such.p12", FAILURE(session, url, options));
  CHECK_OK(rf_options_set_cert_pkcs12(options, NULL, "secret"));
  CHECK_HAS("certificate required", FAILURE(session, url, options));

  /* One that is renewed counts for new connections. */
  const char *renewed = text("%s/%s.p12", env("RF_TEST_DIR"), unique("renewed"));
  CHECK(symlink(client_file("no-key.p12"), renewed) == 0);
  CHECK_OK(rf_options_set_cert_pkcs12(options, renewed, "secret"));
  FAILURE(session, url, options);
  CHECK(unlink(renewed) == 0 && symlink(client_file("aes.p12"), renewed) == 0);
  SUCCEEDS(session, url, options);
  CHECK(unlink(renewed) == 0);
  rf_options_free(options);
  rf_session_free(session);
}

/* ---- pinned keys ---- */

/* The pin of a server's key, as the error of a wrong one tells it. */
static const char *pin_of(rf_session *session, const char *server) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_verify(options, false));
  CHECK_OK(rf_options_set_pinned_keys(options, "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
  const char *message = FAILURE(session, on(server, "/get"), options);
  const char *pin = strstr(message, "sha256//");
  rf_options_free(options);
  if (pin == NULL) FAIL("no pin in: %s", message);
  pin = text("%.*s", (int)strcspn(pin, ","), pin);
  CHECK_STR(text("certificate verify failed for %s: the server's public key, %s, is none of those that are pinned",
                 env(server) + strlen("https://"), pin),
            message);
  return pin;
}

static void pinned_keys(void) {
  static const char other[] = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
  const char *url = on("RF_TEST_HTTPS", "/get");
  rf_session *session = new_session();
  const char *pin = pin_of(session, "RF_TEST_HTTPS"), *own = pin_of(session, "RF_TEST_HTTPS_OWN");
  CHECK(strcmp(pin, own) != 0);
  rf_options *options = trusting(env("RF_TEST_CA"));
  CHECK_OK(rf_options_set_pinned_keys(options, pin));
  SUCCEEDS(session, url, options);
  CHECK_OK(rf_options_set_pinned_keys(options, text("%s;%s", other, pin)));
  SUCCEEDS(session, url, options);
  CHECK_OK(rf_options_set_pinned_keys(options, text("%s;%s", other, own)));
  CHECK_HAS(pin, FAILURE(session, url, options)); /* the connections of those before are not for this one */
  CHECK_OK(rf_options_set_pinned_keys(options, NULL));
  SUCCEEDS(session, url, options);

  /* A right key does not make up for a certificate that is not trusted, and counts without trust. */
  CHECK_OK(rf_options_set_pinned_keys(options, own));
  CHECK_HAS("that of an authority", FAILURE(session, on("RF_TEST_HTTPS_OWN", "/get"), options));
  CHECK_OK(rf_options_set_verify(options, false));
  SUCCEEDS(session, on("RF_TEST_HTTPS_OWN", "/get"), options);
  FAILURE(session, url, options);
  /* Who shows the certificate has to have its key, also where that is of a kind that cannot be checked. */
  const char *weak = pin_of(session, "RF_TEST_HTTPS_RSA_1024");
  CHECK_OK(rf_options_set_pinned_keys(options, weak));
  FAILURE(session, on("RF_TEST_HTTPS_RSA_1024", "/get"), options);
  FAILURE(session, on("RF_TEST_HTTPS_GARBAGE", "/get"), options);

  /* After a redirect as before it. */
  CHECK_OK(rf_options_set_pinned_keys(options, pin));
  CHECK_HAS(own, FAILURE(session, on("RF_TEST_HTTPS", text("/redirect-to?url=%s/get", env("RF_TEST_HTTPS_OWN"))), options));
  SUCCEEDS(session, http(text("/redirect-to?url=%s/get", env("RF_TEST_HTTPS"))), options);
  CHECK_HAS(own, FAILURE(session, http(text("/redirect-to?url=%s/get", env("RF_TEST_HTTPS_OWN"))), options));

  /* Not for a proxy's certificate, but through one. */
  rf_options *through = new_options();
  CHECK_OK(rf_options_set_verify(through, false));
  CHECK_OK(rf_options_set_proxy(through, "all", env("RF_TEST_PROXY_TLS")));
  CHECK_OK(rf_options_set_pinned_keys(through, own));
  SUCCEEDS(session, on("RF_TEST_HTTPS_OWN", "/get"), through);
  SUCCEEDS(session, http("/hello"), through);
  CHECK_HAS(pin, FAILURE(session, url, through));
  rf_options_free(through);

  static const char *const bad[] = {
      "", ";", "sha256//", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "sha256//AAAA",
      "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=;",
      "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=;sha1//AAAA",
      " sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA!",
      "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) BAD(rf_options_set_pinned_keys(options, bad[i]));
  rf_options_free(options);
  rf_session_free(session);
}

/* ---- another name ---- */

static void server_names(void) {
  rf_session *session = new_session();
  rf_options *options = trusting(env("RF_TEST_CA"));
  const char *wrong_host = on("RF_TEST_HTTPS_WRONG_HOST", "/tls");
  FAILURE(session, wrong_host, options);
  CHECK_OK(rf_options_set_server_name(options, "wrong.example.test"));
  CHECK_STR("wrong.example.test", told(session, wrong_host, options, "/sni"));
  CHECK_OK(rf_options_set_server_name(options, "nowhere.test"));
  CHECK_HAS("is for other names: localhost", FAILURE(session, on("RF_TEST_HTTPS", "/get"), options));
  CHECK_OK(rf_options_set_server_name(options, "wrong.example.test"));
  /* Host stays the URL's. */
  CHECK_STR(env("RF_TEST_HTTPS_WRONG_HOST") + strlen("https://"),
            told(session, on("RF_TEST_HTTPS_WRONG_HOST", "/get"), options, "/headers/Host"));

  /* A redirect: the same host keeps it, another one has its own. */
  const char *again = text("/redirect-to?url=%s", wrong_host);
  CHECK_STR("wrong.example.test", told(session, http(again), options, "/sni"));
  CHECK_STR("localhost", told(session, on("RF_TEST_HTTPS_WRONG_HOST",
                                          text("/redirect-to?url=%s/tls", env("RF_TEST_HTTPS_NAME"))),
                              options, "/sni"));
  /* There and back again. */
  const char *port = env("RF_TEST_HTTPS_PORT");
  CHECK_STR("wrong.example.test",
            told(session,
                 on("RF_TEST_HTTPS_WRONG_HOST", text("/redirect-to?url=https://localhost:%s%s", port, again)), options,
                 "/sni"));

  /* In each way that a URL may write it; an address is not sent, but the certificate has to be for it. */
  CHECK_OK(rf_options_set_server_name(options, "EXAMPLE.test"));
  CHECK_STR("example.test", told(session, on("RF_TEST_HTTPS", "/tls"), options, "/sni"));
  CHECK_OK(rf_options_set_server_name(options, "b\xC3\xBC" "cher.example.test"));
  CHECK_STR("xn--bcher-kva.example.test", told(session, on("RF_TEST_HTTPS", "/tls"), options, "/sni"));
  CHECK_OK(rf_options_set_server_name(options, "127.0.0.1"));
  CHECK_NULL(told(session, on("RF_TEST_HTTPS_NAME", "/tls"), options, "/sni"));
  CHECK_OK(rf_options_set_server_name(options, "127.0.0.2"));
  CHECK_HAS("is for other names", FAILURE(session, on("RF_TEST_HTTPS_NAME", "/tls"), options));
  static const char *const none[] = {"", "a b", "a/b", "[::1"};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
    CHECK_OK(rf_options_set_server_name(options, none[i]));
    CHECK_STR(text("\"%s\" is not the name of a server", none[i]), FAILURE(session, on("RF_TEST_HTTPS", "/get"), options));
  }

  /* Connections are told apart by it. */
  int64_t ids[4];
  for (int i = 0; i < 4; i++) {
    CHECK_OK(rf_options_set_server_name(options, i % 2 == 0 ? "localhost" : NULL));
    ids[i] = connection_of(session, "RF_TEST_HTTPS", options);
  }
  CHECK(ids[0] != ids[1]);
  CHECK_INT(ids[0], ids[2]);
  CHECK_INT(ids[1], ids[3]);

  /* Through a proxy it is the server's name, not the proxy's. */
  CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_PROXY_TLS")));
  CHECK_OK(rf_options_set_server_name(options, "wrong.example.test"));
  CHECK_STR("wrong.example.test", told(session, wrong_host, options, "/sni"));
  rf_options_free(options);
  rf_session_free(session);
}

/* ---- SSLKEYLOGFILE ---- */

/* What came from the client first, as lower-case hexadecimal digits of its random number. */
static char client_random[65];

/* What goes over the wire, as if it had been captured: a file of packets, from and to port 443. */
typedef struct capture {
  pthread_mutex_t lock;
  FILE *file;
  uint32_t next[2]; /* sequence numbers of the client and the server */
} capture;

static capture captured = {PTHREAD_MUTEX_INITIALIZER, NULL, {0, 0}};

static void put_big(uint8_t *to, uint32_t number, int octets) {
  for (int i = 0; i < octets; i++) to[i] = (uint8_t)(number >> 8 * (octets - 1 - i));
}

static void packet(int from, int flags, const void *data, size_t length) {
  uint8_t head[16 + 20 + 20] = {0}, *ip = head + 16, *tcp = ip + 20;
  put_u32(head + 8, (uint32_t)(40 + length));
  put_u32(head + 12, (uint32_t)(40 + length));
  ip[0] = 0x45;
  put_big(ip + 2, (uint32_t)(40 + length), 2);
  ip[8] = 64;
  ip[9] = 6;
  for (int end = 0; end < 2; end++) {
    int whose = end == 0 ? from : 1 - from;
    put_big(ip + 12 + 4 * end, 0x7f000001 + (uint32_t)whose, 4);
    put_big(tcp + 2 * end, whose == 0 ? 50000 : 443, 2);
    put_big(tcp + 4 + 4 * end, captured.next[whose], 4);
  }
  tcp[12] = 0x50;
  tcp[13] = (uint8_t)flags;
  put_big(tcp + 14, 0xffff, 2);
  CHECK_INT(sizeof head, fwrite(head, 1, sizeof head, captured.file));
  CHECK_INT(length, fwrite(data, 1, length, captured.file));
  captured.next[from] += (uint32_t)length + ((flags & 3) != 0);
}

enum { FIN = 1, SYN = 2, ACK = 16 };

static void begin_capture(const char *path) {
  uint8_t head[24] = {0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0};
  put_u32(head + 16, 65535);
  put_u32(head + 20, 101); /* IP, and nothing before it */
  captured.file = fopen(path, "wb");
  if (captured.file == NULL) FAIL("%s cannot be written", path);
  CHECK_INT(sizeof head, fwrite(head, 1, sizeof head, captured.file));
  captured.next[0] = captured.next[1] = 1000;
  packet(0, SYN, "", 0);
  packet(1, SYN | ACK, "", 0);
  packet(0, ACK, "", 0);
}

static void end_capture(void) {
  pthread_mutex_lock(&captured.lock);
  packet(0, FIN | ACK, "", 0);
  packet(1, FIN | ACK, "", 0);
  CHECK_INT(0, fclose(captured.file));
  captured.file = NULL;
  pthread_mutex_unlock(&captured.lock);
}

static void overhear(int from, const char *data, size_t length) {
  pthread_mutex_lock(&captured.lock);
  for (size_t at = 0; captured.file != NULL && at < length; at += 1400) {
    packet(from, ACK, data + at, length - at < 1400 ? length - at : 1400);
  }
  pthread_mutex_unlock(&captured.lock);
}

static void *pass_back(void *connections) {
  int *both = connections;
  char buffer[16384];
  ssize_t length;
  while ((length = recv(both[1], buffer, sizeof buffer, 0)) > 0) {
    overhear(1, buffer, (size_t)length);
    if (send(both[0], buffer, (size_t)length, MSG_NOSIGNAL) != length) break;
  }
  shutdown(both[0], SHUT_RDWR);
  return NULL;
}

/* Passes on what it hears, to the listener at this port and back, and keeps the client's random number. */
static void relay(wire_connection *connection, void *port) {
  struct sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons((uint16_t)LOAD(*(int *)port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int both[2] = {connection->fd, socket(AF_INET, SOCK_STREAM, 0)};
  CHECK(connect(both[1], (struct sockaddr *)&address, sizeof address) == 0);
  pthread_t back;
  CHECK(pthread_create(&back, NULL, pass_back, both) == 0);
  size_t passed = 0;
  while (wire_more(connection)) {
    if (passed == 0) {
      /* A record (5 bytes), the head of a ClientHello (4), its version (2). */
      CHECK(connection->length >= 43);
      for (int i = 0; i < 32; i++) sprintf(client_random + 2 * i, "%02x", (uint8_t)connection->request[11 + i]);
    }
    size_t length = connection->length - passed;
    overhear(0, connection->request + passed, length);
    if (send(both[1], connection->request + passed, length, MSG_NOSIGNAL) != (ssize_t)length) break;
    passed = connection->length;
  }
  shutdown(both[1], SHUT_RDWR);
  CHECK(pthread_join(back, NULL) == 0);
  close(both[1]);
}

static const char *const LABELS_1_3[] = {"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET",
                                         "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0", "EXPORTER_SECRET", NULL};
static const char *const LABELS_1_2[] = {"CLIENT_RANDOM", NULL};

/* The file has one line for each label, and no others: the label, the random number of the client, a secret, which is the
   one that the server has. */
static void check_lines(const char *path, const char *const *labels) {
  size_t length, server_length;
  char *content = content_of(path, &length), *line = content;
  char *of_server = content_of(env("RF_TEST_SERVER_SECRETS"), &server_length);
  int count = 0, expected = 0;
  while (labels[expected] != NULL) expected++;
  while (*line != '\0') {
    char label[64], random[65], secret[129];
    int end = 0;
    CHECK_INT(3, sscanf(line, "%63[A-Z0-9_] %64[0-9a-f] %128[0-9a-f]%n", label, random, secret, &end));
    CHECK_INT('\n', line[end]);
    CHECK_INT(strlen(label) + 1 + 64 + 1 + strlen(secret), end);
    CHECK_STR(client_random, random);
    bool is_known = false;
    for (int i = 0; i < expected; i++) is_known |= strcmp(labels[i], label) == 0;
    if (!is_known) FAIL("a line with %s", label);
    CHECK(strlen(secret) == 64 || strlen(secret) == 96);
    CHECK_HAS(text("%.*s", end + 1, line), of_server);
    line += end + 1;
    count++;
  }
  CHECK_INT(expected, count);
  free(of_server);
  free(content);
}

/* What tshark shows of the capture: the path that was asked for, and the status of the answer, each a line. */
static const char *shown_by_tshark(const char *capture, const char *secrets) {
  static char shown[256];
  const char *fields = "-Y http -T fields -e http.request.uri -e http.response.code";
  const char *command = text("tshark -r %s -o tls.keylog_file:%s %s 2>/dev/null", capture, secrets, fields);
  FILE *output = popen(command, "r");
  if (output == NULL) FAIL("no shell");
  shown[fread(shown, 1, sizeof shown - 1, output)] = '\0';
  CHECK_INT(0, pclose(output));
  return shown;
}

/* A request through the relay. The relay is over with it: what it overheard is written, and nothing comes later. */
static void ask_through(wire *server, rf_session *session, rf_options *options) {
  SUCCEEDS(session, text("https://127.0.0.1:%d/close", server->port), options);
  EVENTUALLY(wire_open(server) == 0);
}

/* Programs that show what goes over the wire can read the file, and without it they see nothing. */
static void a_capture_is_readable_with_the_secrets(wire *server, rf_session *session, rf_options *options) {
  if (system("tshark --version >/dev/null 2>&1") != 0) {
    printf("skipped: reading a capture, as there is no tshark\n");
    return;
  }
  const char *secrets = text("%s/%s", env("RF_TEST_DIR"), unique("secrets"));
  const char *capture = text("%s/%s.pcap", env("RF_TEST_DIR"), unique("capture"));
  CHECK(setenv("SSLKEYLOGFILE", secrets, 1) == 0);
  begin_capture(capture);
  ask_through(server, session, options);
  end_capture();
  CHECK_STR("/close\t\n\t200\n", shown_by_tshark(capture, secrets));
  CHECK_STR("", shown_by_tshark(capture, "/dev/null"));
  CHECK(unlink(secrets) == 0 && unlink(capture) == 0);
}

static void key_log(void) {
  int port = 0;
  wire *server = wire_start(relay, &port);
  rf_session *session = new_session();
  rf_options *options = trusting(env("RF_TEST_CA"));
  CHECK_OK(rf_options_set_http_version(options, RF_HTTP_1_1)); /* "/close" is to close the connection */
  for (int version = RF_TLS_1_2; version <= RF_TLS_1_3; version++) {
    const char *path = text("%s/%s", env("RF_TEST_DIR"), unique("secrets"));
    CHECK(setenv("SSLKEYLOGFILE", path, 1) == 0);
    const char *listener = env(version == RF_TLS_1_2 ? "RF_TEST_HTTPS_TLS12" : "RF_TEST_HTTPS_TLS13");
    __atomic_store_n(&port, atoi(strrchr(listener, ':') + 1), __ATOMIC_SEQ_CST);
    CHECK_OK(rf_options_set_tls_versions(options, version, version));
    ask_through(server, session, options);
    check_lines(path, version == RF_TLS_1_2 ? LABELS_1_2 : LABELS_1_3);
    CHECK(truncate(path, 0) == 0);
    /* Lines are added: with the next connection there are as many again. */
    rf_session *other = new_session();
    ask_through(server, other, options);
    check_lines(path, version == RF_TLS_1_2 ? LABELS_1_2 : LABELS_1_3);
    rf_session_free(other);
    CHECK(unlink(path) == 0);
    a_capture_is_readable_with_the_secrets(server, session, options);
    CHECK(setenv("SSLKEYLOGFILE", path, 1) == 0);

    /* An environment that is not trusted says nothing. */
    CHECK_OK(rf_options_set_trust_env(options, false));
    ask_through(server, session, options);
    CHECK(access(path, F_OK) != 0);
    CHECK_OK(rf_options_set_trust_env(options, true));
  }
  /* It is also written where a task is executed, by the path that it had here. */
  const char *name = unique("secrets");
  CHECK(chdir(env("RF_TEST_DIR")) == 0);
  CHECK(setenv("SSLKEYLOGFILE", name, 1) == 0);
  rf_session *elsewhere = session_run_by(run_by_bytes);
  ask_through(server, elsewhere, options);
  check_lines(text("%s/%s", env("RF_TEST_DIR"), name), LABELS_1_3);
  rf_session_free(elsewhere);

  /* What cannot be written is no error, and nobody is waited for. */
  const char *fifo = unique("fifo");
  const char *const useless[] = {"/no/such/folder/file", "/dev/full", fifo};
  CHECK(mkfifo(fifo, 0600) == 0);
  for (size_t i = 0; i < sizeof useless / sizeof *useless; i++) {
    CHECK(setenv("SSLKEYLOGFILE", useless[i], 1) == 0);
    ask_through(server, session, options);
  }
  /* A reader that goes away ends nothing. */
  int reader = open(fifo, O_RDONLY | O_NONBLOCK);
  CHECK_OK(rf_options_set_tls_versions(options, 0, 0));
  ask_through(server, session, options);
  char line[16] = "";
  CHECK(read(reader, line, 6) == 6);
  CHECK_HAS("CLIENT", line);
  close(reader);
  ask_through(server, session, options);
  CHECK(unsetenv("SSLKEYLOGFILE") == 0);
  rf_options_free(options);
  rf_session_free(session);
  wire_stop(server);
}

int main(void) {
  versions();
  authorities();
  certificates_in_memory();
  encrypted_keys();
  patient_keys();
  pkcs12_files();
  pinned_keys();
  server_names();
  key_log();
  return finish();
}
