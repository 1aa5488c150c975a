"""What `with_options` takes, for type checkers."""

from typing import TypedDict


class OptionArguments(TypedDict, total=False):
    """The arguments of `with_options` that change no reply's type."""

    timeout: float | None
    dedicated: bool | None
    grace: float | None
    cache: float | None
    stale: float | None
    cache_exact: bool | None
