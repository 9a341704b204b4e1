/* Output files: what is kept of a file that was there, links, devices, pipes, and failures of the disk; and pipes where the
   file of a body should be. */
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* What must end within 50 ms, on a machine that does much else. */
#define SOON (150 * patience())

/* ---- a close(2) that fails ---- */

static int failing_close; /* the error of the next close of a temporary file; 0: none fails */

/* In the place of the C library's, also for the library: really closes, and says for once that it went wrong. */
int close(int fd) {
  char link[64], path[PATH_MAX] = "";
  int saved = errno, error = 0;
  if (LOAD(failing_close) != 0) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length > 5 && strcmp(path + length - 5, ".part") == 0) {
      error = __atomic_exchange_n(&failing_close, 0, __ATOMIC_SEQ_CST);
    }
    errno = saved;
  }
  int result = (int)syscall(SYS_close, fd);
  if (error == 0) return result;
  errno = error;
  return -1;
}

/* ---- steps ---- */

static rf_session *session;
static const char *folder; /* of this test alone */

static const char *in_folder(const char *name) { return text("%s/%s", folder, name); }

static void put(const char *path, const char *content) {
  FILE *file = fopen(path, "wb");
  CHECK(file != NULL && fputs(content, file) >= 0);
  CHECK_INT(0, fclose(file));
}

static const char *content_of(const char *path) {
  static char content[1024];
  FILE *file = fopen(path, "rb");
  if (file == NULL) return NULL;
  content[fread(content, 1, sizeof content - 1, file)] = '\0';
  fclose(file);
  return content;
}

static int mode_of(const char *path) {
  struct stat status;
  if (lstat(path, &status) != 0) FAIL("no %s", path);
  return (int)status.st_mode;
}

/* How many names a directory has. */
static int names_in(const char *path) {
  /* Not by opendir: ThreadSanitizer does not see what that opens, and takes a socket whose number it gets for open. */
  struct dirent **names = NULL;
  int count = scandir(path, &names, NULL, NULL);
  if (count < 0) FAIL("cannot open %s", path);
  for (int i = 0; i < count; i++) free(names[i]);
  free(names);
  return count - 2;
}

static rf_future *fetch_to(rf_session *by, const char *path, const char *url, int64_t deadline_ms) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_output_file(options, path));
  if (deadline_ms > 0) CHECK_OK(rf_options_set_deadline(options, deadline_ms));
  rf_future *future = get(by, url, options);
  rf_options_free(options);
  return future;
}

static void fetch(const char *path) {
  rf_future *future = fetch_to(session, path, http("/hello"), 0);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  rf_future_free(future);
}

/* The request fails with this code of the system, and says of which path. */
static void fails(rf_session *by, int os_code, const char *path, const char *url) {
  rf_future *future = fetch_to(by, path, url, 0);
  const rf_error *error = ERROR_OF(RF_ERROR_REQUEST, future);
  CHECK_INT(os_code, rf_error_os_code(error));
  CHECK_HAS(path, rf_error_message(error));
  rf_future_free(future);
}

/* ---- what is kept ---- */

static void the_mode_of_a_file_that_was_there_is_kept(void) {
  static const int modes[] = {0600, 0640, 0755, 0444, 0666};
  const char *path = in_folder("mode");
  put(path, "old");
  for (size_t i = 0; i < 5; i++) {
    CHECK_INT(0, chmod(path, (mode_t)modes[i]));
    fetch(path);
    CHECK_INT(S_IFREG | modes[i], mode_of(path));
    CHECK_STR("Hello, world!", content_of(path));
  }
  CHECK_INT(0, remove(path));
  CHECK_INT(0, names_in(folder));
}

static void new_files_have_the_mode_that_open_gives_them(void) {
  const char *path = in_folder("new");
  mode_t before = umask(027);
  fetch(path);
  umask(before);
  CHECK_INT(S_IFREG | 0640, mode_of(path));
  CHECK_INT(0, remove(path));
}

