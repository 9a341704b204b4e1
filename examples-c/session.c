/* session - what a session remembers: defaults for every request, cookies, credentials, connections.
 *
 *   ./session http://localhost:8000        or  URL=http://localhost:8000 ./session
 */
#include <requests_futures.h>
#include <stdio.h>
#include <stdlib.h>

static const char *base;
static rf_session *session;
static int failed;

/* Gets a path, shows the answer, and gives the future back: the response lives as long as it. */
static rf_future *show(const char *path, const rf_options *options) {
  char url[1024];
  rf_future *future = NULL;
  const rf_response *response;

  snprintf(url, sizeof url, "%s%s", base, path);
  if (rf_session_get(session, url, options, &future) == RF_OK &&
      rf_future_result(future, RF_FOREVER, &response) == RF_OK && rf_response_ok(response)) {
    printf("%s (%d, after %zu redirects)\n%s\n", path, rf_response_status_code(response),
           rf_response_history_count(response), rf_response_text(response, NULL));
  } else {
    fprintf(stderr, "%s failed\n", path);
    failed = 1;
  }
  return future;
}

int main(int argc, char **argv) {
  base = argc > 1 ? argv[1] : getenv("URL");
  if (base == NULL) {
    fprintf(stderr, "usage: %s URL\n", argv[0]);
    return 2;
  }
  if (rf_session_new(NULL, &session) != RF_OK) return 1;

  /* Defaults are options. Updating merges: what is not named here stays as it was. */
  rf_options *defaults = NULL;
  if (rf_options_new(&defaults) != RF_OK) return 1;
  rf_options_set_header(defaults, "X-Client", "session.c");
  rf_options_set_auth_basic(defaults, "user", "passwd");
  rf_options_set_timeout(defaults, 5000, 30000);
  if (rf_session_update(session, defaults) != RF_OK) failed = 1;
  rf_options_free(defaults);

  /* The credentials are the session's. */
  rf_future_free(show("/basic-auth/user/passwd", NULL));

  /* The server sets a cookie and redirects; the session keeps it and shows it from now on. */
  rf_future_free(show("/cookies/set?flavour=oatmeal", NULL));
  rf_cookies *cookies = NULL;
  if (rf_session_cookies(session, &cookies) != RF_OK) return 1;
  const char *flavour = rf_cookies_get(cookies, "flavour", NULL);
  printf("flavour: %s\n", flavour != NULL ? flavour : "none");
  if (flavour == NULL) failed = 1;
  rf_cookies_free(cookies);

  /* One request can say otherwise: here without the default header and without credentials. */
  rf_options *options = NULL;
  if (rf_options_new(&options) != RF_OK) return 1;
  rf_options_set_header(options, "X-Client", NULL);
  rf_options_set_auth_none(options);
  rf_future_free(show("/headers", options));
  rf_options_free(options);

  rf_session_free(session);
  return failed;
}
