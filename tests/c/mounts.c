/* Which adapter a URL goes by: prefixes, snapshots, redirects, and adapters that several sessions share. */
#include "stub.h"

/* Answers with its own name, which `response` has as its body. */
static stub named(const char *name) {
  stub made_of = {.act = respond, .response = made(200, name)};
  return made_of;
}

static void mount(rf_session *session, const char *prefix, stub *stub) {
  CHECK_OK(rf_session_mount(session, prefix, adapter_of(stub)));
  rf_adapter_free(stub->adapter);
}

/* Ends one that is mounted nowhere any more. */
static void gone(stub *stub) {
  EVENTUALLY(LOAD(stub->drops) == 1);
  rf_response_free(stub->response);
}

/* Who answers; NULL: nobody, as the scheme is unknown. */
static const char *who(rf_session *session, const char *url) {
  rf_future *future = get(session, url, NULL);
  const rf_error *error = NULL;
  const char *name = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  if (error == NULL) name = text("%s", rf_response_text(RESPONSE(future), NULL));
  if (error != NULL && rf_error_kind_of(error) != RF_ERROR_INVALID_SCHEMA) name = text("(%s)", rf_error_message(error));
  rf_future_free(future);
  return name;
}

/* ---- prefixes ---- */

static void which_urls_are_below_a_prefix(void) {
  static const struct {
    const char *prefix, *url;
    bool below;
  } all[] = {
      {"mock://", "mock://anything/at?all", true},
      {"MOCK://", "mock://a/", true},
      {"mock://", "MocK://a/", true},
      {"mock://", "mocks://a/", false},
      {"mock://a.example", "mock://a.example", true},
      {"mock://a.example", "mock://a.example/", true},
      {"mock://a.example", "mock://a.example/x/y", true},
      {"mock://a.example", "mock://a.example?q", true},
      {"mock://a.example", "mock://a.example#f", true},
      {"mock://a.example", "mock://user@a.example/", true},
      {"mock://A.Example", "mock://a.eXAMPLE/", true},
      /* It ends where the host and the port end. */
      {"mock://a.example", "mock://a.example.net/", false},
      {"mock://a.example", "mock://a.examples/", false},
      {"mock://a.example", "mock://b.a.example/", false},
      {"mock://a.example", "mock://a.example@evil.example/", false},
      {"mock://a.example", "mock://a.example:8080/", false},
      {"mock://a.example:80", "mock://a.example:80/", true},
      {"mock://a.example:80", "mock://a.example:8080/", false},
      {"mock://a.example:8080", "mock://a.example:8080/x", true},
      {"mock://a.example:8080", "mock://a.example/", false},
      {"mock://[::1]", "mock://[::1]/", true},
      {"mock://[::1]", "mock://[::1]:8080/", false},
      /* The path is compared as it is written. */
      {"mock://a.example/", "mock://a.example/", true},
      {"mock://a.example/", "mock://a.example/x", true},
      {"mock://a.example/", "mock://a.example.net/", false},
      {"mock://a.example/api/", "mock://a.example/api/x", true},
      {"mock://a.example/api/", "mock://a.example/API/x", false},
      {"mock://a.example/api/", "mock://a.example/api", false},
      {"mock://a.example/api", "mock://a.example/api", true},
      {"mock://a.example/api", "mock://a.example/api?q", true},
      {"mock://a.example/api", "mock://a.example/api/x", true},
      {"mock://a.example/api", "mock://a.example/ap", false},
      {"mock://a.example/api", "mock://a.example/x/api", false},
      {"mock://A.example/api", "MOCK://a.EXAMPLE/api", true},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    stub stub = named("it");
    rf_session *session = new_session_workers(1);
    mount(session, all[i].prefix, &stub);
    const char *got = who(session, all[i].url);
    if ((got != NULL) != all[i].below || (got != NULL && strcmp(got, "it") != 0)) {
      FAIL("%s for %s: %s", all[i].prefix, all[i].url, got != NULL ? got : "nobody");
    }
    rf_session_free(session);
    gone(&stub);
  }
}

/* As pools take them: the port of a scheme need not be written, and a name may be in any script. */
static void ports_and_names_as_in_pools(void) {
  static const char *const all[][2] = {
      {"http://a.example", "http://a.example:80/"},     {"http://a.example:80", "http://a.example/"},
      {"https://a.example:443", "https://a.example/"},  {"https://a.example", "HTTPS://A.EXAMPLE:443/x"},
      {"http://a.example:80/p", "http://a.example/p/q"}, {"http://b\xc3\xbc" "cher.example", "http://xn--bcher-kva.example/"},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    stub stub = named("it");
    rf_session *session = new_session_workers(1);
    mount(session, all[i][0], &stub);
    CHECK_STR("it", who(session, all[i][1]));
    rf_session_free(session);
    gone(&stub);
  }
}

