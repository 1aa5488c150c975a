"""Commands and their replies; written by `scripts/types`, not by hand.

A client or pipeline lists one of these classes first among its bases.  At run
time that base disappears; see `typed.py`.

Replies are those with RESP2, the default; with RESP3 a few have another shape.
"""

import builtins
import datetime
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, Generic, Literal, Self, overload

from redis.asyncio.cluster import TargetNodesT
from redis.commands.core import (
    ArrayAggregateOperations,
    ArrayPredicateCombinator,
    ArrayPredicateType,
    DataPersistOptions,
    HashDataPersistOptions,
    HotkeysMetricsTypes,
)
from redis.typing import (
    AbsExpiryT,
    ACLLogData,
    AnyKeyT,
    BitfieldOffsetT,
    ChannelT,
    ClusterLinksResponse,
    ClusterNodeDetail,
    ClusterShardsResponse,
    ConsumerT,
    EncodableT,
    ExpiryT,
    FieldT,
    GeoCoordinate,
    GroupT,
    KeysT,
    KeyT,
    Number,
    PatternT,
    ScriptTextT,
    SentinelMastersResponse,
    StralgoResponse,
    StreamIdT,
    TimeoutSecT,
    ZScoreBoundT,
)
from typing_extensions import TypeVar

# Derived from redis-py 8.1.0.

TextT = TypeVar("TextT", bound=str | bytes, default=str)

