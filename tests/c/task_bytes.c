/* Tasks as bytes: executed here, in another thread, in another process; damaged, refused, too late. */
#include "outcomes.h"
#include "wire.h"

/* The version of the format. */
#define FORMAT 6

#include <pthread.h>

typedef struct own {
  rf_status (*submit)(struct own *self, rf_task *task);
  pthread_t thread;
  rf_task *kept;
  /* A process that executes tasks: its standard input and output. */
  FILE *to, *from;
} own;

static rf_status submit(rf_task *task, void *user_data) {
  own *self = user_data;
  return self->submit(self, task);
}

static rf_session *new_own(own *self, rf_status (*how)(own *, rf_task *)) {
  rf_executor_ops ops = {.size = sizeof ops, .submit = submit};
  rf_executor *executor = NULL;
  memset(self, 0, sizeof *self);
  self->submit = how;
  CHECK_OK(rf_executor_new_custom(&ops, self, NULL, &executor));
  rf_session *session = session_on(executor);
  rf_executor_free(executor);
  return session;
}

static rf_status keep(own *self, rf_task *task) {
  self->kept = task;
  return RF_OK;
}

/* ---- there and back ---- */

static rf_status in_this_thread(own *self, rf_task *task) { return run_by_bytes(task, self); }

static void *execute_and_complete(void *task) {
  in_this_thread(NULL, task);
  return NULL;
}
static rf_status in_a_thread(own *self, rf_task *task) {
  return pthread_create(&self->thread, NULL, execute_and_complete, task) == 0 ? RF_OK : RF_E_RESOURCE;
}

/* A length and so many bytes. */
static void write_message(FILE *to, const uint8_t *bytes, size_t length) {
  CHECK(fwrite(&length, sizeof length, 1, to) == 1);
  CHECK(fwrite(bytes, 1, length, to) == length);
  CHECK_INT(0, fflush(to));
}
static uint8_t *read_message(FILE *from, size_t *length) {
  if (fread(length, sizeof *length, 1, from) != 1) return NULL;
  uint8_t *bytes = malloc(*length);
  CHECK(bytes != NULL);
  CHECK(fread(bytes, 1, *length, from) == *length);
  return bytes;
}

/* What the other process does: it executes what it reads, and writes what comes of it. */
static int execute_all(void) {
  uint8_t *bytes, *reply;
  size_t length, reply_length;
  while ((bytes = read_message(stdin, &length)) != NULL) {
    CHECK_OK(rf_task_execute(bytes, length, &reply, &reply_length));
    write_message(stdout, reply, reply_length);
    rf_bytes_free(reply, reply_length);
    free(bytes);
  }
  return 0;
}

static rf_status in_a_process(own *self, rf_task *task) {
  uint8_t *bytes = NULL;
  size_t length = 0, reply_length = 0;
  rf_status status = rf_task_encode(task, &bytes, &length);
  if (status != RF_OK) return status;
  write_message(self->to, bytes, length);
  rf_bytes_free(bytes, length);
  uint8_t *reply = read_message(self->from, &reply_length);
  CHECK(reply != NULL);
  CHECK_OK(rf_task_complete(task, reply, reply_length));
  free(reply);
  return RF_OK;
}

