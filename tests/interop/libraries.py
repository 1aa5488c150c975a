"""The libraries, by the names that docs/libraries.md gives them."""

from tests.interop import limiters, messages, queues, stores
from tests.interop.sides import Library
from tests.kit.servers import MODULES

LIBRARIES = {
    "fastapi-redis-sdk": Library(
        stores.fastapi_redis, silent="its cache and its limiter do without Redis"
    ),
    "cashews": Library(stores.cashews),
    "redis-om": Library(stores.redis_om, MODULES),
    "langgraph-checkpoint-redis": Library(stores.langgraph, MODULES),
    "aiogram": Library(stores.aiogram),
    "limits": Library(limiters.limits),
    "pyrate-limiter": Library(limiters.pyrate_limiter),
    "saq": Library(queues.saq),
    "arq": Library(queues.arq),
    "taskiq-redis": Library(queues.taskiq),
    "FastStream, streams": Library(messages.faststream_streams),
    "FastStream, lists": Library(messages.faststream_lists),
    "FastStream, channels": Library(
        messages.faststream_channels, silent="channels keep nothing, and it listens again after 5 s"
    ),
    "python-socketio": Library(messages.socket_io),
    "channels_redis": Library(messages.channels),
}
