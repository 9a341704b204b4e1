/* Functions that an event loop's threads call: each stands still beside others that go on, and calls back into the
   library; and waits that can never end. */
#include "event_loop.h"

/* ---- each kind of function ---- */

typedef enum act { GET, READ, ABORT, CLOSE, SHUTDOWN, ACTS } act;
static const char *const ACT_NAMES[] = {"get", "read", "abort", "close", "shutdown"};

typedef enum kind { HOOK, REQUEST_HOOK, PREPARE, CHALLENGE, READER, REWIND, OUTPUT, PROGRESS, ADAPTER, BACKGROUND, DROP, KINDS } kind;
static const char *const KIND_NAMES[] = {"hook",   "request hook", "prepare", "challenge",  "reader", "rewind",
                                         "output", "progress",     "adapter", "background", "drop"};

typedef struct inside {
  kind kind;
  act act;
  rf_executor *executor;
  rf_session *session;
  rf_future *own;
  door door;
  const rf_response *response;
  bool armed;
  int left; /* bytes that the reader has */
  int64_t deadline; /* 0: none */
  int ran, drops;
} inside;

static void act_inside(inside *self) {
  if (!__atomic_exchange_n(&self->armed, false, __ATOMIC_SEQ_CST)) return;
  door_pass(&self->door);
  rf_future *future = NULL;
  switch (self->act) {
    case GET:
      future = get(self->session, http("/hello"), NULL);
      CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
      break;
    case READ: {
      rf_options *options = new_options();
      CHECK_OK(rf_options_set_stream(options, true));
      future = get(self->session, http("/bytes/300000"), options);
      rf_options_free(options);
      const rf_response *response = RESPONSE(future);
      uint8_t buffer[5000];
      size_t all = 0, length = 1;
      while (length > 0) {
        CHECK_OK(rf_response_read(response, buffer, sizeof buffer, &length, NULL));
        all += length;
      }
      CHECK_INT(300000, all);
      break;
    }
    case ABORT: CHECK(rf_future_abort(self->own)); break;
    case CLOSE: CHECK_OK(rf_session_close(self->session, RF_CLOSE_WAIT)); break;
    default: CHECK_OK(rf_executor_shutdown(self->executor, true, false)); break;
  }
  rf_future_free(future);
  INCREMENT(self->ran);
}

static rf_status in_a_hook(rf_hook_call *call, const rf_response *response, void *self) {
  (void)call, (void)response;
  act_inside(self);
  return RF_OK;
}
static rf_status in_prepare(rf_prepared *prepared, void *self) {
  (void)prepared;
  act_inside(self);
  return RF_OK;
}
static rf_status in_a_challenge(rf_prepared *prepared, const rf_response *response, void *self) {
  (void)prepared, (void)response;
  act_inside(self);
  return RF_OK;
}
static int64_t in_a_reader(uint8_t *buffer, size_t capacity, void *argument) {
  inside *self = argument;
  if (self->kind == READER) act_inside(self);
  if (self->left == 0 || capacity == 0) return 0;
  buffer[0] = 'x';
  return self->left--, 1;
}
static rf_status in_a_rewind(void *argument) {
  inside *self = argument;
  if (self->kind == REWIND) act_inside(self);
  self->left = 3;
  return RF_OK;
}
static rf_status in_an_output(const uint8_t *data, size_t length, void *self) {
  (void)data, (void)length;
  act_inside(self);
  return RF_OK;
}
static rf_status in_progress(int64_t sent, int64_t send_total, int64_t received, int64_t total, void *self) {
  (void)sent, (void)send_total, (void)received, (void)total;
  act_inside(self);
  return RF_OK;
}
static rf_status in_an_adapter(rf_prepared *prepared, void *argument) {
  inside *self = argument;
  act_inside(self);
  return rf_prepared_respond(prepared, self->response);
}
static rf_status in_the_background(rf_hook_call *call, rf_session *session, const rf_response *response, void *self) {
  (void)call, (void)session, (void)response;
  act_inside(self);
  return RF_OK;
}
static rf_status no_hook(rf_hook_call *call, const rf_response *response, void *self) {
  (void)call, (void)response, (void)self;
  return RF_OK;
}
static void drop(void *argument) {
  inside *self = argument;
  if (self->kind == DROP) act_inside(self);
  INCREMENT(self->drops);
}

