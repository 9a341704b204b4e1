/* A connection that is damaged on its way: with TLS the answer is what the server sent or there is none, without TLS
   nobody can tell, and either way the future ends, and in time. */
#include "check.h"

enum { AT_ONCE = 32, LENGTH = 60000 };

static uint8_t sent[LENGTH];

static void learn(void) {
  rf_session *session = new_session_workers(1);
  rf_future *future = get(session, http(text("/bytes/%d?seed=3", LENGTH)), NULL);
  size_t length = 0;
  const uint8_t *content = rf_response_content(RESPONSE(future), &length);
  CHECK_INT(LENGTH, length);
  memcpy(sent, content, LENGTH);
  rf_future_free(future);
  rf_session_free(session);
}

static rf_options *patient_options(void) {
  rf_options *options = new_options();
  CHECK_OK(rf_options_set_ca_bundle(options, env("RF_TEST_CA")));
  CHECK_OK(rf_options_set_timeout(options, 500 * patience(), 500 * patience()));
  CHECK_OK(rf_options_set_deadline(options, 10000 * patience()));
  return options;
}

/* Reads to the end: that is the end of what was sent, unless it is an error. */
static bool arrives_as_stream(const rf_response *response) {
  uint8_t buffer[7000];
  size_t at = 0, length = 0;
  for (;;) {
    if (rf_response_read(response, buffer, sizeof buffer, &length, NULL) != RF_OK) return false;
    if (length == 0) break;
    CHECK(at + length <= LENGTH && memcmp(sent + at, buffer, length) == 0);
    at += length;
  }
  CHECK_INT(LENGTH, at);
  return true;
}

static bool arrives_whole(const rf_response *response) {
  size_t length = 0;
  const uint8_t *content = rf_response_content(response, &length);
  CHECK_INT(LENGTH, length);
  CHECK(memcmp(sent, content, LENGTH) == 0);
  return true;
}

static const struct way {
  const char *path; /* two ways to say where a body ends */
  bool streams, goes_through_a_proxy;
} WAYS[] = {
    {"/bytes/60000?seed=3", false, false},       {"/bytes/60000?seed=3", true, false},
    {"/stream-bytes/60000?seed=3", false, false}, {"/stream-bytes/60000?seed=3", true, false},
    {"/bytes/60000?seed=3", false, true},
};
enum { WAYS_COUNT = sizeof WAYS / sizeof *WAYS };

/* Until each way has met with damage, and has been survived. */
static void tls_gives_an_error_and_never_another_body(void) {
  int whole[WAYS_COUNT] = {0}, damaged[WAYS_COUNT] = {0};
  rf_session *session = new_session_workers(8);
  rf_options *options[WAYS_COUNT];
  for (int i = 0; i < WAYS_COUNT; i++) {
    options[i] = patient_options();
    CHECK_OK(rf_options_set_stream(options[i], WAYS[i].streams));
    if (WAYS[i].goes_through_a_proxy) CHECK_OK(rf_options_set_proxy(options[i], "https", env("RF_TEST_FAULTS_PROXY")));
  }
  for (int done = 0, round = 0; done < WAYS_COUNT; round++) {
    rf_future *futures[WAYS_COUNT][AT_ONCE];
    if (round == 50) FAIL("%d of %d ways have been damaged 5 times in %d requests each", done, WAYS_COUNT, round * AT_ONCE);
    for (int i = 0; i < WAYS_COUNT; i++) {
      const char *base = env(WAYS[i].goes_through_a_proxy ? "RF_TEST_HTTPS" : "RF_TEST_FAULTS_HTTPS");
      for (int j = 0; j < AT_ONCE; j++) futures[i][j] = get(session, text("%s%s", base, WAYS[i].path), options[i]);
    }
    for (int i = 0; i < WAYS_COUNT; i++) {
      for (int j = 0; j < AT_ONCE; j++) {
        const rf_response *response = NULL;
        const rf_error *error = NULL;
        bool arrives = false;
        if (rf_future_result(futures[i][j], LONG_MS * patience(), &response) == RF_OK) {
          CHECK_INT(200, rf_response_status_code(response));
          arrives = WAYS[i].streams ? arrives_as_stream(response) : arrives_whole(response);
        } else {
          CHECK_OK(rf_future_exception(futures[i][j], 0, &error));
          int is = rf_error_kind_of(error);
          bool fits = is == RF_ERROR_SSL || is == RF_ERROR_CONNECTION || is == RF_ERROR_CONNECT_TIMEOUT ||
                      is == RF_ERROR_READ_TIMEOUT || is == RF_ERROR_CHUNKED_ENCODING || is == RF_ERROR_TIMEOUT ||
                      (is == RF_ERROR_PROXY && WAYS[i].goes_through_a_proxy);
          if (!fits) FAIL("%s: %s: %s", WAYS[i].path, rf_error_kind_name(is), rf_error_message(error));
        }
        if (arrives) whole[i]++;
        else damaged[i]++;
        rf_future_free(futures[i][j]);
      }
    }
    done = 0;
    for (int i = 0; i < WAYS_COUNT; i++) done += whole[i] >= 5 && damaged[i] >= 5;
  }
  for (int i = 0; i < WAYS_COUNT; i++) rf_options_free(options[i]);
  rf_session_free(session);
}

/* What is damaged may be the length: the rest of such a body never comes. */
static void without_tls_every_future_ends_as_well(void) {
  int ended[2] = {0};
  rf_session *session = new_session_workers(8);
  rf_options *options = patient_options();
  for (int round = 0; ended[0] < 5 || ended[1] < 5; round++) {
    rf_future *futures[AT_ONCE];
    const rf_response *response = NULL;
    if (round == 100) FAIL("%d failed, %d did not", ended[false], ended[true]);
    for (int i = 0; i < AT_ONCE; i++) {
      futures[i] = get(session, text("%s/bytes/60000", env("RF_TEST_FAULTS_HTTP")), options);
    }
    for (int i = 0; i < AT_ONCE; i++) {
      rf_status status = rf_future_result(futures[i], LONG_MS * patience(), &response);
      CHECK(status == RF_OK || status == RF_FAILED);
      ended[status == RF_OK]++;
      rf_future_free(futures[i]);
    }
  }
  rf_options_free(options);
  rf_session_free(session);
}

int main(void) {
  learn();
  int before = descriptors();
  tls_gives_an_error_and_never_another_body();
  without_tls_every_future_ends_as_well();
  CHECK_INT(before, descriptors());
  return finish();
}
