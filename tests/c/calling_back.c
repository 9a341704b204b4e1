/* Callbacks of every kind that call back into the library at the worst moment: nothing waits for itself. And what a
   server leaves on a connection is never the answer to another request. */
#include "check.h"

#include <pthread.h>

static rf_session *session;

/* ---- closing from two callbacks at once, on the session's own pool ---- */

static pthread_barrier_t both;
static int closed, callbacks;

static void close_together(rf_future *future, void *user_data) {
  (void)future, (void)user_data;
  pthread_barrier_wait(&both);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  INCREMENT(closed);
  sleep_ms(100);
  INCREMENT(callbacks);
}

static void two_workers_close_at_once(void) {
  session = new_session_workers(4);
  const char *gate = unique("together");
  rf_future *futures[2];
  CHECK_INT(0, pthread_barrier_init(&both, NULL, 2));
  for (int i = 0; i < 2; i++) {
    futures[i] = get(session, gate_url(gate), NULL);
    CHECK_OK(rf_future_add_done_callback(futures[i], close_together, NULL, NULL));
  }
  gate_wait(gate, 2);
  gate_open(gate);
  EVENTUALLY(LOAD(closed) == 2);
  /* Whoever is outside waits until the callbacks have run to their end. */
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  CHECK_INT(2, LOAD(callbacks));
  for (int i = 0; i < 2; i++) rf_future_free(futures[i]);
  rf_session_free(session);
  pthread_barrier_destroy(&both);
}

/* ---- closing from drop functions ---- */

static int dropped;

static rf_status hook(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response, (void)user_data;
  return RF_OK;
}

static void drop_closes(void *user_data) {
  CHECK_OK(rf_session_close(user_data, RF_CLOSE_CANCEL_PENDING));
  INCREMENT(dropped);
}

static void *open_gate(void *gate) {
  sleep_ms(50);
  gate_open(gate);
  return NULL;
}

static void a_drop_function_closes(bool cancel) {
  session = new_session_workers(1);
  const char *gate = unique("drop");
  rf_future *slow = get(session, gate_url(gate), NULL);
  gate_wait(gate, 1);
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, hook, session, drop_closes));
  dropped = 0;
  rf_future *future = get(session, http("/hello"), options);
  rf_options_free(options);
  /* Cancelled, the request goes in this thread; else on its worker. */
  if (!cancel) gate_open(gate);
  else {
    /* The close inside waits for the slow one. */
    pthread_t opener;
    CHECK_INT(0, pthread_create(&opener, NULL, open_gate, (void *)(size_t)gate));
    CHECK(rf_future_cancel(future));
    pthread_join(opener, NULL);
  }
  EVENTUALLY(LOAD(dropped) == 1);
  if (!cancel) RESPONSE(future);
  rf_future_free(slow);
  rf_future_free(future);
  rf_session_free(session);
}

/* ---- asking for the body that is being read ---- */

static rf_response *kept;
static int asked;

static rf_status keep(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)user_data;
  CHECK_OK(rf_response_clone(response, &kept));
  return RF_OK;
}

static rf_status output_asks(const uint8_t *data, size_t length, void *user_data) {
  (void)data, (void)length, (void)user_data;
  rf_response_content(kept, NULL);
  CHECK_OK(rf_response_close(kept));
  INCREMENT(asked);
  return RF_OK;
}

static rf_status progress_closes(int64_t sent, int64_t send_total, int64_t received, int64_t receive_total,
                                 void *user_data) {
  (void)sent, (void)send_total, (void)receive_total, (void)user_data;
  if (received > 0 && kept != NULL) CHECK_OK(rf_response_close(kept));
  return RF_OK;
}

static void a_body_is_closed_by_who_reads_it(void) {
  session = new_session();
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, keep, NULL, NULL));
  CHECK_OK(rf_options_set_output(options, output_asks, NULL, NULL));
  rf_future *future = get(session, http("/bytes/1000000"), options);
  /* Half a body is not passed off as the whole. */
  ERROR_OF(RF_ERROR_STREAM_CONSUMED, future);
  CHECK_INT(1, LOAD(asked));
  rf_future_free(future);
  rf_options_free(options);
  rf_response_free(kept);

  kept = NULL;
  options = new_options();
  CHECK_OK(rf_options_set_stream(options, true));
  CHECK_OK(rf_options_set_progress(options, progress_closes, NULL, NULL));
  future = get(session, http("/stream-bytes/100000000"), options);
  CHECK_OK(rf_response_clone(RESPONSE(future), &kept));
  static uint8_t buffer[65536];
  size_t length = 0;
  rf_status status;
  do {
    status = rf_response_read(kept, buffer, sizeof buffer, &length, NULL);
  } while (status == RF_OK && length > 0);
  CHECK_STATUS(RF_E_STATE, status);
  rf_response_free(kept);
  rf_future_free(future);
  rf_options_free(options);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
}

