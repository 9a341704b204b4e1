/* Connections that rest: they are closed in time and by themselves, by a thread that sleeps until then, and not before. */
#include "wire.h"

static rf_session *session_with(int64_t idle_ms) {
  rf_config *config = NULL;
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_max_workers(config, 2));
  CHECK_OK(rf_config_set_idle_timeout(config, idle_ms));
  return session_of(config);
}

static void fetch(rf_session *session, const char *url) {
  rf_future *future = get(session, url, NULL);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
}

static void answers(wire_connection *connection, void *unused) {
  (void)unused;
  while (wire_next(connection)) wire_answer(connection, "200 OK", "", "here");
}

/* How often the timer's thread has gone to sleep; -1: there is no such thread. */
static long sleeps_of_timer(void) {
  DIR *tasks = opendir("/proc/self/task");
  struct dirent *entry;
  long sleeps = -1;
  while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
    char line[256] = "";
    FILE *file = fopen(text("/proc/self/task/%s/status", entry->d_name), "r");
    bool is_timer = false;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
      if (strcmp(line, "Name:\trf-timer\n") == 0) is_timer = true;
      if (is_timer) sscanf(line, "voluntary_ctxt_switches: %ld", &sleeps);
    }
    if (file != NULL) fclose(file);
  }
  if (tasks != NULL) closedir(tasks);
  return sleeps;
}

static bool can_see_threads(void) { return access("/proc/self/task", R_OK) == 0; }

static void closed_by_themselves(void) {
  enum { IDLE = 300 };
  wire *servers[2] = {wire_start(answers, NULL), wire_start(answers, NULL)};
  rf_session *session = session_with(IDLE);
  int64_t used[2];
  for (int i = 0; i < 2; i++) {
    used[i] = now_ms();
    fetch(session, wire_url(servers[i], "/"));
    if (i == 0) sleep_ms(150);
  }
  for (int i = 0; i < 2; i++) {
    EVENTUALLY(wire_open(servers[i]) == 0);
    CHECK_RANGE(IDLE, IDLE + 400 * patience(), now_ms() - used[i]);
  }
  /* The thread has gone with the last of them; the next connection has one again. */
  if (can_see_threads()) EVENTUALLY(sleeps_of_timer() < 0);
  fetch(session, wire_url(servers[0], "/"));
  CHECK_INT(2, wire_connections(servers[0]));
  EVENTUALLY(wire_open(servers[0]) == 0);
  rf_session_free(session);
  wire_stop(servers[0]);
  wire_stop(servers[1]);
}

/* Each use begins the time anew, and what is in use does not rest. */
static void not_closed_before(void) {
  int64_t idle = 2000 * patience();
  wire *server = wire_start(answers, NULL);
  rf_session *session = session_with(idle);
  for (int i = 0; i < 3; i++) {
    if (i > 0) sleep_ms(idle * 6 / 10);
    fetch(session, wire_url(server, "/"));
  }
  CHECK_INT(1, wire_connections(server));
  rf_session_free(session);

  session = session_with(100);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_stream(options, true));
  rf_future *future = get(session, wire_url(server, "/"), options);
  const rf_response *response = RESPONSE(future);
  sleep_ms(300);
  CHECK_INT(1, wire_open(server));
  CHECK_STR("here", rf_response_text(response, NULL));
  EVENTUALLY(wire_open(server) == 0);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
  wire_stop(server);
}

/* While connections rest for long nobody wakes up, and for ever there is nobody to. */
static void asleep(void) {
  if (!can_see_threads()) return;
  wire *server = wire_start(answers, NULL);
  rf_session *for_ever = session_with(RF_FOREVER), *by_default = new_session();
  fetch(for_ever, wire_url(server, "/"));
  CHECK_INT(-1, sleeps_of_timer());
  fetch(by_default, wire_url(server, "/"));
  EVENTUALLY(sleeps_of_timer() > 0);
  sleep_ms(100);
  long before = sleeps_of_timer();
  for (int i = 0; i < 5; i++) {
    sleep_ms(50);
    fetch(by_default, wire_url(server, "/"));
  }
  CHECK_INT(before, sleeps_of_timer());
  CHECK_INT(2, wire_open(server));
  /* Closing the session ends it at once. */
  rf_session_free(by_default);
  EVENTUALLY(sleeps_of_timer() < 0);
  EVENTUALLY(wire_open(server) == 1);
  rf_session_free(for_ever);
  wire_stop(server);
}

/* Many threads put connections back while others are closed: whatever the order, none stays for long. */
static void *fetch_often(void *argument) {
  void **both = argument;
  for (int i = 0; i < 100; i++) fetch(both[0], wire_url(both[1], "/"));
  return NULL;
}

static void many_at_once(void) {
  for (int round = 0; round < 3; round++) {
    wire *server = wire_start(answers, NULL);
    rf_session *session = session_with(1);
    void *both[] = {session, server};
    pthread_t threads_of[4];
    for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads_of[i], NULL, fetch_often, both) == 0);
    for (int i = 0; i < 4; i++) CHECK(pthread_join(threads_of[i], NULL) == 0);
    EVENTUALLY(wire_open(server) == 0);
    if (can_see_threads()) EVENTUALLY(sleeps_of_timer() < 0);
    rf_session_free(session);
    wire_stop(server);
  }
}

/* An adapter of its own has a time of its own; a session with a base has none. */
static void adapters(void) {
  wire *server = wire_start(answers, NULL);
  rf_config *config = NULL;
  rf_adapter *adapter = NULL;
  rf_session *session = session_with(RF_FOREVER), *above = NULL;
  fetch(session, wire_url(server, "/"));
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_idle_timeout(config, 100));
  CHECK_OK(rf_adapter_new_http(config, &adapter));
  CHECK_OK(rf_session_mount(session, "http://", adapter));
  fetch(session, wire_url(server, "/"));
  CHECK_INT(2, wire_connections(server));
  EVENTUALLY(wire_open(server) == 1);
  rf_adapter_free(adapter);
  CHECK_OK(rf_config_set_base_session(config, session));
  BAD_OUT(above, rf_session_new(config, &above));
  rf_config_free(config);
  rf_session_free(session);
  EVENTUALLY(wire_open(server) == 0);
  wire_stop(server);
}

/* Where the requests of others are carried out. */
static void in_worker_processes(void) {
  wire *server = wire_start(answers, NULL);
  rf_config *config = NULL;
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_processes(1, &executor));
  CHECK_OK(rf_config_new(&config));
  CHECK_OK(rf_config_set_executor(config, executor));
  CHECK_OK(rf_config_set_idle_timeout(config, 200));
  rf_session *session = session_of(config);
  fetch(session, wire_url(server, "/"));
  EVENTUALLY(wire_open(server) == 0);
  fetch(session, wire_url(server, "/"));
  CHECK_INT(2, wire_connections(server));
  rf_session_free(session);
  CHECK_OK(rf_executor_shutdown(executor, true, false));
  rf_executor_free(executor);
  wire_stop(server);
}

int main(void) {
  closed_by_themselves();
  not_closed_before();
  asleep();
  many_at_once();
  adapters();
  in_worker_processes();
  return finish();
}
