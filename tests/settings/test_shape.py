"""The shape of a model: what stands below a setting, and what kind it is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr, Tag

from tirelessd.settings import shape
from tirelessd.settings.kinds import SecretText, StoreUrl


class Cat(BaseModel):
    """One alternative."""

    type: Literal["cat"]
    lives: Annotated[int, Field(ge=1)] = 9


class Dog(BaseModel):
    """The other one."""

    type: Literal["dog"]
    name: str


class House(BaseModel):
    """Something with all that a setting can be."""

    pet: Cat | Dog
    guest: Dog | None = None
    rooms: dict[str, Cat] = {}
    keys: Annotated[tuple[SecretText, ...], Field(max_length=3)] | None = None


def kind(name: str) -> Any:
    """The kind of a field of the house."""
    return shape.fields(House)[name]


def test_fields_of_a_section_are_its_settings() -> None:
    """A model's fields stand below it, in order."""
    assert list(shape.fields(House)) == ["pet", "guest", "rooms", "keys"]


def test_fields_of_alternatives_are_those_of_all() -> None:
    """Below a choice stands whatever one of its options has."""
    assert list(shape.fields(kind("pet"))) == ["type", "lives", "name"]


def test_optional_section_is_that_section() -> None:
    """None is no alternative."""
    assert list(shape.fields(kind("guest"))) == ["type", "name"]


@pytest.mark.parametrize("leaf", [int, str, SecretText, Literal["a"], int | None])
def test_nothing_stands_below_a_value(leaf: Any) -> None:
    """A value has no settings below it, and no entries."""
    assert shape.fields(leaf) == {}
    assert shape.entry(leaf) is None
    assert not shape.is_mapping(leaf)


def test_entries_of_containers_are_known() -> None:
    """A mapping's values and a list's elements are found, through None and annotations too."""
    assert shape.entry(kind("rooms")) is Cat
    assert shape.bare(shape.entry(kind("keys"))) is SecretStr


def test_only_mappings_have_names_of_ones_own() -> None:
    """A list's entries have no names."""
    assert shape.is_mapping(kind("rooms"))
    assert not shape.is_mapping(kind("keys"))


@pytest.mark.parametrize(
    ("leaf", "is_text"),
    [(str, True), (SecretText, True), (StoreUrl, True), (int, False), (Literal["a"], False)],
)
def test_text_is_told_from_the_rest(leaf: Any, is_text: bool) -> None:  # noqa: FBT001  (a parameter)
    """Only text is taken from a variable as it stands."""
    assert shape.is_text(leaf) is is_text


def test_files_may_stand_for_marked_text_only() -> None:
    """The mark is found through further annotations, and plain text has none."""
    assert shape.may_be_in_file(SecretText)
    assert shape.may_be_in_file(Annotated[StoreUrl, Field(min_length=1)])
    assert not shape.may_be_in_file(str)
    assert not shape.may_be_in_file(Annotated[str, Field(min_length=1)])


def test_option_is_found_by_its_type() -> None:
    """A discriminator's word leads to the alternative whose `type` it is."""
    assert shape.option_of(kind("pet"), "dog") is Dog
    assert shape.option_of(kind("pet"), "cow") is None
    assert shape.option_of(Cat, "cat") is None


def test_option_is_found_by_its_tag() -> None:
    """A tag leads to the alternative that carries it."""
    choice = Annotated[Literal["none"], Tag("none")] | Annotated[Dog, Tag("some")]

    assert shape.bare(shape.option_of(choice, "some")) is Dog
