// Every setting, and what can be seen of it from here; the tests of C have what each of them means.
#include "check.hpp"

#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace {

std::filesystem::path home() { return std::filesystem::path(env("HOME")); }

std::string whole(const std::filesystem::path &path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// One request, with these options.
rf::response answer(const rf::options &options, const char *path = "/hello") {
  rf::session session;
  return GET(session.get(http(path), options));
}

rf::error_kind failure(const rf::options &options, const std::string &url) {
  rf::session session;
  const rf::future future = session.get(url, options);
  return future.exception(LONG).kind();
}

void requests() {
  CHECK_EQUAL("1 2", answer(rf::options().add_param("a", "1 2"), "/get").json().at("/args/a").as_string());
  CHECK_EQUAL("3", answer(rf::options().set_query("b=3"), "/get").json().at("/args/b").as_string());
  CHECK_EQUAL("1, 2", answer(rf::options().add_header("X-A", "1").add_header("X-A", "2"), "/get").request_header("X-A"));
  CHECK_EQUAL("v", answer(rf::options().set_cookie("c", "v"), "/cookies").json().at("/cookies/c").as_string());

  CHECK_IS(rf::error_kind::read_timeout, failure(rf::options().set_timeout(LONG, 20ms), http("/delay/60")));
  CHECK_IS(rf::error_kind::read_timeout,
           failure(rf::options().set_low_speed(1'000'000, 100ms), http("/drip?numbytes=100&duration=60")));
  CHECK_IS(rf::error_kind::too_many_redirects, failure(rf::options().set_max_redirects(1), http("/redirect/3")));
  CHECK_IS(rf::error_kind::body_too_large, failure(rf::options().set_max_body(10), http("/bytes/100")));
  CHECK_IS(rf::error_kind::connection, failure(rf::options().set_unix_socket(home() / "no-socket"), http("/hello")));
  CHECK_IS(rf::error_kind::connection, failure(rf::options().set_ip_version(rf::ip_version::v6), "http://127.0.0.1:1/"));
  CHECK_IS(rf::error_kind::connection,
           failure(rf::options().set_http_version(rf::http_version::http_2), "http://127.0.0.1:1/"));
  CHECK_IS(rf::error_kind::connection, failure(rf::options().set_local_address("no-such-interface"), http("/hello")));
  CHECK_IS(rf::error_kind::connection,
           failure(rf::options().set_resolve("name.example", 1, "127.0.0.1"), "http://name.example:1/"));
  rf::options proxied;
  proxied.set_proxy("all", "http://127.0.0.1:1");
  CHECK_IS(rf::error_kind::proxy, failure(proxied, http("/hello")));
  CHECK(answer(proxied.set_no_proxy("*")).ok());
  CHECK(answer(proxied.set_proxy("all", nullptr).set_no_proxy(nullptr).set_trust_env(false)).ok());

  rf::options gentle;
  gentle.set_speed_limit(0, 1'000'000).set_priority(3).set_repeatable(true).set_queue_timeout(LONG);
  gentle.set_keepalive(1min, 1s, 3).set_keepalive(rf::forever, 0s, 0);
  CHECK(answer(gentle).ok());
  CHECK_IS(rf::status::invalid, ERROR_THROWN(gentle.set_queue_timeout(0s)).status());
  CHECK(answer(gentle.set_body("asked about first").set_expect_continue(1ms)).ok());
  CHECK_IS(rf::status::invalid, ERROR_THROWN(gentle.set_expect_continue(rf::forever)).status());
}

void outputs() {
  const rf::response coded = answer(rf::options().set_decode(false), "/gzip");
  CHECK_EQUAL("\x1f\x8b"sv, coded.content().substr(0, 2));
  const std::filesystem::path path = home() / "cpp-output.txt";
  answer(rf::options().set_output_file(path));
  CHECK_EQUAL("Hello, world!", whole(path));
  answer(rf::options().set_output_file(path).set_output_mode(rf::output_mode::append));
  CHECK_EQUAL("Hello, world!Hello, world!", whole(path));
  answer(rf::options().set_output_file(path).set_output_mode(rf::output_mode::replace));
  CHECK_EQUAL("Hello, world!", whole(path));
  const rf::retry again = rf::retry(2).set_backoff(1ms, 1ms, 0);
  const std::string file = "/breaking/3000000?times=2&key=cpp-" + std::to_string(getpid());
  rf::options resumed = rf::options().set_output_file(path).set_output_mode(rf::output_mode::resume).set_retry(again);
  CHECK_IS(206, answer(resumed, file.c_str()).status_code());
  CHECK_IS(3000000u, std::filesystem::file_size(path));
  const int descriptor = open(path.c_str(), O_WRONLY | O_TRUNC);
  CHECK(descriptor >= 0);
  answer(rf::options().set_output_fd(descriptor));
  close(descriptor);
  CHECK_EQUAL("Hello, world!", whole(path));
}

void tls() {
  rf::session session;
  const std::string url = std::string(env("RF_TEST_HTTPS")) + "/tls";
  CHECK_IS(rf::error_kind::ssl, failure(rf::options(), url));
  const std::filesystem::path authority = env("RF_TEST_CA");
  rf::options options;
  options.set_ca_bundle(authority).set_tls_versions(rf::tls_version::tls_1_2, rf::tls_version::tls_1_2);
  CHECK_EQUAL("TLSv1.2", GET(session.get(url, options)).json()["version"].as_string());
  options.set_tls_versions(rf::tls_version::tls_1_3).set_ca_bundle(nullptr).set_ca_pem(whole(authority));
  CHECK_EQUAL("TLSv1.3", GET(session.get(url, options)).json()["version"].as_string());
  CHECK_IS(rf::error_kind::ssl,
           failure(options.clone().set_pinned_keys("sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), url));
  CHECK_IS(rf::error_kind::ssl, failure(options.clone().set_server_name("elsewhere.example"), url));
  CHECK_IS(rf::error_kind::ssl, failure(options.clone().set_cert(home() / "missing.pem"), url));
  CHECK_IS(rf::error_kind::ssl, failure(options.clone().set_cert_pem("no certificate"), url));
  CHECK_IS(rf::error_kind::ssl, failure(options.clone().set_cert_pkcs12(home() / "missing.p12", "password"), url));
  options.set_cert(nullptr).set_cert_pem({}).set_cert_pkcs12(nullptr).set_key_password("of no key");
  options.set_pinned_keys(nullptr).set_server_name(nullptr).set_key_password(nullptr);
  CHECK(GET(session.get(url, options)).ok());
  CHECK(GET(session.get(url, rf::options().set_verify(false))).ok());
}

void retries() {
  rf::retry retry(3);
  retry.set_connect(2).set_read(2).set_status(2).add_status(500, 503).set_methods("GET").set_backoff(1ms, rf::forever, 1);
  retry.set_retry_after(false, 1s).set_raise_on_status(false).set_budget(1);
  rf::session session(rf::config().set_max_retries(1));
  const std::string key = unique("cpp-retries");
  const std::string url = http(text("/status/500,502,200?key=%s", key.c_str()));
  CHECK_INT(200, GET(session.get(url, rf::options().set_retry(retry))).status_code());
  CHECK_INT(500, GET(session.get(http("/status/500"), rf::options().set_retry(retry))).status_code());
  retry.set_raise_on_status(true);
  rf::options options;
  options.set_retry(retry);
  CHECK_IS(rf::error_kind::retry, ERROR_THROWN(session.get(http("/status/500"), options).get()).kind());
  CHECK_INT(500, GET(session.get(http("/status/500"), options.set_retry(nullptr))).status_code());
}

void configurations() {
  rf::config config;
  config.set_max_workers(2).set_pool_connections(3).set_pool_maxsize(1).set_pool_block().set_idle_timeout(1s);
  config.set_dns_cache(0s).set_dns_cache(rf::forever).set_max_per_host(1).set_rate(1000).set_max_queued(1);
  rf::session session(config);
  const std::string gate = unique("cpp-settings");
  rf::future first = session.get(gate_url(gate.c_str()));
  gate_wait(gate.c_str(), 1);
  rf::future second = session.get(http("/hello"));
  CHECK_IS(rf::status::busy, ERROR_THROWN(session.get(http("/hello"))).status());
  gate_open(gate.c_str());
  CHECK(GET(first).ok() && GET(second).ok());
  CHECK_IS(rf::status::invalid, ERROR_THROWN(config.set_rate(0)).status());
}

}  // namespace

int main() {
  requests();
  outputs();
  tls();
  retries();
  configurations();
  return finish();
}
