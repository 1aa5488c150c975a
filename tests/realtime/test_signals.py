import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from redis_manager_fastapi import Event, Gap, RedisManager, StateChanged
from redis_manager_fastapi.realtime.signals import ShutdownSignals
from redis_manager_fastapi.realtime.until import gone


@pytest.fixture
def server() -> Iterator[list[int]]:
    """The signals that a server's own handler has received."""
    heard: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    yield heard
    signal.signal(signal.SIGTERM, previous)


async def test_a_signal_reaches_who_listens_and_the_server(server: list[int]) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    first, second = asyncio.Event(), asyncio.Event()
    one, two = ShutdownSignals(), ShutdownSignals()
    one.listen(first.set)
    two.listen(second.set)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.gather(first.wait(), second.wait())
    assert server == [signal.SIGTERM]
    two.stop()
    one.stop()
    assert signal.getsignal(signal.SIGTERM) is handler


async def test_who_stopped_first_is_passed_over(server: list[int]) -> None:
    first, second = asyncio.Event(), asyncio.Event()
    one, two = ShutdownSignals(), ShutdownSignals()
    one.listen(first.set)
    two.listen(second.set)
    one.stop()
    os.kill(os.getpid(), signal.SIGTERM)
    await second.wait()
    assert server == [signal.SIGTERM]
    assert not first.is_set()
    two.stop()


async def test_a_signal_that_nobody_handles_is_left_alone() -> None:
    previous = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        signals = ShutdownSignals()
        signals.listen(lambda: None)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        signals.stop()
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_another_thread_hears_nothing_and_breaks_nothing() -> None:
    async def listen() -> None:
        signals = ShutdownSignals()
        signals.listen(lambda: None)
        signals.stop()

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=lambda: asyncio.run(listen()))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before


def states(events: list[Event | Gap]) -> list[str]:
    return [event.state for event in events if isinstance(event, StateChanged)]


async def test_iterations_over_events_end_with_a_signal_and_hooks_hear_the_rest(
    redis_url: str, server: list[int]
) -> None:
    """Those that have begun end, and those that begin then; a later opening has its own."""
    manager = RedisManager(url=redis_url)
    hooked: list[Event | Gap] = []
    manager.on_event(hooked.append)
    events = manager.events()
    async with manager, asyncio.timeout(5):
        os.kill(os.getpid(), signal.SIGTERM)
        heard = [event async for event in events]
        later = [event async for event in manager.events()]

    assert server == [signal.SIGTERM]
    assert (states(heard)[-1], later) == ("ready", [])
    assert states(hooked)[-2:] == ["draining", "closed"]
    afresh = manager.events()
    async with manager:
        pass
    assert states([event async for event in afresh])[-1] == "closed"


class Client:
    """Sends *messages*, as an ASGI server does, and then raises as Starlette does."""

    def __init__(self, *messages: str) -> None:
        self.messages = list(messages)

    async def receive(self) -> dict[str, Any]:
        if not self.messages:
            raise RuntimeError('Cannot call "receive" once a disconnect message has been received.')
        return {"type": self.messages.pop(0)}


@pytest.mark.parametrize(
    "messages",
    [
        ["http.request", "http.disconnect"],
        ["websocket.receive", "websocket.disconnect"],
        [],
    ],
)
async def test_a_client_is_gone_when_it_has_disconnected(messages: list[str]) -> None:
    async with asyncio.timeout(5):
        await gone(Client(*messages))
