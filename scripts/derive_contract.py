"""Write the tables of docs/errors.md that say what is sent again, from the contract itself."""

import sys
from pathlib import Path

from redis_manager_fastapi.delivery.contract import Happened, Kind, Step, decide

PAGE = Path(__file__).parent.parent / "docs" / "errors.md"
BEGIN, END = "<!-- written by scripts/contract -->\n", "<!-- until here -->\n"

KINDS = {
    Kind.READ: "read (flag `readonly` of the server's `COMMAND`)",
    Kind.WRITE: "write",
    Kind.SCRIPT: "script (EVAL, EVALSHA, FCALL)",
    Kind.BLOCKING: "blocking command",
    Kind.READ_PIPELINE: "pipeline of reads",
    Kind.PIPELINE: "any other pipeline without MULTI",
    Kind.TRANSACTION: "transaction (MULTI)",
    Kind.WATCHED: "under WATCH, or on a pinned connection",
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
        return f"goes out once more when Redis is back, then {ERRORS[happened]}"
    if not first.is_final:
        return STEPS[first.step]
    if kind is Kind.WATCHED and happened in (Happened.NOT_SENT, Happened.LOST):
        return "`redis.WatchError`, or `ReplyLostError` if it may have run"
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


def tables() -> str:
    """Return everything between the two marks."""
    parts = (rows(ONE_SERVER), ends(), cluster())
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def written(page: str) -> str:
    """Return *page* with the tables as the contract has them."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + tables() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
    sys.stdout.write(tables())
