/* A resolver of one's own: what it is asked for and what comes of its answers, several at once, cached, and waited for by
   a close. */
#include "elsewhere.h"

#include <pthread.h>

typedef struct names {
  int asked, inside, most, dropped;
  uint16_t port;    /* of the last question */
  int held;         /* nobody returns before this is 0 */
  rf_session *close_in; /* closed by the function */
} names;

static rf_status look_up(rf_lookup *lookup, const char *host, uint16_t port, void *user_data) {
  names *names = user_data;
  INCREMENT(names->asked);
  int inside = __atomic_add_fetch(&names->inside, 1, __ATOMIC_SEQ_CST);
  int most = LOAD(names->most);
  while (inside > most && !__atomic_compare_exchange_n(&names->most, &most, inside, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
  }
  __atomic_store_n(&names->port, port, __ATOMIC_SEQ_CST);
  while (LOAD(names->held)) sleep_ms(2);
  BAD(rf_lookup_add(lookup, "nonsense"));
  BAD(rf_lookup_add(lookup, "127.0.0.1:80"));
  BAD(rf_lookup_add(lookup, ""));
  NO(rf_lookup_add(lookup, NULL));
  rf_status status = RF_OK;
  if (strncmp(host, "refused.", 8) == 0) status = RF_FAILED;
  if (strncmp(host, "odd.", 4) == 0) status = (rf_status)77;
  if (strncmp(host, "second.", 7) == 0) CHECK_OK(rf_lookup_add(lookup, "127.0.0.2"));
  if (strncmp(host, "six.", 4) == 0) CHECK_OK(rf_lookup_add(lookup, "[::1]"));
  if (strncmp(host, "empty.", 6) != 0) CHECK_OK(rf_lookup_add(lookup, "127.0.0.1"));
  if (names->close_in != NULL) CHECK_OK(rf_session_close(names->close_in, RF_CLOSE_WAIT));
  (void)__atomic_sub_fetch(&names->inside, 1, __ATOMIC_SEQ_CST);
  return status;
}

static void drop_names(void *user_data) { INCREMENT(((names *)user_data)->dropped); }

static rf_session *session_asking(names *names) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_resolver(config, look_up, names, drop_names));
  return session_of(config);
}

static const char *url_of(const char *host, const char *path) {
  return text("http://%s:%s%s", host, env("RF_TEST_HTTP_PORT"), path);
}

static void it_is_asked_once_for_a_while(void) {
  names names = {0};
  rf_session *session = session_asking(&names);
  for (int i = 0; i < 3; i++) {
    rf_future *future = get(session, url_of("any.thing", "/close"), NULL);
    CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
    CHECK((rf_response_phase_us(RESPONSE(future), RF_PHASE_RESOLVE) >= 0) == (i == 0));
    rf_future_free(future);
  }
  CHECK_INT(1, LOAD(names.asked));
  CHECK_INT(atoi(env("RF_TEST_HTTP_PORT")), LOAD(names.port));
  /* For another port it may say something else. */
  rf_future *future = get(session, text("http://any.thing:%s/ok", env("RF_TEST_RAW_PORT")), NULL);
  RESPONSE(future);
  CHECK_INT(2, LOAD(names.asked));
  CHECK_INT(atoi(env("RF_TEST_RAW_PORT")), LOAD(names.port));
  rf_future_free(future);
  /* Nothing is to be looked up. */
  future = get(session, http("/get"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_resolve(options, "set.thing", (uint16_t)atoi(env("RF_TEST_HTTP_PORT")), "127.0.0.1"));
  future = get(session, url_of("set.thing", "/get"), options);
  RESPONSE(future);
  rf_future_free(future);
  CHECK_INT(2, LOAD(names.asked));
  /* The name of a proxy. */
  CHECK_OK(rf_options_set_proxy(options, "all", text("http://proxy.thing:%s", strrchr(env("RF_TEST_PROXY"), ':') + 1)));
  future = get(session, http("/get"), options);
  RESPONSE(future);
  rf_future_free(future);
  CHECK_INT(3, LOAD(names.asked));
  rf_options_free(options);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  CHECK_INT(0, LOAD(names.dropped));
  rf_session_free(session);
  EVENTUALLY(LOAD(names.dropped) == 1);
}

static void what_it_says_counts(void) {
  names names = {0};
  rf_session *session = session_asking(&names);
  static const char *const failing[] = {"refused.thing", "odd.thing", "empty.thing"};
  for (size_t i = 0; i < 3; i++) {
    /* No failure is remembered. */
    for (int asked = 0; asked < 2; asked++) {
      rf_future *future = get(session, url_of(failing[i], "/get"), NULL);
      const rf_error *error = ERROR_OF(RF_ERROR_CONNECTION, future);
      CHECK_HAS(text("Failed to resolve '%s' (the resolver", failing[i]), rf_error_message(error));
      CHECK_INT(RF_PHASE_RESOLVE, rf_error_phase(error));
      rf_future_free(future);
    }
  }
  CHECK_INT(6, LOAD(names.asked));
  /* In order of preference: nothing listens at the first. */
  rf_future *future = get(session, url_of("second.thing", "/get"), NULL);
  CHECK(strncmp(rf_response_remote_address(RESPONSE(future)), "127.0.0.1:", 10) == 0);
  rf_future_free(future);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_ip_version(options, RF_IP_6));
  future = get(session, url_of("four.thing", "/get"), options);
  CHECK_HAS("has no IPv6 address", rf_error_message(ERROR_OF(RF_ERROR_CONNECTION, future)));
  rf_future_free(future);
  rf_options_free(options);
  if (getenv("RF_TEST_HTTP6") != NULL) {
    const char *port = strrchr(env("RF_TEST_HTTP6"), ':') + 1;
    future = get(session, text("http://six.thing:%s/get", port), NULL);
    CHECK(strncmp(rf_response_remote_address(RESPONSE(future)), "[::1]:", 6) == 0);
    rf_future_free(future);
  }
  rf_session_free(session);
  EVENTUALLY(LOAD(names.dropped) == 1);
}