static pid_t start_process(own *self, const char *program) {
  int in[2], out[2];
  CHECK_INT(0, pipe(in));
  CHECK_INT(0, pipe(out));
  pid_t process = fork();
  CHECK(process >= 0);
  if (process == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    for (int i = 0; i < 2; i++) {
      close(in[i]);
      close(out[i]);
    }
    /* Another folder: what travels must not depend on it. */
    if (chdir("/") == 0) execl(program, program, "execute", (char *)NULL);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  self->to = fdopen(in[1], "w");
  self->from = fdopen(out[0], "r");
  return process;
}

static void every_request_ends_in_this_thread_as_without_bytes(void) {
  own self;
  rf_session *session = new_own(&self, in_this_thread);
  compare_outcomes(session);
  rf_session_free(session);
}

static void every_request_ends_in_a_process_as_without_bytes(const char *program) {
  own self;
  rf_session *session = new_own(&self, in_a_process);
  int status = 1;
  pid_t process = start_process(&self, program);
  compare_outcomes(session);
  rf_options *options = options_with_hook("tell_process");
  rf_future *future = get(session, http("/get"), options);
  CHECK_INT(process, process_of(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);

  /* It keeps its connections. */
  future = get(session, http("/connection-id"), NULL);
  const char *first = text("%s", rf_response_header(RESPONSE(future), "X-Connection-Id"));
  rf_future_free(future);
  future = get(session, http("/connection-id"), NULL);
  CHECK_STR(first, rf_response_header(RESPONSE(future), "X-Connection-Id"));
  rf_future_free(future);

  fclose(self.to);
  fclose(self.from);
  CHECK_INT(process, waitpid(process, &status, 0));
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  rf_session_free(session);
}

typedef struct carried {
  uint8_t *bytes, *reply;
  size_t length, reply_length;
} carried;

static carried execute(rf_task *task) {
  carried made = {NULL, NULL, 0, 0};
  CHECK_OK(rf_task_encode(task, &made.bytes, &made.length));
  CHECK_OK(rf_task_execute(made.bytes, made.length, &made.reply, &made.reply_length));
  return made;
}

static void complete(rf_task *task, carried made) {
  CHECK_OK(rf_task_complete(task, made.reply, made.reply_length));
  rf_bytes_free(made.bytes, made.length);
  rf_bytes_free(made.reply, made.reply_length);
}

/* Sessions are not counted where their requests are executed, only what they keep. */
static void every_session_keeps_its_connection_in_a_process(const char *program) {
  enum { SESSIONS = 24 };
  own selves[SESSIONS];
  rf_session *sessions[SESSIONS];
  wire *server = wire_start(wire_keep, NULL);
  int status = 1;
  pid_t process = 0;
  for (int i = 0; i < SESSIONS; i++) {
    sessions[i] = new_own(&selves[i], in_a_process);
    if (i == 0) process = start_process(&selves[0], program);
    selves[i].to = selves[0].to;
    selves[i].from = selves[0].from;
  }
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < SESSIONS; i++) {
      rf_future *future = get(sessions[i], wire_url(server, text("/%d", i)), NULL);
      CHECK_STR(text("/%d", i), rf_response_text(RESPONSE(future), NULL));
      rf_future_free(future);
    }
  }
  CHECK_INT(SESSIONS, wire_connections(server));
  fclose(selves[0].to);
  fclose(selves[0].from);
  CHECK(waitpid(process, &status, 0) == process);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  for (int i = 0; i < SESSIONS; i++) rf_session_free(sessions[i]);
  wire_stop(server);
}

/* ---- cookies ---- */

static bool stands_in(const uint8_t *bytes, size_t length, const char *what) {
  return memmem(bytes, length, what, strlen(what)) != NULL;
}

