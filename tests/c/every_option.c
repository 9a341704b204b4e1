/* Every option of the header survives the way to where a request is executed: each setter stands in a table with what the
   server, the hooks or the outcome show of it. All that go together are set at once. */
#include "elsewhere.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static rf_session *session;
static int mark; /* user_data of the futures */

/* The listener that wants a client certificate, under the name that its own certificate has. */
static const char *secure(const char *path) {
  const char *port = strrchr(env("RF_TEST_HTTPS_CLIENT_CERT"), ':');
  return text("https://example.test%s%s", port, path);
}

/* What the session says, and what each request takes back. */
static rf_session *contrary_session(void) {
  rf_session *made = session_run_by(run_by_bytes);
  rf_options *defaults = new_options();
  CHECK_OK(rf_options_set_proxy(defaults, "all", env("RF_TEST_CLOSED")));
  CHECK_OK(rf_options_set_verify(defaults, false));
  CHECK_OK(rf_options_set_max_redirects(defaults, 30));
  CHECK_OK(rf_options_set_auth_bearer(defaults, "of the session"));
  CHECK_OK(rf_session_update(made, defaults));
  rf_options_free(defaults);
  return made;
}

static rf_options *everything(void) {
  rf_options *options = new_options();
  uint16_t port = (uint16_t)atoi(strrchr(env("RF_TEST_HTTPS_CLIENT_CERT"), ':') + 1);
  CHECK_OK(rf_options_set_header(options, "X-Set", "set"));
  CHECK_OK(rf_options_add_header(options, "X-Add", "1"));
  CHECK_OK(rf_options_add_header(options, "X-Add", "2"));
  CHECK_OK(rf_options_add_param(options, "p", "v w"));
  CHECK_OK(rf_options_set_cookie(options, "c", "d"));
  CHECK_OK(rf_options_set_json(options, "{\"j\":[1]}"));
  CHECK_OK(rf_options_set_auth_basic(options, "user", "password"));
  CHECK_OK(rf_options_set_timeout(options, 60000, 1000 * patience()));
  CHECK_OK(rf_options_set_deadline(options, 3000 * patience()));
  /* These say when it begins: priorities.c and queue_timeouts.c see what they do. */
  CHECK_OK(rf_options_set_priority(options, 5));
  CHECK_OK(rf_options_set_queue_timeout(options, LONG_MS));
  CHECK_OK(rf_options_set_allow_redirects(options, true));
  CHECK_OK(rf_options_set_max_redirects(options, 2));
  CHECK_OK(rf_options_set_proxy(options, "all", NULL));
  CHECK_OK(rf_options_set_trust_env(options, false));
  CHECK_OK(rf_options_set_verify(options, true));
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  CHECK_OK(rf_options_set_cert(options, env("RF_TEST_CLIENT_CERT"), env("RF_TEST_CLIENT_KEY")));
  CHECK_OK(rf_options_set_stream(options, true));
  CHECK_OK(rf_options_set_max_body(options, 5000));
  CHECK_OK(rf_options_add_hook(options, hook("tell_process"), NULL, NULL));
  CHECK_OK(rf_options_add_hook_bytes(options, hook("keep_bytes"), "kept", 5));
  CHECK_OK(rf_options_add_request_hook_bytes(options, prepare_hook("sign"), "signed", 7));
  CHECK_OK(rf_options_set_background_callback(options, background_hook("in_background"), NULL, NULL));
  CHECK_OK(rf_options_set_user_data(options, &mark));
  CHECK_OK(rf_options_set_resolve(options, "example.test", port, "127.0.0.1"));
  return options;
}

/* The kind of the error, which may show in the body alone: it is streamed. 0: none. */
static int what_went_wrong(rf_future *future) {
  const rf_error *error = NULL;
  const rf_response *response = NULL;
  uint8_t buffer[4096];
  size_t length = 1;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  if (error != NULL) return rf_error_kind_of(error);
  CHECK_OK(rf_future_result(future, 0, &response));
  rf_status status = RF_OK;
  while (status == RF_OK && length > 0) status = rf_response_read(response, buffer, sizeof buffer, &length, &error);
  return rf_error_kind_of(error);
}