/* ---- a hook that reads a part of a redirect ---- */

static rf_status read_a_part(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)user_data;
  uint8_t buffer[4];
  size_t length;
  if (rf_response_is_redirect(response)) CHECK_OK(rf_response_read(response, buffer, sizeof buffer, &length, NULL));
  return RF_OK;
}

static void a_hop_gives_its_connection_back(void) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_pool_maxsize(config, 1));
  CHECK_OK(rf_config_set_pool_block(config, true));
  session = session_of(config);
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, read_a_part, NULL, NULL));
  rf_future *future = get(session, http("/redirect-to?url=/hello"), options);
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  rf_options_free(options);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
}

/* ---- over TLS ---- */

static void what_is_left_over_answers_nothing(void) {
  session = new_session();
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  /* Head and body fill the first read to the last byte; what follows was decrypted with them. */
  static char url[8192];
  const char *base = env("RF_TEST_RAW_TLS");
  int used = snprintf(url, sizeof url,
                      "%s/raw?then=keep&bytes=HTTP/1.1%%20200%%20OK%%0D%%0AContent-Length:%%204055%%0D%%0A%%0D%%0A", base);
  memset(url + used, 'x', 4055);
  strcpy(url + used + 4055, "HTTP/1.1%20200%20OK%0D%0AContent-Length:%204%0D%0A%0D%0Aevil");
  rf_future *future = get(session, url, options);
  size_t length = 0;
  rf_response_content(RESPONSE(future), &length);
  CHECK_INT(4055, length);
  rf_future_free(future);
  future = get(session, text("%s/ok", base), options);
  CHECK_STR("ok", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);

  /* Session tickets lie unread while a large body goes out on a new connection: nobody waits for more of them. */
  size_t size = 20 * 1024 * 1024;
  char *data = calloc(1, size);
  CHECK_OK(rf_options_set_body(options, data, size));
  free(data);
  CHECK_OK(rf_options_set_timeout(options, 20000, 20000));
  future = request(session, "POST", text("%s/upload", env("RF_TEST_HTTPS_TLS13")), options);
  CHECK_HAS("20971520", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  rf_options_free(options);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
}

/* ---- a reader that two requests share ---- */

typedef struct source {
  int left, rewinds;
} source;

static int64_t read_source(uint8_t *buffer, size_t capacity, void *user_data) {
  source *self = user_data;
  if (self->left == 0 || capacity == 0) return 0;
  self->left--;
  *buffer = 'a';
  return 1;
}

static rf_status rewind_source(void *user_data) {
  source *self = user_data;
  self->left = 5;
  self->rewinds++;
  return RF_OK;
}

static void a_reader_is_rewound_for_the_second_request(void) {
  session = new_session_workers(2);
  source self = {5, 0};
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_body_reader(options, read_source, rewind_source, -1, &self, NULL));
  for (int i = 0; i < 2; i++) {
    rf_future *future = request(session, "POST", http("/post"), options);
    CHECK_STR("aaaaa", json_string(RESPONSE(future), "/data"));
    rf_future_free(future);
  }
  CHECK_INT(1, self.rewinds);
  self.left = 5;
  CHECK_OK(rf_options_set_body_reader(options, read_source, NULL, -1, &self, NULL));
  rf_future *future = request(session, "POST", http("/post"), options);
  RESPONSE(future);
  rf_future_free(future);
  future = request(session, "POST", http("/post"), options);
  ERROR_OF(RF_ERROR_UNREWINDABLE_BODY, future);
  rf_future_free(future);
  rf_options_free(options);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
}

int main(void) {
  two_workers_close_at_once();
  a_drop_function_closes(false);
  a_drop_function_closes(true);
  a_body_is_closed_by_who_reads_it();
  a_hop_gives_its_connection_back();
  what_is_left_over_answers_nothing();
  a_reader_is_rewound_for_the_second_request();
  return finish();
}
