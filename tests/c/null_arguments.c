/* Every function with NULL in every place of a pointer, with bytes that are not UTF-8 in every string, and with
   numbers out of range: the status that the header's rules say, out-arguments NULL, 0 or false, never a crash, and
   a drop never runs for what was not registered. */
#include <math.h>

#include "wire.h"

static int drops;
static const char *const garbage = "\xff\xfe\x80"; /* not UTF-8 */

static void count_drop(void *user_data) {
  (void)user_data;
  INCREMENT(drops);
}

/* Functions of every type, never to be called. */
static rf_status never_hook(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response, (void)user_data;
  FAIL("called");
  return RF_OK;
}
static int64_t never_read(uint8_t *buffer, size_t capacity, void *user_data) {
  (void)buffer, (void)capacity, (void)user_data;
  FAIL("called");
  return -1;
}
static rf_status never_write(const uint8_t *data, size_t length, void *user_data) {
  (void)data, (void)length, (void)user_data;
  FAIL("called");
  return RF_OK;
}
static rf_status never_resolve(rf_lookup *lookup, const char *host, uint16_t port, void *user_data) {
  (void)lookup, (void)host, (void)port, (void)user_data;
  FAIL("a function that was not taken over was called");
  return RF_OK;
}
static void never_trace(uint64_t id, int kind, const uint8_t *data, size_t length, void *user_data) {
  (void)id, (void)kind, (void)data, (void)length, (void)user_data;
  FAIL("a function that was not taken over was called");
}
static rf_status never_progress(int64_t sent, int64_t send_total, int64_t received, int64_t receive_total,
                                void *user_data) {
  (void)sent, (void)send_total, (void)received, (void)receive_total, (void)user_data;
  FAIL("called");
  return RF_OK;
}
static rf_status never_background(rf_hook_call *call, rf_session *session, const rf_response *response,
                                  void *user_data) {
  (void)call, (void)session, (void)response, (void)user_data;
  FAIL("called");
  return RF_OK;
}

static void the_package(void) {
  CHECK(rf_version() != NULL && *rf_version() != '\0');
  CHECK_STR(RF_VERSION, rf_version());
  CHECK_STR("requests-futures", rf_title());
  CHECK_STR("Apache-2.0", rf_license());
  CHECK(*rf_author() != '\0');
  CHECK_HAS("Copyright", rf_copyright());
  CHECK_OK(rf_set_log(NULL, NULL, NULL));
  CHECK(rf_status_name(RF_OK) != NULL && rf_error_kind_name(RF_ERROR_SSL) != NULL);
  rf_status_name(12345), rf_status_name(-12345);
  rf_error_kind_name(0), rf_error_kind_name(12345), rf_error_kind_name(-1);
}

static void executors(void) {
  rf_executor *executor;
  NO(rf_executor_new_threads(1, NULL));
  NO(rf_executor_new_events(1, 1, NULL));
  BAD_OUT(executor, rf_executor_new_events(0, 1, &executor));
  BAD_OUT(executor, rf_executor_new_events(1, 0, &executor));
  BAD_OUT(executor, rf_executor_new_threads(0, &executor));
  NO(rf_executor_shutdown(NULL, true, true));
  CHECK_INT(0, rf_executor_max_workers(NULL));
  rf_executor_free(NULL);
}

static void configs(void) {
  rf_config *config = NULL;
  rf_executor *executor = NULL;
  rf_session *session = new_session();
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_executor_new_threads(1, &executor));

  NO(rf_config_new(NULL));
  NO(rf_config_set_executor(NULL, executor));
  NO(rf_config_set_executor(config, NULL));
  NO(rf_config_set_max_workers(NULL, 1));
  BAD(rf_config_set_max_workers(config, 0));
  NO(rf_config_set_base_session(NULL, session));
  NO(rf_config_set_base_session(config, NULL));
  NO(rf_config_set_pool_connections(NULL, 1));
  NO(rf_config_set_pool_maxsize(NULL, 1));
  NO(rf_config_set_pool_block(NULL, true));
  NO(rf_config_set_max_queued(NULL, 1));
  NO(rf_config_set_max_per_host(NULL, 1));
  BAD(rf_config_set_max_per_host(config, 0));
  NO(rf_config_set_rate(NULL, 1, 1));
  BAD(rf_config_set_rate(config, 0, 1));
  BAD(rf_config_set_rate(config, -1, 1));
  BAD(rf_config_set_rate(config, NAN, 1));
  BAD(rf_config_set_rate(config, INFINITY, 1));
  BAD(rf_config_set_rate(config, 1, 0));
  NO(rf_config_set_max_retries(NULL, 1));
  NO(rf_config_set_dns_cache(NULL, 1));
  NO(rf_config_set_resolver(NULL, never_resolve, NULL, count_drop));
  NO(rf_config_set_resolver(config, NULL, NULL, count_drop));
  NO(rf_lookup_add(NULL, "127.0.0.1"));
  BAD(rf_config_set_dns_cache(config, -2));
  NO(rf_config_set_idle_timeout(NULL, 1));
  BAD(rf_config_set_idle_timeout(config, 0));
  BAD(rf_config_set_idle_timeout(config, -2));
  rf_config_free(NULL);

  rf_session_free(session);
  rf_executor_free(executor);
  rf_config_free(config);
}

