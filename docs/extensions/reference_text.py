"""The text of the reference, as Markdown, from the rows and the configuration dataclasses that the programs read."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

from features.infrastructure.errors import flag
from features.infrastructure.options import default_of, ranges_of
from features.precomputed.feature_file import FORMATS as FEATURE_FORMATS
from features.readers.scheme import SCHEMES, Scheme, SpecOption
from features.readers.spec_options import GENERIC_OPTIONS
from finetune.augmentation import AUGMENTATIONS
from finetune.classifiers.second_stage import METHODS
from finetune.exporting import FORMATS
from finetune.losses import LOSSES
from finetune.samplers import SAMPLERS
from similarity import GEOMETRIES, MEASURES, STRATEGIES
from similarity.measures import Measure
from similarity.ranking.domain import ORDERS
from similarity.selection.strategy import Strategy
from transfer.command_line import argument_parser, field_docs, in_words
from transfer.commands import COMMANDS, Command
from transfer.kinds import KINDS
from transfer.recipe_keys import RECIPE_KEYS
from transfer.uses import USES, Use

PACKAGES = ("features", "similarity", "finetune", "transfer")
#: Kind → its rows.
ROWS: dict[str, Mapping[str, Any]] = {
    "strategies": STRATEGIES,
    "geometries": GEOMETRIES,
    "orders": ORDERS,
    "measures": MEASURES,
    "uses": USES,
    "losses": LOSSES,
    "samplers": SAMPLERS,
    "augmentations": AUGMENTATIONS,
    "methods": METHODS,
    "formats": FORMATS,
    "feature-formats": FEATURE_FORMATS,
}
#: What Markdown would read as its own.
_SPECIAL = re.compile(r"([\\*<\[|$])")
_OPTION = re.compile(r"(?<![\w`-])--[a-z][\w-]*")
_ROLE = re.compile(r":\w+:`~?([^`]+)`")
_SECTION = re.compile(r"^(Args|Raises|Returns|Yields|Attributes):", re.MULTILINE)


def commands() -> str:
    """Every command: usage, what it does, its function in Python if there is one, and its options as in the help."""
    return "\n\n".join(map(_command, COMMANDS.values()))


def _command(command: Command) -> str:
    config = command.config()
    parser = argument_parser(config, command.positional, f"transfer {command.name}")
    parts = [
        f"(command-{command.name})=\n## transfer {command.name}",
        f"{_escaped(parser.description or command.meaning)}",
        f"```text\n{parser.usage % {'prog': parser.prog}}\n```",
    ]
    if function := _public_name(command.function()):
        parts.append(f"In Python: `{function}({config.__name__}(…))`.")
    docs, hints = field_docs(config), get_type_hints(config, include_extras=True)
    defaults = {field.name: default_of(field) for field in fields(config)}
    for group in parser._action_groups:  # those of the help
        options = [action for action in group._group_actions if action.dest in defaults]
        if not options:
            continue
        parts.append(f":::{{rubric}} {(group.title or '').capitalize()}\n:::")
        for option in options:
            name = option.dest
            several = {"+": " …", "*": " …"}.get(str(option.nargs), "")
            word = str(option.metavar or ("" if option.option_strings else name.upper()))
            typed = " ".join(filter(None, (*option.option_strings, word + several)))
            parts.append(
                _entry(
                    f"`{typed}`",
                    hints[name],
                    defaults[name],
                    _typed(docs.get(name, ""), command.positional),
                )
            )
    return "\n\n".join(parts)


def schemes() -> str:
    """Every scheme with its options, after the options that all of them take."""
    shared = "(spec-options)=\n## Options of every scheme\n\n" + _options(GENERIC_OPTIONS)
    return "\n\n".join([shared, *map(_scheme, SCHEMES.values())])


def _scheme(scheme: Scheme) -> str:
    parts = [f"(scheme-{scheme.name})=\n## {scheme.name}", f"`{scheme.form}`: {_escaped(scheme.meaning)}."]
    parts.append(prose(scheme.open))
    if callable(scheme.options):
        parts.append(f"Options: {_escaped(prose(scheme.options))}")
    elif scheme.options:
        parts.append(_options(scheme.options))
    if scheme.addresses:
        parts.append("The location, and files that options name, may be addresses.")
    return "\n\n".join(parts)


def _options(options: Mapping[str, SpecOption]) -> str:
    entries = []
    for name, option in options.items():
        default = "" if option.default is None else f", default `{option.default}`"
        entries.append(f"`?{name}={option.value}`{default}\n: {_sentence(_escaped(option.meaning))}")
    return "\n\n".join(entries)


def recipe_keys() -> str:
    """Every key of a recipe, and of an arm."""
    parts = []
    for part, keys in RECIPE_KEYS.items():
        parts.append(f"## Keys of {'an' if part[0] == 'a' else 'a'} {part}")
        parts += [f"`{key.name}`, {_escaped(key.facts('`'))}\n: {_plain(key.meaning)}" for key in keys]
    return "\n\n".join(parts)


def catalogue(kind: str) -> str:
    """The rows of one kind."""
    meanings = KINDS[kind]() if kind in KINDS else {name: row.meaning for name, row in ROWS[kind].items()}
    return "\n\n".join(
        f"`{name}`\n: {_sentence(_escaped(meaning))}{_facts(ROWS[kind].get(name))}"
        for name, meaning in meanings.items()
    )


def _facts(row: Any) -> str:
    """What the row of a thing says beside its meaning, in sentences."""
    typed = str if isinstance(row, Use) else flag  # an arm has keys
    options = sorted(getattr(row, "options", ()) or ())
    found = [f"Options: {', '.join(f'`{typed(name)}`' for name in options)}."] if options else []
    if isinstance(row, Strategy) and row.certify is not None:
        found.append("Its choices have a certificate.")
    if isinstance(row, Measure) and row.needs:
        found.append(f"Needs: {', '.join(sorted(row.needs))}.")
    if getattr(row, "balanced", False):
        found.append("Re-balances the classes.")
    return "".join(f" {sentence}" for sentence in found)


def _entry(term: str, hint: Any, default: object, text: str) -> str:
    """An option or a key: the term, what it takes, its default, and what it does."""
    kinds = [] if "{" in term else [in_words(_without_ranges(hint))]  # the choices are in the term
    head = [term, *kinds, *map(str, ranges_of(hint))]
    if default is MISSING:
        head.append("required")
    elif default is not None and default is not False and default not in ([], {}):
        words = " ".join(map(str, default)) if isinstance(default, list) else str(default)
        head.append(f"default `{words}`")
    if hint is bool:
        head = [term]
    return f"{', '.join(head)}\n: {text}"


def _without_ranges(hint: Any) -> Any:
    """The type hint without what it is annotated with."""
    return get_type_hints(type("_", (), {"__annotations__": {"hint": hint}}))["hint"]


def prose(documented: Any) -> str:
    """The paragraphs of a docstring as Markdown, without its sections on arguments and errors."""
    text = _SECTION.split(inspect.getdoc(documented) or "")[0].strip()
    return _ROLE.sub(lambda role: f"`{role[1].rpartition('.')[2]}`", text)


def _typed(text: str, positional: Collection[str]) -> str:
    """The description of an option, the other options in it as they are typed."""

    def typed(match: re.Match[str]) -> str:
        return f"`{match[1].upper() if match[1] in positional else flag(match[1])}`"

    marked = re.sub(r"`([a-z][a-z_]*)`", typed, _escaped(text))
    return _OPTION.sub(lambda option: f"`{option[0]}`", marked)


def _plain(text: str) -> str:
    return _ROLE.sub(lambda role: f"`{role[1].rpartition('.')[2]}`", _escaped(text))


def _escaped(text: str) -> str:
    """A text with what Markdown would read as its own escaped, but not in backticks."""
    parts: Iterable[str] = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _SPECIAL.sub(r"\\\1", part) for part in parts)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _public_name(function: Any) -> str | None:
    """The name under which a package exports a function; None if none does."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            if getattr(module, name) is function:
                return f"{package}.{name}"
    return None
