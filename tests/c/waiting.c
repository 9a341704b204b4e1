/* A request that waits between two of its steps holds no worker. Under pool_block it waits for a place in the pool: it is
   pending meanwhile, others run, and whatever ends it ends it at once. */
#include "threads.h"
#include "wire.h"

static rf_session *session_with(size_t workers, size_t size) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_workers(config, workers));
  CHECK_OK(rf_config_set_pool_maxsize(config, size));
  CHECK_OK(rf_config_set_pool_block(config, true));
  return session_of(config);
}

/* The same server by another name: its connections are others. */
static const char *elsewhere(const char *path) {
  return text("http://localhost:%s%s", env("RF_TEST_HTTP_PORT"), path);
}

/* A request that has the only place until its gate is opened. */
static rf_future *occupy(rf_session *session, const char *gate) {
  rf_future *slow = get(session, gate_url(gate), NULL);
  gate_wait(gate, 1);
  return slow;
}

static void release(rf_future *slow, const char *gate) {
  gate_open(gate);
  RESPONSE(slow);
  rf_future_free(slow);
}

static void count_one(rf_future *future, void *count) {
  (void)future;
  INCREMENT(*(int *)count);
}

/* ---- no worker is held ---- */

static void others_run_meanwhile(void) {
  rf_session *session = session_with(2, 1);
  const char *gate = unique("others");
  rf_future *slow = occupy(session, gate), *waiting[20];
  int called = 0;
  for (int i = 0; i < 20; i++) {
    waiting[i] = get(session, http("/hello"), NULL);
    CHECK_OK(rf_future_add_done_callback(waiting[i], count_one, &called, NULL));
  }
  /* There is one worker left, and it has nothing to do. */
  for (int i = 0; i < 50; i++) {
    rf_future *other = get(session, elsewhere("/hello"), NULL);
    CHECK_STR("Hello, world!", rf_response_text(RESPONSE(other), NULL));
    rf_future_free(other);
  }
  for (int i = 0; i < 20; i++) {
    CHECK(!rf_future_running(waiting[i]));
    CHECK(!rf_future_done(waiting[i]));
  }
  release(slow, gate);
  for (int i = 0; i < 20; i++) {
    CHECK_STR("Hello, world!", rf_response_text(RESPONSE(waiting[i]), NULL));
    EVENTUALLY(LOAD(called) > i);
    rf_future_free(waiting[i]);
  }
  EVENTUALLY(LOAD(called) == 20);
  rf_session_free(session);
}

/* First in line, first served: the order in which a server that answers one after the other gets them. */
typedef struct order {
  int seen[64], count;
} order;

static void note(wire_connection *connection, void *user_data) {
  order *order = user_data;
  while (wire_next(connection)) {
    const char *number = strstr(connection->request, "/n");
    order->seen[order->count++ % 64] = number != NULL ? atoi(number + 2) : -1;
    sleep_ms(2);
    wire_answer(connection, "200 OK", "", "noted");
  }
}

static void first_in_first_out(void) {
  static order order;
  wire *server = wire_start(note, &order);
  rf_session *session = session_with(1, 1);
  rf_future *futures[40];
  for (int i = 0; i < 40; i++) futures[i] = get(session, wire_url(server, text("/n%d", i)), NULL);
  for (int i = 0; i < 40; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  CHECK_INT(40, order.count);
  for (int i = 0; i < 40; i++) CHECK_INT(i, order.seen[i]);
  CHECK_INT(1, wire_connections(server));
  rf_session_free(session);
  wire_stop(server);
}

/* The reader of a stream has its place until it is done: whatever thread that is, the next one goes on. */
static void a_stream_has_its_place(void) {
  for (int how = 0; how < 3; how++) {
    rf_session *session = session_with(2, 1);
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_stream(options, true));
    rf_future *stream = get(session, http("/bytes/100000"), options);
    const rf_response *response = RESPONSE(stream);
    rf_future *next = get(session, http("/hello"), NULL);
    sleep_ms(50);
    CHECK(!rf_future_done(next));
    if (how == 0) rf_response_content(response, NULL);
    if (how == 1) rf_response_close(response);
    if (how == 2) rf_future_free(stream);
    RESPONSE(next);
    rf_future_free(next);
    if (how < 2) rf_future_free(stream);
    rf_options_free(options);
    rf_session_free(session);
  }
}

