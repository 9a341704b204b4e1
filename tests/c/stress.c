/* Everything at once, at random: threads that submit, wait, cancel, abort, clone, free, call back, stream and close,
   against a server that stalls, resets and lies. In the end every future is over, every callback has run once, every
   drop function too, and no descriptor, thread, process or byte is left.

   RF_REQUESTS says how many (5,000; CI takes more), RF_SEED where the random numbers begin. The order in which threads
   run is nobody's to choose: a seed gives the same steps, not the same run. RF_STRESS_EVENTS=1 has all of it on one event
   loop.

   RF_SOAK_SECONDS makes it a soak: rounds of RF_REQUESTS (20,000) for at least so long, with worker processes, which are
   killed now and then, and with connections that relays of the local server damage. It prints a line each minute, and in
   the end neither memory nor descriptors may have grown with the number of requests. */
#include "elsewhere.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>

static bool soaking;
static bool on_loops; /* every session on the event loop */

enum { THREADS = 8, HAND = 16, SESSIONS = 4, SHELF = 32 };

/* ---- numbers ---- */

static uint64_t next_random(uint64_t *state) {
  uint64_t z = *state += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

static unsigned below(uint64_t *state, unsigned limit) { return (unsigned)(next_random(state) % limit); }
static bool one_in(uint64_t *state, unsigned times) { return below(state, times) == 0; }

/* What has happened so far, in all threads. */
static struct {
  long left;                     /* requests still to submit */
  long futures, callbacks_added; /* made */
  long callbacks, drops;         /* run */
  long succeeded, failed, aborted, cancelled, refused;
  long broken;                   /* of those that failed: their worker process was killed */
  long spoilt, unspoilt;         /* through a relay: failed, succeeded */
  long kills;                    /* of worker processes */
  long hooks, hook_drops_due, hook_drops;
  long sessions, closed;
  long written, locked;          /* files that went on; requests that found them taken */
} seen;

/* ---- sessions that anyone may replace at any time ---- */

/* The handle is freed by the last one who uses it. */
typedef struct home {
  rf_session *session;
  int users;
  int runs_on;
  bool blocks; /* a request waits for a connection, and may not wait for one whose body nobody reads */
} home;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the two tables below; never held during a call */
static home *homes[SESSIONS];

/* What a session's requests run on. An executor of another kind is another name here, a line in new_executors, and what
   its requests may end with in judge. */
enum { OWN_THREADS, THREAD_POOL, EVENTS, PROCESSES, EXECUTORS };
static rf_executor *executors[EXECUTORS]; /* shared by the sessions of a round; NULL: each has its own */

static void new_executors(void) {
  CHECK_OK(rf_executor_new_threads(4, &executors[THREAD_POOL]));
  CHECK_OK(rf_executor_new_events(8, 4, &executors[EVENTS]));
  if (soaking) CHECK_OK(rf_executor_new_processes(3, &executors[PROCESSES]));
}

static void end_executors(void) {
  for (int i = 0; i < EXECUTORS; i++) {
    if (executors[i] == NULL) continue;
    CHECK_OK(rf_executor_shutdown(executors[i], true, false));
    rf_executor_free(executors[i]);
    executors[i] = NULL;
  }
}

static home *new_home(uint64_t *random) {
  home *made = calloc(1, sizeof *made);
  rf_config *config = NULL;
  CHECK(made != NULL);
  made->users = 1;
  CHECK_OK(rf_config_new(&config));
  made->runs_on = on_loops            ? EVENTS
                  : one_in(random, 3) ? THREAD_POOL
                  : one_in(random, 3) ? EVENTS
                  : one_in(random, 3) ? PROCESSES
                                      : OWN_THREADS;
  if (executors[made->runs_on] != NULL) CHECK_OK(rf_config_set_executor(config, executors[made->runs_on]));
  else CHECK_OK(rf_config_set_max_workers(config, 1 + below(random, 8)));
  if (one_in(random, 3)) CHECK_OK(rf_config_set_pool_maxsize(config, 1 + below(random, 4)));
  made->blocks = one_in(random, 4);
  CHECK_OK(rf_config_set_pool_block(config, made->blocks));
  if (one_in(random, 3)) CHECK_OK(rf_config_set_max_retries(config, below(random, 3)));
  CHECK_OK(rf_session_new(config, &made->session));
  rf_config_free(config);
  INCREMENT(seen.sessions);
  return made;
}

static home *visit(uint64_t *random) {
  pthread_mutex_lock(&lock);
  home *found = homes[below(random, SESSIONS)];
  INCREMENT(found->users);
  pthread_mutex_unlock(&lock);
  return found;
}

static void leave(home *left) {
  if (__atomic_sub_fetch(&left->users, 1, __ATOMIC_SEQ_CST) > 0) return;
  rf_session_free(left->session);
  free(left);
}

/* Puts another session in one's place, and ends the old one in one of the four ways there are. */
static void move_house(uint64_t *random) {
  home *made = new_home(random);
  unsigned place = below(random, SESSIONS), mode = below(random, 4);
  pthread_mutex_lock(&lock);
  home *before = homes[place];
  homes[place] = made;
  pthread_mutex_unlock(&lock);
  if (mode <= RF_CLOSE_ABORT) {
    CHECK_OK(rf_session_close(before->session, (int)mode));
    INCREMENT(seen.closed);
    if (one_in(random, 4)) CHECK_OK(rf_session_close(before->session, (int)below(random, 3)));
  }
  leave(before);
}

/* ---- requests, and what may come of them ---- */

/* How an answer is looked at. One that may have been damaged on its way may say anything; it says what was sent where
   TLS is what looks for damage. */
enum { PLAIN, NUMBERED, LARGE, STREAMED, WRITTEN, DOUBTFUL };
enum {
  NONE, SHORT, BRISK, STREAM, STREAM_SHORT, LIMITED, HOOKED, TLS, FORMS, EXPECTING, RESUMING, RESUMING_ANY,
  SPOILT, SPOILT_STREAM, SPOILT_TLS, SPOILT_PROXY, SPOILT_PROXY_TLS,
  OPTIONS
};

typedef struct kind {
  unsigned weight;
  const char *base, *path;
  int look, options;
  bool succeeds;
  int errors[3];
} kind;

/* Through a relay: a proxy of its own, or in the place of the server. */
static bool is_spoilt(const kind *kind) { return kind->options >= SPOILT; }

static const kind KINDS[] = {
    {8000, "RF_TEST_HTTP", "/hello", PLAIN, NONE, true, {0}},
    {1000, "RF_TEST_RAW", "/reason?phrase=", NUMBERED, NONE, true, {0}},
    {100, "RF_TEST_HTTP", "/hello", PLAIN, HOOKED, true, {0}},
    {30, "RF_TEST_HTTP", "/redirect-to?url=/hello", PLAIN, NONE, true, {0}},
    {30, "RF_TEST_HTTP", "/encoded?with=gzip&text=Hello,%20world!", PLAIN, NONE, true, {0}},
    {30, "RF_TEST_HTTPS", "/hello", PLAIN, TLS, true, {0}},
    {30, "RF_TEST_HTTP_IDLE", "/hello", PLAIN, NONE, true, {0}},
    /* A time-out that may come, or not. */
    {40, "RF_TEST_HTTP", "/slow-headers?ms=5", STREAMED, BRISK, true, {RF_ERROR_TIMEOUT, RF_ERROR_READ_TIMEOUT}},
    {40, "RF_TEST_HTTP", "/hello", PLAIN, BRISK, true, {RF_ERROR_TIMEOUT, RF_ERROR_READ_TIMEOUT}},
    /* Bodies that nobody may read to their end. */
    {60, "RF_TEST_HTTP", "/bytes/200000", STREAMED, STREAM, true, {0}},
    {30, "RF_TEST_HTTP", "/stream-bytes/30000", STREAMED, STREAM, true, {0}},
    {20, "RF_TEST_RAW", "/stall/body", STREAMED, STREAM_SHORT, true, {RF_ERROR_CONNECT_TIMEOUT, RF_ERROR_READ_TIMEOUT}},
    {20, "RF_TEST_RAW", "/close/chunk", STREAMED, STREAM, true, {0}},
    /* A server that stalls, */
    {20, "RF_TEST_RAW", "/silent", PLAIN, SHORT, false, {RF_ERROR_CONNECT_TIMEOUT, RF_ERROR_READ_TIMEOUT}},
    {20, "RF_TEST_RAW", "/stall/head", PLAIN, SHORT, false, {RF_ERROR_CONNECT_TIMEOUT, RF_ERROR_READ_TIMEOUT}},
    {20, "RF_TEST_RAW", "/stall/tail", PLAIN, SHORT, false, {RF_ERROR_CONNECT_TIMEOUT, RF_ERROR_READ_TIMEOUT}},
    {10, "RF_TEST_BLACKHOLE", "/", PLAIN, SHORT, false, {RF_ERROR_CONNECT_TIMEOUT}},
    {10, "RF_TEST_TLS_SILENT", "/", PLAIN, SHORT, false, {RF_ERROR_CONNECT_TIMEOUT}},
    /* resets, */
    {20, "RF_TEST_RAW", "/rst/empty", PLAIN, NONE, false, {RF_ERROR_CONNECTION}},
    {20, "RF_TEST_RAW", "/rst/body?ms=0", PLAIN, NONE, false, {RF_ERROR_CONNECTION, RF_ERROR_CHUNKED_ENCODING}},
    {20, "RF_TEST_RAW", "/close/head", PLAIN, NONE, false, {RF_ERROR_CONNECTION}},
    {20, "RF_TEST_RAW", "/close/body", PLAIN, NONE, false, {RF_ERROR_CONNECTION, RF_ERROR_CHUNKED_ENCODING}},
    {10, "RF_TEST_CLOSED", "/", PLAIN, NONE, false, {RF_ERROR_CONNECTION}},
    /* and lies. */
    {20, "RF_TEST_RAW", "/lengths?v=5&v=6", PLAIN, NONE, false, {RF_ERROR_INVALID_HEADER}},
    {20, "RF_TEST_RAW", "/chunks/bad-size", PLAIN, NONE, false, {RF_ERROR_CHUNKED_ENCODING}},
    {20, "RF_TEST_RAW", "/bad-status", PLAIN, NONE, false, {RF_ERROR_CONNECTION}},
    {20, "RF_TEST_RAW", "/reason?phrase=n0", STREAMED, FORMS, true, {0}},
    {20, "RF_TEST_RAW", "/continue", STREAMED, EXPECTING, true, {0}},
    /* A file that breaks off twice: a thread's own, of several requests at once, and one that all of them want. It is taken,
       or not tried again as the session is closed. */
    {100, "RF_TEST_HTTP", "/breaking/60000?each=20000", WRITTEN, RESUMING, true, {RF_ERROR_REQUEST, RF_ERROR_CHUNKED_ENCODING}},
    {50, "RF_TEST_HTTP", "/breaking/60000?each=25000", WRITTEN, RESUMING_ANY, true, {RF_ERROR_REQUEST, RF_ERROR_CHUNKED_ENCODING}},
    {20, "RF_TEST_HTTP", "/compressed-corrupt?with=gzip", PLAIN, NONE, false, {RF_ERROR_CONTENT_DECODING}},
    {20, "RF_TEST_HTTP", "/bytes/100000", PLAIN, LIMITED, false, {RF_ERROR_BODY_TOO_LARGE}},
    /* Damaged on its way, in a soak alone. No redirects without TLS: nobody knows where they would lead to. */
    {1500, "RF_TEST_FAULTS_HTTP", "/hello", DOUBTFUL, SPOILT, true, {0}},
    {100, "RF_TEST_FAULTS_HTTP", "/encoded?with=gzip&text=Hello,%20world!", DOUBTFUL, SPOILT, true, {0}},
    {100, "RF_TEST_FAULTS_HTTP", "/stream-bytes/30000", DOUBTFUL, SPOILT, true, {0}},
    {100, "RF_TEST_FAULTS_HTTP", "/bytes/60000", STREAMED, SPOILT_STREAM, true, {0}},
    {300, "RF_TEST_FAULTS_HTTPS", "/hello", PLAIN, SPOILT_TLS, true, {0}},
    {100, "RF_TEST_FAULTS_HTTPS", "/redirect-to?url=/hello", PLAIN, SPOILT_TLS, true, {0}},
    {200, "RF_TEST_FAULTS_HTTPS", "/bytes/60000", LARGE, SPOILT_TLS, true, {0}},
    {200, "RF_TEST_HTTP", "/hello", DOUBTFUL, SPOILT_PROXY, true, {0}},
    {100, "RF_TEST_HTTPS", "/bytes/60000", LARGE, SPOILT_PROXY_TLS, true, {0}},
};
enum { KINDS_COUNT = sizeof KINDS / sizeof *KINDS };

static char urls[KINDS_COUNT][256];
static char tls_names[256]; /* https by name: the name is looked up */
static uint8_t large[60000]; /* what /bytes/60000 sends */

static unsigned weight(const kind *kind) { return is_spoilt(kind) && !soaking ? 0 : kind->weight; }

static size_t choose(uint64_t *random) {
  static unsigned sum;
  unsigned all = __atomic_load_n(&sum, __ATOMIC_RELAXED), at = 0;
  if (all == 0) {
    for (size_t i = 0; i < KINDS_COUNT; i++) all += weight(&KINDS[i]);
    __atomic_store_n(&sum, all, __ATOMIC_RELAXED);
  }
  unsigned wanted = below(random, all);
  while (wanted >= weight(&KINDS[at])) wanted -= weight(&KINDS[at++]);
  return at;
}

/* ---- callbacks ---- */

/* What a callback knows of its future. */
typedef struct note {
  home *home;
  const kind *kind;
  uint64_t random;
  long number;
  int calls;
  bool first; /* the one callback that every future gets */
} note;

static __thread int depth; /* of callbacks inside callbacks, on this thread */

static void look_at(const note *about, const rf_response *response) {
  size_t length = 0;
  if (is_spoilt(about->kind) && (about->kind->look == DOUBTFUL || about->kind->look == STREAMED)) {
    CHECK_RANGE(100, 999, rf_response_status_code(response));
    return;
  }
  if (!about->kind->succeeds) FAIL("%s: %d", about->kind->path, rf_response_status_code(response));
  if (about->kind->look == WRITTEN) {
    /* 416: somebody had written all of it, and was stopped before it had its name. */
    int status = rf_response_status_code(response);
    CHECK(status == 200 || status == 206 || status == 416);
    INCREMENT(seen.written);
    return;
  }
  CHECK_INT(200, rf_response_status_code(response));
  if (about->kind->look == PLAIN) {
    CHECK_STR("Hello, world!", (const char *)rf_response_content(response, &length));
    CHECK_INT(13, length);
  } else if (about->kind->look == NUMBERED) {
    CHECK_STR(text("n%ld", about->number), rf_response_reason(response));
    CHECK_STR("ok", (const char *)rf_response_content(response, &length));
  } else if (about->kind->look == LARGE) {
    const uint8_t *content = rf_response_content(response, &length);
    CHECK_INT(sizeof large, length);
    CHECK(memcmp(large, content, sizeof large) == 0);
  }
}

/* What may come of a request on a connection that is damaged. With TLS all that is read is what the server sent, or
   the beginning of that. */
static bool is_damage(const kind *kind, int error) {
  switch (error) {
    case RF_ERROR_CONNECTION:
    case RF_ERROR_CONNECT_TIMEOUT:
    case RF_ERROR_READ_TIMEOUT:
    case RF_ERROR_CHUNKED_ENCODING: return true; /* any body that ends too early */
    case RF_ERROR_SSL: return kind->options == SPOILT_TLS || kind->options == SPOILT_PROXY_TLS;
    case RF_ERROR_PROXY: return kind->options == SPOILT_PROXY || kind->options == SPOILT_PROXY_TLS;
    case RF_ERROR_INVALID_HEADER:
    case RF_ERROR_CONTENT_DECODING: return kind->look == DOUBTFUL || kind->look == STREAMED;
    default: return false;
  }
}

/* The outcome is one that this request can have. */
static void judge(rf_future *future, const note *about) {
  const rf_response *response = NULL;
  const rf_error *error = NULL;
  CHECK(rf_future_done(future));
  rf_status status = rf_future_result(future, 0, &response);
  CHECK_OK(rf_future_exception(future, 0, &error));
  if (status == RF_OK) {
    INCREMENT(seen.succeeded);
    if (is_spoilt(about->kind)) INCREMENT(seen.unspoilt);
    CHECK_NULL(error);
    look_at(about, response);
  } else if (status == RF_CANCELLED) {
    INCREMENT(seen.cancelled);
    CHECK(rf_future_cancelled(future));
    CHECK_INT(RF_ERROR_CANCELLED, rf_error_kind_of(error));
  } else {
    CHECK_STATUS(RF_FAILED, status);
    int is = rf_error_kind_of(error);
    if (is == RF_ERROR_ABORTED) {
      INCREMENT(seen.aborted);
      return;
    }
    INCREMENT(seen.failed);
    if (about->home->runs_on == PROCESSES && soaking) {
      if (is == RF_ERROR_BROKEN_POOL) {
        INCREMENT(seen.broken);
        return;
      }
      if (is == RF_ERROR_NOT_TRANSFERABLE && about->kind->options == HOOKED) return;
    }
    if (is_spoilt(about->kind)) {
      INCREMENT(seen.spoilt);
      if (is_damage(about->kind, is)) return;
    }
    if (about->kind->look == WRITTEN && is == RF_ERROR_REQUEST) {
      if (rf_error_os_code(error) != EWOULDBLOCK) FAIL("%s", rf_error_message(error));
      INCREMENT(seen.locked);
    }
    for (size_t i = 0; i < 3; i++) {
      if (is == about->kind->errors[i]) return;
    }
    FAIL("%s%s: %s: %s", env(about->kind->base), about->kind->path, rf_error_kind_name(is), rf_error_message(error));
  }
}

static void attach(rf_future *future, home *home, const kind *kind, long number, uint64_t *random, bool first);
static rf_future *submit(home *home, size_t which, const rf_options *options, uint64_t *random);
static void handle_a_stranger(uint64_t *random);

static void called_back(rf_future *future, void *user_data) {
  note *about = user_data;
  CHECK_INT(0, about->calls);
  about->calls++;
  depth++;
  if (about->first) {
    judge(future, about);
    /* From inside a callback: another request, */
    if (one_in(&about->random, 20)) rf_future_free(submit(about->home, 0, NULL, &about->random));
    /* another callback, which runs at once, */
    if (one_in(&about->random, 20)) attach(future, about->home, about->kind, about->number, &about->random, false);
    /* somebody else's future, whose callbacks may then run in here, */
    if (depth == 1 && one_in(&about->random, 50)) handle_a_stranger(&about->random);
    /* and the end of a session: its own, or any. */
    if (one_in(&about->random, 1000)) {
      home *any = visit(&about->random);
      CHECK_OK(rf_session_close((one_in(&about->random, 2) ? about->home : any)->session, (int)below(&about->random, 3)));
      INCREMENT(seen.closed);
      leave(any);
    }
  }
  depth--;
  INCREMENT(seen.callbacks);
}

static void dropped(void *user_data) {
  note *about = user_data;
  CHECK_INT(1, about->calls);
  leave(about->home);
  free(about);
  INCREMENT(seen.drops);
}

static void attach(rf_future *future, home *home, const kind *kind, long number, uint64_t *random, bool first) {
  note *about = calloc(1, sizeof *about);
  CHECK(about != NULL);
  about->home = home;
  about->kind = kind;
  about->random = next_random(random);
  about->number = number;
  about->first = first;
  INCREMENT(home->users);
  INCREMENT(seen.callbacks_added);
  CHECK_OK(rf_future_add_done_callback(future, called_back, about, dropped));
}

/* NULL: the session is closed. */
static rf_future *submit(home *home, size_t which, const rf_options *options, uint64_t *random) {
  static long numbers;
  const kind *asked = &KINDS[which];
  const char *url = urls[which];
  long number = __atomic_add_fetch(&numbers, 1, __ATOMIC_SEQ_CST);
  rf_future *future = NULL;
  if (asked->look == NUMBERED) url = text("%sn%ld", url, number);
  if (asked->options == TLS && one_in(random, 4)) url = tls_names;
  rf_status status = rf_session_get(home->session, url, options, &future);
  if (status == RF_E_SHUTDOWN) {
    INCREMENT(seen.refused);
    CHECK_NULL(future);
    return NULL;
  }
  CHECK_OK(status);
  INCREMENT(seen.futures);
  attach(future, home, asked, number, random, true);
  return future;
}

/* ---- a shelf where threads leave futures for each other ---- */

static rf_future *shelf[SHELF];

static rf_future *exchange(rf_future *given, uint64_t *random) {
  unsigned place = below(random, SHELF);
  pthread_mutex_lock(&lock);
  rf_future *taken = shelf[place];
  shelf[place] = given;
  pthread_mutex_unlock(&lock);
  return taken;
}

static void handle_a_stranger(uint64_t *random) {
  rf_future *stranger = exchange(NULL, random);
  if (stranger == NULL) return;
  if (one_in(random, 2)) rf_future_cancel(stranger);
  else rf_future_abort(stranger);
  rf_future_free(stranger);
}

/* ---- a queue that all threads add to and take from ---- */

typedef struct feed {
  rf_completed *completed;
  int users;
  long added, taken;
} feed;

static feed *common;

static feed *new_feed(void) {
  feed *made = calloc(1, sizeof *made);
  CHECK(made != NULL);
  made->users = 1;
  CHECK_OK(rf_as_completed(NULL, 0, &made->completed));
  return made;
}

static void leave_feed(feed *left) {
  if (__atomic_sub_fetch(&left->users, 1, __ATOMIC_SEQ_CST) > 0) return;
  rf_status status;
  while ((status = rf_completed_next(left->completed, LONG_MS * patience(), NULL, NULL)) == RF_OK) left->taken++;
  CHECK_STATUS(RF_END, status);
  CHECK_INT(left->added, left->taken);
  rf_completed_free(left->completed);
  free(left);
}

static void use_feed(rf_future *future, uint64_t *random) {
  pthread_mutex_lock(&lock);
  feed *mine = common, *before = NULL;
  INCREMENT(mine->users);
  pthread_mutex_unlock(&lock);
  rf_future *clone = NULL, *taken = NULL;
  /* Each is added once: a future that is added again is not delivered again. */
  if (rf_future_user_data(future) == NULL) {
    CHECK_OK(rf_future_set_user_data(future, mine));
    CHECK_OK(rf_future_clone(future, &clone));
    CHECK_OK(rf_completed_add(mine->completed, clone));
    INCREMENT(mine->added);
    rf_future_free(clone);
  }
  int fd = rf_completed_fd(mine->completed);
  CHECK(fd >= 0);
  if (one_in(random, 4)) {
    struct pollfd one = {fd, POLLIN, 0};
    CHECK(poll(&one, 1, 1) >= 0);
  }
  while (rf_completed_next(mine->completed, 0, &taken, NULL) == RF_OK) INCREMENT(mine->taken);
  if (one_in(random, 50)) {
    feed *made = new_feed();
    pthread_mutex_lock(&lock);
    before = common;
    common = made;
    pthread_mutex_unlock(&lock);
  }
  leave_feed(mine);
  if (before != NULL) leave_feed(before);
}

/* ---- what a thread does with the futures in its hand ---- */

typedef struct player {
  pthread_t thread;
  uint64_t random;
  rf_future *hand[HAND];
  size_t kinds[HAND];
  rf_options *options[OPTIONS];
} player;

static rf_status count_hook(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)user_data;
  CHECK_INT(200, rf_response_status_code(response));
  INCREMENT(seen.hooks);
  return RF_OK;
}

