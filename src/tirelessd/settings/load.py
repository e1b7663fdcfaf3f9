"""From a file and the environment to settings, or to the full list of what is wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tirelessd.settings.document import read_document
from tirelessd.settings.environment import DELIMITER, PREFIX, our_variables, spelled
from tirelessd.settings.explain import problems_of
from tirelessd.settings.model import Role, Settings
from tirelessd.settings.problems import Contradictions, Problem, SettingsError


def load(path: Path, role: Role | None = None) -> Settings:
    """The settings of a YAML file with the environment over them; raises `SettingsError`.

    A `role` that the command line gives has the last word.
    """
    return parse(read_document(path), role)


def parse(document: Mapping[str, Any], role: Role | None = None) -> Settings:
    """The settings of plain values with the environment over them; raises `SettingsError`."""
    try:
        settings = Settings(**document)
        return settings if role is None else settings.in_role(role)
    except ValidationError as error:
        raise SettingsError([*map(with_variable, problems_of(Settings, error))]) from None
    except Contradictions as error:
        raise SettingsError(error.problems) from None


def with_variable(problem: Problem) -> Problem:
    """The problem, saying so when it was an environment variable that gave the value."""
    # Compared without delimiters, for in a path the dot of a queue's name looks like one.
    setting = PREFIX + spelled(problem.setting)
    for variable in our_variables(os.environ):
        if variable.replace(DELIMITER, "_") == setting.replace(DELIMITER, "_"):
            return problem._replace(message=f"{problem.message}, set by {variable}")
    return problem
