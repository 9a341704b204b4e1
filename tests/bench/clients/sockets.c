/* The floor: one write and the reads that the answer needs. Nothing is parsed: the first answer, while warming up, says
   how long all of them are. Plain http.
   mode=threads: blocking sockets, a thread for each request in flight.
   mode=epoll: one thread and an epoll, for small answers on connections that are kept. */
#include "client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

static struct work work;
static long wanted, started;
static pthread_barrier_t begin, end;
static char *body;
static struct sockaddr_in address;
static const char *path = "/";

static void resolve(const char *url) {
  char host[64];
  int port = 80;
  if (sscanf(url, "http://%63[^:/]:%d", host, &port) < 1) fail("plain http to an address only");
  address.sin_family = AF_INET;
  address.sin_port = htons((uint16_t)port);
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) fail("plain http to an address only");
  path = strchr(url + strlen("http://"), '/');
  if (path == NULL) path = "/";
}

static int dial(void) {
  int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

static void send_request(int fd, const char *head, size_t head_length) {
  struct iovec pieces[2] = {{(void *)head, head_length}, {body, work.body}};
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = work.body > 0 ? 2 : 1};
  size_t left = head_length + work.body;
  while (left > 0) {
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (sent <= 0) fail("send");
    left -= (size_t)sent;
    size_t gone = (size_t)sent;
    for (int i = 0; i < 2; i++) {
      size_t step = gone < pieces[i].iov_len ? gone : pieces[i].iov_len;
      pieces[i].iov_base = (char *)pieces[i].iov_base + step;
      pieces[i].iov_len -= step;
      gone -= step;
    }
  }
}

static size_t write_head(char *head, size_t room) {
  char host[64];
  inet_ntop(AF_INET, &address.sin_addr, host, sizeof host);
  int length = snprintf(head, room, "%s %s HTTP/1.1\r\nHost: %s:%d\r\nUser-Agent: sockets\r\nAccept: */*\r\n%s",
                        work.method, path, host, ntohs(address.sin_port), work.fresh ? "Connection: close\r\n" : "");
  if (work.body > 0) length += snprintf(head + length, 64, "Content-Length: %zu\r\n", work.body);
  return (size_t)length + (size_t)snprintf(head + length, 8, "\r\n");
}

/* How long an answer is whose beginning this is; 0: its head is not there yet. */
static size_t length_of(const char *data, size_t got) {
  const char *rest = memmem(data, got, "\r\n\r\n", 4);
  return rest == NULL ? 0 : (size_t)(rest - data) + 4 + (size_t)work.expect;
}

static void run_epoll(int epoll, int *sockets, const char *url, long requests) {
  char head[1024], small[16384];
  resolve(url);
  size_t length = write_head(head, sizeof head), answer = 0;
  size_t *got = must(calloc((size_t)work.in_flight, sizeof *got));
  long begun = 0, over = 0;
  for (int i = 0; i < work.in_flight && begun < requests; i++) {
    if (sockets[i] < 0) {
      struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = (uint32_t)i};
      sockets[i] = dial();
      if (epoll_ctl(epoll, EPOLL_CTL_ADD, sockets[i], &event) != 0) fail("epoll");
    }
    send_request(sockets[i], head, length);
    begun++;
  }
  while (over < requests) {
    struct epoll_event events[256];
    int count = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < count; i++) {
      uint32_t which = events[i].data.u32;
      ssize_t received = recv(sockets[which], small, sizeof small, MSG_DONTWAIT);
      if (received <= 0) fail("the connection ended");
      if (answer == 0) answer = length_of(small, (size_t)received);
      got[which] += (size_t)received;
      if (answer == 0 || got[which] < answer) continue;
      if (got[which] != answer) fail("length");
      got[which] = 0;
      over++;
      if (begun < requests) {
        send_request(sockets[which], head, length);
        begun++;
      }
    }
  }
  free(got);
}

static void *worker(void *unused) {
  (void)unused;
  char head[1024], small[16384];
  size_t answer; /* head and body of any answer */
  int fd = -1;
  for (int phase = 0; phase < 2; phase++) {
    pthread_barrier_wait(&begin);
    answer = 0;
    size_t length = write_head(head, sizeof head);
    while (__atomic_fetch_add(&started, 1, __ATOMIC_RELAXED) < wanted) {
      if (fd < 0) fd = dial();
      send_request(fd, head, length);
      char *into = small;
      size_t room = sizeof small, got = 0;
      if (work.expect > (long)sizeof small / 2) into = must(malloc(room = (size_t)work.expect + sizeof small));
      while (answer == 0 || got < answer) {
        ssize_t received = recv(fd, into + got, room - got, 0);
        if (received <= 0) fail("the connection ended");
        got += (size_t)received;
        if (answer == 0) answer = length_of(into, got);
      }
      if (got != answer) fail("length");
      if (into != small) free(into);
      if (work.fresh) {
        if (recv(fd, small, sizeof small, 0) != 0) fail("the connection should have ended");
        close(fd);
        fd = -1;
      }
    }
    pthread_barrier_wait(&end);
  }
  return NULL;
}

static void phase(const char *url, long requests) {
  resolve(url);
  wanted = requests;
  started = 0;
  pthread_barrier_wait(&begin);
  pthread_barrier_wait(&end);
}

int main(int argc, char **argv) {
  work = work_from(argc, argv);
  body = body_of(work.body);
  if (strcmp(work.mode, "epoll") == 0) {
    int epoll = epoll_create1(EPOLL_CLOEXEC), *sockets = must(malloc((size_t)work.in_flight * sizeof *sockets));
    for (int i = 0; i < work.in_flight; i++) sockets[i] = -1;
    run_epoll(epoll, sockets, work.warm_url, work.warm);
    struct meter before = meter_now();
    run_epoll(epoll, sockets, work.url, work.requests);
    report(before, work.requests, 0);
    return 0;
  }
  pthread_barrier_init(&begin, NULL, (unsigned)work.in_flight + 1);
  pthread_barrier_init(&end, NULL, (unsigned)work.in_flight + 1);
  for (int i = 0; i < work.in_flight; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, worker, NULL) != 0) fail("no thread");
    pthread_detach(thread);
  }
  phase(work.warm_url, work.warm);
  struct meter before = meter_now();
  phase(work.url, work.requests);
  report(before, work.requests, 0);
  return 0;
}
