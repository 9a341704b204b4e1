/* Worker processes: a request runs there as it would here, and hooks are found there by their names. */
#include "outcomes.h"
#include "wire.h"

static void every_request_ends_as_it_would_here(void) {
  pool pool = new_pool(1);
  compare_outcomes(pool.session);
  end_pool(pool);
}

static void requests_run_in_other_processes(void) {
  pool pool = new_pool(2);
  rf_options *options = options_with_hook("tell_process");
  CHECK_INT(2, rf_executor_max_workers(pool.executor));
  CHECK_INT(0, children()); /* none before it is needed */
  rf_future *future = get(pool.session, http("/get"), options);
  long first = process_of(RESPONSE(future));
  CHECK(first != (long)getpid());
  CHECK_INT(1, children());
  rf_future_free(future);
  /* The same again: it is still there. */
  future = get(pool.session, http("/get"), options);
  CHECK_INT(first, process_of(RESPONSE(future)));
  rf_future_free(future);
  rf_options_free(options);
  end_pool(pool);
}

/* Those that this process has open and would let any program inherit, a listening socket among them. */
static void workers_inherit_no_descriptors(void) {
  struct sockaddr_in address;
  socklen_t length = sizeof address;
  rf_options *options = options_with_hook("count_descriptors");
  char counts[2][16];
  for (int more = 0; more < 2; more++) {
    int listening = socket(AF_INET, SOCK_STREAM, 0), others[100];
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_INT(0, bind(listening, (struct sockaddr *)&address, sizeof address));
    CHECK_INT(0, getsockname(listening, (struct sockaddr *)&address, &length));
    CHECK_INT(0, listen(listening, 1));
    for (int i = 0; i < 100; i++) others[i] = more ? dup(listening) : -1;
    pool pool = new_pool(1);
    rf_future *future = get(pool.session, http("/get"), options);
    snprintf(counts[more], sizeof counts[more], "%s", extra(RESPONSE(future), "descriptors"));
    rf_future_free(future);
    for (int i = 0; i < 100; i++) {
      if (more) close(others[i]);
    }
    close(listening);
    /* The worker lives, and the port is free. */
    CHECK_INT(1, children());
    listening = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_INT(0, bind(listening, (struct sockaddr *)&address, sizeof address));
    CHECK_INT(0, listen(listening, 1));
    close(listening);
    end_pool(pool);
  }
  CHECK_STR(counts[0], counts[1]);
  CHECK_RANGE(1, 8, atol(counts[0]));
  rf_options_free(options);
}

/* A path is the same file there; the message says which. */
static void relative_paths_are_those_of_this_process(void) {
  pool pool = new_pool(1);
  rf_options *options = new_options();
  char folder[512];
  CHECK(getcwd(folder, sizeof folder) != NULL);
  CHECK_OK(rf_options_set_body_file(options, "there/is/no/such/file"));
  rf_future *future = request(pool.session, "POST", http("/post"), options);
  const rf_error *error = ERROR_OF(RF_ERROR_REQUEST, future);
  CHECK_HAS(text("%s/there/is/no/such/file", folder), rf_error_message(error));
  CHECK(rf_error_os_code(error) != 0);
  rf_future_free(future);

  /* Also of one that has gone elsewhere since the worker started. */
  CHECK_INT(0, chdir("/"));
  future = request(pool.session, "POST", http("/post"), options);
  CHECK_HAS(" /there/is/no/such/file", rf_error_message(ERROR_OF(RF_ERROR_REQUEST, future)));
  rf_future_free(future);
  CHECK_INT(0, chdir(folder));
  rf_options_free(options);
  end_pool(pool);
}

/* The environment is that of the moment when the request was submitted, not that of the worker. */
static void the_environment_travels(void) {
  pool pool = new_pool(1);
  char name[] = "netrc-XXXXXX";
  rf_future *future = get(pool.session, http("/basic-auth/u/p"), NULL);
  CHECK_INT(401, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  int file = mkstemp(name);
  const char *line = "machine 127.0.0.1 login u password p\n";
  CHECK_INT(strlen(line), write(file, line, strlen(line)));
  close(file);
  CHECK_INT(0, setenv("NETRC", name, 1));
  future = get(pool.session, http("/basic-auth/u/p"), NULL);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
  CHECK_INT(0, unsetenv("NETRC"));
  unlink(name);
  end_pool(pool);
}

/* What is left of the deadline counts there. */
static void the_deadline_travels(void) {
  pool pool = new_pool(1);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_deadline(options, 500 * patience()));
  int64_t start = now_ms();
  rf_future *future = get(pool.session, raw("/silent"), options);
  CHECK_STR(raw("/silent"), rf_error_url(ERROR_OF(RF_ERROR_TIMEOUT, future)));
  CHECK_RANGE(500, 5000 * patience(), now_ms() - start);
  rf_future_free(future);
  rf_options_free(options);
  end_pool(pool);
}

