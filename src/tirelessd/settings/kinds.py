"""The kinds of value that settings have: names, addresses, digests, text that may be in a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import parse_qs, urlsplit, urlunsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
)

from tirelessd.core.destination import http_url
from tirelessd.core.headers import fits_a_line
from tirelessd.core.queue import NAME_PATTERN

YEAR_SECONDS: Final = 31_536_000
# A secret is a line or two; whatever is larger is a mistaken path, perhaps one without an end.
SECRET_FILE_BYTES: Final = 65_536
MASK: Final = "**********"
POSTGRES_SCHEMES: Final = ("postgresql:", "postgres:")
POSTGRES_FORM: Final = "postgresql://user@host:5432/database"
# What the driver knows of; behind a pooler, a setting of the session would be somebody else's.
POSTGRES_OPTIONS: Final = frozenset(
    {"host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl"}
    | {"target_session_attrs", "passfile"}
)


class SettingsModel(BaseModel):
    """The root of all sections: unknown keys are errors, types are exact, values are frozen."""

    model_config = ConfigDict(
        # YAML has .inf and .nan, and no wait or limit can be either.
        allow_inf_nan=False,
        # Most sections are only ever read as parts of the whole, whose validator holds theirs.
        defer_build=True,
        extra="forbid",
        frozen=True,
        # Read laxly, `true` is one slot and "20" a number: mostly a slip of somebody's.
        strict=True,
        # A default that breaks its own bounds must not wait for the first user to leave it alone.
        validate_default=True,
    )


class MayBeInFile(BeforeValidator):
    """Marks text that may also be given as `{file: /path}`, as orchestrators hand out secrets."""


def text_or_file(value: Any) -> Any:
    """The text itself, or the named file's without its last line end; raises `ValueError`."""
    if not isinstance(value, dict):
        return value
    if set(value) != {"file"} or not isinstance(value["file"], str):
        raise ValueError("must be text, or {file: /path/to/a/file}")
    return _text_of_file(value["file"])