class Commands(Generic[TextT]):
    """The commands of every client."""

    async def transaction(
        self,
        func: Callable[[Any], Any],
        *watches: KeyT,
        shard_hint: str | None = None,
        value_from_callable: bool = False,
        watch_delay: float | None = None,
    ) -> Any:
        """Execute what *func* queues on a pipeline, with the keys watched."""
    async def acl_cat(self, category: str | None = None, **kwargs: Any) -> list[str]:
        """Returns a list of categories or commands within a category."""
    async def acl_deluser(self, *username: str, **kwargs: Any) -> int:
        """Delete the ACL for the specified `username`s."""
    async def acl_dryrun(self, username: str, *args: EncodableT, **kwargs: Any) -> TextT:
        """Simulate the execution of a given command by a given `username`."""
    async def acl_genpass(self, bits: int | None = None, **kwargs: Any) -> str:
        """Generate a random password value."""
    async def acl_getuser(self, username: str, **kwargs: Any) -> dict[str, Any] | None:
        """Get the ACL details for the specified `username`."""
    async def acl_help(self, **kwargs: Any) -> list[str]:
        """The ACL HELP command returns helpful text describing the different subcommands."""
    async def acl_list(self, **kwargs: Any) -> list[str]:
        """Return a list of all ACLs on the server."""
    async def acl_load(self, **kwargs: Any) -> bool:
        """Load ACL rules from the configured `aclfile`."""
    async def acl_log(self, count: int | None = None, **kwargs: Any) -> ACLLogData:
        """Get ACL logs as a list."""
    async def acl_log_reset(self, **kwargs: Any) -> bool:
        """Reset ACL logs."""
    async def acl_save(self, **kwargs: Any) -> bool:
        """Save ACL rules to the configured `aclfile`."""
    async def acl_setuser(
        self,
        username: str,
        enabled: bool = False,
        nopass: bool = False,
        passwords: str | Iterable[str] | None = None,
        hashed_passwords: str | Iterable[str] | None = None,
        categories: Iterable[str] | None = None,
        commands: Iterable[str] | None = None,
        keys: Iterable[KeyT] | None = None,
        channels: Iterable[ChannelT] | None = None,
        selectors: Iterable[tuple[str, KeyT]] | None = None,
        reset: bool = False,
        reset_keys: bool = False,
        reset_channels: bool = False,
        reset_passwords: bool = False,
        **kwargs: Any,
    ) -> bool:
        """Create or update an ACL user."""
    async def acl_users(self, **kwargs: Any) -> list[str]:
        """Returns a list of all registered users on the server."""
    async def acl_whoami(self, **kwargs: Any) -> str:
        """Get the username for the current connection."""
    async def append(self, key: KeyT, value: EncodableT) -> int:
        """Appends the string `value` to the value at `key`."""
    async def arcount(self, name: KeyT) -> int:
        """Return the number of non-empty elements in the array stored at `name`."""
    async def ardel(self, name: KeyT, *indices: int) -> int:
        """Delete elements at the specified `indices` in the array stored at `name`."""
    async def ardelrange(self, name: KeyT, *ranges: tuple[int, int]) -> int:
        """Delete elements within one or more inclusive index ranges in the array stored at `name`."""
    async def arget(self, name: KeyT, index: int) -> TextT | None:
        """Return the value at `index` in the array stored at `name`."""
    async def argetrange(self, name: KeyT, start: int, end: int) -> list[TextT | None]:
        """Return the values in the inclusive index range [`start`, `end`] in the array stored at `name`."""
    async def argrep(
        self,
        name: KeyT,
        start: int,
        end: int,
        predicates: list[tuple[ArrayPredicateType, EncodableT]],
        combinator: ArrayPredicateCombinator | None = None,
        limit: int | None = None,
        withvalues: bool = False,
        nocase: bool = False,
    ) -> list[int] | list[list[int | TextT]]:
        """Search elements of the array stored at `name` within the inclusive index range [`start`, `end`] using one or more textual `predicates`."""
    async def arinfo(self, name: KeyT, full: bool = False) -> dict[str, int]:
        """Return metadata about the array stored at `name` as a dictionary."""
    async def arinsert(self, name: KeyT, *values: FieldT) -> int:
        """Insert one or more `values` at consecutive indices in the array stored at `name`, beginning at the current insert cursor position."""
    async def arlastitems(self, name: KeyT, count: int, rev: bool = False) -> list[TextT | None]:
        """Return up to `count` most recently inserted elements from the array stored at `name`."""
    async def arlen(self, name: KeyT) -> int:
        """Return the length of the array stored at `name`, defined as the maximum set index plus one."""
    async def armget(self, name: KeyT, *indices: int) -> list[TextT | None]:
        """Return the values at the specified `indices` in the array stored at `name`."""
    async def armset(self, name: KeyT, mapping: Mapping[int, FieldT]) -> int:
        """Set multiple index/value pairs in the array stored at `name`."""
    async def arnext(self, name: KeyT) -> int | None:
        """Return the next index `ARINSERT` would use for the array stored at `name`."""
    async def arop(
        self,
        name: KeyT,
        start: int,
        end: int,
        operation: ArrayAggregateOperations,
        value: EncodableT | None = None,
    ) -> TextT | int | None:
        """Perform an aggregate `operation` on elements of the array stored at `name` in the inclusive index range [`start`, `end`]."""
    async def arring(self, name: KeyT, size: int, *values: FieldT) -> int:
        """Insert one or more `values` into the array stored at `name` as a fixed-size ring buffer of `size` slots."""
    async def arscan(
        self, name: KeyT, start: int, end: int, limit: int | None = None
    ) -> list[list[int | TextT]]:
        """Iterate populated elements of the array stored at `name` in the inclusive range [`start`, `end`] and return a list of `[index, value]` pairs in traversal order: `[[idx1, val1], [idx2, val2], ...]`."""
    async def arseek(self, name: KeyT, index: int) -> int:
        """Set the insert cursor of the array stored at `name` to `index`."""
    async def arset(self, name: KeyT, index: int, *values: FieldT) -> int:
        """Set one or more contiguous `values` in the array stored at `name` starting at `index`."""
    async def auth(self, password: str, username: str | None = None, **kwargs: Any) -> bool:
        """Authenticates the user."""
    async def bgrewriteaof(self, **kwargs: Any) -> bool:
        """Tell the Redis server to rewrite the AOF file from data in memory."""
    async def bgsave(self, schedule: bool = True, **kwargs: Any) -> bool:
        """Tell the Redis server to save its data to disk."""
    async def bitcount(
        self, key: KeyT, start: int | None = None, end: int | None = None, mode: str | None = None
    ) -> int:
        """Returns the count of set bits in the value of `key`."""
    async def bitfield_ro(
        self,
        key: KeyT,
        encoding: str,
        offset: BitfieldOffsetT,
        items: list[tuple[str, BitfieldOffsetT]] | None = None,
    ) -> list[int]:
        """Return an array of the specified bitfield values where the first value is found using `encoding` and `offset` parameters and remaining values are result of corresponding encoding/offset pairs in optional list `items` Read-only variant of the BITFIELD command."""
    async def bitop(self, operation: str, dest: KeyT, *keys: KeyT) -> int:
        """Perform a bitwise operation using `operation` between `keys` and store the result in `dest`."""
    async def bitpos(
        self,
        key: KeyT,
        bit: int,
        start: int | None = None,
        end: int | None = None,
        mode: str | None = None,
    ) -> int:
        """Return the position of the first bit set to 1 or 0 in a string."""
    async def blmove(
        self,
        first_list: str,
        second_list: str,
        timeout: int,
        src: str = "LEFT",
        dest: str = "RIGHT",
    ) -> TextT | None:
        """Blocking version of lmove."""
    async def blmovem(
        self,
        first_list: str,
        second_list: str,
        timeout: float,
        src: str = "LEFT",
        dest: str = "RIGHT",
        count: int | None = None,
        mode: Literal["COUNT", "EXACTLY"] | None = None,
        ordering: Literal["OBO", "BULK"] | None = None,
    ) -> list[TextT] | None:
        """Blocking version of lmovem."""
    async def blmpop(
        self, timeout: float, numkeys: int, *args: str, direction: str, count: int | None = 1
    ) -> list[TextT | list[TextT]] | None:
        """Pop `count` values (default 1) from first non-empty in the list of provided key names."""
    async def blpop(self, keys: KeysT, timeout: Number | None = 0) -> tuple[TextT, TextT] | None:
        """LPOP a value off of the first non-empty list named in `keys`."""
    async def brpop(self, keys: KeysT, timeout: Number | None = 0) -> tuple[TextT, TextT] | None:
        """RPOP a value off of the first non-empty list named in `keys`."""
    async def brpoplpush(self, src: KeyT, dst: KeyT, timeout: Number | None = 0) -> TextT | None:
        """Pop a value off the tail of `src`, push it on the head of `dst` and then return it."""
    async def bzmpop(
        self,
        timeout: float,
        numkeys: int,
        keys: list[str],
        min: bool | None = False,
        max: bool | None = False,
        count: int | None = 1,
    ) -> list[TextT | list[list[Any]]] | None:
        """Pop `count` values (default 1) off of the first non-empty sorted set named in the `keys` list."""
    async def bzpopmax(
        self, keys: KeysT, timeout: TimeoutSecT = 0
    ) -> tuple[TextT, TextT, float] | None:
        """ZPOPMAX a value off of the first non-empty sorted set named in the `keys` list."""
    async def bzpopmin(
        self, keys: KeysT, timeout: TimeoutSecT = 0
    ) -> tuple[TextT, TextT, float] | None:
        """ZPOPMIN a value off of the first non-empty sorted set named in the `keys` list."""
    async def client_getname(self, **kwargs: Any) -> TextT | None:
        """Returns the current connection name."""
    async def client_getredir(self, **kwargs: Any) -> int:
        """Returns the ID (an integer) of the client to whom we are redirecting tracking notifications."""
    async def client_id(self, **kwargs: Any) -> int:
        """Returns the current connection id."""
    async def client_info(self, **kwargs: Any) -> dict[str, str | int]:
        """Returns information and statistics about the current client connection."""
    async def client_kill(self, address: str, **kwargs: Any) -> bool | int:
        """Disconnects the client at `address` (ip:port)."""
    async def client_kill_filter(
        self,
        _id: str | None = None,
        _type: str | None = None,
        addr: str | None = None,
        skipme: bool | None = None,
        laddr: bool | None = None,
        user: str | None = None,
        maxage: int | None = None,
        **kwargs: Any,
    ) -> int:
        """Disconnects client(s) using a variety of filter options."""
    async def client_list(
        self, _type: str | None = None, client_id: list[EncodableT] = ..., **kwargs: Any
    ) -> list[dict[str, str]]:
        """Returns a list of currently connected clients."""
    async def client_no_evict(self, mode: str) -> TextT:
        """Sets the client eviction mode for the current connection."""
    async def client_no_touch(self, mode: str) -> TextT:
        """The command controls whether commands sent by the client will alter # the LRU/LFU of the keys they access."""
    async def client_pause(self, timeout: int, all: bool = True, **kwargs: Any) -> bool:
        """Suspend all the Redis clients for the specified amount of time."""
    async def client_reply(self, reply: Literal["ON", "OFF", "SKIP"], **kwargs: Any) -> TextT:
        """Enable and disable redis server replies."""
    async def client_setinfo(self, attr: str, value: str, **kwargs: Any) -> bool:
        """Sets the current connection library name or version."""
    async def client_setname(self, name: str, **kwargs: Any) -> bool:
        """Sets the current connection name."""
    async def client_tracking(
        self,
        on: bool = True,
        clientid: int | None = None,
        prefix: Sequence[KeyT] = ...,
        bcast: bool = False,
        optin: bool = False,
        optout: bool = False,
        noloop: bool = False,
        **kwargs: Any,
    ) -> TextT:
        """Enables the tracking feature of the Redis server, that is used for server assisted client side caching."""
    async def client_trackinginfo(self, **kwargs: Any) -> list[Any]:
        """Returns the information about the current client connection's use of the server assisted client side cache."""
    async def client_unblock(self, client_id: int, error: bool = False, **kwargs: Any) -> bool:
        """Unblocks a connection by its client id."""
    async def client_unpause(self, **kwargs: Any) -> TextT:
        """Unpause all redis clients."""
    async def command(self, **kwargs: Any) -> dict[str, dict[str, Any]]:
        """Returns dict reply of details about all Redis commands."""
    async def command_count(self, **kwargs: Any) -> int: ...
    async def command_getkeys(self, *args: Any) -> list[str]: ...
    async def command_getkeysandflags(self, *args: str) -> list[list[TextT | list[TextT]]]:
        """Returns array of keys from a full Redis command and their usage flags."""
    async def command_list(
        self, module: str | None = None, category: str | None = None, pattern: str | None = None
    ) -> list[TextT]:
        """Return an array of the server's command names."""
    async def config_get(
        self, pattern: PatternT = "*", *args: PatternT, **kwargs: Any
    ) -> dict[str | None, str | None]:
        """Return a dictionary of configuration based on the `pattern`."""
    async def config_resetstat(self, **kwargs: Any) -> bool:
        """Reset runtime statistics."""
    async def config_rewrite(self, **kwargs: Any) -> TextT:
        """Rewrite config file with the minimal change to reflect running config."""
    async def config_set(
        self, name: KeyT, value: EncodableT, *args: KeyT | EncodableT, **kwargs: Any
    ) -> bool:
        """Set config item `name` with `value`."""
    async def copy(
        self,
        source: str,
        destination: str,
        destination_db: str | None = None,
        replace: bool = False,
    ) -> bool:
        """Copy the value stored in the `source` key to the `destination` key."""
    async def dbsize(self, **kwargs: Any) -> int:
        """Returns the number of keys in the current database."""
    async def debug_object(self, key: KeyT, **kwargs: Any) -> dict[str, str | int] | TextT:
        """Returns version specific meta information about a given key."""
    async def decr(self, name: KeyT, amount: int = 1) -> int:
        """Decrements the value of `key` by `amount`."""
    async def decrby(self, name: KeyT, amount: int = 1) -> int:
        """Decrements the value of `key` by `amount`."""
    async def delex(
        self,
        name: KeyT,
        ifeq: bytes | str | None = None,
        ifne: bytes | str | None = None,
        ifdeq: str | None = None,
        ifdne: str | None = None,
    ) -> int:
        """Conditionally removes the specified key."""
    async def digest(self, name: KeyT) -> TextT | None:
        """Return the digest of the value stored at the specified key."""
    async def dump(self, name: KeyT) -> bytes | None:
        """Return a serialized version of the value stored at the specified key."""
    async def echo(self, value: EncodableT, **kwargs: Any) -> TextT:
        """Echo the string back from the server."""
    async def eval(self, script: str, numkeys: int, *keys_and_args: KeyT | EncodableT) -> Any:
        """Execute the Lua `script`, specifying the `numkeys` the script will touch and the key names and argument values in `keys_and_args`."""
    async def eval_ro(self, script: str, numkeys: int, *keys_and_args: KeyT | EncodableT) -> Any:
        """The read-only variant of the EVAL command."""
    async def evalsha(self, sha: str, numkeys: int, *keys_and_args: KeyT | EncodableT) -> Any:
        """Use the `sha` to execute a Lua script already registered via EVAL or SCRIPT LOAD."""
    async def evalsha_ro(self, sha: str, numkeys: int, *keys_and_args: KeyT | EncodableT) -> Any:
        """The read-only variant of the EVALSHA command."""
    async def expire(
        self,
        name: KeyT,
        time: ExpiryT,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> bool:
        """Set an expire flag on key `name` for `time` seconds with given `option`."""
    async def expireat(
        self,
        name: KeyT,
        when: AbsExpiryT,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> bool:
        """Set an expire flag on key `name` with given `option`."""
    async def expiretime(self, key: str) -> int:
        """Returns the absolute Unix timestamp (since January 1, 1970) in seconds at which the given key will expire."""
    async def fcall(self, function: Any, numkeys: int, *keys_and_args: Any) -> Any:
        """Invoke a function."""
    async def fcall_ro(self, function: Any, numkeys: int, *keys_and_args: Any) -> Any:
        """This is a read-only variant of the FCALL command that cannot execute commands that modify data."""
    async def flushall(self, asynchronous: bool = False, **kwargs: Any) -> bool:
        """Delete all keys in all databases on the current host."""
    async def flushdb(self, asynchronous: bool = False, **kwargs: Any) -> bool:
        """Delete all keys in the current database."""
    async def function_delete(self, library: str) -> bool:
        """Delete the library called `library` and all its functions."""
    async def function_dump(self) -> bytes:
        """Return the serialized payload of loaded libraries."""
    async def function_flush(self, mode: str = "SYNC") -> bool:
        """Deletes all the libraries."""
    async def function_kill(self) -> TextT:
        """Kill a function that is currently executing."""
    async def function_list(
        self, library: str | None = "*", withcode: bool | None = False
    ) -> list[Any]:
        """Return information about the functions and libraries."""
    async def function_load(self, code: str, replace: bool | None = False) -> TextT:
        """Load a library to Redis."""
    async def function_restore(self, payload: str, policy: str | None = "APPEND") -> bool:
        """Restore libraries from the serialized `payload`."""
    async def function_stats(self) -> Any:
        """Return information about the function that's currently running and information about the available execution engines."""
    async def geoadd(
        self,
        name: KeyT,
        values: Sequence[EncodableT],
        nx: bool = False,
        xx: bool = False,
        ch: bool = False,
    ) -> int:
        """Add the specified geospatial items to the specified key identified by the `name` argument."""
    async def geodist(
        self, name: KeyT, place1: FieldT, place2: FieldT, unit: str | None = None
    ) -> float | None:
        """Return the distance between `place1` and `place2` members of the `name` key."""
    async def geohash(self, name: KeyT, *values: FieldT) -> list[str | None]:
        """Return the geo hash string for each item of `values` members of the specified key identified by the `name` argument."""
    async def geopos(self, name: KeyT, *values: FieldT) -> list[tuple[float, float] | None]:
        """Return the positions of each item of `values` as members of the specified key identified by the `name` argument."""
    async def georadius(
        self,
        name: KeyT,
        longitude: float,
        latitude: float,
        radius: float,
        unit: str | None = None,
        withdist: bool = False,
        withcoord: bool = False,
        withhash: bool = False,
        count: int | None = None,
        sort: str | None = None,
        store: KeyT | None = None,
        store_dist: KeyT | None = None,
        any: bool = False,
    ) -> list[TextT | list[TextT | float | int | GeoCoordinate]] | int:
        """Return the members of the specified key identified by the `name` argument which are within the borders of the area specified with the `latitude` and `longitude` location and the maximum distance from the center specified by the `radius` value."""
    async def georadiusbymember(
        self,
        name: KeyT,
        member: FieldT,
        radius: float,
        unit: str | None = None,
        withdist: bool = False,
        withcoord: bool = False,
        withhash: bool = False,
        count: int | None = None,
        sort: str | None = None,
        store: KeyT | None = None,
        store_dist: KeyT | None = None,
        any: bool = False,
    ) -> list[TextT | list[TextT | float | int | GeoCoordinate]] | int:
        """This command is exactly like `georadius` with the sole difference that instead of taking, as the center of the area to query, a longitude and latitude value, it takes the name of a member already existing inside the geospatial index represented by the sorted set."""
    async def geosearch(
        self,
        name: KeyT,
        member: FieldT | None = None,
        longitude: float | None = None,
        latitude: float | None = None,
        unit: str = "m",
        radius: float | None = None,
        width: float | None = None,
        height: float | None = None,
        sort: str | None = None,
        count: int | None = None,
        any: bool = False,
        withcoord: bool = False,
        withdist: bool = False,
        withhash: bool = False,
    ) -> list[TextT | list[TextT | float | int | GeoCoordinate]]:
        """Return the members of specified key identified by the `name` argument, which are within the borders of the area specified by a given shape."""
    async def geosearchstore(
        self,
        dest: KeyT,
        name: KeyT,
        member: FieldT | None = None,
        longitude: float | None = None,
        latitude: float | None = None,
        unit: str = "m",
        radius: float | None = None,
        width: float | None = None,
        height: float | None = None,
        sort: str | None = None,
        count: int | None = None,
        any: bool = False,
        storedist: bool = False,
    ) -> int:
        """This command is like GEOSEARCH, but stores the result in `dest`."""
    async def get(self, name: KeyT) -> TextT | None:
        """Return the value at key `name`, or None if the key doesn't exist."""
    async def getbit(self, name: KeyT, offset: int) -> int:
        """Returns an integer indicating the value of `offset` in `name`."""
    async def getdel(self, name: KeyT) -> TextT | None:
        """Get the value at key `name` and delete the key."""
    async def getex(
        self,
        name: KeyT,
        ex: ExpiryT | None = None,
        px: ExpiryT | None = None,
        exat: AbsExpiryT | None = None,
        pxat: AbsExpiryT | None = None,
        persist: bool = False,
    ) -> TextT | None:
        """Get the value of key and optionally set its expiration."""
    async def getrange(self, key: KeyT, start: int, end: int) -> TextT:
        """Returns the substring of the string value stored at `key`, determined by the offsets `start` and `end` (both are inclusive)."""
    async def getset(self, name: KeyT, value: EncodableT) -> TextT | None:
        """Sets the value at key `name` to `value` and returns the old value at key `name` atomically."""
    async def hdel(self, name: KeyT, *keys: FieldT) -> int:
        """Delete `keys` from hash `name`."""
    async def hexists(self, name: KeyT, key: FieldT) -> bool:
        """Returns a boolean indicating if `key` exists within hash `name`."""
    async def hexpire(
        self,
        name: KeyT,
        seconds: ExpiryT,
        *fields: FieldT,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> list[int]:
        """Sets or updates the expiration time for fields within a hash key, using relative time in seconds."""
    async def hexpireat(
        self,
        name: KeyT,
        unix_time_seconds: AbsExpiryT,
        *fields: FieldT,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> list[int]:
        """Sets or updates the expiration time for fields within a hash key, using an absolute Unix timestamp in seconds."""
    async def hexpiretime(self, key: KeyT, *fields: FieldT) -> list[int]:
        """Returns the expiration times of hash fields as Unix timestamps in seconds."""
    async def hget(self, name: KeyT, key: FieldT) -> TextT | None:
        """Return the value of `key` within the hash `name`."""
    async def hgetall(self, name: KeyT) -> dict[TextT, TextT]:
        """Return a Python dict of the hash's name/value pairs."""
    async def hgetdel(self, name: KeyT, *keys: FieldT) -> list[TextT | None]:
        """Return the value of `key` within the hash `name` and delete the field in the hash."""
    async def hgetex(
        self,
        name: KeyT,
        *keys: FieldT,
        ex: ExpiryT | None = None,
        px: ExpiryT | None = None,
        exat: AbsExpiryT | None = None,
        pxat: AbsExpiryT | None = None,
        persist: bool = False,
    ) -> list[TextT | None]:
        """Return the values of `key` and `keys` within the hash `name` and optionally set their expiration."""
    async def himport_discard_all_internal(self) -> int:
        """Send `HIMPORT DISCARDALL` (returns the number of fieldsets removed)."""
    async def himport_discard_internal(self, fieldset_name: str) -> int:
        """Send `HIMPORT DISCARD fieldset_name` (`1` removed, `0` not found)."""
    async def himport_prepare_internal(self, fieldset_name: str, fields: Iterable[FieldT]) -> bool:
        """Send `HIMPORT PREPARE fieldset_name field [field ...]`."""
    async def himport_set(
        self, key: KeyT, fieldset_name: str, values: Iterable[EncodableT]
    ) -> bool:
        """Create/replace `key` as a hash using `fieldset_name`'s field list."""
    async def hincrby(self, name: KeyT, key: FieldT, amount: int = 1) -> int:
        """Increment the value of `key` in hash `name` by `amount`."""
    async def hincrbyfloat(self, name: KeyT, key: FieldT, amount: float = 1.0) -> float:
        """Increment the value of `key` in hash `name` by floating `amount`."""
    async def hkeys(self, name: KeyT) -> list[TextT]:
        """Return the list of keys within hash `name`."""
    async def hlen(self, name: KeyT) -> int:
        """Return the number of elements in hash `name`."""
    async def hmget(
        self, name: KeyT, keys: FieldT | Iterable[FieldT], *args: FieldT
    ) -> list[TextT | None]:
        """Returns a list of values ordered identically to `keys`."""
    async def hmset(
        self,
        name: KeyT,
        mapping: Mapping[str, EncodableT]
        | Mapping[bytes, EncodableT]
        | Mapping[FieldT, EncodableT],
    ) -> bool:
        """Set key to value within hash `name` for each corresponding key and value from the `mapping` dict."""
    async def hpersist(self, name: KeyT, *fields: FieldT) -> list[int]:
        """Removes the expiration time for each specified field in a hash."""
    async def hpexpire(
        self,
        name: KeyT,
        milliseconds: ExpiryT,
        *fields: FieldT,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> list[int]:
        """Sets or updates the expiration time for fields within a hash key, using relative time in milliseconds."""
    async def hpexpireat(
        self,
        name: KeyT,
        unix_time_milliseconds: AbsExpiryT,
        *fields: FieldT,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> list[int]:
        """Sets or updates the expiration time for fields within a hash key, using an absolute Unix timestamp in milliseconds."""
    async def hpexpiretime(self, key: KeyT, *fields: FieldT) -> list[int]:
        """Returns the expiration times of hash fields as Unix timestamps in milliseconds."""
    async def hpttl(self, key: KeyT, *fields: FieldT) -> list[int]:
        """Returns the TTL (Time To Live) in milliseconds for each specified field within a hash key."""
    @overload
    async def hrandfield(
        self, key: KeyT, count: None = None, withvalues: bool = False
    ) -> TextT | None:
        """Return a random field from the hash value stored at key."""
    @overload
    async def hrandfield(
        self, key: KeyT, count: int, *, withvalues: bool = False
    ) -> list[TextT]: ...
    @overload
    async def hrandfield(
        self, key: KeyT, count: int | None = None, withvalues: bool = False
    ) -> TextT | list[TextT] | None: ...
    @overload
    async def hscan(
        self,
        name: KeyT,
        cursor: int = 0,
        match: PatternT | None = None,
        count: int | None = None,
        no_values: Literal[False] | None = None,
    ) -> tuple[int, dict[TextT, TextT]]:
        """Incrementally return key/value slices in a hash."""
    @overload
    async def hscan(
        self,
        name: KeyT,
        cursor: int = 0,
        match: PatternT | None = None,
        count: int | None = None,
        *,
        no_values: Literal[True],
    ) -> tuple[int, list[TextT]]: ...
    @overload
    async def hscan(
        self,
        name: KeyT,
        cursor: int = 0,
        match: PatternT | None = None,
        count: int | None = None,
        no_values: bool | None = None,
    ) -> tuple[int, dict[TextT, TextT] | list[TextT]]: ...
    @overload
    def hscan_iter(
        self,
        name: KeyT,
        match: PatternT | None = None,
        count: int | None = None,
        no_values: Literal[False] | None = None,
    ) -> AsyncIterator[tuple[TextT, TextT]]:
        """Make an iterator using the HSCAN command so that the client doesn't need to remember the cursor position."""
    @overload
    def hscan_iter(
        self,
        name: KeyT,
        match: PatternT | None = None,
        count: int | None = None,
        *,
        no_values: Literal[True],
    ) -> AsyncIterator[TextT]: ...
    @overload
    def hscan_iter(
        self,
        name: KeyT,
        match: PatternT | None = None,
        count: int | None = None,
        no_values: bool | None = None,
    ) -> AsyncIterator[tuple[TextT, TextT] | TextT]: ...
    async def hset(
        self,
        name: KeyT,
        key: FieldT | None = None,
        value: EncodableT | None = None,
        mapping: Mapping[str, EncodableT]
        | Mapping[bytes, EncodableT]
        | Mapping[FieldT, EncodableT]
        | None = None,
        items: Sequence[EncodableT] | None = None,
    ) -> int:
        """Set `key` to `value` within hash `name`, `mapping` accepts a dict of key/value pairs that will be added to hash `name`."""
    async def hsetex(
        self,
        name: KeyT,
        key: FieldT | None = None,
        value: EncodableT | None = None,
        mapping: Mapping[str, EncodableT]
        | Mapping[bytes, EncodableT]
        | Mapping[FieldT, EncodableT]
        | None = None,
        items: Sequence[EncodableT] | None = None,
        ex: ExpiryT | None = None,
        px: ExpiryT | None = None,
        exat: AbsExpiryT | None = None,
        pxat: AbsExpiryT | None = None,
        data_persist_option: HashDataPersistOptions | None = None,
        keepttl: bool = False,
    ) -> int:
        """Set `key` to `value` within hash `name`."""
    async def hsetnx(self, name: KeyT, key: FieldT, value: EncodableT) -> int:
        """Set `key` to `value` within hash `name` if `key` does not exist."""
    async def hstrlen(self, name: KeyT, key: FieldT) -> int:
        """Return the number of bytes stored in the value of `key` within hash `name`."""
    async def httl(self, key: KeyT, *fields: FieldT) -> list[int]:
        """Returns the TTL (Time To Live) in seconds for each specified field within a hash key."""
    async def hvals(self, name: KeyT) -> list[TextT]:
        """Return the list of values within hash `name`."""
    async def incr(self, name: KeyT, amount: int = 1) -> int:
        """Increments the value of `key` by `amount`."""
    async def incrby(self, name: KeyT, amount: int = 1) -> int:
        """Increments the value of `key` by `amount`."""
    async def incrbyfloat(self, name: KeyT, amount: float = 1.0) -> float:
        """Increments the value at key `name` by floating `amount`."""
    async def increx(
        self,
        name: KeyT,
        *,
        byfloat: EncodableT | None = None,
        byint: EncodableT | None = None,
        lbound: EncodableT | None = None,
        ubound: EncodableT | None = None,
        saturate: bool = False,
        ex: ExpiryT | None = None,
        px: ExpiryT | None = None,
        exat: AbsExpiryT | None = None,
        pxat: AbsExpiryT | None = None,
        persist: bool = False,
        enx: bool = False,
    ) -> list[Number | TextT]:
        """Increment the numeric value at key `name` and return the new value and the actual increment."""
    async def info(self, section: str | None = None, *args: str, **kwargs: Any) -> dict[str, Any]:
        """Returns a dictionary containing information about the Redis server."""
    async def keys(self, pattern: PatternT = "*", **kwargs: Any) -> list[TextT]:
        """Returns a list of keys matching `pattern`."""
    async def lastsave(self, **kwargs: Any) -> datetime.datetime:
        """Return a Python datetime object representing the last time the Redis database was saved to disk."""
    async def latency_history(self, event: str) -> list[list[int]]:
        """Returns the raw data of the `event`'s latency spikes time series."""
    async def latency_latest(self) -> list[list[TextT | int]]:
        """Reports the latest latency events logged."""
    async def latency_reset(self, *events: str) -> int:
        """Resets the latency spikes time series of all, or only some, events."""
    async def lcs(
        self,
        key1: str,
        key2: str,
        len: bool | None = False,
        idx: bool | None = False,
        minmatchlen: int | None = 0,
        withmatchlen: bool | None = False,
    ) -> TextT | int | list[Any] | dict[TextT, Any]:
        """Find the longest common subsequence between `key1` and `key2`."""
    async def lindex(self, name: KeyT, index: int) -> TextT | None:
        """Return the item from list `name` at position `index`."""
    async def linsert(self, name: KeyT, where: str, refvalue: str, value: str) -> int:
        """Insert `value` in list `name` either immediately before or after [`where`] `refvalue`."""
    async def llen(self, name: KeyT) -> int:
        """Return the length of the list `name`."""
    async def lmove(
        self, first_list: str, second_list: str, src: str = "LEFT", dest: str = "RIGHT"
    ) -> TextT | None:
        """Atomically returns and removes the first/last element of a list, pushing it as the first/last element on the destination list."""
    async def lmovem(
        self,
        first_list: str,
        second_list: str,
        src: str = "LEFT",
        dest: str = "RIGHT",
        count: int | None = None,
        mode: Literal["COUNT", "EXACTLY"] | None = None,
        ordering: Literal["OBO", "BULK"] | None = None,
    ) -> list[TextT] | None:
        """Atomically moves multiple elements from one end of the `first_list` to one end of the `second_list`, returning the moved elements in destination order."""
    async def lmpop(
        self, num_keys: int, *args: str, direction: str, count: int | None = 1
    ) -> list[TextT | list[TextT]] | None:
        """Pop `count` values (default 1) first non-empty list key from the list of args provided key names."""
    async def lolwut(self, *version_numbers: str | float, **kwargs: Any) -> TextT:
        """Get the Redis version and a piece of generative computer art."""
    @overload
    async def lpop(self, name: KeyT, count: None = None) -> TextT | None:
        """Removes and returns the first elements of the list `name`."""
    @overload
    async def lpop(self, name: KeyT, count: int) -> list[TextT] | None: ...
    @overload
    async def lpop(self, name: KeyT, count: int | None = None) -> TextT | list[TextT] | None: ...
    @overload
    async def lpos(
        self,
        name: KeyT,
        value: str,
        rank: int | None = None,
        count: None = None,
        maxlen: int | None = None,
    ) -> int | None:
        """Get position of `value` within the list `name`."""
    @overload
    async def lpos(
        self,
        name: KeyT,
        value: str,
        rank: int | None = None,
        *,
        count: int,
        maxlen: int | None = None,
    ) -> list[int]: ...
    @overload
    async def lpos(
        self,
        name: KeyT,
        value: str,
        rank: int | None = None,
        count: int | None = None,
        maxlen: int | None = None,
    ) -> int | list[int] | None: ...
    async def lpush(self, name: KeyT, *values: FieldT) -> int:
        """Push `values` onto the head of the list `name`."""
    async def lpushx(self, name: KeyT, *values: FieldT) -> int:
        """Push `value` onto the head of the list `name` if `name` exists."""
    async def lrange(self, name: KeyT, start: int, end: int) -> list[TextT]:
        """Return a slice of the list `name` between position `start` and `end`."""
    async def lrem(self, name: KeyT, count: int, value: str) -> int:
        """Remove the first `count` occurrences of elements equal to `value` from the list stored at `name`."""
    async def lset(self, name: KeyT, index: int, value: str) -> bool:
        """Set element at `index` of list `name` to `value`."""
    async def ltrim(self, name: KeyT, start: int, end: int) -> bool:
        """Trim the list `name`, removing all values not within the slice between `start` and `end`."""
    async def memory_malloc_stats(self, **kwargs: Any) -> TextT:
        """Return an internal statistics report from the memory allocator."""
    async def memory_purge(self, **kwargs: Any) -> bool:
        """Attempts to purge dirty pages for reclamation by allocator."""
    async def memory_stats(self, **kwargs: Any) -> dict[str, Any]:
        """Return a dictionary of memory stats."""
    async def memory_usage(
        self, key: KeyT, samples: int | None = None, **kwargs: Any
    ) -> int | None:
        """Return the total memory usage for key, its value and associated administrative overheads."""
    async def mget(self, keys: KeysT, *args: EncodableT) -> list[TextT | None]:
        """Returns a list of values ordered identically to `keys`."""
    async def migrate(
        self,
        host: str,
        port: int,
        keys: KeysT,
        destination_db: int,
        timeout: int,
        copy: bool = False,
        replace: bool = False,
        auth: str | None = None,
        **kwargs: Any,
    ) -> TextT:
        """Migrate 1 or more keys from the current Redis server to a different server specified by the `host`, `port` and `destination_db`."""
    async def module_list(self) -> list[dict[Any, Any]]:
        """Returns a list of dictionaries containing the name and version of all loaded modules."""
    async def module_load(self, path: Any, *args: Any) -> bool:
        """Loads the module from `path`."""
    async def module_loadex(
        self, path: str, options: list[str] | None = None, args: list[str] | None = None
    ) -> TextT:
        """Loads a module from a dynamic library at runtime with configuration directives."""
    async def module_unload(self, name: Any) -> bool:
        """Unloads the module `name`."""
    async def move(self, name: KeyT, db: int) -> bool:
        """Moves the key `name` to a different Redis database `db`."""
    async def mset(self, mapping: Mapping[AnyKeyT, EncodableT]) -> bool:
        """Sets key/values based on a mapping."""
    async def msetex(
        self,
        mapping: Mapping[AnyKeyT, EncodableT],
        data_persist_option: DataPersistOptions | None = None,
        ex: ExpiryT | None = None,
        px: ExpiryT | None = None,
        exat: AbsExpiryT | None = None,
        pxat: AbsExpiryT | None = None,
        keepttl: bool = False,
    ) -> int:
        """Sets key/values based on the provided `mapping` items."""
    async def msetnx(self, mapping: Mapping[AnyKeyT, EncodableT]) -> bool:
        """Sets key/values based on a mapping if none of the keys are already set."""
    async def object(self, infotype: str, key: KeyT, **kwargs: Any) -> Any:
        """Return the encoding, idletime, or refcount about the key."""
    async def persist(self, name: KeyT) -> bool:
        """Removes an expiration on `name`."""
    async def pexpire(
        self,
        name: KeyT,
        time: ExpiryT,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> bool:
        """Set an expire flag on key `name` for `time` milliseconds with given `option`."""
    async def pexpireat(
        self,
        name: KeyT,
        when: AbsExpiryT,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> bool:
        """Set an expire flag on key `name` with given `option`."""
    async def pexpiretime(self, key: str) -> int:
        """Returns the absolute Unix timestamp (since January 1, 1970) in milliseconds at which the given key will expire."""
    async def pfadd(self, name: KeyT, *values: FieldT) -> int:
        """Adds the specified elements to the specified HyperLogLog."""
    async def pfcount(self, *sources: KeyT) -> int:
        """Return the approximated cardinality of the set observed by the HyperLogLog at key(s)."""
    async def pfmerge(self, dest: KeyT, *sources: KeyT) -> bool:
        """Merge N different HyperLogLogs into a single one."""
    async def ping(self, **kwargs: Any) -> bool:
        """Ping the Redis server to test connectivity."""
    async def psetex(self, name: KeyT, time_ms: ExpiryT, value: EncodableT) -> bool:
        """Set the value of key `name` to `value` that expires in `time_ms` milliseconds."""
    async def psync(self, replicationid: str, offset: int) -> bytes:
        """Initiates a replication stream from the master."""
    async def pttl(self, name: KeyT) -> int:
        """Returns the number of milliseconds until the key `name` will expire."""
    async def publish(self, channel: ChannelT, message: EncodableT, **kwargs: Any) -> int:
        """Publish `message` on `channel`."""
    async def pubsub_channels(self, pattern: PatternT = "*", **kwargs: Any) -> list[TextT]:
        """Return a list of channels that have at least one subscriber."""
    async def pubsub_numpat(self, **kwargs: Any) -> int:
        """Returns the number of subscriptions to patterns."""
    async def pubsub_numsub(self, *args: ChannelT, **kwargs: Any) -> list[tuple[TextT, int]]:
        """Return a list of (channel, number of subscribers) tuples for each channel given in `*args`."""
    async def pubsub_shardchannels(self, pattern: PatternT = "*", **kwargs: Any) -> list[TextT]:
        """Return a list of shard_channels that have at least one subscriber."""
    async def pubsub_shardnumsub(self, *args: ChannelT, **kwargs: Any) -> list[tuple[TextT, int]]:
        """Return a list of (shard_channel, number of subscribers) tuples for each channel given in `*args`."""
    async def quit(self, **kwargs: Any) -> bool:
        """Ask the server to close the connection."""
    async def randomkey(self, **kwargs: Any) -> TextT | None:
        """Returns the name of a random key."""
    async def rename(self, src: KeyT, dst: KeyT) -> bool:
        """Rename key `src` to `dst`."""
    async def renamenx(self, src: KeyT, dst: KeyT) -> bool:
        """Rename key `src` to `dst` if `dst` doesn't already exist."""
    async def reset(self) -> TextT:
        """Perform a full reset on the connection's server-side context."""
    async def restore(
        self,
        name: KeyT,
        ttl: float,
        value: EncodableT,
        replace: bool = False,
        absttl: bool = False,
        idletime: int | None = None,
        frequency: int | None = None,
    ) -> TextT:
        """Create a key using the provided serialized value, previously obtained using DUMP."""
    async def role(self) -> list[Any]:
        """Provide information on the role of a Redis instance in the context of replication, by returning if the instance is currently a master, slave, or sentinel."""
    @overload
    async def rpop(self, name: KeyT, count: None = None) -> TextT | None:
        """Removes and returns the last elements of the list `name`."""
    @overload
    async def rpop(self, name: KeyT, count: int) -> list[TextT] | None: ...
    @overload
    async def rpop(self, name: KeyT, count: int | None = None) -> TextT | list[TextT] | None: ...
    async def rpoplpush(self, src: KeyT, dst: KeyT) -> TextT | None:
        """RPOP a value off of the `src` list and atomically LPUSH it on to the `dst` list."""
    async def rpush(self, name: KeyT, *values: FieldT) -> int:
        """Push `values` onto the tail of the list `name`."""
    async def rpushx(self, name: KeyT, *values: str) -> int:
        """Push `value` onto the tail of the list `name` if `name` exists."""
    async def sadd(self, name: KeyT, *values: FieldT) -> int:
        """Add `value(s)` to set `name`."""
    async def save(self, **kwargs: Any) -> bool:
        """Tell the Redis server to save its data to disk, blocking until the save is complete."""
    async def scan(
        self,
        cursor: int = 0,
        match: PatternT | None = None,
        count: int | None = None,
        _type: str | None = None,
        **kwargs: Any,
    ) -> tuple[int, list[TextT]]:
        """Incrementally return lists of key names."""
    def scan_iter(
        self,
        match: PatternT | None = None,
        count: int | None = None,
        _type: str | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[TextT]:
        """Make an iterator using the SCAN command so that the client doesn't need to remember the cursor position."""
    async def scard(self, name: KeyT) -> int:
        """Return the number of elements in set `name`."""
    async def script_exists(self, *args: str) -> list[bool]:
        """Check if a script exists in the script cache by specifying the SHAs of each script as `args`."""
    async def script_flush(
        self, sync_type: Literal["SYNC"] | Literal["ASYNC"] | None = None
    ) -> bool:
        """Flush all scripts from the script cache_data."""
    async def script_kill(self) -> bool:
        """Kill the currently executing Lua script."""
    async def script_load(self, script: ScriptTextT) -> str:
        """Load a Lua `script` into the script cache_data."""
    async def sdiff(self, keys: KeysT, *args: KeyT) -> builtins.set[TextT]:
        """Return the difference of sets specified by `keys`."""
    async def sdiffcard(
        self, numkeys: int, keys: list[str] | list[bytes] | list[KeyT], limit: int = 0
    ) -> int:
        """Return the cardinality of the difference between the first set and all the successive sets specified by `keys`, without returning the difference itself."""
    async def sdiffstore(self, dest: KeyT, keys: KeysT, *args: KeyT) -> int:
        """Store the difference of sets specified by `keys` into a new set named `dest`."""
    async def select(self, index: int, **kwargs: Any) -> bool:
        """Select the Redis logical database at index."""
    @overload
    async def set(
        self,
        name: KeyT,
        value: EncodableT,
        ex: ExpiryT | None = ...,
        px: ExpiryT | None = ...,
        nx: bool = ...,
        xx: bool = ...,
        keepttl: bool = ...,
        get: Literal[False] = ...,
        exat: AbsExpiryT | None = ...,
        pxat: AbsExpiryT | None = ...,
        ifeq: bytes | str | None = ...,
        ifne: bytes | str | None = ...,
        ifdeq: str | None = ...,
        ifdne: str | None = ...,
    ) -> bool | None:
        """Set the value at key `name` to `value`."""
    @overload
    async def set(
        self,
        name: KeyT,
        value: EncodableT,
        ex: ExpiryT | None = ...,
        px: ExpiryT | None = ...,
        nx: bool = ...,
        xx: bool = ...,
        keepttl: bool = ...,
        *,
        get: Literal[True],
        exat: AbsExpiryT | None = ...,
        pxat: AbsExpiryT | None = ...,
        ifeq: bytes | str | None = ...,
        ifne: bytes | str | None = ...,
        ifdeq: str | None = ...,
        ifdne: str | None = ...,
    ) -> TextT | None: ...
    @overload
    async def set(
        self,
        name: KeyT,
        value: EncodableT,
        ex: ExpiryT | None = ...,
        px: ExpiryT | None = ...,
        nx: bool = ...,
        xx: bool = ...,
        keepttl: bool = ...,
        get: bool = ...,
        exat: AbsExpiryT | None = ...,
        pxat: AbsExpiryT | None = ...,
        ifeq: bytes | str | None = ...,
        ifne: bytes | str | None = ...,
        ifdeq: str | None = ...,
        ifdne: str | None = ...,
    ) -> bool | TextT | None: ...
    async def setbit(self, name: KeyT, offset: int, value: int) -> int:
        """Flag the `offset` in `name` as `value`."""
    async def setex(self, name: KeyT, time: ExpiryT, value: EncodableT) -> bool:
        """Set the value of key `name` to `value` that expires in `time` seconds."""
    async def setnx(self, name: KeyT, value: EncodableT) -> bool:
        """Set the value of key `name` to `value` if key doesn't exist."""
    async def setrange(self, name: KeyT, offset: int, value: EncodableT) -> int:
        """Overwrite bytes in the value of `name` starting at `offset` with `value`."""
    async def sinter(self, keys: KeysT, *args: KeyT) -> builtins.set[TextT]:
        """Return the intersection of sets specified by `keys`."""
    async def sintercard(
        self, numkeys: int, keys: list[str] | list[bytes] | list[KeyT], limit: int = 0
    ) -> int:
        """Return the cardinality of the intersect of multiple sets specified by `keys`."""
    async def sinterstore(self, dest: KeyT, keys: KeysT, *args: KeyT) -> int:
        """Store the intersection of sets specified by `keys` into a new set named `dest`."""
    async def sismember(self, name: KeyT, value: EncodableT) -> Literal[0] | Literal[1]:
        """Return whether `value` is a member of set `name`: - 1 if the value is a member of the set."""
    async def slowlog_get(self, num: int | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Get the entries from the slowlog."""
    async def slowlog_len(self, **kwargs: Any) -> int:
        """Get the number of items in the slowlog."""
    async def slowlog_reset(self, **kwargs: Any) -> bool:
        """Remove all items in the slowlog."""
    async def smembers(self, name: KeyT) -> builtins.set[TextT]:
        """Return all members of the set `name`."""
    async def smismember(
        self, name: KeyT, values: EncodableT | Iterable[EncodableT], *args: EncodableT
    ) -> list[Literal[0] | Literal[1]]:
        """Return whether each value in `values` is a member of the set `name` as a list of `int` in the order of `values`: - 1 if the value is a member of the set."""
    async def smove(self, src: KeyT, dst: KeyT, value: str) -> bool:
        """Move `value` from set `src` to set `dst` atomically."""
    async def sort(
        self,
        name: KeyT,
        start: int | None = None,
        num: int | None = None,
        by: str | None = None,
        get: list[str] | None = None,
        desc: bool = False,
        alpha: bool = False,
        store: str | None = None,
        groups: bool | None = False,
    ) -> list[TextT] | list[tuple[TextT, ...]] | int:
        """Sort and return the list, set or sorted set at `name`."""
    async def sort_ro(
        self,
        key: str,
        start: int | None = None,
        num: int | None = None,
        by: str | None = None,
        get: list[str] | None = None,
        desc: bool = False,
        alpha: bool = False,
    ) -> list[TextT]:
        """Returns the elements contained in the list, set or sorted set at key."""
    @overload
    async def spop(self, name: KeyT, count: None = None) -> TextT | None:
        """Remove and return a random member of set `name`."""
    @overload
    async def spop(self, name: KeyT, count: int) -> list[TextT]: ...
    @overload
    async def spop(self, name: KeyT, count: int | None = None) -> TextT | list[TextT] | None: ...
    async def spublish(self, shard_channel: ChannelT, message: EncodableT) -> int:
        """Posts a message to the given shard channel."""
    @overload
    async def srandmember(self, name: KeyT, number: None = None) -> TextT | None:
        """If `number` is None, returns a random member of set `name`."""
    @overload
    async def srandmember(self, name: KeyT, number: int) -> list[TextT]: ...
    @overload
    async def srandmember(
        self, name: KeyT, number: int | None = None
    ) -> TextT | list[TextT] | None: ...
    async def srem(self, name: KeyT, *values: FieldT) -> int:
        """Remove `values` from set `name`."""
    async def sscan(
        self, name: KeyT, cursor: int = 0, match: PatternT | None = None, count: int | None = None
    ) -> tuple[int, list[TextT]]:
        """Incrementally return lists of elements in a set."""
    def sscan_iter(
        self, name: KeyT, match: PatternT | None = None, count: int | None = None
    ) -> AsyncIterator[TextT]:
        """Make an iterator using the SSCAN command so that the client doesn't need to remember the cursor position."""
    async def stralgo(
        self,
        algo: Literal["LCS"],
        value1: KeyT,
        value2: KeyT,
        specific_argument: Literal["strings"] | Literal["keys"] = "strings",
        len: bool = False,
        idx: bool = False,
        minmatchlen: int | None = None,
        withmatchlen: bool = False,
        **kwargs: Any,
    ) -> StralgoResponse:
        """Implements complex algorithms that operate on strings."""
    async def strlen(self, name: KeyT) -> int:
        """Return the number of bytes stored in the value of `name`."""
    async def substr(self, name: KeyT, start: int, end: int = ...) -> TextT:
        """Return a substring of the string at key `name`."""
    async def sunion(self, keys: KeysT, *args: KeyT) -> builtins.set[TextT]:
        """Return the union of sets specified by `keys`."""
    async def sunioncard(
        self,
        numkeys: int,
        keys: list[str] | list[bytes] | list[KeyT],
        limit: int = 0,
        approx: bool = False,
    ) -> int:
        """Return the cardinality of the union of multiple sets specified by `keys`, without returning the union itself."""
    async def sunionstore(self, dest: KeyT, keys: KeysT, *args: KeyT) -> int:
        """Store the union of sets specified by `keys` into a new set named `dest`."""
    async def sync(self) -> bytes:
        """Initiates a replication stream from the master."""
    async def time(self, **kwargs: Any) -> tuple[int, int]:
        """Returns the server time as a 2-item tuple of ints: (seconds since epoch, microseconds into this second)."""
    async def ttl(self, name: KeyT) -> int:
        """Returns the number of seconds until the key `name` will expire."""
    async def type(self, name: KeyT) -> TextT:
        """Returns the type of key `name`."""
    async def wait(self, num_replicas: int, timeout: int, **kwargs: Any) -> int:
        """Redis synchronous replication That returns the number of replicas that processed the query when we finally have at least `num_replicas`, or when the `timeout` was reached."""
    async def waitaof(
        self, num_local: int, num_replicas: int, timeout: int, **kwargs: Any
    ) -> list[int]:
        """This command blocks the current client until all previous write commands by that client are acknowledged as having been fsynced to the AOF of the local Redis and/or at least the specified number of replicas."""
    async def xack(self, name: KeyT, groupname: GroupT, *ids: StreamIdT) -> int:
        """Acknowledges the successful processing of one or more messages."""
    async def xackdel(
        self,
        name: KeyT,
        groupname: GroupT,
        *ids: StreamIdT,
        ref_policy: Literal["KEEPREF", "DELREF", "ACKED"] = "KEEPREF",
    ) -> int:
        """Combines the functionality of XACK and XDEL."""
    @overload
    async def xadd(
        self,
        name: KeyT,
        fields: dict[str, Any] | dict[bytes, Any] | dict[FieldT, Any],
        id: StreamIdT = "*",
        maxlen: int | None = None,
        approximate: bool = True,
        nomkstream: Literal[False] = False,
        minid: StreamIdT | None = None,
        limit: int | None = None,
        ref_policy: Literal["KEEPREF", "DELREF", "ACKED"] | None = None,
        idmpauto: str | None = None,
        idmp: tuple[str, bytes] | None = None,
    ) -> TextT:
        """Add to a stream."""
    @overload
    async def xadd(
        self,
        name: KeyT,
        fields: dict[str, Any] | dict[bytes, Any] | dict[FieldT, Any],
        id: StreamIdT = "*",
        maxlen: int | None = None,
        approximate: bool = True,
        *,
        nomkstream: Literal[True],
        minid: StreamIdT | None = None,
        limit: int | None = None,
        ref_policy: Literal["KEEPREF", "DELREF", "ACKED"] | None = None,
        idmpauto: str | None = None,
        idmp: tuple[str, bytes] | None = None,
    ) -> TextT | None: ...
    @overload
    async def xadd(
        self,
        name: KeyT,
        fields: dict[str, Any] | dict[bytes, Any] | dict[FieldT, Any],
        id: StreamIdT = "*",
        maxlen: int | None = None,
        approximate: bool = True,
        nomkstream: bool = False,
        minid: StreamIdT | None = None,
        limit: int | None = None,
        ref_policy: Literal["KEEPREF", "DELREF", "ACKED"] | None = None,
        idmpauto: str | None = None,
        idmp: tuple[str, bytes] | None = None,
    ) -> TextT | None: ...
    async def xautoclaim(
        self,
        name: KeyT,
        groupname: GroupT,
        consumername: ConsumerT,
        min_idle_time: int,
        start_id: StreamIdT = "0-0",
        count: int | None = None,
        justid: bool = False,
    ) -> list[Any]:
        """Transfers ownership of pending stream entries that match the specified criteria."""
    async def xcfgset(
        self, name: KeyT, idmp_duration: int | None = None, idmp_maxsize: int | None = None
    ) -> TextT:
        """Configure the idempotency parameters for a stream's IDMP map."""
    @overload
    async def xclaim(
        self,
        name: KeyT,
        groupname: GroupT,
        consumername: ConsumerT,
        min_idle_time: int,
        message_ids: list[Any] | tuple[StreamIdT, ...],
        idle: int | None = None,
        time: int | None = None,
        retrycount: int | None = None,
        force: bool = False,
        justid: Literal[False] = False,
    ) -> list[tuple[TextT | None, dict[TextT, TextT] | None]]:
        """Changes the ownership of a pending message."""
    @overload
    async def xclaim(
        self,
        name: KeyT,
        groupname: GroupT,
        consumername: ConsumerT,
        min_idle_time: int,
        message_ids: list[Any] | tuple[StreamIdT, ...],
        idle: int | None = None,
        time: int | None = None,
        retrycount: int | None = None,
        force: bool = False,
        *,
        justid: Literal[True],
    ) -> list[TextT]: ...
    @overload
    async def xclaim(
        self,
        name: KeyT,
        groupname: GroupT,
        consumername: ConsumerT,
        min_idle_time: int,
        message_ids: list[Any] | tuple[StreamIdT, ...],
        idle: int | None = None,
        time: int | None = None,
        retrycount: int | None = None,
        force: bool = False,
        justid: bool = False,
    ) -> list[tuple[TextT | None, dict[TextT, TextT] | None]] | list[TextT]: ...
    async def xdel(self, name: KeyT, *ids: StreamIdT) -> int:
        """Deletes one or more messages from a stream."""
    async def xdelex(
        self,
        name: KeyT,
        *ids: StreamIdT,
        ref_policy: Literal["KEEPREF", "DELREF", "ACKED"] = "KEEPREF",
    ) -> int:
        """Extended version of XDEL that provides more control over how message entries are deleted concerning consumer groups."""
    async def xgroup_create(
        self,
        name: KeyT,
        groupname: GroupT,
        id: StreamIdT = "$",
        mkstream: bool = False,
        entries_read: int | None = None,
    ) -> bool:
        """Create a new consumer group associated with a stream."""
    async def xgroup_createconsumer(
        self, name: KeyT, groupname: GroupT, consumername: ConsumerT
    ) -> int:
        """Consumers in a consumer group are auto-created every time a new consumer name is mentioned by some command."""
    async def xgroup_delconsumer(
        self, name: KeyT, groupname: GroupT, consumername: ConsumerT
    ) -> int:
        """Remove a specific consumer from a consumer group."""
    async def xgroup_destroy(self, name: KeyT, groupname: GroupT) -> bool:
        """Destroy a consumer group."""
    async def xgroup_setid(
        self, name: KeyT, groupname: GroupT, id: StreamIdT, entries_read: int | None = None
    ) -> bool:
        """Set the consumer group last delivered ID to something else."""
    async def xinfo_consumers(self, name: KeyT, groupname: GroupT) -> list[dict[str, Any]]:
        """Returns general information about the consumers in the group."""
    async def xinfo_groups(self, name: KeyT) -> list[dict[str, Any]]:
        """Returns general information about the consumer groups of the stream."""
    async def xinfo_stream(self, name: KeyT, full: bool = False) -> dict[str, Any]:
        """Returns general information about the stream."""
    async def xlen(self, name: KeyT) -> int:
        """Returns the number of elements in a given stream."""
    async def xnack(
        self,
        name: KeyT,
        groupname: GroupT,
        mode: Literal["SILENT", "FAIL", "FATAL"],
        *ids: StreamIdT,
        retrycount: int | None = None,
        force: bool = False,
    ) -> int:
        """Negatively acknowledges one or more messages in a consumer group's Pending Entries List (PEL)."""
    async def xpending(self, name: KeyT, groupname: GroupT) -> dict[str, Any]:
        """Returns information about pending messages of a group."""
    async def xpending_range(
        self,
        name: KeyT,
        groupname: GroupT,
        min: StreamIdT,
        max: StreamIdT,
        count: int,
        consumername: ConsumerT | None = None,
        idle: int | None = None,
    ) -> list[dict[str, TextT | int]]:
        """Returns information about pending messages, in a range."""
    async def xrange(
        self, name: KeyT, min: StreamIdT = "-", max: StreamIdT = "+", count: int | None = None
    ) -> list[tuple[TextT, dict[TextT, TextT]]]:
        """Read stream values within an interval."""
    async def xread(
        self,
        streams: dict[str, Any] | dict[bytes, Any] | dict[KeyT, Any],
        count: int | None = None,
        block: int | None = None,
        max_count: int | None = None,
        max_size: int | None = None,
    ) -> list[list[Any]]:
        """Block and monitor multiple streams for new data."""
    async def xreadgroup(
        self,
        groupname: str,
        consumername: str,
        streams: dict[str, Any] | dict[bytes, Any] | dict[KeyT, Any],
        count: int | None = None,
        block: int | None = None,
        noack: bool = False,
        claim_min_idle_time: int | None = None,
        max_count: int | None = None,
        max_size: int | None = None,
    ) -> list[list[Any]]:
        """Read from a stream via a consumer group."""
    async def xrevrange(
        self, name: KeyT, max: StreamIdT = "+", min: StreamIdT = "-", count: int | None = None
    ) -> list[tuple[TextT, dict[TextT, TextT]]]:
        """Read stream values within an interval, in reverse order."""
    async def xtrim(
        self,
        name: KeyT,
        maxlen: int | None = None,
        approximate: bool = True,
        minid: StreamIdT | None = None,
        limit: int | None = None,
        ref_policy: Literal["KEEPREF", "DELREF", "ACKED"] | None = None,
    ) -> int:
        """Trims old messages from a stream."""
    @overload
    async def zadd(
        self,
        name: KeyT,
        mapping: Mapping[AnyKeyT, EncodableT],
        nx: bool = False,
        xx: bool = False,
        ch: bool = False,
        incr: Literal[False] = False,
        gt: bool = False,
        lt: bool = False,
    ) -> int:
        """Set any number of element-name, score pairs to the key `name`."""
    @overload
    async def zadd(
        self,
        name: KeyT,
        mapping: Mapping[AnyKeyT, EncodableT],
        nx: bool = False,
        xx: bool = False,
        ch: bool = False,
        *,
        incr: Literal[True],
        gt: bool = False,
        lt: bool = False,
    ) -> float | None: ...
    @overload
    async def zadd(
        self,
        name: KeyT,
        mapping: Mapping[AnyKeyT, EncodableT],
        nx: bool = False,
        xx: bool = False,
        ch: bool = False,
        incr: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> int | float | None: ...
    async def zcard(self, name: KeyT) -> int:
        """Return the number of elements in the sorted set `name`."""
    async def zcount(self, name: KeyT, min: ZScoreBoundT, max: ZScoreBoundT) -> int:
        """Returns the number of elements in the sorted set at key `name` with a score between `min` and `max`."""
    async def zdiff(self, keys: KeysT, withscores: bool = False) -> list[TextT]:
        """Returns the difference between the first and all successive input sorted sets provided in `keys`."""
    async def zdiffstore(self, dest: KeyT, keys: KeysT) -> int:
        """Computes the difference between the first and all successive input sorted sets provided in `keys` and stores the result in `dest`."""
    async def zincrby(self, name: KeyT, amount: float, value: EncodableT) -> float | None:
        """Increment the score of `value` in sorted set `name` by `amount`."""
    @overload
    async def zinter(
        self, keys: KeysT, aggregate: str | None = None, withscores: Literal[False] = False
    ) -> list[TextT]:
        """Return the intersect of multiple sorted sets specified by `keys`."""
    @overload
    async def zinter(
        self, keys: KeysT, aggregate: str | None = None, *, withscores: Literal[True]
    ) -> list[tuple[TextT, float]]: ...
    @overload
    async def zinter(
        self, keys: KeysT, aggregate: str | None = None, withscores: bool = False
    ) -> list[TextT] | list[tuple[TextT, Any]]: ...
    async def zintercard(self, numkeys: int, keys: list[str], limit: int = 0) -> int:
        """Return the cardinality of the intersect of multiple sorted sets specified by `keys`."""
    async def zinterstore(
        self,
        dest: KeyT,
        keys: Sequence[KeyT] | Mapping[AnyKeyT, float],
        aggregate: str | None = None,
    ) -> int:
        """Intersect multiple sorted sets specified by `keys` into a new sorted set, `dest`."""
    async def zlexcount(self, name: KeyT, min: EncodableT, max: EncodableT) -> int:
        """Return the number of items in the sorted set `name` between the lexicographical range `min` and `max`."""
    async def zmpop(
        self,
        num_keys: int,
        keys: list[str],
        min: bool | None = False,
        max: bool | None = False,
        count: int | None = 1,
    ) -> list[TextT | list[list[Any]]] | None:
        """Pop `count` values (default 1) off of the first non-empty sorted set named in the `keys` list."""
    async def zmscore(self, key: KeyT, members: list[str]) -> list[float | None]:
        """Returns the scores associated with the specified members in the sorted set stored at key."""
    async def zpopmax(self, name: KeyT, count: int | None = None) -> list[tuple[TextT, float]]:
        """Remove and return up to `count` members with the highest scores from the sorted set `name`."""
    async def zpopmin(self, name: KeyT, count: int | None = None) -> list[tuple[TextT, float]]:
        """Remove and return up to `count` members with the lowest scores from the sorted set `name`."""
    @overload
    async def zrandmember(
        self, key: KeyT, count: None = None, withscores: bool = False
    ) -> TextT | None:
        """Return a random element from the sorted set value stored at key."""
    @overload
    async def zrandmember(
        self, key: KeyT, count: int, *, withscores: bool = False
    ) -> list[TextT]: ...
    @overload
    async def zrandmember(
        self, key: KeyT, count: int | None = None, withscores: bool = False
    ) -> TextT | list[TextT] | None: ...
    @overload
    async def zrange(
        self,
        name: KeyT,
        start: EncodableT,
        end: EncodableT,
        desc: bool = False,
        withscores: Literal[False] = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
        byscore: bool = False,
        bylex: bool = False,
        offset: int | None = None,
        num: int | None = None,
    ) -> list[TextT]:
        """Return a range of values from sorted set `name` between `start` and `end` sorted in ascending order."""
    @overload
    async def zrange(
        self,
        name: KeyT,
        start: EncodableT,
        end: EncodableT,
        desc: bool = False,
        *,
        withscores: Literal[True],
        byscore: bool = False,
        bylex: bool = False,
        offset: int | None = None,
        num: int | None = None,
    ) -> list[tuple[TextT, float]]: ...
    @overload
    async def zrange(
        self,
        name: KeyT,
        start: EncodableT,
        end: EncodableT,
        desc: bool = False,
        withscores: bool = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
        byscore: bool = False,
        bylex: bool = False,
        offset: int | None = None,
        num: int | None = None,
    ) -> list[TextT] | list[tuple[TextT, Any]]: ...
    async def zrangebylex(
        self,
        name: KeyT,
        min: EncodableT,
        max: EncodableT,
        start: int | None = None,
        num: int | None = None,
    ) -> list[TextT]:
        """Return the lexicographical range of values from sorted set `name` between `min` and `max`."""
    @overload
    async def zrangebyscore(
        self,
        name: KeyT,
        min: ZScoreBoundT,
        max: ZScoreBoundT,
        start: int | None = None,
        num: int | None = None,
        withscores: Literal[False] = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> list[TextT]:
        """Return a range of values from the sorted set `name` with scores between `min` and `max`."""
    @overload
    async def zrangebyscore(
        self,
        name: KeyT,
        min: ZScoreBoundT,
        max: ZScoreBoundT,
        start: int | None = None,
        num: int | None = None,
        *,
        withscores: Literal[True],
    ) -> list[tuple[TextT, float]]: ...
    @overload
    async def zrangebyscore(
        self,
        name: KeyT,
        min: ZScoreBoundT,
        max: ZScoreBoundT,
        start: int | None = None,
        num: int | None = None,
        withscores: bool = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> list[TextT] | list[tuple[TextT, Any]]: ...
    async def zrangestore(
        self,
        dest: KeyT,
        name: KeyT,
        start: EncodableT,
        end: EncodableT,
        byscore: bool = False,
        bylex: bool = False,
        desc: bool = False,
        offset: int | None = None,
        num: int | None = None,
    ) -> int:
        """Stores in `dest` the result of a range of values from sorted set `name` between `start` and `end` sorted in ascending order."""
    @overload
    async def zrank(
        self,
        name: KeyT,
        value: EncodableT,
        withscore: Literal[False] = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> int | None:
        """Returns a 0-based value indicating the rank of `value` in sorted set `name`."""
    @overload
    async def zrank(
        self, name: KeyT, value: EncodableT, withscore: Literal[True]
    ) -> list[Any] | None: ...
    @overload
    async def zrank(
        self,
        name: KeyT,
        value: EncodableT,
        withscore: bool = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> int | list[Any] | None: ...
    async def zrem(self, name: KeyT, *values: FieldT) -> int:
        """Remove member `values` from sorted set `name`."""
    async def zremrangebylex(self, name: KeyT, min: EncodableT, max: EncodableT) -> int:
        """Remove all elements in the sorted set `name` between the lexicographical range specified by `min` and `max`."""
    async def zremrangebyrank(self, name: KeyT, min: int, max: int) -> int:
        """Remove all elements in the sorted set `name` with ranks between `min` and `max`."""
    async def zremrangebyscore(self, name: KeyT, min: ZScoreBoundT, max: ZScoreBoundT) -> int:
        """Remove all elements in the sorted set `name` with scores between `min` and `max`."""
    @overload
    async def zrevrange(
        self,
        name: KeyT,
        start: int,
        end: int,
        withscores: Literal[False] = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> list[TextT]:
        """Return a range of values from sorted set `name` between `start` and `end` sorted in descending order."""
    @overload
    async def zrevrange(
        self, name: KeyT, start: int, end: int, withscores: Literal[True]
    ) -> list[tuple[TextT, float]]: ...
    @overload
    async def zrevrange(
        self,
        name: KeyT,
        start: int,
        end: int,
        withscores: bool = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> list[TextT] | list[tuple[TextT, Any]]: ...
    async def zrevrangebylex(
        self,
        name: KeyT,
        max: EncodableT,
        min: EncodableT,
        start: int | None = None,
        num: int | None = None,
    ) -> list[TextT]:
        """Return the reversed lexicographical range of values from sorted set `name` between `max` and `min`."""
    @overload
    async def zrevrangebyscore(
        self,
        name: KeyT,
        max: ZScoreBoundT,
        min: ZScoreBoundT,
        start: int | None = None,
        num: int | None = None,
        withscores: Literal[False] = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> list[TextT]:
        """Return a range of values from the sorted set `name` with scores between `min` and `max` in descending order."""
    @overload
    async def zrevrangebyscore(
        self,
        name: KeyT,
        max: ZScoreBoundT,
        min: ZScoreBoundT,
        start: int | None = None,
        num: int | None = None,
        *,
        withscores: Literal[True],
    ) -> list[tuple[TextT, float]]: ...
    @overload
    async def zrevrangebyscore(
        self,
        name: KeyT,
        max: ZScoreBoundT,
        min: ZScoreBoundT,
        start: int | None = None,
        num: int | None = None,
        withscores: bool = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> list[TextT] | list[tuple[TextT, Any]]: ...
    @overload
    async def zrevrank(
        self,
        name: KeyT,
        value: EncodableT,
        withscore: Literal[False] = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> int | None:
        """Returns a 0-based value indicating the descending rank of `value` in sorted set `name`."""
    @overload
    async def zrevrank(
        self, name: KeyT, value: EncodableT, withscore: Literal[True]
    ) -> list[Any] | None: ...
    @overload
    async def zrevrank(
        self,
        name: KeyT,
        value: EncodableT,
        withscore: bool = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> int | list[Any] | None: ...
    @overload
    async def zscan(
        self,
        name: KeyT,
        cursor: int = 0,
        match: PatternT | None = None,
        count: int | None = None,
        score_cast_func: builtins.type[float] = ...,
    ) -> tuple[int, list[tuple[TextT, float]]]:
        """Incrementally return lists of elements in a sorted set."""
    @overload
    async def zscan(
        self,
        name: KeyT,
        cursor: int = 0,
        match: PatternT | None = None,
        count: int | None = None,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> tuple[int, list[tuple[TextT, Any]]]: ...
    @overload
    def zscan_iter(
        self,
        name: KeyT,
        match: PatternT | None = None,
        count: int | None = None,
        score_cast_func: builtins.type[float] = ...,
    ) -> AsyncIterator[tuple[TextT, float]]:
        """Make an iterator using the ZSCAN command so that the client doesn't need to remember the cursor position."""
    @overload
    def zscan_iter(
        self,
        name: KeyT,
        match: PatternT | None = None,
        count: int | None = None,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> AsyncIterator[tuple[TextT, Any]]: ...
    async def zscore(self, name: KeyT, value: EncodableT) -> float | None:
        """Return the score of element `value` in sorted set `name`."""
    @overload
    async def zunion(
        self,
        keys: Sequence[KeyT] | Mapping[AnyKeyT, float],
        aggregate: str | None = None,
        withscores: Literal[False] = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> list[TextT]:
        """Return the union of multiple sorted sets specified by `keys`."""
    @overload
    async def zunion(
        self,
        keys: Sequence[KeyT] | Mapping[AnyKeyT, float],
        aggregate: str | None = None,
        *,
        withscores: Literal[True],
    ) -> list[tuple[TextT, float]]: ...
    @overload
    async def zunion(
        self,
        keys: Sequence[KeyT] | Mapping[AnyKeyT, float],
        aggregate: str | None = None,
        withscores: bool = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> list[TextT] | list[tuple[TextT, Any]]: ...
    async def zunionstore(
        self,
        dest: KeyT,
        keys: Sequence[KeyT] | Mapping[AnyKeyT, float],
        aggregate: str | None = None,
    ) -> int:
        """Union multiple sorted sets specified by `keys` into a new sorted set, `dest`."""

class RedisCommands(Commands[TextT]):
    """What only one server's client has."""

    async def client_tracking_off(
        self,
        clientid: int | None = None,
        prefix: Sequence[KeyT] = ...,
        bcast: bool = False,
        optin: bool = False,
        optout: bool = False,
        noloop: bool = False,
    ) -> TextT:
        """Turn off the tracking mode."""
    async def client_tracking_on(
        self,
        clientid: int | None = None,
        prefix: Sequence[KeyT] = ...,
        bcast: bool = False,
        optin: bool = False,
        optout: bool = False,
        noloop: bool = False,
    ) -> TextT:
        """Turn on the tracking mode."""
    async def cluster(self, cluster_arg: Any, *args: Any, **kwargs: Any) -> Any: ...
    async def delete(self, *names: KeyT) -> int:
        """Delete one or more keys specified by `names`."""
    async def exists(self, *names: KeyT) -> int:
        """Returns the number of `names` that exist."""
    async def hotkeys_get(self, **kwargs: Any) -> list[dict[TextT, Any]]:
        """Retrieve the result of the ongoing collection session (if any), or the last collection session (if any)."""
    async def hotkeys_reset(self, **kwargs: Any) -> TextT:
        """Discard the last hotkeys collection session results (in order to save memory)."""
    async def hotkeys_start(
        self,
        metrics: list[HotkeysMetricsTypes],
        count: int | None = None,
        duration: int | None = None,
        sample_ratio: int | None = None,
        slots: list[int] | None = None,
        **kwargs: Any,
    ) -> TextT:
        """Start collecting hotkeys data."""
    async def hotkeys_stop(self, **kwargs: Any) -> TextT:
        """Stop the ongoing hotkeys collection session (if any)."""
    async def readonly(self, **kwargs: Any) -> bool:
        """Enables read queries for a connection to a Redis Cluster replica node."""
    async def readwrite(self, **kwargs: Any) -> bool:
        """Disables read queries for a connection to a Redis Cluster slave node."""
    async def replicaof(self, *args: Any, **kwargs: Any) -> TextT:
        """Update the replication settings of a redis replica, on the fly."""
    async def sentinel_ckquorum(self, new_master_name: Any) -> bool:
        """Check if the current Sentinel configuration is able to reach the quorum needed to failover a master, and the majority needed to authorize the failover."""
    async def sentinel_failover(self, new_master_name: Any) -> bool:
        """Force a failover as if the master was not reachable, and without asking for agreement to other Sentinels (however a new version of the configuration will be published so that the other Sentinels will update their configurations)."""
    async def sentinel_flushconfig(self) -> bool:
        """Force Sentinel to rewrite its configuration on disk, including the current Sentinel state."""
    async def sentinel_get_master_addr_by_name(
        self, service_name: Any, return_responses: bool = False
    ) -> tuple[TextT, int] | bool | None:
        """Returns a (host, port) pair for the given `service_name` when return_responses is True, otherwise returns a boolean value that indicates if the command was successful."""
    async def sentinel_master(
        self, service_name: Any, return_responses: bool = False
    ) -> dict[str, Any] | bool:
        """Returns a dictionary containing the specified masters state, when return_responses is True, otherwise returns a boolean value that indicates if the command was successful."""
    async def sentinel_masters(self) -> SentinelMastersResponse:
        """Returns a list of dictionaries containing each master's state."""
    async def sentinel_monitor(self, name: Any, ip: Any, port: Any, quorum: Any) -> bool:
        """Add a new master to Sentinel to be monitored."""
    async def sentinel_remove(self, name: Any) -> bool:
        """Remove a master from Sentinel's monitoring."""
    async def sentinel_reset(self, pattern: Any) -> bool:
        """This command will reset all the masters with matching name."""
    async def sentinel_sentinels(
        self, service_name: Any, return_responses: bool = False
    ) -> list[dict[str, Any]] | bool:
        """Returns a list of sentinels for `service_name`, when return_responses is True, otherwise returns a boolean value that indicates if the command was successful."""
    async def sentinel_set(self, name: Any, option: Any, value: Any) -> bool:
        """Set Sentinel monitoring parameters for a given master."""
    async def sentinel_slaves(self, service_name: Any) -> list[dict[str, Any]]:
        """Returns a list of slaves for `service_name`."""
    async def slaveof(
        self, host: str | None = None, port: int | None = None, **kwargs: Any
    ) -> bool:
        """Set the server to be a replicated slave of the instance identified by the `host` and `port`."""
    async def swapdb(self, first: int, second: int, **kwargs: Any) -> bool:
        """Swap two databases."""
    async def touch(self, *args: KeyT) -> int:
        """Alters the last access time of a key(s) `*args`."""
    async def unlink(self, *names: KeyT) -> int:
        """Unlink one or more keys specified by `names`."""

class ClusterCommands(Commands[TextT]):
    """What only a Cluster's client has."""

    async def cluster_addslots(self, target_node: TargetNodesT, *slots: EncodableT) -> bool:
        """Assign new hash slots to receiving node."""
    async def cluster_addslotsrange(self, target_node: TargetNodesT, *slots: EncodableT) -> bool:
        """Similar to the CLUSTER ADDSLOTS command."""
    async def cluster_count_failure_report(self, node_id: str) -> int:
        """Return the number of failure reports active for a given node Sends to a random node."""
    async def cluster_countkeysinslot(self, slot_id: int) -> int:
        """Return the number of local keys in the specified hash slot Send to node based on specified slot_id."""
    async def cluster_delslotsrange(self, *slots: EncodableT) -> bool:
        """Similar to the CLUSTER DELSLOTS command."""
    async def cluster_failover(self, target_node: TargetNodesT, option: str | None = None) -> bool:
        """Forces a slave to perform a manual failover of its master Sends to specified node."""
    async def cluster_get_keys_in_slot(self, slot: int, num_keys: int) -> list[TextT]:
        """Returns the number of keys in the specified cluster slot."""
    async def cluster_info(self, target_nodes: TargetNodesT | None = None) -> dict[str, str]:
        """Provides info about Redis Cluster node state."""
    async def cluster_keyslot(self, key: str) -> int:
        """Returns the hash slot of the specified key Sends to random node in the cluster."""
    async def cluster_links(self, target_node: TargetNodesT) -> ClusterLinksResponse:
        """Each node in a Redis Cluster maintains a pair of long-lived TCP link with each peer in the cluster: One for sending outbound messages towards the peer and one for receiving inbound messages from the peer."""
    async def cluster_meet(
        self, host: str, port: int, target_nodes: TargetNodesT | None = None
    ) -> bool:
        """Force a node cluster to handshake with another node."""
    async def cluster_myid(self, target_node: TargetNodesT) -> TextT:
        """Returns the node's id."""
    async def cluster_myshardid(self, target_nodes: TargetNodesT | None = None) -> TextT:
        """Returns the shard ID of the node."""
    async def cluster_nodes(self) -> dict[str, ClusterNodeDetail]:
        """Get Cluster config for the node."""
    async def cluster_replicas(
        self, node_id: str, target_nodes: TargetNodesT | None = None
    ) -> dict[str, ClusterNodeDetail]:
        """Provides a list of replica nodes replicating from the specified primary target node."""
    async def cluster_replicate(self, target_nodes: TargetNodesT, node_id: str) -> bool:
        """Reconfigure a node as a slave of the specified master node."""
    async def cluster_reset(
        self, soft: bool = True, target_nodes: TargetNodesT | None = None
    ) -> bool:
        """Reset a Redis Cluster node."""
    async def cluster_save_config(self, target_nodes: TargetNodesT | None = None) -> bool:
        """Forces the node to save cluster state on disk."""
    async def cluster_set_config_epoch(
        self, epoch: int, target_nodes: TargetNodesT | None = None
    ) -> bool:
        """Set the configuration epoch in a new node."""
    async def cluster_setslot(
        self, target_node: TargetNodesT, node_id: str, slot_id: int, state: str
    ) -> bool:
        """Bind an hash slot to a specific node."""
    async def cluster_setslot_stable(self, slot_id: int) -> bool:
        """Clears migrating / importing state from the slot."""
    async def cluster_shards(
        self, target_nodes: TargetNodesT | None = None
    ) -> ClusterShardsResponse:
        """Returns details about the shards of the cluster."""
    async def cluster_slots(self, target_nodes: TargetNodesT | None = None) -> list[Any]:
        """Get array of Cluster slot to node mappings."""
    async def delete(self, *keys: KeyT) -> int:
        """Deletes the given keys in the cluster."""
    async def exists(self, *keys: KeyT) -> int:
        """Returns the number of `names` that exist in the whole cluster."""
    async def touch(self, *keys: KeyT) -> int:
        """Updates the last access time of given keys across the cluster."""
    async def unlink(self, *keys: KeyT) -> int:
        """Remove the specified keys in a different thread."""

class QueuedCommands:
    """The commands of every pipeline."""

    async def __aenter__(self) -> Self: ...
    def __await__(self) -> Generator[Any, Any, Any]: ...
    def acl_cat(self, category: str | None = None, **kwargs: Any) -> Self: ...
    def acl_deluser(self, *username: str, **kwargs: Any) -> Self: ...
    def acl_dryrun(self, username: str, *args: EncodableT, **kwargs: Any) -> Self: ...
    def acl_genpass(self, bits: int | None = None, **kwargs: Any) -> Self: ...
    def acl_getuser(self, username: str, **kwargs: Any) -> Self: ...
    def acl_help(self, **kwargs: Any) -> Self: ...
    def acl_list(self, **kwargs: Any) -> Self: ...
    def acl_load(self, **kwargs: Any) -> Self: ...
    def acl_log(self, count: int | None = None, **kwargs: Any) -> Self: ...
    def acl_log_reset(self, **kwargs: Any) -> Self: ...
    def acl_save(self, **kwargs: Any) -> Self: ...
    def acl_setuser(
        self,
        username: str,
        enabled: bool = False,
        nopass: bool = False,
        passwords: str | Iterable[str] | None = None,
        hashed_passwords: str | Iterable[str] | None = None,
        categories: Iterable[str] | None = None,
        commands: Iterable[str] | None = None,
        keys: Iterable[KeyT] | None = None,
        channels: Iterable[ChannelT] | None = None,
        selectors: Iterable[tuple[str, KeyT]] | None = None,
        reset: bool = False,
        reset_keys: bool = False,
        reset_channels: bool = False,
        reset_passwords: bool = False,
        **kwargs: Any,
    ) -> Self: ...
    def acl_users(self, **kwargs: Any) -> Self: ...
    def acl_whoami(self, **kwargs: Any) -> Self: ...
    def append(self, key: KeyT, value: EncodableT) -> Self: ...
    def arcount(self, name: KeyT) -> Self: ...
    def ardel(self, name: KeyT, *indices: int) -> Self: ...
    def ardelrange(self, name: KeyT, *ranges: tuple[int, int]) -> Self: ...
    def arget(self, name: KeyT, index: int) -> Self: ...
    def argetrange(self, name: KeyT, start: int, end: int) -> Self: ...
    def argrep(
        self,
        name: KeyT,
        start: int,
        end: int,
        predicates: list[tuple[ArrayPredicateType, EncodableT]],
        combinator: ArrayPredicateCombinator | None = None,
        limit: int | None = None,
        withvalues: bool = False,
        nocase: bool = False,
    ) -> Self: ...
    def arinfo(self, name: KeyT, full: bool = False) -> Self: ...
    def arinsert(self, name: KeyT, *values: FieldT) -> Self: ...
    def arlastitems(self, name: KeyT, count: int, rev: bool = False) -> Self: ...
    def arlen(self, name: KeyT) -> Self: ...
    def armget(self, name: KeyT, *indices: int) -> Self: ...
    def armset(self, name: KeyT, mapping: Mapping[int, FieldT]) -> Self: ...
    def arnext(self, name: KeyT) -> Self: ...
    def arop(
        self,
        name: KeyT,
        start: int,
        end: int,
        operation: ArrayAggregateOperations,
        value: EncodableT | None = None,
    ) -> Self: ...
    def arring(self, name: KeyT, size: int, *values: FieldT) -> Self: ...
    def arscan(self, name: KeyT, start: int, end: int, limit: int | None = None) -> Self: ...
    def arseek(self, name: KeyT, index: int) -> Self: ...
    def arset(self, name: KeyT, index: int, *values: FieldT) -> Self: ...
    def auth(self, password: str, username: str | None = None, **kwargs: Any) -> Self: ...
    def bitcount(
        self, key: KeyT, start: int | None = None, end: int | None = None, mode: str | None = None
    ) -> Self: ...
    def bitfield_ro(
        self,
        key: KeyT,
        encoding: str,
        offset: BitfieldOffsetT,
        items: list[tuple[str, BitfieldOffsetT]] | None = None,
    ) -> Self: ...
    def bitpos(
        self,
        key: KeyT,
        bit: int,
        start: int | None = None,
        end: int | None = None,
        mode: str | None = None,
    ) -> Self: ...
    def blmove(
        self,
        first_list: str,
        second_list: str,
        timeout: int,
        src: str = "LEFT",
        dest: str = "RIGHT",
    ) -> Self: ...
    def blmovem(
        self,
        first_list: str,
        second_list: str,
        timeout: float,
        src: str = "LEFT",
        dest: str = "RIGHT",
        count: int | None = None,
        mode: Literal["COUNT", "EXACTLY"] | None = None,
        ordering: Literal["OBO", "BULK"] | None = None,
    ) -> Self: ...
    def blmpop(
        self, timeout: float, numkeys: int, *args: str, direction: str, count: int | None = 1
    ) -> Self: ...
    def blpop(self, keys: KeysT, timeout: Number | None = 0) -> Self: ...
    def brpop(self, keys: KeysT, timeout: Number | None = 0) -> Self: ...
    def bzmpop(
        self,
        timeout: float,
        numkeys: int,
        keys: list[str],
        min: bool | None = False,
        max: bool | None = False,
        count: int | None = 1,
    ) -> Self: ...
    def bzpopmax(self, keys: KeysT, timeout: TimeoutSecT = 0) -> Self: ...
    def bzpopmin(self, keys: KeysT, timeout: TimeoutSecT = 0) -> Self: ...
    def client_getredir(self, **kwargs: Any) -> Self: ...
    def client_id(self, **kwargs: Any) -> Self: ...
    def client_info(self, **kwargs: Any) -> Self: ...
    def client_kill_filter(
        self,
        _id: str | None = None,
        _type: str | None = None,
        addr: str | None = None,
        skipme: bool | None = None,
        laddr: bool | None = None,
        user: str | None = None,
        maxage: int | None = None,
        **kwargs: Any,
    ) -> Self: ...
    def client_no_evict(self, mode: str) -> Self: ...
    def client_no_touch(self, mode: str) -> Self: ...
    def client_pause(self, timeout: int, all: bool = True, **kwargs: Any) -> Self: ...
    def client_reply(self, reply: Literal["ON", "OFF", "SKIP"], **kwargs: Any) -> Self: ...
    def client_setinfo(self, attr: str, value: str, **kwargs: Any) -> Self: ...
    def client_tracking(
        self,
        on: bool = True,
        clientid: int | None = None,
        prefix: Sequence[KeyT] = ...,
        bcast: bool = False,
        optin: bool = False,
        optout: bool = False,
        noloop: bool = False,
        **kwargs: Any,
    ) -> Self: ...
    def client_trackinginfo(self, **kwargs: Any) -> Self: ...
    def client_unblock(self, client_id: int, error: bool = False, **kwargs: Any) -> Self: ...
    def client_unpause(self, **kwargs: Any) -> Self: ...
    def command(self, **kwargs: Any) -> Self: ...
    def command_count(self, **kwargs: Any) -> Self: ...
    def command_getkeys(self, *args: Any) -> Self: ...
    def command_getkeysandflags(self, *args: str) -> Self: ...
    def command_list(
        self, module: str | None = None, category: str | None = None, pattern: str | None = None
    ) -> Self: ...
    def copy(
        self,
        source: str,
        destination: str,
        destination_db: str | None = None,
        replace: bool = False,
    ) -> Self: ...
    def debug_object(self, key: KeyT, **kwargs: Any) -> Self: ...
    def decr(self, name: KeyT, amount: int = 1) -> Self: ...
    def decrby(self, name: KeyT, amount: int = 1) -> Self: ...
    def delex(
        self,
        name: KeyT,
        ifeq: bytes | str | None = None,
        ifne: bytes | str | None = None,
        ifdeq: str | None = None,
        ifdne: str | None = None,
    ) -> Self: ...
    def digest(self, name: KeyT) -> Self: ...
    def dump(self, name: KeyT) -> Self: ...
    def eval(self, script: str, numkeys: int, *keys_and_args: KeyT | EncodableT) -> Self: ...
    def eval_ro(self, script: str, numkeys: int, *keys_and_args: KeyT | EncodableT) -> Self: ...
    def evalsha_ro(self, sha: str, numkeys: int, *keys_and_args: KeyT | EncodableT) -> Self: ...
    def expire(
        self,
        name: KeyT,
        time: ExpiryT,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> Self: ...
    def expireat(
        self,
        name: KeyT,
        when: AbsExpiryT,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> Self: ...
    def expiretime(self, key: str) -> Self: ...
    def fcall(self, function: Any, numkeys: int, *keys_and_args: Any) -> Self: ...
    def fcall_ro(self, function: Any, numkeys: int, *keys_and_args: Any) -> Self: ...
    def function_delete(self, library: str) -> Self: ...
    def function_dump(self) -> Self: ...
    def function_flush(self, mode: str = "SYNC") -> Self: ...
    def function_kill(self) -> Self: ...
    def function_list(self, library: str | None = "*", withcode: bool | None = False) -> Self: ...
    def function_load(self, code: str, replace: bool | None = False) -> Self: ...
    def function_restore(self, payload: str, policy: str | None = "APPEND") -> Self: ...
    def function_stats(self) -> Self: ...
    def geoadd(
        self,
        name: KeyT,
        values: Sequence[EncodableT],
        nx: bool = False,
        xx: bool = False,
        ch: bool = False,
    ) -> Self: ...
    def geodist(
        self, name: KeyT, place1: FieldT, place2: FieldT, unit: str | None = None
    ) -> Self: ...
    def geohash(self, name: KeyT, *values: FieldT) -> Self: ...
    def geopos(self, name: KeyT, *values: FieldT) -> Self: ...
    def georadius(
        self,
        name: KeyT,
        longitude: float,
        latitude: float,
        radius: float,
        unit: str | None = None,
        withdist: bool = False,
        withcoord: bool = False,
        withhash: bool = False,
        count: int | None = None,
        sort: str | None = None,
        store: KeyT | None = None,
        store_dist: KeyT | None = None,
        any: bool = False,
    ) -> Self: ...
    def georadiusbymember(
        self,
        name: KeyT,
        member: FieldT,
        radius: float,
        unit: str | None = None,
        withdist: bool = False,
        withcoord: bool = False,
        withhash: bool = False,
        count: int | None = None,
        sort: str | None = None,
        store: KeyT | None = None,
        store_dist: KeyT | None = None,
        any: bool = False,
    ) -> Self: ...
    def geosearch(
        self,
        name: KeyT,
        member: FieldT | None = None,
        longitude: float | None = None,
        latitude: float | None = None,
        unit: str = "m",
        radius: float | None = None,
        width: float | None = None,
        height: float | None = None,
        sort: str | None = None,
        count: int | None = None,
        any: bool = False,
        withcoord: bool = False,
        withdist: bool = False,
        withhash: bool = False,
    ) -> Self: ...
    def geosearchstore(
        self,
        dest: KeyT,
        name: KeyT,
        member: FieldT | None = None,
        longitude: float | None = None,
        latitude: float | None = None,
        unit: str = "m",
        radius: float | None = None,
        width: float | None = None,
        height: float | None = None,
        sort: str | None = None,
        count: int | None = None,
        any: bool = False,
        storedist: bool = False,
    ) -> Self: ...
    def get(self, name: KeyT) -> Self: ...
    def getbit(self, name: KeyT, offset: int) -> Self: ...
    def getdel(self, name: KeyT) -> Self: ...
    def getex(
        self,
        name: KeyT,
        ex: ExpiryT | None = None,
        px: ExpiryT | None = None,
        exat: AbsExpiryT | None = None,
        pxat: AbsExpiryT | None = None,
        persist: bool = False,
    ) -> Self: ...
    def getrange(self, key: KeyT, start: int, end: int) -> Self: ...
    def getset(self, name: KeyT, value: EncodableT) -> Self: ...
    def hdel(self, name: KeyT, *keys: FieldT) -> Self: ...
    def hexists(self, name: KeyT, key: FieldT) -> Self: ...
    def hexpire(
        self,
        name: KeyT,
        seconds: ExpiryT,
        *fields: FieldT,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> Self: ...
    def hexpireat(
        self,
        name: KeyT,
        unix_time_seconds: AbsExpiryT,
        *fields: FieldT,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> Self: ...
    def hexpiretime(self, key: KeyT, *fields: FieldT) -> Self: ...
    def hget(self, name: KeyT, key: FieldT) -> Self: ...
    def hgetall(self, name: KeyT) -> Self: ...
    def hgetdel(self, name: KeyT, *keys: FieldT) -> Self: ...
    def hgetex(
        self,
        name: KeyT,
        *keys: FieldT,
        ex: ExpiryT | None = None,
        px: ExpiryT | None = None,
        exat: AbsExpiryT | None = None,
        pxat: AbsExpiryT | None = None,
        persist: bool = False,
    ) -> Self: ...
    def himport_discard_all_internal(self) -> Self: ...
    def himport_discard_internal(self, fieldset_name: str) -> Self: ...
    def himport_prepare_internal(self, fieldset_name: str, fields: Iterable[FieldT]) -> Self: ...
    def himport_set(self, key: KeyT, fieldset_name: str, values: Iterable[EncodableT]) -> Self: ...
    def hincrby(self, name: KeyT, key: FieldT, amount: int = 1) -> Self: ...
    def hincrbyfloat(self, name: KeyT, key: FieldT, amount: float = 1.0) -> Self: ...
    def hkeys(self, name: KeyT) -> Self: ...
    def hlen(self, name: KeyT) -> Self: ...
    def hmget(self, name: KeyT, keys: FieldT | Iterable[FieldT], *args: FieldT) -> Self: ...
    def hmset(
        self,
        name: KeyT,
        mapping: Mapping[str, EncodableT]
        | Mapping[bytes, EncodableT]
        | Mapping[FieldT, EncodableT],
    ) -> Self: ...
    def hpersist(self, name: KeyT, *fields: FieldT) -> Self: ...
    def hpexpire(
        self,
        name: KeyT,
        milliseconds: ExpiryT,
        *fields: FieldT,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> Self: ...
    def hpexpireat(
        self,
        name: KeyT,
        unix_time_milliseconds: AbsExpiryT,
        *fields: FieldT,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> Self: ...
    def hpexpiretime(self, key: KeyT, *fields: FieldT) -> Self: ...
    def hpttl(self, key: KeyT, *fields: FieldT) -> Self: ...
    def hrandfield(self, key: KeyT, count: int | None = None, withvalues: bool = False) -> Self: ...
    def hscan(
        self,
        name: KeyT,
        cursor: int = 0,
        match: PatternT | None = None,
        count: int | None = None,
        no_values: bool | None = None,
    ) -> Self: ...
    def hset(
        self,
        name: KeyT,
        key: FieldT | None = None,
        value: EncodableT | None = None,
        mapping: Mapping[str, EncodableT]
        | Mapping[bytes, EncodableT]
        | Mapping[FieldT, EncodableT]
        | None = None,
        items: Sequence[EncodableT] | None = None,
    ) -> Self: ...
    def hsetex(
        self,
        name: KeyT,
        key: FieldT | None = None,
        value: EncodableT | None = None,
        mapping: Mapping[str, EncodableT]
        | Mapping[bytes, EncodableT]
        | Mapping[FieldT, EncodableT]
        | None = None,
        items: Sequence[EncodableT] | None = None,
        ex: ExpiryT | None = None,
        px: ExpiryT | None = None,
        exat: AbsExpiryT | None = None,
        pxat: AbsExpiryT | None = None,
        data_persist_option: HashDataPersistOptions | None = None,
        keepttl: bool = False,
    ) -> Self: ...
    def hsetnx(self, name: KeyT, key: FieldT, value: EncodableT) -> Self: ...
    def hstrlen(self, name: KeyT, key: FieldT) -> Self: ...
    def httl(self, key: KeyT, *fields: FieldT) -> Self: ...
    def hvals(self, name: KeyT) -> Self: ...
    def incr(self, name: KeyT, amount: int = 1) -> Self: ...
    def incrby(self, name: KeyT, amount: int = 1) -> Self: ...
    def incrbyfloat(self, name: KeyT, amount: float = 1.0) -> Self: ...
    def increx(
        self,
        name: KeyT,
        *,
        byfloat: EncodableT | None = None,
        byint: EncodableT | None = None,
        lbound: EncodableT | None = None,
        ubound: EncodableT | None = None,
        saturate: bool = False,
        ex: ExpiryT | None = None,
        px: ExpiryT | None = None,
        exat: AbsExpiryT | None = None,
        pxat: AbsExpiryT | None = None,
        persist: bool = False,
        enx: bool = False,
    ) -> Self: ...
    def latency_history(self, event: str) -> Self: ...
    def latency_latest(self) -> Self: ...
    def latency_reset(self, *events: str) -> Self: ...
    def lcs(
        self,
        key1: str,
        key2: str,
        len: bool | None = False,
        idx: bool | None = False,
        minmatchlen: int | None = 0,
        withmatchlen: bool | None = False,
    ) -> Self: ...
    def lindex(self, name: KeyT, index: int) -> Self: ...
    def linsert(self, name: KeyT, where: str, refvalue: str, value: str) -> Self: ...
    def llen(self, name: KeyT) -> Self: ...
    def lmove(
        self, first_list: str, second_list: str, src: str = "LEFT", dest: str = "RIGHT"
    ) -> Self: ...
    def lmovem(
        self,
        first_list: str,
        second_list: str,
        src: str = "LEFT",
        dest: str = "RIGHT",
        count: int | None = None,
        mode: Literal["COUNT", "EXACTLY"] | None = None,
        ordering: Literal["OBO", "BULK"] | None = None,
    ) -> Self: ...
    def lmpop(self, num_keys: int, *args: str, direction: str, count: int | None = 1) -> Self: ...
    def lolwut(self, *version_numbers: str | float, **kwargs: Any) -> Self: ...
    def lpop(self, name: KeyT, count: int | None = None) -> Self: ...
    def lpos(
        self,
        name: KeyT,
        value: str,
        rank: int | None = None,
        count: int | None = None,
        maxlen: int | None = None,
    ) -> Self: ...
    def lpush(self, name: KeyT, *values: FieldT) -> Self: ...
    def lpushx(self, name: KeyT, *values: FieldT) -> Self: ...
    def lrange(self, name: KeyT, start: int, end: int) -> Self: ...
    def lrem(self, name: KeyT, count: int, value: str) -> Self: ...
    def lset(self, name: KeyT, index: int, value: str) -> Self: ...
    def ltrim(self, name: KeyT, start: int, end: int) -> Self: ...
    def memory_malloc_stats(self, **kwargs: Any) -> Self: ...
    def memory_purge(self, **kwargs: Any) -> Self: ...
    def memory_stats(self, **kwargs: Any) -> Self: ...
    def memory_usage(self, key: KeyT, samples: int | None = None, **kwargs: Any) -> Self: ...
    def migrate(
        self,
        host: str,
        port: int,
        keys: KeysT,
        destination_db: int,
        timeout: int,
        copy: bool = False,
        replace: bool = False,
        auth: str | None = None,
        **kwargs: Any,
    ) -> Self: ...
    def module_list(self) -> Self: ...
    def module_load(self, path: Any, *args: Any) -> Self: ...
    def module_loadex(
        self, path: str, options: list[str] | None = None, args: list[str] | None = None
    ) -> Self: ...
    def module_unload(self, name: Any) -> Self: ...
    def object(self, infotype: str, key: KeyT, **kwargs: Any) -> Self: ...
    def persist(self, name: KeyT) -> Self: ...
    def pexpire(
        self,
        name: KeyT,
        time: ExpiryT,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> Self: ...
    def pexpireat(
        self,
        name: KeyT,
        when: AbsExpiryT,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> Self: ...
    def pexpiretime(self, key: str) -> Self: ...
    def pfadd(self, name: KeyT, *values: FieldT) -> Self: ...
    def psetex(self, name: KeyT, time_ms: ExpiryT, value: EncodableT) -> Self: ...
    def psync(self, replicationid: str, offset: int) -> Self: ...
    def pttl(self, name: KeyT) -> Self: ...
    def pubsub_channels(self, pattern: PatternT = "*", **kwargs: Any) -> Self: ...
    def pubsub_numpat(self, **kwargs: Any) -> Self: ...
    def pubsub_numsub(self, *args: ChannelT, **kwargs: Any) -> Self: ...
    def pubsub_shardchannels(self, pattern: PatternT = "*", **kwargs: Any) -> Self: ...
    def pubsub_shardnumsub(self, *args: ChannelT, **kwargs: Any) -> Self: ...
    def quit(self, **kwargs: Any) -> Self: ...
    def restore(
        self,
        name: KeyT,
        ttl: float,
        value: EncodableT,
        replace: bool = False,
        absttl: bool = False,
        idletime: int | None = None,
        frequency: int | None = None,
    ) -> Self: ...
    def role(self) -> Self: ...
    def rpop(self, name: KeyT, count: int | None = None) -> Self: ...
    def rpush(self, name: KeyT, *values: FieldT) -> Self: ...
    def rpushx(self, name: KeyT, *values: str) -> Self: ...
    def sadd(self, name: KeyT, *values: FieldT) -> Self: ...
    def scard(self, name: KeyT) -> Self: ...
    def sdiffcard(
        self, numkeys: int, keys: list[str] | list[bytes] | list[KeyT], limit: int = 0
    ) -> Self: ...
    def select(self, index: int, **kwargs: Any) -> Self: ...
    def set(
        self,
        name: KeyT,
        value: EncodableT,
        ex: ExpiryT | None = ...,
        px: ExpiryT | None = ...,
        nx: bool = ...,
        xx: bool = ...,
        keepttl: bool = ...,
        get: bool = ...,
        exat: AbsExpiryT | None = ...,
        pxat: AbsExpiryT | None = ...,
        ifeq: bytes | str | None = ...,
        ifne: bytes | str | None = ...,
        ifdeq: str | None = ...,
        ifdne: str | None = ...,
    ) -> Self: ...
    def setbit(self, name: KeyT, offset: int, value: int) -> Self: ...
    def setex(self, name: KeyT, time: ExpiryT, value: EncodableT) -> Self: ...
    def setnx(self, name: KeyT, value: EncodableT) -> Self: ...
    def setrange(self, name: KeyT, offset: int, value: EncodableT) -> Self: ...
    def sintercard(
        self, numkeys: int, keys: list[str] | list[bytes] | list[KeyT], limit: int = 0
    ) -> Self: ...
    def sismember(self, name: KeyT, value: EncodableT) -> Self: ...
    def smembers(self, name: KeyT) -> Self: ...
    def smismember(
        self, name: KeyT, values: EncodableT | Iterable[EncodableT], *args: EncodableT
    ) -> Self: ...
    def sort_ro(
        self,
        key: str,
        start: int | None = None,
        num: int | None = None,
        by: str | None = None,
        get: list[str] | None = None,
        desc: bool = False,
        alpha: bool = False,
    ) -> Self: ...
    def spop(self, name: KeyT, count: int | None = None) -> Self: ...
    def spublish(self, shard_channel: ChannelT, message: EncodableT) -> Self: ...
    def srandmember(self, name: KeyT, number: int | None = None) -> Self: ...
    def srem(self, name: KeyT, *values: FieldT) -> Self: ...
    def sscan(
        self, name: KeyT, cursor: int = 0, match: PatternT | None = None, count: int | None = None
    ) -> Self: ...
    def stralgo(
        self,
        algo: Literal["LCS"],
        value1: KeyT,
        value2: KeyT,
        specific_argument: Literal["strings"] | Literal["keys"] = "strings",
        len: bool = False,
        idx: bool = False,
        minmatchlen: int | None = None,
        withmatchlen: bool = False,
        **kwargs: Any,
    ) -> Self: ...
    def strlen(self, name: KeyT) -> Self: ...
    def substr(self, name: KeyT, start: int, end: int = ...) -> Self: ...
    def sunioncard(
        self,
        numkeys: int,
        keys: list[str] | list[bytes] | list[KeyT],
        limit: int = 0,
        approx: bool = False,
    ) -> Self: ...
    def sync(self) -> Self: ...
    def ttl(self, name: KeyT) -> Self: ...
    def type(self, name: KeyT) -> Self: ...
    def wait(self, num_replicas: int, timeout: int, **kwargs: Any) -> Self: ...
    def waitaof(self, num_local: int, num_replicas: int, timeout: int, **kwargs: Any) -> Self: ...
    def xack(self, name: KeyT, groupname: GroupT, *ids: StreamIdT) -> Self: ...
    def xackdel(
        self,
        name: KeyT,
        groupname: GroupT,
        *ids: StreamIdT,
        ref_policy: Literal["KEEPREF", "DELREF", "ACKED"] = "KEEPREF",
    ) -> Self: ...
    def xadd(
        self,
        name: KeyT,
        fields: dict[str, Any] | dict[bytes, Any] | dict[FieldT, Any],
        id: StreamIdT = "*",
        maxlen: int | None = None,
        approximate: bool = True,
        nomkstream: bool = False,
        minid: StreamIdT | None = None,
        limit: int | None = None,
        ref_policy: Literal["KEEPREF", "DELREF", "ACKED"] | None = None,
        idmpauto: str | None = None,
        idmp: tuple[str, bytes] | None = None,
    ) -> Self: ...
    def xautoclaim(
        self,
        name: KeyT,
        groupname: GroupT,
        consumername: ConsumerT,
        min_idle_time: int,
        start_id: StreamIdT = "0-0",
        count: int | None = None,
        justid: bool = False,
    ) -> Self: ...
    def xcfgset(
        self, name: KeyT, idmp_duration: int | None = None, idmp_maxsize: int | None = None
    ) -> Self: ...
    def xclaim(
        self,
        name: KeyT,
        groupname: GroupT,
        consumername: ConsumerT,
        min_idle_time: int,
        message_ids: list[Any] | tuple[StreamIdT, ...],
        idle: int | None = None,
        time: int | None = None,
        retrycount: int | None = None,
        force: bool = False,
        justid: bool = False,
    ) -> Self: ...
    def xdel(self, name: KeyT, *ids: StreamIdT) -> Self: ...
    def xdelex(
        self,
        name: KeyT,
        *ids: StreamIdT,
        ref_policy: Literal["KEEPREF", "DELREF", "ACKED"] = "KEEPREF",
    ) -> Self: ...
    def xgroup_create(
        self,
        name: KeyT,
        groupname: GroupT,
        id: StreamIdT = "$",
        mkstream: bool = False,
        entries_read: int | None = None,
    ) -> Self: ...
    def xgroup_createconsumer(
        self, name: KeyT, groupname: GroupT, consumername: ConsumerT
    ) -> Self: ...
    def xgroup_delconsumer(
        self, name: KeyT, groupname: GroupT, consumername: ConsumerT
    ) -> Self: ...
    def xgroup_destroy(self, name: KeyT, groupname: GroupT) -> Self: ...
    def xgroup_setid(
        self, name: KeyT, groupname: GroupT, id: StreamIdT, entries_read: int | None = None
    ) -> Self: ...
    def xinfo_consumers(self, name: KeyT, groupname: GroupT) -> Self: ...
    def xinfo_groups(self, name: KeyT) -> Self: ...
    def xinfo_stream(self, name: KeyT, full: bool = False) -> Self: ...
    def xlen(self, name: KeyT) -> Self: ...
    def xnack(
        self,
        name: KeyT,
        groupname: GroupT,
        mode: Literal["SILENT", "FAIL", "FATAL"],
        *ids: StreamIdT,
        retrycount: int | None = None,
        force: bool = False,
    ) -> Self: ...
    def xpending(self, name: KeyT, groupname: GroupT) -> Self: ...
    def xpending_range(
        self,
        name: KeyT,
        groupname: GroupT,
        min: StreamIdT,
        max: StreamIdT,
        count: int,
        consumername: ConsumerT | None = None,
        idle: int | None = None,
    ) -> Self: ...
    def xrange(
        self, name: KeyT, min: StreamIdT = "-", max: StreamIdT = "+", count: int | None = None
    ) -> Self: ...
    def xread(
        self,
        streams: dict[str, Any] | dict[bytes, Any] | dict[KeyT, Any],
        count: int | None = None,
        block: int | None = None,
        max_count: int | None = None,
        max_size: int | None = None,
    ) -> Self: ...
    def xreadgroup(
        self,
        groupname: str,
        consumername: str,
        streams: dict[str, Any] | dict[bytes, Any] | dict[KeyT, Any],
        count: int | None = None,
        block: int | None = None,
        noack: bool = False,
        claim_min_idle_time: int | None = None,
        max_count: int | None = None,
        max_size: int | None = None,
    ) -> Self: ...
    def xrevrange(
        self, name: KeyT, max: StreamIdT = "+", min: StreamIdT = "-", count: int | None = None
    ) -> Self: ...
    def xtrim(
        self,
        name: KeyT,
        maxlen: int | None = None,
        approximate: bool = True,
        minid: StreamIdT | None = None,
        limit: int | None = None,
        ref_policy: Literal["KEEPREF", "DELREF", "ACKED"] | None = None,
    ) -> Self: ...
    def zadd(
        self,
        name: KeyT,
        mapping: Mapping[AnyKeyT, EncodableT],
        nx: bool = False,
        xx: bool = False,
        ch: bool = False,
        incr: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> Self: ...
    def zcard(self, name: KeyT) -> Self: ...
    def zcount(self, name: KeyT, min: ZScoreBoundT, max: ZScoreBoundT) -> Self: ...
    def zdiff(self, keys: KeysT, withscores: bool = False) -> Self: ...
    def zdiffstore(self, dest: KeyT, keys: KeysT) -> Self: ...
    def zincrby(self, name: KeyT, amount: float, value: EncodableT) -> Self: ...
    def zinter(
        self, keys: KeysT, aggregate: str | None = None, withscores: bool = False
    ) -> Self: ...
    def zintercard(self, numkeys: int, keys: list[str], limit: int = 0) -> Self: ...
    def zinterstore(
        self,
        dest: KeyT,
        keys: Sequence[KeyT] | Mapping[AnyKeyT, float],
        aggregate: str | None = None,
    ) -> Self: ...
    def zlexcount(self, name: KeyT, min: EncodableT, max: EncodableT) -> Self: ...
    def zmpop(
        self,
        num_keys: int,
        keys: list[str],
        min: bool | None = False,
        max: bool | None = False,
        count: int | None = 1,
    ) -> Self: ...
    def zmscore(self, key: KeyT, members: list[str]) -> Self: ...
    def zpopmax(self, name: KeyT, count: int | None = None) -> Self: ...
    def zpopmin(self, name: KeyT, count: int | None = None) -> Self: ...
    def zrandmember(
        self, key: KeyT, count: int | None = None, withscores: bool = False
    ) -> Self: ...
    def zrange(
        self,
        name: KeyT,
        start: EncodableT,
        end: EncodableT,
        desc: bool = False,
        withscores: bool = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
        byscore: bool = False,
        bylex: bool = False,
        offset: int | None = None,
        num: int | None = None,
    ) -> Self: ...
    def zrangebylex(
        self,
        name: KeyT,
        min: EncodableT,
        max: EncodableT,
        start: int | None = None,
        num: int | None = None,
    ) -> Self: ...
    def zrangebyscore(
        self,
        name: KeyT,
        min: ZScoreBoundT,
        max: ZScoreBoundT,
        start: int | None = None,
        num: int | None = None,
        withscores: bool = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> Self: ...
    def zrangestore(
        self,
        dest: KeyT,
        name: KeyT,
        start: EncodableT,
        end: EncodableT,
        byscore: bool = False,
        bylex: bool = False,
        desc: bool = False,
        offset: int | None = None,
        num: int | None = None,
    ) -> Self: ...
    def zrank(
        self,
        name: KeyT,
        value: EncodableT,
        withscore: bool = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> Self: ...
    def zrem(self, name: KeyT, *values: FieldT) -> Self: ...
    def zremrangebylex(self, name: KeyT, min: EncodableT, max: EncodableT) -> Self: ...
    def zremrangebyrank(self, name: KeyT, min: int, max: int) -> Self: ...
    def zremrangebyscore(self, name: KeyT, min: ZScoreBoundT, max: ZScoreBoundT) -> Self: ...
    def zrevrange(
        self,
        name: KeyT,
        start: int,
        end: int,
        withscores: bool = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> Self: ...
    def zrevrangebylex(
        self,
        name: KeyT,
        max: EncodableT,
        min: EncodableT,
        start: int | None = None,
        num: int | None = None,
    ) -> Self: ...
    def zrevrangebyscore(
        self,
        name: KeyT,
        max: ZScoreBoundT,
        min: ZScoreBoundT,
        start: int | None = None,
        num: int | None = None,
        withscores: bool = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> Self: ...
    def zrevrank(
        self,
        name: KeyT,
        value: EncodableT,
        withscore: bool = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> Self: ...
    def zscan(
        self,
        name: KeyT,
        cursor: int = 0,
        match: PatternT | None = None,
        count: int | None = None,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> Self: ...
    def zscore(self, name: KeyT, value: EncodableT) -> Self: ...
    def zunion(
        self,
        keys: Sequence[KeyT] | Mapping[AnyKeyT, float],
        aggregate: str | None = None,
        withscores: bool = False,
        score_cast_func: builtins.type | Callable[..., Any] = ...,
    ) -> Self: ...
    def zunionstore(
        self,
        dest: KeyT,
        keys: Sequence[KeyT] | Mapping[AnyKeyT, float],
        aggregate: str | None = None,
    ) -> Self: ...

class PipelineCommands(QueuedCommands):
    """What only one server's has."""

    def bgrewriteaof(self, **kwargs: Any) -> Self: ...
    def bgsave(self, schedule: bool = True, **kwargs: Any) -> Self: ...
    def bitop(self, operation: str, dest: KeyT, *keys: KeyT) -> Self: ...
    def brpoplpush(self, src: KeyT, dst: KeyT, timeout: Number | None = 0) -> Self: ...
    def client_getname(self, **kwargs: Any) -> Self: ...
    def client_kill(self, address: str, **kwargs: Any) -> Self: ...
    def client_list(
        self, _type: str | None = None, client_id: list[EncodableT] = ..., **kwargs: Any
    ) -> Self: ...
    def client_setname(self, name: str, **kwargs: Any) -> Self: ...
    def client_tracking_off(
        self,
        clientid: int | None = None,
        prefix: Sequence[KeyT] = ...,
        bcast: bool = False,
        optin: bool = False,
        optout: bool = False,
        noloop: bool = False,
    ) -> Self: ...
    def client_tracking_on(
        self,
        clientid: int | None = None,
        prefix: Sequence[KeyT] = ...,
        bcast: bool = False,
        optin: bool = False,
        optout: bool = False,
        noloop: bool = False,
    ) -> Self: ...
    def cluster(self, cluster_arg: Any, *args: Any, **kwargs: Any) -> Self: ...
    def config_get(self, pattern: PatternT = "*", *args: PatternT, **kwargs: Any) -> Self: ...
    def config_resetstat(self, **kwargs: Any) -> Self: ...
    def config_rewrite(self, **kwargs: Any) -> Self: ...
    def config_set(
        self, name: KeyT, value: EncodableT, *args: KeyT | EncodableT, **kwargs: Any
    ) -> Self: ...
    def dbsize(self, **kwargs: Any) -> Self: ...
    def delete(self, *names: KeyT) -> Self: ...
    def echo(self, value: EncodableT, **kwargs: Any) -> Self: ...
    def evalsha(self, sha: str, numkeys: int, *keys_and_args: KeyT | EncodableT) -> Self: ...
    def exists(self, *names: KeyT) -> Self: ...
    def flushall(self, asynchronous: bool = False, **kwargs: Any) -> Self: ...
    def flushdb(self, asynchronous: bool = False, **kwargs: Any) -> Self: ...
    def hotkeys_get(self, **kwargs: Any) -> Self: ...
    def hotkeys_reset(self, **kwargs: Any) -> Self: ...
    def hotkeys_start(
        self,
        metrics: list[HotkeysMetricsTypes],
        count: int | None = None,
        duration: int | None = None,
        sample_ratio: int | None = None,
        slots: list[int] | None = None,
        **kwargs: Any,
    ) -> Self: ...
    def hotkeys_stop(self, **kwargs: Any) -> Self: ...
    def info(self, section: str | None = None, *args: str, **kwargs: Any) -> Self: ...
    def keys(self, pattern: PatternT = "*", **kwargs: Any) -> Self: ...
    def lastsave(self, **kwargs: Any) -> Self: ...
    def mget(self, keys: KeysT, *args: EncodableT) -> Self: ...
    def move(self, name: KeyT, db: int) -> Self: ...
    def mset(self, mapping: Mapping[AnyKeyT, EncodableT]) -> Self: ...
    def msetex(
        self,
        mapping: Mapping[AnyKeyT, EncodableT],
        data_persist_option: DataPersistOptions | None = None,
        ex: ExpiryT | None = None,
        px: ExpiryT | None = None,
        exat: AbsExpiryT | None = None,
        pxat: AbsExpiryT | None = None,
        keepttl: bool = False,
    ) -> Self: ...
    def msetnx(self, mapping: Mapping[AnyKeyT, EncodableT]) -> Self: ...
    def pfcount(self, *sources: KeyT) -> Self: ...
    def pfmerge(self, dest: KeyT, *sources: KeyT) -> Self: ...
    def ping(self, **kwargs: Any) -> Self: ...
    def publish(self, channel: ChannelT, message: EncodableT, **kwargs: Any) -> Self: ...
    def randomkey(self, **kwargs: Any) -> Self: ...
    def readonly(self, **kwargs: Any) -> Self: ...
    def readwrite(self, **kwargs: Any) -> Self: ...
    def rename(self, src: KeyT, dst: KeyT) -> Self: ...
    def renamenx(self, src: KeyT, dst: KeyT) -> Self: ...
    def replicaof(self, *args: Any, **kwargs: Any) -> Self: ...
    def rpoplpush(self, src: KeyT, dst: KeyT) -> Self: ...
    def save(self, **kwargs: Any) -> Self: ...
    def scan(
        self,
        cursor: int = 0,
        match: PatternT | None = None,
        count: int | None = None,
        _type: str | None = None,
        **kwargs: Any,
    ) -> Self: ...
    def script_exists(self, *args: str) -> Self: ...
    def script_flush(self, sync_type: Literal["SYNC"] | Literal["ASYNC"] | None = None) -> Self: ...
    def script_kill(self) -> Self: ...
    def script_load(self, script: ScriptTextT) -> Self: ...
    def sdiff(self, keys: KeysT, *args: KeyT) -> Self: ...
    def sdiffstore(self, dest: KeyT, keys: KeysT, *args: KeyT) -> Self: ...
    def sentinel_ckquorum(self, new_master_name: Any) -> Self: ...
    def sentinel_failover(self, new_master_name: Any) -> Self: ...
    def sentinel_flushconfig(self) -> Self: ...
    def sentinel_get_master_addr_by_name(
        self, service_name: Any, return_responses: bool = False
    ) -> Self: ...
    def sentinel_master(self, service_name: Any, return_responses: bool = False) -> Self: ...
    def sentinel_masters(self) -> Self: ...
    def sentinel_monitor(self, name: Any, ip: Any, port: Any, quorum: Any) -> Self: ...
    def sentinel_remove(self, name: Any) -> Self: ...
    def sentinel_reset(self, pattern: Any) -> Self: ...
    def sentinel_sentinels(self, service_name: Any, return_responses: bool = False) -> Self: ...
    def sentinel_set(self, name: Any, option: Any, value: Any) -> Self: ...
    def sentinel_slaves(self, service_name: Any) -> Self: ...
    def sinter(self, keys: KeysT, *args: KeyT) -> Self: ...
    def sinterstore(self, dest: KeyT, keys: KeysT, *args: KeyT) -> Self: ...
    def slaveof(self, host: str | None = None, port: int | None = None, **kwargs: Any) -> Self: ...
    def slowlog_get(self, num: int | None = None, **kwargs: Any) -> Self: ...
    def slowlog_len(self, **kwargs: Any) -> Self: ...
    def slowlog_reset(self, **kwargs: Any) -> Self: ...
    def smove(self, src: KeyT, dst: KeyT, value: str) -> Self: ...
    def sort(
        self,
        name: KeyT,
        start: int | None = None,
        num: int | None = None,
        by: str | None = None,
        get: list[str] | None = None,
        desc: bool = False,
        alpha: bool = False,
        store: str | None = None,
        groups: bool | None = False,
    ) -> Self: ...
    def sunion(self, keys: KeysT, *args: KeyT) -> Self: ...
    def sunionstore(self, dest: KeyT, keys: KeysT, *args: KeyT) -> Self: ...
    def swapdb(self, first: int, second: int, **kwargs: Any) -> Self: ...
    def time(self, **kwargs: Any) -> Self: ...
    def touch(self, *args: KeyT) -> Self: ...
    def unlink(self, *names: KeyT) -> Self: ...

class ClusterPipelineCommands(QueuedCommands):
    """What only a Cluster's has."""

    def cluster_addslots(self, target_node: TargetNodesT, *slots: EncodableT) -> Self: ...
    def cluster_addslotsrange(self, target_node: TargetNodesT, *slots: EncodableT) -> Self: ...
    def cluster_count_failure_report(self, node_id: str) -> Self: ...
    def cluster_countkeysinslot(self, slot_id: int) -> Self: ...
    def cluster_delslotsrange(self, *slots: EncodableT) -> Self: ...
    def cluster_failover(self, target_node: TargetNodesT, option: str | None = None) -> Self: ...
    def cluster_get_keys_in_slot(self, slot: int, num_keys: int) -> Self: ...
    def cluster_info(self, target_nodes: TargetNodesT | None = None) -> Self: ...
    def cluster_keyslot(self, key: str) -> Self: ...
    def cluster_links(self, target_node: TargetNodesT) -> Self: ...
    def cluster_meet(
        self, host: str, port: int, target_nodes: TargetNodesT | None = None
    ) -> Self: ...
    def cluster_myid(self, target_node: TargetNodesT) -> Self: ...
    def cluster_myshardid(self, target_nodes: TargetNodesT | None = None) -> Self: ...
    def cluster_nodes(self) -> Self: ...
    def cluster_replicas(self, node_id: str, target_nodes: TargetNodesT | None = None) -> Self: ...
    def cluster_replicate(self, target_nodes: TargetNodesT, node_id: str) -> Self: ...
    def cluster_reset(
        self, soft: bool = True, target_nodes: TargetNodesT | None = None
    ) -> Self: ...
    def cluster_save_config(self, target_nodes: TargetNodesT | None = None) -> Self: ...
    def cluster_set_config_epoch(
        self, epoch: int, target_nodes: TargetNodesT | None = None
    ) -> Self: ...
    def cluster_setslot(
        self, target_node: TargetNodesT, node_id: str, slot_id: int, state: str
    ) -> Self: ...
    def cluster_setslot_stable(self, slot_id: int) -> Self: ...
    def cluster_shards(self, target_nodes: TargetNodesT | None = None) -> Self: ...
    def cluster_slots(self, target_nodes: TargetNodesT | None = None) -> Self: ...
    def delete(self, *keys: KeyT) -> Self: ...
    def exists(self, *keys: KeyT) -> Self: ...
    def touch(self, *keys: KeyT) -> Self: ...
