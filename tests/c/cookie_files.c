/* Cookies in files: what is written is read here, by curl and by Python's MozillaCookieJar, and what they write is read
   here; a bad file changes nothing. */
#include "check.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char *new_path(void) { return text("%s/%s", env("RF_TEST_DIR"), unique("cookies")); }

static void put(const char *path, const char *content) {
  FILE *file = fopen(path, "w");
  CHECK(file != NULL && fputs(content, file) >= 0 && fclose(file) == 0);
}

/* What a file holds, until the next call. */
static const char *content_of(const char *path) {
  static char content[65536];
  FILE *file = fopen(path, "r");
  CHECK(file != NULL);
  size_t length = fread(content, 1, sizeof content - 1, file);
  content[length] = '\0';
  fclose(file);
  return content;
}

static void save(const rf_session *session, const char *path) {
  rf_error *error = NULL;
  rf_status status = rf_session_save_cookies(session, path, &error);
  if (status != RF_OK) FAIL("%s", rf_error_message(error));
  CHECK_NULL(error);
}

static void load(rf_session *session, const char *path) {
  rf_error *error = NULL;
  rf_status status = rf_session_load_cookies(session, path, &error);
  if (status != RF_OK) FAIL("%s", rf_error_message(error));
  CHECK_NULL(error);
}

static size_t count(const rf_session *session) {
  rf_cookies *cookies = NULL;
  CHECK_OK(rf_session_cookies(session, &cookies));
  size_t count = rf_cookies_count(cookies);
  rf_cookies_free(cookies);
  return count;
}

/* A cookie of the session's, which must be there. Its strings live until the next call. */
static rf_cookie find(const rf_session *session, const char *name) {
  static rf_cookies *cookies;
  rf_cookie cookie;
  rf_cookies_free(cookies);
  cookies = NULL;
  if (session == NULL) return (rf_cookie){0};
  CHECK_OK(rf_session_cookies(session, &cookies));
  for (size_t i = 0; i < rf_cookies_count(cookies); i++) {
    CHECK_OK(rf_cookies_at(cookies, i, &cookie));
    if (strcmp(cookie.name, name) == 0) return cookie;
  }
  FAIL("no cookie is called %s", name);
}

#define FUTURE 4102444800 /* 2100 */

/* One of each kind. */
static rf_session *full_session(void) {
  static const char *const all[][2] = {
      {"https://www.example.com/", "plain=1; Path=/"},
      {"https://www.example.com/", "below=2; Domain=example.com; Path=/a; Secure; Expires=Fri, 01 Jan 2100 00:00:00 GMT"},
      {"https://www.example.com/", "hidden=3; HttpOnly; Path=/; Expires=Fri, 01 Jan 2100 00:00:00 GMT"},
      {"https://www.example.com/", "__Host-both=4; Secure; HttpOnly; Path=/"},
      {"https://www.example.com/", "empty=; Path=/"},
      {"https://www.example.com/", "odd=\"a b=c\"#; Path=/"},
      {"http://127.0.0.1/x/y", "address=5"},
      {"http://[::1]/", "six=6; Path=/"},
  };
  rf_session *session = new_session_workers(1);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) CHECK_OK(rf_session_set_cookie(session, all[i][0], all[i][1]));
  return session;
}

