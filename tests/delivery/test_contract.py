"""The README's promise, case by case, without a server."""

import itertools
from typing import Any

import pytest
import redis.exceptions as redis_errors

from redis_manager_fastapi.cluster.slot_map import UncoveredSlotError
from redis_manager_fastapi.delivery.contract import (
    Execution,
    Happened,
    Kind,
    Step,
    decide,
    kind_of,
    kind_of_pipeline,
    kind_of_watched,
    may_have_run,
    ran_in_part,
    what_happened,
)
from redis_manager_fastapi.errors import (
    CommandTimeoutError,
    PoolClosedError,
    PoolTimeoutError,
    RedisAuthError,
    RedisManagerError,
    RedisOutOfMemoryError,
    RedisUnavailableError,
    RedisWritesRefusedError,
    ReplyLostError,
    TooManyWaitersError,
)
from redis_manager_fastapi.pool.request import Interrupted
from redis_manager_fastapi.topology.failures import REFUSALS, from_reply

AGAIN, HEAL, RAISE, ELSEWHERE = Step.AGAIN, Step.HEAL_AGAIN, Step.RAISE, Step.ELSEWHERE
WAIT = Step.WAIT_AGAIN

SINGLE = (Kind.READ, Kind.WRITE, Kind.BLOCKING)
READS = (Kind.READ, Kind.READ_PIPELINE)
PIPELINES = (Kind.READ_PIPELINE, Kind.PIPELINE)
WRITES = tuple(kind for kind in Kind if kind not in READS)
MOVABLE = tuple(kind for kind in Kind if kind not in (Kind.WATCHED, Kind.WATCHED_SCRIPT))
SCRIPTS = (Kind.SCRIPT, Kind.WATCHED_SCRIPT)
WATCHED = (Kind.WATCHED, Kind.WATCHED_SCRIPT)
NO_SCRIPTS = tuple(kind for kind in Kind if kind not in (*PIPELINES, *SCRIPTS))
ONE_BY_ONE = tuple(kind for kind in NO_SCRIPTS if kind is not Kind.WATCHED)

# What it is, what happened -> the first time, and after it was sent again once: the step, and
# whether the server may have executed it.
PROMISE: list[tuple[tuple[Kind, ...], Happened, tuple[Step, bool], tuple[Step, bool]]] = [
    (MOVABLE, Happened.NOT_SENT, (AGAIN, False), (AGAIN, False)),
    (WATCHED, Happened.NOT_SENT, (RAISE, False), (RAISE, False)),
    (READS, Happened.LOST, (HEAL, True), (RAISE, True)),
    (WRITES, Happened.LOST, (RAISE, True), (RAISE, True)),
    (SINGLE, Happened.REFUSED, (HEAL, False), (RAISE, False)),
    ((Kind.SCRIPT,), Happened.REFUSED, (HEAL, True), (RAISE, True)),
    ((Kind.WATCHED_SCRIPT,), Happened.REFUSED, (RAISE, True), (RAISE, True)),
    (PIPELINES, Happened.REFUSED, (RAISE, True), (RAISE, True)),
    (ONE_BY_ONE, Happened.SHORT, (WAIT, False), (WAIT, False)),
    ((Kind.SCRIPT,), Happened.SHORT, (WAIT, True), (RAISE, True)),
    ((Kind.WATCHED_SCRIPT,), Happened.SHORT, (RAISE, True), (RAISE, True)),
    (PIPELINES, Happened.SHORT, (RAISE, True), (RAISE, True)),
    ((Kind.WATCHED,), Happened.SHORT, (RAISE, False), (RAISE, False)),
    (NO_SCRIPTS, Happened.FULL, (RAISE, False), (RAISE, False)),
    ((*PIPELINES, *SCRIPTS), Happened.FULL, (RAISE, True), (RAISE, True)),
    (tuple(Kind), Happened.PARTLY, (RAISE, True), (RAISE, True)),
    (tuple(Kind), Happened.BARRED, (RAISE, False), (RAISE, False)),
    ((Kind.TRANSACTION, Kind.WATCHED), Happened.REFUSED, (RAISE, False), (RAISE, False)),
    (tuple(Kind), Happened.EXPIRED_UNSENT, (RAISE, False), (RAISE, False)),
    (tuple(Kind), Happened.EXPIRED, (RAISE, True), (RAISE, True)),
    (tuple(Kind), Happened.UNAVAILABLE, (RAISE, False), (RAISE, False)),
    (tuple(Kind), Happened.CLOSED, (RAISE, False), (RAISE, False)),
    (tuple(Kind), Happened.CANCELLED, (RAISE, False), (RAISE, False)),
    ((*PIPELINES, *SCRIPTS), Happened.FAILED, (RAISE, True), (RAISE, True)),
    (NO_SCRIPTS, Happened.FAILED, (RAISE, False), (RAISE, False)),
    (NO_SCRIPTS, Happened.REDIRECTED, (RAISE, False), (RAISE, False)),
    (NO_SCRIPTS, Happened.POSTPONED, (RAISE, False), (RAISE, False)),
    (NO_SCRIPTS, Happened.UNSERVED, (RAISE, False), (RAISE, False)),
    ((*PIPELINES, *SCRIPTS), Happened.REDIRECTED, (RAISE, True), (RAISE, True)),
    ((*PIPELINES, *SCRIPTS), Happened.POSTPONED, (RAISE, True), (RAISE, True)),
    ((*PIPELINES, *SCRIPTS), Happened.UNSERVED, (RAISE, True), (RAISE, True)),
    (tuple(Kind), Happened.UNCOVERED, (RAISE, False), (RAISE, False)),
]
CASES = [
    (kind, happened, first, second) for kinds, happened, first, second in PROMISE for kind in kinds
]

