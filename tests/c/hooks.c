/* Hooks: when they run, what they may do, whose they are; background callbacks. */
#include "check.h"

/* Notes a letter for each call; drops are counted. */
typedef struct notes {
  char order[64];
  int codes[64];
  int calls, drops;
} notes;

typedef struct letter {
  notes *to;
  char name;
} letter;

static rf_status note(rf_hook_call *call, const rf_response *response, void *user_data) {
  letter *mine = user_data;
  CHECK(rf_hook_session(call) != NULL);
  CHECK(mine->to->calls < 63);
  mine->to->codes[mine->to->calls] = rf_response_status_code(response);
  mine->to->order[mine->to->calls] = mine->name;
  INCREMENT(mine->to->calls);
  return RF_OK;
}

static void note_drop(void *user_data) {
  letter *mine = user_data;
  INCREMENT(mine->to->drops);
  free(mine);
}

static void add(rf_options *options, notes *to, char name) {
  letter *mine = malloc(sizeof *mine);
  CHECK(mine != NULL);
  mine->to = to;
  mine->name = name;
  CHECK_OK(rf_options_add_hook(options, note, mine, note_drop));
}

static void in_order_and_for_every_hop(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  notes seen;
  memset(&seen, 0, sizeof seen);
  add(options, &seen, 'a');
  add(options, &seen, 'b');
  rf_future *future = get(session, http("/redirect/1"), options);
  RESPONSE(future);
  CHECK_STR("abab", seen.order);
  CHECK_INT(302, seen.codes[0]);
  CHECK_INT(302, seen.codes[1]);
  CHECK_INT(200, seen.codes[2]);
  rf_future_free(future);
  rf_options_free(options);
  EVENTUALLY(LOAD(seen.drops) == 2);
  rf_session_free(session);
}

/* Those of a request replace the session's. */
static void whose(void) {
  rf_session *session = new_session();
  rf_options *defaults = new_options(), *options = new_options();
  notes seen;
  memset(&seen, 0, sizeof seen);
  add(defaults, &seen, 's');
  CHECK_OK(rf_session_update(session, defaults));
  rf_options_free(defaults);
  add(options, &seen, 'r');
  rf_future *future = get(session, http("/hello"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  future = get(session, http("/hello"), options);
  RESPONSE(future);
  rf_future_free(future);
  CHECK_STR("sr", seen.order);
  rf_options_free(options);

  /* Updating replaces them. */
  defaults = new_options();
  add(defaults, &seen, 't');
  CHECK_OK(rf_session_update(session, defaults));
  rf_options_free(defaults);
  future = get(session, http("/hello"), NULL);
  RESPONSE(future);
  rf_future_free(future);
  CHECK_STR("srt", seen.order);
  rf_session_free(session);
  EVENTUALLY(LOAD(seen.drops) == 3);
}

static rf_status refuse(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)response;
  return rf_hook_fail(call, user_data);
}
static rf_status refuse_silently(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)response, (void)user_data;
  return RF_E_STATE;
}
static rf_status regret(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)response, (void)user_data;
  CHECK_STATUS(RF_FAILED, rf_hook_fail(call, "not said"));
  return RF_E_INVALID;
}

static void failing(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  notes seen;
  memset(&seen, 0, sizeof seen);
  CHECK_OK(rf_options_add_hook(options, refuse, "boom \xc3\xa4", NULL));
  add(options, &seen, 'n'); /* never reached */
  rf_future *future = get(session, http("/hello"), options);
  const rf_error *error = ERROR_OF(RF_ERROR_HOOK, future);
  CHECK_HAS("boom \xc3\xa4", rf_error_message(error));
  CHECK_INT(0, seen.calls);
  rf_future_free(future);
  rf_options_free(options);
  EVENTUALLY(LOAD(seen.drops) == 1);

  /* Any return but RF_OK. */
  rf_hook_fn const both[] = {refuse_silently, regret};
  for (int i = 0; i < 2; i++) {
    options = new_options();
    CHECK_OK(rf_options_add_hook(options, both[i], NULL, NULL));
    future = get(session, http("/hello"), options);
    CHECK(rf_error_message(ERROR_OF(RF_ERROR_HOOK, future)) != NULL);
    rf_future_free(future);
    rf_options_free(options);
  }
  rf_session_free(session);
}

static rf_status replace(rf_hook_call *call, const rf_response *response, void *user_data) {
  const char *body = user_data;
  rf_response *made = NULL;
  if (strcmp(body, "second") == 0) CHECK_STR("first", rf_response_text(response, NULL)); /* it feeds the next one */
  CHECK_OK(rf_response_new(299, "text/plain", body, strlen(body), &made));
  rf_status status = rf_hook_replace(call, made);
  rf_response_free(made);
  return status;
}

