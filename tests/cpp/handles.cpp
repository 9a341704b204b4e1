// Handles own one pointer and nothing else; strings and times arrive as they are meant; a call that is wrong throws.
#include "check.hpp"

#include <filesystem>
#include <type_traits>

namespace {

// No larger than the pointer that it owns, moved and not copied.
template <class Handle>
constexpr bool is_handle = sizeof(Handle) == sizeof(void *) && !std::is_copy_constructible_v<Handle> &&
                           !std::is_copy_assignable_v<Handle> && std::is_nothrow_move_constructible_v<Handle> &&
                           std::is_nothrow_move_assignable_v<Handle>;
static_assert(is_handle<rf::session> && is_handle<rf::future> && is_handle<rf::response> && is_handle<rf::options>);
static_assert(is_handle<rf::config> && is_handle<rf::executor> && is_handle<rf::adapter> && is_handle<rf::retry>);
static_assert(is_handle<rf::completed> && is_handle<rf::cookie_list> && is_handle<rf::task>);

template <class View>
constexpr bool is_view = sizeof(View) == sizeof(void *) && std::is_trivially_copyable_v<View>;
static_assert(is_view<rf::session_view> && is_view<rf::future_view> && is_view<rf::response_view>);
static_assert(is_view<rf::json_value> && is_view<rf::event_view> && is_view<rf::error_view>);

/// What was moved away is nothing, and does not stand for "none" or "the default".
template <class Handle>
Handle emptied(Handle handle) {
  const Handle moved = std::move(handle);
  return handle;
}

void moved_away() {
  rf::session session;
  rf::options options;
  CHECK_IS(rf::status::null, ERROR_THROWN(session.get(http("/get"), emptied(rf::options()))).status());
  CHECK_IS(rf::status::null, ERROR_THROWN(session.request("GET", http("/get"), emptied(rf::options()))).status());
  CHECK_IS(rf::status::null, ERROR_THROWN(session.update(emptied(rf::options()))).status());
  CHECK_IS(rf::status::null, ERROR_THROWN(session.mount("http://", emptied(rf::adapter::http()))).status());
  CHECK_IS(rf::status::null, ERROR_THROWN(options.set_retry(emptied(rf::retry(1)))).status());
  CHECK_IS(rf::status::null, ERROR_THROWN(rf::session(emptied(rf::config()))).status());
  CHECK_IS(rf::status::null, ERROR_THROWN(rf::adapter::http(emptied(rf::config()))).status());
  CHECK_IS(rf::status::null, ERROR_THROWN(rf::config().set_base_session(emptied(rf::session()))).status());
  CHECK_IS(rf::status::null, ERROR_THROWN(rf::config().set_executor(emptied(rf::executor::threads(1)))).status());
  CHECK(GET(session.get(http("/get"), {})).ok());
}

void versions() {
  CHECK_EQUAL(RF_VERSION, rf::version());
  CHECK(!rf::title().empty() && !rf::author().empty() && !rf::copyright().empty());
  CHECK_EQUAL("Apache-2.0", rf::license());
  CHECK_EQUAL("RF_E_BUSY", to_string(rf::status::busy));
  CHECK_EQUAL("RF_ERROR_SSL", to_string(rf::error_kind::ssl));
}

void moving() {
  rf::session session;
  CHECK(session && session.raw() != nullptr);
  rf_session *const raw = session.raw();
  rf::session other(std::move(session));
  CHECK(!session && other.raw() == raw);
  session = std::move(other);
  CHECK(session.raw() == raw && !other);
  rf::session &same = session;
  session = std::move(same);
  CHECK(session.raw() == raw);

  rf::future future = session.get(http("/get"));
  rf::future second = session.get(http("/get"));
  future = std::move(second);
  CHECK(!second && !second.valid() && future);
  const rf::future clone = future.clone();
  rf_future *const given = future.release();
  CHECK(!future);
  rf::future taken(given);
  rf::response response = GET(clone);
  rf::response moved = std::move(response);
  CHECK(!response);
  response = std::move(moved);
  CHECK_INT(200, response.status_code());
  rf::response of_its_own = response.clone();
  rf_response *const handed = of_its_own.release();
  CHECK(!of_its_own);
  const rf::response back(handed);
  CHECK_INT(200, back.status_code());

  rf::cookie_list cookies = session.cookies();
  rf::cookie_list others;
  others = std::move(cookies);
  CHECK(!cookies && others && others.empty() && others.begin() == others.end());
}

void strings() {
  rf::session session;
  const std::string url = http("/headers");
  // A long one does not fit where short ones are copied to.
  const std::string large(5000, 'x');
  const std::string_view behind_it = "the end";
  rf::options options;
  options.set_header("X-Literal", "a literal")
      .set_header("X-String"s, "a string"s)
      .set_header("X-View"sv, behind_it.substr(4))
      .set_header("X-Large"sv, std::string_view(large))
      .set_header("X-Path", std::filesystem::path("a/path"))
      .set_header("User-Agent", nullptr)
      .set_header("Accept", std::nullopt)
      .set_header("X-Maybe", std::optional<std::string_view>("maybe"));
  const rf::response response = GET(session.get(std::string_view(url), options));
  const rf::json_value headers = response.json()["headers"];
  CHECK_EQUAL("a literal", headers["X-Literal"].as_string());
  CHECK_EQUAL("a string", headers["X-String"].as_string());
  CHECK_EQUAL("end", headers["X-View"].as_string());
  CHECK_EQUAL(large, headers["X-Large"].as_string());
  CHECK_EQUAL("a/path", headers["X-Path"].as_string());
  CHECK_EQUAL("maybe", headers["X-Maybe"].as_string());
  CHECK(!headers["User-Agent"] && !headers["Accept"]);

  // Nobody is sent half of what he is given.
  CHECK_IS(rf::status::invalid, ERROR_THROWN(options.set_header("X-Nul", "a\0b"s)).status());
  CHECK_IS(rf::status::invalid, ERROR_THROWN(options.set_header("X-Nul", "a\0b"sv)).status());
  CHECK_IS(rf::status::invalid, ERROR_THROWN(session.get("http://localhost/\0/"sv)).status());
  CHECK_IS(rf::status::invalid, ERROR_THROWN(options.set_output_file(std::filesystem::path("/tmp/a\0b"s))).status());
  CHECK_IS(rf::status::invalid, ERROR_THROWN(options.set_header("X-Nul", std::optional<std::string>("a\0b"s))).status());
  const std::optional<std::string> some = "some", none;
  CHECK_EQUAL("some", GET(session.get(http("/get"), rf::options().set_header("X-Some", some))).request_header("X-Some"));
  CHECK(!GET(session.get(http("/get"), rf::options().set_header("User-Agent", none))).request_header("User-Agent"));
  CHECK(!response.header("Content-Type\0"s));
}

void times() {
  CHECK_INT(0, rf::wait_time(-1ms).count());
  CHECK_INT(0, rf::wait_time(0s).count());
  CHECK_INT(1, rf::wait_time(1us).count());
  CHECK_INT(2, rf::wait_time(1001us).count());
  CHECK_INT(1500, rf::wait_time(std::chrono::duration<double>(1.4999)).count());
  CHECK_INT(RF_FOREVER, rf::wait_time(rf::forever).count());
  CHECK_INT(RF_FOREVER, rf::wait_time(std::chrono::hours::max()).count());
  CHECK_INT(RF_FOREVER, rf::wait_time(std::chrono::duration<double>(1e300)).count());
  CHECK(rf::wait_time(std::chrono::nanoseconds::max()).count() > 0);
  CHECK_INT(60000, rf::time_limit(1min).count());
  CHECK_INT(RF_FOREVER, rf::time_limit(rf::forever).count());

  // What is over is no limit that never ends.
  rf::options options;
  CHECK_IS(rf::status::invalid, ERROR_THROWN(options.set_deadline(-1ms)).status());
  CHECK_IS(rf::status::invalid, ERROR_THROWN(options.set_deadline(0ms)).status());
  const auto no_number = std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN());
  CHECK_IS(rf::status::invalid, ERROR_THROWN(options.set_deadline(no_number)).status());
  options.set_deadline(rf::forever).set_deadline(1us);
  rf::session session;
  const std::string gate = unique("cpp-times");
  rf::future future = session.get(gate_url(gate.c_str()));
  CHECK_IS(rf::status::timeout, future.wait(-1s));
  CHECK(future.wait_for(1ms) == std::future_status::timeout);
  CHECK(future.wait_until(std::chrono::steady_clock::now() - 1h) == std::future_status::timeout);
  CHECK(future.wait_until(std::chrono::system_clock::now() + 2ms) == std::future_status::timeout);
  gate_open(gate.c_str());
  CHECK(future.wait_until(std::chrono::steady_clock::now() + LONG) == std::future_status::ready);
}

