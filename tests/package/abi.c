/* What abidiff does not look at: structs that may grow at their ends, and constants that are macros. It only has to compile. */
#include <requests_futures.h>
#include <stddef.h>

#define SAME(condition) _Static_assert(condition, #condition)

SAME(RF_FOREVER == -1);
SAME(offsetof(rf_executor_ops, size) == 0 && sizeof((rf_executor_ops *)0)->size == sizeof(size_t));
SAME(offsetof(rf_executor_ops, submit) == sizeof(size_t));
SAME(offsetof(rf_executor_ops, shutdown) == sizeof(size_t) + sizeof(void (*)(void)));

rf_status (*const *submit_of(const rf_executor_ops *ops))(rf_task *task, void *user_data) { return &ops->submit; }
void (*const *shutdown_of(const rf_executor_ops *ops))(bool wait, bool cancel_futures, void *user_data) { return &ops->shutdown; }
