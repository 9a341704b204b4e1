/* How connections are made: over which version of IP, from where, with which questions to the other side, and past which
   proxies. */
#include "wire.h"

#include <errno.h>
#include <netinet/tcp.h>

static const char *ip(rf_session *session, const char *url, const rf_options *options) {
  rf_future *future = get(session, url, options);
  const char *origin = json_string(RESPONSE(future), "/origin");
  CHECK(origin != NULL);
  origin = text("%s", origin);
  rf_future_free(future);
  return origin;
}

#define FAILURE(session, url, options, kind, os_code) \
  failure_of((session), (url), (options), (kind), (os_code), __FILE__, __LINE__)
static const char *failure_of(rf_session *session, const char *url, const rf_options *options, rf_error_kind kind,
                              int os_code, const char *file, int line) {
  rf_future *future = get(session, url, options);
  const rf_error *error = error_of((int)kind, future, file, line);
  check_int(os_code, rf_error_os_code(error), rf_error_message(error), file, line);
  const char *message = text("%s", rf_error_message(error));
  rf_future_free(future);
  return message;
}

/* ---- versions of IP ---- */

static void versions_of_ip(void) {
  const char *six = getenv("RF_TEST_HTTP6"), *port = env("RF_TEST_HTTP_PORT");
  rf_session *session = new_session();
  rf_options *options = new_options();
  BAD(rf_options_set_ip_version(options, 5));
  BAD(rf_options_set_ip_version(options, -4));
  CHECK_OK(rf_options_set_ip_version(options, RF_IP_4));
  CHECK_STR("127.0.0.1", ip(session, http("/ip"), options));
  CHECK_STR("127.0.0.1", ip(session, text("http://localhost:%s/ip", port), options));
  if (six != NULL) {
    CHECK_STR("'::1' has no IPv4 address, and no other may be used",
              FAILURE(session, text("%s/ip", six), options, RF_ERROR_CONNECTION, 0));
  }
  CHECK_OK(rf_options_set_resolve(options, "six.test", 80, "::1"));
  CHECK_STR("'six.test' has no IPv4 address, and no other may be used",
            FAILURE(session, "http://six.test/", options, RF_ERROR_CONNECTION, 0));

  CHECK_OK(rf_options_set_ip_version(options, RF_IP_6));
  /* The connection that rests is of the other version. */
  CHECK_STR("'127.0.0.1' has no IPv6 address, and no other may be used",
            FAILURE(session, http("/ip"), options, RF_ERROR_CONNECTION, 0));
  if (six != NULL) CHECK_STR("::1", ip(session, text("%s/ip", six), options));
  /* On the way to a proxy, but not behind it; where the proxy leaves looking up to us, there as well. */
  CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_PROXY")));
  CHECK_HAS("127.0.0.1' has no IPv6 address", FAILURE(session, http("/ip"), options, RF_ERROR_PROXY, 0));
  CHECK_OK(rf_options_set_ip_version(options, RF_IP_4));
  CHECK_STR("127.0.0.1", ip(session, http("/ip"), options));
  if (six != NULL) {
    CHECK_STR("::1", ip(session, text("%s/ip", six), options));
    CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_SOCKS5")));
    CHECK_HAS("'::1' has no IPv4 address",
              FAILURE(session, text("%s/ip", six), options, RF_ERROR_CONNECTION, 0));
    CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_SOCKS5H")));
    CHECK_STR("::1", ip(session, text("%s/ip", six), options));
  }
  rf_options_free(options);

  /* The session's, taken back. */
  rf_options *defaults = new_options(), *any = new_options();
  CHECK_OK(rf_options_set_ip_version(defaults, RF_IP_6));
  CHECK_OK(rf_session_update(session, defaults));
  FAILURE(session, http("/ip"), NULL, RF_ERROR_CONNECTION, 0);
  CHECK_OK(rf_options_set_ip_version(any, RF_IP_ANY));
  CHECK_STR("127.0.0.1", ip(session, http("/ip"), any));
  CHECK_OK(rf_session_update(session, any));
  CHECK_STR("127.0.0.1", ip(session, http("/ip"), NULL));
  /* A Unix socket has none. */
  CHECK_OK(rf_options_set_unix_socket(defaults, env("RF_TEST_UNIX")));
  CHECK_STR("unix", ip(session, "http://127.0.0.1/ip", defaults));
  rf_options_free(defaults);
  rf_options_free(any);
  rf_session_free(session);
}

/* ---- local addresses ---- */

