"""The figures of the house style, read off the syntax trees of Python files."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definable = ast.ClassDef | Function

FORKS = ast.If | ast.IfExp | ast.For | ast.AsyncFor | ast.While | ast.ExceptHandler | ast.match_case
LAYOUT = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
DIRECTIVE = re.compile(r"#\s*(noqa|type:|pragma|fmt:|mypy:|ruff:|!)")
CLOCKS = {"datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today"}
CLOCKS |= {"datetime.date.today"}
SLEEPS = {"time.sleep", "asyncio.sleep"}


@dataclass(frozen=True)
class Definition:
    """One class or function of a file."""

    where: str
    node: Definable
    is_public: bool

    @property
    def has_docstring(self) -> bool:
        """Whether it says what it promises."""
        return docstring(self.node) is not None

    @property
    def lines(self) -> int:
        """From its `def` to its end, the docstring left out."""
        said = docstring(self.node)
        return height(self.node) - (height(said) if said else 0)

    @property
    def branches(self) -> int:
        """McCabe's number, nested functions apart."""
        return 1 + sum(map(turns, own_nodes(self.node.body)))

    @property
    def bare_names(self) -> list[str]:
        """Parameters without a type, and `return` for a missing return type."""
        if isinstance(self.node, ast.ClassDef):
            return []
        given = self.node.args
        named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        bare = [slot.arg for slot in named if slot and not slot.annotation]
        bare += [] if self.node.returns else ["return"]
        return [name for name in bare if name not in {"self", "cls"}]


@dataclass(frozen=True)
class File:
    """One Python file; `name` is its dotted module name."""

    path: str
    name: str
    text: str

    @cached_property
    def syntax(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text, filename=self.path)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the parsed file, for a dozen rules look through them all."""
        return list(ast.walk(self.syntax))

    @cached_property
    def definitions(self) -> list[Definition]:
        """Every class and function, in order; overload stubs count for nothing."""
        return list(self._define(self.syntax.body, prefix="", is_public=True))

    @property
    def functions(self) -> list[Definition]:
        """Every function and method."""
        return [each for each in self.definitions if isinstance(each.node, Function)]

    @property
    def trials(self) -> list[Definition]:
        """Every test function."""
        return [each for each in self.functions if each.node.name.startswith("test")]

    @property
    def lines(self) -> int:
        """Physical lines."""
        return self.text.count("\n")

    @cached_property
    def code_lines(self) -> int:
        """Lines that carry code: no blanks, comments or docstrings."""
        return len(self._lines_of_code)

    @cached_property
    def comment_lines(self) -> int:
        """Lines with a comment for a reader; tool directives and a file's head are left out."""
        begins = min(self._lines_of_code | self._lines_of_docstrings, default=0)
        comments = (token for token in self._tokens if token.type == tokenize.COMMENT)
        return sum(
            token.start[0] > begins and not DIRECTIVE.match(token.string) for token in comments
        )

    @cached_property
    def imports(self) -> set[str]:
        """The dotted names it imports, also in functions and for a type checker only."""
        return {name for node in self.nodes for name in imported(node)}

    @cached_property
    def clocks(self) -> list[str]:
        """Where it names a clock, called or handed on."""
        named = ast.Name | ast.Attribute
        nodes = (node for node in self.nodes if isinstance(node, named))
        return [self._at(node) for node in nodes if is_clock(self.origin(node))]

    @cached_property
    def sleeps(self) -> list[str]:
        """Where it sleeps; `sleep(0)` only yields."""
        calls = [node for node in self.nodes if isinstance(node, ast.Call)]
        sleeps = [call for call in calls if self.origin(call.func) in SLEEPS]
        return [self._at(call) for call in sleeps if not is_zero(call.args)]

    def origin(self, node: ast.expr) -> str:
        """The dotted name of an expression with its imported head spelled out, or ''."""
        head, dot, rest = dotted(node).partition(".")
        return f"{self._aliases.get(head, head)}{dot}{rest}"

    @cached_property
    def _aliases(self) -> dict[str, str]:
        aliases = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                aliases.update({alias.asname: alias.name for alias in node.names if alias.asname})
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        return aliases

    @cached_property
    def _tokens(self) -> list[tokenize.TokenInfo]:
        return list(tokenize.generate_tokens(io.StringIO(self.text).readline))

    @cached_property
    def _lines_of_docstrings(self) -> set[int]:
        said = (docstring(node) for node in self.nodes)
        return {number for node in said if node for number in range(node.lineno, end_of(node) + 1)}

    @cached_property
    def _lines_of_code(self) -> set[int]:
        spans = (
            range(token.start[0], token.end[0] + 1)
            for token in self._tokens
            if token.type not in LAYOUT and token.type != tokenize.COMMENT
        )
        return {number for span in spans for number in span} - self._lines_of_docstrings

    def _define(
        self, body: Iterable[ast.AST], prefix: str, *, is_public: bool
    ) -> Iterator[Definition]:
        for node in body:
            if not isinstance(node, Definable):
                yield from self._define(ast.iter_child_nodes(node), prefix, is_public=is_public)
                continue
            name, marks = f"{prefix}{node.name}", decorators(node)
            is_seen = is_public and not node.name.startswith("_")
            if "overload" not in marks:
                inherits_words = marks & {"setter", "override"}
                yield Definition(f"{self._at(node)} {name}", node, is_seen and not inherits_words)
            is_inner_seen = is_seen and isinstance(node, ast.ClassDef)
            yield from self._define(node.body, f"{name}.", is_public=is_inner_seen)

    def _at(self, node: ast.expr | ast.stmt) -> str:
        return f"{self.path}:{node.lineno}"


