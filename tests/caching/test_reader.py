"""RESP3 in the form of RESP2: as the same server gives it to a client that speaks RESP2."""

import hiredis
import pytest

from redis_manager_fastapi.caching.reader import LaneReader, unpaired

NOTHING = object()


def make() -> hiredis.Reader:
    return hiredis.Reader(notEnoughData=NOTHING)


STREAM = (
    b"$5\r\nhello\r\n"
    b"*2\r\n$1\r\na\r\n,1.50\r\n"
    b">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\n\xff\r\n\r\n"
    b"%1\r\n$5\r\nfield\r\n$4\r\n,1\r\n\r\n"
    b"~2\r\n$1\r\nx\r\n$1\r\ny\r\n"
    b"_\r\n"
    b"*1\r\n*2\r\n$1\r\nm\r\n,inf\r\n"
    b":7\r\n"
)
READ = [
    b"hello",
    [b"a", b"1.50"],
    [b"invalidate", [b"\xff\r\n"]],
    [b"field", b",1\r\n"],
    [b"x", b"y"],
    None,
    [[b"m", b"inf"]],
    7,
]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_replies_have_the_form_of_resp2_however_they_come(size: int) -> None:
    reader = LaneReader(make, plain=True)
    replies = []

    for start in range(0, len(STREAM), size):
        reader.feed(STREAM[start : start + size])
        while (reply := reader.gets(True)) is not NOTHING:
            replies.append(reply)

    assert replies == READ
    assert not reader._kept


def test_no_more_is_kept_than_what_is_not_read() -> None:
    reader, large = LaneReader(make, plain=True), b"$500000\r\n" + b"," * 500_000 + b"\r\n"
    reader.feed(b"$1")

    for _ in range(5):
        reader.feed(b"\r\nx\r\n" + large + b"$1")
        while reader.gets(False) is not NOTHING:
            pass

    assert len(reader._kept) < 1_100_000
    reader.feed(b"\r\nx\r\n,0.1\r\n")
    assert (reader.gets(False), reader.gets(False)) == (b"x", b"0.1")


def test_members_and_scores_come_one_after_the_other() -> None:
    assert unpaired("ZRANGE", [[b"a", b"1"], [b"b", b"2"]]) == [b"a", b"1", b"b", b"2"]
    assert unpaired("GEOPOS", [[b"1", b"2"]]) == [[b"1", b"2"]]
    assert unpaired("ZRANGE", [b"a"]) == [b"a"]
