/* Event loops: many requests on one thread, functions of the test's on others, and callbacks that take their time. */
#include "event_loop.h"

enum { CALLBACKS = 4 };

/* ---- how many ---- */

static void numbers(void) {
  rf_executor *executor = NULL;
  BAD_OUT(executor, rf_executor_new_events(0, 4, &executor));
  BAD_OUT(executor, rf_executor_new_events(4, 0, &executor));
  BAD_OUT(executor, rf_executor_new_events(0, 0, &executor));
  NO(rf_executor_new_events(4, 4, NULL));
  executor = new_events(123, 4);
  CHECK_INT(123, rf_executor_max_workers(executor));
  rf_session *session = session_on(executor);
  CHECK_INT(123, rf_session_max_workers(session));
  rf_session_free(session);
  rf_executor_free(executor); /* that never did anything */
  CHECK_INT(1, threads());

  /* There is no number that is too large. */
  session = session_on_events(SIZE_MAX, SIZE_MAX);
  others_go_on(session, 10);
  rf_session_free(session);
}

static void no_more_at_once_than_were_asked_for(size_t max_requests, int count) {
  rf_session *session = session_on_events(max_requests, 1);
  const char *gate = unique("most"), *key = unique("peak");
  crowd crowd;
  crowd_begin(&crowd, session, http(text("/gate/%s?key=%s", gate, key)), NULL, count);
  gate_wait(gate, (int64_t)max_requests);
  sleep_ms(50); /* one too many would come now */
  CHECK_INT(max_requests, ask(http(text("/gate-waiting/%s", gate)), "/waiting"));
  gate_open(gate);
  crowd_succeeds(&crowd);
  CHECK_INT(max_requests, ask(http(text("/peak?of=%s", key)), "/peak"));
  rf_session_free(session);
}

static void in_order(void) {
  enum { COUNT = 30 };
  rf_session *session = session_on_events(1, 1);
  const char *gate = unique("order");
  rf_future *held = get(session, gate_url(gate), NULL), *futures[COUNT];
  gate_wait(gate, 1);
  /* The higher priority first, and first in, first out among equals. */
  static const int priorities[] = {0, -1, 5, 0, 7, -1};
  int expected[COUNT], at = 0;
  rf_options *options = new_options();
  for (int i = 0; i < COUNT; i++) {
    CHECK_OK(rf_options_set_priority(options, priorities[i % 6]));
    futures[i] = get(session, http("/hello"), options);
  }
  static const int order[] = {7, 5, 0, -1};
  for (int p = 0; p < 4; p++) {
    for (int i = 0; i < COUNT; i++) {
      if (priorities[i % 6] == order[p]) expected[at++] = i;
    }
  }
  rf_completed *completed = NULL;
  CHECK_OK(rf_as_completed(futures, COUNT, &completed));
  gate_open(gate);
  for (int i = 0; i < COUNT; i++) {
    size_t index = COUNT;
    CHECK_OK(rf_completed_next(completed, LONG_MS, NULL, &index));
    CHECK_INT(expected[i], index);
  }
  rf_completed_free(completed);
  for (int i = 0; i < COUNT; i++) rf_future_free(futures[i]);
  RESPONSE(held);
  rf_future_free(held);
  rf_options_free(options);
  rf_session_free(session);
}

static void a_thousand_at_once(void) {
  rf_session *session = session_on_events(2 * MANY, 4);
  const char *gate = unique("thousand");
  crowd crowd;
  crowd_begin(&crowd, session, gate_url(gate), NULL, MANY);
  gate_wait(gate, MANY);
  /* This one, the one that has the loop, one that watches it while it calls something, and the timer. */
  CHECK_RANGE(2, 4, threads());
  gate_open(gate);
  crowd_succeeds(&crowd);
  CHECK_RANGE(2, 4, threads());
  rf_session_free(session);
}

/* ---- done callbacks that take their time ---- */

static void no_more_callbacks_than_threads(int callbacks, size_t workers) {
  door door = DOOR;
  rf_session *session = session_on_events(MANY, workers);
  rf_future *futures[16];
  const char *gate = unique("sleeps");
  void pass(rf_future *, void *);
  for (int i = 0; i < callbacks; i++) {
    futures[i] = get(session, gate_url(gate), NULL);
    CHECK_OK(rf_future_add_done_callback(futures[i], pass, &door, NULL));
  }
  gate_open(gate);
  int most = (int)workers + 2;
  if (callbacks < most) {
    /* One thread is left for the loop. */
    EVENTUALLY(door_inside(&door) == callbacks);
    others_go_on(session, MANY);
    CHECK_INT(callbacks, door_inside(&door));
  } else {
    EVENTUALLY(door_inside(&door) == most);
  }
  CHECK_RANGE(2, most + 2, threads());
  door_open(&door);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  CHECK_INT(callbacks, door.passed);
  for (int i = 0; i < callbacks; i++) rf_future_free(futures[i]);
  rf_session_free(session);
}

void pass(rf_future *future, void *user_data) {
  CHECK(rf_future_done(future));
  door_pass(user_data);
}

typedef struct waits {
  rf_session *session, *other;
  rf_future *later;
  int over, ran;
} waits;

static void count(rf_future *future, void *user_data) {
  (void)future;
  INCREMENT(*(int *)user_data);
}

