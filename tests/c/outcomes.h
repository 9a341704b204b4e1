/* outcomes.h - requests of every kind, and the claim that each of them ends in the same way wherever it runs. */
#ifndef OUTCOMES_H
#define OUTCOMES_H

#include "elsewhere.h"

static uint8_t large[200000];
static char relative_file[32], relative_output[40];

static inline void with_everything(rf_options *options) {
  CHECK_OK(rf_options_set_header(options, "X-Sent", "over there"));
  CHECK_OK(rf_options_set_header(options, "User-Agent", NULL));
  CHECK_OK(rf_options_add_param(options, "q", "1 + 1"));
  CHECK_OK(rf_options_set_cookie(options, "own", "cookie"));
  CHECK_OK(rf_options_set_auth_basic(options, "user", "passwd"));
}
static inline void with_json(rf_options *options) { CHECK_OK(rf_options_set_json(options, "{\"a\": [1, 2]}")); }
static inline void with_bad_json(rf_options *options) { CHECK_OK(rf_options_set_json(options, "{\"a\": ")); }
static inline void with_form(rf_options *options) {
  CHECK_OK(rf_options_add_form(options, "name", "Ada & Co"));
  CHECK_OK(rf_options_add_form(options, "name", "again"));
}
static inline void with_parts(rf_options *options) {
  CHECK_OK(rf_options_add_form(options, "field", "value"));
  CHECK_OK(rf_options_add_part(options, "data", "a.bin", "application/octet-stream", "\0\1\2", 3));
  CHECK_OK(rf_options_add_file(options, "file", relative_file, "text/plain"));
}
static inline void with_body(rf_options *options) { CHECK_OK(rf_options_set_body(options, "bytes\0and more", 14)); }
static inline void with_empty_body(rf_options *options) { CHECK_OK(rf_options_set_body(options, NULL, 0)); }
static inline void with_large_body(rf_options *options) {
  CHECK_OK(rf_options_set_body(options, large, sizeof large));
}
static inline void with_borrowed_body(rf_options *options) {
  CHECK_OK(rf_options_set_body_borrowed(options, large, sizeof large, NULL, NULL));
}
static inline void with_file(rf_options *options) { CHECK_OK(rf_options_set_body_file(options, relative_file)); }
static inline void with_two_redirects(rf_options *options) { CHECK_OK(rf_options_set_max_redirects(options, 2)); }
static inline void without_redirects(rf_options *options) {
  CHECK_OK(rf_options_set_allow_redirects(options, false));
}
static inline void with_digest(rf_options *options) { CHECK_OK(rf_options_set_auth_digest(options, "u", "p")); }
static inline void with_bearer(rf_options *options) { CHECK_OK(rf_options_set_auth_bearer(options, "t")); }
static inline void with_limit(rf_options *options) { CHECK_OK(rf_options_set_max_body(options, 1000)); }
static inline void with_bad_header(rf_options *options) {
  CHECK_OK(rf_options_set_header(options, "X-Bad", "two\r\nlines"));
}
static inline void with_proxy(rf_options *options) {
  CHECK_OK(rf_options_set_proxy(options, "http", env("RF_TEST_PROXY")));
}
static inline void with_ca(rf_options *options) { CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA"))); }
static inline void with_wrong_ca(rf_options *options) {
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_WRONG_CA")));
}
static inline void without_verifying(rf_options *options) { CHECK_OK(rf_options_set_verify(options, false)); }
static inline void with_certificate(rf_options *options) {
  with_ca(options);
  CHECK_OK(rf_options_set_cert(options, env("RF_TEST_CLIENT_CERT"), env("RF_TEST_CLIENT_KEY")));
}
static inline void with_unix_socket(rf_options *options) {
  CHECK_OK(rf_options_set_unix_socket(options, env("RF_TEST_UNIX")));
}
static inline void with_resolve(rf_options *options) {
  CHECK_OK(rf_options_set_resolve(options, "nowhere.invalid", (uint16_t)atoi(env("RF_TEST_HTTP_PORT")),
                                  "127.0.0.1"));
}
static inline void with_read_timeout(rf_options *options) {
  CHECK_OK(rf_options_set_timeout(options, RF_FOREVER, 200));
}
static inline void with_stream(rf_options *options) { CHECK_OK(rf_options_set_stream(options, true)); }
static inline void with_output(rf_options *options) {
  CHECK_OK(rf_options_set_output_file(options, relative_output));
}
static inline void add_hook(rf_options *options, const char *name) {
  CHECK_OK(rf_options_add_hook(options, hook(name), NULL, NULL));
}
static inline void with_bytes(rf_options *options) {
  CHECK_OK(rf_options_add_hook_bytes(options, hook("keep_bytes"), "these bytes", 12));
}
static inline void with_parse(rf_options *options) { add_hook(options, "parse"); }
static inline void with_latin1(rf_options *options) { add_hook(options, "take_for_latin1"); }
static inline void with_refuse(rf_options *options) { add_hook(options, "refuse"); }
static inline void with_replace(rf_options *options) {
  add_hook(options, "replace");
  with_bytes(options); /* sees the replacement */
}
static inline void with_change_cookies(rf_options *options) { add_hook(options, "change_cookies"); }
static inline void with_ask_again(rf_options *options) { add_hook(options, "ask_again"); }
static inline void with_read_ten(rf_options *options) { add_hook(options, "read_ten"); }
static inline void with_stream_and_read_ten(rf_options *options) {
  with_stream(options);
  add_hook(options, "read_ten");
}
static inline void with_stream_and_parse(rf_options *options) {
  with_stream(options);
  add_hook(options, "parse");
}

static inline void with_reader_in_place(rf_options *options) { add_hook(options, "replace_by_reader"); }
static inline void with_signature(rf_options *options) {
  CHECK_OK(rf_options_add_request_hook_bytes(options, prepare_hook("sign"), "key", 4));
}
static inline void with_body_and_signature(rf_options *options) {
  with_large_body(options);
  with_signature(options);
}
static inline void with_parts_and_signature(rf_options *options) {
  with_file(options);
  CHECK_OK(rf_options_add_request_hook(options, prepare_hook("sign"), NULL, NULL));
}
static inline void with_token(rf_options *options) {
  CHECK_OK(rf_options_set_auth_custom_bytes(options, prepare_hook("send_token"), challenge_hook("again_if_401"), false,
                                            "Bearer t", 9));
}
static inline void with_refusal(rf_options *options) {
  CHECK_OK(rf_options_add_request_hook(options, prepare_hook("refuse_to_send"), NULL, NULL));
}

/* The URL is behind the value of a variable, unless that is "". */
static const struct outcome {
  const char *method, *variable, *url;
  void (*prepare)(rf_options *options);
} OUTCOMES[] = {
    {"GET", "RF_TEST_HTTP", "/get?a=b#fragment", with_everything},
    {"GET", "RF_TEST_HTTP", "/get", NULL},
    {"HEAD", "RF_TEST_HTTP", "/get", NULL},
    {"OPTIONS", "RF_TEST_HTTP", "/get", NULL},
    {"BREW", "RF_TEST_HTTP", "/anything/pot", NULL},
    {"POST", "RF_TEST_HTTP", "/post", with_json},
    {"POST", "RF_TEST_HTTP", "/post", with_bad_json},
    {"POST", "RF_TEST_HTTP", "/post", with_form},
    {"POST", "RF_TEST_HTTP", "/parts", with_parts},
    {"PUT", "RF_TEST_HTTP", "/put", with_body},
    {"PUT", "RF_TEST_HTTP", "/put", with_empty_body},
    {"POST", "RF_TEST_HTTP", "/echo", with_large_body},
    {"POST", "RF_TEST_HTTP", "/echo", with_borrowed_body},
    {"POST", "RF_TEST_HTTP", "/echo", with_file},
    {"GET", "RF_TEST_HTTP", "/redirect/3", NULL},
    {"GET", "RF_TEST_HTTP", "/redirect/3", without_redirects},
    {"GET", "RF_TEST_HTTP", "/redirect/5", with_two_redirects},
    {"POST", "RF_TEST_HTTP", "/redirect-to?url=/post&status_code=307", with_body},
    {"POST", "RF_TEST_HTTP", "/redirect-to?url=/echo&status_code=307", with_large_body},
    {"POST", "RF_TEST_HTTP", "/redirect-to?url=/get&status_code=303", with_form},
    {"GET", "RF_TEST_HTTP", "/cookies/set?a=1&b=2", NULL},
    {"GET", "RF_TEST_HTTP", "/cookies/delete?a", NULL},
    {"GET", "RF_TEST_HTTP", "/set-cookie?raw=c%3D3;%20Path=/get;%20HttpOnly;%20Expires=Fri,%2001%20Jan%202038%2000:00:00%20GMT",
     NULL},
    {"GET", "RF_TEST_HTTP", "/digest-auth/auth/u/p", with_digest},
    {"GET", "RF_TEST_HTTP", "/digest-auth/auth/u/p/SHA-256", with_digest},
    {"POST", "RF_TEST_HTTP", "/digest-auth/auth/u/wrong", with_digest},
    {"GET", "RF_TEST_HTTP", "/bearer", with_bearer},
    {"GET", "RF_TEST_HTTP", "/status/404", NULL},
    {"GET", "RF_TEST_HTTP", "/hello", with_reader_in_place},
    {"GET", "RF_TEST_HTTP", "/get?a=b#fragment", with_signature},
    {"POST", "RF_TEST_HTTP", "/redirect-to?url=/echo&status_code=307", with_body_and_signature},
    {"POST", "RF_TEST_HTTP", "/redirect-to?url=/anything&status_code=303", with_parts_and_signature},
    {"GET", "RF_TEST_HTTP", "/bearer", with_token},
    {"GET", "RF_TEST_HTTP", "/get", with_refusal},
    {"GET", "RF_TEST_HTTP", "/no-body/204", NULL},
    {"GET", "RF_TEST_HTTP", "/gzip", NULL},
    {"GET", "RF_TEST_HTTP", "/encoded?with=gzip,br&n=300000", NULL},
    {"GET", "RF_TEST_HTTP", "/encoding/shift_jis", NULL},
    {"GET", "RF_TEST_HTTP", "/encoding/utf-16?header=none", NULL},
    {"GET", "RF_TEST_HTTP", "/bytes/3000000?seed=3", NULL},
    {"GET", "RF_TEST_HTTP", "/bytes/65536?seed=3", NULL},
    {"GET", "RF_TEST_HTTP", "/stream-bytes/1000000?seed=4", NULL},
    {"GET", "RF_TEST_HTTP", "/bytes/100000", with_limit},
    {"GET", "RF_TEST_HTTP", "/compressed-truncated?with=gzip", NULL},
    {"GET", "RF_TEST_HTTP", "/compressed-corrupt?with=gzip", NULL},
    {"GET", "RF_TEST_HTTP", "/stream/300", with_stream},
    {"GET", "RF_TEST_HTTP", "/bytes/3000000", with_stream},
    {"GET", "RF_TEST_HTTP", "/bytes/300000", with_output},
    {"GET", "RF_TEST_RAW", "/close/body?declared=100&sent=10", NULL},
    {"GET", "RF_TEST_RAW", "/close/body?declared=300000&sent=200000", NULL},
    {"GET", "RF_TEST_RAW", "/close/body?declared=300000&sent=200000", with_stream},
    {"GET", "RF_TEST_RAW", "/close/chunk", with_read_ten},
    {"GET", "RF_TEST_RAW", "/close/head", NULL},
    {"GET", "RF_TEST_RAW", "/bad-status", NULL},
    {"GET", "RF_TEST_RAW", "/no-reason", NULL},
    {"GET", "RF_TEST_RAW", "/reason?phrase=Very%20%C3%A4%FF", NULL},
    {"GET", "RF_TEST_RAW", "/latin1-header", NULL},
    {"GET", "RF_TEST_RAW", "/folded", NULL},
    {"GET", "RF_TEST_RAW", "/case-header", NULL},
    {"GET", "RF_TEST_RAW", "/many-headers?n=90", NULL},
    {"GET", "RF_TEST_RAW", "/http10", NULL},
    {"GET", "RF_TEST_RAW", "/silent", with_read_timeout},
    {"GET", "RF_TEST_RAW", "/stall/body?declared=200000&sent=100000", with_read_timeout},
    {"GET", "RF_TEST_CLOSED", "/", NULL},
    {"GET", "", "no scheme", NULL},
    {"GET", "", "ftp://localhost/", NULL},
    {"GET", "", "http://[::1", NULL},
    {"GET", "RF_TEST_HTTP", "/get", with_bad_header},
    {"GET", "RF_TEST_HTTP", "/get?proxied=1", with_proxy},
    {"GET", "RF_TEST_HTTPS", "/get", with_ca},
    {"GET", "RF_TEST_HTTPS", "/get", with_wrong_ca},
    {"GET", "RF_TEST_HTTPS_SELF_SIGNED", "/get", without_verifying},
    {"GET", "RF_TEST_HTTPS_CLIENT_CERT", "/tls", with_certificate},
    {"GET", "", "http://over.the.socket/get", with_unix_socket},
    {"GET", "RESOLVED", "/get", with_resolve},
    {"GET", "RF_TEST_HTTP", "/redirect/2", with_bytes},
    {"GET", "RF_TEST_HTTP", "/json", with_parse},
    {"GET", "RF_TEST_HTTP", "/html", with_parse},
    {"GET", "RF_TEST_HTTP", "/encoding/utf8", with_latin1},
    {"GET", "RF_TEST_HTTP", "/hello", with_refuse},
    {"GET", "RF_TEST_HTTP", "/redirect/1", with_replace},
    {"GET", "RF_TEST_HTTP", "/cookies/set?old=1", with_change_cookies},
    {"GET", "RF_TEST_HTTP", "/hello", with_ask_again},
    {"GET", "RF_TEST_HTTP", "/bytes/200000", with_read_ten},
    {"GET", "RF_TEST_HTTP", "/stream/300", with_stream_and_read_ten},
    {"GET", "RF_TEST_HTTP", "/json", with_stream_and_parse},
};

static inline char *outcome_on(rf_session *session, const struct outcome *wanted) {
  const char *base = wanted->variable;
  if (strcmp(base, "RESOLVED") == 0) {
    base = text("http://nowhere.invalid:%s", env("RF_TEST_HTTP_PORT"));
  } else if (*base != '\0') {
    base = env(base);
  }
  rf_options *options = new_options();
  if (wanted->prepare != NULL) wanted->prepare(options);
  unlink(relative_output);
  rf_future *future = request(session, wanted->method, text("%s%s", base, wanted->url), options);
  rf_options_free(options);
  char *made = describe(future, session);
  rf_future_free(future);
  if (wanted->prepare == with_output) {
    FILE *file = fopen(relative_output, "r");
    CHECK(file != NULL);
    CHECK_INT(0, fseek(file, 0, SEEK_END));
    CHECK_INT(300000, ftell(file));
    fclose(file);
  }
  return made;
}

/* Each of them on the session's threads here, and on `there`. */
static inline void compare_outcomes(rf_session *there) {
  rf_session *here = new_session_workers(2);
  strcpy(relative_file, "outcomes-XXXXXX");
  int file = mkstemp(relative_file);
  CHECK(file >= 0);
  CHECK_INT(14, write(file, "from the file\n", 14));
  close(file);
  sprintf(relative_output, "%s.out", relative_file);
  for (size_t i = 0; i < sizeof large; i++) large[i] = (uint8_t)(i * 7 + i / 251);
  for (size_t i = 0; i < sizeof OUTCOMES / sizeof *OUTCOMES; i++) {
    char *expected = outcome_on(here, &OUTCOMES[i]), *actual = outcome_on(there, &OUTCOMES[i]);
    if (strcmp(expected, actual) != 0) {
      FAIL("%s %s%s (case %zu) ends elsewhere with\n%s\nand here with\n%s", OUTCOMES[i].method, OUTCOMES[i].variable,
           OUTCOMES[i].url, i, actual, expected);
    }
    free(expected);
    free(actual);
  }
  unlink(relative_output);
  unlink(relative_file);
  rf_session_free(here);
}

#endif
