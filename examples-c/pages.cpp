/* pages - asks for several pages at once and prints them as they come, in C++17.
 *
 *   ./pages http://localhost:8000       or  URL=http://localhost:8000 ./pages
 *
 * Build it with: c++ -std=c++17 pages.cpp $(pkg-config --cflags --libs requests_futures)
 */
#include <cstdlib>
#include <iostream>
#include <requests_futures.hpp>
#include <string>
#include <vector>

namespace rf = requests_futures;
using namespace std::chrono_literals;

int main(int argc, char **argv) {
  const char *base = argc > 1 ? argv[1] : std::getenv("URL");
  if (base == nullptr) {
    std::cerr << "usage: " << argv[0] << " URL\n";
    return 2;
  }
  const rf::session session;
  session.update(rf::options().set_timeout(5s, 20s).set_header("Accept", "application/json"));

  std::vector<rf::future> futures;
  for (const char *path : {"/delay/0.3", "/get?foo=bar", "/status/404", "/redirect/2"}) {
    futures.push_back(session.get(std::string(base) + path));
  }
  // One that cannot be reached is an outcome like any other.
  futures.push_back(session.get("http://127.0.0.1:1/"));

  for (rf::future &done : rf::as_completed(futures)) {
    try {
      const rf::response response = done.get().raise_for_status();
      std::cout << response.status_code() << ' ' << response.url() << ", " << response.content().size() << " bytes, "
                << response.elapsed().count() / 1000 << " ms\n";
      // The document lives as long as the response.
      if (const auto foo = response.json()["args"]["foo"].as_string()) std::cout << "  foo is " << *foo << '\n';
    } catch (const rf::error &error) {
      std::cout << to_string(error.kind()) << ": " << error.what() << '\n';
    }
  }
}
