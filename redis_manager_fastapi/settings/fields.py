"""The types of single settings, with the words that say what each one takes."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, StringConstraints

from redis_manager_fastapi.settings.address import (
    REDIS_PORT,
    SENTINEL_PORT,
    Address,
    host_name,
    parse_address_map,
    parse_nodes,
)

DAY = 86_400.0
YEAR = 365 * DAY


@dataclass(frozen=True, slots=True)
class Takes:
    """What a setting takes, for the end of an error message.

    Attributes:
        text: Completes "set it to"; `{prefix}` stands for the variables' prefix.
    """

    text: str


class Frozen(BaseModel):
    """A model whose fields stay as they were made; pydantic's own refusal repeats the value."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse, but for private attributes."""
        if not name.startswith("_"):
            raise AttributeError(f"settings cannot be changed; set {name} when you create them")
        super().__setattr__(name, value)


def _host(value: Any) -> Any:
    return host_name(value) if isinstance(value, str) else value


def _path(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _not_bool(value: Any) -> Any:
    """Refuse a boolean, which pydantic takes for 0 or 1."""
    if isinstance(value, bool):
        raise ValueError("is not a number")  # noqa: TRY004 - pydantic collects ValueErrors
    return value


def _digit(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _sentinel_nodes(value: Any) -> Any:
    return parse_nodes(value, SENTINEL_PORT)


def _cluster_nodes(value: Any) -> Any:
    return parse_nodes(value, REDIS_PORT)


LowerCase = BeforeValidator(_lower)
Digit = BeforeValidator(_digit)
NotBool = BeforeValidator(_not_bool)

Reads = Annotated[Literal["primary", "replica", "any"], LowerCase]

Port = Annotated[int, Field(ge=1, le=65535), NotBool]
Seconds = Annotated[float, Field(gt=0, le=DAY, allow_inf_nan=False), NotBool]
SecondsOrZero = Annotated[float, Field(ge=0, le=DAY, allow_inf_nan=False), NotBool]
LongSeconds = Annotated[float, Field(gt=0, le=YEAR, allow_inf_nan=False), NotBool]

HostName = Annotated[
    str,
    BeforeValidator(_host),
    Takes("a host name or an IP address; a port goes in {prefix}PORT, a URL in {prefix}URL"),
]
FilePath = Annotated[
    str | None, BeforeValidator(_path), Takes("the path of a file that this process can read")
]
SocketPath = Annotated[
    Annotated[str, StringConstraints(max_length=107)] | None,  # sun_path holds 108 bytes
    BeforeValidator(_path),
    Takes("the path of a unix socket, at most 107 characters"),
]
UserName = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[^\s\x00]+$")] | None,
    Takes("an ACL user name, without spaces"),
]
ClientName = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[!-~]+$")] | None,
    Takes("a name of printable ASCII characters without spaces, such as my-service"),
]
ServiceName = Annotated[
    Annotated[str, StringConstraints(pattern=r"^\S+$")] | None,
    Takes("the name under which the Sentinels know the primary, such as mymaster"),
]
SentinelNodes = Annotated[
    tuple[Address, ...],
    BeforeValidator(_sentinel_nodes),
    Takes("hosts and ports, such as h1:26379,h2:26379 (IPv6 in brackets, ports 1 to 65535)"),
]
ClusterNodes = Annotated[
    tuple[Address, ...],
    BeforeValidator(_cluster_nodes),
    Takes("hosts and ports, such as h1:6379,h2:6379 (IPv6 in brackets, ports 1 to 65535)"),
]
AddressMap = Annotated[
    Callable[[Address], tuple[str, int]] | None,
    BeforeValidator(parse_address_map),
    PlainSerializer(str, when_used="json-unless-none"),
    Takes("announced=reached pairs, such as 10.0.0.5:6379=nat:7000,10.0.0.6=nat2"),
]
