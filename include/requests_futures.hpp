// requests_futures.hpp - asynchronous HTTP requests that return futures, for C++17 and later.
//
// SPDX-License-Identifier: Apache-2.0
//
//     #include <requests_futures.hpp>
//     namespace rf = requests_futures;
//
//     rf::session session;
//     rf::future answer = session.get("https://httpbin.org/get", rf::options().set_deadline(5s));
//     std::cout << answer.get().text() << '\n';
//
// The whole of requests_futures.h, in C++: headers only, linked with the same library, and no more than the calls of C.
// What a function does, which errors it has and which threads may call it is said there: rf_session_get is
// session::get, rf_options_set_header is options::set_header, RF_CLOSE_ABORT is close_mode::abort, and so on. This is
// what differs.
//
//   Handles    A session, a future, a response and so on is a move-only object that holds one pointer and frees it. What is
//              only lent - to a hook, by a future - is a view (session_view, future_view, response_view): a pointer that
//              owns nothing, with the same functions. An owner is a view, too. raw() is the pointer of C; release() gives
//              it away. The destructors never wait, as in C: a scoped_close closes a session at the end of a block.
//
//   Strings    Text is taken as a string literal, a std::string or a std::filesystem::path without a copy, as a
//              std::string_view with one, which C needs for the NUL. One that holds a NUL is status::invalid. What comes
//              back is a std::string_view, with the lifetime that C gives the string: mostly that of the object that was
//              asked. "NULL: none" is std::nullopt, on both sides. Bytes are a std::string_view as well.
//
//   Temporaries
//              A response that nobody has a name for gives what outlives it: `auto text = session.get(url).get().text();` is a
//              std::string, `for (auto [name, value] : session.get(url).get().headers())` has the response inside, and so
//              has the document of json(). What could only be lent is refused by the compiler: give the response a name. What
//              it cannot refuse are a std::string_view of that std::string, and a reference to the options that setters return.
//
//   Times      Any std::chrono::duration, rounded up to milliseconds, or `forever`. A wait for less than nothing looks and
//              does not wait; a limit of less than nothing is status::invalid.
//
//   Functions  Every callback is a callable object: a lambda, moved in, and destroyed when the library is done with it. One
//              that is no larger than a pointer and trivial costs no memory at all. Those that many threads call at
//              once (hooks, adapters, traces and so on) have to be callable as const. They return nothing, a status, or what is
//              said there. A function of C with its user data and drop function does as well, which is what worker processes
//              need.
//
//   Failures   A call that does not return RF_OK throws an `error`, which has its status; and what a request failed with,
//              if that is what happened: kind, message, URL. Nothing else is thrown but std::bad_alloc. What says more than yes
//              and no with its status does not throw: future::wait, close, shutdown, the functions of a task, fail and respond.
//              Waiting has a form that does not throw, either: future::result, try_json and so on give an `outcome`, which
//              is the value or says why not. A handle that was moved away, or never had anything, is status::null.
//
//   Inside     An exception that leaves a function of yours ends where it belongs and never in C. That of a prepare or
//              challenge function or of an adapter is what its future fails with: its kind and message if it is an `error`, else
//              error_kind::hook and what(). So is that of a hook or a background function, always as error_kind::hook. A
//              reader, output or progress function fails the future with error_kind::hook, a resolver has found nothing, an
//              executor's submit has refused the task; these, and what has no future to go to, as that of a done callback,
//              are given to the function of set_unhandled.
//
//   No exceptions
//              With -fno-exceptions nothing throws. An object that could not be made is false, setters remember the first
//              failure, and their status() says which it was; a future whose request was not submitted has that status for its
//              result().
//
//   Coroutines
//              With C++20 `co_await future` gives the response. The coroutine goes on on the thread that finishes the
//              future, as a done callback would. Several are waited for one after the other: they run meanwhile. A coroutine
//              may be destroyed while it waits, as long as the future is not over at that moment; the request goes on.
#ifndef REQUESTS_FUTURES_HPP
#define REQUESTS_FUTURES_HPP

// Warnings that only some programs ask for, such as -Wshadow, are about their own code.
#if defined(__GNUC__) && !defined(REQUESTS_FUTURES_WARNINGS)
#pragma GCC system_header
#endif

#include <requests_futures.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <future>
#include <iterator>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#if defined(__cpp_exceptions)
#define REQUESTS_FUTURES_EXCEPTIONS 1
#include <exception>
#include <stdexcept>
#else
#define REQUESTS_FUTURES_EXCEPTIONS 0
#endif

#if defined(__cpp_impl_coroutine) && defined(__has_include)
#if __has_include(<coroutine>)
#include <coroutine>
#endif
#endif
#if defined(__cpp_lib_coroutine)
#define REQUESTS_FUTURES_COROUTINES 1
#else
#define REQUESTS_FUTURES_COROUTINES 0
#endif