static void check_full(const rf_session *session, bool has_sessions) {
  rf_cookie cookie = find(session, "below");
  CHECK_STR("2", cookie.value);
  CHECK_STR("example.com", cookie.domain);
  CHECK_STR("/a", cookie.path);
  CHECK(cookie.secure && !cookie.http_only && !cookie.host_only);
  CHECK_INT(FUTURE, cookie.expires_s);
  cookie = find(session, "hidden");
  CHECK_STR("www.example.com", cookie.domain);
  CHECK(!cookie.secure && cookie.http_only && cookie.host_only);
  if (!has_sessions) return;
  cookie = find(session, "plain");
  CHECK_STR("1", cookie.value);
  CHECK_STR("www.example.com", cookie.domain);
  CHECK(!cookie.secure && !cookie.http_only && cookie.host_only);
  CHECK_INT(-1, cookie.expires_s);
  cookie = find(session, "__Host-both");
  CHECK(cookie.secure && cookie.http_only && cookie.host_only);
  CHECK_STR("", find(session, "empty").value);
  CHECK_STR("\"a b=c\"#", find(session, "odd").value);
  cookie = find(session, "address");
  CHECK_STR("127.0.0.1", cookie.domain);
  CHECK_STR("/x", cookie.path);
  CHECK(cookie.host_only);
  CHECK_STR("::1", find(session, "six").domain);
}

static void there_and_back(void) {
  const char *path = new_path();
  rf_session *one = full_session(), *other = new_session_workers(1);
  struct stat about;
  mode_t mask = umask(0);
  save(one, path);
  CHECK_INT(0, stat(path, &about));
  CHECK_INT(0600, about.st_mode & 07777);
  /* However open the file was that it replaces. */
  CHECK_INT(0, chmod(path, 0666));
  save(one, path);
  umask(mask);
  CHECK_INT(0, stat(path, &about));
  CHECK_INT(0600, about.st_mode & 07777);
  load(other, path);
  CHECK_INT(8, count(other));
  check_full(other, true);
  /* Once more, word for word. */
  char *first = strdup(content_of(path));
  CHECK(first != NULL);
  save(other, path);
  CHECK_STR(first, content_of(path));
  free(first);
  CHECK_HAS("# Netscape HTTP Cookie File\n", content_of(path));
  CHECK_HAS("\n.example.com\tTRUE\t/a\tTRUE\t4102444800\tbelow\t2\n", content_of(path));
  CHECK_HAS("\n#HttpOnly_www.example.com\tFALSE\t/\tTRUE\t0\t__Host-both\t4\n", content_of(path));
  CHECK_INT(0, unlink(path));
  rf_session_free(other);

  /* An empty jar makes a file as well; a device is written to as it is. */
  other = new_session_workers(1);
  save(other, path);
  CHECK_STR("# Netscape HTTP Cookie File\n\n", content_of(path));
  load(one, path);
  CHECK_INT(8, count(one));
  CHECK_INT(0, unlink(path));
  save(one, "/dev/null");
  CHECK_INT(0, stat("/dev/null", &about));
  CHECK(S_ISCHR(about.st_mode));
  load(one, "/dev/null");
  rf_session_free(other);
  rf_session_free(one);
}

/* Loading adds; what has expired is neither written nor read. */
static void adding(void) {
  const char *path = new_path();
  rf_session *session = new_session_workers(1);
  CHECK_OK(rf_session_set_cookie(session, "http://h.example/", "kept=old; Path=/"));
  CHECK_OK(rf_session_set_cookie(session, "http://h.example/", "replaced=old; Path=/"));
  CHECK_OK(rf_session_set_cookie(session, "http://h.example/", "short=1; Path=/; Max-Age=1"));
  put(path, "\xef\xbb\xbf# a comment\r\n"
            "\n"
            "   \n"
            "h.example\tFALSE\t/\tFALSE\t0\treplaced\tnew\r\n"
            "h.example\tFALSE\t/\tFALSE\t\tfresh\tof no time\n"
            "h.example\tFALSE\t/\tFALSE\t1000\tkept\texpired\n"
            "H.Example\tFALSE\t/\tFALSE\t4102444800.5\tlong\n"
            "#HttpOnly_.b\xc3\xbc" "cher.example\ttrue\t/\ttrue\t0\tlast\tno end");
  load(session, path);
  CHECK_STR("old", find(session, "kept").value);
  CHECK_STR("new", find(session, "replaced").value);
  CHECK_STR("of no time", find(session, "fresh").value);
  CHECK_STR("", find(session, "long").value);
  CHECK_INT(FUTURE, find(session, "long").expires_s);
  CHECK_STR("xn--bcher-kva.example", find(session, "last").domain);
  CHECK(!find(session, "last").host_only && find(session, "last").http_only && find(session, "last").secure);
  EVENTUALLY(count(session) == 5); /* `short` has gone */
  save(session, path);
  CHECK_NULL(strstr(content_of(path), "short"));
  CHECK_INT(0, unlink(path));
  rf_session_free(session);
}

