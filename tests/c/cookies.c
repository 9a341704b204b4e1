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

/* A Max-Age that is no number is not there: Expires counts, or nothing does. */
static void a_max_age_that_is_no_number(void) {
  static const char past[] = "Expires=Thu,%2001%20Jan%201970%2000:00:00%20GMT";
  visit(http(text("/set-cookie?raw=a=1;%%20Max-Age=;%%20%s", past)), NULL);
  visit(http(text("/set-cookie?raw=a=1;%%20Max-Age=-;%%20%s", past)), NULL);
  visit(http(text("/set-cookie?raw=a=1;%%20Max-Age=9s;%%20%s", past)), NULL);
  CHECK_INT(0, stored());
  visit(http("/set-cookie?raw=a=1;%20Max-Age=-&raw=b=2;%20Max-Age=;%20Path=/"), NULL);
  CHECK_STR("a=1; b=2", cookies_at(http("/get")));
  CHECK_OK(rf_session_clear_cookies(session, NULL, NULL));
}

static rf_options *resolving(const char *const *hosts, size_t count) {
  rf_options *options = new_options();
  for (size_t i = 0; i < count; i++) {
    CHECK_OK(rf_options_set_resolve(options, hosts[i], (uint16_t)atoi(env("RF_TEST_HTTP_PORT")), "127.0.0.1"));
    CHECK_OK(rf_options_set_resolve(options, hosts[i], (uint16_t)atoi(env("RF_TEST_HTTPS_PORT")), "127.0.0.1"));
  }
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  return options;
}

/* Whatever a URL may call a host, its cookies go back to it. */
static void hosts_with_odd_names(void) {
  static const char *const hosts[] = {"node.9", "foo.09", "a%7cb.example", "b\xC3\xBC" "cher.example"};
  rf_options *options = resolving(hosts, 4);
  CHECK_OK(rf_session_update(session, options));
  rf_options_free(options);
  for (size_t i = 0; i < 4; i++) {
    const char *base = text("http://%s:%s", hosts[i], env("RF_TEST_HTTP_PORT"));
    visit(text("%s/set-cookie?raw=a=%zu", base, i), NULL);
    CHECK_STR(text("a=%zu", i), cookies_at(text("%s/get", base)));
    CHECK_INT(i + 1, stored());
  }
  /* A domain is the same host as in URLs: in the attribute, when it is looked for, when it is cleared. */
  const char *below = text("http://shop.b\xC3\xBC" "cher.example:%s", env("RF_TEST_HTTP_PORT"));
  static const char *const shop[] = {"shop.xn--bcher-kva.example"};
  options = resolving(shop, 1);
  visit(text("%s/set-cookie?raw=d=1;%%20Domain=B%%C3%%9Ccher.example", below), options);
  rf_options_free(options);
  CHECK_STR("a=3; d=1", cookies_at(text("http://xn--bcher-kva.example:%s/get", env("RF_TEST_HTTP_PORT"))));
  rf_cookies *cookies = NULL;
  CHECK_OK(rf_session_cookies(session, &cookies));
  CHECK_STR("1", rf_cookies_get(cookies, "d", ".B\xC3\x9C" "cher.example"));
  CHECK_STR("1", rf_cookies_get(cookies, "d", "xn--bcher-kva.EXAMPLE"));
  rf_cookies_free(cookies);
  CHECK_OK(rf_session_clear_cookies(session, NULL, "B\xC3\x9C" "cher.example"));
  CHECK_INT(3, stored());
  CHECK_OK(rf_session_clear_cookies(session, NULL, NULL));
}

