/* sigv4 - requests signed by AWS Signature Version 4: over what goes out, bodies of any kind and redirects included.
 *
 *   ./sigv4 http://localhost:8000        or  URL=http://localhost:8000 ./sigv4
 *
 * The server has to have the route /sigv4, as the local server does, which checks the signature.
 */
#define _POSIX_C_SOURCE 200809L
#include <requests_futures.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- SHA-256 and HMAC: in a program of yours they come from a library ---- */

typedef struct sha256 {
  uint32_t state[8];
  uint8_t block[64];
  uint64_t length;
} sha256;

static uint32_t rotated(uint32_t word, int by) { return word >> by | word << (32 - by); }

static void sha256_block(sha256 *sha) {
  static const uint32_t k[64] = {
      0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
      0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
      0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
      0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
      0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
      0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
      0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
      0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
  uint32_t w[64], s[8];
  for (int i = 0; i < 16; i++)
    w[i] = (uint32_t)sha->block[4 * i] << 24 | (uint32_t)sha->block[4 * i + 1] << 16 |
           (uint32_t)sha->block[4 * i + 2] << 8 | sha->block[4 * i + 3];
  for (int i = 16; i < 64; i++)
    w[i] = w[i - 16] + (rotated(w[i - 15], 7) ^ rotated(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
           (rotated(w[i - 2], 17) ^ rotated(w[i - 2], 19) ^ w[i - 2] >> 10);
  memcpy(s, sha->state, sizeof s);
  for (int i = 0; i < 64; i++) {
    uint32_t one = s[7] + (rotated(s[4], 6) ^ rotated(s[4], 11) ^ rotated(s[4], 25)) +
                   ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
    uint32_t two = (rotated(s[0], 2) ^ rotated(s[0], 13) ^ rotated(s[0], 22)) +
                   ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
    memmove(s + 1, s, 7 * sizeof *s);
    s[4] += one;
    s[0] = one + two;
  }
  for (int i = 0; i < 8; i++) sha->state[i] += s[i];
}

static void sha256_begin(sha256 *sha) {
  static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memcpy(sha->state, start, sizeof start);
  sha->length = 0;
}

static void sha256_add(sha256 *sha, const void *data, size_t length) {
  const uint8_t *bytes = data;
  for (size_t i = 0; i < length; i++) {
    sha->block[sha->length++ % 64] = bytes[i];
    if (sha->length % 64 == 0) sha256_block(sha);
  }
}

static void sha256_end(sha256 *sha, uint8_t hash[32]) {
  uint64_t bits = sha->length * 8;
  sha256_add(sha, "\x80", 1);
  while (sha->length % 64 != 56) sha256_add(sha, "", 1);
  for (int i = 7; i >= 0; i--) sha256_add(sha, &(uint8_t){(uint8_t)(bits >> 8 * i)}, 1);
  for (int i = 0; i < 32; i++) hash[i] = (uint8_t)(sha->state[i / 4] >> 8 * (3 - i % 4));
}

static void hmac(const void *key, size_t key_length, const char *text, uint8_t out[32]) {
  uint8_t pad[64] = {0};
  sha256 sha;
  memcpy(pad, key, key_length); /* none here is longer than a block */
  for (int i = 0; i < 64; i++) pad[i] ^= 0x36;
  sha256_begin(&sha), sha256_add(&sha, pad, 64), sha256_add(&sha, text, strlen(text)), sha256_end(&sha, out);
  for (int i = 0; i < 64; i++) pad[i] ^= 0x36 ^ 0x5c;
  sha256_begin(&sha), sha256_add(&sha, pad, 64), sha256_add(&sha, out, 32), sha256_end(&sha, out);
}

static void hex(const uint8_t hash[32], char out[65]) {
  for (int i = 0; i < 32; i++) snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

/* ---- the signature ---- */

typedef struct account {
  const char *key, *secret, *region, *service;
} account;

static int by_text(const void *one, const void *other) { return strcmp(*(char *const *)one, *(char *const *)other); }

/* Signs method, path, query, host, date and body. Called before each sending: the date is always that of now. */
static rf_status sign(rf_prepared *prepared, void *user_data) {
  const account *account = user_data;
  char url[2048], date[17], day[9], body_hash[65], request[4096], scope[256], text[1024], signature[65], value[1024];
  char *pairs[64];
  size_t count = 0, length, at;
  uint8_t buffer[4096], hash[32];
  rf_status status;
  sha256 sha;

  time_t now = time(NULL);
  struct tm utc;
  gmtime_r(&now, &utc); /* many threads may be here at once */
  strftime(date, sizeof date, "%Y%m%dT%H%M%SZ", &utc);
  strftime(day, sizeof day, "%Y%m%d", &utc);

  /* The body, wherever it comes from. The library rewinds it. */
  sha256_begin(&sha);
  do {
    if ((status = rf_prepared_read_body(prepared, buffer, sizeof buffer, &length)) != RF_OK) return status;
    sha256_add(&sha, buffer, length);
  } while (length > 0);
  sha256_end(&sha, hash);
  hex(hash, body_hash);
  rf_prepared_set_header(prepared, "X-Amz-Date", date);
  rf_prepared_set_header(prepared, "X-Amz-Content-Sha256", body_hash);

  /* "scheme://host/path?query"; the query's parts in order. */
  snprintf(url, sizeof url, "%s", rf_prepared_url(prepared));
  char *path = strchr(strstr(url, "://") + 3, '/'), *query = strchr(path, '?');
  if (query != NULL) *query++ = '\0';
  while (query != NULL && *query != '\0' && count < 64) {
    pairs[count++] = query;
    if ((query = strchr(query, '&')) != NULL) *query++ = '\0';
  }
  qsort(pairs, count, sizeof *pairs, by_text);
  at = (size_t)snprintf(request, sizeof request, "%s\n%s\n", rf_prepared_method(prepared), path);
  for (size_t i = 0; i < count; i++) {
    if (i > 0) request[at++] = '&';
    /* A space is signed as %20, however it is sent. The URL is shorter than half of what there is room for. */
    for (const char *c = pairs[i]; *c != '\0' && at < sizeof request - 1000; c++)
      at += (size_t)sprintf(request + at, *c == '+' ? "%%20" : "%c", *c);
    if (strchr(pairs[i], '=') == NULL) request[at++] = '=';
  }
  snprintf(request + at, sizeof request - at,
           "\nhost:%s\nx-amz-content-sha256:%s\nx-amz-date:%s\n\nhost;x-amz-content-sha256;x-amz-date\n%s",
           rf_prepared_header(prepared, "Host"), body_hash, date, body_hash);

  sha256_begin(&sha), sha256_add(&sha, request, strlen(request)), sha256_end(&sha, hash);
  hex(hash, signature);
  snprintf(scope, sizeof scope, "%s/%s/%s/aws4_request", day, account->region, account->service);
  snprintf(text, sizeof text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope, signature);
  snprintf(value, sizeof value, "AWS4%s", account->secret);
  hmac(value, strlen(value), day, hash);
  hmac(hash, 32, account->region, hash);
  hmac(hash, 32, account->service, hash);
  hmac(hash, 32, "aws4_request", hash);
  hmac(hash, 32, text, hash);
  hex(hash, signature);
  snprintf(value, sizeof value,
           "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=%s",
           account->key, scope, signature);
  return rf_prepared_set_header(prepared, "Authorization", value);
}

/* ---- requests of several kinds ---- */

static int show(const char *what, rf_future *future) {
  const rf_response *response;
  const rf_error *error = NULL;
  int good = 0;
  if (rf_future_result(future, RF_FOREVER, &response) == RF_OK) {
    good = rf_response_ok(response);
    printf("%-34s %d %s\n", what, rf_response_status_code(response),
           good ? "verified" : rf_response_text(response, NULL));
  } else if (rf_future_exception(future, 0, &error) == RF_OK && error != NULL) {
    printf("%-34s %s\n", what, rf_error_message(error));
  }
  rf_future_free(future);
  return good;
}

int main(int argc, char **argv) {
  const char *base = argc > 1 ? argv[1] : getenv("URL");
  static account account = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "service"};
  rf_session *session = NULL;
  rf_options *defaults = NULL, *options = NULL;
  rf_future *future = NULL;
  char url[1024];
  int good = 0;

  if (base == NULL) {
    fprintf(stderr, "usage: %s URL\n", argv[0]);
    return 2;
  }
  if (rf_session_new(NULL, &session) != RF_OK || rf_options_new(&defaults) != RF_OK) return 1;
  rf_options_set_auth_custom(defaults, sign, NULL, false, &account, NULL);
  rf_session_update(session, defaults);
  rf_options_free(defaults);

  snprintf(url, sizeof url, "%s/sigv4/bucket/key?version=2", base);
  if (rf_options_new(&options) != RF_OK) return 1;
  rf_options_add_param(options, "prefix", "a b/c");
  rf_session_get(session, url, options, &future);
  good += show("GET with a query", future);
  rf_options_free(options);

  if (rf_options_new(&options) != RF_OK) return 1;
  rf_options_set_json(options, "{\"name\": \"Ada\"}");
  rf_session_post(session, url, options, &future);
  good += show("POST of JSON", future);
  rf_options_free(options);

  if (rf_options_new(&options) != RF_OK) return 1;
  rf_options_add_form(options, "field", "value");
  rf_options_add_file(options, "file", argv[0], "application/octet-stream");
  rf_session_put(session, url, options, &future);
  good += show("PUT of a form with a file", future);
  snprintf(url, sizeof url, "%s/redirect-to?status_code=307&url=/sigv4/elsewhere%%3Fa%%3Db", base);
  rf_session_post(session, url, options, &future);
  good += show("the same after a redirect (307)", future);
  snprintf(url, sizeof url, "%s/redirect-to?status_code=303&url=/sigv4/elsewhere", base);
  rf_session_post(session, url, options, &future);
  good += show("GET after a redirect (303)", future);
  rf_options_free(options);

  rf_session_free(session);
  return good == 5 ? 0 : 1;
}