static void the_longest_prefix_wins(void) {
  static const char *const prefixes[] = {"mock://", "mock://a.example", "mock://a.example/", "mock://a.example/x/",
                                         "mock://a.example/x/y", "mock://b.example:81"};
  static const char *const urls[][2] = {{"mock://c.example/", "0"},        {"mock://a.example/p", "2"},
                                        {"mock://a.example/x/z", "3"},     {"mock://a.example/x/y/z", "4"},
                                        {"mock://a.example/x", "2"},       {"mock://b.example:81/x/y", "5"},
                                        {"mock://b.example/", "0"},        {"mock://a.example:81/x/y", "0"},
                                        {"mock://a.example.net/x/y", "0"}};
  /* In whatever order they were mounted. */
  for (int order = 0; order < 6; order++) {
    stub stubs[6];
    rf_session *session = new_session_workers(1);
    for (int i = 0; i < 6; i++) stubs[i] = named(text("%d", i));
    for (int i = 0; i < 6; i++) mount(session, prefixes[(i * 5 + order) % 6], &stubs[(i * 5 + order) % 6]);
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) CHECK_STR(urls[i][1], who(session, urls[i][0]));
    rf_session_free(session);
    for (int i = 0; i < 6; i++) gone(&stubs[i]);
  }
}

static void one_is_replaced_and_taken_away(void) {
  stub first = named("first"), second = named("second"), third = named("third"), http_one = named("http");
  rf_session *session = new_session_workers(1);
  CHECK_NULL(who(session, "mock://a.example/"));
  mount(session, "mock://a.example", &first);
  CHECK_STR("first", who(session, "mock://a.example/"));
  mount(session, "MOCK://A.example", &second); /* the same prefix */
  CHECK_STR("second", who(session, "mock://a.example/"));
  gone(&first);
  mount(session, "mock://", &third);
  CHECK_STR("second", who(session, "mock://a.example/"));
  CHECK_OK(rf_session_mount(session, "mock://a.example", NULL));
  CHECK_STR("third", who(session, "mock://a.example/"));
  gone(&second);
  CHECK_OK(rf_session_mount(session, "mock://a.example", NULL)); /* there is none: nothing happens */
  CHECK_OK(rf_session_mount(session, "mock://", NULL));
  CHECK_NULL(who(session, "mock://a.example/"));
  gone(&third);
  /* Of http:// and https:// there is always one: the session's own is back. */
  CHECK_STR("Hello, world!", who(session, http("/hello")));
  mount(session, "http://", &http_one);
  CHECK_STR("http", who(session, http("/hello")));
  CHECK_OK(rf_session_mount(session, "http://", NULL));
  CHECK_STR("Hello, world!", who(session, http("/hello")));
  gone(&http_one);
  rf_session_free(session);
}

static void what_is_refused(void) {
  stub stub = named("nobody");
  rf_session *session = new_session_workers(1), *derived = NULL;
  adapter_of(&stub);
  static const char *const bad[] = {"", "mock", "mock:", "mock:/", "://", "://a.example", "a.example/x", "/x",
                                    "mo ck://", "m\xff://"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    if (rf_session_mount(session, bad[i], stub.adapter) != RF_E_INVALID) FAIL("\"%s\" was taken", bad[i]);
  }
  NO(rf_session_mount(NULL, "mock://", stub.adapter));
  NO(rf_session_mount(session, NULL, stub.adapter));
  NO(rf_session_mount(NULL, NULL, NULL));
  /* One with a base session has that one's. */
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_base_session(config, session));
  derived = session_of(config);
  BAD(rf_session_mount(derived, "mock://", stub.adapter));
  BAD(rf_session_mount(derived, "mock://", NULL));
  CHECK_NULL(who(derived, "mock://a/"));
  CHECK_OK(rf_session_mount(session, "mock://", stub.adapter));
  CHECK_STR("nobody", who(derived, "mock://a/"));
  CHECK_STR("nobody", who(session, "mock://a/"));
  rf_session_free(derived);
  rf_session_free(session);
  rf_adapter_free(stub.adapter);
  gone(&stub);
}

/* ---- as they were at submission ---- */

static rf_status hold_then_redirect(rf_prepared *prepared, stub *stub) {
  while (!__atomic_load_n(&stub->go_on, __ATOMIC_SEQ_CST)) sleep_ms(1);
  return respond(prepared, stub);
}

