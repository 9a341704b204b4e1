/* stub.h - an adapter of the test's own, and what it has seen. */
#ifndef STUB_H
#define STUB_H

#include "arrivals.h"
#include "elsewhere.h"

/* An adapter, what it does, and what it has seen. */
typedef struct stub {
  rf_status (*act)(rf_prepared *prepared, struct stub *stub);
  rf_response *response;
  rf_adapter *adapter, *next;
  rf_session *session;
  int calls, drops, inside, most, returned, stopped, mode, status;
  bool go_on;
  char urls[16][200], methods[16][16];
  unsigned hops[16], attempts[16];
} stub;

static inline rf_status stub_send(rf_prepared *prepared, void *user_data) {
  stub *stub = user_data;
  int at = __atomic_fetch_add(&stub->calls, 1, __ATOMIC_SEQ_CST);
  int inside = __atomic_add_fetch(&stub->inside, 1, __ATOMIC_SEQ_CST), most = LOAD(stub->most);
  while (inside > most && !__atomic_compare_exchange_n(&stub->most, &most, inside, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
  }
  if (at < 16) {
    snprintf(stub->urls[at], sizeof stub->urls[at], "%s", rf_prepared_url(prepared));
    snprintf(stub->methods[at], sizeof stub->methods[at], "%s", rf_prepared_method(prepared));
    stub->hops[at] = rf_prepared_hop(prepared);
    stub->attempts[at] = rf_prepared_attempt(prepared);
  }
  rf_status status = stub->act(prepared, stub);
  __atomic_sub_fetch(&stub->inside, 1, __ATOMIC_SEQ_CST);
  INCREMENT(stub->returned);
  return status;
}

static inline void stub_drop(void *user_data) { INCREMENT(((stub *)user_data)->drops); }

static inline rf_status respond(rf_prepared *prepared, stub *stub) { return rf_prepared_respond(prepared, stub->response); }

static inline rf_adapter *adapter_of(stub *stub) {
  rf_adapter_ops ops = {sizeof ops, stub_send};
  CHECK_OK(rf_adapter_new_custom(&ops, stub, stub_drop, &stub->adapter));
  CHECK(stub->adapter != NULL);
  memset(&ops, 0, sizeof ops); /* they are copied */
  return stub->adapter;
}

/* A session that has it below "mock://", and nothing else that refers to it. */
static inline rf_session *mocked_workers(stub *stub, size_t workers) {
  rf_session *session = new_session_workers(workers);
  CHECK_OK(rf_session_mount(session, "mock://", adapter_of(stub)));
  rf_adapter_free(stub->adapter);
  stub->session = session;
  return session;
}
static inline rf_session *mocked(stub *stub) { return mocked_workers(stub, 4); }

/* Nothing refers to it any more: its drop function runs, once. */
static inline void over(stub *stub) {
  rf_session_free(stub->session);
  EVENTUALLY(LOAD(stub->drops) == 1);
  CHECK_INT(stub->calls, LOAD(stub->returned));
  if (stub->response != NULL) rf_response_free(stub->response);
}

static inline rf_response *made(int status, const char *body) {
  rf_response *response = NULL;
  CHECK_OK(rf_response_new(status, body != NULL ? "text/plain" : NULL, body, body != NULL ? strlen(body) : 0, &response));
  return response;
}

static inline rf_response *made_with(int status, const char *body, const char *name, const char *value) {
  rf_response *response = made(status, body);
  CHECK_OK(rf_response_add_header(response, name, value));
  return response;
}

/* Tried again so many times, after 5xx as well. */
static inline rf_options *tried(uint32_t times) {
  rf_options *options = new_options();
  rf_retry *retry = NULL;
  CHECK_OK(rf_retry_new(times, &retry));
  CHECK_OK(rf_retry_add_status(retry, 500, 599));
  CHECK_OK(rf_options_set_retry(options, retry));
  rf_retry_free(retry);
  return options;
}

#endif