namespace requests_futures {

// Parts of one program may be compiled with and without exceptions: what differs has different names for the linker.
#if REQUESTS_FUTURES_EXCEPTIONS
inline namespace with_exceptions {
#else
inline namespace without_exceptions {
#endif

// ---- Status and kinds ----

/// What a call returns: rf_status.
enum class status : int {
  ok = RF_OK,
  timeout = RF_TIMEOUT,
  cancelled = RF_CANCELLED,
  failed = RF_FAILED,
  end = RF_END,
  again = RF_AGAIN,
  null = RF_E_NULL,
  invalid = RF_E_INVALID,
  shutdown = RF_E_SHUTDOWN,
  deadlock = RF_E_DEADLOCK,
  panic = RF_E_PANIC,
  resource = RF_E_RESOURCE,
  state = RF_E_STATE,
  busy = RF_E_BUSY,
};

/// What went wrong with a request: rf_error_kind. error::is answers for a kind and for everything above it.
enum class error_kind : int {
  none = 0,
  request = RF_ERROR_REQUEST,
  http = RF_ERROR_HTTP,
  connection = RF_ERROR_CONNECTION,
  proxy = RF_ERROR_PROXY,
  ssl = RF_ERROR_SSL,
  timeout = RF_ERROR_TIMEOUT,
  connect_timeout = RF_ERROR_CONNECT_TIMEOUT,
  read_timeout = RF_ERROR_READ_TIMEOUT,
  url_required = RF_ERROR_URL_REQUIRED,
  too_many_redirects = RF_ERROR_TOO_MANY_REDIRECTS,
  missing_schema = RF_ERROR_MISSING_SCHEMA,
  invalid_schema = RF_ERROR_INVALID_SCHEMA,
  invalid_url = RF_ERROR_INVALID_URL,
  invalid_header = RF_ERROR_INVALID_HEADER,
  invalid_proxy_url = RF_ERROR_INVALID_PROXY_URL,
  chunked_encoding = RF_ERROR_CHUNKED_ENCODING,
  content_decoding = RF_ERROR_CONTENT_DECODING,
  stream_consumed = RF_ERROR_STREAM_CONSUMED,
  retry = RF_ERROR_RETRY,
  unrewindable_body = RF_ERROR_UNREWINDABLE_BODY,
  invalid_json = RF_ERROR_INVALID_JSON,
  json_decode = RF_ERROR_JSON_DECODE,
  cancelled = RF_ERROR_CANCELLED,
  aborted = RF_ERROR_ABORTED,
  shutdown = RF_ERROR_SHUTDOWN,
  hook = RF_ERROR_HOOK,
  broken_pool = RF_ERROR_BROKEN_POOL,
  not_transferable = RF_ERROR_NOT_TRANSFERABLE,
  body_too_large = RF_ERROR_BODY_TOO_LARGE,
};

/// A version of TLS: rf_tls_version. `any` is the library's.
enum class tls_version : int { any = 0, tls_1_2 = RF_TLS_1_2, tls_1_3 = RF_TLS_1_3 };

/// A version of IP: rf_ip_version.
enum class ip_version : int { any = RF_IP_ANY, v4 = RF_IP_4, v6 = RF_IP_6 };

/// A version of HTTP: rf_http_version. `any` is RF_HTTP_AUTO, HTTP/2 where an https server has it.
enum class http_version : int {
  any = RF_HTTP_AUTO,
  http_1_1 = RF_HTTP_1_1,
  http_2 = RF_HTTP_2,
  http_2_prior_knowledge = RF_HTTP_2_PRIOR_KNOWLEDGE,
};

/// When wait returns: rf_return_when.
enum class return_when : int {
  first_completed = RF_FIRST_COMPLETED,
  first_exception = RF_FIRST_EXCEPTION,
  all_completed = RF_ALL_COMPLETED,
};

/// What becomes of what an output file holds already: rf_output_mode.
enum class output_mode : int { replace = RF_OUTPUT_REPLACE, append = RF_OUTPUT_APPEND, resume = RF_OUTPUT_RESUME };

/// Where the time of a request goes: rf_phase. `none` is that of a future that has not failed.
enum class phase : int {
  none = 0,
  queue = RF_PHASE_QUEUE,
  resolve = RF_PHASE_RESOLVE,
  connect = RF_PHASE_CONNECT,
  tls = RF_PHASE_TLS,
  send = RF_PHASE_SEND,
  wait = RF_PHASE_WAIT,
  receive = RF_PHASE_RECEIVE,
  hook = RF_PHASE_HOOK,
  pause = RF_PHASE_PAUSE,
};

/// What a trace is told: rf_trace_kind.
enum class trace_kind : int {
  info = RF_TRACE_INFO,
  head_out = RF_TRACE_HEAD_OUT,
  head_in = RF_TRACE_HEAD_IN,
  body_out = RF_TRACE_BODY_OUT,
  body_in = RF_TRACE_BODY_IN,
};

/// What session::close does with what is not over: rf_close_mode.
enum class close_mode : int { wait = RF_CLOSE_WAIT, cancel_pending = RF_CLOSE_CANCEL_PENDING, abort = RF_CLOSE_ABORT };

/// What a JSON value is: rf_json_kind.
enum class json_kind : int {
  null = RF_JSON_NULL,
  boolean = RF_JSON_BOOL,
  number = RF_JSON_NUMBER,
  string = RF_JSON_STRING,
  array = RF_JSON_ARRAY,
  object = RF_JSON_OBJECT,
};

/// Without limit, as a time.
struct forever_t {
  explicit constexpr forever_t() = default;
};
inline constexpr forever_t forever{};

/// As the length of a body: it is not known.
inline constexpr std::int64_t unknown_length = -1;

class future;
class future_view;
class json_document;
class options;
class owned_error;
class response;
class response_view;
class session;
class session_view;

// ---- What is behind it ----

namespace detail {

/// A string of C's as a view; an empty one for NULL.
inline std::string_view view(const char *string) noexcept {
  return string != nullptr ? std::string_view(string) : std::string_view();
}

inline std::string_view view(const void *bytes, std::size_t length) noexcept {
  return bytes != nullptr ? std::string_view(static_cast<const char *>(bytes), length) : std::string_view();
}

/// The same, of what there may be none.
inline std::optional<std::string_view> maybe(const char *string) noexcept {
  if (string == nullptr) return std::nullopt;
  return std::string_view(string);
}

inline std::optional<std::string_view> maybe(const void *bytes, std::size_t length) noexcept {
  if (bytes == nullptr) return std::nullopt;
  return std::string_view(static_cast<const char *>(bytes), length);
}

/// Whether it is a std::filesystem::path, whose text has a length.
template <class Path, class = void>
constexpr bool is_path = false;
template <class Path>
constexpr bool is_path<Path, std::void_t<decltype(std::string_view(std::declval<const Path &>().native()))>> = true;

/// A copy: what an object without a name gives.
inline std::string copy(std::string_view string) { return std::string(string); }

inline std::optional<std::string> copy(std::optional<std::string_view> string) {
  if (!string) return std::nullopt;
  return std::string(*string);
}

}  // namespace detail

// ---- Strings and times ----

/// A text on its way to C, which wants a NUL behind it: a string literal, a std::string or a std::filesystem::path as it is, a
/// std::string_view as a copy.
class zstring {
 public:
  zstring(const char *string) noexcept : string_(string) {}
  zstring(const std::string &string) noexcept : string_(string.c_str()) { refuse_nul(string); }
  zstring(std::string_view string) { copy(string); }
  /// A std::filesystem::path, a std::pmr::string, or whatever else has a c_str().
  template <class String,
            class = std::enable_if_t<std::is_same_v<decltype(std::declval<const String &>().c_str()), const char *>>>
  zstring(const String &string) noexcept : string_(string.c_str()) {
    if constexpr (std::is_convertible_v<const String &, std::string_view>) {
      refuse_nul(string);
    } else if constexpr (detail::is_path<String>) {
      refuse_nul(string.native());
    }
  }
  zstring(const zstring &) = delete;
  zstring &operator=(const zstring &) = delete;

  const char *c_str() const noexcept { return string_; }

 protected:
  zstring() noexcept {}
  void copy(std::string_view string) {
    char *copy = small_;
    if (string.size() >= sizeof small_) {
      large_.reset(new char[string.size() + 1]);
      copy = large_.get();
    }
    if (!string.empty()) std::memcpy(copy, string.data(), string.size());
    copy[string.size()] = '\0';
    string_ = copy;
    refuse_nul(string);
  }

 private:
  /// What follows a NUL would be lost. What is no UTF-8 is refused by every function.
  void refuse_nul(std::string_view string) noexcept {
    if (!string.empty() && std::memchr(string.data(), '\0', string.size()) != nullptr) string_ = "\xff";
  }

  const char *string_ = nullptr;
  char small_[256];
  std::unique_ptr<char[]> large_;
};

/// The same, where it may be left out: nullptr or std::nullopt.
class optional_zstring : public zstring {
 public:
  using zstring::zstring;
  optional_zstring(std::nullptr_t) noexcept {}
  optional_zstring(std::nullopt_t) noexcept {}
  optional_zstring(std::optional<std::string_view> string) {
    if (string) copy(*string);
  }
  optional_zstring(const std::optional<std::string> &string) {
    if (string) copy(*string);
  }
};

namespace detail {

/// Milliseconds as C has them, rounded up.
template <class Rep, class Period>
std::int64_t milliseconds(std::chrono::duration<Rep, Period> duration, std::int64_t negative) noexcept {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  if (duration < duration.zero()) return negative;
  if constexpr (std::chrono::treat_as_floating_point_v<Rep>) {
    const auto ms = std::chrono::duration<long double, std::milli>(duration).count();
    if (std::isnan(ms)) return negative;
    if (!(ms < 9.0e18L)) return RF_FOREVER;
    return static_cast<std::int64_t>(std::ceil(ms));
  } else {
    using wide = std::chrono::duration<long double, std::milli>;
    if (wide(duration).count() >= static_cast<long double>(most)) return RF_FOREVER;
    return static_cast<std::int64_t>(
        std::chrono::ceil<std::chrono::duration<std::int64_t, std::milli>>(duration).count());
  }
}

}  // namespace detail

/// How long to wait: a duration, or `forever`. Less than nothing is nothing: it looks and does not wait.
class wait_time {
 public:
  constexpr wait_time(forever_t) noexcept : ms_(RF_FOREVER) {}
  template <class Rep, class Period>
  wait_time(std::chrono::duration<Rep, Period> duration) noexcept : ms_(detail::milliseconds(duration, 0)) {}
  std::int64_t count() const noexcept { return ms_; }

 private:
  std::int64_t ms_;
};

/// A limit of time: a duration, or `forever`.
class time_limit {
 public:
  constexpr time_limit(forever_t) noexcept : ms_(RF_FOREVER) {}
  template <class Rep, class Period>
  time_limit(std::chrono::duration<Rep, Period> duration) noexcept : ms_(detail::milliseconds(duration, -2)) {}
  std::int64_t count() const noexcept { return ms_; }

 private:
  std::int64_t ms_;
};

/// The name of a status, such as "RF_OK".
inline std::string_view to_string(status status) noexcept {
  return detail::view(rf_status_name(static_cast<int>(status)));
}

/// The name of a kind, such as "RF_ERROR_SSL"; "none" of what is no failure of a request.
inline std::string_view to_string(error_kind kind) noexcept {
  if (kind == error_kind::none) return "none";
  return detail::view(rf_error_kind_name(static_cast<int>(kind)));
}

// ---- Errors ----

/// An error that is lent: it lives as long as the future or response that it was asked of. False where there is none.
class error_view {
 public:
  constexpr error_view() noexcept = default;
  explicit constexpr error_view(const rf_error *raw) noexcept : raw_(raw) {}
  error_view(owned_error &&) = delete;
  error_view &operator=(owned_error &&) = delete;

  explicit operator bool() const noexcept { return raw_ != nullptr; }
  const rf_error *raw() const noexcept { return raw_; }

  error_kind kind() const noexcept { return static_cast<error_kind>(rf_error_kind_of(raw_)); }
  /// Whether it is of this kind, or of one below it: a connect_timeout is a connection and a timeout error.
  bool is(error_kind kind) const noexcept { return rf_error_is(raw_, static_cast<int>(kind)); }
  std::string_view message() const noexcept { return detail::view(rf_error_message(raw_)); }
  std::optional<std::string_view> url() const noexcept { return detail::maybe(rf_error_url(raw_)); }
  inline response_view response() const noexcept;
  int os_code() const noexcept { return rf_error_os_code(raw_); }
  /// Where it was when it failed.
  requests_futures::phase phase() const noexcept { return static_cast<requests_futures::phase>(rf_error_phase(raw_)); }
  /// How often the hop was sent that failed.
  std::uint32_t attempts() const noexcept { return rf_error_attempts(raw_); }
  std::optional<std::string_view> method() const noexcept { return detail::maybe(rf_error_method(raw_)); }

 protected:
  const rf_error *raw_ = nullptr;
};

/// An error of one's own, as that of a cookie file.
class owned_error : public error_view {
 public:
  constexpr owned_error() noexcept = default;
  explicit owned_error(rf_error *raw) noexcept : error_view(raw), own_(raw) {}
  owned_error(owned_error &&other) noexcept : owned_error(std::exchange(other.own_, nullptr)) { other.raw_ = nullptr; }
  owned_error &operator=(owned_error &&other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~owned_error() { rf_error_free(own_); }

  rf_error *release() noexcept {
    raw_ = nullptr;
    return std::exchange(own_, nullptr);
  }
  void reset(rf_error *raw = nullptr) noexcept {
    rf_error_free(own_);
    raw_ = own_ = raw;
  }

 private:
  rf_error *own_ = nullptr;
};

namespace detail {

/// Marks an error that the library knows already, as it comes from a request inside of an adapter.
struct told {};

/// Whether a kind is another one or below it, as rf_error_is says.
constexpr bool is(error_kind kind, error_kind above) noexcept {
  if (kind == above) return kind != error_kind::none;
  switch (above) {
    case error_kind::request: return kind != error_kind::none;
    case error_kind::connection:
      return kind == error_kind::proxy || kind == error_kind::ssl || kind == error_kind::connect_timeout;
    case error_kind::timeout: return kind == error_kind::connect_timeout || kind == error_kind::read_timeout;
    case error_kind::invalid_url: return kind == error_kind::invalid_proxy_url;
    case error_kind::invalid_json: return kind == error_kind::json_decode;
    default: return false;
  }
}

}  // namespace detail

#if REQUESTS_FUTURES_EXCEPTIONS

/// What a failed request, or a call that did not return RF_OK, throws. It keeps what it tells about.
class error : public std::runtime_error {
 public:
  /// A call that was wrong, or a wait that ended: there is no request that failed.
  explicit error(requests_futures::status status) : std::runtime_error(describe(status)), status_(status) {}
  error(requests_futures::status status, const std::string &message) : std::runtime_error(message), status_(status) {}
  /// For functions of your own to throw: the request then fails with this kind and message.
  error(error_kind kind, const std::string &message)
      : std::runtime_error(message), status_(requests_futures::status::failed), kind_(kind) {}
  /// What is known of `view`; `owner` keeps it alive.
  error(requests_futures::status status, error_view view, std::shared_ptr<const void> owner)
      : std::runtime_error(view ? std::string(view.message()) : describe(status)),
        status_(status),
        kind_(view.kind()),
        view_(view),
        owner_(std::move(owner)) {}
  error(detail::told, requests_futures::status status, error_view view)
      : std::runtime_error(view ? std::string(view.message()) : describe(status)),
        status_(status),
        kind_(view.kind()),
        told_(status == requests_futures::status::failed) {}

  requests_futures::status status() const noexcept { return status_; }
  /// What went wrong with the request; error_kind::none where no request failed.
  error_kind kind() const noexcept { return kind_; }
  /// Whether the kind is this one, or one below it.
  bool is(error_kind kind) const noexcept { return detail::is(kind_, kind); }
  std::string_view message() const noexcept { return what(); }
  std::optional<std::string_view> url() const noexcept { return view_.url(); }
  inline response_view response() const noexcept;
  int os_code() const noexcept { return view_.os_code(); }
  /// Where it was when it failed.
  requests_futures::phase phase() const noexcept { return view_.phase(); }
  /// How often the hop was sent that failed.
  std::uint32_t attempts() const noexcept { return view_.attempts(); }
  std::optional<std::string_view> method() const noexcept { return view_.method(); }
  /// All that there is to ask.
  error_view view() const noexcept { return view_; }
  /// Whether it is that of a request inside of an adapter: what leaves the adapter is then the failure of the outer one.
  bool told() const noexcept { return told_; }

 private:
  static std::string describe(requests_futures::status status) {
    const std::string name(to_string(status));
    switch (status) {
      case requests_futures::status::timeout: return "The wait ended before the future did (" + name + ")";
      case requests_futures::status::cancelled: return "The future was cancelled (" + name + ")";
      case requests_futures::status::null: return "There is no such object (" + name + ")";
      case requests_futures::status::invalid: return "An argument is out of range, holds a NUL or is not UTF-8 (" + name + ")";
      case requests_futures::status::shutdown: return "The session is closed, or its executor shut down (" + name + ")";
      case requests_futures::status::deadlock: return "The wait could never end (" + name + ")";
      case requests_futures::status::resource:
        return "The system has no thread, descriptor or memory left (" + name + ")";
      case requests_futures::status::state: return "Not possible in this state (" + name + ")";
      case requests_futures::status::busy: return "The session has as many pending requests as it may (" + name + ")";
      default: return "The call ended with " + name;
    }
  }

  requests_futures::status status_;
  error_kind kind_ = error_kind::none;
  error_view view_;
  std::shared_ptr<const void> owner_;
  bool told_ = false;
};

#endif

/// A value, or the status of the call that gave none and, if that is status::failed, the error. What it refers to is lent
/// by whoever was asked.
template <class T>
class outcome {
 public:
  outcome(T value) noexcept(std::is_nothrow_move_constructible_v<T>)
      : status_(requests_futures::status::ok), value_(std::move(value)) {}
  outcome(requests_futures::status status, error_view error) noexcept : status_(status), error_(error) {}

  explicit operator bool() const noexcept { return status_ == requests_futures::status::ok; }
  requests_futures::status status() const noexcept { return status_; }
  error_view error() const noexcept { return error_; }
  const T &operator*() const & noexcept { return *value_; }
  T &operator*() & noexcept { return *value_; }
  T operator*() && { return std::move(*value_); }
  const T *operator->() const noexcept { return &*value_; }
  T *operator->() noexcept { return &*value_; }

 private:
  requests_futures::status status_;
  error_view error_;
  std::optional<T> value_;
};

template <>
class outcome<void> {
 public:
  outcome() noexcept : status_(requests_futures::status::ok) {}
  outcome(requests_futures::status status, error_view error) noexcept : status_(status), error_(error) {}

  explicit operator bool() const noexcept { return status_ == requests_futures::status::ok; }
  requests_futures::status status() const noexcept { return status_; }
  error_view error() const noexcept { return error_; }

 private:
  requests_futures::status status_;
  error_view error_;
};

// ---- Handles and functions ----

/// What the objects of this library are made of. There are no functions here that calls with such objects could mean.
namespace ownership {

#if REQUESTS_FUTURES_EXCEPTIONS

/// What a call said: thrown unless it is RF_OK.
class checked {
 public:
  /// What has failed: status::ok, as a failure was thrown. Without exceptions it is remembered here.
  constexpr requests_futures::status status() const noexcept { return requests_futures::status::ok; }

 protected:
  constexpr checked() noexcept = default;
  static void check(rf_status status) {
    if (status != RF_OK) throw error(static_cast<requests_futures::status>(status));
  }
};

#else

/// What a call said: the first failure is remembered.
class checked {
 public:
  requests_futures::status status() const noexcept { return static_cast<requests_futures::status>(status_); }

 protected:
  constexpr checked() noexcept = default;
  void check(rf_status status) noexcept {
    if (status_ == RF_OK) status_ = status;
  }

 private:
  rf_status status_ = RF_OK;
};

#endif

/// A pointer of C's that is freed once.
template <class T, void (*free)(T *)>
class handle : public checked {
 public:
  constexpr handle() noexcept = default;
  explicit constexpr handle(T *raw) noexcept : raw_(raw) {}
  handle(handle &&other) noexcept : checked(other), raw_(std::exchange(other.raw_, nullptr)) {}
  handle &operator=(handle &&other) noexcept {
    if (this != &other) {
      if (raw_ != nullptr) free(raw_);
      checked::operator=(other);
      raw_ = std::exchange(other.raw_, nullptr);
    }
    return *this;
  }
  ~handle() {
    if (raw_ != nullptr) free(raw_);
  }

  explicit operator bool() const noexcept { return raw_ != nullptr; }
  T *raw() const noexcept { return raw_; }
  T *release() noexcept { return std::exchange(raw_, nullptr); }

 protected:
  /// What a setter returns.
  template <class Self>
  static Self &did(Self &self, rf_status status) {
    self.check(status);
    return self;
  }

  T *raw_ = nullptr;
};

}  // namespace ownership

namespace detail {

#if REQUESTS_FUTURES_EXCEPTIONS
inline void check(rf_status status) {
  if (status != RF_OK) throw error(static_cast<requests_futures::status>(status));
}
#endif

/// What a call says that gives nothing else: thrown unless it is RF_OK, where there are exceptions.
inline status said(rf_status status) {
#if REQUESTS_FUTURES_EXCEPTIONS
  check(status);
#endif
  return static_cast<requests_futures::status>(status);
}

#if REQUESTS_FUTURES_EXCEPTIONS

using unhandled_fn = void (*)(std::exception_ptr);
inline std::atomic<unhandled_fn> unhandled{nullptr};

/// Gives what is being caught to the function of set_unhandled.
inline void report() noexcept {
  const unhandled_fn fn = unhandled.load();
  if (fn == nullptr) return;
  try {
    fn(std::current_exception());
  } catch (...) {
  }
}

/// Calls `body`, a function of the user's. What it throws is handed to `failed`, and goes no further.
template <class Body, class Failed>
rf_status guarded(Body &&body, Failed &&failed) noexcept {
  static_assert(noexcept(failed(error_kind::none, "")));
  try {
    return body();
  } catch (const error &e) {
    if (e.told()) return RF_FAILED;
    return failed(e.kind() == error_kind::none ? error_kind::hook : e.kind(), e.what());
  } catch (const std::exception &e) {
    return failed(error_kind::hook, e.what());
  } catch (...) {
    return failed(error_kind::hook, "What the function has thrown is no std::exception");
  }
}

/// The same where nobody can be told but the function of set_unhandled.
template <class Body, class Value>
auto guarded_or(Body &&body, Value value) noexcept -> decltype(body()) {
  try {
    return body();
  } catch (...) {
    report();
    return static_cast<decltype(body())>(value);
  }
}

template <class Body>
void guarded_void(Body &&body) noexcept {
  try {
    body();
  } catch (...) {
    report();
  }
}

#else

template <class Body, class Failed>
rf_status guarded(Body &&body, Failed &&) noexcept {
  return body();
}

template <class Body, class Value>
auto guarded_or(Body &&body, Value) noexcept -> decltype(body()) {
  return body();
}

template <class Body>
void guarded_void(Body &&body) noexcept {
  body();
}

#endif

/// What is thrown by the destructor of something that the library kept goes no further.
template <class T>
void destroy(T *kept) noexcept {
  guarded_void([&] { delete kept; });
}

/// A function that is called with a pointer: inside that pointer where it fits and never changes, else on the heap.
template <class F, bool is_const>
struct function {
  static constexpr bool inside = is_const && std::is_trivially_copyable_v<F> && std::is_trivially_destructible_v<F> &&
                                 sizeof(F) <= sizeof(void *) && alignof(F) <= alignof(void *);
  using reference = std::conditional_t<is_const, const F &, F &>;

  /// The pointer. Until `release` it is freed where a registration fails.
  class pointer {
   public:
    explicit pointer(F &&f) {
      if constexpr (inside) {
        if constexpr (!std::is_empty_v<F>) std::memcpy(&raw_, static_cast<const void *>(std::addressof(f)), sizeof(F));
      } else {
        raw_ = new F(std::move(f));
      }
    }
    pointer(const pointer &) = delete;
    pointer &operator=(const pointer &) = delete;
    ~pointer() {
      if constexpr (!inside) delete static_cast<F *>(raw_);
    }
    void *raw() const noexcept { return raw_; }
    /// The library has it when the call that took it said RF_OK.
    rf_status given(rf_status status) noexcept {
      if (status == RF_OK) raw_ = nullptr;
      return status;
    }

   private:
    void *raw_ = nullptr;
  };

  static constexpr rf_drop_fn drop() noexcept {
    if constexpr (inside) {
      return nullptr;
    } else {
      return [](void *user_data) { destroy(static_cast<F *>(user_data)); };
    }
  }

  /// Calls `body` with the function.
  template <class Body>
  static decltype(auto) with(void *user_data, Body &&body) {
    if constexpr (inside) {
      alignas(F) unsigned char bytes[sizeof(F)] = {};
      if constexpr (!std::is_empty_v<F>) std::memcpy(bytes, &user_data, sizeof(F));
      return body(*std::launder(reinterpret_cast<const F *>(bytes)));
    } else {
      return body(static_cast<reference>(*static_cast<F *>(user_data)));
    }
  }
};

template <class F>
using shared_function = function<F, true>;

/// A function that one thread at a time calls: as const where that is possible.
template <class F, class... Arguments>
using own_function = function<F, std::is_invocable_v<const F &, Arguments...> || std::is_invocable_v<const F &>>;

/// What a function of the user's has answered.
inline rf_status answered(status status) noexcept { return static_cast<rf_status>(status); }
inline rf_status answered(rf_status status) noexcept { return status; }

template <class F, class... Arguments>
rf_status answer(F &&f, Arguments &&...arguments) {
  using result = std::invoke_result_t<F, Arguments...>;
  if constexpr (std::is_void_v<result>) {
    f(std::forward<Arguments>(arguments)...);
    return RF_OK;
  } else {
    static_assert(std::is_same_v<result, status> || std::is_same_v<result, rf_status>,
                  "such a function returns nothing or a requests_futures::status");
    return answered(f(std::forward<Arguments>(arguments)...));
  }
}

/// Goes through what is asked for by its number, of a view or behind a pointer.
template <class Source, class Value>
class by_index {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = Value;
  using difference_type = std::ptrdiff_t;
  using pointer = void;
  using reference = Value;

  by_index() = default;
  by_index(Source source, std::size_t index) noexcept : source_(source), index_(index) {}
  Value operator*() const {
    if constexpr (std::is_pointer_v<Source>) return (*source_)[index_];
    else return source_[index_];
  }
  by_index &operator++() noexcept {
    ++index_;
    return *this;
  }
  by_index operator++(int) noexcept { return by_index(source_, index_++); }
  friend bool operator==(const by_index &a, const by_index &b) noexcept { return a.index_ == b.index_; }
  friend bool operator!=(const by_index &a, const by_index &b) noexcept { return a.index_ != b.index_; }

 private:
  Source source_ = {};
  std::size_t index_ = 0;
};

/// What is asked for by its number, as a range. One that owns what it is asked of lends its elements.
template <class At, bool owns = false>
class indexed {
 public:
  using value_type = std::invoke_result_t<const At &, std::size_t>;
  using iterator = by_index<const indexed *, value_type>;

  indexed(std::size_t size, At at) : size_(size), at_(std::move(at)) {}
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  value_type operator[](std::size_t index) const & { return at_(index); }
  value_type operator[](std::size_t index) && {
    static_assert(!owns, "the element would refer to an object that is gone: give the response a name");
    return at_(index);
  }
  iterator begin() const & noexcept { return {this, 0}; }
  iterator begin() && {
    static_assert(!owns, "the iterator would refer to an object that is gone: give the response a name");
    return {this, 0};
  }
  iterator end() const noexcept { return {this, size_}; }

 private:
  std::size_t size_;
  At at_;
};

/// `at(source, index)` as a range: of a view, or of the object itself, which the range then owns.
template <bool owns, class Source, class Size, class At>
auto range(Source source, Size size, At at) {
  const std::size_t count = size(source);
  auto element = [source = std::move(source), at](std::size_t index) { return at(source, index); };
  return indexed<decltype(element), owns>(count, std::move(element));
}

/// Fields of a head, each a name and a value.
using field = std::pair<std::string_view, std::string_view>;

template <bool owns, class Source, class Size, class At>
auto fields(Source source, Size size, At at) {
  const auto field_at = [at](const Source &source, std::size_t index) {
    const char *name = nullptr, *value = nullptr;
    at(source.raw(), index, &name, &value);
    return field(view(name), view(value));
  };
  return range<owns>(std::move(source), [size](const Source &source) { return size(source.raw()); }, field_at);
}

/// What is read until there is no more, as a range: `next` gives something that is false at the end.
template <class Next>
class sequence {
  using item = std::invoke_result_t<Next &>;

 public:
  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = std::decay_t<decltype(*std::declval<item &>())>;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = value_type &;

    iterator() = default;
    explicit iterator(sequence *range) noexcept : range_(range) {}
    reference operator*() const { return **range_->item_; }
    iterator &operator++() {
      range_->take();
      return *this;
    }
    void operator++(int) { range_->take(); }
    friend bool operator==(const iterator &a, const iterator &b) noexcept { return a.over() == b.over(); }
    friend bool operator!=(const iterator &a, const iterator &b) noexcept { return a.over() != b.over(); }

   private:
    bool over() const noexcept { return range_ == nullptr || !range_->item_ || !*range_->item_; }
    sequence *range_ = nullptr;
  };

  explicit sequence(Next next) : next_(std::move(next)) {}
  iterator begin() {
    take();
    return iterator(this);
  }
  iterator end() noexcept { return {}; }

 private:
  void take() { item_.emplace(next_()); }

  Next next_;
  std::optional<item> item_;
};

}  // namespace detail

// ---- The library itself ----

#if REQUESTS_FUTURES_EXCEPTIONS

/// Has exceptions that no future can take given to a function: those that leave done callbacks, coroutines that a future
/// resumes, log and trace functions, an executor's functions. Default: nullptr, they are dropped. Returns the function before.
inline auto set_unhandled(void (*fn)(std::exception_ptr)) noexcept { return detail::unhandled.exchange(fn); }

#endif

inline std::string_view version() noexcept { return detail::view(rf_version()); }
inline std::string_view title() noexcept { return detail::view(rf_title()); }
inline std::string_view author() noexcept { return detail::view(rf_author()); }
inline std::string_view license() noexcept { return detail::view(rf_license()); }
inline std::string_view copyright() noexcept { return detail::view(rf_copyright()); }

/// Has warnings told to `log(std::string_view message)`; nullptr: to nobody.
template <class Log>
status set_log(Log log) {
  if constexpr (std::is_null_pointer_v<Log>) {
    return detail::said(rf_set_log(nullptr, nullptr, nullptr));
  } else {
    using function = detail::shared_function<Log>;
    typename function::pointer pointer(std::move(log));
    const rf_log_fn call = [](const char *message, void *user_data) {
      detail::guarded_void([&] { function::with(user_data, [&](auto &log) { log(detail::view(message)); }); });
    };
    return detail::said(pointer.given(rf_set_log(call, pointer.raw(), function::drop())));
  }
}

// ---- JSON documents ----

/// A value in a JSON document: lent by its response, which has to live. A question that does not fit the value's kind is
/// answered with nothing, 0 or false, so that long ways through a document need one check at their end.
class json_value {
 protected:
  template <bool owns, class Json>
  static auto members_of(Json object) {
    return detail::range<owns>(
        std::move(object), [](const Json &object) { return object.kind() == json_kind::object ? object.size() : 0; },
        [](const Json &object, std::size_t index) {
          return std::pair(object.key(index).value_or(std::string_view()), object[index]);
        });
  }

 public:
  constexpr json_value() noexcept = default;
  explicit constexpr json_value(const rf_json *raw) noexcept : raw_(raw) {}
  json_value(json_document &&) = delete;
  json_value &operator=(json_document &&) = delete;

  /// Whether it is there.
  explicit operator bool() const noexcept { return raw_ != nullptr; }
  const rf_json *raw() const noexcept { return raw_; }

  json_kind kind() const noexcept { return static_cast<json_kind>(rf_json_kind_of(raw_)); }
  bool is_null() const noexcept { return kind() == json_kind::null; }
  /// How many elements an array has, or members an object.
  std::size_t size() const noexcept { return rf_json_size(raw_); }
  /// The member of that name.
  json_value operator[](const zstring &key) const & noexcept { return json_value(rf_json_get(raw_, key.c_str())); }
  /// The element with that index.
  json_value operator[](std::size_t index) const & noexcept { return json_value(rf_json_at(raw_, index)); }
  /// What a JSON pointer names, such as "/items/0/id".
  json_value at(const zstring &pointer) const & noexcept { return json_value(rf_json_pointer(raw_, pointer.c_str())); }

  std::optional<std::string_view> as_string() const & noexcept {
    std::size_t length = 0;
    const char *string = rf_json_string(raw_, &length);
    return detail::maybe(string, length);
  }
  /// The nearest double; 0 where it is no number.
  double as_number() const noexcept { return rf_json_number(raw_); }
  /// Where it was written as an integer that fits.
  std::optional<std::int64_t> as_int() const noexcept {
    std::int64_t value = 0;
    if (rf_json_int(raw_, &value) != RF_OK) return std::nullopt;
    return value;
  }
  bool as_bool() const noexcept { return rf_json_bool(raw_); }
  /// A number as it was written.
  std::optional<std::string_view> number_text() const & noexcept {
    std::size_t length = 0;
    const char *digits = rf_json_number_text(raw_, &length);
    return detail::maybe(digits, length);
  }
  /// The name of an object's member, in order.
  std::optional<std::string_view> key(std::size_t index) const & noexcept {
    std::size_t length = 0;
    const char *name = rf_json_key_at(raw_, index, &length);
    return detail::maybe(name, length);
  }

  using iterator = detail::by_index<json_value, json_value>;

  /// The elements of an array, or the values of an object's members.
  iterator begin() const & noexcept { return {*this, 0}; }
  iterator end() const noexcept { return {*this, size()}; }
  /// An object's members, each a name and a value.
  auto members() const & noexcept { return members_of<false>(*this); }

 private:
  const rf_json *raw_ = nullptr;
};

// ---- Server-sent events ----

/// A server-sent event: it lives until the next one of its response is read.
class event_view {
 public:
  constexpr event_view() noexcept = default;
  explicit constexpr event_view(const rf_event *raw) noexcept : raw_(raw) {}

  const rf_event *raw() const noexcept { return raw_; }
  std::string_view type() const noexcept { return detail::view(rf_event_type(raw_)); }
  std::string_view data() const noexcept {
    std::size_t length = 0;
    const char *data = rf_event_data(raw_, &length);
    return detail::view(data, length);
  }
  /// The last one that the stream has set; empty: none.
  std::string_view id() const noexcept { return detail::view(rf_event_id(raw_)); }
  /// How long to wait before connecting anew, if the stream has said.
  std::optional<std::chrono::milliseconds> retry() const noexcept {
    const std::int64_t ms = rf_event_retry_ms(raw_);
    if (ms < 0) return std::nullopt;
    return std::chrono::milliseconds(ms);
  }

 private:
  const rf_event *raw_ = nullptr;
};

// ---- Cookies ----

/// A cookie of a cookie_list, which has to live.
struct cookie {
  std::string_view name, value, domain, path;
  /// nullopt: it ends with the session.
  std::optional<std::chrono::system_clock::time_point> expires;
  bool secure = false, http_only = false, host_only = false;
};

/// Cookies as they were at one moment.
class cookie_list : public ownership::handle<rf_cookies, rf_cookies_free> {
 public:
  using handle::handle;

  std::size_t size() const noexcept { return rf_cookies_count(raw_); }
  bool empty() const noexcept { return size() == 0; }
  /// The one with that index, which has to be below size().
  cookie operator[](std::size_t index) const & noexcept {
    rf_cookie raw = {};
    cookie cookie;
    if (rf_cookies_at(raw_, index, &raw) != RF_OK) return cookie;
    cookie.name = detail::view(raw.name);
    cookie.value = detail::view(raw.value);
    cookie.domain = detail::view(raw.domain);
    cookie.path = detail::view(raw.path);
    if (raw.expires_s >= 0) cookie.expires = std::chrono::system_clock::time_point(std::chrono::seconds(raw.expires_s));
    cookie.secure = raw.secure;
    cookie.http_only = raw.http_only;
    cookie.host_only = raw.host_only;
    return cookie;
  }
  cookie operator[](std::size_t index) const && = delete;
  /// The value of the first one of that name and, if it is given, domain.
  std::optional<std::string_view> get(const zstring &name, const optional_zstring &domain = nullptr) const & noexcept {
    return detail::maybe(rf_cookies_get(raw_, name.c_str(), domain.c_str()));
  }
  std::optional<std::string> get(const zstring &name, const optional_zstring &domain = nullptr) const && {
    return detail::copy(get(name, domain));
  }

  using iterator = detail::by_index<const cookie_list *, cookie>;
  iterator begin() const noexcept { return {this, 0}; }
  iterator end() const noexcept { return {this, size()}; }
  static cookie_list made(rf_status status, rf_cookies *raw) {
    cookie_list list(raw);
    list.check(status);
    return list;
  }
};

// ---- Responses ----

namespace detail {

/// What response_view::attach keeps, with what tells its type.
struct attachment {
  const void *type;
};

template <class T>
struct attached : attachment {
  explicit attached(T &&value) : attachment{&tag}, value(std::move(value)) {}
  static inline char tag = 0;
  T value;
};

}  // namespace detail

/// A response that is lent: by its future, for one. What it gives lives as long as the response does.
class response_view {
 protected:
  template <bool owns, class Response>
  static auto headers_of(Response response) {
    return detail::fields<owns>(std::move(response), rf_response_header_count, rf_response_header_at);
  }
  template <bool owns, class Response>
  static auto trailers_of(Response response) {
    return detail::fields<owns>(std::move(response), rf_response_trailer_count, rf_response_trailer_at);
  }
  template <bool owns, class Response>
  static auto request_headers_of(Response response) {
    return detail::fields<owns>(std::move(response), rf_response_request_header_count, rf_response_request_header_at);
  }
  template <bool owns, class Response>
  static auto certificates_of(Response response) {
    return detail::range<owns>(
        std::move(response), [](const Response &response) { return rf_response_certificate_count(response.raw()); },
        [](const Response &response, std::size_t index) {
          std::size_t length = 0;
          const std::uint8_t *der = rf_response_certificate_at(response.raw(), index, &length);
          return detail::view(der, length);
        });
  }
  template <bool owns, class Response>
  static auto history_of(Response response) {
    return detail::range<owns>(
        std::move(response), [](const Response &response) { return rf_response_history_count(response.raw()); },
        [](const Response &response, std::size_t index) {
          return response_view(rf_response_history_at(response.raw(), index));
        });
  }
#if REQUESTS_FUTURES_EXCEPTIONS
  template <class Response>
  static auto lines_of(Response response) {
    auto next = [response = std::move(response)] { return response.read_line(); };
    return detail::sequence<decltype(next)>(std::move(next));
  }
  template <class Response>
  static auto events_of(Response response) {
    auto next = [response = std::move(response)] { return response.read_event(); };
    return detail::sequence<decltype(next)>(std::move(next));
  }
#endif

 public:
  constexpr response_view() noexcept = default;
  explicit constexpr response_view(const rf_response *raw) noexcept : raw_(raw) {}
  response_view(requests_futures::response &&) = delete;
  response_view &operator=(requests_futures::response &&) = delete;

  explicit operator bool() const noexcept { return raw_ != nullptr; }
  const rf_response *raw() const noexcept { return raw_; }
  /// One of your own, which outlives its future.
  inline response clone() const;

  int status_code() const noexcept { return rf_response_status_code(raw_); }
  std::string_view reason() const & noexcept { return detail::view(rf_response_reason(raw_)); }
  std::string_view url() const & noexcept { return detail::view(rf_response_url(raw_)); }
  bool ok() const noexcept { return rf_response_ok(raw_); }
  bool is_redirect() const noexcept { return rf_response_is_redirect(raw_); }
  bool is_permanent_redirect() const noexcept { return rf_response_is_permanent_redirect(raw_); }
  std::optional<std::string_view> header(const zstring &name) const & noexcept {
    return detail::maybe(rf_response_header(raw_, name.c_str()));
  }
  /// Name and value of each header line, in order: `for (auto [name, value] : response.headers())`.
  auto headers() const & noexcept { return headers_of<false>(*this); }
  /// The same of the fields that came after a chunked body.
  auto trailers() const & noexcept { return trailers_of<false>(*this); }
  std::chrono::microseconds elapsed() const noexcept { return std::chrono::microseconds(rf_response_elapsed_us(raw_)); }
  /// How long this hop was in that phase; nullopt: there was no such phase.
  std::optional<std::chrono::microseconds> time_in(phase phase) const noexcept {
    return time(rf_response_phase_us(raw_, static_cast<int>(phase)));
  }
  /// From submitting to the end of the body, redirects and retries included; nullopt where rf_response_total_us is negative.
  std::optional<std::chrono::microseconds> total() const noexcept { return time(rf_response_total_us(raw_)); }
  /// How often this hop was sent.
  std::uint32_t attempts() const noexcept { return rf_response_attempts(raw_); }
  bool is_reused() const noexcept { return rf_response_is_reused(raw_); }
  std::optional<std::string_view> remote_address() const & noexcept {
    return detail::maybe(rf_response_remote_address(raw_));
  }
  std::optional<std::string_view> local_address() const & noexcept {
    return detail::maybe(rf_response_local_address(raw_));
  }
  std::optional<std::string_view> http_version() const & noexcept { return detail::maybe(rf_response_http_version(raw_)); }
  std::optional<std::string_view> tls_version() const & noexcept { return detail::maybe(rf_response_tls_version(raw_)); }
  std::optional<std::string_view> tls_cipher() const & noexcept { return detail::maybe(rf_response_tls_cipher(raw_)); }
  /// The certificates that the server has sent, its own first, as DER.
  auto certificates() const & noexcept { return certificates_of<false>(*this); }
  /// The responses that came before this one, oldest first.
  auto history() const & noexcept { return history_of<false>(*this); }
  cookie_list cookies() const {
    rf_cookies *out = nullptr;
    const rf_status status = rf_response_cookies(raw_, &out);
    return cookie_list::made(status, out);
  }
  std::optional<std::string_view> link(const zstring &rel) const & noexcept {
    return detail::maybe(rf_response_link(raw_, rel.c_str()));
  }

  std::string_view request_method() const & noexcept { return detail::view(rf_response_request_method(raw_)); }
  std::string_view request_url() const & noexcept { return detail::view(rf_response_request_url(raw_)); }
  std::optional<std::string_view> request_header(const zstring &name) const & noexcept {
    return detail::maybe(rf_response_request_header(raw_, name.c_str()));
  }
  /// The header lines that were sent.
  auto request_headers() const & noexcept { return request_headers_of<false>(*this); }
  std::optional<std::string_view> request_body() const & noexcept {
    std::size_t length = 0;
    const std::uint8_t *body = rf_response_request_body(raw_, &length);
    return detail::maybe(body, length);
  }

  /// The decoded body; nullopt where it cannot be had.
  std::optional<std::string_view> try_content() const & noexcept {
    std::size_t length = 0;
    const std::uint8_t *content = rf_response_content(raw_, &length);
    return detail::maybe(content, length);
  }
  /// The body as UTF-8; nullopt where it cannot be had.
  std::optional<std::string_view> try_text() const & noexcept {
    std::size_t length = 0;
    const char *text = rf_response_text(raw_, &length);
    return detail::maybe(text, length);
  }
  std::optional<std::string_view> encoding() const & noexcept { return detail::maybe(rf_response_encoding(raw_)); }
  /// nullptr: what the bytes look like.
  requests_futures::status set_encoding(const optional_zstring &encoding) const {
    return detail::said(rf_response_set_encoding(raw_, encoding.c_str()));
  }
  std::optional<std::string_view> apparent_encoding() const & noexcept {
    return detail::maybe(rf_response_apparent_encoding(raw_));
  }
  outcome<json_value> try_json() const & noexcept {
    const rf_json *out = nullptr;
    const rf_error *error = nullptr;
    const rf_status status = rf_response_json(raw_, &out, &error);
    if (status != RF_OK) return failure<json_value>(status, error);
    return json_value(out);
  }
  /// Fails where the status is 4xx or 5xx.
  outcome<void> try_raise_for_status() const & noexcept {
    const rf_error *error = nullptr;
    const rf_status status = rf_response_raise_for_status(raw_, &error);
    if (status != RF_OK) return failure<void>(status, error);
    return {};
  }

  /// Reads up to `capacity` bytes of the body, at least one; 0: its end.
  outcome<std::size_t> try_read(void *buffer, std::size_t capacity) const & noexcept {
    std::size_t length = 0;
    const rf_error *error = nullptr;
    const rf_status status = rf_response_read(raw_, static_cast<std::uint8_t *>(buffer), capacity, &length, &error);
    if (status != RF_OK) return failure<std::size_t>(status, error);
    return length;
  }
  /// Reads a line, which lives until the next one is read; status::end: that was the last.
  outcome<std::string_view> try_read_line() const & noexcept {
    const char *line = nullptr;
    std::size_t length = 0;
    const rf_error *error = nullptr;
    const rf_status status = rf_response_read_line(raw_, &line, &length, &error);
    if (status != RF_OK) return failure<std::string_view>(status, error);
    return detail::view(line, length);
  }
  /// Reads a server-sent event, which lives until the next one is read; status::end: that was the last.
  outcome<event_view> try_read_event() const & noexcept {
    const rf_event *event = nullptr;
    const rf_error *error = nullptr;
    const rf_status status = rf_response_read_event(raw_, &event, &error);
    if (status != RF_OK) return failure<event_view>(status, error);
    return event_view(event);
  }
  /// Ends a streamed body.
  requests_futures::status close() const noexcept {
    return static_cast<requests_futures::status>(rf_response_close(raw_));
  }

#if REQUESTS_FUTURES_EXCEPTIONS
  /// The decoded body. A streamed one is first read to its end.
  std::string_view content() const & { return value_or_raise(try_content()); }
  /// The body as UTF-8.
  std::string_view text() const & { return value_or_raise(try_text()); }
  /// The body as JSON, which lives as long as the response.
  json_value json() const & { return value_or_raise(try_json()); }
  /// Throws where the status is 4xx or 5xx. Returns the response, so that calls can be chained.
  response_view raise_for_status() const {
    if (const auto raised = try_raise_for_status(); !raised) raise(raised.status(), raised.error());
    return *this;
  }
  std::size_t read(void *buffer, std::size_t capacity) const { return value_or_raise(try_read(buffer, capacity)); }
  /// nullopt: there are no more.
  std::optional<std::string_view> read_line() const & { return next_or_raise(try_read_line()); }
  std::optional<event_view> read_event() const & { return next_or_raise(try_read_event()); }
  /// What is left of the body, line by line: `for (std::string_view line : response.lines())`.
  auto lines() const & { return lines_of(*this); }
  /// What is left of the body, as server-sent events.
  auto events() const & { return events_of(*this); }
#endif

  /// Attaches a value, as a hook does with what it parsed. It is destroyed with the response, or when another one is attached.
  /// nullptr: there is no response.
  template <class T>
  T *attach(T value) const {
    auto held = std::make_unique<detail::attached<T>>(std::move(value));
    const rf_drop_fn drop = [](void *data) {
      detail::destroy(static_cast<detail::attached<T> *>(static_cast<detail::attachment *>(data)));
    };
    if (rf_response_set_data(raw_, static_cast<detail::attachment *>(held.get()), drop) != RF_OK) return nullptr;
    return &held.release()->value;
  }
  /// What was attached, if that is a T. All that is attached to a response has to be so by `attach`.
  template <class T>
  T *attached() const & noexcept {
    auto *held = static_cast<detail::attachment *>(rf_response_data(raw_));
    if (held == nullptr || held->type != &detail::attached<T>::tag) return nullptr;
    return &static_cast<detail::attached<T> *>(held)->value;
  }
  /// The bytes attached under this name, which also come back from another process.
  std::optional<std::string_view> extra(const zstring &name) const & noexcept {
    std::size_t length = 0;
    const std::uint8_t *bytes = rf_response_extra(raw_, name.c_str(), &length);
    return detail::maybe(bytes, length);
  }
  requests_futures::status set_extra(const zstring &name, std::string_view bytes) const {
    return detail::said(rf_response_set_extra(raw_, name.c_str(), bytes.data(), bytes.size()));
  }

 protected:
  static std::optional<std::chrono::microseconds> time(std::int64_t us) noexcept {
    if (us < 0) return std::nullopt;
    return std::chrono::microseconds(us);
  }
  template <class T>
  static outcome<T> failure(rf_status status, const rf_error *error) noexcept {
    return outcome<T>(static_cast<requests_futures::status>(status), error_view(error));
  }

#if REQUESTS_FUTURES_EXCEPTIONS
  [[noreturn]] void raise(requests_futures::status status, error_view why) const {
    std::shared_ptr<const void> owner;
    rf_response *own = nullptr;
    if (rf_response_clone(raw_, &own) == RF_OK) owner.reset(own, rf_response_free);
    throw error(status, why, std::move(owner));
  }
  template <class T>
  T value_or_raise(const outcome<T> &got) const {
    if (!got) raise(got.status(), got.error());
    return *got;
  }
  template <class T>
  std::optional<T> next_or_raise(const outcome<T> &got) const {
    if (got.status() == requests_futures::status::end) return std::nullopt;
    return value_or_raise(got);
  }
  /// A body that cannot be had: reading it says why.
  std::string_view value_or_raise(std::optional<std::string_view> body) const {
    if (body) return *body;
    char byte;
    const auto got = try_read(&byte, 1);
    if (!got) raise(got.status(), got.error());
    throw error(requests_futures::status::state, "The body was read before, by read, lines or events, or was closed");
  }
#endif

  const rf_response *raw_ = nullptr;
};

/// A response of one's own. One that nobody has a name for gives what outlives it: std::string instead of std::string_view,
/// ranges and JSON with the response inside.
class response : public response_view, public ownership::checked {
 public:
  constexpr response() noexcept = default;
  explicit response(rf_response *raw) noexcept : response_view(raw) {}
  response(response &&other) noexcept : response_view(std::exchange(other.raw_, nullptr)), checked(other) {}
  response &operator=(response &&other) noexcept {
    if (this != &other) {
      rf_response_free(raw());
      checked::operator=(other);
      raw_ = std::exchange(other.raw_, nullptr);
    }
    return *this;
  }
  ~response() { rf_response_free(raw()); }

  rf_response *raw() const noexcept { return const_cast<rf_response *>(raw_); }
  rf_response *release() noexcept { return const_cast<rf_response *>(std::exchange(raw_, nullptr)); }

  /// One made by hand, for hooks, adapters and tests.
  static response make(int status_code, const optional_zstring &content_type = nullptr, std::string_view body = {}) {
    rf_response *out = nullptr;
    const rf_status status = rf_response_new(status_code, content_type.c_str(), body.data(), body.size(), &out);
    return made(status, out);
  }
  /// The same with a body that is what `read(char *buffer, std::size_t capacity)` returns, 0 at the end.
  template <class Read>
  static response make_reader(int status_code, Read read, std::int64_t length = unknown_length);

  // What an object without a name gives.
  using response_view::reason;
  std::string reason() && { return detail::copy(reason()); }
  using response_view::url;
  std::string url() && { return detail::copy(url()); }
  using response_view::request_method;
  std::string request_method() && { return detail::copy(request_method()); }
  using response_view::request_url;
  std::string request_url() && { return detail::copy(request_url()); }
  using response_view::remote_address;
  std::optional<std::string> remote_address() && { return detail::copy(remote_address()); }
  using response_view::local_address;
  std::optional<std::string> local_address() && { return detail::copy(local_address()); }
  using response_view::http_version;
  std::optional<std::string> http_version() && { return detail::copy(http_version()); }
  using response_view::tls_version;
  std::optional<std::string> tls_version() && { return detail::copy(tls_version()); }
  using response_view::tls_cipher;
  std::optional<std::string> tls_cipher() && { return detail::copy(tls_cipher()); }
  using response_view::request_body;
  std::optional<std::string> request_body() && { return detail::copy(request_body()); }
  using response_view::try_content;
  std::optional<std::string> try_content() && { return detail::copy(try_content()); }
  using response_view::try_text;
  std::optional<std::string> try_text() && { return detail::copy(try_text()); }
  using response_view::encoding;
  std::optional<std::string> encoding() && { return detail::copy(encoding()); }
  using response_view::apparent_encoding;
  std::optional<std::string> apparent_encoding() && { return detail::copy(apparent_encoding()); }
  using response_view::header;
  std::optional<std::string> header(const zstring &name) && { return detail::copy(header(name)); }
  using response_view::request_header;
  std::optional<std::string> request_header(const zstring &name) && { return detail::copy(request_header(name)); }
  using response_view::link;
  std::optional<std::string> link(const zstring &rel) && { return detail::copy(link(rel)); }
  using response_view::extra;
  std::optional<std::string> extra(const zstring &name) && { return detail::copy(extra(name)); }
  using response_view::headers;
  auto headers() && { return headers_of<true>(std::move(*this)); }
  using response_view::trailers;
  auto trailers() && { return trailers_of<true>(std::move(*this)); }
  using response_view::request_headers;
  auto request_headers() && { return request_headers_of<true>(std::move(*this)); }
  using response_view::certificates;
  auto certificates() && { return certificates_of<true>(std::move(*this)); }
  using response_view::history;
  auto history() && { return history_of<true>(std::move(*this)); }
  using response_view::attached;
  /// A copy.
  template <class T>
  std::optional<T> attached() && {
    const T *value = attached<T>();
    return value != nullptr ? std::optional<T>(*value) : std::nullopt;
  }
  // What can only be lent: give the response a name.
  using response_view::try_json;
  void try_json() && = delete;
  using response_view::try_raise_for_status;
  void try_raise_for_status() && = delete;
  using response_view::try_read;
  void try_read(void *buffer, std::size_t capacity) && = delete;
  using response_view::try_read_line;
  void try_read_line() && = delete;
  using response_view::try_read_event;
  void try_read_event() && = delete;

#if REQUESTS_FUTURES_EXCEPTIONS
  using response_view::content;
  std::string content() && { return detail::copy(content()); }
  using response_view::text;
  std::string text() && { return detail::copy(text()); }
  using response_view::read_line;
  std::optional<std::string> read_line() && { return detail::copy(read_line()); }
  using response_view::read_event;
  void read_event() && = delete;
  using response_view::lines;
  auto lines() && { return lines_of(std::move(*this)); }
  using response_view::events;
  auto events() && { return events_of(std::move(*this)); }
  using response_view::json;
  inline json_document json() &&;
  /// Throws where the status is 4xx or 5xx. Returns the response, one that nobody has a name for as an owner.
  const response &raise_for_status() const & {
    response_view::raise_for_status();
    return *this;
  }
  response raise_for_status() && {
    response_view::raise_for_status();
    return std::move(*this);
  }
#endif

  response &add_header(const zstring &name, const zstring &value) & {
    check(rf_response_add_header(raw(), name.c_str(), value.c_str()));
    return *this;
  }
  response &&add_header(const zstring &name, const zstring &value) && { return std::move(add_header(name, value)); }
  response &set_reason(const zstring &reason) & {
    check(rf_response_set_reason(raw(), reason.c_str()));
    return *this;
  }
  response &&set_reason(const zstring &reason) && { return std::move(set_reason(reason)); }

  static response made(rf_status status, rf_response *raw) {
    response response(raw);
    response.check(status);
    return response;
  }
};

inline response response_view::clone() const {
  rf_response *out = nullptr;
  const rf_status status = rf_response_clone(raw_, &out);
  return requests_futures::response::made(status, out);
}

/// A value in a JSON document, and the response that it lives in: what `json()` of a response without a name gives. Asked
/// without a name it gives the same in turn, and strings of its own.
class json_document : public json_value {
 public:
  json_document() noexcept = default;
  json_document(json_value value, response owner) noexcept : json_value(value), owner_(std::move(owner)) {}

  using json_value::operator[];
  json_document operator[](const zstring &key) && { return {(*this)[key], std::move(owner_)}; }
  json_document operator[](std::size_t index) && { return {(*this)[index], std::move(owner_)}; }
  using json_value::at;
  json_document at(const zstring &pointer) && { return {at(pointer), std::move(owner_)}; }
  using json_value::as_string;
  std::optional<std::string> as_string() && { return detail::copy(as_string()); }
  using json_value::number_text;
  std::optional<std::string> number_text() && { return detail::copy(number_text()); }
  using json_value::key;
  std::optional<std::string> key(std::size_t index) && { return detail::copy(key(index)); }
  using json_value::begin;
  void begin() && = delete;
  using json_value::members;
  auto members() && { return members_of<true>(std::move(*this)); }

 private:
  response owner_;
};

#if REQUESTS_FUTURES_EXCEPTIONS
inline json_document response::json() && {
  const json_value value = json();
  return {value, std::move(*this)};
}
#endif

inline response_view error_view::response() const noexcept { return response_view(rf_error_response(raw_)); }
#if REQUESTS_FUTURES_EXCEPTIONS
inline response_view error::response() const noexcept { return view_.response(); }
#endif

// ---- Futures ----

/// A future that is lent. Everything but the handle itself is here.
class future_view {
 public:
  constexpr future_view() noexcept = default;
  explicit constexpr future_view(rf_future *raw) noexcept : raw_(raw) {}
  future_view(future &&) = delete;
  future_view &operator=(future &&) = delete;

  bool valid() const noexcept { return raw_ != nullptr; }
  explicit operator bool() const noexcept { return raw_ != nullptr; }
  rf_future *raw() const noexcept { return raw_; }
  /// What tells its request from others in a trace.
  std::uint64_t id() const noexcept { return rf_future_id(raw_); }
  /// Another handle of the same future.
  inline future clone() const;

#if REQUESTS_FUTURES_EXCEPTIONS
  /// Waits for the response. Throws what the request failed with; status::cancelled; status::timeout when the wait ended
  /// first (its kind is none: the request goes on); status::deadlock where it could never end. It may be called any number
  /// of times.
  response get(wait_time timeout = forever) const {
    const auto got = result(timeout);
    if (!got) raise(got.status(), got.error());
    return got->clone();
  }
#endif
  /// The same, without an exception and without a handle: what it gives is lent, and lives as long as the future.
  outcome<response_view> result(wait_time timeout = forever) const noexcept {
    const rf_response *out = nullptr;
    const rf_error *error = nullptr;
    const rf_status status = rf_future_result(raw_, timeout.count(), &out);
    if (status == RF_OK) return response_view(out);
    if (status == RF_FAILED || status == RF_CANCELLED) rf_future_exception(raw_, 0, &error);
    return {static_cast<requests_futures::status>(status), error_view(error)};
  }
  /// What went wrong: false where nothing did, or where it is not over in time.
  error_view exception(wait_time timeout = forever) const noexcept {
    const rf_error *error = nullptr;
    rf_future_exception(raw_, timeout.count(), &error);
    return error_view(error);
  }

  /// Waits until it is over. status::ok: it is, whatever came of it.
  requests_futures::status wait(wait_time timeout = forever) const noexcept {
    const rf_error *error = nullptr;
    return static_cast<requests_futures::status>(rf_future_exception(raw_, timeout.count(), &error));
  }
  /// As that of std::future. `deferred` where the wait could never end.
  template <class Rep, class Period>
  std::future_status wait_for(std::chrono::duration<Rep, Period> timeout) const noexcept {
    switch (wait(timeout)) {
      case requests_futures::status::ok: return std::future_status::ready;
      case requests_futures::status::timeout: return std::future_status::timeout;
      default: return std::future_status::deferred;
    }
  }
  template <class Clock, class Duration>
  std::future_status wait_until(std::chrono::time_point<Clock, Duration> until) const {
    const auto now = Clock::now();
    return until > now ? wait_for(until - now) : wait_for(Duration::zero());
  }

  /// Whether it is cancelled now, or was before: one that runs or is over is not.
  bool cancel() const noexcept { return rf_future_cancel(raw_); }
  /// Cancels it, or stops it if it runs: it fails with error_kind::aborted in a moment. False: it was over.
  bool abort() const noexcept { return rf_future_abort(raw_); }
  bool cancelled() const noexcept { return rf_future_cancelled(raw_); }
  bool running() const noexcept { return rf_future_running(raw_); }
  bool done() const noexcept { return rf_future_done(raw_); }

  /// Has `fn(future_view)` called once when it is over, or now if it is.
  template <class Fn>
  requests_futures::status add_done_callback(Fn fn) const {
    static_assert(std::is_invocable_v<Fn &, future_view> || std::is_invocable_v<Fn &>,
                  "a done callback takes a requests_futures::future_view, or nothing");
    using function = detail::own_function<Fn, future_view>;
    typename function::pointer pointer(std::move(fn));
    const rf_done_fn call = [](rf_future *future, void *user_data) {
      detail::guarded_void([&] {
        function::with(user_data, [&](auto &fn) {
          if constexpr (std::is_invocable_v<decltype(fn), future_view>) {
            fn(future_view(future));
          } else {
            fn();
          }
        });
      });
    };
    return detail::said(pointer.given(rf_future_add_done_callback(raw_, call, pointer.raw(), function::drop())));
  }

  void *user_data() const noexcept { return rf_future_user_data(raw_); }
  requests_futures::status set_user_data(void *user_data) const {
    return detail::said(rf_future_set_user_data(raw_, user_data));
  }

 protected:
#if REQUESTS_FUTURES_EXCEPTIONS
  [[noreturn]] void raise(requests_futures::status status, error_view why) const {
    std::shared_ptr<const void> owner;
    rf_future *own = nullptr;
    if (why && rf_future_clone(raw_, &own) == RF_OK) owner.reset(own, rf_future_free);
    throw error(status, why, std::move(owner));
  }
#endif

  rf_future *raw_ = nullptr;
};

/// A request that is under way, or what came of it.
class future : public future_view, public ownership::checked {
 public:
  constexpr future() noexcept = default;
  explicit constexpr future(rf_future *raw) noexcept : future_view(raw) {}
  future(future &&other) noexcept : future_view(std::exchange(other.raw_, nullptr)), checked(other) {}
  future &operator=(future &&other) noexcept {
    if (this != &other) {
      rf_future_free(raw_);
      checked::operator=(other);
      raw_ = std::exchange(other.raw_, nullptr);
    }
    return *this;
  }
  /// Neither cancels nor waits: the request goes on.
  ~future() { rf_future_free(raw_); }

  rf_future *release() noexcept { return std::exchange(raw_, nullptr); }

  /// As future_view::result. Not of a future that is about to be destroyed, whose response would be as well: keep the
  /// future, or call get().
  outcome<response_view> result(wait_time timeout = forever) const & noexcept {
    if (raw_ == nullptr && status() != requests_futures::status::ok) return {status(), error_view()};
    return future_view::result(timeout);
  }
  outcome<response_view> result(wait_time timeout = forever) const && = delete;
  error_view exception(wait_time timeout = forever) const & noexcept { return future_view::exception(timeout); }
  requests_futures::status wait(wait_time timeout = forever) const noexcept {
    if (raw_ == nullptr && status() != requests_futures::status::ok) return status();
    return future_view::wait(timeout);
  }
  error_view exception(wait_time timeout = forever) const && = delete;

  static future made(rf_status status, rf_future *raw) {
    future future(raw);
    future.check(status);
    return future;
  }
};

inline future future_view::clone() const {
  rf_future *out = nullptr;
  const rf_status status = rf_future_clone(raw_, &out);
  return future::made(status, out);
}

/// What went wrong with each is asked of the future itself.
class wait_result {
 public:
  wait_result(requests_futures::status status, std::unique_ptr<bool[]> done, std::size_t size) noexcept
      : status_(status), done_(std::move(done)), size_(size) {}

  /// status::timeout: too few are over.
  requests_futures::status status() const noexcept { return status_; }
  explicit operator bool() const noexcept { return status_ == requests_futures::status::ok; }
  std::size_t size() const noexcept { return size_; }
  /// Whether the one with that index is over.
  bool operator[](std::size_t index) const noexcept { return done_[index]; }
  /// How many are over.
  std::size_t count() const noexcept {
    std::size_t count = 0;
    for (std::size_t index = 0; index < size_; index++) count += done_[index] ? 1U : 0U;
    return count;
  }

 private:
  requests_futures::status status_;
  std::unique_ptr<bool[]> done_;
  std::size_t size_;
};

/// Waits until enough of a range of futures are over: a std::vector<future>, an array of future_view and so on.
template <class Futures>
wait_result wait(const Futures &futures, return_when when = return_when::all_completed, wait_time timeout = forever) {
  const auto size = static_cast<std::size_t>(std::distance(std::begin(futures), std::end(futures)));
  std::unique_ptr<rf_future *[]> raw(new rf_future *[size + 1]);
  std::unique_ptr<bool[]> done(new bool[size + 1]());
  std::size_t index = 0;
  for (const future_view &future : futures) raw[index++] = future.raw();
  const rf_status status = rf_wait(raw.get(), size, timeout.count(), static_cast<int>(when), done.get());
  if (status != RF_TIMEOUT) detail::said(status);
  return {static_cast<requests_futures::status>(status), std::move(done), size};
}

/// What a queue of futures has delivered: false where it has not, and status() says why.
class delivery {
 public:
  delivery(requests_futures::status status, future_view future, std::size_t index) noexcept
      : status_(status), future_(future), index_(index) {}

  explicit operator bool() const noexcept { return status_ == requests_futures::status::ok; }
  /// status::end: none is left.
  requests_futures::status status() const noexcept { return status_; }
  /// Lent until this thread takes the next one.
  future_view future() const noexcept { return future_; }
  const future_view &operator*() const noexcept { return future_; }
  future_view &operator*() noexcept { return future_; }
  const future_view *operator->() const noexcept { return &future_; }
  /// Which it was, in the order added.
  std::size_t index() const noexcept { return index_; }

 private:
  requests_futures::status status_;
  future_view future_;
  std::size_t index_;
};

/// A queue that delivers futures in the order in which they finish. More may be added at any time, by any thread.
class completed : public ownership::handle<rf_completed, rf_completed_free> {
 public:
  /// An empty one.
  completed() {
    rf_completed *out = nullptr;
    const rf_status status = rf_as_completed(nullptr, 0, &out);
    raw_ = out;
    check(status);
  }

  /// Your handle may go: the queue keeps the future until it is delivered.
  completed &add(const future_view &future) {
    check(rf_completed_add(raw_, future.raw()));
    return *this;
  }
  /// `while (auto next = queue.next()) use(*next);`
  delivery next(wait_time timeout = forever) noexcept {
    rf_future *future = nullptr;
    std::size_t index = 0;
    const rf_status status = rf_completed_next(raw_, timeout.count(), &future, &index);
    return {static_cast<requests_futures::status>(status), future_view(future), index};
  }
  /// Readable while next would not wait, for poll, epoll and event loops.
  int fd() const noexcept { return rf_completed_fd(raw_); }
};

/// What as_completed gives: a range over the futures themselves, in the order in which they finish.
template <class Futures>
class completed_range {
  using future_reference = decltype(*std::begin(std::declval<Futures &>()));

 public:
  completed_range(Futures &&futures, wait_time timeout) : futures_(std::forward<Futures>(futures)) {
    constexpr std::int64_t years = 1'000'000'000'000;  // beyond that the clock would overflow
    if (timeout.count() != RF_FOREVER && timeout.count() < years)
      until_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout.count());
    for (const future_view &future : futures_) queue_.add(future);
  }

  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = std::decay_t<future_reference>;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = future_reference;

    iterator() = default;
    explicit iterator(completed_range *range) noexcept : range_(range) {}
    reference operator*() const {
      return *std::next(std::begin(range_->futures_), static_cast<std::ptrdiff_t>(range_->index_));
    }
    iterator &operator++() {
      range_->take();
      return *this;
    }
    void operator++(int) { range_->take(); }
    friend bool operator==(const iterator &a, const iterator &b) noexcept { return a.over() == b.over(); }
    friend bool operator!=(const iterator &a, const iterator &b) noexcept { return a.over() != b.over(); }

   private:
    bool over() const noexcept { return range_ == nullptr || range_->status_ != requests_futures::status::ok; }
    completed_range *range_ = nullptr;
  };

  iterator begin() {
    take();
    return iterator(this);
  }
  iterator end() noexcept { return {}; }
  /// Why it has ended: status::end, unless the time was up or the wait could never end (which throws, where there are
  /// exceptions).
  requests_futures::status status() const noexcept { return status_; }

 private:
  void take() {
    wait_time left = forever;
    if (until_) left = *until_ - std::chrono::steady_clock::now();
    const delivery next = queue_.next(left);
    status_ = next.status();
    index_ = next.index();
#if REQUESTS_FUTURES_EXCEPTIONS
    if (!next && status_ != requests_futures::status::end) throw error(status_);
#endif
  }

  Futures futures_;
  completed queue_;
  std::optional<std::chrono::steady_clock::time_point> until_;
  requests_futures::status status_ = requests_futures::status::end;
  std::size_t index_ = 0;
};

/// `for (auto &done : as_completed(futures))`: each future of a range, a std::vector<future> say, as it finishes. `timeout` is
/// for all of them together. The range must stay as it is meanwhile: `completed` takes more at any time.
template <class Futures>
completed_range<Futures> as_completed(Futures &&futures, wait_time timeout = forever) {
  return completed_range<Futures>(std::forward<Futures>(futures), timeout);
}

#if REQUESTS_FUTURES_EXCEPTIONS

/// A std::future with the same outcome, for code that takes nothing else.
inline std::future<response> to_std_future(const future_view &future) {
  std::promise<response> promise;
  std::future<response> result = promise.get_future();
  future.add_done_callback([promise = std::move(promise)](future_view done) mutable {
    try {
      promise.set_value(done.get());
    } catch (...) {
      promise.set_exception(std::current_exception());
    }
  });
  return result;
}

#endif

#if REQUESTS_FUTURES_COROUTINES

namespace detail {

/// A coroutine that waits, for whoever is there first: the future, or the end of the coroutine.
class awaiter {
 public:
  explicit awaiter(const future_view &future) noexcept : future_(future) {}
  awaiter(const awaiter &) = delete;
  awaiter &operator=(const awaiter &) = delete;
  /// Of a coroutine that is destroyed while it waits nothing is resumed.
  ~awaiter() {
    if (waiting_ == nullptr) return;
    waiting_->coroutine.exchange(nullptr);
    waiting::let_go(waiting_);
  }
  bool await_ready() const noexcept { return future_.done(); }
  /// The coroutine may go on elsewhere, and be over, before this returns: nothing of it is touched afterwards.
  bool await_suspend(std::coroutine_handle<> coroutine) {
    waiting *const own = waiting_ = new waiting{{coroutine.address()}, {2}};
    const rf_done_fn resume = [](rf_future *, void *user_data) {
      guarded_void([&] {
        if (void *address = static_cast<waiting *>(user_data)->coroutine.exchange(nullptr); address != nullptr)
          std::coroutine_handle<>::from_address(address).resume();
      });
    };
    if (rf_future_add_done_callback(future_.raw(), resume, own, waiting::let_go) == RF_OK) return true;
    waiting::let_go(own);
    return false;
  }
#if REQUESTS_FUTURES_EXCEPTIONS
  response await_resume() const { return future_.get(std::chrono::milliseconds(0)); }
#else
  outcome<response_view> await_resume() const noexcept { return future_.result(std::chrono::milliseconds(0)); }
#endif