static void closes_its_own(rf_future *future, void *user_data) {
  waits *its = user_data;
  (void)future;
  CHECK_OK(rf_session_close(its->session, RF_CLOSE_WAIT));
  CHECK_INT(MANY, LOAD(its->over));
  INCREMENT(its->ran);
}
static void closes_another(rf_future *future, void *user_data) {
  waits *its = user_data;
  (void)future;
  CHECK_OK(rf_session_close(its->other, RF_CLOSE_WAIT));
  CHECK_INT(MANY, LOAD(its->over));
  INCREMENT(its->ran);
}
static void waits_for_a_later_one(rf_future *future, void *user_data) {
  waits *its = user_data;
  (void)future;
  /* One that it submits itself, and one that others do. */
  rf_future *own = get(its->session, http("/hello"), NULL);
  RESPONSE(own);
  rf_future_free(own);
  EVENTUALLY(LOAD(its->later) != NULL);
  RESPONSE(LOAD(its->later));
  INCREMENT(its->ran);
}
static void waits_for_the_next(rf_future *future, void *user_data) {
  waits *its = user_data;
  rf_completed *completed = NULL;
  size_t index = 9;
  (void)future;
  CHECK_OK(rf_as_completed(NULL, 0, &completed));
  EVENTUALLY(LOAD(its->later) != NULL);
  CHECK_OK(rf_completed_add(completed, LOAD(its->later)));
  CHECK_OK(rf_completed_next(completed, RF_FOREVER, NULL, &index));
  CHECK_INT(0, index);
  CHECK_STATUS(RF_END, rf_completed_next(completed, RF_FOREVER, NULL, NULL));
  rf_completed_free(completed);
  INCREMENT(its->ran);
}
static void sleeps(rf_future *future, void *user_data) {
  waits *its = user_data;
  (void)future;
  int64_t until = now_ms() + 1000;
  while (now_ms() < until) sleep_ms(1);
  INCREMENT(its->ran);
}

/* So many callbacks wait at once, beside a thousand requests that are under way. */
static void callbacks_wait(rf_done_fn callback, int callbacks, size_t workers) {
  rf_executor *executor = new_events(2 * MANY, workers);
  waits its = {session_on(executor), session_on(executor), NULL, 0, 0};
  const char *gate = unique("waits"), *others = unique("others");
  rf_future *futures[CALLBACKS];
  static crowd crowd;
  crowd_begin(&crowd, callback == closes_another ? its.other : its.session, gate_url(others), NULL, MANY);
  for (int i = 0; i < MANY; i++) {
    CHECK_OK(rf_future_add_done_callback(crowd.futures[i], count, &its.over, NULL));
  }
  for (int i = 0; i < callbacks; i++) {
    futures[i] = get(its.session, gate_url(gate), NULL);
    CHECK_OK(rf_future_add_done_callback(futures[i], callback, &its, NULL));
  }
  gate_open(gate);
  for (int i = 0; i < callbacks; i++) RESPONSE(futures[i]);
  gate_wait(others, MANY);
  __atomic_store_n(&its.later, callback == closes_its_own || callback == closes_another
                                   ? NULL
                                   : get(its.session, gate_url(others), NULL),
                   __ATOMIC_SEQ_CST);
  sleep_ms(50);
  CHECK_INT(0, LOAD(its.over));
  if (callback != sleeps) CHECK_INT(0, LOAD(its.ran));
  gate_open(others);
  crowd_succeeds(&crowd);
  CHECK_OK(rf_executor_shutdown(executor, true, false));
  CHECK_INT(MANY, LOAD(its.over));
  CHECK_INT(callbacks, LOAD(its.ran));
  for (int i = 0; i < callbacks; i++) rf_future_free(futures[i]);
  rf_future_free(its.later);
  rf_session_free(its.session);
  rf_session_free(its.other);
  rf_executor_free(executor);
}

/* ---- functions that stand still ---- */

static rf_status pass_in_a_hook(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response;
  door_pass(user_data);
  return RF_OK;
}

static void no_more_functions_than_workers(size_t workers) {
  door door = DOOR;
  rf_session *session = session_on_events(2 * MANY, workers);
  rf_options *options = new_options();
  static crowd hooked;
  CHECK_OK(rf_options_add_hook(options, pass_in_a_hook, &door, NULL));
  crowd_begin(&hooked, session, http("/hello"), options, 50);
  EVENTUALLY(door_inside(&door) == (int)workers);
  others_go_on(session, MANY);
  CHECK_INT(workers, door_inside(&door));
  CHECK_RANGE(2, workers + 4, threads());
  door_open(&door);
  crowd_succeeds(&hooked);
  CHECK_INT(workers, door.most);
  CHECK_INT(50, door.passed);
  rf_options_free(options);
  rf_session_free(session);
}

int main(void) {
  numbers();
  no_more_at_once_than_were_asked_for(1, 5);
  no_more_at_once_than_were_asked_for(7, 40);
  in_order();
  a_thousand_at_once();
  for (int callbacks = 1; callbacks <= 9; callbacks++) no_more_callbacks_than_threads(callbacks, 4);
  no_more_callbacks_than_threads(2, 1);
  static const rf_done_fn waiting[] = {closes_its_own, closes_another, waits_for_a_later_one, waits_for_the_next, sleeps};
  for (int i = 0; i < 5; i++) {
    callbacks_wait(waiting[i], 1, 4);
    callbacks_wait(waiting[i], CALLBACKS, 4);
    callbacks_wait(waiting[i], 2, 1);
  }
  no_more_functions_than_workers(1);
  no_more_functions_than_workers(4);
  return finish();
}
