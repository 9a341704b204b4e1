/* URLs: where a reference leads, and what is percent-encoded. */
#include "check.h"

static void joined(const char *base, const char *reference, const char *expected) {
  char *url = NULL;
  rf_status status = rf_url_join(base, reference, &url);
  if (status != RF_OK) FAIL("%s and %s: %s", base, reference, rf_status_name(status));
  if (strcmp(expected, url) != 0) FAIL("%s and %s give %s, not %s", base, reference, url, expected);
  rf_string_free(url);
}

static void no_join(const char *base, const char *reference) {
  char *url;
  BAD_OUT(url, rf_url_join(base, reference, &url));
}

static void quoted(const char *plain, const char *safe, const char *expected) {
  char *quoted = NULL;
  CHECK_OK(rf_url_quote(plain, safe, &quoted));
  CHECK_STR(expected, quoted);
  rf_string_free(quoted);
}

/* The references of RFC 3986, section 5.4, as urljoin resolves them. */
static void references(void) {
  static const char *const pairs[][2] = {
      {"g", "http://a/b/c/g"},       {"./g", "http://a/b/c/g"},    {"g/", "http://a/b/c/g/"},
      {"/g", "http://a/g"},          {"//g", "http://g/"},         {"?y", "http://a/b/c/d;p?y"},
      {"g?y", "http://a/b/c/g?y"},   {"#s", "http://a/b/c/d;p?q#s"}, {"g#s", "http://a/b/c/g#s"},
      {"g?y#s", "http://a/b/c/g?y#s"}, {";x", "http://a/b/c/;x"},   {"g;x", "http://a/b/c/g;x"},
      {"", "http://a/b/c/d;p?q"},    {".", "http://a/b/c/"},       {"./", "http://a/b/c/"},
      {"..", "http://a/b/"},         {"../", "http://a/b/"},       {"../g", "http://a/b/g"},
      {"../..", "http://a/"},        {"../../g", "http://a/g"},    {"../../../g", "http://a/g"},
      {"/./g", "http://a/g"},        {"g.", "http://a/b/c/g."},    {"..g", "http://a/b/c/..g"},
      {"./g/.", "http://a/b/c/g/"},  {"g/../h", "http://a/b/c/h"}, {"http:g", "http://a/b/c/g"},
      {"https://h", "https://h/"},
  };
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) joined("http://a/b/c/d;p?q", pairs[i][0], pairs[i][1]);
}

/* What comes out is what a response shows as its URL, however it was written. */
static void normal(void) {
  joined("HTTP://H\xc3\x96ST.example:80", "\xc3\xbc b?\xc3\xbc b", "http://xn--hst-sna.example:80/%C3%BC%20b?%C3%BC%20b");
  joined("http://user:secret@h/a", "b", "http://h/b");
  joined("http://h/a", "//user:secret@i/b", "http://i/b");
  joined("http://[::1]:8080/a", "b", "http://[::1]:8080/b");
  joined("http://h/a", " \tb\nc ", "http://h/bc%20");
  joined("http://h/a#top", "b", "http://h/b#top"); /* as a redirect does */
  joined("http://h/a#top", "b#end", "http://h/b#end");
  joined("mock://h/a/b", "../c", "mock://h/c");
  joined("mock://h/a", "https://i", "https://i/");
  no_join("http://h/", "ftp://h/");
  no_join("http://h/", "mailto:a@b");
  no_join("http://h/", "mock://h/"); /* nor would a redirect go there */
  no_join("http://h/", "http://h:99999/");
  no_join("http://h/", "//[");
  no_join("h/a", "b");
  no_join("", "b");
  no_join("http://", "b");
  no_join("mailto:a@b", "c");
}

/* The same way leads a redirect. */
static void as_a_redirect(void) {
  rf_session *session = new_session();
  const char *asked = http("/redirect-to?url=..%2Fget%3Fa%3Db");
  rf_future *future = get(session, asked, NULL);
  joined(asked, "../get?a=b", rf_response_url(RESPONSE(future)));
  rf_future_free(future);
  rf_session_free(session);
}

static void quoting(void) {
  quoted("", NULL, "");
  quoted("AZaz09_.-~", "", "AZaz09_.-~");
  quoted("a b/c?d", NULL, "a%20b/c%3Fd");
  quoted("a b/c?d", "", "a%20b%2Fc%3Fd");
  quoted("a b/c?d", " ?", "a b%2Fc?d");
  quoted("\xc3\xbc\xf0\x9f\x98\x80", NULL, "%C3%BC%F0%9F%98%80");
  quoted("\xc3\xbc", "\xc3\xbc", "%C3%BC"); /* as in urllib only ASCII may be safe */
  quoted("50%", NULL, "50%25");
  quoted("%41", "%", "%41");
  quoted("\x01\n\x7f\"", NULL, "%01%0A%7F%22");
}

/* A piece that was quoted arrives as it was. */
static void as_it_arrives(void) {
  static const char *const piece = "a/b?c#d%41&e=f+g \xc3\xbc";
  rf_session *session = new_session();
  char *quoted = NULL;
  CHECK_OK(rf_url_quote(piece, "", &quoted));
  rf_future *future = get(session, http(text("/get?piece=%s", quoted)), NULL);
  CHECK_STR(piece, json_string(RESPONSE(future), "/args/piece"));
  rf_string_free(quoted);
  rf_future_free(future);
  rf_session_free(session);
}

int main(void) {
  references();
  normal();
  as_a_redirect();
  quoting();
  as_it_arrives();
  return finish();
}