static void requests_submitted_before_are_not_affected(void) {
  stub busy = {.act = hold_then_redirect, .response = made_with(302, NULL, "Location", "mock://b/")}, old = named("old"),
       fresh = named("new");
  rf_session *session = new_session_workers(1);
  mount(session, "mock://a", &busy);
  mount(session, "mock://b", &old);
  rf_future *redirected = get(session, "mock://a/", NULL);
  EVENTUALLY(LOAD(busy.inside) == 1);
  rf_future *queued = get(session, "mock://b/", NULL);
  mount(session, "mock://b", &fresh);
  CHECK_OK(rf_session_mount(session, "mock://a", NULL));
  CHECK_INT(0, LOAD(busy.drops) + LOAD(old.drops)); /* requests keep theirs */
  rf_future *later = get(session, "mock://b/", NULL);
  __atomic_store_n(&busy.go_on, true, __ATOMIC_SEQ_CST);
  CHECK_STR("old", rf_response_text(RESPONSE(redirected), NULL));
  CHECK_STR("old", rf_response_text(RESPONSE(queued), NULL));
  CHECK_STR("new", rf_response_text(RESPONSE(later), NULL));
  rf_future_free(redirected);
  rf_future_free(queued);
  rf_future_free(later);
  gone(&busy);
  gone(&old);
  rf_session_free(session);
  gone(&fresh);
}

/* Mounting while others submit: each request goes by the one or by the other. */
static int mounting_is_over;
static rf_session *mounted_meanwhile;

static void *ask_meanwhile(void *unused) {
  while (!LOAD(mounting_is_over)) {
    const char *got = who(mounted_meanwhile, "mock://a/");
    CHECK(got != NULL && (strcmp(got, "one") == 0 || strcmp(got, "two") == 0));
  }
  return unused;
}

static void mounting_while_others_submit(void) {
  stub one = named("one"), two = named("two");
  mounted_meanwhile = new_session_workers(2);
  mounting_is_over = 0;
  CHECK_OK(rf_session_mount(mounted_meanwhile, "mock://", adapter_of(&one)));
  adapter_of(&two);
  pthread_t all[4];
  for (int i = 0; i < 4; i++) CHECK_INT(0, pthread_create(&all[i], NULL, ask_meanwhile, NULL));
  for (int i = 0; i < 200; i++) {
    CHECK_OK(rf_session_mount(mounted_meanwhile, "mock://a", i % 2 ? one.adapter : two.adapter));
    if (i % 5 == 0) CHECK_OK(rf_session_mount(mounted_meanwhile, "mock://a", NULL));
  }
  INCREMENT(mounting_is_over);
  for (int i = 0; i < 4; i++) CHECK_INT(0, pthread_join(all[i], NULL));
  rf_adapter_free(one.adapter);
  rf_adapter_free(two.adapter);
  rf_session_free(mounted_meanwhile);
  gone(&one);
  gone(&two);
}

/* ---- redirects ---- */

/* From http and https to http and https only, whoever answers there. */
static void a_redirect_does_not_lead_out_of_the_web(void) {
  stub mock = named("mock"), web = {.act = respond, .response = made_with(302, NULL, "Location", "mock://a/")};
  rf_session *session = new_session_workers(2);
  mount(session, "mock://", &mock);
  mount(session, "https://web.example", &web);

  for (int i = 0; i < 2; i++) {
    const char *url = i == 0 ? "https://web.example/" : http("/redirect-to?url=mock://a/");
    rf_future *future = get(session, url, NULL);
    ERROR_OF(RF_ERROR_INVALID_SCHEMA, future);
    rf_future_free(future);
  }
  CHECK_INT(0, mock.calls);
  rf_session_free(session);
  gone(&mock);
  gone(&web);

  /* Otherwise anywhere: to another one, to the network, and from there to what is mounted for http. */
  stub first = {.act = respond, .response = made_with(302, NULL, "Location", "other://b/")},
       second = {.act = respond,
                 .response = made_with(302, NULL, "Location", http("/redirect-to?url=http://web.example/"))},
       last = named("last");
  session = new_session_workers(1);
  mount(session, "mock://", &first);
  mount(session, "other://b", &second);
  mount(session, "http://web.example", &last);
  rf_future *future = get(session, "mock://a/", NULL);
  CHECK_STR("last", rf_response_text(RESPONSE(future), NULL));
  CHECK_INT(3, rf_response_history_count(RESPONSE(future)));
  CHECK_STR("http://web.example/", rf_response_url(RESPONSE(future)));
  rf_future_free(future);
  rf_session_free(session);
  gone(&first);
  gone(&second);
  gone(&last);
}

/* Credentials of one's own do not follow to another origin, whatever carries it. */
static rf_status tell_authorization(rf_prepared *prepared, stub *stub) {
  (void)stub;
  const char *authorization = rf_prepared_header(prepared, "Authorization");
  rf_response *response = made(200, authorization != NULL ? authorization : "none");
  CHECK_OK(rf_prepared_respond(prepared, response));
  rf_response_free(response);
  return RF_OK;
}