static void drop_hook(void *user_data) {
  (void)user_data;
  INCREMENT(seen.hook_drops);
}

/* The file that a thread's downloads go to, and the one of all threads. */
static const char *file_of(const player *self) {
  return text("%s/stress-%ld-%p", env("RF_TEST_DIR"), (long)getpid(), (const void *)self);
}

/* Whoever has written it, and however often it was stopped: it is whole, or not there. */
static void check_written(const player *self) {
  uint8_t content[sizeof large + 1];
  FILE *file = fopen(file_of(self), "r");
  if (file != NULL) {
    CHECK_INT(sizeof large, fread(content, 1, sizeof content, file));
    CHECK(memcmp(large, content, sizeof large) == 0);
    fclose(file);
  }
  unlink(file_of(self));
  unlink(text("%s.part", file_of(self)));
  unlink(text("%s.part.meta", file_of(self)));
}

static void resume(rf_options *options, const player *self) {
  rf_retry *retry = NULL;
  CHECK_OK(rf_options_set_output_file(options, file_of(self)));
  CHECK_OK(rf_options_set_output_mode(options, RF_OUTPUT_RESUME));
  CHECK_OK(rf_retry_new(2, &retry));
  CHECK_OK(rf_options_set_retry(options, retry));
  rf_retry_free(retry);
}