# What differs where a Cluster's slots say where a command goes.
ROUTED = {
    Happened.REDIRECTED: Step.REDIRECT,
    Happened.POSTPONED: Step.WAIT_AGAIN,
    Happened.UNSERVED: Step.HEAL_AGAIN,
    Happened.UNCOVERED: Step.HEAL_AGAIN,
    Happened.UNAVAILABLE: Step.ELSEWHERE,
    Happened.CLOSED: Step.ELSEWHERE,
}

MEANT = {
    "CLUSTERDOWN": Happened.UNSERVED,
    "NOREPLICAS": Happened.SHORT,
    "MISCONF": Happened.FULL,
    "OOM": Happened.FULL,
}
CLASSES: dict[str, type[Exception]] = {
    "NOREPLICAS": RedisWritesRefusedError,
    "MISCONF": RedisWritesRefusedError,
    "OOM": RedisOutOfMemoryError,
}

# Each word as a real server says it.
WORDS: dict[str, Exception] = {
    "LOADING": redis_errors.BusyLoadingError("Redis is loading the dataset in memory"),
    "MASTERDOWN": redis_errors.MasterDownError(
        "Link with MASTER is down and replica-serve-stale-data is set to 'no'."
    ),
    "READONLY": redis_errors.ReadOnlyError("You can't write against a read only replica."),
    "CLUSTERDOWN": redis_errors.ClusterDownError("CLUSTERDOWN The cluster is down"),
    "BUSY": redis_errors.ResponseError(
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL."
    ),
    "UNBLOCKED": redis_errors.ResponseError(
        "UNBLOCKED force unblock from blocking operation, instance state changed"
    ),
    "NOREPLICAS": redis_errors.ResponseError("NOREPLICAS Not enough good replicas to write."),
    "MISCONF": redis_errors.ResponseError(
        "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist"
    ),
    "OOM": redis_errors.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
}


def said(word: str) -> Exception:
    """Return the exception that redis-py makes when a server refuses with *word*."""
    error: Any = WORDS[word]
    error.status_code = word
    return WORDS[word]


def test_every_case_is_promised_once() -> None:
    promised = [(kind, happened) for kind, happened, _, _ in CASES]

    assert sorted(promised, key=str) == sorted(itertools.product(Kind, Happened), key=str)


