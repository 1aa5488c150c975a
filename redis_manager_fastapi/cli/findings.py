"""What `doctor` finds, step by step, and what to do first."""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from redis_manager_fastapi.cli.exits import Exit


class Outcome(enum.Enum):
    """How a step ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One step's outcome.

    Attributes:
        step: The step.
        outcome: How it ended.
        said: What was found, or why the step was skipped.
        fix: What to do about it; empty where nothing is to be done.
        exit: The exit code that a failure means.
        facts: The numbers behind it, for a program.
    """

    step: str
    outcome: Outcome
    said: str
    fix: str = ""
    exit: Exit = Exit.OK
    facts: dict[str, Any] = field(default_factory=dict)


class Report:
    """The findings so far.

    Args:
        on_finding: Called with each of them at once.
    """

    def __init__(self, on_finding: Callable[[Finding], None] = lambda _: None) -> None:
        self.findings: list[Finding] = []
        self._on_finding = on_finding

    def ok(self, step: str, said: str, **facts: Any) -> None:
        """Note that a step found nothing wrong."""
        self._add(Finding(step, Outcome.OK, said, facts=facts))

    def warn(self, step: str, said: str, fix: str, **facts: Any) -> None:
        """Note what works, and may not for long."""
        self._add(Finding(step, Outcome.WARN, said, fix, facts=facts))

    def fail(self, step: str, said: str, fix: str, code: Exit, **facts: Any) -> None:
        """Note what does not work."""
        self._add(Finding(step, Outcome.FAIL, said, fix, code, facts))

    def skip(self, steps: tuple[str, ...] | str, why: str) -> None:
        """Note which steps could not be taken, and why."""
        for step in (steps,) if isinstance(steps, str) else steps:
            self._add(Finding(step, Outcome.SKIPPED, why))

    @property
    def failed(self) -> list[Finding]:
        """The failures, in order."""
        return [each for each in self.findings if each.outcome is Outcome.FAIL]

    @property
    def exit(self) -> Exit:
        """The code of the first failure."""
        return self.failed[0].exit if self.failed else Exit.OK

    @property
    def first(self) -> str:
        """One sentence: what to do first."""
        if self.failed:
            worst = self.failed[0]
            # A mistake in a setting is half of its sentence.
            said = f"{worst.said}; " if worst.step == "settings" else ""
            return f"First: {said}{worst.fix}."
        warnings = [each for each in self.findings if each.outcome is Outcome.WARN]
        if warnings:
            return f"It works. Before it does not: {warnings[0].fix}."
        return "All is well: nothing to do."

    def as_json(self) -> dict[str, Any]:
        """Return all of it for a program."""
        return {
            "ok": not self.failed,
            "exit_code": int(self.exit),
            "first": self.first,
            "steps": [_document(each) for each in self.findings],
        }

    def _add(self, finding: Finding) -> None:
        self.findings.append(finding)
        self._on_finding(finding)


def _document(finding: Finding) -> dict[str, Any]:
    return {
        "step": finding.step,
        "outcome": finding.outcome.value,
        "said": finding.said,
        "fix": finding.fix,
        "facts": finding.facts,
    }
