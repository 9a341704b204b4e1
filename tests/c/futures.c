/* Futures: their states, their outcomes, cancelling, callbacks, handles. */
#include "check.h"

#include <pthread.h>

/* What callbacks saw. */
typedef struct seen {
  pthread_mutex_t lock;
  char order[64]; /* a letter for every call */
  int drops;
  pthread_t thread;
  bool done;
  rf_status status;
} seen;

typedef struct letter {
  seen *to;
  char name;
} letter;

static seen *new_seen(void) {
  seen *made = calloc(1, sizeof *made);
  CHECK(made != NULL);
  pthread_mutex_init(&made->lock, NULL);
  return made;
}

static void note(rf_future *future, void *user_data) {
  letter *mine = user_data;
  const rf_response *response;
  pthread_mutex_lock(&mine->to->lock);
  size_t length = strlen(mine->to->order);
  CHECK(length + 1 < sizeof mine->to->order);
  mine->to->order[length] = mine->name;
  mine->to->thread = pthread_self();
  mine->to->done = rf_future_done(future);
  mine->to->status = rf_future_result(future, 0, &response);
  pthread_mutex_unlock(&mine->to->lock);
}

static void note_drop(void *user_data) {
  letter *mine = user_data;
  pthread_mutex_lock(&mine->to->lock);
  mine->to->drops++;
  pthread_mutex_unlock(&mine->to->lock);
  free(mine);
}

static void add(rf_future *future, seen *to, char name) {
  letter *mine = malloc(sizeof *mine);
  CHECK(mine != NULL);
  mine->to = to;
  mine->name = name;
  CHECK_OK(rf_future_add_done_callback(future, note, mine, note_drop));
}

static int drops_of(seen *of) {
  pthread_mutex_lock(&of->lock);
  int drops = of->drops;
  pthread_mutex_unlock(&of->lock);
  return drops;
}

static void free_seen(seen *of) {
  pthread_mutex_destroy(&of->lock);
  free(of);
}

/* Pending behind a slow one, running, finished. */
static void states(void) {
  rf_session *session = new_session_workers(1);
  const char *gate = unique("states");
  rf_future *slow = get(session, gate_url(gate), NULL);
  rf_future *queued = get(session, http("/hello"), NULL);
  const rf_response *response = (void *)session;
  const rf_error *error = (void *)session;

  gate_wait(gate, 1);
  CHECK(rf_future_running(slow));
  CHECK(!rf_future_done(slow));
  CHECK(!rf_future_cancelled(slow));
  CHECK(!rf_future_cancel(slow)); /* it runs */
  CHECK(!rf_future_running(queued));
  CHECK(!rf_future_done(queued));
  CHECK(!rf_future_cancelled(queued));

  /* A wait that ends first leaves the future as it was. */
  CHECK_STATUS(RF_TIMEOUT, rf_future_result(slow, 0, &response));
  CHECK_NULL(response);
  CHECK_STATUS(RF_TIMEOUT, rf_future_exception(slow, 0, &error));
  CHECK_NULL(error);
  int64_t start = now_ms();
  CHECK_STATUS(RF_TIMEOUT, rf_future_result(queued, 50, &response));
  CHECK_RANGE(49, 1000 * patience(), now_ms() - start);
  start = now_ms();
  CHECK_STATUS(RF_TIMEOUT, rf_future_exception(slow, 50, &error));
  CHECK_RANGE(49, 1000 * patience(), now_ms() - start);
  CHECK(rf_future_running(slow));

  gate_open(gate);
  CHECK_INT(200, rf_response_status_code(RESPONSE(slow)));
  CHECK_OK(rf_future_exception(slow, 0, &error));
  CHECK_NULL(error);
  CHECK(rf_future_done(slow));
  CHECK(!rf_future_running(slow));
  CHECK(!rf_future_cancelled(slow));
  CHECK(!rf_future_cancel(slow));
  CHECK(!rf_future_abort(slow));
  CHECK_INT(200, rf_response_status_code(RESPONSE(queued)));

  /* The same response each time, and without a wait from now on. */
  const rf_response *again = NULL;
  CHECK_OK(rf_future_result(slow, 0, &response));
  CHECK_OK(rf_future_result(slow, RF_FOREVER, &again));
  CHECK(response == again);
  rf_future_free(slow);
  rf_future_free(queued);
  rf_session_free(session);
}

static void a_failure_is_the_outcome(void) {
  rf_session *session = new_session();
  rf_future *future = get(session, env("RF_TEST_CLOSED"), NULL);
  const rf_error *error = ERROR_OF(RF_ERROR_CONNECTION, future), *again = NULL;
  const rf_response *response;
  CHECK_OK(rf_future_exception(future, RF_FOREVER, &again));
  CHECK(error == again);
  CHECK_STATUS(RF_FAILED, rf_future_result(future, RF_FOREVER, &response));
  CHECK(rf_future_done(future));
  CHECK(!rf_future_cancelled(future));
  CHECK(!rf_future_cancel(future));
  rf_future_free(future);
  rf_session_free(session);
}