static void prepare(player *self) {
  for (int i = SHORT; i < OPTIONS; i++) self->options[i] = new_options();
  /* What is damaged may be a length, and the rest of that never comes. */
  for (int i = SPOILT; i < OPTIONS; i++) CHECK_OK(rf_options_set_timeout(self->options[i], 300, 300));
  CHECK_OK(rf_options_set_stream(self->options[SPOILT_STREAM], true));
  CHECK_OK(rf_options_set_ca_bundle(self->options[SPOILT_TLS], env("RF_TEST_CA")));
  CHECK_OK(rf_options_set_proxy(self->options[SPOILT_PROXY], "http", env("RF_TEST_FAULTS_PROXY")));
  CHECK_OK(rf_options_set_proxy(self->options[SPOILT_PROXY_TLS], "https", env("RF_TEST_FAULTS_PROXY")));
  CHECK_OK(rf_options_set_ca_bundle(self->options[SPOILT_PROXY_TLS], env("RF_TEST_CA")));
  CHECK_OK(rf_options_set_timeout(self->options[SHORT], 20, 20));
  CHECK_OK(rf_options_set_deadline(self->options[BRISK], 5));
  CHECK_OK(rf_options_set_stream(self->options[STREAM], true));
  CHECK_OK(rf_options_set_stream(self->options[STREAM_SHORT], true));
  CHECK_OK(rf_options_set_timeout(self->options[STREAM_SHORT], 20, 20));
  CHECK_OK(rf_options_set_max_body(self->options[LIMITED], 50000));
  CHECK_OK(rf_options_set_ca_bundle(self->options[TLS], env("RF_TEST_CA")));
  CHECK_OK(rf_options_add_form(self->options[FORMS], "name", "value"));
  CHECK_OK(rf_options_set_body(self->options[EXPECTING], "body", 4));
  CHECK_OK(rf_options_set_expect_continue(self->options[EXPECTING], LONG_MS));
  resume(self->options[RESUMING], self);
  resume(self->options[RESUMING_ANY], NULL);
  CHECK_OK(rf_options_add_hook(self->options[HOOKED], count_hook, self, drop_hook));
  INCREMENT(seen.hook_drops_due);
}