static void sessions(const char *url) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  rf_future *future;
  rf_cookies *cookies;

  NO(rf_session_new(NULL, NULL));
  NO(rf_session_update(NULL, options));
  NO(rf_session_update(session, NULL));

  NO_OUT(future, rf_session_request(NULL, "GET", url, NULL, &future));
  NO_OUT(future, rf_session_request(session, NULL, url, NULL, &future));
  NO_OUT(future, rf_session_request(session, "GET", NULL, NULL, &future));
  NO(rf_session_request(session, "GET", url, NULL, NULL));
  BAD_OUT(future, rf_session_request(session, garbage, url, NULL, &future));
  BAD_OUT(future, rf_session_request(session, "GET", garbage, NULL, &future));

  rf_status (*const verbs[])(rf_session *, const char *, const rf_options *, rf_future **) = {
      rf_session_get, rf_session_options, rf_session_head,  rf_session_post,
      rf_session_put, rf_session_patch,   rf_session_delete};
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
    NO_OUT(future, verbs[i](NULL, url, NULL, &future));
    NO_OUT(future, verbs[i](session, NULL, NULL, &future));
    NO(verbs[i](session, url, NULL, NULL));
    BAD_OUT(future, verbs[i](session, garbage, options, &future));
  }

  NO_OUT(cookies, rf_session_cookies(NULL, &cookies));
  NO(rf_session_cookies(session, NULL));
  NO(rf_session_set_cookie(NULL, url, "a=b"));
  NO(rf_session_set_cookie(session, NULL, "a=b"));
  NO(rf_session_set_cookie(session, url, NULL));
  BAD(rf_session_set_cookie(session, garbage, "a=b"));
  BAD(rf_session_set_cookie(session, url, garbage));
  NO(rf_session_clear_cookies(NULL, NULL, NULL));
  CHECK_OK(rf_session_clear_cookies(session, NULL, NULL));
  BAD(rf_session_clear_cookies(session, garbage, NULL));
  BAD(rf_session_clear_cookies(session, NULL, garbage));
  rf_error *error;
  NO_OUT(error, rf_session_save_cookies(NULL, "file", &error));
  NO_OUT(error, rf_session_save_cookies(session, NULL, &error));
  BAD_OUT(error, rf_session_save_cookies(session, garbage, &error));
  NO_OUT(error, rf_session_load_cookies(NULL, "file", &error));
  NO_OUT(error, rf_session_load_cookies(session, NULL, &error));
  BAD_OUT(error, rf_session_load_cookies(session, garbage, &error));
  CHECK_STATUS(RF_FAILED, rf_session_load_cookies(session, "/no/such/file", NULL));
  rf_error_free(NULL);
  CHECK_INT(0, rf_session_max_workers(NULL));
  NO(rf_session_close(NULL, RF_CLOSE_WAIT));
  BAD(rf_session_close(session, -1));
  BAD(rf_session_close(session, 3));
  future = get(session, url, NULL); /* it is still open */
  RESPONSE(future);
  rf_future_free(future);

  rf_options_free(options);
  rf_session_free(session);
  rf_session_free(NULL);
}

