// requests_futures from Java, by JNA: a CompletableFuture for each request.

import com.sun.jna.Callback;
import com.sun.jna.CallbackThreadInitializer;
import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.LongByReference;
import com.sun.jna.ptr.PointerByReference;
import java.lang.ref.Cleaner;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;

/** What requests share. Functions are called on threads of the library's, which the virtual machine is told of. */
final class Session implements AutoCloseable {
  /** What a request failed with. */
  @SuppressWarnings("serial")
  static final class RequestException extends RuntimeException {
    final String kind;
    final String url;

    private RequestException(Pointer error) {
      super(RF.rf_error_message(error));
      kind = RF.rf_error_kind_name(RF.rf_error_kind_of(error));
      url = RF.rf_error_url(error);
    }
  }

  /** What the server answered. */
  record Response(int statusCode, String contentType, byte[] content) {
    private static Response copied(Pointer response) {
      LongByReference length = new LongByReference();
      Pointer content = RF.rf_response_content(response, length);
      return new Response(RF.rf_response_status_code(response), RF.rf_response_header(response, "Content-Type"),
          content == null ? null : content.getByteArray(0, (int) length.getValue()));
    }
  }

  interface Done extends Callback {
    void call(Pointer future, Pointer userData);
  }

  interface Hook extends Callback {
    int call(Pointer call, Pointer response, Pointer userData);
  }

  interface Functions extends Library {
    String rf_status_name(int status);
    int rf_executor_new_events(long maxRequests, long maxWorkers, PointerByReference out);
    void rf_executor_free(Pointer executor);
    int rf_config_new(PointerByReference out);
    int rf_config_set_executor(Pointer config, Pointer executor);
    void rf_config_free(Pointer config);
    int rf_session_new(Pointer config, PointerByReference out);
    int rf_session_request(Pointer session, String method, String url, Pointer options, PointerByReference out);
    int rf_session_close(Pointer session, int mode);
    int rf_options_new(PointerByReference out);
    int rf_options_set_json(Pointer options, String json);
    int rf_options_add_hook(Pointer options, Hook hook, Pointer userData, Pointer drop);
    void rf_options_free(Pointer options);
    int rf_hook_fail(Pointer call, String message);
    boolean rf_future_abort(Pointer future);
    int rf_future_result(Pointer future, long timeout, PointerByReference out);
    int rf_future_exception(Pointer future, long timeout, PointerByReference out);
    int rf_future_add_done_callback(Pointer future, Done done, Pointer userData, Pointer drop);
    void rf_future_free(Pointer future);
    int rf_response_status_code(Pointer response);
    String rf_response_header(Pointer response, String name);
    Pointer rf_response_content(Pointer response, LongByReference length);
    int rf_error_kind_of(Pointer error);
    String rf_error_kind_name(int kind);
    String rf_error_message(Pointer error);
    String rf_error_url(Pointer error);
  }

  private static final int OK = 0;
  private static final int CLOSE_ABORT = 2;
  private static final Functions RF = Native.load(
      "librequests_futures.so.0", Functions.class, Map.of(Library.OPTION_STRING_ENCODING, "UTF-8"));
  // A thread that calls stays known to the virtual machine, which does not wait for it at its end.
  private static final CallbackThreadInitializer THREADS = new CallbackThreadInitializer(true, false, "requests-futures");

  private static final Cleaner CLEANER = Cleaner.create();

  private final Pointer raw;
  // What the library may still call must not be collected.
  private final Set<Object> alive = ConcurrentHashMap.newKeySet();

  Session(int atOnce) {
    Pointer loop = made(out -> RF.rf_executor_new_events(atOnce, 4, out));
    Pointer config = made(RF::rf_config_new);
    check(RF.rf_config_set_executor(config, loop));
    raw = made(out -> RF.rf_session_new(config, out));
    RF.rf_config_free(config);
    RF.rf_executor_free(loop);
    Runtime.getRuntime().addShutdownHook(new Thread(this::close));
  }

  CompletableFuture<Response> get(String url) {
    return request("GET", url, null, null);
  }

  /** To cancel what it returns aborts the request. The hook sees each response on its way; an exception fails the request. */
  CompletableFuture<Response> request(String method, String url, String json, Consumer<Response> hook) {
    Pointer options = made(RF::rf_options_new);
    Hook called = hook == null ? null : (call, response, userData) -> {
      try {
        hook.accept(Response.copied(response));
        return OK;
      } catch (RuntimeException exception) {
        return RF.rf_hook_fail(call, exception.getMessage());
      }
    };
    if (json != null) check(RF.rf_options_set_json(options, json));
    if (called != null) {
      Native.setCallbackThreadInitializer(called, THREADS);
      check(RF.rf_options_add_hook(options, called, null, null));
    }
    Pointer future = made(out -> RF.rf_session_request(raw, method, url, options, out));
    RF.rf_options_free(options);
    CompletableFuture<Response> promise = new CompletableFuture<>() {
      @Override
      public boolean cancel(boolean mayInterrupt) {
        boolean cancelled = super.cancel(mayInterrupt);
        if (cancelled) RF.rf_future_abort(future);
        return cancelled;
      }
    };
    Done done = new Done() {
      @Override
      public void call(Pointer over, Pointer userData) {
        PointerByReference out = new PointerByReference();
        if (RF.rf_future_result(over, 0, out) == OK) {
          promise.complete(Response.copied(out.getValue()));
        } else {
          RF.rf_future_exception(over, 0, out);
          promise.completeExceptionally(new RequestException(out.getValue()));
        }
        if (called != null) alive.remove(called);
        alive.remove(this);
      }
    };
    alive.add(done);
    if (called != null) alive.add(called);
    Native.setCallbackThreadInitializer(done, THREADS);
    check(RF.rf_future_add_done_callback(future, done, null, null));
    CLEANER.register(promise, () -> RF.rf_future_free(future));
    return promise;
  }

  /** Aborts what runs. When it returns no function of Java's will be called any more. */
  @Override
  public void close() {
    check(RF.rf_session_close(raw, CLOSE_ABORT));
  }

  private interface Call {
    int call(PointerByReference out);
  }

  private static Pointer made(Call call) {
    PointerByReference out = new PointerByReference();
    check(call.call(out));
    return out.getValue();
  }

  private static void check(int status) {
    if (status != OK) throw new IllegalStateException(RF.rf_status_name(status));
  }
}
