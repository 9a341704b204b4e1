/* Requests of every kind under way on an event loop, many at a time: they succeed, or are aborted or late in every phase;
   and what happens when descriptors or memory are short, after fork(), and when the loop is closed. */
#include "event_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { WORKERS = 4, EACH = 100, MOST_KINDS = 16 };

/* This one, the one that has the loop, the one that watches it, the timer of all, and those that call functions. */
static void check_threads(void) { CHECK_RANGE(2, WORKERS + 4, threads()); }

static int registered, called, dropped, hook_drops, hook_registrations;
static void count_call(rf_future *future, void *unused) {
  (void)unused;
  CHECK(rf_future_done(future));
  INCREMENT(called);
}
static void count_drop(void *unused) {
  (void)unused;
  INCREMENT(dropped);
}
static void count_hook_drop(void *unused) {
  (void)unused;
  INCREMENT(hook_drops);
}
static rf_status no_hook(rf_hook_call *call, const rf_response *response, void *unused) {
  (void)call, (void)response, (void)unused;
  return RF_OK;
}
static void watch(rf_future *future) {
  CHECK_OK(rf_future_add_done_callback(future, count_call, NULL, count_drop));
  registered++;
}
static void all_was_given_back(void) {
  EVENTUALLY(LOAD(dropped) == registered);
  CHECK_INT(registered, LOAD(called));
  EVENTUALLY(LOAD(hook_drops) == hook_registrations);
}

/* ---- a file to be sent ---- */

static const char *large_file(void) {
  static char path[1000];
  if (*path == '\0') {
    snprintf(path, sizeof path, "%s/%s", env("RF_TEST_DIR"), unique("events-file"));
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    CHECK_INT(0, ftruncate(fd, 20 << 20));
    close(fd);
  }
  return path;
}

/* ---- kinds of requests ---- */

typedef struct kind {
  const char *name, *method;
  char url[1024];
  rf_options *options;
  rf_session *session; /* NULL: the one of all */
} kind;

typedef struct kinds {
  kind all[MOST_KINDS];
  int count;
} kinds;

static rf_options *add_kind(kinds *kinds, const char *name, const char *method, const char *url) {
  CHECK(kinds->count < MOST_KINDS);
  kind *added = &kinds->all[kinds->count++];
  added->name = name;
  added->method = method;
  added->session = NULL;
  snprintf(added->url, sizeof added->url, "%s", url);
  added->options = new_options();
  CHECK_OK(rf_options_set_ca_bundle(added->options, env("RF_TEST_CA")));
  return added->options;
}

static void free_kinds(kinds *kinds) {
  for (int i = 0; i < kinds->count; i++) rf_options_free(kinds->all[i].options);
  kinds->count = 0;
}

static rf_session *in_turn(rf_executor *executor, size_t requests) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_executor(config, executor));
  CHECK_OK(rf_config_set_max_per_host(config, requests));
  return session_of(config);
}

static void retried(rf_options *options, int64_t pause_ms) {
  rf_retry *retry = NULL;
  CHECK_OK(rf_retry_new(5, &retry));
  CHECK_OK(rf_retry_set_backoff(retry, pause_ms, pause_ms, 0));
  CHECK_OK(rf_retry_add_status(retry, 500, 599));
  CHECK_OK(rf_options_set_retry(options, retry));
  rf_retry_free(retry);
}

