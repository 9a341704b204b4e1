/* elsewhere.h - requests that run elsewhere, in another process or as bytes: the hooks that are found there, what is left
   behind, and all that can be asked of an outcome as one text, so that two of them can be compared. */
#ifndef ELSEWHERE_H
#define ELSEWHERE_H

#include "check.h"

#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <strings.h>
#include <sys/wait.h>

/* A function of hook_library.c. */
static inline void *hook_symbol(const char *name) {
  static void *library;
  if (library == NULL) library = dlopen(env("RF_TEST_HOOK_LIBRARY"), RTLD_NOW);
  if (library == NULL) FAIL("%s", dlerror());
  void *symbol = dlsym(library, name);
  if (symbol == NULL) FAIL("%s", dlerror());
  return symbol;
}

/* POSIX lets a function be taken out of a pointer to data; C99 alone does not. */
static inline rf_hook_fn hook(const char *name) {
  void *symbol = hook_symbol(name);
  rf_hook_fn function;
  memcpy(&function, &symbol, sizeof function);
  return function;
}

static inline rf_background_fn background_hook(const char *name) {
  void *symbol = hook_symbol(name);
  rf_background_fn function;
  memcpy(&function, &symbol, sizeof function);
  return function;
}

static inline rf_prepare_fn prepare_hook(const char *name) {
  void *symbol = hook_symbol(name);
  rf_prepare_fn function;
  memcpy(&function, &symbol, sizeof function);
  return function;
}

static inline rf_challenge_fn challenge_hook(const char *name) {
  void *symbol = hook_symbol(name);
  rf_challenge_fn function;
  memcpy(&function, &symbol, sizeof function);
  return function;
}

static inline rf_options *options_with_hook(const char *name) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, hook(name), NULL, NULL));
  return options;
}

/* CRC-32, the check sum of messages. */
static inline uint32_t crc32(const uint8_t *bytes, size_t length) {
  uint32_t sum = 0xffffffff;
  for (size_t i = 0; i < length; i++) {
    sum ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) sum = sum >> 1 ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return ~sum;
}

static inline void put_u32(uint8_t *to, uint32_t number) {
  for (int i = 0; i < 4; i++) to[i] = (uint8_t)(number >> 8 * i);
}

/* Encodes, executes and completes a task in this thread. */
static inline rf_status run_by_bytes(rf_task *task, void *unused) {
  uint8_t *bytes = NULL, *reply = NULL;
  size_t length = 0, reply_length = 0;
  (void)unused;
  rf_status status = rf_task_encode(task, &bytes, &length);
  if (status != RF_OK) return status;
  CHECK(bytes != NULL && length > 0);
  CHECK_OK(rf_task_execute(bytes, length, &reply, &reply_length));
  CHECK(reply != NULL && reply_length > 0);
  CHECK_OK(rf_task_complete(task, reply, reply_length));
  rf_bytes_free(bytes, length);
  rf_bytes_free(reply, reply_length);
  return RF_OK;
}

/* ---- a pool of processes ---- */

typedef struct pool {
  rf_executor *executor;
  rf_session *session;
} pool;

static inline pool new_pool(size_t max_workers) {
  pool made = {NULL, NULL};
  CHECK_OK(rf_executor_new_processes(max_workers, &made.executor));
  made.session = session_on(made.executor);
  return made;
}

/* The same request in each place where one can run: in this process, as bytes, in a worker process. */
enum { HERE, BY_BYTES, IN_PROCESSES, PLACES };

typedef struct places {
  rf_session *at[PLACES];
  rf_executor *processes;
} places;

static inline places new_places(void) {
  pool pool = new_pool(1);
  places made = {{new_session_workers(2), session_run_by(run_by_bytes), pool.session}, pool.executor};
  return made;
}

static inline void end_places(places places) {
  CHECK_OK(rf_session_close(places.at[IN_PROCESSES], RF_CLOSE_WAIT));
  for (int i = 0; i < PLACES; i++) rf_session_free(places.at[i]);
  rf_executor_free(places.processes);
}

