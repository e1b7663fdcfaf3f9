"""The page of all settings, `docs/configuration.md`, made from the model by `python -m`."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Any, Final, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tirelessd.settings import shape
from tirelessd.settings.model import Settings

INTRODUCTION: Final = """\
# Configuration

<!-- Made by `python -m tirelessd.settings.reference`; a test fails when it is stale. -->

One YAML file, named by `--config` or `TIRELESSD_CONFIG`; `tirelessd.yaml` in the working directory
otherwise. `tirelessd check --config FILE` prints the effective configuration with secrets masked,
or every problem, one a line. With an unknown or wrong setting the daemon does not start: it exits
with code 2 and one line that names the setting.

**Environment.** Every value can be overridden by a variable: `TIRELESSD_`, then the setting's path
in upper case with `__` between its parts and `_` for `-` and `.`. So
`TIRELESSD_QUEUES__PREDICTIONS__SLOTS=5` sets `queues.predictions.slots`. The value is YAML, except
where the setting is text. A variable changes what the file names; it adds no entry to `queues` or
`headers`, but a whole section can be given as YAML and then replaces the file's
(`TIRELESSD_AUTH=none`). A variable that stands for no setting is an error.

**Secrets.** Where it says *or file*, `{file: /path}` may stand for the text, and
`TIRELESSD_…__FILE` for the path: the file's content is the value, without its last line end.
"""
UNBOUNDED: Final = "any"
SIGNS: Final = (("gt", "> "), ("ge", "≥ "), ("lt", "< "), ("le", "≤ "))
LENGTHS: Final = (("min_length", "not empty"), ("max_length", "at most {:,} entries"))


def page() -> str:
    """The whole page, in Markdown."""
    return "\n".join([INTRODUCTION, *_section(Settings, "", "Settings", level=2)])


@cache
def descriptions(model: type[BaseModel]) -> Mapping[str, str]:
    """What stands below each setting of a section, by the setting's name, inherited ones too.

    Read from the source here: pydantic could keep it, but would read it at every start.
    """
    said = {}
    for part in reversed(model.__mro__[: model.__mro__.index(BaseModel)]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(part))).body
        assert isinstance(definition, ast.ClassDef)
        for setting, text in pairwise(definition.body):
            if isinstance(setting, ast.AnnAssign) and isinstance(text, ast.Expr):
                said[ast.unparse(setting.target)] = str(ast.literal_eval(text.value))
    return said


def _section(model: type[BaseModel], path: str, title: str, level: int) -> Iterator[str]:
    yield f"{'#' * level} {title}\n"
    if path:
        yield f"{_text(model.__doc__)}\n"
    yield "| setting | kind | default | bounds | what it is, and why the default |"
    yield "| --- | --- | --- | --- | --- |"
    said = descriptions(model)
    for name, field in model.model_fields.items():
        yield _row(name, field, said.get(name, ""))
    yield ""
    # After the table, so that a section's settings stay together.
    for name, field in model.model_fields.items():
        yield from _sections_below(f"{path}.{name}".lstrip("."), field.rebuild_annotation(), level)


def _sections_below(path: str, kind: Any, level: int) -> Iterator[str]:
    inner, mark = shape.entry(kind), f"{path}.<name>" if shape.is_mapping(kind) else f"{path}[]"
    if inner is not None:
        yield from _sections_below(mark, inner, level)
        return
    models = [each for each in (shape.alternatives(kind) or [kind]) if _is_model(shape.bare(each))]
    for each in models:
        model = shape.bare(each)
        tag = get_args(model.model_fields["type"].annotation)[0] if len(models) > 1 else ""
        title = f"`{path}`, type `{tag}`" if tag else f"`{path}`"
        # The path says how deep it is; headings of six levels would not.
        yield from _section(model, path, title, min(level + 1, 3))


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _row(name: str, field: FieldInfo, description: str) -> str:
    kind = field.rebuild_annotation()
    cells = [f"`{name}`", _kind(kind), _default(field), _bounds(field), _text(description)]
    return f"| {' | '.join(cells)} |"


def _kind(kind: Any) -> str:
    word = _kind_word(shape.bare(kind))
    return f"{word}, or file" if shape.may_be_in_file(kind) else word


WORDS: Final[Mapping[Any, str]] = {
    bool: "true or false",
    str: "text",
    SecretStr: "secret",
    int: "whole number",
    float: "number",
}


def _kind_word(kind: Any) -> str:
    if kind in WORDS:
        return WORDS[kind]
    if get_origin(kind) is Literal:
        return " / ".join(f"`{word}`" for word in get_args(kind))
    if shape.is_mapping(kind):
        return "mapping"
    inner = shape.entry(kind)
    if inner is not None:
        return f"list of {_kind(inner)}"
    options = [_kind(option) for option in shape.alternatives(kind)]
    return " or ".join(dict.fromkeys(options)) if options else "section"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    if field.default is PydanticUndefined:
        return "empty" if field.default_factory is dict else "depends"
    if isinstance(field.default, BaseModel):
        return "see below"
    if field.default is None:
        return "none"
    if field.default == ():
        return "empty"
    # YAML, for that is what one would write; a bare value is followed by a document's end.
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    text = yaml.safe_dump(value, default_flow_style=True, width=1_000)
    text = text.removesuffix("...\n").strip()
    return f"`{text.removesuffix('.0')}`"


def _bounds(field: FieldInfo) -> str:
    found = {mark: value for each in field.metadata for mark, value in _limits(each)}
    parts = [f"{sign}{found[mark]:,}" for mark, sign in SIGNS if mark in found]
    parts += [words.format(found[mark]) for mark, words in LENGTHS if mark in found]
    return "; ".join(part.replace(",", " ") for part in parts) or UNBOUNDED


def _limits(mark: Any) -> Iterator[tuple[str, Any]]:
    for name in ("gt", "ge", "lt", "le", "min_length", "max_length"):
        value = getattr(mark, name, None)
        if value is not None:
            yield name, value


def _text(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").strip().replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
