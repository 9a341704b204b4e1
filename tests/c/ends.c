/* Deadline, abort and close end everything of the library's, wherever it is; a wait is no longer than it was said to be,
   whatever interrupts it; and what can never end is refused. Some of the C library's functions are this program's own:
   they fail, or do not return, when a test says so. */
#include "wire.h"

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <sys/time.h>

/* What ends has so long to do so; a machine that does other things as well gets more. */
#define SOON (150 * patience())

static rf_session *session;

static rf_options *limited(int64_t read_ms, int64_t deadline_ms) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_timeout(options, RF_FOREVER, read_ms));
  CHECK_OK(rf_options_set_deadline(options, deadline_ms));
  return options;
}

/* ---- decoding ---- */

static rf_status swallow(const uint8_t *data, size_t length, void *count) {
  (void)data;
  __atomic_add_fetch((size_t *)count, length, __ATOMIC_SEQ_CST);
  return RF_OK;
}

/* Layers of gzip that hold what nothing comes of are refused soon, however deep. */
static void barren_codings_are_refused(void) {
  for (int tail = 0; tail < 2; tail++) {
    for (int layers = 0; layers <= 3; layers++) {
      rf_options *options = limited(RF_FOREVER, 20000);
      int64_t start = now_ms();
      rf_future *future = get(session, raw(text("/bomb-barren?layers=%d&tail=%d", layers, tail)), options);
      CHECK_HAS("gzip", rf_error_message(ERROR_OF(RF_ERROR_CONTENT_DECODING, future)));
      CHECK_RANGE(0, 4000 * patience(), now_ms() - start); /* the server compresses 64 MB four times */
      rf_future_free(future);
      rf_options_free(options);
    }
  }
}

static rf_future *decoding(rf_session *on, size_t *count, int64_t deadline_ms) {
  rf_options *options = limited(RF_FOREVER, deadline_ms);
  CHECK_OK(rf_options_set_output(options, swallow, count, NULL));
  rf_future *future = get(on, raw("/bomb-chain"), options);
  rf_options_free(options);
  return future;
}

static void decoding_ends(void) {
  size_t count = 0;
  rf_future *future = decoding(session, &count, RF_FOREVER);
  EVENTUALLY(__atomic_load_n(&count, __ATOMIC_SEQ_CST) > 0);
  int64_t start = now_ms();
  CHECK(rf_future_abort(future));
  ERROR_OF(RF_ERROR_ABORTED, future);
  CHECK_RANGE(0, SOON, now_ms() - start);
  rf_future_free(future);

  start = now_ms();
  count = 0;
  future = decoding(session, &count, 500 * patience());
  CHECK(rf_error_is(ERROR_OF(RF_ERROR_TIMEOUT, future), RF_ERROR_TIMEOUT));
  CHECK_RANGE(490 * patience(), 500 * patience() + SOON, now_ms() - start);
  CHECK(count > 0);
  rf_future_free(future);

  rf_session *own = new_session_workers(1);
  count = 0;
  future = decoding(own, &count, RF_FOREVER);
  EVENTUALLY(__atomic_load_n(&count, __ATOMIC_SEQ_CST) > 0);
  start = now_ms();
  CHECK_OK(rf_session_close(own, RF_CLOSE_ABORT));
  CHECK_RANGE(0, SOON, now_ms() - start);
  ERROR_OF(RF_ERROR_ABORTED, future);
  rf_future_free(future);
  rf_session_free(own);
}

/* ---- signals ---- */

static int alarms;
static void on_alarm(int number) {
  (void)number;
  INCREMENT(alarms);
}

/* Sends this thread a signal every 20 ms. (A checker looks through all that a call sends before it makes the call, and from
   the beginning when a signal comes between.) */
static void ring(bool on) {
  struct sigaction action;
  struct itimerval every;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_alarm; /* without SA_RESTART */
  CHECK_INT(0, sigaction(SIGALRM, &action, NULL));
  memset(&every, 0, sizeof every);
  every.it_interval.tv_usec = every.it_value.tv_usec = on ? (suseconds_t)(20000 * patience()) : 0;
  CHECK_INT(0, setitimer(ITIMER_REAL, &every, NULL));
}