static void read_some(const rf_response *response, uint64_t *random) {
  uint8_t buffer[4096];
  size_t length = 0;
  for (unsigned pieces = below(random, 100); pieces > 0; pieces--) {
    const rf_event *event = NULL;
    bool events = one_in(random, 10);
    rf_status status = events ? rf_response_read_event(response, &event, NULL)
                              : rf_response_read(response, buffer, sizeof buffer, &length, NULL);
    if (status != RF_OK || (!events && length == 0)) break;
  }
  if (one_in(random, 3)) CHECK_OK(rf_response_close(response));
}

/* Waits for one, and looks at what it brought. */
static void await(player *self, rf_future *future, size_t which) {
  static const int64_t times[] = {0, 1, 5, LONG_MS, LONG_MS, LONG_MS};
  const rf_response *response = NULL;
  int64_t time = times[below(&self->random, 6)];
  rf_status status = rf_future_result(future, time * patience(), &response);
  if (status == RF_TIMEOUT && time == LONG_MS) FAIL("%s is not over", urls[which]);
  if (status != RF_OK || KINDS[which].look != STREAMED) return;
  rf_response *clone = NULL;
  CHECK_OK(rf_response_clone(response, &clone));
  if (one_in(&self->random, 4)) rf_future_abort(future);
  read_some(clone, &self->random);
  rf_response_free(clone);
}