static void defaults_and_cookies_travel(void) {
  pool pool = new_pool(2);
  rf_options *defaults = options_with_hook("tell_process"), *options = new_options();
  CHECK_OK(rf_options_set_header(defaults, "X-Default", "here"));
  CHECK_OK(rf_options_set_header(defaults, "X-Both", "default"));
  CHECK_OK(rf_options_set_auth_basic(defaults, "user", "passwd"));
  CHECK_OK(rf_options_add_param(defaults, "p", "default"));
  CHECK_OK(rf_session_update(pool.session, defaults));
  rf_options_free(defaults);
  CHECK_OK(rf_session_set_cookie(pool.session, http("/"), "mine=1; Path=/"));
  CHECK_OK(rf_options_set_header(options, "X-Both", "request"));
  rf_future *future = get(pool.session, http("/get"), options);
  const rf_response *response = RESPONSE(future);
  CHECK(process_of(response) != (long)getpid());
  CHECK_STR("here", json_string(response, "/headers/X-Default"));
  CHECK_STR("request", json_string(response, "/headers/X-Both"));
  CHECK_STR("mine=1", json_string(response, "/headers/Cookie"));
  CHECK_STR("Basic dXNlcjpwYXNzd2Q=", json_string(response, "/headers/Authorization"));
  CHECK_STR("default", json_string(response, "/args/p"));
  rf_future_free(future);

  /* What a server sets is there for every other worker, and what it takes away is gone. */
  future = get(pool.session, http("/cookies/set?theirs=2"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  rf_future *both[2];
  const char *gate = unique("cookies");
  for (int i = 0; i < 2; i++) both[i] = get(pool.session, text("%s?a=%d", gate_url(gate), i), NULL);
  /* One that fails says why, and does not leave the other to wait for it. */
  EVENTUALLY(rf_future_done(both[0]) || rf_future_done(both[1]) ||
             ask(http(text("/gate-waiting/%s", gate)), "/waiting") == 2);
  gate_open(gate);
  for (int i = 0; i < 2; i++) {
    CHECK_HAS("theirs=2", rf_response_request_header(RESPONSE(both[i]), "Cookie"));
    rf_future_free(both[i]);
  }
  future = get(pool.session, http("/cookies/delete?mine&theirs"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  future = get(pool.session, http("/get"), NULL);
  CHECK_NULL(rf_response_request_header(RESPONSE(future), "Cookie"));
  rf_future_free(future);
  rf_options_free(options);
  end_pool(pool);
}

/* Two sessions of one pool have nothing in common but the workers. */
static void sessions_stay_apart(void) {
  pool pool = new_pool(1);
  rf_session *other = session_on(pool.executor);
  rf_future *future = get(pool.session, http("/cookies/set?first=1"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  future = get(other, http("/cookies"), NULL);
  CHECK_NULL(json_string(RESPONSE(future), "/cookies/first"));
  rf_future_free(future);
  rf_session_free(other);
  end_pool(pool);
}

/* ---- hooks ---- */

static void background(void) {
  pool pool = new_pool(1);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_background_callback(options, background_hook("in_background"), NULL, NULL));
  rf_future *future = get(pool.session, http("/redirect/1"), options);
  const char *process = extra(RESPONSE(future), "background");
  CHECK(process != NULL && atol(process) != (long)getpid());
  rf_future_free(future);
  rf_options_free(options);
  end_pool(pool);
}

static rf_status inside_the_program(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call;
  *(int *)user_data += 1;
  return rf_response_set_extra(response, "inside", "", 0);
}

static rf_status in_background_here(rf_hook_call *call, rf_session *session, const rf_response *response,
                                    void *user_data) {
  (void)call, (void)session, (void)response, (void)user_data;
  return RF_OK;
}

static int64_t read_nothing(uint8_t *buffer, size_t capacity, void *user_data) {
  (void)buffer, (void)capacity, (void)user_data;
  return 0;
}
static rf_status write_nothing(const uint8_t *data, size_t length, void *user_data) {
  (void)data, (void)length, (void)user_data;
  return RF_OK;
}
static rf_status no_progress(int64_t sent, int64_t send_total, int64_t received, int64_t receive_total,
                             void *user_data) {
  (void)sent, (void)send_total, (void)received, (void)receive_total, (void)user_data;
  return RF_OK;
}

static rf_status prepare_inside_the_program(rf_prepared *prepared, void *user_data) {
  (void)prepared, (void)user_data;
  return RF_OK;
}

static void check_stays(rf_session *session, rf_options *options, const char *what, const char *why) {
  rf_future *future = request(session, "POST", http("/post"), options);
  const rf_error *error = ERROR_OF(RF_ERROR_NOT_TRANSFERABLE, future);
  CHECK_HAS(what, rf_error_message(error));
  CHECK_HAS(why, rf_error_message(error));
  CHECK_HAS("Worker processes", rf_error_message(error));
  CHECK_HAS("README", rf_error_message(error));
  CHECK_STR(http("/post"), rf_error_url(error));
  rf_future_free(future);
  rf_options_free(options);
}

static void what_has_no_name_stays_here(void) {
  pool pool = new_pool(1);
  rf_session *session = pool.session;
  int called = 0;
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, inside_the_program, &called, NULL));
  check_stays(session, options, "Hook 1", "inside the executable");

  options = options_with_hook("tell_process");
  void *address = hook_symbol("hook_without_name");
  rf_hook_fn (*hook_without_name)(void);
  memcpy(&hook_without_name, &address, sizeof address);
  CHECK_OK(rf_options_add_hook(options, hook_without_name(), NULL, NULL));
  check_stays(session, options, "Hook 2", "does not export it");

  options = new_options();
  CHECK_OK(rf_options_add_hook(options, hook("keep_bytes"), &called, NULL));
  check_stays(session, options, "Hook 1", "user_data of keep_bytes");

  options = new_options();
  CHECK_OK(rf_options_add_request_hook(options, prepare_hook("sign"), NULL, NULL));
  CHECK_OK(rf_options_add_request_hook(options, prepare_hook("sign"), &called, NULL));
  check_stays(session, options, "Request hook 2", "user_data of sign");

  options = new_options();
  CHECK_OK(rf_options_set_auth_custom(options, prepare_hook("send_token"), challenge_hook("again_if_401"), false, &called,
                                      NULL));
  check_stays(session, options, "The authentication", "user_data of send_token");

  options = new_options();
  CHECK_OK(rf_options_set_auth_custom(options, prepare_inside_the_program, NULL, false, NULL, NULL));
  check_stays(session, options, "The authentication", "inside the executable");

  options = new_options();
  CHECK_OK(rf_options_set_background_callback(options, in_background_here, NULL, NULL));
  check_stays(session, options, "The background callback", "inside the executable");

  options = new_options();
  CHECK_OK(rf_options_set_body_reader(options, read_nothing, NULL, -1, NULL, NULL));
  check_stays(session, options, "The reader of the request body", "a function");

  options = new_options();
  CHECK_OK(rf_options_set_output(options, write_nothing, NULL, NULL));
  check_stays(session, options, "The output", "a function");

  options = new_options();
  CHECK_OK(rf_options_set_progress(options, no_progress, NULL, NULL));
  check_stays(session, options, "The progress function", "a function");

  /* The same as a default of the session. */
  options = new_options();
  CHECK_OK(rf_options_add_hook(options, inside_the_program, &called, NULL));
  CHECK_OK(rf_session_update(session, options));
  rf_options_free(options);
  check_stays(session, new_options(), "Hook 1", "inside the executable");

  /* A request's own hooks replace them, and so it can travel. */
  options = options_with_hook("tell_process");
  rf_future *future = get(session, http("/get"), options);
  CHECK(process_of(RESPONSE(future)) != (long)getpid());
  rf_future_free(future);
  rf_options_free(options);
  CHECK_INT(0, called);
  end_pool(pool);
}

/* ---- connections ---- */

static void workers_keep_their_connections(void) {
  pool pool = new_pool(1);
  wire *server = wire_start(wire_keep, NULL);
  for (int i = 0; i < 20; i++) {
    rf_future *future = get(pool.session, wire_url(server, text("/%d", i)), NULL);
    CHECK_STR(text("/%d", i), rf_response_text(RESPONSE(future), NULL));
    rf_future_free(future);
  }
  CHECK_INT(1, wire_connections(server));
  end_pool(pool);
  EVENTUALLY(wire_open(server) == 0);
  wire_stop(server);
}

/* Each of two workers goes on with the host that it was at before, whatever the order. */
static void a_request_goes_to_a_worker_that_knows_its_host(void) {
  pool pool = new_pool(2);
  wire *servers[2] = {wire_start(wire_keep, NULL), wire_start(wire_keep, NULL)};
  rf_options *options = options_with_hook("hold_for_a_moment");
  rf_future *both[2];
  for (int i = 0; i < 2; i++) both[i] = get(pool.session, wire_url(servers[i], "/"), options);
  for (int i = 0; i < 2; i++) {
    RESPONSE(both[i]);
    rf_future_free(both[i]);
  }
  rf_options_free(options);
  CHECK_INT(2, children());
  for (int i = 0; i < 20; i++) {
    int which = i / 3 % 2;
    rf_future *future = get(pool.session, wire_url(servers[which], "/"), NULL);
    RESPONSE(future);
    rf_future_free(future);
  }
  for (int i = 0; i < 2; i++) CHECK_INT(1, wire_connections(servers[i]));
  end_pool(pool);
  for (int i = 0; i < 2; i++) wire_stop(servers[i]);
}

/* ---- what is large ---- */

/* The most memory that a process has had at once, in KiB. */
static int64_t peak(long process) {
  FILE *file = fopen(text("/proc/%ld/status", process), "r");
  char line[256];
  int64_t most = -1;
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    if (sscanf(line, "VmHWM: %" SCNd64, &most) == 1) break;
  }
  if (file != NULL) fclose(file);
  return most;
}

/* From here on the peak is counted anew; false where the system does not allow it. */
static bool forget_peak(long process) {
  FILE *file = fopen(text("/proc/%ld/clear_refs", process), "w");
  if (file == NULL) return false;
  bool worked = fputs("5", file) >= 0;
  return fclose(file) == 0 && worked;
}

static void large_bodies_are_not_there_three_times(void) {
  if (getenv("RF_TEST_SLOW") != NULL) return; /* a checker's memory is its own */
  const int64_t size = 96 * 1024; /* KiB */
  pool pool = new_pool(1);
  rf_options *options = options_with_hook("tell_process");
  rf_future *future = get(pool.session, http("/get"), options);
  long worker = process_of(RESPONSE(future));
  rf_future_free(future);
  rf_options_free(options);
  if (!forget_peak(worker) || !forget_peak((long)getpid())) {
    printf("skipped: this system does not tell how much memory a process had at once\n");
    end_pool(pool);
    return;
  }
  int64_t before = peak(worker) + peak((long)getpid());
  future = get(pool.session, http(text("/bytes/%" PRId64, size * 1024)), NULL);
  size_t length = 0;
  CHECK(rf_response_content(RESPONSE(future), &length) != NULL);
  CHECK_INT(size * 1024, length);
  rf_future_free(future);
  int64_t both = peak(worker) + peak((long)getpid()) - before;
  if (getenv("RF_TEST_VERBOSE") != NULL) fprintf(stderr, "download: %" PRId64 " KiB of %" PRId64 "\n", both, size);
  CHECK_RANGE(size / 2, size * 2, both);

  /* An upload of bytes that stay where they are: those, and what the processes share. */
  uint8_t *bytes = malloc((size_t)size * 1024);
  CHECK(bytes != NULL);
  memset(bytes, 'x', (size_t)size * 1024);
  CHECK(forget_peak(worker) && forget_peak((long)getpid()));
  before = peak(worker) + peak((long)getpid());
  options = new_options();
  CHECK_OK(rf_options_set_body_borrowed(options, bytes, (size_t)size * 1024, NULL, NULL));
  future = request(pool.session, "POST", http("/upload"), options);
  rf_options_free(options);
  int64_t arrived = 0;
  const rf_json *json = NULL;
  CHECK_OK(rf_response_json(RESPONSE(future), &json, NULL));
  CHECK_OK(rf_json_int(rf_json_get(json, "length"), &arrived));
  CHECK_INT(size * 1024, arrived);
  /* The response quotes the very bytes. */
  CHECK(rf_response_request_body(RESPONSE(future), NULL) == bytes);
  rf_future_free(future);
  both = peak(worker) + peak((long)getpid()) - before;
  if (getenv("RF_TEST_VERBOSE") != NULL) fprintf(stderr, "upload: %" PRId64 " KiB of %" PRId64 "\n", both, size);
  CHECK_RANGE(0, size * 3 / 2, both);
  end_pool(pool);
  free(bytes);
}

int main(void) {
  CHECK_INT(0, chdir(env("RF_TEST_DIR"))); /* what is written for a moment is written there */
  requests_run_in_other_processes();
  int before = descriptors();
  every_request_ends_as_it_would_here();
  workers_inherit_no_descriptors();
  relative_paths_are_those_of_this_process();
  the_environment_travels();
  the_deadline_travels();
  defaults_and_cookies_travel();
  sessions_stay_apart();
  background();
  what_has_no_name_stays_here();
  workers_keep_their_connections();
  a_request_goes_to_a_worker_that_knows_its_host();
  large_bodies_are_not_there_three_times();
  CHECK_INT(before, descriptors());
  return finish();
}