/* Silence counts from its beginning, signals or not: receiving on the thread of a custom executor, and sending. */
static void a_silence_is_no_longer_for_signals(void) {
  rf_session *own = session_run_by(run_here);
  rf_options *options = limited(300 * patience(), RF_FOREVER);
  size_t size = 20000000;
  char *data = calloc(1, size);
  CHECK(data != NULL);
  ring(true);
  int64_t start = now_ms();
  rf_future *future = get(own, raw("/silent"), options);
  ERROR_OF(RF_ERROR_READ_TIMEOUT, future);
  CHECK_RANGE(290 * patience(), 300 * patience() + SOON, now_ms() - start);
  rf_future_free(future);

  rf_options *sending = NULL;
  CHECK_OK(rf_options_clone(options, &sending));
  CHECK_OK(rf_options_set_body(sending, data, size));
  start = now_ms();
  future = request(own, "POST", raw("/no-read"), sending);
  ERROR_OF(RF_ERROR_READ_TIMEOUT, future);
  CHECK_RANGE(290 * patience(), 10000 * patience(), now_ms() - start);
  rf_future_free(future);

  /* And for who reads a stream. */
  CHECK_OK(rf_options_set_stream(options, true));
  future = get(own, raw("/stall/body"), options);
  const rf_response *response = RESPONSE(future);
  const rf_error *error = NULL;
  uint8_t buffer[1000];
  size_t length = 1;
  start = now_ms();
  rf_status status = RF_OK;
  while (status == RF_OK && length > 0) status = rf_response_read(response, buffer, sizeof buffer, &length, &error);
  CHECK_STATUS(RF_FAILED, status);
  CHECK_INT(RF_ERROR_READ_TIMEOUT, rf_error_kind_of(error));
  CHECK_RANGE(290 * patience(), 300 * patience() + SOON, now_ms() - start);
  rf_future_free(future);
  ring(false);
  CHECK(LOAD(alarms) > 0);
  free(data);
  rf_options_free(sending);
  rf_options_free(options);
  rf_session_free(own);
}

/* ---- waits that can never end ---- */

typedef struct pair {
  rf_future *futures[2];
  int inside;
  rf_status first, second;
  int which; /* how it waits */
} pair;

static rf_status wait_for(rf_future *future, int which) {
  const rf_response *response = NULL;
  const rf_error *error = NULL;
  rf_completed *queue = NULL;
  rf_status status = RF_E_PANIC;
  bool done;
  switch (which) {
    case 0: return rf_future_result(future, RF_FOREVER, &response);
    case 1: return rf_future_exception(future, RF_FOREVER, &error);
    case 2: return rf_wait(&future, 1, RF_FOREVER, RF_ALL_COMPLETED, &done);
    default:
      CHECK_OK(rf_as_completed(&future, 1, &queue));
      status = rf_completed_next(queue, RF_FOREVER, NULL, NULL);
      rf_completed_free(queue);
      return status;
  }
}

static rf_future *published(pair *both, int which) {
  rf_future *future;
  EVENTUALLY((future = __atomic_load_n(&both->futures[which], __ATOMIC_SEQ_CST)) != NULL);
  return future;
}

static rf_status wait_for_itself(rf_hook_call *call, const rf_response *response, void *user_data) {
  pair *both = user_data;
  (void)call, (void)response;
  both->first = wait_for(published(both, 0), both->which);
  return RF_OK;
}

static void a_hook_that_waits_for_itself_is_told(void) {
  for (int which = 0; which < 4; which++) {
    pair both;
    memset(&both, 0, sizeof both);
    both.which = which;
    rf_options *options = new_options();
    CHECK_OK(rf_options_add_hook(options, wait_for_itself, &both, NULL));
    rf_future *future = get(session, http("/hello"), options);
    __atomic_store_n(&both.futures[0], future, __ATOMIC_SEQ_CST);
    RESPONSE(future);
    CHECK_STATUS(RF_E_DEADLOCK, both.first);
    rf_future_free(future);
    rf_options_free(options);
  }
}

static rf_status wait_for_the_other(rf_hook_call *call, const rf_response *response, void *user_data) {
  pair *both = user_data;
  (void)call;
  int mine = strstr(rf_response_url(response), "b=1") != NULL;
  INCREMENT(both->inside);
  EVENTUALLY(LOAD(both->inside) == 2);
  rf_status status = wait_for(published(both, 1 - mine), both->which);
  *(mine ? &both->second : &both->first) = status;
  return RF_OK;
}

