"""Hosts, ports and lists of nodes, as text and as values.

Every `ValueError` raised here completes a sentence that starts with a
setting's name ("host (REDIS_HOST) holds a port"), and none repeats the value:
the caller knows whether it may be shown.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from inspect import iscoroutine, iscoroutinefunction
from ipaddress import IPv6Address
from typing import Any, NamedTuple

SENTINEL_PORT = 26379
REDIS_PORT = 6379

_NAME = re.compile(r"[\w.-]+")


class Address(NamedTuple):
    """Where one server listens.

    Attributes:
        host: A host name or an IP address; an IPv6 address without brackets.
        port: The TCP port.
    """

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def host_name(text: str) -> str:
    """Return *text* as a host, without the brackets of an IPv6 address."""
    if "://" in text:
        raise ValueError("holds a URL")
    if "@" in text:
        raise ValueError("holds a user or a password")
    if ":" in text:
        return _ipv6(text)
    if not _NAME.fullmatch(text):
        raise ValueError("is not a host name")
    return text


def _ipv6(text: str) -> str:
    """Return *text*, which holds a colon, as an IPv6 address."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        IPv6Address(bare)
    except ValueError:
        raise ValueError("holds a port, or is not an IPv6 address") from None
    return bare


def port_number(text: str) -> int:
    """Return *text* as a port."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535):
        raise ValueError("has a port that is not a whole number from 1 to 65535")
    return int(text)


def parse_address(text: str, default_port: int) -> Address:
    """Return `host`, `host:port`, `[ipv6]` or `[ipv6]:port` as an address."""
    if "://" in text:
        raise ValueError("holds a URL")
    if text.startswith("["):
        host, bracket, port = text.partition("]")
        host, port = host + bracket, port.removeprefix(":")
    elif text.count(":") > 1:
        raise ValueError("has an IPv6 address without its brackets")
    else:
        host, _, port = text.partition(":")
    if not host:
        raise ValueError("has a node without a host")
    return Address(host_name(host), port_number(port) if port else default_port)


def parse_nodes(value: Any, default_port: int) -> tuple[Address, ...]:
    """Return nodes given as `h1:26379,h2`, or as an iterable of texts and pairs."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, Iterable):
        raise ValueError("is not a list of nodes")  # noqa: TRY004 - pydantic collects ValueErrors
    return tuple(_node(item, default_port) for item in value)


def _node(item: Any, default_port: int) -> Address:
    if isinstance(item, str):
        return parse_address(item, default_port)
    if not (isinstance(item, (tuple, list)) and len(item) == 2):
        raise ValueError("has a node that is neither a string nor a pair of host and port")
    return Address(host_name(str(item[0])), port_number(str(item[1])))


@dataclass(frozen=True)
class AddressTable:
    """Where the servers are that call themselves something else, such as behind a NAT.

    Attributes:
        entries: Announced host, or host and port, and the place where that is reached.
    """

    entries: Mapping[str, str]
    _reached: dict[tuple[str, int | None], str] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Check all entries: a place is a host, or a host and a port, on both sides alike."""
        for announced, reached in self.entries.items():
            if _has_port(announced) != _has_port(reached):
                raise ValueError("has an entry with a port on one side alone")
            host, port = parse_address(announced, REDIS_PORT)
            parse_address(reached, REDIS_PORT)
            key = _same(host), port if _has_port(announced) else None
            if key in self._reached:
                raise ValueError("has two entries for one address")
            self._reached[key] = reached

    def __call__(self, address: Address) -> Address:
        """Return where *address* is reached; itself if it is not in the table."""
        host = _same(address.host)
        reached = self._reached.get((host, address.port)) or self._reached.get((host, None))
        return address if reached is None else parse_address(reached, address.port)

    def __str__(self) -> str:
        return ",".join(f"{announced}={reached}" for announced, reached in self.entries.items())


def parse_address_map(value: Any) -> Any:
    """Return a table given as `10.0.0.5:6379=nat:7000,10.0.0.6=nat2`, or as a mapping."""
    if isinstance(value, str):
        entries = [part.partition("=") for part in value.split(",")]
        pairs = [(announced.strip(), reached.strip()) for announced, _, reached in entries]
        if not all(reached for _, reached in pairs):
            raise ValueError("has an entry without `=`, or with nothing after it")
        value = dict(pairs)
        if len(value) < len(pairs):
            raise ValueError("has two entries for one address")
    if not isinstance(value, Mapping):
        if iscoroutinefunction(value) or iscoroutinefunction(getattr(value, "__call__", None)):  # noqa: B004 (its class may define an async one)
            raise ValueError("is an `async def`, and is not awaited")
        return value
    return AddressTable(
        {_place(announced): _place(reached) for announced, reached in value.items()}
    )


def _place(given: Any) -> str:
    """Return one side of an entry as text; a pair of host and port is one as well."""
    if isinstance(given, str):
        return given
    if isinstance(given, tuple) and len(given) == 2:
        return str(Address(host_name(str(given[0])), port_number(str(given[1]))))
    raise ValueError("has an entry that is no text, nor a pair of host and port")


def _same(host: str) -> str:
    """Return a host as all the ways to write it are the same."""
    return str(IPv6Address(host)) if ":" in host else host.lower()


def reached_at(found: Any) -> Address:
    """Return what a callable returned for an address, checked.

    Raises:
        TypeError: It is no pair.
        ValueError: It is no pair of a host and a port.
    """
    if isinstance(found, str | bytes) or not isinstance(found, Iterable):
        if iscoroutine(found):
            found.close()
        raise TypeError(type(found).__name__)
    host, port = found
    if not isinstance(host, str) or isinstance(port, bool) or not isinstance(port, str | int):
        raise TypeError(type(host).__name__)
    return Address(host_name(host), port_number(str(port)))


def _has_port(text: str) -> bool:
    return ":" in text.rpartition("]")[2]
