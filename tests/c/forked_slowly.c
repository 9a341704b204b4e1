/* The same where starting a thread takes long: nobody holds a lock meanwhile that a child would meet. */
#include "fork_busy.h"

#include <dlfcn.h>

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
  static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  if (real == NULL) {
    void *symbol = dlsym(RTLD_NEXT, "pthread_create");
    memcpy(&real, &symbol, sizeof real);
  }
  sleep_ms(5);
  return real(thread, attributes, start, argument);
}

int main(void) { return fork_in_the_middle(forks(patience() > 1 ? 20 : 300)); }
