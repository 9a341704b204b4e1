/* Bodies as they came: rf_options_set_decode, wherever a body goes and a request runs; and what a Range accepts. */
#include "elsewhere.h"

static const char coded[] = "/encoded?with=gzip&n=20000";
static const char *const codings[] = {"gzip", "deflate", "br", "zstd"};

static rf_options *undecoded(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_decode(options, false));
  return options;
}

/* As long as the head says, and other than what it stands for. */
static void check_raw(const rf_response *response, const void *content, size_t length) {
  static uint8_t plain[64];
  CHECK(content != NULL);
  CHECK_INT(atoi(rf_response_header(response, "Content-Length")), length);
  CHECK(rf_response_header(response, "Content-Encoding") != NULL);
  if (length >= sizeof plain) CHECK(memcmp(content, plain, sizeof plain) != 0);
}

static void in_memory(rf_session *session) {
  for (size_t i = 0; i < 4; i++) {
    const char *url = http(text("/encoded?with=%s&text=some+words", codings[i]));
    rf_options *options = undecoded();
    rf_future *future = get(session, url, options);
    const rf_response *response = RESPONSE(future);
    size_t length = 0;
    const uint8_t *content = rf_response_content(response, &length);
    check_raw(response, content, length);
    CHECK_STR(codings[i], rf_response_header(response, "Content-Encoding"));
    if (i == 0) CHECK(content[0] == 0x1f && content[1] == 0x8b);
    rf_future_free(future);
    CHECK_OK(rf_options_set_decode(options, true));
    future = get(session, url, options);
    CHECK_STR("some words", rf_response_text(RESPONSE(future), NULL));
    rf_future_free(future);
    rf_options_free(options);
  }
  /* What is no such coding does no harm. */
  static const char *const broken[] = {"/compressed-corrupt?with=gzip&where=start", "/compressed-truncated?with=br",
                                       "/compressed-empty?with=zstd"};
  for (size_t i = 0; i < 3; i++) {
    rf_options *options = undecoded();
    rf_future *future = get(session, http(broken[i]), options);
    size_t length = 9;
    CHECK(rf_response_content(RESPONSE(future), &length) != NULL);
    CHECK_INT(atoi(rf_response_header(RESPONSE(future), "Content-Length")), length);
    rf_future_free(future);
    rf_options_free(options);
  }
  /* The limit is that of what is kept. */
  rf_options *options = undecoded();
  CHECK_OK(rf_options_set_max_body(options, 100));
  rf_future *future = get(session, http(text("/encoded?with=gzip&text=%0500d", 7)), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);
}

static void streamed(rf_session *session) {
  rf_options *options = undecoded();
  CHECK_OK(rf_options_set_stream(options, true));
  rf_future *future = get(session, http(coded), options);
  static uint8_t content[65536];
  size_t length = 1, all = 0;
  while (length > 0) {
    CHECK_OK(rf_response_read(RESPONSE(future), content + all, sizeof content - all, &length, NULL));
    all += length;
  }
  check_raw(RESPONSE(future), content, all);
  CHECK(content[0] == 0x1f && content[1] == 0x8b);
  rf_future_free(future);
  /* Chunks are no content coding. */
  future = get(session, http("/encoded?with=gzip&chunked=1&n=20000"), options);
  all = 0, length = 1;
  while (length > 0) {
    CHECK_OK(rf_response_read(RESPONSE(future), content + all, sizeof content - all, &length, NULL));
    all += length;
  }
  CHECK(content[0] == 0x1f && content[1] == 0x8b && all > 1000);
  rf_future_free(future);
  rf_options_free(options);
}

typedef struct taken {
  uint8_t content[65536];
  size_t length;
} taken;

static rf_status take(const uint8_t *data, size_t length, void *user_data) {
  taken *taken = user_data;
  CHECK(taken->length + length <= sizeof taken->content);
  memcpy(taken->content + taken->length, data, length);
  taken->length += length;
  return RF_OK;
}

