/* What both clients on libcurl do: an easy handle that copies the body into memory of its own. */
#ifndef BENCH_CURL_H
#define BENCH_CURL_H

#include "client.h"

#include <curl/curl.h>

struct transfer {
  CURL *easy;
  char *data;
  size_t length;
  size_t capacity;
};

static struct work work;
static char **urls;
static char *body;

/* A small buffer is kept for the next answer. A large one is of the announced length and goes with its answer. */
static size_t take(char *data, size_t size, size_t count, void *user_data) {
  struct transfer *transfer = user_data;
  size_t length = size * count;
  if (transfer->length + length > transfer->capacity) {
    curl_off_t announced = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
    size_t room = 2 * (transfer->length + length);
    if (announced > 0 && (size_t)announced >= transfer->length + length) room = (size_t)announced;
    transfer->data = must(realloc(transfer->data, room));
    transfer->capacity = room;
  }
  memcpy(transfer->data + transfer->length, data, length);
  transfer->length += length;
  return length;
}

/* The body is for a function: each piece is looked at and let go. */
static size_t pass(char *data, size_t size, size_t count, void *user_data) {
  struct transfer *transfer = user_data;
  (void)data;
  transfer->length += size * count;
  return size * count;
}

static void set_up(struct transfer *transfer) {
  CURL *easy = transfer->easy = must(curl_easy_init());
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, work.give ? pass : take);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  /* Large bodies: the largest buffers that libcurl takes. */
  if (work.expect > 1000000) curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 512L * 1024);
  if (work.body > 1000000) curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 2048L * 1024);
  struct curl_slist *headers = NULL;
  if (work.fresh) headers = curl_slist_append(headers, "Connection: close");
  if (work.body > 0) {
    if (strcmp(work.method, "POST") != 0) curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, work.method);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)work.body);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    /* Nobody else waits for a 100 Continue here, nor names a type. */
    headers = curl_slist_append(headers, "Expect:");
    headers = curl_slist_append(headers, "Content-Type:");
  }
  if (headers != NULL) curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  if (work.http2) {
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    /* One connection for all, as this library has it. */
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
  }
  if (work.ca != NULL) curl_easy_setopt(easy, CURLOPT_CAINFO, work.ca);
}

static void aim(struct transfer *transfer, long number) {
  transfer->length = 0;
  curl_easy_setopt(transfer->easy, CURLOPT_URL, urls[number % work.hosts]);
}

static bool look_at(struct transfer *transfer, CURLcode result) {
  long status = 0;
  if (result != CURLE_OK) fail(curl_easy_strerror(result));
  long version = 0;
  if (work.http2 && (curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_VERSION, &version), version != CURL_HTTP_VERSION_2_0))
    fail("not HTTP/2");
  curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
  if (status < 200 || status > 299) fail("status");
  if (work.expect >= 0 && transfer->length != (size_t)work.expect) fail("length");
  bool resumed = !work.give && says_resumed(transfer->data, transfer->length);
  if (transfer->capacity > 1 << 20) {
    free(transfer->data);
    transfer->data = NULL;
    transfer->capacity = 0;
  }
  return resumed;
}

#endif
