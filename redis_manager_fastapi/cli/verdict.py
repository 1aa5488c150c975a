"""How findings look to whoever is awakened by them."""

from rich.text import Text

from redis_manager_fastapi.cli.findings import Finding, Outcome, Report
from redis_manager_fastapi.cli.output import say, wrapped

_STYLES = {
    Outcome.OK: "green",
    Outcome.WARN: "yellow",
    Outcome.FAIL: "bold red",
    Outcome.SKIPPED: "dim",
}
_INDENT = 19
_MARKS = {Outcome.SKIPPED: "-"}


def show(finding: Finding) -> None:
    """Write one finding, and its fix below it."""
    style = _STYLES[finding.outcome]
    quiet = "dim" if finding.outcome is Outcome.SKIPPED else ""
    mark = _MARKS.get(finding.outcome, finding.outcome.value)
    lines = [Text.assemble((f"{mark:<6}", style), (f"{finding.step:<13}", quiet))]
    for index, part in enumerate(wrapped(finding.said, indent=_INDENT)):
        if index:
            lines.append(Text(" " * _INDENT))
        lines[-1].append(part, quiet)
    fix = wrapped(f"fix: {finding.fix}", indent=_INDENT) if finding.fix else []
    for index, part in enumerate(fix):
        head, rest = (part[:4], part[4:]) if index == 0 else ("", part)
        lines.append(Text.assemble(" " * _INDENT, (head, style), rest))
    for line in lines:
        line.rstrip()
        say(line)


class Screen:
    """Shows findings as they come; skipped ones with the same reason on one line."""

    def __init__(self) -> None:
        self._skipped: list[str] = []
        self._why = ""

    def __call__(self, finding: Finding) -> None:
        """Show *finding*, or keep it until its neighbours are known."""
        if finding.outcome is Outcome.SKIPPED and finding.said == self._why:
            self._skipped.append(finding.step)
            return
        self.flush()
        if finding.outcome is Outcome.SKIPPED:
            self._skipped, self._why = [finding.step], finding.said
        else:
            show(finding)

    def flush(self) -> None:
        """Show what is kept."""
        if not self._skipped:
            return
        steps = self._skipped
        self._skipped = []
        said = f"skipped: {self._why}"
        if len(steps) > 1:
            said = f"skipped {', '.join(steps)}: {self._why}"
        show(Finding(steps[0] if len(steps) == 1 else "", Outcome.SKIPPED, said))
        self._why = ""


def conclude(report: Report) -> None:
    """Write what to do first."""
    style = "bold red" if report.failed else "bold"
    say("")
    for line in wrapped(report.first):
        say(Text(line, style=style))
