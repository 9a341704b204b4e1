/* Responses: status line, headers, content, text, the request that was sent, history, errors, handles, data. */
#include "check.h"

#include <strings.h>

static void status_line(void) {
  rf_session *session = new_session();
  static const struct {
    int code;
    bool ok;
  } codes[] = {{200, true},  {204, true},  {304, true},  {400, false},
               {404, false}, {418, false}, {500, false}, {503, false}};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    rf_future *future = get(session, http(text("/status/%d", codes[i].code)), NULL);
    const rf_response *response = RESPONSE(future);
    CHECK_INT(codes[i].code, rf_response_status_code(response));
    CHECK(rf_response_ok(response) == codes[i].ok);
    CHECK(!rf_response_is_redirect(response));
    CHECK(rf_response_reason(response) != NULL);
    CHECK_STR(http(text("/status/%d", codes[i].code)), rf_response_url(response));
    rf_future_free(future);
  }

  rf_future *future = get(session, raw("/reason?phrase=Very%20well%20indeed"), NULL);
  CHECK_STR("Very well indeed", rf_response_reason(RESPONSE(future)));
  rf_future_free(future);
  future = get(session, raw("/no-reason"), NULL);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  CHECK_STR("", rf_response_reason(RESPONSE(future)));
  rf_future_free(future);
  rf_session_free(session);
}

static void headers(void) {
  rf_session *session = new_session();
  rf_future *future =
      get(session, raw("/header?line=X-One:%201&line=x-Two:%20a&line=X-Two:%20b&line=Set-Cookie:%20k=v"), NULL);
  const rf_response *response = RESPONSE(future);
  CHECK_STR("1", rf_response_header(response, "X-One"));
  CHECK_STR("1", rf_response_header(response, "x-oNE"));
  CHECK_STR("a, b", rf_response_header(response, "X-TWO")); /* repeats are joined */
  CHECK_NULL(rf_response_header(response, "X-Three"));
  CHECK_NULL(rf_response_header(response, ""));

  /* One by one: as they came, names in the case they had. */
  size_t twos = 0, count = rf_response_header_count(response);
  CHECK(count >= 6);
  for (size_t i = 0; i < count; i++) {
    const char *name = NULL, *value = NULL;
    CHECK_OK(rf_response_header_at(response, i, &name, &value));
    if (strcmp(name, "x-Two") == 0) {
      CHECK_STR("a", value);
      CHECK_INT(0, twos++);
    } else if (strcmp(name, "X-Two") == 0) {
      CHECK_STR("b", value);
      CHECK_INT(1, twos++);
    }
  }
  CHECK_INT(2, twos);
  const char *name = "?", *value = "?";
  CHECK_STATUS(RF_E_INVALID, rf_response_header_at(response, count, &name, &value));
  CHECK_NULL(name);
  CHECK_NULL(value);
  rf_future_free(future);

  future = get(session, raw("/latin1-header"), NULL);
  CHECK_STR("Gr\xc3\xbc\xc3\x9f" "e", rf_response_header(RESPONSE(future), "X-Latin1"));
  rf_future_free(future);
  future = get(session, raw("/many-headers?n=100"), NULL);
  CHECK_STR("99", rf_response_header(RESPONSE(future), "X-Many-99"));
  rf_future_free(future);
  rf_session_free(session);
}

