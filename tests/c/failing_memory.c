/* Where there is no memory for what the other side, or the caller, has chosen the size of, the request or the call fails and
   says so; the next one goes well. Every such allocation fails once. */
#include "failing.h"

enum {
  BODY, CHUNKED, GZIP, DEFLATE, BROTLI, ZSTD, STREAMED, OUTPUT_FILE, LINE, TEXT, JSON, POSTED, POSTED_JSON, PROCESS, SCENARIOS
};
static const char *const names[] = {"body",   "chunked", "gzip",  "deflate", "br",     "zstd",        "stream",
                                    "output", "line",    "text",  "JSON",    "posted", "posted JSON", "process"};
enum { SIZE = 300000 };
/* A JSON document of so many bytes: [1,1,1 ... ] */
static char document[SIZE + 1];
static char path[400];
static rf_executor *lasting;

static bool is_posted(int scenario) { return scenario >= LINE && scenario <= POSTED_JSON; }

static bool options_for(int scenario, rf_options *options, const char **url) {
  *url = http(text("/bytes/%d", SIZE));
  if (scenario == CHUNKED) *url = http(text("/stream-bytes/%d", SIZE));
  if (scenario >= GZIP && scenario <= ZSTD) *url = http(text("/encoded?with=%s&n=%d", names[scenario], SIZE));
  if (scenario == STREAMED || scenario == LINE) CHECK_OK(rf_options_set_stream(options, true));
  if (scenario == OUTPUT_FILE) CHECK_OK(rf_options_set_output_file(options, path));
  if (!is_posted(scenario)) return true;
  *url = http("/echo");
  if (scenario == POSTED_JSON) return is_made(rf_options_set_json(options, document));
  return is_made(rf_options_set_body(options, document, SIZE));
}

/* Says why, and it is the memory. */
static void is_memory(const rf_error *error) {
  CHECK_HAS("Out of memory", rf_error_message(error));
  CHECK_INT(ENOMEM, rf_error_os_code(error));
}

static void check_response(int scenario, const rf_response *response) {
  const rf_error *error = NULL;
  const rf_json *json = NULL;
  const char *line = NULL;
  size_t length = 0;
  rf_status status;
  switch (scenario) {
    case STREAMED: {
      static uint8_t buffer[SIZE];
      size_t got = 1, sum = 0;
      for (; got > 0; sum += got) CHECK_OK(rf_response_read(response, buffer, sizeof buffer, &got, &error));
      CHECK_INT(SIZE, sum);
      return;
    }
    case OUTPUT_FILE: return;
    case LINE:
      status = rf_response_read_line(response, &line, &length, &error);
      if (status == RF_FAILED) is_memory(error);
      else CHECK(status == RF_OK && length == SIZE && memcmp(line, document, SIZE) == 0);
      return;
    case TEXT: /* NULL: there is no memory for it */
      line = rf_response_text(response, &length);
      if (line != NULL) CHECK(length == SIZE && memcmp(line, document, SIZE) == 0);
      return;
    case JSON:
      status = rf_response_json(response, &json, &error);
      if (status == RF_FAILED) is_memory(error);
      else CHECK(status == RF_OK && rf_json_size(json) == SIZE / 2 - 1);
      return;
    default:
      CHECK(rf_response_content(response, &length) != NULL);
      CHECK_INT(SIZE, length);
  }
}

static void carry_out(int scenario) {
  rf_session *session = NULL;
  rf_config *config = NULL;
  rf_future *future = NULL;
  rf_options *options = new_options();
  const rf_response *response = NULL;
  const rf_error *error = NULL;
  const char *url = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_workers(config, 1));
  if (scenario == PROCESS) CHECK_OK(rf_config_set_executor(config, lasting));
  CHECK_OK(rf_session_new(config, &session));
  rf_config_free(config);
  if (options_for(scenario, options, &url)) {
    CHECK_OK(rf_session_request(session, is_posted(scenario) ? "POST" : "GET", url, options, &future));
    rf_status status = rf_future_result(future, LONG_MS, &response);
    if (status == RF_FAILED) {
      CHECK_OK(rf_future_exception(future, 0, &error));
      is_memory(error);
    } else {
      CHECK_OK(status);
      CHECK_INT(200, rf_response_status_code(response));
      check_response(scenario, response);
    }
  }
  rf_future_free(future);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
  rf_options_free(options);
}

static void every_allocation_fails_once(int scenario) {
  if (scenario == PROCESS) CHECK_OK(rf_executor_new_processes(1, &lasting));
  carry_out(scenario);
  arm(-1, 0, 0);
  carry_out(scenario);
  int count = count_of(FAILING_memory);
  for (int nth = 1; nth <= count; nth++) {
    arm(FAILING_memory, nth, ENOMEM);
    carry_out(scenario);
    arm(-1, 0, 0);
    carry_out(scenario);
  }
  printf("%s: %d allocations of %d bytes or more\n", names[scenario], count, FAILING_LARGE);
  rf_executor_free(lasting);
  lasting = NULL;
}

int main(int argc, char **argv) {
  begin_failing(argv);
  snprintf(path, sizeof path, "%s/failing-memory-%d", env("RF_TEST_DIR"), (int)getpid());
  for (int i = 0; i < SIZE; i++) document[i] = i % 2 ? '1' : ',';
  document[0] = '[', document[SIZE - 2] = ' ', document[SIZE - 1] = ']';
  for (int scenario = 0; scenario < SCENARIOS; scenario++) {
    if (argc < 2 || strcmp(argv[1], names[scenario]) == 0) every_allocation_fails_once(scenario);
  }
  unlink(path);
  return finish();
}