static void all_at_once(void) {
  rf_options *options = everything();
  rf_future *future = request(session, "POST", secure("/anything"), options);
  const rf_response *response = RESPONSE(future);
  CHECK(rf_future_user_data(future) == &mark);
  CHECK_STR("POST", json_string(response, "/method"));
  CHECK_STR("set", json_string(response, "/headers/X-Set"));
  CHECK_STR("1,2", json_string(response, "/headers/X-Add"));
  CHECK_STR("v w", json_string(response, "/args/p"));
  CHECK_STR("c=d", json_string(response, "/headers/Cookie"));
  CHECK_STR("{\"j\":[1]}", json_string(response, "/data"));
  CHECK_STR("Basic dXNlcjpwYXNzd29yZA==", json_string(response, "/headers/Authorization"));
  CHECK_HAS("signed POST", json_string(response, "/headers/X-Signature"));
  CHECK_INT(getpid(), process_of(response));
  CHECK_STR("kept", extra(response, "bytes"));
  CHECK_STR(text("%ld", (long)getpid()), extra(response, "background"));
  rf_future_free(future);

  /* The time-out, the deadline, the limits, the trust: by what they prevent. */
  static const struct {
    const char *path;
    int kind;
  } prevented[] = {
      {"/delay/100", RF_ERROR_READ_TIMEOUT},
      {"/drip?numbytes=4000&duration=200", RF_ERROR_TIMEOUT},
      {"/redirect/3", RF_ERROR_TOO_MANY_REDIRECTS},
      {"/bytes/6000", RF_ERROR_BODY_TOO_LARGE},
  };
  for (size_t i = 0; i < sizeof prevented / sizeof *prevented; i++) {
    int64_t start = now_ms();
    future = get(session, secure(prevented[i].path), options);
    CHECK_RANGE(0, 15000 * patience(), now_ms() - start); /* there, too, it was over in time */
    CHECK_INT(prevented[i].kind, what_went_wrong(future));
    rf_future_free(future);
  }
  future = get(session, text("%s/get", env("RF_TEST_HTTPS_UNTRUSTED")), options);
  ERROR_OF(RF_ERROR_SSL, future);
  rf_future_free(future);
  rf_options_free(options);
}

/* What a request with these options, and no others, shows the server. It lives until the next one. */
static rf_future *shown_by;

static const char *shown(rf_options *options, const char *url, const char *pointer) {
  rf_future_free(shown_by);
  shown_by = request(session, "POST", url, options);
  const rf_response *response = RESPONSE(shown_by);
  rf_options_free(options);
  return json_string(response, pointer);
}

static rf_options *direct(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_proxy(options, "all", NULL));
  return options;
}

static void count_bytes_drop(void *count) { INCREMENT(*(int *)count); }

