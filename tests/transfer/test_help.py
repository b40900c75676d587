"""The overview of the commands, and the help of each with its examples."""

from __future__ import annotations

import shlex

import pytest
from docstring_parser import parse

from features.infrastructure.errors import as_typed
from transfer.cli import COMMANDS, main
from transfer.command_line import field_docs, read_command_line


def flat(text: str) -> str:
    """Without white space: help is wrapped, also within words with a hyphen."""
    return "".join(text.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_the_docstrings_say(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    config, positional = COMMANDS[command].config(), COMMANDS[command].positional
    assert flat(parse(config.__doc__).short_description) in flat(out)
    for option, text in field_docs(config).items():
        assert flat(as_typed(text, positional)) in flat(out), option
        assert (option if option in positional else f"--{option.replace('_', '-')}") in out
    assert "--json" in out
    assert "--config FILE.yaml" in out


def test_the_commands_in_the_order_of_use(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    names = [
        "demo",
        "try",
        "run",
        "inspect",
        "extract",
        "merge",
        "duplicates",
        "cluster",
        "rank",
        "rank-models",
        "select",
        "pretrain",
        "finetune",
        "fit-classifier",
        "evaluate",
        "compare",
        "report",
        "predict",
        "export",
    ]
    assert list(COMMANDS) == names
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) <= 30  # a screen
    table = lines[lines.index(next(line for line in lines if line.startswith("step"))) + 1 :][: len(names)]
    assert [line[9:].split()[0] for line in table] == names
    steps = [line[:9].strip() for line in table if line[:9].strip()]
    assert steps == ["all", "features", "choose", "train", "judge", "use"]  # the order of the job, each once
    for line, name in zip(table, names, strict=True):
        assert COMMANDS[name].needs and COMMANDS[name].gives
        assert f"{COMMANDS[name].needs:<28}{COMMANDS[name].gives}" in line
    assert main([]) == 2
    assert capsys.readouterr().out == out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_ends_with_examples_that_are_valid_commands(command, capsys):
    row = COMMANDS[command]
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = capsys.readouterr().out.partition("examples:\n")[2].splitlines()
    assert shown == [f"  transfer {example}" for example in row.examples] and len(shown) in (2, 3)
    for example in row.examples:
        name, *words = shlex.split(example)
        values, _ = read_command_line(row.config(), words, row.positional)
        assert name == command and isinstance(row.config()(**values), row.config())
