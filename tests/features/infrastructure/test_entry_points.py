"""Rows of other packages, which stand as metadata and modules in a folder of the path, as pip leaves them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from features.infrastructure import console
from features.infrastructure.catalogue import Catalogue
from features.infrastructure.entry_points import LOADED
from features.infrastructure.errors import InputError
from features.infrastructure.provenance import versions

HEADER = f"import sys\nAnimal = sys.modules[{__name__!r}].Animal\n"


@dataclass(frozen=True)
class Animal:
    name: str
    meaning: str


Install = Callable[[str, str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """A function that installs a package: its name, the code of its module, and the lines of its entry points."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    console.say_once.cache_clear()
    made = ["own_zoo"]

    def made_package(name: str, code: str, lines: str) -> None:
        info = tmp_path / f"{name}-0.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.3\n")
        (info / "entry_points.txt").write_text(f"[zoo.animals]\n{lines}\n")
        (tmp_path / f"{name}.py").write_text(HEADER + code)
        made.append(name)

    yield made_package
    for name in [name for name in sys.modules if name.partition(".")[0] in made]:
        del sys.modules[name]
    for name in made:
        LOADED.pop(name, None)


@pytest.fixture
def zoo(install: Install, tmp_path: Path) -> Catalogue[Animal]:
    """The toolkit's own rows: a wren and an auk."""
    (tmp_path / "own_zoo").mkdir()
    (tmp_path / "own_zoo" / "__init__.py").touch()
    rows = 'A = Animal("wren", "small")\nB = Animal("auk", "black and white")\n'
    (tmp_path / "own_zoo" / "birds.py").write_text(HEADER + rows)
    return Catalogue("animal", Animal, "own_zoo", "zoo.animals")


def test_rows_of_other_packages_stand_last_in_the_order_of_names(zoo: Catalogue[Animal], install: Install) -> None:
    install("a_cats", 'LYNX = Animal("lynx", "shy")', "lynx = a_cats:LYNX")
    install("b_birds", 'ANI = Animal("ani", "a cuckoo")', "ani = b_birds:ANI")
    assert list(zoo) == ["wren", "auk", "ani", "lynx"] and len(zoo) == 4
    assert zoo.find("lynx") is zoo["lynx"] and zoo["lynx"].meaning == "shy"
    assert zoo.meanings()["wren"] == "small"
    assert zoo.meanings()["lynx"] == "shy (of the package a_cats 0.3)"


def test_a_package_is_imported_when_its_row_is_asked_for(zoo: Catalogue[Animal], install: Install) -> None:
    install("a_cats", 'LYNX = Animal("lynx", "shy")', "lynx = a_cats:LYNX")
    install("a_dogs", 'FOX = Animal("fox", "sly")', "fox = a_dogs:FOX")
    assert zoo["wren"].name == "wren" and "cow" not in zoo and next(iter(zoo)) == "wren"
    assert not {"a_cats", "a_dogs"} & sys.modules.keys() and not {"a_cats", "a_dogs"} & versions().keys()
    assert "lynx" in zoo
    assert "a_cats" in sys.modules and "a_dogs" not in sys.modules
    assert versions()["a_cats"] == "0.3" and "a_dogs" not in versions()


BROKEN = [
    ("raise OSError('no\\nlibrary')", "x = pack:X", "pack:X cannot be imported (OSError: no library)"),
    ("raise SystemExit(3)", "x = pack:X", "pack:X cannot be imported (SystemExit: 3)"),
    ("", "x = pack:X", "pack:X cannot be imported (AttributeError: module 'pack' has no attribute 'X')"),
    ("", "x = pick:X", "pick:X cannot be imported (ModuleNotFoundError: No module named 'pick')"),
    ("X = 'x'", "x = pack:X", f"pack:X is a str, not a {__name__}.Animal"),
    ("X = Animal('y', '')", "x = pack:X", "pack:X calls itself y, and the entry point must have that name"),
]


@pytest.mark.parametrize(("code", "lines", "why"), BROKEN)
def test_a_row_that_cannot_be_used_is_one_line_and_left_out(
    zoo: Catalogue[Animal], install: Install, capsys: pytest.CaptureFixture[str], code: str, lines: str, why: str
) -> None:
    install("pack", code, lines)
    said = f"the package pack 0.3 adds the animal x, which cannot be used: {why}; repair or uninstall the package"
    assert zoo["wren"].name == "wren" and "x" not in zoo and zoo.get("x") is None
    assert capsys.readouterr().err == ""  # neither is this row needed
    with pytest.raises(InputError, match=rf"^`animal` x: {re.escape(said)}$"):
        zoo.find("x")
    assert list(zoo) == ["wren", "auk"] == list(zoo)
    assert capsys.readouterr().err == said + "\n"  # once


def test_a_name_of_the_toolkit_keeps_its_meaning(
    zoo: Catalogue[Animal], install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("pack", "X = Animal('wren', 'another')", "wren = pack:X")
    assert zoo["wren"].meaning == "small" and list(zoo) == ["wren", "auk"] and "pack" not in sys.modules
    assert capsys.readouterr().err == (
        "the package pack 0.3 adds the animal wren, which cannot be used: the toolkit has one of this name itself; "
        "repair or uninstall the package\n"
    )


def test_two_packages_with_one_name_are_both_left_out(
    zoo: Catalogue[Animal], install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        install(name, "X = Animal('lynx', '')", f"lynx = {name}:X")
    with pytest.raises(InputError) as refusal:
        zoo.find("lynx")
    said = "the packages one 0.3 and two 0.3 each add the animal lynx; uninstall all but one"
    assert str(refusal.value) == f"`animal` lynx: {said}"
    assert list(zoo) == ["wren", "auk"] and capsys.readouterr().err == said + "\n"
    assert not {"one", "two"} & sys.modules.keys()
