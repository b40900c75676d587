"""Ranges and choices of options."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Annotated, Literal

import pytest

from features.infrastructure.errors import InputError
from features.infrastructure.options import Range, check_ranges, default_of


@dataclass(frozen=True)
class Options:
    """Some options."""

    epochs: Annotated[int | None, Range(1)] = None
    share: Annotated[float, Range(0, 1, above=True, below=True)] = 0.5
    beta: Annotated[float, Range(0)] | Literal["auto"] = "auto"
    steps: list[Annotated[float, Range(0, 1)]] = field(default_factory=lambda: [0.5])
    flag: bool = False


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "words"),
    [
        (Range(1), [1, 2, 1e300], [0.999, float("inf"), float("nan")], "at least 1"),
        (Range(0, above=True), [1e-9], [0, -1], "above 0"),
        (Range(0, 1), [0, 1], [-1e-9, 1.1], "at least 0 and at most 1"),
        (Range(0, 1, above=True, below=True), [0.5], [0, 1], "above 0 and below 1"),
        (Range(), [-5], [float("-inf")], "a finite number"),
    ],
)
def test_a_range(bounds: Range, inside: list[float], outside: list[float], words: str) -> None:
    assert all(value in bounds for value in inside)
    assert not any(value in bounds for value in outside)
    assert str(bounds) == words


def test_every_number_out_of_range_is_named_at_once() -> None:
    check_ranges(Options())
    check_ranges(Options(epochs=3, share=0.1, beta=2, steps=[0, 1]))
    with pytest.raises(InputError) as refusal:
        check_ranges(Options(epochs=0, share=1.0, beta=-1, steps=[0.5, 3]))
    assert str(refusal.value) == (
        "`epochs` 0: expected at least 1; `share` 1.0: expected above 0 and below 1; "
        "`beta` -1: expected auto, or at least 0; `steps` 3: expected at least 0 and at most 1"
    )


@dataclass(frozen=True)
class Chosen:
    """Options with literals."""

    optimizer: Literal["sgd", "adamw"] | None = None
    views: Literal[1, 5] = 1
    beta: Annotated[float, Range(0)] | Literal["auto"] = "auto"
    name: str = "any"


def test_a_value_that_is_not_among_the_choices_is_refused() -> None:
    check_ranges(Chosen())
    check_ranges(Chosen(optimizer="adamw", views=5, beta=3))
    with pytest.raises(InputError) as refusal:
        check_ranges(Chosen(optimizer="adam", views=3, beta="big"))
    assert str(refusal.value) == (
        "`optimizer` adam: expected one of sgd, adamw; `views` 3: expected one of 1, 5; "
        "`beta` big: expected auto, or at least 0"
    )


def test_the_default_of_a_field() -> None:
    assert [default_of(option) for option in fields(Options)] == [None, 0.5, "auto", [0.5], False]