static size_t in_hand(player *self, rf_future **futures) {
  size_t count = 0;
  for (int i = 0; i < HAND; i++) {
    if (self->hand[i] != NULL) futures[count++] = self->hand[i];
  }
  return count;
}

static void wait_for_hand(player *self) {
  rf_future *futures[HAND];
  bool done[HAND];
  size_t count = in_hand(self, futures), over = 0;
  int when = 1 + (int)below(&self->random, 3);
  int64_t time = one_in(&self->random, 2) ? LONG_MS * patience() : (int64_t)below(&self->random, 5);
  rf_status status = rf_wait(futures, count, time, when, done);
  CHECK(status == RF_OK || (status == RF_TIMEOUT && time < LONG_MS));
  for (size_t i = 0; i < count; i++) {
    if (done[i]) CHECK(rf_future_done(futures[i]));
    over += done[i];
  }
  if (status == RF_OK && count > 0) CHECK(when == RF_ALL_COMPLETED ? over == count : over > 0);
}

static void complete_hand(player *self) {
  rf_future *futures[HAND], *future = NULL;
  size_t count = in_hand(self, futures), index = 0, taken = 0, wanted = 1 + below(&self->random, HAND);
  bool delivered[HAND] = {false};
  rf_completed *completed = NULL;
  CHECK_OK(rf_as_completed(futures, count, &completed));
  struct pollfd one = {rf_completed_fd(completed), POLLIN, 0};
  CHECK(one.fd >= 0);
  while (taken < wanted) {
    CHECK_INT(1, poll(&one, 1, (int)(LONG_MS * patience()))); /* at the end as well */
    rf_status status = rf_completed_next(completed, 0, &future, &index);
    if (status == RF_END) break;
    CHECK_OK(status); /* readable means that it does not wait */
    CHECK(future == futures[index] && rf_future_done(future) && !delivered[index]);
    delivered[index] = true;
    taken++;
  }
  CHECK_INT(wanted < count ? wanted : count, taken);
  rf_completed_free(completed);
}

