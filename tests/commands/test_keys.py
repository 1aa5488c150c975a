"""Where the keys of a command are, by this library's tables and by the server."""

from redis_manager_fastapi.commands.keys import KEYS_OF, ONE_KEY
from redis_manager_fastapi.commands.sharing import SHARED
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.servers import needs

EXAMPLES: dict[str, tuple[str, ...]] = {
    "BITOP": ("AND", "a", "b", "c"),
    "COPY": ("a", "b"),
    "GEOSEARCHSTORE": ("a", "b", "FROMMEMBER", "m", "BYRADIUS", "1", "m"),
    "LCS": ("a", "b"),
    "LMOVE": ("a", "b", "LEFT", "LEFT"),
    "LMPOP": ("2", "a", "b", "LEFT"),
    "RENAME": ("a", "b"),
    "RENAMENX": ("a", "b"),
    "RPOPLPUSH": ("a", "b"),
    "SINTERCARD": ("2", "a", "b"),
    "SMOVE": ("a", "b", "m"),
    "ZDIFF": ("2", "a", "b"),
    "ZDIFFSTORE": ("z", "2", "a", "b"),
    "ZINTER": ("2", "a", "b"),
    "ZINTERCARD": ("2", "a", "b"),
    "ZINTERSTORE": ("z", "2", "a", "b"),
    "ZMPOP": ("2", "a", "b", "MIN"),
    "ZRANGESTORE": ("a", "b", "0", "1"),
    "ZUNION": ("2", "a", "b"),
    "ZUNIONSTORE": ("z", "2", "a", "b"),
    "BLMPOP": ("0", "2", "a", "b", "LEFT"),
    "BZMPOP": ("0", "2", "a", "b", "MIN"),
    "FCALL": ("function", "2", "a", "b", "c"),
    "FCALL_RO": ("function", "2", "a", "b", "c"),
    "GEORADIUS": ("a", "0", "0", "1", "m", "COUNT", "1", "STORE", "store"),
    "GEORADIUSBYMEMBER": ("a", "STORE", "1", "m", "STOREDIST", "b"),
    "MSETEX": ("2", "a", "1", "b", "2", "EX", "10"),
    "SORT": ("a", "BY", "store", "LIMIT", "0", "1", "STORE", "b"),
    "XREAD": ("COUNT", "1", "STREAMS", "a", "b", "0", "$"),
    "XREADGROUP": ("GROUP", "STREAMS", "c", "COUNT", "1", "streams", "a", "b", ">", ">"),
    "EVAL_RO": ("script", "2", "a", "b", "c"),
    "EVALSHA_RO": ("digest", "2", "a", "b", "c"),
}


@needs("COMMAND listing subcommands", redis="7.0")
async def test_the_keys_of_listed_commands_are_where_the_table_says(
    redis_server: RedisServer,
) -> None:
    """`ONE_KEY` and `KEYS_OF` agree with a running server."""
    async with redis_server.client() as client:
        client.response_callbacks.clear()
        entries = await client.execute_command("COMMAND")
    found = {}
    for entry in entries:
        if "module" in entry[2] and entry[0].upper() in KEYS_OF:
            continue  # a module's entry tells the first key only
        found[entry[0].upper()] = (entry, 1)
        for sub in entry[9]:
            found[sub[0].upper().replace("|", " ")] = (sub, 2)
    expected = {
        name
        for name, (entry, place) in found.items()
        if name in SHARED
        and (entry[3], entry[4]) == (place, place)
        and "movablekeys" not in entry[2]
        and name != "CLUSTERSCAN"
    }

    assert ONE_KEY.keys() & found.keys() == expected
    async with redis_server.client() as client:
        for name in KEYS_OF.keys() & found.keys():
            rule = KEYS_OF[name]
            args = EXAMPLES.get(name, ("a", "b", "c", "d"))
            asked = await client.execute_command("COMMAND GETKEYS", name, *args)
            assert asked == list(rule(args)), name
