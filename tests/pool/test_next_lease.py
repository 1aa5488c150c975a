"""What one holder of a dedicated connection leaves to the next: nothing."""

from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.leasing import acquire, release, unread, waited
from tests.kit.managers import opened
from tests.kit.waiting import until


async def test_unread_data_never_reaches_the_next_lease(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        connection = await acquire(manager)
        await connection.send_command("ECHO", "for someone else")
        await until(lambda: unread(connection))
        await release(manager, connection)

        assert not connection.is_connected
        async with manager.connection() as pinned:
            assert await pinned.echo("mine") == "mine"


async def test_data_that_came_while_idle_never_reaches_the_next_lease(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        connection = await acquire(manager)
        await release(manager, connection)
        await connection.send_command("ECHO", "stray")
        await until(lambda: unread(connection))

        async with manager.connection() as pinned:
            assert await pinned.echo("mine") == "mine"
        assert not connection.is_connected


async def test_a_connection_that_the_server_closed_while_idle_costs_no_error(
    redis_server: RedisServer,
) -> None:
    async with opened(redis_server.url) as manager:
        connection = await acquire(manager)
        await connection.send_command("CLIENT", "ID")
        number = await connection.read_response()
        connection.session_starts()
        await release(manager, connection)
        async with redis_server.client() as admin:
            await admin.execute_command("CLIENT", "KILL", "ID", number)

        assert not await waited(manager, "nothing")


async def test_a_session_that_was_changed_is_not_leased_again(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        async with manager.connection() as pinned:
            await pinned.select(5)
            await pinned.set("where", "five")

        assert manager.stats().idle == 0
        assert not await waited(manager, "where")


async def test_an_open_transaction_is_not_leased_again(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        async with manager.connection() as pinned:
            await pinned.execute_command("MULTI")

        assert manager.stats().idle == 0


async def test_giving_back_twice_changes_nothing(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        connection = await acquire(manager)
        await release(manager, connection)
        await release(manager, connection)

        assert manager.stats().idle == 1
