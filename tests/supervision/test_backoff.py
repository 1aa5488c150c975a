"""Pauses between attempts."""

from redis_manager_fastapi.supervision.supervisor import FullJitter


def test_steps_double_up_to_the_cap() -> None:
    backoff = FullJitter(base=0.05, cap=0.5)

    for step in (0.05, 0.1, 0.2, 0.4, 0.5, 0.5):
        backoff.attempts, pauses = backoff.attempts, []
        for _ in range(300):
            attempts = backoff.attempts
            pauses.append(backoff.pause())
            backoff.attempts = attempts
        assert 0 <= min(pauses) < step * 0.2
        assert step * 0.8 < max(pauses) <= step
        backoff.pause()


def test_reset_begins_again() -> None:
    backoff = FullJitter(base=0.001, cap=10)
    for _ in range(40):
        backoff.pause()

    backoff.reset()

    assert backoff.pause() <= 0.001
