/* The hooks of the tests of worker processes, in a shared object: where a worker finds them by their names. Each does one
   thing, well or badly. What a hook is to know comes as bytes, its user_data. */
#include <requests_futures.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

static rf_status note(const rf_response *response, const char *name, const char *text) {
  return rf_response_set_extra(response, name, text, strlen(text));
}

static rf_status note_process(const rf_response *response, const char *name) {
  char number[32];
  snprintf(number, sizeof number, "%ld", (long)getpid());
  return note(response, name, number);
}

/* ---- what hooks are for ---- */

/* Tells which process it ran in. */
EXPORTED rf_status tell_process(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)user_data;
  return note_process(response, "process");
}

/* Tells how many descriptors are open beside the standard ones, which it opens none for. */
EXPORTED rf_status count_descriptors(rf_hook_call *call, const rf_response *response, void *user_data) {
  char number[32];
  int count = 0;
  (void)call, (void)user_data;
  for (int descriptor = 3; descriptor < 1024; descriptor++) count += fcntl(descriptor, F_GETFD) >= 0;
  snprintf(number, sizeof number, "%d", count);
  return note(response, "descriptors", number);
}

/* Keeps its user data. */
EXPORTED rf_status keep_bytes(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call;
  return note(response, "bytes", user_data != NULL ? user_data : "(none)");
}

/* Reads the body, and keeps what it has made of it. */
EXPORTED rf_status parse(rf_hook_call *call, const rf_response *response, void *user_data) {
  const rf_json *json = NULL;
  const rf_error *error = NULL;
  char members[32];
  (void)user_data;
  if (rf_response_json(response, &json, &error) != RF_OK) return rf_hook_fail(call, rf_error_message(error));
  snprintf(members, sizeof members, "%zu", rf_json_size(json));
  return note(response, "members", members);
}

/* Reads an event of the body, and keeps its data. */
EXPORTED rf_status read_event(rf_hook_call *call, const rf_response *response, void *user_data) {
  const rf_event *event = NULL;
  const rf_error *error = NULL;
  (void)user_data;
  if (rf_response_read_event(response, &event, &error) != RF_OK) return rf_hook_fail(call, rf_error_message(error));
  return note(response, "event", rf_event_data(event, NULL));
}

/* Keeps a lot of bytes. */
EXPORTED rf_status keep_much(rf_hook_call *call, const rf_response *response, void *user_data) {
  const size_t size = 192 * 1024 * 1024;
  void *bytes = calloc(1, size);
  (void)call, (void)user_data;
  if (bytes == NULL) return RF_FAILED;
  rf_status status = rf_response_set_extra(response, "much", bytes, size);
  free(bytes);
  return status;
}

EXPORTED rf_status take_for_latin1(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)user_data;
  return rf_response_set_encoding(response, "iso-8859-1");
}

EXPORTED rf_status refuse(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)response, (void)user_data;
  return rf_hook_fail(call, "refused over there");
}

EXPORTED rf_status replace(rf_hook_call *call, const rf_response *response, void *user_data) {
  rf_response *other = NULL;
  (void)response, (void)user_data;
  if (rf_response_new(299, "text/plain; charset=utf-8", "another", 7, &other) != RF_OK) return RF_FAILED;
  note(other, "by", "replace");
  rf_status status = rf_hook_replace(call, other);
  rf_response_free(other);
  return status;
}

static int64_t three_pieces(uint8_t *buffer, size_t capacity, void *user_data) {
  int *left = user_data;
  if (capacity < 5 || *left == 0) return 0;
  --*left;
  memcpy(buffer, "piece", 5);
  return 5;
}

/* The same by a body that is read when it is asked for. */
EXPORTED rf_status replace_by_reader(rf_hook_call *call, const rf_response *response, void *user_data) {
  rf_response *other = NULL;
  int *left = malloc(sizeof *left);
  (void)response, (void)user_data;
  if (left == NULL) return RF_FAILED;
  *left = 3;
  if (rf_response_new_reader(298, three_pieces, -1, left, free, &other) != RF_OK) return RF_FAILED;
  if (rf_response_set_reason(other, "By hand") != RF_OK) return RF_FAILED;
  if (rf_response_add_header(other, "Content-Type", "text/plain") != RF_OK) return RF_FAILED;
  rf_status status = rf_hook_replace(call, other);
  rf_response_free(other);
  return status;
}