static void options(void) {
  rf_options *options = new_options(), *clone;
  uint8_t byte = 0;

  NO(rf_options_new(NULL));
  NO_OUT(clone, rf_options_clone(NULL, &clone));
  NO(rf_options_clone(options, NULL));
  rf_options_free(NULL);

  NO(rf_options_set_header(NULL, "A", "b"));
  NO(rf_options_set_header(options, NULL, "b"));
  CHECK_OK(rf_options_set_header(options, "A", NULL));
  BAD(rf_options_set_header(options, garbage, "b"));
  BAD(rf_options_set_header(options, "A", garbage));
  NO(rf_options_add_header(NULL, "A", "b"));
  NO(rf_options_add_header(options, NULL, "b"));
  NO(rf_options_add_header(options, "A", NULL));
  BAD(rf_options_add_header(options, garbage, "b"));
  BAD(rf_options_add_header(options, "A", garbage));
  NO(rf_options_add_param(NULL, "a", "b"));
  NO(rf_options_add_param(options, NULL, "b"));
  CHECK_OK(rf_options_add_param(options, "a", NULL));
  BAD(rf_options_add_param(options, garbage, "b"));
  BAD(rf_options_add_param(options, "a", garbage));
  NO(rf_options_set_query(NULL, "a=b"));
  NO(rf_options_set_query(options, NULL));
  BAD(rf_options_set_query(options, garbage));

  NO(rf_options_set_body(NULL, &byte, 1));
  NO(rf_options_set_body(options, NULL, 1));
  NO(rf_options_set_body_borrowed(NULL, &byte, 1, NULL, count_drop));
  NO(rf_options_set_body_borrowed(options, NULL, 1, NULL, count_drop));
  NO(rf_options_set_body_file(NULL, "file"));
  NO(rf_options_set_body_file(options, NULL));
  BAD(rf_options_set_body_file(options, garbage));
  NO(rf_options_set_body_reader(NULL, never_read, NULL, -1, NULL, count_drop));
  NO(rf_options_set_body_reader(options, NULL, NULL, -1, NULL, count_drop));
  BAD(rf_options_set_body_reader(options, never_read, NULL, -2, NULL, count_drop));
  NO(rf_options_set_json(NULL, "{}"));
  NO(rf_options_set_json(options, NULL));
  BAD(rf_options_set_json(options, garbage));
  NO(rf_options_add_form(NULL, "a", "b"));
  NO(rf_options_add_form(options, NULL, "b"));
  NO(rf_options_add_form(options, "a", NULL));
  BAD(rf_options_add_form(options, garbage, "b"));
  BAD(rf_options_add_form(options, "a", garbage));
  NO(rf_options_add_part(NULL, "a", NULL, NULL, &byte, 1));
  NO(rf_options_add_part(options, NULL, NULL, NULL, &byte, 1));
  NO(rf_options_add_part(options, "a", NULL, NULL, NULL, 1));
  BAD(rf_options_add_part(options, garbage, NULL, NULL, &byte, 1));
  BAD(rf_options_add_part(options, "a", garbage, NULL, &byte, 1));
  BAD(rf_options_add_part(options, "a", NULL, garbage, &byte, 1));
  NO(rf_options_add_file(NULL, "a", "file", NULL));
  NO(rf_options_add_file(options, NULL, "file", NULL));
  NO(rf_options_add_file(options, "a", NULL, NULL));
  BAD(rf_options_add_file(options, garbage, "file", NULL));
  BAD(rf_options_add_file(options, "a", garbage, NULL));
  BAD(rf_options_add_file(options, "a", "file", garbage));
  NO(rf_options_add_file_as(NULL, "a", "file", "name", NULL));
  NO(rf_options_add_file_as(options, NULL, "file", "name", NULL));
  NO(rf_options_add_file_as(options, "a", NULL, "name", NULL));
  BAD(rf_options_add_file_as(options, garbage, "file", "name", NULL));
  BAD(rf_options_add_file_as(options, "a", garbage, "name", NULL));
  BAD(rf_options_add_file_as(options, "a", "file", garbage, NULL));
  BAD(rf_options_add_file_as(options, "a", "file", "name", garbage));
  NO(rf_options_add_part_reader(NULL, "a", NULL, NULL, never_read, NULL, -1, NULL, count_drop));
  NO(rf_options_add_part_reader(options, NULL, NULL, NULL, never_read, NULL, -1, NULL, count_drop));
  NO(rf_options_add_part_reader(options, "a", NULL, NULL, NULL, NULL, -1, NULL, count_drop));
  BAD(rf_options_add_part_reader(options, "a", NULL, NULL, never_read, NULL, -2, NULL, count_drop));
  BAD(rf_options_add_part_reader(options, garbage, NULL, NULL, never_read, NULL, -1, NULL, count_drop));
  BAD(rf_options_add_part_reader(options, "a", garbage, NULL, never_read, NULL, -1, NULL, count_drop));
  BAD(rf_options_add_part_reader(options, "a", NULL, garbage, never_read, NULL, -1, NULL, count_drop));

  NO(rf_options_set_cookie(NULL, "a", "b"));
  NO(rf_options_set_cookie(options, NULL, "b"));
  NO(rf_options_set_cookie(options, "a", NULL));
  BAD(rf_options_set_cookie(options, garbage, "b"));
  BAD(rf_options_set_cookie(options, "a", garbage));
  NO(rf_options_set_auth_basic(NULL, "a", "b"));
  NO(rf_options_set_auth_basic(options, NULL, "b"));
  NO(rf_options_set_auth_basic(options, "a", NULL));
  BAD(rf_options_set_auth_basic(options, garbage, "b"));
  BAD(rf_options_set_auth_basic(options, "a", garbage));
  NO(rf_options_set_auth_digest(NULL, "a", "b"));
  NO(rf_options_set_auth_digest(options, NULL, "b"));
  NO(rf_options_set_auth_digest(options, "a", NULL));
  BAD(rf_options_set_auth_digest(options, garbage, "b"));
  BAD(rf_options_set_auth_digest(options, "a", garbage));
  NO(rf_options_set_auth_bearer(NULL, "token"));
  NO(rf_options_set_auth_bearer(options, NULL));
  BAD(rf_options_set_auth_bearer(options, garbage));
  NO(rf_options_set_auth_none(NULL));

  NO(rf_options_set_timeout(NULL, 1, 1));
  BAD(rf_options_set_timeout(options, 0, 1));
  BAD(rf_options_set_timeout(options, 1, 0));
  BAD(rf_options_set_timeout(options, -2, 1));
  BAD(rf_options_set_timeout(options, 1, -2));
  CHECK_OK(rf_options_set_timeout(options, RF_FOREVER, RF_FOREVER));
  NO(rf_options_set_deadline(NULL, 1));
  BAD(rf_options_set_deadline(options, 0));
  BAD(rf_options_set_deadline(options, -2));
  CHECK_OK(rf_options_set_deadline(options, RF_FOREVER));
  NO(rf_options_set_allow_redirects(NULL, true));
  NO(rf_options_set_max_redirects(NULL, 1));
  NO(rf_options_set_proxy(NULL, "http", "http://127.0.0.1:1"));
  NO(rf_options_set_proxy(options, NULL, "http://127.0.0.1:1"));
  CHECK_OK(rf_options_set_proxy(options, "http", NULL));
  BAD(rf_options_set_proxy(options, garbage, "http://127.0.0.1:1"));
  BAD(rf_options_set_proxy(options, "http", garbage));
  NO(rf_options_set_trust_env(NULL, true));
  NO(rf_options_set_verify(NULL, true));
  NO(rf_options_set_ca_bundle(NULL, "file"));
  CHECK_OK(rf_options_set_ca_bundle(options, NULL));
  BAD(rf_options_set_ca_bundle(options, garbage));
  NO(rf_options_set_cert(NULL, "cert", "key"));
  CHECK_OK(rf_options_set_cert(options, NULL, NULL));
  CHECK_OK(rf_options_set_cert(options, "cert", NULL));
  BAD(rf_options_set_cert(options, garbage, NULL));
  BAD(rf_options_set_cert(options, "cert", garbage));
  NO(rf_options_set_cert_pem(NULL, "cert", 4, "key", 3));
  NO(rf_options_set_cert_pem(options, NULL, 4, "key", 3));
  CHECK_OK(rf_options_set_cert_pem(options, "cert", 4, NULL, 3));
  CHECK_OK(rf_options_set_cert_pem(options, NULL, 0, NULL, 0));
  NO(rf_options_set_cert_pkcs12(NULL, "file", "password"));
  BAD(rf_options_set_cert_pkcs12(options, garbage, NULL));
  BAD(rf_options_set_cert_pkcs12(options, "file", garbage));
  CHECK_OK(rf_options_set_cert_pkcs12(options, "file", NULL));
  CHECK_OK(rf_options_set_cert_pkcs12(options, NULL, NULL));
  NO(rf_options_set_key_password(NULL, "password"));
  BAD(rf_options_set_key_password(options, garbage));
  CHECK_OK(rf_options_set_key_password(options, NULL));
  NO(rf_options_set_ca_pem(NULL, "pem", 3));
  NO(rf_options_set_ca_pem(options, NULL, 3));
  CHECK_OK(rf_options_set_ca_pem(options, NULL, 0));
  NO(rf_options_set_tls_versions(NULL, 12, 13));
  BAD(rf_options_set_tls_versions(options, 11, 13));
  CHECK_OK(rf_options_set_tls_versions(options, 0, 0));
  NO(rf_options_set_pinned_keys(NULL, "sha256//AAAA"));
  BAD(rf_options_set_pinned_keys(options, garbage));
  CHECK_OK(rf_options_set_pinned_keys(options, NULL));
  NO(rf_options_set_server_name(NULL, "name"));
  BAD(rf_options_set_server_name(options, garbage));
  CHECK_OK(rf_options_set_server_name(options, NULL));
  NO(rf_options_set_ip_version(NULL, RF_IP_4));
  BAD(rf_options_set_ip_version(options, 5));
  CHECK_OK(rf_options_set_ip_version(options, RF_IP_ANY));
  NO(rf_options_set_http_version(NULL, RF_HTTP_AUTO));
  BAD(rf_options_set_http_version(options, 1));
  CHECK_OK(rf_options_set_http_version(options, RF_HTTP_1_1));
  NO(rf_options_set_local_address(NULL, "lo"));
  BAD(rf_options_set_local_address(options, garbage));
  CHECK_OK(rf_options_set_local_address(options, NULL));
  NO(rf_options_set_keepalive(NULL, 1, 1, 1));
  BAD(rf_options_set_keepalive(options, 0, 1, 1));
  CHECK_OK(rf_options_set_keepalive(options, RF_FOREVER, 0, 0));
  NO(rf_options_set_no_proxy(NULL, "*"));
  BAD(rf_options_set_no_proxy(options, garbage));
  CHECK_OK(rf_options_set_no_proxy(options, NULL));
  NO(rf_options_set_stream(NULL, true));
  NO(rf_options_set_decode(NULL, true));
  NO(rf_options_set_raise_for_status(NULL, true));
  NO(rf_options_set_max_body(NULL, 1));
  NO(rf_options_set_speed_limit(NULL, 1, 1));
  CHECK_OK(rf_options_set_speed_limit(options, 0, 0));
  NO(rf_options_set_low_speed(NULL, 1, 1));
  NO(rf_options_set_low_speed(NULL, 1, 0));
  BAD(rf_options_set_low_speed(options, 1, 0));
  BAD(rf_options_set_low_speed(options, 0, -2));
  CHECK_OK(rf_options_set_low_speed(options, 0, RF_FOREVER));
  NO(rf_options_set_output_file(NULL, "file"));
  NO(rf_options_set_output_file(options, NULL));
  BAD(rf_options_set_output_file(options, garbage));
  NO(rf_options_set_output_fd(NULL, 1));
  BAD(rf_options_set_output_fd(options, -1));
  NO(rf_options_set_output_mode(NULL, RF_OUTPUT_APPEND));
  BAD(rf_options_set_output_mode(options, -1));
  BAD(rf_options_set_output_mode(options, 3));
  NO(rf_options_set_output(NULL, never_write, NULL, count_drop));
  NO(rf_options_set_output(options, NULL, NULL, count_drop));
  NO(rf_options_set_trace(NULL, never_trace, false, NULL, count_drop));
  NO(rf_options_set_progress(NULL, never_progress, NULL, count_drop));
  NO(rf_options_set_progress(options, NULL, NULL, count_drop));
  NO(rf_options_add_hook(NULL, never_hook, NULL, count_drop));
  NO(rf_options_add_hook(options, NULL, NULL, count_drop));
  NO(rf_options_add_hook_bytes(NULL, never_hook, &byte, 1));
  NO(rf_options_add_hook_bytes(options, NULL, &byte, 1));
  NO(rf_options_add_hook_bytes(options, never_hook, NULL, 1));
  NO(rf_options_set_background_callback(NULL, never_background, NULL, count_drop));
  NO(rf_options_set_background_callback(options, NULL, NULL, count_drop));
  NO(rf_options_set_user_data(NULL, NULL));
  CHECK_OK(rf_options_set_user_data(options, NULL));
  NO(rf_options_set_unix_socket(NULL, "path"));
  NO(rf_options_set_unix_socket(options, NULL));
  BAD(rf_options_set_unix_socket(options, garbage));
  rf_retry *retry;
  NO(rf_retry_new(1, NULL));
  CHECK_OK(rf_retry_new(1, &retry));
  NO(rf_retry_set_connect(NULL, 1));
  NO(rf_retry_set_read(NULL, 1));
  NO(rf_retry_set_status(NULL, 1));
  NO(rf_retry_add_status(NULL, 500, 599));
  NO(rf_retry_set_methods(NULL, "GET"));
  NO(rf_retry_set_methods(retry, NULL));
  NO(rf_retry_set_backoff(NULL, 1, 1, 0));
  NO(rf_retry_set_retry_after(NULL, true, 1));
  NO(rf_retry_set_raise_on_status(NULL, true));
  NO(rf_retry_set_budget(NULL, 1));
  NO(rf_options_set_retry(NULL, retry));
  CHECK_OK(rf_options_set_retry(options, retry));
  CHECK_OK(rf_options_set_retry(options, NULL));
  NO(rf_options_set_repeatable(NULL, true));
  NO(rf_options_set_priority(NULL, 1));
  NO(rf_options_set_expect_continue(NULL, 1));
  BAD(rf_options_set_expect_continue(options, -1));
  BAD(rf_options_set_expect_continue(options, -1000));
  CHECK_OK(rf_options_set_expect_continue(options, 0));
  NO(rf_options_set_queue_timeout(NULL, 1));
  BAD(rf_options_set_queue_timeout(options, 0));
  BAD(rf_options_set_queue_timeout(options, -2));
  CHECK_OK(rf_options_set_queue_timeout(options, RF_FOREVER));
  rf_retry_free(retry);
  rf_retry_free(NULL);
  NO(rf_options_set_resolve(NULL, "host", 80, "127.0.0.1"));
  NO(rf_options_set_resolve(options, NULL, 80, "127.0.0.1"));
  NO(rf_options_set_resolve(options, "host", 80, NULL));
  BAD(rf_options_set_resolve(options, garbage, 80, "127.0.0.1"));
  BAD(rf_options_set_resolve(options, "host", 80, garbage));

  /* Every argument was still ours. */
  CHECK_INT(0, drops);
  rf_options_free(options);
}

