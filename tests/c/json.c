/* JSON documents: kinds, members, pointers, numbers with all their digits, what does not parse. */
#include "check.h"

/* A response made by hand, and its document. */
static rf_response *made;
static const rf_json *parse_bytes(const void *bytes, size_t length) {
  const rf_json *json = NULL;
  const rf_error *error = NULL;
  rf_response_free(made);
  made = NULL;
  CHECK_OK(rf_response_new(200, "application/json", bytes, length, &made));
  rf_status status = rf_response_json(made, &json, &error);
  if (status != RF_OK) FAIL("%s: %s", (const char *)bytes, rf_error_message(error));
  CHECK_NULL(error);
  CHECK(json != NULL);
  return json;
}
static const rf_json *parse(const char *document) { return parse_bytes(document, strlen(document)); }

static const rf_error *refused(const void *bytes, size_t length) {
  const rf_json *json = (void *)&made;
  const rf_error *error = NULL;
  rf_response_free(made);
  made = NULL;
  CHECK_OK(rf_response_new(200, "application/json", bytes, length, &made));
  CHECK_STATUS(RF_FAILED, rf_response_json(made, &json, &error));
  CHECK_NULL(json);
  CHECK_INT(RF_ERROR_JSON_DECODE, rf_error_kind_of(error));
  CHECK(rf_error_is(error, RF_ERROR_INVALID_JSON));
  CHECK_STATUS(RF_FAILED, rf_response_json(made, &json, NULL));
  return error;
}

static void kinds(void) {
  const rf_json *json = parse("{\"n\": null, \"t\": true, \"f\": false, \"i\": -7,"
                              " \"s\": \"\", \"a\": [], \"o\": {}}");
  static const struct {
    const char *key;
    int kind;
  } all[] = {{"n", RF_JSON_NULL},   {"t", RF_JSON_BOOL},  {"f", RF_JSON_BOOL},  {"i", RF_JSON_NUMBER},
             {"s", RF_JSON_STRING}, {"a", RF_JSON_ARRAY}, {"o", RF_JSON_OBJECT}};
  CHECK_INT(RF_JSON_OBJECT, rf_json_kind_of(json));
  CHECK_INT(7, rf_json_size(json));
  for (size_t i = 0; i < 7; i++) {
    CHECK(rf_json_get(json, all[i].key) != NULL);
    CHECK_INT(all[i].kind, rf_json_kind_of(rf_json_get(json, all[i].key)));
    CHECK(rf_json_at(json, i) == rf_json_get(json, all[i].key)); /* in the order written */
    CHECK_STR(all[i].key, rf_json_key_at(json, i, NULL));
  }
  CHECK(rf_json_bool(rf_json_get(json, "t")));
  CHECK(!rf_json_bool(rf_json_get(json, "f")));
  CHECK_NULL(rf_json_get(json, "x"));
  CHECK_NULL(rf_json_at(json, 7));
  CHECK_NULL(rf_json_key_at(json, 7, NULL));

  /* Asked for what they are not. */
  CHECK_NULL(rf_json_string(rf_json_get(json, "i"), NULL));
  CHECK_NULL(rf_json_get(rf_json_get(json, "a"), "x"));
  CHECK_NULL(rf_json_at(rf_json_get(json, "s"), 0));
  CHECK_NULL(rf_json_key_at(rf_json_get(json, "a"), 0, NULL));
  CHECK_INT(0, rf_json_size(rf_json_get(json, "i")));
  CHECK(!rf_json_bool(rf_json_get(json, "i")));
  CHECK_NULL(rf_json_number_text(rf_json_get(json, "s"), NULL));
  CHECK(parse("null") != NULL);
  CHECK_INT(RF_JSON_STRING, rf_json_kind_of(parse("  \"alone\"\n")));
}

static void strings(void) {
  size_t length = 0;
  const rf_json *json = parse("[\"a\\u0000b\", \"\\u00e4\\ud83d\\ude00\", \"\\\"\\\\\\/\\n\"]");
  CHECK(memcmp(rf_json_string(rf_json_at(json, 0), &length), "a\0b", 4) == 0);
  CHECK_INT(3, length);
  CHECK_STR("\xc3\xa4\xf0\x9f\x98\x80", rf_json_string(rf_json_at(json, 1), &length));
  CHECK_INT(6, length);
  CHECK_STR("\"\\/\n", rf_json_string(rf_json_at(json, 2), NULL));
  json = parse("{\"\": 1, \"key\": 2}");
  CHECK_STR("", rf_json_key_at(json, 0, &length));
  CHECK_INT(0, length);
  rf_json_key_at(json, 1, &length);
  CHECK_INT(3, length);
}