/* Signs what goes out, its body included; what its user data says stands before that. */
EXPORTED rf_status sign(rf_prepared *prepared, void *user_data) {
  uint8_t buffer[1000];
  size_t length = 0;
  unsigned long sum = 0;
  char signature[100];
  do {
    if (rf_prepared_read_body(prepared, buffer, sizeof buffer, &length) != RF_OK) return RF_FAILED;
    for (size_t i = 0; i < length; i++) sum = sum * 31 + buffer[i];
  } while (length > 0);
  for (const char *url = rf_prepared_url(prepared); *url != '\0'; url++) sum = sum * 31 + (unsigned char)*url;
  snprintf(signature, sizeof signature, "%s %s %lu", user_data != NULL ? (const char *)user_data : "(none)",
           rf_prepared_method(prepared), sum);
  return rf_prepared_set_header(prepared, "X-Signature", signature);
}

/* Has no token until it is asked for one. */
EXPORTED rf_status send_token(rf_prepared *prepared, void *user_data) {
  if (rf_prepared_attempt(prepared) == 0) return RF_OK;
  return rf_prepared_set_header(prepared, "Authorization", user_data);
}
EXPORTED rf_status again_if_401(rf_prepared *prepared, const rf_response *response, void *user_data) {
  (void)prepared, (void)user_data;
  return rf_response_status_code(response) == 401 ? RF_AGAIN : RF_OK;
}
EXPORTED rf_status refuse_to_send(rf_prepared *prepared, void *user_data) {
  (void)user_data;
  return rf_prepared_fail_as(prepared, RF_ERROR_PROXY, "not from over there");
}

/* Puts a cookie into the session, and takes another out. */
EXPORTED rf_status change_cookies(rf_hook_call *call, const rf_response *response, void *user_data) {
  rf_session *session = rf_hook_session(call);
  (void)user_data;
  rf_session_clear_cookies(session, "old", NULL);
  return rf_session_set_cookie(session, rf_response_url(response), "hooked=yes; Path=/");
}

/* Reads the first ten bytes of the body. */
EXPORTED rf_status read_ten(rf_hook_call *call, const rf_response *response, void *user_data) {
  uint8_t ten[10];
  size_t length = 0;
  (void)call, (void)user_data;
  if (rf_response_read(response, ten, sizeof ten, &length, NULL) != RF_OK) return RF_FAILED;
  return rf_response_set_extra(response, "ten", ten, length);
}

/* Asks for another URL, through the session that the request was submitted to. */
EXPORTED rf_status ask_again(rf_hook_call *call, const rf_response *response, void *user_data) {
  rf_future *future = NULL;
  const rf_response *other = NULL;
  (void)user_data;
  if (rf_session_get(rf_hook_session(call), rf_response_url(response), NULL, &future) != RF_OK) return RF_FAILED;
  rf_status status = rf_future_result(future, RF_FOREVER, &other);
  if (status == RF_OK) status = note(response, "again", rf_response_text(other, NULL));
  rf_future_free(future);
  return status;
}

/* So long that another request meanwhile needs another worker. */
EXPORTED rf_status hold_for_a_moment(rf_hook_call *call, const rf_response *response, void *user_data) {
  struct timespec moment = {0, 300000000};
  (void)call, (void)response, (void)user_data;
  nanosleep(&moment, NULL);
  return RF_OK;
}

EXPORTED rf_status in_background(rf_hook_call *call, rf_session *session, const rf_response *response,
                                 void *user_data) {
  (void)call, (void)user_data;
  if (session == NULL) return RF_FAILED;
  return note_process(response, "background");
}

/* ---- what nobody is to do ---- */

EXPORTED rf_status crash(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response, (void)user_data;
  raise(SIGSEGV);
  return RF_OK;
}