static void local_addresses(void) {
  const char *six = getenv("RF_TEST_HTTP6");
  rf_session *session = new_session();
  rf_options *options = new_options();
  for (int i = 0; i < 2; i++) {
    /* All of 127.0.0.0/8 is this machine's. What one has left is not for the other. */
    CHECK_OK(rf_options_set_local_address(options, "127.0.0.2"));
    CHECK_STR("127.0.0.2", ip(session, http("/ip"), options));
    CHECK_OK(rf_options_set_local_address(options, "127.0.0.3"));
    CHECK_STR("127.0.0.3", ip(session, http("/ip"), options));
    CHECK_STR("127.0.0.1", ip(session, http("/ip"), NULL));
  }
  if (six != NULL) {
    CHECK_OK(rf_options_set_local_address(options, "::1"));
    CHECK_STR("::1", ip(session, text("%s/ip", six), options));
    CHECK_OK(rf_options_set_local_address(options, "[::1]"));
    CHECK_STR("::1", ip(session, text("%s/ip", six), options));
    CHECK_STR("'127.0.0.1' has no address that can be reached from ::1, which is of the other version of IP",
              FAILURE(session, http("/ip"), options, RF_ERROR_CONNECTION, 0));
  }
  CHECK_OK(rf_options_set_local_address(options, "lo"));
  CHECK_STR("127.0.0.1", ip(session, http("/ip"), options));

  /* What is not there. */
  CHECK_OK(rf_options_set_local_address(options, "192.0.2.77"));
  CHECK_STR(text("Failed to establish a new connection to %s from 192.0.2.77: %s", env("RF_TEST_HTTP") + strlen("http://"),
                 strerror(EADDRNOTAVAIL)),
            FAILURE(session, http("/ip"), options, RF_ERROR_CONNECTION, EADDRNOTAVAIL));
  static const char *const none[] = {"nosuchinterface0", "none", "", "127.0.0.1:80", "a name that is far too long for one"};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
    CHECK_OK(rf_options_set_local_address(options, none[i]));
    CHECK_STR(text("\"%s\" is neither an address nor an interface of this machine: %s", none[i], strerror(ENODEV)),
              FAILURE(session, http("/ip"), options, RF_ERROR_CONNECTION, ENODEV));
    CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_PROXY")));
    CHECK_HAS("is neither an address nor an interface", FAILURE(session, http("/ip"), options, RF_ERROR_PROXY, ENODEV));
    CHECK_OK(rf_options_set_proxy(options, "all", NULL));
  }

  /* On the way to a proxy: one that sees where a connection comes from is made of the server itself. */
  CHECK_OK(rf_options_set_local_address(options, "127.0.0.4"));
  CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_HTTP")));
  CHECK_STR("127.0.0.4", ip(session, "http://anywhere.test/ip", options));
  rf_options_free(options);

  rf_options *defaults = new_options(), *back = new_options();
  CHECK_OK(rf_options_set_local_address(defaults, "127.0.0.5"));
  CHECK_OK(rf_session_update(session, defaults));
  CHECK_STR("127.0.0.5", ip(session, http("/ip"), NULL));
  CHECK_OK(rf_options_set_local_address(back, NULL));
  CHECK_STR("127.0.0.1", ip(session, http("/ip"), back));
  rf_options_free(defaults);
  rf_options_free(back);
  rf_session_free(session);
}

/* ---- keep-alive ---- */

/* What the system says of the one socket here that is connected to this port. */
static int option_of(int port, int level, int option) {
  for (int fd = 3; fd < 1024; fd++) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &length) != 0 || peer.sin_family != AF_INET) continue;
    if (ntohs(peer.sin_port) != port) continue;
    int value = -1;
    length = sizeof value;
    CHECK(getsockopt(fd, level, option, &value, &length) == 0);
    return value;
  }
  FAIL("no socket is connected to port %d", port);
}

/* Not there any more, nor its connections. */
static void over(rf_session *session) {
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
}

