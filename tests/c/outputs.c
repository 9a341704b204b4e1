/* Outputs that are added to, and descriptors: what is written where, and what is left after a failure. */
#include "elsewhere.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <termios.h>

static rf_session *session;

static const char *new_path(void) { return text("%s/%s", env("RF_TEST_DIR"), unique("outputs")); }

static void put(const char *path, const char *content) {
  FILE *file = fopen(path, "w");
  CHECK(file != NULL && fputs(content, file) >= 0 && fclose(file) == 0);
}

static const char *content_of(const char *path) {
  static char content[4096];
  FILE *file = fopen(path, "r");
  CHECK(file != NULL);
  content[fread(content, 1, sizeof content - 1, file)] = '\0';
  fclose(file);
  return content;
}

static rf_options *appending(const char *path) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_output_file(options, path));
  CHECK_OK(rf_options_set_output_mode(options, RF_OUTPUT_APPEND));
  return options;
}

/* Sends a part of what it has announced, and then waits for a test to look. */
static int has_looked;
static void cut(wire_connection *connection, void *unused) {
  (void)unused;
  if (!wire_next(connection)) return;
  wire_say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  EVENTUALLY(LOAD(has_looked) > 0);
}

static void added(rf_session *session) {
  const char *path = new_path();
  rf_options *options = appending(path);
  for (int i = 0; i < 2; i++) {
    rf_future *future = get(session, http("/hello"), options);
    CHECK_STR("", rf_response_text(RESPONSE(future), NULL));
    rf_future_free(future);
  }
  CHECK_STR("Hello, world!Hello, world!", content_of(path));
  /* What has no body leaves it as it was. */
  rf_future *future = request(session, "HEAD", http("/hello"), options);
  RESPONSE(future);
  rf_future_free(future);
  CHECK_STR("Hello, world!Hello, world!", content_of(path));
  CHECK_OK(rf_options_set_output_mode(options, RF_OUTPUT_REPLACE));
  future = get(session, http("/hello"), options);
  RESPONSE(future);
  rf_future_free(future);
  CHECK_STR("Hello, world!", content_of(path));
  CHECK_INT(0, unlink(path));

  /* A link is followed, its file's mode stays. */
  const char *link = new_path();
  struct stat about;
  put(path, "old ");
  CHECK_INT(0, chmod(path, 0640));
  CHECK_INT(0, symlink(path, link));
  rf_options_free(options);
  options = appending(link);
  future = get(session, http("/hello"), options);
  RESPONSE(future);
  rf_future_free(future);
  CHECK_STR("old Hello, world!", content_of(path));
  CHECK_INT(0, lstat(link, &about));
  CHECK(S_ISLNK(about.st_mode));
  CHECK_INT(0, stat(path, &about));
  CHECK_INT(0640, about.st_mode & 07777);
  CHECK_INT(0, unlink(link));
  CHECK_INT(0, unlink(path));
  rf_options_free(options);
}

/* After a failure the file is as it was, or there is none. */
static void after_a_failure(void) {
  for (int how = 0; how < 3; how++) {
    has_looked = 0;
    wire *server = wire_start(cut, NULL);
    const char *path = new_path();
    if (how > 0) put(path, "old");
    rf_options *options = appending(path);
    rf_future *future = get(session, wire_url(server, "/"), options);
    EVENTUALLY(access(path, F_OK) == 0 && strstr(content_of(path), "half") != NULL);
    if (how == 2) {
      /* Somebody else has written behind it. */
      FILE *file = fopen(path, "a");
      CHECK(file != NULL && fputs("other", file) >= 0 && fclose(file) == 0);
    }
    INCREMENT(has_looked);
    const rf_error *error = NULL;
    CHECK_OK(rf_future_exception(future, LONG_MS, &error));
    CHECK(error != NULL);
    if (how == 0) CHECK(access(path, F_OK) != 0 && errno == ENOENT);
    if (how == 1) CHECK_STR("old", content_of(path));
    if (how == 2) CHECK_STR("oldhalfother", content_of(path));
    if (how > 0) CHECK_INT(0, unlink(path));
    rf_future_free(future);
    rf_options_free(options);
    wire_stop(server);
  }
}