/* At least one of the two is told; the other one then goes on. */
static void hooks_that_wait_for_each_other_are_told(void) {
  for (int which = 0; which < 4; which++) {
    pair both;
    memset(&both, 0, sizeof both);
    both.which = which;
    rf_options *options = new_options();
    CHECK_OK(rf_options_add_hook(options, wait_for_the_other, &both, NULL));
    rf_future *one = get(session, http("/get?a=1"), options), *other = get(session, http("/get?b=1"), options);
    __atomic_store_n(&both.futures[0], one, __ATOMIC_SEQ_CST);
    __atomic_store_n(&both.futures[1], other, __ATOMIC_SEQ_CST);
    RESPONSE(one);
    RESPONSE(other);
    CHECK(both.first == RF_E_DEADLOCK || both.second == RF_E_DEADLOCK);
    CHECK(both.first == RF_OK || both.first == RF_E_DEADLOCK);
    CHECK(both.second == RF_OK || both.second == RF_E_DEADLOCK);
    rf_future_free(one);
    rf_future_free(other);
    rf_options_free(options);
  }
}

/* One of the two waits for a while only: that one runs out, and nobody is told. */
static rf_status wait_for_a_while(rf_hook_call *call, const rf_response *response, void *user_data) {
  pair *both = user_data;
  const rf_response *other = NULL;
  (void)call;
  int mine = strstr(rf_response_url(response), "b=1") != NULL;
  INCREMENT(both->inside);
  EVENTUALLY(LOAD(both->inside) == 2);
  rf_status status = rf_future_result(published(both, 1 - mine), mine ? 300 : RF_FOREVER, &other);
  *(mine ? &both->second : &both->first) = status;
  return RF_OK;
}

static void a_wait_that_ends_by_itself_makes_no_deadlock(void) {
  pair both;
  memset(&both, 0, sizeof both);
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, wait_for_a_while, &both, NULL));
  rf_future *one = get(session, http("/get?a=1"), options), *other = get(session, http("/get?b=1"), options);
  __atomic_store_n(&both.futures[0], one, __ATOMIC_SEQ_CST);
  __atomic_store_n(&both.futures[1], other, __ATOMIC_SEQ_CST);
  RESPONSE(one);
  RESPONSE(other);
  CHECK_STATUS(RF_OK, both.first);
  CHECK_STATUS(RF_TIMEOUT, both.second);
  rf_future_free(one);
  rf_future_free(other);
  rf_options_free(options);
}

/* A hook waits for a request of another session, whose hook closes the first one's session or shuts its executor down, and
   so waits for the first hook: that one is told, and the other goes on. */
typedef struct closer {
  rf_session *session;
  rf_executor *executor;
  pair both;
} closer;

static rf_status wait_for_the_closer(rf_hook_call *call, const rf_response *response, void *user_data) {
  closer *all = user_data;
  (void)call, (void)response;
  INCREMENT(all->both.inside);
  EVENTUALLY(LOAD(all->both.inside) == 2);
  all->both.first = wait_for(published(&all->both, 1), all->both.which);
  return RF_OK;
}

static rf_status close_the_other(rf_hook_call *call, const rf_response *response, void *user_data) {
  closer *all = user_data;
  (void)call, (void)response;
  INCREMENT(all->both.inside);
  EVENTUALLY(LOAD(all->both.inside) == 2);
  all->both.second = all->executor == NULL ? rf_session_close(all->session, RF_CLOSE_WAIT)
                                           : rf_executor_shutdown(all->executor, true, false);
  return RF_OK;
}

static void a_hook_that_waits_for_who_closes_its_session_is_told(void) {
  for (int which = 0; which < 8; which++) {
    closer all;
    rf_executor *executor = NULL;
    memset(&all, 0, sizeof all);
    CHECK_OK(rf_executor_new_threads(2, &executor));
    all.session = session_on(executor);
    if (which >= 4) all.executor = executor;
    all.both.which = which % 4;
    rf_options *waits = new_options(), *closes = new_options();
    CHECK_OK(rf_options_add_hook(waits, wait_for_the_closer, &all, NULL));
    CHECK_OK(rf_options_add_hook(closes, close_the_other, &all, NULL));
    rf_future *one = get(all.session, http("/hello"), waits), *other = get(session, http("/hello"), closes);
    __atomic_store_n(&all.both.futures[1], other, __ATOMIC_SEQ_CST);
    RESPONSE(one);
    RESPONSE(other);
    CHECK_STATUS(RF_E_DEADLOCK, all.both.first);
    CHECK_OK(all.both.second);
    rf_future_free(one);
    rf_future_free(other);
    rf_options_free(waits);
    rf_options_free(closes);
    rf_session_free(all.session);
    rf_executor_free(executor);
  }
}

