/* post_json - sends a JSON document and reads the one that comes back.
 *
 *   ./post_json http://localhost:8000        or  URL=http://localhost:8000 ./post_json
 */
#include <requests_futures.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  const char *base = argc > 1 ? argv[1] : getenv("URL");
  char url[1024];
  int failed = 1;

  if (base == NULL) {
    fprintf(stderr, "usage: %s URL\n", argv[0]);
    return 2;
  }
  rf_session *session = NULL;
  rf_options *options = NULL;
  rf_future *future = NULL;
  if (rf_session_new(NULL, &session) != RF_OK || rf_options_new(&options) != RF_OK) return 1;

  /* Options are what requests takes as keyword arguments. They are copied when a request is submitted: the same
     options can be used for many. Setters can only fail for NULL, a range or bytes that are not UTF-8. */
  rf_options_set_json(options, "{\"name\": \"Ada\", \"languages\": [\"C\", \"Rust\"]}");
  rf_options_set_header(options, "X-Example", "post_json");
  rf_options_add_param(options, "page", "1");
  rf_options_set_timeout(options, 5000, 10000); /* to connect; between two reads */

  snprintf(url, sizeof url, "%s/post", base);
  if (rf_session_post(session, url, options, &future) != RF_OK) return 1;

  const rf_response *response;
  const rf_json *answer = NULL;
  const rf_error *error = NULL;
  if (rf_future_result(future, RF_FOREVER, &response) != RF_OK) {
    rf_future_exception(future, 0, &error);
  } else if (rf_response_raise_for_status(response, &error) == RF_OK &&
             rf_response_json(response, &answer, &error) == RF_OK) {
    /* The server echoes what it got. A pointer (RFC 6901) reaches into the document; what is not there is NULL,
       and every getter takes NULL. */
    const char *name = rf_json_string(rf_json_pointer(answer, "/json/name"), NULL);
    const rf_json *languages = rf_json_pointer(answer, "/json/languages");
    printf("name: %s\n", name != NULL ? name : "?");
    for (size_t i = 0; i < rf_json_size(languages); i++) {
      printf("language: %s\n", rf_json_string(rf_json_at(languages, i), NULL));
    }
    failed = name == NULL;
  }
  if (error != NULL) fprintf(stderr, "%s: %s\n", rf_error_kind_name(rf_error_kind_of(error)), rf_error_message(error));

  rf_future_free(future); /* the response, the document and the error go with it */
  rf_options_free(options);
  rf_session_free(session);
  return failed;
}
