"""The chart's README, its table of values made from the schema and the defaults.

`python -m helm.readme` writes it; a test fails when it is stale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

CHART: Final = Path(__file__).parent / "tirelessd"
README: Final = CHART / "README.md"
# Of charts that have this one as a part; nothing of it is read.
UNTOLD: Final = {"global"}

TEXT: Final = """\
# tirelessd, the chart

<!-- Made by `python -m helm.readme`; a test fails when it is stale. -->

*Hand it work over HTTP; it keeps at it until the work is done, or tells you exactly why it is not.*

```
helm install tirelessd helm/tirelessd --set upstream.url=http://models:8000/predict
```

makes one pod that takes items on the queue `items`, keeps them on a volume of its own, and POSTs
each to that URL until it answers 2xx. The notes that Helm shows tell how to hand in the first.
[docs/kubernetes.md](../../docs/kubernetes.md) has the rest: both shapes, tokens, sizes, upgrades,
backup, alerts and autoscaling.

Two shapes. **Embedded**, the default: a StatefulSet of one pod, its items in a file on a
ReadWriteOncePod volume. **PostgreSQL**, when `store.postgresql` names a database: a Deployment of
any number of pods, or one for those that accept and one for those that attempt (`split`).

Secrets are never values: `secrets` names existing ones, and `config` says where they are mounted.

## Values

| value | kind | default | what it is |
| --- | --- | --- | --- |
{rows}
"""


def readme() -> str:
    """The whole text."""
    schema = msgspec.json.decode((CHART / "values.schema.json").read_bytes())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    return TEXT.format(rows="\n".join(rows(schema, defaults)))


def rows(schema: Mapping[str, Any], defaults: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """A row for every value, sections before their parts."""
    for name, part in schema["properties"].items():
        if name in UNTOLD:
            continue
        path = f"{above}{name}"
        if "properties" in part and name != "resources":
            yield f"| **`{path}`** | | | {part['description']} |"
            yield from rows(part, defaults.get(name, {}), f"{path}.")
        else:
            default = msgspec.json.encode(defaults.get(name)).decode()
            yield f"| `{path}` | {kind(part)} | `{default}` | {part['description']} |"


def kind(part: Mapping[str, Any]) -> str:
    """What may be given, in words."""
    if "enum" in part:
        return " / ".join(f"`{word}`" for word in part["enum"])
    words = part["type"] if isinstance(part["type"], list) else [part["type"]]
    return " or ".join(KINDS[word] for word in words)


KINDS: Final = {
    "array": "list",
    "boolean": "true or false",
    "integer": "whole number",
    "null": "null",
    "number": "number",
    "object": "mapping",
    "string": "text",
}

if __name__ == "__main__":
    README.write_text(readme(), encoding="utf-8")
