/* What ends while an adapter of one's own sends, how many send at once, and when it is dropped. */
#include "stub.h"
#include "threads.h"

/* ---- ends ---- */

/* Works until it is stopped, and then for as long as the test wants. */
static rf_status linger(rf_prepared *prepared, stub *stub) {
  while (!rf_prepared_is_stopped(prepared)) sleep_ms(1);
  INCREMENT(stub->stopped);
  while (!__atomic_load_n(&stub->go_on, __ATOMIC_SEQ_CST)) sleep_ms(1);
  return respond(prepared, stub);
}

static void let_go(stub *stub) { __atomic_store_n(&stub->go_on, true, __ATOMIC_SEQ_CST); }

static int called;
static void count_end(rf_future *future, void *unused) {
  (void)future, (void)unused;
  INCREMENT(called);
}

/* The future is over, the function goes on, and what it returns is dropped. */
static void it_is_ended_while_it_sends(void) {
  for (int how = 0; how < 2; how++) {
    stub stub = {.act = linger, .response = made(200, "too late")};
    rf_session *session = mocked(&stub);
    rf_options *options = new_options();
    const int64_t deadline = 150 * patience();
    CHECK_OK(rf_options_set_deadline(options, how == 0 ? deadline : LONG_MS));
    called = 0;
    int64_t start = now_ms();
    rf_future *future = get(session, "mock://a/", options);
    CHECK_OK(rf_future_add_done_callback(future, count_end, NULL, NULL));
    EVENTUALLY(LOAD(stub.inside) == 1);
    if (how == 1) {
      CHECK(!rf_future_cancel(future));
      start = now_ms();
      CHECK(rf_future_abort(future));
    }
    ERROR_OF(how == 0 ? RF_ERROR_TIMEOUT : RF_ERROR_ABORTED, future);
    CHECK_RANGE(0, (how == 0 ? deadline + 50 : 50) + 30 * patience(), now_ms() - start);
    EVENTUALLY(LOAD(called) == 1);
    EVENTUALLY(LOAD(stub.stopped) == 1);
    CHECK_INT(1, LOAD(stub.inside)); /* it is still there */
    let_go(&stub);
    EVENTUALLY(LOAD(stub.inside) == 0);
    ERROR_OF(how == 0 ? RF_ERROR_TIMEOUT : RF_ERROR_ABORTED, future);
    CHECK_INT(1, LOAD(called));
    rf_future_free(future);
    rf_options_free(options);
    over(&stub);
  }
}

/* A close returns when send has returned, whatever its mode, and whether the future was over before. */
static void closing_waits_for_it(void) {
  static const int modes[] = {RF_CLOSE_WAIT, RF_CLOSE_CANCEL_PENDING, RF_CLOSE_ABORT};
  for (int shared = 0; shared < 2; shared++) {
    for (int i = 0; i < 3; i++) {
      stub stub = {.act = linger, .response = made(200, "too late")};
      rf_executor *executor = NULL;
      rf_session *session;
      if (shared) {
        CHECK_OK(rf_executor_new_threads(2, &executor));
        session = stub.session = session_on(executor);
        CHECK_OK(rf_session_mount(session, "mock://", adapter_of(&stub)));
        rf_adapter_free(stub.adapter);
      } else {
        session = mocked(&stub);
      }
      rf_future *future = get(session, "mock://a/", NULL);
      EVENTUALLY(LOAD(stub.inside) == 1);
      if (modes[i] != RF_CLOSE_ABORT) {
        CHECK(rf_future_abort(future));
        ERROR_OF(RF_ERROR_ABORTED, future);
      }
      closer closer = {session, modes[i], 0};
      pthread_t thread;
      int64_t start = now_ms();
      CHECK_INT(0, pthread_create(&thread, NULL, close_it, &closer));
      ERROR_OF(RF_ERROR_ABORTED, future);
      CHECK_RANGE(0, 50 + 30 * patience(), now_ms() - start);
      sleep_ms(100);
      CHECK(!LOAD(closer.is_closed));
      let_go(&stub);
      CHECK_INT(0, pthread_join(thread, NULL));
      CHECK_INT(1, LOAD(stub.returned));
      rf_future_free(future);
      over(&stub);
      rf_executor_free(executor);
    }
  }
}

static rf_status close_inside(rf_prepared *prepared, stub *stub) {
  CHECK_OK(rf_session_close(rf_prepared_session(prepared), stub->mode));
  return respond(prepared, stub);
}

