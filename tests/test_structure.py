"""How easy it is to find one's way: what `scripts/structure` measures."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def load() -> ModuleType:
    """Import the script, which is no module of the package."""
    path = Path(__file__).parent.parent / "scripts" / "measure_structure.py"
    spec = importlib.util.spec_from_file_location("measure_structure", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


structure = load()


def test_no_modules_import_each_other() -> None:
    """Imports that only types need count as well."""
    assert structure.circles() == []


def test_one_place_decides_whether_a_command_goes_out_again() -> None:
    assert structure.deciders() == ["redis_manager_fastapi.delivery.contract"]


def test_one_place_makes_a_request_of_a_command() -> None:
    assert structure.request_makers() == ["redis_manager_fastapi.delivery.session.request"]


def test_deployments_are_the_only_classes_by_topology() -> None:
    assert structure.families() == {"Deployment": ["Clustered", "Replica", "Single", "WithReplica"]}


@pytest.mark.usefixtures("pipelining")
async def test_one_call_changes_the_file_seldom() -> None:
    found = await structure.single_flows() | await structure.cluster_flow()

    over = {name: count for name, count in found.items() if count > structure.FLOWS[name]}
    assert over == {}