/* Each hop stands in line for its own server, and has left the place of the last one before. */
static void each_hop_waits_for_itself(void) {
  rf_session *session = session_with(3, 1);
  const char *gate = unique("hop");
  rf_future *slow = occupy(session, gate), *futures[8];
  for (int i = 0; i < 8; i++) {
    futures[i] = get(session, elsewhere(text("/redirect-to?url=%s", http("/hello"))), NULL);
  }
  for (int i = 0; i < 8; i++) EVENTUALLY(rf_future_running(futures[i])); /* the first hop is over */
  rf_future *other = get(session, elsewhere("/hello"), NULL);
  RESPONSE(other);
  rf_future_free(other);
  release(slow, gate);
  for (int i = 0; i < 8; i++) {
    CHECK_STR("Hello, world!", rf_response_text(RESPONSE(futures[i]), NULL));
    rf_future_free(futures[i]);
  }
  rf_session_free(session);
}

/* ---- ends ---- */

static void it_is_ended_at_once(void) {
  rf_session *session = session_with(2, 1);
  const char *gate = unique("ended");
  rf_future *slow = occupy(session, gate);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 100));
  int called = 0;
  for (int how = 0; how < 3; how++) {
    int64_t start = now_ms();
    rf_future *waiting = get(session, http("/hello"), how == 2 ? options : NULL);
    CHECK_OK(rf_future_add_done_callback(waiting, count_one, &called, NULL));
    if (how < 2) sleep_ms(30);
    CHECK(!rf_future_running(waiting));
    if (how == 0) CHECK(rf_future_cancel(waiting));
    if (how == 1) CHECK(rf_future_abort(waiting));
    if (how < 2) {
      ERROR_OF(RF_ERROR_CANCELLED, waiting);
    } else {
      const rf_error *error = ERROR_OF(RF_ERROR_TIMEOUT, waiting);
      CHECK_HAS("while waiting for a connection to", rf_error_message(error));
    }
    CHECK_RANGE(how == 2 ? 99 : 0, (how == 2 ? 150 : 80) * patience(), now_ms() - start);
    EVENTUALLY(LOAD(called) == how + 1);
    rf_future_free(waiting);
  }
  rf_options_free(options);
  /* What left the line is not in the way of who comes later. */
  rf_future *last = get(session, http("/hello"), NULL);
  release(slow, gate);
  RESPONSE(last);
  rf_future_free(last);
  rf_session_free(session);
}

/* The second hop waits: that one runs, so it cannot be cancelled, but aborted. */
static void a_running_one_is_aborted_and_late(void) {
  rf_session *session = session_with(2, 1);
  const char *gate = unique("second");
  rf_future *slow = occupy(session, gate);
  rf_options *options = new_options();
  for (int late = 0; late < 2; late++) {
    CHECK_OK(rf_options_set_deadline(options, late ? 200 : LONG_MS));
    int64_t start = now_ms();
    rf_future *waiting = get(session, elsewhere(text("/redirect-to?url=%s", http("/hello"))), options);
    EVENTUALLY(rf_future_running(waiting));
    sleep_ms(50);
    CHECK(!rf_future_cancel(waiting));
    if (!late) CHECK(rf_future_abort(waiting));
    const rf_error *error = ERROR_OF(late ? RF_ERROR_TIMEOUT : RF_ERROR_ABORTED, waiting);
    if (late) CHECK_HAS("while waiting for a connection to", rf_error_message(error));
    CHECK_RANGE(0, (late ? 250 : 150) * patience(), now_ms() - start);
    rf_future_free(waiting);
  }
  rf_options_free(options);
  release(slow, gate);
  rf_session_free(session);
}

