"""Waiting until what a block has left behind is gone."""

import contextlib
import gc
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def collected() -> Iterator[None]:
    """What the block leaves in its threads and in cycles is gone at its end.

    That is an error's traceback above all, and what a worker of AnyIO has returned: it may
    hold that for a moment after the caller has it.
    """
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    gc.collect()