static void cancelling(void) {
  rf_session *session = new_session_workers(1);
  const char *gate = unique("cancel"), *key = unique("cancel-key");
  seen *calls = new_seen();
  rf_future *slow = get(session, gate_url(gate), NULL);
  rf_future *queued = get(session, http(text("/hello?key=%s", key)), NULL);
  rf_future *other = get(session, http("/hello"), NULL);
  gate_wait(gate, 1);

  add(queued, calls, 'a');
  add(queued, calls, 'b');
  CHECK_STR("", calls->order);
  CHECK(rf_future_cancel(queued));
  /* The callbacks ran in this thread, in order, and are done with. */
  CHECK_STR("ab", calls->order);
  CHECK(pthread_equal(pthread_self(), calls->thread));
  CHECK(calls->done);
  CHECK_STATUS(RF_CANCELLED, calls->status);
  CHECK_INT(2, calls->drops);
  CHECK(rf_future_cancelled(queued));
  CHECK(rf_future_done(queued));
  CHECK(!rf_future_running(queued));

  /* Once more is true again, and calls nothing again. */
  CHECK(rf_future_cancel(queued));
  CHECK_STR("ab", calls->order);
  CHECK(!rf_future_abort(queued) || rf_future_cancelled(queued));

  const rf_error *error = ERROR_OF(RF_ERROR_CANCELLED, queued);
  CHECK(rf_error_message(error) != NULL);
  const rf_response *response = (void *)session;
  CHECK_STATUS(RF_CANCELLED, rf_future_result(queued, RF_FOREVER, &response));
  CHECK_NULL(response);

  add(queued, calls, 'c'); /* at once */
  CHECK_STR("abc", calls->order);
  CHECK_INT(3, calls->drops);

  gate_open(gate);
  RESPONSE(other); /* it came after the cancelled one, */
  CHECK_INT(0, counted(key)); /* which was never sent */
  CHECK_STR("abc", calls->order);
  rf_future_free(slow);
  rf_future_free(queued);
  rf_future_free(other);
  rf_session_free(session);
  free_seen(calls);
}

static void aborting(void) {
  rf_session *session = new_session_workers(1);
  const char *gate = unique("abort");
  seen *calls = new_seen();
  rf_future *slow = get(session, gate_url(gate), NULL);
  rf_future *queued = get(session, http("/hello"), NULL);
  rf_future *after = get(session, http("/hello"), NULL);
  add(slow, calls, 'r');
  gate_wait(gate, 1);

  /* A pending one is cancelled. */
  CHECK(rf_future_abort(queued));
  CHECK(rf_future_cancelled(queued));
  ERROR_OF(RF_ERROR_CANCELLED, queued);

  int64_t start = now_ms();
  CHECK(rf_future_abort(slow));
  ERROR_OF(RF_ERROR_ABORTED, slow);
  CHECK_RANGE(0, 500 * patience(), now_ms() - start);
  CHECK(rf_future_done(slow));
  CHECK(!rf_future_cancelled(slow));
  CHECK(!rf_future_abort(slow)); /* it had finished */
  EVENTUALLY(drops_of(calls) == 1);
  CHECK_STATUS(RF_FAILED, calls->status);

  CHECK_INT(200, rf_response_status_code(RESPONSE(after))); /* the worker goes on */
  CHECK(!rf_future_abort(after));
  RESPONSE(after);
  gate_open(gate);
  rf_future_free(slow);
  rf_future_free(queued);
  rf_future_free(after);
  rf_session_free(session);
  free_seen(calls);
}

static void callbacks(void) {
  rf_session *session = new_session_workers(1);
  const char *gate = unique("callbacks");
  seen *calls = new_seen();
  rf_future *future = get(session, gate_url(gate), NULL);
  add(future, calls, 'a');
  add(future, calls, 'b');
  add(future, calls, 'c');
  CHECK_STR("", calls->order);
  CHECK_INT(0, drops_of(calls));
  gate_open(gate);
  RESPONSE(future);

  /* On the worker, in the order added, and each drop after its call. */
  EVENTUALLY(drops_of(calls) == 3);
  CHECK_STR("abc", calls->order);
  CHECK(!pthread_equal(pthread_self(), calls->thread));
  CHECK(calls->done);
  CHECK_STATUS(RF_OK, calls->status);

  /* Added afterwards: at once, in the caller. */
  add(future, calls, 'd');
  CHECK_STR("abcd", calls->order);
  CHECK_INT(4, calls->drops);
  CHECK(pthread_equal(pthread_self(), calls->thread));

  rf_future_free(future);
  CHECK_STR("abcd", calls->order);
  CHECK_INT(4, calls->drops);
  rf_session_free(session);
  free_seen(calls);
}

/* Without a drop, with and without user data. */
static int plain_calls;
static void plain(rf_future *future, void *user_data) {
  CHECK(future != NULL);
  CHECK(user_data == NULL || user_data == &plain_calls);
  plain_calls++;
}

