"""Credentials, and how they stay out of what is shown of an error.

Error reporters show the `repr` of every variable in a traceback, redis-py's included,
and a server may repeat in its own words what it was sent.
"""

import base64
import json
import re
from asyncio import CancelledError
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from types import MemberDescriptorType
from typing import Any, SupportsIndex
from urllib.parse import quote, quote_plus

from redis.credentials import CredentialProvider

from redis_manager_fastapi.errors import RedisAuthError, RedisConfigError, RedisManagerError
from redis_manager_fastapi.observe.words import NOT_OBTAINED
from redis_manager_fastapi.redis_py import AbortableConnection
from redis_manager_fastapi.settings import RedisSettings

_HIDDEN = "**********"

# So many letters of a secret in a row tell something of it; fewer may be in any text.
_TELLING = 6

# No more of a server's text is kept: to look through it takes time.
_LONGEST = 2000

# While a secret is rotated, an attempt with the old one may fail after the new one was given.
_REMEMBERED = 3

# An exception's arguments are looked through so many containers deep.
_DEPTH = 4

# An exception is looked through for so many letters: the loop stands still meanwhile.  A text
# counts for some at least; what is beyond is hidden.
_LOOKED_THROUGH = 5 * _LONGEST
_LEAST = 50


# What a provider raises and is not told as its failure: settings, and what ends a task.
_NOT_ITS_FAILURE = (
    RedisConfigError,
    CancelledError,
    GeneratorExit,
    KeyboardInterrupt,
    SystemExit,
)


class HiddenText(str):
    """A text whose `repr` does not show it; a part of it is hidden as well."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{_HIDDEN}'"

    def __getitem__(self, index: SupportsIndex | slice) -> "HiddenText":
        return HiddenText(super().__getitem__(index))


class HiddenBytes(bytes):
    """The same for bytes, such as a packed AUTH."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"b'{_HIDDEN}'"

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        return HiddenBytes(part) if isinstance(part, bytes) else part


