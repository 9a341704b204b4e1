/* What the clients of the benchmark share: what they are asked to do (NAME=VALUE arguments), and the measuring. A client
   warms up, measures, and prints one line of JSON. A request that does not bring what was expected ends it: no figure is
   ever that of failures. */
#ifndef CLIENT_H
#define CLIENT_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* What the driver asks for. */
struct work {
  const char *mode;     /* which way of using the library, where there are several */
  const char *method;   /* GET, POST or PUT */
  const char *url;
  const char *warm_url; /* asked for while warming up; the same unless given */
  const char *ca;       /* trusted instead of the system's certificates */
  long requests;
  long warm;            /* requests before measuring begins */
  int in_flight;
  int connections;      /* opened while warming up, if more than in_flight: that many requests at once */
  int hosts;            /* 127.0.0.1 to 127.0.0.N in turn */
  size_t body;          /* bytes to send */
  long expect;          /* bytes of every answer; negative: any */
  bool fresh;           /* a new connection for each: the request says "Connection: close" */
  bool http2;           /* over TLS, as ALPN says */
  bool give;            /* bodies go to a function piece by piece, and are not kept */
};

__attribute__((noreturn, unused)) static void fail(const char *what) {
  fprintf(stderr, "failed: %s\n", what);
  exit(1);
}

static inline void *must(void *pointer) {
  if (pointer == NULL) fail("out of memory");
  return pointer;
}

static struct work work_from(int argc, char **argv) {
  struct work work = {.mode = "", .method = "GET", .requests = 1, .in_flight = 1, .hosts = 1};
  for (int i = 1; i < argc; i++) {
    char *value = strchr(argv[i], '=');
    if (value == NULL) fail(argv[i]);
    *value++ = '\0';
#define TEXT(name, field) else if (strcmp(argv[i], name) == 0) work.field = value
#define NUMBER(name, field) else if (strcmp(argv[i], name) == 0) work.field = atol(value)
    if (false) {}
    TEXT("mode", mode);
    TEXT("method", method);
    TEXT("url", url);
    TEXT("warm-url", warm_url);
    TEXT("ca", ca);
    NUMBER("requests", requests);
    NUMBER("warm", warm);
    NUMBER("in-flight", in_flight);
    NUMBER("connections", connections);
    NUMBER("hosts", hosts);
    NUMBER("body", body);
    NUMBER("expect", expect);
    NUMBER("fresh", fresh);
    NUMBER("give", give);
    NUMBER("http2", http2);
    else fail(argv[i]);
#undef TEXT
#undef NUMBER
  }
  if (work.url == NULL) fail("no URL");
  if (work.warm_url == NULL) work.warm_url = work.url;
  return work;
}

/* The URL for each host, `hosts` strings. */
static inline char **urls_of(const char *url, int hosts) {
  char **urls = must(calloc((size_t)hosts, sizeof *urls));
  const char *first = strstr(url, "127.0.0.1");
  for (int i = 0; i < hosts; i++) {
    urls[i] = must(malloc(strlen(url) + 8));
    if (hosts == 1 || first == NULL) strcpy(urls[i], url);
    else sprintf(urls[i], "%.*s127.0.0.%d%s", (int)(first - url), url, i + 1, first + strlen("127.0.0.1"));
  }
  return urls;
}

/* A body to send. */
static inline char *body_of(size_t length) {
  char *body = must(malloc(length + 1));
  for (size_t i = 0; i < length; i++) body[i] = (char)('a' + i % 26);
  return body;
}

/* The server says with the first byte whether it resumed a TLS session: 'r' or '.'. */
static inline bool says_resumed(const char *data, size_t length) {
  return length > 0 && data[0] == 'r';
}

static inline double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static inline double seconds_of(struct timeval time) {
  return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* A line of /proc/self/status in KB: VmRSS, or VmHWM for the most there was. What getrusage says of that includes the
   program that started this one. */
static inline long memory_kb(const char *name) {
  char line[256];
  long kb = 0;
  FILE *file = fopen("/proc/self/status", "r");
  if (file == NULL) return 0;
  while (fgets(line, sizeof line, file) != NULL)
    if (strncmp(line, name, strlen(name)) == 0) kb = atol(line + strlen(name) + 1);
  fclose(file);
  return kb;
}

struct cpu {
  double user;
  double system;
};

/* The processes that this one has started and that still run have a share in what it costs. */
static inline struct cpu cpu_of_children(void) {
  struct cpu sum = {0, 0};
  DIR *processes = opendir("/proc");
  struct dirent *entry;
  while (processes != NULL && (entry = readdir(processes)) != NULL) {
    char path[300], line[1024];
    long parent = 0;
    unsigned long user = 0, system = 0;
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
    FILE *file = fopen(path, "r");
    if (file == NULL) continue;
    /* The name stands in parentheses, and may hold anything. */
    const char *behind = fgets(line, sizeof line, file) != NULL ? strrchr(line, ')') : NULL;
    if (behind != NULL && sscanf(behind, ") %*c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &parent, &user, &system) == 3 &&
        parent == (long)getpid()) {
      sum.user += (double)user / (double)sysconf(_SC_CLK_TCK);
      sum.system += (double)system / (double)sysconf(_SC_CLK_TCK);
    }
    fclose(file);
  }
  if (processes != NULL) closedir(processes);
  return sum;
}

static inline struct cpu cpu_now(void) {
  struct rusage usage;
  struct cpu cpu = cpu_of_children();
  getrusage(RUSAGE_SELF, &usage);
  cpu.user += seconds_of(usage.ru_utime);
  cpu.system += seconds_of(usage.ru_stime);
  return cpu;
}

struct meter {
  double wall;
  struct cpu cpu;
  long resident_kb; /* when measuring began */
};

static inline struct meter meter_now(void) {
  struct meter meter = {.resident_kb = memory_kb("VmRSS"), .cpu = cpu_now()};
  meter.wall = seconds_now();
  return meter;
}

static inline void report(struct meter since, long requests, long resumed) {
  double wall = seconds_now() - since.wall;
  struct cpu cpu = cpu_now();
  printf("{\"requests\": %ld, \"resumed\": %ld, \"wall_s\": %.6f, \"user_s\": %.6f, \"system_s\": %.6f, "
         "\"peak_kb\": %ld, \"before_kb\": %ld}\n",
         requests, resumed, wall, cpu.user - since.cpu.user, cpu.system - since.cpu.system, memory_kb("VmHWM"),
         since.resident_kb);
  fflush(stdout);
}

#endif
