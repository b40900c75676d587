"""Configuration dataclasses as command lines and as YAML."""

from __future__ import annotations

import importlib
import re
from dataclasses import MISSING, dataclass, field, fields
from typing import ClassVar, Literal

import pytest
from jsonargparse import ArgumentError

from features.infrastructure.errors import InputError
from transfer.arguments import _field_docs, check_mapping, config_parser, from_mapping, plain_error, to_config
from transfer.cli import COMMANDS


def config_of(command: str) -> type:
    module, _, name = COMMANDS[command].config.partition(":")
    return getattr(importlib.import_module(module), name)


@dataclass(frozen=True, kw_only=True)
class Base:
    """What all have.

    Attributes:
        out: Where it
            goes.
        depth: How deep.
    """

    out: str
    depth: int | None = None


@dataclass(frozen=True, kw_only=True)
class Example(Base):
    """An example of every kind of field.

    Attributes:
        items: What is read.
        names: Some names.
        rate: How fast.
        beta: A share, or auto.
        mode: How.
        keep_all: Keep everything.
        depth: How deep at most.
    """

    items: list[str] = field(default_factory=list)
    names: list[int] | None = None
    rate: float = 0.5
    beta: float | Literal["auto"] = "auto"
    mode: Literal["fast", "slow"] = "fast"
    keep_all: bool = False


@dataclass(frozen=True, kw_only=True)
class Grouped(Example):
    """With headings."""

    GROUPS: ClassVar = {"speed": ("rate", "mode")}


def parsed(*argv: str, given: dict | None = None) -> Example:
    return to_config(Example, config_parser(Example, ["items"], given).parse_args(list(argv)))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_every_command_is_explained(command):
    config = config_of(command)
    docs = _field_docs(config)
    for option in fields(config):
        assert len(docs.get(option.name, "")) > 5, f"{config.__name__}.{option.name} has no entry in the docstring"
        assert docs[option.name].endswith(".")
    assert set(docs) == {option.name for option in fields(config)}  # and nothing that is not there is explained


@pytest.mark.parametrize("command", COMMANDS)
def test_every_positional_is_a_field_and_what_is_required_is_asked_for(command):
    config, positional = config_of(command), COMMANDS[command].positional
    required = {f.name for f in fields(config) if f.default is MISSING and f.default_factory is MISSING}
    assert set(positional) <= {f.name for f in fields(config)}
    if required:
        with pytest.raises(ArgumentError, match="required") as refusal:
            config_parser(config, positional).parse_args([])
        said = plain_error(refusal.value, config, positional).removeprefix("missing: ").split(", ")
        assert {word.removeprefix("--").replace("-", "_") for word in said} == required
        assert {word for word in said if not word.startswith("-")} == required & set(positional)


def test_a_command_line_becomes_the_dataclass():
    assert parsed("--out", "o") == Example(out="o")
    found = parsed("a", "b", "--out", "o", "--names", "1", "2", "--rate=1e-3", "--keep-all", "--mode", "slow")
    assert found == Example(out="o", items=["a", "b"], names=[1, 2], rate=0.001, keep_all=True, mode="slow")
    assert parsed("--out", "o", "--depth", "3", "--beta", "0.25") == Example(out="o", depth=3, beta=0.25)
    assert parsed("--out", "o", "a", "b").items == ["a", "b"]  # positionals may stand last


def test_help_shows_what_is_needed_first_and_the_rest_by_headings():
    parser = config_parser(Grouped, ["items"], prog="transfer example")
    text = parser.format_help()
    assert text.splitlines()[0] == "usage: transfer example [ITEMS …] --out OUT [options]"
    assert re.search(r"--out OUT +Where it goes\. \(required\)", text)
    assert re.search(r"--rate X +How fast\. \(default: 0\.5\)", text)
    assert re.search(r"--depth N +How deep at most\.\n", text)  # nothing is said of a default of None, or of types
    assert "int" not in text
    plain, speed = text.split("\nspeed:\n")
    assert "--rate" in speed and "--mode" in speed and "--rate" not in plain and "--mode" not in plain


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_an_option_stands_below_one_heading(command):
    config = config_of(command)
    names = [name for group in config.GROUPS.values() for name in group]
    assert len(names) == len(set(names))
    assert set(names) <= {option.name for option in fields(config)}


