"""Who may do what: bearer tokens, known by their SHA-256 digests only."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Sequence
from typing import Final, Literal

import msgspec
from aiohttp import hdrs, web

from tirelessd.api.refusals import CrossOrigin, MissingScope, QueueNotAllowed, Unauthenticated

Scope = Literal["submit", "read", "operate"]
SCOPES: Final[frozenset[Scope]] = frozenset({"submit", "read", "operate"})
SAFE_METHODS: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})


class Token(msgspec.Struct, frozen=True):
    """A bearer token as configured: `sha256` is the digest in hexadecimal.

    `name` is for people, two tokens may share one. `queues` None means all of them.
    """

    name: str
    sha256: str
    scopes: frozenset[Scope]
    queues: frozenset[str] | None = None


class Caller(msgspec.Struct, frozen=True):
    """What the sender of a request may do."""

    scopes: frozenset[Scope] = SCOPES
    queues: frozenset[str] | None = None

    @property
    def is_limited(self) -> bool:
        """Whether it may touch some queues only."""
        return self.queues is not None

    def may_use(self, queue: str) -> bool:
        """Whether the queue is one of its own."""
        return self.queues is None or queue in self.queues

    def check_queue(self, queue: str) -> None:
        """Raise `QueueNotAllowed` for another one's queue, configured or not."""
        if not self.may_use(queue):
            raise QueueNotAllowed(f"this token may not use queue {queue!r}")


EVERYBODY: Final = Caller()


class Auth:
    """Admits requests by their bearer token; without any token configured, everybody."""

    def __init__(self, tokens: Sequence[Token] = ()) -> None:
        self._callers = [
            (bytes.fromhex(token.sha256), Caller(token.scopes, token.queues)) for token in tokens
        ]

    @property
    def has_tokens(self) -> bool:
        """Whether a token is asked for."""
        return bool(self._callers)

    def admit(self, request: web.BaseRequest, scope: Scope | None) -> Caller:
        """Tell who sent the request; looks at its headers only, never at the body.

        `scope` None is open to everybody. Raises `Unauthenticated`, `MissingScope` or, without
        tokens, `CrossOrigin`.
        """
        if scope is None:
            return EVERYBODY
        if not self._callers:
            # Nothing but the reach of loopback tells who may call: a page must not borrow it.
            _refuse_web_pages(request)
            return EVERYBODY
        caller = self.identify(_bearer(request.headers.getall(hdrs.AUTHORIZATION, ())))
        if scope not in caller.scopes:
            raise MissingScope(scope)
        return caller

    def identify(self, token: bytes) -> Caller:
        """Whose token this is, in a time that does not tell; raises `Unauthenticated`."""
        digest = hashlib.sha256(token).digest()
        found: Caller | None = None
        # All of them, so that the time taken does not tell how far down the list a match was.
        for known, caller in self._callers:
            if hmac.compare_digest(known, digest):
                found = caller
        if found is None:
            raise Unauthenticated("the bearer token is not known", 'Bearer error="invalid_token"')
        return found


def _bearer(fields: Collection[str]) -> bytes:
    """The token's bytes; header text carries odd bytes as surrogates, which come back as sent."""
    # Of two headers, one might have been added on the way, and nobody can tell which.
    if len(fields) != 1:
        raise Unauthenticated("send one Authorization header with a bearer token")
    scheme, _, token = next(iter(fields)).partition(" ")
    # Spaces as HTTP knows them: what Unicode has more of is part of a token that is not known.
    token = token.strip(" \t")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("the Authorization header holds no bearer token")
    return token.encode("utf-8", "surrogateescape")


def _refuse_web_pages(request: web.BaseRequest) -> None:
    """A page open in a browser on this machine reaches loopback too; browsers name its origin."""
    if hdrs.ORIGIN in request.headers and request.method not in SAFE_METHODS:
        raise CrossOrigin
