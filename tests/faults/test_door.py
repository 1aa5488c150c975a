"""Row 55: what a server says instead of letting anybody in, in our words."""

import re
import socket
from typing import Any

import pytest

from redis_manager_fastapi import RedisManager, RedisTLSError, RedisUnavailableError
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.doors import BANNERS, saying
from tests.kit.invariants import QUICK
from tests.kit.servers import CERTIFICATES, needs

FAIL: dict[str, Any] = {**QUICK, "startup": {"policy": "fail"}}


async def refusal(url: str, **settings: Any) -> RedisUnavailableError:
    """Return what an opening ends with."""
    manager = RedisManager(url=url, **{**FAIL, **settings})
    with pytest.raises(RedisUnavailableError) as raised:
        await manager.open()
    assert "secret.internal" not in str(raised.value)
    assert not raised.value.maybe_executed
    return raised.value


@pytest.mark.parametrize("banner", BANNERS, ids=lambda banner: repr(banner[:12]))
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "to a command"])
@pytest.mark.parametrize("hang_up", [True, False], ids=["then closed", "and stays"])
@pytest.mark.parametrize("protocol", [2, 3])
async def test_words_at_the_door(
    banner: bytes, at_once: bool, hang_up: bool, protocol: int
) -> None:
    async with saying(banner, at_once=at_once, hang_up=hang_up) as port:
        error = await refusal(f"redis://127.0.0.1:{port}", protocol=protocol)

        assert type(error) is RedisUnavailableError
        assert re.search(BANNERS[banner], str(error))


def _address_of_this_machine() -> str | None:
    """An address that is not loopback; nothing is sent for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


@needs("protected mode where `bind` is set", redis="7.0")
@pytest.mark.parametrize("protocol", [2, 3])
async def test_protected_mode_of_a_real_server(protocol: int) -> None:
    address = _address_of_this_machine()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    async with RedisServer({"bind": "0.0.0.0", "protected-mode": "yes"}) as server:  # noqa: S104
        url = f"redis://{address}:{server.port}/0"
        # Where the server hangs up between two writes, the socket may forget what it said.
        errors = [str(await refusal(url, protocol=protocol)) for _ in range(30)]

        assert any("runs in protected mode" in error for error in errors)


async def test_tls_where_plain_was_meant(redis_server: RedisServer) -> None:
    async with FaultProxy(
        redis_server.host, redis_server.port, cert_file=CERTIFICATES / "valid.pem"
    ) as proxy:
        error = await refusal(proxy.url.replace("rediss://", "redis://"))

        assert "TLS" in str(error)


async def test_plain_where_tls_was_meant(redis_server: RedisServer) -> None:
    url = redis_server.url.replace("redis://", "rediss://")
    error = await refusal(url, tls={"ca_file": CERTIFICATES / "ca.pem"})

    # It may wait for more of what it takes for a command.
    if type(error) is RedisTLSError:
        assert "does not speak TLS there" in str(error)
    else:
        assert "by TLS" in str(error)