/* Inside a hook. */
static rf_status hook(rf_hook_call *call, const rf_response *response, void *user_data) {
  ++*(int *)user_data;
  CHECK(response != NULL && rf_hook_session(call) != NULL);
  NO(rf_hook_replace(call, NULL));
  CHECK_STATUS(RF_FAILED, rf_hook_fail(call, NULL));
  CHECK_STATUS(RF_FAILED, rf_hook_fail(call, garbage));
  return RF_OK + RF_FAILED;
}

static void hooks(const char *url) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  int called = 0;
  CHECK_OK(rf_options_add_hook(options, hook, &called, NULL));
  rf_future *future = get(session, url, options);
  const rf_error *error = ERROR_OF(RF_ERROR_HOOK, future);
  CHECK(rf_error_message(error) != NULL);
  CHECK_INT(1, called);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);

  rf_response *response = NULL;
  CHECK_OK(rf_response_new(200, "text/plain", "x", 1, &response));
  CHECK_STATUS(RF_E_NULL, rf_hook_fail(NULL, "message"));
  CHECK_STATUS(RF_E_NULL, rf_hook_fail(NULL, NULL));
  NO(rf_hook_replace(NULL, response));
  NO(rf_hook_replace(NULL, NULL));
  CHECK_NULL(rf_hook_session(NULL));
  rf_response_free(response);
}

static rf_status never_prepared(rf_prepared *prepared, void *user_data) {
  (void)prepared, (void)user_data;
  return RF_OK;
}