/* Sends a handle of one's own round, and treats what comes back as one likes. */
static void trade(player *self, rf_future *future) {
  rf_future *clone = NULL;
  const rf_response *response = NULL;
  CHECK_OK(rf_future_clone(future, &clone));
  rf_future *stranger = exchange(clone, &self->random);
  if (stranger == NULL) return;
  switch (below(&self->random, 8)) {
    case 0: rf_future_cancel(stranger); break;
    case 1: rf_future_abort(stranger); break;
    case 2: rf_future_result(stranger, 1, &response); break;
    case 3: rf_wait(&stranger, 1, 1, RF_FIRST_COMPLETED, &(bool){false}); break;
    default: break;
  }
  rf_future_free(stranger);
}

static void act(player *self) {
  int place = (int)below(&self->random, HAND);
  rf_future *future = self->hand[place];
  if (one_in(&self->random, 500)) move_house(&self->random);
  if (future == NULL) return;
  switch (below(&self->random, 40)) {
    case 0: rf_future_cancel(future); break;
    case 1: rf_future_abort(future); break;
    case 2: wait_for_hand(self); break;
    case 3: complete_hand(self); break;
    case 4: use_feed(future, &self->random); break;
    case 5:
    case 6: trade(self, future); break;
    case 7: await(self, future, self->kinds[place]); break;
    case 8: {
      home *any = visit(&self->random);
      attach(future, any, &KINDS[self->kinds[place]], 0, &self->random, false);
      leave(any);
      break;
    }
    case 9: {
      home *any = visit(&self->random);
      rf_cookies *cookies = NULL;
      CHECK_OK(rf_session_cookies(any->session, &cookies));
      rf_cookies_free(cookies);
      leave(any);
      break;
    }
    default: break;
  }
}