static rf_future *submit(inside *self) {
  rf_options *options = new_options();
  rf_adapter_ops ops = {sizeof ops, in_an_adapter};
  rf_adapter *adapter = NULL;
  const char *method = "GET", *url = http("/get");
  rf_future *future;
  switch (self->kind) {
    case HOOK: CHECK_OK(rf_options_add_hook(options, in_a_hook, self, drop)); break;
    case DROP: CHECK_OK(rf_options_add_hook(options, no_hook, self, drop)); break;
    case REQUEST_HOOK: CHECK_OK(rf_options_add_request_hook(options, in_prepare, self, drop)); break;
    case PREPARE: CHECK_OK(rf_options_set_auth_custom(options, in_prepare, NULL, false, self, drop)); break;
    case CHALLENGE: CHECK_OK(rf_options_set_auth_custom(options, NULL, in_a_challenge, false, self, drop)); break;
    case REWIND:
    case READER:
      CHECK_OK(rf_options_set_body_reader(options, in_a_reader, in_a_rewind, 3, self, drop));
      method = "POST";
      url = self->kind == READER ? http("/post") : http("/redirect-to?url=/post&status_code=307");
      break;
    case OUTPUT: CHECK_OK(rf_options_set_output(options, in_an_output, self, drop)); break;
    case PROGRESS: CHECK_OK(rf_options_set_progress(options, in_progress, self, drop)); break;
    case BACKGROUND: CHECK_OK(rf_options_set_background_callback(options, in_the_background, self, drop)); break;
    default:
      CHECK_OK(rf_adapter_new_custom(&ops, self, drop, &adapter));
      CHECK_OK(rf_session_mount(self->session, "mock://", adapter));
      rf_adapter_free(adapter);
      url = "mock://a/";
      break;
  }
  if (self->deadline > 0) CHECK_OK(rf_options_set_deadline(options, self->deadline));
  future = request(self->session, method, url, options);
  rf_options_free(options);
  return future;
}

static void inside_of(kind kind, act act, size_t workers, int others) {
  if (getenv("RF_VERBOSE") != NULL) printf("%s, %s, %d workers\n", KIND_NAMES[kind], ACT_NAMES[act], (int)workers);
  inside self = {.kind = kind, .act = act, .door = DOOR, .armed = true, .left = 3};
  rf_response *made = NULL;
  CHECK_OK(rf_response_new(200, "text/plain", "made", 4, &made));
  self.response = made;
  self.executor = new_events(MANY, workers);
  self.session = session_on(self.executor);
  self.own = submit(&self);
  EVENTUALLY(door_inside(&self.door) == 1);
  others_go_on(self.session, others); /* it does not stand on the loop's thread */
  CHECK_INT(1, door_inside(&self.door));
  door_open(&self.door);
  EVENTUALLY(LOAD(self.ran) == 1);
  if (act == ABORT) {
    /* What is dropped may be so before the future is over, or after that. */
    const rf_response *response = NULL;
    rf_status status = rf_future_result(self.own, LONG_MS, &response);
    if (kind != DROP || status != RF_OK) ERROR_OF(RF_ERROR_ABORTED, self.own);
  } else {
    CHECK_INT(200, rf_response_status_code(RESPONSE(self.own)));
  }
  CHECK_OK(rf_session_close(self.session, RF_CLOSE_WAIT));
  rf_future_free(self.own);
  rf_session_free(self.session);
  rf_executor_free(self.executor);
  rf_response_free(made);
  EVENTUALLY(LOAD(self.drops) == 1);
}