static void closing_a_session(void) {
  static const int modes[] = {RF_CLOSE_WAIT, RF_CLOSE_CANCEL_PENDING, RF_CLOSE_ABORT};
  for (int i = 0; i < 3; i++) {
    rf_session *session = session_with(2, 1);
    const char *gate = unique("close");
    rf_future *slow = occupy(session, gate), *waiting[10];
    for (int n = 0; n < 10; n++) waiting[n] = get(session, http("/hello"), NULL);
    sleep_ms(30); /* some of them stand in line by now */
    closer closer = {session, modes[i], 0};
    pthread_t thread;
    CHECK_INT(0, pthread_create(&thread, NULL, close_it, &closer));
    if (modes[i] != RF_CLOSE_WAIT) {
      for (int n = 0; n < 10; n++) ERROR_OF(RF_ERROR_CANCELLED, waiting[n]);
    }
    if (modes[i] == RF_CLOSE_ABORT) {
      ERROR_OF(RF_ERROR_ABORTED, slow);
    } else {
      sleep_ms(50);
      CHECK(!LOAD(closer.is_closed));
      gate_open(gate);
      RESPONSE(slow);
    }
    CHECK_INT(0, pthread_join(thread, NULL));
    for (int n = 0; n < 10; n++) {
      if (modes[i] == RF_CLOSE_WAIT) RESPONSE(waiting[n]);
      rf_future_free(waiting[n]);
    }
    rf_future_free(slow);
    rf_session_free(session);
    if (modes[i] == RF_CLOSE_ABORT) gate_open(gate);
  }
}

/* Workers stay for what was put aside, and leave when that is over. */
static void shutting_an_executor_down(void) {
  for (int cancel = 0; cancel < 2; cancel++) {
    rf_executor *executor = NULL;
    CHECK_OK(rf_executor_new_threads(3, &executor));
    rf_config *config = NULL;
    CHECK_OK(rf_config_new(&config));
    CHECK_OK(rf_config_set_executor(config, executor));
    CHECK_OK(rf_config_set_pool_maxsize(config, 1));
    CHECK_OK(rf_config_set_pool_block(config, true));
    rf_session *session = session_of(config);
    const char *gate = unique("shutdown");
    rf_future *slow = occupy(session, gate), *waiting[5];
    for (int n = 0; n < 5; n++) waiting[n] = get(session, http("/hello"), NULL);
    sleep_ms(50);
    CHECK_OK(rf_executor_shutdown(executor, false, cancel));
    gate_open(gate);
    CHECK_OK(rf_executor_shutdown(executor, true, cancel));
    CHECK(rf_future_done(slow));
    for (int n = 0; n < 5; n++) {
      CHECK(rf_future_done(waiting[n]));
      if (cancel) ERROR_OF(RF_ERROR_CANCELLED, waiting[n]);
      if (!cancel) RESPONSE(waiting[n]);
      rf_future_free(waiting[n]);
    }
    rf_future_free(slow);
    rf_session_free(session);
    rf_executor_free(executor);
  }
}

/* The base of a session may be closed before: who waits goes on all the same. */
static void closing_the_base(void) {
  rf_session *base = session_with(2, 1), *derived = NULL;
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_base_session(config, base));
  CHECK_OK(rf_session_new(config, &derived));
  rf_config_free(config);
  const char *gate = unique("base");
  rf_future *slow = occupy(derived, gate), *waiting = get(derived, http("/hello"), NULL);
  sleep_ms(30);
  CHECK_OK(rf_session_close(base, RF_CLOSE_WAIT));
  release(slow, gate);
  RESPONSE(waiting);
  rf_future_free(waiting);
  rf_session_free(derived);
  rf_session_free(base);
}

/* ---- what can never end ---- */

typedef struct nested {
  rf_session *session;
  int status;
} nested;

static rf_status ask_again(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response;
  nested *nested = user_data;
  rf_future *future = get(nested->session, http("/hello"), NULL);
  const rf_response *answer = NULL;
  nested->status = rf_future_result(future, RF_FOREVER, &answer);
  if (nested->status != RF_OK) rf_future_abort(future);
  rf_future_free(future);
  return RF_OK;
}

static rf_status ask_before(rf_prepared *prepared, void *user_data) {
  (void)prepared;
  return ask_again(NULL, NULL, user_data);
}

