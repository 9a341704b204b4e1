/* Cookies: stored from every hop, sent where they belong, looked at, set by hand, cleared. */
#include "check.h"

static rf_session *session;

static void visit(const char *url, const rf_options *options) {
  rf_future *future = get(session, url, options);
  RESPONSE(future);
  rf_future_free(future);
}

/* The Cookie header that a path gets, or "". */
static const char *cookies_at(const char *url) {
  rf_future *future = get(session, url, NULL);
  const char *header = rf_response_request_header(RESPONSE(future), "Cookie");
  const char *copy = text("%s", header != NULL ? header : "");
  rf_future_free(future);
  return copy;
}

static size_t stored(void) {
  rf_cookies *cookies = NULL;
  CHECK_OK(rf_session_cookies(session, &cookies));
  size_t count = rf_cookies_count(cookies);
  rf_cookies_free(cookies);
  return count;
}

static void kept_and_sent(void) {
  visit(http("/cookies/set?one=1&two=2"), NULL); /* set by a redirect */
  rf_future *future = get(session, http("/cookies"), NULL);
  CHECK_STR("1", json_string(RESPONSE(future), "/cookies/one"));
  CHECK_STR("2", json_string(RESPONSE(future), "/cookies/two"));
  rf_future_free(future);
  CHECK_INT(2, stored());

  visit(http("/cookies/set/one/changed"), NULL);
  CHECK_INT(2, stored());
  CHECK_HAS("one=changed", cookies_at(http("/get")));
  visit(http("/cookies/delete?one"), NULL);
  CHECK_STR("two=2", cookies_at(http("/get")));
  CHECK_INT(1, stored());
  CHECK_OK(rf_session_clear_cookies(session, NULL, NULL));
  CHECK_STR("", cookies_at(http("/get")));
}

static void what_a_response_set(void) {
  rf_future *future = get(session, http("/set-cookie?raw=a=b&raw=c=d;%20Path=/anything"), NULL);
  rf_cookies *cookies = NULL;
  rf_cookie cookie;
  CHECK_OK(rf_response_cookies(RESPONSE(future), &cookies));
  CHECK_INT(2, rf_cookies_count(cookies));
  CHECK_STR("b", rf_cookies_get(cookies, "a", NULL));
  CHECK_STR("d", rf_cookies_get(cookies, "c", "127.0.0.1"));
  CHECK_NULL(rf_cookies_get(cookies, "c", "example.com"));
  CHECK_NULL(rf_cookies_get(cookies, "A", NULL)); /* names have a case */
  CHECK_OK(rf_cookies_at(cookies, 0, &cookie));
  CHECK_STR("127.0.0.1", cookie.domain);
  rf_cookies_free(cookies);
  rf_future_free(future);
  CHECK_STR("a=b", cookies_at(http("/get")));
  CHECK_HAS("c=d", cookies_at(http("/anything/below")));
  CHECK_OK(rf_session_clear_cookies(session, NULL, NULL));
}

static void attributes(void) {
  rf_cookies *cookies = NULL;
  rf_cookie cookie;
  visit(http("/set-cookie?raw=full=v;%20Path=/get;%20Max-Age=3600;%20HttpOnly;%20SameSite=Lax"), NULL);
  CHECK_OK(rf_session_cookies(session, &cookies));
  CHECK_INT(1, rf_cookies_count(cookies));
  CHECK_OK(rf_cookies_at(cookies, 0, &cookie));
  CHECK_STR("full", cookie.name);
  CHECK_STR("v", cookie.value);
  CHECK_STR("127.0.0.1", cookie.domain);
  CHECK_STR("/get", cookie.path);
  CHECK(cookie.http_only);
  CHECK(cookie.host_only);
  CHECK(!cookie.secure);
  int64_t soon = (int64_t)time(NULL) + 3600;
  CHECK_RANGE(soon - 60, soon + 5, cookie.expires_s);
  /* A snapshot: it does not change any more. */
  CHECK_OK(rf_session_clear_cookies(session, NULL, NULL));
  CHECK_INT(1, rf_cookies_count(cookies));
  CHECK_STR("v", cookie.value);
  rf_cookies_free(cookies);
  CHECK_INT(0, stored());

  visit(http("/set-cookie?raw=session=1"), NULL);
  CHECK_OK(rf_session_cookies(session, &cookies));
  CHECK_OK(rf_cookies_at(cookies, 0, &cookie));
  CHECK_INT(-1, cookie.expires_s);
  CHECK(!cookie.http_only);
  rf_cookies_free(cookies);
  /* Expired ones go. */
  visit(http("/set-cookie?raw=session=1;%20Max-Age=0"), NULL);
  CHECK_INT(0, stored());
  visit(http("/set-cookie?raw=past=1;%20Expires=Thu,%2001%20Jan%201970%2000:00:00%20GMT"), NULL);
  CHECK_INT(0, stored());
  visit(http("/set-cookie?raw=brief=1;%20Max-Age=1"), NULL);
  CHECK_STR("brief=1", cookies_at(http("/get")));
  sleep_ms(2100);
  CHECK_STR("", cookies_at(http("/get")));

  /* Secure ones are for https alone; other hosts and public suffixes are refused. */
  visit(http("/set-cookie?raw=other=1;%20Domain=example.com"), NULL);
  visit(http("/set-cookie?raw=suffix=1;%20Domain=com"), NULL);
  CHECK_STR("", cookies_at(http("/get")));
  CHECK_INT(0, stored());
}

