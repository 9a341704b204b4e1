/* mock - the tests of a program without a network: an adapter of one's own answers in the place of the server.
 *
 *   ./mock
 *
 * No server is needed. What is tested is the function `greet`, which knows nothing of all this.
 */
#include <requests_futures.h>
#include <stdio.h>
#include <string.h>

/* ---- the program: logs in, is led on to its page, and reads the name on it ---- */

static int greet(rf_session *session, const char *base, char *name, size_t capacity) {
  char url[256];
  rf_future *future = NULL;
  const rf_response *response;
  int found = 0;
  snprintf(url, sizeof url, "%s/login", base);
  if (rf_session_post(session, url, NULL, &future) == RF_OK && rf_future_result(future, 10000, &response) == RF_OK &&
      rf_response_ok(response) && rf_response_text(response, NULL) != NULL)
    found = snprintf(name, capacity, "%s", rf_response_text(response, NULL)) > 0;
  rf_future_free(future);
  return found;
}

/* ---- the server that there is none of ---- */

/* Called on the worker for each request, a redirect's included. */
static rf_status answer(rf_prepared *prepared, void *user_data) {
  const char *path = strchr(strstr(rf_prepared_url(prepared), "://") + 3, '/');
  const char *cookie = rf_prepared_header(prepared, "Cookie");
  rf_response *response = NULL;
  rf_status status = RF_OK;
  const char *name = user_data;
  if (strcmp(path, "/down") == 0) return rf_prepared_fail_as(prepared, RF_ERROR_CONNECTION, "the cable is cut");
  if (strcmp(path, "/login") == 0) {
    status = rf_response_new(302, NULL, NULL, 0, &response);
    /* These count as if they had come over the wire. */
    if (status == RF_OK) status = rf_response_add_header(response, "Location", "/home");
    if (status == RF_OK) status = rf_response_add_header(response, "Set-Cookie", "session=42; Path=/");
  } else if (strcmp(path, "/home") == 0 && cookie != NULL && strcmp(cookie, "session=42") == 0) {
    status = rf_response_new(200, "text/plain", name, strlen(name), &response);
  } else {
    status = rf_response_new(403, "text/plain", "who are you?", 12, &response);
  }
  if (status == RF_OK) status = rf_prepared_respond(prepared, response);
  rf_response_free(response); /* the request has its own */
  return status;
}

static int failed;

static void check(int is_true, const char *what) {
  printf("%s %s\n", is_true ? "ok    " : "FAILED", what);
  failed |= !is_true;
}

int main(void) {
  static char ada[] = "Ada";
  const rf_adapter_ops ops = {sizeof ops, answer};
  rf_adapter *adapter = NULL;
  rf_session *session = NULL;
  rf_future *future = NULL;
  const rf_error *error = NULL;
  char name[64] = "";

  if (rf_session_new(NULL, &session) != RF_OK || rf_adapter_new_custom(&ops, ada, NULL, &adapter) != RF_OK) return 1;
  /* A scheme that nobody else has, and in the same way the real name of a server: nothing goes out to it. */
  if (rf_session_mount(session, "mock://", adapter) != RF_OK ||
      rf_session_mount(session, "https://accounts.example.com/", adapter) != RF_OK)
    return 1;
  rf_adapter_free(adapter); /* the session keeps it */

  check(greet(session, "mock://accounts", name, sizeof name) && strcmp(name, "Ada") == 0, "greet, with mock://");
  name[0] = '\0';
  check(greet(session, "https://accounts.example.com", name, sizeof name) && strcmp(name, "Ada") == 0,
        "greet, with the server's own URL");

  /* What is hard to get from a real server: an error of the network. */
  check(rf_session_get(session, "mock://accounts/down", NULL, &future) == RF_OK &&
            rf_future_exception(future, 10000, &error) == RF_OK && rf_error_is(error, RF_ERROR_CONNECTION),
        "a connection that fails");
  rf_future_free(future);
  rf_session_free(session);
  return failed;
}