 private:
  struct waiting {
    std::atomic<void *> coroutine;
    std::atomic<int> owners;

    static void let_go(void *own) noexcept {
      if (static_cast<waiting *>(own)->owners.fetch_sub(1) == 1) delete static_cast<waiting *>(own);
    }
  };

  future_view future_;
  waiting *waiting_ = nullptr;
};

}  // namespace detail

/// `co_await future` gives the response, or throws as get() does; without exceptions it gives an outcome, as result() does.
inline detail::awaiter operator co_await(const future_view &future) noexcept { return detail::awaiter(future); }
#if !REQUESTS_FUTURES_EXCEPTIONS
/// The response would be gone with the future: keep that.
detail::awaiter operator co_await(future &&future) = delete;
#endif

#endif

// ---- What functions are given ----

namespace detail {

/// Calls `call` with a function, and has what it throws told by `failed(kind, message)`.
template <class Function, class Call, class Failed>
rf_status called(void *user_data, Call &&call, Failed &&failed) noexcept {
  return guarded([&] { return Function::with(user_data, std::forward<Call>(call)); }, std::forward<Failed>(failed));
}

/// The functions of a body: what reads it and, if there is one, what goes back to its start.
template <class Read, class Rewind>
struct reader {
  Read read;
  Rewind rewind;