static void keepalive(void) {
  static const struct {
    int64_t idle, interval;
    int count;
    int is[3]; /* in seconds; 0: the system's */
  } all[] = {
      {60000, 10000, 5, {60, 10, 5}},
      {1, 1, 1, {1, 1, 1}},
      {1001, 2999, 0, {2, 3, 0}},
      {32767000, 0, 127, {32767, 0, 127}},
      {5000, 0, 0, {5, 0, 0}},
  };
  static const int options_of_tcp[] = {TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT};
  int port = atoi(env("RF_TEST_HTTP_PORT"));
  int plain[3];
  rf_session *session = new_session();
  ip(session, http("/ip"), NULL);
  CHECK(option_of(port, SOL_SOCKET, SO_KEEPALIVE));
  for (int i = 0; i < 3; i++) plain[i] = option_of(port, IPPROTO_TCP, options_of_tcp[i]);
  over(session);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    rf_options *options = new_options();
    session = new_session();
    CHECK_OK(rf_options_set_keepalive(options, all[i].idle, all[i].interval, all[i].count));
    ip(session, http("/ip"), options);
    CHECK(option_of(port, SOL_SOCKET, SO_KEEPALIVE));
    for (int j = 0; j < 3; j++) {
      CHECK_INT(all[i].is[j] != 0 ? all[i].is[j] : plain[j], option_of(port, IPPROTO_TCP, options_of_tcp[j]));
    }
    rf_options_free(options);
    over(session);
  }
  rf_options *options = new_options();
  session = new_session();
  CHECK_OK(rf_options_set_keepalive(options, 60000, 0, 0));
  CHECK_OK(rf_session_update(session, options));
  CHECK_OK(rf_options_set_keepalive(options, RF_FOREVER, 0, 0));
  ip(session, http("/ip"), options);
  CHECK(!option_of(port, SOL_SOCKET, SO_KEEPALIVE));
  over(session);

  BAD(rf_options_set_keepalive(options, 0, 0, 0));
  BAD(rf_options_set_keepalive(options, -2, 0, 0));
  BAD(rf_options_set_keepalive(options, 1000, -1, 0));
  BAD(rf_options_set_keepalive(options, 1000, 0, -1));
  BAD(rf_options_set_keepalive(options, 1000, 0, 128));
  BAD(rf_options_set_keepalive(options, 32767001, 0, 0));
  BAD(rf_options_set_keepalive(options, 1000, 32767001, 0));
  BAD(rf_options_set_keepalive(options, INT64_MAX, 0, 0));
  BAD(rf_options_set_keepalive(options, RF_FOREVER, -1, 0));
  rf_options_free(options);
}

/* ---- past proxies ---- */

static int64_t proxied(void) { return ask(http("/proxy-stats?name=http"), "/requests"); }

static bool goes_through(rf_session *session, const char *url, const rf_options *options) {
  int64_t before = proxied();
  rf_future *future = get(session, url, options);
  RESPONSE(future);
  rf_future_free(future);
  return proxied() > before;
}

static void past_proxies(void) {
  const char *url = http("/hello");
  rf_session *session = new_session();
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_PROXY")));
  CHECK(goes_through(session, url, options));
  static const struct {
    const char *list;
    bool direct;
  } all[] = {{"127.0.0.1", true}, {"127.0.0.0/8", true},  {"*", true},          {"example.test", false},
             {"", false},         {"localhost, 127.0.0.1", true}, {"127.0.0.1:1", false}, {"0.0.1", true}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    CHECK_OK(rf_options_set_no_proxy(options, all[i].list));
    if (goes_through(session, url, options) == all[i].direct) FAIL("with \"%s\"", all[i].list);
  }
  CHECK_OK(rf_options_set_no_proxy(options, "*"));
  CHECK(!goes_through(session, url, options));
  CHECK_OK(rf_options_set_no_proxy(options, NULL));
  CHECK(goes_through(session, url, options));

  /* Of the session: its own proxy, and those of its requests. */
  rf_options *defaults = new_options();
  CHECK_OK(rf_options_set_no_proxy(defaults, "127.0.0.1"));
  CHECK_OK(rf_options_set_proxy(defaults, "all", env("RF_TEST_PROXY")));
  CHECK_OK(rf_session_update(session, defaults));
  CHECK(!goes_through(session, url, NULL));
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_PROXY")));
  CHECK(!goes_through(session, url, options));
  CHECK_OK(rf_options_set_no_proxy(options, NULL));
  CHECK(goes_through(session, url, options));
  rf_options_free(options);
  rf_options_free(defaults);
  rf_session_free(session);

  /* In the place of the environment's. Counting goes by another port, which its list names. */
  session = new_session();
  options = new_options();
  int64_t before = proxied();
  setenv("http_proxy", env("RF_TEST_PROXY"), 1);
  CHECK_OK(rf_options_set_no_proxy(options, "127.0.0.1"));
  rf_future *future = get(session, url, options);
  RESPONSE(future);
  rf_future_free(future);
  unsetenv("http_proxy");
  CHECK_INT(before, proxied());
  setenv("http_proxy", env("RF_TEST_PROXY"), 1);
  setenv("no_proxy", "127.0.0.1", 1);
  CHECK_OK(rf_options_set_no_proxy(options, ""));
  future = get(session, url, options);
  RESPONSE(future);
  rf_future_free(future);
  unsetenv("http_proxy");
  unsetenv("no_proxy");
  CHECK(proxied() > before);
  rf_options_free(options);
  rf_session_free(session);
}

int main(void) {
  versions_of_ip();
  local_addresses();
  keepalive();
  past_proxies();
  return finish();
}