@pytest.mark.parametrize(("kind", "happened", "first", "second"), CASES)
def test_promise(
    kind: Kind, happened: Happened, first: tuple[Step, bool], second: tuple[Step, bool]
) -> None:
    now = decide(kind, happened, sent_before=False, repeated=False)
    after_refusal = decide(kind, happened, sent_before=False, repeated=True)

    assert (now.step, now.maybe_executed) == first
    assert (after_refusal.step, after_refusal.maybe_executed) == second


@pytest.mark.parametrize(("kind", "happened"), list(itertools.product(Kind, Happened)))
def test_what_may_have_run_once_may_have_run_for_good(kind: Kind, happened: Happened) -> None:
    """No later answer, and no later silence, takes that back."""
    assert decide(kind, happened, sent_before=True, repeated=True).maybe_executed


@pytest.mark.parametrize(("kind", "happened"), list(itertools.product(MOVABLE, ROUTED)))
def test_cluster_sends_on_what_was_not_executed(kind: Kind, happened: Happened) -> None:
    believed = (Happened.REDIRECTED, Happened.POSTPONED, Happened.UNSERVED)
    believed_once = kind is Kind.SCRIPT and happened in believed
    for repeated in (False, True):
        verdict = decide(kind, happened, sent_before=False, repeated=repeated, routed=True)
        step = RAISE if repeated and believed_once else ROUTED[happened]
        assert (verdict.step, verdict.maybe_executed) == (step, believed_once)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("happened", [each for each in Happened if each not in ROUTED])
def test_cluster_promises_the_same_otherwise(kind: Kind, happened: Happened) -> None:
    alone = decide(kind, happened, sent_before=False, repeated=False)
    routed = decide(kind, happened, sent_before=False, repeated=False, routed=True)

    assert routed == alone


def test_node_that_refuses_twice_is_asked_for_another() -> None:
    verdict = decide(Kind.WRITE, Happened.REFUSED, sent_before=False, repeated=True, routed=True)

    assert (verdict.step, verdict.maybe_executed) == (ELSEWHERE, False)


def test_read_is_sent_twice_at_most() -> None:
    execution = Execution(Kind.READ)

    assert execution.after(Happened.LOST) is HEAL
    assert execution.after(Happened.NOT_SENT) is AGAIN
    assert execution.after(Happened.LOST) is RAISE
    assert execution.maybe_executed


def test_refusal_and_loss_share_the_one_repetition() -> None:
    execution = Execution(Kind.READ)

    assert [execution.after(each) for each in (Happened.REFUSED, Happened.LOST)] == [HEAL, RAISE]


def test_unsent_write_goes_out_however_often_it_was_not_sent() -> None:
    execution = Execution(Kind.WRITE)

    assert {execution.after(Happened.NOT_SENT) for _ in range(100)} == {AGAIN}
    assert not execution.maybe_executed


def test_error_remembers_an_earlier_attempt() -> None:
    """A read that was lost, and then found no server, may have run."""
    execution = Execution(Kind.READ)
    execution.after(Happened.LOST)

    error = execution.error(RedisUnavailableError("down"), "default")
    assert isinstance(error, RedisUnavailableError)
    assert error.maybe_executed


def test_lost_connection_names_the_instance() -> None:
    execution = Execution(Kind.WRITE)
    execution.after(what_happened(Interrupted(written=True)))

    error = execution.error(Interrupted(written=True), "cache")
    assert isinstance(error, ReplyLostError)
    assert (error.instance, error.maybe_executed) == ("cache", True)


def test_users_own_mistake_passes_untouched() -> None:
    mistake = redis_errors.ResponseError("WRONGTYPE Operation against a key")

    assert Execution(Kind.WRITE).error(mistake, "default") is mistake


@pytest.mark.parametrize("word", REFUSALS)
def test_servers_words(word: str) -> None:
    error = said(word)

    assert what_happened(error) is MEANT.get(word, Happened.REFUSED)
    assert type(from_reply(error, "default")) is CLASSES.get(word, RedisUnavailableError)


