"""The shape of the settings' model: what may stand below a setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, Tag

from tirelessd.settings.kinds import MayBeInFile


def bare(kind: Any) -> Any:
    """The kind without its annotations."""
    return bare(get_args(kind)[0]) if get_origin(kind) is Annotated else kind


def fields(kind: Any) -> Mapping[str, Any]:
    """The settings below this one, name to kind; of alternatives, those of all of them."""
    kind = bare(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        # Rebuilt, for pydantic keeps a field's annotations apart from its type.
        return {n: field.rebuild_annotation() for n, field in kind.model_fields.items()}
    return {n: below for option in alternatives(kind) for n, below in fields(option).items()}


def alternatives(kind: Any) -> Sequence[Any]:
    """The options of a union, None left out; empty for anything else."""
    kind = bare(kind)
    is_union = get_origin(kind) in (Union, UnionType)
    return [option for option in get_args(kind) if option is not type(None)] if is_union else []


def entry(kind: Any) -> Any:
    """What each entry of a mapping or list is; None when it is neither."""
    found = [args[-1] for args in _containers(kind, dict)] + [
        args[0] for args in _containers(kind, tuple)
    ]
    return found[0] if found else None


def is_mapping(kind: Any) -> bool:
    """Whether the names below this setting are the user's to choose."""
    return bool(_containers(kind, dict))


def _containers(kind: Any, container: type) -> list[tuple[Any, ...]]:
    options = alternatives(kind) or [kind]
    return [get_args(bare(o)) for o in options if get_origin(bare(o)) is container]


def is_text(kind: Any) -> bool:
    """Whether the setting is text, so that nothing in it may be taken for another type."""
    return bare(kind) in (str, SecretStr)


def may_be_in_file(kind: Any) -> bool:
    """Whether `{file: /path}` may stand for the setting."""
    return get_origin(kind) is Annotated and (
        any(isinstance(mark, MayBeInFile) for mark in get_args(kind)[1:])
        or may_be_in_file(get_args(kind)[0])
    )


def option_of(kind: Any, tag: str) -> Any:
    """The alternative that a discriminator's tag stands for; None when the tag is none of ours."""
    # pydantic puts the tag into an error's path, where people would look for a setting.
    for option in alternatives(kind):
        marks = get_args(option)[1:] if get_origin(option) is Annotated else ()
        if any(isinstance(mark, Tag) and mark.tag == tag for mark in marks):
            return option
        named = bare(fields(option).get("type"))
        if get_origin(named) is Literal and tag in get_args(named):
            return option
    return None
