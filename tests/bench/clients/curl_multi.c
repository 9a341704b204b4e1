/* libcurl's multi interface on one thread, easy handles used again.
   mode=epoll: we watch the sockets and call curl_multi_socket_action.
   mode=poll: curl_multi_poll and curl_multi_perform, which is less work where most sockets have news. */
#include "curl.h"

#include <sys/epoll.h>

static CURLM *multi;
static int epoll;
static double due = -1; /* when libcurl wants to be called; negative: it does not */

static int watch(CURL *easy, curl_socket_t socket, int what, void *user_data, void *known) {
  (void)easy, (void)user_data;
  struct epoll_event event = {.data.fd = socket};
  if (what == CURL_POLL_REMOVE) {
    epoll_ctl(epoll, EPOLL_CTL_DEL, socket, NULL);
    return 0;
  }
  if (what & CURL_POLL_IN) event.events |= EPOLLIN;
  if (what & CURL_POLL_OUT) event.events |= EPOLLOUT;
  if (known == NULL) {
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event) != 0) fail("epoll");
    curl_multi_assign(multi, socket, &epoll);
  } else {
    epoll_ctl(epoll, EPOLL_CTL_MOD, socket, &event);
  }
  return 0;
}

static int set_timer(CURLM *of, long milliseconds, void *user_data) {
  (void)of, (void)user_data;
  due = milliseconds < 0 ? -1 : milliseconds == 0 ? 0 : seconds_now() + (double)milliseconds / 1e3;
  return 0;
}

static void turn_of_events(void) {
  struct epoll_event events[64];
  int running, wait = -1;
  if (due >= 0) {
    double left = due == 0 ? 0 : due - seconds_now();
    wait = left <= 0 ? 0 : (int)(left * 1e3) + 1;
  }
  /* What is due now needs no look at the sockets first. */
  int count = wait == 0 ? 0 : epoll_wait(epoll, events, 64, wait);
  if (count <= 0) {
    due = -1;
    curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
  }
  for (int i = 0; i < count; i++) {
    int what = 0;
    if (events[i].events & EPOLLIN) what |= CURL_CSELECT_IN;
    if (events[i].events & EPOLLOUT) what |= CURL_CSELECT_OUT;
    if (events[i].events & (EPOLLERR | EPOLLHUP)) what |= CURL_CSELECT_ERR;
    curl_multi_socket_action(multi, events[i].data.fd, what, &running);
  }
}

static void turn_of_polling(void) {
  int running;
  curl_multi_poll(multi, NULL, 0, 1000, NULL);
  curl_multi_perform(multi, &running);
}

static long run(struct transfer *transfers, long requests, int in_flight) {
  long started = 0, over = 0, resumed = 0;
  for (int i = 0; i < in_flight && started < requests; i++) {
    aim(&transfers[i], started++);
    curl_multi_add_handle(multi, transfers[i].easy);
  }
  while (over < requests) {
    if (epoll >= 0) turn_of_events();
    else turn_of_polling();
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(multi, &left)) != NULL) {
      if (message->msg != CURLMSG_DONE) continue;
      CURL *easy = message->easy_handle;
      CURLcode result = message->data.result;
      struct transfer *transfer;
      curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
      curl_multi_remove_handle(multi, easy);
      resumed += look_at(transfer, result);
      over++;
      if (started < requests) {
        aim(transfer, started++);
        curl_multi_add_handle(multi, easy);
      }
    }
  }
  return resumed;
}

int main(int argc, char **argv) {
  work = work_from(argc, argv);
  curl_global_init(CURL_GLOBAL_ALL);
  multi = must(curl_multi_init());
  epoll = strcmp(work.mode, "poll") == 0 ? -1 : epoll_create1(EPOLL_CLOEXEC);
  if (epoll >= 0) {
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
  }
  int at_once = work.connections > work.in_flight ? work.connections : work.in_flight;
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)at_once);
  /* Transfers that have no stream wait for one, and open no further connection. */
  if (work.http2) curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, 1L);
  body = body_of(work.body);
  struct transfer *transfers = must(calloc((size_t)at_once, sizeof *transfers));
  for (int i = 0; i < at_once; i++) set_up(&transfers[i]);

  urls = urls_of(work.warm_url, work.hosts);
  run(transfers, work.warm, at_once);
  urls = urls_of(work.url, work.hosts);
  struct meter before = meter_now();
  long resumed = run(transfers, work.requests, work.in_flight);
  report(before, work.requests, resumed);
  return 0;
}
