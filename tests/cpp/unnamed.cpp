// What is asked of an object that nobody has a name for lives on, or is refused by the compiler.
#include "check.hpp"

#include <type_traits>

namespace {

// `HAS(name, call)`: whether that call compiles, for an object of a type and value category.
#define HAS(name, call)                                                                     \
  template <class Object, class = void>                                                     \
  constexpr bool name = false;                                                              \
  template <class Object>                                                                   \
  constexpr bool name<Object, std::void_t<decltype(std::declval<Object>().call)>> = true

HAS(has_result, result());
HAS(has_exception, exception());
HAS(has_try_json, try_json());
HAS(has_try_raise_for_status, try_raise_for_status());
HAS(has_try_read, try_read(nullptr, 0));
HAS(has_try_read_line, try_read_line());
HAS(has_try_read_event, try_read_event());
HAS(has_read_event, read_event());
HAS(has_element, operator[](0));

// What is lent is refused where it would be gone, and nowhere else.
static_assert(has_result<rf::future &> && has_result<rf::future_view> && !has_result<rf::future>);
static_assert(has_exception<rf::future &> && has_exception<rf::future_view> && !has_exception<rf::future>);
template <class Response>
constexpr bool lends = has_try_json<Response> && has_try_raise_for_status<Response> && has_try_read<Response> &&
                       has_try_read_line<Response> && has_try_read_event<Response> && has_read_event<Response>;
template <class Response>
constexpr bool lends_anything = has_try_json<Response> || has_try_raise_for_status<Response> || has_try_read<Response> ||
                                has_try_read_line<Response> || has_try_read_event<Response> ||
                                has_read_event<Response>;
static_assert(lends<rf::response &> && lends<const rf::response &> && lends<rf::response_view>);
static_assert(!lends_anything<rf::response>);
static_assert(has_element<rf::cookie_list &> && !has_element<rf::cookie_list>);

// No owner without a name becomes a view; one with a name does, and every one is taken where a view is asked for.
template <class View, class Owner>
constexpr bool is_view_of_named = std::is_convertible_v<Owner &, View> && std::is_convertible_v<Owner &, const View &> &&
                                  std::is_assignable_v<View &, Owner &> && std::is_convertible_v<Owner, const View &> &&
                                  !std::is_constructible_v<View, Owner> && !std::is_assignable_v<View &, Owner>;
static_assert(is_view_of_named<rf::response_view, rf::response> && is_view_of_named<rf::future_view, rf::future>);
static_assert(is_view_of_named<rf::session_view, rf::session> && is_view_of_named<rf::json_value, rf::json_document>);
static_assert(is_view_of_named<rf::error_view, rf::owned_error>);
static_assert(!std::is_constructible_v<rf::scoped_close, rf::session>);

HAS(has_begin, begin());
static_assert(has_begin<rf::json_document &> && has_begin<rf::json_value> && !has_begin<rf::json_document>);

/// A response that nobody has a name for.
rf::response unnamed() {
  return rf::response::make(418, "text/plain; charset=utf-8", "a body that is too long for the inside of a std::string")
      .add_header("X-Pot", "a header that is too long for the inside of a std::string")
      .set_reason("a reason that is too long for the inside of a std::string");
}

void strings() {
  const auto text = unnamed().text();
  static_assert(std::is_same_v<decltype(text), const std::string>);
  CHECK_CONTAINS("a body that is too long", text);
  const auto content = unnamed().content();
  CHECK_EQUAL(text, content);
  CHECK_EQUAL(text, unnamed().try_text());
  CHECK_EQUAL(text, unnamed().try_content());
  const auto reason = unnamed().reason();
  CHECK_CONTAINS("a reason that is too long", reason);
  const auto header = unnamed().header("x-pot");
  static_assert(std::is_same_v<decltype(header), const std::optional<std::string>>);
  CHECK_CONTAINS("a header that is too long", *header);
  CHECK(!unnamed().header("X-None"));
  CHECK_EQUAL("utf-8", unnamed().encoding());
  CHECK(unnamed().apparent_encoding().has_value());
  const auto line = unnamed().read_line();
  CHECK_EQUAL(text, line);

  rf::response holder = unnamed();
  holder.attach(std::string("a value that is too long for the inside of a std::string"));
  const auto attached = holder.clone().attached<std::string>();
  static_assert(std::is_same_v<decltype(attached), const std::optional<std::string>>);
  CHECK_CONTAINS("a value that is too long", *attached);
  CHECK(!holder.clone().attached<int>());

  // A view of the same is a view.
  const rf::response named = unnamed();
  const rf::response_view view = named;
  static_assert(std::is_same_v<decltype(named.text()), std::string_view>);
  static_assert(std::is_same_v<decltype(view.text()), std::string_view>);
  static_assert(std::is_same_v<decltype(rf::response_view(view).header("X-Pot")), std::optional<std::string_view>>);
  CHECK(named.text().data() == view.text().data());
}

void of_requests() {
  rf::session session;
  const std::string url = http("/redirect/2");
  CHECK_CONTAINS("/get", session.get(url).get().url());
  CHECK_EQUAL("GET", session.get(url).get().request_method());
  const auto request_url = session.get(url).get().request_url();
  CHECK_EQUAL(http("/get"), request_url);
  CHECK_CONTAINS("requests-futures-c/", *session.get(url).get().request_header("User-Agent"));
  CHECK_EQUAL("HTTP/1.1", session.get(url).get().http_version());
  const auto address = session.get(url).get().remote_address();
  CHECK_CONTAINS("127.0.0.1", *address);
  CHECK(session.get(url).get().local_address().has_value());
  CHECK(!session.get(url).get().tls_version() && !session.get(url).get().tls_cipher());
  CHECK(!session.get(url).get().request_body());
  CHECK_CONTAINS("page=2", *session.get(http("/link-header?page=1")).get().link("next"));
  CHECK(!session.get(url).get().extra("name"));

  int statuses = 0;
  for (const rf::response_view hop : session.get(url).get().history()) statuses += hop.status_code();
  CHECK_INT(604, statuses);
  bool agent = false, type = false;
  for (const auto &[name, value] : session.get(url).get().request_headers()) {
    agent = agent || (name == "User-Agent" && value.find("requests-futures-c/") == 0);
  }
  const auto headers = session.get(url).get().headers();
  for (const auto &[name, value] : headers) type = type || (name == "Content-Type" && value == "application/json");
  CHECK(agent && type);
  CHECK_EQUAL(headers[0].first, headers.begin().operator*().first);
  CHECK(session.get(url).get().trailers().empty() && session.get(url).get().certificates().empty());

  rf::options streamed;
  streamed.set_stream();
  int lines = 0;
  for (const std::string_view line : session.get(http("/stream/5"), streamed).get().lines()) {
    CHECK_CONTAINS("\"id\":", line);
    lines++;
  }
  CHECK_INT(5, lines);
  int events = 0;
  for (const rf::event_view event : session.get(http("/chunks?c=data:%20one%0A%0A&c=data:%20two%0A%0A"), streamed).get().events()) {
    CHECK_EQUAL(events == 0 ? "one" : "two", event.data());
    events++;
  }
  CHECK_INT(2, events);

  const auto value = [&] {
    CHECK_INT(200, session.get(http("/cookies/set?name=value")).get().status_code());
    return session.cookies().get("name");
  }();
  static_assert(std::is_same_v<decltype(value), const std::optional<std::string>>);
  CHECK_EQUAL("value", value);
  int cookies = 0;
  for (const rf::cookie &cookie : session.cookies()) cookies += cookie.name == "name" ? 1 : 100;
  CHECK_INT(1, cookies);
}

rf::response document() {
  return rf::response::make(200, "application/json",
                            R"({"name": "a string that is too long for the inside of a std::string", "list": [1, 2, 3],
                                "deep": {"er": {"number": 12345678901234567890123}}})");
}