/* A hundred of each kind at a time, all of them before a gate where the kind can be held there: all succeed. */
static void all_kinds_succeed(void) {
  rf_executor *executor = new_events(3 * MANY, WORKERS);
  rf_session *session = session_on(executor), *turns = in_turn(executor, 3);
  const char *gate = unique("kinds"), *turn_gate = unique("turns");
  static kinds kinds;
  static rf_future *futures[MOST_KINDS][EACH];
  rf_options *options;
  add_kind(&kinds, "plain", "GET", gate_url(gate));
  add_kind(&kinds, "TLS", "GET", text("%s/gate/%s", env("RF_TEST_HTTPS"), gate));
  options = add_kind(&kinds, "proxy", "GET", gate_url(gate));
  CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_PROXY")));
  options = add_kind(&kinds, "TLS through a proxy", "GET", text("%s/gate/%s", env("RF_TEST_HTTPS"), gate));
  CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_PROXY")));
  options = add_kind(&kinds, "SOCKS", "GET", gate_url(gate));
  CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_SOCKS5")));
  options = add_kind(&kinds, "digest", "GET", http("/digest-auth/auth/events/secret?unordered=1"));
  CHECK_OK(rf_options_set_auth_digest(options, "events", "secret"));
  add_kind(&kinds, "redirect", "GET", http(text("/redirect-to?url=/gate/%s", gate)));
  int held = kinds.count - 1; /* digest is not */
  options = add_kind(&kinds, "retry", "GET", http(text("/status/503,200?key=%s", unique("retry"))));
  retried(options, 20);
  options = add_kind(&kinds, "stream", "GET", http("/bytes/100000"));
  CHECK_OK(rf_options_set_stream(options, true));
  int stream = kinds.count - 1;
  options = add_kind(&kinds, "upload", "POST", http("/upload"));
  CHECK_OK(rf_options_set_body_file(options, large_file()));
  CHECK_OK(rf_options_set_body(options, "body", 4)); /* the last counts */
  options = add_kind(&kinds, "hook", "GET", gate_url(gate));
  CHECK_OK(rf_options_add_hook(options, no_hook, NULL, count_hook_drop));
  hook_registrations++;
  held++;
  add_kind(&kinds, "turn", "GET", gate_url(turn_gate));
  kinds.all[kinds.count - 1].session = turns;

  for (int i = 0; i < EACH; i++) {
    for (int k = 0; k < kinds.count; k++) {
      kind *kind = &kinds.all[k];
      futures[k][i] = request(kind->session != NULL ? kind->session : session, kind->method, kind->url, kind->options);
      watch(futures[k][i]);
    }
  }
  gate_wait(gate, held * EACH);
  gate_wait(turn_gate, 3);
  check_threads();
  gate_open(turn_gate);
  gate_open(gate);
  for (int k = 0; k < kinds.count; k++) {
    for (int i = 0; i < EACH; i++) {
      const rf_response *response = RESPONSE(futures[k][i]);
      if (rf_response_status_code(response) != 200) {
        FAIL("%s: %d", kinds.all[k].name, rf_response_status_code(response));
      }
      if (k == stream && i % 2 == 0) {
        /* Read on this thread, while the loop goes on; the others are freed unread. */
        uint8_t buffer[4096];
        size_t length = 1, all = 0;
        while (length > 0) {
          CHECK_OK(rf_response_read(response, buffer, sizeof buffer, &length, NULL));
          all += length;
        }
        CHECK_INT(100000, all);
      }
      rf_future_free(futures[k][i]);
    }
  }
  free_kinds(&kinds);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
  rf_session_free(turns);
  rf_executor_free(executor);
  all_was_given_back();
}

/* Files that are sent and files that are written, some at a time. */
static void files(void) {
  enum { COUNT = 12 };
  rf_session *session = session_on_events(MANY, WORKERS);
  rf_future *futures[2 * COUNT];
  for (int i = 0; i < COUNT; i++) {
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_body_file(options, large_file()));
    futures[i] = request(session, "POST", http("/upload"), options);
    rf_options_free(options);
    options = new_options();
    CHECK_OK(rf_options_set_output_file(options, text("%s/events-out-%d", env("RF_TEST_DIR"), i)));
    futures[COUNT + i] = get(session, http("/bytes/1000000"), options);
    rf_options_free(options);
  }
  for (int i = 0; i < COUNT; i++) {
    const rf_json *json = NULL;
    int64_t length = 0;
    CHECK_OK(rf_response_json(RESPONSE(futures[i]), &json, NULL));
    CHECK_OK(rf_json_int(rf_json_get(json, "length"), &length));
    CHECK_INT(20 << 20, length);
    RESPONSE(futures[COUNT + i]);
    const char *path = text("%s/events-out-%d", env("RF_TEST_DIR"), i);
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    CHECK_INT(0, fseek(file, 0, SEEK_END));
    CHECK_INT(1000000, ftell(file));
    fclose(file);
    unlink(path);
    rf_future_free(futures[i]);
    rf_future_free(futures[COUNT + i]);
  }
  rf_session_free(session);
}

