"""The replies that are kept: what drops them, what room they take, and what is known of the last.

No server: every rule is a call.
"""

import gc
import math
import threading
import tracemalloc
from typing import Any

import hiredis

from redis_manager_fastapi.caching.fetch import KeyTimes
from redis_manager_fastapi.caching.store import Life, Pending, Store
from redis_manager_fastapi.caching.values import decoded, may_mean_missing, own
from redis_manager_fastapi.pool.request import Interrupted


class Clock:
    """A clock that stands until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Link:
    """Where a question for a key's time goes by."""

    uncounted = 0


def life(store: Store) -> Life:
    return store.begin_life(Clock(), threading.get_ident(), 1.0)


def ask(
    store: Store, of: Life, *args: Any, keys: Any = None, remember: bool = False, at: float = 100.0
) -> Pending:
    """Enter a pending read; its key is its first argument, unless *keys* are given."""
    read = Pending()
    read.spot, read.keys, read.life = (2, args), keys or args[1].encode(), of
    read.packed, read.began, read.deadline = hiredis.pack_command(args), at, at + 1.0
    store.begin(read, store.tables[True][False].get(args), remember=remember)
    return read


def begin(store: Store, name: str, of: Life, *, remember: bool = False) -> Pending:
    """Enter a pending read of one key."""
    return ask(store, of, "GET", name, remember=remember)


def known(store: Store, name: str) -> Any:
    """The value that is kept for a key, or None."""
    found = store.tables[True][False].get(("GET", name))
    return found[0] if isinstance(found, tuple) else None


def test_push_before_the_reply_is_older_than_the_read() -> None:
    store = Store(10**6)
    of = life(store)
    entry = begin(store, "a", of)

    store.changed(b"a")
    store.keep(entry, "1")
    assert known(store, "a") == "1"

    store.changed(b"a")
    assert known(store, "a") is None


def test_write_of_this_process_keeps_what_is_on_its_way_from_being_kept_or_joined() -> None:
    store = Store(10**6)
    of = life(store)
    entry = begin(store, "a", of)

    store.wrote([b"a"])
    assert ("GET", "a") not in store.tables[True][False]

    younger = begin(store, "a", of)
    store.keep(entry, "old")
    assert (known(store, "a"), store.entries, store.bytes) == (None, 0, 0)
    store.keep(younger, "new")
    assert known(store, "a") == "new"


def test_reply_that_knows_its_key_s_end_is_not_kept_if_the_key_changed_meanwhile() -> None:
    store = Store(10**6)
    of = life(store)
    entry = begin(store, "a", of)
    entry.strict = True

    store.changed(b"a")
    store.keep(entry, "1")

    assert known(store, "a") is None


def test_ended_life_serves_and_keeps_nothing() -> None:
    store = Store(10**6)
    of = life(store)
    kept, pending = begin(store, "a", of), begin(store, "b", of)
    store.keep(kept, "1")

    of.end()
    store.keep(pending, "2")
    of.confirm(200.0)  # an answer that came too late

    assert of.fresh_until == -math.inf
    assert known(store, "b") is None


def test_failed_read_brings_back_what_was_known_unless_that_has_changed() -> None:
    store = Store(10**6)
    of = life(store)
    for name in ("a", "b"):
        store.keep(begin(store, name, of), "1")
    again = [begin(store, name, of, remember=True) for name in ("a", "b")]

    store.changed(b"b")
    for entry in again:
        store.fail(entry)

    assert (known(store, "a"), known(store, "b")) == ("1", None)
    assert store.entries == 1


def test_failed_read_brings_back_when_what_was_known_ends() -> None:
    store = Store(10**6)
    of = life(store)
    ends = ask(store, of, "GET", "a", at=90.0)
    KeyTimes(b"a", ends, Link()).finish(5000)
    store.keep(ends, "1")

    again = begin(store, "a", of, remember=True)
    assert again.last is not None
    store.fail(again)

    table: Any = store.tables[True][False]
    assert again.last[:4] == table["GET", "a"][:4] == ("1", 90.0, 95.0, of.number)


def test_reads_that_fail_for_long_leave_nothing_in_the_queue() -> None:
    store = Store(10**6)
    of = life(store)
    store.keep(begin(store, "a", of), "1")

    for _ in range(5000):
        store.fail(begin(store, "a", of, remember=True))

    assert (known(store, "a"), store.entries) == ("1", 1)
    assert store.queued < 1000


def test_room_is_kept_and_what_was_read_since_goes_last() -> None:
    store = Store(100_000)
    of = life(store)
    first = begin(store, "key:0", of)
    store.keep(first, "x" * 100)
    kept: Any = store.tables[True][False]["GET", "key:0"]
    for number in range(1, 1000):
        kept[5][0] = 1
        store.keep(begin(store, f"key:{number}", of), "x" * 100)

    assert store.bytes <= 100_000
    assert store.evictions > 800
    assert known(store, "key:0") == "x" * 100
    assert known(store, "key:1") is None


