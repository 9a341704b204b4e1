/* A resolver that waits: for what waits for it, which is RF_E_DEADLOCK, and for what does not. */
#include "check.h"

#include <pthread.h>

/* What the function does for each name. */
typedef struct plan plan;
typedef struct step {
  const char *host;
  rf_status (*does)(plan *plan, struct step *step);
  rf_future *awaited; /* waited for until it is set */
  rf_session *session;
  rf_executor *executor;
  rf_status status;
  int asked;
} step;

struct plan {
  step steps[8];
  int together; /* so many have to be inside before one goes on */
  int inside;
};

static rf_status look_up(rf_lookup *lookup, const char *host, uint16_t port, void *user_data) {
  plan *plan = user_data;
  (void)port;
  CHECK_OK(rf_lookup_add(lookup, "127.0.0.1"));
  for (size_t i = 0; i < sizeof plan->steps / sizeof *plan->steps; i++) {
    step *step = &plan->steps[i];
    if (step->host == NULL || strcmp(step->host, host) != 0) continue;
    /* A request that comes when the call is over is another call, of which nobody asks. */
    bool is_first = __atomic_fetch_add(&step->asked, 1, __ATOMIC_SEQ_CST) == 0;
    INCREMENT(plan->inside);
    EVENTUALLY(LOAD(plan->inside) >= plan->together);
    rf_status status = step->does(plan, step);
    if (is_first) step->status = status;
  }
  return RF_OK;
}

static rf_future *awaited(step *step) {
  EVENTUALLY(LOAD(step->awaited) != NULL);
  return LOAD(step->awaited);
}

static void await(step *step, rf_future *future) { __atomic_store_n(&step->awaited, future, __ATOMIC_SEQ_CST); }

static rf_status waits(plan *plan, step *step) {
  const rf_response *response = NULL;
  (void)plan;
  return rf_future_result(awaited(step), RF_FOREVER, &response);
}

static rf_status waits_for_all(plan *plan, step *step) {
  rf_future *futures[] = {awaited(step)};
  bool done[1];
  (void)plan;
  return rf_wait(futures, 1, RF_FOREVER, RF_ALL_COMPLETED, done);
}

static rf_status waits_for_the_next(plan *plan, step *step) {
  rf_completed *queue = NULL;
  rf_future *next = NULL, *only = awaited(step);
  (void)plan;
  CHECK_OK(rf_as_completed(&only, 1, &queue));
  rf_status status = rf_completed_next(queue, RF_FOREVER, &next, NULL);
  rf_completed_free(queue);
  return status;
}

static rf_session *session_asking(rf_executor *executor, plan *plan) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_executor(config, executor));
  CHECK_OK(rf_config_set_resolver(config, look_up, plan, NULL));
  return session_of(config);
}

static const char *url_of(const char *host) { return text("http://%s:%s/get", host, env("RF_TEST_HTTP_PORT")); }

/* On so many threads, or on an event loop with so many requests at once. */
static rf_executor *new_executor(bool events, size_t requests) {
  rf_executor *executor = NULL;
  CHECK_OK(events ? rf_executor_new_events(requests, 4, &executor) : rf_executor_new_threads(requests, &executor));
  return executor;
}

static void end(rf_session *session, rf_executor *executor) {
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
  rf_executor_shutdown(executor, true, false);
  rf_executor_free(executor);
}

static void for_the_request_that_it_resolves_for(bool events) {
  static rf_status (*const ways[])(plan *, step *) = {waits, waits_for_all, waits_for_the_next};
  for (size_t i = 0; i < 3; i++) {
    rf_executor *executor = new_executor(events, 2);
    plan plan = {.steps = {{.host = "own.thing", .does = ways[i]}}};
    rf_session *session = session_asking(executor, &plan);
    /* Of two that share the call, both wait for it. */
    rf_future *first = get(session, url_of("own.thing"), NULL), *second = get(session, url_of("own.thing"), NULL);
    await(&plan.steps[0], i == 1 ? second : first);
    RESPONSE(first);
    RESPONSE(second);
    CHECK_STATUS(RF_E_DEADLOCK, plan.steps[0].status);
    rf_future_free(first);
    rf_future_free(second);
    end(session, executor);
  }
  /* That has a limit of its own. */
  rf_executor *executor = new_executor(events, 2);
  plan plan = {.steps = {{.host = "limited.thing", .does = waits}}};
  rf_session *session = session_asking(executor, &plan);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_timeout(options, 300, RF_FOREVER));
  rf_future *future = get(session, url_of("limited.thing"), options);
  await(&plan.steps[0], future);
  ERROR_OF(RF_ERROR_CONNECT_TIMEOUT, future);
  rf_options_free(options);
  end(session, executor);
  CHECK_STATUS(RF_FAILED, plan.steps[0].status);
  rf_future_free(future);
}

