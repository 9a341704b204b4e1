/* Parts of a form that come from functions: their lengths, what is sent again, what goes wrong; files under other names. */
#include "check.h"

#include <pthread.h>

/* A text that is handed out in small pieces. */
typedef struct source {
  const char *text;
  size_t piece, at;
  int reads, rewinds, drops, fails_at; /* 0: never */
  bool fails_to_rewind;
} source;

static int64_t read_source(uint8_t *buffer, size_t capacity, void *user_data) {
  source *source = user_data;
  size_t count = strlen(source->text) - source->at;
  if (++source->reads == source->fails_at) return -7;
  if (count > source->piece) count = source->piece;
  if (count > capacity) count = capacity;
  memcpy(buffer, source->text + source->at, count);
  source->at += count;
  return (int64_t)count;
}

static rf_status rewind_source(void *user_data) {
  source *source = user_data;
  source->at = 0;
  source->rewinds++;
  return source->fails_to_rewind ? RF_FAILED : RF_OK;
}

static void drop_source(void *user_data) { INCREMENT(((source *)user_data)->drops); }

static source of(const char *text) { return (source){text, 3, 0, 0, 0, 0, 0, false}; }

static rf_session *session;

static void add(rf_options *options, const char *name, source *source, int64_t length, bool rewinds) {
  CHECK_OK(rf_options_add_part_reader(options, name, "f.txt", "text/plain", read_source,
                                      rewinds ? rewind_source : NULL, length, source, drop_source));
}

static const char *part(const rf_response *response, int index, const char *what) {
  return json_string(response, text("/parts/%d/%s", index, what));
}

/* In the order added, between others; with a length where all are known, in chunks where one is not. */
static void lengths(void) {
  const char *path = text("%s/%s", env("RF_TEST_DIR"), unique("part"));
  FILE *file = fopen(path, "w");
  CHECK(file != NULL && fputs("of a file", file) >= 0 && fclose(file) == 0);
  for (int known = 0; known < 2; known++) {
    source one = of("the first reader"), two = of("the second"), none = of("");
    rf_options *options = new_options();
    CHECK_OK(rf_options_add_form(options, "field", "value"));
    add(options, "one", &one, 16, true);
    CHECK_OK(rf_options_add_part_reader(options, "no \"name\"", NULL, NULL, read_source, NULL, known ? 10 : -1, &two, drop_source));
    CHECK_OK(rf_options_add_part(options, "bytes", NULL, NULL, "data", 4));
    add(options, "none", &none, known ? 0 : -1, true);
    CHECK_OK(rf_options_add_file_as(options, "file", path, "other \"name\".txt", "text/x-odd"));
    CHECK_OK(rf_options_add_file_as(options, "same", path, NULL, NULL));
    rf_future *future = request(session, "POST", http("/parts"), options);
    const rf_response *response = RESPONSE(future);
    static const char *const names[] = {"field", "one", "no \"name\"", "bytes", "none", "file", "same"};
    static const char *const texts[] = {"value", "the first reader", "the second", "data", "", "of a file", "of a file"};
    for (int i = 0; i < 7; i++) {
      if (i != 2) CHECK_STR(names[i], part(response, i, "name"));
      CHECK_STR(texts[i], part(response, i, "text"));
    }
    CHECK_STR("form-data; name=\"one\"; filename=\"f.txt\"", part(response, 1, "disposition"));
    CHECK_STR("text/plain", part(response, 1, "content_type"));
    CHECK_STR("form-data; name=\"no %22name%22\"", part(response, 2, "disposition"));
    CHECK_NULL(part(response, 2, "content_type"));
    CHECK_STR("form-data; name=\"file\"; filename=\"other %22name%22.txt\"", part(response, 5, "disposition"));
    CHECK_STR("text/x-odd", part(response, 5, "content_type"));
    CHECK_STR(strrchr(path, '/') + 1, part(response, 6, "filename"));
    CHECK_STR(known ? NULL : "chunked", rf_response_request_header(response, "Transfer-Encoding"));
    CHECK(known == (rf_response_request_header(response, "Content-Length") != NULL));
    CHECK_NULL(rf_response_request_body(response, NULL));
    CHECK_INT(0, one.rewinds + two.rewinds + none.rewinds);
    /* They live as long as anybody may read them. */
    CHECK_INT(0, LOAD(one.drops));
    rf_options_free(options);
    rf_future_free(future);
    EVENTUALLY(LOAD(one.drops) == 1 && LOAD(two.drops) == 1 && LOAD(none.drops) == 1);
  }
  CHECK_INT(0, unlink(path));
}

