// The edges of a process in C++: destructors of static and thread_local objects.
#include "edges.h"

#include <thread>

namespace {

int destroyed;

struct at_the_end {
  const char *name;
  rf_session *session = nullptr;
  explicit at_the_end(const char *name) : name(name) {}

  void touch() {
    const char *where = name;
    EDGE(rf_session_new(nullptr, &session) == RF_OK);
    char url[300];
    snprintf(url, sizeof url, "%s/hello", getenv("RF_TEST_HTTP"));
    rf_future *future = nullptr;
    const rf_response *response = nullptr;
    EDGE(rf_session_get(session, url, nullptr, &future) == RF_OK);
    EDGE(rf_future_result(future, 60000, &response) == RF_OK);
    rf_future_free(future);
    for (int i = 0; i < 4; i++) {
      EDGE(rf_session_get(session, url, nullptr, &future) == RF_OK);
      rf_future_free(future);
    }
  }

  ~at_the_end() {
    const char *where = name;
    live_at_the_edge(where);
    EDGE(rf_session_close(session, RF_CLOSE_WAIT) == RF_OK);
    rf_session_free(session);
    destroyed++;
  }
};

// The last to be destroyed: it looks whether all others were.
struct count_them {
  ~count_them() {
    const char *where = "the end";
    EDGE(destroyed == 3);
    last_threads_end();
  }
} the_count;

at_the_end of_the_process("a static destructor");
thread_local at_the_end of_a_thread("a thread_local destructor");

} // namespace

int main() {
  of_the_process.touch();
  of_a_thread.touch();
  std::thread([] { of_a_thread.touch(); }).join();
  return 0;
}
