/* fork() while eight threads submit with deadlines and look names up: children send requests of their own. */
#include "fork_busy.h"

int main(void) { return fork_in_the_middle(forks(patience() > 1 ? 20 : 300)); }