static void owner_of(const char *path, unsigned user, unsigned group) {
  struct stat status;
  CHECK_INT(0, lstat(path, &status));
  CHECK_INT(user, status.st_uid);
  CHECK_INT(group, status.st_gid);
}

static void the_owner_of_a_file_that_was_there_is_kept(void) {
  const char *path = in_folder("owner");
  put(path, "old");
  if (geteuid() != 0 || chown(path, 12345, 54321) != 0) {
    printf("skipped: the owner of a file, which only root can change\n");
    CHECK_INT(0, remove(path));
    return;
  }
  CHECK_INT(0, chmod(path, 04640));
  fetch(path);
  owner_of(path, 12345, 54321);
  CHECK_INT(S_IFREG | 04640, mode_of(path));

  /* As far as the process may: for one that may not, nobody gets more rights than before. */
  CHECK_INT(0, chmod(folder, 0777));
  CHECK_INT(0, setegid(65534));
  CHECK_INT(0, seteuid(65534));
  if (access(folder, W_OK) == 0 && chmod(path, 0600) != 0) {
    fetch(path);
    owner_of(path, 65534, 65534);
    CHECK_INT(S_IFREG | 0600, mode_of(path));
    CHECK_STR("Hello, world!", content_of(path));
  } else {
    printf("skipped: files of others, which this process may change without being root\n");
  }
  CHECK_INT(0, seteuid(0));
  CHECK_INT(0, setegid(0));
  CHECK_INT(0, remove(path));
}

/* ---- links ---- */

static void begin_and_stall(wire_connection *connection, void *unused) {
  (void)unused;
  if (!wire_next(connection)) return;
  wire_say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegin");
  wire_stall(connection);
}

static void a_link_is_followed(void) {
  const char *links = in_folder("links"), *files = in_folder("files");
  CHECK_INT(0, mkdir(links, 0755));
  CHECK_INT(0, mkdir(files, 0755));
  const char *link = in_folder("links/link"), *chain = in_folder("links/chain"), *target = in_folder("files/target");
  CHECK_INT(0, symlink("../files/target", link));
  CHECK_INT(0, symlink(link, chain));

  /* One that leads to nothing creates what it names. */
  fetch(chain);
  CHECK(S_ISLNK(mode_of(link)) && S_ISLNK(mode_of(chain)) && S_ISREG(mode_of(target)));
  CHECK_STR("Hello, world!", content_of(target));

  /* One that leads to a file has that file replaced, and stays. */
  put(target, "old");
  CHECK_INT(0, chmod(target, 0600));
  fetch(chain);
  CHECK(S_ISLNK(mode_of(link)) && S_ISLNK(mode_of(chain)));
  CHECK_INT(S_IFREG | 0600, mode_of(target));
  CHECK_STR("Hello, world!", content_of(target));

  /* The temporary file lies beside the target, and is gone after a failure. */
  wire *server = wire_start(begin_and_stall, NULL);
  put(target, "old");
  rf_future *future = fetch_to(session, link, wire_url(server, "/"), 0);
  EVENTUALLY(names_in(files) == 2);
  CHECK_INT(2, names_in(links));
  CHECK(rf_future_abort(future));
  ERROR_OF(RF_ERROR_ABORTED, future);
  rf_future_free(future);
  CHECK_INT(1, names_in(files));
  CHECK_INT(2, names_in(links));
  CHECK_STR("old", content_of(target));
  wire_stop(server);

  /* One that leads to itself. */
  const char *round = in_folder("links/round");
  CHECK_INT(0, symlink("round", round));
  fails(session, ELOOP, round, http("/hello"));

  const char *const all[] = {round, chain, link, target, links, files};
  for (size_t i = 0; i < 6; i++) CHECK_INT(0, remove(all[i]));
}

/* ---- devices and pipes ---- */

static void devices_are_written_to_directly(void) {
  fetch("/dev/null");
  CHECK(S_ISCHR(mode_of("/dev/null")));
  if (access("/dev/full", W_OK) == 0) {
    fails(session, ENOSPC, "/dev/full", http("/hello"));
    CHECK(S_ISCHR(mode_of("/dev/full")));
  } else {
    printf("skipped: /dev/full, which is not there\n");
  }
}

