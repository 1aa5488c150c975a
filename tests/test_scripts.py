"""The scripts say clearly what a machine lacks, and leave nothing half made."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = ("sh", "dirname", "rm", "sort", "awk", "mkdir", "touch")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A clone on a machine that has a shell, and no Python."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for tool in TOOLS:
        (programs / tool).symlink_to(str(shutil.which(tool)))
    return tmp_path


def run(clone: Path, script: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    env = {"PATH": str(clone / "bin"), "HOME": str(clone), **variables}
    return subprocess.run(
        [str(clone / "bin" / "sh"), str(clone / "scripts" / script)],
        cwd=clone,
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def put_program(clone: Path, script: str, path: str = "bin/python3") -> None:
    program = clone / path
    program.write_text(f"#!{clone}/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize("script", ["install", "demo", "test", "matrix"])
def test_missing_python_is_named(bare: Path, script: str) -> None:
    ended = run(bare, script)

    assert ended.returncode == 1
    assert "3.11 or later found" in ended.stderr
    assert not (bare / ".venv").exists()


def test_a_wrong_python_is_named_and_no_other_is_taken(bare: Path) -> None:
    put_program(bare, "exit 0")

    for wrong in ("/no/such/python", str(bare / "bin" / "rm")):
        ended = run(bare, "demo", PYTHON=wrong)
        assert ended.returncode == 1
        assert f"PYTHON={wrong} is no Python 3.11 or later" in ended.stderr


@pytest.mark.parametrize("brings", [True, False])
def test_an_environment_without_pip_gets_one(bare: Path, brings: bool) -> None:
    """`uv sync` makes a .venv that has none; Python may bring one, and Debian's does not."""
    (bare / ".venv" / "bin").mkdir(parents=True)
    put_program(
        bare,
        f"""echo "$@" >>ran
case "$*" in
    *"-m pip "*) [ -e pip ] ;;
    *ensurepip*) {"echo >pip" if brings else "exit 1"} ;;
esac""",
        ".venv/bin/python",
    )
    ended = run(bare, "install")

    if brings:
        assert ended.returncode == 0, ended.stderr
        assert "--editable .[demo] --group dev" in (bare / "ran").read_text()
    else:
        assert ended.returncode == 1
        assert "remove .venv" in ended.stderr


def test_old_python_does_not_count(bare: Path) -> None:
    put_program(bare, "exit 1")

    assert "no Python 3.11 or later found" in run(bare, "demo").stderr


def test_missing_venv_module_is_named(bare: Path) -> None:
    put_program(bare, 'if [ "$1" = -m ]; then mkdir -p .venv; exit 1; fi')
    ended = run(bare, "demo")

    assert ended.returncode == 1
    assert "cannot make a virtual environment; install its venv module" in ended.stderr
    assert not (bare / ".venv").exists()


FETCHED = [("tls-server", "redis-server"), ("browser", "chromium")]

# Its packages are there once the lists have been fetched.
APT = """
echo "$@" | tr " " "\\n" | grep -x -e update -e install >>asked
if [ "$_asked" = never ]; then echo "E: no such package"; exit 100; fi
case "$*" in
    *update*) >lists ;;
    *download*) [ -e lists ] && >.venvs/servers/tls/debs/one.deb ;;
    *install*) [ -e lists ] && >bin/chromium && chmod +x bin/chromium ;;
esac"""
DPKG_DEB = """
mkdir -p "$3/usr/bin"
echo "#!$PWD/bin/sh" >"$3/usr/bin/redis-server"
chmod +x "$3"/usr/bin/redis-server"""


@pytest.mark.parametrize(("script", "program"), FETCHED)
def test_what_cannot_be_fetched_is_left_out_with_its_reason(
    bare: Path, script: str, program: str
) -> None:
    ended = run(bare, script)

    assert (ended.returncode, ended.stdout) == (0, "")
    assert f"left out: no {program} on PATH, and no apt-get" in ended.stderr
    assert not (bare / ".venvs").exists()


@pytest.mark.parametrize(("script", "program"), FETCHED)
@pytest.mark.parametrize("there", [True, False])
def test_packages_are_asked_for_again_with_new_lists(
    bare: Path, script: str, program: str, there: bool
) -> None:
    """On a machine whose lists are old, or were never fetched; and where nothing helps."""
    for tool in ("cat", "chmod", "grep", "tail", "tr"):
        (bare / "bin" / tool).symlink_to(str(shutil.which(tool)))
    put_program(bare, "echo 0", "bin/id")
    put_program(bare, APT.replace("$_asked", "yes" if there else "never"), "bin/apt-get")
    put_program(bare, DPKG_DEB, "bin/dpkg-deb")
    ended = run(bare, script)

    asked = (bare / "asked").read_text().split()
    assert ended.returncode == 0, ended.stderr
    if there:
        assert asked == ["install", "update", "install"]
        assert Path(ended.stdout.strip()).name == program
    else:
        assert asked == ["install", "update"]
        assert ended.stdout == ""
        assert f"left out: apt-get has no {program}: E: no such package" in ended.stderr


def test_scripts_are_short_and_executable() -> None:
    scripts = [path for path in (ROOT / "scripts").iterdir() if path.suffix == ""]

    assert [path.name for path in scripts if not os.access(path, os.X_OK)] == []
    assert [path.name for path in scripts if len(path.read_text().splitlines()) > 60] == []
