"""Write the tables of docs/errors.md: what is sent again, and what a server's words mean."""

import sys
from pathlib import Path

from redis.exceptions import ExecAbortError, MovedError, ResponseError

from redis_manager_fastapi.delivery.contract import (
    MEANT,
    Happened,
    Kind,
    Step,
    decide,
    may_have_run,
    ran_in_part,
)
from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.topology.failures import REFUSALS, Refusal

PAGE = Path(__file__).parent.parent / "docs" / "errors.md"
BEGIN, END = "<!-- written by scripts/contract -->\n", "<!-- until here -->\n"

KINDS = {
    Kind.READ: "read (flag `readonly` of the server's `COMMAND`; XREAD also while it blocks)",
    Kind.WRITE: "write",
    Kind.SCRIPT: "script (EVAL, EVALSHA, FCALL)",
    Kind.BLOCKING: "any other blocking command",
    Kind.READ_PIPELINE: "pipeline of reads, with or without MULTI",
    Kind.PIPELINE: "any other pipeline without MULTI",
    Kind.TRANSACTION: "transaction (MULTI) that writes",
    Kind.WATCHED: "under WATCH, or on a pinned connection",
    Kind.WATCHED_SCRIPT: "script under WATCH, or on a pinned connection",
}
ONE_SERVER = {
    Happened.NOT_SENT: "the connection was lost before it was sent",
    Happened.LOST: "it was sent, and the reply was lost",
    Happened.REFUSED: "the server does not serve now",
    Happened.FAILED: "the server answers with another error",
}
ENDS = {
    Happened.UNAVAILABLE: "no connection served within grace",
    Happened.CLOSED: "the app is shutting down",
    Happened.EXPIRED_UNSENT: "the deadline passed before it was sent",
    Happened.EXPIRED: "the deadline passed after it was sent",
    Happened.CANCELLED: "the caller was cancelled",
}
CLUSTER = {
    Happened.REDIRECTED: "MOVED, ASK",
    Happened.POSTPONED: "TRYAGAIN",
    Happened.UNSERVED: "CLUSTERDOWN, or no node has the slot",
    Happened.UNAVAILABLE: "the slot's node does not come back within grace",
}
ERRORS = {
    Happened.NOT_SENT: "`ReplyLostError`",
    Happened.LOST: "`ReplyLostError`",
    Happened.REFUSED: "`RedisUnavailableError`",
    Happened.FAILED: "the error",
    Happened.UNAVAILABLE: "`RedisUnavailableError`",
    Happened.CLOSED: "`PoolClosedError`",
    Happened.EXPIRED_UNSENT: "`CommandTimeoutError`",
    Happened.EXPIRED: "`CommandTimeoutError`",
    Happened.CANCELLED: "`CancelledError`",
}
WATCHED = "`ReplyLostError`; `redis.WatchError` under WATCH, unless it may have run"
ANSWERED = {
    Kind.WRITE: "a command",
    Kind.SCRIPT: "a script",
    Kind.PIPELINE: "a pipeline",
    Kind.TRANSACTION: "a transaction",
    Kind.WATCHED: "under WATCH, or on a pinned connection",
    Kind.WATCHED_SCRIPT: "a script under WATCH, or on a pinned connection",
}

_INCR = (("INCR", "key"), {})
_NO, _ABORTED = ResponseError("no"), ExecAbortError("EXECABORT")
_MOVED = MovedError("7 127.0.0.1:6380")
_UNSENT = RedisUnavailableError()


def _parts(*outcomes: object, kind: Kind = Kind.WRITE) -> bool:
    return any(may_have_run(outcome, kind) for outcome in outcomes)


WHOLES = {
    "a transaction: MULTI is refused, a command is not": ran_in_part([_INCR], [_NO, 1, _NO]),
    "a transaction: MULTI and every command are refused": ran_in_part([_INCR], [_NO, _NO, _NO]),
    "a transaction: EXEC is answered by EXECABORT": ran_in_part([_INCR], ["OK", _NO, _ABORTED]),
    "a transaction: EXEC is answered by a redirect": ran_in_part([_INCR], ["OK", "QUEUED", _MOVED]),
    "a transaction: EXEC is refused in another way": ran_in_part([_INCR], ["OK", "QUEUED", _NO]),
    "a transaction: one of its commands fails in EXEC": ran_in_part(
        [_INCR], ["OK", "QUEUED", [_NO]]
    ),
    "a Cluster's pipeline, or a command for many nodes: a node is lost, another answers": _parts(
        _UNSENT, 1
    ),
    "the same: a node is lost, another refuses": _parts(_UNSENT, _NO),
    "the same, of scripts": _parts(_UNSENT, _NO, kind=Kind.SCRIPT),
    "the same: none was sent": _parts(_UNSENT, _UNSENT),
}