/* ---- every phase is ended ---- */

static void hanging_kinds(kinds *kinds, rf_session *turns) {
  rf_options *options;
  add_kind(kinds, "connecting", "GET", env("RF_TEST_BLACKHOLE"));
  add_kind(kinds, "TLS handshake", "GET", env("RF_TEST_TLS_SILENT"));
  options = add_kind(kinds, "proxy", "GET", env("RF_TEST_HTTPS"));
  CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_PROXY_SILENT")));
  options = add_kind(kinds, "SOCKS", "GET", env("RF_TEST_HTTPS"));
  CHECK_OK(rf_options_set_proxy(options, "all", env("RF_TEST_SOCKS5_STALL")));
  add_kind(kinds, "waiting", "GET", raw("/silent"));
  add_kind(kinds, "waiting over TLS", "GET", text("%s/silent", env("RF_TEST_RAW_TLS")));
  add_kind(kinds, "head", "GET", raw("/stall/head"));
  add_kind(kinds, "body", "GET", raw("/stall/body"));
  options = add_kind(kinds, "body to a file", "GET", raw("/stall/body"));
  CHECK_OK(rf_options_set_output_file(options, text("%s/events-never", env("RF_TEST_DIR"))));
  options = add_kind(kinds, "sending", "POST", raw("/no-read"));
  CHECK_OK(rf_options_set_body_file(options, large_file()));
  options = add_kind(kinds, "pause", "GET", http("/status/503"));
  retried(options, 60000);
  add_kind(kinds, "redirected", "GET", raw("/redirect?location=/silent"));
  options = add_kind(kinds, "hooked", "GET", raw("/stall/body"));
  CHECK_OK(rf_options_add_hook(options, no_hook, NULL, count_hook_drop));
  hook_registrations++;
  add_kind(kinds, "turn", "GET", raw("/silent"));
  kinds->all[kinds->count - 1].session = turns;
}

/* How long until all of them are over, from now. */
static int64_t until_over(rf_future **futures, int count) {
  static bool done[MOST_KINDS * EACH];
  int64_t start = now_ms();
  CHECK_OK(rf_wait(futures, (size_t)count, LONG_MS, RF_ALL_COMPLETED, done));
  return now_ms() - start;
}

static void every_phase_ends(bool by_deadline) {
  rf_executor *executor = new_events(3 * MANY, WORKERS);
  rf_session *session = session_on(executor), *turns = in_turn(executor, 1);
  static kinds kinds;
  static rf_future *futures[MOST_KINDS * EACH];
  hanging_kinds(&kinds, turns);
  const int64_t deadline = 3000 * patience();
  int64_t start = now_ms();
  for (int k = 0; k < kinds.count; k++) {
    kind *kind = &kinds.all[k];
    if (by_deadline) CHECK_OK(rf_options_set_deadline(kind->options, deadline));
    for (int i = 0; i < EACH; i++) {
      rf_future *future =
          request(kind->session != NULL ? kind->session : session, kind->method, kind->url, kind->options);
      watch(future);
      futures[k * EACH + i] = future;
    }
  }
  int count = kinds.count * EACH;
  free_kinds(&kinds);
  if (by_deadline) {
    int64_t took = now_ms() - start + until_over(futures, count);
    CHECK_RANGE(deadline, deadline + 3000 * patience(), took);
  } else {
    sleep_ms(1000); /* they have come as far as they can come */
    check_threads();
    for (int k = 0; k < count / EACH; k++) {
      start = now_ms();
      for (int i = 0; i < EACH; i++) CHECK(rf_future_abort(futures[k * EACH + i]));
      until_over(futures + k * EACH, EACH);
      int64_t took = now_ms() - start;
      if (took > 1000 * patience()) FAIL("%s: %d ms", kinds.all[k].name, (int)took);
      if (getenv("RF_VERBOSE") != NULL) printf("%s: %d ms\n", kinds.all[k].name, (int)took);
    }
  }
  for (int i = 0; i < count; i++) {
    const rf_error *error = NULL;
    CHECK_OK(rf_future_exception(futures[i], 0, &error));
    int is = rf_error_kind_of(error);
    /* A pause that would outlast the deadline is not begun. */
    bool is_pause = strcmp(kinds.all[i / EACH].name, "pause") == 0;
    bool expected = by_deadline ? rf_error_is(error, RF_ERROR_TIMEOUT) || (is_pause && error == NULL)
                                : is == RF_ERROR_ABORTED || is == RF_ERROR_CANCELLED;
    if (!expected) FAIL("%s: %s", kinds.all[i / EACH].name, error != NULL ? rf_error_message(error) : "it succeeded");
    rf_future_free(futures[i]);
  }
  /* The loop has all its places back. */
  others_go_on(session, 100);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
  rf_session_free(turns);
  rf_executor_free(executor);
  all_was_given_back();
}

