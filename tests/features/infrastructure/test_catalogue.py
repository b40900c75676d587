"""Rows of one kind, collected from the modules that define them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from features.infrastructure.catalogue import Catalogue
from features.infrastructure.errors import InputError


@dataclass(frozen=True)
class Animal:
    name: str
    meaning: str


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue[Animal]:
    """A package of two modules, of three rows."""
    package = tmp_path / "made_up_zoo"
    package.mkdir()
    (package / "__init__.py").touch()
    header = f"import sys\nAnimal = sys.modules[{__name__!r}].Animal\n"
    (package / "birds.py").write_text(header + 'A = Animal("wren", "small")\nB = Animal("auk", "black and white")\n')
    (package / "cats.py").write_text(header + 'from made_up_zoo.birds import A\nROWS = (Animal("lynx", "shy"),)\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    yield Catalogue("animal", Animal, "made_up_zoo", "made_up.animals")
    for name in [name for name in sys.modules if name.startswith("made_up_zoo")]:
        del sys.modules[name]


def test_rows_stand_in_the_order_of_modules_and_definitions(zoo: Catalogue[Animal]) -> None:
    assert list(zoo) == ["wren", "auk", "lynx"]
    assert zoo["auk"].meaning == "black and white" and len(zoo) == 3
    assert zoo.meanings() == {"wren": "small", "auk": "black and white", "lynx": "shy"}


def test_an_unknown_name_is_one_line_with_a_suggestion(zoo: Catalogue[Animal]) -> None:
    with pytest.raises(InputError, match=r"^`animal` wrenn: there is no such animal; did you mean wren\?"):
        zoo.find("wrenn")
    with pytest.raises(InputError, match=r"^`pet` x: there is no such animal; expected one of wren, auk, lynx$"):
        zoo.find("x", "pet")
    assert zoo.find("lynx") is zoo["lynx"]


def test_two_rows_of_one_name_are_refused(zoo: Catalogue[Animal], tmp_path: Path) -> None:
    copy = (tmp_path / "made_up_zoo" / "birds.py").read_text()
    (tmp_path / "made_up_zoo" / "more_birds.py").write_text(copy)
    where = r"in made_up_zoo\.birds and in made_up_zoo\.more_birds"
    with pytest.raises(ValueError, match=f"two rows of kind animal are called 'wren', {where}"):
        list(zoo)
