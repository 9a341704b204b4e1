/* wire.h - a server that says, byte for byte, what a test wants to hear, and counts its connections. For what no
   well-behaved server does. A thread for every connection runs the function given to wire_start. */
#ifndef WIRE_H
#define WIRE_H

#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WIRE_MAX 512

typedef struct wire wire;

typedef struct wire_connection {
  wire *server;
  int fd;
  int number;    /* of the connection, from 0 */
  int requests;  /* read so far on this connection */
  char *request; /* the last request, head and body, with a NUL behind it */
  size_t length, capacity;
  const char *body; /* inside request; still chunked if it came so */
  size_t body_length;
  size_t consumed; /* of what has been read into request */
  pthread_t thread;
} wire_connection;

typedef void (*wire_fn)(wire_connection *connection, void *user_data);

struct wire {
  int fd;
  int port;
  wire_fn fn;
  void *user_data;
  pthread_t thread;
  pthread_mutex_t lock;
  wire_connection *connections[WIRE_MAX];
  int count;    /* accepted so far */
  int open;     /* of these still open */
  int requests; /* read on all of them */
  int stopping;
};

/* What goes over the network orders what both sides do, but ThreadSanitizer does not see that. A test whose server works
   on what the test changes between two requests calls this before it sends one and when it has the answer. */
static int wire_turns;
static inline void wire_in_order(void) { __atomic_add_fetch(&wire_turns, 1, __ATOMIC_SEQ_CST); }

/* Says these bytes. What the other side does not want to hear is not this server's problem. */
static inline void wire_bytes(wire_connection *connection, const void *data, size_t length) {
  const char *at = data;
  wire_in_order();
  while (length > 0) {
    ssize_t sent = send(connection->fd, at, length, MSG_NOSIGNAL);
    if (sent <= 0) return;
    at += sent;
    length -= (size_t)sent;
  }
}

static inline void wire_say(wire_connection *connection, const char *text) {
  wire_bytes(connection, text, strlen(text));
}

/* A whole response with this status line, extra header lines (each with its CRLF) and body. */
static inline void wire_answer(wire_connection *connection, const char *status, const char *headers,
                               const char *body) {
  char *all = malloc(strlen(status) + strlen(headers) + strlen(body) + 100);
  sprintf(all, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers, strlen(body), body);
  wire_say(connection, all);
  free(all);
}

/* Reads more; false at the end. */
static inline bool wire_more(wire_connection *connection) {
  if (connection->length + 1 >= connection->capacity) {
    connection->capacity = connection->capacity * 2 + 4096;
    connection->request = realloc(connection->request, connection->capacity);
    if (connection->request == NULL) FAIL("out of memory");
  }
  ssize_t got = recv(connection->fd, connection->request + connection->length,
                     connection->capacity - connection->length - 1, 0);
  if (got <= 0) return false;
  connection->length += (size_t)got;
  connection->request[connection->length] = '\0';
  return true;
}

/* The value of a header of the last request in this buffer, or NULL. */
static inline const char *wire_header(wire_connection *connection, const char *name, char *buffer, size_t capacity) {
  const char *line = strstr(connection->request, "\r\n");
  size_t length = strlen(name);
  while (line != NULL && strncmp(line, "\r\n\r\n", 4) != 0) {
    line += 2;
    if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
      const char *value = line + length + 1;
      while (*value == ' ') value++;
      size_t end = strcspn(value, "\r");
      if (end >= capacity) end = capacity - 1;
      memcpy(buffer, value, end);
      buffer[end] = '\0';
      return buffer;
    }
    line = strstr(line, "\r\n");
  }
  return NULL;
}

/* The next request's head, without waiting for its body. */
static inline bool wire_head(wire_connection *connection) {
  /* What follows the last request is the beginning of this one. */
  if (connection->consumed > 0) {
    connection->length -= connection->consumed;
    memmove(connection->request, connection->request + connection->consumed, connection->length + 1);
    connection->consumed = 0;
  }
  char *end;
  while (connection->length == 0 || (end = strstr(connection->request, "\r\n\r\n")) == NULL) {
    if (!wire_more(connection)) return false;
  }
  connection->consumed = (size_t)(end + 4 - connection->request);
  connection->body = end + 4;
  connection->body_length = 0;
  connection->requests++;
  pthread_mutex_lock(&connection->server->lock);
  connection->server->requests++;
  pthread_mutex_unlock(&connection->server->lock);
  wire_in_order();
  return true;
}

/* The next request, whole; false when there is none. */
static inline bool wire_next(wire_connection *connection) {
  char value[64];
  if (!wire_head(connection)) return false;
  size_t head = connection->consumed;
  if (wire_header(connection, "Content-Length", value, sizeof value) != NULL) {
    size_t length = (size_t)strtoul(value, NULL, 10);
    while (connection->length < head + length) {
      if (!wire_more(connection)) return false;
    }
    connection->body_length = length;
  } else if (wire_header(connection, "Transfer-Encoding", value, sizeof value) != NULL) {
    char *end;
    while ((end = strstr(connection->request + head - 2, "\r\n0\r\n\r\n")) == NULL) {
      if (!wire_more(connection)) return false;
    }
    connection->body_length = (size_t)(end + 7 - (connection->request + head));
  }
  connection->body = connection->request + head;
  connection->consumed = head + connection->body_length;
  return true;
}

