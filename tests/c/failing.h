/* failing.h - a program below which calls of the system fail: see failing_calls.c. */
#ifndef FAILING_H
#define FAILING_H

#include "failing_calls.h"
#include "wire.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <netdb.h>

static const struct {
  const char *name;
  int errors[8]; /* 0 behind the last */
} calls[] = {
#define ROW(name, ...) {#name, {__VA_ARGS__}},
    FAILING_CALLS(ROW)
#undef ROW
};

/* Of the library that is preloaded. */
static void (*watch)(const void *, const void *);
static void (*arm)(int, int, int);
static int (*count_of)(int);

static inline void *preloaded(const char *name) { return dlsym(RTLD_DEFAULT, name); }

static inline int watch_library(struct dl_phdr_info *info, size_t size, void *unused) {
  uintptr_t start = UINTPTR_MAX, end = 0;
  (void)size, (void)unused;
  if (strstr(info->dlpi_name, "librequests_futures") == NULL) return 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *header = &info->dlpi_phdr[i];
    uintptr_t from = info->dlpi_addr + header->p_vaddr, to = from + header->p_memsz;
    if (header->p_type != PT_LOAD) continue;
    if (from < start) start = from;
    if (to > end) end = to;
  }
  watch((const void *)start, (const void *)end);
  return 1;
}

/* Runs the program anew with the library preloaded, unless it is. */
static inline void begin_failing(char **argv) {
  *(void **)&watch = preloaded("failing_watch");
  *(void **)&arm = preloaded("failing_arm");
  *(void **)&count_of = preloaded("failing_count");
  if (watch == NULL) {
    /* The library lies beside that of the hooks. */
    const char *hooks = env("RF_TEST_HOOK_LIBRARY");
    const char *library = text("%.*s/libfailing_calls.so", (int)(strrchr(hooks, '/') - hooks), hooks);
    if (getenv("LD_PRELOAD") != NULL) FAIL("%s is not preloaded", library);
    CHECK_INT(0, setenv("LD_PRELOAD", library, 1));
    execv("/proc/self/exe", argv);
    FAIL("cannot run itself");
  }
  unsetenv("LD_PRELOAD"); /* not in worker processes */
  CHECK_INT(1, dl_iterate_phdr(watch_library, NULL));
}

/* Where no thread, descriptor or process is to be had, or no memory for a copy, the call itself may say so. */
static inline bool is_made(rf_status status) {
  if (status != RF_OK) CHECK_STATUS(RF_E_RESOURCE, status);
  return status == RF_OK;
}

static inline int open_descriptors(void) {
  DIR *folder = opendir("/proc/self/fd");
  int count = 0;
  if (folder == NULL) FAIL("no /proc");
  while (readdir(folder) != NULL) count++;
  closedir(folder);
  return count;
}

#endif
