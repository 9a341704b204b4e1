/* Responses made by hand: headers, a reason, a body that a function has; and what a request makes of them. */
#include "check.h"

#include <pthread.h>

static rf_session *session;

static void headers_and_a_reason(void) {
  rf_response *made = NULL;
  const char *name, *value;
  CHECK_OK(rf_response_new(404, "text/plain; charset=utf-8", "n\xc3\xb6", 3, &made));
  CHECK_STR("Not Found", rf_response_reason(made));
  const char *reason = rf_response_reason(made), *type = rf_response_header(made, "Content-Type");
  CHECK_OK(rf_response_set_reason(made, "Gone Fishing"));
  CHECK_OK(rf_response_add_header(made, "Set-Cookie", "a=1"));
  CHECK_OK(rf_response_add_header(made, "set-cookie", "b=2"));
  CHECK_OK(rf_response_add_header(made, "X-Empty", ""));
  CHECK_OK(rf_response_add_header(made, "Link", "</next>; rel=next"));
  /* What was read before stays as it was. */
  CHECK_STR("Not Found", reason);
  CHECK_STR("text/plain; charset=utf-8", type);
  CHECK_STR("Gone Fishing", rf_response_reason(made));
  CHECK_STR("a=1, b=2", rf_response_header(made, "Set-Cookie"));
  CHECK_STR("", rf_response_header(made, "x-empty"));
  CHECK_STR("3", rf_response_header(made, "Content-Length"));
  CHECK_STR("/next", rf_response_link(made, "next"));
  CHECK_INT(6, rf_response_header_count(made));
  CHECK_OK(rf_response_header_at(made, 1, &name, &value));
  CHECK_STR("Set-Cookie", name);
  CHECK_STR("n\xc3\xb6", rf_response_text(made, NULL));
  CHECK_OK(rf_response_add_header(made, "Location", "/elsewhere"));
  CHECK(!rf_response_is_redirect(made));
  CHECK_OK(rf_response_add_header(made, "Content-Length", "1000")); /* as an answer to HEAD has it */
  CHECK_STR("1000", rf_response_header(made, "Content-Length"));
  rf_response_free(made);

  CHECK_OK(rf_response_new(301, NULL, NULL, 0, &made));
  CHECK(!rf_response_is_redirect(made));
  CHECK_OK(rf_response_add_header(made, "Location", "/elsewhere"));
  CHECK(rf_response_is_redirect(made));
  static const char *const bad[][2] = {{"", "x"}, {"a b", "x"}, {"a:", "x"}, {"a", "x\r\nb: y"}, {"a", "x\n"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    CHECK_STATUS(RF_E_INVALID, rf_response_add_header(made, bad[i][0], bad[i][1]));
  CHECK_STATUS(RF_E_INVALID, rf_response_set_reason(made, "two\r\nlines"));
  CHECK_INT(2, rf_response_header_count(made));
  rf_response_free(made);
}

/* A body of `length` bytes, in pieces of `piece`. */
typedef struct source {
  size_t length, piece, given;
  int calls, drops, sleep_ms, fails_after;
} source;

static int64_t from(uint8_t *buffer, size_t capacity, void *user_data) {
  source *source = user_data;
  size_t count = source->piece < capacity ? source->piece : capacity;
  INCREMENT(source->calls);
  if (source->sleep_ms > 0) sleep_ms(source->sleep_ms);
  if (source->fails_after > 0 && source->calls > source->fails_after) return -7;
  if (count > source->length - source->given) count = source->length - source->given;
  for (size_t i = 0; i < count; i++) buffer[i] = (uint8_t)('a' + (source->given + i) % 26);
  source->given += count;
  return (int64_t)count;
}
static void dropped(void *user_data) { INCREMENT(((source *)user_data)->drops); }

/* It is dropped once, when its last use is over, on whatever thread that is. */
static void over(source *source) { EVENTUALLY(LOAD(source->drops) == 1); }

static rf_response *made_of(source *source, int64_t length) {
  rf_response *made = NULL;
  CHECK_OK(rf_response_new_reader(200, from, length, source, dropped, &made));
  return made;
}

static void a_body_from_a_reader(void) {
  size_t length;
  uint8_t buffer[64];
  source whole = {100000, 777, 0, 0, 0, 0, 0};
  rf_response *made = made_of(&whole, 100000);
  CHECK_STR("100000", rf_response_header(made, "Content-Length"));
  CHECK_INT(0, LOAD(whole.calls)); /* nobody has asked yet */
  const uint8_t *content = rf_response_content(made, &length);
  CHECK_INT(100000, length);
  CHECK(content != NULL && content[0] == 'a' && content[27] == 'b');
  EVENTUALLY(LOAD(whole.drops) == 1); /* it is not needed any more */
  rf_response_free(made);
  EVENTUALLY(LOAD(whole.drops) == 1);

  source pieces = {50, 20, 0, 0, 0, 0, 0};
  made = made_of(&pieces, -1);
  CHECK(rf_response_header(made, "Content-Length") == NULL);
  for (size_t want = 50; want > 0; want -= length) {
    const rf_error *error = NULL;
    CHECK_OK(rf_response_read(made, buffer, sizeof buffer, &length, &error));
    CHECK_INT(want > 20 ? 20 : want, length);
  }
  rf_response_free(made);
  EVENTUALLY(LOAD(pieces.drops) == 1);

  source unread = {50, 20, 0, 0, 0, 0, 0};
  rf_response_free(made_of(&unread, 50));
  CHECK_INT(0, LOAD(unread.calls));
  EVENTUALLY(LOAD(unread.drops) == 1);
  over(&pieces);
  over(&unread);
  over(&whole);
}

/* Puts what user_data points to in the place of what came. */
static rf_status replace(rf_hook_call *call, const rf_response *response, void *user_data) {
  rf_response *made = *(rf_response **)user_data;
  (void)response;
  CHECK_OK(rf_response_add_header(made, "X-Replaced", "1"));
  CHECK_OK(rf_hook_replace(call, made));
  CHECK_STATUS(RF_E_STATE, rf_response_add_header(made, "X-Too", "late"));
  CHECK_STATUS(RF_E_STATE, rf_response_set_reason(made, "late"));
  return RF_OK;
}

static rf_future *replaced_by(rf_response **made, bool stream, int64_t deadline_ms) {
  rf_options *options = NULL;
  CHECK_OK(rf_options_new(&options));
  CHECK_OK(rf_options_add_hook(options, replace, made, NULL));
  CHECK_OK(rf_options_set_stream(options, stream));
  CHECK_OK(rf_options_set_deadline(options, deadline_ms));
  rf_future *future = get(session, http("/hello"), options);
  rf_options_free(options);
  return future;
}

static void given_to_a_request(void) {
  size_t length;
  rf_future *future;
  source whole = {100000, 777, 0, 0, 0, 0, 0};
  rf_response *made = made_of(&whole, 100000);
  future = replaced_by(&made, false, RF_FOREVER);
  CHECK_STR("1", rf_response_header(RESPONSE(future), "X-Replaced"));
  CHECK_INT(100000, whole.given); /* on the worker */
  CHECK(rf_response_content(RESPONSE(future), &length) != NULL);
  CHECK_INT(100000, length);
  rf_response_free(made);
  rf_future_free(future);
  EVENTUALLY(LOAD(whole.drops) == 1);

  source shorter = {10, 4, 0, 0, 0, 0, 0};
  made = made_of(&shorter, 11);
  future = replaced_by(&made, false, RF_FOREVER);
  CHECK_STR("The reader of the response's body ended after 10 of 11 bytes",
            rf_error_message(ERROR_OF(RF_ERROR_CONNECTION, future)));
  rf_response_free(made);
  rf_future_free(future);

  source failing = {100, 10, 0, 0, 0, 0, 3};
  made = made_of(&failing, -1);
  future = replaced_by(&made, false, RF_FOREVER);
  CHECK_STR("The reader of the response's body failed: it returned -7",
            rf_error_message(ERROR_OF(RF_ERROR_HOOK, future)));
  rf_response_free(made);
  rf_future_free(future);

  source longer = {100, 10, 0, 0, 0, 0, 0};
  made = made_of(&longer, 25);
  future = replaced_by(&made, false, RF_FOREVER);
  CHECK(rf_response_content(RESPONSE(future), &length) != NULL);
  CHECK_INT(25, length); /* it is asked for no more */
  rf_response_free(made);
  rf_future_free(future);

  /* A deadline and an abort come when the function has returned. */
  source slow = {1000000, 1, 0, 0, 0, 10, 0};
  made = made_of(&slow, -1);
  int64_t start = now_ms();
  future = replaced_by(&made, false, 200);
  CHECK(ERROR_OF(RF_ERROR_TIMEOUT, future) != NULL);
  CHECK_RANGE(150, 200 + 300 * patience(), now_ms() - start);
  rf_response_free(made);
  rf_future_free(future);
  EVENTUALLY(LOAD(slow.drops) == 1);

  source endless = {1000000, 1, 0, 0, 0, 10, 0};
  made = made_of(&endless, -1);
  future = replaced_by(&made, false, RF_FOREVER);
  EVENTUALLY(LOAD(endless.calls) > 5);
  start = now_ms();
  CHECK(rf_future_abort(future));
  CHECK(ERROR_OF(RF_ERROR_ABORTED, future) != NULL);
  CHECK_RANGE(0, 300 * patience(), now_ms() - start);
  rf_response_free(made);
  rf_future_free(future);
  EVENTUALLY(LOAD(endless.drops) == 1);

  /* A stream is read by who has it. */
  source streamed = {100, 30, 0, 0, 0, 0, 0};
  made = made_of(&streamed, 100);
  future = replaced_by(&made, true, RF_FOREVER);
  const rf_error *error = NULL;
  uint8_t buffer[64];
  CHECK(rf_response_status_code(RESPONSE(future)) == 200 && LOAD(streamed.calls) == 0);
  CHECK_OK(rf_response_read(RESPONSE(future), buffer, sizeof buffer, &length, &error));
  CHECK_INT(30, length);
  CHECK(rf_future_abort(future) == false); /* it is over, but for its body */
  CHECK_STATUS(RF_FAILED, rf_response_read(RESPONSE(future), buffer, sizeof buffer, &length, &error));
  CHECK_INT(RF_ERROR_ABORTED, rf_error_kind_of(error));
  rf_response_free(made);
  rf_future_free(future);
  EVENTUALLY(LOAD(streamed.drops) == 1);
  over(&endless);
  over(&failing);
  over(&longer);
  over(&shorter);
  over(&slow);
  over(&streamed);
  over(&whole);
}

static rf_status replace_once(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)response;
  rf_status status = rf_hook_replace(call, *(rf_response **)user_data);
  if (status == RF_OK) CHECK_OK(rf_hook_replace(call, *(rf_response **)user_data)); /* the last call counts */
  return status == RF_E_STATE ? rf_hook_fail(call, "it was given away") : status;
}

/* One with a reader answers one request, and is bounded like any other; one without answers many. */
static void given_to_several_requests(void) {
  source body = {3000, 100, 0, 0, 0, 0, 0}, endless = {(size_t)1 << 40, 65536, 0, 0, 0, 0, 0};
  rf_response *made = made_of(&body, -1), *plain = NULL;
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, replace_once, &made, NULL));
  rf_future *first = get(session, http("/hello"), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(first)));
  rf_future *second = get(session, http("/hello"), options);
  CHECK_STR("it was given away", rf_error_message(ERROR_OF(RF_ERROR_HOOK, second)));
  rf_future_free(first);
  rf_future_free(second);
  rf_response_free(made);

  made = made_of(&endless, -1);
  CHECK_OK(rf_options_set_max_body(options, 1000000));
  first = get(session, http("/hello"), options);
  CHECK(ERROR_OF(RF_ERROR_BODY_TOO_LARGE, first) != NULL);
  CHECK_RANGE(1000000, 1200000, endless.given);
  rf_future_free(first);
  rf_response_free(made);
  rf_options_free(options);

  options = new_options();
  CHECK_OK(rf_response_new(201, NULL, "plain", 5, &plain));
  CHECK_OK(rf_options_add_hook(options, replace_once, &plain, NULL));
  for (int i = 0; i < 2; i++) {
    first = get(session, http("/hello"), options);
    CHECK_INT(201, rf_response_status_code(RESPONSE(first)));
    rf_future_free(first);
  }
  rf_response_free(plain);
  rf_options_free(options);
  over(&body);
  over(&endless);
}