static void fails(rf_session *session, const char *path, const char *expected, int os_code) {
  rf_error *error = NULL;
  CHECK_STATUS(RF_FAILED, rf_session_load_cookies(session, path, &error));
  CHECK_INT(RF_ERROR_REQUEST, rf_error_kind_of(error));
  CHECK_STR(text("Cannot read the cookies from %s: %s", path, expected), rf_error_message(error));
  CHECK_INT(os_code, rf_error_os_code(error));
  CHECK_NULL(rf_error_url(error));
  rf_error_free(error);
  CHECK_STATUS(RF_FAILED, rf_session_load_cookies(session, path, NULL));
}

/* A line that is no cookie, by its number; the jar is as it was. */
static void bad_files(void) {
  static const char good[] = "h.example\tFALSE\t/\tFALSE\t0\ta\tnew\n";
  static const struct {
    const char *line, *why;
  } bad[] = {
      {"this is no cookie", "it has 1 of 7 fields with tabs between them"},
      {"h.example FALSE / FALSE 0 a b", "it has 1 of 7 fields with tabs between them"},
      {"h.example\tFALSE\t/\tFALSE\t0", "it has 5 of 7 fields with tabs between them"},
      {"h example\tFALSE\t/\tFALSE\t0\ta\tb", "its domain is none"},
      {"h.example\tperhaps\t/\tFALSE\t0\ta\tb", "its second field is neither TRUE nor FALSE"},
      {"h.example\tFALSE\t/\t1\t0\ta\tb", "its fourth field is neither TRUE nor FALSE"},
      {"h.example\tFALSE\t/\tFALSE\ttomorrow\ta\tb", "its fifth field is no time in seconds"},
      {"{\"cookies\": []}", "it has 1 of 7 fields with tabs between them"},
  };
  const char *path = new_path();
  rf_session *session = new_session_workers(1);
  CHECK_OK(rf_session_set_cookie(session, "http://h.example/", "a=old; Path=/"));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    put(path, text("# Netscape HTTP Cookie File\n%s\n%s\n%s", good, bad[i].line, good));
    fails(session, path, text("line 4 is no cookie: %s", bad[i].why), 0);
    CHECK_INT(1, count(session));
    CHECK_STR("old", find(session, "a").value);
  }
  CHECK_INT(0, unlink(path));
  fails(session, path, strerror(ENOENT), ENOENT);
  fails(session, env("RF_TEST_DIR"), strerror(EISDIR), EISDIR);

  rf_error *error = NULL;
  path = text("%s/no/such/file", env("RF_TEST_DIR"));
  CHECK_STATUS(RF_FAILED, rf_session_save_cookies(session, path, &error));
  CHECK_INT(ENOENT, rf_error_os_code(error));
  CHECK_HAS(text("Cannot write the cookies to %s: the directory ", path), rf_error_message(error));
  rf_error_free(error);
  CHECK_STATUS(RF_FAILED, rf_session_save_cookies(session, env("RF_TEST_DIR"), &error));
  CHECK_INT(EISDIR, rf_error_os_code(error));
  rf_error_free(error);
  CHECK_STATUS(RF_FAILED, rf_session_save_cookies(session, path, NULL));
  rf_error_free(NULL);

  /* A failure to write leaves what was there, and nothing beside it. */
  if (access("/dev/full", F_OK) == 0) {
    CHECK_STATUS(RF_FAILED, rf_session_save_cookies(session, "/dev/full", &error));
    CHECK_INT(ENOSPC, rf_error_os_code(error));
    rf_error_free(error);
  }
  rf_session_free(session);
}

