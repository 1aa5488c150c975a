"""Make every fault for every client and write the table of docs/faults.md."""

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.faults.rows import ROWS, Row
from benchmarks.faults.run import PATIENCE, as_json, run
from benchmarks.faults.subjects import SUBJECTS, Subject

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
TESTS = ROOT / "tests" / "faults"
NAMED = re.compile(r'async def (test_\w+)\([^"]*?\n    """(Rows? [^:]+): ([^"]+)"""')
LISTED = re.compile(r"^\| ([\d, ]+) \| `([^`]+)` \| .*$", re.MULTILINE)
AT_ONCE = 3  # a run is mostly waiting
HEAD = ("row", "fault", "client", "recovery p50 / max", "slowest call", "calls that failed")
HEAD += ("connects", "descriptors", "")


def main() -> None:
    """Measure, or with `--one` be the process that measures one fault with one client."""
    parser = argparse.ArgumentParser(prog="scripts/faults-report", description=__doc__)
    parser.add_argument("--only", metavar="ROW", help="measure that row again")
    parser.add_argument("--runs", type=int, default=None, help="instead of each client's own")
    parser.add_argument("--one", nargs=2, metavar=("CLIENT", "ROW"), help=argparse.SUPPRESS)
    parser.add_argument("--tests", action="store_true", help="write the list of tests alone")
    arguments = parser.parse_args()
    if arguments.one:
        subject, index = SUBJECTS[arguments.one[0]], int(arguments.one[1])
        print(json.dumps(as_json(asyncio.run(run(subject, ROWS[index])))))
        return
    if arguments.tests:
        _write("tests", "\n".join(_tests()))
        return
    rows = [row for row in ROWS if arguments.only in (None, row.number)]
    lines = list(_table(rows, arguments.runs))
    if arguments.only is None:
        _write("measured", "\n".join([_versions(), "", *_head(), *lines]))
        _write("tests", "\n".join(_tests()))
    else:
        _replace(arguments.only, lines)


def _write(part: str, text: str) -> None:
    """Replace what stands between the two comments that name *part*."""
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    before, rest = PAGE.read_text().split(begin)
    PAGE.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}")


def _replace(number: str, lines: list[str]) -> None:
    """Put *lines* where the page has those of that row."""
    page = PAGE.read_text().splitlines()
    old = [
        n for n, line in enumerate(page) if line.startswith(f"| {number} |") and "::" not in line
    ]
    page[old[0] : old[-1] + 1] = lines
    PAGE.write_text("\n".join(page) + "\n")


def _head() -> tuple[str, str]:
    return f"| {' | '.join(HEAD)} |", f"| {' | '.join(['---'] * len(HEAD))} |"


def _tests() -> Iterator[str]:
    """List what the page has, and the tests whose docstring begins with a row and that it lacks."""
    lines = {line[2]: line[0] for line in LISTED.finditer(PAGE.read_text())}
    for path in sorted(TESTS.glob("test_*.py")):
        for name, rows, sentence in NAMED.findall(path.read_text()):
            number = rows.split(" ", 1)[1].replace(" and ", ", ")
            place, shown = f"{path.name}::{name}", sentence.split("\n")[0]
            lines.setdefault(place, f"| {number} | `{place}` | {shown} |")
    yield "| row | test | what it shows |"
    yield "| --- | --- | --- |"
    yield from sorted(lines.values(), key=lambda line: int(re.findall(r"\d+", line)[0]))


def _versions() -> str:
    names = [
        f"{subject.package} {subject.version or '(not installed, left out)'}"
        for subject in SUBJECTS.values()
    ]
    python = ".".join(map(str, sys.version_info[:3]))
    runs = ", ".join(str(subject.runs) for subject in SUBJECTS.values())
    return f"Python {python}; {', '.join(names)}; each fault was made {runs} times, in that order."


def _table(rows: Iterable[Row], runs: int | None) -> Iterator[str]:
    taking_part = {name: each for name, each in SUBJECTS.items() if each.version is not None}

    def measured(pair: tuple[Row, str]) -> str:
        row, name = pair
        subject = taking_part[name]
        outcomes = [_one(name, row) for _ in range(runs or subject.runs)]
        line = _line(row, subject, [each for each in outcomes if each])
        print(line, file=sys.stderr, flush=True)
        return line

    with ThreadPoolExecutor(AT_ONCE) as threads:
        yield from threads.map(measured, [(row, name) for row in rows for name in taking_part])


def _one(name: str, row: Row) -> dict[str, Any] | None:
    """Measure in a process of its own, so that nothing is left from the run before."""
    command = (sys.executable, "-m", "benchmarks.faults", "--one", name, str(ROWS.index(row)))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        return None
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def _line(row: Row, subject: Subject, outcomes: list[dict[str, Any]]) -> str:
    if not outcomes:
        return f"| {row.number} | {row.title} | {subject.package} | could not be measured |"
    recoveries = sorted(each["recovery"] for each in outcomes)
    calls = sum(each["calls"] for each in outcomes)
    errors = sum((Counter(each["errors"]) for each in outcomes), Counter[str]())
    cells = (
        row.number,
        row.title,
        subject.package,
        f"{_seconds(statistics.median(recoveries))} / {_seconds(recoveries[-1])}",
        _seconds(max(each["slowest"] for each in outcomes)),
        _errors(errors, calls),
        f"{statistics.median(each['connects'] for each in outcomes):g}",
        f"{max(each['descriptors'] for each in outcomes):+d}",
        _remarks(outcomes),
    )
    return f"| {' | '.join(cells)} |"


def _seconds(value: float) -> str:
    return "never" if value >= PATIENCE else f"{value:.2f} s"


def _errors(errors: Counter[str], calls: int) -> str:
    if not errors:
        return "none"
    listed = (f"{100 * number / calls:.2g} % {name}" for name, number in errors.most_common())
    return ", ".join(listed)


def _remarks(outcomes: list[dict[str, Any]]) -> str:
    remarks = []
    if mixed := sum(each["mixed_up"] for each in outcomes):
        remarks.append(f"**{mixed} replies to the wrong caller**")
    if repeated := sum(each["repeated"] for each in outcomes):
        remarks.append(f"**{repeated} writes ran twice**")
    return "; ".join(remarks)


if __name__ == "__main__":
    main()