  static constexpr bool can_rewind = !std::is_null_pointer_v<Rewind>;

  static std::int64_t call(std::uint8_t *buffer, std::size_t capacity, void *user_data) noexcept {
    static_assert(std::is_integral_v<std::invoke_result_t<Read &, char *, std::size_t>>,
                  "a reader takes a buffer and its size, and returns how many bytes it has put there");
    const auto body = [&] {
      return static_cast<std::int64_t>(
          static_cast<reader *>(user_data)->read(reinterpret_cast<char *>(buffer), capacity));
    };
    return guarded_or(body, -1);
  }
  static rf_status go_back(void *user_data) noexcept {
    if constexpr (can_rewind) {
      return guarded_or([&] { return answer(static_cast<reader *>(user_data)->rewind); }, RF_FAILED);
    } else {
      return RF_FAILED;
    }
  }
  static constexpr rf_rewind_fn rewind_fn() noexcept { return can_rewind ? go_back : nullptr; }
  static void drop(void *user_data) noexcept { destroy(static_cast<reader *>(user_data)); }
};

template <class T>
using if_function = std::enable_if_t<!std::is_arithmetic_v<T>>;

/// Bytes that are no text.
template <class Bytes>
using if_bytes = std::enable_if_t<sizeof(*std::data(std::declval<const Bytes &>())) == 1 &&
                                  !std::is_convertible_v<const Bytes &, std::string_view>>;

}  // namespace detail

template <class Read>
response response::make_reader(int status_code, Read read, std::int64_t length) {
  using reader = detail::reader<Read, std::nullptr_t>;
  auto held = std::unique_ptr<reader>(new reader{std::move(read), nullptr});
  rf_response *out = nullptr;
  const rf_status status = rf_response_new_reader(status_code, reader::call, length, held.get(), reader::drop, &out);
  if (status == RF_OK) held.release();
  return made(status, out);
}

/// One call of a hook. It lives as long as the call.
class hook_call {
 public:
  explicit hook_call(rf_hook_call *raw) noexcept : raw_(raw) {}
  hook_call(const hook_call &) = delete;
  hook_call &operator=(const hook_call &) = delete;

