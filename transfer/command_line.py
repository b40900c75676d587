"""Configuration dataclasses as command lines and as YAML: one option per field, its docstring the help.

Every value is checked against its field's type here, whether it was typed or stands in a file. This is argparse and one
converter. The library jsonargparse gives underscores instead of dashes, flags that need a value, and lists in brackets.
"""

from __future__ import annotations

import argparse
import inspect
import json
import textwrap
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from docstring_parser import parse

from features.infrastructure.errors import InputError, as_typed, flag
from features.infrastructure.formats.structured_files import read_yaml
from features.infrastructure.options import default_of
from features.infrastructure.suggestions import choice, did_you_mean

Config = TypeVar("Config")

#: Up to this many options are listed in a message.
_LISTED = 20
#: What the types of fields take, for messages.
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", dict: "options"}


@dataclass(frozen=True)
class Flags:
    """The flags that every command takes: print the result as JSON, print no notes, and only describe the work."""

    json: bool = False
    quiet: bool = False
    dry_run: bool = False


def read_command_line(
    config_type: type,
    argv: Sequence[str],
    positional: Sequence[str] = (),
    prog: str | None = None,
    examples: Sequence[str] = (),
) -> tuple[dict[str, Any], Flags]:
    """Read the words of a command line, and the file of their ``--config``.

    Args:
        config_type: The dataclass.
        argv: The words. Those that the command line and the file both give are taken from the command line.
        positional: Fields that are typed without an option, in this order.
        prog: The command, for the usage line.
        examples: Command lines for the help, without the program's name.

    Returns:
        The fields with their values, all required ones among them, and the flags.

    Raises:
        InputError: An option is unknown, missing, or of the wrong type, or the file cannot be read.
        SystemExit: The help was asked for and has been printed.
    """
    parser = argument_parser(config_type, positional, prog, examples)
    try:
        namespace, rest = parser.parse_known_intermixed_args(argv)
    except argparse.ArgumentError as error:
        raise InputError(f"{error.argument_name}: {error.message}") from error
    if unknown := [word for word in rest if word.startswith("-")]:
        name = unknown[0].partition("=")[0].lstrip("-").replace("-", "_")
        for (old, _), (new, value) in getattr(config_type, "REPLACED", {}).items():
            if name == old:
                raise InputError(f"unknown option {unknown[0]}; give {flag(new)} {value}")
        # Compared without the dashes, which would make any two short names alike.
        known = [flag(field.name)[2:] for field in fields(config_type) if field.name not in positional]
        raise InputError(
            f"unknown option {unknown[0]}{did_you_mean(unknown[0].partition('=')[0].lstrip('-'), known, '--')}"
        )
    if rest:
        raise InputError(f"too many values: {' '.join(rest)}")
    typed = vars(namespace)
    flags = Flags(**{field.name: typed.pop(field.name, False) for field in fields(Flags)})
    files = typed.pop("config", [])
    if len(files) > 1:
        raise InputError("--config is given twice; give one YAML file")
    if "" in files:
        raise InputError("--config: expected a YAML file")
    given = check_mapping(config_type, read_yaml(files[0]) or {}, f"--config {files[0]}: ") if files else {}
    words = [typed.pop(name) for name in positional if name in typed]
    if len(words) < len(positional):  # those that are typed are the ones that the file does not give
        positional = sorted(positional, key=lambda name: name in given)
    typed.update(zip(positional, words, strict=False))
    values = given | check_mapping(config_type, typed)
    _require(config_type, values)
    return values, flags