/* A function that waits for a request whose place its own request has is told, on threads of the library's and on the
   program's own. */
static void waiting_for_ones_own_place_is_a_deadlock(void) {
  for (int own = 0; own < 2; own++) {
    for (int before = 0; before < 2; before++) {
      rf_config *config = NULL;
      CHECK_OK(rf_config_new(&config));
      rf_executor *executor = NULL;
      rf_executor_ops ops = {.size = sizeof ops, .submit = run_on_a_thread};
      if (own) CHECK_OK(rf_executor_new_custom(&ops, NULL, NULL, &executor));
      if (!own) CHECK_OK(rf_executor_new_threads(4, &executor));
      CHECK_OK(rf_config_set_executor(config, executor));
      CHECK_OK(rf_config_set_pool_maxsize(config, 1));
      CHECK_OK(rf_config_set_pool_block(config, true));
      nested nested = {session_of(config), -100};
      rf_options *options = new_options();
      CHECK_OK(rf_options_set_stream(options, true)); /* a hook of one that was read has no place any more */
      if (before) CHECK_OK(rf_options_add_request_hook(options, ask_before, &nested, NULL));
      if (!before) CHECK_OK(rf_options_add_hook(options, ask_again, &nested, NULL));
      rf_future *future = get(nested.session, http("/bytes/100000"), options);
      RESPONSE(future);
      CHECK_STATUS(RF_E_DEADLOCK, nested.status);
      rf_future_free(future);
      /* With a second place there is a way. */
      rf_options_free(options);
      CHECK_OK(rf_session_close(nested.session, RF_CLOSE_WAIT));
      rf_session_free(nested.session);
      rf_executor_free(executor);
    }
  }
  nested nested = {session_with(4, 2), -100};
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_request_hook(options, ask_before, &nested, NULL));
  rf_future *future = get(nested.session, http("/hello"), options);
  RESPONSE(future);
  CHECK_STATUS(RF_OK, nested.status);
  rf_future_free(future);
  rf_options_free(options);
  CHECK_OK(rf_session_close(nested.session, RF_CLOSE_WAIT));
  rf_session_free(nested.session);
}

/* ---- from inside of a request that was put aside ---- */

typedef struct inside {
  rf_session *session;
  int mode, is_over;
} inside;

static void close_in_callback(rf_future *future, void *user_data) {
  inside *inside = user_data;
  (void)future;
  CHECK_OK(rf_session_close(inside->session, inside->mode));
  __atomic_store_n(&inside->is_over, 1, __ATOMIC_SEQ_CST);
}

/* The callback closes the session: of one that got its place, was late, was cancelled, was aborted. */
static void a_callback_closes_the_session(void) {
  for (int mode = 0; mode < 2; mode++) {
    for (int how = 0; how < 4; how++) {
      inside inside = {session_with(2, 1), mode == 0 ? RF_CLOSE_WAIT : RF_CLOSE_ABORT, 0};
      rf_options *stream = new_options(), *options = new_options();
      CHECK_OK(rf_options_set_stream(stream, true));
      if (how == 1) CHECK_OK(rf_options_set_deadline(options, 100));
      rf_future *holder = get(inside.session, http("/bytes/100000"), stream);
      RESPONSE(holder);
      const char *url = how == 3 ? elsewhere(text("/redirect-to?url=%s", http("/hello"))) : http("/hello");
      rf_future *waiting = get(inside.session, url, options);
      CHECK_OK(rf_future_add_done_callback(waiting, close_in_callback, &inside, NULL));
      if (how == 3) EVENTUALLY(rf_future_running(waiting));
      sleep_ms(20);
      if (how == 0) rf_future_free(holder);
      if (how == 2) CHECK(rf_future_cancel(waiting));
      if (how == 3) CHECK(rf_future_abort(waiting));
      EVENTUALLY(LOAD(inside.is_over));
      CHECK(rf_future_done(waiting));
      if (how != 0) rf_future_free(holder);
      rf_future_free(waiting);
      rf_options_free(stream);
      rf_options_free(options);
      rf_session_free(inside.session);
    }
  }
}