  rf_hook_call *raw() const noexcept { return raw_; }
  /// `return call.fail("why");` fails the request.
  status fail(const zstring &message) noexcept { return static_cast<status>(rf_hook_fail(raw_, message.c_str())); }
  /// Puts another response in this one's place.
  status replace(const response_view &replacement) {
    return detail::said(rf_hook_replace(raw_, replacement.raw()));
  }
  inline session_view session() const noexcept;

 private:
  rf_hook_call *raw_;
};

/// A request about to be sent. It lives as long as the call of the function that it is given to.
class prepared_request : public ownership::checked {
 public:
  explicit prepared_request(rf_prepared *raw) noexcept : raw_(raw) {}
  prepared_request(const prepared_request &) = delete;
  prepared_request &operator=(const prepared_request &) = delete;

  rf_prepared *raw() const noexcept { return raw_; }
  std::string_view method() const noexcept { return detail::view(rf_prepared_method(raw_)); }
  std::string_view url() const noexcept { return detail::view(rf_prepared_url(raw_)); }
  std::optional<std::string_view> header(const zstring &name) const noexcept {
    return detail::maybe(rf_prepared_header(raw_, name.c_str()));
  }
  /// Name and value of each header line.
  auto headers() const noexcept {
    return detail::fields<false>(lent{raw_}, rf_prepared_header_count, rf_prepared_header_at);
  }
  /// nullptr takes it out. What cannot be set fails the request, unless you catch it.
  requests_futures::status set_header(const zstring &name, const optional_zstring &value) {
    return said(rf_prepared_set_header(raw_, name.c_str(), value.c_str()));
  }
  requests_futures::status set_query(const optional_zstring &raw_query) {
    return said(rf_prepared_set_query(raw_, raw_query.c_str()));
  }
  /// The body, where it lies in memory as a whole.
  std::optional<std::string_view> body() const noexcept {
    std::size_t length = 0;
    const std::uint8_t *body = rf_prepared_body(raw_, &length);
    return detail::maybe(body, length);
  }
  std::int64_t body_length() const noexcept { return rf_prepared_body_length(raw_); }
  /// Reads the body as it goes out; 0: its end. status::failed: return that.
  outcome<std::size_t> try_read_body(void *buffer, std::size_t capacity) noexcept {
    std::size_t length = 0;
    const rf_status read = rf_prepared_read_body(raw_, static_cast<std::uint8_t *>(buffer), capacity, &length);
    if (read != RF_OK) return {static_cast<requests_futures::status>(read), error_view()};
    return length;
  }
#if REQUESTS_FUTURES_EXCEPTIONS
  std::size_t read_body(void *buffer, std::size_t capacity) {
    const auto got = try_read_body(buffer, capacity);
    if (!got) throw error(detail::told{}, got.status(), error_view());
    return *got;
  }
#endif
  std::uint32_t hop() const noexcept { return rf_prepared_hop(raw_); }
  std::uint32_t attempt() const noexcept { return rf_prepared_attempt(raw_); }
  std::uint32_t challenges() const noexcept { return rf_prepared_challenges(raw_); }
  inline session_view session() const noexcept;
  bool is_stopped() const noexcept { return rf_prepared_is_stopped(raw_); }
  /// `return prepared.fail("why");` fails the request.
  requests_futures::status fail(const zstring &message) noexcept { return static_cast<requests_futures::status>(rf_prepared_fail(raw_, message.c_str())); }
  requests_futures::status fail(error_kind kind, const zstring &message) noexcept {
    return static_cast<requests_futures::status>(rf_prepared_fail_as(raw_, static_cast<int>(kind), message.c_str()));
  }
  /// Answers it, from inside of an adapter.
  requests_futures::status respond(const response_view &response) noexcept {
    return static_cast<requests_futures::status>(rf_prepared_respond(raw_, response.raw()));
  }

 private:
  requests_futures::status said(rf_status status) {
    check(status);
    return static_cast<requests_futures::status>(status);
  }
  struct lent {
    rf_prepared *raw_;
    rf_prepared *raw() const noexcept { return raw_; }
  };
  rf_prepared *raw_;
};

/// How far a request has come, in bytes as they go over the wire; a total is -1 while it is unknown.
struct transfer {
  std::int64_t sent, send_total, received, receive_total;
};

namespace detail {

/// Has what a function throws told as the failure of what is prepared.
inline auto failing(rf_prepared *prepared) noexcept {
  return [prepared](error_kind kind, const char *message) noexcept {
    const rf_status status = rf_prepared_fail_as(prepared, static_cast<int>(kind), message);
    return status == RF_FAILED ? status : rf_prepared_fail(prepared, message);
  };
}

/// What a function has answered, or what it could not set.
inline rf_status answered(rf_status status, prepared_request &prepared) noexcept {
  if (status != RF_OK || prepared.status() == requests_futures::status::ok) return status;
  return answered(prepared.fail("What the function has set is out of range, holds a NUL or is not UTF-8"));
}

template <class Prepare>
rf_status prepare(const Prepare &prepare, rf_prepared *raw) {
  static_assert(std::is_invocable_v<const Prepare &, prepared_request &>,
                "such a function takes a requests_futures::prepared_request&, and is called by many threads at once: "
                "it is not mutable");
  prepared_request prepared(raw);
  return answered(answer(prepare, prepared), prepared);
}

/// Authentication of one's own: two functions, one of which may be nullptr.
template <class Prepare, class Challenge>
struct authentication {
  Prepare prepare;
  Challenge challenge;

  static rf_status call_prepare(rf_prepared *raw, void *user_data) noexcept {
    if constexpr (std::is_null_pointer_v<Prepare>) {
      return RF_OK;
    } else {
      const auto *own = static_cast<const authentication *>(user_data);
      return guarded([&] { return detail::prepare(own->prepare, raw); }, failing(raw));
    }
  }
  static rf_status call_challenge(rf_prepared *raw, const rf_response *response, void *user_data) noexcept {
    if constexpr (std::is_null_pointer_v<Challenge>) {
      return RF_OK;
    } else {
      static_assert(std::is_invocable_v<const Challenge &, prepared_request &, response_view>,
                    "a challenge function takes a prepared_request& and a response_view, and is not mutable");
      const auto *own = static_cast<const authentication *>(user_data);
      return guarded(
          [&] {
            prepared_request prepared(raw);
            return answered(answer(own->challenge, prepared, response_view(response)), prepared);
          },
          failing(raw));
    }
  }
  static void drop(void *user_data) noexcept { destroy(static_cast<authentication *>(user_data)); }
};

}  // namespace detail

// ---- Adapters ----

class config;

/// What sends requests.
class adapter : public ownership::handle<rf_adapter, rf_adapter_free> {
 public:
  using handle::handle;

  /// One that sends over connections, with the pool, limits and retries that a configuration says.
  static inline adapter http(const config &config);
  static adapter http() {
    rf_adapter *out = nullptr;
    const rf_status status = rf_adapter_new_http(nullptr, &out);
    return made(status, out);
  }
  /// One of your own: `send(prepared_request &)` returns the response; or nothing or a status, having called
  /// prepared_request::respond.
  template <class Send>
  static adapter custom(Send send) {
    static_assert(
        std::is_invocable_v<const Send &, prepared_request &>,
        "send takes a requests_futures::prepared_request&, and is called by many threads at once: it is not mutable");
    using function = detail::shared_function<Send>;
    typename function::pointer pointer(std::move(send));
    rf_adapter_ops ops = {};
    ops.size = sizeof ops;
    ops.send = [](rf_prepared *raw, void *user_data) {
      return detail::called<function>(
          user_data,
          [&](const Send &send) {
            prepared_request prepared(raw);
            if constexpr (std::is_convertible_v<std::invoke_result_t<const Send &, prepared_request &>,
                                                const response_view &>) {
              return rf_prepared_respond(raw, static_cast<const response_view &>(send(prepared)).raw());
            } else {
              return detail::answered(detail::answer(send, prepared), prepared);
            }
          },
          detail::failing(raw));
    };
    rf_adapter *out = nullptr;
    const rf_status status = pointer.given(rf_adapter_new_custom(&ops, pointer.raw(), function::drop(), &out));
    return made(status, out);
  }

  /// Sends, from inside of an adapter of your own, what was prepared. The error lives until that function returns.
  outcome<response> try_send(prepared_request &prepared) const {
    rf_response *out = nullptr;
    const rf_error *error = nullptr;
    const rf_status status = rf_adapter_send(raw_, prepared.raw(), &out, &error);
    if (status != RF_OK) return {static_cast<requests_futures::status>(status), error_view(error)};
    return response(out);
  }
#if REQUESTS_FUTURES_EXCEPTIONS
  /// The same. What it throws becomes the request's failure, as it is, where nobody catches it.
  response send(prepared_request &prepared) const {
    auto got = try_send(prepared);
    if (!got) throw error(detail::told{}, got.status(), got.error());
    return std::move(*got);
  }
#endif

 private:
  static adapter made(rf_status status, rf_adapter *raw) {
    adapter adapter(raw);
    adapter.check(status);
    return adapter;
  }
};

// ---- Retries ----

/// When a request is tried again: at most `total` times after the first.
class retry : public ownership::handle<rf_retry, rf_retry_free> {
 public:
  using handle::handle;
  explicit retry(std::uint32_t total) {
    rf_retry *out = nullptr;
    const rf_status status = rf_retry_new(total, &out);
    raw_ = out;
    check(status);
  }

  retry &set_connect(std::uint32_t limit) & { return did(*this, rf_retry_set_connect(raw_, limit)); }
  retry &&set_connect(std::uint32_t limit) && { return std::move(set_connect(limit)); }
  retry &set_read(std::uint32_t limit) & { return did(*this, rf_retry_set_read(raw_, limit)); }
  retry &&set_read(std::uint32_t limit) && { return std::move(set_read(limit)); }
  retry &set_status(std::uint32_t limit) & { return did(*this, rf_retry_set_status(raw_, limit)); }
  retry &&set_status(std::uint32_t limit) && { return std::move(set_status(limit)); }
  /// A range of statuses, both ends included.
  retry &add_status(int first, int last) & { return did(*this, rf_retry_add_status(raw_, first, last)); }
  retry &&add_status(int first, int last) && { return std::move(add_status(first, last)); }
  retry &set_methods(const zstring &methods) & { return did(*this, rf_retry_set_methods(raw_, methods.c_str())); }
  retry &&set_methods(const zstring &methods) && { return std::move(set_methods(methods)); }
  retry &set_backoff(time_limit first, time_limit most, double jitter) & {
    return did(*this, rf_retry_set_backoff(raw_, first.count(), most.count(), jitter));
  }
  retry &&set_backoff(time_limit first, time_limit most, double jitter) && {
    return std::move(set_backoff(first, most, jitter));
  }
  retry &set_retry_after(bool respect, time_limit most) & {
    return did(*this, rf_retry_set_retry_after(raw_, respect, most.count()));
  }
  retry &&set_retry_after(bool respect, time_limit most) && { return std::move(set_retry_after(respect, most)); }
  retry &set_raise_on_status(bool raise) & { return did(*this, rf_retry_set_raise_on_status(raw_, raise)); }
  retry &&set_raise_on_status(bool raise) && { return std::move(set_raise_on_status(raise)); }
  retry &set_budget(double share) & { return did(*this, rf_retry_set_budget(raw_, share)); }
  retry &&set_budget(double share) && { return std::move(set_budget(share)); }
};

// ---- Options ----

/// What a request can say, and a session's defaults. Setters return the options, so that calls can be chained:
/// `session.post(url, rf::options().set_json(text).set_deadline(10s))`. One thread at a time.
class options : public ownership::handle<rf_options, rf_options_free> {
 public:
  options() {
    rf_options *out = nullptr;
    const rf_status status = rf_options_new(&out);
    raw_ = out;
    check(status);
  }
  explicit options(rf_options *raw) noexcept : handle(raw) {}
  /// A copy. Functions are shared with it.
  options clone() const {
    rf_options *out = nullptr;
    const rf_status status = rf_options_clone(raw_, &out);
    options copy(out);
    copy.check(status);
    return copy;
  }

