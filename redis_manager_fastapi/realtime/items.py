"""What listeners receive: messages, stream entries, and the gaps between them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)


def text_of(raw: bytes) -> str:
    """Return bytes as items have them; what is not UTF-8 can be had back by `bytes_of`."""
    return raw.decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    """Return what a server has for a text of an item, or for a key."""
    return text.encode("utf-8", "surrogateescape")


def check_sendable(what: str, text: str) -> None:
    """Raise unless *text* has bytes.

    Raises:
        ValueError: It holds half of a surrogate pair, as JSON may.
    """
    try:
        bytes_of(text)
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} cannot be sent as UTF-8: {text!r}") from error


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody published.

    Attributes:
        channel: Where it was published.
        data: What was published.  Bytes that are not UTF-8 are kept by Python's
            `surrogateescape`, so that `data.encode("utf-8", "surrogateescape")` gives them back.
        pattern: The pattern that the channel matches, when it was heard by a pattern.
    """

    channel: str
    data: str
    pattern: str | None = None

    def parse(self, model: type[M]) -> M:
        """Return the data, which is JSON, as a *model*.

        Raises:
            pydantic.ValidationError: It is not what the model describes.
        """
        return model.model_validate_json(self.data)


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One entry of a stream.

    Attributes:
        stream: The stream's key.
        id: The entry's ID, such as "1700000000000-0".
        fields: Its fields; text as in `Message.data`.
        delivered: How often a consumer has received it, this time included; 1 the first time.
        cursor: Where a tail goes on after this entry, as text to keep and to hand back; empty
            for an entry of a consumer group.
    """

    stream: str
    id: str
    fields: Mapping[str, str]
    delivered: int = 1
    cursor: str = ""

    def parse(self, model: type[M], field: str | None = None) -> M:
        """Return the fields as a *model*; or one *field*, which is JSON.

        The text of a field becomes the number, the date or the like that the model
        wants, as pydantic reads strings.

        Raises:
            pydantic.ValidationError: They are not what the model describes.
        """
        if field is not None:
            return model.model_validate_json(self.fields.get(field, "null"))
        return model.model_validate_strings(dict(self.fields))


@dataclass(frozen=True, slots=True)
class Gap:
    """Something may have been missed between the item before and the next one.

    Attributes:
        reason: Why, in words; never holds a host, a user or a password.
        seconds: How long nothing could be heard; 0.0 when items were dropped.
        dropped: How many items were dropped because the listener was slow; 0 when
            nobody knows how many there were.
        cursor: Where a tail goes on after this gap, as with `StreamEntry.cursor`; empty
            for others.
    """

    reason: str
    seconds: float = 0.0
    dropped: int = 0
    cursor: str = ""
