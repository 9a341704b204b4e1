/* oauth - a token that expires while requests are in flight: it is fetched once, each request is sent twice at most.
 *
 *   ./oauth http://localhost:8000        or  URL=http://localhost:8000 ./oauth
 *
 * The server has to have the routes /oauth/token, /oauth/resource and /oauth/stats, as the local server does.
 */
#include <pthread.h>
#include <requests_futures.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUESTS 64

/* What all requests share: the token, and where the next one comes from. */
typedef struct account {
  pthread_mutex_t lock;
  char token[256];
  char url[1024];
  rf_session *session; /* of its own: a function that waits for its own pool could wait for itself */
  int fetched;
} account;

/* Gets a new token. The lock is held meanwhile: others would only fetch the same. */
static rf_status fetch(account *account) {
  rf_future *future = NULL;
  const rf_response *response;
  const rf_json *json;
  const char *token = NULL;
  if (rf_session_post(account->session, account->url, NULL, &future) == RF_OK &&
      rf_future_result(future, 10000, &response) == RF_OK && rf_response_ok(response) &&
      rf_response_json(response, &json, NULL) == RF_OK)
    token = rf_json_string(rf_json_pointer(json, "/access_token"), NULL);
  if (token != NULL) {
    snprintf(account->token, sizeof account->token, "Bearer %s", token);
    account->fetched++;
  }
  rf_future_free(future);
  return token != NULL ? RF_OK : RF_FAILED;
}

/* Before each sending: the token as it is now. */
static rf_status sign(rf_prepared *prepared, void *user_data) {
  account *account = user_data;
  pthread_mutex_lock(&account->lock);
  rf_status status = account->token[0] != '\0' ? RF_OK : fetch(account);
  if (status == RF_OK) status = rf_prepared_set_header(prepared, "Authorization", account->token);
  pthread_mutex_unlock(&account->lock);
  return status == RF_OK ? RF_OK : rf_prepared_fail(prepared, "there is no token to be had");
}

/* After each answer: a token that has expired is replaced, unless another request has done so meanwhile. */
static rf_status renew(rf_prepared *prepared, const rf_response *response, void *user_data) {
  account *account = user_data;
  rf_status status = RF_OK;
  if (rf_response_status_code(response) != 401 || rf_prepared_challenges(prepared) > 0) return RF_OK;
  pthread_mutex_lock(&account->lock);
  if (strcmp(rf_prepared_header(prepared, "Authorization"), account->token) == 0) status = fetch(account);
  pthread_mutex_unlock(&account->lock);
  return status == RF_OK ? RF_AGAIN : rf_prepared_fail(prepared, "there is no new token to be had");
}

int main(int argc, char **argv) {
  const char *base = argc > 1 ? argv[1] : getenv("URL");
  static account account = {.lock = PTHREAD_MUTEX_INITIALIZER};
  rf_future *futures[REQUESTS] = {NULL};
  rf_session *session = NULL;
  rf_options *options = NULL;
  char url[1024];
  int good = 0, twice = 0;

  if (base == NULL) {
    fprintf(stderr, "usage: %s URL\n", argv[0]);
    return 2;
  }
  if (rf_session_new(NULL, &session) != RF_OK || rf_session_new(NULL, &account.session) != RF_OK ||
      rf_options_new(&options) != RF_OK)
    return 1;

  /* The first token is good for 20 requests only. */
  snprintf(account.url, sizeof account.url, "%s/oauth/token?client=oauth.c&uses=20", base);
  if (fetch(&account) != RF_OK) {
    fprintf(stderr, "%s gives no token\n", account.url);
    return 1;
  }
  snprintf(account.url, sizeof account.url, "%s/oauth/token?client=oauth.c", base);

  rf_options_set_auth_custom(options, sign, renew, false, &account, NULL);
  snprintf(url, sizeof url, "%s/oauth/resource?client=oauth.c", base);
  for (int i = 0; i < REQUESTS; i++) rf_session_get(session, url, options, &futures[i]);
  for (int i = 0; i < REQUESTS; i++) {
    const rf_response *response;
    if (rf_future_result(futures[i], RF_FOREVER, &response) == RF_OK && rf_response_ok(response)) {
      good++;
      twice += rf_response_history_count(response) == 1;
    }
    rf_future_free(futures[i]);
  }
  printf("%d of %d requests were answered, %d of them after a second try; %d tokens were fetched\n", good, REQUESTS,
         twice, account.fetched);
  rf_options_free(options);
  rf_session_free(session);
  rf_session_free(account.session);
  return good == REQUESTS && account.fetched == 2 ? 0 : 1;
}
