"""Validation errors as problems: the setting's dotted path, plain words, and no secret's value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

from tirelessd.settings import shape
from tirelessd.settings.problems import Contradictions, Problem

# One voice for all kinds, and in the file's words: a mapping, a list, text.
MESSAGES: Final[Mapping[str, str]] = {
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:.12g}",
    "literal_error": "must be {expected}",
    "missing": "is required",
    "model_attributes_type": "must be a mapping",
    "model_type": "must be a mapping",
    "string_too_short": "must not be empty",
    "string_type": "must be text",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
    "union_tag_invalid": "must be one of {expected_tags}",
    "union_tag_not_found": "is required",
}
# Where the wrong word itself may be shown: it was to be one of a few.
CHOICES: Final = frozenset({"literal_error"})
# What was given says nothing more here, or could be a secret.
SHOWN_WITHOUT: Final = frozenset(
    {
        "missing",
        "union_tag_not_found",
        "string_too_short",
        "string_type",
        "too_long",
        "too_short",
        "finite_number",
    }
)
# How pydantic marks that a mapping's key is wrong, and not the value under it.
KEY_MARK: Final = "[key]"


def problems_of(model: type[BaseSettings], error: ValidationError) -> list[Problem]:
    """All that is wrong: unknown settings first, for they explain missing ones."""
    listed = [each for each in error.errors(include_url=False) if not _follows(each, error)]
    listed.sort(key=lambda details: details["type"] != "extra_forbidden")
    return [problem for details in listed for problem in _problems(model, details)]


def _follows(details: ErrorDetails, error: ValidationError) -> bool:
    """Whether it is only the consequence of another error, which is listed itself."""
    if details["type"] == "default_factory_not_called":
        return True
    size, loc = len(details["loc"]), details["loc"]
    others = (each["loc"] for each in error.errors(include_url=False, include_input=False))
    # What is left of a list after its wrong entries may be too short.
    return details["type"] == "too_short" and any(o[:size] == loc != o for o in others)


def _problems(model: type[BaseSettings], details: ErrorDetails) -> Iterator[Problem]:
    cause = details.get("ctx", {}).get("error")
    # These know their own paths.
    if isinstance(cause, Contradictions):
        yield from cause.problems
        return
    path, kind, above = located(model, details["loc"])
    if details["type"] == "extra_forbidden":
        message = _unknown(str(details["loc"][-1]), above)
    elif details["type"] == "value_error":
        message = str(cause)
    else:
        message = _message(details) + _got(details, kind)
    # Only `handler` is chosen by a word, and that word is its `type`.
    if details["type"].startswith("union_tag"):
        path += ".type"
    yield Problem(path, message)


def located(model: Any, loc: tuple[int | str, ...]) -> tuple[str, Any, Any]:
    """The dotted path, the setting's kind, and the kind of what it stands in."""
    path, kind, above = "", model, model
    for step in loc:
        if step == KEY_MARK:
            break
        option = shape.option_of(kind, str(step))
        if option is not None:
            kind = option
            continue
        above = kind
        if isinstance(step, int):
            path, kind = f"{path}[{step}]", shape.entry(kind)
        else:
            kind = shape.fields(kind).get(step, shape.entry(kind))
            path = f"{path}.{step}" if path else step
    return path, kind, above


def _message(details: ErrorDetails) -> str:
    template = MESSAGES.get(details["type"])
    return template.format(**details.get("ctx", {})) if template else details["msg"].lower()


def _got(details: ErrorDetails, kind: Any) -> str:
    """The wrong value where it cannot be a secret; else what it is."""
    value, type_ = details["input"], details["type"]
    if type_ in SHOWN_WITHOUT:
        return ""
    if type_ == "union_tag_invalid":
        return f" (got {str(details['ctx']['tag'])[:40]!r})"
    if type_ in CHOICES and isinstance(value, str):
        return f" (got {value[:40]!r})"
    # A digest of digits alone is read as a number, and is a secret all the same.
    is_number = isinstance(value, int | float) and abs(value) < 1e15
    if is_number and not isinstance(value, bool) and not shape.may_be_in_file(kind):
        return f" (got {value:.12g})"
    return f" (got {_word(value)})"


def _word(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    words = {str: "text", dict: "a mapping", list: "a list", int: "a number", float: "a number"}
    return words.get(type(value), f"a {type(value).__name__}")


def _unknown(name: str, above: Any) -> str:
    known = list(shape.fields(above))
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
    return f"unknown setting; {hint}"