/* What goes over the wire goes back over it, UTF-8 or not, quoted or not; only spaces and tabs are trimmed. */
static void octets_go_back_as_they_came(void) {
  visit(raw("/header?line=Set-Cookie:%20a=%FC&line=Set-Cookie:%20b=%C3%BC&line=Set-Cookie:%20c=%C2%A0x%C2%85"
            "&line=Set-Cookie:%20d=%22x%5C%22%20y%22%20;%20Path=/&line=Set-Cookie:%20%FCe=%A0"),
        NULL);
  rf_future *future = get(session, raw("/echo"), NULL);
  size_t length = 0;
  const uint8_t *sent = rf_response_content(RESPONSE(future), &length);
  CHECK_HAS("\r\nCookie: a=\xFC; b=\xC3\xBC; c=\xC2\xA0x\xC2\x85; d=\"x\\\" y\"; \xFC" "e=\xA0\r\n", (const char *)sent);
  rf_future_free(future);

  /* Shown as UTF-8 where it is that, and else as ISO-8859-1. */
  rf_cookies *cookies = NULL;
  CHECK_OK(rf_session_cookies(session, &cookies));
  CHECK_STR("\xC3\xBC", rf_cookies_get(cookies, "a", NULL));
  CHECK_STR("\xC3\xBC", rf_cookies_get(cookies, "b", NULL));
  CHECK_STR("\"x\\\" y\"", rf_cookies_get(cookies, "d", NULL));
  CHECK_STR("\xC2\xA0", rf_cookies_get(cookies, "\xC3\xBC" "e", NULL));
  rf_cookies_free(cookies);
  CHECK_OK(rf_session_clear_cookies(session, "\xC3\xBC" "e", NULL));
  CHECK_INT(4, stored());

  /* The same when a response is asked. */
  future = get(session, raw("/header?line=Set-Cookie:%20f=%FC"), NULL);
  CHECK_OK(rf_response_cookies(RESPONSE(future), &cookies));
  CHECK_STR("\xC3\xBC", rf_cookies_get(cookies, "f", NULL));
  rf_cookies_free(cookies);
  rf_future_free(future);
  CHECK_OK(rf_session_clear_cookies(session, NULL, NULL));
}

/* A Secure cookie is https's own: http neither sets nor replaces nor shadows it; prefixes keep what they promise. */
static void what_secure_means(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  CHECK_OK(rf_session_update(session, options));
  rf_options_free(options);
  const char *tls = env("RF_TEST_HTTPS");
  visit(http("/set-cookie?raw=a=1;%20Secure&raw=__Host-a=1;%20Secure;%20Path=/&raw=__secure-a=1"), NULL);
  CHECK_INT(0, stored());
  CHECK_STATUS(RF_E_INVALID, rf_session_set_cookie(session, http("/"), "a=1; Secure"));

  visit(text("%s/set-cookie?raw=__Host-a=1;%%20Path=/&raw=__HOST-b=1;%%20Secure;%%20Path=/get&raw=__Secure-c=1", tls), NULL);
  CHECK_INT(0, stored());
  visit(text("%s/set-cookie?raw=__Host-a=1;%%20Secure;%%20Path=/&raw=__Secure-c=1;%%20Secure", tls), NULL);
  CHECK_STR("__Host-a=1; __Secure-c=1", cookies_at(text("%s/get", tls)));
  CHECK_STR("", cookies_at(http("/get")));

  CHECK_OK(rf_session_clear_cookies(session, NULL, NULL));
  visit(text("%s/set-cookie?raw=login=secret;%%20Secure;%%20Path=/anything", tls), NULL);
  visit(http("/set-cookie?raw=login=evil;%20Path=/anything"), NULL);
  visit(http("/set-cookie?raw=login=evil;%20Path=/anything/deep"), NULL);
  visit(http("/set-cookie?raw=login=;%20Path=/anything;%20Max-Age=0"), NULL);
  CHECK_STR("login=secret", cookies_at(text("%s/anything/deep", tls)));
  CHECK_STR("", cookies_at(http("/anything/deep")));
  visit(http("/set-cookie?raw=login=other;%20Path=/get"), NULL); /* another place */
  CHECK_STR("login=other", cookies_at(http("/get")));
  visit(text("%s/set-cookie?raw=login=;%%20Path=/anything;%%20Max-Age=0", tls), NULL);
  CHECK_STR("", cookies_at(text("%s/anything", tls)));
  CHECK_OK(rf_session_clear_cookies(session, NULL, NULL));
}