/* What is loaded is sent where it belongs, and nowhere else. */
static void as_sent(void) {
  const char *path = new_path();
  rf_session *session = new_session_workers(1);
  put(path, "127.0.0.1\tFALSE\t/\tFALSE\t0\ta\t1\n"
            "127.0.0.1\tFALSE\t/cookies\tFALSE\t4102444800\tb\t2\n"
            "127.0.0.1\tFALSE\t/other\tFALSE\t0\tc\t3\n"
            "127.0.0.1\tFALSE\t/\tTRUE\t0\td\t4\n"
            ".1\tTRUE\t/\tFALSE\t0\te\t5\n"
            ".0.0.1\tTRUE\t/\tFALSE\t0\tf\t6\n");
  load(session, path);
  rf_future *future = get(session, http("/headers"), NULL);
  CHECK_STR("a=1", json_string(RESPONSE(future), "/headers/Cookie"));
  rf_future_free(future);
  future = get(session, http("/cookies"), NULL);
  CHECK_STR("1", json_string(RESPONSE(future), "/cookies/a"));
  CHECK_STR("2", json_string(RESPONSE(future), "/cookies/b"));
  CHECK_NULL(json_string(RESPONSE(future), "/cookies/c"));
  CHECK_NULL(json_string(RESPONSE(future), "/cookies/d"));
  rf_future_free(future);
  CHECK_INT(0, unlink(path));
  rf_session_free(session);
}

/* ---- with others ---- */

/* Runs a program; false when there is none of that name. It must succeed. */
static bool run(const char *const *arguments) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    /* The library that a sanitizer or a C library of its own needs is not theirs. */
    unsetenv("LD_LIBRARY_PATH");
    unsetenv("LD_PRELOAD");
    execvp(arguments[0], (char *const *)arguments);
    _exit(errno == ENOENT ? 127 : 126);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return false;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) FAIL("%s ended with %d", arguments[0], status);
  return true;
}

/* curl takes the jar, sends of it what is the server's, and writes all of it anew, with what the server has set. */
static void with_curl(void) {
  const char *ours = new_path(), *theirs = new_path(), *answer = new_path();
  rf_session *session = full_session();
  CHECK_OK(rf_session_set_cookie(session, http("/"), "sent=by curl; Path=/"));
  CHECK_OK(rf_session_set_cookie(session, http("/"), "also=7; Path=/; HttpOnly; Max-Age=100000"));
  CHECK_OK(rf_session_set_cookie(session, http("/"), "elsewhere=8; Path=/other"));
  save(session, ours);
  const char *const read[] = {"curl", "-q", "-s", "--noproxy", "*", "-b", ours, "-c", theirs, "-o", answer,
                              http("/cookies"), NULL};
  if (!run(read)) {
    printf("skipped: cookies for curl, which is not there\n");
  } else {
    CHECK_STR("{\"cookies\":{\"also\":\"7\",\"sent\":\"by curl\"}}", content_of(answer));
    rf_session *back = new_session_workers(1);
    load(back, theirs);
    CHECK_INT(11, count(back));
    check_full(back, true);
    CHECK_STR("/other", find(back, "elsewhere").path);
    CHECK(find(back, "also").http_only && find(back, "also").expires_s > 0);
    rf_session_free(back);
    /* And what a server has said to curl. */
    const char *const set[] = {"curl", "-q", "-s", "--noproxy", "*", "-b", ours, "-c", theirs, "-o", answer,
                               http("/set-cookie?raw=new%3D9%3B%20Path%3D%2Fcookies%3B%20HttpOnly&raw=sent%3Dchanged%3B%20Path%3D%2F"),
                               NULL};
    CHECK(run(set));
    back = new_session_workers(1);
    load(back, theirs);
    CHECK_STR("changed", find(back, "sent").value);
    CHECK_STR("/cookies", find(back, "new").path);
    CHECK(find(back, "new").http_only && find(back, "new").host_only);
    CHECK_INT(-1, find(back, "new").expires_s);
    rf_session_free(back);
    CHECK_INT(0, unlink(theirs));
    CHECK_INT(0, unlink(answer));
  }
  CHECK_INT(0, unlink(ours));
  rf_session_free(session);
}

