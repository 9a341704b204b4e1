// consumer.cpp URL: the same in C++, with its header.
#include <requests_futures.hpp>

#include <cstdio>

namespace rf = requests_futures;

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  if (rf::version() != RF_VERSION) return 3;
  try {
    rf::session threads;
    rf::session workers(rf::config().set_executor(rf::executor::processes(1)));
    rf::future first = threads.get(argv[1]), second = workers.get(argv[1]);
    return first.get().raise_for_status().ok() && second.get().raise_for_status().ok() ? 0 : 1;
  } catch (const rf::error &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