/* The Cookie header stays below 8 KB: long paths and old cookies come first, the last ones are left out. */
static void a_short_header(void) {
  static char line[1200];
  for (int i = 0; i < 40; i++) {
    int length = snprintf(line, sizeof line, "c%02d=", i);
    memset(line + length, 'x', 994);
    snprintf(line + length + 994, sizeof line - (size_t)length - 994, "; Path=%s", i == 39 ? "/get" : "/");
    CHECK_OK(rf_session_set_cookie(session, http("/"), line));
  }
  CHECK_INT(40, stored());
  rf_future *future = get(session, http("/get"), NULL);
  const char *header = rf_response_request_header(RESPONSE(future), "Cookie");
  CHECK_RANGE(7000, 8189 - 8, strlen(header));
  CHECK(strncmp(header, "c39=x", 5) == 0);
  CHECK_HAS("; c00=x", header);
  CHECK_HAS("; c06=x", header);
  CHECK(strstr(header, "c07=") == NULL);
  rf_future_free(future);
  CHECK_OK(rf_session_clear_cookies(session, NULL, NULL));
  /* One of more than 4,096 bytes is none. */
  static char large[4200];
  memset(large, 'z', 4097);
  large[1] = '=';
  CHECK_OK(rf_session_set_cookie(session, http("/"), large));
  large[4097] = 'z';
  CHECK_STATUS(RF_E_INVALID, rf_session_set_cookie(session, http("/"), large));
  CHECK_OK(rf_session_clear_cookies(session, NULL, NULL));
}

/* A Host given by hand is the cookies' host, when they are stored and when they are sent. */
static void a_host_given_by_hand(void) {
  rf_options *a = new_options(), *b = new_options();
  CHECK_OK(rf_options_set_header(a, "Host", "www.a.example:81"));
  CHECK_OK(rf_options_set_header(b, "host", "b.example"));
  rf_future *future = get(session, http("/set-cookie?raw=a=1;%20Domain=a.example"), a);
  rf_cookies *cookies = NULL;
  CHECK_OK(rf_response_cookies(RESPONSE(future), &cookies));
  CHECK_STR("1", rf_cookies_get(cookies, "a", "a.example"));
  rf_cookies_free(cookies);
  rf_future_free(future);
  CHECK_OK(rf_session_cookies(session, &cookies));
  CHECK_STR("1", rf_cookies_get(cookies, "a", "a.example"));
  rf_cookies_free(cookies);
  CHECK_STR("", cookies_at(http("/get")));
  future = get(session, http("/get"), b);
  CHECK_NULL(rf_response_request_header(RESPONSE(future), "Cookie"));
  rf_future_free(future);
  /* A redirect on the server keeps it, one to another server does not. */
  future = get(session, http("/redirect-to?url=/get"), a);
  CHECK_STR("a=1", rf_response_request_header(RESPONSE(future), "Cookie"));
  rf_future_free(future);
  future = get(session, http(text("/redirect-to?url=http://localhost:%s/get", env("RF_TEST_HTTP_PORT"))), a);
  CHECK_NULL(rf_response_request_header(RESPONSE(future), "Cookie"));
  CHECK_STR("a=1", rf_response_request_header(rf_response_history_at(RESPONSE(future), 0), "Cookie"));
  rf_future_free(future);
  rf_options_free(a);
  rf_options_free(b);
  CHECK_OK(rf_session_clear_cookies(session, NULL, NULL));
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
  a_max_age_that_is_no_number();
  hosts_with_odd_names();
  octets_go_back_as_they_came();
  what_secure_means();
  a_short_header();
  a_host_given_by_hand();
  rf_session_free(session);
  return finish();
}