/* What other hosts have set is nobody's affair where the request runs. */
static void a_task_carries_the_cookies_of_its_host_only(void) {
  own self;
  rf_session *session = new_own(&self, keep);
  const char *host = text("http://sub.example.test:%s", env("RF_TEST_HTTP_PORT"));
  CHECK_OK(rf_session_set_cookie(session, text("%s/", host), "own=hosts-own; Path=/"));
  CHECK_OK(rf_session_set_cookie(session, text("%s/", host), "wide=of-the-domain; Domain=example.test; Path=/"));
  CHECK_OK(rf_session_set_cookie(session, text("%s/", host), "there=another-path; Path=/cookies"));
  CHECK_OK(rf_session_set_cookie(session, "https://sub.example.test/", "secure=over-tls; Secure; Path=/"));
  CHECK_OK(rf_session_set_cookie(session, "http://example.test/", "above=host-only-above; Path=/"));
  CHECK_OK(rf_session_set_cookie(session, "http://other.example.test/", "beside=beside-it; Path=/"));
  CHECK_OK(rf_session_set_cookie(session, "http://a.sub.example.test/", "below=below-it; Path=/"));
  CHECK_OK(rf_session_set_cookie(session, "http://foreign.test/", "foreign=foreign-secret; Path=/"));
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_resolve(options, "sub.example.test", (uint16_t)atoi(env("RF_TEST_HTTP_PORT")), "127.0.0.1"));
  rf_future *future = get(session, text("%s/redirect-to?url=%%2Fcookies", host), options);
  carried made = execute(self.kept);
  CHECK(stands_in(made.bytes, made.length, "hosts-own"));
  CHECK(stands_in(made.bytes, made.length, "of-the-domain"));
  CHECK(stands_in(made.bytes, made.length, "another-path"));
  CHECK(stands_in(made.bytes, made.length, "over-tls"));
  static const char *const others[] = {"host-only-above", "beside-it", "below-it", "foreign-secret"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) CHECK(!stands_in(made.bytes, made.length, others[i]));
  complete(self.kept, made);
  const rf_response *response = RESPONSE(future);
  CHECK_INT(1, rf_response_history_count(response));
  /* All of them after the redirect, one before it. */
  CHECK_STR("hosts-own", json_string(response, "/cookies/own"));
  CHECK_STR("of-the-domain", json_string(response, "/cookies/wide"));
  CHECK_STR("another-path", json_string(response, "/cookies/there"));
  CHECK_NULL(json_string(response, "/cookies/secure"));
  const char *before = rf_response_request_header(rf_response_history_at(response, 0), "Cookie");
  CHECK_HAS("own=hosts-own", before);
  CHECK(strstr(before, "there=") == NULL);
  /* The jar is whole. */
  rf_cookies *cookies = NULL;
  CHECK_OK(rf_session_cookies(session, &cookies));
  CHECK_INT(8, rf_cookies_count(cookies));
  rf_cookies_free(cookies);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

static void count(rf_future *future, void *user_data) {
  CHECK(rf_future_done(future));
  INCREMENT(*(int *)user_data);
}

static void what_is_no_part_of_the_task_stays_here(void) {
  own self;
  int called = 0;
  rf_session *session = new_own(&self, in_a_thread);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_user_data(options, &self));
  rf_future *future = get(session, http("/cookies/set?from=there"), options);
  CHECK_OK(rf_future_add_done_callback(future, count, &called, NULL));
  CHECK_INT(1, rf_response_history_count(RESPONSE(future)));
  pthread_join(self.thread, NULL);
  CHECK_INT(1, called);
  CHECK(rf_future_user_data(future) == &self);
  rf_cookies *cookies = NULL;
  CHECK_OK(rf_session_cookies(session, &cookies));
  CHECK_STR("there", rf_cookies_get(cookies, "from", NULL));
  rf_cookies_free(cookies);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

