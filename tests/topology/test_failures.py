"""What the server and the sockets say, in the words that callers see."""

import errno
import re
import socket
import ssl
from typing import Any

import pytest
import redis.exceptions as redis_errors

from redis_manager_fastapi import (
    RedisAuthError,
    RedisConfigError,
    RedisPermissionError,
    RedisSettings,
    RedisTLSError,
    RedisUnavailableError,
)
from redis_manager_fastapi.pool.dialer import DedicatedTCPConnection
from redis_manager_fastapi.settings.sources import setting_paths
from redis_manager_fastapi.topology.failures import (
    REFUSALS,
    from_connect,
    from_reply,
    most_telling,
    moves_on,
    reconnecting_helps,
    refusal_code,
)

SETTINGS = RedisSettings(timeout={"connect": 1.5})

SENTENCES = {
    "LOADING": "LOADING Redis is loading the dataset in memory",
    "MASTERDOWN": "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is 'no'.",
    "READONLY": "READONLY You can't write against a read only replica.",
    "CLUSTERDOWN": "CLUSTERDOWN Hash slot not served",
    "BUSY": "BUSY Redis is busy running a script. You can only call SCRIPT KILL.",
    "UNBLOCKED": "UNBLOCKED force unblock, instance state changed (master -> replica?)",
    "NOREPLICAS": "NOREPLICAS Not enough good slaves to write.",
    "MISCONF": "MISCONF Redis is configured to save RDB snapshots, but it is currently not able to"
    " persist on disk. Commands that may modify the data set are disabled",
    "OOM": "OOM command not allowed when used memory > 'maxmemory'.",
}
AWAY = ("LOADING", "MASTERDOWN", "READONLY", "BUSY", "UNBLOCKED")
SHA = "5ae17f7d40d2f9e6c1b9ddbc7ff9b7a0b6a4b1e2"

# What a server puts around the refusal of a script's own command (before 7.0), and of EXEC.
WRAPPED = [
    f"ERR Error running script (call to f_{SHA}): @user_script:1: @user_script: 1: -{{}}",
    f"ERR Error running script (call to f_{SHA}): @user_script: 1: -{{}}",
    "EXECABORT Transaction discarded because of: {}",
]

# A script's own errors, and the user's, that begin with a refusal's word.
OTHERS = [
    "LOADING the truck",
    "READONLY field",
    "CLUSTERDOWN for lunch",
    "BUSY bee",
    "BUSYGROUP Consumer Group name already exists",
    "BUSYKEY Target key name already exists.",
    "UNBLOCKED client unblocked via CLIENT UNBLOCK",
    "ERR syntax error",
    "OOM at last",
    "MISCONF of mine",
    "NOREPLICAS at all",
    "EXECABORT Transaction discarded because of previous errors.",
]


def replied(line: str) -> Exception:
    """Return what redis-py makes of a server's error line."""
    return DedicatedTCPConnection().parse_error(line)


def broken(error: OSError) -> redis_errors.ConnectionError:
    """Return redis-py's error as a failed socket causes it."""
    wrapped = redis_errors.ConnectionError("Error connecting to db.internal:6379.")
    wrapped.__cause__ = error
    return wrapped


def unusable_certificate() -> ssl.SSLError:
    with pytest.raises(ssl.SSLError) as caught:
        ssl.create_default_context(cadata="-----BEGIN CERTIFICATE-----")
    return caught.value


def test_each_refusal_has_a_sentence_here() -> None:
    assert SENTENCES.keys() == REFUSALS.keys()


@pytest.mark.parametrize("code", SENTENCES)
def test_a_refusal_is_known_by_word_and_sentence(code: str) -> None:
    error = replied(SENTENCES[code])

    assert refusal_code(error) == code
    assert reconnecting_helps(error) is (code in AWAY)


@pytest.mark.parametrize("code", SENTENCES)
@pytest.mark.parametrize("around", WRAPPED)
def test_a_refusal_is_known_within_other_words(code: str, around: str) -> None:
    assert refusal_code(replied(around.format(SENTENCES[code]))) == code