/* The bytes of /bytes/{n}: splitmix64. */
static uint8_t byte_at(uint64_t index) {
  uint64_t z = (index / 8 + 1) * UINT64_C(0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  z ^= z >> 31;
  return (uint8_t)(z >> (8 * (index % 8)));
}

static void content(void) {
  rf_session *session = new_session();
  static const char *const paths[] = {"/bytes/0", "/bytes/1", "/bytes/1000000",
                                      "/stream-bytes/300000?chunk_size=777"};
  static const size_t lengths[] = {0, 1, 1000000, 300000};
  for (size_t i = 0; i < 4; i++) {
    rf_future *future = get(session, http(paths[i]), NULL);
    const rf_response *response = RESPONSE(future);
    size_t length = 99, again = 99;
    const uint8_t *bytes = rf_response_content(response, &length);
    CHECK(bytes != NULL);
    CHECK_INT(lengths[i], length);
    for (size_t at = 0; at < length; at++) {
      if (bytes[at] != byte_at(at)) FAIL("%s: byte %zu is wrong", paths[i], at);
    }
    CHECK_INT(0, bytes[length]); /* a NUL follows */
    CHECK(rf_response_content(response, &again) == bytes);
    CHECK_INT(length, again);
    rf_future_free(future);
  }
  /* Ends of bodies that are right. */
  static const char *const good[] = {"/http10?n=20", "/close-delimited?n=20"};
  for (size_t i = 0; i < 2; i++) {
    rf_future *future = get(session, raw(good[i]), NULL);
    CHECK_STR("xxxxxxxxxxxxxxxxxxxx", (const char *)rf_response_content(RESPONSE(future), NULL));
    rf_future_free(future);
  }
  static const char *const hello[] = {"/chunks/extensions", "/chunks/trailers"};
  for (size_t i = 0; i < 2; i++) {
    rf_future *future = get(session, raw(hello[i]), NULL);
    CHECK_STR("hello", rf_response_text(RESPONSE(future), NULL));
    rf_future_free(future);
  }
  rf_session_free(session);
}

static void text_and_encoding(void) {
  rf_session *session = new_session();
  size_t length = 0;
  rf_future *future = get(session, http("/encoding/latin1"), NULL);
  const rf_response *response = RESPONSE(future);
  CHECK_STR("latin1", rf_response_encoding(response));
  const char *first = rf_response_text(response, &length);
  CHECK_STR("Gr\xc3\xbc\xc3\x9f" "e aus K\xc3\xb6ln, d\xc3\xa9j\xc3\xa0 vu, \xc2\xbfqu\xc3\xa9 tal ma\xc3\xb1" "ana?",
            first);
  CHECK_INT(strlen(first), length);
  CHECK_OK(rf_response_set_encoding(response, "utf-8"));
  CHECK_STR("utf-8", rf_response_encoding(response));
  CHECK_HAS("\xef\xbf\xbd", rf_response_text(response, NULL)); /* replaced */
  CHECK_HAS("aus K\xc3\xb6ln", first);                         /* handed out before: stays valid */
  CHECK_OK(rf_response_set_encoding(response, "no-such-charset"));
  CHECK_STR("no-such-charset", rf_response_encoding(response));
  CHECK(rf_response_text(response, NULL) != NULL);
  rf_future_free(future);

  future = get(session, http("/encoding/latin1?header=none&type=text/plain"), NULL);
  CHECK_STR("ISO-8859-1", rf_response_encoding(RESPONSE(future)));
  rf_future_free(future);
  future = get(session, http("/json"), NULL);
  CHECK_STR("utf-8", rf_response_encoding(RESPONSE(future)));
  rf_future_free(future);

  /* Nothing said: it is detected. */
  future = get(session, http("/encoding/shift_jis?header=none&type=application/octet-stream&repeat=20"), NULL);
  CHECK_NULL(rf_response_encoding(RESPONSE(future)));
  CHECK(rf_response_apparent_encoding(RESPONSE(future)) != NULL);
  CHECK_HAS("\xe3\x81\x93\xe3\x82\x93\xe3\x81\xab\xe3\x81\xa1\xe3\x81\xaf",
            rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  rf_session_free(session);
}

static void what_was_sent(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  rf_future *future = NULL;
  size_t length = 0;
  CHECK_OK(rf_options_set_header(options, "X-Own", "mine"));
  CHECK_OK(rf_options_set_body(options, "a body", 6));
  CHECK_OK(rf_options_set_cookie(options, "c", "d"));
  CHECK_OK(rf_session_post(session, http("/post?a=b"), options, &future));
  const rf_response *response = RESPONSE(future);
  CHECK_STR("POST", rf_response_request_method(response));
  CHECK_STR(http("/post?a=b"), rf_response_request_url(response));
  CHECK_STR("mine", rf_response_request_header(response, "x-own"));
  CHECK_STR("6", rf_response_request_header(response, "Content-Length"));
  CHECK_STR("c=d", rf_response_request_header(response, "Cookie"));
  CHECK(rf_response_request_header(response, "User-Agent") != NULL);
  CHECK(rf_response_request_header(response, "Host") != NULL);
  CHECK_NULL(rf_response_request_header(response, "Authorization"));
  const uint8_t *body = rf_response_request_body(response, &length);
  CHECK_INT(6, length);
  CHECK(memcmp(body, "a body", 6) == 0);
  size_t count = rf_response_request_header_count(response);
  CHECK(count >= 7);
  bool seen = false;
  for (size_t i = 0; i < count; i++) {
    const char *name = NULL, *value = NULL;
    CHECK_OK(rf_response_request_header_at(response, i, &name, &value));
    /* HTTP/2 has names in lower case. */
    if (strcasecmp(name, "X-Own") == 0 && strcmp(value, "mine") == 0) seen = true;
  }
  CHECK(seen);
  rf_future_free(future);
  rf_options_free(options);

  /* The fragment is kept, and not sent. */
  future = get(session, http("/anything#part"), NULL);
  CHECK_STR(http("/anything#part"), rf_response_request_url(RESPONSE(future)));
  CHECK_STR(http("/anything#part"), rf_response_url(RESPONSE(future)));
  CHECK_STR(http("/anything"), json_string(RESPONSE(future), "/url"));
  length = 9;
  rf_response_request_body(RESPONSE(future), &length);
  CHECK_INT(0, length);
  rf_future_free(future);
  rf_session_free(session);
}

static void history(void) {
  rf_session *session = new_session();
  rf_future *future = get(session, http("/redirect/3"), NULL);
  const rf_response *response = RESPONSE(future);
  CHECK_INT(200, rf_response_status_code(response));
  CHECK_STR(http("/get"), rf_response_url(response));
  CHECK_INT(3, rf_response_history_count(response));
  for (size_t i = 0; i < 3; i++) {
    const rf_response *hop = rf_response_history_at(response, i);
    CHECK_INT(302, rf_response_status_code(hop));
    CHECK(rf_response_is_redirect(hop));
    CHECK(!rf_response_is_permanent_redirect(hop));
    CHECK_INT(i, rf_response_history_count(hop)); /* those before it */
    CHECK(rf_response_header(hop, "Location") != NULL);
  }
  CHECK_STR(http("/redirect/3"), rf_response_url(rf_response_history_at(response, 0)));
  CHECK_NULL(rf_response_history_at(response, 3));
  rf_future_free(future);
  rf_session_free(session);
}

static void raise_for_status(void) {
  rf_session *session = new_session();
  rf_future *future = get(session, http("/status/404"), NULL);
  const rf_response *response = RESPONSE(future);
  const rf_error *error = NULL;
  CHECK_STATUS(RF_FAILED, rf_response_raise_for_status(response, &error));
  CHECK_INT(RF_ERROR_HTTP, rf_error_kind_of(error));
  CHECK(rf_error_is(error, RF_ERROR_REQUEST));
  CHECK(!rf_error_is(error, RF_ERROR_CONNECTION));
  CHECK_STR(text("404 Client Error: %s for url: %s", rf_response_reason(response), http("/status/404")),
            rf_error_message(error));
  CHECK_INT(404, rf_response_status_code(rf_error_response(error)));
  CHECK_STATUS(RF_FAILED, rf_response_raise_for_status(response, NULL));
  rf_future_free(future);

  future = get(session, http("/status/503"), NULL);
  CHECK_STATUS(RF_FAILED, rf_response_raise_for_status(RESPONSE(future), &error));
  CHECK_HAS("503 Server Error: ", rf_error_message(error));
  rf_future_free(future);
  future = get(session, http("/status/204"), NULL);
  error = (void *)session;
  CHECK_OK(rf_response_raise_for_status(RESPONSE(future), &error));
  CHECK_NULL(error);
  rf_future_free(future);
  rf_session_free(session);
}

static void elapsed(void) {
  rf_session *session = new_session();
  rf_future *future = get(session, http("/slow-headers?ms=200"), NULL);
  CHECK_RANGE(200000, 3000000 * patience(), rf_response_elapsed_us(RESPONSE(future)));
  rf_future_free(future);
  /* To the headers, not to the end of the body. */
  future = get(session, http("/slow-body?ms=500&n=5"), NULL);
  CHECK_RANGE(0, 2000000 * patience(), rf_response_elapsed_us(RESPONSE(future)));
  rf_future_free(future);
  rf_session_free(session);
}

static int dropped;
static void drop(void *data) {
  CHECK(data == &dropped);
  INCREMENT(dropped);
}

static void data_and_handles(void) {
  rf_session *session = new_session();
  rf_future *future = get(session, http("/hello"), NULL);
  const rf_response *response = RESPONSE(future);
  CHECK_NULL(rf_response_data(response));
  CHECK_OK(rf_response_set_data(response, &dropped, drop));
  CHECK(rf_response_data(response) == &dropped);
  CHECK_OK(rf_response_set_data(response, &dropped, drop)); /* the one before goes */
  CHECK_INT(1, dropped);

  size_t length = 9;
  CHECK_NULL(rf_response_extra(response, "name", &length));
  CHECK_INT(0, length);
  CHECK_OK(rf_response_set_extra(response, "name", "one", 3));
  const uint8_t *first = rf_response_extra(response, "name", &length);
  CHECK_INT(3, length);
  CHECK(memcmp(first, "one", 3) == 0);
  CHECK_OK(rf_response_set_extra(response, "name", "second", 6));
  CHECK(memcmp(first, "one", 3) == 0); /* a replaced one stays valid */
  CHECK(memcmp(rf_response_extra(response, "name", &length), "second", 6) == 0);
  CHECK_INT(6, length);
  CHECK_OK(rf_response_set_extra(response, "empty", NULL, 0));
  length = 9;
  rf_response_extra(response, "empty", &length);
  CHECK_INT(0, length);

  /* Another handle of the same response outlives its future, with all that it has. */
  rf_response *clone = NULL;
  CHECK_OK(rf_response_clone(response, &clone));
  rf_future_free(future);
  rf_session_free(session);
  CHECK_STR("Hello, world!", rf_response_text(clone, NULL));
  CHECK(rf_response_data(clone) == &dropped);
  CHECK_INT(1, dropped);
  rf_response_free(clone);
  EVENTUALLY(LOAD(dropped) == 2); /* the worker may be the last to let go */
}

static void made_by_hand(void) {
  rf_response *response = NULL;
  const rf_json *json = NULL;
  size_t length = 0;
  CHECK_OK(rf_response_new(201, "application/json", "{\"a\": 1}", 8, &response));
  CHECK_INT(201, rf_response_status_code(response));
  CHECK(rf_response_ok(response));
  CHECK_STR("application/json", rf_response_header(response, "content-type"));
  CHECK_STR("{\"a\": 1}", (const char *)rf_response_content(response, &length));
  CHECK_INT(8, length);
  CHECK_OK(rf_response_json(response, &json, NULL));
  CHECK(rf_json_number(rf_json_get(json, "a")) == 1);
  CHECK_INT(0, rf_response_history_count(response));
  rf_response_free(response);
}

/* What looks like an encoding is decoded as that one. */
static void wide_ascii(void) {
  static const struct {
    const char *name, *bytes;
    size_t length;
  } all[] = {{"utf-16-le", "h\0i\0!\0", 6},
             {"utf-16-be", "\0h\0i\0!", 6},
             {"utf-32-le", "h\0\0\0i\0\0\0!\0\0\0", 12},
             {"utf-32-be", "\0\0\0h\0\0\0i\0\0\0!", 12}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    rf_response *response = NULL;
    size_t length = 0;
    CHECK_OK(rf_response_new(200, NULL, all[i].bytes, all[i].length, &response));
    CHECK_STR(all[i].name, rf_response_apparent_encoding(response));
    CHECK_STR("hi!", rf_response_text(response, &length));
    CHECK_INT(3, length);
    rf_response_free(response);
  }
}

static void links(void) {
  rf_session *session = new_session();
  rf_future *future = get(session, http("/link-header?page=1"), NULL);
  CHECK_STR(http("/link-header?page=2"), rf_response_link(RESPONSE(future), "next"));
  CHECK_STR(http("/link-header?page=3"), rf_response_link(RESPONSE(future), "last"));
  CHECK_NULL(rf_response_link(RESPONSE(future), "prev"));
  rf_future_free(future);
  /* Link: <u>; title="x\", <v>; y"; rel="up Next" */
  const char *link = "%3Cu%3E;%20title=%22x%5C%22,%20%3Cv%3E;%20y%22;%20rel=%22up%20Next%22";
  future = get(session, raw(text("/header?line=Link:%%20%s", link)), NULL);
  CHECK_STR("u", rf_response_link(RESPONSE(future), "next"));
  CHECK_STR("u", rf_response_link(RESPONSE(future), "UP"));
  CHECK_NULL(rf_response_link(RESPONSE(future), "v"));
  rf_future_free(future);
  rf_session_free(session);
}

int main(void) {
  status_line();
  headers();
  content();
  text_and_encoding();
  what_was_sent();
  history();
  raise_for_status();
  elapsed();
  data_and_handles();
  made_by_hand();
  wide_ascii();
  links();
  return finish();
}
