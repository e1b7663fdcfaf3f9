"""Where the dashboards and rules beside this folder come from.

`python -m grafana.source`, from the project's root, writes all of them; `made()` is what it writes.
"""

from collections.abc import Mapping

from grafana.source import dashboards, rules


def made() -> Mapping[str, str]:
    """Every generated file by its path below `grafana/`."""
    return {**dashboards.files(), **rules.files()}
