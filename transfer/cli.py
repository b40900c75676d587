"""The ``transfer`` command: parses, calls one function, prints its result, and turns errors into exit statuses."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from features.infrastructure.errors import NO_ROOM, InputError, as_typed
from features.infrastructure.interruptions import interruptible
from features.infrastructure.names import as_text
from features.infrastructure.processes import end_process, lost_process, rank
from features.infrastructure.storage.secrets import without_secrets
from features.infrastructure.suggestions import choice
from transfer.commands import COMMANDS, Command

#: Seconds that a launcher takes at most to end the other processes of a job once one has failed.
_LAUNCHER_ENDS_OTHERS = 10.0
#: Options that another command has since an earlier version: command → (option, the command that has it now).
MOVED = {"rank": ("model", "rank-models"), "finetune": ("method", "fit-classifier")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command of ``arguments``, by default the process's own, and return the exit status.

    It is 0 for a command that is done, 2 for invalid input, and 1 for anything else.
    """
    argv: list[str] = []
    try:
        argv += sys.argv[1:] if arguments is None else arguments
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # for paths that are not UTF-8; JSON has the same escapes
        return _status(argv)
    except KeyboardInterrupt as interruption:
        hint = "the same command resumes from the last checkpoint, if there is one"
        try:
            command = " ".join(["transfer", *argv[:1]])
            print(f"{command}: stopped by {str(interruption) or 'SIGINT'}; {hint}", file=sys.stderr)
        except KeyboardInterrupt:  # a second one
            pass
        return 1


def _status(argv: list[str]) -> int:
    """Run a command and return the exit status; say in a line what is wrong.

    Raises:
        KeyboardInterrupt: A signal has asked the process to stop, at any moment.
    """
    try:
        with interruptible():
            status = _start(argv)
            sys.stdout.flush()  # here, where a reader that has gone is noticed
        return status
    except InputError as error:
        command = COMMANDS.get(argv[0])
        return _refuse(argv[0], error.on_command_line(command.positional if command else ()))
    except RuntimeError as error:
        from features.decoding import lost_worker

        if line := lost_process(error):
            print(f"transfer {argv[0]}: {line}", file=sys.stderr)
            return 1
        if not (line := lost_worker(error)):
            raise
        return _refuse(argv[0], as_typed(line))
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
        return 1
    except OSError as error:
        if error.errno in NO_ROOM:
            where = f"{error.filename}: " if error.filename else ""
            fault = "the disk is full" if error.errno == errno.ENOSPC else os.strerror(error.errno)
            advice = "check the disk" if error.errno == errno.EIO else "free some space"
            return _refuse(argv[0], f"{where}{fault}; {advice} and give the command again")
        if not isinstance(error.filename, (str, bytes, os.PathLike)):
            raise
        fault = f"{os.fsdecode(error.filename)}: {error.strerror}"
        return _refuse(argv[0], f"{fault}; check the path, its permissions and the disk, and give the command again")