EXPORTED rf_status give_up(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response, (void)user_data;
  abort();
}

/* With the status that its bytes say. */
EXPORTED rf_status leave(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response;
  exit(atoi(user_data));
}

EXPORTED rf_status hang(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response, (void)user_data;
  for (;;) pause();
}

/* Never ends, and does not let itself be ended by a polite signal. */
EXPORTED rf_status hang_stubbornly(rf_hook_call *call, const rf_response *response, void *user_data) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  return hang(call, response, user_data);
}

/* Writes rubbish to every socket that it finds, and goes on as if nothing had happened. */
EXPORTED rf_status write_rubbish(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response, (void)user_data;
  for (int descriptor = 3; descriptor < 256; descriptor++) {
    send(descriptor, "rubbish, and more rubbish\n", 26, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  return RF_OK;
}

/* Writes bytes to every socket that it finds: its own, behind their length. */
EXPORTED rf_status write_bytes(rf_hook_call *call, const rf_response *response, void *user_data) {
  size_t length = 0;
  (void)call, (void)response;
  memcpy(&length, user_data, sizeof length);
  for (int descriptor = 3; descriptor < 256; descriptor++) {
    send(descriptor, (const char *)user_data + sizeof length, length, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  return RF_OK;
}

EXPORTED rf_status close_everything(rf_hook_call *call, const rf_response *response, void *user_data) {
  for (int descriptor = 3; descriptor < 256; descriptor++) close(descriptor);
  return hang(call, response, user_data);
}

/* Leaves a child behind, which has all that this process has, and dies. */
EXPORTED rf_status die_and_leave_a_child(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response, (void)user_data;
  if (fork() == 0) {
    /* Long enough to be noticed; nobody is to wait for it. */
    close(1);
    close(2);
    sleep(20);
    _exit(0);
  }
  raise(SIGKILL);
  return RF_OK;
}

/* Forks, and returns in the child as well. Its body is not read yet: whoever reads it has it. */
EXPORTED rf_status fork_and_return_twice(rf_hook_call *call, const rf_response *response, void *user_data) {
  char number[32];
  (void)call, (void)user_data;
  pid_t child = fork();
  if (child == 0) return RF_OK;
  snprintf(number, sizeof number, "%ld", (long)child);
  note(response, "twin", number);
  return note_process(response, "process");
}

EXPORTED rf_status fork_in_background(rf_hook_call *call, rf_session *session, const rf_response *response,
                                      void *user_data) {
  (void)session;
  return fork_and_return_twice(call, response, user_data);
}

/* Crashes when the response says so in a header. */
EXPORTED rf_status crash_if_told(rf_hook_call *call, const rf_response *response, void *user_data) {
  const char *text = rf_response_text(response, NULL);
  if (text != NULL && strstr(text, "crash") != NULL) return crash(call, response, user_data);
  return note_process(response, "process");
}

/* ---- what has no name ---- */

static rf_status static_hook(rf_hook_call *call, const rf_response *response, void *user_data) {
  return tell_process(call, response, user_data);
}
EXPORTED rf_hook_fn hook_without_name(void);
EXPORTED rf_hook_fn hook_without_name(void) { return static_hook; }

/* Every name is this machine's. */
EXPORTED rf_status resolve_any(rf_lookup *lookup, const char *host, uint16_t port, void *user_data);
EXPORTED rf_status resolve_any(rf_lookup *lookup, const char *host, uint16_t port, void *user_data) {
  (void)host, (void)port, (void)user_data;
  return rf_lookup_add(lookup, "127.0.0.1");
}

/* An adapter that answers everything. */
EXPORTED rf_status answer_all(rf_prepared *prepared, void *user_data);
EXPORTED rf_status answer_all(rf_prepared *prepared, void *user_data) {
  rf_response *response = NULL;
  (void)user_data;
  if (rf_response_new(200, "text/plain", "by an adapter", 13, &response) != RF_OK) return RF_FAILED;
  rf_status status = rf_prepared_respond(prepared, response);
  rf_response_free(response);
  return status;
}
