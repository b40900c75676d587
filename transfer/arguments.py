"""From a configuration dataclass to command-line options, and from a mapping back to the dataclass.

The same fields, types and docstrings serve the command line, YAML and Python.
"""

from __future__ import annotations

import argparse
import inspect
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from docstring_parser import parse
from jsonargparse import ArgumentError, ArgumentParser, DefaultHelpFormatter, Namespace

from features.infrastructure.errors import InputError
from features.infrastructure.suggestions import choice, did_you_mean

Config = TypeVar("Config")


def config_parser(
    config_type: type, positional: Sequence[str] = (), given: Mapping[str, Any] | None = None, prog: str | None = None
) -> ArgumentParser:
    """A parser with one option a field: ``keep_images`` becomes ``--keep-images``.

    Fields that the dataclass's ``GROUPS`` (heading → fields) names stand below that heading in the help.

    Args:
        config_type: The dataclass; its docstring's attributes are the help.
        positional: Fields that are given without a flag, in this order.
        given: Values that stand where the command line says nothing, such as those of a YAML file.
        prog: What the usage line calls the program.
    """
    summary = parse(inspect.getdoc(config_type) or "").short_description
    parser = ArgumentParser(
        prog=prog,
        description=summary,
        formatter_class=_Help,
        exit_on_error=False,
        default_env=False,
        allow_abbrev=False,
    )
    docs, hints = _field_docs(config_type), get_type_hints(config_type)
    by_name = {field.name: field for field in fields(config_type)}
    ordered = [by_name[name] for name in positional] + [f for f in fields(config_type) if f.name not in positional]
    groups: Mapping[str, Sequence[str]] = getattr(config_type, "GROUPS", {})
    headings = {name: heading for heading, names in groups.items() for name in names}
    places: dict[str | None, Any] = {None: parser}
    places |= {heading: parser.add_argument_group(heading) for heading in groups}
    for field in ordered:
        place = places[headings.get(field.name)]
        _add(place, field, hints[field.name], docs.get(field.name, ""), field.name in positional, given or {})
    needed = (_usage(field, hints, field.name in positional) for field in ordered)
    parser.usage = " ".join(["%(prog)s", *filter(None, needed), "[options]"])
    return parser


def check_mapping(config_type: type, values: Any, where: str) -> None:
    """Refuse what is no mapping of the dataclass's fields; required ones may be missing still.

    Raises:
        InputError: Naming the first key that is unknown, or whose value is of the wrong type.
    """
    hints = get_type_hints(config_type)
    if not isinstance(values, Mapping):
        raise InputError(f"{where}: expected options as 'name: value' lines, got {type(values).__name__}")
    known = [field.name for field in fields(config_type)]
    for name, value in values.items():
        if name not in known:
            raise InputError(f"{where}: unknown option {name!r}; {choice(str(name), known)}")
        if _list_item(hints[name]) is not None and not isinstance(value, (list, tuple, type(None))):
            raise InputError(f"{where}: {name} must be a list, got {value!r}")
        if hints[name] is bool and not isinstance(value, bool):
            raise InputError(f"{where}: {name} must be true or false, got {value!r}")
    # What is required and not given yet gets a stand-in, so that the types of the rest are checked.
    required = [field.name for field in fields(config_type) if _is_required(field)]
    missing = {name: [] if _list_item(hints[name]) else "" for name in required if name not in values}
    _parse(config_type, missing | dict(values), where)


def plain_error(error: Exception, config_type: type, positional: Sequence[str] = ()) -> str:
    """jsonargparse's message as one line that names the option as it is typed, and what it takes.

    Args:
        error: What the parser raised.
        config_type: What it parsed.
        positional: Fields that are given without a flag.
    """
    text = " ".join(str(error).split())
    known = get_type_hints(config_type)
    hints = {field.name: known[field.name] for field in fields(config_type)}
    wrong = re.search(r'key "(\w+)".*\b(?:Given|Got) value: (.*)$', text)
    if wrong and wrong[1] in hints:
        return f"{_flag(wrong[1])} {wrong[2]}: expected {_in_words(hints[wrong[1]])}"
    _, missing, names = text.partition("the following arguments are required: ")
    if missing:
        return "missing: " + ", ".join(name if name in positional else _flag(name) for name in names.split(", "))
    _, unknown, rest = text.partition("unrecognized arguments: ")
    if unknown:
        option = next((word for word in rest.split() if word.startswith("-")), None)
        if option is None:
            return f"too many values: {rest}"
        flags = [_flag(n) for n in hints if n not in positional]
        return f"unknown option {option}{did_you_mean(option.partition('=')[0], flags)}"
    return text


