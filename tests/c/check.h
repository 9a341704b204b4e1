/* check.h - what the C tests share: checks that say where they failed and with which values, and a few steps that
   every test takes. A test prints nothing and exits with 0, or says what is wrong and exits with 1.

   The environment names the test server: see RF_TEST_* in tests/support/ROUTES.md. */
#ifndef CHECK_H
#define CHECK_H

#include <stdlib.h>
#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 33)
#include <malloc.h>
#define RF_HAVE_MALLINFO2
#endif
#endif

#include <requests_futures.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "thread_count.h"

#define FAIL(...)                                 \
  do {                                            \
    fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
    fprintf(stderr, __VA_ARGS__);                 \
    fprintf(stderr, "\n");                        \
    exit(1);                                      \
  } while (0)

#define CHECK(condition)                                \
  do {                                                  \
    if (!(condition)) FAIL("not true: %s", #condition); \
  } while (0)

#define CHECK_INT(expected, actual) check_int((int64_t)(expected), (int64_t)(actual), #actual, __FILE__, __LINE__)
#define CHECK_STR(expected, actual) check_str((expected), (actual), #actual, __FILE__, __LINE__)
#define CHECK_NULL(actual) CHECK((actual) == NULL)
/* A status, shown by its name. */
#define CHECK_STATUS(expected, actual) check_status((expected), (actual), #actual, __FILE__, __LINE__)
#define CHECK_OK(actual) CHECK_STATUS(RF_OK, actual)
/* The text holds the part. */
#define CHECK_HAS(part, text) check_has((part), (text), #text, __FILE__, __LINE__)
/* Low <= actual <= high: milliseconds, mostly. */
#define CHECK_RANGE(low, high, actual) \
  check_range((int64_t)(low), (int64_t)(high), (int64_t)(actual), #actual, __FILE__, __LINE__)
/* Waits, at most half a minute, or five where a checker makes all slow, until the condition holds. */
#define EVENTUALLY(condition)                                                                   \
  do {                                                                                          \
    int64_t until_ = now_ms() + 30000 * patience();                                             \
    for (int looks_ = 0; !(condition); looks_++) {                                              \
      /* A machine that stood still for so long has not looked often. */                        \
      if (now_ms() > until_ && looks_ > 100)                                                    \
        FAIL("still not true after a long time: %s", #condition);                               \
      sleep_ms(5);                                                                              \
    }                                                                                           \
  } while (0)

/* A counter that several threads use. */
#define INCREMENT(counter) ((void)__atomic_add_fetch(&(counter), 1, __ATOMIC_SEQ_CST))
#define LOAD(counter) __atomic_load_n(&(counter), __ATOMIC_SEQ_CST)

/* How long anything that must end may take. */
#define LONG_MS 60000

static inline void check_int(int64_t expected, int64_t actual, const char *what, const char *file, int line) {
  if (expected == actual) return;
  fprintf(stderr, "%s:%d: %s is %" PRId64 ", not %" PRId64 "\n", file, line, what, actual, expected);
  exit(1);
}

static inline void check_range(int64_t low, int64_t high, int64_t actual, const char *what, const char *file,
                               int line) {
  if (low <= actual && actual <= high) return;
  fprintf(stderr, "%s:%d: %s is %" PRId64 ", not in %" PRId64 " ... %" PRId64 "\n", file, line, what, actual, low,
          high);
  exit(1);
}

static inline void check_status(int expected, int actual, const char *what, const char *file, int line) {
  if (expected == actual) return;
  const char *is = rf_status_name(actual), *wanted = rf_status_name(expected);
  fprintf(stderr, "%s:%d: %s is %d (%s), not %d (%s)\n", file, line, what, actual, is != NULL ? is : "?", expected,
          wanted != NULL ? wanted : "?");
  exit(1);
}

static inline void check_str(const char *expected, const char *actual, const char *what, const char *file,
                             int line) {
  if (expected == NULL ? actual == NULL : actual != NULL && strcmp(expected, actual) == 0) return;
  fprintf(stderr, "%s:%d: %s is\n  %s\nnot\n  %s\n", file, line, what, actual != NULL ? actual : "(NULL)",
          expected != NULL ? expected : "(NULL)");
  exit(1);
}

static inline void check_has(const char *part, const char *text, const char *what, const char *file, int line) {
  if (part != NULL && text != NULL && strstr(text, part) != NULL) return;
  fprintf(stderr, "%s:%d: %s is\n  %s\nwithout\n  %s\n", file, line, what, text != NULL ? text : "(NULL)",
          part != NULL ? part : "(NULL)");
  exit(1);
}

/* ---- misuse: the status, and a pointer handed out that is NULL whatever it was before ---- */

/* A required argument is NULL. */
#define NO(call) CHECK_STATUS(RF_E_NULL, call)
/* Out of range, or not UTF-8. */
#define BAD(call) CHECK_STATUS(RF_E_INVALID, call)
/* The same, and the pointer handed out is NULL whatever it was before. */
#define NO_OUT(out, call) FAILS_OUT(RF_E_NULL, out, call)
#define BAD_OUT(out, call) FAILS_OUT(RF_E_INVALID, out, call)
#define FAILS_OUT(status, out, call) \
  do {                               \
    (out) = (void *)(uintptr_t)1;      \
    CHECK_STATUS(status, call);      \
    CHECK_NULL(out);                 \
  } while (0)

static inline int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void sleep_ms(int64_t ms) {
  struct timespec pause = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
  nanosleep(&pause, NULL);
}

/* Upper limits of time are multiplied by this: a checker that makes everything slow is no defect. */
static inline int64_t patience(void) {
  const char *slow = getenv("RF_TEST_SLOW");
  return slow != NULL && *slow != '\0' ? 10 : 1;
}

/* A variable that must be set. */
static inline const char *env(const char *name) {
  const char *value = getenv(name);
  if (value == NULL || *value == '\0') {
    fprintf(stderr, "%s is not set\n", name);
    exit(1);
  }
  return value;
}

/* A formatted string in one of many buffers that are used in turn: for URLs and names, within one test.
   Every thread has buffers of its own. */
static inline const char *text(const char *format, ...) {
  static __thread char buffers[128][1024];
  static __thread unsigned turn;
  char *buffer = buffers[turn++ % 128];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(buffer, sizeof buffers[0], format, arguments);
  va_end(arguments);
  return buffer;
}

/* ---- steps ---- */

static inline rf_session *new_session(void) {
  rf_session *session = NULL;
  CHECK_OK(rf_session_new(NULL, &session));
  CHECK(session != NULL);
  return session;
}

/* Frees the configuration. */
static inline rf_session *session_of(rf_config *config) {
  rf_session *session = NULL;
  CHECK_OK(rf_session_new(config, &session));
  rf_config_free(config);
  return session;
}

/* Whether sessions make an event loop of their own, and not a pool of threads. */
static inline bool on_events(void) { return getenv("RF_TEST_EVENTS") != NULL; }

static inline rf_session *new_session_workers(size_t max_workers) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_workers(config, max_workers));
  return session_of(config);
}

static inline rf_session *session_on(rf_executor *executor) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_executor(config, executor));
  return session_of(config);
}

