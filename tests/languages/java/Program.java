// 2,000 requests, a failure, an abort, a hook; and the program ends while requests run.

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

final class Program {
  public static void main(String[] arguments) throws Exception {
    String url = System.getenv("RF_TEST_HTTP");
    Session session = new Session(64);
    List<CompletableFuture<Session.Response>> all = new ArrayList<>();
    for (int i = 0; i < 2000; i++) all.add(session.get(url + "/hello"));
    for (var future : all) must(new String(future.join().content()).equals("Hello, world!"), "each answer is whole");

    Session.RequestException failure = failure(session.get("http://127.0.0.1:1/"));
    must(failure.kind.equals("RF_ERROR_CONNECTION") && failure.url.equals("http://127.0.0.1:1/"), "a failure");
    CompletableFuture<Session.Response> cancelled = session.get(url + "/delay/60");
    must(cancelled.cancel(true) && cancelled.isCancelled(), "an abort");

    List<String> seen = new ArrayList<>();
    session.request("GET", url + "/get", null, response -> seen.add(response.contentType())).join();
    must(seen.equals(List.of("application/json")), "a hook");
    Session.RequestException refused = failure(session.request("GET", url + "/get", null, response -> {
      throw new IllegalArgumentException("not this one");
    }));
    must(refused.kind.equals("RF_ERROR_HOOK") && refused.getMessage().equals("not this one"), "a hook that fails");

    for (int i = 0; i < 20; i++) session.request("GET", url + "/delay/60", null, response -> {});
    System.out.println("done");
  }

  private static Session.RequestException failure(CompletableFuture<Session.Response> future) {
    try {
      future.join();
    } catch (CompletionException | CancellationException exception) {
      return (Session.RequestException) exception.getCause();
    }
    throw new AssertionError("it did not fail");
  }

  private static void must(boolean ok, String what) {
    if (!ok) throw new AssertionError("not true: " + what);
  }
}