def test_bytes_are_what_the_process_takes() -> None:
    store = Store(10**9)
    of = life(store)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()

    for number in range(5000):
        entry = begin(store, f"some:key:{number}", of)
        store.keep(entry, f"{number:0200}")
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert 0.8 < store.bytes / (after - before) < 1.25


def test_reads_of_many_keys_that_overlap_take_what_is_counted() -> None:
    store = Store(10**8)
    of = life(store)
    gc.collect()
    tracemalloc.start()
    for first in range(1000):
        names = [f"key:{first + each}" for each in range(30)]
        keys = tuple(name.encode() for name in names)
        entry = ask(store, of, "MGET", *names, keys=keys)
        store.keep(entry, [str(first + each) for each in range(30)])
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert taken / 1.25 < store.bytes < taken * 1.25


def test_index_and_queue_hold_no_more_than_what_is_kept() -> None:
    store = Store(10**6)
    of = life(store)
    for number in range(20_000):
        store.keep(begin(store, f"{number % 7}", of), "1")
        store.changed(str(number % 7).encode())

    assert (store.entries, store.bytes, len(store._by_key)) == (0, 0, 0)
    assert store.queued < 1000


def test_what_was_dropped_takes_no_memory_whatever_its_size() -> None:
    store = Store(10**8)
    of = life(store)
    tracemalloc.start()
    for number in range(300):
        store.keep(begin(store, "a", of), f"{number:050000}")
        store.changed(b"a")
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert taken < 500_000


def test_several_reads_of_one_key_go_together() -> None:
    store = Store(10**6)
    of = life(store)
    for field in "abc":
        store.keep(ask(store, of, "HGET", "h", field), field)
    assert store.entries == 3

    store.changed(b"h")

    assert (store.tables[True][False], store._by_key) == ({}, {})


def test_sweep_lets_go_of_ended_lives_in_slices() -> None:
    store = Store(10**7)
    old, new = life(store), life(store)
    for number in range(1200):
        store.keep(begin(store, f"{number}", old if number % 2 else new), "1")
    old.end()

    left, slices = store.queued, 0
    while left:
        left, slices = store.sweep(200.0, left), slices + 1

    assert (store.entries, slices) == (600, 3)


def test_sweep_ends_where_the_queue_does() -> None:
    store = Store(10**7)
    of = life(store)
    for number in range(50):
        store.keep(begin(store, f"{number}", of), "1")
    for _ in range(540):
        store.keep(begin(store, "0", of), "1")  # each leaves its predecessor's place in the queue
    assert store.queued == 590
    of.end()

    left = store.queued
    while left:
        left = store.sweep(200.0, left)

    assert (store.entries, store.queued, store.lives) == (0, 0, {})


def test_what_is_kept_is_no_work_for_the_garbage_collector() -> None:
    store = Store(10**7)
    of = life(store)
    gc.collect()
    before = len(gc.get_objects())

    for number in range(3000):
        store.keep(begin(store, f"{number}", of), f"{number}")
    for _ in range(3):  # a tuple is left out once those in it are
        gc.collect()

    assert store.entries == 3000
    assert len(gc.get_objects()) - before < 300


def test_time_of_a_key_ends_its_entry_and_a_change_from_then_on_too() -> None:
    store = Store(10**6)
    of = life(store)
    entries = [begin(store, name, of) for name in "abc"]

    for entry, time in zip(entries, (250, -1, Interrupted(written=True)), strict=True):
        KeyTimes(b"a", entry, Link()).finish(time)

    assert [entry.until for entry in entries] == [100.25, math.inf, -1.0]
    assert all(entry.strict for entry in entries)


def test_values_are_the_caller_s_own() -> None:
    value = [["a", 1], {"b": [2]}]

    mine = own(value)
    mine[0].append("changed")
    mine[1]["b"].append("changed")

    assert value == [["a", 1], {"b": [2]}]
    assert decoded([b"a", {b"b": b"c"}, None, 1.5]) == ["a", {"b": "c"}, None, 1.5]


def test_replies_that_a_missing_key_may_have() -> None:
    missing: Any = (None, 0, -1, "", [], {}, ["a", None], "none", [0])
    assert all(may_mean_missing(value, 1) for value in missing)
    assert not any(may_mean_missing(value, 1) for value in ("0", 1, ["a"], {"a": ""}, "string"))
    # EXISTS of two keys
    assert may_mean_missing(1, 2)
    assert not may_mean_missing(2, 2)