static rf_status asks_for_more(plan *plan, step *step) {
  (void)plan;
  await(step, get(step->session, url_of("more.thing"), NULL));
  return waits(plan, step);
}

/* One that nobody is left for, as long as the function has not returned; and one that somebody is left for. */
static void for_one_that_is_pending(bool events) {
  for (int room = 0; room < 2; room++) {
    rf_executor *executor = new_executor(events, 2 + (size_t)room);
    plan plan = {.steps = {{.host = "asks.thing", .does = asks_for_more}, {.host = "other.thing", .does = asks_for_more}}};
    plan.together = 2;
    rf_session *session = session_asking(executor, &plan);
    plan.steps[0].session = plan.steps[1].session = session;
    rf_future *first = get(session, url_of("asks.thing"), NULL), *second = get(session, url_of("other.thing"), NULL);
    RESPONSE(first);
    RESPONSE(second);
    int deadlocks = 0;
    for (int i = 0; i < 2; i++) {
      rf_future *more = awaited(&plan.steps[i]);
      RESPONSE(more);
      rf_future_free(more);
      deadlocks += plan.steps[i].status == RF_E_DEADLOCK;
      CHECK(plan.steps[i].status == RF_E_DEADLOCK || plan.steps[i].status == RF_OK);
    }
    if (room) CHECK_INT(0, deadlocks);
    if (!room) CHECK(deadlocks >= 1);
    rf_future_free(first);
    rf_future_free(second);
    end(session, executor);
  }
}

/* One after the other, where there is one place alone. */
static void for_one_behind_its_own(bool events) {
  rf_executor *executor = new_executor(events, 1);
  plan plan = {.steps = {{.host = "asks.thing", .does = asks_for_more}}};
  rf_session *session = session_asking(executor, &plan);
  plan.steps[0].session = session;
  rf_future *future = get(session, url_of("asks.thing"), NULL);
  RESPONSE(future);
  CHECK_STATUS(RF_E_DEADLOCK, plan.steps[0].status);
  RESPONSE(awaited(&plan.steps[0]));
  rf_future_free(plan.steps[0].awaited);
  rf_future_free(future);
  end(session, executor);
}

static void each_for_what_waits_for_the_other(bool events) {
  rf_executor *executor = new_executor(events, 2);
  plan plan = {.steps = {{.host = "one.thing", .does = waits}, {.host = "two.thing", .does = waits}}};
  rf_session *session = session_asking(executor, &plan);
  rf_future *one = get(session, url_of("one.thing"), NULL), *two = get(session, url_of("two.thing"), NULL);
  await(&plan.steps[0], two);
  await(&plan.steps[1], one);
  RESPONSE(one);
  RESPONSE(two);
  int deadlocks = 0;
  for (int i = 0; i < 2; i++) {
    deadlocks += plan.steps[i].status == RF_E_DEADLOCK;
    CHECK(plan.steps[i].status == RF_E_DEADLOCK || plan.steps[i].status == RF_OK);
  }
  CHECK(deadlocks >= 1);
  rf_future_free(one);
  rf_future_free(two);
  end(session, executor);
}

typedef struct waiting_hook {
  rf_future *future;
  rf_status status;
} waiting_hook;

static rf_status waits_in_a_hook(rf_hook_call *call, const rf_response *response, void *user_data) {
  waiting_hook *hook = user_data;
  (void)call;
  EVENTUALLY(LOAD(hook->future) != NULL);
  hook->status = rf_future_result(hook->future, RF_FOREVER, &response);
  return RF_OK;
}

/* A hook waits for a request whose resolver waits for the hook's. */
static void in_a_circle_with_a_hook(bool events) {
  rf_executor *executor = new_executor(events, 2);
  plan plan = {.steps = {{.host = "circle.thing", .does = waits}}};
  rf_session *session = session_asking(executor, &plan);
  waiting_hook hook = {NULL, RF_OK};
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, waits_in_a_hook, &hook, NULL));
  rf_future *hooked = get(session, http("/get"), options), *resolved = get(session, url_of("circle.thing"), NULL);
  __atomic_store_n(&hook.future, resolved, __ATOMIC_SEQ_CST);
  await(&plan.steps[0], hooked);
  RESPONSE(hooked);
  RESPONSE(resolved);
  CHECK((hook.status == RF_E_DEADLOCK) + (plan.steps[0].status == RF_E_DEADLOCK) >= 1);
  rf_future_free(hooked);
  rf_future_free(resolved);
  rf_options_free(options);
  end(session, executor);
}

