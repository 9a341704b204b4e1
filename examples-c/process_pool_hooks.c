/* The hook of process_pool.c, in a shared object that links the library as well. */
#include <requests_futures.h>
#include <stdio.h>
#include <string.h>

/* Runs in a worker process. Extras are bytes, and travel back; what rf_response_set_data attaches is an address, and
   stays there. */
rf_status summarize(rf_hook_call *call, const rf_response *response, void *user_data) {
  const char *type = rf_response_header(response, "Content-Type");
  const rf_json *json;
  size_t length = 0;
  char summary[100];
  (void)call, (void)user_data;

  rf_response_content(response, &length);
  if (rf_response_json(response, &json, NULL) == RF_OK) {
    snprintf(summary, sizeof summary, "%zu members in %zu bytes", rf_json_size(json), length);
  } else if (type != NULL && strncmp(type, "text/html", 9) == 0) {
    snprintf(summary, sizeof summary, "%s", rf_response_text(response, NULL));
    /* The defect of this parser: it forgets that there may be no such element. */
    *strstr(summary, "<summary>") = '\0';
  } else {
    snprintf(summary, sizeof summary, "%zu bytes", length);
  }
  return rf_response_set_extra(response, "summary", summary, strlen(summary));
}
