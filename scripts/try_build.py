"""Look at what was built, and try the wheel where there is no checkout.

`scripts/build` runs this.  The wheel is installed into a new environment in a temporary
folder; the first snippet of the README is served there by uvicorn against a server of the
fixtures', and the tests of `examples/testing_your_app.py` run.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterable, Iterator
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "redis_manager_fastapi"
OPTIONS = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)

SERVED = '''"""The README's app answers under uvicorn, and says so when Redis is killed."""

import subprocess
import sys
import time

import httpx


def answer(method, url, status):
    for _ in range(300):
        try:
            response = httpx.request(method, url)
        except httpx.TransportError:
            response = None
        if response is not None and response.status_code == status:
            return response
        time.sleep(0.1)
    raise AssertionError((url, status, response))


async def test_app_is_served(redis_server, unused_tcp_port, monkeypatch):
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    port, url = str(unused_tcp_port), f"http://127.0.0.1:{unused_tcp_port}"
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", port]
    with subprocess.Popen(command) as serving:
        try:
            assert answer("POST", f"{url}/hits/home", 200).json() == {"hits": 1}
            await redis_server.kill()
            assert answer("POST", f"{url}/hits/home", 503).headers["retry-after"] == "1"
        finally:
            serving.terminate()
'''


def misplaced(wheel: Iterable[str]) -> Iterator[str]:
    """Say what a wheel with these files lacks, or has and should not."""
    names = set(wheel)
    info = next(name.split("/")[0] for name in names if name.endswith(".dist-info/METADATA"))
    for name in (
        f"{PACKAGE}/py.typed",
        f"{PACKAGE}/__init__.py",
        f"{PACKAGE}/client/typed.pyi",
        f"{PACKAGE}/testing/plugin.py",
        f"{info}/licenses/LICENSE",
        f"{info}/entry_points.txt",
    ):
        if name not in names:
            yield f"the wheel lacks {name}"
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / PACKAGE).rglob("*.py")}
    yield from (f"the wheel lacks {name}" for name in sorted(sources - names))
    allowed = (".py", ".pyi", "/py.typed", ".svg", ".html", ".js", ".css")
    for name in sorted(names):
        if not name.startswith((f"{PACKAGE}/", f"{info}/")):
            yield f"the wheel has {name}, outside the package"
        elif name.startswith(f"{PACKAGE}/") and not name.endswith(allowed):
            yield f"the wheel has {name}, which is no source"


def strayed(sdist: Iterable[str]) -> Iterator[str]:
    """Say what a source distribution with these files lacks, or has and should not."""
    names = {name.partition("/")[2] for name in sdist}
    for name in ("LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", f"{PACKAGE}/py.typed"):
        if name not in names:
            yield f"the source distribution lacks {name}"
    for name in sorted(names):
        hidden = name.startswith(".") and name != ".gitignore"
        if hidden or "__pycache__" in name or name.startswith(("dist/", "site/")):
            yield f"the source distribution has {name}"


def wrong_metadata(text: str, version: str) -> Iterator[str]:
    """Say what is wrong with a wheel's METADATA."""
    found = Parser().parsestr(text)
    if found["Version"] != version:
        yield f"the wheel is of version {found['Version']}, and __version__ is {version}"
    if not found.get_payload().startswith(f"# {PACKAGE}"):
        yield "the wheel's description is not the README"


def look(dist: Path) -> tuple[Path, list[str]]:
    """Return the wheel, and what is wrong with what was built."""
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    source = (ROOT / PACKAGE / "__init__.py").read_text()
    version = re.findall(r'^__version__ = "(.*)"$', source, re.MULTILINE)[0]
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    with tarfile.open(sdist) as packed:
        files = [member.name for member in packed if member.isfile()]
    return wheel, [*misplaced(names), *strayed(files), *wrong_metadata(text, version)]


def try_out(wheel: Path) -> None:
    """Install the wheel into a new environment, serve the README's app, and run the fixtures."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        venv.create(home / "venv", with_pip=True)
        python = str(home / "venv" / "bin" / "python")
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        wanted = (f"{wheel}[testing]", "uvicorn", "httpx2", "httpx")
        subprocess.run((*pip, *wanted), cwd=home, check=True)
        (home / "app.py").write_text(SNIPPET.findall((ROOT / "README.md").read_text())[0])
        (home / "test_served.py").write_text(SERVED)
        shutil.copy(ROOT / "examples" / "testing_your_app.py", home / "test_app.py")
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = (python, "-m", "pytest", "-q", *OPTIONS)
        subprocess.run(command, cwd=home, env=env, check=True)


if __name__ == "__main__":
    built, problems = look(Path(sys.argv[1]).resolve())
    if problems:
        sys.exit("\n".join(problems))
    try_out(built)