static const char *new_pipe(void) {
  const char *path = text("%s/pipe", folder);
  CHECK_INT(0, mkfifo(path, 0600));
  return path;
}

/* Reads all that a pipe gives; at first after a moment. */
typedef struct reader {
  const char *path;
  pthread_t thread;
  size_t total;
} reader;

static void *read_pipe(void *argument) {
  reader *self = argument;
  char buffer[4096];
  ssize_t count;
  sleep_ms(100);
  int fd = open(self->path, O_RDONLY | O_CLOEXEC);
  CHECK(fd >= 0);
  sleep_ms(50); /* until it is full */
  while ((count = read(fd, buffer, sizeof buffer)) > 0) {
    for (ssize_t i = 0; i < count; i++) CHECK_INT('x', buffer[i]);
    self->total += (size_t)count;
  }
  CHECK_INT(0, count);
  close(fd);
  return NULL;
}

static char *large; /* a body of LARGE times x */
enum { LARGE = 1000000 };

static void answer_large(wire_connection *connection, void *unused) {
  (void)unused;
  while (wire_next(connection)) wire_answer(connection, "200 OK", "", large);
}

static void a_pipe_is_written_to_directly_and_its_reader_waited_for(void) {
  wire *server = wire_start(answer_large, NULL);
  reader self = {new_pipe(), 0, 0};
  CHECK_INT(0, pthread_create(&self.thread, NULL, read_pipe, &self));
  rf_future *future = fetch_to(session, self.path, wire_url(server, "/"), 0);
  CHECK_INT(200, rf_response_status_code(RESPONSE(future)));
  CHECK_INT(0, pthread_join(self.thread, NULL));
  CHECK_INT(LARGE, self.total);
  CHECK(S_ISFIFO(mode_of(self.path)));
  CHECK_INT(1, names_in(folder));
  rf_future_free(future);
  CHECK_INT(0, remove(self.path));
  wire_stop(server);
}

/* Within its deadline, until it is aborted: without a reader, and with one that does not read. */
static void waiting_for_a_pipe_ends(void) {
  wire *server = wire_start(answer_large, NULL);
  const char *path = new_pipe();
  for (int with_reader = 0; with_reader < 2; with_reader++) {
    int fd = with_reader ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
    int64_t start = now_ms();
    rf_future *future = fetch_to(session, path, wire_url(server, "/"), 300);
    ERROR_OF(RF_ERROR_TIMEOUT, future);
    CHECK_RANGE(290, 300 + SOON, now_ms() - start);
    rf_future_free(future);

    future = fetch_to(session, path, wire_url(server, "/"), 0);
    EVENTUALLY(rf_future_running(future));
    sleep_ms(100);
    CHECK(!rf_future_done(future));
    start = now_ms();
    CHECK(rf_future_abort(future));
    ERROR_OF(RF_ERROR_ABORTED, future);
    CHECK_RANGE(0, SOON, now_ms() - start);
    rf_future_free(future);
    if (fd >= 0) close(fd);
  }
  CHECK_INT(0, remove(path));
  wire_stop(server);
}

static void *leave_pipe(void *argument) {
  reader *self = argument;
  char byte;
  int fd = open(self->path, O_RDONLY | O_CLOEXEC);
  CHECK(fd >= 0);
  CHECK_INT(1, read(fd, &byte, 1));
  close(fd);
  return NULL;
}

/* In a thread whose signals are open, too: SIGPIPE would end this program. */
static void a_reader_that_goes_away_is_an_error(void) {
  wire *server = wire_start(answer_large, NULL);
  rf_session *here = session_run_by(run_here);
  sigset_t pending;
  CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
  for (int i = 0; i < 2; i++) {
    reader self = {new_pipe(), 0, 0};
    CHECK_INT(0, pthread_create(&self.thread, NULL, leave_pipe, &self));
    fails(i == 0 ? session : here, EPIPE, self.path, wire_url(server, "/"));
    CHECK_INT(0, pthread_join(self.thread, NULL));
    CHECK_INT(0, remove(self.path));
  }
  CHECK_INT(0, sigpending(&pending));
  CHECK_INT(0, sigismember(&pending, SIGPIPE));
  rf_session_free(here);
  wire_stop(server);
}