/* A function that nobody has come to call is not called when the request is over before. */
static void never_called(kind kind, bool by_deadline) {
  inside holder = {.kind = HOOK, .act = GET, .door = DOOR, .armed = true};
  inside self = {.kind = kind, .act = GET, .door = DOOR, .armed = true, .left = 3};
  rf_response *made = NULL;
  CHECK_OK(rf_response_new(200, "text/plain", "made", 4, &made));
  self.response = made;
  self.executor = new_events(MANY, 1);
  holder.session = self.session = session_on(self.executor);
  holder.own = submit(&holder);
  EVENTUALLY(door_inside(&holder.door) == 1);
  self.deadline = by_deadline ? 200 : 0;
  self.own = submit(&self);
  EVENTUALLY(rf_future_running(self.own) || rf_future_done(self.own));
  if (!by_deadline) {
    sleep_ms(50); /* it has come as far as it can come */
    CHECK(rf_future_abort(self.own));
  }
  int64_t start = now_ms();
  ERROR_OF(by_deadline ? RF_ERROR_TIMEOUT : RF_ERROR_ABORTED, self.own);
  CHECK_RANGE(0, 2000 * patience(), now_ms() - start);
  CHECK_INT(1, door_inside(&holder.door));
  door_open(&holder.door);
  RESPONSE(holder.own);
  CHECK_OK(rf_session_close(self.session, RF_CLOSE_WAIT));
  if (kind != DROP) CHECK_INT(0, LOAD(self.ran));
  rf_future_free(self.own);
  rf_future_free(holder.own);
  rf_session_free(self.session);
  rf_executor_free(self.executor);
  rf_response_free(made);
  EVENTUALLY(LOAD(self.drops) == 1);
  EVENTUALLY(LOAD(holder.drops) == 1);
}

/* ---- waits that can never end ---- */

enum { WAITERS = 3 };
static rf_future *waited_for[WAITERS];
static int begun, refused, waited;

/* Waits for the future of that number. */
static rf_status waits_in_a_hook(rf_hook_call *call, const rf_response *unused, void *user_data) {
  rf_future **which = user_data;
  const rf_response *response = NULL;
  (void)call, (void)unused;
  INCREMENT(begun);
  EVENTUALLY(LOAD(*which) != NULL);
  rf_status status = rf_future_result(LOAD(*which), RF_FOREVER, &response);
  if (status == RF_E_DEADLOCK) {
    CHECK_NULL(response);
    INCREMENT(refused);
  } else {
    CHECK_OK(status);
    INCREMENT(waited);
  }
  return RF_OK;
}

static void set(rf_future **which, rf_future *future) { __atomic_store_n(which, future, __ATOMIC_SEQ_CST); }

/* Of so many requests, each waits in a hook for the one whose number stands there; -1: it waits for none. `refuses`: how
   many of them are told that they would wait for ever, at least. */
static void deadlocks(size_t max_requests, size_t max_workers, int first, int second, int third, int refuses) {
  if (getenv("RF_VERBOSE") != NULL) {
    printf("%d requests, %d workers: %d %d %d\n", (int)max_requests, (int)max_workers, first, second, third);
  }
  const int wait_for[WAITERS] = {first, second, third};
  rf_session *session = session_on_events(max_requests, max_workers);
  rf_future *futures[WAITERS];
  begun = refused = waited = 0;
  int hooks = 0, most = (int)(max_requests < max_workers ? max_requests : max_workers);
  for (int i = 0; i < WAITERS; i++) set(&waited_for[i], NULL);
  for (int i = 0; i < WAITERS; i++) {
    rf_options *options = new_options();
    if (wait_for[i] >= 0) {
      CHECK_OK(rf_options_add_hook(options, waits_in_a_hook, &waited_for[wait_for[i]], NULL));
      hooks++;
    }
    futures[i] = get(session, http("/hello"), options);
    rf_options_free(options);
    /* The next one finds this one where it is about to wait. */
    EVENTUALLY(LOAD(begun) >= (hooks < most ? hooks : most));
  }
  for (int i = 0; i < WAITERS; i++) set(&waited_for[i], futures[i]);
  for (int i = 0; i < WAITERS; i++) RESPONSE(futures[i]);
  CHECK_INT(hooks, LOAD(refused) + LOAD(waited));
  if (refuses == 0) CHECK_INT(0, LOAD(refused));
  if (LOAD(refused) < refuses) FAIL("%d waits refused, not %d", LOAD(refused), refuses);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  for (int i = 0; i < WAITERS; i++) rf_future_free(futures[i]);
  rf_session_free(session);
}

