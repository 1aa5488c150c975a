"""Run the tests on every server that can be had: `scripts/matrix --servers`.

`scripts/servers` finds the programs.  Arguments go to pytest; with none, all
of `tests` runs.  Each run leaves a log and a report in `.venvs`.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from redis_manager_fastapi.testing.binary import VARIABLE

ROOT = Path(__file__).parents[2]
LOGS = ROOT / ".venvs"
PARALLEL = ("-n", "4", "--dist", "worksteal", "-p", "no:cacheprovider")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the tests on one server.

    Attributes:
        server: Its name and version.
        passed: Tests that passed.
        failed: The names of those that did not, errors before and after a test included.
        skipped: How many tests gave each reason.
        ended_well: Whether pytest says so.
    """

    server: str
    passed: int
    failed: tuple[str, ...]
    skipped: Counter[str]
    ended_well: bool


def find() -> tuple[dict[str, str], list[str]]:
    """Return the programs by name, and a sentence for each server that cannot be had."""
    ended = subprocess.run([ROOT / "scripts" / "servers"], capture_output=True, text=True)
    left_out = [line for line in ended.stderr.splitlines() if "left out" in line]
    if left_out or ended.returncode:
        sys.stderr.write(ended.stderr)
    return dict(line.split(" ", 1) for line in ended.stdout.splitlines()), left_out


def run(server: str, program: str, arguments: list[str]) -> Outcome:
    """Run the tests on one server."""
    log, report = LOGS / f"servers-{server}.log", LOGS / f"servers-{server}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", *PARALLEL, f"--junitxml={report}"]
    with log.open("w") as output:
        ended = subprocess.run(
            [*command, *arguments],
            cwd=ROOT,
            env=os.environ | {VARIABLE: program},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return read(server, report, ended_well=ended.returncode == 0)


def read(server: str, report: Path, *, ended_well: bool) -> Outcome:
    """Read the report that pytest wrote; there is none when it broke off."""
    cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []  # noqa: S314
    failed = [_name(case) for case in cases if _has(case, "failure", "error")]
    skipped = Counter(
        told.get("message", "").split(", this is ")[0]
        for case in cases
        for told in case.iter("skipped")
    )
    passed = sum(not _has(case, "failure", "error", "skipped") for case in cases)
    return Outcome(server, passed, tuple(dict.fromkeys(failed)), skipped, ended_well)


def _has(case: ElementTree.Element, *outcomes: str) -> bool:
    return any(case.find(outcome) is not None for outcome in outcomes)


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname')}::{case.get('name')}"


def table(outcomes: list[Outcome]) -> Iterator[str]:
    """Return the lines that end the run: the counts, and what was skipped where."""
    yield f"\n{'server':<16}{'passed':>8}{'failed':>8}{'skipped':>8}"
    for each in outcomes:
        counts = (each.passed, len(each.failed), each.skipped.total())
        ending = "" if each.ended_well else f"  see {LOGS / f'servers-{each.server}.log'}"
        yield f"{each.server:<16}" + "".join(f"{count:>8}" for count in counts) + ending
    for each in outcomes:
        yield f"\nskipped on {each.server}:{'' if each.skipped else ' nothing'}"
        yield from (f"{count:>8}  {reason}" for reason, count in sorted(each.skipped.items()))


def main(arguments: list[str]) -> int:
    """Run the tests on each server; return 1 when anything failed, or no server was found."""
    LOGS.mkdir(exist_ok=True)
    servers, left_out = find()
    outcomes = []
    for server, program in servers.items():
        print(f"== {server} ({program})", flush=True)  # noqa: T201
        outcomes.append(run(server, program, arguments))
        for name in outcomes[-1].failed:
            print(f"failed: {name}", flush=True)  # noqa: T201
    print(*table(outcomes), *left_out, sep="\n")  # noqa: T201
    return int(not outcomes or not all(each.ended_well for each in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
