"""The table of docs/libraries.md, from what the tests have measured."""

import os
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "libraries.md"
TABLE = re.compile(r"(?<=<!-- measured by scripts/interop -->\n).*?(?=<!-- end -->)", re.DOTALL)
HEAD = (
    "| library | restart of 1 s: failed jobs | with plain redis-py"
    " | outage of 4 s: failed jobs | with plain redis-py"
    " | works again after | with plain redis-py |\n| --- |" + " --- |" * 6
)


Cells = dict[tuple[str, str], tuple[str, str]]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table; with `INTEROP_WRITE` set, write it into the page."""
    rows: defaultdict[str, Cells] = defaultdict(dict)
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties:
            if name == "interop" and report.when == "call":
                trial, library, side, failed, begun, back = value
                seconds = "never" if back is None else f"{back:.1f} s"
                rows[library][trial, side] = f"{failed} of {begun}", seconds
    if not rows:
        return
    from tests.interop.libraries import LIBRARIES  # needs the libraries

    table = "\n".join([HEAD, *(_row(name, rows[name]) for name in LIBRARIES if name in rows)])
    terminalreporter.section("interop")
    terminalreporter.write_line(table)
    if os.environ.get("INTEROP_WRITE"):
        PAGE.write_text(TABLE.sub(lambda _: f"{table}\n", PAGE.read_text()))


def _row(library: str, cells: Cells) -> str:
    nothing = ("", "")
    failed = [
        cells.get((trial, side), nothing)[0]
        for trial in ("restart", "outage")
        for side in ("ours", "plain")
    ]
    back = [cells.get(("outage", side), nothing)[1] for side in ("ours", "plain")]
    return f"| {library} | {' | '.join(failed + back)} |"
