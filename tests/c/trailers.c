/* Trailers: the fields behind the last chunk of a body, once that has been read, wherever the request ran. */
#include "elsewhere.h"
#include "wire.h"

static void check_trailers(const rf_response *response) {
  static const char *const expected[][2] = {{"X-Trailer", "late"}, {"X-Other", "1"}};
  const char *name = "?", *value = "?";
  CHECK_INT(2, rf_response_trailer_count(response));
  for (size_t i = 0; i < 2; i++) {
    CHECK_OK(rf_response_trailer_at(response, i, &name, &value));
    CHECK_STR(expected[i][0], name);
    CHECK_STR(expected[i][1], value);
  }
  CHECK_STATUS(RF_E_INVALID, rf_response_trailer_at(response, 2, &name, &value));
  CHECK_NULL(name);
  CHECK_NULL(value);
  /* They are no headers. */
  CHECK_NULL(rf_response_header(response, "X-Trailer"));
}

static rf_options *streaming(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_stream(options, true));
  return options;
}

/* Read to its end in small pieces; how much it was. */
static size_t drain(const rf_response *response) {
  uint8_t buffer[4096];
  size_t length = 1, all = 0;
  while (length > 0) {
    CHECK_INT(0, rf_response_trailer_count(response));
    CHECK_OK(rf_response_read(response, buffer, sizeof buffer, &length, NULL));
    all += length;
  }
  return all;
}

static void when_read(rf_session *session) {
  rf_future *future = get(session, raw("/chunks/trailers"), NULL);
  CHECK_STR("hello", rf_response_text(RESPONSE(future), NULL));
  check_trailers(RESPONSE(future));
  rf_future_free(future);

  rf_options *options = streaming();
  future = get(session, raw("/chunks/trailers"), options);
  CHECK_INT(5, drain(RESPONSE(future)));
  check_trailers(RESPONSE(future));
  rf_future_free(future);
  /* By its text, by lines, and not at all. */
  future = get(session, raw("/chunks/trailers"), options);
  CHECK_INT(0, rf_response_trailer_count(RESPONSE(future)));
  CHECK_STR("hello", rf_response_text(RESPONSE(future), NULL));
  check_trailers(RESPONSE(future));
  rf_future_free(future);
  future = get(session, raw("/chunks/trailers"), options);
  const char *line = NULL;
  CHECK_OK(rf_response_read_line(RESPONSE(future), &line, NULL, NULL));
  CHECK_STATUS(RF_END, rf_response_read_line(RESPONSE(future), &line, NULL, NULL));
  check_trailers(RESPONSE(future));
  rf_future_free(future);
  future = get(session, raw("/chunks/trailers"), options);
  CHECK_OK(rf_response_close(RESPONSE(future)));
  CHECK_INT(0, rf_response_trailer_count(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);

  const char *path = text("%s/%s", env("RF_TEST_DIR"), unique("trailers"));
  options = new_options();
  CHECK_OK(rf_options_set_output_file(options, path));
  future = get(session, raw("/chunks/trailers"), options);
  check_trailers(RESPONSE(future));
  CHECK_INT(0, unlink(path));
  rf_future_free(future);
  rf_options_free(options);

  future = get(session, http("/stream/3"), NULL);
  CHECK_INT(0, rf_response_trailer_count(RESPONSE(future)));
  rf_future_free(future);
  future = get(session, http("/hello"), NULL);
  CHECK_INT(0, rf_response_trailer_count(RESPONSE(future)));
  rf_future_free(future);
}

/* A long body, so that its trailers come by themselves; in chunks of 1000. */
static void serve(wire_connection *connection, void *end) {
  while (wire_next(connection)) {
    static char chunk[1000];
    memset(chunk, 'x', sizeof chunk);
    wire_say(connection, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 300; i++) {
      wire_say(connection, "3e8\r\n");
      wire_bytes(connection, chunk, sizeof chunk);
      wire_say(connection, "\r\n");
    }
    wire_say(connection, "0\r\n");
    sleep_ms(20);
    wire_say(connection, end);
  }
}

static void of_long_bodies(rf_session *session) {
  static char trailers[] = "X-Trailer:   late  \r\nno field\r\nX-Other: 1\r\n\r\n";
  wire *server = wire_start(serve, trailers);
  for (int streams = 0; streams < 2; streams++) {
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_stream(options, streams));
    rf_future *future = get(session, wire_url(server, "/"), options);
    size_t length = 0;
    if (streams) length = drain(RESPONSE(future));
    else CHECK(rf_response_content(RESPONSE(future), &length) != NULL);
    CHECK_INT(300000, length);
    check_trailers(RESPONSE(future));
    rf_future_free(future);
    rf_options_free(options);
  }
  wire_stop(server);
}

static const char gzip[] = "\x1f\x8b\x08\0\0\0\0\0\0\x03\xcbH\xcd\xc9\xc9\x07\0\x86\xa6\x10" "6\x05\0\0\0"; /* hello */

static void serve_coded(wire_connection *connection, void *unused) {
  (void)unused;
  if (!wire_next(connection)) return;
  wire_say(connection, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n19\r\n");
  wire_bytes(connection, gzip, sizeof gzip - 1);
  wire_say(connection, "\r\n0\r\n");
  sleep_ms(20);
  wire_say(connection, "X-Trailer: late\r\nX-Other: 1\r\n\r\n");
}

static void of_coded_bodies(rf_session *session) {
  wire *server = wire_start(serve_coded, NULL);
  for (int streams = 0; streams < 2; streams++) {
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_stream(options, streams));
    rf_future *future = get(session, wire_url(server, "/"), options);
    if (streams) CHECK_INT(5, drain(RESPONSE(future)));
    else CHECK_STR("hello", rf_response_text(RESPONSE(future), NULL));
    check_trailers(RESPONSE(future));
    rf_future_free(future);
    rf_options_free(options);
  }
  wire_stop(server);
}

/* A section that breaks off, or is longer than a head may be, is dropped; the body is whole. */
static void bad_sections(rf_session *session) {
  static char cut[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: late\r\n";
  wire *server = wire_start(wire_text, cut);
  rf_future *future = get(session, wire_url(server, "/"), NULL);
  CHECK_STR("hello", rf_response_text(RESPONSE(future), NULL));
  CHECK_INT(0, rf_response_trailer_count(RESPONSE(future)));
  rf_future_free(future);
  wire_stop(server);

  char *many = malloc(20000);
  CHECK(many != NULL);
  strcpy(many, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n");
  for (int i = 0; i < 1100; i++) strcat(many, "A: b\r\n");
  strcat(many, "\r\n");
  server = wire_start(wire_text, many);
  future = get(session, wire_url(server, "/"), NULL);
  CHECK_STR("hello", rf_response_text(RESPONSE(future), NULL));
  CHECK_INT(0, rf_response_trailer_count(RESPONSE(future)));
  rf_future_free(future);
  wire_stop(server);
  free(many);
}

static void through_an_adapter(void) {
  rf_session *session = new_session_through();
  rf_future *future = get(session, raw("/chunks/trailers"), NULL);
  CHECK_STR("hello", rf_response_text(RESPONSE(future), NULL));
  check_trailers(RESPONSE(future));
  rf_future_free(future);
  rf_session_free(session);
}

int main(void) {
  places places = new_places();
  for (int i = 0; i < PLACES; i++) {
    when_read(places.at[i]);
    of_long_bodies(places.at[i]);
    of_coded_bodies(places.at[i]);
    bad_sections(places.at[i]);
  }
  through_an_adapter();
  end_places(places);
  return finish();
}
