/* failing_calls.h - the calls of the system that the library makes, and the errors that their manuals name. */
#ifndef FAILING_CALLS_H
#define FAILING_CALLS_H

#define FAILING_CALLS(CALL) \
  CALL(socket, EMFILE, ENFILE, ENOBUFS, EAFNOSUPPORT, EACCES) \
  CALL(socketpair, EMFILE, ENFILE) \
  CALL(connect, ECONNREFUSED, ETIMEDOUT, ENETUNREACH, EINTR, EADDRNOTAVAIL, EACCES) \
  CALL(send, ECONNRESET, EPIPE, ENOBUFS, EINTR, EAGAIN, ENOMEM) \
  CALL(sendmsg, ECONNRESET, EPIPE, ENOBUFS, EINTR, EAGAIN, ENOMEM) \
  CALL(recv, ECONNRESET, EINTR, EAGAIN, ENOMEM, ETIMEDOUT) \
  CALL(recvmsg, ECONNRESET, EINTR, ENOMEM) \
  CALL(read, EIO, EINTR, EISDIR, ECONNRESET) \
  CALL(readv, EIO, EINTR, ECONNRESET) \
  CALL(write, ENOSPC, EIO, EPIPE, EINTR, EDQUOT) \
  CALL(writev, ENOSPC, EPIPE, EINTR, ECONNRESET) \
  CALL(poll, EINTR, ENOMEM) \
  CALL(eventfd, EMFILE, ENFILE, ENOMEM) \
  CALL(pipe2, EMFILE, ENFILE) \
  CALL(dup2, EMFILE, EINTR) \
  CALL(setsockopt, ENOPROTOOPT, EINVAL, ENOMEM) \
  CALL(getsockopt, ENOPROTOOPT, EINVAL) \
  CALL(shutdown, ENOTCONN) \
  CALL(flock, ENOLCK, EINTR, EWOULDBLOCK) \
  CALL(ftruncate64, EIO, EINTR, EPERM) \
  CALL(pwrite64, ENOSPC, EIO, EINTR, EDQUOT) \
  CALL(readlink, EIO, ENOENT) \
  CALL(rename, EACCES, ENOSPC, EXDEV, EIO) \
  CALL(unlink, EACCES, EIO) \
  CALL(fchmod, EPERM, EIO) \
  CALL(fchown, EPERM, EIO) \
  CALL(fstat64, EIO, ENOMEM) \
  CALL(stat64, EACCES, ENOENT, EIO) \
  CALL(statx, EACCES, ENOENT, ENOSYS) \
  CALL(lseek64, ESPIPE) \
  CALL(mmap64, ENOMEM, EAGAIN) \
  CALL(memfd_create, EMFILE, ENOMEM) \
  CALL(pthread_create, EAGAIN, EPERM) \
  CALL(getaddrinfo, EAI_AGAIN, EAI_FAIL, EAI_NONAME, EAI_MEMORY) \
  CALL(posix_spawnp, EAGAIN, ENOMEM, ENOENT) \
  CALL(getrandom, EINTR) \
  CALL(close, EIO, EINTR) \
  CALL(open64, EMFILE, ENFILE, EACCES, ENOENT, EINTR, ENOSPC) \
  CALL(open, EMFILE, ENFILE, EACCES, ENOENT, EINTR) \
  CALL(fcntl, EINVAL, EMFILE) \
  CALL(ioctl, EINVAL, ENOTTY) \
  CALL(memory, ENOMEM) /* of FAILING_LARGE bytes at least: a size that somebody else has chosen */

enum { FAILING_LARGE = 100000 };

enum {
#define NUMBER(name, ...) FAILING_##name,
  FAILING_CALLS(NUMBER) FAILING_MOST
#undef NUMBER
};

/* Only what comes from this range of addresses is counted and fails. */
void failing_watch(const void *start, const void *end);
/* The nth of these calls from now on fails with this error; a call of -1: none. */
void failing_arm(int call, int nth, int error);
/* How many there were since then. */
int failing_count(int call);

#endif
