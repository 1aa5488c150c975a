"""`RedisSettings`: the whole configuration of one manager, checked and resolved."""

from asyncio import CancelledError
from typing import Annotated, Literal, Unpack

from pydantic import Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import DotenvType

from redis_manager_fastapi.errors import RedisConfigError, RedisUnavailableError
from redis_manager_fastapi.settings.address import Address, reached_at
from redis_manager_fastapi.settings.arguments import SettingsArguments
from redis_manager_fastapi.settings.environment import (
    read_variables,
    warn_overruled,
    warn_unknown,
)
from redis_manager_fastapi.settings.fields import (
    AddressMap,
    ClientName,
    Digit,
    FilePath,
    Frozen,
    HostName,
    NotBool,
    Port,
    SocketPath,
    UserName,
)
from redis_manager_fastapi.settings.groups import (
    ClientCacheSettings,
    ClusterSettings,
    HealthSettings,
    OutageSettings,
    PipeliningSettings,
    PoolSettings,
    SentinelSettings,
    ShutdownSettings,
    StartupSettings,
    TimeoutSettings,
    TLSSettings,
)
from redis_manager_fastapi.settings.layers import Given, Origin, SettingError, canonical, nested
from redis_manager_fastapi.settings.problems import (
    contradictions,
    explained,
    limits,
    qualified_name,
    read_secret,
)
from redis_manager_fastapi.settings.sources import (
    Resolution,
    group_names,
    resolve,
    setting_paths,
)

Topology = Literal["standalone", "sentinel", "cluster"]


