"""Attributes, by OpenTelemetry's semantic conventions for messaging and HTTP."""

from __future__ import annotations

from typing import Final, Literal

from opentelemetry.trace import Span, Status, StatusCode

from tirelessd.core.errors import AttemptError

ERROR_TYPE: Final = "error.type"

Operation = Literal["send", "process", "settle"]
Attributes = dict[str, str | int | float]


def messaging(operation: Operation, queue: str, item_id: str | None = None) -> Attributes:
    """What every span about items says."""
    attributes: Attributes = {
        "messaging.system": "tirelessd",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": queue,
    }
    if item_id is not None:
        attributes["messaging.message.id"] = item_id
    return attributes


def fail(span: Span, error_type: str) -> None:
    """Mark a span as failed, in a word of a small set; the log has the details."""
    span.set_attribute(ERROR_TYPE, str(error_type))
    span.set_status(Status(StatusCode.ERROR))


def name_of_error(error: BaseException) -> str:
    """The word for an error."""
    return str(error.reason) if isinstance(error, AttemptError) else type(error).__qualname__
