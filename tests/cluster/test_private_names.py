"""redis-py's private names that the cluster client stands on, and how they behave."""

import inspect

import pytest
import redis.asyncio.cluster as theirs
from redis.asyncio.connection import AbstractConnection

from redis_manager_fastapi.client.cluster.redis_cluster import RedisCluster
from redis_manager_fastapi.cluster.redis_py import PRIVATE_NAMES, AsyncCommandsParser
from redis_manager_fastapi.redis_py import PrivateName
from tests.kit.private_names import exists, title


@pytest.mark.parametrize("row", PRIVATE_NAMES, ids=title)
def test_private_name_exists(row: PrivateName) -> None:
    assert exists(row), f"{title(row)} is gone: {row.reason} ({row.read_in})"


def test_redis_py_still_calls_what_is_overridden() -> None:
    source = inspect.getsource(theirs.RedisCluster.execute_command)
    assert "await self._execute_command(target_nodes[0], *args, **kwargs)" in source
    assert "await self._determine_nodes(" in source
    assert "await self._determine_slot(*args)" in source
    assert "self.commands_parser.get_keys(" in inspect.getsource(
        theirs.RedisCluster._determine_slot
    )
    assert "self._command_flags_mapping[" in inspect.getsource(theirs.RedisCluster._determine_nodes)
    assert "args[1].lower()" in inspect.getsource(AsyncCommandsParser.get_keys)
    assert "target_nodes=nodes[name]" in inspect.getsource(theirs.RedisCluster.scan_iter)
    assert "self._execute_pipeline_by_slot(" in inspect.getsource(
        theirs.RedisCluster.mget_nonatomic
    )


def test_the_attributes_that_a_copy_takes_over_are_slots() -> None:
    assert theirs.RedisCluster in RedisCluster.__mro__
    assert {"nodes_manager", "_initialize", "_lock", "encoder"} <= set(
        theirs.RedisCluster.__slots__
    )


def test_pipelines_pubsub_and_the_map_have_their_seams() -> None:
    assert list(inspect.signature(theirs.PipelineStrategy._execute).parameters) == [
        "self",
        "client",
        "stack",
        "raise_on_error",
        "allow_redirections",
    ]
    assert "self._get_node_pubsub(node)" in inspect.getsource(theirs.ClusterPubSub.ssubscribe)
    assert "_event_dispatcher" in theirs.NodesManager.__slots__
    assert "self.node" in inspect.getsource(AsyncCommandsParser)
    assert "_connect_callbacks" in inspect.getsource(AbstractConnection.connect_check_health)
