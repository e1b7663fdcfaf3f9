"""The spans of one attempt: `process {queue}`, and in it the call and the settlement."""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import Context as Variables
from contextvars import copy_context
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from opentelemetry.context import attach
from opentelemetry.trace import Span, SpanKind, Tracer, set_span_in_context

from tirelessd.core.item import Claim
from tirelessd.core.outcome import Failure, Outcome, Reason
from tirelessd.core.trace import HERE, UNTRACED, CallTrace, Untraced
from tirelessd.observe.tracing.contexts import NOWHERE, trace_context_of
from tirelessd.observe.tracing.names import ERROR_TYPE, fail, messaging, name_of_error

METHOD = "POST"


class Within:
    """A span from entering to leaving; an error that gets out of it is its own."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.context = trace_context_of(span)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._failed(error)
        self._span.end()

    def _failed(self, error: BaseException) -> None:
        fail(self._span, name_of_error(error))


class CallSpan(Within):
    """A request to an upstream."""

    _is_answered = False

    def answered(self, status: int) -> None:
        """The upstream gave this status."""
        self._span.set_attribute("http.response.status_code", status)
        if status >= 300:
            self._is_answered = True
            # Conventions say a client's 3xx is fine; here it is a failure like any other.
            fail(self._span, str(status))

    def _failed(self, error: BaseException) -> None:
        # What the handler raises because of a status has been said by the status.
        if not self._is_answered:
            super()._failed(error)


class AttemptSpan:
    """One attempt, from its claim to the answer to its settlement.

    One that is not sampled has no spans in it: they would cost as much and say nothing.
    """

    def __init__(self, tracer: Tracer, span: Span, claim: Claim) -> None:
        self._tracer = tracer
        self._span = span
        self._claim = claim
        self._inside = set_span_in_context(span, NOWHERE)
        self.context = trace_context_of(span)

    def task_context(self) -> Variables:
        """Variables in which the span is the current one, for whatever the handler calls."""
        variables = copy_context()
        variables.run(self._enter)
        return variables

    def _enter(self) -> None:
        HERE.set(self.context)
        attach(self._inside)

    def call(self, url: str) -> CallTrace:
        """The HTTP request that the attempt consists of."""
        if not self._span.is_recording():
            return Untraced(self.context)
        target = urlsplit(url)
        attributes: dict[str, str | int] = {
            "http.request.method": METHOD,
            "url.full": url,
            "server.address": target.hostname or "",
            "server.port": target.port or (443 if target.scheme == "https" else 80),
        }
        if self._claim.attempt > 1:
            attributes["http.request.resend_count"] = self._claim.attempt - 1
        span = self._tracer.start_span(METHOD, self._inside, SpanKind.CLIENT, attributes)
        return CallSpan(span)

    def settling(self) -> AbstractContextManager[object]:
        """The write of the decision, however often it is repeated."""
        if not self._span.is_recording():
            return UNTRACED
        item = self._claim.item
        attributes = messaging("settle", item.queue, item.id)
        name = f"settle {item.queue}"
        return Within(self._tracer.start_span(name, self._inside, SpanKind.CLIENT, attributes))

    def ended(self, outcome: Outcome | None, failure: Failure | None) -> None:
        """Say what came of it; only here is a failed attempt an error."""
        span = self._span
        if outcome is None:
            fail(span, Reason.LEASE_LOST)
        else:
            span.set_attribute("tirelessd.outcome", outcome.value)
            # A drain's is no failure of the attempt, but the reason why it is to be repeated.
            if failure is not None and outcome is not Outcome.RELEASED:
                fail(span, failure.reason)
            elif failure is not None:
                span.set_attribute(ERROR_TYPE, failure.reason.value)
        span.end()
