/* The header in C: compiled as C99, C11 and C17, with every warning an error. Something of each part is used. */
#include <requests_futures.h>
#include <requests_futures.h> /* twice is fine */

#include <stdio.h>
#include <string.h>

static void done(rf_future *future, void *user_data) {
  (void)future;
  *(int *)user_data += 1;
}

static rf_status hook(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)user_data;
  return response != NULL ? RF_OK : rf_hook_fail(call, "no response");
}

static rf_status background(rf_hook_call *call, rf_session *session, const rf_response *response, void *user_data) {
  (void)call, (void)session, (void)response, (void)user_data;
  return RF_OK;
}

static int64_t read_nothing(uint8_t *buffer, size_t capacity, void *user_data) {
  (void)buffer, (void)capacity, (void)user_data;
  return 0;
}

static rf_status rewind_nothing(void *user_data) {
  (void)user_data;
  return RF_OK;
}

static rf_status write_nothing(const uint8_t *data, size_t length, void *user_data) {
  (void)data, (void)length, (void)user_data;
  return RF_OK;
}

static rf_status progress(int64_t sent, int64_t send_total, int64_t received, int64_t receive_total,
                          void *user_data) {
  (void)sent, (void)send_total, (void)received, (void)receive_total, (void)user_data;
  return RF_OK;
}

static void drop(void *user_data) { (void)user_data; }

int main(void) {
  /* Constants. */
  enum { ALL = RF_OK + RF_TIMEOUT + RF_END + RF_E_STATE + RF_ERROR_REQUEST + RF_ALL_COMPLETED + RF_CLOSE_ABORT };
  const int64_t forever = RF_FOREVER;
  char version[64];
  snprintf(version, sizeof version, "%d.%d.%d", RF_VERSION_MAJOR, RF_VERSION_MINOR, RF_VERSION_PATCH);
  if (strcmp(version, rf_version()) != 0 || strcmp(RF_VERSION, rf_version()) != 0) return 1;
  if (ALL == 0 || forever != -1) return 2;
  if (RF_ERROR_CANCELLED != 100 || RF_ERROR_JSON_DECODE != 22 || RF_ERROR_BODY_TOO_LARGE != 106) return 3;
  if (RF_JSON_NULL != 0 || RF_JSON_OBJECT != 5 || RF_FIRST_COMPLETED != 1 || RF_CLOSE_WAIT != 0) return 4;

  /* Executors, configurations, sessions. */
  rf_executor *executor = NULL;
  rf_config *config = NULL;
  rf_session *session = NULL;
  if (rf_executor_new_threads(1, &executor) != RF_OK) return 5;
  if (rf_config_new(&config) != RF_OK || rf_config_set_executor(config, executor) != RF_OK) return 6;
  if (rf_session_new(config, &session) != RF_OK) return 7;

  /* Options, with a function of every type. */
  rf_options *options = NULL;
  if (rf_options_new(&options) != RF_OK) return 8;
  if (rf_options_add_hook(options, hook, NULL, drop) != RF_OK) return 9;
  if (rf_options_set_background_callback(options, background, NULL, drop) != RF_OK) return 10;
  if (rf_options_set_body_reader(options, read_nothing, rewind_nothing, 0, NULL, drop) != RF_OK) return 11;
  if (rf_options_set_output(options, write_nothing, NULL, drop) != RF_OK) return 12;
  if (rf_options_set_progress(options, progress, NULL, drop) != RF_OK) return 13;
  if (rf_options_set_timeout(options, RF_FOREVER, 1000) != RF_OK) return 14;

  /* Futures: this one cannot succeed. */
  rf_future *future = NULL;
  const rf_response *response = NULL;
  const rf_error *error = NULL;
  bool finished[1] = {false};
  if (rf_session_get(session, "no-scheme", options, &future) != RF_OK) return 15;
  if (rf_wait(&future, 1, RF_FOREVER, RF_ALL_COMPLETED, finished) != RF_OK || !finished[0]) return 16;
  int called = 0;
  if (rf_future_add_done_callback(future, done, &called, NULL) != RF_OK || called != 1) return 17;
  if (rf_future_result(future, 0, &response) != RF_FAILED || response != NULL) return 18;
  if (rf_future_exception(future, 0, &error) != RF_OK) return 19;
  if (!rf_error_is(error, RF_ERROR_REQUEST) || rf_error_kind_of(error) != RF_ERROR_MISSING_SCHEMA) return 20;
  rf_completed *completed = NULL;
  size_t index = 1;
  if (rf_as_completed(&future, 1, &completed) != RF_OK) return 21;
  if (rf_completed_next(completed, 0, NULL, &index) != RF_OK || index != 0) return 22;

  /* Responses, cookies, JSON. */
  rf_response *made = NULL;
  rf_cookies *cookies = NULL;
  rf_cookie cookie;
  const rf_json *json = NULL;
  if (rf_response_new(200, "application/json", "[1]", 3, &made) != RF_OK) return 23;
  if (rf_response_json(made, &json, &error) != RF_OK || rf_json_kind_of(json) != RF_JSON_ARRAY) return 24;
  if (rf_response_cookies(made, &cookies) != RF_OK || rf_cookies_count(cookies) != 0) return 25;
  if (rf_cookies_at(cookies, 0, &cookie) != RF_E_INVALID || cookie.name != NULL) return 26;

  rf_cookies_free(cookies);
  rf_response_free(made);
  rf_completed_free(completed);
  rf_future_free(future);
  rf_options_free(options);
  if (rf_session_close(session, RF_CLOSE_WAIT) != RF_OK) return 27;
  if (rf_executor_shutdown(executor, true, false) != RF_OK) return 28;
  rf_session_free(session);
  rf_config_free(config);
  rf_executor_free(executor);
  return 0;
}
