"""Matching the replies of a large read in slices: one in each turn of the loop."""

import asyncio
from collections.abc import Callable

SLICE = 8 * 1024
"""How many bytes a slice has."""


def read_in_slices(
    transport: asyncio.ReadTransport, data: bytes, take: Callable[[bytes], bool]
) -> None:
    """Hand *data* to *take*, which says whether to go on; nothing is read meanwhile."""
    transport.pause_reading()
    _take_from(0, transport, data, take)


def _take_from(
    start: int, transport: asyncio.ReadTransport, data: bytes, take: Callable[[bytes], bool]
) -> None:
    end = start + SLICE
    if not take(data[start:end]):
        return
    if end < len(data):
        asyncio.get_running_loop().call_soon(_take_from, end, transport, data, take)
    else:
        transport.resume_reading()