/* In a hook the request ends when that returns, in the queue at once. */
static rf_status pass_in_a_hook(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response;
  door_pass(user_data);
  return RF_OK;
}

static void in_a_hook_and_in_the_queue(bool by_deadline) {
  door door = DOOR;
  rf_session *session = session_on_events(2, 1);
  rf_options *options = new_options(), *plain = new_options();
  CHECK_OK(rf_options_add_hook(options, pass_in_a_hook, &door, NULL));
  if (by_deadline) CHECK_OK(rf_options_set_deadline(options, 500 * patience()));
  /* Before the place of one of the others is free. */
  if (by_deadline) CHECK_OK(rf_options_set_deadline(plain, 350 * patience()));
  /* Its hook runs; its hook waits for a thread; it waits for a place. */
  rf_future *in_hook = get(session, http("/hello"), options);
  EVENTUALLY(door_inside(&door) == 1);
  rf_future *before_hook = get(session, http("/hello"), options), *queued = get(session, http("/hello"), plain);
  EVENTUALLY(rf_future_running(before_hook) || rf_future_done(before_hook));
  sleep_ms(50);
  rf_future *both[] = {queued, before_hook};
  int64_t start = now_ms();
  for (int i = 0; i < 2; i++) {
    const rf_error *error = NULL;
    if (!by_deadline) CHECK(rf_future_abort(both[i]));
    CHECK_OK(rf_future_exception(both[i], 10000, &error));
    CHECK(rf_error_is(error, by_deadline ? RF_ERROR_TIMEOUT : i == 0 ? RF_ERROR_CANCELLED : RF_ERROR_ABORTED));
  }
  CHECK_RANGE(0, 1500 * patience(), now_ms() - start);
  const rf_response *response = NULL;
  if (!by_deadline) CHECK(rf_future_abort(in_hook));
  CHECK_STATUS(RF_TIMEOUT, rf_future_result(in_hook, 100, &response));
  door_open(&door);
  ERROR_OF(by_deadline ? RF_ERROR_TIMEOUT : RF_ERROR_ABORTED, in_hook);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  CHECK_INT(1, door.passed);
  rf_future_free(in_hook);
  rf_future_free(before_hook);
  rf_future_free(queued);
  rf_options_free(options);
  rf_options_free(plain);
  rf_session_free(session);
}

/* ---- no descriptors ---- */

static void out_of_descriptors(void) {
  rf_session *session = session_on_events(MANY, WORKERS);
  others_go_on(session, 1);
  struct rlimit before, less;
  CHECK_INT(0, getrlimit(RLIMIT_NOFILE, &before));
  less = before;
  less.rlim_cur = 60;
  const char *gate = unique("descriptors"), *url = gate_url(gate);
  static rf_future *futures[200];
  static bool done[200];
  int refused = 0;
  CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &less));
  for (int i = 0; i < 200; i++) futures[i] = get(session, url, NULL);
  EVENTUALLY(rf_future_done(futures[199]));
  CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &before));
  gate_open(gate);
  CHECK_OK(rf_wait(futures, 200, LONG_MS, RF_ALL_COMPLETED, done));
  for (int i = 0; i < 200; i++) {
    const rf_error *error = NULL;
    CHECK_OK(rf_future_exception(futures[i], 0, &error));
    if (error != NULL) {
      refused++;
      if (rf_error_os_code(error) != EMFILE) FAIL("%s", rf_error_message(error));
    }
    rf_future_free(futures[i]);
  }
  CHECK_RANGE(100, 199, refused);
  others_go_on(session, 100);
  rf_session_free(session);
  /* Nor is there one for a loop. */
  rf_executor *executor = NULL;
  less.rlim_cur = 0;
  CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &less));
  FAILS_OUT(RF_E_RESOURCE, executor, rf_executor_new_events(1, 1, &executor));
  CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &before));
}