/* A callback that waits holds neither a request's place nor a thread that calls functions. */
static void waits_in_a_callback(rf_future *future, void *user_data) {
  (void)future;
  RESPONSE(user_data);
  INCREMENT(waited);
}

static void a_callback_is_no_deadlock(void) {
  rf_session *session = session_on_events(1, 1);
  const char *gate = unique("callback");
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, no_hook, NULL, NULL));
  waited = 0;
  rf_future *first = get(session, gate_url(gate), NULL), *second = get(session, http("/hello"), options);
  gate_wait(gate, 1);
  CHECK_OK(rf_future_add_done_callback(first, waits_in_a_callback, second, NULL));
  gate_open(gate);
  RESPONSE(second);
  EVENTUALLY(LOAD(waited) == 1);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_future_free(first);
  rf_future_free(second);
  rf_options_free(options);
  rf_session_free(session);
}

/* All who call functions wait, one of them for a request that needs no function: that one comes back, and makes room. */
static void waiting_for_what_goes_on_is_no_deadlock(void) {
  rf_session *session = session_on_events(10, 2);
  const char *gate = unique("goes-on");
  rf_future *held = get(session, gate_url(gate), NULL), *other = NULL, *waiters[2];
  begun = refused = waited = 0;
  for (int i = 0; i < 2; i++) {
    rf_options *options = new_options();
    CHECK_OK(rf_options_add_hook(options, waits_in_a_hook, i == 0 ? &held : &other, NULL));
    waiters[i] = get(session, http("/hello"), options);
    rf_options_free(options);
  }
  EVENTUALLY(LOAD(begun) == 2);
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, no_hook, NULL, NULL));
  set(&other, get(session, http("/hello"), options));
  sleep_ms(100);
  CHECK_INT(0, LOAD(refused));
  gate_open(gate);
  for (int i = 0; i < 2; i++) RESPONSE(waiters[i]);
  CHECK_INT(2, LOAD(waited));
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_future_free(waiters[0]);
  rf_future_free(waiters[1]);
  rf_future_free(held);
  rf_future_free(other);
  rf_options_free(options);
  rf_session_free(session);
}

static rf_status no_request_hook(rf_prepared *prepared, void *user_data) {
  (void)prepared, (void)user_data;
  return RF_OK;
}

/* Who calls functions waits for a request that waits for a place, or for its turn, which one has whose function he would
   have to call. */
static void a_place_that_is_held_for_ever(bool is_turn) {
  rf_executor *executor = NULL;
  rf_config *config = NULL;
  CHECK_OK(rf_executor_new_events(10, 1, &executor));
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_executor(config, executor));
  if (is_turn) {
    CHECK_OK(rf_config_set_max_per_host(config, 2));
  } else {
    CHECK_OK(rf_config_set_pool_block(config, true));
    CHECK_OK(rf_config_set_pool_maxsize(config, 2));
  }
  rf_session *session = session_of(config);
  rf_options *waits = new_options(), *calls = new_options();
  rf_future *awaited = NULL;
  begun = refused = waited = 0;
  CHECK_OK(rf_options_add_hook(waits, waits_in_a_hook, &awaited, NULL));
  CHECK_OK(rf_options_add_request_hook(calls, no_request_hook, NULL, NULL));
  rf_future *first = get(session, http("/hello"), waits);
  EVENTUALLY(LOAD(begun) == 1);
  rf_future *holder = get(session, http("/hello"), calls);
  sleep_ms(100);
  rf_future *last = get(session, http("/hello"), NULL);
  sleep_ms(50);
  set(&awaited, last);
  RESPONSE(first);
  CHECK_INT(1, LOAD(refused));
  RESPONSE(holder);
  RESPONSE(last);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_future_free(first);
  rf_future_free(holder);
  rf_future_free(last);
  rf_options_free(waits);
  rf_options_free(calls);
  rf_session_free(session);
  rf_executor_free(executor);
}

