/* arrivals.h - a server that notes which requests came, when, and how many it had at once, and that answers when it is
   told to. The path says what the answer is: a letter, a number to know it by, and what more it takes.

     /n1          200 when the server is open, after hold_ms
     /q1          200 at once
     /s1          503, then 200: each number by itself
     /u1          the same with a 503 of 200,000 bytes
     /r1?URL      a redirect
     /h1          hangs up without a word
     /d1          a challenge (Digest), unless there is an Authorization
     /b1          a body of 200,000 bytes */
#ifndef ARRIVALS_H
#define ARRIVALS_H

#include "wire.h"


#define ARRIVALS_MAX 4096

typedef struct arrival {
  int64_t ns; /* CLOCK_MONOTONIC */
  char kind;
  int number;
} arrival;

typedef struct arrivals {
  wire *server;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool shut;   /* /n waits */
  int hold_ms; /* and then so long */
  int limit;   /* of those at once; 0: none */
  arrival all[ARRIVALS_MAX];
  int count;
  int most; /* at once, of those whose client has not hung up */
  int64_t greeting_at_ms; /* SOCKS5: when a client is greeted; 0: it is no SOCKS proxy */
  wire_connection *inside[WIRE_MAX];
  int inside_count;
} arrivals;

static inline int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int arrivals_live_(const arrivals *self) {
  int live = 0;
  for (int i = 0; i < self->inside_count; i++) live += !wire_is_closed(self->inside[i]);
  return live;
}

static inline void arrivals_enter_(arrivals *self, wire_connection *connection, arrival arrival) {
  pthread_mutex_lock(&self->lock);
  if (self->count < ARRIVALS_MAX) self->all[self->count] = arrival;
  self->count++;
  self->inside[self->inside_count++] = connection;
  int live = arrivals_live_(self);
  /* A connection that was closed before is seen as closed in a moment. Nobody leaves meanwhile. */
  int64_t until = now_ms() + 300 * patience();
  while (self->limit > 0 && live > self->limit && now_ms() < until) {
    sleep_ms(1);
    live = arrivals_live_(self);
  }
  if (live > self->most) self->most = live;
  pthread_cond_broadcast(&self->changed);
  while (self->shut && arrival.kind == 'n') pthread_cond_wait(&self->changed, &self->lock);
  pthread_mutex_unlock(&self->lock);
}

static inline void arrivals_leave_(arrivals *self, wire_connection *connection) {
  pthread_mutex_lock(&self->lock);
  for (int i = 0; i < self->inside_count; i++) {
    if (self->inside[i] == connection) self->inside[i] = self->inside[--self->inside_count];
  }
  pthread_mutex_unlock(&self->lock);
}

/* Is this the first one of that kind and number? */
static inline bool arrivals_first_(arrivals *self, char kind, int number) {
  int seen = 0;
  pthread_mutex_lock(&self->lock);
  for (int i = 0; i < self->count && i < ARRIVALS_MAX; i++) {
    seen += self->all[i].kind == kind && self->all[i].number == number;
  }
  pthread_mutex_unlock(&self->lock);
  return seen == 1;
}

/* A SOCKS5 proxy that leads to this very server. */
static inline bool arrivals_greet_(arrivals *self, wire_connection *connection) {
  unsigned char bytes[300];
  if (recv(connection->fd, bytes, 2, MSG_WAITALL) != 2 ||
      recv(connection->fd, bytes + 2, bytes[1], MSG_WAITALL) != bytes[1])
    return false;
  if (now_ms() < self->greeting_at_ms) sleep_ms(self->greeting_at_ms - now_ms());
  wire_bytes(connection, "\5\0", 2);
  if (recv(connection->fd, bytes, 5, MSG_WAITALL) != 5) return false;
  int rest = bytes[3] == 1 ? 3 + 2 : bytes[3] == 3 ? bytes[4] + 2 : 15 + 2;
  if (recv(connection->fd, bytes, (size_t)rest, MSG_WAITALL) != rest) return false;
  wire_bytes(connection, "\5\0\0\1\0\0\0\0\0\0", 10);
  return true;
}

