"""`doctor`: what a server that is connected to says of itself."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from redis.exceptions import NoPermissionError, ResponseError

from redis_manager_fastapi.cli.attempts import UNANSWERED, Questions
from redis_manager_fastapi.cli.chosen import Chosen
from redis_manager_fastapi.cli.exits import Exit
from redis_manager_fastapi.cli.findings import Report
from redis_manager_fastapi.cli.network import milliseconds
from redis_manager_fastapi.cli.rights import check_rights
from redis_manager_fastapi.observe.words import counted
from redis_manager_fastapi.pool.capacity import spare_beside
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.topology.failures import REFUSALS, refusal_code

STEPS = (
    *("ping", "acl", "role", "version", "clients"),
    *("eviction", "persistence", "server", "latency"),
)

_OLDEST = (5, 0)
_RESP3_SINCE = (6, 0)
_FULL = 0.9
"""From this part of a limit on, a warning is due."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the server.

    Attributes:
        workers: How many processes of the app there are.
        pings: How many times to measure.
    """

    workers: int
    pings: int


class Server:
    """Asks one server, step by step.

    Args:
        chosen: The deployment.
        report: Takes the findings.
        questions: Asks the server.
        load: What is asked of it.
    """

    def __init__(self, chosen: Chosen, report: Report, questions: Questions, load: Load) -> None:
        self._chosen, self._report, self._load = chosen, report, load
        self._questions = questions

    async def examine(self) -> None:
        """Take every step; one that gets no answer does not stop the next."""
        steps: dict[str, Callable[[], Awaitable[None]]] = {
            "ping": self._ping,
            "acl": self._acl,
            "role": self._role,
            "version": self._version,
            "clients": self._clients,
            "eviction": self._eviction,
            "persistence": self._persistence,
            "server": self._settings,
            "latency": self._latency,
        }
        for index, (step, take) in enumerate(steps.items()):
            try:
                await take()
            except UNANSWERED as error:
                said = f"no answer ({type(error).__name__})"
                fix = "see whether the server hangs: its log, SLOWLOG GET, and its machine"
                self._report.fail(step, said, fix, Exit.UNREACHABLE)
                self._report.skip(STEPS[index + 1 :], "the connection was lost")
                return

    async def _ping(self) -> None:
        reply, took = await self._questions.timed("PING")
        if reply == "PONG":
            self._report.ok("ping", f"PONG in {milliseconds(took)}", seconds=round(took, 6))
            return
        code = refusal_code(reply) if isinstance(reply, Exception) else None
        if code == "MISCONF":
            self._report.skip("ping", "refused with the writes: see persistence")
            return
        said = f"{REFUSALS[code].told} ({code})" if code else "the server does not answer PONG"
        self._report.fail("ping", said, "look at the server's log", Exit.UNREACHABLE)

    async def _acl(self) -> None:
        if any(each.step == "auth" for each in self._report.failed):
            self._report.skip("acl", "needs auth")
            return
        await check_rights(self._chosen, self._report, self._questions)

    async def _role(self) -> None:
        info, kind = await self._info("role"), self._chosen.settings.topology
        if info is None:
            return
        role = info.get("role", "")
        if role == "master":
            replicas = info.get("connected_slaves", "0")
            said = f"a primary, with {counted(int(replicas), 'replica')}"
            self._report.ok("role", said, role="primary")
        elif kind == "cluster":
            self._report.ok("role", "a replica, which names its primary", role="replica")
        else:
            self._replica(info)

    def _replica(self, info: dict[str, str]) -> None:
        primary = f"{info.get('master_host', '?')}:{info.get('master_port', '?')}"
        host, port = self._chosen.at("host"), self._chosen.at("port")
        where = "the URL" if host.startswith("the ") else f"{host} and {port}"
        fix = f"set {where} to the primary, {primary}, or use Sentinels, which follow it"
        if self._chosen.settings.topology == "sentinel":
            fix = "ask again: a fail-over may be going on"
        said = f"a replica of {primary}: writes fail with READONLY"
        facts = {"role": "replica", "primary": primary}
        self._report.fail("role", said, fix, Exit.SETTINGS, **facts)

    async def _version(self) -> None:
        info = await self._info("version")
        if info is None:
            return
        product = "Valkey" if "valkey_version" in info else "Redis"
        text = info.get("valkey_version") or info.get("redis_version", "0")
        # Valkey answers to Redis 7.2 by its other number; its own is what operators know.
        number = tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
        facts = {"product": product.lower(), "version": text}
        protocol = self._chosen.settings.protocol
        if product == "Redis" and number < _OLDEST:
            fix = "upgrade the server to 5.0 or later"
            said = f"Redis {text} is older than 5.0, and not supported"
            self._report.fail("version", said, fix, Exit.UNREACHABLE, **facts)
        elif product == "Redis" and number < _RESP3_SINCE and protocol == 3:
            fix = f"set {self._chosen.at('protocol')} to 2"
            said = f"Redis {text} does not speak RESP3"
            self._report.fail("version", said, fix, Exit.SETTINGS, **facts)
        else:
            old = product == "Redis" and number < _RESP3_SINCE
            self._report.ok("version", f"{product} {text}{', without ACL' if old else ''}", **facts)

    async def _clients(self) -> None:
        info = await self._info("clients")
        if info is None:
            return
        most = await self._questions.config("maxclients") or info.get("maxclients", "")
        connected = int(info.get("connected_clients", "0"))
        settings, workers = self._chosen.settings, self._load.workers
        each = _most_connections(settings)
        wanted = workers * each
        asked = (f"{workers} workers x " if workers > 1 else "") + counted(each, "connection")
        facts = {"connected": connected, "workers": workers, "wanted": wanted}
        if not most.isdigit():
            self._report.ok("clients", f"{connected} connected; at most {asked} here", **facts)
            return
        limit = int(most)
        said = f"{connected} of {limit} connected; at most {asked} here"
        facts["maxclients"] = limit
        variable = self._chosen.at("pool.max_connections")
        if wanted > limit:
            fix = f"raise maxclients above {wanted}, or lower {variable}"
            self._report.warn("clients", f"{said}: {wanted} are too many", fix, **facts)
        elif connected >= _FULL * limit:
            fix = "raise maxclients, or close clients: CLIENT LIST names them"
            self._report.warn("clients", f"{said}: nearly full", fix, **facts)
        else:
            self._report.ok("clients", said, **facts)

    async def _eviction(self) -> None:
        info = await self._info("eviction")
        if info is None:
            return
        limit, used = int(info.get("maxmemory", "0")), int(info.get("used_memory", "0"))
        policy = info.get("maxmemory_policy", "noeviction")
        facts = {"policy": policy, "maxmemory": limit, "used_memory": used}
        if not limit:
            said = f"{_megabytes(used)} used, no limit (maxmemory 0)"
            self._report.ok("eviction", said, **facts)
            return
        said = f"{policy}, {_megabytes(used)} of {_megabytes(limit)} used"
        more = "raise maxmemory, or delete keys"
        if policy == "noeviction" and used >= limit:
            said = f"{said}: writes fail with OOM"
            fix = f"{more}, or set maxmemory-policy if this is a cache"
            self._report.fail("eviction", said, fix, Exit.UNREACHABLE, **facts)
        elif policy == "noeviction" and used >= _FULL * limit:
            self._report.warn("eviction", f"{said}: writes will fail with OOM", more, **facts)
        elif policy.startswith("allkeys"):
            self._report.ok("eviction", f"{said}; right for a cache, not for a queue", **facts)
        else:
            self._report.ok("eviction", said, **facts)

    async def _persistence(self) -> None:
        info = await self._info("persistence")
        if info is None:
            return
        refused = refusal_code(reply) if _failed(reply := await self._questions.ask("PING")) else ""
        broken = [
            what
            for field, what in (
                ("rdb_last_bgsave_status", "the last snapshot (BGSAVE)"),
                ("aof_last_write_status", "the last write to the append-only file"),
                ("aof_last_bgrewrite_status", "the last rewrite of the append-only file"),
            )
            if info.get(field, "ok") != "ok"
        ]
        facts = {"failed": broken}
        directory = await self._questions.config("dir")
        fix = f"make room in {directory or 'its directory'}, and let the server write there"
        if refused == "MISCONF":
            said = "the server cannot save, and takes no writes (MISCONF)"
            self._report.fail("persistence", said, fix, Exit.UNREACHABLE, **facts)
        elif broken:
            self._report.warn("persistence", f"{' and '.join(broken)} failed", fix, **facts)
        else:
            kinds = "append-only file" if info.get("aof_enabled") == "1" else "snapshots or none"
            self._report.ok("persistence", f"nothing failed ({kinds})", **facts)

    async def _settings(self) -> None:
        timeout = await self._questions.config("timeout")
        if timeout is None:
            self._report.skip("server", "the user may not run CONFIG GET")
            return
        idle, variable = self._chosen.settings.pool.max_idle, self._chosen.at("pool.max_idle")
        seconds = int(timeout)
        if 0 < seconds <= idle:
            said = f"the server closes clients that were idle for {seconds} s (timeout)"
            fix = f"set {variable} below {seconds}, or timeout to 0 on the server"
            self._report.warn("server", said, fix, timeout=seconds)
        else:
            self._report.ok("server", "it closes no idle connections of ours", timeout=seconds)

    async def _latency(self) -> None:
        took = sorted([(await self._questions.timed("PING"))[1] for _ in range(self._load.pings)])
        typical, worst = median(took), took[-1]
        said = f"median {milliseconds(typical)}, worst {milliseconds(worst)} of {len(took)} PINGs"
        facts = {"median": round(typical, 6), "worst": round(worst, 6), "pings": len(took)}
        limit = self._chosen.settings.health.timeout
        if worst > limit / 2:
            variable = self._chosen.at("health.timeout")
            fix = f"look for slow commands (SLOWLOG GET), swapping, or a distant server; {variable}"
            fix += f" ({limit:g} s) may be raised"
            self._report.warn("latency", said, fix, **facts)
        else:
            self._report.ok("latency", said, **facts)

    async def _info(self, step: str) -> dict[str, str] | None:
        info = await self._questions.info()
        if not info:
            self._report.skip(step, "the user may not run INFO")
            return None
        return info


def _most_connections(settings: RedisSettings) -> int:
    """Return how many a worker opens at most, as docs/explanation/numbers.md adds them up."""
    leased = settings.pool.max_connections
    # Beside them: a probe, all subscriptions, all tails, and with sharing the cached reads.
    shared = settings.pipelining.connections + 1 if settings.pipelining.enabled else 0
    return leased + spare_beside(leased) + shared + 3


def _failed(reply: Any) -> bool:
    return isinstance(reply, ResponseError) and not isinstance(reply, NoPermissionError)


def _megabytes(count: int) -> str:
    return f"{count / 2**20:.1f} MB"
