/* thread_count.h - how many threads there are. */
#ifndef THREAD_COUNT_H
#define THREAD_COUNT_H

#include <stdio.h>
#include <stdlib.h>

/* How many threads this process has, or 1 where nobody can tell. */
static inline int threads(void) {
  FILE *file = fopen("/proc/self/status", "r");
  char line[256];
  int count = 1;
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    if (sscanf(line, "Threads: %d", &count) == 1) break;
  }
  if (file != NULL) fclose(file);
#ifdef __SANITIZE_THREAD__
  if (count > 1) count--; /* ThreadSanitizer's own, from the first thread on */
#endif
  if (getenv("RF_TEST_EMULATED") != NULL && count > 1) count--; /* the emulator's own */
  return count;
}

#endif