  // Headers and query. nullptr takes a default out.
  options &set_header(const zstring &name, const optional_zstring &value) & {
    return did(*this, rf_options_set_header(raw_, name.c_str(), value.c_str()));
  }
  options &&set_header(const zstring &name, const optional_zstring &value) && {
    return std::move(set_header(name, value));
  }
  options &add_header(const zstring &name, const zstring &value) & {
    return did(*this, rf_options_add_header(raw_, name.c_str(), value.c_str()));
  }
  options &&add_header(const zstring &name, const zstring &value) && { return std::move(add_header(name, value)); }
  options &add_param(const zstring &name, const optional_zstring &value) & {
    return did(*this, rf_options_add_param(raw_, name.c_str(), value.c_str()));
  }
  options &&add_param(const zstring &name, const optional_zstring &value) && {
    return std::move(add_param(name, value));
  }
  options &set_query(const zstring &raw_query) & { return did(*this, rf_options_set_query(raw_, raw_query.c_str())); }
  options &&set_query(const zstring &raw_query) && { return std::move(set_query(raw_query)); }

  // The body.
  /// A copy of these bytes.
  options &set_body(std::string_view bytes) & {
    return did(*this, rf_options_set_body(raw_, bytes.data(), bytes.size()));
  }
  options &&set_body(std::string_view bytes) && { return std::move(set_body(bytes)); }
  /// The same of a std::vector<std::uint8_t>, a std::span<const std::byte> and so on.
  template <class Bytes, class = detail::if_bytes<Bytes>>
  options &set_body(const Bytes &bytes) & {
    return did(*this, rf_options_set_body(raw_, std::data(bytes), std::size(bytes)));
  }
  template <class Bytes, class = detail::if_bytes<Bytes>>
  options &&set_body(const Bytes &bytes) && {
    return std::move(set_body(bytes));
  }
  /// What `owner` holds, a std::vector or std::string say, which is moved in and kept until nobody needs it any more.
  template <class Owner>
  options &set_body_borrowed(Owner owner) & {
    auto held = std::make_unique<Owner>(std::move(owner));
    const auto *bytes = std::data(*held);
    const std::size_t length = std::size(*held) * sizeof *bytes;
    return borrow(bytes, length, std::move(held));
  }
  template <class Owner>
  options &&set_body_borrowed(Owner owner) && {
    return std::move(set_body_borrowed(std::move(owner)));
  }
  /// Bytes that are not copied: `owner`, whatever it is, is kept until nobody needs them any more. They must not lie inside
  /// of it, as those of a short std::string do: it is moved.
  template <class Owner>
  options &set_body_borrowed(std::string_view bytes, Owner owner) & {
    return borrow(bytes.data(), bytes.size(), std::make_unique<Owner>(std::move(owner)));
  }
  template <class Owner>
  options &&set_body_borrowed(std::string_view bytes, Owner owner) && {
    return std::move(set_body_borrowed(bytes, std::move(owner)));
  }
  options &set_body_file(const zstring &path) & { return did(*this, rf_options_set_body_file(raw_, path.c_str())); }
  options &&set_body_file(const zstring &path) && { return std::move(set_body_file(path)); }
  /// What `read(char *buffer, std::size_t capacity)` returns, 0 at the end. It is sent once: what cannot be rewound is not tried again.
  template <class Read>
  options &set_body_reader(Read read, std::int64_t length = unknown_length) & {
    set_reader(detail::reader<Read, std::nullptr_t>{std::move(read), nullptr}, length);
    return *this;
  }
  template <class Read>
  options &&set_body_reader(Read read, std::int64_t length = unknown_length) && {
    return std::move(set_body_reader(std::move(read), length));
  }
  /// The same with `rewind()`, which goes back to the start.
  template <class Read, class Rewind, class = detail::if_function<Rewind>>
  options &set_body_reader(Read read, Rewind rewind, std::int64_t length = unknown_length) & {
    set_reader(detail::reader<Read, Rewind>{std::move(read), std::move(rewind)}, length);
    return *this;
  }
  template <class Read, class Rewind, class = detail::if_function<Rewind>>
  options &&set_body_reader(Read read, Rewind rewind, std::int64_t length = unknown_length) && {
    return std::move(set_body_reader(std::move(read), std::move(rewind), length));
  }
  options &set_json(const zstring &json) & { return did(*this, rf_options_set_json(raw_, json.c_str())); }
  options &&set_json(const zstring &json) && { return std::move(set_json(json)); }
  options &add_form(const zstring &name, const zstring &value) & {
    return did(*this, rf_options_add_form(raw_, name.c_str(), value.c_str()));
  }
  options &&add_form(const zstring &name, const zstring &value) && { return std::move(add_form(name, value)); }
  options &add_part(const zstring &name, const optional_zstring &filename, const optional_zstring &content_type,
                    std::string_view bytes) & {
    return did(*this, rf_options_add_part(raw_, name.c_str(), filename.c_str(), content_type.c_str(), bytes.data(),
                                          bytes.size()));
  }
  options &&add_part(const zstring &name, const optional_zstring &filename, const optional_zstring &content_type,
                     std::string_view bytes) && {
    return std::move(add_part(name, filename, content_type, bytes));
  }
  /// A part that is read when its turn comes, as set_body_reader says.
  template <class Read>
  options &add_part_reader(const zstring &name, const optional_zstring &filename, const optional_zstring &content_type,
                           Read read, std::int64_t length = unknown_length) & {
    add_reader(name, filename, content_type, detail::reader<Read, std::nullptr_t>{std::move(read), nullptr}, length);
    return *this;
  }
  template <class Read>
  options &&add_part_reader(const zstring &name, const optional_zstring &filename, const optional_zstring &content_type,
                            Read read, std::int64_t length = unknown_length) && {
    return std::move(add_part_reader(name, filename, content_type, std::move(read), length));
  }
  template <class Read, class Rewind, class = detail::if_function<Rewind>>
  options &add_part_reader(const zstring &name, const optional_zstring &filename, const optional_zstring &content_type,
                           Read read, Rewind rewind, std::int64_t length = unknown_length) & {
    add_reader(name, filename, content_type, detail::reader<Read, Rewind>{std::move(read), std::move(rewind)}, length);
    return *this;
  }
  template <class Read, class Rewind, class = detail::if_function<Rewind>>
  options &&add_part_reader(const zstring &name, const optional_zstring &filename, const optional_zstring &content_type,
                            Read read, Rewind rewind, std::int64_t length = unknown_length) && {
    return std::move(add_part_reader(name, filename, content_type, std::move(read), std::move(rewind), length));
  }
  options &add_file(const zstring &name, const zstring &path, const optional_zstring &content_type = nullptr) & {
    return did(*this, rf_options_add_file(raw_, name.c_str(), path.c_str(), content_type.c_str()));
  }
  options &&add_file(const zstring &name, const zstring &path, const optional_zstring &content_type = nullptr) && {
    return std::move(add_file(name, path, content_type));
  }
  options &add_file_as(const zstring &name, const zstring &path, const optional_zstring &filename,
                       const optional_zstring &content_type = nullptr) & {
    return did(*this, rf_options_add_file_as(raw_, name.c_str(), path.c_str(), filename.c_str(), content_type.c_str()));
  }
  options &&add_file_as(const zstring &name, const zstring &path, const optional_zstring &filename,
                        const optional_zstring &content_type = nullptr) && {
    return std::move(add_file_as(name, path, filename, content_type));
  }

  // Cookies and credentials.
  options &set_cookie(const zstring &name, const zstring &value) & {
    return did(*this, rf_options_set_cookie(raw_, name.c_str(), value.c_str()));
  }
  options &&set_cookie(const zstring &name, const zstring &value) && { return std::move(set_cookie(name, value)); }
  options &set_auth_basic(const zstring &user, const zstring &password) & {
    return did(*this, rf_options_set_auth_basic(raw_, user.c_str(), password.c_str()));
  }
  options &&set_auth_basic(const zstring &user, const zstring &password) && {
    return std::move(set_auth_basic(user, password));
  }
  options &set_auth_digest(const zstring &user, const zstring &password) & {
    return did(*this, rf_options_set_auth_digest(raw_, user.c_str(), password.c_str()));
  }
  options &&set_auth_digest(const zstring &user, const zstring &password) && {
    return std::move(set_auth_digest(user, password));
  }
  options &set_auth_bearer(const zstring &token) & {
    return did(*this, rf_options_set_auth_bearer(raw_, token.c_str()));
  }
  options &&set_auth_bearer(const zstring &token) && { return std::move(set_auth_bearer(token)); }
  options &set_auth_none() & { return did(*this, rf_options_set_auth_none(raw_)); }
  options &&set_auth_none() && { return std::move(set_auth_none()); }
  /// Authentication of your own: `prepare(prepared_request &)` before each sending, and `challenge(prepared_request &,
  /// response_view)` after each answer, which may return status::again. One of them may be nullptr.
  template <class Prepare, class Challenge = std::nullptr_t>
  options &set_auth_custom(Prepare prepare, Challenge challenge = nullptr, bool everywhere = false) & {
    using functions = detail::authentication<Prepare, Challenge>;
    auto held = std::unique_ptr<functions>(new functions{std::move(prepare), std::move(challenge)});
    const rf_prepare_fn call_prepare = std::is_null_pointer_v<Prepare> ? nullptr : functions::call_prepare;
    const rf_challenge_fn call_challenge = std::is_null_pointer_v<Challenge> ? nullptr : functions::call_challenge;
    const rf_status status =
        rf_options_set_auth_custom(raw_, call_prepare, call_challenge, everywhere, held.get(), functions::drop);
    if (status == RF_OK) held.release();
    check(status);
    return *this;
  }
  template <class Prepare, class Challenge = std::nullptr_t>
  options &&set_auth_custom(Prepare prepare, Challenge challenge = nullptr, bool everywhere = false) && {
    return std::move(set_auth_custom(std::move(prepare), std::move(challenge), everywhere));
  }
  /// The same with functions of C and bytes, for worker processes.
  options &set_auth_custom_bytes(rf_prepare_fn prepare, rf_challenge_fn challenge, bool everywhere,
                                 std::string_view bytes) & {
    return did(*this,
               rf_options_set_auth_custom_bytes(raw_, prepare, challenge, everywhere, bytes.data(), bytes.size()));
  }
  options &&set_auth_custom_bytes(rf_prepare_fn prepare, rf_challenge_fn challenge, bool everywhere,
                                  std::string_view bytes) && {
    return std::move(set_auth_custom_bytes(prepare, challenge, everywhere, bytes));
  }

  // Time, speed and order.
  options &set_timeout(time_limit connect, time_limit read) & {
    return did(*this, rf_options_set_timeout(raw_, connect.count(), read.count()));
  }
  options &&set_timeout(time_limit connect, time_limit read) && { return std::move(set_timeout(connect, read)); }
  options &set_deadline(time_limit total) & { return did(*this, rf_options_set_deadline(raw_, total.count())); }
  options &&set_deadline(time_limit total) && { return std::move(set_deadline(total)); }
  options &set_queue_timeout(time_limit longest) & {
    return did(*this, rf_options_set_queue_timeout(raw_, longest.count()));
  }
  options &&set_queue_timeout(time_limit longest) && { return std::move(set_queue_timeout(longest)); }
  options &set_speed_limit(std::uint64_t send_bytes_per_s, std::uint64_t receive_bytes_per_s) & {
    return did(*this, rf_options_set_speed_limit(raw_, send_bytes_per_s, receive_bytes_per_s));
  }
  options &&set_speed_limit(std::uint64_t send_bytes_per_s, std::uint64_t receive_bytes_per_s) && {
    return std::move(set_speed_limit(send_bytes_per_s, receive_bytes_per_s));
  }
  options &set_low_speed(std::uint64_t bytes_per_s, time_limit during) & {
    return did(*this, rf_options_set_low_speed(raw_, bytes_per_s, during.count()));
  }
  options &&set_low_speed(std::uint64_t bytes_per_s, time_limit during) && {
    return std::move(set_low_speed(bytes_per_s, during));
  }
  options &set_priority(int priority) & { return did(*this, rf_options_set_priority(raw_, priority)); }
  options &&set_priority(int priority) && { return std::move(set_priority(priority)); }

  // Redirects and retries.
  options &set_allow_redirects(bool allow) & { return did(*this, rf_options_set_allow_redirects(raw_, allow)); }
  options &&set_allow_redirects(bool allow) && { return std::move(set_allow_redirects(allow)); }
  options &set_max_redirects(std::uint32_t limit) & { return did(*this, rf_options_set_max_redirects(raw_, limit)); }
  options &&set_max_redirects(std::uint32_t limit) && { return std::move(set_max_redirects(limit)); }
  options &set_retry(const retry &retry) & {
    return did(*this, retry ? rf_options_set_retry(raw_, retry.raw()) : RF_E_NULL);
  }
  options &&set_retry(const retry &retry) && { return std::move(set_retry(retry)); }
  /// The session's again.
  options &set_retry(std::nullptr_t) & { return did(*this, rf_options_set_retry(raw_, nullptr)); }
  options &&set_retry(std::nullptr_t) && { return std::move(set_retry(nullptr)); }
  options &set_repeatable(bool repeatable) & { return did(*this, rf_options_set_repeatable(raw_, repeatable)); }
  options &&set_repeatable(bool repeatable) && { return std::move(set_repeatable(repeatable)); }
  options &set_expect_continue(time_limit wait) & {
    return did(*this, rf_options_set_expect_continue(raw_, wait.count()));
  }
  options &&set_expect_continue(time_limit wait) && { return std::move(set_expect_continue(wait)); }

  // Proxies and the environment.
  options &set_proxy(const zstring &key, const optional_zstring &url) & {
    return did(*this, rf_options_set_proxy(raw_, key.c_str(), url.c_str()));
  }
  options &&set_proxy(const zstring &key, const optional_zstring &url) && { return std::move(set_proxy(key, url)); }
  options &set_no_proxy(const optional_zstring &list) & {
    return did(*this, rf_options_set_no_proxy(raw_, list.c_str()));
  }
  options &&set_no_proxy(const optional_zstring &list) && { return std::move(set_no_proxy(list)); }
  options &set_trust_env(bool trust) & { return did(*this, rf_options_set_trust_env(raw_, trust)); }
  options &&set_trust_env(bool trust) && { return std::move(set_trust_env(trust)); }

  // TLS.
  options &set_verify(bool verify) & { return did(*this, rf_options_set_verify(raw_, verify)); }
  options &&set_verify(bool verify) && { return std::move(set_verify(verify)); }
  options &set_ca_bundle(const optional_zstring &path) & {
    return did(*this, rf_options_set_ca_bundle(raw_, path.c_str()));
  }
  options &&set_ca_bundle(const optional_zstring &path) && { return std::move(set_ca_bundle(path)); }
  options &set_ca_pem(std::string_view pem) & {
    return did(*this, rf_options_set_ca_pem(raw_, pem.data(), pem.size()));
  }
  options &&set_ca_pem(std::string_view pem) && { return std::move(set_ca_pem(pem)); }
  options &set_cert(const optional_zstring &cert_path, const optional_zstring &key_path = nullptr) & {
    return did(*this, rf_options_set_cert(raw_, cert_path.c_str(), key_path.c_str()));
  }
  options &&set_cert(const optional_zstring &cert_path, const optional_zstring &key_path = nullptr) && {
    return std::move(set_cert(cert_path, key_path));
  }
  options &set_cert_pem(std::string_view cert, std::string_view key = {}) & {
    return did(*this, rf_options_set_cert_pem(raw_, cert.data(), cert.size(), key.data(), key.size()));
  }
  options &&set_cert_pem(std::string_view cert, std::string_view key = {}) && {
    return std::move(set_cert_pem(cert, key));
  }
  options &set_cert_pkcs12(const optional_zstring &path, const optional_zstring &password = nullptr) & {
    return did(*this, rf_options_set_cert_pkcs12(raw_, path.c_str(), password.c_str()));
  }
  options &&set_cert_pkcs12(const optional_zstring &path, const optional_zstring &password = nullptr) && {
    return std::move(set_cert_pkcs12(path, password));
  }
  options &set_key_password(const optional_zstring &password) & {
    return did(*this, rf_options_set_key_password(raw_, password.c_str()));
  }
  options &&set_key_password(const optional_zstring &password) && { return std::move(set_key_password(password)); }
  options &set_tls_versions(tls_version lowest, tls_version highest = tls_version::any) & {
    return did(*this, rf_options_set_tls_versions(raw_, static_cast<int>(lowest), static_cast<int>(highest)));
  }
  options &&set_tls_versions(tls_version lowest, tls_version highest = tls_version::any) && {
    return std::move(set_tls_versions(lowest, highest));
  }
  options &set_pinned_keys(const optional_zstring &pins) & {
    return did(*this, rf_options_set_pinned_keys(raw_, pins.c_str()));
  }
  options &&set_pinned_keys(const optional_zstring &pins) && { return std::move(set_pinned_keys(pins)); }
  options &set_server_name(const optional_zstring &name) & {
    return did(*this, rf_options_set_server_name(raw_, name.c_str()));
  }
  options &&set_server_name(const optional_zstring &name) && { return std::move(set_server_name(name)); }

