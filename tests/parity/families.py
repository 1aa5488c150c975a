"""Every table of calls, by the name of its family."""

from . import data_calls, error_calls, ranked_calls, server_calls
from .sameness import Call

FAMILIES: dict[str, list[Call]] = {
    "strings": data_calls.STRINGS,
    "keys": data_calls.KEYS,
    "expiry": data_calls.EXPIRY,
    "hashes": data_calls.HASHES,
    "lists": data_calls.LISTS,
    "sets": data_calls.SETS,
    "sorted sets": ranked_calls.SORTED_SETS,
    "bitmaps": ranked_calls.BITMAPS,
    "hyperloglog": ranked_calls.HYPERLOGLOG,
    "geo": ranked_calls.GEO,
    "streams": server_calls.STREAMS,
    "scripting": server_calls.SCRIPTING,
    "functions": server_calls.FUNCTIONS,
    "blocking": server_calls.BLOCKING,
    "pubsub": server_calls.PUBSUB,
    "server": server_calls.SERVER,
    "clients": server_calls.CLIENTS,
    "absent": server_calls.ABSENT,
    "wrong": error_calls.WRONG,
    "arguments": error_calls.ARGUMENTS,
    "binary": error_calls.BINARY,
}
