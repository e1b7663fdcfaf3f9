"""What a dashboard is made of: plain dicts, in the words of Grafana's own JSON."""

from typing import Any, TypeAlias

Model: TypeAlias = dict[str, Any]
