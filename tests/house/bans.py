"""What the house does not do: each finder lists the places in a file where it is done."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.house.measure import File, own_nodes

STARTERS = {"create_task", "ensure_future"}
GROUPS = {"asyncio.TaskGroup"}
BROAD = {"", "BaseException", "Exception"}
CANCELLED = {"asyncio.CancelledError", "BaseException", ""}
ROOMS_FOR_ANYTHING = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}


def vague_names(file: File) -> list[str]:
    """Module names that say nothing of what is inside."""
    return [name for name in file.name.split(".") if name.strip("_") in ROOMS_FOR_ANYTHING]


def stray_tasks(file: File) -> list[str]:
    """Tasks that are started where nobody waits for them; those of a task group are waited for."""
    groups = {name for node in file.nodes for name in bound_groups(file, node)}
    calls = [node for node in file.nodes if isinstance(node, ast.Call)]
    names = ((call, *file.origin(call.func).rpartition(".")) for call in calls)
    return [
        f"{file.path}:{call.lineno}"
        for call, owner, _, verb in names
        if verb in STARTERS and owner not in groups
    ]


def bound_groups(file: File, node: ast.AST) -> Iterator[str]:
    """The names that an `async with asyncio.TaskGroup() as name` gives."""
    if not isinstance(node, ast.AsyncWith):
        return
    for item in node.items:
        opened = item.context_expr
        is_group = isinstance(opened, ast.Call) and file.origin(opened.func) in GROUPS
        if is_group and isinstance(item.optional_vars, ast.Name):
            yield item.optional_vars.id


def swallowed_errors(file: File) -> list[str]:
    """Where any error at all is caught and nothing is made of it."""
    handlers = [node for node in file.nodes if isinstance(node, ast.ExceptHandler)]
    silent = [node for node in handlers if is_silent(node) and BROAD & caught(file, node.type)]
    return [f"{file.path}:{node.lineno}" for node in silent] + suppressions(file, BROAD)


def swallowed_cancellations(file: File) -> list[str]:
    """Where a coroutine catches its cancellation, and it cannot get out again.

    A plain function cannot be cancelled: what it catches there is the end of another's work.
    """
    coroutines = [
        each.node for each in file.functions if isinstance(each.node, ast.AsyncFunctionDef)
    ]
    nodes = [node for coroutine in coroutines for node in own_nodes(coroutine.body)]
    handlers = [node for node in nodes if isinstance(node, ast.ExceptHandler)]
    catching = [node for node in handlers if CANCELLED & caught(file, node.type)]
    kept = [node for node in catching if not can_raise(node)]
    return [f"{file.path}:{node.lineno}" for node in kept] + suppressions(file, CANCELLED)


def caught(file: File, node: ast.expr | None) -> set[str]:
    """The dotted names an `except` catches; '' is everything."""
    if node is None:
        return {""}
    classes = node.elts if isinstance(node, ast.Tuple) else [node]
    return {file.origin(each) or "?" for each in classes}


def is_silent(handler: ast.ExceptHandler) -> bool:
    """Whether an `except` does nothing at all."""
    idle = ast.Pass | ast.Continue | ast.Break
    return all(
        isinstance(node, idle)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in handler.body
    )


def can_raise(handler: ast.ExceptHandler) -> bool:
    """Whether an `except` has a way that raises."""
    return any(isinstance(node, ast.Raise) for node in own_nodes(handler.body))


def suppressions(file: File, errors: set[str]) -> list[str]:
    """Where `contextlib.suppress` is given one of the errors."""
    calls = [node for node in file.nodes if isinstance(node, ast.Call)]
    return [
        f"{file.path}:{call.lineno}"
        for call in calls
        if file.origin(call.func) == "contextlib.suppress"
        and errors & {file.origin(each) for each in call.args}
    ]