/* One in the place of another. */
static void in_turn(void) {
  const char *url = http("/anything"), *path = text("%s/%s", env("RF_TEST_DIR"), unique("every"));
  static const char name[] = "every part";
  FILE *file = fopen(path, "w");
  CHECK(file != NULL && fputs("of a file", file) >= 0 && fclose(file) == 0);

  rf_options *options = direct();
  CHECK_OK(rf_options_set_query(options, "q=1&r"));
  CHECK_STR("1", shown(options, url, "/args/q"));
  options = direct();
  CHECK_OK(rf_options_set_body(options, name, sizeof name - 1));
  CHECK_STR("every part", shown(options, url, "/data"));
  int drops = 0;
  options = direct();
  CHECK_OK(rf_options_set_body_borrowed(options, name, sizeof name - 1, &drops, count_bytes_drop));
  CHECK_STR("every part", shown(options, url, "/data"));
  options = direct();
  CHECK_OK(rf_options_set_body_file(options, path));
  CHECK_STR("of a file", shown(options, url, "/data"));
  EVENTUALLY(LOAD(drops) == 1);
  options = direct();
  CHECK_OK(rf_options_add_form(options, "field", "value"));
  CHECK_STR("value", shown(options, url, "/form/field"));
  options = direct();
  CHECK_OK(rf_options_add_part(options, "part", "name.bin", "text/x-odd", name, 5));
  CHECK_STR("every", shown(options, url, "/files/part"));
  options = direct();
  CHECK_OK(rf_options_add_file(options, "file", path, NULL));
  CHECK_STR("of a file", shown(options, url, "/files/file"));
  options = direct();
  CHECK_OK(rf_options_add_file_as(options, "file", path, "another.txt", "text/x-odd"));
  CHECK_STR("another.txt", shown(options, http("/parts"), "/parts/0/filename"));

  options = direct();
  CHECK_OK(rf_options_set_auth_bearer(options, "token"));
  CHECK_STR("Bearer token", shown(options, url, "/headers/Authorization"));
  options = direct();
  CHECK_OK(rf_options_set_auth_none(options));
  CHECK(shown(options, url, "/headers/Authorization") == NULL);
  options = direct();
  CHECK_OK(rf_options_set_auth_custom_bytes(options, prepare_hook("sign"), NULL, true, "custom", 7));
  CHECK_HAS("custom POST", shown(options, url, "/headers/X-Signature"));
  options = direct();
  CHECK_OK(rf_options_set_auth_custom(options, prepare_hook("sign"), challenge_hook("again_if_401"), false, NULL, NULL));
  CHECK_HAS("(none) POST", shown(options, url, "/headers/X-Signature"));
  options = direct();
  CHECK_OK(rf_options_add_request_hook(options, prepare_hook("sign"), NULL, NULL));
  CHECK_HAS("(none) POST", shown(options, url, "/headers/X-Signature"));

  options = new_options();
  CHECK_OK(rf_options_set_proxy(options, "http", env("RF_TEST_PROXY")));
  CHECK_STR("close", shown(options, url, "/headers/Connection"));
  options = direct();
  CHECK_OK(rf_options_set_unix_socket(options, env("RF_TEST_UNIX")));
  CHECK_STR("unix", shown(options, "http://anywhere/anything", "/origin"));
  options = direct(); /* the session's verify: false */
  CHECK_STR("POST", shown(options, text("%s/anything", env("RF_TEST_HTTPS_UNTRUSTED")), "/method"));

  /* These show in the response. */
  options = direct();
  CHECK_OK(rf_options_set_auth_digest(options, "u", "p"));
  rf_future *future = get(session, http("/digest-auth/auth/u/p"), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);
  options = direct();
  CHECK_OK(rf_options_set_allow_redirects(options, false));
  future = get(session, http("/redirect/1"), options);
  CHECK_INT(302, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);
  options = direct();
  CHECK_OK(rf_options_set_decode(options, false));
  future = get(session, http("/encoded?with=gzip&text=words"), options);
  CHECK(rf_response_content(RESPONSE(future), NULL)[0] == 0x1f);
  rf_future_free(future);
  rf_options_free(options);
  options = direct();
  CHECK_OK(rf_options_set_raise_for_status(options, true));
  future = get(session, http("/status/418"), options);
  CHECK_INT(418, rf_response_status_code(rf_error_response(ERROR_OF(RF_ERROR_HTTP, future))));
  rf_future_free(future);
  rf_options_free(options);
  options = direct();
  const char *output = text("%s/%s", env("RF_TEST_DIR"), unique("output"));
  CHECK_OK(rf_options_set_output_file(options, output));
  future = get(session, http("/hello"), options);
  RESPONSE(future);
  char line[32] = "";
  file = fopen(output, "r");
  CHECK(file != NULL && fgets(line, sizeof line, file) != NULL && fclose(file) == 0);
  CHECK_STR("Hello, world!", line);
  rf_future_free(future);
  CHECK_OK(rf_options_set_output_mode(options, RF_OUTPUT_APPEND));
  future = get(session, http("/hello"), options);
  RESPONSE(future);
  file = fopen(output, "r");
  CHECK(file != NULL && fgets(line, sizeof line, file) != NULL && fclose(file) == 0);
  CHECK_STR("Hello, world!Hello, world!", line);
  rf_future_free(future);
  rf_options_free(options);
  unlink(output);
  unlink(path);
}

