"""Cached reads, held against the truth."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.staleness.truth import Value
from benchmarks.staleness.writing import Writer
from redis_manager_fastapi import RedisManagerError

PAUSE = 0.002
QUIET = "none yet"


@dataclass(slots=True)
class Read:
    """One that gave what was not true any more when it began, as far as is known yet."""

    writer: Writer
    fault: str
    began: float
    ended: float
    value: Value

    @property
    def age(self) -> float:
        """How old its value was."""
        return self.writer.truth.age(self.value, self.began, self.ended)


@dataclass
class Readers:
    """Those that read one deployment's keys, and what they saw.

    Attributes:
        fault: What was broken last; a read counts for it until the next fault.
        faults: How often each was made.
        reads: How many values were held against the truth, by fault.
        refused: How many reads gave none, by error.
        over: Set to end them.
    """

    fault: str = QUIET
    faults: Counter[str] = field(default_factory=Counter)
    reads: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    over: bool = False
    _behind: list[Read] = field(default_factory=list)

    def breaks(self, fault: str) -> None:
        """Count a fault that is about to be made."""
        self.fault = fault
        self.faults[fault] += 1

    async def read(self, client: Any, writers: Iterable[Writer]) -> None:
        """Read by *client* what they write, each key in a task of its own, until it is over."""
        await asyncio.gather(*(self._read(client, each) for each in writers))

    def oldest(self) -> dict[str, float]:
        """Return for each fault how old the oldest value was, in seconds."""
        ages = dict.fromkeys(self.reads, 0.0)
        for read in self._behind:
            ages[read.fault] = max(ages[read.fault], read.age)
        return ages

    async def _read(self, client: Any, writer: Writer) -> None:
        while not self.over:
            began = time.monotonic()
            try:
                value = await client.get(writer.key)
            except RedisManagerError as error:
                self.refused[type(error).__name__] += 1
            else:
                read = Read(writer, self.fault, began, time.monotonic(), value)
                self.reads[read.fault] += 1
                if read.age > 0:
                    self._behind.append(read)
            await asyncio.sleep(PAUSE)
