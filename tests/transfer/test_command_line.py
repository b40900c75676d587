"""Configuration dataclasses as command lines and as YAML."""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass, field, fields
from typing import Annotated, Literal

import pytest
import yaml

from features.infrastructure.errors import InputError
from features.infrastructure.options import Range
from transfer.command_line import argument_parser, check_mapping, field_docs, from_mapping, read_command_line
from transfer.commands import COMMANDS


@dataclass(frozen=True, kw_only=True)
class Base:
    """What all have.

    Attributes:
        out: Where it
            goes: 5 % of `rate`.
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
    beta: Annotated[float, Range(0)] | Literal["auto"] = "auto"
    mode: Literal["fast", "slow"] = "fast"
    keep_all: bool = False


@pytest.fixture
def parsed(tmp_path):
    """A function that reads a command line, with a YAML file of the values that are given."""

    def read(*argv: str, given: dict | None = None) -> Example:
        file = tmp_path / "r.yaml"
        file.write_text(yaml.safe_dump(given or {}))
        return Example(**read_command_line(Example, [*argv, "--config", str(file)], ["items"])[0])

    return read


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_every_command_is_explained(command):
    config = COMMANDS[command].config()
    docs = field_docs(config)
    for option in fields(config):
        assert len(docs.get(option.name, "")) > 5, f"{config.__name__}.{option.name} has no entry in the docstring"
        assert docs[option.name].endswith(".")
    assert set(docs) == {option.name for option in fields(config)}  # and nothing that is not there is explained


@pytest.mark.parametrize("command", COMMANDS)
def test_every_positional_is_a_field_and_what_is_required_is_asked_for(command):
    config, positional = COMMANDS[command].config(), COMMANDS[command].positional
    required = {f.name for f in fields(config) if f.default is MISSING and f.default_factory is MISSING}
    assert set(positional) <= {f.name for f in fields(config)}
    if required:
        with pytest.raises(InputError) as refusal:
            read_command_line(config, [], positional)
        assert set(str(refusal.value).removeprefix("missing: ").split(", ")) == {f"`{name}`" for name in required}


def test_a_command_line_becomes_the_dataclass(parsed):
    assert parsed("--out", "o") == Example(out="o")
    found = parsed("a", "b", "--out", "o", "--names", "1", "2", "--rate=1e-3", "--keep-all", "--mode", "slow")
    assert found == Example(out="o", items=["a", "b"], names=[1, 2], rate=0.001, keep_all=True, mode="slow")
    assert parsed("--out", "o", "--depth", "3", "--beta", "0.25") == Example(out="o", depth=3, beta=0.25)
    assert parsed("--out", "o", "a", "b").items == ["a", "b"]  # positionals may stand last
    assert parsed("a", "--out", "o", "b").items == ["a", "b"]  # or anywhere


def test_help_shows_what_is_needed_first_and_inherited_options_by_headings():
    parser = argument_parser(Example, ["items"], prog="transfer example")
    text = parser.format_help()
    assert text.splitlines()[0] == "usage: transfer example [ITEMS …] --out OUT [options]"
    needed, rest = text.split("\nrequired:\n")[1].split("\noptions:\n")
    assert re.search(r"--out OUT +Where it goes: 5 % of --rate\.", needed) and "--out" not in rest
    assert re.search(r"--rate X +How fast\. \(default: 0\.5\)", text)
    assert re.search(r"--depth N +How deep at most\.\n", text)  # nothing is said of a default of None, or of types
    assert not re.search(r"\bint\b", text)
    own, inherited = rest.split("\nwhat all have:\n")
    assert "--rate X" in own and "--mode" in own and "--rate X" not in inherited and "--mode" not in inherited
    assert "--depth" in inherited and "--depth" not in own


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_an_option_stands_in_the_help_once(command):
    config, positional = COMMANDS[command].config(), COMMANDS[command].positional
    text = argument_parser(config, positional).format_help()
    for option in fields(config):
        if option.name not in positional:
            assert len(re.findall(rf"^  --{option.name.replace('_', '-')}\b(?!-)", text, re.MULTILINE)) == 1


@pytest.mark.parametrize("text", ["2024", "1e5", "true", "null", "[a].csv", "a: b", "{x}", "x,y", "ü 1"])
def test_text_stays_what_was_typed(parsed, text):
    found = parsed(text, "--out", text)
    assert found.out == text
    assert found.items == [text]


def test_what_the_command_line_says_goes_before_what_is_given(parsed):
    given = {"out": "o", "items": ["a"], "rate": 0.1, "keep_all": True, "names": [1]}
    assert parsed(given=given) == Example(**given)
    assert parsed("b", "--rate", "2", given=given) == Example(**given | {"items": ["b"], "rate": 2.0})
    assert parsed(given={"out": "o", "rate": "1e-3"}) == Example(out="o", rate=0.001)  # as YAML 1.1 reads 1e-3


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--depth", "deep"], "--depth deep: expected a whole number"),
        (["--depth", "1.5"], "--depth 1.5: expected a whole number"),
        (["--depth", "null"], "--depth null: expected a whole number"),
        (["--rate", "fast"], "--rate fast: expected a number"),
        (["--beta", "none"], "--beta none: expected a number or auto"),
        (["--mode", "medium"], "--mode medium: expected one of fast, slow"),
        (["--names", "1", "b"], "--names 1 b: expected a list of whole numbers"),
        (["--keep-al"], "unknown option --keep-al; did you mean --keep-all?"),
        (["--keep-al", "--depth", "deep"], "unknown option --keep-al; did you mean --keep-all?"),
        (["--rat=3"], "unknown option --rat=3; did you mean --rate?"),
        (["--zzz", "3"], "unknown option --zzz"),
        (["--deal", "3"], "unknown option --deal"),  # --keep-all and --depth share little but the dashes
        (["--rate"], "--rate: expected one argument"),
        (["--names"], "--names: expected at least one argument"),
        (["--keep-all=yes"], "--keep-all: ignored explicit argument 'yes'"),
    ],
)
def test_a_wrong_command_line_is_one_plain_line(argv, message):
    with pytest.raises(InputError) as refusal:
        read_command_line(Example, ["--out", "o", *argv], ["items"])
    assert refusal.value.on_command_line(["items"]) == message


def test_a_value_too_many():
    with pytest.raises(InputError) as refusal:
        read_command_line(Base, ["a", "b"], ["out"])
    assert str(refusal.value) == "too many values: b"


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
        ({"out": "o", "items": "a"}, 'r.yaml: `items` a: expected a list of texts, such as ["a"]'),
        ({"out": "o", "items": [1]}, "r.yaml: `items` 1: expected a list of texts"),
        ({"out": "o", "keep_all": "yes"}, "r.yaml: `keep_all` yes: expected true or false"),
        ({"out": "o", "rate": "fast"}, "r.yaml: `rate` fast: expected a number"),
        ({"out": "o", "rate": [1]}, "r.yaml: `rate` 1: expected a number"),
        ({"out": "o", "rate": True}, "r.yaml: `rate` True: expected a number"),
        ({"out": "o", "rate": None}, "r.yaml: `rate` None: expected a number"),
        ({"out": 2024}, "r.yaml: `out` 2024: expected text"),
        ({"rate": 1.0}, "r.yaml: missing: `out`"),
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
    with pytest.raises(InputError, match="`rate` fast: expected a number"):
        check_mapping(Example, {"rate": "fast"}, "r.yaml")


def test_a_class_explains_its_own_fields_before_its_base_does():
    docs = field_docs(Example)
    assert docs["depth"] == "How deep at most."
    assert docs["out"] == "Where it goes: 5 % of `rate`."