void json() {
  const auto whole = document().json();
  CHECK_INT(3, whole.size());
  CHECK_EQUAL("list", whole.key(1));
  const auto deep = document().json()["deep"]["er"];
  CHECK_EQUAL("12345678901234567890123", deep["number"].number_text());
  const auto name = document().json()["name"].as_string();
  static_assert(std::is_same_v<decltype(name), const std::optional<std::string>>);
  CHECK_CONTAINS("a string that is too long", *name);
  CHECK_EQUAL("deep", document().json().key(2));
  CHECK_EQUAL("12345678901234567890123", document().json().at("/deep/er/number").number_text());
  CHECK_INT(3, document().json()["list"][2].as_int().value_or(0));
  CHECK(!document().json()["none"]["below"][3] && !document().json()["none"].as_string());
  std::int64_t sum = 0;
  for (const rf::json_value element : document().json()["list"]) sum += element.as_int().value_or(100);
  CHECK_INT(6, sum);
  std::string names;
  for (const auto &[member, value] : document().json().members()) names += std::string(member) + (value ? " " : "? ");
  CHECK_EQUAL("name list deep ", names);
  rf::json_document moved = document().json();
  const rf::json_document other = std::move(moved);
  CHECK_INT(3, other["list"].size());
}

void failures() {
  // The error keeps what it tells about.
  const rf::error raised = ERROR_THROWN(unnamed().raise_for_status());
  CHECK_CONTAINS("a reason that is too long", raised.what());
  CHECK_CONTAINS("a body that is too long", raised.response().text());
  CHECK_IS(rf::error_kind::json_decode, ERROR_THROWN(unnamed().json()).kind());
  CHECK_EQUAL("{}", rf::response::make(200, nullptr, "{}").raise_for_status().text());
  CHECK_IS(rf::status::null, ERROR_THROWN(rf::response().clone().text()).status());
}

}  // namespace

int main() {
  strings();
  of_requests();
  json();
  failures();
  return finish();
}