@cache
def read_files(root: Path, folder: str, within: str = "") -> list[File]:
    """Every Python file below a folder of the project, by path; read and parsed once a run.

    `within` is the folder that imports start from, the root unless told otherwise.
    """
    return [
        File(
            path=str(path.relative_to(root)),
            name=".".join(path.relative_to(root / within).with_suffix("").parts).removesuffix(
                ".__init__"
            ),
            text=path.read_text(encoding="utf-8"),
        )
        for path in sorted((root / folder).rglob("*.py"))
    ]


def percentile(values: Iterable[int], share: float) -> int:
    """The value that `share` of the values do not exceed, by nearest rank; 0 of nothing."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0


def import_cycle(files: Iterable[File]) -> list[str]:
    """The modules of one import cycle, first and last the same; empty where there is none."""
    files = list(files)
    known = {file.name for file in files}
    graph = {
        file.name: {nearest(name, known) for name in file.imports} - {file.name, ""}
        for file in files
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as found:
        return list(found.args[1])
    return []


def nearest(name: str, known: set[str]) -> str:
    """The known module that a dotted name lies in, '' for a name from elsewhere."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def imported(node: ast.AST) -> list[str]:
    """The dotted names that one statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def docstring(node: ast.AST) -> ast.Expr | None:
    """The statement that is a module's, class's or function's docstring."""
    if isinstance(node, ast.Module | Definable) and ast.get_docstring(node) is not None:
        said = node.body[0]
        return said if isinstance(said, ast.Expr) else None
    return None


def own_nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """What lies in a body, without what lies in the functions and classes nested in it."""
    for node in body:
        yield node
        if not isinstance(node, Definable | ast.Lambda):
            yield from own_nodes(ast.iter_child_nodes(node))


def turns(node: ast.AST) -> int:
    """How many more ways through a function a node opens."""
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    return int(isinstance(node, FORKS))


def decorators(node: Definable) -> set[str]:
    """The last part of each decorator's name."""
    targets = (each.func if isinstance(each, ast.Call) else each for each in node.decorator_list)
    return {dotted(target).rpartition(".")[2] for target in targets}


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a name or a chain of attributes that begins with one, '' for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (head := dotted(node.value)):
        return f"{head}.{node.attr}"
    return ""


def is_clock(origin: str) -> bool:
    """Whether a dotted name tells the time, or waits for it: all of `time` does."""
    return origin in CLOCKS or origin.startswith("time.")


def is_zero(arguments: list[ast.expr]) -> bool:
    """Whether the first argument is a literal 0."""
    first = arguments[0] if arguments else None
    return isinstance(first, ast.Constant) and first.value == 0


def end_of(node: ast.stmt) -> int:
    """The last line of a statement."""
    return node.end_lineno or node.lineno


def height(node: ast.stmt) -> int:
    """How many lines a statement takes."""
    return end_of(node) - node.lineno + 1