/* A body that was not copied is not copied when the response quotes it. */
static void borrowed_bytes_are_quoted(void) {
  own self;
  rf_session *session = new_own(&self, in_this_thread);
  rf_options *options = new_options();
  size_t length = 0;
  CHECK_OK(rf_options_set_body_borrowed(options, large, sizeof large, NULL, NULL));
  rf_future *future = request(session, "POST", http("/upload"), options);
  CHECK(rf_response_request_body(RESPONSE(future), &length) == large);
  CHECK_INT(sizeof large, length);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

/* ---- damaged bytes ---- */

static void check_no_task(const uint8_t *bytes, size_t length) {
  uint8_t *reply;
  size_t reply_length = 1;
  BAD_OUT(reply, rf_task_execute(bytes, length, &reply, &reply_length));
  CHECK_INT(0, reply_length);
}

static void damaged_bytes_are_no_message(void) {
  own self;
  rf_session *session = new_own(&self, keep);
  rf_options *options = new_options();
  uint8_t *bytes = NULL, *reply = NULL, *again = NULL;
  size_t length = 0, reply_length = 0;
  CHECK_OK(rf_options_set_header(options, "X-Sent", "over there"));
  rf_future *future = get(session, http("/cookies/set?a=1"), options);
  rf_options_free(options);
  CHECK_OK(rf_task_encode(self.kept, &bytes, &length));
  CHECK_OK(rf_task_encode(self.kept, &again, NULL)); /* as often as you like */
  rf_bytes_free(again, length);
  CHECK_OK(rf_task_execute(bytes, length, &reply, &reply_length));

  for (size_t end = 0; end < length; end++) check_no_task(bytes, end);
  for (size_t at = 0; at < length; at++) {
    for (int bit = 0; bit < 8; bit++) {
      bytes[at] ^= (uint8_t)(1 << bit);
      check_no_task(bytes, length);
      bytes[at] ^= (uint8_t)(1 << bit);
    }
    uint8_t byte = bytes[at];
    bytes[at] = (uint8_t)~byte;
    check_no_task(bytes, length);
    bytes[at] = byte;
  }
  for (size_t end = 0; end < reply_length; end++) BAD(rf_task_complete(self.kept, reply, end));
  for (size_t at = 0; at < reply_length; at++) {
    for (int bit = 0; bit < 8; bit++) {
      reply[at] ^= (uint8_t)(1 << bit);
      BAD(rf_task_complete(self.kept, reply, reply_length));
      reply[at] ^= (uint8_t)(1 << bit);
    }
  }
  /* One is not the other. */
  check_no_task(reply, reply_length);
  BAD(rf_task_complete(self.kept, bytes, length));

  /* None of that has done the task any harm. */
  CHECK(!rf_future_done(future));
  CHECK_OK(rf_task_complete(self.kept, reply, reply_length));
  CHECK_STR("1", json_string(RESPONSE(future), "/cookies/a"));
  rf_future_free(future);
  rf_bytes_free(bytes, length);
  rf_bytes_free(reply, reply_length);
  rf_session_free(session);
}

/* The check sum made right again. */
static void reseal(uint8_t *bytes, size_t length) { put_u32(bytes + length - 4, crc32(bytes, length - 4)); }

/* Behind the mark stands the version of the format; whatever follows may mean something else in another. */
static void bytes_of_another_version_are_no_message(void) {
  own self;
  rf_session *session = new_own(&self, keep);
  rf_future *future = get(session, http("/hello"), NULL);
  uint8_t *bytes = NULL, *reply = NULL;
  size_t length = 0, reply_length = 0;
  CHECK_OK(rf_task_encode(self.kept, &bytes, &length));
  CHECK_OK(rf_task_execute(bytes, length, &reply, &reply_length));
  CHECK_INT(FORMAT, bytes[3]);
  CHECK_INT(FORMAT, reply[3]);
  for (int version = 0; version < 256; version++) {
    if (version == FORMAT) continue;
    bytes[3] = reply[3] = (uint8_t)version;
    reseal(bytes, length);
    reseal(reply, reply_length);
    check_no_task(bytes, length);
    BAD(rf_task_complete(self.kept, reply, reply_length));
  }
  reply[3] = FORMAT;
  reseal(reply, reply_length);
  CHECK_OK(rf_task_complete(self.kept, reply, reply_length));
  RESPONSE(future);
  rf_bytes_free(bytes, length);
  rf_bytes_free(reply, reply_length);
  rf_future_free(future);
  rf_session_free(session);
}

/* ---- whose reply it is ---- */

static void a_reply_completes_its_own_task_only(void) {
  own self;
  rf_session *session = new_own(&self, keep);
  rf_future *futures[2];
  rf_task *tasks[2];
  uint8_t *bytes, *replies[2];
  size_t length, reply_lengths[2];
  for (int i = 0; i < 2; i++) {
    futures[i] = get(session, http(text("/get?number=%d", i)), NULL);
    tasks[i] = self.kept;
    CHECK_OK(rf_task_encode(tasks[i], &bytes, &length));
    CHECK_OK(rf_task_execute(bytes, length, &replies[i], &reply_lengths[i]));
    rf_bytes_free(bytes, length);
  }
  for (int i = 0; i < 2; i++) {
    BAD(rf_task_complete(tasks[i], replies[1 - i], reply_lengths[1 - i]));
    CHECK(!rf_future_done(futures[i]));
  }
  for (int i = 0; i < 2; i++) {
    CHECK_OK(rf_task_complete(tasks[i], replies[i], reply_lengths[i]));
    CHECK_STR(text("%d", i), json_string(RESPONSE(futures[i]), "/args/number"));
    rf_future_free(futures[i]);
    rf_bytes_free(replies[i], reply_lengths[i]);
  }
  rf_session_free(session);
}

/* A child that was forked numbers its futures as its parent would, but its tasks are not the parent's. */
static void a_reply_to_a_forked_child_is_none_to_its_parent(void) {
  own self;
  int ends[2];
  size_t length = 0;
  rf_session *session = new_own(&self, keep);
  rf_future *future = get(session, http("/hello"), NULL);
  complete(self.kept, execute(self.kept)); /* what can be drawn before the fork is drawn */
  rf_future_free(future);
  CHECK_INT(0, pipe(ends));
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    FILE *to = fdopen(ends[1], "w");
    alarm(60);
    session = new_own(&self, keep);
    future = get(session, http("/get?number=child"), NULL);
    carried made = execute(self.kept);
    write_message(to, made.reply, made.reply_length);
    _exit(0);
  }
  close(ends[1]);
  FILE *from = fdopen(ends[0], "r");
  uint8_t *reply = read_message(from, &length);
  CHECK(reply != NULL);
  CHECK(waitpid(child, NULL, 0) == child);
  future = get(session, http("/get?number=parent"), NULL);
  BAD(rf_task_complete(self.kept, reply, length));
  complete(self.kept, execute(self.kept));
  CHECK_STR("parent", json_string(RESPONSE(future), "/args/number"));
  rf_future_free(future);
  free(reply);
  fclose(from);
  rf_session_free(session);
}

