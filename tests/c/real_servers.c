/* HTTP/2 with a server that others wrote, whose address is RF_REAL_SERVER. It has /hello, 13 bytes, and /large, 5,000,000.
   RF_RESETS_EARLY: it bears it that a request is reset before it has answered. tests/real_servers.rs starts it. */
#include "check.h"

enum { LARGE = 5000000, MANY = 1500, AT_ONCE = 250 };

static rf_options *options_of(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_http_version(options, RF_HTTP_2));
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  return options;
}

static const char *url(const char *path) { return text("%s%s", env("RF_REAL_SERVER"), path); }

static void is_hello(rf_future *future) {
  const rf_response *response = RESPONSE(future);
  CHECK_INT(200, rf_response_status_code(response));
  CHECK_STR("HTTP/2", rf_response_http_version(response));
  CHECK_STR("Hello, world!", rf_response_text(response, NULL));
  rf_future_free(future);
}

/* More than any of them wants at a time, and more than some want in all on one connection. */
static void many(rf_session *session) {
  rf_options *options = options_of();
  rf_future *futures[AT_ONCE];
  for (int sent = 0; sent < MANY; sent += AT_ONCE) {
    for (int i = 0; i < AT_ONCE; i++) futures[i] = get(session, url("/hello"), options);
    for (int i = 0; i < AT_ONCE; i++) is_hello(futures[i]);
  }
  rf_options_free(options);
}

static int times_received;

static rf_status progress(int64_t sent, int64_t send_total, int64_t received, int64_t receive_total, void *user_data) {
  (void)sent, (void)send_total, (void)receive_total, (void)user_data;
  if (received > 0) INCREMENT(times_received);
  return RF_OK;
}

static void large(rf_session *session) {
  rf_options *options = options_of(), *open = options_of(), *late = options_of();
  size_t size = 0, count = 0;
  uint8_t piece[1000];
  rf_future *futures[4];
  for (int i = 0; i < 4; i++) futures[i] = get(session, url("/large"), options);
  for (int i = 0; i < 4; i++) {
    CHECK(rf_response_content(RESPONSE(futures[i]), &size) != NULL);
    CHECK_INT(LARGE, size);
    rf_future_free(futures[i]);
  }
  /* One that nobody reads, one that is given up, and one that is aborted leave the connection to the others. */
  CHECK_OK(rf_options_set_stream(open, true));
  rf_future *unread = get(session, url("/large"), open), *left = get(session, url("/large"), open);
  CHECK_OK(rf_response_read(RESPONSE(left), piece, sizeof piece, &count, NULL));
  CHECK(count > 0);
  rf_future_free(left);
  CHECK_OK(rf_options_set_progress(late, progress, NULL, NULL));
  rf_future *aborted = get(session, url("/large"), late);
  EVENTUALLY(LOAD(times_received) > 0);
  rf_future_abort(aborted);
  if (getenv("RF_RESETS_EARLY") != NULL) {
    rf_future *early = get(session, url("/large"), options);
    rf_future_abort(early);
    rf_future_free(early);
  }
  is_hello(get(session, url("/hello"), options));
  size = 0;
  do {
    const rf_error *error = NULL;
    rf_status status = rf_response_read(RESPONSE(unread), piece, sizeof piece, &count, &error);
    if (error != NULL) puts(rf_error_message(error));
    CHECK_OK(status);
    size += count;
  } while (count > 0);
  CHECK_INT(LARGE, size);
  rf_future_free(unread);
  rf_future_free(aborted);
  rf_options_free(options);
  rf_options_free(open);
  rf_options_free(late);
}

/* Whatever a server makes of a body, it answers, and goes on. */
static void upload(rf_session *session) {
  rf_options *options = options_of();
  char *body = malloc(LARGE);
  CHECK(body != NULL);
  memset(body, 'x', LARGE);
  CHECK_OK(rf_options_set_body(options, body, LARGE));
  free(body);
  for (int i = 0; i < 3; i++) {
    rf_future *future = request(session, "POST", url("/upload"), options);
    const rf_response *response = RESPONSE(future);
    CHECK_STR("HTTP/2", rf_response_http_version(response));
    CHECK(rf_response_status_code(response) >= 200);
    rf_future_free(future);
  }
  rf_options_free(options);
  options = options_of();
  rf_future *future = request(session, "HEAD", url("/large"), options);
  CHECK_STR(text("%d", LARGE), rf_response_header(RESPONSE(future), "Content-Length"));
  rf_future_free(future);
  future = get(session, url("/not-there"), options);
  CHECK_INT(404, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  is_hello(get(session, url("/hello"), options));
  rf_options_free(options);
}

int main(void) {
  rf_session *session = new_session_workers(64);
  many(session);
  large(session);
  upload(session);
  rf_session_free(session);
  return finish();
}
