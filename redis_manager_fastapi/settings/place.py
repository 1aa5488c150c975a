"""Where settings look for Redis, what decided that, and what to change where it is not found."""

from dataclasses import dataclass

from redis_manager_fastapi.settings.layers import Source
from redis_manager_fastapi.settings.model import RedisSettings

IN_URL = {
    "host": "host",
    "port": "port",
    "db": "database",
    "username": "user",
    "password": "password",
    "tls.enabled": "scheme",
    "sentinel.nodes": "hosts",
    "sentinel.service": "service",
    "cluster.nodes": "hosts",
}
"""What a URL's part is called that gives a setting."""

_DECIDES = {"sentinel": "sentinel.nodes", "cluster": "cluster.nodes"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where settings look for Redis.

    Attributes:
        address: A host and a port, a socket's path, or the nodes to ask.
        source: What decided that, such as `REDIS_URL`; empty for the default.
        variable: What to set for another place.
    """

    address: str
    source: str
    variable: str

    def words(self, *, with_address: bool = False) -> str:
        """Return where Redis is looked for, for the end of a sentence; the default is no secret."""
        if not self.source:
            return f"at {self.address}, the default, because {self.variable} is not set"
        return f"where {self.source} says" + (f" ({self.address})" if with_address else "")

    @property
    def fix(self) -> str:
        """What to do if Redis is not there; holds no host."""
        return f"start it there, or {self.correction}"

    @property
    def correction(self) -> str:
        """How another place is looked in."""
        return f"correct {self.source}" if self.source else f"set {self.variable}"


def place_of(settings: RedisSettings) -> Place:
    """Return where *settings* look for Redis."""
    by = _DECIDES.get(settings.topology, "host")
    if by == "host" and settings.unix_socket is not None:
        by = "unix_socket"
    source = source_of(settings, by)
    if by == "host" and source_of(settings, "port") not in ("", source):
        source = f"{source} with " * bool(source) + source_of(settings, "port")
    return Place(address_of(settings), source, settings.variable("url"))


def changed_at(settings: RedisSettings, path: str) -> str:
    """Return where a setting is to be changed, for the middle of a sentence."""
    source = source_of(settings, path) or settings.variable(path)
    if settings.origin(path).source is Source.URL:
        return f"the {IN_URL.get(path, path)} in {source}"
    return source


def source_of(settings: RedisSettings, path: str) -> str:
    """Return what gave a setting its value, such as `REDIS_URL`; empty for the default."""
    origin = settings.origin(path)
    if origin.source is Source.DEFAULT:
        return ""
    if origin.source is Source.URL and settings.origin("url").source is Source.ARGUMENT:
        return "the given URL"
    return f"the given `{path}`" if origin.source is Source.ARGUMENT else origin.variable


def address_of(settings: RedisSettings) -> str:
    """Return where Redis is, by the settings."""
    if settings.topology == "sentinel":
        nodes = ", ".join(map(str, settings.sentinel.nodes))
        return f"service {settings.sentinel.service!r} of the Sentinels {nodes}"
    if settings.topology == "cluster":
        return f"a Cluster by way of {', '.join(map(str, settings.cluster.nodes))}"
    if settings.unix_socket is not None:
        return str(settings.unix_socket)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{host}:{settings.port}"