/* Nobody is told who only has to wait: hooks that wait for requests that run, again and again. */
static rf_status fetch_inside(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)response;
  rf_future *future = get(rf_hook_session(call), http("/delay/0.01"), NULL);
  *(rf_status *)user_data = wait_for(future, 0);
  rf_future_free(future);
  return RF_OK;
}

static void hooks_that_only_wait_are_not_told(void) {
  enum { MANY = 40 };
  rf_session *own = new_session_workers(16);
  rf_status statuses[MANY];
  rf_future *futures[MANY];
  for (int i = 0; i < MANY; i += 8) {
    for (int j = i; j < i + 8; j++) {
      rf_options *options = new_options();
      CHECK_OK(rf_options_add_hook(options, fetch_inside, &statuses[j], NULL));
      futures[j] = get(own, http("/hello"), options);
      rf_options_free(options);
    }
    for (int j = i; j < i + 8; j++) {
      RESPONSE(futures[j]);
      CHECK_STATUS(RF_OK, statuses[j]);
      rf_future_free(futures[j]);
    }
  }
  rf_session_free(own);
}

/* ---- sending that fails ---- */

static int send_error; /* what the next send of a client's fails with; 0: nothing */
static bool from_client(const void *data, size_t length) { return length >= 4 && memcmp(data, "GET ", 4) == 0; }
static bool from_poster(const void *data, size_t length) { return length >= 5 && memcmp(data, "POST ", 5) == 0; }

static bool fails_now(const void *data, size_t length) {
  if (!from_client(data, length) && !from_poster(data, length)) return false;
  int error = __atomic_exchange_n(&send_error, 0, __ATOMIC_SEQ_CST);
  if (error != 0) errno = error;
  return error != 0;
}

ssize_t send(int fd, const void *data, size_t length, int flags) {
  if (fails_now(data, length)) return -1;
  return sendto(fd, data, length, flags, NULL, 0);
}

/* The C library's, which are looked for before there are threads. */
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);
static int (*real_getaddrinfo)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

__attribute__((constructor)) static void find_the_real_ones(void) {
  void *symbol = dlsym(RTLD_NEXT, "sendmsg");
  memcpy(&real_sendmsg, &symbol, sizeof symbol);
  symbol = dlsym(RTLD_NEXT, "getaddrinfo");
  memcpy(&real_getaddrinfo, &symbol, sizeof symbol);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  if (message->msg_iovlen > 0 && fails_now(message->msg_iov[0].iov_base, message->msg_iov[0].iov_len)) return -1;
  return real_sendmsg(fd, message, flags);
}

static void what_was_not_sent_is_not_waited_for(void) {
  static const int errors[] = {ENOBUFS, ENOMEM, EPIPE};
  for (size_t i = 0; i < 3; i++) {
    /* On a new connection: the failure. */
    wire *server = wire_start(wire_keep, NULL);
    rf_session *own = new_session_workers(1);
    __atomic_store_n(&send_error, errors[i], __ATOMIC_SEQ_CST);
    int64_t start = now_ms();
    rf_future *future = get(own, wire_url(server, "/"), NULL);
    CHECK_INT(errors[i], rf_error_os_code(ERROR_OF(RF_ERROR_CONNECTION, future)));
    CHECK_RANGE(0, 5000 * patience(), now_ms() - start);
    CHECK_INT(0, LOAD(send_error));
    rf_future_free(future);
    /* On one that was kept: once more on a fresh one, a POST as well, since nothing of it went. */
    future = get(own, wire_url(server, "/kept"), NULL);
    RESPONSE(future);
    rf_future_free(future);
    int before = wire_connections(server);
    __atomic_store_n(&send_error, errors[i], __ATOMIC_SEQ_CST);
    future = request(own, "POST", wire_url(server, "/again"), NULL);
    CHECK_STR("/again", rf_response_text(RESPONSE(future), NULL));
    CHECK_INT(before + 1, wire_connections(server));
    rf_future_free(future);
    rf_session_free(own);
    wire_stop(server);
  }
}

/* ---- look-ups ---- */

static int looking, released;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
  if (name != NULL && strstr(name, "nobody") != NULL) {
    INCREMENT(looking);
    while (!LOAD(released)) sleep_ms(1);
    return EAI_AGAIN;
  }
  return real_getaddrinfo(name, service, hints, found);
}