/* On an executor of the test's own, which does nothing but give each task to this function. */
static inline rf_session *session_run_by(rf_status (*submit)(rf_task *task, void *user_data)) {
  rf_executor_ops ops = {sizeof ops, submit, NULL, NULL};
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_custom(&ops, NULL, NULL, &executor));
  rf_session *session = session_on(executor);
  rf_executor_free(executor);
  return session;
}

/* Runs a task in the thread that submits it, with that thread's mask of signals. */
static inline rf_status run_here(rf_task *task, void *user_data) {
  (void)user_data;
  rf_task_run(task);
  return RF_OK;
}

static inline rf_options *new_options(void) {
  rf_options *options = NULL;
  CHECK_OK(rf_options_new(&options));
  CHECK(options != NULL);
  return options;
}

static inline rf_future *get(rf_session *session, const char *url, const rf_options *options) {
  rf_future *future = NULL;
  CHECK_OK(rf_session_get(session, url, options, &future));
  CHECK(future != NULL);
  return future;
}

static inline rf_future *request(rf_session *session, const char *method, const char *url,
                                 const rf_options *options) {
  rf_future *future = NULL;
  CHECK_OK(rf_session_request(session, method, url, options, &future));
  CHECK(future != NULL);
  return future;
}

/* Waits for the response of a future that must succeed. */
#define RESPONSE(future) response_of((future), __FILE__, __LINE__)
static inline const rf_response *response_of(rf_future *future, const char *file, int line) {
  const rf_response *response = NULL;
  rf_status status = rf_future_result(future, LONG_MS, &response);
  if (status != RF_OK) {
    const rf_error *error = NULL;
    rf_future_exception(future, 0, &error);
    const char *message = rf_error_message(error);
    fprintf(stderr, "%s:%d: the request ended with %d (%s): %s\n", file, line, (int)status, rf_status_name(status),
            message != NULL ? message : "no message");
    exit(1);
  }
  if (response == NULL) {
    fprintf(stderr, "%s:%d: RF_OK without a response\n", file, line);
    exit(1);
  }
  return response;
}

