"""Scenarios of iterators, locks, scripts, pub/sub, MONITOR and the client's own life."""

import asyncio
import warnings
from typing import Any

from redis.exceptions import RedisError

from tests.kit.servers import needs

from .stage import Client, caught, scenario


@scenario("scan_iter", "hscan_iter", "sscan_iter", "zscan_iter")
async def iterators(r: Client) -> Any:
    await r.mset({f"it:{n}": n for n in range(300)})
    await r.hset("h", mapping={f"f{n}": n for n in range(300)})
    await r.sadd("s", *range(300))
    await r.zadd("z", {f"m{n}": n / 2 for n in range(300)})
    return [
        sorted([key async for key in r.scan_iter("it:*", count=17)]),
        sorted([pair async for pair in r.hscan_iter("h", count=10)]),
        sorted([member async for member in r.sscan_iter("s", match="1*")]),
        sorted([pair async for pair in r.zscan_iter("z", score_cast_func=float)]),
        [key async for key in r.scan_iter("none:*")],
    ]


@scenario("scan_iter", mark=needs("SCAN TYPE", redis="6.0"))
async def iterator_of_a_type(r: Client) -> Any:
    await r.set("s", "v")
    await r.hset("h", "f", "v")
    return [key async for key in r.scan_iter(_type="HASH")]


@scenario("hscan_iter", mark=needs("HSCAN NOVALUES", redis="7.4", valkey="8.0"))
async def iterator_without_values(r: Client) -> Any:
    await r.hset("h", mapping={f"f{n}": n for n in range(300)})
    return sorted([name async for name in r.hscan_iter("h", no_values=True)])


@scenario("lock")
async def locks(r: Client) -> Any:
    lock = r.lock("lock", timeout=10)
    seen: list[Any] = [await lock.acquire(), await lock.locked(), await lock.owned()]
    seen.append(await r.lock("lock", blocking=False).acquire())
    seen.append(await r.lock("lock", blocking_timeout=0.05, sleep=0.01).acquire())
    seen.append(await caught(r.lock("lock").release()))
    seen.append(await lock.extend(10))
    seen.append(await lock.reacquire())
    seen.append(await lock.release())
    seen.append(await caught(lock.release()))
    async with r.lock("lock", timeout=5) as held:
        await r.delete("lock")
        await r.set("lock", "somebody else's")
        seen.append(await held.owned())
        seen.append(await caught(held.extend(1)))
        await r.set("lock", held.local.token)
    return seen


@scenario("register_script")
async def scripts(r: Client) -> Any:
    script = r.register_script("return {KEYS[1], ARGV[1]}")
    seen: list[Any] = [script.sha, await script(["k"], ["v"])]
    await r.script_flush()
    seen.append(await script(["k"], ["v"]))
    await r.script_flush()
    async with r.pipeline() as pipe:
        await script(["k"], ["v"], client=pipe)
        pipe.set("k", "v")
        seen.append(await pipe.execute())
    failing = r.register_script("return redis.call('INCR', KEYS[1])")
    seen.append(await caught(failing(["k"])))
    return seen


@scenario("pubsub")
async def publish_and_subscribe(r: Client) -> Any:
    seen: list[Any] = []
    handled: list[Any] = []
    async with r.pubsub() as pubsub:
        await pubsub.subscribe("one", two=handled.append)
        await pubsub.psubscribe("pattern:*")
        seen += [await pubsub.get_message(timeout=5) for _ in range(3)]
        seen.append([await r.publish(name, "m") for name in ("one", "two", "pattern:1", "none")])
        seen += [await pubsub.get_message(timeout=5) for _ in range(3)]
        await pubsub.ping(message="are you there")
        seen.append(await pubsub.get_message(timeout=5))
        seen.append(await pubsub.get_message(timeout=0.01))
        seen.append(await r.pubsub_numsub("one", "two"))
        seen.append(sorted(await r.pubsub_channels()))
        await pubsub.unsubscribe("one")
        seen.append(await pubsub.get_message(timeout=5))
        seen.append(pubsub.subscribed)
    seen.append(handled)
    async with r.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe("one")
        seen.append(await pubsub.get_message(timeout=0.1))
        await r.publish("one", b"\x01bytes")
        async for message in pubsub.listen():
            seen.append(message)
            break
    return seen


@scenario("pubsub", "spublish", mark=needs("SSUBSCRIBE", redis="7.0"))
async def publish_and_subscribe_by_shard(r: Client) -> Any:
    async with r.pubsub() as pubsub:
        await pubsub.subscribe("one")
        await pubsub.ssubscribe("shard")
        seen: list[Any] = [await pubsub.get_message(timeout=5) for _ in range(2)]
        seen.append(await r.spublish("shard", "m"))
        seen.append(await pubsub.get_message(timeout=5))
        seen.append(await r.pubsub_shardnumsub("shard"))
    return seen


