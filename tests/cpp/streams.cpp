// Bodies that are read as they come: bytes, lines, events.
#include "check.hpp"

namespace {

void streams() {
  rf::session session;
  rf::options streamed;
  streamed.set_stream();

  const rf::response bytes = GET(session.get(http("/bytes/10000"), streamed));
  char buffer[777];
  std::size_t total = 0;
  while (const std::size_t length = bytes.read(buffer, sizeof buffer)) total += length;
  CHECK_INT(10'000, total);
  CHECK_INT(0, *bytes.try_read(buffer, sizeof buffer));
  // It is gone.
  CHECK_IS(rf::error_kind::stream_consumed, ERROR_THROWN(bytes.json()).kind());
  CHECK(!bytes.try_content() && !bytes.try_text());
  ERROR_THROWN(bytes.content());
  ERROR_THROWN(bytes.text());

  const rf::response lines = GET(session.get(http("/stream/5"), streamed));
  int count = 0;
  CHECK_CONTAINS("\"id\":0", *lines.read_line());
  for (const std::string_view line : lines.lines()) {
    CHECK_CONTAINS("\"id\":", line);
    count++;
  }
  CHECK_INT(4, count);
  CHECK(!lines.read_line());
  CHECK_IS(rf::status::end, lines.try_read_line().status());
  CHECK_CONTAINS("The body was read before", ERROR_THROWN(lines.text()).what());

  const rf::response events =
      GET(session.get(http("/chunks?c=event:%20greeting%0Aid:%207%0Aretry:%2030%0Adata:%20hello%0Adata:%20there%0A%0A"
                           "&c=data:%20second%0A%0A&c=data:%20cut%20off"),
                      streamed));
  const auto first = events.read_event();
  CHECK_EQUAL("greeting", first->type());
  CHECK_EQUAL("hello\nthere", first->data());
  CHECK_EQUAL("7", first->id());
  CHECK(first->retry() == 30ms);
  count = 0;
  for (const rf::event_view event : events.events()) {
    CHECK_EQUAL("message", event.type());
    CHECK_EQUAL("second", event.data());
    count++;
  }
  CHECK_INT(1, count);
  CHECK_IS(rf::status::end, events.try_read_event().status());

  const rf::response trailers = GET(session.get(raw("/raw?bytes=HTTP/1.1%20200%20OK%0D%0ATransfer-Encoding:%20chunked%0D%0A%0D%0A"
                                                    "2%0D%0Aok%0D%0A0%0D%0AX-Sum:%201%0D%0A%0D%0A")));
  CHECK_EQUAL("ok", trailers.text());
  CHECK_INT(1, trailers.trailers().size());
  CHECK_EQUAL("X-Sum", trailers.trailers()[0].first);
  CHECK_EQUAL("1", trailers.trailers()[0].second);

  // What breaks off says so, wherever it is read.
  const std::string broken = raw("/close/body?declared=100&sent=10");
  const rf::response cut = GET(session.get(broken, streamed));
  CHECK(ERROR_THROWN(cut.content()).is(rf::error_kind::request));
  const rf::response read = GET(session.get(broken, streamed));
  const rf::error error = ERROR_THROWN([&] {
    while (read.read(buffer, sizeof buffer) > 0) continue;
  }());
  CHECK_IS(rf::status::failed, error.status());
  CHECK_IS(rf::error_kind::chunked_encoding, error.kind());
  CHECK_CONTAINS("10", error.message());

  const rf::response closed = GET(session.get(http("/bytes/1000000"), streamed));
  CHECK_IS(rf::status::ok, closed.close());
  CHECK_IS(rf::status::state, ERROR_THROWN(closed.read(buffer, 1)).status());
  CHECK_IS(rf::status::state, ERROR_THROWN(closed.text()).status());
}

}  // namespace

int main() {
  streams();
  return finish();
}