static void numbers(void) {
  static const struct {
    const char *text;
    rf_status status;
    int64_t value;
  } all[] = {{"0", RF_OK, 0},
             {"-0", RF_OK, 0},
             {"9223372036854775807", RF_OK, INT64_MAX},
             {"-9223372036854775808", RF_OK, INT64_MIN},
             {"9223372036854775808", RF_E_INVALID, 0},
             {"-9223372036854775809", RF_E_INVALID, 0},
             {"1.5", RF_E_INVALID, 0},
             {"123456789012345678901234567890", RF_E_INVALID, 0},
             {"3.14159265358979323846264338327950288", RF_E_INVALID, 0}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    int64_t value = 99;
    size_t length = 0;
    const rf_json *json = parse(all[i].text);
    CHECK_STATUS(all[i].status, rf_json_int(json, &value));
    CHECK_INT(all[i].value, value);
    CHECK_STR(all[i].text, rf_json_number_text(json, &length)); /* every digit */
    CHECK_INT(strlen(all[i].text), length);
  }
  CHECK(rf_json_number(parse("1.5")) == 1.5);
  CHECK(rf_json_number(parse("-2e3")) == -2000);
  CHECK(rf_json_number(parse("0.1")) == 0.1);
  CHECK(rf_json_number(parse("9007199254740993")) == 9007199254740992.0); /* the nearest */
  CHECK_STR("1.0", rf_json_number_text(parse("1.0"), NULL));
  CHECK_STR("1.50e+10", rf_json_number_text(parse("1.50e+10"), NULL));
  int64_t value = 99;
  CHECK_STATUS(RF_E_INVALID, rf_json_int(parse("\"1\""), &value));
  CHECK_INT(0, value);
}

static void pointers(void) {
  const rf_json *json = parse("{\"foo\": [\"bar\", \"baz\"], \"\": 0, \"a/b\": 1, \"c%d\": 2, \"m~n\": 8, \"01\": 9,"
                              " \"deep\": {\"er\": [{\"x\": \"y\"}]}}");
  CHECK(rf_json_pointer(json, "") == json);
  CHECK_STR("bar", rf_json_string(rf_json_pointer(json, "/foo/0"), NULL));
  CHECK(rf_json_number(rf_json_pointer(json, "/a~1b")) == 1);
  CHECK(rf_json_number(rf_json_pointer(json, "/c%d")) == 2);
  CHECK(rf_json_number(rf_json_pointer(json, "/m~0n")) == 8);
  CHECK(rf_json_number(rf_json_pointer(json, "/01")) == 9);
  CHECK(rf_json_pointer(json, "/") == rf_json_get(json, ""));
  CHECK_STR("y", rf_json_string(rf_json_pointer(json, "/deep/er/0/x"), NULL));
  CHECK_STR("y", rf_json_string(rf_json_pointer(rf_json_get(json, "deep"), "/er/0/x"), NULL));
  static const char *const nothing[] = {"foo",    "/none",  "/foo/2",   "/foo/-",
                                        "/foo/01", "/foo/x", "/foo/0/x", "/foo/-1"};
  for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) CHECK_NULL(rf_json_pointer(json, nothing[i]));
}

static void bytes(void) {
  /* UTF-16 and -32, by mark or by where the zeros are. */
  static const char be16[] = "\0{\0\"\0a\0\"\0:\0001\0}", le16[] = "{\0\"\0a\0\"\0:\0001\0}\0";
  CHECK(rf_json_number(rf_json_get(parse_bytes(be16, sizeof be16 - 1), "a")) == 1);
  CHECK(rf_json_number(rf_json_get(parse_bytes(le16, sizeof le16 - 1), "a")) == 1);
  CHECK(rf_json_number(rf_json_at(parse_bytes("\xef\xbb\xbf[1]", 6), 0)) == 1);
  CHECK(rf_json_number(rf_json_at(parse_bytes("\xff\xfe[\0001\0]\0", 8), 0)) == 1);
  CHECK(rf_json_number(rf_json_at(parse_bytes("\0\0\0[\0\0\0001\0\0\0]", 12), 0)) == 1);
}

static void bad(void) {
  static const char *const all[] = {"",      " ",       "{",  "[1,]", "{\"a\" 1}", "nope",
                                    "[1] 2", "\"\n\"", "01", "+1",   "[\"\\x\"]"};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    CHECK(rf_error_message(refused(all[i], strlen(all[i]))) != NULL);
  }
  const char *two = "{\"a\": 1,\n \"b\": nope}";
  const char *message = rf_error_message(refused(two, strlen(two)));
  CHECK_HAS("line 2", message);
  CHECK_HAS("column", message);

  /* Nesting is bounded by a number, not by the stack. */
  char deep[100001];
  memset(deep, '[', 50000);
  memset(deep + 50000, ']', 50000);
  deep[100000] = '\0';
  refused(deep, 100000);
  parse("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
}

static void over_the_wire(void) {
  rf_session *session = new_session();
  rf_future *future = get(session, http("/json"), NULL);
  CHECK_STR("Sample Slide Show", json_string(RESPONSE(future), "/slideshow/title"));
  const rf_json *one = NULL, *two = NULL;
  CHECK_OK(rf_response_json(RESPONSE(future), &one, NULL));
  CHECK_OK(rf_response_json(RESPONSE(future), &two, NULL));
  CHECK(one == two); /* parsed once */
  rf_future_free(future);
  /* Whatever it calls itself. */
  future = get(session, http("/encoding/utf-16-le?json=1"), NULL);
  CHECK_HAS("Gr\xc3\xbc\xc3\x9f" "e", json_string(RESPONSE(future), "/text"));
  rf_future_free(future);
  future = get(session, http("/html"), NULL);
  const rf_error *error = NULL;
  CHECK_STATUS(RF_FAILED, rf_response_json(RESPONSE(future), &one, &error));
  CHECK_STR(http("/html"), rf_error_url(error));
  rf_future_free(future);
  future = get(session, http("/json-deep/100000"), NULL);
  CHECK_STATUS(RF_FAILED, rf_response_json(RESPONSE(future), &one, &error));
  rf_future_free(future);
  rf_session_free(session);
}

int main(void) {
  kinds();
  strings();
  numbers();
  pointers();
  bytes();
  bad();
  over_the_wire();
  rf_response_free(made);
  return finish();
}
