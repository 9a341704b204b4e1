/* failing_calls.c - preloaded: counts the calls of the system that the library makes, and fails one of them. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "failing_calls.h"

static uintptr_t from, to;
static int armed = -1, at, with, seen;
static int counts[FAILING_MOST];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void failing_watch(const void *start, const void *end) { from = (uintptr_t)start, to = (uintptr_t)end; }

void failing_arm(int call, int nth, int error) {
  pthread_mutex_lock(&lock);
  memset(counts, 0, sizeof counts);
  armed = call, at = nth, with = error, seen = 0;
  pthread_mutex_unlock(&lock);
}

int failing_count(int call) { return __atomic_load_n(&counts[call], __ATOMIC_SEQ_CST); }

static int fails(int call, const void *caller) {
  uintptr_t address = (uintptr_t)caller;
  if (address < from || address >= to) return 0;
  pthread_mutex_lock(&lock);
  counts[call]++;
  int now = armed == call && ++seen == at;
  int error = with;
  pthread_mutex_unlock(&lock);
  if (now) errno = error;
  return now;
}

#define REAL(name) \
  static __typeof__(&name) real; \
  if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, #name)
#define FAILS(name) fails(FAILING_##name, __builtin_return_address(0))
#define WRAP(type, name, parameters, arguments, failure) \
  type name parameters { \
    REAL(name); \
    return FAILS(name) ? (failure) : real arguments; \
  }

WRAP(int, socket, (int a, int b, int c), (a, b, c), -1)
WRAP(int, socketpair, (int a, int b, int c, int d[2]), (a, b, c, d), -1)
WRAP(int, connect, (int fd, __CONST_SOCKADDR_ARG a, socklen_t l), (fd, a, l), -1)
WRAP(ssize_t, send, (int fd, const void *b, size_t n, int f), (fd, b, n, f), -1)
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f), -1)
WRAP(ssize_t, recv, (int fd, void *b, size_t n, int f), (fd, b, n, f), -1)
WRAP(ssize_t, recvmsg, (int fd, struct msghdr *m, int f), (fd, m, f), -1)
WRAP(ssize_t, read, (int fd, void *b, size_t n), (fd, b, n), -1)
WRAP(ssize_t, readv, (int fd, const struct iovec *v, int n), (fd, v, n), -1)
WRAP(ssize_t, write, (int fd, const void *b, size_t n), (fd, b, n), -1)
WRAP(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n), -1)
WRAP(int, poll, (struct pollfd *p, nfds_t n, int t), (p, n, t), -1)
WRAP(int, eventfd, (unsigned c, int f), (c, f), -1)
WRAP(int, pipe2, (int p[2], int f), (p, f), -1)
WRAP(int, dup2, (int a, int b), (a, b), -1)
WRAP(int, setsockopt, (int fd, int l, int o, const void *v, socklen_t n), (fd, l, o, v, n), -1)
WRAP(int, getsockopt, (int fd, int l, int o, void *v, socklen_t *n), (fd, l, o, v, n), -1)
WRAP(int, shutdown, (int fd, int h), (fd, h), -1)
WRAP(int, flock, (int fd, int o), (fd, o), -1)
WRAP(int, ftruncate64, (int fd, off64_t n), (fd, n), -1)
WRAP(ssize_t, pwrite64, (int fd, const void *b, size_t n, off64_t o), (fd, b, n, o), -1)
WRAP(ssize_t, readlink, (const char *p, char *b, size_t n), (p, b, n), -1)
WRAP(int, rename, (const char *a, const char *b), (a, b), -1)
WRAP(int, unlink, (const char *a), (a), -1)
WRAP(int, fchmod, (int fd, mode_t m), (fd, m), -1)
WRAP(int, fchown, (int fd, uid_t u, gid_t g), (fd, u, g), -1)
WRAP(int, fstat64, (int fd, struct stat64 *s), (fd, s), -1)
WRAP(int, stat64, (const char *p, struct stat64 *s), (p, s), -1)
WRAP(int, statx, (int d, const char *p, int f, unsigned m, struct statx *s), (d, p, f, m, s), -1)
WRAP(off64_t, lseek64, (int fd, off64_t o, int w), (fd, o, w), -1)
WRAP(void *, mmap64, (void *a, size_t n, int p, int f, int fd, off64_t o), (a, n, p, f, fd, o), MAP_FAILED)
WRAP(int, memfd_create, (const char *n, unsigned f), (n, f), -1)
WRAP(int, pthread_create, (pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *v), (t, a, f, v), errno)
WRAP(int, getaddrinfo, (const char *h, const char *s, const struct addrinfo *i, struct addrinfo **r), (h, s, i, r), errno)
WRAP(int, posix_spawnp,
     (pid_t *p, const char *f, const posix_spawn_file_actions_t *a, const posix_spawnattr_t *t, char *const v[], char *const e[]),
     (p, f, a, t, v, e), errno)
WRAP(ssize_t, getrandom, (void *b, size_t n, unsigned f), (b, n, f), -1)

/* What was to be closed is closed all the same. */
int close(int fd) {
  REAL(close);
  if (!FAILS(close)) return real(fd);
  int error = errno;
  real(fd);
  errno = error;
  return -1;
}

int open64(const char *path, int flags, ...) {
  REAL(open64);
  va_list list;
  va_start(list, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
  va_end(list);
  return FAILS(open64) ? -1 : real(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  REAL(open);
  va_list list;
  va_start(list, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
  va_end(list);
  return FAILS(open) ? -1 : real(path, flags, mode);
}

int fcntl(int fd, int command, ...) {
  REAL(fcntl);
  va_list list;
  va_start(list, command);
  void *argument = va_arg(list, void *);
  va_end(list);
  return FAILS(fcntl) ? -1 : real(fd, command, argument);
}

int ioctl(int fd, unsigned long command, ...) {
  REAL(ioctl);
  va_list list;
  va_start(list, command);
  void *argument = va_arg(list, void *);
  va_end(list);
  return FAILS(ioctl) ? -1 : real(fd, command, argument);
}

/* glibc's own names: to look them up takes memory. */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t),
    *__libc_memalign(size_t, size_t);

void *malloc(size_t size) { return size >= FAILING_LARGE && FAILS(memory) ? NULL : __libc_malloc(size); }

void *calloc(size_t count, size_t size) {
  return size > 0 && count >= FAILING_LARGE / size && FAILS(memory) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
  return size >= FAILING_LARGE && FAILS(memory) ? NULL : __libc_realloc(old, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
  if (size >= FAILING_LARGE && FAILS(memory)) return ENOMEM;
  *out = __libc_memalign(alignment, size);
  return *out != NULL ? 0 : ENOMEM;
}