/* Sent again: after a redirect that keeps the body, a digest, a status; and for another request. */
static void again(void) {
  for (int rewinds = 1; rewinds >= 0; rewinds--) {
    for (int how = 0; how < 4; how++) {
      source one = of("the first"), two = of("the second");
      rf_options *options = new_options();
      rf_retry *retry = NULL;
      const char *url = http(text("/redirect-to?status_code=307&url=%s", "%2Fparts"));
      if (how == 1) {
        CHECK_OK(rf_options_set_auth_digest(options, "u", "p"));
        url = http(text("/digest-auth/auth/u/p?key=%s", unique("parts")));
      } else if (how == 2) {
        CHECK_OK(rf_retry_new(2, &retry));
        CHECK_OK(rf_retry_add_status(retry, 503, 503));
        CHECK_OK(rf_options_set_retry(options, retry));
        rf_retry_free(retry);
        url = http(text("/status/503,200?key=%s", unique("parts")));
      } else if (how == 3) {
        url = http("/parts");
      }
      add(options, "one", &one, 9, true);
      add(options, "two", &two, -1, rewinds);
      rf_session *own = new_session_workers(1);
      rf_future *future = request(own, "PUT", url, options);
      if (how == 3) {
        /* The first request leaves a reader that is at its end. */
        CHECK_STR("the second", part(RESPONSE(future), 1, "text"));
        rf_future_free(future);
        CHECK_INT(0, two.rewinds);
        future = request(own, "PUT", url, options);
      }
      if (rewinds) {
        CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
        if (how == 0 || how == 3) {
          CHECK_STR("the first", part(RESPONSE(future), 0, "text"));
          CHECK_STR("the second", part(RESPONSE(future), 1, "text"));
        }
        CHECK_INT(1, one.rewinds);
        CHECK_INT(1, two.rewinds);
      } else if (how == 2) {
        /* That it cannot be tried again does not make the answer worse. */
        CHECK_INT(503, rf_response_status_code(RESPONSE(future)));
        CHECK_INT(0, two.rewinds);
      } else {
        ERROR_OF(RF_ERROR_UNREWINDABLE_BODY, future);
        CHECK_INT(0, two.rewinds);
      }
      rf_future_free(future);
      rf_options_free(options);
      rf_session_free(own);
      EVENTUALLY(LOAD(one.drops) == 1 && LOAD(two.drops) == 1);
    }
  }
  /* A rewind that fails fails the request. */
  source one = of("the first");
  one.fails_to_rewind = true;
  rf_options *options = new_options();
  add(options, "one", &one, 9, true);
  rf_future *future = request(session, "PUT", http(text("/redirect-to?status_code=308&url=%s", "%2Fparts")), options);
  CHECK_HAS("failed to rewind", rf_error_message(ERROR_OF(RF_ERROR_HOOK, future)));
  rf_future_free(future);
  rf_options_free(options);
}

/* A redirect that drops the body reads nothing again. */
static void dropped(void) {
  source one = of("the first");
  rf_options *options = new_options();
  add(options, "one", &one, -1, false);
  rf_future *future = request(session, "POST", http("/redirect-to?status_code=303&url=%2Fget"), options);
  CHECK_STR("GET", json_string(RESPONSE(future), "/method"));
  rf_future_free(future);
  rf_options_free(options);
}

/* Too short, too long, failing. */
static void wrong(void) {
  for (int chunked = 0; chunked < 2; chunked++) {
    source one = of("nine here"), two = of("more");
    rf_options *options = new_options();
    add(options, "one", &one, 10, true);
    add(options, "two", &two, chunked ? -1 : 4, true);
    rf_future *future = request(session, "POST", http("/parts"), options);
    CHECK_STR("The reader of a part of the request body ended after 9 of the 10 bytes that were announced",
              rf_error_message(ERROR_OF(RF_ERROR_REQUEST, future)));
    CHECK_INT(0, two.reads); /* nothing stands in a place that is not its own */
    rf_future_free(future);
    rf_options_free(options);

    one = of("nine here, and more than that");
    two = of("more");
    options = new_options();
    add(options, "one", &one, 9, true);
    add(options, "two", &two, chunked ? -1 : 4, true);
    future = request(session, "POST", http("/parts"), options);
    CHECK_STR("nine here", part(RESPONSE(future), 0, "text"));
    CHECK_STR("more", part(RESPONSE(future), 1, "text"));
    CHECK_INT(3, one.reads);
    rf_future_free(future);
    rf_options_free(options);

    one = of("the first");
    one.fails_at = 2;
    options = new_options();
    add(options, "one", &one, chunked ? -1 : 9, true);
    future = request(session, "POST", http("/parts"), options);
    CHECK_STR("The reader of the request body failed: it returned -7", rf_error_message(ERROR_OF(RF_ERROR_HOOK, future)));
    rf_future_free(future);
    rf_options_free(options);
  }
  /* A content type that would begin another line. */
  source one = of("the first");
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_part_reader(options, "one", NULL, "a/b\r\nX: y", read_source, NULL, -1, &one, drop_source));
  rf_future *future = request(session, "POST", http("/parts"), options);
  ERROR_OF(RF_ERROR_INVALID_HEADER, future);
  CHECK_INT(0, one.reads);
  rf_future_free(future);
  rf_options_free(options);
}

