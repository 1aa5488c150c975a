"""Callbacks that are set on a client: whose they are, and that they are that client's alone."""

from collections.abc import Callable
from json import JSONDecoder, JSONEncoder
from typing import TYPE_CHECKING, Any

from redis_manager_fastapi.delivery.session import Callbacks, Session

if TYPE_CHECKING:
    from redis.asyncio.client import ResponseCallbackT
    from redis.commands.json import JSON

# As redis-py has them: one of each for all who give none.
_ENCODER, _DECODER = JSONEncoder(), JSONDecoder()


class OwnCallbacks:
    """The part of a client that sets callbacks.

    Attributes:
        session: The client's.
    """

    session: Session[Any]
    _shares_callbacks: bool

    @property
    def response_callbacks(self) -> Callbacks:
        """What makes values of replies, by command."""
        return self.session.callbacks

    # In redis-py an attribute; this is read and set in the same way.
    @response_callbacks.setter
    def response_callbacks(self, callbacks: Callbacks) -> None:
        """Replace them, on this client alone."""
        self.session, self._shares_callbacks = self.session.with_callbacks(callbacks), True

    def set_response_callback(self, command: str, callback: "ResponseCallbackT") -> None:
        """Have *callback* parse the replies to *command*, on this client alone."""
        if self._shares_callbacks:
            self.session, self._shares_callbacks = self.session.with_own_callbacks(), False
        self.session.add_callback(command, callback)

    def json(
        self, encoder: JSONEncoder | None = None, decoder: JSONDecoder | None = None
    ) -> "JSON":
        """Return redis-py's JSON commands.

        A decoder that is given runs as a callback of the user's does.
        """
        super_json: Callable[..., JSON] = super().json  # type: ignore[misc]  # redis-py's, further up
        commands = super_json(encoder or _ENCODER, decoder or _DECODER)
        if decoder is not None:
            names = (name for name in self.session.callbacks if name.startswith("JSON."))
            self.session.own_callbacks.update(names)
        return commands