static void replacing(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, replace, "first", NULL));
  CHECK_OK(rf_options_add_hook(options, replace, "second", NULL));
  rf_future *future = get(session, http("/hello"), options);
  CHECK_INT(299, rf_response_status_code(RESPONSE(future)));
  CHECK_STR("second", rf_response_text(RESPONSE(future), NULL));
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

static int dropped;
static void drop_data(void *data) {
  free(data);
  INCREMENT(dropped);
}

/* Reading the body here is normal; what is stored is there on the result. */
static rf_status store(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)user_data;
  size_t length = 0;
  CHECK(rf_response_content(response, &length) != NULL);
  size_t *kept = malloc(sizeof *kept);
  CHECK(kept != NULL);
  *kept = length;
  CHECK_OK(rf_response_set_data(response, kept, drop_data));
  CHECK_OK(rf_response_set_extra(response, "length", &length, sizeof length));
  CHECK_OK(rf_response_set_encoding(response, "iso-8859-1"));
  return RF_OK;
}

static void storing(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, store, NULL, NULL));
  rf_future *future = get(session, http("/hello"), options);
  const rf_response *response = RESPONSE(future);
  size_t length = 0, kept = 0;
  CHECK_INT(13, *(size_t *)rf_response_data(response));
  memcpy(&kept, rf_response_extra(response, "length", &length), sizeof kept);
  CHECK_INT(sizeof kept, length);
  CHECK_INT(13, kept);
  CHECK_STR("iso-8859-1", rf_response_encoding(response));
  CHECK_STR("Hello, world!", rf_response_text(response, NULL));
  rf_future_free(future);
  EVENTUALLY(LOAD(dropped) == 1);
  rf_options_free(options);
  rf_session_free(session);
}

/* Bytes are copied, and given to the hook at some address of the library's. */
static rf_status compare_bytes(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)response;
  return memcmp(user_data, "bytes\0!", 8) == 0 ? RF_OK : rf_hook_fail(call, "other bytes");
}

