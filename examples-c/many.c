/* many - fetches many URLs on one thread and prints a line for each as it finishes: status, bytes, milliseconds, URL.
 *
 *   ./many [-v] [-j COUNT] [-f FILE] [URL ...]    at most COUNT (64) at once; -v: with where the time went;
 *                                                 without a FILE or a URL: one URL a line on standard input
 *
 * Built with -DWITH_NATS and -lrequests_futures_nats, -n SERVERS has them carried out by workers beyond a NATS server:
 * nothing else is another.
 *
 * Exits with 1 if any request failed or was answered with a status of 400 or more.
 */
#define _POSIX_C_SOURCE 200809L
#include <requests_futures.h>
#ifdef WITH_NATS
#include <requests_futures_nats.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char **urls;
static size_t count;

static void add(const char *url) {
  size_t length = strlen(url) + 1;
  char **grown = realloc(urls, (count + 1) * sizeof *urls);
  char *copy = malloc(length);
  if (grown == NULL || copy == NULL) exit(2);
  urls = grown;
  urls[count++] = memcpy(copy, url, length);
}

static void add_lines(FILE *file) {
  char line[4096];
  while (fgets(line, sizeof line, file) != NULL) {
    line[strcspn(line, "\r\n")] = '\0';
    if (line[0] != '\0' && line[0] != '#') add(line);
  }
}

/* One hop, in milliseconds. */
static void show_phases(const rf_response *response) {
  static const char *const names[] = {"queue", "resolve", "connect", "tls", "send", "wait", "receive", "hook", "pause"};
  const char *address = rf_response_remote_address(response);
  printf("  %d from %s:", rf_response_status_code(response), address != NULL ? address : "-");
  for (int phase = RF_PHASE_QUEUE; phase <= RF_PHASE_PAUSE; phase++) {
    int64_t us = rf_response_phase_us(response, phase);
    if (us >= 0) printf(" %s %.1f", names[phase - 1], (double)us / 1000); /* -1: there was none */
  }
  printf(", %u sent%s\n", rf_response_attempts(response), rf_response_is_reused(response) ? ", used again" : "");
}

/* An event loop, and not a thread for each request. Functions of ours, of which there are none here, would be called on
 * another thread. */
static rf_status new_executor(const char *servers, size_t at_once, rf_executor **executor) {
#ifdef WITH_NATS
  if (servers != NULL) {
    rf_nats_config *config;
    rf_status status = rf_nats_config_new(&config);
    if (status == RF_OK) status = rf_nats_config_set_servers(config, servers);
    if (status == RF_OK) status = rf_nats_executor_new(config, executor);
    if (status != RF_OK) fprintf(stderr, "%s\n", rf_nats_config_error(config));
    rf_nats_config_free(config);
    return status;
  }
#else
  (void)servers;
#endif
  return rf_executor_new_events(at_once, 1, executor);
}

int main(int argc, char **argv) {
  size_t at_once = 64, failed = 0, bytes = 0;
  const char *path = NULL, *servers = NULL;
  int option, verbose = 0;

  while ((option = getopt(argc, argv, "vj:f:n:")) != -1) {
    if (option == 'j') at_once = (size_t)strtoul(optarg, NULL, 10);
    else if (option == 'f') path = optarg;
    else if (option == 'v') verbose = 1;
#ifdef WITH_NATS
    else if (option == 'n') servers = optarg;
#endif
    else return 2;
  }
  for (int i = optind; i < argc; i++) add(argv[i]);
  FILE *file = path != NULL && strcmp(path, "-") != 0 ? fopen(path, "r") : stdin;
  if (file == NULL) {
    perror(path);
    return 2;
  }
  if (path != NULL || optind == argc) add_lines(file);
  if (file != stdin) fclose(file);

  /* A configuration is only needed to build a session with. */
  rf_executor *loop = NULL;
  rf_config *config = NULL;
  rf_session *session = NULL;
  rf_completed *completed = NULL;
  rf_config_new(&config);
  rf_status status = new_executor(servers, at_once, &loop);
  if (status == RF_OK) status = rf_config_set_executor(config, loop);
  if (status == RF_OK) status = rf_session_new(config, &session);
  rf_config_free(config);
  /* Futures may be added at any time; rf_completed_next hands each out when it has finished. */
  if (status == RF_OK) status = rf_as_completed(NULL, 0, &completed);
  rf_future *future;
  for (size_t i = 0; i < count && status == RF_OK; i++) {
    status = rf_session_get(session, urls[i], NULL, &future);
    if (status != RF_OK) break;
    status = rf_completed_add(completed, future);
    rf_future_free(future); /* the queue has it */
  }
  if (status != RF_OK) {
    fprintf(stderr, "%s: %s\n", argv[0], rf_status_name(status));
    return 2;
  }

  int terminal = isatty(STDERR_FILENO);
  size_t index;
  /* Each lives until the next one is taken: a long list does not fill the memory. */
  for (size_t done = 1; rf_completed_next(completed, RF_FOREVER, &future, &index) == RF_OK; done++) {
    const rf_response *response;
    if (terminal) fprintf(stderr, "\r\033[K");
    if (rf_future_result(future, 0, &response) == RF_OK) {
      size_t length;
      rf_response_content(response, &length);
      bytes += length;
      printf("%d %zu %lld %s\n", rf_response_status_code(response), length,
             (long long)(rf_response_elapsed_us(response) / 1000), urls[index]);
      for (size_t i = 0; verbose && i < rf_response_history_count(response); i++) {
        show_phases(rf_response_history_at(response, i));
      }
      if (verbose) show_phases(response);
      if (!rf_response_ok(response)) failed++;
    } else {
      const rf_error *error = NULL;
      rf_future_exception(future, 0, &error);
      printf("- 0 0 %s %s\n", urls[index], rf_error_message(error));
      failed++;
    }
    fflush(stdout);
    if (terminal) fprintf(stderr, "%zu of %zu", done, count);
  }
  if (terminal) fprintf(stderr, "\r\033[K");
  printf("%zu requests, %zu failed, %zu bytes\n", count, failed, bytes);

  rf_completed_free(completed);
  rf_session_free(session);
  rf_executor_free(loop);
  while (count > 0) free(urls[--count]);
  free(urls);
  return failed > 0;
}