static void *play(void *argument) {
  player *self = argument;
  prepare(self);
  while (__atomic_sub_fetch(&seen.left, 1, __ATOMIC_SEQ_CST) >= 0) {
    unsigned place = below(&self->random, HAND);
    if (self->hand[place] != NULL) {
      /* Most are waited for, some just let go. */
      if (!one_in(&self->random, 8)) await(self, self->hand[place], self->kinds[place]);
      rf_future_free(self->hand[place]);
    }
    home *chosen = visit(&self->random);
    do {
      self->kinds[place] = choose(&self->random);
    } while (chosen->blocks && KINDS[self->kinds[place]].look == STREAMED);
    self->hand[place] = submit(chosen, self->kinds[place], self->options[KINDS[self->kinds[place]].options],
                               &self->random);
    leave(chosen);
    if (self->hand[place] == NULL) move_house(&self->random); /* it was closed by a callback */
    act(self);
  }
  for (int i = 0; i < HAND; i++) {
    const rf_response *response;
    if (self->hand[i] == NULL) continue;
    CHECK(rf_future_result(self->hand[i], LONG_MS * patience(), &response) != RF_TIMEOUT);
    CHECK(rf_future_done(self->hand[i]));
    rf_future_free(self->hand[i]);
    self->hand[i] = NULL;
  }
  for (int i = SHORT; i < OPTIONS; i++) rf_options_free(self->options[i]);
  return NULL;
}

/* ---- one round: from nothing to nothing ---- */

static uint64_t seed;
static bool killer_stops;

/* Kills one worker process after the other, in whatever it is about. */
static void *kill_workers(void *argument) {
  uint64_t random = *(uint64_t *)argument;
  while (!LOAD(killer_stops)) {
    sleep_ms(5 + below(&random, 300));
    long worker = some_child(below(&random, 1000));
    /* It is not waited for by anybody but the pool: the number is still its own, or that of its zombie. */
    if (worker > 0 && kill((pid_t)worker, SIGKILL) == 0) INCREMENT(seen.kills);
  }
  return NULL;
}

static void *round_of(void *argument) {
  uint64_t random = seed;
  player *players = calloc(THREADS, sizeof *players);
  CHECK(players != NULL);
  pthread_t killer;
  (void)argument;
  new_executors();
  uint64_t killing = next_random(&random);
  killer_stops = false;
  if (soaking) CHECK_INT(0, pthread_create(&killer, NULL, kill_workers, &killing));
  for (int i = 0; i < SESSIONS; i++) homes[i] = new_home(&random);
  common = new_feed();
  for (int i = 0; i < THREADS; i++) {
    players[i].random = next_random(&random);
    CHECK_INT(0, pthread_create(&players[i].thread, NULL, play, &players[i]));
  }
  for (int i = 0; i < THREADS; i++) CHECK_INT(0, pthread_join(players[i].thread, NULL));
  /* Callbacks still take from it. */
  for (int i = 0; i < SHELF; i++) {
    pthread_mutex_lock(&lock);
    rf_future *left = shelf[i];
    shelf[i] = NULL;
    pthread_mutex_unlock(&lock);
    rf_future_free(left);
  }
  leave_feed(common);
  for (int i = 0; i < SESSIONS; i++) {
    CHECK_OK(rf_session_close(homes[i]->session, (int)below(&random, 3)));
    leave(homes[i]);
  }
  end_executors();
  for (int i = 0; i < THREADS; i++) check_written(&players[i]);
  check_written(NULL);
  free(players);
  __atomic_store_n(&killer_stops, true, __ATOMIC_SEQ_CST);
  if (soaking) CHECK_INT(0, pthread_join(killer, NULL));
  seed = next_random(&random); /* of the next round */
  return NULL;
}