class HidingHandshake(AbortableConnection):
    """A connection that hides each command that it packs: one of them holds a password."""

    def pack_command(self, *args: Any) -> list[bytes]:
        """Pack one command."""
        return [HiddenBytes(packed) for packed in super().pack_command(*args)]

    async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        """Write packed commands; on a closed connection, where they go nowhere, none."""
        if self._writer is None or not self._writer.transport.is_closing():
            await super().send_packed_command(*args, **kwargs)

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Read one reply: what answers may repeat what it was sent."""
        return hide(await super().read_response(*args, **kwargs))


class Credentials(CredentialProvider):
    """Gives the credentials of another provider, hidden, and remembers them to clean errors.

    Args:
        provider: Where they come from; asked at every connect.
        tokens: The same, if it is a `TokenStream`.
    """

    def __init__(self, provider: CredentialProvider, tokens: Any = None) -> None:
        self.tokens = tokens
        self._provider = provider
        self._given: list[tuple[str, ...]] = []  # the last one first

    def get_credentials(self) -> Any:
        """Return the provider's credentials as redis-py's AUTH wants them."""
        try:
            return self._hide(self._provider.get_credentials())
        except _NOT_ITS_FAILURE:
            raise
        except BaseException as error:  # a library in another language may have a panic
            raise _not_obtained(error) from error

    async def get_credentials_async(self) -> Any:
        """Return the same; a provider may take its time."""
        try:
            return self._hide(await self._provider.get_credentials_async())
        except _NOT_ITS_FAILURE:
            raise
        except BaseException as error:  # a library in another language may have a panic
            raise _not_obtained(error) from error

    def clean(self, *errors: BaseException) -> None:
        """Cut user and password out of the texts of *errors* and of their causes.

        A server may repeat a password in part or escaped, as proxies and frameworks do.  Our
        own sentences stay as they are, but for a code of the server's in them: a password may
        be a word.
        """
        cleaning = _Cleaning(self._given)
        for link in chain(*errors) if self._given else ():
            if isinstance(link, RedisManagerError):
                link.args = tuple(map(self._without_code, link.args))
                continue
            cleaning.clean(link)

    def _hide(self, given: Any) -> Any:
        hidden = tuple(hide(str(each) if isinstance(each, int) else each) for each in given)
        kept = tuple(map(_as_text, filter(None, hidden)))
        others = [each for each in self._given if each != kept]
        self._given = [kept, *others][:_REMEMBERED] if kept else others
        return hidden

    def _without_code(self, sentence: Any) -> Any:
        for secret in [each for given in self._given for each in given]:
            if isinstance(sentence, str):
                sentence = sentence.replace(f"({secret})", f"({_HIDDEN})")
        return sentence


class _Cleaning:
    """One look for credentials through all that an error holds.

    Args:
        given: The credentials.
    """

    def __init__(self, given: Sequence[tuple[str, ...]]) -> None:
        self._given = [(users, _Password(password, users)) for *users, password in given]
        self._left = _LOOKED_THROUGH
        self._cuts: dict[str, str] = {}

    def clean(self, link: BaseException) -> None:
        """Cut them out of *link*, whatever its class makes of being looked at or changed."""
        for place in (_ARGS, *_members(type(link))):
            with suppress(AttributeError, TypeError):  # it is not set, or read only
                value = place.__get__(link)
                if (cleaned := self._cleaned(value)) is not value:
                    place.__set__(link, cleaned)
        attributes = vars(link)
        for name, value in tuple(attributes.items()):
            attributes[name] = self._cleaned(value)

    def _cleaned(self, value: Any, depth: int = _DEPTH) -> Any:
        """Return a value without user and password; the very same if they are not in it."""
        if isinstance(value, str):
            cut = self._cut(value)
            return value if cut == value else cut
        if isinstance(value, bytes | bytearray):
            text = value[: _LONGEST + 1].decode(errors="backslashreplace")
            return value if self._cut(text) == text else _HIDDEN.encode()
        if depth and type(value) in (list, tuple, set, frozenset):
            cleaned = [self._cleaned(each, depth - 1) for each in value]
            same = all(one is other for one, other in zip(value, cleaned, strict=True))
            return value if same else type(value)(cleaned)
        if depth and type(value) is dict:
            pairs = [(each, self._cleaned(each, depth - 1)) for each in (*value, *value.values())]
            if all(one is other for one, other in pairs):
                return value
            cleaned = [each for _, each in pairs]
            return dict(zip(cleaned[: len(value)], cleaned[len(value) :], strict=True))
        return value

    def _cut(self, text: str) -> str:
        text = text[:_LONGEST]
        if text not in self._cuts:
            self._left -= max(len(text), _LEAST)
            if self._left < 0:
                return _HIDDEN
            self._cuts[text] = self._cut_out(text)
        return self._cuts[text]

    def _cut_out(self, text: str) -> str:
        for users, password in self._given:
            text = password.cut_out(text)
            # A user is often a word, and so is a short password; inside another one it is no
            # secret, and to cut it would leave nothing to read.
            for word in (*users, *password.short):
                text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", _HIDDEN, text)
        return text


class _Password:
    """A password in all the ways in which a text may have it.

    Attributes:
        short: Those of a few letters.
    """

    def __init__(self, password: str, users: Sequence[str]) -> None:
        ways = _written(password, ":".join((*users, password)))
        self.short = [way for way in ways if len(way) < _TELLING]
        # The password itself first: an encoded one may have an end in common with it.
        self._whole = [way for way in (password, *ways) if len(way) >= _TELLING]
        self._sizes = [min(max(_TELLING, len(way) // 3), 4 * _TELLING) for way in ways]
        self._ways, self._all = ways, "\0".join(ways)
        self._parts: dict[int, set[str]] = {}

    def cut_out(self, text: str) -> str:
        """Return *text* without it, and without such parts of it as are no mere words."""
        for way in self._whole:
            text = text.replace(way, _HIDDEN)
        return self._without_parts(text) if self._may_be_in(text) else text

    def _may_be_in(self, text: str) -> bool:
        """Whether a part may be: it has a piece of the text in it, cut evenly to half its size."""
        size = min(self._sizes) // 2
        pieces = (text[at : at + size] for at in range(0, len(text) - size + 1, size))
        return any(piece in self._all for piece in pieces)

    def _without_parts(self, text: str) -> str:
        if not self._parts:  # there are many, and hardly ever needed
            for way, size in zip(self._ways, self._sizes, strict=True):
                parts = (way[at : at + size] for at in range(len(way) - size + 1))
                known = self._parts.setdefault(size, set())
                known.update(part for part in parts if not part.isalpha())
        told = [False] * len(text)
        for size, known in self._parts.items():
            for at in range(len(text) - size + 1 if known else 0):
                if text[at : at + size] in known:
                    told[at : at + size] = [True] * size
        groups = groupby(zip(told, text, strict=True), key=lambda each: each[0])
        return "".join(
            _HIDDEN if cut else "".join(part for _, part in each) for cut, each in groups
        )


class SettingsCredentials(CredentialProvider):
    """User and password of the settings.

    A password file is read at every connect, so that a rotated secret needs no restart.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return `(password,)` or `(username, password)` as redis-py's AUTH wants them."""
        username = self._settings.username
        if username:
            return (username, self._settings.read_password() or "")
        return (self._settings.read_password() or "",)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return the same; a small local file is read without a thread."""
        return self.get_credentials()


class SentinelCredentials(CredentialProvider):
    """User and password for the Sentinels themselves."""

    def __init__(self, settings: RedisSettings) -> None:
        self._sentinel = settings.sentinel

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return `(password,)` or `(username, password)` as redis-py's AUTH wants them."""
        secret, username = self._sentinel.password, self._sentinel.username
        if username:
            return (username, secret.get_secret_value() if secret else "")
        return (secret.get_secret_value() if secret else "",)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return the same."""
        return self.get_credentials()


_ARGS: Any = BaseException.args  # a class may have other arguments than its base


def _members(kind: type) -> list[Any]:
    """Return where exceptions of that class keep what is not in their `__dict__`."""
    of_all = (vars(each).values() for each in kind.__mro__)
    return [place for of_one in of_all for place in of_one if type(place) is MemberDescriptorType]


def _not_obtained(error: BaseException) -> RedisAuthError:
    """Return what callers meet where a provider fails; its text may hold anything."""
    return RedisAuthError(f"{NOT_OBTAINED} ({type(error).__name__})")


def _as_text(given: Any) -> HiddenText:
    text = given.decode(errors="replace") if isinstance(given, bytes) else str(given)
    return HiddenText(text)


def credentials_of(options: dict[str, Any]) -> Credentials | None:
    """Return what a connection with these options takes its credentials from."""
    provider = options.get("credential_provider")
    return provider if isinstance(provider, Credentials) else None


def chain(*errors: BaseException) -> Iterator[BaseException]:
    """Yield *errors*, all that caused them or was handled, and a group's members, each once."""
    seen: set[int] = set()
    ahead: list[BaseException | None] = [*errors]
    while ahead:
        link = ahead.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            ahead += [link.__context__, link.__cause__]
            ahead += link.exceptions if isinstance(link, BaseExceptionGroup) else ()