/* ---- failures ---- */

static void an_error_of_close_fails_the_future_and_leaves_the_old_file(void) {
  static const int codes[] = {EIO, EDQUOT, ENOSPC};
  const char *path = in_folder("closed");
  put(path, "old");
  for (size_t i = 0; i < 3; i++) {
    __atomic_store_n(&failing_close, codes[i], __ATOMIC_SEQ_CST);
    fails(session, codes[i], path, http("/hello"));
    CHECK_INT(0, LOAD(failing_close));
    CHECK_STR("old", content_of(path));
    CHECK_INT(1, names_in(folder));
  }
  CHECK_INT(0, remove(path));
}

/* In a thread whose signals are open, too: SIGXFSZ would end this program. */
static void a_file_that_grows_too_large_fails_the_future_and_leaves_the_old_file(void) {
  wire *server = wire_start(answer_large, NULL);
  rf_session *here = session_run_by(run_here);
  const char *path = in_folder("limited");
  struct rlimit before, limit;
  put(path, "old");
  CHECK_INT(0, getrlimit(RLIMIT_FSIZE, &before));
  limit = before;
  limit.rlim_cur = 100000;
  CHECK(signal(SIGXFSZ, SIG_DFL) != SIG_ERR);
  CHECK_INT(0, setrlimit(RLIMIT_FSIZE, &limit));
  fails(session, EFBIG, path, wire_url(server, "/"));
  fails(here, EFBIG, path, wire_url(server, "/"));
  CHECK_INT(0, setrlimit(RLIMIT_FSIZE, &before));
  sigset_t pending;
  CHECK_INT(0, sigpending(&pending));
  CHECK_INT(0, sigismember(&pending, SIGXFSZ));
  CHECK_STR("old", content_of(path));
  CHECK_INT(1, names_in(folder));
  CHECK_INT(0, remove(path));
  rf_session_free(here);
  wire_stop(server);
}

static void a_folder_or_a_missing_folder_is_named(void) {
  fails(session, EISDIR, folder, http("/hello"));
  fails(session, EISDIR, in_folder("new/"), http("/hello"));
  fails(session, ENOENT, in_folder("missing/file"), http("/hello"));
  put(in_folder("plain"), "old");
  fails(session, ENOTDIR, in_folder("plain/file"), http("/hello"));
  CHECK_INT(0, remove(in_folder("plain")));
  CHECK_INT(0, names_in(folder));
}

static void a_broken_body_leaves_the_old_file(void) {
  const char *path = in_folder("broken");
  put(path, "old");
  rf_future *future = fetch_to(session, path, raw("/close/body?declared=100&sent=10"), 0);
  const rf_error *error = NULL;
  CHECK_OK(rf_future_exception(future, LONG_MS, &error));
  CHECK(error != NULL);
  CHECK_STR("old", content_of(path));
  CHECK_INT(1, names_in(folder));
  rf_future_free(future);
  CHECK_INT(0, remove(path));
}

/* ---- bodies ---- */

static void *open_to_write(void *argument) {
  reader *self = argument;
  int fd = open(self->path, O_WRONLY | O_CLOEXEC);
  __atomic_store_n(&self->total, 1, __ATOMIC_SEQ_CST);
  close(fd);
  return NULL;
}