/* By how long it takes, and by what is not waited for. */
static void speeds(void) {
  rf_options *asking = direct();
  CHECK_OK(rf_options_set_body(asking, "body", 4));
  CHECK_OK(rf_options_set_expect_continue(asking, LONG_MS));
  rf_future *asked = request(session, "POST", raw("/continue"), asking);
  CHECK_HAS("ok", rf_response_text(RESPONSE(asked), NULL));
  CHECK_STR("100-continue", rf_response_request_header(RESPONSE(asked), "Expect"));
  rf_future_free(asked);
  rf_options_free(asking);
  rf_options *options = direct();
  CHECK_OK(rf_options_set_speed_limit(options, 0, 1000));
  int64_t start = now_ms();
  rf_future *future = get(session, http("/bytes/500"), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  CHECK_RANGE(495, LONG_MS, now_ms() - start);
  rf_future_free(future);
  rf_options_free(options);
  options = direct();
  CHECK_OK(rf_options_set_low_speed(options, 1000, 300));
  future = get(session, raw("/trickle?ms=50&n=1000"), options);
  CHECK_HAS("(low speed=1000 bytes/s for 0.3 s)", rf_error_message(ERROR_OF(RF_ERROR_READ_TIMEOUT, future)));
  rf_future_free(future);
  rf_options_free(options);
}

/* What is said of TLS: by what the server is shown, or shows. */
static void tls_options(void) {
  size_t lengths[3];
  char *pems[3];
  const char *const files[] = {env("RF_TEST_CA"), text("%s/chain.pem", env("RF_TEST_CLIENT_DIR")),
                               text("%s/key-aes256.pem", env("RF_TEST_CLIENT_DIR"))};
  for (int i = 0; i < 3; i++) {
    FILE *file = fopen(files[i], "r");
    pems[i] = calloc(1, 16384);
    CHECK(file != NULL && pems[i] != NULL);
    lengths[i] = fread(pems[i], 1, 16384, file);
    fclose(file);
  }
  const char *url = text("%s/tls", env("RF_TEST_HTTPS_CLIENT_CERT"));
  for (int which = 0; which < 3; which++) {
    rf_options *options = direct();
    CHECK_OK(rf_options_set_verify(options, true));
    CHECK_OK(rf_options_set_ca_pem(options, pems[0], lengths[0]));
    CHECK_OK(rf_options_set_key_password(options, "secret"));
    CHECK_OK(rf_options_set_cert_pem(options, pems[1], lengths[1], pems[2], lengths[2]));
    CHECK_OK(rf_options_set_server_name(options, "example.test"));
    CHECK_OK(rf_options_set_tls_versions(options, RF_TLS_1_2, RF_TLS_1_2));
    if (which == 1) {
      CHECK_OK(rf_options_set_cert_pkcs12(options, text("%s/aes.p12", env("RF_TEST_CLIENT_DIR")), "secret"));
    }
    if (which == 2) {
      CHECK_OK(rf_options_set_pinned_keys(options, "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
      rf_future *future = get(session, url, options);
      CHECK_HAS("none of those that are pinned", rf_error_message(ERROR_OF(RF_ERROR_SSL, future)));
      rf_future_free(future);
      rf_options_free(options);
      continue;
    }
    CHECK_STR("TLSv1.2", shown(options, url, "/version"));
    CHECK_STR("example.test", json_string(RESPONSE(shown_by), "/sni"));
  }
  for (int i = 0; i < 3; i++) free(pems[i]);
}

/* How the connection is made: by where it comes from, or that there is none. */
static void connections(void) {
  rf_options *options = direct();
  CHECK_OK(rf_options_set_local_address(options, "127.0.0.3"));
  CHECK_OK(rf_options_set_ip_version(options, RF_IP_4));
  CHECK_OK(rf_options_set_keepalive(options, 61000, 0, 0));
  CHECK_STR("127.0.0.3", shown(options, http("/anything"), "/origin"));
  int idle = 0; /* the connection is kept in this very process */
  for (int fd = 3; fd < 1024 && idle != 61; fd++) {
    socklen_t length = sizeof idle;
    if (getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, &length) != 0) idle = 0;
  }
  CHECK_INT(61, idle);
  options = direct();
  CHECK_OK(rf_options_set_ip_version(options, RF_IP_6));
  rf_future *future = get(session, http("/hello"), options);
  CHECK_HAS("has no IPv6 address", rf_error_message(ERROR_OF(RF_ERROR_CONNECTION, future)));
  rf_future_free(future);
  rf_options_free(options);
  options = new_options(); /* the session's proxy takes no connections */
  CHECK_OK(rf_options_set_no_proxy(options, "127.0.0.1"));
  CHECK_STR("POST", shown(options, http("/anything"), "/method"));
  options = direct();
  CHECK_OK(rf_options_set_http_version(options, RF_HTTP_2_PRIOR_KNOWLEDGE));
  CHECK_STR("POST", shown(options, http("/anything"), "/method"));
  CHECK_STR("HTTP/2", rf_response_http_version(RESPONSE(shown_by)));
}

/* How often it is tried again, and whether it may be: by how often it comes. */
static void retries(void) {
  for (int repeatable = 0; repeatable < 2; repeatable++) {
    const char *key = unique("every");
    rf_retry *retry = NULL;
    rf_options *options = direct();
    CHECK_OK(rf_retry_new(2, &retry));
    CHECK_OK(rf_retry_add_status(retry, 500, 503));
    CHECK_OK(rf_options_set_retry(options, retry));
    CHECK_OK(rf_options_set_repeatable(options, repeatable));
    rf_retry_free(retry);
    rf_future *future = request(session, repeatable ? "POST" : "GET", http(text("/status/503?key=%s", key)), options);
    if (repeatable) ERROR_OF(RF_ERROR_RETRY, future);
    if (!repeatable) CHECK_INT(503, rf_response_status_code(RESPONSE(future)));
    CHECK_INT(repeatable ? 3 : 1, counted(key));
    rf_future_free(future);
    rf_options_free(options);
  }
}

/* The environment names a proxy: it is asked unless trust_env says otherwise. */
static void trust(void) {
  rf_session *plain = session_run_by(run_by_bytes);
  CHECK_INT(0, setenv("http_proxy", env("RF_TEST_CLOSED"), 1));
  rf_options *options = new_options();
  rf_future *future = get(plain, http("/hello"), options);
  ERROR_OF(RF_ERROR_PROXY, future);
  rf_future_free(future);
  CHECK_OK(rf_options_set_trust_env(options, false));
  future = get(plain, http("/hello"), options);
  RESPONSE(future);
  rf_future_free(future);
  CHECK_INT(0, unsetenv("http_proxy"));
  rf_options_free(options);
  rf_session_free(plain);
}

static rf_status take_nothing(const uint8_t *data, size_t length, void *user_data) {
  (void)data, (void)length, (void)user_data;
  return RF_OK;
}
static rf_status report_nothing(int64_t sent, int64_t send_total, int64_t received, int64_t receive_total,
                                void *user_data) {
  (void)sent, (void)send_total, (void)received, (void)receive_total, (void)user_data;
  return RF_OK;
}
static int64_t read_nothing(uint8_t *buffer, size_t capacity, void *user_data) {
  (void)buffer, (void)capacity, (void)user_data;
  return 0;
}

static void trace_nothing(uint64_t id, int kind, const uint8_t *data, size_t length, void *user_data) {
  (void)id, (void)kind, (void)data, (void)length, (void)user_data;
}

/* What is a function of this very program stays here, and the error names it. */
static void what_stays(void) {
  for (int which = 0; which < 6; which++) {
    static const char *const named[] = {"output", "progress", "reader", "reader of a part", "descriptor", "trace"};
    rf_options *options = new_options();
    if (which == 0) CHECK_OK(rf_options_set_output(options, take_nothing, NULL, NULL));
    if (which == 1) CHECK_OK(rf_options_set_progress(options, report_nothing, NULL, NULL));
    if (which == 2) CHECK_OK(rf_options_set_body_reader(options, read_nothing, NULL, 0, NULL, NULL));
    if (which == 3) CHECK_OK(rf_options_add_part_reader(options, "a", NULL, NULL, read_nothing, NULL, 0, NULL, NULL));
    if (which == 4) CHECK_OK(rf_options_set_output_fd(options, 1));
    if (which == 5) CHECK_OK(rf_options_set_trace(options, trace_nothing, false, NULL, NULL));
    rf_future *future = request(session, "POST", http("/anything"), options);
    CHECK_HAS(named[which], rf_error_message(ERROR_OF(RF_ERROR_NOT_TRANSFERABLE, future)));
    rf_future_free(future);
    rf_options_free(options);
  }
}

int main(void) {
  session = contrary_session();
  all_at_once();
  in_turn();
  speeds();
  tls_options();
  connections();
  retries();
  trust();
  what_stays();
  rf_future_free(shown_by);
  rf_session_free(session);
  return finish();
}
