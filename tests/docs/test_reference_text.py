"""The reference names every command, option, scheme, key and row, with what the program says of it."""

from __future__ import annotations

import importlib
import re
from dataclasses import fields
from pathlib import Path

import pytest
from page_blocks import blocks_of
from reference_text import PACKAGES, ROWS, catalogue, commands, prose, recipe_keys, schemes

from features.infrastructure.catalogue import Catalogue
from features.infrastructure.errors import flag
from features.readers.scheme import SCHEMES
from features.readers.spec_options import GENERIC_OPTIONS
from transfer.arm import Arm
from transfer.command_line import argument_parser
from transfer.commands import COMMANDS
from transfer.kinds import KINDS
from transfer.recipe import Recipe


def sections(text: str) -> dict[str, str]:
    """Heading → what stands below it."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.fixture(scope="module")
def of_command() -> dict[str, str]:
    return sections(commands())


def test_every_command_has_a_section_in_the_order_of_use(of_command):
    assert list(of_command) == [f"transfer {name}" for name in COMMANDS]


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
def test_a_command_has_every_option_once_under_the_heading_of_its_help(command, of_command):
    config, text = command.config(), of_command[f"transfer {command.name}"]
    terms = re.findall(r"^`([\w-]+)", text, re.MULTILINE)
    expected = [
        field.name.upper() if field.name in command.positional else flag(field.name) for field in fields(config)
    ]
    assert sorted(terms) == sorted(expected)
    help_text = argument_parser(config, command.positional, "transfer").format_help()
    headings = re.findall(r"^([a-z].*):$", help_text, re.MULTILINE)
    shown = re.findall(r"\{rubric\} (.+)", text)
    assert [heading.lower() for heading in shown] == [heading for heading in headings if heading.capitalize() in shown]
    for heading, below in zip(shown, re.split(r":::\{rubric\} .+", text)[1:], strict=True):
        of_help = help_text.partition(f"\n{heading.lower()}:\n")[2]
        of_help = re.split(r"^\S", of_help, maxsplit=1, flags=re.MULTILINE)[0]
        for term in re.findall(r"^`(--\S+?)[` ]", below, re.MULTILINE):
            assert f"  {term}" in of_help, (heading, term)


def test_an_option_has_its_type_range_choices_and_default(of_command):
    rank = of_command["transfer rank"]
    assert "`--bootstrap N`, a whole number, at least 0 and at most 1000000, default `20`\n: Bootstrap" in rank
    assert "`--target TARGET`, text, required\n: " in rank
    assert "`--overwrite`\n: " in rank
    assert "`--seed N`, a whole number, at least 0 and at most 4294967295, default `0`\n: " in rank
    assert "`--precision {auto,fp32,bf16}`, default `auto`\n: " in of_command["transfer extract"]
    assert "`similarity.find_duplicates(DuplicatesConfig(…))`" in of_command["transfer duplicates"]


def test_the_function_in_python_and_its_configuration_are_promised(of_command):
    line = re.compile(r"^In Python: `(\w+)\.(\w+)\((\w+)\(…\)\)`\.$", re.MULTILINE)
    named = {command: line.findall(text) for command, text in of_command.items()}
    assert [command for command, found in named.items() if len(found) != 1] == ["transfer try"]
    for ((package, function, config),) in filter(None, named.values()):
        assert package in PACKAGES and {function, config} <= set(importlib.import_module(package).__all__)
    assert named["transfer finetune"] == [("finetune", "finetune", "FinetuneConfig")]


def test_other_options_are_as_typed_and_marked(of_command):
    loss = of_command["transfer pretrain"]
    assert not re.search(r"(?<![`\w-])--[a-z]", re.sub(r"```text.*?```", "", loss, flags=re.DOTALL))


def test_every_scheme_has_its_options_and_every_option_a_meaning():
    found = sections(schemes())
    assert list(found) == ["Options of every scheme", *SCHEMES]
    for name, option in GENERIC_OPTIONS.items():
        assert f"\n`?{name}={option.value}`" in found["Options of every scheme"]
    assert "\n`?seed=S`, default `0`\n: The seed of " in found["Options of every scheme"]
    assert "\n`?part=PART`, default `kept`\n: With " in found["Options of every scheme"]
    assert "\n`?min_faces=K`, default `1`\n: Only characters " in found["glyphs"]
    for name, scheme in SCHEMES.items():
        assert scheme.form in found[name]
        assert ":func:" not in found[name] and ":meth:" not in found[name] and "Raises:" not in found[name]
        if not callable(scheme.options):
            for option, row in scheme.options.items():
                assert row.value and len(row.meaning) > 10
                default = "" if row.default is None else f", default `{row.default}`"
                assert f"`?{option}={row.value}`{default}\n: " in found[name]


def test_a_recipe_has_every_key_of_itself_and_of_its_arms():
    found = sections(recipe_keys())
    for heading, config in (("Keys of a recipe", Recipe), ("Keys of an arm", Arm)):
        assert re.findall(r"^`(\w+)`", found[heading], re.MULTILINE) == [field.name for field in fields(config)]
    assert "`seeds`, a list of whole numbers, default `[0, 1, 2]`\n: " in found["Keys of a recipe"]


@pytest.mark.parametrize("kind", ROWS)
def test_a_catalogue_has_every_row_with_its_meaning(kind):
    text = catalogue(kind)
    for name, row in ROWS[kind].items():
        (entry,) = re.findall(rf"^`{re.escape(name)}`\n: (.+)$", text, re.MULTILINE)
        words = row.meaning.replace("*", "\\*").replace("[", "\\[").replace("$", "\\$").replace("|", "\\|")
        assert entry.lower().startswith(words.lower()[:40].rstrip("."))


def test_no_kind_that_inspect_lists_is_missing():
    elsewhere = {"commands", "schemes", "recipe-keys", "backbones"}  # all but backbones have a page
    assert set(KINDS) - elsewhere <= set(ROWS)
    assert all(isinstance(row, Catalogue | dict) for row in ROWS.values())


def test_a_docstring_becomes_prose_of_markdown():
    def function() -> None:
        """Read :func:`features.open_dataset`.

        More of ``it``.

        Args:
            nothing: at all.
        """

    assert prose(function) == "Read `open_dataset`.\n\nMore of ``it``."


def test_the_recipe_of_the_page_is_valid(tmp_path):
    (block,) = (block for block in blocks_of(Path("docs/reference/recipes.md")) if block.language == "yaml")
    (tmp_path / "recipe.yaml").write_text(block.text, encoding="utf-8")
    assert list(Recipe.read(tmp_path / "recipe.yaml").arms) == ["scratch", "random", "paper", "default"]
