"""The ``transfer`` command: parses, calls one function, prints its result, and turns errors into exit codes."""

from __future__ import annotations

import errno
import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from features.infrastructure.errors import InputError
from features.infrastructure.processes import rank
from features.infrastructure.suggestions import choice


@dataclass(frozen=True)
class Command:
    """One sub-command.

    Attributes:
        summary: One line for ``transfer --help``.
        function: ``module:name`` of the function: a configuration in, a result with ``to_json()`` out.
        config: ``module:name`` of its configuration dataclass.
        positional: Fields given without a flag.
    """

    summary: str
    function: str
    config: str
    positional: tuple[str, ...] = ()


#: Seconds that a launcher takes at most to end the other processes of a job once one has failed.
_LAUNCHER_ENDS_OTHERS = 10.0
#: In the order in which one uses them. Modules are imported only when their command runs.
COMMANDS = {
    "extract": Command("images to a feature bank", "features:extract", "features:ExtractConfig", ("dataset",)),
    "merge": Command("shards of a feature bank to the whole", "features:merge", "features:MergeConfig", ("shards",)),
    "duplicates": Command(
        "images of a source that are copies of a target's, to be excluded",
        "similarity:find_duplicates",
        "similarity:DuplicatesConfig",
        ("source",),
    ),
    "cluster": Command(
        "unlabelled images to pseudo-classes", "similarity:cluster", "similarity:ClusterConfig", ("bank",)
    ),
    "rank": Command(
        "source domains, or models, for a target", "transfer.commands:rank", "transfer.commands:RankConfig"
    ),
    "select": Command("source classes to pre-train on", "transfer.commands:select", "transfer.commands:SelectConfig"),
    "pretrain": Command(
        "train a backbone on source classes", "finetune:pretrain", "finetune:PretrainConfig", ("sources",)
    ),
    "finetune": Command("transfer to the target", "finetune:finetune", "finetune:FinetuneConfig", ("dataset",)),
    "fit-classifier": Command(
        "a classifier on the frozen features of a backbone or a run",
        "finetune:fit_classifier",
        "finetune:FitClassifierConfig",
        ("dataset",),
    ),
    "evaluate": Command(
        "accuracy of a trained model", "finetune:evaluate", "finetune:EvaluateConfig", ("run", "dataset")
    ),
    "compare": Command(
        "the figures of several runs side by side",
        "transfer.comparison:compare",
        "transfer.comparison:CompareConfig",
        ("runs",),
    ),
    "run": Command(
        "a whole recipe, each finished step reused", "transfer.pipeline:run", "transfer.pipeline:RunConfig", ("recipe",)
    ),
    "report": Command(
        "one HTML page of a run or a recipe", "transfer.reporting:report", "transfer.reporting:ReportConfig", ("run",)
    ),
    "demo": Command(
        "the whole job on embedded data, offline", "transfer.demonstration:demo", "transfer.demonstration:DemoConfig"
    ),
    "inspect": Command(
        "what a dataset, bank or run holds; which names there are",
        "transfer.inspection:inspect",
        "transfer.inspection:InspectConfig",
        ("what",),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What follows ``transfer``; by default the process's own.

    Returns:
        The exit status: 0 done, 2 the person's input is wrong, 1 anything else.
    """
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = _start(argv)
        sys.stdout.flush()  # here, where a reader that has gone is noticed
        return status
    except InputError as error:
        command = COMMANDS.get(argv[0])
        return _refuse(argv[0], error.on_command_line(command.positional if command else ()))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        return _refuse(argv[0], f"{error.filename}: {error.strerror}; name another path")
    except KeyboardInterrupt:
        print(
            f"transfer {argv[0]}: interrupted; the same command goes on from the last checkpoint, if there is one",
            file=sys.stderr,
        )
        return 1
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _refuse(argv[0], f"{where}the disk is full; free some space and give the command again")


def _refuse(command: str, message: str) -> int:
    """Say what is wrong, and give the exit status.

    What is wrong for one of several processes is mostly wrong for all. The first says it; the others give the launcher
    time to end them once the first has failed, and speak if it has not.
    """
    if rank():
        time.sleep(_LAUNCHER_ENDS_OTHERS)
    print(f"transfer {command}: error: {message}", file=sys.stderr)
    return 2


def _start(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(_help())
        return 0 if argv else 2
    if argv[0] == "--version":
        from importlib.metadata import version

        print(f"transfer {version('transfer-toolkit')}")
        return 0
    return _run(argv[0], argv[1:])


def _run(name: str, argv: list[str]) -> int:
    from jsonargparse import ArgumentError

    from transfer.arguments import check_mapping, config_parser, plain_error, to_config

    if name not in COMMANDS:
        raise InputError(f"there is no such command; {choice(name, COMMANDS)}")
    command = COMMANDS[name]
    config_type = _load(command.config)
    given, where, argv = _config_file(argv)
    check_mapping(config_type, given, where)
    parser = config_parser(config_type, command.positional, given, prog=f"transfer {name}")
    parser.add_argument("--json", action="store_true", help="Print the result alone, as JSON, on standard output.")
    parser.epilog = "--config FILE.yaml gives any of these options; what the command line says goes before it."
    try:
        namespace = parser.parse_args(argv)
    except (ArgumentError, TypeError) as error:
        raise InputError(f"{plain_error(error, config_type, command.positional)} (transfer {name} --help)") from error
    config = to_config(config_type, namespace)
    result = _load(command.function)(config)
    if rank() != 0:
        return 0  # of several processes one speaks
    if namespace.json:
        print(json.dumps(result.to_json(), ensure_ascii=False))
    else:
        from transfer.display import show

        show(name, config, result)
    return 0


def _config_file(argv: list[str]) -> tuple[Any, str, list[str]]:
    """What ``--config FILE`` gives, what to call it in a message, and the arguments without it."""
    places = [i for i, word in enumerate(argv) if word.partition("=")[0] == "--config"]
    if not places:
        return {}, "", argv
    if len(places) > 1:
        raise InputError("--config is given twice; give one YAML file")
    at = places[0]
    _, equals, path = argv[at].partition("=")
    rest = argv[at + 1 :]
    if not equals and rest:
        path, *rest = rest
    if not path:
        raise InputError("--config needs a YAML file")
    return read_yaml(path), f"--config {path}", argv[:at] + rest


def read_yaml(path: str | Path) -> Any:
    """The content of a YAML file.

    Raises:
        InputError: There is no such file, or it is not YAML.
    """
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; expected a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable YAML file ({error})") from error


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: transfer COMMAND [options]",
            "",
            "Choose what to pre-train on: domain similarity, source selection, class-balanced transfer learning.",
            "",
            *lines,
            "",
            "transfer COMMAND --help says what a command takes. Begin with: transfer demo",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