static void in_outputs(rf_session *session, bool takes_functions) {
  static taken taken;
  taken.length = 0;
  if (takes_functions) {
    rf_options *options = undecoded();
    CHECK_OK(rf_options_set_output(options, take, &taken, NULL));
    rf_future *future = get(session, http(coded), options);
    const rf_response *response = RESPONSE(future); /* before anybody looks at what was taken */
    check_raw(response, taken.content, taken.length);
    rf_future_free(future);
    rf_options_free(options);
  }
  const char *path = text("%s/%s", env("RF_TEST_DIR"), unique("raw"));
  rf_options *options = undecoded();
  CHECK_OK(rf_options_set_output_file(options, path));
  rf_future *future = get(session, http(coded), options);
  RESPONSE(future);
  FILE *file = fopen(path, "r");
  CHECK(file != NULL);
  taken.length = fread(taken.content, 1, sizeof taken.content, file);
  fclose(file);
  check_raw(RESPONSE(future), taken.content, taken.length);
  CHECK(taken.content[0] == 0x1f && taken.content[1] == 0x8b);
  CHECK_INT(0, unlink(path));
  rf_future_free(future);
  rf_options_free(options);
}

/* The session says so, a request says otherwise. */
static void by_default(void) {
  rf_session *session = new_session_workers(1);
  rf_options *options = undecoded();
  CHECK_OK(rf_session_update(session, options));
  rf_future *future = get(session, http(coded), NULL);
  size_t length = 0;
  const uint8_t *content = rf_response_content(RESPONSE(future), &length);
  check_raw(RESPONSE(future), content, length);
  rf_future_free(future);
  CHECK_OK(rf_options_set_decode(options, true));
  future = get(session, http(coded), options);
  CHECK(rf_response_content(RESPONSE(future), &length) != NULL);
  CHECK_INT(20000, length);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

/* What a request accepts, as the server sees it. */
static const char *accepted(rf_session *session, rf_options *options, const char *path) {
  static rf_future *last;
  rf_future_free(last);
  last = NULL;
  if (session == NULL) return NULL;
  last = get(session, http(path), options);
  rf_options_free(options);
  return json_string(RESPONSE(last), "/headers/Accept-Encoding");
}

static rf_options *ranged(const char *accept) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_header(options, "range", "bytes=0-9"));
  if (accept != NULL) CHECK_OK(rf_options_set_header(options, "ACCEPT-encoding", accept));
  return options;
}

static void ranges(rf_session *session) {
  static const char all[] = "gzip, deflate, br, zstd";
  CHECK_STR(all, accepted(session, new_options(), "/headers"));
  CHECK_STR(all, accepted(session, undecoded(), "/headers"));
  CHECK_STR("identity", accepted(session, ranged(NULL), "/headers"));
  CHECK_STR("identity", accepted(session, ranged(NULL), "/redirect-to?url=%2Fheaders"));
  CHECK_STR("gzip", accepted(session, ranged("gzip"), "/headers"));
  CHECK_STR(all, accepted(session, ranged(all), "/headers"));
  rf_options *options = ranged(NULL);
  CHECK_OK(rf_options_set_header(options, "Accept-Encoding", NULL));
  CHECK_STR(NULL, accepted(session, options, "/headers"));
  /* As before for the next one. */
  CHECK_STR(all, accepted(session, new_options(), "/headers"));

  options = ranged(NULL);
  rf_future *future = get(session, http("/range/26"), options);
  CHECK_INT(206, rf_response_status_code(RESPONSE(future)));
  CHECK_STR("abcdefghij", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  rf_options_free(options);
}

static void ranges_by_default(void) {
  rf_session *session = new_session_workers(1);
  rf_options *options = ranged(NULL);
  CHECK_OK(rf_session_update(session, options));
  rf_options_free(options);
  CHECK_STR("identity", accepted(session, NULL, "/headers"));
  CHECK_STR("identity", accepted(session, undecoded(), "/headers"));
  options = new_options();
  CHECK_OK(rf_options_set_header(options, "Range", NULL));
  CHECK_STR("gzip, deflate, br, zstd", accepted(session, options, "/headers"));
  /* The session's own word counts as well. */
  options = new_options();
  CHECK_OK(rf_options_set_header(options, "Accept-Encoding", "br"));
  CHECK_OK(rf_session_update(session, options));
  rf_options_free(options);
  CHECK_STR("br", accepted(session, NULL, "/headers"));
  rf_session_free(session);
}

int main(void) {
  places places = new_places();
  for (int i = 0; i < PLACES; i++) {
    in_memory(places.at[i]);
    streamed(places.at[i]);
    in_outputs(places.at[i], i == HERE);
    ranges(places.at[i]);
  }
  by_default();
  ranges_by_default();
  accepted(NULL, NULL, NULL);
  end_places(places);
  return finish();
}