@pytest.mark.parametrize("line", ["MOVED to the archive", "MOVED", "ASK", "MOVED 1 2 3", "ASK 1 b"])
def test_every_line_makes_an_error(line: str) -> None:
    """A script's own MOVED breaks no stream: what makes the exception never raises one."""
    error = replied(line)

    assert type(error) is redis_errors.ResponseError
    assert str(error) == line


@pytest.mark.parametrize("code", SENTENCES)
def test_a_refusal_is_unavailability_and_nothing_ran(code: str) -> None:
    error = replied(SENTENCES[code])
    translated = from_reply(error, "x")

    assert isinstance(translated, RedisUnavailableError)
    assert type(translated) is REFUSALS[code].error
    assert (str(translated), translated.instance) == (f"{REFUSALS[code].told} ({code})", "x")
    assert not translated.maybe_executed
    assert translated.__cause__ is error


@pytest.mark.parametrize("line", OTHERS)
def test_the_same_word_with_another_sentence_is_no_refusal(line: str) -> None:
    assert refusal_code(replied(line)) is None
    assert not reconnecting_helps(replied(line))


@pytest.mark.parametrize("line", ["ERR syntax error", "WRONGTYPE wrong kind", "BUSYGROUP exists"])
def test_the_user_s_own_mistakes_pass_untouched(line: str) -> None:
    error = replied(line)

    assert from_reply(error, "x") is error


def test_a_script_s_own_word_may_have_written() -> None:
    """redis-py takes any LOADING for a lost connection; here the script ran up to it."""
    translated = from_reply(replied("LOADING the truck"), "x")

    assert isinstance(translated, RedisUnavailableError)
    assert translated.maybe_executed


@pytest.mark.parametrize(
    ("line", "expected", "message"),
    [
        ("NOPERM no permissions", RedisPermissionError, "the server's ACL forbids this command"),
        (
            "NOAUTH Authentication required.",
            RedisAuthError,
            "wants a password, and none is set (NOAUTH)",
        ),
        ("WRONGPASS invalid pair", RedisAuthError, "refused the credentials (WRONGPASS)"),
    ],
)
def test_replies_about_rights_have_classes_of_their_own(
    line: str, expected: type[Exception], message: str
) -> None:
    translated = from_reply(replied(line), "x")

    assert type(translated) is expected
    assert message in str(translated)


