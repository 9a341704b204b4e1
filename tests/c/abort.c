/* rf_future_abort ends a request in whatever phase it is: soon, with one callback, on a connection that nobody gets
   afterwards, and its worker takes the next task. */
#include "wire.h"

#include <netdb.h>
#include <sys/un.h>

/* Each phase is aborted so often. Half of the times have to be short; the worst may be longer, since a machine that is
   busy may let any thread wait. */
enum { TIMES = 5, SOON_MS = 50, LATE_MS = 1000 };

/* ---- a name that nobody answers for ----

   No name server here can be made to hang for one test alone: the system's look-up is replaced in this program. The
   only name that is looked up is the one that hangs; addresses never come here. */

static pthread_mutex_t names = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER;
static bool may_answer;
static int asked;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out) {
  (void)name, (void)service, (void)hints;
  *out = NULL;
  pthread_mutex_lock(&names);
  asked++;
  while (!may_answer) pthread_cond_wait(&answered, &names);
  pthread_mutex_unlock(&names);
  return EAI_NONAME;
}

static void let_the_name_server_answer(void) {
  pthread_mutex_lock(&names);
  may_answer = true;
  pthread_cond_broadcast(&answered);
  pthread_mutex_unlock(&names);
}

/* ---- one abort ---- */

typedef struct calls {
  int calls, drops, kind;
} calls;

static void count_call(rf_future *future, void *user_data) {
  calls *seen = user_data;
  const rf_error *error = NULL;
  CHECK_OK(rf_future_exception(future, 0, &error));
  seen->kind = rf_error_kind_of(error);
  INCREMENT(seen->calls);
}

static void count_drop(void *user_data) { INCREMENT(((calls *)user_data)->drops); }

static int64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* One phase: how a request gets there, and where a connection says how many requests it has carried (or NULL). */
typedef struct phase {
  const char *name, *method, *url;
  rf_options *options;
  const char *connection_id;
  rf_session *session; /* NULL: a new one for each time, with one worker */
} phase;

static int64_t all_worst_us;

