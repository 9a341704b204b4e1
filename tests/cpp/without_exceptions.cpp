// All of it with -fno-exceptions: nothing throws, and what goes wrong can be asked for.
#include "check.hpp"

#if REQUESTS_FUTURES_EXCEPTIONS
#error "this is a test of what is compiled with -fno-exceptions"
#endif

namespace {

void statuses() {
  rf::config config;
  config.set_max_workers(0).set_pool_maxsize(3);
  CHECK_IS(rf::status::invalid, config.status());
  const rf::session none(config);
  CHECK(!none);
  CHECK_IS(rf::status::invalid, none.status());

  rf::session session;
  CHECK(session);
  CHECK_IS(rf::status::ok, session.status());
  const rf::options wrong = rf::options().set_deadline(0ms).set_header("X-After", "kept");
  CHECK_IS(rf::status::invalid, wrong.status());
  const rf::future not_sent = session.get(http("/get"), wrong);
  CHECK(!not_sent);
  CHECK_IS(rf::status::invalid, not_sent.status());
  CHECK_IS(rf::status::invalid, not_sent.result().status());
  CHECK_IS(rf::status::invalid, session.request("GET", http("/get"), wrong).status());
  CHECK_IS(rf::status::invalid, session.update(wrong));
  CHECK(!rf::executor::threads(0) && rf::executor::threads(0).status() == rf::status::invalid);
  CHECK(!rf::response::make(1) && rf::retry(1).set_budget(7).status() == rf::status::invalid);

  const rf::future good = session.post(http("/post"), rf::options().set_json("{\"a\": 1}"));
  if (const auto response = good.result(); !response) {
    FAIL("%s", std::string(response.error().message()).c_str());
  } else {
    CHECK_INT(200, response->status_code());
    CHECK(response->try_json() && (*response->try_json()).at("/json/a").as_int() == 1);
    CHECK(!response->try_text()->empty());
  }
  const rf::future bad = session.get("no-scheme");
  const auto failed = bad.result();
  CHECK_IS(rf::status::failed, failed.status());
  CHECK_IS(rf::error_kind::missing_schema, failed.error().kind());
  CHECK_CONTAINS("no-scheme", failed.error().message());
  CHECK_IS(rf::status::ok, session.close());
  const rf::future late = session.get(http("/get"));
  CHECK_IS(rf::status::shutdown, late.result().status());
}

void functions() {
  rf::session session;
  std::atomic<int> calls{0};
  rf::options options;
  options.add_hook([&calls, token = counted_token()](rf::response_view) { calls++; })
      .add_request_hook([&calls](rf::prepared_request &prepared) {
        calls++;
        return prepared.set_header("X-From", "hook");
      });
  const rf::adapter adapter =
      rf::adapter::custom([](rf::prepared_request &) { return rf::response::make(200, "text/plain", "by hand"); });
  session.mount("hand://", adapter);
  const rf::future future = session.get("hand://x/", options);
  CHECK_EQUAL("by hand", future.result()->try_text());
  CHECK_INT(2, calls);
  future.add_done_callback([&calls](rf::future_view) { calls++; });
  CHECK_INT(3, calls);
  const rf::future refused = session.get("hand://x/", rf::options().add_hook([](rf::hook_call &call, rf::response_view) {
    return call.fail("no");
  }));
  CHECK_EQUAL("no", refused.result().error().message());
  options = rf::options();
  session.close();
  EVENTUALLY(counted_token::alive() == 0);
}

void many() {
  rf::session session;
  std::vector<rf::future> futures;
  for (int i = 0; i < 10; i++) futures.push_back(session.get(http("/hello")));
  auto range = rf::as_completed(futures);
  int count = 0;
  for (rf::future &done : range) count += done.result() ? 1 : 0;
  CHECK_INT(10, count);
  CHECK_IS(rf::status::end, range.status());
  const std::string gate = unique("cpp-without");
  futures.push_back(session.get(gate_url(gate.c_str())));
  auto too_late = rf::as_completed(futures, 50ms);
  count = 0;
  for (rf::future &done : too_late) count += done.done() ? 1 : 0;
  CHECK(count <= 10);
  CHECK_IS(rf::status::timeout, too_late.status());
  gate_open(gate.c_str());
}

#if REQUESTS_FUTURES_COROUTINES

struct detached {
  struct promise_type {
    detached get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept {}
  };
};

detached fetch(rf::session_view session, std::atomic<int> &status_code) {
  const rf::future future = session.get(http("/status/204"));
  const auto response = co_await future;
  status_code = response ? response->status_code() : -1;
}

void coroutines() {
  rf::session session;
  std::atomic<int> status_code{0};
  fetch(session, status_code);
  EVENTUALLY(status_code == 204);
}

#else
void coroutines() {}
#endif

}  // namespace

int main() {
  statuses();
  functions();
  many();
  coroutines();
  return finish();
}