static rf_status submit_and_close(rf_prepared *prepared, void *user_data) {
  inside *inside = user_data;
  (void)prepared;
  rf_future *behind = get(inside->session, http("/hello"), NULL);
  rf_future_free(behind);
  sleep_ms(50);
  CHECK_OK(rf_session_close(inside->session, RF_CLOSE_WAIT));
  __atomic_store_n(&inside->is_over, 1, __ATOMIC_SEQ_CST);
  return RF_OK;
}

/* An abort of the session ends a request that was put aside; its callback closes the session as well, while others are
   held back that the first close has yet to cancel. */
static void a_callback_closes_what_is_being_closed(void) {
  for (int round = 0; round < 10; round++) {
    inside inside = {session_with(2, 1), RF_CLOSE_WAIT, 0};
    rf_options *stream = new_options();
    CHECK_OK(rf_options_set_stream(stream, true));
    rf_future *holder = get(inside.session, http("/bytes/100000"), stream), *waiting[6];
    RESPONSE(holder);
    for (int i = 0; i < 6; i++) {
      const char *url = i % 2 ? elsewhere(text("/redirect-to?url=%s", http("/hello"))) : http("/hello");
      waiting[i] = get(inside.session, url, NULL);
      CHECK_OK(rf_future_add_done_callback(waiting[i], close_in_callback, &inside, NULL));
    }
    sleep_ms(round * 3);
    CHECK_OK(rf_session_close(inside.session, RF_CLOSE_ABORT));
    for (int i = 0; i < 6; i++) {
      CHECK(rf_future_done(waiting[i]));
      rf_future_free(waiting[i]);
    }
    CHECK(LOAD(inside.is_over));
    rf_future_free(holder);
    rf_options_free(stream);
    rf_session_free(inside.session);
  }
}

/* A close does not wait for what waits for the place of the request that closes. */
static void a_hook_closes_while_others_wait_for_its_place(void) {
  inside inside = {session_with(3, 1), RF_CLOSE_WAIT, 0};
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_request_hook(options, submit_and_close, &inside, NULL));
  rf_session *defaults = inside.session;
  rf_future *future = get(defaults, http("/hello"), options);
  RESPONSE(future);
  CHECK(LOAD(inside.is_over));
  rf_future_free(future);
  rf_options_free(options);
  CHECK_OK(rf_session_close(inside.session, RF_CLOSE_WAIT));
  rf_session_free(inside.session);
}

/* The place is there, but no worker is free: the deadline and an abort end it all the same, and the place goes on. */
static void it_is_ended_after_its_place_has_come(void) {
  for (int late = 0; late < 2; late++) {
    rf_session *session = session_with(1, 1);
    rf_options *stream = new_options(), *options = new_options();
    CHECK_OK(rf_options_set_stream(stream, true));
    CHECK_OK(rf_options_set_deadline(options, late ? 300 : LONG_MS));
    rf_future *holder = get(session, http("/bytes/100000"), stream);
    RESPONSE(holder);
    rf_future *waiting = get(session, elsewhere(text("/redirect-to?url=%s", http("/hello"))), options);
    EVENTUALLY(rf_future_running(waiting));
    sleep_ms(30);
    const char *gate = unique("busy");
    rf_future *busy = get(session, elsewhere(text("/gate/%s", gate)), NULL);
    gate_wait(gate, 1);
    rf_future_free(holder);
    sleep_ms(20);
    int64_t start = now_ms();
    if (!late) CHECK(rf_future_abort(waiting));
    ERROR_OF(late ? RF_ERROR_TIMEOUT : RF_ERROR_ABORTED, waiting);
    CHECK_RANGE(0, (late ? 350 : 50) * patience(), now_ms() - start);
    gate_open(gate);
    RESPONSE(busy);
    rf_future *next = get(session, http("/hello"), NULL);
    RESPONSE(next);
    rf_future_free(next);
    rf_future_free(busy);
    rf_future_free(waiting);
    rf_options_free(stream);
    rf_options_free(options);
    rf_session_free(session);
  }
}

static rf_future *at_its_second_hop;
static int hook_is_in;