@scenario("keyspace_notifications")
async def notifications(r: Client) -> Any:
    await r.config_set("notify-keyspace-events", "KEA")
    async with r.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.psubscribe("__keyspace@0__:noted")
        await pubsub.get_message(timeout=0.1)
        await r.set("noted", "v")
        message = await pubsub.get_message(timeout=5)
    await r.config_set("notify-keyspace-events", "")
    return [message, type(r.keyspace_notifications()).__name__]


@scenario("monitor")
async def monitoring(r: Client) -> Any:
    seen: list[Any] = []
    async with r.monitor() as monitor:
        await r.set("watched", "by monitor")
        async with asyncio.timeout(5):
            async for command in monitor.listen():
                seen.append({name: command[name] for name in ("db", "client_type", "command")})
                if command["command"].startswith("SET"):
                    break
    # The commands of a connection's handshake come before it.
    return [seen[-1], await r.get("watched")]


@scenario("client")
async def pinned(r: Client) -> Any:
    async with r.client() as one:
        same = {await one.client_id() for _ in range(3)}
        await one.select(4)
        seen: list[Any] = [len(same), await one.set("pinned", "v"), await one.get("pinned")]
        async with one.pipeline() as pipe:
            seen.append(await pipe.ping().echo("x").execute())
        seen.append(await caught(one.lpush("pinned", "x")))
        await one.delete("pinned")
    seen.append(await r.get("pinned"))
    return seen


@scenario()
async def waiting_for_a_producer(r: Client) -> Any:
    async def produce() -> None:
        await asyncio.sleep(0.02)
        await r.rpush("queue", "job")
        await asyncio.sleep(0.02)
        await r.xadd("stream", {"f": "v"}, id="7-1")

    task = asyncio.create_task(produce())
    popped = await r.blpop(["queue"], timeout=0)
    read = await r.xread({"stream": "0"}, block=0)
    await task
    return [popped, read]


@scenario("set_response_callback", "load_external_module", "execute_command")
async def extensions(r: Client) -> Any:
    def shout(reply: Any, **options: Any) -> str:
        return f"{reply!r} {sorted(options)}"

    async def later(reply: Any, **options: Any) -> str:
        return f"later {reply!r}"

    await r.set("k", "v")
    r.set_response_callback("GET", shout)
    seen = [await r.get("k"), await r.execute_command("GET", "k", extra=1)]
    r.set_response_callback("GET", later)
    seen.append(await r.get("k"))
    async with r.pipeline() as pipe:
        seen.append(await pipe.get("k").execute())
    r.load_external_module("mine", lambda: "loaded")
    seen.append(r.mine())
    return seen


@scenario("ft", "json", "ts", "bf", "cf", "cms", "tdigest", "topk", "vset")
async def modules(r: Client) -> Any:
    return [
        await caught(r.json().get("k")),
        await caught(r.ft().info()),
        await caught(r.ts().get("k")),
        await caught(r.bf().add("k", "v")),
        await caught(r.cf().add("k", "v")),
        await caught(r.cms().info("k")),
        await caught(r.tdigest().info("k")),
        await caught(r.topk().info("k")),
        await caught(r.vset().vcard("k")),
    ]


@scenario("bitfield")
async def bit_fields(r: Client) -> Any:
    operation = r.bitfield("b").set("u8", 8, 255).get("u8", 0).incrby("u8", 8, 1, "SAT")
    return [await operation.execute(), await caught(r.bitfield("b").get("u99", 0).execute())]


@scenario("initialize", "aclose", "close", "get_encoder")
async def life(r: Client) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        seen: list[Any] = [type(await r.initialize()).__mro__[-2] is not None, await r.ping()]
        await r.aclose()
        seen.append(await r.ping())
        await r.close()
    seen.append(r.get_encoder().decode_responses)
    async with r:
        seen.append(await r.ping())
    seen.append(await (await r).ping())
    return seen


@scenario()
async def many_at_once(r: Client) -> Any:
    await asyncio.gather(*(r.set(f"k{n}", n) for n in range(60)))
    gathered = await asyncio.gather(
        *(r.get(f"k{n}") for n in range(60)), r.lpush("k0", "x"), return_exceptions=True
    )
    task = asyncio.create_task(r.get("k1"))
    return [gathered, await task]


@scenario()
async def dump_and_restore(r: Client) -> Any:
    await r.rpush("l", "a", "b")
    payload = await r.dump("l")
    assert isinstance(payload, bytes)
    seen: list[Any] = [await r.restore("copy", 0, payload), await r.lrange("copy", 0, -1)]
    seen.append(await caught(r.restore("copy", 0, payload)))
    async with r.pipeline() as pipe:
        seen.append(type(await caught(pipe.dump("l").execute())).__name__)
    return seen


@scenario()
async def mistakes_keep_the_client_usable(r: Client) -> Any:
    seen: list[Any] = []
    for _ in range(3):
        seen.append(await caught(r.execute_command("SET")))
        seen.append(await caught(r.set("k", object())))
        seen.append(isinstance(seen[-1], RedisError))
        seen.append(await r.echo("after"))
    return seen
