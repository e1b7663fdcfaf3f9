"""The dashboards, one module each."""

from collections.abc import Mapping

import msgspec

from grafana.source.dashboards.model import Model

DASHBOARDS: tuple[Model, ...] = ()


def files() -> Mapping[str, str]:
    """Each dashboard as the JSON that Grafana takes, by its path below `grafana/`."""
    return {f"dashboards/{board['uid']}.json": written(board) for board in DASHBOARDS}


def written(board: Model) -> str:
    """One dashboard as JSON, the keys in their order, so that a change shows as one line."""
    return msgspec.json.format(msgspec.json.encode(board), indent=2).decode() + "\n"