/* But not for the one that it is called from. */
static void closing_from_inside(void) {
  static const int modes[] = {RF_CLOSE_WAIT, RF_CLOSE_CANCEL_PENDING, RF_CLOSE_ABORT};
  for (int i = 0; i < 3; i++) {
    stub stub = {.act = close_inside, .response = made(200, "closed"), .mode = modes[i]};
    rf_session *session = mocked(&stub);
    rf_future *future = get(session, "mock://a/", NULL);
    const rf_error *error = NULL;
    CHECK_OK(rf_future_exception(future, LONG_MS, &error));
    if (modes[i] == RF_CLOSE_ABORT) {
      CHECK_INT(RF_ERROR_ABORTED, rf_error_kind_of(error));
    } else {
      CHECK_STR("closed", rf_response_text(RESPONSE(future), NULL));
    }
    rf_future_free(future);
    over(&stub);
  }
}

/* Time-outs of the network do not apply. */
static rf_status take_a_while(rf_prepared *prepared, stub *stub) {
  sleep_ms(300);
  return respond(prepared, stub);
}

static void timeouts_do_not_apply(void) {
  stub stub = {.act = take_a_while, .response = made(200, "slowly")};
  rf_session *session = mocked(&stub);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_timeout(options, 50, 50));
  rf_future *future = get(session, "mock://a/", options);
  CHECK_STR("slowly", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  rf_options_free(options);
  over(&stub);
}

/* ---- many at once; other executors ---- */

static rf_status meet(rf_prepared *prepared, stub *stub) {
  EVENTUALLY(LOAD(stub->most) >= 4); /* until all workers are in it */
  return respond(prepared, stub);
}

static void many_at_once(void) {
  stub stub = {.act = meet, .response = made(200, "together")};
  rf_session *session = mocked_workers(&stub, 4);
  rf_future *futures[20];
  for (int i = 0; i < 20; i++) futures[i] = get(session, "mock://one-host/", NULL);
  for (int i = 0; i < 20; i++) {
    RESPONSE(futures[i]);
    rf_future_free(futures[i]);
  }
  CHECK_INT(4, stub.most);
  over(&stub);
}

static void on_other_executors(void) {
  stub stub = {.act = respond, .response = made(200, "here")};
  rf_session *session = session_run_by(run_here);
  CHECK_OK(rf_session_mount(session, "mock://", adapter_of(&stub)));
  rf_future *future = get(session, "mock://a/", NULL);
  CHECK(rf_future_done(future));
  CHECK_STR("here", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);

  /* With user data it does not travel. Others do, from the same session. */
  pool pool = new_pool(1);
  CHECK_OK(rf_session_mount(pool.session, "mock://", stub.adapter));
  future = get(pool.session, "mock://a/", NULL);
  ERROR_OF(RF_ERROR_NOT_TRANSFERABLE, future);
  rf_future_free(future);
  future = get(pool.session, http("/hello"), NULL);
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  CHECK_INT(1, stub.calls);
  end_pool(pool);
  rf_adapter_free(stub.adapter);
  stub.session = session;
  over(&stub);
}

/* Its drop function runs when handle, mounts and requests are gone, in any order. */
static void it_is_dropped_with_its_last_use(void) {
  for (int order = 0; order < 3; order++) {
    stub stub = {.act = linger, .response = made(200, "dropped")};
    rf_session *session = new_session_workers(2);
    CHECK_OK(rf_session_mount(session, "mock://", adapter_of(&stub)));
    CHECK_OK(rf_session_mount(session, "mock2://a", stub.adapter));
    rf_future *future = get(session, "mock://a/", NULL);
    EVENTUALLY(LOAD(stub.inside) == 1);
    for (int step = 0; step < 3; step++) {
      sleep_ms(10);
      CHECK_INT(0, LOAD(stub.drops));
      switch ((order + step) % 3) {
        case 0: rf_adapter_free(stub.adapter); break;
        case 1:
          CHECK_OK(rf_session_mount(session, "mock://", NULL));
          CHECK_OK(rf_session_mount(session, "mock2://a", NULL));
          break;
        case 2:
          CHECK(rf_future_abort(future));
          rf_future_free(future);
          sleep_ms(10);
          CHECK_INT(0, LOAD(stub.drops)); /* send has not returned */
          let_go(&stub);
          EVENTUALLY(LOAD(stub.inside) == 0);
          break;
      }
    }
    EVENTUALLY(LOAD(stub.drops) == 1);
    stub.session = session;
    over(&stub);
  }
}

int main(void) {
  it_is_ended_while_it_sends();
  closing_waits_for_it();
  closing_from_inside();
  timeouts_do_not_apply();
  many_at_once();
  on_other_executors();
  it_is_dropped_with_its_last_use();
  return finish();
}