static void *read_heads(void *made) {
  for (int i = 0; i < 20000; i++) rf_response_header_count(made);
  return NULL;
}

/* What is added is there, whoever reads meanwhile. */
static void added_by_one_and_read_by_another(void) {
  for (int round = 0; round < 20; round++) {
    rf_response *made = NULL;
    pthread_t reader;
    CHECK_OK(rf_response_new(200, NULL, NULL, 0, &made));
    CHECK(pthread_create(&reader, NULL, read_heads, made) == 0);
    for (int i = 0; i < 200; i++) {
      CHECK_OK(rf_response_add_header(made, text("X-%d", i), "1"));
      CHECK_STR("1", rf_response_header(made, text("X-%d", i)));
    }
    pthread_join(reader, NULL);
    rf_response_free(made);
  }
}

/* What came over the wire is as it came. */
static void others_stay_as_they_are(void) {
  rf_response *clone = NULL;
  rf_future *future = get(session, http("/hello"), NULL);
  CHECK_OK(rf_response_clone(RESPONSE(future), &clone));
  CHECK_STATUS(RF_E_STATE, rf_response_add_header(clone, "X-More", "1"));
  CHECK_STATUS(RF_E_STATE, rf_response_set_reason(clone, "More"));
  CHECK(rf_response_header(clone, "X-More") == NULL);
  rf_response_free(clone);
  rf_future_free(future);
}

int main(void) {
  headers_and_a_reason();
  a_body_from_a_reader();
  session = new_session();
  given_to_a_request();
  given_to_several_requests();
  added_by_one_and_read_by_another();
  others_stay_as_they_are();
  rf_session_free(session);
  return finish();
}