/* Waits for the error of a future that must fail with this kind. */
#define ERROR_OF(kind, future) error_of((kind), (future), __FILE__, __LINE__)
static inline const rf_error *error_of(int kind, rf_future *future, const char *file, int line) {
  const rf_error *error = NULL;
  const rf_response *response = NULL;
  rf_status status = rf_future_exception(future, LONG_MS, &error);
  if (status != RF_OK || error == NULL) {
    rf_future_result(future, 0, &response);
    fprintf(stderr, "%s:%d: no error: status %s, response %d\n", file, line, rf_status_name(status),
            rf_response_status_code(response));
    exit(1);
  }
  if (rf_error_kind_of(error) != kind) {
    fprintf(stderr, "%s:%d: the error is a %s, not a %s: %s\n", file, line,
            rf_error_kind_name(rf_error_kind_of(error)), rf_error_kind_name(kind), rf_error_message(error));
    exit(1);
  }
  /* The other way of asking agrees. */
  status = rf_future_result(future, 0, &response);
  rf_status expected = kind == RF_ERROR_CANCELLED ? RF_CANCELLED : RF_FAILED;
  if (status != expected || response != NULL) {
    fprintf(stderr, "%s:%d: result says %s\n", file, line, rf_status_name(status));
    exit(1);
  }
  return error;
}

/* A string of the response's JSON document, or NULL. */
static inline const char *json_string(const rf_response *response, const char *pointer) {
  const rf_json *json = NULL;
  const rf_error *error = NULL;
  rf_status status = rf_response_json(response, &json, &error);
  if (status != RF_OK) {
    FAIL("no JSON (%s) but: %s", rf_status_name(status), rf_response_text(response, NULL));
  }
  return rf_json_string(rf_json_pointer(json, pointer), NULL);
}

/* ---- the local server ---- */

/* A URL of the well-behaved routes, and of the misbehaving ones. */
static inline const char *http(const char *path) { return text("%s%s", env("RF_TEST_HTTP"), path); }
static inline const char *raw(const char *path) { return text("%s%s", env("RF_TEST_RAW"), path); }

/* A name that no other test uses: for gates and counters. Processes follow each other so fast that their numbers come
   again while a server lives; the time does not. */
static inline const char *unique(const char *name) {
  static int number;
  return text("%s-%ld-%lld-%d", name, (long)getpid(), (long long)now_ms(), number++);
}

/* An integer of the JSON document at a URL, asked for with a session of its own. */
static inline int64_t ask(const char *url, const char *pointer) {
  rf_session *session = new_session_workers(1);
  rf_future *future = get(session, url, NULL);
  const rf_json *json = NULL;
  int64_t value = 0;
  CHECK_OK(rf_response_json(RESPONSE(future), &json, NULL));
  CHECK_OK(rf_json_int(rf_json_pointer(json, pointer), &value));
  rf_future_free(future);
  rf_session_free(session);
  return value;
}

/* A gate holds the requests for it until it is opened: work that lasts exactly as long as a test wants. */
static inline const char *gate_url(const char *gate) { return http(text("/gate/%s", gate)); }
static inline void gate_open(const char *gate) { ask(http(text("/gate-open/%s", gate)), "/waiting"); }
/* Waits until that many requests stand before the gate. */
static inline void gate_wait(const char *gate, int64_t waiting) {
  const char *url = http(text("/gate-waiting/%s", gate));
  EVENTUALLY(ask(url, "/waiting") >= waiting);
}
/* How often a counter was used. */
static inline int64_t counted(const char *key) { return ask(http(text("/count?key=%s&peek=1", key)), "/count"); }

/* ---- the end ---- */

/* Bytes of the heap that are in use, in all arenas; 0 where nobody can tell. */
static inline int64_t heap(void) {
#ifdef RF_HAVE_MALLINFO2
  if (getenv("RF_VALGRIND") != NULL || getenv("RF_SANITIZER") != NULL) return 0;
  malloc_trim(0);
  struct mallinfo2 info = mallinfo2();
  return (int64_t)(info.uordblks + info.hblkhd);
#else
  return 0;
#endif
}

/* How many descriptors are open, once every thread but this has ended: one that was freed without waiting closes its
   connections late. 0 where nobody can tell. */
static inline int descriptors(void) {
  EVENTUALLY(threads() == 1);
  DIR *open = opendir("/proc/self/fd");
  int count = 0;
  if (open == NULL) return 0;
  while (readdir(open) != NULL) count++;
  closedir(open);
  return count;
}

/* The last line of every test: what was freed without waiting must have ended by itself, to the last thread. */
static inline int finish(void) {
  EVENTUALLY(threads() == 1);
  return 0;
}

#endif