static inline void arrivals_serve_(wire_connection *connection, void *user_data) {
  arrivals *self = user_data;
  if (self->greeting_at_ms > 0 && !arrivals_greet_(self, connection)) return;
  while (wire_next(connection)) {
    arrival arrival = {now_ns(), 'n', -1};
    char to[600] = "", authorization[8];
    sscanf(connection->request, "%*s /%c%d?%599[^ ]", &arrival.kind, &arrival.number, to);
    arrivals_enter_(self, connection, arrival);
    if (arrival.kind == 'n' && LOAD(self->hold_ms) > 0) sleep_ms(LOAD(self->hold_ms));
    bool first = arrivals_first_(self, arrival.kind, arrival.number);
    arrivals_leave_(self, connection);
    switch (arrival.kind) {
      case 'h': return;
      case 'r': wire_answer(connection, "302 Found", text("Location: %s\r\n", to), ""); break;
      case 's': wire_answer(connection, first ? "503 Busy" : "200 OK", "", "again"); break;
      case 'd':
        if (wire_header(connection, "Authorization", authorization, sizeof authorization) != NULL) {
          wire_answer(connection, "200 OK", "", "known");
        } else {
          wire_answer(connection, "401 Who", "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n", "");
        }
        break;
      case 'u':
        if (!first) {
          wire_answer(connection, "200 OK", "", "again");
          break;
        }
        /* fall through */
      case 'b': {
        char *much = malloc(200001);
        memset(much, 'b', 200000);
        much[200000] = '\0';
        wire_answer(connection, arrival.kind == 'u' ? "503 Busy" : "200 OK", "", much);
        free(much);
        break;
      }
      default: wire_answer(connection, "200 OK", "", text("%d", arrival.number));
    }
  }
}

static inline arrivals *arrivals_start(int limit) {
  arrivals *self = calloc(1, sizeof *self);
  if (self == NULL) FAIL("out of memory");
  pthread_mutex_init(&self->lock, NULL);
  pthread_cond_init(&self->changed, NULL);
  self->limit = limit;
  self->server = wire_start(arrivals_serve_, self);
  return self;
}

/* How many may be inside at once; 0: any number. */
static inline void arrivals_limit(arrivals *self, int limit) {
  pthread_mutex_lock(&self->lock);
  self->limit = limit;
  pthread_mutex_unlock(&self->lock);
}

static inline void arrivals_shut(arrivals *self, bool shut) {
  pthread_mutex_lock(&self->lock);
  self->shut = shut;
  pthread_cond_broadcast(&self->changed);
  pthread_mutex_unlock(&self->lock);
}

static inline int arrivals_read_(arrivals *self, const int *which) {
  pthread_mutex_lock(&self->lock);
  int value = *which;
  pthread_mutex_unlock(&self->lock);
  return value;
}
static inline int arrivals_count(arrivals *self) { return arrivals_read_(self, &self->count); }
static inline int arrivals_most(arrivals *self) { return arrivals_read_(self, &self->most); }
/* Waits until that many have come. */
static inline void arrivals_wait(arrivals *self, int count) { EVENTUALLY(arrivals_count(self) >= count); }

static inline void arrivals_stop(arrivals *self) {
  arrivals_shut(self, false);
  wire_stop(self->server);
  pthread_mutex_destroy(&self->lock);
  pthread_cond_destroy(&self->changed);
  free(self);
}

static inline const char *arrivals_url(const arrivals *self, char kind, int number) {
  return wire_url(self->server, text("/%c%d", kind, number));
}

static inline int by_time_(const void *one, const void *other) {
  int64_t a = ((const arrival *)one)->ns, b = ((const arrival *)other)->ns;
  return (a > b) - (a < b);
}

/* In any t seconds at most burst + t * per_second. One that is noted late, because no processor was free, comes closer to
   the next one than it was sent: by so much. */
static inline void arrivals_check_rate(arrivals *self, double per_second, int burst) {
  double slack = 0.05 * (double)patience();
  pthread_mutex_lock(&self->lock);
  int count = self->count < ARRIVALS_MAX ? self->count : ARRIVALS_MAX;
  qsort(self->all, (size_t)count, sizeof *self->all, by_time_);
  for (int i = 0; i < count; i++) {
    for (int j = i; j < count; j++) {
      double t = (double)(self->all[j].ns - self->all[i].ns) / 1e9;
      double most = burst + (t + slack) * per_second + 1e-6;
      if (j - i + 1 > most) FAIL("%d requests in %.3f s, %.1f are allowed", j - i + 1, t, most);
    }
  }
  pthread_mutex_unlock(&self->lock);
}

/* What the arrival of this index said it was. */
static inline arrival arrivals_at(arrivals *self, int index) {
  pthread_mutex_lock(&self->lock);
  arrival at = self->all[index];
  pthread_mutex_unlock(&self->lock);
  return at;
}

/* From now on each /n takes so long. */
static inline void arrivals_hold(arrivals *self, int ms) { __atomic_store_n(&self->hold_ms, ms, __ATOMIC_SEQ_CST); }

#endif