static void callbacks_without_a_drop(void) {
  rf_session *session = new_session();
  rf_future *future = get(session, http("/hello"), NULL);
  RESPONSE(future);
  /* Those added before a future is done may still be running when it is. */
  CHECK_OK(rf_future_add_done_callback(future, plain, NULL, NULL));
  CHECK_OK(rf_future_add_done_callback(future, plain, &plain_calls, NULL));
  CHECK_INT(2, plain_calls);
  rf_future_free(future);
  rf_session_free(session);
}

/* Every function may be called from a callback: here one submits, and frees its own future's handle. */
typedef struct chain {
  rf_session *session;
  rf_future *first, *second;
  int dropped;
} chain;

static void chain_next(rf_future *future, void *user_data) {
  chain *links = user_data;
  const rf_response *response;
  CHECK_OK(rf_future_result(future, RF_FOREVER, &response));
  CHECK_OK(rf_session_get(links->session, http("/get?second=1"), NULL, &links->second));
  rf_future_free(links->first);
  CHECK(rf_future_done(future)); /* the borrowed one is alive as long as this call */
  CHECK_INT(200, rf_response_status_code(response));
}

static void chain_drop(void *user_data) { INCREMENT(((chain *)user_data)->dropped); }

static void a_callback_may_call_everything(void) {
  chain links = {new_session_workers(1), NULL, NULL, 0};
  const char *gate = unique("chain");
  links.first = get(links.session, gate_url(gate), NULL);
  CHECK_OK(rf_future_add_done_callback(links.first, chain_next, &links, chain_drop));
  gate_open(gate);
  EVENTUALLY(LOAD(links.dropped) == 1);
  CHECK_STR("1", json_string(RESPONSE(links.second), "/args/second"));
  rf_future_free(links.second);
  rf_session_free(links.session);
}

static void user_data(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  int one = 1, two = 2;

  rf_future *future = get(session, http("/hello"), NULL);
  CHECK_NULL(rf_future_user_data(future));
  CHECK_OK(rf_future_set_user_data(future, &one));
  CHECK(rf_future_user_data(future) == &one);
  rf_future *clone = NULL;
  CHECK_OK(rf_future_clone(future, &clone));
  CHECK_OK(rf_future_set_user_data(clone, &two));
  CHECK(rf_future_user_data(future) == &two); /* one future, two handles */
  rf_future_free(clone);
  rf_future_free(future);

  CHECK_OK(rf_options_set_user_data(options, &one));
  future = get(session, http("/hello"), options);
  CHECK(rf_future_user_data(future) == &one);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

static void handles(void) {
  rf_session *session = new_session();
  const char *gate = unique("handles"), *key = unique("handles-key");
  rf_future *future = get(session, gate_url(gate), NULL), *clone = NULL;
  CHECK_OK(rf_future_clone(future, &clone));
  CHECK(clone != NULL);
  rf_future_free(future); /* neither cancels nor waits */
  CHECK(!rf_future_done(clone));
  gate_open(gate);
  const rf_response *response = RESPONSE(clone);
  CHECK_INT(200, rf_response_status_code(response));

  /* A response has handles of its own, which outlive the future and the session. */
  rf_response *kept = NULL;
  CHECK_OK(rf_response_clone(response, &kept));
  rf_future_free(clone);

  /* The last handle goes before the request has run: it runs all the same. */
  const char *late = unique("late");
  seen *calls = new_seen();
  future = get(session, gate_url(late), NULL);
  rf_future *counts = get(session, http(text("/hello?key=%s", key)), NULL);
  add(future, calls, 'x');
  rf_future_free(future);
  rf_future_free(counts);
  gate_open(late);
  rf_session_close(session, RF_CLOSE_WAIT);
  CHECK_STR("x", calls->order);
  CHECK_INT(1, calls->drops);
  rf_session_free(session);
  CHECK_INT(1, counted(key));
  CHECK_INT(200, rf_response_status_code(kept));
  CHECK_HAS("gate", rf_response_text(kept, NULL));
  rf_response_free(kept);
  free_seen(calls);
}

/* Many threads wait for one future; each gets the outcome. */
static void *wait_for(void *argument) {
  CHECK_INT(200, rf_response_status_code(RESPONSE(argument)));
  return NULL;
}

static void many_waiters(void) {
  rf_session *session = new_session();
  const char *gate = unique("waiters");
  rf_future *future = get(session, gate_url(gate), NULL);
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) CHECK(pthread_create(&threads[i], NULL, wait_for, future) == 0);
  gate_wait(gate, 1);
  gate_open(gate);
  for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
  rf_future_free(future);
  rf_session_free(session);
}

int main(void) {
  states();
  a_failure_is_the_outcome();
  cancelling();
  aborting();
  callbacks();
  callbacks_without_a_drop();
  a_callback_may_call_everything();
  user_data();
  handles();
  many_waiters();
  return finish();
}