static rf_status asks_elsewhere(plan *plan, step *step) {
  (void)plan;
  rf_future *future = get(step->session, http("/slow-headers?ms=100"), NULL);
  const rf_response *response = NULL;
  rf_status status = rf_future_result(future, RF_FOREVER, &response);
  rf_future_free(future);
  return status;
}

/* What it waits for has others to run it: as long as that takes, nothing is stuck, whoever else waits. */
static void for_a_session_of_another_executor(bool events) {
  rf_executor *executor = new_executor(events, 1), *other = new_executor(events, 1);
  rf_session *asked = session_on(other);
  plan plan = {.steps = {{.host = "token.thing", .does = asks_elsewhere}}};
  plan.steps[0].session = asked;
  rf_session *session = session_asking(executor, &plan);
  rf_future *future = get(session, url_of("token.thing"), NULL);
  RESPONSE(future);
  CHECK_STATUS(RF_OK, plan.steps[0].status);
  rf_future_free(future);
  end(session, executor);
  end(asked, other);
}

static rf_status asks_here(plan *plan, step *step) {
  (void)plan;
  rf_future *future = NULL;
  if (LOAD(step->asked) > 1) return RF_OK;
  CHECK_OK(rf_session_get(step->session, url_of("here.thing"), NULL, &future));
  const rf_error *error = ERROR_OF(RF_ERROR_CONNECTION, future);
  CHECK_HAS("Failed to resolve 'here.thing' (its resolver waits for itself)", rf_error_message(error));
  rf_future_free(future);
  return RF_OK;
}

/* An executor that carries out at once what it is given, on the thread of the function. */
static void for_one_that_runs_inside_of_it(void) {
  rf_executor_ops ops = {.size = sizeof ops, .submit = run_here};
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_custom(&ops, NULL, NULL, &executor));
  plan plan = {.steps = {{.host = "here.thing", .does = asks_here}}};
  rf_session *session = session_asking(executor, &plan);
  plan.steps[0].session = session;
  rf_future *future = get(session, url_of("here.thing"), NULL);
  RESPONSE(future);
  CHECK_INT(1, LOAD(plan.steps[0].asked));
  rf_future_free(future);
  end(session, executor);
}

static rf_status closes(plan *plan, step *step) {
  (void)plan;
  return rf_session_close(step->session, RF_CLOSE_WAIT);
}

static rf_status shuts_down(plan *plan, step *step) {
  (void)plan;
  return rf_executor_shutdown(step->executor, true, false);
}

static void several_may_close_what_asks_them(bool events) {
  rf_executor *executor = new_executor(events, 4);
  plan plan = {.steps = {{.host = "a.thing", .does = closes},
                         {.host = "b.thing", .does = closes},
                         {.host = "c.thing", .does = shuts_down},
                         {.host = "d.thing", .does = shuts_down}}};
  plan.together = 4;
  rf_session *session = session_asking(executor, &plan);
  rf_future *futures[4];
  for (int i = 0; i < 4; i++) {
    plan.steps[i].session = session;
    plan.steps[i].executor = executor;
    futures[i] = get(session, url_of(plan.steps[i].host), NULL);
  }
  for (int i = 0; i < 4; i++) {
    RESPONSE(futures[i]);
    CHECK_OK(plan.steps[i].status);
    rf_future_free(futures[i]);
  }
  end(session, executor);
}

int main(void) {
#ifdef __SANITIZE_THREAD__
  const int kinds = 1; /* it does not know of fibers */
#else
  const int kinds = 2;
#endif
  for (int events = 0; events < kinds; events++) {
    for_the_request_that_it_resolves_for(events);
    for_one_that_is_pending(events);
    for_one_behind_its_own(events);
    each_for_what_waits_for_the_other(events);
    in_a_circle_with_a_hook(events);
    for_a_session_of_another_executor(events);
    several_may_close_what_asks_them(events);
  }
  for_one_that_runs_inside_of_it();
  return finish();
}
