"""The chart, rendered by the real Helm engine; each set of values once in a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import helm_python
import msgspec
import yaml

FOLDER: Final = Path(__file__).parents[2] / "helm" / "tirelessd"
RELEASE: Final = "shop"
NAMESPACE: Final = "orders"

Values = Mapping[str, Any]
Manifest = dict[str, Any]


def render(values: Values, *, name: str = RELEASE) -> list[Manifest]:
    """Every object that an installation with these values would make, the tests' too.

    They are shared by all who ask for these values, so nobody may change them.
    """
    return list(_documents(msgspec.json.encode(values), name))


@cache
def _documents(values: bytes, name: str) -> tuple[Manifest, ...]:
    # The loader in C, for rules and dashboards are long.
    return tuple(
        document
        for path, text in _rendered(values, name).items()
        if path.endswith(".yaml")
        for document in yaml.load_all(text, Loader=yaml.CSafeLoader)
        if document
    )


def notes(values: Values) -> str:
    """What the one who installs it is told."""
    return _rendered(msgspec.json.encode(values), RELEASE)["tirelessd/templates/NOTES.txt"]


@cache
def _rendered(values: bytes, name: str) -> dict[str, str]:
    return _chart().render(msgspec.json.decode(values), name=name, namespace=NAMESPACE)


@cache
def _chart() -> helm_python.Chart:
    return helm_python.Chart.load(FOLDER)


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    """The objects of these kinds."""
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def the(manifests: list[Manifest], kind: str) -> Manifest:
    """The only object of a kind."""
    (manifest,) = of_kind(manifests, kind)
    return manifest


def is_hook(manifest: Manifest) -> bool:
    """Whether it is there only before an installation or upgrade, or for a test."""
    return "helm.sh/hook" in manifest["metadata"].get("annotations", {})


def workloads(manifests: list[Manifest]) -> list[Manifest]:
    """What runs the daemon."""
    return of_kind(manifests, "StatefulSet", "Deployment")


def pods(manifests: list[Manifest]) -> list[Manifest]:
    """The specification of every pod there will be, those of tests and hooks too."""
    return [
        *(manifest["spec"]["template"]["spec"] for manifest in of_kind(manifests, *TEMPLATED)),
        *(manifest["spec"] for manifest in of_kind(manifests, "Pod")),
    ]


def containers(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Every container of every pod."""
    for pod in pods(manifests):
        yield from pod.get("initContainers", [])
        yield from pod["containers"]


TEMPLATED: Final = ("StatefulSet", "Deployment", "Job")


def configuration(manifests: list[Manifest]) -> str:
    """The daemon's configuration, as it will find it."""
    (text,) = [
        each["data"]["tirelessd.yaml"]
        for each in of_kind(manifests, "ConfigMap")
        if "tirelessd.yaml" in each["data"] and not is_hook(each)
    ]
    return str(text)