static int by_size(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static void aborted_in(phase here) {
  int64_t took[TIMES];
  for (int i = 0; i < TIMES; i++) {
    calls seen = {0, 0, 0};
    rf_session *session = here.session != NULL ? here.session : new_session_workers(1);
    rf_future *future = request(session, here.method, here.url, here.options);
    rf_future *next = here.session == NULL ? get(session, http("/hello"), NULL) : NULL;
    CHECK_OK(rf_future_add_done_callback(future, count_call, &seen, count_drop));
    EVENTUALLY(rf_future_running(future) || rf_future_done(future));
    sleep_ms(40); /* it has come as far as it can come */
    const rf_response *response = NULL;
    const rf_error *error = NULL;
    if (rf_future_exception(future, 0, &error) != RF_TIMEOUT) {
      FAIL("%s: over before it was aborted: %s", here.name, error != NULL ? rf_error_message(error) : "it succeeded");
    }
    int64_t start = now_us();
    CHECK(rf_future_abort(future));
    CHECK_STATUS(RF_FAILED, rf_future_result(future, LONG_MS, &response));
    took[i] = now_us() - start;
    ERROR_OF(RF_ERROR_ABORTED, future);
    if (took[i] > LATE_MS * 1000 * patience()) FAIL("%s: %d ms", here.name, (int)(took[i] / 1000));

    /* The worker takes the next one. */
    if (next != NULL) CHECK_STR("Hello, world!", rf_response_text(RESPONSE(next), NULL));
    EVENTUALLY(LOAD(seen.drops) == 1);
    CHECK_INT(1, LOAD(seen.calls));
    CHECK_INT(RF_ERROR_ABORTED, seen.kind);
    CHECK(!rf_future_abort(future)); /* it is over */
    CHECK_INT(1, LOAD(seen.calls));

    /* Not on the connection that was aborted: this one has carried nothing before. */
    if (here.connection_id != NULL) {
      rf_future *fresh = get(session, here.connection_id, NULL);
      const rf_json *json = NULL;
      int64_t requests = 0;
      CHECK_OK(rf_response_json(RESPONSE(fresh), &json, NULL));
      CHECK_OK(rf_json_int(rf_json_get(json, "requests"), &requests));
      CHECK_INT(1, requests);
      rf_future_free(fresh);
    }
    rf_future_free(next);
    rf_future_free(future);
    if (here.session == NULL) rf_session_free(session);
  }
  qsort(took, TIMES, sizeof *took, by_size);
  if (took[TIMES / 2] > SOON_MS * 1000 * patience()) {
    FAIL("%s: half of the aborts took more than %d ms", here.name, (int)(took[TIMES / 2] / 1000));
  }
  if (took[TIMES - 1] > all_worst_us) all_worst_us = took[TIMES - 1];
  if (getenv("RF_VERBOSE") != NULL) {
    printf("abort: %-40s median %6.2f ms, worst %6.2f ms\n", here.name, (double)took[TIMES / 2] / 1000,
           (double)took[TIMES - 1] / 1000);
  }
}

/* ---- the phases ---- */

static void while_the_name_is_looked_up(void) {
  aborted_in((phase){"look-up", "GET", "http://hangs.test/", NULL, NULL, NULL});
  pthread_mutex_lock(&names);
  CHECK_INT(1, asked); /* those that ask for the same name share a look-up */
  pthread_mutex_unlock(&names);
}

static void while_it_connects(void) {
  aborted_in((phase){"connecting", "GET", env("RF_TEST_BLACKHOLE"), NULL, NULL, NULL});

  /* A Unix socket whose backlog is full. */
  struct sockaddr_un address;
  const char *path = text("%s/%s", env("RF_TEST_DIR"), unique("full.sock"));
  int listener = socket(AF_UNIX, SOCK_STREAM, 0), waiting[64], count = 0;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  CHECK(strlen(path) < sizeof address.sun_path);
  strcpy(address.sun_path, path);
  CHECK_INT(0, bind(listener, (struct sockaddr *)&address, sizeof address));
  CHECK_INT(0, listen(listener, 0));
  do {
    CHECK(count < 64);
    waiting[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  } while (connect(waiting[count++], (struct sockaddr *)&address, sizeof address) == 0);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_unix_socket(options, path));
  aborted_in((phase){"connecting to a Unix socket", "GET", "http://unix/", options, NULL, NULL});
  rf_options_free(options);
  while (count > 0) close(waiting[--count]);
  close(listener);
  unlink(path);
}

static void while_tls_is_agreed_on(void) {
  aborted_in((phase){"TLS handshake", "GET", env("RF_TEST_TLS_SILENT"), NULL, NULL, NULL});
}

static void while_it_sends(void) {
  rf_options *options = new_options();
  size_t size = 20 * 1024 * 1024;
  char *data = calloc(1, size);
  CHECK(data != NULL);
  CHECK_OK(rf_options_set_body(options, data, size));
  free(data);
  aborted_in((phase){"sending", "POST", raw("/no-read"), options, raw("/connection-id"), NULL});
  aborted_in((phase){"sending slowly", "POST", raw("/slow-read"), options, raw("/connection-id"), NULL});
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  aborted_in((phase){"sending over TLS", "POST", text("%s/no-read", env("RF_TEST_RAW_TLS")), options, NULL, NULL});
  rf_options_free(options);
}

static void while_it_waits(void) {
  aborted_in((phase){"waiting", "GET", raw("/silent"), NULL, raw("/connection-id"), NULL});
  aborted_in((phase){"waiting, kept alive", "GET", http("/delay/60"), NULL, NULL, NULL});
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  aborted_in((phase){"waiting over TLS", "GET", text("%s/silent", env("RF_TEST_RAW_TLS")), options, NULL, NULL});
  rf_options_free(options);
}

static void while_it_receives(void) {
  static const char *const stalls[] = {"/stall/head", "/stall/body", "/stall/chunk", "/stall/tail",
                                       "/trickle?ms=5&n=10000", "/redirect-stall?location=/ok",
                                       "/redirect-big?location=/silent"};
  for (size_t i = 0; i < sizeof stalls / sizeof *stalls; i++) {
    aborted_in((phase){stalls[i], "GET", raw(stalls[i]), NULL, raw("/connection-id"), NULL});
  }
  aborted_in((phase){"receiving fast", "GET", http("/bytes/1073741824?ms=1"), NULL, NULL, NULL});
}

/* Decoding needs no socket: a body that unpacks to ten GiB is at work without a byte from the wire. */
static rf_status swallow(const uint8_t *data, size_t length, void *user_data) {
  (void)data, (void)length, (void)user_data;
  return RF_OK;
}

static void while_it_decodes(void) {
  static const char *const codings[] = {"/bomb?with=gzip", "/bomb?with=deflate", "/bomb?with=zstd", "/bomb-chain"};
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_output(options, swallow, NULL, NULL));
  for (size_t i = 0; i < 4; i++) {
    /* The server makes it at the first request and keeps it. */
    rf_session *session = new_session_workers(1);
    rf_options *head = new_options();
    CHECK_OK(rf_options_set_stream(head, true));
    rf_future *future = get(session, raw(codings[i]), head);
    RESPONSE(future);
    rf_future_free(future);
    rf_options_free(head);
    rf_session_free(session);
    aborted_in((phase){codings[i], "GET", raw(codings[i]), options, raw("/connection-id"), NULL});
  }
  rf_options_free(options);
}