static rf_status wrong_in_a_request_hook(rf_prepared *prepared, void *user_data) {
  const char *name = "?", *value = "?";
  uint8_t buffer[1];
  size_t length = 9;
  (void)user_data;
  CHECK_NULL(rf_prepared_header(prepared, NULL));
  CHECK_NULL(rf_prepared_header(prepared, garbage));
  NO(rf_prepared_header_at(prepared, 0, NULL, &value));
  CHECK_NULL(value);
  NO(rf_prepared_header_at(prepared, 0, &name, NULL));
  CHECK_NULL(name);
  BAD(rf_prepared_header_at(prepared, 1000, &name, &value));
  NO(rf_prepared_set_header(prepared, NULL, "value"));
  BAD(rf_prepared_set_header(prepared, garbage, "value"));
  BAD(rf_prepared_set_header(prepared, "name", garbage));
  BAD(rf_prepared_set_query(prepared, garbage));
  CHECK_NULL(rf_prepared_body(prepared, NULL));
  NO(rf_prepared_read_body(prepared, NULL, 1, &length));
  CHECK_INT(0, length);
  NO(rf_prepared_read_body(prepared, buffer, 1, NULL));
  BAD(rf_prepared_read_body(prepared, buffer, 0, &length));
  BAD(rf_prepared_read_body(prepared, buffer, SIZE_MAX, &length));
  BAD(rf_prepared_fail_as(prepared, 0, "message"));
  return RF_OK;
}

static void no_prepared(const char *url) {
  const char *name = "?", *value = "?";
  uint8_t buffer[1];
  size_t length = 9;
  CHECK_NULL(rf_prepared_method(NULL));
  CHECK_NULL(rf_prepared_url(NULL));
  CHECK_NULL(rf_prepared_header(NULL, "name"));
  CHECK_INT(0, rf_prepared_header_count(NULL));
  NO(rf_prepared_header_at(NULL, 0, &name, &value));
  CHECK_NULL(name);
  CHECK_NULL(value);
  NO(rf_prepared_set_header(NULL, "name", "value"));
  NO(rf_prepared_set_query(NULL, "query"));
  CHECK_NULL(rf_prepared_body(NULL, &length));
  CHECK_INT(0, length);
  CHECK_INT(-1, rf_prepared_body_length(NULL));
  NO(rf_prepared_read_body(NULL, buffer, 1, &length));
  CHECK_INT(0, rf_prepared_hop(NULL));
  CHECK_INT(0, rf_prepared_attempt(NULL));
  CHECK_INT(0, rf_prepared_challenges(NULL));
  CHECK_NULL(rf_prepared_session(NULL));
  CHECK(rf_prepared_is_stopped(NULL));
  NO(rf_prepared_fail(NULL, "message"));
  NO(rf_prepared_fail_as(NULL, RF_ERROR_HOOK, "message"));

  rf_options *options = new_options();
  NO(rf_options_add_request_hook(NULL, never_prepared, NULL, NULL));
  NO(rf_options_add_request_hook_bytes(NULL, never_prepared, "x", 1));
  NO(rf_options_add_request_hook_bytes(options, never_prepared, NULL, 1));
  NO(rf_options_set_auth_custom(NULL, never_prepared, NULL, false, NULL, NULL));
  NO(rf_options_set_auth_custom(options, NULL, NULL, false, NULL, NULL));
  NO(rf_options_set_auth_custom_bytes(NULL, never_prepared, NULL, false, "x", 1));
  NO(rf_options_set_auth_custom_bytes(options, NULL, NULL, false, "x", 1));
  NO(rf_options_set_auth_custom_bytes(options, never_prepared, NULL, false, NULL, 1));
  CHECK_OK(rf_options_add_request_hook(options, wrong_in_a_request_hook, NULL, NULL));
  rf_session *session = new_session();
  rf_future *future = get(session, url, options);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  rf_session_free(session);
  rf_options_free(options);
}

static rf_adapter *wrongly_used;

static rf_status wrong_in_an_adapter(rf_prepared *prepared, void *user_data) {
  rf_response *response = NULL, *out = NULL;
  const rf_error *error = (void *)(uintptr_t)1;
  (void)user_data;
  NO(rf_prepared_respond(prepared, NULL));
  NO(rf_adapter_send(NULL, prepared, &out, &error));
  CHECK_NULL(out);
  NO(rf_adapter_send(wrongly_used, NULL, &out, NULL));
  NO(rf_adapter_send(wrongly_used, prepared, NULL, NULL));
  CHECK_STATUS(RF_E_STATE, rf_adapter_send(wrongly_used, prepared, &out, &error)); /* it is this very one */
  CHECK_NULL(out);
  CHECK_NULL(error);
  CHECK_OK(rf_response_new(200, NULL, "x", 1, &response));
  rf_status status = rf_prepared_respond(prepared, response);
  rf_response_free(response);
  return status;
}

static void no_adapter(void) {
  rf_session *session = new_session();
  rf_adapter *adapter, *kept = NULL;
  rf_config *config = NULL;
  rf_response *response = NULL;
  rf_adapter_ops ops = {sizeof ops, wrong_in_an_adapter}, none = {sizeof none, NULL};
  NO(rf_adapter_new_http(NULL, NULL));
  NO(rf_adapter_new_custom(&ops, NULL, count_drop, NULL));
  NO_OUT(adapter, rf_adapter_new_custom(NULL, NULL, count_drop, &adapter));
  NO_OUT(adapter, rf_adapter_new_custom(&none, NULL, count_drop, &adapter));
  ops.size = offsetof(rf_adapter_ops, send) + 1;
  adapter = (void *)(uintptr_t)1;
  BAD(rf_adapter_new_custom(&ops, NULL, count_drop, &adapter));
  CHECK_NULL(adapter);
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_workers(config, 1));
  adapter = (void *)(uintptr_t)1;
  BAD(rf_adapter_new_http(config, &adapter));
  CHECK_NULL(adapter);
  rf_config_free(config);
  ops.size = sizeof ops;
  CHECK_OK(rf_adapter_new_custom(&ops, NULL, NULL, &kept));
  wrongly_used = kept;
  NO(rf_session_mount(NULL, "mock://", kept));
  NO(rf_session_mount(session, NULL, kept));
  BAD(rf_session_mount(session, garbage, kept));
  BAD(rf_session_mount(session, "", kept));
  BAD(rf_session_mount(session, "mock", kept));
  CHECK_OK(rf_session_mount(session, "mock://", NULL));
  CHECK_OK(rf_session_mount(session, "mock://", kept));
  CHECK_OK(rf_response_new(200, NULL, "x", 1, &response));
  NO(rf_prepared_respond(NULL, response));
  rf_future *future = get(session, "mock://host/", NULL);
  CHECK_STR("x", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  rf_response_free(response);
  rf_adapter_free(NULL);
  rf_adapter_free(kept);
  rf_session_free(session);
}

