/* Odd responses: heads, interim responses, chunks and trailers as no well-behaved server writes them. Each comes whole or
   byte by byte, and is answered by a body, or at once by an error that says what is wrong; never by a wait. */
#include "wire.h"

static rf_session *session;

typedef struct odd {
  const char *text;
  size_t length;
  bool bytewise; /* in pieces of one byte, for short ones */
  bool ends;     /* the connection ends behind it */
} odd;

static void say_odd(wire_connection *connection, void *user_data) {
  odd *what = user_data;
  while (wire_next(connection)) {
    if (wire_asks(connection, "GET /fine")) {
      wire_answer(connection, "200 OK", "", "fine");
      continue;
    }
    if (what->bytewise) {
      for (size_t i = 0; i < what->length; i++) wire_bytes(connection, what->text + i, 1);
    } else {
      wire_bytes(connection, what->text, what->length);
    }
    if (what->ends) return;
  }
}

/* What comes of a response: its text, or the error's kind; and how many connections two requests then needed. */
typedef struct outcome {
  char text[200];
  int kind;
  char message[400];
  int connections;
} outcome;

static outcome ask_for(const char *method, const char *text_, size_t length, bool bytewise, bool ends) {
  odd what = {text_, length, bytewise, ends};
  outcome found;
  memset(&found, 0, sizeof found);
  wire *server = wire_start(say_odd, &what);
  rf_session *own = new_session_workers(1);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_timeout(options, RF_FOREVER, 20000));
  int64_t start = now_ms();
  rf_future *future = request(own, method, wire_url(server, "/odd"), options);
  const rf_error *error = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  if (now_ms() - start > 10000) FAIL("waited for the time-out: %.100s", text_);
  if (error != NULL) {
    found.kind = rf_error_kind_of(error);
    snprintf(found.message, sizeof found.message, "%s", rf_error_message(error));
  } else {
    snprintf(found.text, sizeof found.text, "%s", rf_response_text(RESPONSE(future), NULL));
  }
  rf_future_free(future);
  future = get(own, wire_url(server, "/fine"), options);
  CHECK_STR("fine", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  found.connections = wire_connections(server);
  rf_options_free(options);
  rf_session_free(own);
  wire_stop(server);
  return found;
}

/* The response is read as this text. 1 connection: it is used again, 2: it is not. */
static void gives_for(const char *method, const char *expected, int connections, const char *response, bool ends) {
  for (int bytewise = 0; bytewise < (strlen(response) < 500 ? 2 : 1); bytewise++) {
    outcome found = ask_for(method, response, strlen(response), bytewise, ends);
    if (found.kind != 0 || strcmp(found.text, expected) != 0) {
      FAIL("%.200s\n gave %s %s\n not %s", response, rf_error_kind_name(found.kind), found.kind ? found.message : found.text,
           expected);
    }
    if (found.connections != connections) FAIL("%d connections: %.200s", found.connections, response);
  }
}
#define GIVES(expected, connections, response) gives_for("GET", expected, connections, response, false)
#define GIVES_AT_THE_END(expected, response) gives_for("GET", expected, 2, response, true)

/* The response is refused with this kind, and a message that has this part. */
static void fails_with(int kind, const char *part, const char *response, size_t length, bool ends) {
  outcome found = ask_for("GET", response, length, false, ends);
  if (found.kind != kind) {
    FAIL("%.200s\n gave %s %s, not %s", response, rf_error_kind_name(found.kind), found.kind ? found.message : found.text,
         rf_error_kind_name(kind));
  }
  CHECK_HAS(part, found.message);
}
#define FAILS(kind, part, response) fails_with(kind, part, response, strlen(response), false)

#define OK_HEAD "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK_HEAD "Transfer-Encoding: chunked\r\n\r\n"