/* Has the other side closed it, or this one? All that was sent has been read. With the server's lock, where its function may
   end meanwhile. */
static inline bool wire_is_closed(const wire_connection *connection) {
  char byte;
  ssize_t got = recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/* Says nothing until the other side or the test ends the connection. */
static inline void wire_stall(wire_connection *connection) {
  char byte;
  while (recv(connection->fd, &byte, 1, 0) > 0) {
  }
}

/* Does the request's first line begin so? */
static inline bool wire_asks(wire_connection *connection, const char *start) {
  return strncmp(connection->request, start, strlen(start)) == 0;
}

static inline void *wire_serve_(void *argument) {
  wire_connection *connection = argument;
  wire *server = connection->server;
  server->fn(connection, server->user_data);
  pthread_mutex_lock(&server->lock);
  shutdown(connection->fd, SHUT_RDWR);
  close(connection->fd);
  connection->fd = -1;
  server->open--;
  pthread_mutex_unlock(&server->lock);
  return NULL;
}

static inline void *wire_accept_(void *argument) {
  wire *server = argument;
  for (;;) {
    int fd = accept(server->fd, NULL, NULL);
    pthread_mutex_lock(&server->lock);
    if (server->stopping || fd < 0) {
      pthread_mutex_unlock(&server->lock);
      if (fd >= 0) close(fd);
      return NULL;
    }
    if (server->count == WIRE_MAX) FAIL("more than %d connections", WIRE_MAX);
    wire_connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) FAIL("out of memory");
    connection->server = server;
    connection->fd = fd;
    connection->number = server->count;
    server->connections[server->count++] = connection;
    server->open++;
    if (pthread_create(&connection->thread, NULL, wire_serve_, connection) != 0) FAIL("no thread");
    pthread_mutex_unlock(&server->lock);
  }
}

static inline wire *wire_listen_(int fd, int port, wire_fn fn, void *user_data) {
  wire *server = calloc(1, sizeof *server);
  if (server == NULL || fd < 0 || listen(fd, 128) != 0) FAIL("cannot listen");
  server->fd = fd;
  server->port = port;
  server->fn = fn;
  server->user_data = user_data;
  pthread_mutex_init(&server->lock, NULL);
  if (pthread_create(&server->thread, NULL, wire_accept_, server) != 0) FAIL("no thread");
  return server;
}

static inline wire *wire_start(wire_fn fn, void *user_data) {
  struct sockaddr_in address;
  socklen_t length = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
      getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
    FAIL("cannot bind");
  }
  return wire_listen_(fd, ntohs(address.sin_port), fn, user_data);
}

/* The same on a Unix socket. */
static inline wire *wire_start_unix(const char *path, wire_fn fn, void *user_data) {
  struct sockaddr_un address;
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  if (strlen(path) >= sizeof address.sun_path) FAIL("too long: %s", path);
  strcpy(address.sun_path, path);
  unlink(path);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) FAIL("cannot bind %s", path);
  return wire_listen_(fd, 0, fn, user_data);
}

static inline const char *wire_url(const wire *server, const char *path) {
  return text("http://127.0.0.1:%d%s", server->port, path);
}

/* A count, read with the lock held: the server's connections, open ones, requests. */
static inline int wire_count_(wire *server, const int *which) {
  pthread_mutex_lock(&server->lock);
  int count = *which;
  pthread_mutex_unlock(&server->lock);
  return count;
}
static inline int wire_connections(wire *server) { return wire_count_(server, &server->count); }
static inline int wire_open(wire *server) { return wire_count_(server, &server->open); }
static inline int wire_requests(wire *server) { return wire_count_(server, &server->requests); }

/* Ends every connection and waits for their functions. */
static inline void wire_stop(wire *server) {
  pthread_mutex_lock(&server->lock);
  server->stopping = 1;
  for (int i = 0; i < server->count; i++) {
    if (server->connections[i]->fd >= 0) shutdown(server->connections[i]->fd, SHUT_RDWR);
  }
  pthread_mutex_unlock(&server->lock);
  shutdown(server->fd, SHUT_RDWR);
  pthread_join(server->thread, NULL);
  close(server->fd);
  for (int i = 0; i < server->count; i++) {
    pthread_join(server->connections[i]->thread, NULL);
    free(server->connections[i]->request);
    free(server->connections[i]);
  }
  pthread_mutex_destroy(&server->lock);
  free(server);
}

/* Answers every request with this text, and closes. */
static inline void wire_text(wire_connection *connection, void *text) {
  if (wire_next(connection)) wire_say(connection, text);
}

/* Answers every request with 200 and its own path, and keeps the connection. */
static inline void wire_keep(wire_connection *connection, void *unused) {
  (void)unused;
  while (wire_next(connection)) {
    char path[256] = "";
    sscanf(connection->request, "%*s %255s", path);
    wire_answer(connection, "200 OK", "", path);
  }
}

/* A port of this host where nothing listens: taken, so that nobody else begins to, but not listened on. */
static inline int closed_port(void) {
  static int port;
  struct sockaddr_in address;
  socklen_t length = sizeof address;
  if (port != 0) return port;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
      getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
    FAIL("cannot bind");
  }
  return port = ntohs(address.sin_port);
}

#endif