static rf_status wait_for_it(rf_hook_call *call, const rf_response *response, void *status) {
  (void)call, (void)response;
  const rf_response *answer = NULL;
  __atomic_store_n(&hook_is_in, 1, __ATOMIC_SEQ_CST);
  *(int *)status = rf_future_result(at_its_second_hop, RF_FOREVER, &answer);
  return RF_OK;
}

/* The only worker waits for a request that was put aside, and that would need this worker. */
static void nobody_is_left_to_go_on(void) {
  rf_session *session = session_with(1, 1);
  int status = -100;
  rf_options *stream = new_options(), *options = new_options();
  CHECK_OK(rf_options_set_stream(stream, true));
  CHECK_OK(rf_options_add_hook(options, wait_for_it, &status, NULL));
  rf_future *holder = get(session, http("/bytes/100000"), stream);
  RESPONSE(holder);
  at_its_second_hop = get(session, elsewhere(text("/redirect-to?url=%s", http("/hello"))), NULL);
  EVENTUALLY(rf_future_running(at_its_second_hop));
  sleep_ms(30);
  rf_future *future = get(session, elsewhere("/hello"), options);
  EVENTUALLY(LOAD(hook_is_in));
  rf_future_free(holder);
  RESPONSE(future);
  CHECK_STATUS(RF_E_DEADLOCK, status);
  RESPONSE(at_its_second_hop);
  rf_future_free(at_its_second_hop);
  rf_future_free(future);
  rf_options_free(stream);
  rf_options_free(options);
  rf_session_free(session);
}

static void wait_in_callback(rf_future *future, void *user_data) {
  const rf_response *answer = NULL;
  (void)future;
  int status = rf_future_result(user_data, LONG_MS, &answer);
  CHECK_STATUS(RF_OK, status);
  INCREMENT(hook_is_in);
}

/* A stream is in the hands of its reader, not of the thread that calls its callbacks. */
static void a_callback_may_wait_for_the_place_of_a_stream(void) {
  rf_session *session = session_with(2, 1);
  rf_options *stream = new_options();
  const char *gate = unique("callback");
  CHECK_OK(rf_options_set_stream(stream, true));
  rf_future *first = get(session, gate_url(gate), stream);
  gate_wait(gate, 1);
  rf_future *next = get(session, http("/hello"), NULL);
  hook_is_in = 0;
  CHECK_OK(rf_future_add_done_callback(first, wait_in_callback, next, NULL));
  gate_open(gate);
  const rf_response *response = RESPONSE(first);
  sleep_ms(100);
  rf_response_content(response, NULL);
  EVENTUALLY(LOAD(hook_is_in));
  rf_future_free(first);
  rf_future_free(next);
  rf_options_free(stream);
  rf_session_free(session);
}

typedef struct awaiting {
  rf_future *awaited;
  int is_in;
} awaiting;

static rf_status await_in_hook(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response;
  awaiting *awaiting = user_data;
  const rf_response *answer = NULL;
  INCREMENT(awaiting->is_in);
  CHECK_OK(rf_future_result(awaiting->awaited, RF_FOREVER, &answer));
  return RF_OK;
}

/* All workers wait, but one of them for what is over, though it has not heard of it yet: that is no deadlock. */
static void who_was_let_go_of_is_in_nobodys_way(void) {
  for (int round = 0; round < 20; round++) {
    rf_session *session = session_with(2, 2);
    rf_options *options = new_options();
    const char *gate = unique("let-go");
    awaiting awaiting = {get(session, gate_url(gate), NULL), 0};
    gate_wait(gate, 1);
    CHECK_OK(rf_options_add_hook(options, await_in_hook, &awaiting, NULL));
    rf_future *waiting = get(session, http("/hello"), options);
    EVENTUALLY(LOAD(awaiting.is_in));
    sleep_ms(20);
    rf_future *next = get(session, http("/hello"), NULL);
    hook_is_in = 0;
    CHECK_OK(rf_future_add_done_callback(awaiting.awaited, wait_in_callback, next, NULL));
    gate_open(gate);
    RESPONSE(waiting);
    RESPONSE(next);
    EVENTUALLY(LOAD(hook_is_in));
    rf_options_free(options);
    rf_session_free(session);
    rf_future_free(awaiting.awaited);
    rf_future_free(waiting);
    rf_future_free(next);
  }
}

