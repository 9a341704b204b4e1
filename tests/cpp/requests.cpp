// Requests and their responses: what goes out, what comes back, and what is thrown when nothing does.
#include "check.hpp"

#include <filesystem>
#include <fstream>

namespace {

void verbs() {
  const rf::session session;
  const std::string anything = http("/anything");
  CHECK_EQUAL("GET", GET(session.get(anything)).json()["method"].as_string());
  CHECK_EQUAL("POST", GET(session.post(anything)).json()["method"].as_string());
  CHECK_EQUAL("PUT", GET(session.put(anything)).json()["method"].as_string());
  CHECK_EQUAL("PATCH", GET(session.patch(anything)).json()["method"].as_string());
  CHECK_EQUAL("DELETE", GET(session.del(anything)).json()["method"].as_string());
  CHECK_EQUAL("OPTIONS", GET(session.options(anything)).json()["method"].as_string());
  CHECK_EQUAL("PURGE", GET(session.request("purge", anything)).json()["method"].as_string());
  const rf::response head = GET(session.head(anything));
  CHECK_EQUAL("HEAD", head.request_method());
  CHECK(head.ok() && head.content().empty());
}

void responses() {
  rf::session session;
  const rf::response response = GET(session.get(http("/response-headers?X-One=1&X-Two=2")));
  CHECK_INT(200, response.status_code());
  CHECK_EQUAL("OK", response.reason());
  CHECK_CONTAINS("/response-headers", response.url());
  CHECK_EQUAL(http("/response-headers?X-One=1&X-Two=2"), response.request_url());
  CHECK_EQUAL("2", response.header("x-two"));
  CHECK(!response.header("X-Three"));
  CHECK_EQUAL("application/json", response.header("Content-Type"));
  bool seen = false;
  std::size_t count = 0;
  for (const auto &[name, value] : response.headers()) {
    count++;
    seen = seen || (name == "X-One" && value == "1");
  }
  CHECK(seen && count == response.headers().size());
  bool agent = false;
  for (const auto &[name, value] : response.request_headers()) agent = agent || (name == "User-Agent" && !value.empty());
  CHECK(agent);
  CHECK_CONTAINS("requests-futures-c/", *response.request_header("User-Agent"));
  CHECK(!response.request_body() && response.trailers().empty());
  CHECK(response.elapsed() > 0us && response.elapsed() < LONG);
  CHECK(!response.is_redirect() && !response.is_permanent_redirect());

  const rf::response redirected = GET(session.get(http("/redirect/2")));
  CHECK_INT(2, redirected.history().size());
  for (const rf::response_view hop : redirected.history()) CHECK(hop.is_redirect() && hop.status_code() == 302);
  CHECK(GET(session.get(http("/status/308"), rf::options().set_allow_redirects(false))).is_permanent_redirect());
  CHECK_CONTAINS("page=2", *GET(session.get(http("/link-header?page=1"))).link("next"));

  const rf::response text = GET(session.get(http("/encoding/koi8-r")));
  CHECK_CONTAINS("Съешь", text.text());
  CHECK_EQUAL("koi8-r", text.encoding());
  CHECK_IS(rf::status::ok, text.set_encoding("windows-1252"));
  CHECK(text.text().find("Съешь") == std::string_view::npos);
  CHECK_IS(rf::status::ok, text.set_encoding(nullptr));
  CHECK(!text.encoding() && text.apparent_encoding());
}

void bodies() {
  rf::session session;
  const std::string echo = http("/echo");
  CHECK_EQUAL("a\0b"sv, GET(session.post(echo, rf::options().set_body("a\0b"sv))).content());
  const std::vector<std::uint8_t> bytes = {'a', 0, 'c'};
  CHECK_EQUAL("a\0c"sv, GET(session.post(echo, rf::options().set_body(bytes))).content());
  // What lies inside of a short string moves with it.
  CHECK_EQUAL("short", GET(session.post(echo, rf::options().set_body_borrowed("short"s))).content());
  CHECK_EQUAL("a\0c"sv, GET(session.post(echo, rf::options().set_body_borrowed(bytes))).content());
  // What is kept for the body's sake goes when nobody needs the body any more.
  auto large = std::make_shared<const std::string>(100'000, 'b');
  const std::weak_ptr<const std::string> watched = large;
  {
    rf::options options;
    options.set_body_borrowed(*large, large);
    large.reset();
    CHECK(!watched.expired());
    const rf::response response = GET(session.post(echo, options));
    CHECK_INT(100'000, response.content().size());
    CHECK_INT(100'000, response.request_body()->size());
  }
  EVENTUALLY(watched.expired());

  const rf::response json = GET(session.post(http("/post"), rf::options().set_json("{\"name\": \"Ada\"}")));
  CHECK_EQUAL("Ada", json.json()["json"]["name"].as_string());
  CHECK_EQUAL("application/json", json.request_header("Content-Type"));
  const rf::response form = GET(session.post(http("/post"), rf::options().add_form("a", "1").add_form("b", "2 3")));
  CHECK_EQUAL("a=1&b=2+3", form.request_body());

  const std::filesystem::path path = std::filesystem::path(env("HOME")) / "body.txt";
  std::ofstream(path) << "from a file";
  CHECK_EQUAL("from a file", GET(session.post(echo, rf::options().set_body_file(path))).text());
  rf::options parts;
  parts.add_part("bytes", "name.bin", "application/x-test", "\1\2"sv)
      .add_part("plain", nullptr, nullptr, "text")
      .add_file("file", path)
      .add_file_as("file", path, "other.txt", "text/plain")
      .add_part_reader("reader", "r.txt", nullptr, [left = 3](char *buffer, std::size_t) mutable {
        if (left == 0) return 0;
        left--;
        *buffer = 'r';
        return 1;
      });
  const rf::response sent = GET(session.post(http("/parts"), parts));
  const rf::json_value received = sent.json()["parts"];
  CHECK_INT(5, received.size());
  CHECK_EQUAL("name.bin", received[0]["filename"].as_string());
  CHECK_EQUAL("text", received[1]["text"].as_string());
  CHECK_EQUAL("body.txt", received[2]["filename"].as_string());
  CHECK_EQUAL("other.txt", received[3]["filename"].as_string());
  CHECK_EQUAL("rrr", received[4]["text"].as_string());
}

void json() {
  const rf::response response = rf::response::make(
      200, "application/json",
      R"({"list": [1, 2.5, "three", true, null], "object": {"a": "b"}, "big": 12345678901234567890123})");
  const rf::json_value document = response.json();
  CHECK_IS(rf::json_kind::object, document.kind());
  CHECK_INT(3, document.size());
  const rf::json_value list = document["list"];
  CHECK(list[0].as_int() == 1 && list[1].as_number() == 2.5 && list[3].as_bool() && list[4].is_null() && list[4]);
  CHECK_EQUAL("three", list[2].as_string());
  CHECK(!list[2].as_int() && !list[0].as_string() && !list[9] && !document["nothing"]["below"][3].as_string());
  CHECK_EQUAL("b", document.at("/object/a").as_string());
  CHECK_EQUAL("12345678901234567890123", document["big"].number_text());
  CHECK(!document["big"].as_int());
  CHECK_EQUAL("object", document.key(1));
  CHECK(!document.key(3));
  int kinds = 0;
  for (const rf::json_value element : list) kinds = kinds * 10 + static_cast<int>(element.kind());
  CHECK_INT(22310, kinds);
  std::string names;
  for (const auto &[name, value] : document.members()) names += std::string(name) + (value ? " " : "? ");
  CHECK_EQUAL("list object big ", names);
  CHECK(list.members().empty() && rf::json_value().begin() == rf::json_value().end());

  const rf::response broken = rf::response::make(200, "application/json", "{\"a\": nope}");
  const rf::error error = ERROR_THROWN(broken.json());
  CHECK_IS(rf::error_kind::json_decode, error.kind());
  CHECK(error.is(rf::error_kind::invalid_json) && error.is(rf::error_kind::request));
  CHECK_IS(rf::status::failed, error.status());
  const auto tried = broken.try_json();
  CHECK(!tried && tried.error().is(rf::error_kind::json_decode));
  CHECK_IS(rf::status::failed, tried.status());
}

void cookies() {
  rf::session session;
  GET(session.get(http("/cookies/set?first=1&second=2")));
  session.set_cookie(http("/"), "third=3; Path=/; Max-Age=1000; HttpOnly");
  const rf::cookie_list cookies = session.cookies();
  CHECK_INT(3, cookies.size());
  CHECK_EQUAL("2", cookies.get("second"));
  CHECK(!cookies.get("second", "elsewhere.example") && !cookies.get("fourth"));
  int with_end = 0;
  for (const rf::cookie cookie : cookies) {
    CHECK_EQUAL("/", cookie.path);
    CHECK(cookie.host_only && !cookie.secure && !cookie.domain.empty());
    if (!cookie.expires) continue;
    with_end++;
    CHECK_EQUAL("third", cookie.name);
    CHECK_EQUAL("3", cookie.value);
    CHECK(cookie.http_only && *cookie.expires > std::chrono::system_clock::now());
  }
  CHECK_INT(1, with_end);
  CHECK_INT(1, GET(session.get(http("/set-cookie?raw=fourth=4"))).cookies().size());

  const std::filesystem::path path = std::filesystem::path(env("HOME")) / "cookies.txt";
  session.save_cookies(path);
  rf::session other;
  other.load_cookies(path);
  CHECK_EQUAL("3", other.cookies().get("third"));
  other.clear_cookies("third");
  CHECK(!other.cookies().get("third"));
  other.clear_cookies();
  CHECK(other.cookies().empty());

  const rf::error error = ERROR_THROWN(other.load_cookies("/nonexistent/file"));
  CHECK_IS(rf::error_kind::request, error.kind());
  CHECK_INT(ENOENT, error.os_code());
  CHECK_CONTAINS("/nonexistent/file", error.message());
  rf::owned_error why;
  CHECK_IS(rf::status::failed, other.save_cookies("/nonexistent/file", why));
  CHECK(why && why.os_code() == ENOENT);
  rf::owned_error moved = std::move(why);
  CHECK(!why && moved);
  CHECK_IS(rf::status::ok, other.save_cookies(path, moved));
  CHECK(!moved);
}

/// Where the time went, and over what it came.
void seen() {
  rf::session session;
  rf::future future = session.get(env("RF_TEST_HTTPS"), rf::options().set_ca_bundle(env("RF_TEST_CA")));
  const rf::response response = GET(future);
  CHECK(response.time_in(rf::phase::tls) && *response.time_in(rf::phase::tls) <= *response.total());
  CHECK(!response.time_in(rf::phase::pause));
  CHECK_INT(1, response.attempts());
  CHECK(!response.is_reused());
  CHECK_CONTAINS("127.0.0.1:", response.local_address().value_or(""));
  CHECK(std::string(env("RF_TEST_HTTPS")).find(*response.remote_address()) != std::string::npos);
  CHECK_EQUAL("HTTP/1.1", response.http_version());
  CHECK_EQUAL("TLSv1.3", response.tls_version());
  CHECK_CONTAINS("TLS", response.tls_cipher().value_or(""));
  int count = 0;
  for (const std::string_view der : response.certificates()) count += !der.empty() && der[0] == '\x30' ? 1 : 0;
  CHECK(count >= 1);
  const rf::response plain = GET(session.get(http("/hello")));
  CHECK(!plain.tls_version() && !plain.tls_cipher());
  CHECK(future.id() != 0 && future.id() == future.clone().id() && future.id() != session.get(http("/hello")).id());
}

void failures() {
  rf::session session;
  // It keeps all that it tells, whatever else is gone.
  const rf::error kept = [&] {
    const rf::future future = session.get("http://127.0.0.1:1/nobody");
    return ERROR_THROWN(future.get());
  }();
  CHECK_IS(rf::error_kind::connection, kept.kind());
  CHECK_IS(rf::status::failed, kept.status());
  CHECK(kept.is(rf::error_kind::request) && !kept.is(rf::error_kind::timeout));
  CHECK_EQUAL("http://127.0.0.1:1/nobody", kept.url());
  CHECK_INT(ECONNREFUSED, kept.os_code());
  CHECK_CONTAINS("127.0.0.1", kept.message());
  CHECK_EQUAL(kept.message(), kept.what());
  CHECK_EQUAL(kept.message(), kept.view().message());
  CHECK_IS(rf::phase::connect, kept.view().phase());
  CHECK_INT(1, kept.view().attempts());
  CHECK_EQUAL("GET", kept.view().method());
  const rf::error copy = kept;
  CHECK_EQUAL(kept.url(), copy.url());

  const rf::error missing = ERROR_THROWN(session.get("no-scheme").get());
  CHECK_IS(rf::error_kind::missing_schema, missing.kind());
  const rf::response not_found = GET(session.get(http("/status/404")));
  const rf::error http_error = ERROR_THROWN(not_found.raise_for_status());
  CHECK_IS(rf::error_kind::http, http_error.kind());
  CHECK_INT(404, http_error.response().status_code());
  CHECK(!not_found.try_raise_for_status() && !not_found.ok());
  CHECK_EQUAL("Hello, world!", GET(session.get(http("/hello"))).raise_for_status().text());
  // One that nobody has a name for goes on as an owner.
  const auto owner = session.get(http("/hello")).get().raise_for_status();
  static_assert(std::is_same_v<decltype(owner), const rf::response>, "an owner");
  static_assert(std::is_same_v<decltype(owner.raise_for_status()), const rf::response &>, "the same");
  CHECK_EQUAL("Hello, world!", owner.raise_for_status().text());
  const rf::error raised = ERROR_THROWN(session.get(http("/status/500"), rf::options().set_raise_for_status()).get());
  CHECK_IS(rf::error_kind::http, raised.kind());
  CHECK_INT(500, raised.response().status_code());

  rf::future future = session.get(http("/delay/60"), rf::options().set_deadline(20ms));
  const auto result = future.result();
  CHECK(!result && result.error().is(rf::error_kind::timeout));
  CHECK_IS(rf::error_kind::timeout, future.exception().kind());
  CHECK_IS(rf::error_kind::timeout, result.error().kind());
  const rf::response hello = GET(session.get(http("/hello")));
  CHECK(!hello.try_json());

  // The table of kinds is that of the library.
  const rf::adapter failing = rf::adapter::custom([](rf::prepared_request &prepared) {
    const auto kind = static_cast<rf::error_kind>(std::stoi(std::string(*prepared.header("X-Kind"))));
    throw rf::error(kind, "as it was told");
  });
  session.mount("fail://", failing);
  for (int kind = 1; kind <= RF_ERROR_BODY_TOO_LARGE; kind++) {
    if (rf_error_kind_name(kind) == nullptr) continue;
    const rf::error thrown =
        ERROR_THROWN(session.get("fail://x/", rf::options().set_header("X-Kind", std::to_string(kind))).get());
    const bool own = kind == RF_ERROR_CANCELLED || kind == RF_ERROR_ABORTED || kind == RF_ERROR_SHUTDOWN;
    CHECK_IS(own ? RF_ERROR_HOOK : kind, thrown.kind());
    CHECK_EQUAL("as it was told", thrown.message());
    for (int above = 1; above <= RF_ERROR_BODY_TOO_LARGE; above++) {
      const auto asked = static_cast<rf::error_kind>(above);
      CHECK(thrown.is(asked) == thrown.view().is(asked));
    }
  }
}

void by_hand() {
  rf::response response = rf::response::make(418, "text/plain", "short and stout");
  response.add_header("X-Pot", "tea").set_reason("I am a teapot");
  CHECK_EQUAL("I am a teapot", response.reason());
  CHECK_EQUAL("tea", response.header("X-Pot"));
  CHECK_EQUAL("short and stout", response.text());
  const rf::response chained = rf::response::make(200).add_header("A", "b").set_reason("Fine");
  CHECK_EQUAL("Fine", chained.reason());

  struct parsed {
    int number;
    counted_token token;
  };
  CHECK(response.attached<parsed>() == nullptr);
  CHECK_INT(42, response.attach(parsed{42, {}})->number);
  CHECK_INT(42, response.attached<parsed>()->number);
  CHECK(response.attached<int>() == nullptr);
  CHECK_INT(1, counted_token::alive());
  response.attach(std::string("another"));
  CHECK_INT(0, counted_token::alive());
  CHECK_EQUAL("another", *response.attached<std::string>());
  CHECK(!response.extra("name"));
  CHECK_IS(rf::status::ok, response.set_extra("name", "a\0b"sv));
  CHECK_EQUAL("a\0b"sv, response.extra("name"));
}

void credentials() {
  rf::session session;
  CHECK_IS(rf::status::ok, session.update(rf::options().set_auth_basic("user", "passwd").set_header("X-Default", "1")));
  CHECK(GET(session.get(http("/basic-auth/user/passwd"))).json()["authenticated"].as_bool());
  CHECK_INT(401, GET(session.get(http("/basic-auth/user/passwd"), rf::options().set_auth_none())).status_code());
  CHECK_EQUAL("t", GET(session.get(http("/bearer"), rf::options().set_auth_bearer("t"))).json()["token"].as_string());
  CHECK_INT(200, GET(session.get(http("/digest-auth/auth/u/p"), rf::options().set_auth_digest("u", "p"))).status_code());
  // On another session's defaults.
  rf::session on_top(rf::config().set_base_session(session));
  CHECK(GET(on_top.get(http("/basic-auth/user/passwd"))).ok());
}

}  // namespace

int main() {
  verbs();
  responses();
  bodies();
  json();
  cookies();
  seen();
  failures();
  by_hand();
  credentials();
  return finish();
}