static const char script[] =
    "import sys\n"
    "from http.cookiejar import Cookie, MozillaCookieJar\n"
    "jar = MozillaCookieJar(sys.argv[1])\n"
    "jar.load(ignore_discard=True, ignore_expires=True)\n"
    "found = {c.name: c for c in jar}\n"
    "def check(name, value, domain, path, secure, expires, is_below, is_hidden):\n"
    "    c = found[name]\n"
    "    got = (c.value, c.domain, c.path, c.secure, int(c.expires or 0), c.domain_specified)\n"
    "    assert got == (value, domain, path, secure, expires, is_below), (name, got)\n"
    "    if sys.version_info >= (3, 10):\n"
    "        assert c.has_nonstandard_attr('HTTPOnly') == is_hidden, name\n"
    "check('plain', '1', 'www.example.com', '/', False, 0, False, False)\n"
    "check('below', '2', '.example.com', '/a', True, 4102444800, True, False)\n"
    "check('hidden', '3', 'www.example.com', '/', False, 4102444800, False, True)\n"
    "check('__Host-both', '4', 'www.example.com', '/', True, 0, False, True)\n"
    "check('empty', '', 'www.example.com', '/', False, 0, False, False)\n"
    "check('odd', '\"a b=c\"#', 'www.example.com', '/', False, 0, False, False)\n"
    "check('address', '5', '127.0.0.1', '/x', False, 0, False, False)\n"
    "assert len(found) == 8, found\n"
    "def add(name, domain, path, secure, expires):\n"
    "    is_below = domain.startswith('.')\n"
    "    jar.set_cookie(Cookie(0, name, 'of python', None, False, domain, is_below, is_below, path, True, secure,\n"
    "                          expires, expires is None, None, None, {}))\n"
    "add('until', 'h.example', '/', False, 4102444800)\n"
    "add('session', '.h.example', '/p', True, None)\n"
    "jar.save(sys.argv[2], ignore_discard=True, ignore_expires=True)\n";

static void with_python(void) {
  const char *ours = new_path(), *theirs = new_path(), *program = new_path();
  rf_session *session = full_session();
  save(session, ours);
  put(program, script);
  const char *const arguments[] = {"python3", program, ours, theirs, NULL};
  if (!run(arguments)) {
    printf("skipped: cookies for Python's MozillaCookieJar, which is not there\n");
  } else {
    rf_session *back = new_session_workers(1);
    load(back, theirs);
    CHECK_INT(10, count(back));
    CHECK_STR("of python", find(back, "until").value);
    CHECK_INT(FUTURE, find(back, "until").expires_s);
    CHECK(find(back, "until").host_only && !find(back, "until").secure);
    CHECK_STR("h.example", find(back, "session").domain);
    CHECK_STR("/p", find(back, "session").path);
    CHECK(!find(back, "session").host_only && find(back, "session").secure);
    CHECK_INT(-1, find(back, "session").expires_s);
    CHECK_STR("\"a b=c\"#", find(back, "odd").value);
    CHECK_STR("", find(back, "empty").value);
    CHECK_INT(FUTURE, find(back, "below").expires_s);
    rf_session_free(back);
    CHECK_INT(0, unlink(theirs));
  }
  CHECK_INT(0, unlink(program));
  CHECK_INT(0, unlink(ours));
  rf_session_free(session);
}

int main(void) {
  there_and_back();
  adding();
  bad_files();
  as_sent();
  with_curl();
  with_python();
  find(NULL, NULL);
  return finish();
}