static void while_it_waits_for_a_connection(void) {
  rf_config *config = NULL;
  const char *gate = unique("abort");
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_workers(config, 2));
  CHECK_OK(rf_config_set_pool_maxsize(config, 1));
  CHECK_OK(rf_config_set_pool_block(config, true));
  rf_session *session = session_of(config);
  rf_future *slow = get(session, gate_url(gate), NULL);
  gate_wait(gate, 1);
  /* Its second hop waits, so that it runs. */
  const char *url = text("http://localhost:%s/redirect-to?url=%s", env("RF_TEST_HTTP_PORT"), http("/hello"));
  aborted_in((phase){"waiting for a connection", "GET", url, NULL, NULL, session});
  gate_open(gate);
  RESPONSE(slow);
  rf_future_free(slow);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
}

static void while_a_proxy_says_nothing(void) {
  static const char *const proxies[] = {"RF_TEST_PROXY_SILENT", "RF_TEST_PROXY_STALL", "RF_TEST_SOCKS5_SILENT",
                                        "RF_TEST_SOCKS5_STALL", "RF_TEST_TLS_SILENT",  "RF_TEST_BLACKHOLE"};
  for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++) {
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
    CHECK_OK(rf_options_set_proxy(options, "all", env(proxies[i])));
    aborted_in((phase){proxies[i], "GET", text("%s/get", env("RF_TEST_HTTPS")), options, NULL, NULL});
    rf_options_free(options);
  }
}

/* Retries are for failures: what is aborted is not tried again. */
static void with_retries_left(void) {
  rf_config *config = NULL;
  const char *key = unique("abort-retries");
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_workers(config, 2));
  CHECK_OK(rf_config_set_max_retries(config, 5));
  rf_session *session = session_of(config);
  rf_future *before = get(session, raw("/ok"), NULL); /* there is a connection to use again */
  RESPONSE(before);
  rf_future_free(before);
  aborted_in((phase){"with retries left", "GET", raw(text("/silent?key=%s", key)), NULL, NULL, session});
  CHECK_INT(TIMES, counted(key));
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
}

/* A body that its caller reads: the future is over, and abort says so, but the read ends. */
typedef struct reading {
  const rf_response *response;
  int64_t ended_us;
  int kind;
} reading;

static void *read_on(void *argument) {
  reading *self = argument;
  uint8_t buffer[4096];
  size_t length = 0;
  const rf_error *error = NULL;
  rf_status status;
  do {
    status = rf_response_read(self->response, buffer, sizeof buffer, &length, &error);
  } while (status == RF_OK && length > 0);
  self->ended_us = now_us();
  self->kind = status == RF_FAILED ? rf_error_kind_of(error) : -status;
  return NULL;
}

static void while_somebody_reads_the_body(void) {
  static const char *const bodies[] = {"/stall/body", "/stall/chunk", "/trickle?ms=5&n=10000", "/bomb?with=gzip"};
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_stream(options, true));
  for (size_t i = 0; i < 4; i++) {
    int64_t took[TIMES];
    for (int n = 0; n < TIMES; n++) {
      rf_session *session = new_session_workers(1);
      rf_future *future = get(session, raw(bodies[i]), options);
      reading self = {RESPONSE(future), 0, 0};
      pthread_t thread;
      CHECK_INT(0, pthread_create(&thread, NULL, read_on, &self));
      sleep_ms(40);
      int64_t start = now_us();
      CHECK(!rf_future_abort(future));
      pthread_join(thread, NULL);
      took[n] = self.ended_us - start;
      CHECK_INT(RF_ERROR_ABORTED, self.kind);
      /* Once more is the same again. */
      uint8_t byte;
      size_t length = 0;
      const rf_error *error = NULL;
      CHECK_STATUS(RF_FAILED, rf_response_read(self.response, &byte, 1, &length, &error));
      CHECK_INT(RF_ERROR_ABORTED, rf_error_kind_of(error));
      rf_future_free(future);
      future = get(session, raw("/connection-id"), NULL);
      CHECK_HAS("\"requests\":1}", rf_response_text(RESPONSE(future), NULL));
      rf_future_free(future);
      rf_session_free(session);
    }
    qsort(took, TIMES, sizeof *took, by_size);
    if (took[TIMES / 2] > SOON_MS * 1000 * patience() || took[TIMES - 1] > LATE_MS * 1000 * patience()) {
      FAIL("reading %s: %d ms, at worst %d ms", bodies[i], (int)(took[TIMES / 2] / 1000), (int)(took[TIMES - 1] / 1000));
    }
    if (took[TIMES - 1] > all_worst_us) all_worst_us = took[TIMES - 1];
  }
  rf_options_free(options);
}

int main(void) {
  while_the_name_is_looked_up();
  while_it_connects();
  while_tls_is_agreed_on();
  while_it_sends();
  while_it_waits();
  while_it_receives();
  while_it_decodes();
  while_it_waits_for_a_connection();
  while_a_proxy_says_nothing();
  with_retries_left();
  while_somebody_reads_the_body();
  let_the_name_server_answer();
  printf("abort: the slowest of all took %.1f ms\n", (double)all_worst_us / 1000);
  return finish();
}
