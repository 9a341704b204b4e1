/* polite - a thousand URLs of ten hosts: for each host two requests at a time and so many a second, and what is busy is
 * asked again later.
 *
 *   ./polite http://localhost:8000       or  URL=http://localhost:8000 ./polite
 *
 * A real crawler sends two requests a second to a host, or fewer. Here it is 50, so that it is over in two seconds. The ten
 * hosts are names that all lead to the one server of the URL, whose address has to be 127.0.0.1. It has to have the route
 * /turns/{key}, as the local server does, which is busy now and then.
 */
#include <requests_futures.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOSTS 10
#define PAGES 100
#define PER_SECOND 50.0

typedef struct host {
  char name[64];
  int answered, failed;
  size_t bytes;
} host;

int main(int argc, char **argv) {
  const char *base = argc > 1 ? argv[1] : getenv("URL"), *port = base != NULL ? strrchr(base, ':') : NULL;
  static host hosts[HOSTS];
  static rf_future *futures[HOSTS * PAGES];
  rf_config *config = NULL;
  rf_retry *retry = NULL;
  rf_options *options = NULL;
  rf_session *session = NULL;
  rf_completed *completed = NULL;
  rf_future *future;
  size_t index;
  int total = 0;

  if (port == NULL || atoi(port + 1) == 0) {
    fprintf(stderr, "usage: %s http://HOST:PORT\n", argv[0]);
    return 2;
  }
  if (rf_config_new(&config) != RF_OK || rf_options_new(&options) != RF_OK || rf_retry_new(5, &retry) != RF_OK) return 1;

  /* A request that waits for its turn holds no worker: a slow host does not keep the others waiting. */
  rf_config_set_max_workers(config, 16);
  rf_config_set_max_per_host(config, 2);
  rf_config_set_rate(config, PER_SECOND, 1);

  /* When a server is busy it says when it wants to be asked again; else it is after 0.1 s, 0.2 s, 0.4 s ... */
  rf_retry_add_status(retry, 502, 504);
  rf_retry_set_backoff(retry, 100, 5000, 0.5);
  rf_options_set_retry(options, retry);
  rf_options_set_timeout(options, 5000, 30000);
  for (int i = 0; i < HOSTS; i++) {
    snprintf(hosts[i].name, sizeof hosts[i].name, "host-%d.example", i);
    rf_options_set_resolve(options, hosts[i].name, (uint16_t)atoi(port + 1), "127.0.0.1");
  }

  if (rf_session_new(config, &session) != RF_OK || rf_as_completed(NULL, 0, &completed) != RF_OK) return 1;
  for (int i = 0; i < HOSTS * PAGES; i++) {
    char url[256];
    /* Every fiftieth page is busy when it is asked for the first time. */
    snprintf(url, sizeof url, "http://%s:%d/turns/polite?page=%d%s", hosts[i / PAGES].name, atoi(port + 1), i,
             i % 50 == 7 ? "&busy=1" : "");
    if (rf_session_get(session, url, options, &futures[i]) != RF_OK ||
        rf_completed_add(completed, futures[i]) != RF_OK)
      return 1;
  }
  while (rf_completed_next(completed, RF_FOREVER, &future, &index) == RF_OK) {
    host *host = &hosts[index / PAGES];
    const rf_response *response;
    size_t length = 0;
    if (rf_future_result(future, 0, &response) == RF_OK && rf_response_ok(response)) {
      rf_response_content(response, &length);
      host->answered++;
      host->bytes += length;
    } else {
      host->failed++;
    }
  }

  for (int i = 0; i < HOSTS; i++) {
    printf("%s: %d pages, %zu bytes, %d failed\n", hosts[i].name, hosts[i].answered, hosts[i].bytes, hosts[i].failed);
    total += hosts[i].answered;
  }
  for (int i = 0; i < HOSTS * PAGES; i++) rf_future_free(futures[i]);
  rf_completed_free(completed);
  rf_session_free(session);
  rf_options_free(options);
  rf_retry_free(retry);
  rf_config_free(config);
  return total == HOSTS * PAGES ? 0 : 1;
}
