"""`doctor`: every step from the settings to a PING, and what to do first."""

from redis_manager_fastapi.cli.attempts import Attempts, Questions
from redis_manager_fastapi.cli.chosen import Chosen
from redis_manager_fastapi.cli.exits import Exit, exit_of
from redis_manager_fastapi.cli.findings import Report
from redis_manager_fastapi.cli.nodes import ask_nodes, first_that_answers, node_at
from redis_manager_fastapi.cli.reach import STEPS as REACH
from redis_manager_fastapi.cli.reach import Reach
from redis_manager_fastapi.cli.sentinels import ask_sentinels
from redis_manager_fastapi.cli.server import STEPS as SERVER
from redis_manager_fastapi.cli.server import Load, Server
from redis_manager_fastapi.errors import RedisConfigError, RedisUnavailableError
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.settings.sources import setting_paths
from redis_manager_fastapi.topology.cluster_node import ClusterNode
from redis_manager_fastapi.topology.interface import Target, Topology
from redis_manager_fastapi.topology.sentinel import Sentinel
from redis_manager_fastapi.topology.standalone import Standalone


def report_settings(report: Report, chosen: Chosen) -> None:
    """Report what the settings mean, and what gave them."""
    sources = {path: chosen.source(path) for path in sorted(setting_paths(RedisSettings))}
    given = {path: source for path, source in sources.items() if source != "default"}
    by = ", ".join(sorted(set(given.values()))) or "defaults"
    report.ok("settings", f"{chosen.place}, by {by}", **given)
    for note in chosen.notes:
        report.warn("settings", note, f"remove or correct {note.partition(' ')[0]}")


def report_mistakes(report: Report, error: RedisConfigError) -> None:
    """Report settings that are wrong, one finding each; nothing else can be looked at then."""
    for line in str(error).splitlines():
        wrong, _, fix = line.rstrip(".").rpartition("; ")
        said = wrong or fix
        report.fail("settings", said, fix if wrong else f"correct it: {fix}", Exit.SETTINGS)
    report.skip((*REACH, *SERVER), "needs settings without mistakes")


async def examine(chosen: Chosen, report: Report, load: Load) -> None:
    """Take every step from a deployment's settings to its servers; report each."""
    report_settings(report, chosen)
    attempts = Attempts(chosen)
    try:
        questions = await _reach(chosen, report, attempts)
        if questions is None:
            report.skip(SERVER, "needs a connection")
        else:
            await Server(chosen, report, questions, load).examine()
        if chosen.settings.topology == "cluster" and questions is not None:
            await ask_nodes(chosen, report)
    finally:
        attempts.close()


async def _reach(chosen: Chosen, report: Report, attempts: Attempts) -> Questions | None:
    settings = chosen.settings
    if settings.topology == "cluster":
        address = await first_that_answers(chosen)
        where = "cluster.nodes"
        reach = Reach(chosen, attempts, report, host=where, port=where)
        return await reach.go(node_at(chosen, address), ClusterNode(settings, None, address))
    if settings.topology == "standalone":
        topology: Topology = Standalone(settings)
        return await Reach(chosen, attempts, report).go(await topology.locate(), topology)
    if not await ask_sentinels(chosen, report):
        report.skip(REACH, "needs a Sentinel that names the primary")
        return None
    topology = Sentinel(settings)
    target = await _located(report, topology)
    where = "sentinel.nodes"
    reach = Reach(chosen, attempts, report, host=where, port=where)
    return None if target is None else await reach.go(target, topology)


async def _located(report: Report, topology: Topology) -> Target | None:
    try:
        return await topology.locate()
    except RedisUnavailableError as error:
        fix = "see whether the Sentinels reach each other"
        report.fail("sentinel", str(error), fix, exit_of(error))
        report.skip(REACH, "needs a Sentinel that names the primary")
        return None