static void several_are_asked_at_once_and_those_who_ask_the_same_share_a_call(void) {
  enum { NAMES = 4, EACH = 2 };
  names names = {.held = 1};
  rf_session *session = session_asking(&names);
  rf_future *futures[NAMES * EACH];
  for (int i = 0; i < NAMES * EACH; i++) {
    futures[i] = get(session, url_of(text("n%d.thing", i / EACH), "/get"), NULL);
  }
  EVENTUALLY(LOAD(names.inside) == NAMES);
  __atomic_store_n(&names.held, 0, __ATOMIC_SEQ_CST);
  for (int i = 0; i < NAMES * EACH; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  CHECK_INT(NAMES, LOAD(names.most));
  CHECK_INT(NAMES, LOAD(names.asked));
  rf_session_free(session);
  EVENTUALLY(LOAD(names.dropped) == 1);
}

static void *let_go(void *user_data) {
  names *names = user_data;
  sleep_ms(300);
  __atomic_store_n(&names->held, 0, __ATOMIC_SEQ_CST);
  return NULL;
}

static void an_end_does_not_wait_for_it_and_a_close_does(void) {
  static const rf_close_mode modes[] = {RF_CLOSE_ABORT, RF_CLOSE_CANCEL_PENDING, RF_CLOSE_WAIT};
  for (size_t i = 0; i < 3; i++) {
    names names = {.held = 1};
    rf_session *session = session_asking(&names);
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_timeout(options, 50, RF_FOREVER));
    rf_future *late = get(session, url_of("late.thing", "/get"), options);
    CHECK_INT(RF_PHASE_RESOLVE, rf_error_phase(ERROR_OF(RF_ERROR_CONNECT_TIMEOUT, late)));
    rf_future *aborted = get(session, url_of("aborted.thing", "/get"), NULL);
    EVENTUALLY(LOAD(names.inside) == 2);
    int64_t start = now_ms();
    CHECK(rf_future_abort(aborted));
    ERROR_OF(RF_ERROR_ABORTED, aborted);
    CHECK_RANGE(0, 250 * patience(), now_ms() - start);
    CHECK_INT(2, LOAD(names.inside));
    pthread_t thread;
    CHECK_INT(0, pthread_create(&thread, NULL, let_go, &names));
    CHECK_OK(rf_session_close(session, modes[i]));
    CHECK_INT(0, LOAD(names.inside));
    pthread_join(thread, NULL);
    rf_future_free(late);
    rf_future_free(aborted);
    rf_options_free(options);
    rf_session_free(session);
    EVENTUALLY(LOAD(names.dropped) == 1);
  }
}