/* Tasks that are run in submit, one inside of the other: the inner one fails, where it would wait for the outer one. */
static void a_task_inside_of_a_task(void) {
  rf_config *config = NULL;
  rf_executor *executor = NULL;
  rf_executor_ops ops = {.size = sizeof ops, .submit = run_here};
  CHECK_OK(rf_executor_new_custom(&ops, NULL, NULL, &executor));
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_executor(config, executor));
  CHECK_OK(rf_config_set_pool_maxsize(config, 1));
  CHECK_OK(rf_config_set_pool_block(config, true));
  nested nested = {session_of(config), -100};
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_request_hook(options, ask_before, &nested, NULL));
  rf_future *future = get(nested.session, http("/hello"), options);
  RESPONSE(future);
  CHECK_STATUS(RF_FAILED, nested.status);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(nested.session);
  rf_executor_free(executor);
}

/* ---- the line, and its places ---- */

/* The sixth finds its kept connection gone. It is sent again within its turn. */
static void note_but_hang_up_once(wire_connection *connection, void *user_data) {
  order *order = user_data;
  while (wire_next(connection)) {
    const char *number = strstr(connection->request, "/n");
    int seen = number != NULL ? atoi(number + 2) : -1;
    if (seen == 5 && order->count == 5) {
      order->count++;
      return;
    }
    order->seen[order->count++ % 64] = seen;
    wire_answer(connection, "200 OK", "", "noted");
  }
}

static void what_is_sent_again_keeps_its_turn(void) {
  static order order;
  wire *server = wire_start(note_but_hang_up_once, &order);
  rf_session *session = session_with(1, 1);
  rf_future *futures[20];
  for (int i = 0; i < 20; i++) futures[i] = get(session, wire_url(server, text("/n%d", i)), NULL);
  for (int i = 0; i < 20; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  CHECK_INT(21, order.count);
  for (int i = 6; i < 21; i++) CHECK_INT(i - 1, order.seen[i]);
  rf_session_free(session);
  wire_stop(server);
}

/* Digest: the answer to the challenge goes out by the same connection, before others that wait. */
static void the_answer_to_a_challenge_keeps_its_turn(void) {
  rf_session *session = session_with(2, 1);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_auth_digest(options, "u", "p"));
  rf_future *futures[10];
  for (int i = 0; i < 10; i++) futures[i] = get(session, http("/digest-auth/auth/u/p"), options);
  for (int i = 0; i < 10; i++) {
    CHECK_INT(200, rf_response_status_code(RESPONSE(futures[i])));
    rf_future_free(futures[i]);
  }
  rf_options_free(options);
  rf_session_free(session);
}

/* Whether those that came before this connection are closed. Their threads need not have seen it yet. */
static bool those_before_are_closed(const wire_connection *connection) {
  wire *server = connection->server;
  bool closed = true;
  pthread_mutex_lock(&server->lock);
  for (int i = 0; i < connection->number; i++) closed &= wire_is_closed(server->connections[i]);
  pthread_mutex_unlock(&server->lock);
  return closed;
}

static void say_much(wire_connection *connection, void *user_data) {
  if (wire_next(connection)) {
    EVENTUALLY(those_before_are_closed(connection));
    wire_say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegun");
  }
  char byte;
  while (recv(connection->fd, &byte, 1, 0) > 0) {}
  (void)user_data;
}

static void there_are_never_more_connections_than_places(void) {
  wire *server = wire_start(say_much, NULL);
  rf_session *session = session_with(2, 1);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_stream(options, true));
  rf_future *holder = get(session, wire_url(server, "/"), options);
  RESPONSE(holder);
  for (int i = 0; i < 200; i++) {
    rf_future *next = get(session, wire_url(server, "/"), options);
    if (i % 2) sleep_ms(1);
    rf_future_free(holder);
    RESPONSE(next);
    holder = next;
  }
  CHECK_INT(201, wire_connections(server));
  rf_future_free(holder);
  rf_options_free(options);
  rf_session_free(session);
  wire_stop(server);
}