static void look_ups_are_bounded_and_do_not_hold_up_an_end(void) {
  enum { NAMES = 200 };
  rf_future *futures[NAMES];
  rf_session *own = new_session_workers(8);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_timeout(options, 100 * patience(), RF_FOREVER));
  int64_t start = now_ms();
  int most = 0, before = threads();
  for (int i = 0; i < NAMES; i++) futures[i] = get(own, text("http://nobody-%d.example/", i), options);
  for (int i = 0; i < NAMES; i++) {
    ERROR_OF(RF_ERROR_CONNECT_TIMEOUT, futures[i]);
    int now = threads();
    if (now > most) most = now;
    rf_future_free(futures[i]);
  }
  CHECK_RANGE(0, NAMES / 8 * 100 * patience() + 5000 * patience(), now_ms() - start);
  CHECK_RANGE(before + 8, before + 8 + 16, most); /* workers, and those that look up */
  CHECK_RANGE(1, 16, LOAD(looking));
  /* Deadline, abort and close do not wait for them either. */
  rf_options *short_options = limited(RF_FOREVER, 100 * patience());
  start = now_ms();
  rf_future *future = get(own, "http://nobody-else.example/", short_options);
  ERROR_OF(RF_ERROR_TIMEOUT, future);
  CHECK_RANGE(90 * patience(), 100 * patience() + SOON, now_ms() - start);
  rf_future_free(future);
  future = get(own, "http://nobody-else.example/", NULL);
  EVENTUALLY(rf_future_running(future));
  start = now_ms();
  CHECK(rf_future_abort(future));
  ERROR_OF(RF_ERROR_ABORTED, future);
  CHECK_RANGE(0, SOON, now_ms() - start);
  rf_future_free(future);
  future = get(own, "http://nobody-else.example/", NULL);
  EVENTUALLY(rf_future_running(future));
  start = now_ms();
  CHECK_OK(rf_session_close(own, RF_CLOSE_ABORT));
  CHECK_RANGE(0, SOON, now_ms() - start);
  rf_future_free(future);
  /* Once they return, names are looked up again. */
  __atomic_store_n(&released, 1, __ATOMIC_SEQ_CST);
  future = get(session, text("http://localhost:%s/hello", env("RF_TEST_HTTP_PORT")), NULL);
  RESPONSE(future);
  rf_future_free(future);
  rf_options_free(short_options);
  rf_options_free(options);
  rf_session_free(own);
}

/* ---- the pool ---- */

/* The connect time-out begins when the place in the pool is there; waiting for that ends with the deadline. */
static void waiting_for_a_place_does_not_eat_the_connect_time_out(void) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_pool_block(config, true));
  CHECK_OK(rf_config_set_pool_maxsize(config, 1));
  rf_session *own = session_of(config);
  const char *gate = unique("place");
  /* Its connection is closed after it: who comes next has to connect. */
  rf_options *closing = new_options();
  CHECK_OK(rf_options_set_header(closing, "Connection", "close"));
  rf_future *first = get(own, gate_url(gate), closing);
  rf_options_free(closing);
  gate_wait(gate, 1);
  rf_options *options = new_options(), *short_options = limited(RF_FOREVER, 300 * patience());
  CHECK_OK(rf_options_set_timeout(options, 200 * patience(), RF_FOREVER));
  int64_t start = now_ms();
  rf_future *second = get(own, http("/hello"), options), *third = get(own, http("/hello"), short_options);
  ERROR_OF(RF_ERROR_TIMEOUT, third);
  CHECK_RANGE(290 * patience(), 300 * patience() + SOON, now_ms() - start);
  sleep_ms(200 * patience());
  CHECK(!rf_future_done(second));
  gate_open(gate);
  RESPONSE(first);
  RESPONSE(second);
  rf_future_free(first);
  rf_future_free(second);
  rf_future_free(third);
  rf_options_free(options);
  rf_options_free(short_options);
  rf_session_free(own);
}

int main(void) {
  session = new_session();
  barren_codings_are_refused();
  decoding_ends();
  a_silence_is_no_longer_for_signals();
  a_hook_that_waits_for_itself_is_told();
  hooks_that_wait_for_each_other_are_told();
  a_wait_that_ends_by_itself_makes_no_deadlock();
  a_hook_that_waits_for_who_closes_its_session_is_told();
  hooks_that_only_wait_are_not_told();
  what_was_not_sent_is_not_waited_for();
  look_ups_are_bounded_and_do_not_hold_up_an_end();
  waiting_for_a_place_does_not_eat_the_connect_time_out();
  rf_session_free(session);
  return finish();
}