/* As many callbacks as there are threads, and each waits for what one of them would have to do. */
static rf_future *given;
static void waits_in_vain(rf_future *future, void *user_data) {
  const rf_response *response = NULL;
  (void)future, (void)user_data;
  EVENTUALLY(LOAD(given) != NULL);
  rf_status status = rf_future_result(LOAD(given), RF_FOREVER, &response);
  if (status == RF_E_DEADLOCK) INCREMENT(refused);
  else {
    CHECK_OK(status);
    INCREMENT(waited);
  }
}

static void callbacks_that_leave_nobody(int callbacks, size_t workers) {
  rf_session *session = session_on_events(MANY, workers);
  const char *gate = unique("nobody");
  rf_future *futures[8];
  refused = waited = 0;
  set(&given, NULL);
  for (int i = 0; i < callbacks; i++) {
    futures[i] = get(session, gate_url(gate), NULL);
    CHECK_OK(rf_future_add_done_callback(futures[i], waits_in_vain, NULL, NULL));
  }
  gate_wait(gate, callbacks);
  gate_open(gate);
  /* While they have all threads, the others are not over. */
  for (int i = 0; i < callbacks && callbacks <= (int)workers + 2; i++) RESPONSE(futures[i]);
  sleep_ms(100);
  set(&given, get(session, http("/hello"), NULL));
  RESPONSE(given);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  CHECK_INT(callbacks, LOAD(refused) + LOAD(waited));
  if (callbacks < (int)workers + 2) CHECK_INT(0, LOAD(refused));
  for (int i = 0; i < callbacks; i++) rf_future_free(futures[i]);
  rf_future_free(given);
  rf_session_free(session);
}

static void never_ending(void) {
  /* A hook waits for a request whose hook nobody is left to call. */
  deadlocks(10, 1, 1, 2, -1, 1);
  /* It waits for one that cannot begin. */
  deadlocks(1, 4, 1, -1, -1, 1);
  deadlocks(1, 1, 2, -1, -1, 1);
  deadlocks(2, 4, 2, 2, -1, 1);
  /* The other place belongs to one that waits for the same thread. */
  deadlocks(2, 1, 2, 2, -1, 1);
  /* It waits for itself. */
  deadlocks(10, 4, 0, -1, -1, 1);
  deadlocks(1, 1, 0, 0, 0, 1);
  /* They wait for each other. */
  deadlocks(10, 4, 1, 0, -1, 1);
  deadlocks(10, 4, 1, 2, 0, 1);
  deadlocks(10, 4, 1, 2, 1, 1);
  deadlocks(10, 2, 1, 0, -1, 1);
  /* And waits that end. */
  deadlocks(10, 1, 1, -1, -1, 0);
  deadlocks(10, 2, 1, 2, -1, 0);
  deadlocks(10, 3, 1, 2, -1, 0);
  deadlocks(10, 1, -1, 0, 1, 0);
  deadlocks(2, 1, 1, -1, -1, 0);
  deadlocks(2, 2, -1, 0, 1, 0);
  a_place_that_is_held_for_ever(false);
  a_place_that_is_held_for_ever(true);
  a_callback_is_no_deadlock();
  waiting_for_what_goes_on_is_no_deadlock();
  callbacks_that_leave_nobody(2, 1);
  callbacks_that_leave_nobody(3, 1);
  callbacks_that_leave_nobody(4, 2);
  callbacks_that_leave_nobody(6, 2);
}

int main(void) {
  for (int k = 0; k < KINDS; k++) {
    for (int a = 0; a < ACTS; a++) {
      inside_of((kind)k, (act)a, 1, 100);
      inside_of((kind)k, (act)a, 3, 100);
    }
  }
  for (int k = 0; k < KINDS; k++) {
    if (k == DROP || k == REWIND) continue; /* a drop function is always called; what comes before a rewind is not */
    never_called((kind)k, false);
    never_called((kind)k, true);
  }
  inside_of(HOOK, GET, 4, MANY);
  never_ending();
  return finish();
}
