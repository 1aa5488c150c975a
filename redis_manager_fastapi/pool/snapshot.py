"""What a pool looks like from outside, at one instant."""

from typing import TYPE_CHECKING

from redis_manager_fastapi.pool.state import PoolStats

if TYPE_CHECKING:
    from redis_manager_fastapi.pool.pool import Pool


def stats_of(pool: "Pool") -> PoolStats:
    """Return the pool's counters of this instant."""
    book = pool.leases.book
    return PoolStats(
        instance=pool.instance,
        state=pool.state,
        serving=pool.is_serving,
        generation=pool.generation,
        reason=pool.reason,
        links=len(pool.links),
        in_flight=sum(link.in_flight for link in pool.open_links),
        idle=book.idle,
        leased=len(book.leased),
        opening=book.opening,
        waiting=pool.waiters(),
        clients=pool.clients,
        connects=pool.dialer.connects,
    )