STEPS = {
    Step.AGAIN: "goes out when Redis is back",
    Step.HEAL_AGAIN: "goes out when the slot is served again",
    Step.REDIRECT: "goes where the redirect says",
    Step.WAIT_AGAIN: "goes out again after a short pause",
    Step.ELSEWHERE: "goes to another node, if that has the slot by now",
}


def cell(kind: Kind, happened: Happened) -> str:
    """Return what the contract says, the first time and after that."""
    first, second = (
        decide(kind, happened, sent_before=False, repeated=repeated) for repeated in (False, True)
    )
    if not first.is_final and second.is_final:
        maybe = "; it may have run" if kind is Kind.SCRIPT and first.maybe_executed else ""
        return f"goes out once more when Redis is back, then {ERRORS[happened]}{maybe}"
    if not first.is_final:
        return STEPS[first.step]
    watched = kind in (Kind.WATCHED, Kind.WATCHED_SCRIPT)
    if watched and happened in (Happened.NOT_SENT, Happened.LOST):
        return WATCHED
    maybe = "; it may have run" if first.maybe_executed else ""
    return ERRORS[happened] + maybe


def rows(columns: dict[Happened, str]) -> list[str]:
    """Return the table of what follows, a row for each kind of command."""
    head = ["| the command |", *(f" {title} |" for title in columns.values())]
    lines = ["".join(head), "| --- |" + " --- |" * len(columns)]
    for kind, name in KINDS.items():
        cells = "".join(f" {cell(kind, happened)} |" for happened in columns)
        lines.append(f"| {name} |{cells}")
    return lines


def ends() -> list[str]:
    """Return the table of what ends every kind of command in the same way."""
    lines = ["| what happened | what the caller sees | `maybe_executed` |", "| --- | --- | --- |"]
    for happened, words in ENDS.items():
        verdict = decide(Kind.WRITE, happened, sent_before=False, repeated=False)
        maybe = "true" if verdict.maybe_executed else "true if an earlier attempt was sent"
        shown = "" if happened is Happened.CANCELLED else maybe
        lines.append(f"| {words} | {ERRORS[happened]} | {shown} |")
    return lines


def cluster() -> list[str]:
    """Return the table of what a Cluster adds: the command was not executed."""
    lines = ["| in a Cluster | the command |", "| --- | --- |"]
    for happened, words in CLUSTER.items():
        step = decide(Kind.WRITE, happened, sent_before=False, repeated=True, routed=True).step
        lines.append(f"| {words} | {STEPS[step]} |")
    return lines


def answer(refusal: Refusal, kind: Kind) -> str:
    """Return what follows for a command that meets a server's word."""
    happened = MEANT[refusal.meaning]
    routed = happened is Happened.UNSERVED
    first, second = (
        decide(kind, happened, sent_before=False, repeated=repeated, routed=routed)
        for repeated in (False, True)
    )
    error = f"`{refusal.error.__name__}`"
    if first.is_final:
        return error + ("; it may have run" if first.maybe_executed else "")
    if first.maybe_executed:
        error += "; it may have run"
    if routed:
        again = "once more" if second.is_final else "again"
        return f"{again} when the slot is served, within grace, then {error}"
    if second.is_final:
        return f"once more, then {error}"
    return f"again, within grace, then {error}"


def words() -> list[str]:
    """Return the table of the words by which a server refuses."""
    lines = [
        "| the server says | so that | " + " | ".join(ANSWERED.values()) + " |",
        "| --- | --- |" + " --- |" * len(ANSWERED),
    ]
    for word, refusal in REFUSALS.items():
        cells = " | ".join(answer(refusal, kind) for kind in ANSWERED)
        lines.append(f"| {word} | {refusal.told} | {cells} |")
    return lines


def wholes() -> list[str]:
    """Return the table of what is told of a whole, when its parts ended differently."""
    lines = ["| a whole, and its parts | `maybe_executed` |", "| --- | --- |"]
    for title, ran in WHOLES.items():
        lines.append(f"| {title} | {str(ran).lower()} |")
    return lines


def tables() -> str:
    """Return everything between the two marks."""
    parts = (rows(ONE_SERVER), ends(), wholes(), cluster(), words())
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def written(page: str) -> str:
    """Return *page* with the tables as the contract has them."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + tables() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
    sys.stdout.write(tables())