static void never_done(rf_future *future, void *user_data) {
  (void)future, (void)user_data;
  FAIL("called");
}

static void futures(const char *url) {
  rf_session *session = new_session();
  rf_future *future = get(session, url, NULL), *clone;
  const rf_response *response;
  const rf_error *error;
  RESPONSE(future);

  NO_OUT(response, rf_future_result(NULL, 0, &response));
  NO(rf_future_result(future, 0, NULL));
  BAD_OUT(response, rf_future_result(future, -2, &response));
  NO_OUT(error, rf_future_exception(NULL, 0, &error));
  NO(rf_future_exception(future, 0, NULL));
  BAD_OUT(error, rf_future_exception(future, -2, &error));
  CHECK(!rf_future_cancel(NULL));
  CHECK(!rf_future_abort(NULL));
  CHECK(!rf_future_cancelled(NULL));
  CHECK(!rf_future_running(NULL));
  CHECK(!rf_future_done(NULL));
  NO(rf_future_add_done_callback(NULL, never_done, NULL, count_drop));
  NO(rf_future_add_done_callback(future, NULL, NULL, count_drop));
  CHECK_INT(0, drops);
  CHECK_NULL(rf_future_user_data(NULL));
  CHECK_INT(0, rf_future_id(NULL));
  NO(rf_future_set_user_data(NULL, &drops));
  CHECK_OK(rf_future_set_user_data(future, NULL));
  NO_OUT(clone, rf_future_clone(NULL, &clone));
  NO(rf_future_clone(future, NULL));
  rf_future_free(NULL);

  /* Waiting for many. */
  rf_future *const both[] = {future, NULL};
  rf_completed *completed;
  bool done[2];
  size_t index = 5;
  NO(rf_wait(NULL, 1, 0, RF_ALL_COMPLETED, done));
  NO(rf_wait(both, 2, 0, RF_ALL_COMPLETED, done));
  NO(rf_wait(both, 1, 0, RF_ALL_COMPLETED, NULL));
  BAD(rf_wait(both, 1, 0, 0, done));
  BAD(rf_wait(both, 1, 0, 4, done));
  BAD(rf_wait(both, 1, 0, -1, done));
  BAD(rf_wait(both, 1, -2, RF_ALL_COMPLETED, done));
  CHECK_OK(rf_wait(both, 1, 0, RF_ALL_COMPLETED, done));
  CHECK(done[0]);
  NO_OUT(completed, rf_as_completed(NULL, 1, &completed));
  NO_OUT(completed, rf_as_completed(both, 2, &completed));
  NO(rf_as_completed(both, 1, NULL));
  CHECK_OK(rf_as_completed(NULL, 0, &completed));
  NO(rf_completed_add(NULL, future));
  NO(rf_completed_add(completed, NULL));
  NO_OUT(clone, rf_completed_next(NULL, 0, &clone, &index));
  CHECK_INT(0, index);
  index = 5;
  BAD_OUT(clone, rf_completed_next(completed, -2, &clone, &index));
  CHECK_INT(0, index);
  CHECK_STATUS(RF_END, rf_completed_next(completed, RF_FOREVER, NULL, NULL));
  CHECK_OK(rf_completed_add(completed, future));
  CHECK_OK(rf_completed_next(completed, RF_FOREVER, NULL, NULL));
  CHECK_INT(-1, rf_completed_fd(NULL));
  rf_completed_free(completed);
  rf_completed_free(NULL);

  rf_future_free(future);
  rf_session_free(session);
}

