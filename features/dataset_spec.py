"""The dataset spec: one string that names a dataset everywhere.

Form: ``scheme:location[@split][?option=value&option=value]``. This module parses the string;
:func:`features.open_dataset` opens the dataset.

A location, and the file or directory of an option, may be an address such as ``s3://bucket/birds``. One that holds a
sign of the spec itself (``?``, ``&`` or, in a list of files, a comma) stands in ``<>``, which no address contains:
``list:<https://host/train.txt?signature=…>@split?root=s3://bucket/images``. Without the brackets the first ``?`` begins
the options. An ``@`` before a ``/`` is part of the location, so that the user of an address needs no brackets.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import BRACKETED, is_address
from features.infrastructure.storage.secrets import without_secrets

#: Integers of options are below it; arrays hold no larger ones.
_LARGEST = 2**63
#: The scheme of datasets that were given in Python, which no command can open.
IN_PYTHON = "python"


def last_component(path: str) -> str:
    """Return what follows the last slash of a path, or a text without one as it is."""
    return path.rstrip("/").rpartition("/")[2]


def split_outside(text: str, sign: str) -> list[str]:
    """Split a text at a sign, but not inside of an address in ``<>``; empty parts are left out.

    >>> split_outside("a.csv,<https://host/b.csv?x=1,2>", ",")
    ['a.csv', '<https://host/b.csv?x=1,2>']
    """
    return re.findall(f"(?:{BRACKETED.pattern.replace('(', '(?:')}|[^{sign}])+", text, BRACKETED.flags)


@dataclass(frozen=True)
class DatasetSpec:
    """A parsed dataset spec.

    As text, it has no credential and no signature of an address: it stands in banks, in subset files and in messages.

    Attributes:
        scheme: The reader, such as ``folder`` or ``cub``.
        location: The directory, file, address or name that the reader opens; empty for embedded data.
        split: The part of the dataset; None for all of it.
        options: The options after ``?``, by name; an address in ``<>`` still stands in them.
    """

    scheme: str
    location: str
    split: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> DatasetSpec:
        """Parse a dataset spec.

        >>> DatasetSpec.parse("cub:data/CUB_200_2011@train").split
        'train'
        >>> DatasetSpec.parse("list:train.txt?root=images").options["root"]
        'images'

        Raises:
            InputError: The text has no scheme, or an option has no value or is given twice.
        """
        scheme, colon, rest = text.partition(":")
        if not colon or not scheme or "?" in scheme:
            example = f"scheme:location[@split], such as {shlex.quote(f'folder:{text}') if text else 'folder:DIR'}"
            raise InputError(f"dataset spec {text!r} has no scheme: expected {example}")
        bracketed = BRACKETED.match(rest)
        bracketed = bracketed if bracketed and is_address(bracketed[1]) else None
        head, _, query = (rest[bracketed.end() :] if bracketed else rest).partition("?")
        location, at, split = head.rpartition("@")
        if bracketed:
            if location or (head and not at):
                raise InputError(
                    f"{scheme}:{bracketed[0]}{head}: expected @split, ?option=value or nothing behind the >"
                )
            location = bracketed[1]
        elif not at or "/" in split:  # an @ before a / is part of the path
            location, split = head, ""
        where = f"dataset spec {f'{scheme}:{location}' if is_address(location) else text!r}"  # a query may be a secret
        options: dict[str, str] = {}
        for item in split_outside(query, "&"):
            name, equals, value = item.partition("=")
            if not equals or not value:
                if is_address(location):
                    raise InputError(f"{where}: an address that holds a ? stands in <>, as in {scheme}:<ADDRESS>")
                example = re.sub(r"^(\w+):(?=.)", r"\1=", item) if ":" in item else f"{name}=VALUE"
                raise InputError(f"{where}: option {item!r} needs a value, as in {example}")
            if name in options:
                raise InputError(f"{where}: option {name!r} is given twice; give it once")
            if is_address(value) and "?" in value:
                raise InputError(f"{where}: option {name!r} is an address that holds a ?; write {name}=<ADDRESS>")
            options[name] = value
        return cls(scheme, location, split or None, options)

    def __str__(self) -> str:
        location = without_secrets(self.location) if is_address(self.location) else self.location
        bracketed = is_address(location) and "?" in location
        text = f"{self.scheme}:{f'<{location}>' if bracketed else location}"
        if self.split or (not bracketed and "@" in location.rpartition("/")[2]):  # else the first @ would begin a split
            text += f"@{self.split or ''}"
        if self.options:
            text += "?" + "&".join(f"{name}={_public(value)}" for name, value in self.options.items())
        return text

    def typed(self) -> str:
        """Return the spec as a person types it in a shell: in quotes if the shell would read a sign of it as its own.

        >>> print(DatasetSpec.parse("folder:my birds@train").typed())
        'folder:my birds@train'
        """
        return shlex.quote(str(self))

    def without_folders(self) -> DatasetSpec:
        """Return the spec as it may be published: of every path in it, only the last component.

        Names of the Hugging Face hub stay whole, because they are public; a path to a local copy does not.

        >>> str(DatasetSpec.parse("cub:/home/ann/CUB_200_2011@train?exclude=/home/ann/copies.csv").without_folders())
        'cub:CUB_200_2011@train?exclude=copies.csv'
        >>> str(DatasetSpec.parse("hf:owner/birds@test").without_folders())
        'hf:owner/birds@test'
        """
        location = without_secrets(self.location)
        head, colon, path = location.rpartition(":") if self.scheme == "torch" else ("", "", location)
        of_hub = self.scheme == "hf" and path.count("/") == 1 and path[0] not in "/.~" and not Path(path).exists()
        location = f"{head}{colon}{path if of_hub else last_component(path)}"
        options = {
            name: ",".join(last_component(_public(word).strip("<>")) for word in split_outside(value, ","))
            for name, value in self.options.items()
        }
        return replace(self, location=location, options=options)

    def integer(self, name: str, default: int | None = None, minimum: int = 0) -> int | None:
        """Return an option, or ``default``; raise `InputError` if it is not an integer of at least ``minimum``."""
        if name not in self.options:
            return default
        try:
            value = int(self.options[name])
        except ValueError:
            value = minimum - 1
        if not minimum <= value < _LARGEST:
            raise self.error(f"{name}={self.options[name]} is not an integer of at least {minimum} with 64 bits")
        return value

    def error(self, message: str) -> InputError:
        """Return an error about this spec, for the caller to raise."""
        return InputError(f"dataset spec {str(self)!r}: {message}")


def _public(value: str) -> str:
    """An option without the secrets of its addresses, and without the brackets that are not needed then."""

    def public(match: re.Match[str]) -> str:
        address = without_secrets(match[1])
        return f"<{address}>" if set("?&,") & set(address) else address

    return BRACKETED.sub(public, value)
