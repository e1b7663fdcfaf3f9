"""`TIRELESSD_…` variables laid over the file's values; one that fits no setting is a problem.

`TIRELESSD_QUEUES__PREDICTIONS__SLOTS` stands for `queues.predictions.slots`. In a variable a name
is in upper case, with `_` for `-` and `.`. A value is YAML, except where the setting is text. A
variable changes what the file names, it adds no entry to `queues` or `headers`; but a whole section
can be given as YAML, and then replaces the file's.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from tirelessd.settings import shape
from tirelessd.settings.document import parse_yaml
from tirelessd.settings.problems import Contradictions, Problem

PREFIX: Final = "TIRELESSD_"
DELIMITER: Final = "__"
# Read by the command line itself; and what an image tells of the commit that it was built from.
RESERVED: Final = frozenset({"TIRELESSD_CONFIG", "TIRELESSD_DEBUG", "TIRELESSD_REVISION"})
# Kubernetes tells every pod of each service in such variables; one of a service called tirelessd,
# or tirelessd-ops, looks like ours.
SERVICE_LINK: Final = re.compile(
    r"([A-Z0-9]+_)+(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_\w+)"
)
SERVICE_URL: Final = re.compile(r"(tcp|udp|sctp)://.*")


class Override(NamedTuple):
    """A variable that stands for a setting."""

    variable: str
    path: tuple[str, ...]
    kind: Any

    def value(self, text: str) -> Any:
        """What the variable says; raises `ValueError` when it is no YAML."""
        return text if shape.is_text(self.kind) else parse_yaml(text)


class EnvironmentSource(PydanticBaseSettingsSource):
    """Given values with the process's environment laid over them."""

    def __init__(self, settings_cls: type[BaseSettings], given: Mapping[str, Any]) -> None:
        super().__init__(settings_cls)
        self._given = given

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """One given value by itself; `__call__` answers for all."""
        del field
        return self._given.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """All values; raises `Contradictions` naming the variables that fit no setting."""
        return overlay(self.settings_cls, self._given, os.environ)


def overlay(
    model: type[BaseSettings], given: Mapping[str, Any], environ: Mapping[str, str]
) -> dict[str, Any]:
    """A copy of `given` with the environment laid over it, sections before what stands in them."""
    values = copy.deepcopy(dict(given))
    problems = []
    # Sorted, a section's variable comes before those of the settings in it.
    for variable in sorted(our_variables(environ)):
        try:
            override = override_of(model, values, variable)
            _put(values, override.path, override.value(environ[variable]))
        except ValueError as error:
            problems.append(Problem(variable, str(error)))
    if problems:
        raise Contradictions(problems)
    return values


def our_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """The variables that are meant for the settings."""
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable in RESERVED:
            continue
        # Kubernetes writes single underscores only, so a double one is always meant for us.
        is_link = SERVICE_LINK.fullmatch(variable) or SERVICE_URL.fullmatch(text)
        if DELIMITER in variable or not is_link:
            yield variable


def override_of(model: type[BaseSettings], values: Mapping[str, Any], variable: str) -> Override:
    """Which setting the variable stands for; raises `ValueError` when there is none."""
    path: tuple[str, ...] = ()
    kind: Any = model
    rest = variable.removeprefix(PREFIX)
    # What the file has there: it names the queues and headers that can be meant.
    here: Any = values
    while True:
        names = names_below(kind, here)
        name = _first_name(names, rest)
        path, kind = (*path, name), names[name]
        rest = rest[len(spelled(name)) :]
        if not rest:
            return Override(variable, path, kind)
        rest = rest.removeprefix(DELIMITER)
        here = here.get(name) if isinstance(here, Mapping) else None


def names_below(kind: Any, here: Any) -> Mapping[str, Any]:
    """The names that a variable may go on with, each with its kind."""
    if shape.may_be_in_file(kind):
        return {"file": str}
    if shape.is_mapping(kind):
        return dict.fromkeys(here if isinstance(here, Mapping) else (), shape.entry(kind))
    return shape.fields(kind)


def spelled(name: str) -> str:
    """The name as it is written in a variable."""
    return name.upper().replace("-", "_").replace(".", "_")


def variable_of(path: tuple[str, ...]) -> str:
    """The variable that stands for a setting."""
    return PREFIX + DELIMITER.join(map(spelled, path))


def _first_name(names: Mapping[str, Any], rest: str) -> str:
    # Not split at the delimiter: a queue may be called a__b.
    fits = [n for n in names if rest == spelled(n) or rest.startswith(spelled(n) + DELIMITER)]
    longest = max(map(len, fits), default=0)
    best = [name for name in fits if len(name) == longest]
    if len(best) > 1:
        raise ValueError(f"could stand for {' or '.join(best)}: rename one, or set it in the file")
    if not best:
        word = rest.partition(DELIMITER)[0]
        near = get_close_matches(word, map(spelled, names), n=1)
        hint = f"did you mean {near[0]}?" if near else _known(names)
        raise ValueError(f"stands for no setting, {word} is unknown; {hint}")
    return best[0]


def _known(names: Mapping[str, Any]) -> str:
    return f"known here: {', '.join(map(spelled, names))}" if names else "nothing can stand there"


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        # A word like `none` makes room for the section that the variable goes into.
        if not isinstance(values.get(name), dict):
            values[name] = {}
        values = values[name]
    values[path[-1]] = value
