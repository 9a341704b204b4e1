// co_await: the response, or what was thrown; on which thread; and that nothing is lost when the future is over already.
#include "check.hpp"

#if REQUESTS_FUTURES_COROUTINES

#include <thread>

namespace {

/// A coroutine that runs by itself, and says when it is over.
template <class T>
struct task {
  struct promise_type {
    std::promise<T> promise;
    task get_return_object() { return {promise.get_future()}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_value(T value) { promise.set_value(std::move(value)); }
    void unhandled_exception() { promise.set_exception(std::current_exception()); }
  };
  std::future<T> result;
};

task<std::string> title(rf::session_view session, std::string url) {
  const rf::response response = co_await session.get(url);  // a temporary
  rf::future again = session.get(http("/hello"));
  const rf::response second = co_await again;
  const rf::response third = co_await again;  // over already
  co_return std::string(response.json().at("/slideshow/title").as_string().value_or("")) + std::string(second.text()) +
      std::string(third.text());
}

task<int> sum(rf::session_view session, int count) {
  int total = 0;
  std::vector<rf::future> futures;
  for (int i = 0; i < count; i++) futures.push_back(session.get(http(text("/anything/%d", i))));
  for (rf::future &future : futures) total += (co_await future).ok() ? 1 : 0;
  // Of those that are over the coroutine does not go deeper and deeper.
  for (int i = 0; i < 100'000; i++) co_await futures.front();
  co_return total;
}

task<std::string> failing(rf::session_view session) {
  try {
    co_await session.get("no-scheme");
  } catch (const rf::error &error) {
    if (!error.is(rf::error_kind::missing_schema)) co_return "another";
  }
  co_await session.get(http("/delay/60"), rf::options().set_deadline(10ms));
  co_return "nothing was thrown";
}

task<bool> elsewhere(rf::session_view session, std::thread::id here) {
  const std::string gate = unique("cpp-coroutine");
  rf::future future = session.get(gate_url(gate.c_str()));
  std::thread opens([gate] { gate_open(gate.c_str()); });
  opens.detach();
  co_await future;
  co_return std::this_thread::get_id() != here;
}

/// A coroutine whose exceptions nobody takes. One that has ended so has to be destroyed by whoever holds it.
struct detached {
  struct promise_type {
    detached get_return_object() noexcept { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() { throw; }
  };
  std::coroutine_handle<promise_type> coroutine;
};

detached throwing(rf::session_view session) {
  const std::string gate = unique("cpp-throwing");
  rf::future future = session.get(gate_url(gate.c_str()));
  std::thread opens([gate] { gate_open(gate.c_str()); });
  opens.detach();
  co_await future;
  throw std::runtime_error("nobody takes it");
}

/// A coroutine that somebody may end while it waits.
struct owned {
  struct promise_type {
    owned get_return_object() noexcept { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept {}
  };
  std::coroutine_handle<promise_type> coroutine;
};

owned waiting(const rf::future &future, std::atomic<int> &resumed, counted_token) {
  co_await future;
  resumed++;
}

void destroyed_while_they_wait() {
  rf::session session;
  const std::string gate = unique("cpp-destroyed");
  const rf::future future = session.get(gate_url(gate.c_str()));
  std::atomic<int> resumed{0};
  std::vector<owned> coroutines;
  for (int i = 0; i < 10; i++) coroutines.push_back(waiting(future, resumed, {}));
  for (int i = 0; i < 5; i++) coroutines[static_cast<std::size_t>(i)].coroutine.destroy();
  CHECK_INT(5, counted_token::alive());
  gate_open(gate.c_str());
  EVENTUALLY(resumed == 5);
  session.close();
  for (int i = 5; i < 10; i++) {
    CHECK(coroutines[static_cast<std::size_t>(i)].coroutine.done());
    coroutines[static_cast<std::size_t>(i)].coroutine.destroy();
  }
  CHECK_INT(0, counted_token::alive());
}

void coroutines() {
  rf::session session;
  CHECK_EQUAL("Sample Slide ShowHello, world!Hello, world!", title(session, http("/json")).result.get());
  CHECK_INT(100, sum(session, 100).result.get());
  CHECK_IS(rf::error_kind::timeout, ERROR_THROWN(failing(session).result.get()).kind());
  CHECK(elsewhere(session, std::this_thread::get_id()).result.get());

  static std::atomic<int> unhandled{0};
  rf::set_unhandled([](std::exception_ptr) { unhandled++; });
  const detached thrown = throwing(session);
  EVENTUALLY(unhandled == 1);
  CHECK(thrown.coroutine.done());
#ifndef __clang__
  thrown.coroutine.destroy(); /* clang's would destroy once more what the exception has destroyed on its way */
#endif
  session.close();
}

}  // namespace

int main() {
  coroutines();
  destroyed_while_they_wait();
  return finish();
}

#else

int main() {
  puts("skipped: this compiler has no coroutines");
  return 0;
}

#endif
