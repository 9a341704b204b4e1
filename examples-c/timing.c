/* timing - fetches a URL and prints where the time went, as curl -w does: seconds since the request was submitted. -v shows on
 * standard error what goes over the wire, as curl -v does.
 *
 *   ./timing [-v] URL
 */
#include <requests_futures.h>
#include <stdio.h>
#include <string.h>

/* Called on the thread that does the work. Of heads, each line gets a mark; bodies are not shown. */
static void show(uint64_t future_id, int kind, const uint8_t *data, size_t length, void *user_data) {
  const char *mark = kind == RF_TRACE_INFO ? "*" : kind == RF_TRACE_HEAD_OUT ? ">" : "<";
  (void)future_id; /* which tells requests apart where there are several */
  (void)user_data;
  if (kind == RF_TRACE_BODY_OUT || kind == RF_TRACE_BODY_IN) return;
  while (length > 0) {
    const uint8_t *end = memchr(data, '\n', length);
    size_t line = end != NULL ? (size_t)(end - data) + 1 : length;
    size_t shown = line;
    while (shown > 0 && (data[shown - 1] == '\n' || data[shown - 1] == '\r')) shown--;
    fprintf(stderr, "%s %.*s\n", mark, (int)shown, (const char *)data);
    data += line;
    length -= line;
  }
}

static double phase(const rf_response *response, int which) {
  int64_t us = rf_response_phase_us(response, which);
  return us > 0 ? (double)us / 1e6 : 0; /* -1: there was none */
}

static const char *or_none(const char *text) { return text != NULL ? text : "-"; }

int main(int argc, char **argv) {
  rf_session *session = NULL;
  rf_options *options = NULL;
  rf_future *future = NULL;
  const rf_response *response;
  const rf_error *error = NULL;
  int failed = 1, verbose = argc > 2 && strcmp(argv[1], "-v") == 0;
  const char *url = argc > 1 ? argv[argc - 1] : "https://example.org/";

  if (rf_session_new(NULL, &session) != RF_OK || rf_options_new(&options) != RF_OK) return 2;
  if (verbose) rf_options_set_trace(options, show, false, NULL, NULL);
  if (rf_session_get(session, url, options, &future) != RF_OK) return 2;
  if (rf_future_result(future, RF_FOREVER, &response) == RF_OK) {
    size_t redirects = rf_response_history_count(response), length = 0;
    /* The redirects come first; what follows is of the last hop. */
    double total = (double)rf_response_total_us(response) / 1e6, at = 0;
    for (size_t i = 0; i < redirects; i++) {
      at = (double)rf_response_total_us(rf_response_history_at(response, i)) / 1e6;
    }
    rf_response_content(response, &length);
    printf("response_code       %d\n", rf_response_status_code(response));
    printf("http_version        %s\n", or_none(rf_response_http_version(response)));
    printf("remote              %s%s\n", or_none(rf_response_remote_address(response)),
           rf_response_is_reused(response) ? " (connection used again)" : "");
    printf("local               %s\n", or_none(rf_response_local_address(response)));
    printf("tls                 %s %s, %zu certificates\n", or_none(rf_response_tls_version(response)),
           or_none(rf_response_tls_cipher(response)), rf_response_certificate_count(response));
    printf("num_redirects       %zu\n", redirects);
    printf("attempts            %u\n", rf_response_attempts(response));
    printf("size_download       %zu\n", length);
    printf("time_redirect       %.6f\n", at);
    printf("time_queue          %.6f\n", at += phase(response, RF_PHASE_QUEUE) + phase(response, RF_PHASE_PAUSE));
    printf("time_namelookup     %.6f\n", at += phase(response, RF_PHASE_RESOLVE));
    printf("time_connect        %.6f\n", at += phase(response, RF_PHASE_CONNECT));
    printf("time_appconnect     %.6f\n", at += phase(response, RF_PHASE_TLS));
    printf("time_posttransfer   %.6f\n", at += phase(response, RF_PHASE_SEND));
    printf("time_starttransfer  %.6f\n", at += phase(response, RF_PHASE_WAIT));
    printf("time_hooks          %.6f\n", at += phase(response, RF_PHASE_HOOK));
    printf("time_total          %.6f\n", total);
    failed = !rf_response_ok(response);
  } else if (rf_future_exception(future, 0, &error) == RF_OK) {
    static const char *const phases[] = {"before it began", "in the queue",        "in the look-up", "while connecting",
                                         "in the handshake", "while sending",       "while waiting",  "while receiving",
                                         "in a function",    "between two attempts"};
    int which = rf_error_phase(error);
    fprintf(stderr, "%s, %s, attempt %u: %s\n", or_none(rf_error_method(error)), which < 10 ? phases[which] : "-",
            rf_error_attempts(error), rf_error_message(error));
  }
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
  return failed;
}
