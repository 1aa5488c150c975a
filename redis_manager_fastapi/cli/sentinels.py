"""`doctor`: each Sentinel, what it says of the others, and whom it names the primary."""

import asyncio
from dataclasses import dataclass

from redis_manager_fastapi.cli.chosen import Chosen
from redis_manager_fastapi.cli.exits import Exit, exit_of
from redis_manager_fastapi.cli.findings import Report
from redis_manager_fastapi.settings import Address
from redis_manager_fastapi.topology.failures import from_connect
from redis_manager_fastapi.topology.sentinel_link import connect_to, encrypted, knows_no_service
from redis_manager_fastapi.topology.tls_context import SharedTLSContext


@dataclass(frozen=True, slots=True)
class Witness:
    """What one Sentinel said.

    Attributes:
        sentinel: Which one.
        primary: Whom it names.
        quorum: How many must agree that the primary is down.
        others: How many other Sentinels it knows.
        flags: What it thinks of the primary.
    """

    sentinel: Address
    primary: Address
    quorum: int
    others: int
    flags: str


async def ask_sentinels(chosen: Chosen, report: Report) -> bool:
    """Report on every Sentinel; return whether any of them names a primary."""
    nodes = chosen.settings.sentinel.nodes
    answers = await asyncio.gather(*(_ask(chosen, node) for node in nodes))
    witnesses = [each for each in answers if isinstance(each, Witness)]
    for node, answer in zip(nodes, answers, strict=True):
        _report(chosen, report, node, answer, alone=not witnesses)
    if witnesses:
        _together(chosen, report, witnesses)
    return bool(witnesses)


async def _ask(chosen: Chosen, node: Address) -> Witness | Exception:
    settings = chosen.settings
    limit = settings.timeout.connect
    try:
        async with (
            asyncio.timeout(limit),
            connect_to(node, settings, SharedTLSContext()) as link,
        ):
            answer, facts = await link.ask(), await link.service()
    except Exception as error:
        return error
    quorum, others = int(facts["quorum"]), int(facts["num-other-sentinels"])
    return Witness(node, answer.address, quorum, others, facts["flags"])


def _report(
    chosen: Chosen, report: Report, node: Address, answer: Witness | Exception, *, alone: bool
) -> None:
    if isinstance(answer, Witness):
        known = f"quorum {answer.quorum} of {answer.others + 1}"
        said = f"{node} names {answer.primary}, {known}"
        report.ok("sentinel", said, sentinel=str(node), primary=str(answer.primary))
        return
    said, fix, code = _explained(chosen, node, answer)
    if alone:
        report.fail("sentinel", said, fix, code, sentinel=str(node))
    else:
        report.warn("sentinel", said, fix, sentinel=str(node))


def _explained(chosen: Chosen, node: Address, error: Exception) -> tuple[str, str, Exit]:
    settings = chosen.settings
    service = chosen.at("sentinel.service")
    if knows_no_service(error):
        said = f"{node} knows no service {settings.sentinel.service!r}"
        return said, f"correct {service}: SENTINEL MASTERS lists what it knows", Exit.SETTINGS
    translated = from_connect(error, chosen.name, settings, tls=encrypted(settings))
    code = exit_of(translated)
    password = chosen.at("sentinel.password")
    fixes = {
        Exit.CREDENTIALS: f"correct {password}: the Sentinels have their own",
        Exit.TLS: f"check {chosen.at('sentinel.tls')} and {chosen.at('tls.ca_file')}",
    }
    default = f"start it, or correct {chosen.at('sentinel.nodes')}"
    return f"{node}: {translated}", fixes.get(code, default), code


def _together(chosen: Chosen, report: Report, witnesses: list[Witness]) -> None:
    named = {witness.primary for witness in witnesses}
    total = max(witness.others + 1 for witness in witnesses)
    quorum = max(witness.quorum for witness in witnesses)
    facts = {"quorum": quorum, "sentinels": total, "answered": len(witnesses)}
    if len(named) > 1:
        said = f"they name different primaries: {', '.join(sorted(map(str, named)))}"
        fix = "see whether the Sentinels reach each other"
        report.warn("quorum", said, fix, **facts)
    elif "down" in witnesses[0].flags:
        said = f"they say that the primary is down ({witnesses[0].flags})"
        report.warn("quorum", said, "wait for the fail-over, or start the primary", **facts)
    elif len(witnesses) < max(quorum, total // 2 + 1):
        said = f"{len(witnesses)} of {total} answer: too few for a fail-over (quorum {quorum})"
        fix = f"start the others, or name them all in {chosen.at('sentinel.nodes')}"
        report.warn("quorum", said, fix, **facts)
    else:
        said = f"{len(witnesses)} of {total} answer, {quorum} must agree for a fail-over"
        report.ok("quorum", said, **facts)