/* The processes that this one has started, dead ones that nobody has waited for included. */
static inline int children(void) {
  DIR *processes = opendir("/proc");
  struct dirent *entry;
  int count = 0;
  if (processes == NULL) return 0;
  while ((entry = readdir(processes)) != NULL) {
    char line[512];
    long parent = 0;
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    FILE *file = fopen(text("/proc/%s/stat", entry->d_name), "r");
    if (file == NULL) continue;
    /* The name stands in parentheses, and may hold anything. */
    const char *behind = fgets(line, sizeof line, file) != NULL ? strrchr(line, ')') : NULL;
    if (behind != NULL && sscanf(behind, ") %*c %ld", &parent) == 1 && parent == (long)getpid()) count++;
    fclose(file);
  }
  closedir(processes);
  return count;
}

/* Some child of this process; 0: there is none. Each belongs to the thread that started it. */
static inline long some_child(unsigned which) {
  DIR *all = opendir("/proc/self/task");
  struct dirent *entry;
  long found[64];
  unsigned count = 0;
  if (all == NULL) return 0;
  while ((entry = readdir(all)) != NULL) {
    if (entry->d_name[0] == '.') continue;
    FILE *file = fopen(text("/proc/self/task/%s/children", entry->d_name), "r");
    while (file != NULL && count < 64 && fscanf(file, "%ld", &found[count]) == 1) count++;
    if (file != NULL) fclose(file);
  }
  closedir(all);
  return count > 0 ? found[which % count] : 0;
}

/* Dead, and nobody has waited for it. */
static inline bool is_zombie(long process) {
  char line[512];
  FILE *file = fopen(text("/proc/%ld/stat", process), "r");
  const char *behind = file != NULL && fgets(line, sizeof line, file) != NULL ? strrchr(line, ')') : NULL;
  if (file != NULL) fclose(file);
  return behind != NULL && strncmp(behind, ") Z", 3) == 0;
}

/* Ends it, and finds no process left. */
static inline void end_pool(pool pool) {
  CHECK_OK(rf_session_close(pool.session, RF_CLOSE_WAIT));
  CHECK_OK(rf_executor_shutdown(pool.executor, true, false));
  CHECK_INT(0, children());
  rf_session_free(pool.session);
  rf_executor_free(pool.executor);
}

/* An extra as a string; NULL: there is none. */
static inline const char *extra(const rf_response *response, const char *name) {
  return (const char *)rf_response_extra(response, name, NULL);
}

/* The number of the process that the hook tell_process ran in. */
static inline long process_of(const rf_response *response) {
  const char *number = extra(response, "process");
  if (number == NULL) FAIL("no hook has told its process");
  return atol(number);
}

/* ---- an adapter that sends through another one, and hands its response on ---- */

static inline rf_status hand_on(rf_prepared *prepared, void *through) {
  rf_response *response = NULL;
  const rf_error *error = NULL;
  rf_status status = rf_adapter_send(through, prepared, &response, &error);
  if (status == RF_OK) status = rf_prepared_respond(prepared, response);
  rf_response_free(response);
  return status;
}

static inline void drop_adapter(void *adapter) { rf_adapter_free(adapter); }

static inline rf_session *new_session_through(void) {
  rf_adapter_ops ops = {sizeof ops, hand_on};
  rf_adapter *adapter = NULL, *through = NULL;
  rf_session *session = new_session_workers(1);
  CHECK_OK(rf_adapter_new_http(NULL, &through));
  CHECK_OK(rf_adapter_new_custom(&ops, through, drop_adapter, &adapter));
  CHECK_OK(rf_session_mount(session, "http://", adapter));
  rf_adapter_free(adapter);
  return session;
}

/* ---- an outcome as text ---- */

typedef struct description {
  char *text;
  size_t length, capacity;
} description;

static inline void say_bytes(description *to, const void *bytes, size_t length) {
  if (to->length + length + 1 > to->capacity) {
    to->capacity = 2 * (to->length + length) + 4096;
    to->text = realloc(to->text, to->capacity);
    if (to->text == NULL) FAIL("out of memory");
  }
  if (length > 0) memcpy(to->text + to->length, bytes, length);
  to->length += length;
  to->text[to->length] = '\0';
}

static inline void say(description *to, const char *format, ...) {
  char line[4096];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  say_bytes(to, line, strlen(line));
}

static inline const char *or_none(const char *value) { return value != NULL ? value : "(none)"; }

