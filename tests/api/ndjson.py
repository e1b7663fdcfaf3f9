"""How schemathesis writes a batch: one line for each element."""

from __future__ import annotations

from typing import Any

import msgspec
import schemathesis


@schemathesis.serializer("application/x-ndjson")
def serialize_lines(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """The elements as lines; what is no list, generated to be refused, as it is."""
    del context
    elements = value if isinstance(value, list) else [value]
    return b"\n".join(map(msgspec.json.encode, elements))
