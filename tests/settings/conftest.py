"""An environment without any `REDIS_*`, and a short way to fill it."""

import os
from collections.abc import Callable

import pytest

SetEnvironment = Callable[..., None]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("REDIS_"):
            monkeypatch.delenv(name)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> SetEnvironment:
    """Set variables: `environment(REDIS_HOST="db")`."""

    def fill(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return fill
