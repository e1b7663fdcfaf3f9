"""The dashboards, one module each."""

from collections.abc import Mapping
from typing import Final

import msgspec

from grafana.source.dashboards import delivery, internals, overview, queue, slo
from grafana.source.dashboards.panels import Model

PAGES: Final = (overview.page, queue.page, delivery.page, internals.page, slo.page)


def models() -> list[Model]:
    """Every dashboard as a dict."""
    return [page() for page in PAGES]


def files() -> Mapping[str, str]:
    """Each dashboard as the JSON that Grafana takes, by its path below `grafana/`."""
    return {f"dashboards/{model['uid']}.json": written(model) for model in models()}


def written(model: Model) -> str:
    """One dashboard as JSON, the keys in their order, so that a change shows as one line."""
    return msgspec.json.format(msgspec.json.encode(model), indent=2).decode() + "\n"
