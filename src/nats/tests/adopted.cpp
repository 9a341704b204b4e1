// An executor of NATS in a session of C++: adopted SERVERS URL.
#include <requests_futures.hpp>
#include <requests_futures_nats.h>

#include <cstdio>

namespace rf = requests_futures;

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  rf_nats_config *config = nullptr;
  rf_executor *made = nullptr;
  if (rf_nats_config_new(&config) != RF_OK || rf_nats_config_set_servers(config, argv[1]) != RF_OK) return 2;
  const rf_status status = rf_nats_executor_new(config, &made);
  if (status != RF_OK) std::fprintf(stderr, "%s\n", rf_nats_config_error(config));
  rf_nats_config_free(config);
  if (status != RF_OK) return 1;
  const rf::executor workers(made);
  rf::session session(rf::config().set_executor(workers));
  rf::future future = session.get(argv[2]);
  return future.get().status_code() == 200 ? 0 : 1;
}