/* ---- no memory ---- */

/* In a process of its own. So little room for addresses is left that there are stacks for some, or for none. */
static void out_of_stacks(size_t megabytes, bool is_warm) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(100 * (unsigned)patience());
    rf_session *session = session_on_events(MANY, 1);
    const char *gate = unique("stacks"), *url = gate_url(gate);
    gate_open(gate);
    if (is_warm) others_go_on(session, 1);
    struct rlimit limit;
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    CHECK(file != NULL && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    CHECK_INT(0, getrlimit(RLIMIT_AS, &limit));
    limit.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)megabytes << 20);
    CHECK_INT(0, setrlimit(RLIMIT_AS, &limit));
    static rf_future *futures[300];
    int failed = 0, worked = 0, refused = 0;
    for (int i = 0; i < 300; i++) {
      futures[i] = NULL;
      if (rf_session_get(session, url, NULL, &futures[i]) == RF_E_RESOURCE) refused++;
    }
    for (int i = 0; i < 300; i++) {
      const rf_error *error = NULL;
      if (futures[i] == NULL) continue;
      CHECK_OK(rf_future_exception(futures[i], LONG_MS, &error));
      if (error == NULL) {
        worked++;
      } else {
        failed++;
        CHECK_INT(ENOMEM, rf_error_os_code(error));
      }
      rf_future_free(futures[i]);
    }
    CHECK_INT(300, worked + failed + refused);
    if (is_warm) CHECK_INT(300, worked);
    limit.rlim_cur = limit.rlim_max;
    CHECK_INT(0, setrlimit(RLIMIT_AS, &limit));
    others_go_on(session, 100);
    CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
    rf_session_free(session);
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  if (status != 0) FAIL("with %d MB the child ended with %d", (int)megabytes, status);
}

/* ---- fork() ---- */

static void ends_well(pid_t child) {
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) FAIL("the child ended with %d", status);
}

static void forked_in_flight(void) {
  rf_executor *executor = new_events(2 * MANY, WORKERS);
  rf_session *session = session_on(executor);
  const char *gate = unique("fork");
  static crowd crowd;
  crowd_begin(&crowd, session, gate_url(gate), NULL, 300);
  gate_wait(gate, 300);
  for (int turn = 0; turn < 10; turn++) {
    static struct crowd busy;
    crowd_begin(&busy, session, http("/hello"), NULL, 100);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      alarm(30 * (unsigned)patience());
      rf_future *future = NULL;
      const rf_response *response = NULL;
      FAILS_OUT(RF_E_SHUTDOWN, future, rf_session_get(session, http("/hello"), NULL, &future));
      CHECK_STATUS(RF_E_SHUTDOWN, rf_future_result(crowd.futures[0], RF_FOREVER, &response));
      CHECK(!rf_future_abort(crowd.futures[0]));
      CHECK_OK(rf_executor_shutdown(executor, true, true));
      for (int i = 0; i < 300; i++) rf_future_free(crowd.futures[i]);
      for (int i = 0; i < 100; i++) rf_future_free(busy.futures[i]);
      rf_session_free(session);
      rf_executor_free(executor);
      /* A loop of the child's own works. */
      session = session_on_events(MANY, 2);
      others_go_on(session, 10);
      CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
      rf_session_free(session);
      kill(getpid(), SIGKILL); /* what other threads held is lost here, which is no leak to be looked for */
    }
    ends_well(child);
    crowd_succeeds(&busy);
  }
  gate_open(gate);
  crowd_succeeds(&crowd);
  rf_session_free(session);
  rf_executor_free(executor);
}

