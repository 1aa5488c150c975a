"""What redis-py's cluster client keeps private and this package touches, as a table.

Only a Cluster imports it.  Private modules are imported here and nowhere else.
"""

from collections.abc import Generator
from typing import Any

import redis
import redis.asyncio.client
import redis.asyncio.cluster as theirs
from redis._parsers import AsyncCommandsParser as AsyncCommandsParser
from redis._parsers.commands import CommandPolicies as CommandPolicies
from redis._parsers.commands import RequestPolicy as RequestPolicy
from redis.commands.cluster import AsyncClusterMultiKeyCommands

from redis_manager_fastapi.redis_py import PrivateName, own_method

_READ_IN = "redis-py 8.1"

PRIVATE_NAMES = (
    PrivateName(
        redis,
        "_parsers",
        _READ_IN,
        "has the finder of keys and the policies by which nodes are picked",
    ),
    # The client.
    PrivateName(
        theirs.RedisCluster,
        "_initialize",
        _READ_IN,
        "is off: the map comes from the deployment, not from redis-py's first command",
    ),
    PrivateName(theirs.RedisCluster, "_lock", _READ_IN, "the one slot that a copy has no use for"),
    PrivateName(
        theirs.RedisCluster,
        "_determine_nodes",
        _READ_IN,
        "overridden: a node that the caller did not name may be replaced by another",
    ),
    PrivateName(
        theirs.RedisCluster,
        "_determine_slot",
        _READ_IN,
        "overridden: the keys of listed commands are known without asking a node",
    ),
    PrivateName(
        theirs.RedisCluster,
        "_execute_command",
        _READ_IN,
        "overridden: a command follows its slot by the outage contract",
    ),
    PrivateName(
        AsyncClusterMultiKeyCommands,
        "_execute_pipeline_by_slot",
        _READ_IN,
        "overridden: `mget_nonatomic` and the like go out on shared connections",
    ),
    PrivateName(
        AsyncClusterMultiKeyCommands,
        "_split_command_across_slots",
        _READ_IN,
        "overridden: a DEL or EXISTS of several keys that is not awaited says so",
    ),
    PrivateName(
        theirs.RedisCluster,
        "_command_flags_mapping",
        _READ_IN,
        "says which commands any node can take",
    ),
    PrivateName(
        theirs.RedisCluster,
        "_is_node_flag",
        _READ_IN,
        "tells `target_nodes` that is a flag from one that is nodes",
    ),
    PrivateName(
        theirs.RedisCluster,
        "_parse_target_nodes",
        _READ_IN,
        "makes a list of the nodes in `target_nodes`",
    ),
    PrivateName(
        theirs.RedisCluster,
        "_policies_callback_mapping",
        _READ_IN,
        "overridden: its functions are bound to the client that was made first",
    ),
    PrivateName(
        theirs.RedisCluster,
        "_himport_registry",
        _READ_IN,
        "is the one that the nodes' connections look at",
    ),
    PrivateName(
        theirs.RedisCluster,
        "_policy_resolver",
        _READ_IN,
        "is asked first for each command; that of a stand-in says nothing of it",
    ),
    # Pipelines.
    PrivateName(
        theirs.ClusterPipeline,
        "_execution_strategy",
        _READ_IN,
        "replaced: what splits a pipeline by node, or carries out its transaction",
    ),
    PrivateName(
        theirs.AbstractStrategy, "_pipe", _READ_IN, "knows the client, and with it the instance"
    ),
    PrivateName(
        theirs.AbstractStrategy,
        "_command_queue",
        _READ_IN,
        "holds the commands of a transaction until it is executed",
    ),
    PrivateName(
        theirs.AbstractStrategy,
        "_annotate_exception",
        _READ_IN,
        "names the command in its error",
    ),
    PrivateName(
        theirs.PipelineStrategy,
        "_execute",
        _READ_IN,
        "overridden: the parts of a pipeline leave side by side, each in one write",
    ),
    # Pub/sub and the map.
    PrivateName(
        theirs.ClusterPubSub,
        "_get_node_pubsub",
        _READ_IN,
        "overridden: a node's shard channels use a leased connection",
    ),
    PrivateName(
        redis.asyncio.client.PubSub,
        "_resubscribe_shard_channels",
        _READ_IN,
        "sends one SSUBSCRIBE per slot, because a node has many",
    ),
    PrivateName(
        theirs.ClusterPubSub,
        "_pubsubs_generator",
        _READ_IN,
        "overridden: it would keep a pub/sub alive that has been dropped",
    ),
    PrivateName(
        theirs.ClusterPubSub,
        "_event_dispatcher",
        _READ_IN,
        "a node's pub/sub takes the Cluster's",
    ),
    PrivateName(
        theirs.NodesManager,
        "_event_dispatcher",
        _READ_IN,
        "tells redis-py's sharded pub/sub that slots have moved",
    ),
)


OWN_EXECUTE_COMMAND = own_method(theirs.RedisCluster, "execute_command")
"""What redis-py's cluster client has as long as nothing instruments it."""


class ShardPubSub(redis.asyncio.client.PubSub):
    """Has the pub/sub of one node send one SSUBSCRIBE per slot, because a node has many.

    redis-py gives such an object a method bound to it, which would keep it alive when it
    has been dropped.
    """

    _resubscribe_shard_channels = theirs.ClusterPubSub._resubscribe_shard_channels  # noqa: SLF001


class OneAfterTheOther(theirs.ClusterPubSub):
    """Reads its nodes by turns, without the reference to itself that redis-py's generator has."""

    def _pubsubs_generator(self) -> Generator[Any, None, None]:
        return _one_after_the_other(self.node_pubsub_mapping)


def _one_after_the_other(pubsubs: dict[str, Any]) -> Generator[Any, None, None]:
    while pubsubs:
        yield from list(pubsubs.values())