  // What becomes of the response.
  options &set_stream(bool stream = true) & { return did(*this, rf_options_set_stream(raw_, stream)); }
  options &&set_stream(bool stream = true) && { return std::move(set_stream(stream)); }
  options &set_decode(bool decode) & { return did(*this, rf_options_set_decode(raw_, decode)); }
  options &&set_decode(bool decode) && { return std::move(set_decode(decode)); }
  options &set_raise_for_status(bool raise = true) & {
    return did(*this, rf_options_set_raise_for_status(raw_, raise));
  }
  options &&set_raise_for_status(bool raise = true) && { return std::move(set_raise_for_status(raise)); }
  options &set_max_body(std::uint64_t bytes) & { return did(*this, rf_options_set_max_body(raw_, bytes)); }
  options &&set_max_body(std::uint64_t bytes) && { return std::move(set_max_body(bytes)); }
  options &set_output_file(const zstring &path) & { return did(*this, rf_options_set_output_file(raw_, path.c_str())); }
  options &&set_output_file(const zstring &path) && { return std::move(set_output_file(path)); }
  options &set_output_mode(output_mode mode) & {
    return did(*this, rf_options_set_output_mode(raw_, static_cast<int>(mode)));
  }
  options &&set_output_mode(output_mode mode) && { return std::move(set_output_mode(mode)); }
  options &set_output_fd(int fd) & { return did(*this, rf_options_set_output_fd(raw_, fd)); }
  options &&set_output_fd(int fd) && { return std::move(set_output_fd(fd)); }
  /// `write(std::string_view piece)` gets the decoded body, on the worker.
  template <class Write>
  options &set_output(Write write) & {
    static_assert(std::is_invocable_v<Write &, std::string_view>, "an output takes a std::string_view");
    using function = detail::own_function<Write, std::string_view>;
    typename function::pointer pointer(std::move(write));
    const rf_write_fn call = [](const std::uint8_t *data, std::size_t length, void *user_data) {
      return detail::guarded_or(
          [&] {
            return function::with(user_data,
                                  [&](auto &write) { return detail::answer(write, detail::view(data, length)); });
          },
          RF_FAILED);
    };
    check(pointer.given(rf_options_set_output(raw_, call, pointer.raw(), function::drop())));
    return *this;
  }
  template <class Write>
  options &&set_output(Write write) && {
    return std::move(set_output(std::move(write)));
  }
  /// `progress(transfer)` is told how far the request has come.
  template <class Progress>
  options &set_progress(Progress progress) & {
    static_assert(std::is_invocable_v<Progress &, transfer>, "a progress function takes a requests_futures::transfer");
    using function = detail::own_function<Progress, transfer>;
    typename function::pointer pointer(std::move(progress));
    const rf_progress_fn call = [](std::int64_t sent, std::int64_t send_total, std::int64_t received,
                                   std::int64_t receive_total, void *user_data) {
      const transfer so_far = {sent, send_total, received, receive_total};
      return detail::guarded_or(
          [&] { return function::with(user_data, [&](auto &progress) { return detail::answer(progress, so_far); }); },
          RF_FAILED);
    };
    check(pointer.given(rf_options_set_progress(raw_, call, pointer.raw(), function::drop())));
    return *this;
  }
  template <class Progress>
  options &&set_progress(Progress progress) && {
    return std::move(set_progress(std::move(progress)));
  }

  /// `trace(std::uint64_t future_id, trace_kind, std::string_view)` is told what goes over the wire; the values of
  /// Authorization, Cookie and the like only where `secrets`.
  template <class Trace>
  options &set_trace(Trace trace, bool secrets = false) & {
    static_assert(std::is_invocable_v<const Trace &, std::uint64_t, trace_kind, std::string_view>,
                  "a trace takes a std::uint64_t, a trace_kind and a std::string_view, and is called by many threads at "
                  "once: it is not mutable");
    using function = detail::shared_function<Trace>;
    typename function::pointer pointer(std::move(trace));
    const rf_trace_fn call = [](std::uint64_t future_id, int kind, const std::uint8_t *data, std::size_t length,
                                void *user_data) {
      detail::guarded_void([&] {
        function::with(user_data, [&](const Trace &trace) {
          trace(future_id, static_cast<trace_kind>(kind), detail::view(data, length));
        });
      });
    };
    check(pointer.given(rf_options_set_trace(raw_, call, secrets, pointer.raw(), function::drop())));
    return *this;
  }
  template <class Trace>
  options &&set_trace(Trace trace, bool secrets = false) && {
    return std::move(set_trace(std::move(trace), secrets));
  }
  /// None: not the session's either.
  options &set_trace(std::nullptr_t) & {
    return did(*this, rf_options_set_trace(raw_, nullptr, false, nullptr, nullptr));
  }
  options &&set_trace(std::nullptr_t) && { return std::move(set_trace(nullptr)); }

  // Functions on the way.
  /// `hook(hook_call &, response_view)`, or `hook(response_view)`, sees each response of the request, on the worker.
  template <class Hook>
  options &add_hook(Hook hook) & {
    constexpr bool with_call = std::is_invocable_v<const Hook &, hook_call &, response_view>;
    static_assert(with_call || std::is_invocable_v<const Hook &, response_view>,
                  "a hook takes a hook_call& and a response_view, or the latter alone, and is called by many threads "
                  "at once: it is not mutable");
    using function = detail::shared_function<Hook>;
    typename function::pointer pointer(std::move(hook));
    const rf_hook_fn call = [](rf_hook_call *raw, const rf_response *response, void *user_data) {
      return detail::called<function>(
          user_data,
          [&](const Hook &hook) {
            if constexpr (std::is_invocable_v<const Hook &, hook_call &, response_view>) {
              hook_call call(raw);
              return detail::answer(hook, call, response_view(response));
            } else {
              return detail::answer(hook, response_view(response));
            }
          },
          [raw](error_kind, const char *message) noexcept { return rf_hook_fail(raw, message); });
    };
    check(pointer.given(rf_options_add_hook(raw_, call, pointer.raw(), function::drop())));
    return *this;
  }
  template <class Hook>
  options &&add_hook(Hook hook) && {
    return std::move(add_hook(std::move(hook)));
  }
  /// A function of C, without user data for worker processes.
  options &add_hook(rf_hook_fn hook, void *user_data = nullptr, rf_drop_fn drop = nullptr) & {
    return did(*this, rf_options_add_hook(raw_, hook, user_data, drop));
  }
  options &&add_hook(rf_hook_fn hook, void *user_data = nullptr, rf_drop_fn drop = nullptr) && {
    return std::move(add_hook(hook, user_data, drop));
  }
  options &add_hook_bytes(rf_hook_fn hook, std::string_view bytes) & {
    return did(*this, rf_options_add_hook_bytes(raw_, hook, bytes.data(), bytes.size()));
  }
  options &&add_hook_bytes(rf_hook_fn hook, std::string_view bytes) && {
    return std::move(add_hook_bytes(hook, bytes));
  }
  /// `prepare(prepared_request &)` is called before each sending, and may change what goes out.
  template <class Prepare>
  options &add_request_hook(Prepare prepare) & {
    using function = detail::shared_function<Prepare>;
    typename function::pointer pointer(std::move(prepare));
    const rf_prepare_fn call = [](rf_prepared *raw, void *user_data) {
      return detail::called<function>(
          user_data, [&](const Prepare &prepare) { return detail::prepare(prepare, raw); }, detail::failing(raw));
    };
    check(pointer.given(rf_options_add_request_hook(raw_, call, pointer.raw(), function::drop())));
    return *this;
  }
  template <class Prepare>
  options &&add_request_hook(Prepare prepare) && {
    return std::move(add_request_hook(std::move(prepare)));
  }
  options &add_request_hook(rf_prepare_fn prepare, void *user_data = nullptr, rf_drop_fn drop = nullptr) & {
    return did(*this, rf_options_add_request_hook(raw_, prepare, user_data, drop));
  }
  options &&add_request_hook(rf_prepare_fn prepare, void *user_data = nullptr, rf_drop_fn drop = nullptr) && {
    return std::move(add_request_hook(prepare, user_data, drop));
  }
  /// None: not the session's either.
  options &add_request_hook(std::nullptr_t) & {
    return did(*this, rf_options_add_request_hook(raw_, nullptr, nullptr, nullptr));
  }
  options &&add_request_hook(std::nullptr_t) && { return std::move(add_request_hook(nullptr)); }
  options &add_request_hook_bytes(rf_prepare_fn prepare, std::string_view bytes) & {
    return did(*this, rf_options_add_request_hook_bytes(raw_, prepare, bytes.data(), bytes.size()));
  }
  options &&add_request_hook_bytes(rf_prepare_fn prepare, std::string_view bytes) && {
    return std::move(add_request_hook_bytes(prepare, bytes));
  }
  /// `fn(hook_call &, session_view, response_view)` when the last response's body has arrived.
  template <class Fn>
  [[deprecated("use add_hook")]] options &set_background_callback(Fn fn) &;
  template <class Fn>
  [[deprecated("use add_hook")]] options &&set_background_callback(Fn fn) && {
    return std::move(set_background_callback(std::move(fn)));
  }
  options &set_user_data(void *user_data) & { return did(*this, rf_options_set_user_data(raw_, user_data)); }
  options &&set_user_data(void *user_data) && { return std::move(set_user_data(user_data)); }

  // Where connections go.
  options &set_unix_socket(const zstring &path) & { return did(*this, rf_options_set_unix_socket(raw_, path.c_str())); }
  options &&set_unix_socket(const zstring &path) && { return std::move(set_unix_socket(path)); }
  options &set_resolve(const zstring &host, std::uint16_t port, const zstring &address) & {
    return did(*this, rf_options_set_resolve(raw_, host.c_str(), port, address.c_str()));
  }
  options &&set_resolve(const zstring &host, std::uint16_t port, const zstring &address) && {
    return std::move(set_resolve(host, port, address));
  }
  options &set_ip_version(ip_version version) & {
    return did(*this, rf_options_set_ip_version(raw_, static_cast<int>(version)));
  }
  options &&set_ip_version(ip_version version) && { return std::move(set_ip_version(version)); }
  options &set_http_version(http_version version) & {
    return did(*this, rf_options_set_http_version(raw_, static_cast<int>(version)));
  }
  options &&set_http_version(http_version version) && { return std::move(set_http_version(version)); }
  options &set_local_address(const optional_zstring &address_or_interface) & {
    return did(*this, rf_options_set_local_address(raw_, address_or_interface.c_str()));
  }
  options &&set_local_address(const optional_zstring &address_or_interface) && {
    return std::move(set_local_address(address_or_interface));
  }
  options &set_keepalive(time_limit idle, time_limit interval, int count) & {
    return did(*this, rf_options_set_keepalive(raw_, idle.count(), interval.count(), count));
  }
  options &&set_keepalive(time_limit idle, time_limit interval, int count) && {
    return std::move(set_keepalive(idle, interval, count));
  }

 private:
  template <class Byte, class Owner>
  options &borrow(const Byte *bytes, std::size_t length, std::unique_ptr<Owner> held) {
    const rf_drop_fn drop = [](void *user_data) { detail::destroy(static_cast<Owner *>(user_data)); };
    const rf_status status = rf_options_set_body_borrowed(raw_, bytes, length, held.get(), drop);
    if (status == RF_OK) held.release();
    check(status);
    return *this;
  }
  template <class Reader>
  void set_reader(Reader reader, std::int64_t length) {
    auto held = std::unique_ptr<Reader>(new Reader(std::move(reader)));
    const rf_status status =
        rf_options_set_body_reader(raw_, Reader::call, Reader::rewind_fn(), length, held.get(), Reader::drop);
    if (status == RF_OK) held.release();
    check(status);
  }
  template <class Reader>
  void add_reader(const zstring &name, const optional_zstring &filename, const optional_zstring &content_type,
                  Reader reader, std::int64_t length) {
    auto held = std::unique_ptr<Reader>(new Reader(std::move(reader)));
    const rf_status status =
        rf_options_add_part_reader(raw_, name.c_str(), filename.c_str(), content_type.c_str(), Reader::call,
                                   Reader::rewind_fn(), length, held.get(), Reader::drop);
    if (status == RF_OK) held.release();
    check(status);
  }
};

// ---- Executors ----

/// Bytes that rf_task_encode or rf_task_execute gave.
class task_bytes {
 public:
  constexpr task_bytes() noexcept = default;
  task_bytes(std::uint8_t *bytes, std::size_t length) noexcept : bytes_(bytes), length_(length) {}
  task_bytes(task_bytes &&other) noexcept
      : bytes_(std::exchange(other.bytes_, nullptr)), length_(std::exchange(other.length_, 0)) {}
  task_bytes &operator=(task_bytes &&other) noexcept {
    if (this != &other) {
      rf_bytes_free(bytes_, length_);
      bytes_ = std::exchange(other.bytes_, nullptr);
      length_ = std::exchange(other.length_, 0);
    }
    return *this;
  }
  ~task_bytes() { rf_bytes_free(bytes_, length_); }

  explicit operator bool() const noexcept { return bytes_ != nullptr; }
  operator std::string_view() const noexcept { return detail::view(bytes_, length_); }
  const std::uint8_t *data() const noexcept { return bytes_; }
  std::size_t size() const noexcept { return length_; }

 private:
  std::uint8_t *bytes_ = nullptr;
  std::size_t length_ = 0;
};

/// For which place a task is made bytes.
enum class encode_for : int { here = RF_ENCODE_HERE, other_machine = RF_ENCODE_OTHER_MACHINE };

/// What a task must not have done where it is executed.
enum class execute_flags : int {
  all = RF_EXECUTE_ALL,
  no_hooks = RF_EXECUTE_NO_HOOKS,
  no_files = RF_EXECUTE_NO_FILES
};
constexpr execute_flags operator|(execute_flags one, execute_flags other) noexcept {
  return static_cast<execute_flags>(static_cast<int>(one) | static_cast<int>(other));
}

/// Ends executions of tasks, from any thread.
class stop : public ownership::handle<rf_stop, rf_stop_free> {
 public:
  using handle::handle;

  stop() {
    rf_stop *out = nullptr;
    const rf_status status = rf_stop_new(&out);
    raw_ = out;
    check(status);
  }
  void set() const noexcept { rf_stop_set(raw_); }
};

/// A reply to a task that comes in pieces: task::reply makes it.
class reply : public ownership::handle<rf_reply, rf_reply_free> {
 public:
  using handle::handle;

  /// status::end: it is whole. status::ok: more is to come.
  requests_futures::status add(std::string_view piece) noexcept {
    return static_cast<requests_futures::status>(
        rf_reply_add(raw_, reinterpret_cast<const std::uint8_t *>(piece.data()), piece.size()));
  }
};

/// One submitted request, on its way to an executor of your own. One that is destroyed cancels its future; one that was
/// started fails it with error_kind::broken_pool.
class task : public ownership::handle<rf_task, rf_task_free> {
 public:
  using handle::handle;

  /// That of its future.
  std::uint64_t id() const noexcept { return rf_task_id(raw_); }
  std::string_view method() const noexcept { return detail::view(rf_task_method(raw_)); }
  /// As it was submitted, without user and password.
  std::string_view url() const noexcept { return detail::view(rf_task_url(raw_)); }
  int priority() const noexcept { return rf_task_priority(raw_); }
  /// What is left of the deadline; none where there is none.
  std::optional<std::chrono::milliseconds> deadline() const noexcept {
    const std::int64_t left = rf_task_deadline_ms(raw_);
    if (left == RF_FOREVER) return std::nullopt;
    return std::chrono::milliseconds(left);
  }
  bool is_repeatable() const noexcept { return rf_task_is_repeatable(raw_); }
  /// Its future runs from now on. Unless that is status::ok, it is not to be carried out.
  requests_futures::status start() noexcept { return static_cast<requests_futures::status>(rf_task_start(raw_)); }
  /// Ends it with an error. Unless that is status::ok, it is still yours.
  requests_futures::status fail(error_kind kind, const optional_zstring &message = nullptr) noexcept {
    const rf_status status = rf_task_fail(raw_, static_cast<int>(kind), message.c_str());
    if (status == RF_OK) release();
    return static_cast<requests_futures::status>(status);
  }
  /// Ends it with a response made by hand. Unless that is status::ok, it is still yours.
  requests_futures::status respond(const response_view &made) noexcept {
    const rf_status status = rf_task_respond(raw_, made.raw());
    if (status == RF_OK) release();
    return static_cast<requests_futures::status>(status);
  }
  /// The version of the bytes.
  static std::uint32_t format() noexcept { return rf_task_format(); }
  /// The same elsewhere: as bytes, for execute.
  outcome<task_bytes> encode(encode_for place = encode_for::here) const {
    std::uint8_t *bytes = nullptr;
    std::size_t length = 0;
    const rf_status status = rf_task_encode_for(raw_, static_cast<int>(place), &bytes, &length);
    if (status != RF_OK) return {static_cast<requests_futures::status>(status), error_view()};
    return task_bytes(bytes, length);
  }
  /// Carries out a task that came as bytes, as far as these flags allow and until somebody sets `stop`, and gives the outcome
  /// as bytes.
  static outcome<task_bytes> execute(std::string_view bytes, execute_flags flags = execute_flags::all,
                                     const stop *stop = nullptr) {
    std::uint8_t *reply = nullptr;
    std::size_t length = 0;
    const rf_status status =
        rf_task_execute_with(reinterpret_cast<const std::uint8_t *>(bytes.data()), bytes.size(), static_cast<int>(flags),
                             stop != nullptr ? stop->raw() : nullptr, &reply, &length);
    if (status != RF_OK) return {static_cast<requests_futures::status>(status), error_view()};
    return task_bytes(reply, length);
  }
  /// The same, in pieces: `write(std::string_view)` says with a status, a bool or nothing whether it goes on.
  template <class Write>
  static requests_futures::status execute_to(std::string_view bytes, execute_flags flags, Write write,
                                             const stop *stop = nullptr) {
    static_assert(std::is_invocable_v<Write &, std::string_view>, "write takes a std::string_view");
    const rf_write_fn function = [](const std::uint8_t *data, std::size_t length, void *user_data) {
      return detail::guarded_or(
          [&] { return detail::answer(*static_cast<Write *>(user_data), detail::view(data, length)); }, RF_FAILED);
    };
    return static_cast<requests_futures::status>(
        rf_task_execute_to(reinterpret_cast<const std::uint8_t *>(bytes.data()), bytes.size(), static_cast<int>(flags),
                           stop != nullptr ? stop->raw() : nullptr, function, &write));
  }
  /// For a reply to it that comes in pieces.
  outcome<requests_futures::reply> reply() const {
    rf_reply *out = nullptr;
    const rf_status status = rf_reply_new(raw_, &out);
    if (status != RF_OK) return {static_cast<requests_futures::status>(status), error_view()};
    return requests_futures::reply(out);
  }
  /// Ends it with a reply that is whole. Unless that is status::ok, both are still yours.
  requests_futures::status complete(requests_futures::reply &whole) noexcept {
    const rf_status status = rf_task_complete_with(raw_, whole.raw());
    if (status == RF_OK) {
      release();
      whole.release();
    }
    return static_cast<requests_futures::status>(status);
  }

  /// Carries it out on this thread.
  void run() && noexcept { rf_task_run(release()); }
  /// Ends it with these bytes. Unless that is status::ok, it is still yours.
  requests_futures::status complete(std::string_view reply) noexcept {
    const rf_status status = rf_task_complete(raw_, reinterpret_cast<const std::uint8_t *>(reply.data()), reply.size());
    if (status == RF_OK) release();
    return static_cast<requests_futures::status>(status);
  }
};

/// Who runs requests.
class executor : public ownership::handle<rf_executor, rf_executor_free> {
 public:
  using handle::handle;

