"""Test an app whose manager is made as it is imported: `pytest testing_an_imported_app.py`."""

import importlib
from collections.abc import Iterator

import minimal  # type: ignore[import-not-found]  # your app's module
import pytest
from fastapi.testclient import TestClient


@pytest.fixture
def client(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("REDIS_URL", redis_url)
    app = importlib.reload(minimal).app  # its manager reads the environment again
    with TestClient(app) as client:
        yield client


def test_hits_are_counted(client: TestClient) -> None:
    assert client.post("/hits/home").json() == {"hits": 1}
