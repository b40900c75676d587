"""The dataset spec: one string that names a dataset everywhere.

Form: ``scheme:location[@split][?option=value&option=value]``. This module parses the string;
:func:`features.open_dataset` opens the dataset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from features.infrastructure.errors import InputError

#: The scheme of datasets that were given in Python, which no command can open.
IN_PYTHON = "python"


def last_component(path: str) -> str:
    """Return what follows the last slash of a path, or a text without one as it is."""
    return path.rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class DatasetSpec:
    """A parsed dataset spec.

    Attributes:
        scheme: The reader, such as ``folder`` or ``cub``.
        location: The directory, file or name that the reader opens; empty for embedded data.
        split: The part of the dataset; None for all of it.
        options: The options after ``?``, by name.
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
        head, _, query = text.partition("?")
        scheme, colon, rest = head.partition(":")
        if not colon or not scheme:
            example = f"scheme:location[@split], such as folder:{text or 'DIR'}"
            raise InputError(f"dataset spec {text!r} has no scheme: expected {example}")
        location, at, split = rest.rpartition("@")
        if not at or "/" in split:  # an @ before a / is part of the path
            location, split = rest, ""
        options: dict[str, str] = {}
        for item in filter(None, query.split("&")):
            name, equals, value = item.partition("=")
            if not equals or not value:
                raise InputError(f"dataset spec {text!r}: option {item!r} needs a value, as in {name}=VALUE")
            if name in options:
                raise InputError(f"dataset spec {text!r}: option {name!r} is given twice; give it once")
            options[name] = value
        return cls(scheme, location, split or None, options)

    def __str__(self) -> str:
        text = f"{self.scheme}:{self.location}"
        if self.split or "@" in self.location.rpartition("/")[2]:  # without a second @, the first would begin a split
            text += f"@{self.split or ''}"
        if self.options:
            text += "?" + "&".join(f"{name}={value}" for name, value in self.options.items())
        return text

    def without_folders(self) -> DatasetSpec:
        """Return the spec as it may be published: of every path in it, only the last component.

        Names of the Hugging Face hub stay whole, because they are public; a path to a local copy does not.

        >>> str(DatasetSpec.parse("cub:/home/ann/CUB_200_2011@train?exclude=/home/ann/copies.csv").without_folders())
        'cub:CUB_200_2011@train?exclude=copies.csv'
        >>> str(DatasetSpec.parse("hf:owner/birds@test").without_folders())
        'hf:owner/birds@test'
        """
        head, colon, path = self.location.rpartition(":") if self.scheme == "torch" else ("", "", self.location)
        of_hub = self.scheme == "hf" and path.count("/") == 1 and path[0] not in "/.~" and not Path(path).exists()
        location = f"{head}{colon}{path if of_hub else last_component(path)}"
        options = {name: ",".join(map(last_component, value.split(","))) for name, value in self.options.items()}
        return replace(self, location=location, options=options)

    def integer(self, name: str, default: int | None = None, minimum: int = 0) -> int | None:
        """Return an option, or ``default``; raise `InputError` if it is not an integer of at least ``minimum``."""
        if name not in self.options:
            return default
        try:
            value = int(self.options[name])
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise self.error(f"{name}={self.options[name]} is not an integer of at least {minimum}")
        return value

    def error(self, message: str) -> InputError:
        """Return an error about this spec, for the caller to raise."""
        return InputError(f"dataset spec {str(self)!r}: {message}")