/* ---- refusals ---- */

static rf_status inside_the_program(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call;
  *(int *)user_data += 1;
  return rf_response_set_extra(response, "bytes", "inside", 6);
}

static void check_refused(rf_task *task) {
  uint8_t *bytes;
  size_t length = 1;
  FAILS_OUT(RF_FAILED, bytes, rf_task_encode(task, &bytes, &length));
  CHECK_INT(0, length);
}

static rf_status refuse(own *self, rf_task *task) {
  (void)self;
  check_refused(task);
  return RF_E_RESOURCE;
}

static void what_cannot_travel_can_still_run_here(void) {
  own self;
  int called = 0;
  rf_session *session = new_own(&self, keep);
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, inside_the_program, &called, NULL));
  rf_future *future = get(session, http("/get"), options);
  check_refused(self.kept);
  check_refused(self.kept);
  CHECK(!rf_future_done(future));
  rf_task_run(self.kept);
  CHECK_STR("inside", extra(RESPONSE(future), "bytes"));
  CHECK_INT(1, called);
  rf_future_free(future);

  /* When it is freed instead, the future says why. */
  future = get(session, http("/get"), options);
  check_refused(self.kept);
  rf_task_free(self.kept);
  const rf_error *error = ERROR_OF(RF_ERROR_NOT_TRANSFERABLE, future);
  CHECK_HAS("inside the executable", rf_error_message(error));
  CHECK_HAS("Worker processes", rf_error_message(error));
  CHECK_STR(http("/get"), rf_error_url(error));
  CHECK(!rf_future_cancelled(future));
  rf_future_free(future);
  rf_session_free(session);

  /* And so it does when submit refuses the task. */
  session = new_own(&self, refuse);
  future = get(session, http("/get"), options);
  ERROR_OF(RF_ERROR_NOT_TRANSFERABLE, future);
  rf_future_free(future);
  rf_session_free(session);
  rf_options_free(options);
  CHECK_INT(1, called);
}

