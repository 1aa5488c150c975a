"""Who is broken, and when the gap is told: decided without any connection."""

import asyncio

from redis_manager_fastapi import Gap, Message
from redis_manager_fastapi.realtime.buffer import Buffer
from redis_manager_fastapi.realtime.subscriptions.channel import Break, Channel, Kind, Listener


def make(*names: str) -> tuple[dict[str, Channel], Listener]:
    """Return channels that are heard, and a listener that has entered."""
    channels = {name: Channel((Kind.CHANNEL, name)) for name in names}
    for channel in channels.values():
        channel.confirm(0.0)
    return channels, listen(*channels.values())


def listen(*channels: Channel) -> Listener:
    buffer: Buffer[Message] = Buffer(10, "drop", lambda size: ValueError(size))
    listener = Listener([channel.key for channel in channels], buffer)
    for channel in channels:
        channel.join(listener)
    listener.entered = not listener.missing
    return listener


async def told(listener: Listener) -> list[object]:
    """Return what the listener has to take."""
    return [await listener.buffer.take() for _ in range(len(listener.buffer))]


async def test_the_gap_is_told_once_all_channels_are_back() -> None:
    channels, listener = make("a", "b")
    broken = Break("it broke", 1.0)
    for channel in channels.values():
        channel.lose(broken)
    assert all(channel.deaf for channel in channels.values())
    channels["a"].confirm(2.0)
    assert await told(listener) == []
    channels["b"].confirm(3.0)
    assert await told(listener) == [Gap("it broke", 2.0)]
    assert broken.told


async def test_a_second_break_before_the_first_is_over_is_the_same_gap() -> None:
    channels, listener = make("a", "b")
    channels["a"].lose(Break("first", 1.0))
    channels["b"].lose(Break("second", 2.0))
    channels["a"].confirm(3.0)
    channels["b"].confirm(4.0)
    assert await told(listener) == [Gap("first", 3.0)]


async def test_one_gap_tells_of_the_breaks_of_two_servers() -> None:
    channels, listener = make("a", "b")
    breaks = Break("first", 1.0), Break("second", 2.0)
    channels["a"].lose(breaks[0])
    channels["b"].lose(breaks[1])
    channels["b"].confirm(3.0)
    channels["a"].confirm(4.0)
    assert await told(listener) == [Gap("first", 3.0)]
    assert [each.told for each in breaks] == [True, True]


async def test_who_is_entering_gets_no_gap() -> None:
    """One of its channels was heard already, by others."""
    channels, other = make("a")
    entering = listen(channels["a"], Channel((Kind.CHANNEL, "b")))
    waiting = asyncio.create_task(entering.wait_heard())
    await asyncio.sleep(0)
    channels["a"].lose(Break("it broke", 1.0))
    (late,) = (channel for channel in entering.missing if channel is not channels["a"])
    late.confirm(2.0)
    assert not entering.entered
    channels["a"].confirm(2.0)
    await waiting
    assert (await told(entering), await told(other)) == ([], [Gap("it broke", 1.0)])


async def test_a_channel_that_is_refused_does_not_hold_the_gap_back() -> None:
    channels, listener = make("a", "b")
    broken = Break("it broke", 1.0)
    for channel in channels.values():
        channel.lose(broken)
    channels["b"].refuse(lambda: PermissionError())
    channels["a"].confirm(2.0)
    assert channels["b"].deaf
    assert len(await told(listener)) == 1
    channels["b"].confirm(5.0)
    assert await told(listener) == [Gap("it broke", 4.0)]
    assert not channels["b"].deaf


async def test_a_channel_that_is_refused_is_told_of_when_it_is_back() -> None:
    """Before, nothing is heard that a gap could stand in front of."""
    channels, listener = make("a")
    channels["a"].lose(Break("it broke", 1.0))
    channels["a"].refuse(lambda: PermissionError())
    assert await told(listener) == []
    channels["a"].refuse(lambda: PermissionError())
    channels["a"].confirm(5.0)
    assert await told(listener) == [Gap("it broke", 4.0)]


async def test_who_has_left_is_told_nothing() -> None:
    channels, listener = make("a")
    channels["a"].lose(Break("it broke", 1.0))
    channels["a"].leave(listener)
    channels["a"].confirm(2.0)
    assert await told(listener) == []
    assert channels["a"].buffers == ()
