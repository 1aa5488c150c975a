"""The order of a parallel run: what is marked `measures` comes last, one test at a time.

`tests/conftest.py` takes the hooks from here.
"""

import gc
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from xdist.remote import Producer
from xdist.scheduler import WorkStealingScheduling
from xdist.workermanage import WorkerController

# A worker runs a test only once it knows the next one, or that there is none.
QUEUE = 2

NAMES = pytest.StashKey[Path]()
"""The file in which every worker writes the names of the tests that measure."""


class MeasuringLast(WorkStealingScheduling):
    """Work stealing, until only tests that measure are left; then all workers but one end."""

    pending: list[int]
    steal_requested_from_node: WorkerController | None

    def __init__(self, config: pytest.Config, log: Producer | None) -> None:
        super().__init__(config, log)
        self._measuring: list[int] | None = None

    @property
    def tests_finished(self) -> bool:
        """Whether nothing is left to be given out."""
        return not self._measuring and super().tests_finished

    def check_schedule(self) -> None:
        """Give out tests; called whenever a test or a worker has ended."""
        if self._measuring is None:
            self._set_aside()
        if not self._measuring:
            super().check_schedule()
        elif self._up() and not self._share():
            self._end_all_but_one()

    def _set_aside(self) -> None:
        assert self.collection is not None
        names = set(json.loads(self.config.stash[NAMES].read_text()))
        self._measuring = [each for each in self.pending if self.collection[each] in names]
        self.pending = [each for each in self.pending if self.collection[each] not in names]

    def _share(self) -> bool:
        """Keep every worker busy; return False when one is idle and there is no test to spare."""
        for number, node in enumerate(idle := self._idle()):
            left = len(idle) - number
            self._send_tests(node, -(-len(self.pending) // left))
        if not self._idle() or self.steal_requested_from_node is not None:
            return True
        richest = max(self._up(), key=self._queued)
        spare = min(self._queued(richest) // 2, self._queued(richest) - QUEUE)
        if spare <= 0:
            return False
        richest.send_steal(self.node2pending[richest][-spare:])
        self.steal_requested_from_node = richest
        return True

    def _end_all_but_one(self) -> None:
        last = max(self._up(), key=self._queued)
        for node in self._idle():
            if node is not last:
                node.shutdown()
        if self.nodes == [last] and self._measuring:
            self.pending, self._measuring = self._measuring, []
            self._send_tests(last, len(self.pending))

    def _up(self) -> list[WorkerController]:
        return [node for node in self.nodes if not node.shutting_down]

    def _idle(self) -> list[WorkerController]:
        return [node for node in self._up() if self._queued(node) < QUEUE]

    def _queued(self, node: WorkerController) -> int:
        return len(self.node2pending[node])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Say to a worker where it writes which tests measure."""
    stash = node.config.stash
    if NAMES not in stash:
        directory = tempfile.TemporaryDirectory(prefix="measuring-")
        node.config.add_cleanup(directory.cleanup)
        stash[NAMES] = Path(directory.name) / "names"
    node.workerinput["names"] = str(stash[NAMES])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """In a worker, write it; pytest-xdist's own hook comes after this one and reports.

    What there is by now, 450,000 objects of thousands of tests, lives to the end: a full
    collection, of which many tests make one, would take 0.3 s to look at it.
    """
    gc.collect()
    gc.freeze()
    workerinput: dict[str, Any] = getattr(session.config, "workerinput", {})
    if "names" in workerinput:
        names = [item.nodeid for item in session.items if item.get_closest_marker("measures")]
        written = Path(f"{workerinput['names']}-{os.getpid()}")
        written.write_text(json.dumps(names))
        written.replace(workerinput["names"])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> MeasuringLast | None:
    """Schedule `--dist worksteal`."""
    return MeasuringLast(config, log) if config.getvalue("dist") == "worksteal" else None