@pytest.mark.parametrize(
    ("error", "happened"),
    [
        (Interrupted(written=False), Happened.NOT_SENT),
        (Interrupted(written=True), Happened.LOST),
        (ReplyLostError(maybe_executed=False), Happened.NOT_SENT),
        (ReplyLostError(), Happened.LOST),
        (CommandTimeoutError(), Happened.EXPIRED_UNSENT),
        (CommandTimeoutError(maybe_executed=True), Happened.EXPIRED),
        (PoolClosedError(), Happened.CLOSED),
        (RedisUnavailableError(), Happened.UNAVAILABLE),
        (RedisUnavailableError(maybe_executed=True), Happened.FAILED),
        (PoolTimeoutError(), Happened.BARRED),
        (TooManyWaitersError(), Happened.BARRED),
        (RedisAuthError(), Happened.BARRED),
        (RedisManagerError(), Happened.BARRED),
        (RedisWritesRefusedError(), Happened.BARRED),
        (redis_errors.MovedError("3999 127.0.0.1:6381"), Happened.REDIRECTED),
        (redis_errors.AskError("3999 127.0.0.1:6381"), Happened.REDIRECTED),
        (
            redis_errors.TryAgainError("Multiple keys request during rehashing of slot"),
            Happened.POSTPONED,
        ),
        (redis_errors.TryAgainError("a script's own words"), Happened.FAILED),
        (redis_errors.ClusterDownError("a script's own words"), Happened.FAILED),
        (UncoveredSlotError(7), Happened.UNCOVERED),
        (redis_errors.ResponseError("WRONGTYPE Operation against a key"), Happened.FAILED),
        (redis_errors.WatchError("Watched variable changed."), Happened.FAILED),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), Happened.FAILED),
    ],
    ids=lambda value: value.name if isinstance(value, Happened) else repr(value)[:40],
)
def test_what_happened(error: Exception, happened: Happened) -> None:
    assert what_happened(error) is happened


def test_cluster_that_is_down_below_another_error_is_unserved() -> None:
    error = from_reply(said("CLUSTERDOWN"), "default")

    assert what_happened(error) is Happened.UNSERVED