static void run_round(long requests) {
  pthread_t thread;
  void *result;
  struct timespec until;
  seen.left = requests;
  CHECK_INT(0, pthread_create(&thread, NULL, round_of, NULL));
  /* A hang says where it hung. */
  long before = -1;
  do {
    if (LOAD(seen.callbacks) == before) {
      FAIL("nothing moves: %ld requests to go, %ld futures, %ld callbacks, %ld drops", LOAD(seen.left),
           LOAD(seen.futures), LOAD(seen.callbacks), LOAD(seen.drops));
    }
    before = LOAD(seen.callbacks);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60 * patience();
  } while (pthread_timedjoin_np(thread, &result, &until) == ETIMEDOUT);

  /* Sessions that were freed and not closed end by themselves, and so do their threads. */
  EVENTUALLY(threads() == 1);
  CHECK_INT(LOAD(seen.callbacks_added), LOAD(seen.callbacks));
  CHECK_INT(LOAD(seen.callbacks_added), LOAD(seen.drops));
  CHECK_INT(LOAD(seen.futures), seen.succeeded + seen.failed + seen.aborted + seen.cancelled);
  CHECK_INT(LOAD(seen.hook_drops_due), LOAD(seen.hook_drops));
  CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

/* ---- a soak: rounds, and what is left after each of them ---- */

/* What this process has while nothing is under way. */
typedef struct state {
  int64_t heap, resident; /* bytes in use; bytes of memory */
  int descriptors;
  long requests;
} state;

static int64_t resident(void) {
  long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file == NULL) return 0;
  if (fscanf(file, "%*d %ld", &pages) != 1) pages = 0;
  fclose(file);
  return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static state look(void) {
  state now = {heap(), 0, descriptors(), LOAD(seen.futures)};
  now.resident = resident(); /* after heap(), which gives back what is free */
  return now;
}

static void report(int64_t start, state now) {
  printf("soak: %4" PRId64 " s: %ld requests: %ld succeeded, %ld failed, %ld aborted, %ld cancelled; %ld callbacks, %ld "
         "drops; %ld of %ld spoilt, %ld workers killed, %ld broken; %" PRId64 " bytes in use, %" PRId64
         " KiB resident, %d descriptors, %d threads, %d children\n",
         (now_ms() - start) / 1000, seen.futures, seen.succeeded, seen.failed, seen.aborted, seen.cancelled,
         seen.callbacks, seen.drops, seen.spoilt, seen.spoilt + seen.unspoilt, seen.kills, seen.broken, now.heap,
         now.resident / 1024, now.descriptors, threads(), children());
  fflush(stdout);
}

/* A leak of one future in a thousand is half a byte or more for each request; what the allocator, the locks and the
   threads keep does not grow with the requests. */
enum { KEPT_HEAP = 48 * 1024, KEPT_RESIDENT = 4 * 1024 * 1024, REQUESTS_A_BYTE = 50 };

static void ask_for_large(void) {
  rf_session *session = new_session_workers(1);
  rf_future *future = get(session, http("/bytes/60000"), NULL);
  size_t length = 0;
  const uint8_t *content = rf_response_content(RESPONSE(future), &length);
  CHECK_INT(sizeof large, length);
  memcpy(large, content, sizeof large);
  rf_future_free(future);
  rf_session_free(session);
}

static void soak(int64_t seconds, long requests) {
  int64_t start = now_ms(), warm_at = start + seconds * 1000 / 6, end = start + seconds * 1000, line = start + 60000;
  state warm = {0, 0, 0, 0}, now;
  bool is_warm = false;
  int64_t allowed = 0;
  int again = seconds < 60 ? 6 : 0;
  do {
    run_round(requests);
    now = look();
    CHECK_INT(0, children());
    if (!is_warm && now_ms() >= warm_at) {
      warm = now;
      is_warm = true;
      printf("soak: warm, compared with the end\n");
      report(start, now);
    }
    if (now_ms() >= line) {
      report(start, now);
      line = now_ms() + 60000;
    }
    allowed = (now.requests - warm.requests) / REQUESTS_A_BYTE;
    /* In a short one the most threads that there ever were at once, with which what the locks keep grows, may come after
       what it is compared with: what leaks grows in every round. */
    if (now_ms() >= end && now.heap - warm.heap > KEPT_HEAP + allowed && again > 0) {
      again--;
      warm = now;
    }
    /* Something has to come after what it is compared with. */
  } while (now_ms() < end || now.requests < warm.requests + requests / 2);
  report(start, now);
  printf("soak: of %ld requests %" PRId64 " bytes are left, %" PRId64 " KiB of memory; %" PRId64 " + %d bytes are allowed\n",
         now.requests - warm.requests, now.heap - warm.heap, (now.resident - warm.resident) / 1024, allowed, KEPT_HEAP);
  fflush(stdout);
  CHECK_INT(warm.descriptors, now.descriptors);
  CHECK_RANGE(-100000000, KEPT_HEAP + allowed, now.heap - warm.heap);
  /* Checkers keep what was freed, and more of it the longer they run. */
  if (now.heap != 0) CHECK_RANGE(INT64_MIN, KEPT_RESIDENT + allowed, now.resident - warm.resident);
  /* The relays and the killer did what they are for. */
  CHECK(seen.unspoilt > 0);
  if (now.requests < 20000) return;
  CHECK(seen.spoilt > 0 && seen.kills > 0 && seen.broken > 0);
  static const char *const faults[] = {"/delay", "/reset", "/cut", "/duplicate", "/flip", "/insert"};
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
    int64_t count = ask(http("/fault-stats"), faults[i]);
    printf("%s %" PRId64 " times%s", faults[i] + 1, count, i < 5 ? ", " : "\n");
    CHECK(count > 0);
  }
}

/* Bytes that may be left by a round: not a byte for each request, nor one thread's storage for good. */
enum { KEPT = 4096 };

int main(void) {
  const char *asked = getenv("RF_REQUESTS"), *given = getenv("RF_SEED"), *seconds = getenv("RF_SOAK_SECONDS");
  soaking = seconds != NULL;
  on_loops = getenv("RF_STRESS_EVENTS") != NULL;
  long requests = asked != NULL ? atol(asked) : soaking ? 20000 : 5000;
#ifdef __GLIBC__
  mallopt(M_ARENA_MAX, 4); /* each takes memory for itself, and they would go on coming in the second round */
#endif
  seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)now_ms() * 1000003u + (uint64_t)getpid();
  printf("stress: RF_SEED=%" PRIu64 " RF_REQUESTS=%ld\n", seed, requests);
  fflush(stdout);
  for (size_t i = 0; i < KINDS_COUNT; i++) snprintf(urls[i], sizeof urls[i], "%s%s", env(KINDS[i].base), KINDS[i].path);
  snprintf(tls_names, sizeof tls_names, "%s/hello", env("RF_TEST_HTTPS_NAME"));

  ask_for_large();
  if (soaking) {
    soak(atoll(seconds), requests);
    return finish();
  }

  /* The first round makes what is made once and kept. What the locks keep grows with the most threads that there ever
     were at once, whenever that was; what leaks grows in every round. */
  run_round(2000);
  int descriptors_before = descriptors();
  int64_t grown;
  int rounds = 0;
  do {
    int64_t heap_before = heap(), start = now_ms();
    memset(&seen, 0, sizeof seen);
    run_round(requests);
    grown = heap() - heap_before;
    printf("stress: %ld futures, %ld succeeded, %ld failed, %ld aborted, %ld cancelled; %ld callbacks; %ld sessions; "
           "%ld files, %ld times locked; %" PRId64 " bytes left; %" PRId64 " ms\n",
           seen.futures, seen.succeeded, seen.failed, seen.aborted, seen.cancelled, seen.callbacks, seen.sessions,
           seen.written, seen.locked, grown, now_ms() - start);
    CHECK_INT(descriptors_before, descriptors());
    if (requests >= 5000) CHECK(seen.written > 0);
  } while (grown > KEPT && ++rounds < 6);
  CHECK_RANGE(-1000000, KEPT, grown);
  return 0;
}
