"""The commands, their options, and what they end with."""

import asyncio
import sys
import traceback
from collections.abc import Coroutine, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from redis_manager_fastapi.cli import config as configuration
from redis_manager_fastapi.cli import doctor as physician
from redis_manager_fastapi.cli import output, ready, verdict
from redis_manager_fastapi.cli.chosen import Chosen, choose, silence_log
from redis_manager_fastapi.cli.demonstration import demo as become_demo
from redis_manager_fastapi.cli.exits import Exit, exit_of
from redis_manager_fastapi.cli.findings import Report
from redis_manager_fastapi.cli.server import Load
from redis_manager_fastapi.cli.watch import watch as keep_watching
from redis_manager_fastapi.errors import RedisConfigError, RedisManagerError

app = typer.Typer(
    name="redis-manager-fastapi",
    help="Look at the Redis that REDIS_* names, as your app does.",
    epilog="Exit codes: 0 ok, 2 settings, 3 unreachable, 4 credentials, 5 TLS.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Format(StrEnum):
    """How `config` writes."""

    TABLE = "table"
    ENV = "env"
    JSON = "json"


Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="A second deployment: cache reads REDIS_CACHE_*."),
]
Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Instead of REDIS_URL; other users see it in ps."),
]
EnvFile = Annotated[
    Path | None,
    typer.Option("--env-file", metavar="FILE", help="Read variables from this file, too."),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
Count = Annotated[int, typer.Option("--count", min=1, help="How many times.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds to wait.")]
Workers = Annotated[
    int,
    typer.Option(
        "--workers", min=1, envvar="WEB_CONCURRENCY", help="How many processes the app has."
    ),
]
Pings = Annotated[int, typer.Option("--pings", min=1, help="How many PINGs to time.")]
Interval = Annotated[float, typer.Option("--interval", min=0.05, help="Seconds between two looks.")]
Looks = Annotated[int | None, typer.Option("--count", min=1, help="End after so many looks.")]


@app.command()
def ping(
    name: Name = None,
    url: Url = None,
    env_file: EnvFile = None,
    count: Count = 1,
    as_json: Json = False,
) -> None:
    """Connect as the app does, and send PING."""
    chosen = _chosen(name, url, env_file, as_json=as_json)
    _end(ready.ping(chosen, count, as_json=as_json), chosen, as_json=as_json)


@app.command()
def doctor(
    name: Name = None,
    url: Url = None,
    env_file: EnvFile = None,
    workers: Workers = 1,
    pings: Pings = 20,
    as_json: Json = False,
) -> None:
    """Go step by step from the settings to a PING; name the fault and the fix."""
    screen = verdict.Screen()
    report = Report() if as_json else Report(screen)
    try:
        chosen = choose(name, url, env_file)
    except RedisConfigError as error:
        physician.report_mistakes(report, error)
    else:
        asyncio.run(physician.examine(chosen, report, Load(workers, pings)))
    if as_json:
        output.say_json(report.as_json())
    else:
        screen.flush()
        verdict.conclude(report)
    raise typer.Exit(report.exit)


@app.command()
def config(
    name: Name = None,
    url: Url = None,
    env_file: EnvFile = None,
    how: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Show every setting, its value and where that comes from; no secret."""
    as_json = as_json or how is Format.JSON
    chosen = _chosen(name, url, env_file, as_json=as_json)
    if as_json:
        output.say_json(configuration.as_json(chosen))
        return
    if how is Format.ENV:
        for line in configuration.as_env(chosen):
            sys.stdout.write(f"{line}\n")
    else:
        configuration.show(chosen)
    for note in chosen.notes:
        output.say(f"note: {note}", error=True)


@app.command()
def wait(
    name: Name = None,
    url: Url = None,
    env_file: EnvFile = None,
    timeout: Timeout = 30.0,
    as_json: Json = False,
) -> None:
    """Wait until Redis serves; for the start of a container."""
    chosen = _chosen(name, url, env_file, as_json=as_json)
    _end(ready.wait(chosen, timeout, as_json=as_json), chosen, as_json=as_json)


@app.command()
def watch(
    name: Name = None,
    url: Url = None,
    env_file: EnvFile = None,
    interval: Interval = 1.0,
    count: Looks = None,
    as_json: Json = False,
) -> None:
    """Show the state and the numbers until Ctrl-C."""
    chosen = _chosen(name, url, env_file, as_json=as_json)
    on_screen = sys.stdout.isatty()
    looks = keep_watching(
        chosen, interval=interval, count=count, as_json=as_json, on_screen=on_screen
    )
    _end(looks, chosen, as_json=as_json)


@app.command()
def demo(
    sentinel: Annotated[bool, typer.Option("--sentinel", help="With Sentinels.")] = False,
    cluster: Annotated[bool, typer.Option("--cluster", help="With a Cluster.")] = False,
    redis_url: Annotated[
        str,
        typer.Option("--redis-url", metavar="URL", help="A server of yours; nothing breaks it."),
    ] = "",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="Where to serve; a free port if 0.")
    ] = 0,
) -> None:
    """Serve the minimal app, with a Redis server to break."""
    chosen = {"--sentinel": sentinel, "--cluster": cluster, f"--redis-url={redis_url}": redis_url}
    options = [option for option, given in chosen.items() if given]
    try:
        become_demo([*options, f"--port={port}"])
    except RedisConfigError as error:
        raise typer.Exit(output.fail(error, Exit.SETTINGS, as_json=False)) from None


def _chosen(name: str | None, url: str | None, env_file: Path | None, *, as_json: bool) -> Chosen:
    """Return the deployment, or end the command with what is wrong with its settings."""
    try:
        return choose(name, url, env_file)
    except RedisConfigError as error:
        raise typer.Exit(output.fail(error, Exit.SETTINGS, as_json=as_json)) from None


def _end(work: Coroutine[Any, Any, None], chosen: Chosen, *, as_json: bool) -> None:
    """Run *work*; end the command with what it fails with."""
    try:
        asyncio.run(work)
    except RedisManagerError as error:
        code = exit_of(error)
        raise typer.Exit(output.fail(error, code, as_json=as_json, place=chosen.place)) from None


def _has_stray_url(words: Sequence[str]) -> bool:
    """Whether a URL is where none belongs: what is said of a wrong word repeats it."""
    options = ("--url", "--redis-url", "--env-file")
    for before, word in zip(("", *words), words, strict=False):
        known = before in options or word.partition("=")[0] in options
        if not known and ("://" in word or "@" in word):
            return True
    return False


def run() -> int:
    """Run the command line; return its exit code."""
    silence_log()
    if _has_stray_url(sys.argv[1:]):
        error = RedisConfigError("a URL is given by --url, or in the variable REDIS_URL.")
        return output.fail(error, Exit.SETTINGS, as_json="--json" in sys.argv)
    try:
        app(prog_name=app.info.name)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else Exit.SETTINGS
    except BrokenPipeError:
        return Exit.OK
    except Exception:
        traceback.print_exc()
        return 1
    return Exit.OK