@pytest.mark.parametrize(
    ("args", "kind"),
    [
        (("GET", "key"), Kind.READ),
        (("EVAL_RO", "return 1", 0), Kind.READ),
        (("SET", "key", "value"), Kind.WRITE),
        (("KEYS", "*"), Kind.WRITE),
        (("EVAL", "return 1", 0), Kind.SCRIPT),
        (("EVALSHA", "f0", 0), Kind.SCRIPT),
        (("FCALL", "f", 0), Kind.SCRIPT),
        (("eval", "return 1", 0), Kind.SCRIPT),
        ((b"EVALSHA", "f0", 0), Kind.SCRIPT),
        (("BLPOP", "key", 1), Kind.BLOCKING),
        (("XREAD", "BLOCK", 0, "STREAMS", "s", "$"), Kind.BLOCKING),
        (("XREAD", "BLOCK", 0, "STREAMS", "s", "t", "0", "$"), Kind.BLOCKING),
        (("XREAD", "BLOCK", 0, "STREAMS", "s", "5-0"), Kind.READ),
        (("XREAD", "STREAMS", "s", "0"), Kind.READ),
        (("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "s", ">"), Kind.BLOCKING),
        ((b"GET", "key"), Kind.READ),
        (("get key",), Kind.READ),
        (("blpop key 1",), Kind.BLOCKING),
        ((b"EvalSha", "f0", 0), Kind.SCRIPT),
        ((" FCALL f", 0), Kind.SCRIPT),
        (("SCRIPT LOAD", "return 1"), Kind.WRITE),
        (("",), Kind.WRITE),
    ],
)
def test_kinds_of_commands(args: tuple[Any, ...], kind: Kind) -> None:
    assert kind_of(args) is kind


def test_a_script_is_one_where_it_is_held() -> None:
    assert kind_of_watched(("eval", "return 1", 0)) is Kind.WATCHED_SCRIPT
    assert kind_of_watched(("SET", "key", "value")) is Kind.WATCHED


@pytest.mark.parametrize(
    ("names", "transaction", "kind"),
    [
        (["GET", "HGET"], False, Kind.READ_PIPELINE),
        (["GET", "HGET"], True, Kind.READ_PIPELINE),
        (["GET", "SET"], False, Kind.PIPELINE),
        (["GET", "SET"], True, Kind.TRANSACTION),
        ([], True, Kind.READ_PIPELINE),
    ],
)
def test_kinds_of_pipelines(names: list[str], transaction: bool, kind: Kind) -> None:
    stack: list[tuple[Any, Any]] = [((name, "key"), {}) for name in names]

    assert kind_of_pipeline(stack, transaction=transaction) is kind


@pytest.mark.parametrize(
    "answer",
    [Happened.REDIRECTED, Happened.POSTPONED, Happened.UNSERVED, Happened.SHORT, Happened.REFUSED],
)
def test_a_script_that_was_answered_may_have_run(answer: Happened) -> None:
    """It may have answered so by itself, in the server's words."""
    execution = Execution(Kind.SCRIPT, routed=True)

    assert execution.after(answer) is not RAISE
    assert execution.maybe_executed
    execution.after(Happened.UNAVAILABLE)
    assert execution.maybe_executed


BELIEVED_ONCE = [Happened.REDIRECTED, Happened.POSTPONED, Happened.UNSERVED, Happened.SHORT]


@pytest.mark.parametrize("answer", BELIEVED_ONCE)
@pytest.mark.parametrize("again", BELIEVED_ONCE)
def test_a_script_follows_one_redirect(answer: Happened, again: Happened) -> None:
    execution = Execution(Kind.SCRIPT, routed=True)
    execution.after(answer)

    assert execution.after(again) is RAISE
    assert execution.maybe_executed
    sent_on = Execution(Kind.SCRIPT, routed=True, answered=True)
    assert sent_on.maybe_executed
    assert sent_on.after(again) is RAISE


def test_a_slot_without_a_node_says_nothing_about_a_script() -> None:
    execution = Execution(Kind.SCRIPT, routed=True)
    execution.after(Happened.UNCOVERED)

    assert not execution.maybe_executed
    assert execution.after(Happened.REDIRECTED) is Step.REDIRECT


REFUSED = redis_errors.NoPermissionError("this user has no permissions to run the 'multi' command")
WRONG = redis_errors.ResponseError("EXEC without MULTI")
ABORTED = redis_errors.ExecAbortError("Transaction discarded because of previous errors.")
INCR: Any = (("INCR", "key"), {})
EVAL: Any = (("EVAL", "return 1", 0), {})


@pytest.mark.parametrize(
    ("command", "outcomes", "ran"),
    [
        (INCR, [REFUSED, 1, WRONG], True),
        (INCR, [REFUSED, WRONG, WRONG], False),
        (EVAL, [REFUSED, WRONG, WRONG], True),
        (INCR, [REFUSED], True),  # the rest was not read
        (INCR, ["OK", WRONG, ABORTED], False),
        (INCR, ["OK", "QUEUED", ABORTED], False),
        (INCR, ["OK", "QUEUED", redis_errors.MovedError("7 127.0.0.1:6380")], False),
        (INCR, ["OK", "QUEUED", redis_errors.AskError("7 127.0.0.1:6380")], False),
        (INCR, ["OK", "QUEUED", redis_errors.ClusterDownError("Hash slot not served")], False),
        (INCR, ["OK", "QUEUED", REFUSED], True),
        (INCR, ["OK", "QUEUED", [WRONG]], True),
        (INCR, ["OK", "QUEUED", None], False),
        (INCR, ["OK"], False),
        (INCR, [], False),
    ],
)
def test_transaction_ran_in_part(command: Any, outcomes: list[Any], ran: bool) -> None:
    assert ran_in_part([command], outcomes) is ran


@pytest.mark.parametrize(
    ("outcome", "kind", "ran"),
    [
        (1, Kind.WRITE, True),
        (WRONG, Kind.WRITE, False),
        (WRONG, Kind.SCRIPT, True),
        (RedisUnavailableError(), Kind.WRITE, False),
        (RedisUnavailableError(), Kind.SCRIPT, False),
        (ReplyLostError(), Kind.WRITE, True),
    ],
)
def test_part_of_something_larger(outcome: object, kind: Kind, ran: bool) -> None:
    assert may_have_run(outcome, kind) is ran