static void no_response(void) {
  size_t length = 5;
  const char *name = "?", *value = "?", *line = "?";
  const rf_json *json;
  const rf_error *error;
  rf_cookies *cookies;
  rf_response *response;
  uint8_t buffer[8];

  CHECK_INT(0, rf_response_status_code(NULL));
  CHECK_NULL(rf_response_reason(NULL));
  CHECK_NULL(rf_response_url(NULL));
  CHECK(!rf_response_ok(NULL));
  CHECK(!rf_response_is_redirect(NULL));
  CHECK(!rf_response_is_permanent_redirect(NULL));
  CHECK_NULL(rf_response_header(NULL, "Server"));
  CHECK_INT(0, rf_response_header_count(NULL));
  NO(rf_response_header_at(NULL, 0, &name, &value));
  CHECK_NULL(name);
  CHECK_NULL(value);
  CHECK_NULL(rf_response_content(NULL, &length));
  CHECK_INT(0, length);
  CHECK_NULL(rf_response_content(NULL, NULL));
  length = 5;
  CHECK_NULL(rf_response_text(NULL, &length));
  CHECK_INT(0, length);
  CHECK_NULL(rf_response_text(NULL, NULL));
  CHECK_NULL(rf_response_encoding(NULL));
  NO(rf_response_set_encoding(NULL, "utf-8"));
  CHECK_NULL(rf_response_apparent_encoding(NULL));
  error = (void *)(uintptr_t)1;
  NO_OUT(json, rf_response_json(NULL, &json, &error));
  CHECK_NULL(error);
  NO_OUT(json, rf_response_json(NULL, &json, NULL));
  NO_OUT(error, rf_response_raise_for_status(NULL, &error));
  NO(rf_response_raise_for_status(NULL, NULL));
  CHECK_INT(0, rf_response_elapsed_us(NULL));
  CHECK_INT(-1, rf_response_phase_us(NULL, RF_PHASE_SEND));
  CHECK_INT(-1, rf_response_total_us(NULL));
  CHECK_INT(0, rf_response_attempts(NULL));
  CHECK(!rf_response_is_reused(NULL));
  CHECK_NULL(rf_response_remote_address(NULL));
  CHECK_NULL(rf_response_local_address(NULL));
  CHECK_NULL(rf_response_http_version(NULL));
  CHECK_NULL(rf_response_tls_version(NULL));
  CHECK_NULL(rf_response_tls_cipher(NULL));
  CHECK_INT(0, rf_response_certificate_count(NULL));
  length = 5;
  CHECK_NULL(rf_response_certificate_at(NULL, 0, &length));
  CHECK_INT(0, length);
  CHECK_NULL(rf_response_certificate_at(NULL, 0, NULL));
  CHECK_INT(0, rf_response_history_count(NULL));
  CHECK_NULL(rf_response_history_at(NULL, 0));
  NO_OUT(cookies, rf_response_cookies(NULL, &cookies));
  CHECK_NULL(rf_response_link(NULL, "next"));
  CHECK_NULL(rf_response_request_method(NULL));
  CHECK_NULL(rf_response_request_url(NULL));
  CHECK_NULL(rf_response_request_header(NULL, "Host"));
  CHECK_INT(0, rf_response_request_header_count(NULL));
  name = value = "?";
  NO(rf_response_request_header_at(NULL, 0, &name, &value));
  CHECK_NULL(name);
  CHECK_NULL(value);
  length = 5;
  CHECK_NULL(rf_response_request_body(NULL, &length));
  CHECK_INT(0, length);
  length = 5;
  NO_OUT(error, rf_response_read(NULL, buffer, sizeof buffer, &length, &error));
  CHECK_INT(0, length);
  length = 5;
  NO_OUT(error, rf_response_read_line(NULL, &line, &length, &error));
  CHECK_NULL(line);
  CHECK_INT(0, length);
  NO(rf_response_close(NULL));
  CHECK_NULL(rf_response_data(NULL));
  NO(rf_response_set_data(NULL, &drops, count_drop));
  CHECK_INT(0, drops);
  length = 5;
  CHECK_NULL(rf_response_extra(NULL, "name", &length));
  CHECK_INT(0, length);
  NO(rf_response_set_extra(NULL, "name", "x", 1));
  NO(rf_response_new(200, "text/plain", "x", 1, NULL));
  NO_OUT(response, rf_response_new(200, "text/plain", NULL, 1, &response));
  BAD_OUT(response, rf_response_new(200, garbage, "x", 1, &response));
  BAD_OUT(response, rf_response_new(-1, "text/plain", "x", 1, &response));
  BAD_OUT(response, rf_response_new(100000, "text/plain", "x", 1, &response));
  NO(rf_response_new_reader(200, never_read, 1, NULL, NULL, NULL));
  NO_OUT(response, rf_response_new_reader(200, NULL, 1, NULL, NULL, &response));
  BAD_OUT(response, rf_response_new_reader(-1, never_read, 1, NULL, NULL, &response));
  BAD_OUT(response, rf_response_new_reader(200, never_read, -2, NULL, NULL, &response));
  CHECK_OK(rf_response_new(200, "text/plain", "x", 1, &response));
  NO(rf_response_add_header(NULL, "name", "value"));
  NO(rf_response_add_header(response, NULL, "value"));
  NO(rf_response_add_header(response, "name", NULL));
  BAD(rf_response_add_header(response, "name", garbage));
  BAD(rf_response_add_header(response, garbage, "value"));
  NO(rf_response_set_reason(NULL, "reason"));
  NO(rf_response_set_reason(response, NULL));
  BAD(rf_response_set_reason(response, garbage));
  rf_response_free(response);
  response = NULL;
  NO_OUT(response, rf_response_clone(NULL, &response));
  rf_response_free(NULL);
}

static void responses(const char *url) {
  rf_session *session = new_session();
  rf_future *future = get(session, url, NULL);
  const rf_response *response = RESPONSE(future);
  const char *name = "?", *value = "?";
  const rf_json *json;
  const rf_error *error;
  rf_cookies *cookies = NULL;
  size_t length = 5;

  CHECK_NULL(rf_response_header(response, NULL));
  CHECK_NULL(rf_response_header(response, garbage));
  NO(rf_response_header_at(response, 0, NULL, &value));
  CHECK_NULL(value);
  NO(rf_response_header_at(response, 0, &name, NULL));
  CHECK_NULL(name);
  name = value = "?";
  BAD(rf_response_header_at(response, 1000, &name, &value));
  CHECK_NULL(name);
  CHECK_NULL(value);
  CHECK(rf_response_content(response, NULL) != NULL);
  CHECK(rf_response_text(response, NULL) != NULL);
  BAD(rf_response_set_encoding(response, garbage));
  CHECK_OK(rf_response_set_encoding(response, NULL));
  NO_OUT(error, rf_response_json(response, NULL, &error));
  CHECK_OK(rf_response_json(response, &json, NULL));
  CHECK_OK(rf_response_raise_for_status(response, NULL));
  CHECK_NULL(rf_response_history_at(response, 0));
  NO(rf_response_cookies(response, NULL));
  CHECK_NULL(rf_response_link(response, NULL));
  CHECK_NULL(rf_response_link(response, garbage));
  CHECK_NULL(rf_response_request_header(response, NULL));
  CHECK_NULL(rf_response_request_header(response, garbage));
  NO(rf_response_request_header_at(response, 0, NULL, &value));
  CHECK_NULL(value);
  name = "?";
  NO(rf_response_request_header_at(response, 0, &name, NULL));
  CHECK_NULL(name);
  name = value = "?";
  BAD(rf_response_request_header_at(response, 1000, &name, &value));
  CHECK_NULL(name);
  CHECK_NULL(value);
  CHECK_NULL(rf_response_request_body(response, NULL));
  NO_OUT(error, rf_response_read(response, NULL, 8, &length, &error));
  CHECK_INT(0, length);
  length = 5;
  NO_OUT(error, rf_response_read_line(response, NULL, &length, &error));
  CHECK_INT(0, length);
  CHECK_NULL(rf_response_extra(response, NULL, NULL));
  CHECK_NULL(rf_response_extra(response, garbage, NULL));
  CHECK_NULL(rf_response_extra(response, "unknown", &length));
  NO(rf_response_set_extra(response, NULL, "x", 1));
  NO(rf_response_set_extra(response, "name", NULL, 1));
  BAD(rf_response_set_extra(response, garbage, "x", 1));
  CHECK_OK(rf_response_set_data(response, NULL, NULL));
  NO(rf_response_clone(response, NULL));

  /* JSON: a getter given the wrong kind answers as for NULL. */
  int64_t integer = 5;
  length = 5;
  CHECK_INT(RF_JSON_NULL, rf_json_kind_of(NULL));
  CHECK_INT(0, rf_json_size(NULL));
  CHECK_NULL(rf_json_get(NULL, "a"));
  CHECK_NULL(rf_json_get(json, NULL));
  CHECK_NULL(rf_json_get(json, garbage));
  CHECK_NULL(rf_json_at(NULL, 0));
  CHECK_NULL(rf_json_at(json, 1000));
  CHECK_NULL(rf_json_key_at(NULL, 0, &length));
  CHECK_INT(0, length);
  CHECK_NULL(rf_json_key_at(json, 1000, NULL));
  CHECK(rf_json_key_at(json, 0, NULL) != NULL);
  CHECK_NULL(rf_json_pointer(NULL, "/a"));
  CHECK_NULL(rf_json_pointer(json, NULL));
  CHECK_NULL(rf_json_pointer(json, garbage));
  length = 5;
  CHECK_NULL(rf_json_string(NULL, &length));
  CHECK_INT(0, length);
  CHECK_NULL(rf_json_string(json, NULL));
  CHECK(rf_json_number(NULL) == 0);
  CHECK(rf_json_number(json) == 0);
  NO(rf_json_int(NULL, &integer));
  CHECK_INT(0, integer);
  NO(rf_json_int(rf_json_get(json, "n"), NULL));
  integer = 5;
  BAD(rf_json_int(json, &integer));
  CHECK_INT(0, integer);
  length = 5;
  CHECK_NULL(rf_json_number_text(NULL, &length));
  CHECK_INT(0, length);
  CHECK_NULL(rf_json_number_text(json, NULL));
  CHECK(!rf_json_bool(NULL));
  CHECK(!rf_json_bool(json));

  /* Cookies. */
  rf_cookie cookie;
  CHECK_OK(rf_response_cookies(response, &cookies));
  CHECK_INT(1, rf_cookies_count(cookies));
  CHECK_INT(0, rf_cookies_count(NULL));
  memset(&cookie, 0xff, sizeof cookie);
  NO(rf_cookies_at(NULL, 0, &cookie));
  CHECK(cookie.name == NULL && cookie.value == NULL && cookie.domain == NULL && cookie.path == NULL);
  CHECK(cookie.expires_s == 0 && !cookie.secure && !cookie.http_only && !cookie.host_only);
  NO(rf_cookies_at(cookies, 0, NULL));
  memset(&cookie, 0xff, sizeof cookie);
  BAD(rf_cookies_at(cookies, 1000, &cookie));
  CHECK_NULL(cookie.name);
  CHECK_NULL(rf_cookies_get(NULL, "a", NULL));
  CHECK_NULL(rf_cookies_get(cookies, NULL, NULL));
  CHECK_NULL(rf_cookies_get(cookies, garbage, NULL));
  CHECK_NULL(rf_cookies_get(cookies, "a", garbage));
  rf_cookies_free(cookies);
  rf_cookies_free(NULL);

  CHECK_OK(rf_response_close(response));
  rf_future_free(future);
  rf_session_free(session);
}

