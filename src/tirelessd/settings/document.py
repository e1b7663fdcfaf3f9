"""The settings file: bounded, UTF-8, one YAML mapping, every key text and given once."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import yaml

from tirelessd.settings.problems import Problem, SettingsError

# Room for thousands of queues; a larger file is a mistaken path.
FILE_BYTES: Final = 4_194_304
MERGE_TAG: Final = "tag:yaml.org,2002:merge"


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML in which a key that comes twice, or is not text, is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  (the library's signature)
        seen: set[str] = set()
        # Before the library merges: what a mapping says beside `<<` may repeat what is merged in.
        for key, _ in node.value:
            if key.tag == MERGE_TAG:
                continue
            # YAML 1.1 reads an unquoted on, no or 7 as something else than text.
            if key.tag != "tag:yaml.org,2002:str":
                raise yaml.MarkedYAMLError(
                    problem="a key must be text: put it into quotes", problem_mark=key.start_mark
                )
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value!r} is given twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_document(path: Path) -> dict[str, Any]:
    """The file's mapping, empty for an empty file; raises `SettingsError` naming the file."""
    try:
        with path.open("rb") as stream:
            content = stream.read(FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _unfit(path, f"cannot be read: {_reason(error)}") from None
    if len(content) > FILE_BYTES:
        raise _unfit(path, f"is larger than {FILE_BYTES} bytes")
    try:
        document = parse_yaml(content)
    except ValueError as error:
        raise _unfit(path, str(error)) from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise _unfit(path, "must be a mapping of settings, such as `store: sqlite:///…`")
    return document


def parse_yaml(content: bytes | str) -> Any:
    """The value of one YAML document; raises `ValueError` with one line that says where."""
    try:
        return yaml.load(content, _StrictLoader)  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}{error.problem or error.context}") from None
    except yaml.YAMLError:
        raise ValueError("is not YAML in UTF-8") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    # The library reads 2026-13-45 as a date, and a number of ten thousand digits as one.
    except (ValueError, OverflowError):
        raise ValueError("has a number or a date that cannot be read") from None


def _unfit(path: Path, message: str) -> SettingsError:
    return SettingsError([Problem(str(path), message)])


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file; name another with --config or TIRELESSD_CONFIG"
    return (isinstance(error, OSError) and error.strerror) or "not a path"