@pytest.mark.parametrize("text", ["2024", "1e5", "true", "null", "[a].csv", "a: b", "{x}", "x,y", "ü 1"])
def test_text_stays_what_was_typed(text):
    found = parsed(text, "--out", text)
    assert found.out == text
    assert found.items == [text]


def test_what_the_command_line_says_goes_before_what_is_given():
    given = {"out": "o", "items": ["a"], "rate": 0.1, "keep_all": True, "names": [1]}
    assert parsed(given=given) == Example(**given)
    assert parsed("b", "--rate", "2", given=given) == Example(**given | {"items": ["b"], "rate": 2.0})
    assert parsed(given={"out": "o", "rate": "1e-3"}) == Example(out="o", rate=0.001)  # as YAML 1.1 reads 1e-3


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--depth", "deep"], "--depth deep: expected a whole number"),
        (["--depth", "1.5"], "--depth 1.5: expected a whole number"),
        (["--rate", "fast"], "--rate fast: expected a number"),
        (["--beta", "none"], "--beta none: expected a number or auto"),
        (["--mode", "medium"], "--mode medium: expected one of fast, slow"),
        (["--keep-al"], "unknown option --keep-al; did you mean --keep-all?"),
        (["--rat=3"], "unknown option --rat=3; did you mean --rate?"),
        (["--zzz", "3"], "unknown option --zzz"),
        (["--rate"], "argument --rate: expected one argument"),
    ],
)
def test_a_wrong_command_line_is_one_plain_line(argv, message):
    with pytest.raises(ArgumentError) as refusal:
        parsed("--out", "o", *argv)
    assert plain_error(refusal.value, Example, ["items"]) == message


def test_a_value_too_many():
    parser = config_parser(Base, ["out"])
    with pytest.raises(ArgumentError) as refusal:
        parser.parse_args(["a", "b"])
    assert plain_error(refusal.value, Base, ["out"]) == "too many values: b"


def test_a_mapping_becomes_the_dataclass():
    values = {"out": "o", "items": ["a"], "depth": 2, "beta": 0.5, "keep_all": True}
    assert from_mapping(Example, values, "r.yaml") == Example(**values)
    assert from_mapping(Example, {"out": "o", "depth": None}, "r.yaml") == Example(out="o")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"out": "o", "rat": 1}, "r.yaml: unknown option 'rat'; did you mean rate?"),
        ({"out": "o", "xyz": 1}, "r.yaml: unknown option 'xyz'; expected one of out, depth, items, names"),
        ({"out": "o", 3: 1}, "r.yaml: unknown option 3; expected one of"),
        ({"out": "o", "items": "a"}, "r.yaml: items must be a list, got 'a'"),
        ({"out": "o", "items": [1]}, "r.yaml: --items 1: expected a list of texts"),
        ({"out": "o", "keep_all": "yes"}, "r.yaml: keep_all must be true or false, got 'yes'"),
        ({"out": "o", "rate": "fast"}, "r.yaml: --rate fast: expected a number"),
        ({"out": "o", "rate": [1]}, "r.yaml: --rate [1]: expected a number"),
        ({"out": 2024}, "r.yaml: --out 2024: expected text"),
        ({"rate": 1.0}, "r.yaml: missing: out"),
        (["out"], "r.yaml: expected options as 'name: value' lines, got list"),
        ("out", "r.yaml: expected options as 'name: value' lines, got str"),
    ],
)
def test_a_wrong_mapping_is_one_plain_line(values, message):
    with pytest.raises(InputError) as refusal:
        from_mapping(Example, values, "r.yaml")
    assert str(refusal.value).startswith(message)


def test_required_options_may_come_from_the_command_line_later():
    check_mapping(Example, {"rate": 2.0}, "r.yaml")
    with pytest.raises(InputError, match="--rate fast: expected a number"):
        check_mapping(Example, {"rate": "fast"}, "r.yaml")


def test_a_class_explains_its_own_fields_before_its_base_does():
    docs = _field_docs(Example)
    assert docs["depth"] == "How deep at most."
    assert docs["out"] == "Where it goes."