/* Shut down with cancel while workers are putting requests aside: none is missed. */
static void shutting_down_in_between(void) {
  for (int round = 0; round < 100; round++) {
    rf_executor *executor = NULL;
    CHECK_OK(rf_executor_new_threads(3, &executor));
    rf_config *config = NULL;
    CHECK_OK(rf_config_new(&config));
    CHECK_OK(rf_config_set_executor(config, executor));
    CHECK_OK(rf_config_set_pool_maxsize(config, 1));
    CHECK_OK(rf_config_set_pool_block(config, true));
    rf_session *session = session_of(config);
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_stream(options, true));
    rf_future *holder = get(session, http("/bytes/100000"), options), *waiting[20];
    RESPONSE(holder);
    for (int i = 0; i < 20; i++) waiting[i] = get(session, http("/hello"), NULL);
    for (volatile int spin = 0; spin < round * 300; spin++) {}
    CHECK_OK(rf_executor_shutdown(executor, true, true));
    for (int i = 0; i < 20; i++) {
      ERROR_OF(RF_ERROR_CANCELLED, waiting[i]);
      rf_future_free(waiting[i]);
    }
    rf_future_free(holder);
    rf_options_free(options);
    rf_session_free(session);
    rf_executor_free(executor);
  }
}

/* ---- all at random ---- */

static rf_session *crowded;
static int ended, kept, aborted;

static void count_end(rf_future *future, void *user_data) {
  (void)user_data;
  const rf_response *response = NULL;
  rf_status status = rf_future_result(future, 0, &response);
  INCREMENT(ended);
  if (status == RF_OK) INCREMENT(kept);
  if (status != RF_OK) INCREMENT(aborted);
}

static void *submit_many(void *seed) {
  unsigned state = (unsigned)(uintptr_t)seed;
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 20));
  for (int i = 0; i < 200; i++) {
    state = state * 1103515245u + 12345u;
    unsigned what = (state >> 16) % 8;
    const char *url = what % 2 ? http("/hello") : elsewhere("/redirect-to?url=/hello");
    rf_future *future = get(crowded, url, what == 7 ? options : NULL);
    CHECK_OK(rf_future_add_done_callback(future, count_end, NULL, NULL));
    if (what == 6) rf_future_cancel(future);
    if (what == 5) sleep_ms(1);
    if (what >= 4) rf_future_abort(future);
    rf_future_free(future);
  }
  rf_options_free(options);
  return NULL;
}

static void everything_at_once(void) {
  crowded = session_with(4, 1);
  pthread_t all[4];
  for (int i = 0; i < 4; i++) CHECK_INT(0, pthread_create(&all[i], NULL, submit_many, (void *)(uintptr_t)(i + 1)));
  for (int i = 0; i < 4; i++) CHECK_INT(0, pthread_join(all[i], NULL));
  CHECK_OK(rf_session_close(crowded, RF_CLOSE_WAIT));
  CHECK_INT(800, ended);
  CHECK_INT(800, kept + aborted);
  CHECK(kept > 300);
  rf_session_free(crowded);
}

int main(void) {
  others_run_meanwhile();
  first_in_first_out();
  a_stream_has_its_place();
  each_hop_waits_for_itself();
  it_is_ended_at_once();
  a_running_one_is_aborted_and_late();
  closing_a_session();
  shutting_an_executor_down();
  closing_the_base();
  waiting_for_ones_own_place_is_a_deadlock();
  a_callback_closes_the_session();
  a_callback_closes_what_is_being_closed();
  a_hook_closes_while_others_wait_for_its_place();
  it_is_ended_after_its_place_has_come();
  nobody_is_left_to_go_on();
  who_was_let_go_of_is_in_nobodys_way();
  a_callback_may_wait_for_the_place_of_a_stream();
  a_task_inside_of_a_task();
  what_is_sent_again_keeps_its_turn();
  the_answer_to_a_challenge_keeps_its_turn();
  there_are_never_more_connections_than_places();
  shutting_down_in_between();
  everything_at_once();
  return finish();
}
