"""The page of all settings says what the model says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tirelessd.settings import Settings, load, shape
from tirelessd.settings.reference import descriptions, page

ROOT = Path(__file__).parents[2]


def described(kind: Any, path: str = "") -> dict[str, str | None]:
    """Every setting below a kind with its description."""
    found: dict[str, str | None] = {}
    for option in shape.alternatives(kind) or [kind]:
        model = shape.bare(option)
        if isinstance(model, type) and issubclass(model, BaseModel):
            found |= {f"{path}{name}": descriptions(model).get(name) for name in model.model_fields}
    for name, below in shape.fields(kind).items():
        found |= described(shape.entry(below) or below, f"{path}{name}.")
    return found


DESCRIBED = described(Settings)
PAGE = page()


def test_page_is_up_to_date() -> None:
    """The committed page is what the model makes; renew it as its second line tells."""
    committed = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")

    assert committed == PAGE


@pytest.mark.parametrize("setting", sorted(DESCRIBED))
def test_every_setting_is_described(setting: str) -> None:
    """Each knob has a sentence, and the page has each knob."""
    description = DESCRIBED[setting]

    assert description
    assert f"| `{setting.rpartition('.')[2]}` |" in PAGE


@pytest.mark.parametrize(
    "example", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda p: p.name
)
def test_example_is_valid(example: Path) -> None:
    """Every configuration under examples/ is accepted as it stands."""
    settings = load(example)

    assert settings.queues