@pytest.mark.parametrize(
    ("line", "on"),
    [
        ("TRYAGAIN Multiple keys request during rehashing of slot", True),
        ("TRYAGAIN later", False),
        ("CLUSTERDOWN The cluster is down", True),
        ("CLUSTERDOWN for lunch", False),
        ("MOVED 1 127.0.0.1:1", True),
    ],
)
def test_a_redirect_is_followed_where_the_server_made_it(line: str, on: bool) -> None:
    assert moves_on(replied(line)) is on


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (TimeoutError(), RedisUnavailableError, "no connection within 1.5 s"),
        (redis_errors.TimeoutError("late"), RedisUnavailableError, "no connection within 1.5 s"),
        (
            broken(ConnectionRefusedError(errno.ECONNREFUSED, "db.internal refused")),
            RedisUnavailableError,
            "connection refused",
        ),
        (
            broken(socket.gaierror(-2, "db.internal not known")),
            RedisUnavailableError,
            "the host name does not resolve",
        ),
        (
            broken(ConnectionResetError(errno.ECONNRESET, "reset")),
            RedisUnavailableError,
            "the server closed the connection before it answered: it is shutting down, is at"
            " maxclients, or speaks TLS",
        ),
        (broken(OSError("odd")), RedisUnavailableError, "the connection failed"),
        (redis_errors.ConnectionError("?"), RedisUnavailableError, "the connection was lost"),
        (
            broken(unusable_certificate()),
            RedisTLSError,
            "the TLS handshake failed: a certificate or key file is unusable",
        ),
        (
            replied("LOADING Redis is loading the dataset in memory"),
            RedisUnavailableError,
            "the server is loading its data set (LOADING)",
        ),
        (
            replied("NOPERM no permissions to run 'ping'"),
            RedisPermissionError,
            "the server's ACL forbids a command of the handshake (NOPERM)",
        ),
        (
            replied("WRONGPASS invalid username-password pair"),
            RedisAuthError,
            "the server refused the credentials (WRONGPASS)",
        ),
        (
            redis_errors.AuthenticationError("Client sent AUTH, but no password is set"),
            RedisAuthError,
            "the server has no password for the user, but one is set",
        ),
        (redis_errors.AuthenticationError("?"), RedisAuthError, "the credentials are wrong"),
        (
            replied("DENIED Redis is running in protected mode because db.internal"),
            RedisUnavailableError,
            "the server runs in protected mode, and takes no connections from other hosts"
            " without a password (DENIED)",
        ),
        (
            replied("NOPROTO unsupported protocol version"),
            RedisUnavailableError,
            "the server does not speak RESP3: set REDIS_PROTOCOL=2",
        ),
        (
            replied("ERR max number of clients + cluster connections reached"),
            RedisUnavailableError,
            "the server has reached its max number of clients (maxclients)",
        ),
        (
            replied("ERR max number of clients reached"),
            RedisUnavailableError,
            "the server has reached its max number of clients (maxclients)",
        ),
        (
            redis_errors.InvalidResponse('Protocol error, got "H" as reply type byte'),
            RedisUnavailableError,
            "what answers there is not Redis",
        ),
        (
            redis_errors.InvalidResponse('Protocol error, got "\\x15" as reply type byte'),
            RedisUnavailableError,
            "the server speaks TLS there: set REDIS_TLS__ENABLED=true",
        ),
        (
            replied("ERR upstream db.internal is away"),
            RedisUnavailableError,
            "the server refused the handshake (ERR)",
        ),
        (
            RedisConfigError("password_file (/run/secret) cannot be read"),
            RedisAuthError,
            "the password file cannot be read, or is empty",
        ),
        (
            KeyError("token of db.internal"),
            RedisAuthError,
            "the credentials could not be obtained (KeyError)",
        ),
    ],
    ids=lambda value: None if isinstance(value, type | str) else repr(value)[:40],
)
def test_a_failed_connect_says_why_and_names_no_host(
    error: BaseException, expected: type[Exception], message: str
) -> None:
    translated = from_connect(error, "x", SETTINGS)

    assert (type(translated), str(translated)) == (expected, message)
    assert "db.internal" not in str(translated)
    assert translated.__cause__ is error
    assert (translated.instance, translated.maybe_executed) == ("x", False)


def test_an_error_of_ours_stays_as_it_is() -> None:
    error: Any = RedisUnavailableError("no Sentinel names a primary")

    assert from_connect(error, "x", SETTINGS) is error


def test_a_server_without_resp3_is_told_with_the_setting_and_without_the_password() -> None:
    error = replied("ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `secret`")

    translated = from_connect(error, "x", SETTINGS)

    assert "set REDIS_PROTOCOL=2" in str(translated)
    assert "secret" not in f"{translated} {translated.__cause__!r}"


def test_errors_that_caused_each_other_are_told_once() -> None:
    first, second = redis_errors.ConnectionError("?"), redis_errors.ConnectionError("!")
    first.__cause__, second.__cause__ = second, first

    assert str(from_connect(first, "x", SETTINGS)) == "the connection was lost"


