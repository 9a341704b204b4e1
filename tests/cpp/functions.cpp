// Functions of the user's: each kind is called with what it was promised, is destroyed once when nobody needs it any more, and
// what it throws ends in the future.
#include "check.hpp"

#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>

namespace {

std::atomic<long> allocations{0};

}  // namespace

__attribute__((noinline)) void *operator new(std::size_t size) {
  ++allocations;
  if (void *memory = std::malloc(size)) return memory;
  std::abort();
}
__attribute__((noinline)) void operator delete(void *memory) noexcept { std::free(memory); }
__attribute__((noinline)) void operator delete(void *memory, std::size_t) noexcept { std::free(memory); }

namespace {

std::atomic<int> unhandled{0};

/// No function that was given away is still there.
void all_destroyed() { EVENTUALLY(counted_token::alive() == 0); }

/// The failure of one request with these options.
rf::error failure(const rf::options &options, const char *path = "/get") {
  rf::session session;
  const rf::scoped_close closes(session);
  return ERROR_THROWN(session.get(http(path), options).get(LONG));
}

void hooks() {
  rf::session session;
  std::atomic<int> calls{0};
  {
    rf::options options;
    options.add_hook([&calls, token = counted_token()](rf::hook_call &call, rf::response_view response) {
      calls++;
      CHECK(call.session() && call.raw() != nullptr);
      response.attach(response.json()["url"].as_string().value_or("").size());
    });
    options.add_hook([](rf::response_view response) { return response.ok() ? rf::status::ok : rf::status::failed; });
    const rf::options copy = options.clone();
    const rf::response response = GET(session.get(http("/get"), copy));
    CHECK_INT(std::string(http("/get")).size(), *response.attached<std::size_t>());
    GET(session.get(http("/get"), options));
    CHECK_INT(2, calls);
    CHECK_INT(1, counted_token::alive());
  }
  all_destroyed();

  // A replacement, a refusal with and without words.
  const rf::response other = rf::response::make(203, "text/plain", "another");
  rf::options replacing;
  replacing.add_hook([&other](rf::hook_call &call, rf::response_view) { return call.replace(other); });
  CHECK_EQUAL("another", GET(session.get(http("/get"), replacing)).text());
  const rf::error refused =
      failure(rf::options().add_hook([](rf::hook_call &call, rf::response_view) { return call.fail("not this one"); }));
  CHECK_EQUAL("not this one", refused.message());
  CHECK_IS(rf::error_kind::hook, refused.kind());
  CHECK_IS(rf::error_kind::hook, failure(rf::options().add_hook([](rf::response_view) { return rf::status::failed; })).kind());

  // What they throw.
  const rf::error thrown = failure(rf::options().add_hook(
      [token = counted_token()](rf::response_view) { throw std::runtime_error("thrown by a hook"); }));
  CHECK_IS(rf::error_kind::hook, thrown.kind());
  CHECK_EQUAL("thrown by a hook", thrown.message());
  CHECK_CONTAINS("no std::exception", failure(rf::options().add_hook([](rf::response_view) { throw 42; })).message());
  const rf::error parsing = failure(rf::options().add_hook([](rf::response_view response) { response.json(); }), "/hello");
  CHECK_CONTAINS("JSON", parsing.message());
  all_destroyed();

  // A function of C does as well.
  static std::atomic<int> called{0};
  const rf_hook_fn c_hook = [](rf_hook_call *, const rf_response *, void *user_data) {
    if (user_data != nullptr && std::string_view(static_cast<const char *>(user_data)) == "bytes") called += 10;
    called++;
    return RF_OK;
  };
  GET(session.get(http("/get"), rf::options().add_hook(c_hook).add_hook_bytes(c_hook, "bytes")));
  CHECK_INT(12, called);
}

void what_goes_out() {
  rf::session session;
  rf::options options;
  options.add_request_hook([token = counted_token()](rf::prepared_request &prepared) {
    CHECK_EQUAL("POST", prepared.method());
    CHECK_EQUAL("the body", prepared.body());
    CHECK(prepared.body_length() == 8 && prepared.hop() == 0 && prepared.attempt() == 0 && prepared.challenges() == 0);
    CHECK(prepared.session() && !prepared.is_stopped() && prepared.header("Host") && !prepared.header("X-None"));
    bool host = false;
    for (const auto &[name, value] : prepared.headers()) host = host || (name == "Host" && !value.empty());
    char buffer[100];
    CHECK(host && prepared.read_body(buffer, sizeof buffer) == 8 && std::string_view(buffer, 8) == "the body");
    CHECK(*prepared.try_read_body(buffer, sizeof buffer) == 0);
    prepared.set_header("X-Length", std::to_string(prepared.url().size()));
    return prepared.set_query("added=1");
  });
  const rf::response response = GET(session.post(http("/anything"), options.set_body("the body")));
  CHECK_EQUAL("1", response.json().at("/args/added").as_string());
  CHECK(response.request_header("X-Length"));

  session.update(rf::options().add_request_hook([](rf::prepared_request &prepared) { prepared.set_header("X-From", "session"); }));
  CHECK(GET(session.get(http("/get"))).request_header("X-From"));
  CHECK(!GET(session.get(http("/get"), rf::options().add_request_hook(nullptr))).request_header("X-From"));
  const rf_prepare_fn c_function = [](rf_prepared *prepared, void *user_data) {
    return rf_prepared_set_header(prepared, "X-From", user_data != nullptr ? static_cast<const char *>(user_data) : "C");
  };
  CHECK_EQUAL("C", GET(session.get(http("/get"), rf::options().add_request_hook(c_function))).request_header("X-From"));
  CHECK_EQUAL("bytes", GET(session.get(http("/get"), rf::options().add_request_hook_bytes(c_function, "bytes")))
                           .request_header("X-From"));

  // The kind of an error is kept, other exceptions are those of a hook.
  const rf::error proxy = failure(rf::options().add_request_hook(
      [](rf::prepared_request &) { throw rf::error(rf::error_kind::proxy, "said so"); }));
  CHECK_IS(rf::error_kind::proxy, proxy.kind());
  CHECK_EQUAL("said so", proxy.message());
  const rf::error aborted = failure(rf::options().add_request_hook(
      [](rf::prepared_request &) { throw rf::error(rf::error_kind::aborted, "one that nobody may say"); }));
  CHECK_IS(rf::error_kind::hook, aborted.kind());
  const rf::error misuse = failure(rf::options().add_request_hook([](rf::prepared_request &) { rf::config().set_max_workers(0); }));
  CHECK_IS(rf::error_kind::hook, misuse.kind());
  CHECK_EQUAL("words", failure(rf::options().add_request_hook([](rf::prepared_request &p) { return p.fail("words"); })).message());
  CHECK_IS(rf::error_kind::ssl, failure(rf::options().add_request_hook([](rf::prepared_request &p) {
                                  return p.fail(rf::error_kind::ssl, "words");
                                })).kind());
  // What cannot be set does not go out without it.
  const rf::error unset = failure(rf::options().add_request_hook([](rf::prepared_request &p) { p.set_header("X-Signed", "\xff"); }));
  CHECK_IS(rf::error_kind::hook, unset.kind());
  CHECK_CONTAINS("not UTF-8", unset.what());
  options = rf::options();
  all_destroyed();

  // Nor does what a destructor throws go further than that.
  struct throwing {
    bool moved = false;
    throwing() = default;
    throwing(throwing &&other) noexcept { other.moved = true; }
    ~throwing() noexcept(false) {
      if (!moved) throw std::runtime_error("from a destructor");
    }
  };
  rf::options().add_request_hook([token = throwing()](rf::prepared_request &) {});
  CHECK_INT(1, unhandled.exchange(0));
}

void credentials() {
  rf::session session;
  std::atomic<int> renewed{0};
  const std::string client = unique("cpp-oauth");
  rf::session tokens;
  rf::options options;
  std::mutex mutex;
  std::string token;
  options.set_auth_custom(
      [&, counted = counted_token()](rf::prepared_request &prepared) {
        const std::lock_guard<std::mutex> lock(mutex);
        prepared.set_header("Authorization", "Bearer " + token);
      },
      [&](rf::prepared_request &prepared, rf::response_view response) {
        if (response.status_code() != 401 || prepared.challenges() > 0) return rf::status::ok;
        renewed++;
        const rf::response fresh = tokens.get(http(text("/oauth/token?client=%s", client.c_str()))).get();
        const std::lock_guard<std::mutex> lock(mutex);
        token = std::string(*fresh.json()["access_token"].as_string());
        return rf::status::again;
      });
  const std::string resource = http(text("/oauth/resource?client=%s", client.c_str()));
  CHECK_INT(200, GET(session.get(resource, options)).status_code());
  CHECK_INT(200, GET(session.get(resource, options)).status_code());
  CHECK_INT(1, renewed);
  // Either alone.
  rf::options one;
  one.set_auth_custom([](rf::prepared_request &prepared) { prepared.set_header("Authorization", "Bearer x"); });
  CHECK_INT(200, GET(session.get(http("/bearer"), one)).status_code());
  std::atomic<int> heard{0};
  one.set_auth_custom(nullptr, [&](rf::prepared_request &, rf::response_view) { heard++; }, true);
  GET(session.get(http("/get"), one));
  CHECK_INT(1, heard);
  CHECK_IS(rf::status::null, ERROR_THROWN(one.set_auth_custom(nullptr)).status());
  const rf::error thrown = failure(rf::options().set_auth_custom(
      nullptr, [](rf::prepared_request &, rf::response_view) { throw std::runtime_error("by a challenge"); }));
  CHECK_EQUAL("by a challenge", thrown.message());
  const rf_prepare_fn c_function = [](rf_prepared *prepared, void *user_data) {
    return rf_prepared_set_header(prepared, "Authorization", static_cast<const char *>(user_data));
  };
  one.set_auth_custom_bytes(c_function, nullptr, false, "Bearer bytes");
  CHECK_EQUAL("bytes", GET(session.get(http("/bearer"), one)).json()["token"].as_string());
  options = rf::options();
  all_destroyed();
}

void adapters() {
  rf::session session;
  {
    const rf::adapter network = rf::adapter::http(rf::config().set_pool_maxsize(2));
    const rf::adapter through = rf::adapter::custom([&network, token = counted_token()](rf::prepared_request &prepared) {
      prepared.set_header("X-Through", "yes");
      return network.send(prepared);
    });
    const rf::response canned = rf::response::make(200, "text/plain", "canned");
    const rf::adapter cache =
        rf::adapter::custom([&canned](rf::prepared_request &prepared) { return prepared.respond(canned); });
    const rf::adapter silent = rf::adapter::custom([](rf::prepared_request &) {});
    const rf::adapter trying = rf::adapter::custom([&network](rf::prepared_request &prepared) {
      auto got = network.try_send(prepared);
      if (!got) return prepared.fail(got.error().message());
      return prepared.respond(*got);
    });
    session.mount(http("/anything/through"), through);
    session.mount("cache://", cache);
    session.mount("silent://", silent);
    session.mount(http("/anything/trying"), trying);
    CHECK_EQUAL("yes", GET(session.get(http("/anything/through"))).json().at("/headers/X-Through").as_string());
    CHECK_EQUAL("canned", GET(session.get("cache://x/")).text());
    CHECK_EQUAL("canned", GET(session.get("cache://x/")).text());
    CHECK_IS(rf::error_kind::hook, ERROR_THROWN(session.get("silent://x/").get()).kind());
    CHECK(GET(session.get(http("/anything/trying"))).ok());
    // What the network has failed with is the failure, as it is.
    session.mount("http://127.0.0.1:1/", through);
    const rf::error refused = ERROR_THROWN(session.get("http://127.0.0.1:1/").get());
    CHECK_IS(rf::error_kind::connection, refused.kind());
    CHECK_INT(ECONNREFUSED, refused.os_code());
    session.unmount("cache://");
    CHECK_IS(rf::error_kind::invalid_schema, ERROR_THROWN(session.get("cache://x/").get()).kind());
    session.unmount(http("/anything/through"));
    session.unmount("http://127.0.0.1:1/");
    session.close();
  }
  all_destroyed();
  CHECK(rf::adapter::http());
}

void bodies() {
  rf::session session;
  // A reader has a state of its own, and goes back to the start for a redirect.
  rf::options options;
  auto left = std::make_shared<int>(3);
  options.set_body_reader(
      [left, token = counted_token()](char *buffer, std::size_t capacity) -> std::size_t {
        if (*left == 0 || capacity == 0) return 0;
        --*left;
        *buffer = 'x';
        return 1;
      },
      [left] { *left = 3; }, 3);
  CHECK_EQUAL("xxx", GET(session.post(http("/redirect-to?url=/echo&status_code=307"), options)).text());
  int count = 0;
  options.set_body_reader([count](char *buffer, std::size_t) mutable -> int { return count < 5 ? (*buffer = 'y', count++, 1) : 0; });
  CHECK_EQUAL("yyyyy", GET(session.post(http("/echo"), options)).text());
  CHECK_INT(0, count);
  options.set_body_reader([](char *, std::size_t) -> long { throw std::runtime_error("lost"); });
  CHECK_IS(rf::error_kind::hook, ERROR_THROWN(session.post(http("/echo"), options).get()).kind());
  options.set_body_reader([](char *, std::size_t) { return 0; }, [] { throw std::runtime_error("lost"); });
  CHECK_IS(rf::error_kind::hook,
           ERROR_THROWN(session.post(http("/redirect-to?url=/echo&status_code=307"), options).get()).kind());
  CHECK_INT(2, unhandled.exchange(0));

  std::string body;
  rf::options output;
  output.set_output([&body, token = counted_token()](std::string_view piece) { body += piece; });
  CHECK(GET(session.get(http("/bytes/100000"), output)).content().empty());
  CHECK_INT(100'000, body.size());
  output.set_output([](std::string_view) { return rf::status::failed; });
  CHECK_IS(rf::error_kind::hook, ERROR_THROWN(session.get(http("/bytes/10"), output).get()).kind());
  output.set_output([](std::string_view) { throw 1; });
  CHECK_IS(rf::error_kind::hook, ERROR_THROWN(session.get(http("/bytes/10"), output).get()).kind());
  CHECK_INT(1, unhandled.exchange(0));

  rf::options progress;
  rf::transfer last = {};
  int calls = 0;
  progress.set_progress([&last, calls, &seen = calls](rf::transfer so_far) mutable {
    last = so_far;
    seen = ++calls;
  });
  GET(session.post(http("/bytes/1000"), progress));
  CHECK(calls >= 2 && last.received == 1000 && last.receive_total == 1000 && last.sent == 0);
  progress.set_progress([](rf::transfer) { throw std::runtime_error("enough"); });
  CHECK_IS(rf::error_kind::hook, ERROR_THROWN(session.get(http("/bytes/10"), progress).get()).kind());
  CHECK(unhandled.exchange(0) > 0);

  const rf::response made = rf::response::make_reader(200, [n = 0, token = counted_token()](char *buffer, std::size_t) mutable {
    if (n++ == 2) return 0;
    *buffer = 'z';
    return 1;
  });
  CHECK_EQUAL("zz", made.text());
  options = rf::options();
  output = rf::options();
}

void callbacks() {
  rf::session session;
  std::atomic<int> called{0};
  const std::string gate = unique("cpp-callbacks");
  rf::future future = session.get(gate_url(gate.c_str()));
  auto only_moved = std::make_unique<int>(1);
  CHECK_IS(rf::status::ok, future.add_done_callback([&called, own = std::move(only_moved), token = counted_token()](
                                                        rf::future_view done) mutable {
    CHECK(done.done());
    called += *own;
  }));
  future.add_done_callback([&called] { called += 10; });
  future.add_done_callback([&called, token = counted_token()] {
    called += 100;
    throw std::runtime_error("nobody hears that");
  });
  CHECK_INT(0, called);
  gate_open(gate.c_str());
  EVENTUALLY(called == 111);
  all_destroyed();
  EVENTUALLY(unhandled == 1);
  unhandled = 0;
  // At once where it is over; and never where there is no future.
  future.add_done_callback([&called] { called = 0; });
  CHECK_INT(0, called);
  CHECK_IS(rf::status::null, ERROR_THROWN(rf::future().add_done_callback([token = counted_token()] {})).status());
  all_destroyed();

  CHECK(future.user_data() == nullptr);
  CHECK_IS(rf::status::ok, future.set_user_data(&called));
  CHECK(future.user_data() == &called);
  CHECK(session.get(http("/get"), rf::options().set_user_data(&session)).user_data() == &session);

  std::mutex mutex;
  std::string warning;
  rf::set_log([&, token = counted_token()](std::string_view message) {
    const std::lock_guard<std::mutex> lock(mutex);
    warning = std::string(message);
  });
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  rf::options background;
  background.set_background_callback([](rf::hook_call &, rf::session_view of, rf::response_view response) {
    CHECK(of);
    response.attach(response.content().size());
  });
  CHECK_INT(13, *GET(session.get(http("/hello"), background)).attached<std::size_t>());
  background.set_background_callback(
      [](rf::hook_call &, rf::session_view, rf::response_view) { throw std::runtime_error("in the background"); });
  CHECK_EQUAL("in the background", failure(background).message());
#pragma GCC diagnostic pop
  const std::lock_guard<std::mutex> lock(mutex);
  CHECK_CONTAINS("deprecated", warning);
  rf::set_log(nullptr);
  all_destroyed();
}

void executors() {
  {
    // Threads of one's own, the bytes of tasks, and what refuses or throws.
    std::mutex mutex;
    std::condition_variable ready;
    std::vector<rf::task> queue;
    bool over = false;
    std::atomic<int> mode{0}, shut_down{0};
    const rf::executor executor = rf::executor::custom(
        [&, token = counted_token()](rf::task task) {
          if (mode == 1) return rf::status::resource;  // the task dies here: its future is cancelled
          if (mode == 2) throw std::runtime_error("not now");
          const std::lock_guard<std::mutex> lock(mutex);
          queue.push_back(std::move(task));
          ready.notify_one();
          return rf::status::ok;
        },
        [&](bool, bool) {
          shut_down++;
          throw std::runtime_error("on the way out");
        });
    std::thread worker([&] {
      for (int number = 0;; number++) {
        std::unique_lock<std::mutex> lock(mutex);
        ready.wait(lock, [&] { return over || !queue.empty(); });
        if (queue.empty()) return;
        rf::task task = std::move(queue.back());
        queue.pop_back();
        lock.unlock();
        if (number % 2 == 0) {
          std::move(task).run();
          continue;
        }
        const auto bytes = task.encode();
        CHECK(bytes && bytes->size() > 0);
        const auto reply = rf::task::execute(*bytes);
        CHECK(reply && *reply);
        CHECK_IS(rf::status::invalid, task.complete("nonsense"));
        CHECK(task);
        CHECK_IS(rf::status::ok, task.complete(*reply));
        CHECK(!task);
      }
    });
    rf::session session(rf::config().set_executor(executor));
    CHECK_INT(0, executor.max_workers());
    for (int i = 0; i < 4; i++) CHECK_EQUAL("Hello, world!", GET(session.get(http("/hello"))).text());
    mode = 1;
    CHECK_IS(rf::status::cancelled, ERROR_THROWN(session.get(http("/hello")).get()).status());
    mode = 2;
    const rf::error cancelled = ERROR_THROWN(session.get(http("/hello")).get());
    CHECK_IS(rf::status::cancelled, cancelled.status());
    CHECK_IS(rf::error_kind::cancelled, cancelled.kind());
    CHECK(!rf::task::execute("nonsense"));
    CHECK_IS(rf::status::ok, executor.shutdown());
    CHECK_INT(1, shut_down);
    CHECK_INT(2, unhandled.exchange(0));
    {
      const std::lock_guard<std::mutex> lock(mutex);
      over = true;
      ready.notify_one();
    }
    worker.join();
  }
  all_destroyed();

  // One that leaves the task where it is has refused it, or has dropped it.
  std::atomic<rf::status> answer{rf::status::resource};
  const rf::executor lazy = rf::executor::custom([&answer](rf::task &&) { return answer.load(); });
  rf::session session(rf::config().set_executor(lazy));
  CHECK_IS(rf::error_kind::shutdown, ERROR_THROWN(session.get(http("/hello")).get()).kind());
  answer = rf::status::busy;
  CHECK_IS(rf::status::busy, ERROR_THROWN(session.get(http("/hello"))).status());
  answer = rf::status::ok;
  CHECK_IS(rf::error_kind::cancelled, ERROR_THROWN(session.get(http("/hello")).get()).kind());

  rf::executor shared = rf::executor::threads(2);
  CHECK_INT(2, shared.max_workers());
  CHECK_INT(50, rf::executor::events(50, 2).max_workers());
  CHECK_INT(1, rf::executor::processes(1).max_workers());
  CHECK_INT(2, rf::session(rf::config().set_executor(shared)).max_workers());
  CHECK_IS(rf::status::ok, shared.shutdown(true, true));
}

/// Tasks that are carried out elsewhere.
void elsewhere() {
  std::atomic<std::uint64_t> ended{0};
  rf::task kept;
  {
    const rf::executor executor = rf::executor::custom(
        [&](rf::task task) {
          kept = std::move(task);
          return rf::status::ok;
        },
        nullptr, [&, token = counted_token()](std::uint64_t id) { ended = id; });
    rf::session session(rf::config().set_executor(executor));
    rf::future future = session.post(http("/anything"), rf::options().set_priority(3).set_deadline(60s));
    CHECK(kept.id() == future.id());
    CHECK_EQUAL("POST", kept.method());
    CHECK_EQUAL(http("/anything"), kept.url());
    CHECK_INT(3, kept.priority());
    CHECK(kept.deadline() && *kept.deadline() <= 60s);
    CHECK(!kept.is_repeatable());
    CHECK_IS(rf::status::ok, kept.start());
    CHECK_IS(rf::status::state, kept.start());
    const auto bytes = kept.encode(rf::encode_for::other_machine);
    CHECK(bytes && static_cast<std::uint8_t>(bytes->data()[3]) == rf::task::format());
    rf::stop stop;
    {
      auto reply = kept.reply();
      CHECK(reply);
      rf::status last = rf::status::ok;
      CHECK_IS(rf::status::ok, rf::task::execute_to(
                                   *bytes, rf::execute_flags::no_hooks | rf::execute_flags::no_files,
                                   [&](std::string_view piece) { last = reply->add(piece); }, &stop));
      CHECK_IS(rf::status::end, last);
      CHECK_IS(rf::status::ok, kept.complete(*reply));
      CHECK(!kept && !*reply);
    }
    CHECK_INT(200, GET(future).status_code());

    future = session.get(http("/hello"));
    CHECK(!kept.deadline());
    const auto again = kept.encode(rf::encode_for::here);
    CHECK_IS(rf::status::failed,
             rf::task::execute_to(*again, rf::execute_flags::all, [](std::string_view) { return rf::status::failed; }));
    stop.set();
    const auto stopped = rf::task::execute(*again, rf::execute_flags::all, &stop);
    CHECK(stopped);
    CHECK_IS(rf::status::ok, kept.complete(*stopped));
    CHECK_IS(rf::error_kind::aborted, ERROR_THROWN(future.get()).kind());

    future = session.get(http("/hello"));
    CHECK_IS(rf::status::invalid, kept.fail(static_cast<rf::error_kind>(99)));
    CHECK_IS(rf::status::ok, kept.fail(rf::error_kind::connection, "no carrier"));
    CHECK_EQUAL("no carrier", ERROR_THROWN(future.get()).message());

    future = session.get("mock://nowhere/");
    CHECK_IS(rf::status::ok, kept.respond(rf::response::make(200, "text/plain", "by hand")));
    CHECK_EQUAL("by hand", GET(future).text());
    CHECK_INT(0, ended.load());

    future = session.get(http("/hello"));
    CHECK(future.cancel());
    CHECK(ended == future.id());
    kept = rf::task();
  }
  all_destroyed();
}

/// No more than what C allocates: functions that fit into a pointer lie in it, and nothing else needs memory.
void costs() {
  rf::session session;
  rf::options options;
  int calls = 0;
  const std::string url = http("/hello");
  GET(session.get(url));
  const long before = allocations;
  options.add_hook([](rf::response_view) {}).set_output([&calls](std::string_view) { calls++; });
  options.set_header("X-View"sv, "a view"sv).set_deadline(LONG).set_progress([](rf::transfer) {});
  const rf::future future = session.get(std::string_view(url), options);
  future.add_done_callback([] {});
  CHECK(future.result() && future.result()->header("Content-Type"sv) && calls == 1);
  for (const auto &[name, value] : future.result()->headers()) CHECK(!name.empty() && !value.empty());
  const rf::response own = future.get();
  CHECK(own.url() == url);
  CHECK_INT(before, allocations);
}

rf_status c_resolve(rf_lookup *lookup, const char *, std::uint16_t, void *) { return rf_lookup_add(lookup, "127.0.0.1"); }

void traces() {
  rf::session session;
  std::mutex lock;
  std::string sent, received;
  std::atomic<std::uint64_t> told{0};
  {
    rf::options options;
    options.set_trace([&, token = counted_token()](std::uint64_t id, rf::trace_kind kind, std::string_view data) {
      const std::lock_guard<std::mutex> locked(lock);
      told = id;
      if (kind == rf::trace_kind::head_out) sent += data;
      if (kind == rf::trace_kind::body_in) received += data;
    });
    const rf::future future = session.get(http("/hello"), options.set_auth_bearer("a secret"));
    CHECK_EQUAL("Hello, world!", GET(future).text());
    CHECK(told == future.id());
    GET(session.get(http("/get"), options.set_trace(nullptr)));
    CHECK(told == future.id());
  }
  all_destroyed();
  const std::lock_guard<std::mutex> locked(lock);
  CHECK_CONTAINS("GET /hello HTTP/1.1", sent);
  CHECK(sent.find("a secret") == std::string::npos);
  CHECK_EQUAL("Hello, world!", received);
  // What a trace throws has no future to go to.
  GET(session.get(http("/hello"), rf::options().set_trace([](std::uint64_t, rf::trace_kind, std::string_view) { throw 1; })));
  EVENTUALLY(unhandled > 0);
  session.close();
  unhandled = 0;
}

void resolvers() {
  const char *url = text("http://name.example:%s/hello", env("RF_TEST_HTTP_PORT"));
  {
    std::atomic<int> port{0};
    rf::config config;
    config.set_resolver([&port, token = counted_token()](const char *host, std::uint16_t of, rf::lookup &found) {
      CHECK_STR("name.example", host);
      CHECK_IS(rf::status::invalid, ERROR_THROWN(found.add("no address")).status());
      port = of;
      return found.raw() != nullptr ? found.add("127.0.0.1") : rf::status::failed;
    });
    rf::session session(config);
    CHECK_EQUAL("Hello, world!", GET(session.get(url)).text());
    CHECK(std::to_string(port) == env("RF_TEST_HTTP_PORT"));
    session.close();
  }
  all_destroyed();
  rf::session in_c(rf::config().set_resolver(c_resolve));
  CHECK_EQUAL("Hello, world!", GET(in_c.get(url)).text());
  rf::session thrown(rf::config().set_resolver([](const char *, std::uint16_t, rf::lookup &) { throw 1; }));
  CHECK_IS(rf::error_kind::connection, ERROR_THROWN(thrown.get(url).get(LONG)).kind());
  in_c.close();
  thrown.close();
  CHECK_INT(1, unhandled.exchange(0));
}

}  // namespace

int main() {
  rf::set_unhandled([](std::exception_ptr exception) {
    unhandled++;
    std::rethrow_exception(exception);  // goes no further either
  });
  hooks();
  what_goes_out();
  credentials();
  adapters();
  bodies();
  callbacks();
  executors();
  elsewhere();
  traces();
  resolvers();
  costs();
  all_destroyed();
  CHECK_INT(0, unhandled);
  return finish();
}
