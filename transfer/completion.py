"""Completion of commands, options and files in the shell, written by shtab."""

from __future__ import annotations

import argparse
from typing import get_type_hints

import shtab

from features.infrastructure.errors import InputError
from features.infrastructure.options import choices_of
from features.infrastructure.suggestions import choice
from transfer.command_line import argument_parser
from transfer.commands import COMMANDS


def completion_script(shell: str) -> str:
    """Return the script that a shell reads to complete what is typed after ``transfer``.

    Raises:
        InputError: The shell is not supported.
    """
    if shell not in shtab.SUPPORTED_SHELLS:
        if not shell:
            raise InputError(f"--print-completion: name a shell: {', '.join(shtab.SUPPORTED_SHELLS)}")
        raise InputError(
            f"--print-completion {shell}: the shell is not supported; {choice(shell, shtab.SUPPORTED_SHELLS)}"
        )
    whole = argparse.ArgumentParser("transfer", add_help=False)
    commands = whole.add_subparsers()
    for name, command in COMMANDS.items():
        config = command.config()
        own = argument_parser(config, command.positional, f"transfer {name}")
        hints = get_type_hints(config)
        for action in own._actions:
            choices, types = choices_of(hints.get(action.dest))
            if choices:
                action.choices = list(map(str, choices))
            elif str in types or list in types:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        commands.add_parser(name, parents=[own], add_help=False, help=command.meaning)
    return shtab.complete(whole, shell)