static void hook_bytes(void) {
  rf_session *session = new_session();
  rf_options *options = new_options();
  char bytes[8] = "bytes\0!";
  CHECK_OK(rf_options_add_hook_bytes(options, compare_bytes, bytes, 8));
  memset(bytes, 0, sizeof bytes);
  rf_future *future = get(session, http("/hello"), options);
  RESPONSE(future);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

/* A hook may submit requests of its own, with its session. */
static rf_status ask_more(rf_hook_call *call, const rf_response *response, void *user_data) {
  rf_future **more = user_data;
  (void)response;
  return rf_session_get(rf_hook_session(call), http("/get?more=1"), NULL, more);
}

static void hooks_that_submit(void) {
  rf_session *session = new_session_workers(1);
  rf_options *options = new_options();
  rf_future *more = NULL;
  CHECK_OK(rf_options_add_hook(options, ask_more, &more, NULL));
  rf_future *future = get(session, http("/hello"), options);
  RESPONSE(future);
  CHECK_STR("1", json_string(RESPONSE(more), "/args/more"));
  rf_future_free(more);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

static rf_status background(rf_hook_call *call, rf_session *session, const rf_response *response, void *user_data) {
  const char *what = user_data;
  rf_response *made = NULL;
  CHECK(session != NULL);
  CHECK_STR("Hello, world!", rf_response_text(response, NULL));
  if (strcmp(what, "fail") == 0) return rf_hook_fail(call, "background says no");
  if (strcmp(what, "replace") == 0) {
    CHECK_OK(rf_response_new(200, "text/plain", "replaced", 8, &made));
    CHECK_OK(rf_hook_replace(call, made));
    rf_response_free(made);
    return RF_OK;
  }
  return rf_response_set_extra(response, "seen", "yes", 3);
}

static int warnings, log_drops;
static void warned(const char *message, void *user_data) {
  CHECK(user_data == &warnings);
  CHECK_HAS("rf_options_set_background_callback", message);
  INCREMENT(warnings);
}
static void log_dropped(void *user_data) {
  (void)user_data;
  INCREMENT(log_drops);
}

static void background_callbacks(void) {
  /* That it is deprecated is said once, to those who listen. */
  CHECK_OK(rf_set_log(warned, &warnings, log_dropped));
  for (int i = 0; i < 2; i++) {
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_background_callback(options, background, NULL, NULL));
    rf_options_free(options);
  }
  CHECK_INT(1, LOAD(warnings));
  CHECK_OK(rf_set_log(NULL, NULL, NULL));
  CHECK_INT(1, LOAD(log_drops));


  rf_session *session = new_session();
  static char *const what[] = {"look", "replace", "fail"};
  for (int i = 0; i < 3; i++) {
    rf_options *options = new_options();
    CHECK_OK(rf_options_set_background_callback(options, background, what[i], NULL));
    rf_future *future = get(session, http("/hello"), options);
    if (i == 0) CHECK(rf_response_extra(RESPONSE(future), "seen", NULL) != NULL);
    if (i == 1) CHECK_STR("replaced", rf_response_text(RESPONSE(future), NULL));
    if (i == 2) CHECK_HAS("background says no", rf_error_message(ERROR_OF(RF_ERROR_HOOK, future)));
    rf_future_free(future);
    rf_options_free(options);
  }
  rf_session_free(session);
}

static char seen_in_the_hook[64];
static const char *text_in_the_hook;

static rf_status read_all(rf_hook_call *call, const rf_response *response, void *user_data) {
  (void)call, (void)user_data;
  const rf_json *json = NULL;
  CHECK_OK(rf_response_json(response, &json, NULL));
  CHECK(rf_response_content(response, NULL) != NULL);
  text_in_the_hook = rf_response_text(response, NULL);
  snprintf(seen_in_the_hook, sizeof seen_in_the_hook, "%s", text_in_the_hook);
  return RF_OK;
}

static char written[4096];
static rf_status write_down(const uint8_t *data, size_t length, void *user_data) {
  (void)user_data;
  size_t before = strlen(written);
  CHECK(length > 0 && before + length < sizeof written);
  memcpy(written + before, data, length);
  return RF_OK;
}

static rf_status read_a_piece(rf_hook_call *call, const rf_response *response, void *user_data) {
  uint8_t piece[3];
  size_t length = 0;
  (void)call, (void)user_data;
  CHECK_OK(rf_response_read(response, piece, sizeof piece, &length, NULL));
  CHECK(length > 0);
  return RF_OK;
}

/* An output gets the whole body or, when a hook has read some of it in pieces, none: never the rest as if it were all. */
static void an_output_gets_no_rest(void) {
  const char *path = text("%s/%s", env("RF_TEST_DIR"), unique("hook-rest"));
  rf_options *options = new_options();
  CHECK_OK(rf_options_add_hook(options, read_a_piece, NULL, NULL));
  CHECK_OK(rf_options_set_output_file(options, path));
  rf_session *session = new_session();
  rf_future *future = get(session, http("/hello"), options);
  ERROR_OF(RF_ERROR_STREAM_CONSUMED, future);
  CHECK(access(path, F_OK) != 0);
  rf_future_free(future);
  rf_options_free(options);
  rf_session_free(session);
}

/* Content and text are empty after an output, also when a hook has read the body. */
static void content_is_empty_after_an_output(void) {
  rf_session *session = new_session();
  const char *path = text("%s/%s", env("RF_TEST_DIR"), unique("hook-output"));
  for (int to_file = 0; to_file < 2; to_file++) {
    rf_options *options = new_options();
    CHECK_OK(rf_options_add_hook(options, read_all, NULL, NULL));
    if (to_file) CHECK_OK(rf_options_set_output_file(options, path));
    else CHECK_OK(rf_options_set_output(options, write_down, NULL, NULL));
    rf_future *future = get(session, http("/json"), options);
    const rf_response *response = RESPONSE(future);
    size_t length = 9;
    CHECK(rf_response_content(response, &length) != NULL);
    CHECK_INT(0, length);
    length = 9;
    CHECK_STR("", rf_response_text(response, &length));
    CHECK_INT(0, length);
    const rf_json *json = NULL;
    const rf_error *error = NULL;
    CHECK_STATUS(RF_FAILED, rf_response_json(response, &json, &error));
    CHECK_INT(RF_ERROR_JSON_DECODE, rf_error_kind_of(error));
    uint8_t byte;
    CHECK_OK(rf_response_read(response, &byte, 1, &length, NULL));
    CHECK_INT(0, length);
    const char *line = NULL;
    CHECK_STATUS(RF_END, rf_response_read_line(response, &line, NULL, NULL));
    /* What the hook has seen lives as long as the response. */
    CHECK(strncmp(seen_in_the_hook, text_in_the_hook, sizeof seen_in_the_hook - 1) == 0);
    if (to_file) {
      FILE *file = fopen(path, "rb");
      char content[sizeof written] = "";
      CHECK(file != NULL && fread(content, 1, sizeof content - 1, file) > 0);
      fclose(file);
      CHECK_STR(written, content);
      remove(path);
    }
    CHECK_HAS("Sample Slide Show", written);
    rf_future_free(future);
    rf_options_free(options);
  }
  rf_session_free(session);
}

int main(void) {
  content_is_empty_after_an_output();
  an_output_gets_no_rest();

  in_order_and_for_every_hop();
  whose();
  failing();
  replacing();
  storing();
  hook_bytes();
  hooks_that_submit();
  background_callbacks();
  return finish();
}