static void chunk_lines(void) {
  GIVES("hello", 1, CHUNKED "5;chunk-signature="
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\nhello\r\n0;chunk-signature=0\r\n\r\n");
  GIVES("hello", 1, CHUNKED "0000000000000000000000005\r\nhello\r\n0\r\n\r\n");
  GIVES("hello", 1, CHUNKED "5\nhello\n0\n\n");
  GIVES("hello", 1, CHUNKED "5 \r\nhello\r\n0\r\n\r\n");
  FAILS(RF_ERROR_CHUNKED_ENCODING, "chunk", CHUNKED "+5\r\nhello\r\n0\r\n\r\n");
  FAILS(RF_ERROR_CHUNKED_ENCODING, "chunk", CHUNKED " 5\r\nhello\r\n0\r\n\r\n");
  FAILS(RF_ERROR_CHUNKED_ENCODING, "chunk", CHUNKED "0x5\r\nhello\r\n0\r\n\r\n");
  FAILS(RF_ERROR_CHUNKED_ENCODING, "chunk", CHUNKED "5\r\nhello!\r\n0\r\n\r\n");
  FAILS(RF_ERROR_CHUNKED_ENCODING, "larger than any", CHUNKED "10000000000000005\r\nhello\r\n0\r\n\r\n");
  char *long_line = malloc(20000);
  strcpy(long_line, CHUNKED "5;");
  size_t length = strlen(long_line);
  memset(long_line + length, 'x', 17000);
  fails_with(RF_ERROR_CHUNKED_ENCODING, "16 KB", long_line, length + 17000, false);
  free(long_line);
}

static void the_last_chunk(void) {
  GIVES_AT_THE_END("hello", CHUNKED "5\r\nhello\r\n0\r\n");
  GIVES_AT_THE_END("hello", CHUNKED "5\r\nhello\r\n0\r\n\r");
  GIVES_AT_THE_END("hello", CHUNKED "5\r\nhello\r\n0\r\nA: b\r\n");
  GIVES("hello", 1, CHUNKED "5\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n");
  /* A trailer section without end: the body is whole, and its connection is closed. */
  size_t fields = 60000;
  char *endless = malloc(fields * 6 + 200);
  char *at = endless + sprintf(endless, CHUNKED "5\r\nhello\r\n0\r\n");
  for (size_t i = 0; i < fields; i++) at += sprintf(at, "A: b\r\n");
  GIVES("hello", 2, endless);
  free(endless);
}

static void transfer_codings(void) {
  GIVES("hello", 2, OK_HEAD "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  GIVES("hello", 2, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  FAILS(RF_ERROR_INVALID_HEADER, "xchunked", OK_HEAD "Transfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  FAILS(RF_ERROR_CONTENT_DECODING, "gzip", OK_HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  GIVES("hello", 1, OK_HEAD "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello");
  /* gzip of "hello" */
  static const char zipped[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00\x00\x00";
  char whole[300];
  int length = snprintf(whole, sizeof whole, OK_HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n%zx\r\n", sizeof zipped - 1);
  memcpy(whole + length, zipped, sizeof zipped - 1);
  memcpy(whole + length + sizeof zipped - 1, "\r\n0\r\n\r\n", 7);
  outcome found = ask_for("GET", whole, (size_t)length + sizeof zipped - 1 + 7, false, false);
  CHECK_STR("hello", found.text);
  CHECK_INT(1, found.connections);
  /* Without chunks it ends with the connection, whatever a length says. */
  length = snprintf(whole, sizeof whole, OK_HEAD "Transfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\n");
  memcpy(whole + length, zipped, sizeof zipped - 1);
  found = ask_for("GET", whole, (size_t)length + sizeof zipped - 1, false, true);
  CHECK_STR("hello", found.text);
}

static void heads(void) {
  static const char *const odd_lines[] = {"X Foo: 1", "Server : x", "PHP Warning: something", ": v", "nonsense", "A: \x01\x7f"};
  for (size_t i = 0; i < sizeof odd_lines / sizeof *odd_lines; i++) {
    GIVES("hello", 1, text(OK_HEAD "%s\r\nContent-Length: 5\r\n\r\nhello", odd_lines[i]));
  }
  GIVES("hello", 1, "HTTP/1.1  200 OK\r\nContent-Length: 5\r\n\r\nhello");
  GIVES("hello", 1, "\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nContent-Length: 5\r\n\r\nhello");
  FAILS(RF_ERROR_INVALID_HEADER, "Content-Length", OK_HEAD "Content-Length : 5\r\n\r\nhello");
  FAILS(RF_ERROR_INVALID_HEADER, "Content-Length", OK_HEAD "Content-Length: +5\r\n\r\nhello");
  FAILS(RF_ERROR_INVALID_HEADER, "contradict", OK_HEAD "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello");
  FAILS(RF_ERROR_CONNECTION, "no response of HTTP/1", "SSH-2.0-OpenSSH_9.2\r\n");
  FAILS(RF_ERROR_CONNECTION, "status line", "HTTP/1.1 abc\r\n\r\n");
  /* What has no body needs no length. */
  gives_for("HEAD", "", 2, OK_HEAD "Content-Length: nonsense\r\n\r\n", false);
  gives_for("HEAD", "", 1, OK_HEAD "Content-Length: 500\r\n\r\n", false);
  const char *cut = OK_HEAD "Content-Le";
  fails_with(RF_ERROR_CONNECTION, "inside the head of its response, after 27 bytes", cut, strlen(cut), true);
  fails_with(RF_ERROR_CONNECTION, "without a response", "", 0, true);
  fails_with(RF_ERROR_CHUNKED_ENCODING, "after 5 of 9 bytes", OK_HEAD "Content-Length: 9\r\n\r\nhello",
             strlen(OK_HEAD "Content-Length: 9\r\n\r\nhello"), true);
}

static void values(void) {
  odd what = {OK_HEAD "A: b\0c\rd\r\nContent-Length: 0\r\n\r\n", 0, false, false};
  what.length = sizeof OK_HEAD "A: b\0c\rd\r\nContent-Length: 0\r\n\r\n" - 1;
  wire *server = wire_start(say_odd, &what);
  rf_future *future = get(session, wire_url(server, "/odd"), NULL);
  CHECK_STR("b c d", rf_response_header(RESPONSE(future), "A"));
  rf_future_free(future);
  wire_stop(server);
}

static char *fields(size_t count, size_t length) {
  char *head = malloc(count * (length + 20) + 200), *at = head;
  at += sprintf(at, OK_HEAD);
  for (size_t i = 0; i < count; i++) {
    at += sprintf(at, "X-%zu: ", i);
    memset(at, 'v', length);
    at += length;
    at += sprintf(at, "\r\n");
  }
  strcpy(at, "Content-Length: 5\r\n\r\nhello");
  return head;
}

static void bounds(void) {
  char *head = fields(200, 10);
  GIVES("hello", 1, head);
  free(head);
  head = fields(999, 200);
  GIVES("hello", 1, head);
  free(head);
  head = fields(1000, 10); /* and Content-Length */
  FAILS(RF_ERROR_CONNECTION, "1000 fields", head);
  free(head);
  head = fields(1, 300000);
  FAILS(RF_ERROR_CONNECTION, "more than 262144 bytes", head);
  free(head);
}

static void continue_for_ever(wire_connection *connection, void *user_data) {
  const char *interim = user_data;
  if (wire_next(connection)) {
    while (send(connection->fd, interim, strlen(interim), MSG_NOSIGNAL) >= 0) {
    }
  }
}

static void interim_responses(void) {
  char long_interim[3000] = "HTTP/1.1 103 Early Hints\r\nLink: ";
  memset(long_interim + strlen(long_interim), 'x', 2000);
  strcat(long_interim, "\r\n\r\n");
  const char *const endless[] = {"HTTP/1.1 100 Continue\r\n\r\n", long_interim, "\r\n"};
  for (size_t i = 0; i < 3; i++) {
    wire *server = wire_start(continue_for_ever, (void *)(uintptr_t)endless[i]);
    rf_future *future = get(session, wire_url(server, "/"), NULL);
    ERROR_OF(RF_ERROR_CONNECTION, future);
    rf_future_free(future);
    wire_stop(server);
  }
  char *many = malloc(100 * 30 + 200);
  many[0] = '\0';
  for (int i = 0; i < 100; i++) strcat(many, "HTTP/1.1 100 Continue\r\n\r\n");
  strcat(many, OK_HEAD "Content-Length: 5\r\n\r\nhello");
  GIVES("hello", 1, many);
  free(many);
}

int main(void) {
  session = new_session();
  chunk_lines();
  the_last_chunk();
  transfer_codings();
  heads();
  values();
  bounds();
  interim_responses();
  rf_session_free(session);
  return finish();
}