def start() -> NoReturn:
    """Run the command of this process, and end it."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed, and a file that is opened later would take its place
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115, for the whole process
    status = 1
    try:
        status = main()
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # or Python complains of one that comes while it ends
    except KeyboardInterrupt:  # it came as `main` returned
        pass
    end_process(status)


def _refuse(command: str, message: str) -> int:
    """Print what is wrong, and return the exit status.

    Invalid input is mostly invalid for all processes of a job. The first process prints the message. The others give
    the launcher time to end them once the first has failed, and print it if they are still there.
    """
    if rank():
        time.sleep(_LAUNCHER_ENDS_OTHERS)
    print(f"transfer {command}: error: {as_text(message)}", file=sys.stderr)
    return 2


def _start(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(_help())
        return 0 if argv else 2
    if argv[0] == "--version":
        from importlib.metadata import version

        print(f"transfer {version('transfer-toolkit')}")
        return 0
    if argv[0] == "--print-completion":
        from transfer.completion import completion_script

        print(completion_script(argv[1] if argv[1:] else ""))
        return 0
    if argv[0] not in COMMANDS:
        raise InputError(f"there is no such command; {choice(argv[0], COMMANDS)}")
    return _run(COMMANDS[argv[0]], argv[1:])


def _run(command: Command, argv: list[str]) -> int:
    from features.infrastructure.console import console, warn_once
    from transfer.command_line import read_command_line, read_option

    # POT imports PyTorch as one of its backends, which takes longer than a ranking, and is given NumPy arrays alone.
    os.environ.setdefault("POT_BACKEND_DISABLE_PYTORCH", "1")
    config_type = command.config()
    if command.name in MOVED:
        name, new = MOVED[command.name]
        value, rest = read_option(COMMANDS[new].config(), name, argv)
        if value is not None and value != getattr(config_type, "RETIRED", {}).get(name):
            if rank() == 0:
                print(f"transfer {command.name}: --{name} has moved; running: transfer {new}", file=sys.stderr)
            return main([new, *argv])
        typed = any(word.partition("=")[0] == f"--{name}" for word in argv)  # not in the file of a run
        if typed and value is not None and rank() == 0:
            print(f"transfer {command.name}: --{name} {value} is what this command does; leave it out", file=sys.stderr)
        argv = rest
    try:
        values, flags = read_command_line(
            config_type, argv, command.positional, f"transfer {command.name}", command.examples
        )
    except InputError as error:
        raise InputError(f"{_of_another(command, argv) or error} (transfer {command.name} --help)") from error
    warn_once.cache_clear()  # what an earlier command of this process has said is said again
    config, quiet = config_type(**values), console.quiet
    console.quiet = quiet or flags.quiet
    try:
        if flags.dry_run:
            from transfer.dry_run import foresee

            result, show = foresee(config), _show_lines
        else:
            result, show = command.function()(config), command.show()
        if rank() == 0:  # the first of several processes prints the result
            _print_result(config, result, show, as_json=flags.json)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        if _is_named(error.filename, [*argv, *vars(config).values()]):
            raise InputError(f"{error.filename}: {error.strerror}; name another path") from error
        raise  # a file that the user has not named is the program's own, and the error a bug
    finally:
        console.quiet = quiet
    return 0


def _print_result(config: Any, result: Any, show: Callable[[Any, Any], None], *, as_json: bool) -> None:
    if as_json:
        utf_8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        print(without_secrets(json.dumps(result.to_json(), ensure_ascii=not utf_8)))
    else:
        show(config, result)


def _show_lines(config: Any, result: Any) -> None:
    print("\n".join(result.lines()))


def _of_another(command: Command, argv: Sequence[str]) -> str:
    """What to say of the first typed option that this command lacks and another has; empty if there is none.

    The other commands are not asked about a mere slip in one of the command's own options, which share more letters
    than any two different options do.
    """
    own = {field.name for field in fields(command.config())}
    for word in argv:
        name = word.partition("=")[0].removeprefix("--").replace("-", "_")
        if not word.startswith("--") or get_close_matches(name, own, cutoff=0.85):
            continue
        others = [other for other in COMMANDS.values() if name not in other.positional]
        if having := [other.name for other in others if name in {field.name for field in fields(other.config())}]:
            return f"{word.partition('=')[0]} is an option of: transfer {', '.join(having)}; leave it out"
    return ""


def _is_named(file: Any, values: Iterable[Any]) -> bool:
    """Whether a file stands in the words and options of a command, or lies below one that does.

    A word may hold a path among other things, as ``folder:DIR@train?names=FILE`` and ``BANK:3`` do.
    """
    if not isinstance(file, (str, bytes)):
        return False
    path = Path(os.fsdecode(file)).absolute()
    words = [word for value in values for word in (value if isinstance(value, list) else [value])]
    parts = {part for word in words if isinstance(word, str) for part in (word, *re.split(r"[:@?&=]", word)) if part}
    return any(path.is_relative_to(Path(part).absolute()) for part in parts)


def _help() -> str:
    """The commands by the step of the job, with what each needs and gives: a screen of 80 columns."""
    lines, before = [], ""
    for row in COMMANDS.values():
        step = "" if row.step == before else row.step
        lines.append(f"{step:<9}{row.name:<15} {row.needs:<28}{row.gives}")
        before = row.step
    commands = "\n".join(lines)
    return f"""usage: transfer COMMAND [options]

Choose what to pre-train on: domain similarity, source selection, transfer.

{"step":<9}{"command":<15} {"needs":<28}gives
{commands}

transfer COMMAND --help explains a command, with examples.
Begin with: transfer demo, or with your photographs: transfer try FOLDER
Completion in the shell: eval "$(transfer --print-completion bash)" (or zsh)"""


if __name__ == "__main__":
    start()
