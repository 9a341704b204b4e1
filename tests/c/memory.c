/* Sizes that the other side chooses, when memory is short: the request, or the call, fails and says why; the program
   and its next request go on. */
#include "wire.h"

#include <errno.h>
#include <sys/resource.h>

#define MB ((size_t)1024 * 1024)
#define ONES 5000000
#define LETTERS (60 * MB)

static rf_session *session;
static wire *server;

/* How much address space this process takes; 0 where nobody can tell. */
static size_t address_space(void) {
  FILE *file = fopen("/proc/self/statm", "r");
  unsigned long pages = 0;
  if (file != NULL && fscanf(file, "%lu", &pages) != 1) pages = 0;
  if (file != NULL) fclose(file);
  return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void limit_to(rlim_t bytes) {
  struct rlimit limit;
  CHECK_INT(0, getrlimit(RLIMIT_AS, &limit));
  limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
  CHECK_INT(0, setrlimit(RLIMIT_AS, &limit));
}

static void leave(size_t more) { limit_to(address_space() + more); }
static void unlimited(void) { limit_to(RLIM_INFINITY); }

/* Says this piece until the other side has heard enough. */
static void flood(wire_connection *connection, const char *piece, size_t length) {
  while (send(connection->fd, piece, length, MSG_NOSIGNAL) > 0) {
  }
}

static void answer(wire_connection *connection, void *unused) {
  static char letters[65536], ones[20000], chunk[65536];
  (void)unused;
  while (wire_next(connection)) {
    if (wire_asks(connection, "GET /length ")) {
      wire_say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 734003200\r\n\r\n");
      memset(letters, 'x', sizeof letters);
      flood(connection, letters, sizeof letters);
    } else if (wire_asks(connection, "GET /chunks ")) {
      wire_say(connection, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      memset(chunk, 'x', sizeof chunk);
      memcpy(chunk, "fff0\r\n", 6);
      memcpy(chunk + 6 + 0xfff0, "\r\n", 2);
      flood(connection, chunk, 6 + 0xfff0 + 2);
    } else if (wire_asks(connection, "GET /line ")) {
      wire_say(connection, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfirst\n");
      memset(letters, 'x', sizeof letters);
      flood(connection, letters, sizeof letters);
    } else if (wire_asks(connection, "GET /ones ")) {
      wire_say(connection, text("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n[1", 2 * ONES + 1));
      for (size_t i = 0; i < sizeof ones; i++) ones[i] = ",1"[i % 2];
      for (size_t left = 2 * ONES - 2; left > 0;) {
        size_t length = left < sizeof ones ? left : sizeof ones;
        wire_bytes(connection, ones, length);
        left -= length;
      }
      wire_say(connection, "]");
      continue;
    } else if (wire_asks(connection, "GET /letters ")) {
      wire_say(connection, text("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=latin1\r\n"
                                "Content-Length: %zu\r\n\r\n", LETTERS));
      memset(letters, 0xe9, sizeof letters);
      for (size_t said = 0; said < LETTERS; said += sizeof letters) {
        wire_bytes(connection, letters, sizeof letters);
      }
      continue;
    } else {
      wire_answer(connection, "200 OK", "", "still here");
      continue;
    }
    return;
  }
}

static void is_out_of_memory(const rf_error *error, const char *what) {
  CHECK(error != NULL);
  CHECK_INT(RF_ERROR_REQUEST, rf_error_kind_of(error));
  CHECK_INT(ENOMEM, rf_error_os_code(error));
  CHECK(strncmp(rf_error_message(error), "Out of memory", 13) == 0);
  CHECK_HAS(what, rf_error_message(error));
}

/* What a program does next works, with no more memory than before. */
static void the_next_request_works(void) {
  rf_future *future = get(session, wire_url(server, "/"), NULL);
  CHECK_STR("still here", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
}

static void a_body_that_does_not_fit_fails_its_future(void) {
  static const char *const paths[] = {"/length", "/chunks"};
  static const char *const messages[] = {"the body of 734003200 bytes", "the body, of which "};
  for (size_t i = 0; i < 2; i++) {
    leave(96 * MB);
    rf_future *future = get(session, wire_url(server, paths[i]), NULL);
    const rf_error *error = ERROR_OF(RF_ERROR_REQUEST, future);
    is_out_of_memory(error, messages[i]);
    CHECK_STR(wire_url(server, paths[i]), rf_error_url(error));
    the_next_request_works();
    rf_future_free(future);
    unlimited();
  }
}

static rf_future *stream(const char *path) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_stream(options, true));
  rf_future *future = get(session, wire_url(server, path), options);
  rf_options_free(options);
  return future;
}

static void a_streamed_body_that_does_not_fit_has_no_content(void) {
  rf_future *future = stream("/length");
  const rf_response *response = RESPONSE(future);
  const rf_error *error = NULL;
  const rf_json *json = NULL;
  uint8_t byte;
  size_t length = 9;
  leave(96 * MB);
  CHECK_NULL(rf_response_content(response, &length));
  CHECK_INT(0, length);
  CHECK_NULL(rf_response_text(response, NULL));
  CHECK_STATUS(RF_FAILED, rf_response_json(response, &json, &error));
  is_out_of_memory(error, "the body of 734003200 bytes");
  CHECK_STATUS(RF_FAILED, rf_response_read(response, &byte, 1, &length, &error));
  is_out_of_memory(error, "the body of 734003200 bytes");
  the_next_request_works();
  unlimited();
  rf_future_free(future);
}

static void a_line_that_does_not_fit_fails_and_so_does_what_follows(void) {
  rf_future *future = stream("/line");
  const rf_response *response = RESPONSE(future);
  const rf_error *error = NULL;
  const char *line = NULL;
  char byte;
  size_t length = 0;
  leave(96 * MB);
  CHECK_OK(rf_response_read_line(response, &line, &length, &error));
  CHECK_STR("first", line);
  CHECK_STATUS(RF_FAILED, rf_response_read_line(response, &line, &length, &error));
  is_out_of_memory(error, "a line of more than ");
  CHECK_NULL(line);
  CHECK_INT(0, length);
  /* What comes next is the middle of that line. */
  CHECK_STATUS(RF_FAILED, rf_response_read_line(response, &line, &length, &error));
  is_out_of_memory(error, "a line of more than ");
  CHECK_STATUS(RF_FAILED, rf_response_read(response, (uint8_t *)&byte, 1, &length, &error));
  is_out_of_memory(error, "a line of more than ");
  the_next_request_works();
  unlimited();
  rf_future_free(future);
}

static void a_line_of_a_body_in_memory_can_be_read_once_there_is_room(void) {
  rf_future *future = get(session, wire_url(server, "/letters"), NULL);
  const rf_response *response = RESPONSE(future);
  const rf_error *error = NULL;
  const char *line = NULL;
  size_t length = 0;
  leave(32 * MB);
  CHECK_STATUS(RF_FAILED, rf_response_read_line(response, &line, &length, &error));
  is_out_of_memory(error, "a line of more than ");
  unlimited();
  CHECK_OK(rf_response_read_line(response, &line, &length, &error));
  CHECK_INT(LETTERS, length);
  CHECK_STATUS(RF_END, rf_response_read_line(response, &line, &length, &error));
  rf_future_free(future);
}

static void json_that_does_not_fit_fails_until_there_is_room(void) {
  rf_future *future = get(session, wire_url(server, "/ones"), NULL);
  const rf_response *response = RESPONSE(future);
  const rf_error *error = NULL;
  const rf_json *json = (void *)server;
  leave(48 * MB);
  CHECK_STATUS(RF_FAILED, rf_response_json(response, &json, &error));
  is_out_of_memory(error, text("the JSON document of %d bytes", 2 * ONES + 1));
  CHECK_STR(wire_url(server, "/ones"), rf_error_url(error));
  CHECK_NULL(json);
  the_next_request_works();
  unlimited();
  CHECK_OK(rf_response_json(response, &json, &error));
  CHECK_INT(ONES, rf_json_size(json));
  CHECK_STR("1", rf_json_number_text(rf_json_at(json, ONES - 1), NULL));
  rf_future_free(future);
}

/* 85 MB are enough for five million values. */
static void json_of_small_values_takes_little_more_than_16_bytes_for_each(void) {
  rf_future *future = get(session, wire_url(server, "/ones"), NULL);
  const rf_response *response = RESPONSE(future);
  const rf_json *json = NULL;
  leave(17 * (size_t)ONES);
  CHECK_OK(rf_response_json(response, &json, NULL));
  CHECK_INT(ONES, rf_json_size(json));
  unlimited();
  rf_future_free(future);
}

static void a_text_that_does_not_fit_is_null_until_there_is_room(void) {
  rf_future *future = get(session, wire_url(server, "/letters"), NULL);
  const rf_response *response = RESPONSE(future);
  const rf_error *error = NULL;
  const rf_json *json = NULL;
  size_t length = 9;
  leave(48 * MB);
  CHECK_NULL(rf_response_text(response, &length));
  CHECK_INT(0, length);
  CHECK_STATUS(RF_FAILED, rf_response_json(response, &json, &error)); /* decodes it as well */
  is_out_of_memory(error, "the JSON document of ");
  CHECK(rf_response_content(response, &length) != NULL);
  CHECK_INT(LETTERS, length);
  the_next_request_works();
  unlimited();
  const char *letters = rf_response_text(response, &length);
  CHECK_INT(2 * LETTERS, length);
  CHECK(memcmp(letters, "\xc3\xa9\xc3\xa9", 4) == 0);
  CHECK_INT(0, letters[length]);
  rf_future_free(future);
}

int main(void) {
  /* A checker needs memory of its own. */
  if (patience() > 1 || address_space() == 0) return 0;
  server = wire_start(answer, NULL);
  session = new_session_workers(1);
  the_next_request_works();
  a_body_that_does_not_fit_fails_its_future();
  a_streamed_body_that_does_not_fit_has_no_content();
  a_line_that_does_not_fit_fails_and_so_does_what_follows();
  a_line_of_a_body_in_memory_can_be_read_once_there_is_room();
  json_that_does_not_fit_fails_until_there_is_room();
  json_of_small_values_takes_little_more_than_16_bytes_for_each();
  a_text_that_does_not_fit_is_null_until_there_is_room();
  rf_session_free(session);
  wire_stop(server);
  return finish();
}
