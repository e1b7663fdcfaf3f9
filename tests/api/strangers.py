"""What schemathesis cannot know: how a batch is written, and how far ahead an instant may lie."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import schemathesis
from hypothesis import strategies as st


@schemathesis.serializer("application/x-ndjson")
def serialize_lines(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """The elements as lines; what is no list, generated to be refused, as it is."""
    del context
    elements = value if isinstance(value, list) else [value]
    return b"\n".join(map(msgspec.json.encode, elements))


instants = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001  (hypothesis wants the bounds without an offset)
    datetime(2030, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
schemathesis.openapi.format("date-time", instants.map(datetime.isoformat))
