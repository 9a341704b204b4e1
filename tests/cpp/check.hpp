// check.hpp - what the C++ tests share, beside what those of C have: a test prints nothing and exits with 0, or says what
// is wrong and exits with 1.
#ifndef CHECK_HPP
#define CHECK_HPP

#include "../c/check.h"

#include <requests_futures.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rf = requests_futures;
using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace std::string_view_literals;

/// Compares texts, of which either may be missing.
inline void check_equal(std::optional<std::string_view> expected, std::optional<std::string_view> actual,
                        const char *what, const char *file, int line) {
  if (expected == actual) return;
  const std::string is(actual.value_or("(none)")), wanted(expected.value_or("(none)"));
  fprintf(stderr, "%s:%d: %s is\n  %s\nnot\n  %s\n", file, line, what, is.c_str(), wanted.c_str());
  exit(1);
}
#define CHECK_EQUAL(expected, actual) check_equal((expected), (actual), #actual, __FILE__, __LINE__)

/// The text holds the part.
#define CHECK_CONTAINS(part, actual) check_has((part), std::string(actual).c_str(), #actual, __FILE__, __LINE__)

/// Compares enumerators, which are shown as numbers.
#define CHECK_IS(expected, actual) CHECK_INT(static_cast<int>(expected), static_cast<int>(actual))

/// How long anything that must end may take.
inline constexpr auto LONG = std::chrono::milliseconds(LONG_MS);

/// Counts how many of it live: whether functions are destroyed, and once.
struct counted_token {
  static std::atomic<int> &alive() {
    static std::atomic<int> count{0};
    return count;
  }
  counted_token() { ++alive(); }
  counted_token(const counted_token &) { ++alive(); }
  counted_token(counted_token &&) noexcept { ++alive(); }
  ~counted_token() { --alive(); }
};

#if REQUESTS_FUTURES_EXCEPTIONS
/// What a call throws, which has to be an rf::error.
#define ERROR_THROWN(call) error_thrown([&] { (void)(call); }, #call, __FILE__, __LINE__)
template <class Call>
rf::error error_thrown(Call &&call, const char *what, const char *file, int line) {
  try {
    call();
  } catch (const rf::error &error) {
    return error;
  } catch (const std::exception &error) {
    fprintf(stderr, "%s:%d: %s throws something else: %s\n", file, line, what, error.what());
    exit(1);
  }
  fprintf(stderr, "%s:%d: %s throws nothing\n", file, line, what);
  exit(1);
}

/// The response of a future that has to succeed.
#define GET(future) get_of((future), #future, __FILE__, __LINE__)
inline rf::response get_of(const rf::future_view &future, const char *what, const char *file, int line) {
  try {
    return future.get(LONG);
  } catch (const rf::error &error) {
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, what, error.what());
    exit(1);
  }
}
#endif

#endif
