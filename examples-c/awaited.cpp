/* awaited - requests in a coroutine, in C++20: each co_await gives the response, or throws what went wrong.
 *
 *   ./awaited http://localhost:8000       or  URL=http://localhost:8000 ./awaited
 *
 * Build it with: c++ -std=c++20 awaited.cpp $(pkg-config --cflags --libs requests_futures)
 */
#include <cstdlib>
#include <future>
#include <iostream>
#include <requests_futures.hpp>
#include <string>

namespace rf = requests_futures;
using namespace std::chrono_literals;

/* What a coroutine returns that begins at once and is waited for elsewhere. Programs mostly have such a type: that of
   their framework, or of a library such as cppcoro or Asio. */
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

/* The coroutine goes on on a thread of the library's: what it shares with others needs a lock. */
task<std::string> title(const rf::session &session, std::string base) {
  // Both are under way before the first one is waited for.
  rf::future slides = session.get(base + "/json");
  rf::future slow = session.get(base + "/delay/5", rf::options().set_deadline(200ms));
  std::string title = (co_await slides).json().at("/slideshow/title").as_string().value_or("(none)");
  try {
    co_await slow;
  } catch (const rf::error &error) {
    title += ", and meanwhile: " + std::string(error.message());
  }
  co_return title;
}

int main(int argc, char **argv) {
  const char *base = argc > 1 ? argv[1] : std::getenv("URL");
  if (base == nullptr) {
    std::cerr << "usage: " << argv[0] << " URL\n";
    return 2;
  }
  rf::session session;
  try {
    std::cout << title(session, base).result.get() << '\n';
  } catch (const rf::error &error) {
    std::cerr << to_string(error.kind()) << ": " << error.what() << '\n';
    return 1;
  }
  session.close(); /* no coroutine goes on after this */
}