def hide(value: Any) -> Any:
    """Return a value, or a reply, whose texts do not show themselves."""
    if isinstance(value, str):
        return HiddenText(value)
    if isinstance(value, bytes):
        return HiddenBytes(value)
    if isinstance(value, list):
        return [hide(each) for each in value]
    if isinstance(value, dict):
        return {hide(key): hide(each) for key, each in value.items()}
    return value


def _written(password: str, pair: str) -> list[str]:
    """Return the ways in which a text may have a password: as it is, escaped, or encoded.

    Args:
        password: It alone.
        pair: User and password, as HTTP's basic authentication encodes them.
    """
    raw = password.encode(errors="surrogatepass")
    ways = [password, quote(raw, safe=""), quote(raw), quote_plus(raw), raw.hex()]
    shown = str.__repr__(password)  # its own `repr` may hide it
    ways += [shown[1:-1], shown.encode("ascii", "backslashreplace").decode()[1:-1], repr(raw)[2:-1]]
    escaped = password.replace("\\", "\\\\")
    ways += [json.dumps(password)[1:-1], escaped, escaped.replace('"', '\\"')]
    for each in (raw, pair.encode(errors="surrogatepass")):
        for ahead in range(3):  # base64 depends on how many bytes are ahead
            encoded = base64.b64encode(b"\0" * ahead + each).decode().rstrip("=")
            encoded = encoded[-(-ahead * 4 // 3) : -1]  # what comes next decides the last letter
            ways += [encoded, encoded.replace("+", "-").replace("/", "_")]
    return sorted(set(filter(None, ways)), key=len, reverse=True)
