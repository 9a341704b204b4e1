/* Content codings: each and chains of them, in one piece or many, and every way in which they can be broken. */
#include "check.h"

static rf_session *session;

static void good(void) {
  static const char *const routes[][2] = {{"/gzip", "/gzipped"},
                                          {"/deflate", "/deflated"},
                                          {"/deflate-raw", "/deflated"},
                                          {"/brotli", "/brotli"},
                                          {"/zstd", "/zstd"}};
  for (size_t i = 0; i < 5; i++) {
    rf_future *future = get(session, http(routes[i][0]), NULL);
    const rf_json *json = NULL;
    CHECK_OK(rf_response_json(RESPONSE(future), &json, NULL));
    CHECK(rf_json_bool(rf_json_pointer(json, routes[i][1])));
    /* What was said about the wire stays visible. */
    CHECK(rf_response_header(RESPONSE(future), "Content-Encoding") != NULL);
    size_t length = 0;
    rf_response_content(RESPONSE(future), &length);
    CHECK(atol(rf_response_header(RESPONSE(future), "Content-Length")) != (long)length);
    rf_future_free(future);
  }
  static const char *const chains[] = {"gzip",     "x-gzip",  "deflate", "deflate-raw",  "br",        "zstd",
                                       "identity", "gzip,br", "br,gzip", "zstd,deflate", "gzip,gzip", "gzip,br,zstd"};
  for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
    for (int chunked = 0; chunked < 2; chunked++) {
      size_t length = 0;
      const char *path = text("/encoded?with=%s&n=200000&chunked=%d", chains[i], chunked);
      rf_future *future = get(session, http(path), NULL);
      rf_response_content(RESPONSE(future), &length);
      if (length != 200000) FAIL("%s: %zu bytes", chains[i], length);
      rf_future_free(future);
    }
  }
  rf_future *future = get(session, http("/encoded?with=gzip&text=H%C3%A4llo"), NULL);
  CHECK_OK(rf_response_set_encoding(RESPONSE(future), "utf-8"));
  CHECK_STR("H\xc3\xa4llo", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  /* What is no coding that we know is left as it is. */
  future = get(session, http("/encoded?with=unheard-of"), NULL);
  CHECK_HAS("unheard-of", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
}

static const char *const codings[] = {"gzip", "deflate", "deflate-raw", "br", "zstd"};

static void empty(void) {
  for (size_t i = 0; i < 5; i++) {
    size_t length = 9;
    rf_future *future = get(session, http(text("/compressed-empty?with=%s", codings[i])), NULL);
    rf_response_content(RESPONSE(future), &length);
    CHECK_INT(0, length);
    rf_future_free(future);
  }
  /* HEAD has the headers of a body that it has not. */
  rf_future *future = request(session, "HEAD", http("/gzip"), NULL);
  CHECK_STR("gzip", rf_response_header(RESPONSE(future), "Content-Encoding"));
  rf_future_free(future);
}

static void broken(void) {
  static const char *const ways[] = {
      "/compressed-corrupt?where=middle&with=", "/compressed-corrupt?where=start&with=",
      "/compressed-truncated?with=", "/compressed-corrupt?where=checksum&with="};
  for (size_t way = 0; way < 4; way++) {
    for (size_t i = 0; i < 5; i++) {
      /* These two have no checksum. */
      if (way == 3 && (strcmp(codings[i], "br") == 0 || strcmp(codings[i], "deflate-raw") == 0)) continue;
      rf_future *future = get(session, http(text("%s%s", ways[way], codings[i])), NULL);
      const rf_error *error = NULL;
      CHECK_OK(rf_future_exception(future, LONG_MS, &error));
      if (rf_error_kind_of(error) != RF_ERROR_CONTENT_DECODING) {
        FAIL("%s%s: %s", ways[way], codings[i],
             error != NULL ? rf_error_kind_name(rf_error_kind_of(error)) : "a success");
      }
      CHECK(!rf_error_is(error, RF_ERROR_CONNECTION));
      rf_future_free(future);
    }
  }
  /* Read by the caller it is the same, at the end of what was good. */
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_stream(options, true));
  rf_future *future = get(session, http("/compressed-truncated?with=gzip"), options);
  uint8_t buffer[4096];
  size_t length;
  const rf_error *error = NULL;
  rf_status status;
  do {
    status = rf_response_read(RESPONSE(future), buffer, sizeof buffer, &length, &error);
  } while (status == RF_OK && length > 0);
  CHECK_STATUS(RF_FAILED, status);
  CHECK_INT(RF_ERROR_CONTENT_DECODING, rf_error_kind_of(error));
  rf_future_free(future);
  rf_options_free(options);
}

/* Something behind the end of a whole stream. */
static void trailing(void) {
  rf_future *future = get(session, http("/compressed-trailing?with=gzip"), NULL);
  const rf_response *response = NULL;
  rf_status status = rf_future_result(future, LONG_MS, &response);
  CHECK(status == RF_OK || status == RF_FAILED); /* garbage behind a whole stream: never a crash */
  if (status == RF_OK) CHECK_HAS("\"trailing\":true", rf_response_text(response, NULL));
  rf_future_free(future);
}

int main(void) {
  session = new_session();
  good();
  empty();
  broken();
  trailing();
  rf_session_free(session);
  return finish();
}