/* A hook that is missing where the task is executed is the outcome, not a defect of the bytes. */
static void a_hook_that_is_not_there(void) {
  own self;
  rf_session *session = new_own(&self, keep);
  rf_options *options = options_with_hook("tell_process");
  uint8_t *bytes = NULL, *reply = NULL;
  size_t length = 0, reply_length = 0;
  rf_future *future = get(session, http("/get"), options);
  CHECK_OK(rf_task_encode(self.kept, &bytes, &length));
  const char *name = "tell_process";
  uint8_t *at = NULL;
  for (size_t i = 0; i + strlen(name) <= length; i++) {
    if (memcmp(bytes + i, name, strlen(name)) == 0) at = bytes + i;
  }
  CHECK(at != NULL);
  at[0] = 'T';
  reseal(bytes, length);
  CHECK_OK(rf_task_execute(bytes, length, &reply, &reply_length));
  CHECK_OK(rf_task_complete(self.kept, reply, reply_length));
  const rf_error *error = ERROR_OF(RF_ERROR_NOT_TRANSFERABLE, future);
  CHECK_HAS("Tell_process", rf_error_message(error));
  rf_bytes_free(bytes, length);
  rf_bytes_free(reply, reply_length);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

/* ---- too late ---- */

static void a_future_that_is_over_stays_as_it_is(void) {
  own self;
  rf_session *session = new_own(&self, keep);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 300));
  for (int how = 0; how < 3; how++) {
    int called = 0;
    uint8_t *bytes;
    rf_future *future = get(session, http("/cookies/set?late=1"), how == 2 ? options : NULL);
    CHECK_OK(rf_future_add_done_callback(future, count, &called, NULL));
    carried made = execute(self.kept);
    if (how == 0) CHECK(rf_future_cancel(future));
    if (how == 1) CHECK(rf_future_abort(future));
    ERROR_OF(how == 2 ? RF_ERROR_TIMEOUT : RF_ERROR_CANCELLED, future);
    FAILS_OUT(RF_E_STATE, bytes, rf_task_encode(self.kept, &bytes, NULL));
    complete(self.kept, made);
    ERROR_OF(how == 2 ? RF_ERROR_TIMEOUT : RF_ERROR_CANCELLED, future);
    EVENTUALLY(LOAD(called) == 1);
    rf_future_free(future);
  }
  rf_cookies *cookies = NULL;
  CHECK_OK(rf_session_cookies(session, &cookies));
  CHECK_INT(0, rf_cookies_count(cookies));
  rf_cookies_free(cookies);
  rf_options_free(options);
  rf_session_free(session);
}

/* The deadline travels: what is left of it counts where the request runs. */
static void the_deadline_counts_from_submission(void) {
  own self;
  rf_session *session = new_own(&self, in_this_thread);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 300));
  int64_t start = now_ms();
  rf_future *future = get(session, raw("/silent"), options);
  ERROR_OF(RF_ERROR_TIMEOUT, future);
  CHECK_RANGE(300, 3000 * patience(), now_ms() - start);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

static void completed_after_the_session_is_gone(void) {
  own self;
  rf_session *session = new_own(&self, keep);
  rf_future *future = get(session, http("/hello"), NULL);
  rf_session_free(session);
  complete(self.kept, execute(self.kept));
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);

  /* One that was closed has cancelled it. */
  session = new_own(&self, keep);
  future = get(session, http("/hello"), NULL);
  carried made = execute(self.kept);
  CHECK_OK(rf_session_close(session, RF_CLOSE_CANCEL_PENDING));
  complete(self.kept, made);
  ERROR_OF(RF_ERROR_CANCELLED, future);
  rf_future_free(future);
  rf_session_free(session);

  /* Nobody looks at the outcome. */
  session = new_own(&self, keep);
  future = get(session, http("/hello"), NULL);
  rf_future_free(future);
  rf_session_free(session);
  complete(self.kept, execute(self.kept));
}

int main(int argc, char **argv) {
  if (argc > 1) return execute_all();
  CHECK_INT(0, chdir(env("RF_TEST_DIR"))); /* what is written for a moment is written there */
  every_request_ends_in_this_thread_as_without_bytes();
  every_request_ends_in_a_process_as_without_bytes(argv[0]);
  every_session_keeps_its_connection_in_a_process(argv[0]);
  a_task_carries_the_cookies_of_its_host_only();
  what_is_no_part_of_the_task_stays_here();
  borrowed_bytes_are_quoted();
  damaged_bytes_are_no_message();
  bytes_of_another_version_are_no_message();
  a_reply_completes_its_own_task_only();
  a_reply_to_a_forked_child_is_none_to_its_parent();
  what_cannot_travel_can_still_run_here();
  a_hook_that_is_not_there();
  a_future_that_is_over_stays_as_it_is();
  the_deadline_counts_from_submission();
  completed_after_the_session_is_gone();
  return finish();
}
