"""What route handlers depend on when Redis is a Cluster; imported when it is asked for."""

from typing import Annotated

from fastapi import Depends

from redis_manager_fastapi.client.cluster.redis_cluster import RedisCluster
from redis_manager_fastapi.client.parameters import refuse_as_dependency
from redis_manager_fastapi.web.dependencies import get_redis

RedisClusterDep = Annotated[RedisCluster, Depends(get_redis)]
"""A route parameter's type: `RedisDep`, typed as a `RedisCluster`."""

refuse_as_dependency("RedisClusterDep", RedisClusterDep)
