"""`doctor`: from a name to a connection as the app makes it, one step after the other."""

from pathlib import Path

from redis_manager_fastapi.cli.attempts import Attempts, Questions, by, known, stranger
from redis_manager_fastapi.cli.chosen import Chosen
from redis_manager_fastapi.cli.credentials import authenticate
from redis_manager_fastapi.cli.encryption import explain_tls, report_certificate
from redis_manager_fastapi.cli.exits import Exit, exit_of
from redis_manager_fastapi.cli.findings import Report
from redis_manager_fastapi.cli.network import addresses_of, milliseconds, try_each
from redis_manager_fastapi.errors import RedisAuthError, RedisTLSError, RedisUnavailableError
from redis_manager_fastapi.topology.failures import Door
from redis_manager_fastapi.topology.fixes import door_in, fix_of_door
from redis_manager_fastapi.topology.interface import Target, Topology

STEPS = ("name", "tcp", "tls", "answer", "auth", "select", "connect")


class Reach:
    """Goes from a target to connections.

    Args:
        chosen: The deployment.
        attempts: Makes the connections.
        report: Takes the findings.
        host: The setting that says where the server is.
        port: The setting that has its port.
    """

    def __init__(
        self,
        chosen: Chosen,
        attempts: Attempts,
        report: Report,
        *,
        host: str = "host",
        port: str = "port",
    ) -> None:
        self._chosen, self._attempts, self._report = chosen, attempts, report
        self._host, self._port = host, port

    async def go(self, target: Target, topology: Topology) -> Questions | None:
        """Take every step that can be taken; return the best connection there is."""
        unix = target.transport == "unix"
        if not (self._unix(target) if unix else await self._network(target)):
            return None
        guest = await self._answer(target)
        if guest is None:
            return None
        user = await authenticate(self._chosen, self._attempts, self._report, target, guest)
        if user is None:
            self._report.skip(("select", "connect"), "needs auth")
            return guest if isinstance(guest, Questions) else None
        return await self._select(target, topology, user)

    def _unix(self, target: Target) -> bool:
        path = Path(str(target.options["path"]))
        self._report.skip(("name", "tcp", "tls"), "a unix socket needs none")
        if path.is_socket():
            return True
        said = f"{path} is not a socket" if path.exists() else f"{path} does not exist"
        fix = f"start the server, or correct {self._chosen.at('unix_socket')}"
        self._report.fail("answer", said, fix, Exit.UNREACHABLE)
        self._report.skip(STEPS[4:], "needs an answer")
        return False

    async def _network(self, target: Target) -> bool:
        host, port = str(target.options["host"]), int(target.options["port"])
        addresses = await self._resolve(host, port)
        if not addresses:
            self._report.skip(STEPS[1:], "needs an address")
            return False
        if not await self._connect(addresses, port):
            self._report.skip(STEPS[2:], "needs a TCP connection")
            return False
        return True

    async def _resolve(self, host: str, port: int) -> list[str]:
        try:
            addresses = await addresses_of(host, port)
        except (OSError, UnicodeError) as error:
            said = f"{host} does not resolve"
            if isinstance(error, TimeoutError):
                said = f"the resolver does not answer for {host}"
            fix = f"correct {self._chosen.at(self._host)}, or this machine's DNS or /etc/hosts"
            self._report.fail("name", said, fix, Exit.UNREACHABLE, host=host)
            return []
        shown = ", ".join(addresses)
        said = f"{host} is {shown}" if [host] != addresses else f"{host} is an address"
        self._report.ok("name", said, host=host, addresses=addresses)
        return addresses

    async def _connect(self, addresses: list[str], port: int) -> bool:
        limit = self._chosen.settings.timeout.connect
        tried = await try_each(addresses, port, limit)
        failed = [each for each in tried if each.failure]
        facts = {each.address: each.failure or round(each.seconds, 6) for each in tried}
        said = f"port {port}: {', '.join(map(str, tried))}"
        host_at, port_at = self._chosen.at(self._host), self._chosen.at(self._port)
        if not failed:
            self._report.ok("tcp", said, port=port, addresses=facts)
        elif len(failed) < len(tried):
            fix = f"take {failed[0].address} out of the name's addresses, or mend it"
            self._report.warn("tcp", said, fix, port=port, addresses=facts)
        else:
            fix = f"start the server, or correct {port_at} or {host_at}"
            if "no answer" in failed[0].failure:
                fix = f"open the firewall for port {port}, or correct {host_at} or {port_at}"
            if host_at == port_at:
                fix = fix.replace(f" or {host_at}", "", 1)
            self._report.fail("tcp", said, fix, Exit.UNREACHABLE, port=port, addresses=facts)
        return len(failed) < len(tried)

    async def _answer(self, target: Target) -> Questions | RedisAuthError | None:
        """Ask as a stranger; a server that wants credentials first answers, too."""
        guest = await self._attempts.to(stranger(target))
        welcome = isinstance(guest, Questions | RedisAuthError)
        if target.transport == "tcp" and not welcome:
            await self._plain(target, guest)
        elif target.transport == "tls" and not await self._encrypted(target, guest):
            return None
        elif target.transport == "tcp":
            self._report.skip("tls", f"is off ({self._chosen.at('tls.enabled')})")
        if isinstance(guest, Questions | RedisAuthError):
            self._report.ok("answer", "a Redis server answers")
            return guest
        if target.transport == "unix" or not self._report.failed:
            self._refused(guest)
        self._report.skip(STEPS[4:], "needs an answer")
        return None

    async def _plain(self, target: Target, guest: object) -> None:
        """Tell whether what does not answer in plain would by TLS."""
        spoken = isinstance(guest, RedisUnavailableError) and door_in(guest) is Door.SPEAKS_TLS
        if spoken or await self._attempts.speaks_tls(target):
            fix = self._chosen.switch_tls(on=True)
            self._report.fail("tls", Door.SPEAKS_TLS.value.partition(":")[0], fix, Exit.TLS)
            self._report.skip("answer", "needs tls")
        else:
            self._report.skip("tls", f"is off ({self._chosen.at('tls.enabled')})")

    async def _encrypted(self, target: Target, guest: object) -> bool:
        """Report on TLS; return whether there is any use in going on."""
        if isinstance(guest, Questions | RedisAuthError):
            await report_certificate(self._chosen, self._report, target)
            return True
        error: object = guest
        if not isinstance(error, RedisTLSError):
            plain = await self._attempts.to(stranger(by(target, "tcp")))
            if isinstance(plain, Questions | RedisAuthError):
                error = None
            else:
                error = await self._attempts.listen(target)
                if not isinstance(error, RedisTLSError):
                    return True
        failed = error if isinstance(error, RedisTLSError) else None
        await explain_tls(self._chosen, self._report, target, failed)
        why = "no password is sent over a connection that is not trusted"
        self._report.skip(STEPS[3:], why)
        return False

    def _refused(self, error: RedisUnavailableError) -> None:
        """Report why a server that was reached does not serve."""
        door, said = door_in(error), str(error)
        if door is Door.FULL:
            self._report.ok("answer", "a Redis server answers, and hangs up")
            fix = fix_of_door(door, self._chosen.at, "")
            self._report.fail("clients", said, fix, Exit.UNREACHABLE)
            return
        host, port = self._chosen.at(self._host), self._chosen.at(self._port)
        where = host if host == port else f"{host} or {port}"
        fix = f"look at the server's log; correct {where} if it is the wrong one"
        if door in (Door.NOT_REDIS, Door.PROTECTED):
            fix = fix_of_door(door, self._chosen.at, f"correct {where}")
        elif "LOADING" in said:
            fix = "wait until the server has loaded its data: INFO persistence has the progress"
        self._report.fail("answer", said, fix, exit_of(error))

    async def _select(self, target: Target, topology: Topology, user: Questions) -> Questions:
        number = int(target.options["db"])
        selected = await self._attempts.to(known(target, db=number))
        if isinstance(selected, Questions):
            self._report.ok("select", f"database {number}")
        else:
            await self._no_database(number, user, selected)
        return await self._as_the_app(target, topology, user, selected)

    async def _no_database(
        self, number: int, user: Questions, error: RedisUnavailableError
    ) -> None:
        count, at = await user.config("databases"), self._chosen.at("db")
        said = f"the server has no database {number}"
        fix = fix_of_door(Door.NO_DATABASE, self._chosen.at, "")
        if count is not None and count.isdigit():
            said += f": it has {count}, from 0"
            fix = f"set {at} to a number from 0 to {int(count) - 1}"
        door = door_in(error)
        if door is Door.CLUSTER:
            said, fix = str(error), fix_of_door(door, self._chosen.at, "")
        elif door is not Door.NO_DATABASE:
            said, fix = str(error), f"allow the user SELECT, or set {at} to 0"
        self._report.fail("select", said, fix, exit_of(error))

    async def _as_the_app(
        self,
        target: Target,
        topology: Topology,
        user: Questions,
        selected: Questions | RedisUnavailableError,
    ) -> Questions:
        if not isinstance(selected, Questions):
            self._report.skip("connect", "needs select")
            return user
        app, took = await self._attempts.timed(topology)
        protocol = f"RESP{target.options['protocol']}"
        if isinstance(app, Questions):
            said = f"as the app does, with {protocol}, in {milliseconds(took)}"
            self._report.ok("connect", said, seconds=round(took, 6))
            return app
        door = door_in(app)
        fix = "look at the server's log"
        if door is Door.NO_RESP3:
            fix = fix_of_door(door, self._chosen.at, "")
        self._report.fail("connect", f"with {protocol}: {app}", fix, exit_of(app))
        return selected