static int children[2], is_child;
static pid_t child_of_function; /* in its parent */

/* A function that forks, and returns in the child as well, which does something of its own first. */
static void forks_here(void) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(30 * (unsigned)patience());
    is_child = 1;
    rf_session *session = session_on_events(10, 2);
    others_go_on(session, 5);
    CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
    rf_session_free(session);
    /* This thread of the child ends below. In musl 1.2.3 the thread that has forked leaves a lock locked when it ends, which
       the others' ends wait for. */
    EVENTUALLY(threads() == 1);
    CHECK(write(children[1], "c", 1) == 1);
    return;
  }
  __atomic_store_n(&child_of_function, child, __ATOMIC_SEQ_CST);
}
static rf_status forks_in_a_hook(rf_hook_call *call, const rf_response *response, void *unused) {
  (void)call, (void)response, (void)unused;
  forks_here();
  return RF_OK;
}
static void forks_in_a_callback(rf_future *future, void *unused) {
  (void)future, (void)unused;
  forks_here();
}

/* The thread that returns in the child ends, and the child's only thread with it. */
static void a_function_forks(bool in_a_callback) {
  rf_session *session = session_on_events(MANY, 2);
  rf_options *options = new_options();
  const char *gate = unique("forks");
  CHECK_INT(0, pipe(children));
  if (!in_a_callback) CHECK_OK(rf_options_add_hook(options, forks_in_a_hook, NULL, NULL));
  rf_future *future = get(session, gate_url(gate), options);
  if (in_a_callback) CHECK_OK(rf_future_add_done_callback(future, forks_in_a_callback, NULL, NULL));
  static crowd crowd;
  crowd_begin(&crowd, session, gate_url(gate), NULL, 50);
  gate_open(gate);
  RESPONSE(future);
  crowd_succeeds(&crowd);
  others_go_on(session, 50);
  char said = 0;
  CHECK(read(children[0], &said, 1) == 1 && said == 'c');
  int status = 0;
  EVENTUALLY(LOAD(child_of_function) != 0);
  CHECK(waitpid(LOAD(child_of_function), &status, 0) == LOAD(child_of_function));
  child_of_function = 0;
  /* What looks for leaks finds in the child what its parent had. */
  CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || getenv("RF_TEST_SLOW") != NULL));
  close(children[0]);
  close(children[1]);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

/* ---- ends ---- */

typedef enum place { OUTSIDE, IN_A_CALLBACK, IN_A_HOOK } place;
typedef enum how { WAIT, CANCEL_PENDING, ABORT, SHUTDOWN, SHUTDOWN_CANCEL, SHUTDOWN_NO_WAIT, HOWS } how;

typedef struct ending {
  rf_executor *executor;
  rf_session *session;
  how how;
  int ended;
} ending;

static void end(ending *self) {
  switch (self->how) {
    case SHUTDOWN: CHECK_OK(rf_executor_shutdown(self->executor, true, false)); break;
    case SHUTDOWN_CANCEL: CHECK_OK(rf_executor_shutdown(self->executor, true, true)); break;
    case SHUTDOWN_NO_WAIT: CHECK_OK(rf_executor_shutdown(self->executor, false, true)); break;
    default: CHECK_OK(rf_session_close(self->session, (int)self->how)); break;
  }
  rf_future *late = NULL;
  FAILS_OUT(RF_E_SHUTDOWN, late, rf_session_get(self->session, http("/hello"), NULL, &late));
  INCREMENT(self->ended);
}
static void ends_in_a_callback(rf_future *future, void *self) {
  (void)future;
  end(self);
}
static rf_status ends_in_a_hook(rf_hook_call *call, const rf_response *response, void *self) {
  (void)call, (void)response;
  end(self);
  return RF_OK;
}

/* Two sessions share the loop; one of them, or the loop, is ended beside requests that run, that have functions, and
   that are queued. */
