"""Which reads may be answered by a cache in the process, and why the others may not.

What is cached depends on its keys alone: the server tells when one of them changes.
`LEFT_OUT` has every other read of the table, by the reason.
"""

from typing import Any

from redis_manager_fastapi.commands.keys import KEYS_OF

# fmt: off
CACHED = frozenset({
    "BITCOUNT", "BITPOS", "EXISTS", "GEODIST", "GEOHASH", "GEOPOS", "GET", "GETBIT", "GETRANGE",
    "HEXISTS", "HGET", "HGETALL", "HKEYS", "HLEN", "HMGET", "HSTRLEN", "HVALS", "JSON.GET",
    "LINDEX", "LLEN", "LPOS", "LRANGE", "MGET", "SCARD", "SISMEMBER", "SMEMBERS", "SMISMEMBER",
    "STRLEN", "SUBSTR", "TYPE", "ZCARD", "ZCOUNT", "ZLEXCOUNT", "ZMSCORE", "ZRANGE", "ZRANGEBYLEX",
    "ZRANGEBYSCORE", "ZRANK", "ZREVRANGE", "ZREVRANGEBYLEX", "ZREVRANGEBYSCORE", "ZREVRANK",
    "ZSCORE",
})
# fmt: on

_WHY = {
    "the reply changes with time, not with a key": """
        EXPIRETIME HEXPIRETIME HPEXPIRETIME HPTTL HTTL OBJECT PEXPIRETIME PTTL TTL TOUCH
        """,
    "the reply is random, or a cursor's": """
        CLUSTERSCAN HRANDFIELD HSCAN RANDOMKEY SCAN SRANDMEMBER SSCAN VRANDMEMBER ZRANDMEMBER ZSCAN
        """,
    "it asks the server, not a key": """
        DBSIZE ECHO LOLWUT PING
        """,
    "it tells of a key's memory, which changes without the key": """
        DUMP MEMORY OBJECT
        """,
    "the keys it reads are not known from its arguments": """
        EVALSHA_RO EVAL_RO FCALL_RO SORT_RO
        """,
    "one reply comes of several keys, and rarely again before one of them changes": """
        JSON.MGET LCS PFCOUNT SDIFF SINTER SINTERCARD SUNION ZDIFF ZINTER ZINTERCARD ZUNION
        """,
    "what it reads changes with nearly every read: streams are followed by `manager.tail`": """
        XINFO XLEN XPENDING XRANGE XREVRANGE
        """,
    "its arguments hardly ever repeat": """
        BITFIELD_RO GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH
        """,
    "modules need not tell of a change in what they keep": """
        BF CF CMS FT JSON TDIGEST TOPK TS VCARD VDIM VEMB VGETATTR VINFO VISMEMBER VLINKS
        """,
}
LEFT_OUT = {name: reason for reason, names in _WHY.items() for name in names.split()}
"""Why a read is not cached, by its name, the name's first word, or its module's prefix."""

SCORED = frozenset({"ZRANGE", "ZRANGEBYSCORE", "ZREVRANGE", "ZREVRANGEBYSCORE"})
"""With RESP3, their members and scores come in pairs; with RESP2, one after the other."""


def keys_read(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the keys that a cached command reads, as it has them."""
    rule = KEYS_OF.get(args[0])
    return args[1:2] if rule is None else rule(args[1:])
