/* cache - a small cache in front of the network: what it has is asked for with its ETag, and a 304 is answered from it.
 *
 *   ./cache http://localhost:8000        or  URL=http://localhost:8000 ./cache
 *
 * The server has to have the route /etag/{tag}, as httpbin and the local server do.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <requests_futures.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES 16

/* ---- the cache ---- */

typedef struct entry {
  char *url, *etag;
  rf_response *response; /* made by hand, so it may answer many requests */
} entry;

typedef struct cache {
  rf_adapter *network;
  pthread_mutex_t lock;
  entry entries[ENTRIES];
  size_t next;
  int stored, used;
} cache;

/* A response of one's own with the status, all header lines and the body of another. */
static rf_response *copy_of(const rf_response *from) {
  rf_response *copy = NULL;
  const char *name, *value;
  size_t length = 0;
  const uint8_t *body = rf_response_content(from, &length); /* reads it */
  if (body == NULL || rf_response_new(rf_response_status_code(from), NULL, body, length, &copy) != RF_OK) return NULL;
  for (size_t i = 0; rf_response_header_at(from, i, &name, &value) == RF_OK; i++)
    if (rf_response_add_header(copy, name, value) != RF_OK) {
      rf_response_free(copy);
      return NULL;
    }
  return copy;
}

static void forget(entry *entry) {
  free(entry->url);
  free(entry->etag);
  rf_response_free(entry->response);
  memset(entry, 0, sizeof *entry);
}

static entry *find(cache *cache, const char *url) {
  for (size_t i = 0; i < ENTRIES; i++)
    if (cache->entries[i].url != NULL && strcmp(cache->entries[i].url, url) == 0) return &cache->entries[i];
  return NULL;
}

/* Puts a response into the place of the oldest, or of the one that the URL had. */
static void store(cache *cache, const char *url, const char *etag, const rf_response *response) {
  entry *entry = find(cache, url);
  if (entry == NULL) entry = &cache->entries[cache->next++ % ENTRIES];
  forget(entry);
  entry->url = strdup(url);
  entry->etag = strdup(etag);
  if (rf_response_clone(response, &entry->response) != RF_OK || entry->url == NULL || entry->etag == NULL) forget(entry);
  cache->stored++;
}

/* The response that there is for a URL, a handle of one's own; its ETag goes into the request. */
static rf_response *revalidate(cache *cache, rf_prepared *prepared) {
  rf_response *known = NULL;
  pthread_mutex_lock(&cache->lock);
  entry *entry = find(cache, rf_prepared_url(prepared));
  if (entry != NULL && rf_prepared_set_header(prepared, "If-None-Match", entry->etag) == RF_OK)
    rf_response_clone(entry->response, &known);
  pthread_mutex_unlock(&cache->lock);
  return known;
}

/* Called on the worker for each request, for many at once. The lock is not held while the network answers. */
static rf_status answer(rf_prepared *prepared, void *user_data) {
  cache *cache = user_data;
  const rf_error *error = NULL;
  rf_response *response = NULL, *known = NULL;
  /* Who asks with a condition of his own wants the answer to that one. */
  int is_ours = strcmp(rf_prepared_method(prepared), "GET") == 0 && rf_prepared_header(prepared, "Range") == NULL &&
                rf_prepared_header(prepared, "If-None-Match") == NULL;
  if (is_ours) known = revalidate(cache, prepared);

  rf_status status = rf_adapter_send(cache->network, prepared, &response, &error);
  if (status != RF_OK) { /* why is what the future then fails with */
    rf_response_free(known);
    return status;
  }
  if (known != NULL && rf_response_status_code(response) == 304) {
    status = rf_prepared_respond(prepared, known);
    pthread_mutex_lock(&cache->lock);
    cache->used++;
    pthread_mutex_unlock(&cache->lock);
  } else {
    const char *etag = rf_response_header(response, "ETag");
    rf_response *copy = is_ours && etag != NULL && rf_response_status_code(response) == 200 ? copy_of(response) : NULL;
    status = rf_prepared_respond(prepared, copy != NULL ? copy : response);
    if (copy != NULL && status == RF_OK) {
      pthread_mutex_lock(&cache->lock);
      store(cache, rf_prepared_url(prepared), etag, copy);
      pthread_mutex_unlock(&cache->lock);
    }
    rf_response_free(copy);
  }
  rf_response_free(response);
  rf_response_free(known);
  return status;
}

/* ---- the program ---- */

/* Asks twice; the second time it comes out of the cache, and is the same. */
static int same_twice(rf_session *session, const char *url) {
  rf_future *futures[2] = {NULL, NULL};
  const rf_response *first, *second;
  const uint8_t *bodies[2];
  size_t lengths[2];
  int same = 0;
  if (rf_session_get(session, url, NULL, &futures[0]) == RF_OK &&
      rf_future_result(futures[0], RF_FOREVER, &first) == RF_OK &&
      rf_session_get(session, url, NULL, &futures[1]) == RF_OK &&
      rf_future_result(futures[1], RF_FOREVER, &second) == RF_OK) {
    bodies[0] = rf_response_content(first, &lengths[0]);
    bodies[1] = rf_response_content(second, &lengths[1]);
    same = rf_response_status_code(second) == 200 && bodies[0] != NULL && bodies[1] != NULL &&
           lengths[0] == lengths[1] && memcmp(bodies[0], bodies[1], lengths[0]) == 0 &&
           rf_response_header_count(first) == rf_response_header_count(second);
    printf("%s: %d and %d, %zu bytes, %zu header lines: %s\n", url, rf_response_status_code(first),
           rf_response_status_code(second), lengths[1], rf_response_header_count(second), same ? "the same" : "not the same");
  }
  rf_future_free(futures[0]);
  rf_future_free(futures[1]);
  return same;
}

int main(int argc, char **argv) {
  const char *base = argc > 1 ? argv[1] : getenv("URL");
  static cache cache = {.lock = PTHREAD_MUTEX_INITIALIZER};
  const rf_adapter_ops ops = {sizeof ops, answer};
  rf_adapter *adapter = NULL;
  rf_session *session = NULL;
  char url[1024];
  int good;

  if (base == NULL) {
    fprintf(stderr, "usage: %s URL\n", argv[0]);
    return 2;
  }
  if (rf_session_new(NULL, &session) != RF_OK || rf_adapter_new_http(NULL, &cache.network) != RF_OK ||
      rf_adapter_new_custom(&ops, &cache, NULL, &adapter) != RF_OK)
    return 1;
  if (rf_session_mount(session, "http://", adapter) != RF_OK || rf_session_mount(session, "https://", adapter) != RF_OK)
    return 1;
  rf_adapter_free(adapter);

  snprintf(url, sizeof url, "%s/etag/one", base);
  good = same_twice(session, url);
  snprintf(url, sizeof url, "%s/etag/two?n=10000000", base);
  good &= same_twice(session, url);
  printf("%d responses were stored, %d came out of the cache\n", cache.stored, cache.used);

  rf_session_close(session, RF_CLOSE_WAIT); /* nobody uses the cache any more */
  rf_session_free(session);
  rf_adapter_free(cache.network);
  for (size_t i = 0; i < ENTRIES; i++) forget(&cache.entries[i]);
  return good && cache.stored == 2 && cache.used == 2 ? 0 : 1;
}