/* Bytes by their length, their sum and their beginning. */
static inline void say_body(description *to, const char *what, const uint8_t *bytes, size_t length) {
  uint64_t sum = 14695981039346656037u;
  for (size_t i = 0; bytes != NULL && i < length; i++) sum = (sum ^ bytes[i]) * 1099511628211u;
  say(to, "%s: %s, %zu bytes, %016" PRIx64 "\n", what, bytes != NULL ? "there" : "NULL", length, sum);
}

/* What differs from one time to the next, wherever a request runs. */
static inline bool is_by_chance(const char *name, const char *value) {
  static const char *const names[] = {"date", "x-connection-id", "www-authenticate", "authorization"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcasecmp(name, names[i]) == 0) return true;
  }
  return strstr(value, "boundary=") != NULL;
}

static inline void describe_response(description *to, const rf_response *response) {
  const char *name, *value;
  size_t length = 0;
  bool multipart = false;
  say(to, "%d %s %s\n", rf_response_status_code(response), rf_response_reason(response), rf_response_url(response));
  for (size_t i = 0; rf_response_header_at(response, i, &name, &value) == RF_OK; i++) {
    say(to, "< %s: %s\n", name, is_by_chance(name, value) ? "*" : value);
  }
  say(to, "%s %s\n", rf_response_request_method(response), rf_response_request_url(response));
  for (size_t i = 0; rf_response_request_header_at(response, i, &name, &value) == RF_OK; i++) {
    bool chance = is_by_chance(name, value);
    multipart |= strstr(value, "boundary=") != NULL;
    say(to, "> %s: %s\n", name, chance ? "*" : value);
  }
  const uint8_t *sent = rf_response_request_body(response, &length);
  if (!multipart) say_body(to, "sent", sent, length);
  say(to, "encoding %s, ok %d, redirect %d\n", or_none(rf_response_encoding(response)), rf_response_ok(response),
      rf_response_is_redirect(response));
  CHECK(rf_response_elapsed_us(response) >= 0);
  const uint8_t *content = rf_response_content(response, &length);
  say_body(to, "content", content, length);
  const char *characters = rf_response_text(response, &length);
  say_body(to, "text", (const uint8_t *)characters, length);
  static const char *const extras[] = {"bytes", "members", "by", "ten", "again"};
  for (size_t i = 0; i < sizeof extras / sizeof *extras; i++) {
    const uint8_t *bytes = rf_response_extra(response, extras[i], &length);
    if (bytes != NULL) say_body(to, extras[i], bytes, length);
  }
  rf_cookies *cookies = NULL;
  CHECK_OK(rf_response_cookies(response, &cookies));
  say(to, "%zu cookies, %zu before it\n", rf_cookies_count(cookies), rf_response_history_count(response));
  rf_cookies_free(cookies);
  for (size_t i = 0; i < rf_response_history_count(response); i++) {
    const rf_response *hop = rf_response_history_at(response, i);
    say(to, "-- %zu\n", i);
    CHECK_INT(i, rf_response_history_count(hop));
    describe_response(to, hop);
  }
}

static inline void describe_jar(description *to, const rf_session *session) {
  rf_cookies *cookies = NULL;
  rf_cookie cookie;
  CHECK_OK(rf_session_cookies(session, &cookies));
  for (size_t i = 0; rf_cookies_at(cookies, i, &cookie) == RF_OK; i++) {
    say(to, "jar: %s=%s %s%s %d%d%d %" PRId64 "\n", cookie.name, cookie.value, cookie.domain, cookie.path,
        cookie.secure, cookie.http_only, cookie.host_only, cookie.expires_s);
  }
  rf_cookies_free(cookies);
}

/* All that can be asked of it when it is over. Free the text. */
static inline char *describe(rf_future *future, const rf_session *session) {
  description made = {NULL, 0, 0};
  const rf_error *error = NULL;
  const rf_response *response = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  if (error != NULL) {
    say(&made, "%s: %s\nurl %s, os %d\n", rf_error_kind_name(rf_error_kind_of(error)), rf_error_message(error),
        or_none(rf_error_url(error)), rf_error_os_code(error));
    response = rf_error_response(error);
  } else {
    CHECK_OK(rf_future_result(future, 0, &response));
  }
  if (response != NULL) describe_response(&made, response);
  describe_jar(&made, session);
  return made.text;
}

#endif
