/* The edges of a process: exit handlers, destructors of thread-specific data, and the signals of a fault. */
#include "check.h"
#include "edges.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

/* ---- the end of a thread, and of the process ---- */

static pthread_key_t key;
static int key_destructors, handlers;

/* Three times: the library's own thread-specific data, if there were any, would be gone the second or third time. */
static void at_the_end_of_a_thread(void *value) {
  static __thread int rounds;
  live_at_the_edge("a destructor of thread-specific data");
  INCREMENT(key_destructors);
  if (rounds++ < 2) pthread_setspecific(key, value);
}

static void *a_thread_that_waits(void *session) {
  rf_future *future = get(session, http("/hello"), NULL);
  pthread_setspecific(key, &key);
  RESPONSE(future);
  rf_future_free(future);
  return NULL;
}

static void threads_that_end(void) {
  pthread_t thread;
  rf_session *session = new_session();
  CHECK_INT(0, pthread_key_create(&key, at_the_end_of_a_thread));
  CHECK_INT(0, pthread_create(&thread, NULL, a_thread_that_waits, session));
  CHECK_INT(0, pthread_join(thread, NULL));
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
  CHECK_INT(3, LOAD(key_destructors));
}

static rf_session *to_be_closed;

static void at_exit(void) {
  live_at_the_edge("an atexit handler");
  handlers++;
}

__attribute__((destructor)) static void at_the_very_end(void) {
  const char *where = "a destructor function";
  if (handlers == 0) return; /* a child */
  live_at_the_edge(where);
  /* One that was made long ago, with requests that wait. */
  EDGE(rf_session_close(to_be_closed, RF_CLOSE_WAIT) == RF_OK);
  rf_session_free(to_be_closed);
  EDGE(handlers == 1);
  last_threads_end();
}

/* ---- faults ---- */

static const int open_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGPROF};
static const int blocked_signals[] = {SIGINT, SIGTERM, SIGALRM, SIGCHLD, SIGUSR1, SIGPIPE};

static rf_status look_at_signals(rf_hook_call *call, const rf_response *response, void *blocked) {
  (void)call, (void)response;
  CHECK_INT(0, pthread_sigmask(SIG_BLOCK, NULL, blocked));
  return RF_OK;
}

static void workers_leave_the_signals_of_faults_open(void) {
  sigset_t blocked;
  rf_session *session = new_session();
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, look_at_signals, &blocked, NULL));
  rf_future *future = get(session, http("/hello"), options);
  RESPONSE(future);
  for (size_t i = 0; i < sizeof open_signals / sizeof *open_signals; i++) {
    CHECK_INT(0, sigismember(&blocked, open_signals[i]));
  }
  for (size_t i = 0; i < sizeof blocked_signals / sizeof *blocked_signals; i++) {
    CHECK_INT(1, sigismember(&blocked, blocked_signals[i]));
  }
  rf_future_free(future);
  rf_options_free(options);
  CHECK_OK(rf_session_close(session, RF_CLOSE_WAIT));
  rf_session_free(session);
}

static rf_status fault(rf_hook_call *call, const rf_response *response, void *nowhere) {
  (void)call, (void)response;
  *(volatile int *)nowhere = 1;
  return RF_OK;
}

static void on_fault(int number) {
  (void)number;
  kill(getpid(), SIGKILL); /* nothing is to be tidied up, nor looked for as a leak */
}

/* A child whose hook faults; what it said, and how it ended. */
static int child_that_faults(bool handles, char *said, size_t capacity) {
  int ends[2], status = 0;
  size_t length = 0;
  ssize_t got;
  CHECK_INT(0, pipe(ends));
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    dup2(ends[1], 2);
    close(ends[0]);
    if (handles) signal(SIGSEGV, on_fault);
    rf_session *session = new_session();
    rf_options *options = new_options();
    CHECK_OK(rf_options_add_hook(options, fault, NULL, NULL));
    rf_future *future = get(session, http("/hello"), options);
    const rf_response *response = NULL;
    rf_future_result(future, LONG_MS, &response);
    _exit(0);
  }
  close(ends[1]);
  while (length + 1 < capacity && (got = read(ends[0], said + length, capacity - length - 1)) > 0) length += (size_t)got;
  said[length] = '\0';
  close(ends[0]);
  CHECK(waitpid(child, &status, 0) == child);
  return status;
}

static void a_fault_in_a_hook_is_the_programs(void) {
  char said[20000];
  int status = child_that_faults(true, said, sizeof said);
  CHECK(WIFSIGNALED(status));
  CHECK_INT(SIGKILL, WTERMSIG(status));
#ifdef __SANITIZE_ADDRESS__
  child_that_faults(false, said, sizeof said);
  CHECK_HAS("AddressSanitizer: SEGV", said);
  CHECK_HAS("fault", said);
#else
  status = child_that_faults(false, said, sizeof said);
  CHECK(WIFSIGNALED(status) ? WTERMSIG(status) != SIGKILL : WEXITSTATUS(status) != 0);
#endif
}

int main(void) {
  /* Before there is any thread: children of a sanitized program make none afterwards. */
  a_fault_in_a_hook_is_the_programs();
  workers_leave_the_signals_of_faults_open();
  threads_that_end();
  to_be_closed = new_session();
  for (int i = 0; i < 8; i++) rf_future_free(get(to_be_closed, http("/hello"), NULL));
  CHECK_INT(0, atexit(at_exit));
  return 0;
}