/* A pipe has no length: as a body it is refused, without waiting for its writer or letting one go. */
static void a_pipe_is_no_body(void) {
  reader writer = {new_pipe(), 0, 0};
  for (int part = 0; part < 2; part++) {
    rf_options *options = new_options();
    if (part) CHECK_OK(rf_options_add_file(options, "file", writer.path, NULL));
    else CHECK_OK(rf_options_set_body_file(options, writer.path));
    for (int with_writer = 0; with_writer < 2; with_writer++) {
      if (with_writer && writer.thread == 0) {
        CHECK_INT(0, pthread_create(&writer.thread, NULL, open_to_write, &writer));
        sleep_ms(50);
      }
      rf_future *future = request(session, "POST", http("/echo"), options);
      CHECK_HAS(writer.path, rf_error_message(ERROR_OF(RF_ERROR_REQUEST, future)));
      rf_future_free(future);
    }
    rf_options_free(options);
  }
  CHECK_INT(0, LOAD(writer.total)); /* it still waits */
  int fd = open(writer.path, O_RDONLY | O_CLOEXEC);
  CHECK_INT(0, pthread_join(writer.thread, NULL));
  close(fd);
  CHECK_INT(0, remove(writer.path));
}

/* Who has a lease on a file is asked for it, and waited for: at most until the deadline. */
static void a_file_with_a_lease_is_waited_for(void) {
  const char *path = in_folder("leased");
  put(path, "leased");
  CHECK(signal(SIGIO, SIG_IGN) != SIG_ERR);
  int fd = open(path, O_RDWR | O_CLOEXEC);
  CHECK(fd >= 0);
  if (fcntl(fd, F_SETLEASE, F_WRLCK) != 0) {
    printf("skipped: leases, which this file system does not have\n");
  } else {
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_body_file(options, path));
    rf_future *future = request(session, "POST", http("/echo"), options);
    sleep_ms(100);
    CHECK(!rf_future_done(future));
    CHECK_OK(rf_options_set_deadline(options, 100));
    rf_future *late = request(session, "POST", http("/echo"), options);
    ERROR_OF(RF_ERROR_TIMEOUT, late);
    rf_future_free(late);
    CHECK_INT(0, fcntl(fd, F_SETLEASE, F_UNLCK));
    CHECK_STR("leased", rf_response_text(RESPONSE(future), NULL));
    rf_future_free(future);
    rf_options_free(options);
  }
  close(fd);
  CHECK_INT(0, remove(path));
}

static void an_answer_without_a_body_leaves_what_was_there(void) {
  static const char *const methods[] = {"HEAD", "GET"};
  const char *path = in_folder("asked-about"), *const urls[] = {http("/hello"), http("/status/304")};
  put(path, "old");
  for (int i = 0; i < 2; i++) {
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_output_file(options, path));
    rf_future *future = request(session, methods[i], urls[i], options);
    CHECK_INT(i == 0 ? 200 : 304, rf_response_status_code(RESPONSE(future)));
    CHECK_STR("old", content_of(path));
    rf_future_free(future);
    rf_options_free(options);
  }
  CHECK_INT(0, remove(path));
}

int main(void) {
  char own[] = "/tmp/rf-output-XXXXXX";
  folder = mkdtemp(own);
  CHECK(folder != NULL);
  large = malloc(LARGE + 1);
  CHECK(large != NULL);
  memset(large, 'x', LARGE);
  large[LARGE] = '\0';
  session = new_session();
  the_mode_of_a_file_that_was_there_is_kept();
  new_files_have_the_mode_that_open_gives_them();
  the_owner_of_a_file_that_was_there_is_kept();
  a_link_is_followed();
  devices_are_written_to_directly();
  a_pipe_is_written_to_directly_and_its_reader_waited_for();
  waiting_for_a_pipe_ends();
  a_reader_that_goes_away_is_an_error();
  an_error_of_close_fails_the_future_and_leaves_the_old_file();
  a_file_that_grows_too_large_fails_the_future_and_leaves_the_old_file();
  a_folder_or_a_missing_folder_is_named();
  a_broken_body_leaves_the_old_file();
  an_answer_without_a_body_leaves_what_was_there();
  a_pipe_is_no_body();
  a_file_with_a_lease_is_waited_for();
  rf_session_free(session);
  free(large);
  CHECK_INT(0, rmdir(own));
  return finish();
}
