"""`scripts/soak`: the random schedule of faults, for as long as wanted."""

import argparse
import asyncio
import logging
import random
from typing import Any

from redis_manager_fastapi.testing import RedisServer
from tests.kit import chaos
from tests.kit.cancelling import storm
from tests.kit.invariants import upheld
from tests.kit.servers import DURABLE

_ROUND = 60.0
_MODES = {"shared": True, "dedicated": False}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=600.0)
    parser.add_argument("--seed", type=int, default=None, help="repeat that run")
    parser.add_argument("--mode", choices=_MODES, default=None, help="default: by turns")
    parser.add_argument(
        "--cancel-points", type=int, default=0, help="cancel at that many awaits instead"
    )
    return parser.parse_args()


async def _chaos(seconds: float, seed: int, mode: str | None) -> None:
    """Run a minute at a time, each on servers of its own, each with the next seed."""
    modes, left = [mode] if mode else list(_MODES), seconds
    while left > 0:
        turn = modes[seed % len(modes)]
        settings: dict[str, Any] = {"pipelining": {"enabled": _MODES[turn]}}
        async with RedisServer(DURABLE) as server, RedisServer() as bystander:
            trial, made = await chaos.run(server, bystander, min(left, _ROUND), seed, **settings)
        print(f"  faults {dict(made.met)}")
        print(f"  calls {len(trial.calls)}, errors {dict(trial.errors())}")
        print(f"  connects {trial.manager.stats().connects}, {trial.ledgers['counter'].ran} writes")
        left, seed = left - _ROUND, seed + 1


async def _cancel(points: int, seed: int, mode: str | None) -> None:
    limits = {"timeout": {"command": 10, "connect": 1}}
    for turn in [mode] if mode else _MODES:
        print(f"cancelling at {points} awaits: seed {seed}, {turn}", flush=True)
        settings: dict[str, Any] = {"pipelining": {"enabled": _MODES[turn]}, **limits}
        settings["pool"] = {"max_connections": 5, "acquire_timeout": 5}
        async with (
            RedisServer() as server,
            RedisServer() as bystander,
            upheld(server, bystander, extra_connects=5000, **settings) as trial,
        ):
            await storm(trial, points, seed)


def main() -> None:
    """Run what the command line asks for; any broken invariant is an `AssertionError`."""
    arguments = _arguments()
    logging.getLogger("redis_manager_fastapi").setLevel(logging.CRITICAL)
    seed = random.randrange(1_000_000) if arguments.seed is None else arguments.seed
    if arguments.cancel_points:
        asyncio.run(_cancel(arguments.cancel_points, seed, arguments.mode))
    else:
        asyncio.run(_chaos(arguments.seconds, seed, arguments.mode))


if __name__ == "__main__":
    main()