def _text_of_file(path: str) -> str:
    try:
        with open(path, "rb") as stream:  # noqa: PTH123  (a null byte in a Path raises elsewhere)
            content = stream.read(SECRET_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise ValueError(f"its file {path!r} cannot be read: {reason}") from None
    if len(content) > SECRET_FILE_BYTES:
        raise ValueError(f"its file {path!r} is larger than {SECRET_FILE_BYTES} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError(f"its file {path!r} is not UTF-8 text") from None
    # Editors and shells end a file with a line end; it is never meant to be part of the secret.
    return text.removesuffix("\n").removesuffix("\r")


def queue_name(name: str) -> str:
    """The name, if it is fit for URLs, labels and files alike."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise ValueError(
            "must be 1 to 63 lower-case letters, digits, '-', '_' or '.', no sign first"
        )
    return name


def label(text: str) -> str:
    """The text, if it is a short name for people and logs."""
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]{0,62}", text):
        raise ValueError("must be 1 to 63 letters, digits, '.', '_' or '-', no sign first")
    return text


def host_name(text: str) -> str:
    """The text, if it can be an address or a host name; whether it resolves is seen at start."""
    if not re.fullmatch(r"[0-9A-Za-z:][0-9A-Za-z.:%_-]{0,252}", text):
        raise ValueError("must be an IP address or a host name")
    return text


def shown_url(url: str) -> str:
    """The URL as people may see it: a query may hold a key."""
    path, mark, _ = url.partition("?")
    return f"{path}?{MASK}" if mark else path


def function_path(text: str) -> str:
    """The text, if it is `package.module:function`."""
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*", text):
        raise ValueError("must be package.module:function")
    return text


def error_name(value: Any) -> int | str:
    """The value, if it is an HTTP status or the name of an exception type."""
    # In Python True is a number, in a configuration it is not.
    if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
        return value
    if isinstance(value, str) and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", value):
        return value
    raise ValueError("must be a status from 100 to 599 or the name of an exception type")


def header_value(value: SecretStr) -> SecretStr:
    """The value, if it fits on one header line (RFC 9110 section 5.5)."""
    text = value.get_secret_value()
    if not fits_a_line(text) or text != text.strip():
        raise ValueError("must be one line without control characters or space at its ends")
    return value


def sha256_hex(value: SecretStr) -> SecretStr:
    """The digest in lower case, if it is 64 hexadecimal digits."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", value.get_secret_value()):
        raise ValueError("must be the 64 hexadecimal digits of a SHA-256")
    return SecretStr(value.get_secret_value().lower())


def store_url(url: str) -> str:
    """The URL, if it names a store; not echoed, it may hold a password."""
    if url.startswith(POSTGRES_SCHEMES):
        return postgres_url(url)
    # One slash, or a host's name after two, is refused: it is not clear what was meant. A file in
    # memory would make a 202 that is not durable.
    if not re.fullmatch(r"sqlite:(///|(?!/))[^?#\x00]*[^?#\x00/]", url) or ":memory:" in url:
        raise ValueError(
            "must be sqlite:///absolute/path/to/file.db, sqlite:./relative/path/to/file.db or "
            "postgresql://user@host/database"
        )
    return url


def sqlite_path(url: str) -> Path:
    """The file that a URL of an embedded store names."""
    path = url.removeprefix("sqlite:")
    return Path(f"/{path.lstrip('/')}" if path.startswith("/") else path)


def postgres_url(url: str) -> str:
    """The URL, if it names a PostgreSQL database; not echoed, it may hold a password."""
    try:
        parts = urlsplit(url)
        given = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    except ValueError:
        raise ValueError(f"must be {POSTGRES_FORM}; escape what is no letter, as in %40") from None
    if not re.match("postgres(ql)?://", url) or "#" in url or parts.path.count("/") > 1:
        raise ValueError(f"must be {POSTGRES_FORM}")
    if len(parts.path) <= 1 or not (parts.netloc.rpartition("@")[2] or "host" in given):
        raise ValueError(f"must name a host and a database: {POSTGRES_FORM}")
    if not set(given) <= POSTGRES_OPTIONS:
        raise ValueError(f"must have no other options than {', '.join(sorted(POSTGRES_OPTIONS))}")
    # The system would take a port that is too large modulo 65536, and connect to somebody else.
    if not all(is_port(port) for port in postgres_ports(parts.netloc, given.get("port", ()))):
        raise ValueError(f"must have ports from 1 to 65535: {POSTGRES_FORM}")
    return url


def postgres_ports(login_and_hosts: str, listed: Sequence[str]) -> Sequence[str]:
    """The ports that a URL names, with its hosts and in lists of their own."""
    hosts = login_and_hosts.rpartition("@")[2].split(",")
    # What follows the brackets of an IPv6 address.
    beside = [host.rpartition("]")[2].partition(":")[2] for host in hosts]
    return [port for port in (*beside, *",".join(listed).split(",")) if port]


def is_port(text: str) -> bool:
    """Whether the text is the number of a port that somebody can listen on."""
    return re.fullmatch("0*[0-9]{1,5}", text) is not None and 0 < int(text) < 65_536


def shown_store(url: str) -> str:
    """The URL as people may see it: with its password masked."""
    if not url.startswith(POSTGRES_SCHEMES):
        return url
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    return urlunsplit(parts._replace(netloc=f"{user}{colon}{MASK if colon else ''}{at}{host}"))


# Ten years: more is a slipped digit, and far from where floats lose their milliseconds.
Seconds = Annotated[float, Field(gt=0, le=10 * YEAR_SECONDS)]
FromMayBeInFile = MayBeInFile(text_or_file)
SecretText = Annotated[SecretStr, FromMayBeInFile]
HttpUrl = Annotated[str, AfterValidator(http_url), PlainSerializer(shown_url, when_used="json")]
QueueName = Annotated[str, AfterValidator(queue_name)]
_Shown = PlainSerializer(shown_store, when_used="json")
StoreUrl = Annotated[str, FromMayBeInFile, AfterValidator(store_url), _Shown]
PostgresUrl = Annotated[str, FromMayBeInFile, AfterValidator(postgres_url), _Shown]