static void paths_and_hosts(void) {
  visit(http("/set-cookie?raw=p=1;%20Path=/anything"), NULL);
  CHECK_STR("p=1", cookies_at(http("/anything")));
  CHECK_STR("p=1", cookies_at(http("/anything/deep")));
  CHECK_STR("", cookies_at(http("/get")));
  /* Ports share cookies, hosts do not. */
  visit(http("/set-cookie?raw=h=1;%20Path=/"), NULL);
  CHECK_STR("h=1", cookies_at(raw("/ok")));
  CHECK_STR("", cookies_at(text("http://localhost:%s/get", env("RF_TEST_HTTP_PORT"))));
  CHECK_OK(rf_session_clear_cookies(session, NULL, NULL));
}

/* Names that are the same machine, by set_resolve: the rules for domains. */
static void domains(void) {
  int port = atoi(env("RF_TEST_HTTP_PORT"));
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_resolve(options, "www.example.com", (uint16_t)port, "127.0.0.1"));
  CHECK_OK(rf_options_set_resolve(options, "example.com", (uint16_t)port, "127.0.0.1"));
  CHECK_OK(rf_options_set_resolve(options, "notexample.com", (uint16_t)port, "127.0.0.1"));
  CHECK_OK(rf_session_update(session, options));
  rf_options_free(options);
  const char *www = text("http://www.example.com:%d", port), *bare = text("http://example.com:%d", port);
  const char *other = text("http://notexample.com:%d", port);
  visit(text("%s/set-cookie?raw=d=1;%%20Domain=example.com&raw=host=1&raw=com=1;%%20Domain=com", www), NULL);
  CHECK_HAS("d=1", cookies_at(text("%s/get", www)));
  CHECK_HAS("host=1", cookies_at(text("%s/get", www)));
  CHECK(strstr(cookies_at(text("%s/get", www)), "com=1") == NULL);
  CHECK_STR("d=1", cookies_at(text("%s/get", bare)));
  CHECK_STR("", cookies_at(text("%s/get", other)));

  CHECK_OK(rf_session_clear_cookies(session, NULL, "127.0.0.1")); /* none of these */
  CHECK_INT(2, stored());
  CHECK_OK(rf_session_clear_cookies(session, "host", NULL));
  CHECK_STR("d=1", cookies_at(text("%s/get", www)));
  CHECK_OK(rf_session_clear_cookies(session, "d", "example.com"));
  CHECK_INT(0, stored());
}

static void by_hand(void) {
  CHECK_OK(rf_session_set_cookie(session, http("/"), "mine=1; Path=/get"));
  CHECK_STR("mine=1", cookies_at(http("/get")));
  CHECK_STR("", cookies_at(http("/anything")));
  CHECK_OK(rf_session_clear_cookies(session, "mine", NULL));
  CHECK_STR("", cookies_at(http("/get")));
}

/* A request's own: they win over the jar's of that name, and are not stored. */
static void of_a_request(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_session_set_cookie(session, http("/"), "a=jar; Path=/"));
  CHECK_OK(rf_session_set_cookie(session, http("/"), "b=jar; Path=/"));
  CHECK_OK(rf_options_set_cookie(options, "a", "own"));
  CHECK_OK(rf_options_set_cookie(options, "c", "own"));
  rf_future *future = get(session, http("/cookies"), options);
  CHECK_STR("own", json_string(RESPONSE(future), "/cookies/a"));
  CHECK_STR("jar", json_string(RESPONSE(future), "/cookies/b"));
  CHECK_STR("own", json_string(RESPONSE(future), "/cookies/c"));
  rf_future_free(future);
  CHECK_INT(2, stored());
  /* They go with its redirects to the same host, not to others. */
  future = get(session, http("/redirect-to?url=/cookies"), options);
  CHECK_STR("own", json_string(RESPONSE(future), "/cookies/c"));
  rf_future_free(future);
  const char *other = text("http://localhost:%s/cookies", env("RF_TEST_HTTP_PORT"));
  future = get(session, http(text("/redirect-to?url=%s", other)), options);
  CHECK_NULL(json_string(RESPONSE(future), "/cookies/c"));
  rf_future_free(future);
  rf_options_free(options);
  CHECK_OK(rf_session_clear_cookies(session, NULL, NULL));
}

/* They are read when a request is sent, not when it is submitted. */
static void read_when_sent(void) {
  rf_session *one = new_session_workers(1);
  const char *gate = unique("cookies");
  rf_future *slow = get(one, gate_url(gate), NULL), *queued = get(one, http("/cookies"), NULL);
  CHECK_OK(rf_session_set_cookie(one, http("/"), "late=1; Path=/"));
  gate_open(gate);
  CHECK_STR("1", json_string(RESPONSE(queued), "/cookies/late"));
  rf_future_free(slow);
  rf_future_free(queued);
  rf_session_free(one);
}

int main(void) {
  session = new_session();
  kept_and_sent();
  what_a_response_set();
  attributes();
  paths_and_hosts();
  domains();
  by_hand();
  of_a_request();
  read_when_sent();
  rf_session_free(session);
  return finish();
}
