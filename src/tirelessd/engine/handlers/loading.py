"""A handler's function, found by its name on the Python path."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

from tirelessd.core.errors import Misconfigured, StartError
from tirelessd.core.outcome import text_of_error


def load_function(path: str) -> Callable[..., Any]:
    """The function that `package.module:function` names; `Misconfigured` when it cannot serve.

    Importing runs the module's own code, whose errors are a `StartError`: they may pass.
    """
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise Misconfigured(f"handler function {path!r} must be written as package.module:function")
    found: Any = _import(path, module_name)
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            where = found.__name__ if isinstance(found, ModuleType) else repr(found)
            raise Misconfigured(f"handler function {path!r}: {where} has no {name!r}") from None
    _check(path, found)
    return cast(Callable[..., Any], found)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine: an `async def`, also behind a partial or `__call__`."""
    return _is_kind(inspect.iscoroutinefunction, function)


def _import(path: str, module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # The name tells a handler that is not there from one that lacks something itself.
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise Misconfigured(
                f"handler function {path!r}: no module {error.name!r} on the Python path"
            ) from error
        raise StartError(_broken(path, module_name, error)) from error
    except (Exception, SystemExit) as error:  # whatever the module's own code raises
        raise StartError(_broken(path, module_name, error)) from error


def _broken(path: str, module_name: str, error: BaseException) -> str:
    return f"handler function {path!r}: importing {module_name!r} failed: {text_of_error(error)}"


def _check(path: str, function: Any) -> None:
    if not callable(function) or inspect.isclass(function):
        kind = "class" if inspect.isclass(function) else type(function).__name__
        raise Misconfigured(f"handler function {path!r} is a {kind}, no function")
    if _is_kind(inspect.isgeneratorfunction, function) or _is_kind(
        inspect.isasyncgenfunction, function
    ):
        raise Misconfigured(f"handler function {path!r} is a generator; it must return its result")
    try:
        inspect.signature(function).bind("item", "context")
    except TypeError as error:
        raise Misconfigured(
            f"handler function {path!r} must take two arguments, item and context: {error}"
        ) from None
    except ValueError:
        return  # a function written in C may not tell what it takes


def _is_kind(predicate: Callable[[Any], bool], function: Any) -> bool:
    """Whether a function, or what an object with `__call__` or a partial calls, is of a kind."""
    while isinstance(function, functools.partial):
        function = function.func
    return predicate(function) or predicate(type(function).__call__)
