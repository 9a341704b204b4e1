/* A long list of futures through one rf_completed: each is delivered once, in the order in which they finish, and none
   costs more because there are many. RF_FUTURES says how many (20,000; CI takes a million, and counts instructions).

   No server is needed: the executor keeps each task until the program ends it. */
#include "check.h"

static rf_task **tasks;
static size_t kept;

static rf_status keep(rf_task *task, void *user_data) {
  (void)user_data;
  tasks[kept++] = task;
  return RF_OK;
}

static rf_session *session;

static rf_executor *start(void) {
  rf_executor_ops ops = {.size = sizeof ops, .submit = keep};
  rf_executor *executor = NULL;
  CHECK_OK(rf_executor_new_custom(&ops, NULL, NULL, &executor));
  session = session_on(executor);
  return executor;
}

/* The place that is the i-th to finish: far from the one before. */
static size_t shuffled(size_t i, size_t count) {
  const size_t step = 7919; /* a prime: all places are met once, unless it divides the count */
  return count % step == 0 ? i : i * step % count;
}

/* All at once: submitted, then waited for. */
static void all_pending(size_t count, rf_future **futures) {
  rf_completed *completed = NULL;
  rf_future *future = NULL;
  size_t index = 0;
  int64_t before = heap(), start_ms = now_ms();
  kept = 0;
  for (size_t i = 0; i < count; i++) futures[i] = get(session, "http://nowhere.test/", NULL);
  int64_t each = (heap() - before) / (int64_t)count;
  CHECK_OK(rf_as_completed(futures, count, &completed));
  CHECK_STATUS(RF_TIMEOUT, rf_completed_next(completed, 0, NULL, NULL));
  for (size_t i = 0; i < count; i++) rf_task_free(tasks[shuffled(i, count)]);
  for (size_t i = 0; i < count; i++) {
    CHECK_OK(rf_completed_next(completed, 0, &future, &index));
    CHECK(index == shuffled(i, count) && future == futures[index]);
    CHECK(rf_future_cancelled(future));
    rf_future_free(futures[index]);
  }
  CHECK_STATUS(RF_END, rf_completed_next(completed, RF_FOREVER, NULL, NULL));
  rf_completed_free(completed);
  if (getenv("RF_VERBOSE") != NULL) {
    printf("long_list: %zu pending at once: %" PRId64 " ms, %" PRId64 " bytes each\n", count, now_ms() - start_ms, each);
  }
}

/* A few under way at a time, through a queue that lives on. */
static void a_few_at_a_time(size_t count, rf_future **futures) {
  enum { UNDER_WAY = 64 };
  rf_completed *completed = NULL;
  size_t index = 0, added = 0;
  int64_t start_ms = now_ms();
  kept = 0;
  CHECK_OK(rf_as_completed(NULL, 0, &completed));
  CHECK(rf_completed_fd(completed) >= 0);
  for (size_t taken = 0; taken < count; taken++) {
    for (; added < count && added - taken < UNDER_WAY; added++) {
      futures[added] = get(session, "http://nowhere.test/", NULL);
      CHECK_OK(rf_completed_add(completed, futures[added]));
    }
    CHECK_STATUS(RF_TIMEOUT, rf_completed_next(completed, 0, NULL, NULL));
    rf_task_free(tasks[taken]);
    CHECK_OK(rf_completed_next(completed, 0, NULL, &index));
    CHECK_INT(taken, index);
    rf_future_free(futures[index]);
  }
  CHECK_STATUS(RF_END, rf_completed_next(completed, RF_FOREVER, NULL, NULL));
  rf_completed_free(completed);
  if (getenv("RF_VERBOSE") != NULL) {
    printf("long_list: %zu, 64 at a time: %" PRId64 " ms\n", count, now_ms() - start_ms);
  }
}

/* rf_wait, for the last one and for all. */
static void one_wait_for_all(size_t count, rf_future **futures) {
  bool *done = malloc(count);
  int64_t start_ms = now_ms();
  CHECK(done != NULL);
  kept = 0;
  for (size_t i = 0; i < count; i++) futures[i] = get(session, "http://nowhere.test/", NULL);
  CHECK_STATUS(RF_TIMEOUT, rf_wait(futures, count, 0, RF_FIRST_COMPLETED, done));
  rf_task_free(tasks[count - 1]);
  CHECK_OK(rf_wait(futures, count, 0, RF_FIRST_COMPLETED, done));
  CHECK(done[count - 1] && !done[0]);
  for (size_t i = 0; i + 1 < count; i++) rf_task_free(tasks[i]);
  CHECK_OK(rf_wait(futures, count, 0, RF_ALL_COMPLETED, done));
  for (size_t i = 0; i < count; i++) {
    CHECK(done[i]);
    rf_future_free(futures[i]);
  }
  free(done);
  if (getenv("RF_VERBOSE") != NULL) printf("long_list: %zu in rf_wait: %" PRId64 " ms\n", count, now_ms() - start_ms);
}

int main(void) {
  const char *asked = getenv("RF_FUTURES");
  size_t count = asked != NULL ? (size_t)strtoull(asked, NULL, 10) : 20000;
  rf_future **futures = calloc(count, sizeof *futures);
  tasks = calloc(count, sizeof *tasks);
  CHECK(futures != NULL && tasks != NULL);
  rf_executor *executor = start();
  all_pending(count, futures);
  a_few_at_a_time(count, futures);
  one_wait_for_all(count, futures);
  rf_session_free(session);
  rf_executor_free(executor);
  free(futures);
  free(tasks);
  return finish();
}
