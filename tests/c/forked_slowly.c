/* fork() in the middle of everything where starting a thread takes long: nobody holds a lock meanwhile that a child would
   meet. */
#include "fork_busy.h"

#include <dlfcn.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)

/* A sanitizer has a pthread_create of its own, which must not be replaced. */
int main(void) {
  (void)fork_in_the_middle, (void)forks;
  return 0;
}

#else

static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

__attribute__((constructor)) static void find_the_real_one(void) {
  void *symbol = dlsym(RTLD_NEXT, "pthread_create");
  memcpy(&real, &symbol, sizeof symbol);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
  sleep_ms(5);
  return real(thread, attributes, start, argument);
}

int main(void) { return fork_in_the_middle(forks(patience() > 1 ? 20 : 300)); }

#endif