def from_mapping(config_type: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """Build a configuration from a mapping, such as a section of a recipe.

    Raises:
        InputError: A key is unknown, missing, or of the wrong type; the message begins with ``where``.
    """
    check_mapping(config_type, values, where)
    return to_config(config_type, _parse(config_type, values, where))


def _parse(config_type: type, values: Mapping[str, Any], where: str) -> Namespace:
    try:
        return config_parser(config_type).parse_object(dict(values))
    except (ArgumentError, TypeError) as error:
        raise InputError(f"{where}: {plain_error(error, config_type, tuple(get_type_hints(config_type)))}") from error


def to_config(config_type: type[Config], namespace: Namespace) -> Config:
    """The parsed options as the dataclass."""
    return config_type(**{field.name: namespace[field.name] for field in fields(config_type)})  # type: ignore[arg-type]


class _Help(DefaultHelpFormatter):
    """After each option's text its default where there is one to name; Python's names of types are left out."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or "", action.default
        if isinstance(action, argparse._HelpAction):
            return "Show this and end."
        if action.required and action.option_strings:
            return f"{text} (required)"
        if default is None or default is False or default == [] or default == argparse.SUPPRESS:
            return text
        return f"{text} (default: {' '.join(map(str, default)) if isinstance(default, list) else default})"


def _is_required(field: Field[Any]) -> bool:
    """Whether a field has no default."""
    return field.default is MISSING and field.default_factory is MISSING


def _usage(field: Field[Any], hints: Mapping[str, Any], is_positional: bool) -> str:
    """A field in the usage line; empty for an option that may be left out."""
    required = _is_required(field)
    if not is_positional and not required:
        return ""
    word = field.name.upper() + (" …" if _list_item(hints[field.name]) is not None else "")
    if is_positional:
        return word if required else f"[{word}]"
    return f"{_flag(field.name)} {word}"


def _add(parser: Any, field: Field[Any], hint: Any, doc: str, is_positional: bool, given: Mapping[str, Any]) -> None:
    options: dict[str, Any] = {"help": doc}
    if field.name in given:
        options["default"] = given[field.name]
    elif field.default is not MISSING:
        options["default"] = field.default
    elif field.default_factory is not MISSING:
        options["default"] = field.default_factory()
    required = "default" not in options
    flag = _flag(field.name)
    if hint is bool:
        parser.add_argument(flag, action="store_true", **options)
        return
    item = _list_item(hint)
    options["type"] = hint if item is None else item
    if item is not None:
        options["nargs"] = "*" if is_positional and not required else "+"
    elif is_positional and not required:
        options["nargs"] = "?"
    if is_positional:
        parser.add_argument(field.name, **options)
    else:
        number = {int: "N", float: "X"}.get(_plain(options["type"]))
        parser.add_argument(flag, required=required, **({"metavar": number} if number else {}), **options)


def _flag(name: str) -> str:
    """The option of a field, as it is typed."""
    return f"--{name.replace('_', '-')}"


def _in_words(hint: Any) -> str:
    """What a type takes, as one tells a person."""
    if get_origin(hint) is Literal:
        names = ", ".join(map(str, get_args(hint)))
        return f"one of {names}" if len(get_args(hint)) > 1 else names
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_in_words(arg) for arg in get_args(hint) if arg is not type(None))
    if get_origin(hint) is list:
        return {int: "a list of whole numbers", float: "a list of numbers"}.get(get_args(hint)[0], "a list of texts")
    return {int: "a whole number", float: "a number", str: "text"}.get(hint, str(hint))


def _plain(hint: Any) -> Any:
    """X of ``X | None``; any other type is itself."""
    if get_origin(hint) in (Union, types.UnionType):
        inner = [arg for arg in get_args(hint) if arg is not type(None)]
        return inner[0] if len(inner) == 1 else hint
    return hint


def _list_item(hint: Any) -> Any:
    """The item type of ``list[X]`` or ``list[X] | None``, else None."""
    hint = _plain(hint)
    return get_args(hint)[0] if get_origin(hint) is list else None


def _field_docs(config_type: type) -> dict[str, str]:
    """Field → description, from the docstrings of the class and its bases, the class's own first."""
    found: dict[str, str] = {}
    for base in config_type.__mro__:
        for param in parse(base.__doc__ or "").params:
            found.setdefault(param.arg_name, " ".join((param.description or "").split()))
    return found
