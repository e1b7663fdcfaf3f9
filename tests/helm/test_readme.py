"""The chart's own documentation is true: of every value, its default and its schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import yaml

from helm.readme import README, readme
from tests.helm.chart import FOLDER


def test_the_readme_is_what_the_values_say() -> None:
    """`make docs` renews it."""
    assert README.read_text(encoding="utf-8") == readme()


def test_every_value_is_in_the_schema_and_every_one_of_the_schema_has_a_default() -> None:
    """So no value goes unchecked, and values.yaml shows all there is."""
    schema = msgspec.json.decode((FOLDER / "values.schema.json").read_bytes())
    defaults = yaml.safe_load((FOLDER / "values.yaml").read_text(encoding="utf-8"))

    described = set(paths(schema)) - {"global"}

    assert described == set(keys(schema, defaults))


def paths(schema: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Every value that the schema knows; a section with parts stands for them."""
    for name, part in schema["properties"].items():
        if "properties" in part and name != "resources":
            yield from paths(part, f"{above}{name}.")
        else:
            yield above + name


def keys(schema: Mapping[str, Any], defaults: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Every value that has a default, as deep as the schema goes."""
    for name, default in defaults.items():
        part = schema["properties"].get(name, {})
        if "properties" in part and name != "resources":
            yield from keys(part, default, f"{above}{name}.")
        else:
            yield above + name


def test_every_section_refuses_what_it_does_not_know() -> None:
    """A misspelt value is an error at installation, not a default that nobody wanted."""
    schema = msgspec.json.decode((FOLDER / "values.schema.json").read_bytes())

    assert all(part["additionalProperties"] is False for part in sections(schema))


def sections(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every mapping whose keys the schema names."""
    if "properties" in schema:
        yield schema
        for part in schema["properties"].values():
            yield from sections(part)
