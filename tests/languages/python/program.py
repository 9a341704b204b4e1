"""2,000 requests by threads and by asyncio, a failure, an abort, a hook; and the program ends while requests run."""
import asyncio
import concurrent.futures
import os
import time

from requests_futures import RequestError, Session, lib
from requests_futures_asyncio import AsyncSession

URL = os.environ["RF_TEST_HTTP"]


def threads():
    session = Session(at_once=16)
    futures = [session.get(f"{URL}/hello") for _ in range(1000)]
    assert all(done.result().content == b"Hello, world!" for done in concurrent.futures.as_completed(futures, 60))

    try:
        session.get("http://127.0.0.1:1/").result(60)
        raise AssertionError("it did not fail")
    except RequestError as error:
        assert error.kind == "RF_ERROR_CONNECTION" and error.url == "http://127.0.0.1:1/" and "127.0.0.1" in str(error)

    running = session.get(f"{URL}/delay/60")
    assert running.cancel()
    try:
        running.result(60)
        raise AssertionError("it was not aborted")
    except concurrent.futures.CancelledError:
        pass

    sent = session.post(f"{URL}/echo", body=b"a body", headers={"Content-Type": "text/plain"}).result(60)
    assert sent.content == b"a body" and sent.header("Content-Type") == "text/plain"

    for url, headers in (("http://a\0b", {}), (URL, {"X-A": "a\0b"})):
        try:
            session.get(url, headers=headers)
            raise AssertionError("a NUL was taken")
        except ValueError:
            pass
    with Session() as other:
        last = other.get(f"{URL}/delay/0.1", deadline=60)
    assert last.done() and last.result().status_code == 200

    seen = []
    response = session.get(f"{URL}/get", hook=lambda response: seen.append(response.header("Content-Type"))).result(60)
    assert response.status_code == 200 and seen == ["application/json"]
    try:
        session.get(f"{URL}/get", hook=lambda response: 1 / 0).result(60)
        raise AssertionError("the hook did not fail")
    except RequestError as error:
        assert error.kind == "RF_ERROR_HOOK" and str(error) == "division by zero"
    return session


async def loop():
    async with AsyncSession() as session:
        responses = await asyncio.gather(*(session.get(f"{URL}/hello") for _ in range(1000)))
        assert all(response.content == b"Hello, world!" for response in responses)
        assert (await session.post(f"{URL}/echo", body=b"a body")).content == b"a body"
        assert (await asyncio.wrap_future(Session().get(f"{URL}/hello"))).status_code == 200
        try:
            await session.get("no-scheme")
            raise AssertionError("it did not fail")
        except RequestError as error:
            assert error.kind == "RF_ERROR_MISSING_SCHEMA"
        begin = time.monotonic()
        try:
            await asyncio.wait_for(session.get(f"{URL}/delay/60"), 0.05)
            raise AssertionError("it did not time out")
        except asyncio.TimeoutError:
            assert time.monotonic() - begin < 30
        # Closing waits for what runs, and the loop goes on.
        last, ticks = asyncio.ensure_future(session.get(f"{URL}/delay/0.3")), 0
        closing = asyncio.ensure_future(session.aclose())
        while not closing.done():
            await asyncio.sleep(0.01)
            ticks += 1
        assert ticks > 3 and (await last).status_code == 200

    # What somebody else ends has failed; the task that waits for it is not cancelled.
    session = AsyncSession()
    running = session.get(f"{URL}/delay/60")
    await session.aclose(lib.RF_CLOSE_ABORT)
    try:
        await running
        raise AssertionError("it was not ended")
    except RequestError as error:
        assert error.kind in ("RF_ERROR_ABORTED", "RF_ERROR_CANCELLED")


async def leave(session):
    session.get(f"{URL}/delay/0.2")


async def come_back(session):
    assert (await session.get(f"{URL}/delay/0.4")).status_code == 200


session = threads()
asyncio.run(loop())
both = AsyncSession()
asyncio.run(leave(both))  # what this loop does not wait for
asyncio.run(come_back(both))  # does not disturb the next one
futures = [session.get(f"{URL}/delay/60", hook=print) for _ in range(20)]  # and nobody waits for them
print("done")