def read_option(config_type: type, name: str, argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The text that a command line or the file of its ``--config`` gives for one field, and the words without it.

    The text is empty if the option stands without a word.

    Raises:
        InputError: The file cannot be read.
    """
    reader = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False, add_help=False)
    reader.add_argument("--config", action="append", default=[])
    several = get_origin(_parts(get_type_hints(config_type)[name])[0]) is list
    reader.add_argument(flag(name), nargs="*" if several else "?", const=None if several else "", dest="typed")
    try:
        found, rest = reader.parse_known_args(argv)
    except argparse.ArgumentError:
        return None, list(argv)  # the parser of the whole command says what is wrong
    value = found.typed
    if value is None and len(found.config) == 1:
        content = read_yaml(found.config[0])
        value = content.get(name) if isinstance(content, Mapping) else None
    text = " ".join(map(str, value)) if isinstance(value, list) else value
    return text, [*rest, *(word for file in found.config for word in ("--config", file))]


def argument_parser(
    config_type: type, positional: Sequence[str] = (), prog: str | None = None, examples: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """A parser with one option per field: ``keep_images`` becomes ``--keep-images``.

    It gathers words: none is required, none has a default, and none is converted. In the help, the fields that the
    dataclass inherits stand below the first line of the docstring of the dataclass that they come from. The arguments
    are those of :func:`read_command_line`.
    """
    shown = "".join(f"\n  transfer {line}" for line in examples)
    parser = argparse.ArgumentParser(
        prog=prog,
        description=textwrap.fill(parse(inspect.getdoc(config_type) or "").short_description or "", 79),
        epilog="--config FILE.yaml gives any of these options; the command line takes\nprecedence over the file."
        + (f"\n\nexamples:{shown}" if shown else ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        exit_on_error=False,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        add_help=False,
    )
    docs, hints, headings = field_docs(config_type), get_type_hints(config_type), _headings(config_type)
    by_name = {field.name: field for field in fields(config_type)}
    required = [name for name, field in by_name.items() if default_of(field) is MISSING and name not in positional]
    headings = dict.fromkeys(by_name, "options") | headings | dict.fromkeys(required, "required")
    order = dict.fromkeys([*(headings[name] for name in required), "options", *headings.values()])
    groups = {heading: parser.add_argument_group(heading) for heading in order}
    groups["options"].add_argument("-h", "--help", action="help", help="Show this help and exit.")
    usage = ["%(prog)s"]
    for name in dict.fromkeys([*positional, *by_name]):
        default, hint = default_of(by_name[name]), hints[name]
        is_list = get_origin(_parts(hint)[0]) is list
        word = name.upper() + (" …" if is_list else "")
        text = as_typed(docs.get(name, ""), positional).replace("%", "%%")
        if name in positional:
            usage.append(word if default is MISSING else f"[{word}]")
            parser.add_argument(name, nargs="*" if is_list else "?", help=text)
            continue
        place = groups[headings[name]]
        if default is MISSING:
            usage.append(f"{flag(name)} {word}")
        elif default not in (None, []) and default is not False:
            text += f" (default: {' '.join(map(str, default)) if isinstance(default, list) else default})"
        if hint is bool:
            place.add_argument(flag(name), dest=name, action="store_true", help=text)
        else:
            nargs = "+" if is_list else None
            place.add_argument(flag(name), dest=name, nargs=nargs, metavar=_metavar(name, hint), help=text)
    parser.usage = " ".join([*usage, "[options]"])
    groups["options"].add_argument(
        "--json", action="store_true", help="Print the result alone, as JSON, on standard output."
    )
    groups["options"].add_argument(
        "--quiet",
        action="store_true",
        help="Print the result without progress, notes and the next commands; warnings and errors are printed.",
    )
    groups["options"].add_argument(
        "--dry-run", action="store_true", help="Say what would be read, computed and written, and how long it takes."
    )
    parser.add_argument("--config", action="append", help=argparse.SUPPRESS)
    return parser


def check_mapping(config_type: type, values: Any, where: str = "") -> dict[str, Any]:
    """The values of a mapping, such as of a YAML file, each as its field's type has it; any field may be missing.

    A key may be typed without the underscore at the end of a name that Python reserves: ``with`` for ``with_``.
    Options of earlier versions that the dataclass lists in ``RETIRED`` are left out if they have the value given there.

    Raises:
        InputError: It is no mapping, or a key is unknown or has a value of the wrong type; the message begins with
            ``where``.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{where}expected options as 'name: value' lines, got {type(values).__name__}")
    hints, retired = get_type_hints(config_type), getattr(config_type, "RETIRED", {})
    known = [field.name for field in fields(config_type)]
    reserved = {name.rstrip("_"): name for name in known if name.endswith("_")}
    if twice := [name for name in reserved if name in values and reserved[name] in values]:
        raise InputError(f"{where}`{twice[0]}` is given twice")
    values = {reserved.get(name, name): value for name, value in values.items()}
    for (old, value), (new, now) in getattr(config_type, "REPLACED", {}).items():
        if values.get(old) == value:
            values = {new: now} | {name: given for name, given in values.items() if name != old}
    unknown = [name for name in values if name not in known and (name not in retired or values[name] != retired[name])]
    if len(unknown) > 1:  # mostly a file of another command
        raise InputError(f"{where}unknown options {', '.join(map(repr, unknown))}")
    if unknown:
        word = str(unknown[0])
        advice = f"; {choice(word, known)}" if len(known) <= _LISTED else did_you_mean(word, known)
        raise InputError(f"{where}unknown option {unknown[0]!r}{advice}")
    found = {}
    for name in (name for name in values if name in known):
        try:
            found[name] = convert(values[name], hints[name])
        except ValueError:
            value = values[name]
            words = " ".join(map(str, value)) if isinstance(value, list) else value
            one = get_origin(_parts(hints[name])[0]) is list and isinstance(value, str)
            example = f", such as {json.dumps([value], ensure_ascii=False)}" if one else ""
            raise InputError(f"{where}`{name}` {words}: expected {in_words(hints[name])}{example}") from None
    return found


def from_mapping(config_type: type[Config], values: Any, where: str) -> Config:
    """Build a configuration from a mapping, such as a section of a recipe.

    Raises:
        InputError: As of :func:`check_mapping`; or a required field is missing, or the configuration refuses a value.
    """
    given = check_mapping(config_type, values, f"{where}: ")
    try:
        _require(config_type, given)
        return config_type(**given)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def field_docs(config_type: type) -> dict[str, str]:
    """Field → description, from the docstrings of the class and its bases, the class's own first."""
    found: dict[str, str] = {}
    for base in config_type.__mro__:
        for param in parse(base.__doc__ or "").params:
            found.setdefault(param.arg_name, " ".join((param.description or "").split()))
    return found


def convert(value: Any, hint: Any) -> Any:
    """A value as a type hint has it: text becomes a number if the type is one.

    Args:
        value: A word of the command line, a list of them, or a value of a YAML file.
        hint: ``bool``, ``int``, ``float``, ``str``, ``dict``, ``list[…]``, a literal, or a union of these and None.

    Raises:
        ValueError: The value is none of that type.

    >>> convert("1e-3", float), convert("auto", float | Literal["auto"]), convert(["1", "2"], list[int] | None)
    (0.001, 'auto', [1, 2])
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        for part in inner:
            try:
                return convert(value, part)
            except ValueError:
                continue
    elif origin is Literal:
        for option in inner:
            if str(option) == str(value):
                return option
    elif origin is list:
        if isinstance(value, (list, tuple)):
            return [convert(one, inner[0]) for one in value]
    elif hint in (int, float):
        if isinstance(value, str) or type(value) in (int, hint):  # a bool is no number
            return hint(value) if isinstance(value, str) else value
    elif isinstance(value, origin or hint):
        return value
    raise ValueError


def _require(config_type: type, values: Mapping[str, Any]) -> None:
    """Raise `InputError` that names the required fields without a value."""
    required = [field.name for field in fields(config_type) if default_of(field) is MISSING]
    if missing := [name for name in required if name not in values]:
        raise InputError(f"missing: {', '.join(f'`{name}`' for name in missing)}")


def _headings(config_type: type) -> dict[str, str]:
    """Field → heading in the help, for the inherited fields."""
    bases = [base for base in config_type.__mro__[1:] if hasattr(base, "__dataclass_fields__")]
    first_lines = {base: (inspect.getdoc(base) or base.__name__).partition(".")[0].lower() for base in bases}
    origin = {name: first_lines[base] for base in bases for name in inspect.get_annotations(base)}
    return {field.name: origin[field.name] for field in fields(config_type) if field.name in origin}


def _metavar(name: str, hint: Any) -> str:
    """What stands for the value of an option in the help."""
    first, *others = _parts(hint)
    if get_origin(first) is list:
        (first,), others = get_args(first), []
    if get_origin(first) is Literal:
        return "{" + ",".join(map(str, get_args(first))) + "}"
    return name.upper() if others else {int: "N", float: "X"}.get(first, name.upper())


def in_words(hint: Any) -> str:
    """What a type takes, for a message."""
    found = []
    for part in _parts(hint):
        origin, inner = get_origin(part) or part, get_args(part)
        if origin is Literal:
            found.append(f"one of {', '.join(map(str, inner))}" if len(inner) > 1 else str(inner[0]))
        elif origin is list:
            kinds = [_WORDS[get_origin(one) or one].removeprefix("a ").removesuffix("s") for one in _parts(inner[0])]
            found.append(f"a list of {' or '.join(f'{kind}s' for kind in kinds)}")
        else:
            found.append(_WORDS[origin])
    return " or ".join(found)


def _parts(hint: Any) -> list[Any]:
    """The types of a union without None; another type stands alone."""
    inner = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return [part for part in inner if part is not type(None)]
