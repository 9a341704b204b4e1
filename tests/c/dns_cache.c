/* Names that were looked up: for how long their addresses are used again, by whom, and when not. */
#include "check.h"

#include <dlfcn.h>
#include <netdb.h>

/* How often anybody was asked for a name of this test, and what comes of it next. */
static int asked;
static const char *answer = "127.0.0.1"; /* NULL: it is not known */

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
  int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");
  memcpy(&real, &symbol, sizeof real);
  if (name == NULL || strstr(name, ".cached.test") == NULL) return real(name, service, hints, found);
  INCREMENT(asked);
  const char *address = __atomic_load_n(&answer, __ATOMIC_SEQ_CST);
  return address == NULL ? EAI_NONAME : real(address, service, hints, found);
}

static void will_be(const char *address) { __atomic_store_n(&answer, address, __ATOMIC_SEQ_CST); }

static rf_session *session_with(int64_t ttl_ms) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_workers(config, 1));
  CHECK_OK(rf_config_set_dns_cache(config, ttl_ms));
  return session_of(config);
}

/* On a connection of its own. */
static const char *url_of(const char *name) {
  return text("http://%s.cached.test:%s/close", name, env("RF_TEST_HTTP_PORT"));
}

static void fetch(rf_session *session, const char *url, const rf_options *options) {
  rf_future *future = get(session, url, options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
}

/* How many look-ups these many requests cost. */
static int look_ups(rf_session *session, const char *url, int requests) {
  int before = LOAD(asked);
  for (int i = 0; i < requests; i++) fetch(session, url, NULL);
  return LOAD(asked) - before;
}

static void for_how_long(void) {
  rf_session *by_default = new_session(), *never = session_with(0), *for_ever = session_with(RF_FOREVER);
  rf_session *shortly = session_with(200);
  const char *url = url_of("a");
  CHECK_INT(1, look_ups(by_default, url, 3));
  CHECK_INT(1, look_ups(by_default, url_of("b"), 2)); /* each name by itself, */
  CHECK_INT(3, look_ups(never, url, 3));
  CHECK_INT(1, look_ups(for_ever, url, 3)); /* and each session */
  CHECK_INT(1, look_ups(shortly, url, 1));
  sleep_ms(250);
  CHECK_INT(1, look_ups(shortly, url, 1));
  CHECK_INT(0, look_ups(for_ever, url, 1));
  CHECK_INT(0, look_ups(by_default, text("http://A.Cached.TEST:%s/close", env("RF_TEST_HTTP_PORT")), 1));
  /* On whatever port; what looks like an address, or has one by hand, is not looked up. */
  rf_future *future = get(by_default, "http://a.cached.test:1/", NULL);
  int before = LOAD(asked);
  ERROR_OF(RF_ERROR_CONNECTION, future);
  CHECK_INT(before, LOAD(asked));
  rf_future_free(future);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_resolve(options, "c.cached.test", (uint16_t)atoi(env("RF_TEST_HTTP_PORT")), "127.0.0.1"));
  for (int i = 0; i < 2; i++) fetch(by_default, url_of("c"), options);
  CHECK_INT(before, LOAD(asked));
  rf_options_free(options);
  rf_session_free(by_default);
  rf_session_free(never);
  rf_session_free(for_ever);
  rf_session_free(shortly);
}

static void what_is_not_kept(void) {
  rf_session *session = session_with(RF_FOREVER);
  const char *url = url_of("d");
  for (int i = 0; i < 2; i++) {
    will_be(NULL);
    int before = LOAD(asked);
    rf_future *future = get(session, url, NULL);
    CHECK_HAS("Failed to resolve 'd.cached.test'", rf_error_message(ERROR_OF(RF_ERROR_CONNECTION, future)));
    rf_future_free(future);
    CHECK_INT(before + 1, LOAD(asked));
  }
  /* Nobody listens there: the next one asks again. */
  will_be("127.0.0.99");
  rf_future *future = get(session, url, NULL);
  CHECK_HAS("127.0.0.99", rf_error_message(ERROR_OF(RF_ERROR_CONNECTION, future)));
  rf_future_free(future);
  will_be("127.0.0.1");
  CHECK_INT(1, look_ups(session, url, 2));
  /* An address that took a connection stays, whatever else there is now. */
  will_be(NULL);
  CHECK_INT(0, look_ups(session, url, 2));
  will_be("127.0.0.1");
  rf_session_free(session);
}

/* A proxy's name as well; and what a proxy looks up is not asked for here. */
static void proxies(void) {
  rf_session *session = session_with(RF_FOREVER);
  rf_options *options = new_options();
  const char *port = strrchr(env("RF_TEST_PROXY"), ':') + 1;
  CHECK_OK(rf_options_set_proxy(options, "all", text("http://p.cached.test:%s", port)));
  int before = LOAD(asked);
  for (int i = 0; i < 2; i++) fetch(session, text("%s/get", env("RF_TEST_HTTP")), options);
  CHECK_INT(before + 1, LOAD(asked));
  /* A SOCKS proxy that is told addresses. */
  CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_SOCKS5")));
  for (int i = 0; i < 2; i++) fetch(session, url_of("s"), options);
  CHECK_INT(before + 2, LOAD(asked));
  rf_options_free(options);
  rf_session_free(session);
}

/* It belongs to the adapter: a session with a base shares the base's, and has none of its own. */
static void whose(void) {
  rf_session *base = session_with(RF_FOREVER), *above = NULL;
  rf_config *config = NULL;
  CHECK_INT(1, look_ups(base, url_of("e"), 1));
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_base_session(config, base));
  CHECK_OK(rf_session_new(config, &above));
  CHECK_INT(0, look_ups(above, url_of("e"), 1));
  rf_session_free(above);
  CHECK_OK(rf_config_set_dns_cache(config, 1000));
  BAD_OUT(above, rf_session_new(config, &above));
  rf_config_free(config);

  rf_adapter *adapter = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_dns_cache(config, 0));
  CHECK_OK(rf_adapter_new_http(config, &adapter));
  CHECK_OK(rf_session_mount(base, "http://", adapter));
  CHECK_INT(2, look_ups(base, url_of("e"), 2));
  rf_adapter_free(adapter);
  rf_config_free(config);
  rf_session_free(base);
}

int main(void) {
  for_how_long();
  what_is_not_kept();
  proxies();
  whose();
  return finish();
}