static void wrong_modes(void) {
  rf_options *options = new_options();
  static const int wrong[] = {-1, 3};
  for (size_t i = 0; i < 2; i++) CHECK_STATUS(RF_E_INVALID, rf_options_set_output_mode(options, wrong[i]));
  CHECK_STATUS(RF_E_INVALID, rf_options_set_output_fd(options, -1));
  /* Without a file a mode says nothing; neither belongs to a session. */
  CHECK_OK(rf_options_set_output_mode(options, RF_OUTPUT_APPEND));
  rf_future *future = get(session, http("/hello"), options);
  CHECK_STR("Hello, world!", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  CHECK_STATUS(RF_E_INVALID, rf_session_update(session, options));
  rf_options_free(options);
  options = new_options();
  CHECK_OK(rf_options_set_output_fd(options, 1));
  CHECK_STATUS(RF_E_INVALID, rf_session_update(session, options));
  rf_options_free(options);

  options = appending(text("%s/no/such/file", env("RF_TEST_DIR")));
  future = get(session, http("/hello"), options);
  CHECK_HAS("does not exist; create it first", rf_error_message(ERROR_OF(RF_ERROR_REQUEST, future)));
  rf_future_free(future);
  rf_options_free(options);
  options = appending(env("RF_TEST_DIR"));
  future = get(session, http("/hello"), options);
  CHECK_INT(EISDIR, rf_error_os_code(ERROR_OF(RF_ERROR_REQUEST, future)));
  rf_future_free(future);
  rf_options_free(options);
}

/* ---- descriptors ---- */

static rf_future *get_into(int fd, const char *url, int64_t deadline_ms) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_output_fd(options, fd));
  CHECK_OK(rf_options_set_deadline(options, deadline_ms));
  rf_future *future = get(session, url, options);
  rf_options_free(options);
  return future;
}

