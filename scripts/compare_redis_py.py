"""Run redis-py's own asyncio tests on our client and on redis-py's, and compare them one by one.

`scripts/redis-py-suite` runs this, with the folder of redis-py's source distribution.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.binary import VARIABLE
from redis_manager_fastapi.testing.cluster import ClusterDeployment

ROOT = Path(__file__).parent.parent
SERVERS = ROOT / ".venvs" / "servers"
MARKS = "not ssl and not replica and not fixed_client"
OPTIONS = ("asyncio_mode=auto", "asyncio_default_fixture_loop_scope=function", "timeout=30")
DIRECTIVES = {"enable-debug-command": "yes"}

CORE = ["commands", "encoding", "hash", "himport_integration", "keyspace_notifications"]
CORE += ["lock", "monitor", "pipeline", "pubsub", "scripting"]
OF_CLUSTERS = ["cluster", "cluster_transaction"]
MODULES = ["bloom", "json", "search", "timeseries"]

# Tests that pass on redis-py's client alone, and why that is as it should be.
_REFUSED = "it is about its connection, and this client has none to itself"
_INNER = "looks at what redis-py keeps private"
KNOWN = {
    "*test_acl_log*": "a user name without a password is no setting",
    "*test_bitfield_operations?pool?": _REFUSED,
    "*test_client_kill*?pool?": _REFUSED,
    "*test_client_list_after_client_setname?pool?": _REFUSED,
    "*test_client_no_touch?pool?": _REFUSED,
    "*test_client_setname?pool?": _REFUSED,
    "*test_readonly?pool?": _REFUSED,
    "*test_pipeline_reset_releases_connection_when_cancelled*": _INNER,
    "*test_transaction_discard*": _INNER,
    "*test_moved_redirection?pool?": _INNER,
    "*test_moved_redirection_after_failover?pool?": _INNER,
    "*test_moved_redirection_circular_moved?pool?": _INNER,
    "*test_connection_error_raised_when_connection_dies*": "a subscription outlives it",
    "*test_not_require_full_coverage_cluster_down_error*": "RedisUnavailableError, after grace",
    "*cluster*test_dict_operations*": "any node takes it, with redis-py's client too",
}


class Round(NamedTuple):
    """Tests that run on one server.

    Attributes:
        server: The folder of its program in `.venvs/servers`; empty for the embedded one.
        clustered: Whether it is a Cluster of them.
        protocol: RESP2 or RESP3.
        files: The names of the files, without `test_`.
    """

    server: str
    clustered: bool
    protocol: int
    files: list[str]

    @property
    def name(self) -> str:
        """What its reports are called."""
        kind = "cluster" if self.clustered else "single"
        return f"{self.server or 'embedded'}-{kind}-resp{self.protocol}"


def rounds() -> Iterator[Round]:
    """Return the rounds for which there are servers."""
    for clustered in (False, True):
        for protocol in (2, 3):
            yield Round("", clustered, protocol, [*CORE, *(OF_CLUSTERS if clustered else ())])
            for server, files in (("7.4-modules", MODULES), ("8.2", ["vsets", "hash"])):
                if (SERVERS / server / "redis-server").exists():
                    yield Round(server, clustered, protocol, files)


async def run(home: Path, each: Round, client: str, arguments: list[str]) -> dict[str, str]:
    """Run the tests on one client, on a server of their own; return what came of each."""
    os.environ.pop(VARIABLE, None)
    if each.server:
        os.environ[VARIABLE] = str(SERVERS / each.server / "redis-server")
    server: RedisServer | ClusterDeployment = RedisServer(DIRECTIVES)
    if each.clustered:
        server = ClusterDeployment(node_timeout=5.0, directives=DIRECTIVES)
    report = home / f"{each.name}-{client}.xml"
    report.unlink(missing_ok=True)
    async with server:
        node = server.primaries[0] if isinstance(server, ClusterDeployment) else server
        url = f"redis://{node.host}:{node.port}/0"
        mark = f"{MARKS} and not {'onlynoncluster' if each.clustered else 'onlycluster'}"
        command = [sys.executable, "-m", "pytest", "-p", "redis_py_clients", "-q", "--tb=native"]
        command += ["-p", "no:cacheprovider", f"--junitxml={report}", "-m", mark]
        command += [f"--redis-url={url}", f"--redis-mod-url={url}", f"--protocol={each.protocol}"]
        command += [part for option in OPTIONS for part in ("-o", option)]
        command += [f"tests/test_asyncio/test_{name}.py" for name in each.files]
        path = os.pathsep.join(map(str, (home, ROOT / "scripts", ROOT)))
        env = os.environ | {"SUITE_CLIENT": client, "PYTHONPATH": path}
        with report.with_suffix(".log").open("w") as log:
            ended = await asyncio.create_subprocess_exec(
                *command, *arguments, cwd=home, env=env, stdout=log, stderr=log
            )
            await ended.wait()
    return dict(outcomes(report)) if report.exists() else {}


def outcomes(report: Path) -> Iterator[tuple[str, str]]:
    """Return what came of each test: passed, failure, error or skipped, with the reason."""
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 (pytest's own)
        name = f"{case.get('classname')}::{case.get('name')}".removeprefix("tests.test_asyncio.")
        told = next((e for e in case if e.tag in ("failure", "error", "skipped")), None)
        first = (told.get("message") or "").split("\n")[0][:120] if told is not None else ""
        yield name, f"{told.tag}: {first}" if told is not None else "passed"


def reason(test: str) -> str | None:
    """Return why a test, after its round's name, may fail on ours; None if nobody knows."""
    return next((why for pattern, why in KNOWN.items() if fnmatch(test, pattern)), None)


async def compare(home: Path, each: Round, arguments: list[str]) -> bool:
    """Print how our client differs from redis-py's; return whether all of it is known."""
    plain, ours = await asyncio.gather(
        *(run(home, each, client, arguments) for client in ("plain", "ours"))
    )
    passed = {test for test, outcome in plain.items() if outcome == "passed"}
    print(f"== {each.name}: {len(passed)} pass with redis-py's client", flush=True)  # noqa: T201
    unknown = False
    for test in sorted(passed):
        outcome = ours.get(test, "did not run")
        if outcome != "passed":
            skipped = outcome if outcome.startswith("skipped: our client has no") else None
            why = reason(f"{each.name} {test}") or skipped
            unknown = unknown or why is None
            print(f"   {'known' if why else 'NEW'}: {test}: {why or outcome}", flush=True)  # noqa: T201
    if not passed:
        print(f"   nothing ran: see {home}", flush=True)  # noqa: T201
    return bool(passed) and not unknown


async def main(home: Path, arguments: list[str]) -> int:
    """Run every round; return 1 if there is a difference that nobody knows."""
    known = [await compare(home, each, arguments) for each in rounds()]
    return int(not all(known))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]).absolute(), sys.argv[2:])))
