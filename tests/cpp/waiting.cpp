// Futures: waiting for one and for many, in any order, as a range, as a std::future; cancelling and aborting.
#include "check.hpp"

#include <array>
#include <list>
#include <poll.h>
#include <set>

namespace {

void one() {
  rf::session session(rf::config().set_max_workers(1));
  const std::string gate = unique("cpp-one");
  rf::future running = session.get(gate_url(gate.c_str()));
  gate_wait(gate.c_str(), 1);
  rf::future pending = session.get(http("/hello"));
  CHECK(running.running() && !running.done() && !running.cancelled());
  CHECK_IS(rf::status::timeout, running.result(1ms).status());
  CHECK(!running.exception(0ms));
  const rf::error late = ERROR_THROWN(running.get(1ms));
  CHECK_IS(rf::status::timeout, late.status());
  CHECK_IS(rf::error_kind::none, late.kind());
  CHECK(!running.cancel() && pending.cancel() && pending.cancelled() && pending.done());
  const rf::error cancelled = ERROR_THROWN(pending.get());
  CHECK_IS(rf::status::cancelled, cancelled.status());
  CHECK_IS(rf::error_kind::cancelled, cancelled.kind());
  CHECK(running.abort());
  CHECK_IS(rf::error_kind::aborted, ERROR_THROWN(running.get()).kind());
  CHECK_IS(rf::status::ok, running.wait());
  gate_open(gate.c_str());

  // A wait that could never end.
  std::atomic<int> seen{0};
  rf::options waits_for_itself;
  std::atomic<rf_future *> itself{nullptr};
  waits_for_itself.add_hook([&](rf::response_view) {
    EVENTUALLY(itself.load() != nullptr);
    const rf::future_view own(itself.load());
    if (own.wait_for(1h) == std::future_status::deferred) seen++;
    if (own.result().status() == rf::status::deadlock) seen++;
    if (ERROR_THROWN(own.get()).status() == rf::status::deadlock) seen++;
  });
  rf::future future = session.get(http("/hello"), waits_for_itself);
  itself = future.raw();
  CHECK(future.get(LONG).ok());
  CHECK_INT(3, seen);
}

void many() {
  rf::session session;
  std::vector<rf::future> futures;
  for (int i = 0; i < 20; i++) futures.push_back(session.get(http(text("/anything/%d", i))));
  const rf::wait_result all = rf::wait(futures);
  CHECK(all && all.size() == 20 && all.count() == 20 && all[7]);
  CHECK_IS(rf::status::ok, rf::wait(std::vector<rf::future>()).status());

  const std::string gate = unique("cpp-many");
  std::array<rf::future, 2> pair = {session.get(gate_url(gate.c_str())), session.get(http("/hello"))};
  const rf::wait_result first = rf::wait(pair, rf::return_when::first_completed);
  CHECK(first && !first[0] && first[1]);
  CHECK_IS(rf::status::timeout, rf::wait(pair, rf::return_when::all_completed, 1ms).status());
  pair[1] = session.get("no-scheme");
  CHECK(rf::wait(pair, rf::return_when::first_exception)[1]);

  // Each future as it finishes, and it is the very one that stands in the list.
  std::set<const rf::future *> seen;
  for (const rf::future &done : rf::as_completed(futures)) {
    CHECK(done.done() && done.get().ok());
    CHECK(&done >= futures.data() && &done < futures.data() + futures.size());
    CHECK(seen.insert(&done).second);
  }
  CHECK_INT(20, seen.size());
  int rounds = 0;
  for (rf::future &done : rf::as_completed(pair, LONG)) {
    if (rounds++ == 0) {
      CHECK(&done == &pair[1]);
      gate_open(gate.c_str());
    } else {
      CHECK(&done == &pair[0]);
    }
  }
  CHECK_INT(2, rounds);
  // Lists, views, and what is moved in.
  std::list<rf::future_view> views;
  for (const rf::future &future : futures) views.push_back(future);
  rounds = 0;
  for (const rf::future_view &done : rf::as_completed(views)) rounds += done.done() ? 1 : 0;
  for (rf::future &done : rf::as_completed(std::move(futures))) rounds += done.get().ok() ? 1 : 0;
  CHECK_INT(40, rounds);

  // One that comes too late.
  const std::string closed = unique("cpp-late");
  std::vector<rf::future> late;
  late.push_back(session.get(gate_url(closed.c_str())));
  late.push_back(session.get(http("/hello")));
  rounds = 0;
  const rf::error error = ERROR_THROWN([&] {
    for (rf::future &done : rf::as_completed(late, 200ms)) rounds += done.done() ? 1 : 0;
  }());
  CHECK_IS(rf::status::timeout, error.status());
  CHECK(rounds <= 1);
  gate_open(closed.c_str());
}

void queues() {
  rf::session session;
  rf::completed queue;
  CHECK_IS(rf::status::end, queue.next().status());
  CHECK(!queue.next() && queue.fd() >= 0);
  for (int i = 0; i < 10; i++) queue.add(session.get(http(text("/anything/%d", i))));
  std::set<std::size_t> indexes;
  while (auto next = queue.next()) {
    CHECK(next->done() && (*next).get().ok() && next.future().raw() != nullptr);
    indexes.insert(next.index());
  }
  CHECK_INT(10, indexes.size());
  const std::string gate = unique("cpp-queue");
  queue.add(session.get(gate_url(gate.c_str())));
  CHECK_IS(rf::status::timeout, queue.next(1ms).status());
  gate_open(gate.c_str());
  pollfd readable = {queue.fd(), POLLIN, 0};
  CHECK_INT(1, poll(&readable, 1, LONG_MS));
  CHECK_INT(10, queue.next(0ms).index());
}

void times() {
  rf::session session;
  const std::string gate = unique("cpp-times");
  const rf::future future = session.get(gate_url(gate.c_str()));
  using clock = std::chrono::steady_clock;
  CHECK(future.wait_until(clock::time_point::min()) == std::future_status::timeout);
  CHECK(future.wait_until(clock::now() + 1ms) == std::future_status::timeout);
  gate_open(gate.c_str());
  CHECK(future.wait_until(clock::time_point::max()) == std::future_status::ready);
}

/// A guard closes what its session is at the end.
void assigned_meanwhile() {
  rf::session session;
  rf::future first, second;
  {
    const rf::scoped_close closing(session);
    first = session.get(http("/delay/0.05"));
    session = rf::session(rf::config().set_max_workers(1));
    second = session.get(http("/delay/0.05"));
  }
  CHECK(second.done());
  CHECK(GET(first).ok());
}

void std_futures() {
  rf::session session;
  std::future<rf::response> good = rf::to_std_future(session.get(http("/hello")));
  std::future<rf::response> bad = rf::to_std_future(session.get("no-scheme"));
  rf::future cancelled = session.get(http("/delay/60"));
  std::future<rf::response> never = rf::to_std_future(cancelled);
  cancelled.abort();
  CHECK_EQUAL("Hello, world!", good.get().text());
  CHECK_IS(rf::error_kind::missing_schema, ERROR_THROWN(bad.get()).kind());
  CHECK(never.wait_for(LONG) == std::future_status::ready);
  CHECK(ERROR_THROWN(never.get()).kind() == rf::error_kind::aborted ||
        ERROR_THROWN(cancelled.get()).kind() == rf::error_kind::cancelled);
  CHECK_IS(rf::status::null, ERROR_THROWN(rf::to_std_future(rf::future())).status());
}

void blocks() {
  std::atomic<int> finished{0};
  {
    rf::session session;
    const rf::scoped_close closes(session);
    for (int i = 0; i < 5; i++) session.get(http("/hello")).add_done_callback([&finished] { finished++; });
  }
  CHECK_INT(5, finished);
  rf::future future;
  {
    rf::session session;
    const rf::scoped_close closes(session, rf::close_mode::abort);
    future = session.get(http("/delay/60"));
  }
  CHECK(future.done() && !future.result());
}

}  // namespace

int main() {
  one();
  many();
  queues();
  times();
  assigned_meanwhile();
  std_futures();
  blocks();
  return finish();
}
