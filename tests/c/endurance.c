/* Many requests over one session: every future is over, no descriptor is left, and memory stays flat. RF_REQUESTS says
   how many (10,000); CI takes more. */
#include "check.h"


static long resident_kb(void) {
  long pages = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file == NULL) return 0;
  if (fscanf(file, "%ld %ld", &pages, &resident) != 2) resident = 0;
  fclose(file);
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

int main(void) {
  enum { IN_FLIGHT = 64 };
  const char *asked = getenv("RF_REQUESTS");
  long requests = asked != NULL ? atol(asked) : 10000;
  const char *url = http("/hello");
  int before = descriptors();
  long warm_kb = 0;
  rf_session *session = new_session_workers(8);
  rf_completed *completed = NULL;
  CHECK_OK(rf_as_completed(NULL, 0, &completed));

  rf_future **futures = calloc((size_t)requests, sizeof *futures);
  CHECK(futures != NULL);
  memset(futures, 1, (size_t)requests * sizeof *futures); /* resident from the start */
  long submitted = 0, over = 0;
  while (over < requests) {
    while (submitted < requests && submitted - over < IN_FLIGHT) {
      CHECK_OK(rf_session_get(session, url, NULL, &futures[submitted]));
      CHECK_OK(rf_completed_add(completed, futures[submitted++]));
    }
    size_t index = 0;
    rf_future *future = NULL;
    const rf_response *response = NULL;
    CHECK_OK(rf_completed_next(completed, 30000, &future, &index));
    CHECK(future == futures[index]);
    CHECK(rf_future_done(future));
    CHECK_OK(rf_future_result(future, 0, &response));
    CHECK_INT(200, rf_response_status_code(response));
    size_t length = 0;
    rf_response_content(response, &length);
    CHECK_INT(13, length);
    rf_future_free(futures[index]);
    if (++over == requests / 10) warm_kb = resident_kb();
  }
  CHECK_STATUS(RF_END, rf_completed_next(completed, 0, NULL, NULL));
  long grown_kb = resident_kb() - warm_kb;
  if (getenv("RF_VALGRIND") == NULL && getenv("RF_SANITIZER") == NULL) CHECK_RANGE(-1000000, 2048, grown_kb);
  rf_completed_free(completed);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
  CHECK_INT(before, descriptors());
  free(futures);
  return 0;
}
