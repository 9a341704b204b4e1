// The header in C++: compiled as C++11, C++14, C++17 and C++20, with every warning an error. Something of each part
// is used, and owned in the way of C++.
#include <requests_futures.h>
#include <requests_futures.h> // twice is fine

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

template <typename T, void (*release)(T *)>
struct releases {
  void operator()(T *handle) const { release(handle); }
};
template <typename T, void (*release)(T *)>
using owned = std::unique_ptr<T, releases<T, release>>;

using executor_ptr = owned<rf_executor, rf_executor_free>;
using config_ptr = owned<rf_config, rf_config_free>;
using session_ptr = owned<rf_session, rf_session_free>;
using options_ptr = owned<rf_options, rf_options_free>;
using future_ptr = owned<rf_future, rf_future_free>;
using completed_ptr = owned<rf_completed, rf_completed_free>;
using response_ptr = owned<rf_response, rf_response_free>;
using cookies_ptr = owned<rf_cookies, rf_cookies_free>;

extern "C" {
static void count(rf_future *, void *user_data) { ++*static_cast<int *>(user_data); }
static rf_status hook(rf_hook_call *, const rf_response *, void *) { return RF_OK; }
static void drop_string(void *user_data) { delete static_cast<std::string *>(user_data); }
}

int main() {
  if (std::string(rf_version()) != RF_VERSION) return 1;
  const rf_status all_right = RF_OK;
  const rf_error_kind kind = RF_ERROR_SSL;
  if (all_right != 0 || std::string(rf_error_kind_name(kind)).empty()) return 2;

  rf_executor *executor = nullptr;
  if (rf_executor_new_threads(1, &executor) != RF_OK) return 3;
  const executor_ptr executor_owner(executor);

  rf_config *config = nullptr;
  if (rf_config_new(&config) != RF_OK) return 4;
  const config_ptr config_owner(config);
  if (rf_config_set_executor(config, executor) != RF_OK) return 5;

  rf_session *session = nullptr;
  if (rf_session_new(config, &session) != RF_OK) return 6;
  const session_ptr session_owner(session);

  rf_options *options = nullptr;
  if (rf_options_new(&options) != RF_OK) return 7;
  const options_ptr options_owner(options);
  if (rf_options_add_hook(options, hook, new std::string("for the hook"), drop_string) != RF_OK) return 8;

  rf_future *future = nullptr;
  if (rf_session_get(session, "no-scheme", options, &future) != RF_OK) return 9;
  const future_ptr future_owner(future);
  const rf_error *error = nullptr;
  if (rf_future_exception(future, RF_FOREVER, &error) != RF_OK) return 10;
  int called = 0;
  if (rf_future_add_done_callback(future, count, &called, nullptr) != RF_OK || called != 1) return 11;
  if (!rf_error_is(error, RF_ERROR_MISSING_SCHEMA)) return 12;

  const std::vector<rf_future *> futures(2, future);
  bool done[2] = {false, false};
  if (rf_wait(futures.data(), futures.size(), 0, RF_FIRST_EXCEPTION, done) != RF_OK) return 13;
  if (!done[0] || !done[1]) return 13;
  rf_completed *completed = nullptr;
  if (rf_as_completed(futures.data(), futures.size(), &completed) != RF_OK) return 14;
  const completed_ptr completed_owner(completed);

  const std::string body = "{\"answer\": 42}";
  rf_response *response = nullptr;
  if (rf_response_new(200, "application/json", body.data(), body.size(), &response) != RF_OK) return 15;
  const response_ptr response_owner(response);
  const rf_json *json = nullptr;
  std::int64_t answer = 0;
  if (rf_response_json(response, &json, nullptr) != RF_OK) return 16;
  if (rf_json_int(rf_json_get(json, "answer"), &answer) != RF_OK || answer != 42) return 17;

  rf_cookies *cookies = nullptr;
  if (rf_session_cookies(session, &cookies) != RF_OK) return 18;
  const cookies_ptr cookies_owner(cookies);
  rf_cookie cookie;
  if (rf_cookies_at(cookies, 0, &cookie) != RF_E_INVALID) return 19;
  if (rf_session_close(session, RF_CLOSE_WAIT) != RF_OK) return 20;
  return rf_executor_shutdown(executor, true, false) == RF_OK ? 0 : 21;
}