def unverified(code: int, message: str) -> ssl.SSLError:
    """Return what OpenSSL says of a server's certificate."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.reason, error.verify_code, error.verify_message = "X", code, message
    return error


def alerted(reason: str) -> ssl.SSLError:
    """Return what OpenSSL says of a handshake."""
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (unverified(10, "certificate has expired"), "has expired (certificate has expired)"),
        (unverified(9, "certificate is not yet valid"), "not valid yet, or the clock here"),
        (unverified(18, "self-signed certificate"), "not trusted here: set REDIS_TLS__CA_FILE"),
        (unverified(20, "unable to get local issuer certificate"), "REDIS_TLS__CA_FILE"),
        (
            unverified(62, "Hostname mismatch, certificate is not valid for 'db.internal'."),
            "is for another name: reach it by a name that it has, or set REDIS_TLS__VERIFY=ca"
            " (Hostname mismatch)",
        ),
        (unverified(77, "something else"), "the TLS handshake failed: something else"),
        (alerted("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "wants a client certificate: set REDIS"),
        (alerted("SSLV3_ALERT_HANDSHAKE_FAILURE"), "nothing in common, or wants a client"),
        (alerted("SSLV3_ALERT_CERTIFICATE_EXPIRED"), "our client certificate has expired"),
        (alerted("TLSV1_ALERT_UNKNOWN_CA"), "refuses our client certificate"),
        (alerted("SSLV3_ALERT_BAD_CERTIFICATE"), "refuses our client certificate"),
        (alerted("TLSV1_ALERT_PROTOCOL_VERSION"), "no version of TLS in common"),
        (alerted("UNSUPPORTED_PROTOCOL"), "no version of TLS in common"),
        (alerted("KEY_VALUES_MISMATCH"), "REDIS_TLS__KEY_FILE is not the key of"),
        (alerted("WRONG_VERSION_NUMBER"), "does not speak TLS there"),
    ],
)
def test_a_handshake_that_fails_says_what_to_set(error: ssl.SSLError, words: str) -> None:
    translated = from_connect(broken(error), "x", SETTINGS, tls=True)

    assert type(translated) is RedisTLSError
    assert words in str(translated)
    assert "db.internal" not in str(translated)


def test_a_file_that_cannot_be_read_is_said_without_its_name() -> None:
    error = broken(FileNotFoundError(errno.ENOENT, "No such file", "/secret/ca.pem"))
    translated = from_connect(error, "x", SETTINGS, tls=True)

    assert type(translated) is RedisTLSError
    assert "cannot be read" in str(translated)
    assert "secret" not in str(translated)


def test_a_server_that_hangs_up_by_tls_may_want_a_certificate() -> None:
    reset = broken(ConnectionResetError(errno.ECONNRESET, "reset"))

    assert "REDIS_TLS__CERT_FILE" in str(from_connect(reset, "x", SETTINGS, tls=True))
    assert "REDIS_TLS__CERT_FILE" not in str(from_connect(reset, "x", SETTINGS))


NAMING = [
    replied("NOPROTO unsupported protocol version"),
    redis_errors.InvalidResponse('Protocol error, got "\\x15" as reply type byte'),
    broken(ConnectionResetError(errno.ECONNRESET, "reset")),
    broken(FileNotFoundError(errno.ENOENT, "No such file", "/secret/ca.pem")),
    *map(
        broken,
        (
            unverified(20, "unable to get local issuer certificate"),
            unverified(62, "Hostname mismatch"),
            alerted("TLSV13_ALERT_CERTIFICATE_REQUIRED"),
            alerted("TLSV1_ALERT_UNKNOWN_CA"),
            alerted("SSLV3_ALERT_HANDSHAKE_FAILURE"),
            alerted("KEY_VALUES_MISMATCH"),
            alerted("WRONG_VERSION_NUMBER"),
        ),
    ),
]


@pytest.mark.parametrize("error", NAMING, ids=lambda error: repr(error.__cause__ or error)[:50])
def test_a_message_names_the_deployment_s_own_variables(error: Exception) -> None:
    said = str(from_connect(error, "cache", RedisSettings(_env_prefix="REDIS_CACHE_"), tls=True))
    known = {path.replace(".", "__").upper() for path in setting_paths(RedisSettings)}
    named = re.findall(r"REDIS_CACHE_([A-Z_*]+)", said)

    assert named
    assert len(named) == said.count("REDIS_")
    assert set(named) <= known | {"TLS__*_FILE"}


def test_of_several_reasons_an_answer_is_told() -> None:
    away = from_connect(broken(ConnectionRefusedError(errno.ECONNREFUSED, "?")), "x", SETTINGS)
    full = from_connect(replied("ERR max number of clients reached"), "x", SETTINGS)
    wrong = from_connect(replied("WRONGPASS invalid pair"), "x", SETTINGS)

    assert most_telling([away, full, away]) is full
    assert most_telling([away, full, wrong]) is wrong
    assert most_telling([away]) is away