/* A request hook reads the body as it goes out. */
static rf_status look(rf_prepared *prepared, void *user_data) {
  char *whole = user_data;
  uint8_t buffer[7];
  size_t length = 1, all = 0;
  CHECK_NULL(rf_prepared_body(prepared, &length));
  CHECK_INT(0, length);
  do {
    rf_status status = rf_prepared_read_body(prepared, buffer, sizeof buffer, &length);
    if (status != RF_OK) return status;
    memcpy(whole + all, buffer, length);
    all += length;
  } while (length > 0);
  whole[all] = '\0';
  int64_t announced = rf_prepared_body_length(prepared);
  CHECK(announced == -1 || announced == (int64_t)all);
  return RF_OK;
}

static void seen(void) {
  for (int known = 0; known < 2; known++) {
    source one = of("the first"), two = of("the second");
    char whole[4096] = "";
    rf_options *options = new_options();
    add(options, "one", &one, known ? 9 : -1, true);
    add(options, "two", &two, 10, true);
    CHECK_OK(rf_options_add_request_hook(options, look, whole, NULL));
    rf_future *future = request(session, "POST", http("/parts"), options);
    CHECK_STR("the second", part(RESPONSE(future), 1, "text"));
    CHECK_HAS("name=\"one\"; filename=\"f.txt\"\r\nContent-Type: text/plain\r\n\r\nthe first\r\n--", whole);
    CHECK_HAS("\r\n\r\nthe second\r\n--", whole);
    CHECK_INT(1, one.rewinds);
    rf_future_free(future);
    rf_options_free(options);
  }
}

/* Much more than any buffer. */
static int64_t read_much(uint8_t *buffer, size_t capacity, void *user_data) {
  int64_t *left = user_data;
  int64_t count = *left < (int64_t)capacity ? *left : (int64_t)capacity;
  memset(buffer, 'x', (size_t)count);
  *left -= count;
  return count;
}

static void large(void) {
  for (int known = 0; known < 2; known++) {
    int64_t length = 5000000, left = length, sent = 0;
    rf_options *options = new_options();
    CHECK_OK(rf_options_add_part_reader(options, "much", "f", NULL, read_much, NULL, known ? length : -1, &left, NULL));
    rf_future *future = request(session, "POST", http("/upload"), options);
    const rf_json *json = NULL;
    CHECK_OK(rf_response_json(RESPONSE(future), &json, NULL));
    CHECK_OK(rf_json_int(rf_json_get(json, "length"), &sent));
    CHECK_RANGE(length + 100, length + 300, sent);
    CHECK(rf_json_bool(rf_json_get(json, "chunked")) == !known);
    rf_future_free(future);
    rf_options_free(options);
  }
}

/* Several requests with the same options have the readers one after the other. */
typedef struct busy {
  int inside, most;
  size_t at;
} busy;

static int64_t read_slowly(uint8_t *buffer, size_t capacity, void *user_data) {
  busy *busy = user_data;
  int inside = __atomic_add_fetch(&busy->inside, 1, __ATOMIC_SEQ_CST);
  if (inside > busy->most) busy->most = inside;
  sleep_ms(1);
  int64_t count = capacity > 0 && busy->at < 20 ? 1 : 0;
  if (count > 0) buffer[0] = (uint8_t)('a' + busy->at++);
  __atomic_sub_fetch(&busy->inside, 1, __ATOMIC_SEQ_CST);
  return count;
}
static rf_status rewind_busy(void *user_data) {
  ((busy *)user_data)->at = 0;
  return RF_OK;
}

static void shared(void) {
  busy busy = {0, 0, 0};
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_part_reader(options, "one", NULL, NULL, read_slowly, rewind_busy, -1, &busy, NULL));
  for (int i = 0; i < 3; i++) {
    rf_future *future = request(session, "POST", http("/parts"), options);
    CHECK_STR("abcdefghijklmnopqrst", part(RESPONSE(future), 0, "text"));
    rf_future_free(future);
  }
  CHECK_INT(1, busy.most);
  rf_options_free(options);
}

/* Not registered, not dropped; replaced, dropped once; copies share. */
static void drops(void) {
  source one = of("x");
  rf_options *options = new_options(), *copy = NULL;
  CHECK_STATUS(RF_E_INVALID, rf_options_add_part_reader(options, "one", NULL, NULL, read_source, NULL, -2, &one, drop_source));
  CHECK_STATUS(RF_E_NULL, rf_options_add_part_reader(options, "one", NULL, NULL, NULL, NULL, -1, &one, drop_source));
  CHECK_INT(0, one.drops);
  add(options, "one", &one, -1, true);
  CHECK_OK(rf_options_clone(options, &copy));
  CHECK_OK(rf_options_set_body(options, "another body", 12));
  CHECK_INT(0, one.drops);
  rf_options_free(copy);
  CHECK_INT(1, one.drops);
  rf_options_free(options);
  CHECK_INT(1, one.drops);
  /* A session's defaults have no body. */
  options = new_options();
  add(options, "one", &one, -1, true);
  CHECK_STATUS(RF_E_INVALID, rf_session_update(session, options));
  rf_options_free(options);
  CHECK_INT(2, one.drops);
}

int main(void) {
  session = new_session_workers(2);
  lengths();
  again();
  dropped();
  wrong();
  seen();
  large();
  shared();
  drops();
  rf_session_free(session);
  return finish();
}