void chains() {
  // A chain ends as what it began as: a temporary may be kept, a variable goes on.
  rf::options options = rf::options().set_header("X-Chain", "yes").set_deadline(LONG).set_allow_redirects(false);
  rf::options &same = options.set_stream(false);
  CHECK(&same == &options);
  rf::session session(rf::config().set_max_workers(3).set_pool_maxsize(2));
  CHECK_INT(3, session.max_workers());
  const rf::options copy = options.clone();
  options.set_header("X-Chain", "no");
  CHECK_EQUAL("yes", GET(session.get(http("/headers"), copy)).json().at("/headers/X-Chain").as_string());
  CHECK_EQUAL("no", GET(session.get(http("/headers"), options)).json().at("/headers/X-Chain").as_string());
  const rf::retry retry = rf::retry(2).set_backoff(1ms, 2ms, 0.5).add_status(500, 599);
  CHECK(retry);
}

void wrong_calls() {
  const rf::error invalid = ERROR_THROWN(rf::config().set_max_workers(0));
  CHECK_IS(rf::status::invalid, invalid.status());
  CHECK_IS(rf::error_kind::none, invalid.kind());
  CHECK(!invalid.is(rf::error_kind::request) && !invalid.url() && !invalid.response() && !invalid.view());
  CHECK_CONTAINS("RF_E_INVALID", invalid.message());
  CHECK_IS(rf::status::invalid, ERROR_THROWN(rf::executor::threads(0)).status());
  CHECK_IS(rf::status::invalid, ERROR_THROWN(rf::executor::events(0)).status());
  CHECK_IS(rf::status::invalid, ERROR_THROWN(rf::executor::processes(0)).status());
  CHECK_IS(rf::status::invalid, ERROR_THROWN(rf::retry(1).add_status(5, 1)).status());
  CHECK_IS(rf::status::invalid, ERROR_THROWN(rf::response::make(99)).status());
  CHECK_IS(rf::status::invalid, ERROR_THROWN(rf::adapter::http(rf::config().set_max_workers(2))).status());

  rf::session session;
  CHECK_IS(rf::status::invalid, ERROR_THROWN(session.request("\xff", http("/get"))).status());
  CHECK_IS(rf::status::invalid, ERROR_THROWN(session.set_cookie("no URL", "a=b")).status());
  CHECK_IS(rf::status::invalid, ERROR_THROWN(session.update(rf::options().set_body("x"))).status());
  CHECK_IS(rf::status::invalid, ERROR_THROWN(session.mount("no-scheme", rf::adapter::http())).status());
  CHECK_IS(rf::status::ok, session.close());
  CHECK_IS(rf::status::ok, session.close(rf::close_mode::abort));
  const rf::error shut = ERROR_THROWN(session.get(http("/get")));
  CHECK_IS(rf::status::shutdown, shut.status());

  // What was moved away is no object.
  rf::options options, elsewhere(std::move(options));
  CHECK_IS(rf::status::null, ERROR_THROWN(options.set_stream()).status());
  rf::session gone, taken(std::move(gone));
  CHECK_IS(rf::status::null, ERROR_THROWN(gone.clear_cookies()).status());
  CHECK_IS(rf::status::null, ERROR_THROWN(rf::future().get()).status());
  CHECK_IS(rf::status::null, rf::future().wait());
  CHECK_IS(rf::status::null, ERROR_THROWN(rf::future().set_user_data(nullptr)).status());
  CHECK_IS(rf::status::null, ERROR_THROWN(rf::response_view().set_encoding("utf-8")).status());
  CHECK_IS(rf::status::null, ERROR_THROWN(rf::response_view().set_extra("a", "b")).status());
  CHECK_IS(rf::status::null, ERROR_THROWN(rf::wait(std::vector<rf::future_view>(1))).status());
  CHECK_IS(rf::status::null, ERROR_THROWN(rf::response_view().clone()).status());
  CHECK_INT(0, rf::response_view().status_code());
  CHECK(!rf::response_view().header("a") && rf::response_view().headers().empty() && !rf::error_view());
  CHECK(rf::response_view().attach(1) == nullptr && rf::response_view().attached<int>() == nullptr);
}

void urls() {
  CHECK_EQUAL("http://a/b/d?q", rf::url_join("http://a/b/c", "d?q"));
  CHECK(!rf::url_join("not a URL", "d"));
  CHECK_EQUAL("a%20b/c%3F", rf::url_quote("a b/c?"));
  CHECK_EQUAL("a%2Fb", rf::url_quote("a/b"s, ""));
  CHECK(!rf::url_quote("\xff"));
}

}  // namespace

int main() {
  moved_away();
  versions();
  moving();
  strings();
  times();
  chains();
  wrong_calls();
  urls();
  return finish();
}