static void credentials_stay_at_their_origin(void) {
  stub from = {.act = respond, .response = made_with(302, NULL, "Location", "mock://b/")}, to = {.act = tell_authorization};
  rf_session *session = new_session_workers(1);
  mount(session, "mock://a", &from);
  mount(session, "mock://b", &to);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_auth_bearer(options, "secret"));
  rf_future *future = get(session, "mock://b/", options);
  CHECK_STR("Bearer secret", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  future = get(session, "mock://a/", options);
  CHECK_STR("none", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
  gone(&from);
  rf_response_free(to.response);
  EVENTUALLY(LOAD(to.drops) == 1);
}

/* ---- HTTP adapters ---- */

static rf_adapter *http_adapter(size_t per_host, uint32_t retries) {
  rf_config *config = NULL;
  rf_adapter *adapter = NULL;
  CHECK_OK(rf_config_new(&config));
  if (per_host > 0) CHECK_OK(rf_config_set_max_per_host(config, per_host));
  CHECK_OK(rf_config_set_max_retries(config, retries));
  CHECK_OK(rf_adapter_new_http(config, &adapter));
  rf_config_free(config);
  return adapter;
}

/* Two sessions that mount it share its connections and its limits; a third has its own. */
static void a_shared_adapter(void) {
  rf_adapter *adapter = http_adapter(1, 0);
  rf_session *sessions[3];
  arrivals *server = arrivals_start(0);
  for (int i = 0; i < 3; i++) {
    sessions[i] = new_session_workers(3);
    if (i < 2) CHECK_OK(rf_session_mount(sessions[i], wire_url(server->server, "/"), adapter));
  }
  rf_adapter_free(adapter);
  for (int i = 0; i < 10; i++) {
    rf_future *future = get(sessions[i % 2], arrivals_url(server, 'n', i), NULL);
    RESPONSE(future);
    rf_future_free(future);
  }
  CHECK_INT(1, wire_connections(server->server));
  arrivals_shut(server, true);
  rf_future *futures[6], *other;
  for (int i = 0; i < 6; i++) futures[i] = get(sessions[i % 2], arrivals_url(server, 'n', 10 + i), NULL);
  arrivals_wait(server, 11);
  sleep_ms(50);
  CHECK_INT(11, arrivals_count(server));
  other = get(sessions[2], arrivals_url(server, 'n', 99), NULL);
  arrivals_wait(server, 12);
  CHECK_INT(99, arrivals_at(server, 11).number);
  arrivals_shut(server, false);
  for (int i = 0; i < 6; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  RESPONSE(other);
  rf_future_free(other);
  CHECK_INT(2, wire_connections(server->server));
  for (int i = 0; i < 3; i++) rf_session_free(sessions[i]);
  EVENTUALLY(wire_open(server->server) == 0); /* with the last session, its connections */
  arrivals_stop(server);
}

/* The number of its configuration is for what goes by it; the session's own adapter has another. */
static void its_retries(void) {
  rf_session *session = new_session_workers(1);
  arrivals *server = arrivals_start(0);
  rf_adapter *adapter = http_adapter(0, 2);
  CHECK_OK(rf_session_mount(session, text("http://localhost:%d", server->server->port), adapter));
  rf_adapter_free(adapter);
  rf_future *future = get(session, arrivals_url(server, 'h', 1), NULL);
  ERROR_OF(RF_ERROR_CONNECTION, future);
  CHECK_INT(1, arrivals_count(server));
  rf_future_free(future);
  future = get(session, text("http://localhost:%d/h2", server->server->port), NULL);
  ERROR_OF(RF_ERROR_CONNECTION, future);
  CHECK_INT(4, arrivals_count(server));
  rf_future_free(future);
  rf_session_free(session);
  arrivals_stop(server);
}

/* Its limits are kept here, where the request is submitted, also for worker processes. */
static void worker_processes(void) {
  pool pool = new_pool(3);
  arrivals *server = arrivals_start(1);
  rf_adapter *adapter = http_adapter(1, 0);
  CHECK_OK(rf_session_mount(pool.session, "http://", adapter));
  rf_adapter_free(adapter);
  arrivals_hold(server, 10);
  rf_future *futures[12];
  for (int i = 0; i < 12; i++) futures[i] = get(pool.session, arrivals_url(server, 'n', i), NULL);
  for (int i = 0; i < 12; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  CHECK_INT(12, arrivals_count(server));
  CHECK_INT(1, arrivals_most(server));
  end_pool(pool);
  arrivals_stop(server);
}

int main(void) {
  which_urls_are_below_a_prefix();
  ports_and_names_as_in_pools();
  the_longest_prefix_wins();
  one_is_replaced_and_taken_away();
  what_is_refused();
  requests_submitted_before_are_not_affected();
  mounting_while_others_submit();
  a_redirect_does_not_lead_out_of_the_web();
  credentials_stay_at_their_origin();
  a_shared_adapter();
  its_retries();
  worker_processes();
  return finish();
}
