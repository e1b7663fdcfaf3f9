"""Why the HTTP edge itself refuses a request; the engine's refusals stand in `core.errors`."""

from __future__ import annotations

from collections.abc import Sequence

from tirelessd.api.limits import Limits
from tirelessd.api.shapes import LineResult
from tirelessd.core.errors import Rejected, StoreError


class MalformedRequest(Rejected):
    """The request breaks the rules of HTTP, or ended before it was complete."""

    code = "malformed_request"


class Unauthenticated(Rejected):
    """No token came, or none that is known."""

    code = "unauthenticated"

    def __init__(self, message: str, challenge: str = "Bearer") -> None:
        super().__init__(message)
        self.challenge = challenge


class MissingScope(Rejected):
    """The token may not do this kind of thing."""

    code = "missing_scope"

    def __init__(self, scope: str) -> None:
        super().__init__(f"this token lacks the scope {scope!r}")
        self.scope = scope


class QueueNotAllowed(Rejected):
    """The token is limited to other queues; the same answer whether or not the queue exists."""

    code = "queue_not_allowed"


class CrossOrigin(Rejected):
    """A browser sent this for a web page, while no token tells friend from foe."""

    code = "cross_origin"

    def __init__(self) -> None:
        super().__init__("requests of web pages are refused as long as no tokens are configured")


class UnknownPath(Rejected):
    """Nothing is served under this path."""

    code = "unknown_path"

    def __init__(self) -> None:
        super().__init__("nothing is served under this path; see /openapi.json")


class MethodNotAllowed(Rejected):
    """The path is served, by other methods; `allow` lists them as the header does."""

    code = "method_not_allowed"

    def __init__(self, method: str, allow: str) -> None:
        super().__init__(f"{method} is not served here, but {allow}")
        self.allow = allow


class RequestTimeout(Rejected):
    """The request took longer to arrive than it may."""

    code = "request_timeout"

    def __init__(self, part: str, seconds: float) -> None:
        super().__init__(f"the request's {part} took longer than {seconds:g} s to arrive")


class BodyTooLarge(Rejected):
    """The body is larger than this call takes."""

    code = "body_too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body is larger than {limit_bytes} bytes")


class BatchTooLarge(Rejected):
    """A batch has too many lines, or a line that is too long; nothing of it was stored."""

    code = "batch_too_large"


class Overloaded(Rejected):
    """The bodies of all requests at work take as much memory as they may."""

    code = "overloaded"

    def __init__(self) -> None:
        super().__init__("too many large requests are at work; try again later")


class UnsupportedMediaType(Rejected):
    """The body's content type is not the one this call reads."""

    code = "unsupported_media_type"

    def __init__(self, expected: str) -> None:
        super().__init__(f"this call reads {expected}, in UTF-8")


class UnsupportedEncoding(Rejected):
    """The body is compressed, or encoded otherwise."""

    code = "unsupported_content_encoding"

    def __init__(self) -> None:
        super().__init__("bodies are taken as they are; send this one without Content-Encoding")


class ExpectationFailed(Rejected):
    """An `Expect` header asks for something unknown."""

    code = "expectation_failed"

    def __init__(self) -> None:
        super().__init__("the only expectation that can be met is 100-continue")


class BatchRejected(Rejected):
    """No line of a batch was accepted; `results` says why, line by line.

    With a `cause` it was not for the lines: the queue was full, say, and the same batch may be
    accepted later.
    """

    code = "batch_rejected"

    def __init__(
        self, results: Sequence[LineResult], cause: Rejected | StoreError | None = None
    ) -> None:
        super().__init__("no line of the batch was accepted")
        self.results = results
        self.cause = cause


def too_many_lines(limits: Limits) -> BatchTooLarge:
    """The refusal of a batch with more lines than allowed."""
    return BatchTooLarge(f"the batch has more than {limits.batch_lines} lines")


def too_long_line(number: int, limits: Limits) -> BatchTooLarge:
    """The refusal of a batch because of one line."""
    return BatchTooLarge(f"line {number} is longer than {limits.body_bytes} bytes")
