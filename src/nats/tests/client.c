/* A program that submits many requests to workers beyond a NATS server, and says how they ended. SERVERS "-": to 16 threads of
   its own, to compare.

   client SERVERS METHOD URL COUNT [NAME=VALUE]...: in URL, {n} is the number of a request, and {h} one of `hosts` numbers. The
   values: prefix, name, lease, partitions, timeout (to connect), ca, credentials; deadline, hosts, port (of the hosts hN.test, all of
   which are this machine), at_once (no more than so many are under way). */
#include <requests_futures.h>
#include <requests_futures_nats.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHECK_OK(call)                                             \
  do {                                                             \
    rf_status status_ = (call);                                    \
    if (status_ != RF_OK) {                                        \
      fprintf(stderr, "%s: %s\n", #call, rf_status_name(status_)); \
      exit(1);                                                     \
    }                                                              \
  } while (0)

static int arguments;
static char **values;

static const char *value(const char *name) {
  size_t length = strlen(name);
  for (int i = 5; i < arguments; i++) {
    if (strncmp(values[i], name, length) == 0 && values[i][length] == '=') return values[i] + length + 1;
  }
  return NULL;
}

static long number(const char *name, long otherwise) {
  const char *given = value(name);
  return given != NULL ? atol(given) : otherwise;
}

static int64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* The URL of a request. */
static void fill(char *to, size_t size, const char *from, long request, long hosts) {
  size_t used = 0;
  while (*from != '\0' && used + 24 < size) {
    if (strncmp(from, "{n}", 3) == 0 || strncmp(from, "{h}", 3) == 0) {
      used += (size_t)snprintf(to + used, size - used, "%ld", from[1] == 'n' ? request : request % hosts);
      from += 3;
    } else {
      to[used++] = *from++;
    }
  }
  to[used] = '\0';
}

static rf_executor *executor_of(void) {
  rf_nats_config *config = NULL;
  rf_executor *executor = NULL;
  if (strcmp(values[1], "-") == 0) {
    CHECK_OK(rf_executor_new_threads(16, &executor));
    return executor;
  }
  CHECK_OK(rf_nats_config_new(&config));
  CHECK_OK(rf_nats_config_set_servers(config, values[1]));
  CHECK_OK(rf_nats_config_set_connect_timeout(config, number("timeout", 10000)));
  if (value("prefix") != NULL) CHECK_OK(rf_nats_config_set_prefix(config, value("prefix")));
  if (value("name") != NULL) CHECK_OK(rf_nats_config_set_name(config, value("name")));
  if (value("lease") != NULL) CHECK_OK(rf_nats_config_set_lease(config, number("lease", 0)));
  if (value("partitions") != NULL) CHECK_OK(rf_nats_config_set_partitions(config, (uint32_t)number("partitions", 0)));
  if (value("ca") != NULL) CHECK_OK(rf_nats_config_set_ca(config, value("ca")));
  if (value("credentials") != NULL) CHECK_OK(rf_nats_config_set_credentials(config, value("credentials")));
  if (rf_nats_executor_new(config, &executor) != RF_OK) {
    printf("%s\n", rf_nats_config_error(config));
    exit(3);
  }
  rf_nats_config_free(config);
  return executor;
}

static rf_session *session_on(rf_executor *executor) {
  rf_config *config = NULL;
  rf_session *session = NULL;
  rf_options *options = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_executor(config, executor));
  CHECK_OK(rf_session_new(config, &session));
  rf_config_free(config);
  CHECK_OK(rf_options_new(&options));
  if (value("deadline") != NULL) CHECK_OK(rf_options_set_deadline(options, number("deadline", 0)));
  for (long host = 0; value("port") != NULL && host < number("hosts", 1); host++) {
    char name[32];
    snprintf(name, sizeof name, "h%ld.test", host);
    CHECK_OK(rf_options_set_resolve(options, name, (uint16_t)number("port", 0), "127.0.0.1"));
  }
  CHECK_OK(rf_session_update(session, options));
  rf_options_free(options);
  return session;
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  arguments = argc;
  values = argv;
  long count = atol(argv[4]), submitted = 0, ok = 0, broken = 0, other = 0;
  size_t bytes = 0, index;
  int64_t begun = now_us();
  rf_executor *executor = executor_of();
  rf_session *session = session_on(executor);
  rf_completed *completed = NULL;
  rf_future *future;
  CHECK_OK(rf_as_completed(NULL, 0, &completed));
  for (long at_once = number("at_once", count), done = 0; done < count; done++) {
    for (; submitted < count && submitted < done + at_once; submitted++) {
      char url[1024];
      fill(url, sizeof url, argv[3], submitted, number("hosts", 1));
      CHECK_OK(rf_session_request(session, argv[2], url, NULL, &future));
      CHECK_OK(rf_completed_add(completed, future));
      rf_future_free(future);
    }
    if (done == 0) {
      printf("submitted\n");
      fflush(stdout);
      begun = now_us();
    }
    const rf_error *error = NULL;
    const rf_response *response = NULL;
    CHECK_OK(rf_completed_next(completed, 600000, &future, &index));
    CHECK_OK(rf_future_exception(future, 0, &error));
    if (error == NULL) {
      size_t length = 0;
      CHECK_OK(rf_future_result(future, 0, &response));
      if (rf_response_content(response, &length) != NULL) bytes += length;
      ok += rf_response_status_code(response) == 200;
    } else {
      bool is_broken = rf_error_kind_of(error) == RF_ERROR_BROKEN_POOL;
      broken += is_broken;
      other += !is_broken;
      printf("%s: %s\n", rf_error_kind_name(rf_error_kind_of(error)), rf_error_message(error));
    }
  }
  printf("ok %ld broken %ld other %ld bytes %zu us %" PRId64 "\n", ok, broken, other, bytes, now_us() - begun);
  rf_completed_free(completed);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
  CHECK_OK(rf_executor_shutdown(executor, true, false));
  rf_executor_free(executor);
  return 0;
}