static void it_may_close_the_session_that_asks(void) {
  names names = {0};
  rf_session *session = session_asking(&names);
  names.close_in = session;
  rf_future *futures[20];
  for (int i = 0; i < 20; i++) {
    if (rf_session_get(session, url_of("closing.thing", "/get"), NULL, &futures[i]) != RF_OK) futures[i] = NULL;
  }
  for (int i = 0; i < 20; i++) {
    if (futures[i] != NULL) RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
  EVENTUALLY(LOAD(names.dropped) == 1);
}

/* The connection to the proxy is there already when the name is asked for: an abort ends the request as at other times. */
static void while_a_proxy_waits_it_is_no_different(void) {
  names names = {.held = 1};
  rf_session *session = session_asking(&names);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_SOCKS5")));
  rf_future *aborted = get(session, url_of("behind.thing", "/get"), options);
  EVENTUALLY(LOAD(names.inside) == 1);
  int64_t start = now_ms();
  CHECK(rf_future_abort(aborted));
  ERROR_OF(RF_ERROR_ABORTED, aborted);
  CHECK_RANGE(0, 250 * patience(), now_ms() - start);
  rf_future_free(aborted);
  __atomic_store_n(&names.held, 0, __ATOMIC_SEQ_CST);
  rf_future *future = get(session, url_of("behind.thing", "/get"), options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  /* After it, an abort reaches the connection again. */
  future = get(session, url_of("behind.thing", "/slow-headers?ms=20000"), options);
  EVENTUALLY(rf_future_running(future));
  sleep_ms(100);
  start = now_ms();
  CHECK(rf_future_abort(future));
  ERROR_OF(RF_ERROR_ABORTED, future);
  CHECK_RANGE(0, 250 * patience(), now_ms() - start);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
  EVENTUALLY(LOAD(names.dropped) == 1);
}

static void it_belongs_to_an_adapter(void) {
  names names = {0};
  rf_config *config = NULL, *other = NULL;
  rf_adapter *adapter = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_resolver(config, look_up, &names, drop_names));
  CHECK_OK(rf_adapter_new_http(config, &adapter));
  rf_session *session = new_session();
  CHECK_OK(rf_session_mount(session, text("http://mounted.thing:%s", env("RF_TEST_HTTP_PORT")), adapter));
  rf_adapter_free(adapter);
  rf_future *future = get(session, text("http://mounted.thing:%s/get", "1"), NULL);
  ERROR_OF(RF_ERROR_CONNECTION, future);
  rf_future_free(future);
  CHECK_INT(0, LOAD(names.asked)); /* that is another port */
  future = get(session, url_of("mounted.thing", "/get"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  CHECK_INT(1, LOAD(names.asked));
  /* It has one already. */
  rf_session *base = NULL, *upon = NULL;
  CHECK_OK(rf_session_new(config, &base));
  CHECK_OK(rf_config_new(&other));
  CHECK_OK(rf_config_set_base_session(other, base));
  CHECK_OK(rf_session_new(other, &upon));
  future = get(upon, url_of("base.thing", "/get"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  rf_session_free(upon);
  CHECK_OK(rf_config_set_resolver(other, look_up, NULL, NULL));
  BAD_OUT(upon, rf_session_new(other, &upon));
  rf_config_free(other);
  rf_config_free(config);
  rf_session_free(base);
  rf_session_free(session);
  EVENTUALLY(LOAD(names.dropped) == 1);
}

/* By its name it is found elsewhere; with user data it stays. */
static void it_travels_by_its_name(void) {
  rf_resolve_fn function;
  void *symbol = hook_symbol("resolve_any");
  memcpy(&function, &symbol, sizeof function);
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_processes(1, &executor));
  for (int with_data = 0; with_data < 2; with_data++) {
    int data = 0;
    rf_config *config = NULL;
    CHECK_OK(rf_config_new(&config));
    CHECK_OK(rf_config_set_executor(config, executor));
    CHECK_OK(rf_config_set_resolver(config, function, with_data ? &data : NULL, NULL));
    rf_session *session = session_of(config);
    rf_future *future = get(session, url_of("elsewhere.thing", "/get"), NULL);
    if (with_data) {
      CHECK_HAS("resolver", rf_error_message(ERROR_OF(RF_ERROR_NOT_TRANSFERABLE, future)));
    } else {
      CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
    }
    rf_future_free(future);
    rf_session_free(session);
  }
  rf_executor_shutdown(executor, true, false);
  rf_executor_free(executor);
}

int main(void) {
  it_is_asked_once_for_a_while();
  what_it_says_counts();
  several_are_asked_at_once_and_those_who_ask_the_same_share_a_call();
  an_end_does_not_wait_for_it_and_a_close_does();
  it_may_close_the_session_that_asks();
  while_a_proxy_waits_it_is_no_different();
  it_belongs_to_an_adapter();
  it_travels_by_its_name();
  return finish();
}