  static executor threads(std::size_t max_workers) {
    rf_executor *out = nullptr;
    const rf_status status = rf_executor_new_threads(max_workers, &out);
    return made(status, out);
  }
  /// `max_requests` at once on one thread, and your functions on up to `max_workers` others.
  static executor events(std::size_t max_requests, std::size_t max_workers = 8) {
    rf_executor *out = nullptr;
    const rf_status status = rf_executor_new_events(max_requests, max_workers, &out);
    return made(status, out);
  }
  static executor processes(std::size_t max_workers) {
    rf_executor *out = nullptr;
    const rf_status status = rf_executor_new_processes(max_workers, &out);
    return made(status, out);
  }
  /// One of your own: `submit(task &&)` takes one task; `shutdown(bool wait, bool cancel_futures)`, if there is one, is called by
  /// executor::shutdown. Any thread may call them at any time. A status other than ok from submit refuses the task, unless
  /// submit has moved it away: what it does with a task that it took is its own affair. So take it as `rf::task &&`, where it
  /// is only taken by moving it away; one that is taken by value is the function's, and is cancelled where that ends.
  /// `ended(std::uint64_t task_id)`, if there is one, is told of tasks whose futures are over though you have not ended them.
  template <class Submit, class Shutdown = std::nullptr_t, class Ended = std::nullptr_t>
  static executor custom(Submit submit, Shutdown shutdown = nullptr, Ended ended = nullptr) {
    static_assert(std::is_invocable_v<const Submit &, task>,
                  "submit takes a requests_futures::task, and is called by many threads at once: it is not mutable");
    struct functions {
      Submit submit;
      Shutdown shutdown;
      Ended ended;
    };
    auto held = std::unique_ptr<functions>(new functions{std::move(submit), std::move(shutdown), std::move(ended)});
    rf_executor_ops ops = {};
    ops.size = sizeof ops;
    ops.submit = [](rf_task *raw, void *user_data) {
      task task(raw);
      const rf_status status = detail::guarded_or(
          [&] { return detail::answer(static_cast<const functions *>(user_data)->submit, std::move(task)); },
          RF_E_RESOURCE);
      if (!task || status == RF_OK) return RF_OK;
      task.release();
      return status;
    };
    if constexpr (!std::is_null_pointer_v<Shutdown>) {
      ops.shutdown = [](bool wait, bool cancel_futures, void *user_data) {
        detail::guarded_void([&] { static_cast<const functions *>(user_data)->shutdown(wait, cancel_futures); });
      };
    }
    if constexpr (!std::is_null_pointer_v<Ended>) {
      ops.ended = [](std::uint64_t task_id, void *user_data) {
        detail::guarded_void([&] { static_cast<const functions *>(user_data)->ended(task_id); });
      };
    }
    const rf_drop_fn drop = [](void *user_data) { detail::destroy(static_cast<functions *>(user_data)); };
    rf_executor *out = nullptr;
    const rf_status status = rf_executor_new_custom(&ops, held.get(), drop, &out);
    if (status == RF_OK) held.release();
    return made(status, out);
  }

  requests_futures::status shutdown(bool wait = true, bool cancel_futures = false) const noexcept {
    return static_cast<requests_futures::status>(rf_executor_shutdown(raw_, wait, cancel_futures));
  }
  std::size_t max_workers() const noexcept { return rf_executor_max_workers(raw_); }

 private:
  static executor made(rf_status status, rf_executor *raw) {
    executor executor(raw);
    executor.check(status);
    return executor;
  }
};

// ---- Sessions ----

/// What a resolver finds.
class lookup {
 public:
  explicit lookup(rf_lookup *raw) noexcept : raw_(raw) {}
  lookup(const lookup &) = delete;
  lookup &operator=(const lookup &) = delete;

  rf_lookup *raw() const noexcept { return raw_; }
  /// An address such as `192.0.2.1` or `2001:db8::1`.
  status add(const zstring &address) { return detail::said(rf_lookup_add(raw_, address.c_str())); }

 private:
  rf_lookup *raw_;
};

/// How a session is built: `rf::session session(rf::config().set_max_workers(32));` One thread at a time.
class config : public ownership::handle<rf_config, rf_config_free> {
 public:
  config() {
    rf_config *out = nullptr;
    const rf_status status = rf_config_new(&out);
    raw_ = out;
    check(status);
  }
  explicit config(rf_config *raw) noexcept : handle(raw) {}

  config &set_executor(const executor &executor) & { return did(*this, rf_config_set_executor(raw_, executor.raw())); }
  config &&set_executor(const executor &executor) && { return std::move(set_executor(executor)); }
  config &set_max_workers(std::size_t max_workers) & {
    return did(*this, rf_config_set_max_workers(raw_, max_workers));
  }
  config &&set_max_workers(std::size_t max_workers) && { return std::move(set_max_workers(max_workers)); }
  inline config &set_base_session(const session_view &session) &;
  config &&set_base_session(const session_view &session) && { return std::move(set_base_session(session)); }
  config &set_pool_connections(std::size_t hosts) & { return did(*this, rf_config_set_pool_connections(raw_, hosts)); }
  config &&set_pool_connections(std::size_t hosts) && { return std::move(set_pool_connections(hosts)); }
  config &set_pool_maxsize(std::size_t connections_per_host) & {
    return did(*this, rf_config_set_pool_maxsize(raw_, connections_per_host));
  }
  config &&set_pool_maxsize(std::size_t connections_per_host) && {
    return std::move(set_pool_maxsize(connections_per_host));
  }
  config &set_pool_block(bool block = true) & { return did(*this, rf_config_set_pool_block(raw_, block)); }
  config &&set_pool_block(bool block = true) && { return std::move(set_pool_block(block)); }
  config &set_idle_timeout(time_limit rest) & { return did(*this, rf_config_set_idle_timeout(raw_, rest.count())); }
  config &&set_idle_timeout(time_limit rest) && { return std::move(set_idle_timeout(rest)); }
  config &set_dns_cache(time_limit ttl) & { return did(*this, rf_config_set_dns_cache(raw_, ttl.count())); }
  config &&set_dns_cache(time_limit ttl) && { return std::move(set_dns_cache(ttl)); }
  /// `resolve(const char *host, std::uint16_t port, lookup &)` gives each address of the host to lookup::add.
  template <class Resolve>
  config &set_resolver(Resolve resolve) & {
    static_assert(std::is_invocable_v<const Resolve &, const char *, std::uint16_t, lookup &>,
                  "a resolver takes a const char*, a std::uint16_t and a lookup&, and is called by many threads at once: "
                  "it is not mutable");
    using function = detail::shared_function<Resolve>;
    typename function::pointer pointer(std::move(resolve));
    const rf_resolve_fn call = [](rf_lookup *raw, const char *host, std::uint16_t port, void *user_data) {
      return detail::guarded_or(
          [&] {
            return function::with(user_data, [&](const Resolve &resolve) {
              lookup found(raw);
              return detail::answer(resolve, host, port, found);
            });
          },
          RF_FAILED);
    };
    check(pointer.given(rf_config_set_resolver(raw_, call, pointer.raw(), function::drop())));
    return *this;
  }
  template <class Resolve>
  config &&set_resolver(Resolve resolve) && {
    return std::move(set_resolver(std::move(resolve)));
  }
  /// A function of C, without user data for worker processes.
  config &set_resolver(rf_resolve_fn resolve, void *user_data = nullptr, rf_drop_fn drop = nullptr) & {
    return did(*this, rf_config_set_resolver(raw_, resolve, user_data, drop));
  }
  config &&set_resolver(rf_resolve_fn resolve, void *user_data = nullptr, rf_drop_fn drop = nullptr) && {
    return std::move(set_resolver(resolve, user_data, drop));
  }
  config &set_max_per_host(std::size_t requests) & { return did(*this, rf_config_set_max_per_host(raw_, requests)); }
  config &&set_max_per_host(std::size_t requests) && { return std::move(set_max_per_host(requests)); }
  config &set_rate(double per_second, std::uint32_t burst = 1) & {
    return did(*this, rf_config_set_rate(raw_, per_second, burst));
  }
  config &&set_rate(double per_second, std::uint32_t burst = 1) && { return std::move(set_rate(per_second, burst)); }
  config &set_max_queued(std::size_t requests) & { return did(*this, rf_config_set_max_queued(raw_, requests)); }
  config &&set_max_queued(std::size_t requests) && { return std::move(set_max_queued(requests)); }
  config &set_max_retries(std::uint32_t retries) & { return did(*this, rf_config_set_max_retries(raw_, retries)); }
  config &&set_max_retries(std::uint32_t retries) && { return std::move(set_max_retries(retries)); }
};

inline adapter adapter::http(const config &config) {
  rf_adapter *out = nullptr;
  const rf_status status = config ? rf_adapter_new_http(config.raw(), &out) : RF_E_NULL;
  return made(status, out);
}

/// Options, or none.
class options_ref {
 public:
  constexpr options_ref() noexcept = default;
  /// Those that were moved away are status::null, and not none.
  options_ref(const options &options) noexcept : raw_(options.raw()), status_(options.status()) {
    if (raw_ == nullptr && status_ == requests_futures::status::ok) status_ = requests_futures::status::null;
  }
  const rf_options *raw() const noexcept { return raw_; }
  /// What a setter has failed with.
  requests_futures::status status() const noexcept { return status_; }

 private:
  const rf_options *raw_ = nullptr;
  requests_futures::status status_ = requests_futures::status::ok;
};

/// A session that is lent. Everything but the handle itself is here.
class session_view {
 public:
  constexpr session_view() noexcept = default;
  explicit constexpr session_view(rf_session *raw) noexcept : raw_(raw) {}
  session_view(session &&) = delete;
  session_view &operator=(session &&) = delete;

  explicit operator bool() const noexcept { return raw_ != nullptr; }
  rf_session *raw() const noexcept { return raw_; }

  /// Submits a request and returns at once. `method` is any HTTP token.
  future request(const zstring &method, const zstring &url, options_ref options = {}) const {
    rf_future *out = nullptr;
    if (options.status() != requests_futures::status::ok)
      return future::made(static_cast<rf_status>(options.status()), nullptr);
    const rf_status status = rf_session_request(raw_, method.c_str(), url.c_str(), options.raw(), &out);
    return future::made(status, out);
  }
  future get(const zstring &url, options_ref options = {}) const { return submit(rf_session_get, url, options); }
  future options(const zstring &url, options_ref options = {}) const {
    return submit(rf_session_options, url, options);
  }
  future head(const zstring &url, options_ref options = {}) const { return submit(rf_session_head, url, options); }
  future post(const zstring &url, options_ref options = {}) const { return submit(rf_session_post, url, options); }
  future put(const zstring &url, options_ref options = {}) const { return submit(rf_session_put, url, options); }
  future patch(const zstring &url, options_ref options = {}) const { return submit(rf_session_patch, url, options); }
  /// rf_session_delete: `delete` is a keyword.
  future del(const zstring &url, options_ref options = {}) const { return submit(rf_session_delete, url, options); }

  /// Merges defaults into the session's.
  requests_futures::status update(options_ref defaults) const {
    if (defaults.status() != requests_futures::status::ok) return detail::said(static_cast<rf_status>(defaults.status()));
    return detail::said(rf_session_update(raw_, defaults.raw()));
  }
  cookie_list cookies() const {
    rf_cookies *out = nullptr;
    const rf_status status = rf_session_cookies(raw_, &out);
    return cookie_list::made(status, out);
  }
  requests_futures::status set_cookie(const zstring &url, const zstring &set_cookie) const {
    return detail::said(rf_session_set_cookie(raw_, url.c_str(), set_cookie.c_str()));
  }
  requests_futures::status clear_cookies(const optional_zstring &name = nullptr,
                                         const optional_zstring &domain = nullptr) const {
    return detail::said(rf_session_clear_cookies(raw_, name.c_str(), domain.c_str()));
  }
  /// Writes the cookies into a file in the format of Netscape.
  requests_futures::status save_cookies(const zstring &path, owned_error &why) const noexcept {
    rf_error *error = nullptr;
    const rf_status status = rf_session_save_cookies(raw_, path.c_str(), &error);
    why.reset(error);
    return static_cast<requests_futures::status>(status);
  }
  requests_futures::status load_cookies(const zstring &path, owned_error &why) const noexcept {
    rf_error *error = nullptr;
    const rf_status status = rf_session_load_cookies(raw_, path.c_str(), &error);
    why.reset(error);
    return static_cast<requests_futures::status>(status);
  }
#if REQUESTS_FUTURES_EXCEPTIONS
  void save_cookies(const zstring &path) const {
    owned_error why;
    if (const auto saved = save_cookies(path, why); saved != requests_futures::status::ok) raise(saved, std::move(why));
  }
  void load_cookies(const zstring &path) const {
    owned_error why;
    if (const auto loaded = load_cookies(path, why); loaded != requests_futures::status::ok)
      raise(loaded, std::move(why));
  }
#endif
  std::size_t max_workers() const noexcept { return rf_session_max_workers(raw_); }
  /// Has URLs below `prefix` go by this adapter.
  requests_futures::status mount(const zstring &prefix, const adapter &adapter) const {
    return detail::said(adapter ? rf_session_mount(raw_, prefix.c_str(), adapter.raw()) : RF_E_NULL);
  }
  requests_futures::status unmount(const zstring &prefix) const {
    return detail::said(rf_session_mount(raw_, prefix.c_str(), nullptr));
  }
  /// Takes no more requests, and returns when all of this session's are over.
  requests_futures::status close(close_mode mode = close_mode::wait) const noexcept {
    return static_cast<requests_futures::status>(rf_session_close(raw_, static_cast<int>(mode)));
  }

 protected:
  rf_session *raw_ = nullptr;

 private:
  using submit_fn = rf_status (*)(rf_session *, const char *, const rf_options *, rf_future **);
  future submit(submit_fn call, const zstring &url, options_ref options) const {
    rf_future *out = nullptr;
    if (options.status() != requests_futures::status::ok)
      return future::made(static_cast<rf_status>(options.status()), nullptr);
    const rf_status status = call(raw_, url.c_str(), options.raw(), &out);
    return future::made(status, out);
  }
#if REQUESTS_FUTURES_EXCEPTIONS
  [[noreturn]] static void raise(requests_futures::status status, owned_error why) {
    const error_view view = why;
    std::shared_ptr<const void> owner;
    if (rf_error *raw = why.release(); raw != nullptr) owner.reset(raw, rf_error_free);
    throw error(status, view, std::move(owner));
  }
#endif
};

/// What requests share: defaults, cookies, connections. Any thread may use it.
class session : public session_view, public ownership::checked {
 public:
  /// Eight threads of its own.
  session() { make(nullptr); }
  explicit session(const config &config) {
    if (config.status() != requests_futures::status::ok) {
      check(static_cast<rf_status>(config.status()));
    } else if (!config) {
      check(RF_E_NULL);
    } else {
      make(config.raw());
    }
  }
  explicit session(rf_session *raw) noexcept : session_view(raw) {}
  session(session &&other) noexcept : session_view(std::exchange(other.raw_, nullptr)), checked(other) {}
  session &operator=(session &&other) noexcept {
    if (this != &other) {
      rf_session_free(raw_);
      checked::operator=(other);
      raw_ = std::exchange(other.raw_, nullptr);
    }
    return *this;
  }
  /// Never waits: what was submitted goes on. See scoped_close.
  ~session() { rf_session_free(raw_); }

  rf_session *release() noexcept { return std::exchange(raw_, nullptr); }

 private:
  void make(const rf_config *config) {
    rf_session *out = nullptr;
    const rf_status status = rf_session_new(config, &out);
    raw_ = out;
    check(status);
  }
};

/// Closes a session at the end of a block: before what its functions refer to is gone.
class [[nodiscard]] scoped_close {
 public:
  /// Of what the session is then.
  explicit scoped_close(const session_view &session, close_mode mode = close_mode::wait) noexcept
      : session_(&session), mode_(mode) {}
  explicit scoped_close(const session_view &&session, close_mode mode = close_mode::wait) = delete;
  scoped_close(const scoped_close &) = delete;
  scoped_close &operator=(const scoped_close &) = delete;
  ~scoped_close() { session_->close(mode_); }

 private:
  const session_view *session_;
  close_mode mode_;
};

inline config &config::set_base_session(const session_view &session) & {
  return did(*this, session ? rf_config_set_base_session(raw_, session.raw()) : RF_E_NULL);
}

inline session_view hook_call::session() const noexcept { return session_view(rf_hook_session(raw_)); }
inline session_view prepared_request::session() const noexcept { return session_view(rf_prepared_session(raw_)); }

template <class Fn>
options &options::set_background_callback(Fn fn) & {
  static_assert(std::is_invocable_v<const Fn &, hook_call &, session_view, response_view>,
                "a background callback takes a hook_call&, a session_view and a response_view, and is not mutable");
  using function = detail::shared_function<Fn>;
  typename function::pointer pointer(std::move(fn));
  const rf_background_fn call = [](rf_hook_call *raw, rf_session *session, const rf_response *response,
                                   void *user_data) {
    return detail::called<function>(
        user_data,
        [&](const Fn &fn) {
          hook_call call(raw);
          return detail::answer(fn, call, session_view(session), response_view(response));
        },
        [raw](error_kind, const char *message) noexcept { return rf_hook_fail(raw, message); });
  };
  // Deprecated in C as well, which says so to those who call this.
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#endif
  const rf_status status = rf_options_set_background_callback(raw_, call, pointer.raw(), function::drop());
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
  check(pointer.given(status));
  return *this;
}

// ---- URLs ----

namespace detail {

/// A string that C has made, as one of C++.
inline std::string taken(char *string) {
  const std::unique_ptr<char, void (*)(char *)> owner(string, rf_string_free);
  return std::string(view(string));
}

}  // namespace detail

/// Where `reference` leads from `base`; nullopt: base is no URL, or the result would be none.
inline std::optional<std::string> url_join(const zstring &base, const zstring &reference) {
  char *out = nullptr;
  if (rf_url_join(base.c_str(), reference.c_str(), &out) != RF_OK) return std::nullopt;
  return detail::taken(out);
}

/// Percent-encodes what is not a letter, a digit, one of "-._~" or of `safe`; nullopt: it is no UTF-8.
inline std::optional<std::string> url_quote(const zstring &text, const zstring &safe = "/") {
  char *out = nullptr;
  if (rf_url_quote(text.c_str(), safe.c_str(), &out) != RF_OK) return std::nullopt;
  return detail::taken(out);
}

}  // inline namespace
}  // namespace requests_futures

#endif  // REQUESTS_FUTURES_HPP
