/* A program that submits many requests to workers beyond a NATS server, and says how they ended.

   client SERVERS PREFIX METHOD URL COUNT LEASE_MS: each request goes to URL followed by its number. */
#include <requests_futures.h>
#include <requests_futures_nats.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_OK(call)                                                     \
  do {                                                                     \
    rf_status status_ = (call);                                            \
    if (status_ != RF_OK) {                                                \
      fprintf(stderr, "%s: %s\n", #call, rf_status_name(status_));         \
      return 1;                                                            \
    }                                                                      \
  } while (0)

int main(int argc, char **argv) {
  if (argc != 7) return 2;
  int count = atoi(argv[5]), ok = 0, broken = 0, other = 0;
  size_t bytes = 0;
  rf_nats_config *nats = NULL;
  rf_executor *executor = NULL;
  rf_config *config = NULL;
  rf_session *session = NULL;
  CHECK_OK(rf_nats_config_new(&nats));
  CHECK_OK(rf_nats_config_set_servers(nats, argv[1]));
  CHECK_OK(rf_nats_config_set_prefix(nats, argv[2]));
  CHECK_OK(rf_nats_config_set_lease(nats, atoi(argv[6])));
  CHECK_OK(rf_nats_config_set_connect_timeout(nats, 5000));
  if (rf_nats_executor_new(nats, &executor) != RF_OK) {
    fprintf(stderr, "%s\n", rf_nats_config_error(nats));
    return 3;
  }
  rf_nats_config_free(nats);
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_executor(config, executor));
  CHECK_OK(rf_session_new(config, &session));
  rf_config_free(config);
  rf_future **futures = calloc((size_t)count, sizeof *futures);
  for (int i = 0; i < count; i++) {
    char url[512];
    snprintf(url, sizeof url, "%s%d", argv[4], i);
    CHECK_OK(rf_session_request(session, argv[3], url, NULL, &futures[i]));
  }
  printf("submitted\n");
  fflush(stdout);
  for (int i = 0; i < count; i++) {
    const rf_error *error = NULL;
    const rf_response *response = NULL;
    CHECK_OK(rf_future_exception(futures[i], 240000, &error));
    if (error == NULL) {
      size_t length = 0;
      CHECK_OK(rf_future_result(futures[i], 0, &response));
      if (rf_response_content(response, &length) != NULL) bytes += length;
      ok += rf_response_status_code(response) == 200;
    } else if (rf_error_kind_of(error) == RF_ERROR_BROKEN_POOL) {
      broken++;
    } else {
      other++;
      fprintf(stderr, "%s: %s\n", rf_error_kind_name(rf_error_kind_of(error)), rf_error_message(error));
    }
    rf_future_free(futures[i]);
  }
  free(futures);
  printf("ok %d broken %d other %d bytes %zu\n", ok, broken, other, bytes);
  rf_session_free(session);
  CHECK_OK(rf_executor_shutdown(executor, true, false));
  rf_executor_free(executor);
  return 0;
}