class RedisSettings(Frozen, BaseSettings):
    """The settings of one Redis deployment, from `REDIS_*` and from keyword arguments.

    Keyword arguments take precedence over the environment, and groups are
    mappings: `RedisSettings(host="db", pool={"max_connections": 50})`.  In the
    environment, `REDIS_URL` takes precedence over the other variables, which
    fill what it does not say; among keyword arguments, a field takes precedence
    over the URL.  A keyword argument that says where Redis is (a host, a socket,
    nodes, a URL) also replaces any other kind of place that the environment
    names, and a URL given so replaces `REDIS_URL` altogether.  An empty string
    counts as not given; None means "none", even if the environment has a value.

    After construction the plain fields hold the resolved values, whatever
    their source.  A second deployment reads its own variables:
    `RedisSettings(_env_prefix="REDIS_CACHE_")` reads `REDIS_CACHE_URL`.
    If `_env_file` names a `.env` file, variables are read from it too.

    Attributes:
        url: A Redis URL: `redis://`, `rediss://`, `unix://`,
            `redis+sentinel://h1:26379,h2/0/mymaster`, `redis+cluster://h1,h2`.
        host: The server's host name or IP address.
        port: The server's port.
        db: The database number.
        unix_socket: The path of a unix socket, instead of host and port.
        username: The ACL user; needs a password.
        password: The password.
        password_file: A file that holds the password, read again at every
            connect, so that it may change while the app runs.
        client_name: The name that connections show in `CLIENT LIST`.
        protocol: 2 serves Redis 5.0 and later; 3 is RESP3.
        decode_responses: Whether replies are `str` rather than `bytes`.
        address_map: Where the servers are reached that a Cluster or Sentinels name
            by other addresses, such as behind a NAT: pairs, or a callable.
        critical: Whether the app's readiness depends on this deployment; if not, the
            start does not either, unless `startup.policy` says so.
        log_addresses: Whether log lines name the servers they are about.
        tls: Encryption.
        pipelining: The connections that all callers share.
        pool: The dedicated connections.
        timeout: Time limits.
        health: Heartbeats and healing.
        outage: How long commands wait while Redis is away.
        startup: What happens when Redis is away at start.
        shutdown: How the manager closes.
        client_cache: Replies that are kept in the process.
        sentinel: A deployment watched by Sentinels.
        cluster: A Redis Cluster.

    Raises:
        RedisConfigError: A setting is wrong.  The message has one line for
            each mistake, with the field, its variable and the fix, and never
            contains a password.
    """

    model_config = SettingsConfigDict(
        env_prefix="REDIS_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    url: SecretStr | None = Field(default=None, repr=False)
    host: HostName = "localhost"
    port: Port = 6379
    db: Annotated[int, Field(ge=0, le=65535), NotBool] = 0
    unix_socket: SocketPath = None
    username: UserName = None
    password: SecretStr | None = None
    password_file: FilePath = None
    client_name: ClientName = None
    protocol: Annotated[Literal[2, 3], Digit] = 2
    decode_responses: bool = True
    address_map: AddressMap = None
    critical: bool = True
    log_addresses: bool = False
    tls: TLSSettings = TLSSettings()
    pipelining: PipeliningSettings = PipeliningSettings()
    pool: PoolSettings = PoolSettings()
    timeout: TimeoutSettings = TimeoutSettings()
    health: HealthSettings = HealthSettings()
    outage: OutageSettings = OutageSettings()
    startup: StartupSettings = StartupSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    client_cache: ClientCacheSettings = ClientCacheSettings()
    sentinel: SentinelSettings = SentinelSettings()
    cluster: ClusterSettings = ClusterSettings()

    _prefix: str = PrivateAttr(default="REDIS_")
    _origins: dict[str, Origin] = PrivateAttr(default_factory=dict)

    def __init__(
        self,
        *,
        _env_prefix: str | None = None,
        _env_file: DotenvType | None = None,
        **values: Unpack[SettingsArguments],
    ) -> None:
        config = self.model_config
        prefix = config.get("env_prefix", "") if _env_prefix is None else _env_prefix
        prefix = prefix.upper()
        if prefix and not prefix.endswith("_"):
            raise RedisConfigError(f"_env_prefix is {prefix!r}; end it with an underscore.")
        problems = self._resolve(values, prefix, _env_file or config.get("env_file"))
        # Raised outside any `except`, and where no variable holds the values: neither a
        # ValidationError in its context nor a frame of its traceback may show a password.
        del values
        if problems:
            del self  # a URL may have the password where the user belongs
            raise RedisConfigError("\n".join(f"{problem}." for problem in problems))

    def _resolve(
        self, values: SettingsArguments, prefix: str, env_file: DotenvType | None
    ) -> list[str]:
        """Fill the fields from all sources; return what is wrong."""
        model = type(self)
        variables = read_variables(model, prefix, env_file)
        warn_unknown(variables, prefix, setting_paths(model), group_names(model))
        found = resolve(model, values, variables, prefix)
        warn_overruled(found.overruled, f"{prefix}URL", prefix)
        together = contradictions(found) if found.complete else ()
        problems = [*found.problems, *together, *self._validate(found)]
        return problems or [*limits(self, found), *self._password_problems()]

    def _validate(self, found: Resolution) -> list[str]:
        """Fill the fields; return what is wrong with single values."""
        try:
            super().__init__(**nested(found.layer))
            if not self.critical and not found.has("startup.policy"):
                variable = found.variable("critical")
                found.layer["startup.policy"] = Given("degraded", variable)
                super().__init__(**nested(found.layer))
        except ValidationError as error:
            return explained(error, type(self), found)
        self._prefix = found.prefix
        self._origins = {path: found.origin(path) for path in setting_paths(type(self))}
        return []

    def _password_problems(self) -> list[str]:
        try:
            self.read_password()
        except RedisConfigError as error:
            return [str(error).removesuffix(".")]
        return []

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what `__init__` has resolved, and nothing beside it."""
        return (init_settings,)

    @property
    def topology(self) -> Topology:
        """How the primary is found."""
        if self.sentinel.nodes:
            return "sentinel"
        return "cluster" if self.cluster.nodes else "standalone"

    def reach(self, announced: Address) -> Address:
        """Return where the server that is announced at an address is reached.

        Raises:
            RedisUnavailableError: The callable that was given raised an error, or returned no
                pair of host and port.
        """
        if self.address_map is None:
            return announced
        what = "raised"
        try:
            reached = self.address_map(announced)
            what = "returned no pair of host and port:"
            return reached_at(reached)
        # It is not a coroutine, so nobody has cancelled it.
        except (Exception, CancelledError) as error:
            name = qualified_name(self.address_map)
            message = f"address_map: {name} {what} {type(error).__name__}"
            raise RedisUnavailableError(message) from error

    @property
    def prefix(self) -> str:
        """What the names of its environment variables begin with."""
        return self._prefix

    def variable(self, path: str) -> str:
        """Return the environment variable of a field, such as `timeout.connect`."""
        return canonical(self._prefix, path)

    def origin(self, path: str) -> Origin:
        """Return where the value of a field, such as `timeout.connect`, comes from."""
        return self._origins[path]

    def read_password(self) -> str | None:
        """Return the password as it is now; one in a file is read at each call.

        Raises:
            RedisConfigError: The file cannot be read, or is empty.
        """
        if self.password_file is None:
            return self.password.get_secret_value() if self.password else None
        try:
            return read_secret(self.password_file)
        except SettingError as mistake:
            named = f"password_file ({self.variable('password_file')})"
            raise RedisConfigError(f"{named} {mistake}.") from None