static void ended(place place, how how, size_t max_requests, size_t workers) {
  enum { COUNT = 60 };
  if (getenv("RF_VERBOSE") != NULL) printf("end %d %d %d %d\n", place, how, (int)max_requests, (int)workers);
  ending self = {new_events(max_requests, workers), NULL, how, 0};
  self.session = session_on(self.executor);
  rf_session *other = session_on(self.executor);
  rf_options *options = new_options(), *hooked = new_options();
  const char *gate = unique("ended");
  rf_future *futures[COUNT + 1];
  if (place == IN_A_HOOK) CHECK_OK(rf_options_add_hook(options, ends_in_a_hook, &self, NULL));
  CHECK_OK(rf_options_add_hook(hooked, no_hook, NULL, NULL));
  futures[COUNT] = get(self.session, gate_url(gate), options);
  if (place == IN_A_CALLBACK) CHECK_OK(rf_future_add_done_callback(futures[COUNT], ends_in_a_callback, &self, NULL));
  gate_wait(gate, 1);
  for (int i = 0; i < COUNT; i++) {
    futures[i] = get(i % 3 == 0 ? other : self.session, i % 2 == 0 ? http("/delay/0.02") : http("/hello"),
                     i % 4 == 0 ? hooked : NULL);
  }
  gate_open(gate);
  if (place == OUTSIDE) end(&self);
  else EVENTUALLY(LOAD(self.ended) == 1);
  if (how < SHUTDOWN) others_go_on(other, 20);
  CHECK_OK(rf_executor_shutdown(self.executor, true, false));
  for (int i = 0; i <= COUNT; i++) {
    const rf_error *error = NULL;
    CHECK(rf_future_done(futures[i]));
    CHECK_OK(rf_future_exception(futures[i], 0, &error));
    int is = rf_error_kind_of(error);
    bool may_fail = how == CANCEL_PENDING || how == ABORT || how == SHUTDOWN_CANCEL || how == SHUTDOWN_NO_WAIT;
    if (is != 0 && !(may_fail && (is == RF_ERROR_CANCELLED || is == RF_ERROR_ABORTED))) {
      FAIL("%d: %s", i, rf_error_message(error));
    }
    if (i < COUNT && i % 3 == 0 && how < SHUTDOWN) CHECK_INT(0, is);
    rf_future_free(futures[i]);
  }
  CHECK_INT(1, self.ended);
  rf_options_free(options);
  rf_options_free(hooked);
  rf_session_free(self.session);
  rf_session_free(other);
  rf_executor_free(self.executor);
}

/* Who frees the handles does not wait, and what was submitted is carried out. */
static void freed_while_requests_run(void) {
  rf_executor *executor = new_events(100, 2);
  rf_session *session = session_on(executor);
  const char *gate = unique("freed");
  static crowd crowd;
  crowd_begin(&crowd, session, gate_url(gate), NULL, 300);
  gate_wait(gate, 100);
  rf_executor_free(executor);
  rf_session_free(session);
  gate_open(gate);
  crowd_succeeds(&crowd);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  all_kinds_succeed();
  files();
  every_phase_ends(false);
  every_phase_ends(true);
  in_a_hook_and_in_the_queue(false);
  in_a_hook_and_in_the_queue(true);
  out_of_descriptors();
  EVENTUALLY(threads() == 1);
  if (patience() == 1) { /* checkers need much of both */
    out_of_stacks(20, false);
    out_of_stacks(70, false);
    out_of_stacks(100, false);
    out_of_stacks(300, false);
    out_of_stacks(20, true);
    out_of_stacks(100, true);
  }
  forked_in_flight();
  a_function_forks(false);
  a_function_forks(true);
  for (int place = OUTSIDE; place <= IN_A_HOOK; place++) {
    for (int how = WAIT; how < HOWS; how++) {
      ended((enum place)place, (enum how)how, 1, 1);
      ended((enum place)place, (enum how)how, 4, 1);
      ended((enum place)place, (enum how)how, 100, 1);
      ended((enum place)place, (enum how)how, 100, 3);
    }
  }
  freed_while_requests_run();
  unlink(large_file());
  return finish();
}
