"""requests_futures for asyncio: one thread of the library's for all requests, and none that calls into Python."""
import asyncio

from requests_futures import Session, check, ffi, finish, lib, made, outcome


class AsyncSession(Session):
    """Futures of asyncio, finished by the loop itself, which watches one descriptor. Cancelling one aborts its request."""

    def __init__(self, at_once=1000):
        super().__init__(at_once, made(lib.rf_executor_new_events, at_once, 1))
        self._queue = ffi.gc(made(lib.rf_as_completed, ffi.NULL, 0), lib.rf_completed_free)
        self._waiting = {}
        self._count = 0

    def request(self, method, url, **options):
        raw = ffi.gc(self._submit(method, url, **options), lib.rf_future_free)
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        future.add_done_callback(lambda done: lib.rf_future_abort(raw) if done.cancelled() else None)
        self._waiting[self._count] = future
        self._count += 1
        check(lib.rf_completed_add(self._queue, raw))
        loop.add_reader(lib.rf_completed_fd(self._queue), self._take, loop)
        return future

    async def aclose(self, mode=lib.RF_CLOSE_WAIT):
        """Closes the session, on a thread that waits for it: the loop goes on meanwhile."""
        await asyncio.to_thread(self.close, mode)

    async def __aenter__(self):
        return self

    async def __aexit__(self, failure, *_):
        await self.aclose(lib.RF_CLOSE_WAIT if failure is None else lib.RF_CLOSE_ABORT)

    def _take(self, loop):
        raw, index = ffi.new("rf_future **"), ffi.new("size_t *")
        while (status := lib.rf_completed_next(self._queue, 0, raw, index)) == lib.RF_OK:
            future = self._waiting.pop(index[0])
            if not future.cancelled() and not future.get_loop().is_closed():
                finish(future, outcome(raw[0]))
        if status == lib.RF_END:  # readable from now on: until there are more
            loop.remove_reader(lib.rf_completed_fd(self._queue))