static void errors(void) {
  rf_session *session = new_session();
  rf_future *future = get(session, "no-scheme", NULL);
  const rf_error *error = ERROR_OF(RF_ERROR_MISSING_SCHEMA, future);
  CHECK(!rf_error_is(error, 0));
  CHECK(!rf_error_is(error, -1));
  CHECK(!rf_error_is(error, 12345));
  CHECK(rf_error_is(error, RF_ERROR_MISSING_SCHEMA));
  CHECK_INT(0, rf_error_kind_of(NULL));
  CHECK(!rf_error_is(NULL, RF_ERROR_REQUEST));
  CHECK_NULL(rf_error_message(NULL));
  CHECK_NULL(rf_error_url(NULL));
  CHECK_NULL(rf_error_response(NULL));
  CHECK_INT(0, rf_error_os_code(NULL));
  CHECK_INT(0, rf_error_phase(NULL));
  CHECK_INT(0, rf_error_attempts(NULL));
  CHECK_NULL(rf_error_method(NULL));
  rf_future_free(future);
  rf_session_free(session);
}

static void answer(wire_connection *connection, void *unused) {
  (void)unused;
  while (wire_next(connection)) {
    wire_answer(connection, "200 OK", "Set-Cookie: a=b\r\nContent-Type: application/json\r\n", "{\"n\": 1}");
  }
}

static void no_event(void) {
  rf_response *response = NULL;
  const rf_event *event;
  const rf_error *error = (void *)(uintptr_t)1;
  size_t length = 9;
  NO_OUT(event, rf_response_read_event(NULL, &event, &error));
  CHECK_NULL(error);
  CHECK_OK(rf_response_new(200, "text/event-stream", "data: x\n\n", 9, &response));
  NO(rf_response_read_event(response, NULL, &error));
  CHECK_OK(rf_response_read_event(response, &event, NULL));
  CHECK_STR("x", rf_event_data(event, NULL));
  FAILS_OUT(RF_END, event, rf_response_read_event(response, &event, NULL));
  rf_response_free(response);
  CHECK_NULL(rf_event_type(NULL));
  const char *name = "?", *value = "?";
  CHECK_INT(0, rf_response_trailer_count(NULL));
  NO(rf_response_trailer_at(NULL, 0, &name, &value));
  CHECK_NULL(name);
  CHECK_NULL(value);
  CHECK_NULL(rf_event_data(NULL, &length));
  CHECK_INT(0, length);
  CHECK_NULL(rf_event_id(NULL));
  CHECK_INT(-1, rf_event_retry_ms(NULL));
}

static void urls(void) {
  char *string;
  NO_OUT(string, rf_url_join(NULL, "b", &string));
  NO_OUT(string, rf_url_join("http://h/", NULL, &string));
  NO(rf_url_join("http://h/", "b", NULL));
  BAD_OUT(string, rf_url_join(garbage, "b", &string));
  BAD_OUT(string, rf_url_join("http://h/", garbage, &string));
  NO_OUT(string, rf_url_quote(NULL, "", &string));
  NO(rf_url_quote("text", "", NULL));
  BAD_OUT(string, rf_url_quote(garbage, "", &string));
  BAD_OUT(string, rf_url_quote("text", garbage, &string));
  rf_string_free(NULL);
}

int main(void) {
  wire *server = wire_start(answer, NULL);
  const char *url = wire_url(server, "/");
  the_package();
  executors();
  configs();
  sessions(url);
  options();
  hooks(url);
  no_prepared(url);
  no_adapter();
  futures(url);
  no_response();
  no_event();
  urls();
  responses(url);
  errors();
  wire_stop(server);
  return finish();
}