static void into_a_file(void) {
  const char *path = new_path();
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  CHECK(fd >= 0 && write(fd, "0123456789abcdefghij", 20) == 20 && lseek(fd, 5, SEEK_SET) == 5);
  rf_future *future = get_into(fd, http("/hello"), LONG_MS);
  CHECK_STR("", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  /* It was written from where it stood, stands behind that now, and is still open. */
  CHECK_INT(18, lseek(fd, 0, SEEK_CUR));
  CHECK_STR("01234Hello, world!ij", content_of(path));
  CHECK_INT(0, close(fd));
  /* One that cannot be written to. */
  fd = open(path, O_RDONLY | O_CLOEXEC);
  future = get_into(fd, http("/hello"), LONG_MS);
  const rf_error *error = ERROR_OF(RF_ERROR_REQUEST, future);
  CHECK_INT(EBADF, rf_error_os_code(error));
  CHECK_HAS(text("Cannot write the output to descriptor %d: ", fd), rf_error_message(error));
  rf_future_free(future);
  CHECK_INT(0, close(fd));
  future = get_into(fd, http("/hello"), LONG_MS);
  CHECK_INT(EBADF, rf_error_os_code(ERROR_OF(RF_ERROR_REQUEST, future)));
  rf_future_free(future);
  CHECK_INT(0, unlink(path));
}

typedef struct reader {
  int fd, pause_ms;
  size_t length;
} reader;

static void *read_all(void *user_data) {
  reader *reader = user_data;
  char buffer[3000];
  ssize_t count;
  while ((count = read(reader->fd, buffer, sizeof buffer)) > 0) {
    reader->length += (size_t)count;
    if (reader->pause_ms > 0 && reader->length < 100000) sleep_ms(reader->pause_ms);
  }
  return NULL;
}

/* Where what is written to `fds[1]` is read from `fds[0]`. */
enum { PIPE, SOCKET, TERMINAL, KINDS };

static void pair_of(int fds[2], int kind, bool is_blocking) {
  if (kind == SOCKET) CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
  else if (kind == PIPE) CHECK_INT(0, pipe2(fds, O_CLOEXEC));
  else {
    struct termios modes;
    CHECK((fds[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) >= 0 && grantpt(fds[0]) == 0 && unlockpt(fds[0]) == 0);
    CHECK((fds[1] = open(ptsname(fds[0]), O_RDWR | O_NOCTTY | O_CLOEXEC)) >= 0);
    CHECK_INT(0, tcgetattr(fds[1], &modes));
    modes.c_oflag &= ~(tcflag_t)OPOST;
    CHECK_INT(0, tcsetattr(fds[1], TCSANOW, &modes));
  }
  if (!is_blocking) CHECK_INT(0, fcntl(fds[1], F_SETFL, fcntl(fds[1], F_GETFL) | O_NONBLOCK));
}

/* All of it arrives, and the mode stays. */
static void into_each_kind(int kind, bool is_blocking) {
  int fds[2];
  pthread_t thread;
  pair_of(fds, kind, is_blocking);
  reader reader = {fds[0], 2, 0};
  CHECK_INT(0, pthread_create(&thread, NULL, read_all, &reader));
  rf_future *future = get_into(fds[1], http("/bytes/500000"), LONG_MS);
  RESPONSE(future);
  CHECK_INT(is_blocking ? 0 : O_NONBLOCK, fcntl(fds[1], F_GETFL) & O_NONBLOCK);
  rf_future_free(future);
  CHECK_INT(0, close(fds[1]));
  CHECK_INT(0, pthread_join(thread, NULL));
  CHECK_INT(500000, reader.length);
  CHECK_INT(0, close(fds[0]));
}

/* Nobody reads: a deadline and an abort end it; a reader that has gone away does as well, without a signal. */
static void nobody_reads(int kind, bool is_blocking) {
  int fds[2];
  pair_of(fds, kind, is_blocking);
  int64_t start = now_ms();
  rf_future *future = get_into(fds[1], http("/bytes/5000000"), 400);
  ERROR_OF(RF_ERROR_TIMEOUT, future);
  CHECK_RANGE(350, 400 + 2000 * patience(), now_ms() - start);
  rf_future_free(future);

  future = get_into(fds[1], http("/bytes/5000000"), LONG_MS);
  EVENTUALLY(rf_future_running(future));
  sleep_ms(100);
  start = now_ms();
  CHECK(rf_future_abort(future));
  ERROR_OF(RF_ERROR_ABORTED, future);
  CHECK_RANGE(0, 2000 * patience(), now_ms() - start);
  rf_future_free(future);

  CHECK_INT(0, close(fds[0]));
  future = get_into(fds[1], http("/bytes/5000000"), LONG_MS);
  CHECK_INT(kind == TERMINAL ? EIO : EPIPE, rf_error_os_code(ERROR_OF(RF_ERROR_REQUEST, future)));
  rf_future_free(future);
  CHECK_INT(0, close(fds[1]));
}

/* The last output set counts. */
static rf_status never(const uint8_t *data, size_t length, void *user_data) {
  (void)data, (void)length, (void)user_data;
  FAIL("called");
  return RF_OK;
}

static void in_turn(void) {
  const char *path = new_path();
  int fds[2];
  char buffer[32] = "";
  pair_of(fds, PIPE, true);
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_output(options, never, NULL, NULL));
  CHECK_OK(rf_options_set_output_file(options, path));
  CHECK_OK(rf_options_set_output_fd(options, fds[1]));
  rf_future *future = get(session, http("/hello"), options);
  RESPONSE(future);
  CHECK(read(fds[0], buffer, sizeof buffer) == 13);
  CHECK_STR("Hello, world!", buffer);
  CHECK(access(path, F_OK) != 0);
  rf_future_free(future);
  rf_options_free(options);
  /* It is a number of this process. */
  rf_session *by_bytes = session_run_by(run_by_bytes);
  options = new_options();
  CHECK_OK(rf_options_set_output_fd(options, fds[1]));
  future = get(by_bytes, http("/hello"), options);
  CHECK_HAS("descriptor", rf_error_message(ERROR_OF(RF_ERROR_NOT_TRANSFERABLE, future)));
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(by_bytes);
  CHECK_INT(0, close(fds[0]));
  CHECK_INT(0, close(fds[1]));
}

int main(void) {
  places places = new_places();
  session = places.at[HERE];
  added(session);
  added(places.at[BY_BYTES]);
  added(places.at[IN_PROCESSES]);
  after_a_failure();
  wrong_modes();
  into_a_file();
  for (int kind = 0; kind < KINDS; kind++) {
    for (int is_blocking = 0; is_blocking < 2; is_blocking++) {
      into_each_kind(kind, is_blocking);
      nobody_reads(kind, is_blocking);
    }
  }
  in_turn();
  end_places(places);
  return finish();
}
