"""`doctor`: each node of a Cluster, its slots, and whether all tell the same."""

import asyncio

from redis_manager_fastapi.cli.attempts import At
from redis_manager_fastapi.cli.chosen import Chosen
from redis_manager_fastapi.cli.exits import Exit, exit_of
from redis_manager_fastapi.cli.findings import Report
from redis_manager_fastapi.cluster.view import View, ask_address
from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.observe.words import counted
from redis_manager_fastapi.pool.dialer import Dialer
from redis_manager_fastapi.settings import Address
from redis_manager_fastapi.topology.interface import Target
from redis_manager_fastapi.topology.options import target_at
from redis_manager_fastapi.topology.tls_context import SharedTLSContext

_SLOTS = 16_384

Answers = dict[Address, View | RedisUnavailableError]


def node_at(chosen: Chosen, address: Address) -> Target:
    """Return the node at *address*."""
    return target_at(chosen.settings, None, address.host, address.port, db=0)


async def first_that_answers(chosen: Chosen) -> Address:
    """Return the first of the configured nodes that answers, or else the first of them."""
    nodes = chosen.settings.cluster.nodes
    answers = await _ask(chosen, nodes)
    return next((node for node in nodes if isinstance(answers[node], View)), nodes[0])


async def ask_nodes(chosen: Chosen, report: Report) -> None:
    """Report on every node that any of the configured ones knows, and on all together."""
    nodes = chosen.settings.cluster.nodes
    answers = await _ask(chosen, nodes)
    views = [each for each in answers.values() if isinstance(each, View)]
    if not views:
        error = next(iter(answers.values()))
        said = f"{nodes[0]} does not tell the slots: {error}"
        fix = f"correct {chosen.at('cluster.nodes')}: it may be no Cluster"
        report.fail("cluster", said, fix, Exit.SETTINGS)
        return
    best = max(views, key=lambda view: view.rank).reached(chosen.settings.reach)
    serving = {node for each in best.ranges for node in each.nodes}
    answers |= await _ask(chosen, sorted(serving - answers.keys()))
    for node, answer in answers.items():
        _node(report, node, answer, best)
    _together(report, best, answers)


async def _ask(chosen: Chosen, nodes: "tuple[Address, ...] | list[Address]") -> Answers:
    found = await asyncio.gather(*(_view(chosen, node) for node in nodes))
    return dict(zip(nodes, found, strict=True))


async def _view(chosen: Chosen, node: Address) -> View | RedisUnavailableError:
    limit = chosen.settings.timeout.connect
    target, tls = node_at(chosen, node), SharedTLSContext()
    dialer = Dialer(At(target), chosen.settings, instance=chosen.name, tls=tls)
    try:
        async with asyncio.timeout(2 * limit):
            return await ask_address(dialer, node)
    except RedisUnavailableError as error:
        return error
    except Exception as error:  # one that is no Cluster refuses to say
        return RedisUnavailableError(f"it tells no slots ({type(error).__name__})")


def _node(report: Report, node: Address, answer: View | RedisUnavailableError, best: View) -> None:
    count = sum(each.end - each.start + 1 for each in best.ranges if each.nodes[0] == node)
    role = f"primary of {counted(count, 'slot')}" if count else "replica, or without slots"
    if isinstance(answer, View):
        facts = {"node": str(node), "slots": count, "epoch": answer.epoch}
        report.ok("node", f"{node}, {role}, epoch {answer.epoch}", **facts)
        return
    fix = f"start {node}, or see why it cannot be reached from here"
    if count:
        report.fail("node", f"{node}, {role}: {answer}", fix, exit_of(answer), node=str(node))
    else:
        report.warn("node", f"{node}, {role}: {answer}", fix, node=str(node))


def _together(report: Report, best: View, answers: Answers) -> None:
    covered = best.rank[2]
    epochs = {each.epoch for each in answers.values() if isinstance(each, View)}
    facts = {"slots": covered, "epochs": sorted(epochs), "healthy": best.healthy}
    if covered < _SLOTS:
        have = "has" if _SLOTS - covered == 1 else "have"
        said = f"{_SLOTS - covered} of {_SLOTS} slots {have} no primary"
        fix = "start the nodes that had them, or CLUSTER ADDSLOTS; redis-cli --cluster fix helps"
        report.fail("cluster", said, fix, Exit.UNREACHABLE, **facts)
    elif not best.healthy:
        said = "the Cluster calls itself down (cluster_state:fail)"
        fix = "start the primaries that are down, or fail over to their replicas"
        report.fail("cluster", said, fix, Exit.UNREACHABLE, **facts)
    elif len(epochs) > 1:
        said = f"the nodes know different epochs: {', '.join(map(str, sorted(epochs)))}"
        fix = "ask again: a fail-over is going on, or the nodes do not reach each other's bus port"
        report.warn("cluster", said, fix, **facts)
    else:
        said = f"all {_SLOTS} slots have a primary, epoch {max(epochs, default=0)}"
        report.ok("cluster", said, **facts)
