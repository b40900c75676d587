"""Weights as they are found: the tensors of a file that fit a network, under whatever names they were saved.

Training scripts save a network inside of others (``module.``, ``_orig_mod.``, ``backbone.``) and its tensors beside
other things (``{"model": …, "optimizer": …}``). Here a file is one table of tensors whose names are paths, and a
network fits where one prefix gives all of its tensors.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

from features.infrastructure.errors import InputError
from features.infrastructure.formats.torch_files import read_torch

#: Buffer of batch normalisation that files of early versions of torch lack; nothing here reads it.
BATCH_COUNTER = "num_batches_tracked"
#: First components of prefixes, from the one that is preferred if several fit; None stands for any other. The last ones
#: hold averaged weights.
_PREFERRED = (
    *("", "state_dict", "model_state_dict", "model", "net", "network", None),
    *("ema", "model_ema", "state_dict_ema", "ema_state_dict", "model_ema_state_dict"),
)
#: Names that a message lists.
_LISTED = 3
#: Levels of mappings in which tensors are looked for, and tensors that a file may hold.
_DEEPEST, _MOST_TENSORS = 8, 1_000_000


class _Inert:
    """Stands for every object of a pickle that is no tensor, number, text or container: no code of it is run."""

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


@dataclass(frozen=True)
class WeightsFile:
    """The tensors of a file.

    Attributes:
        name: The file as the user named it, perhaps with ``#PREFIX``.
        tensors: The tensors by their paths, such as ``state_dict.conv1.weight``.
        container: The path of the mapping that holds each tensor, with a dot at its end: ``state_dict.``.
    """

    name: str
    tensors: Mapping[str, Tensor]
    container: Mapping[str, str]

    @property
    def asked(self) -> str:
        """The prefix that the user named, with a dot at its end; empty for none."""
        asked = "" if Path(self.name).is_file() else self.name.partition("#")[2]
        return f"{asked.rstrip('.')}." if asked else ""

    @property
    def where(self) -> str:
        """The beginning of messages."""
        return f"`weights` {self.name}"

    def fit(self, network: nn.Module) -> Fit | None:
        """Find all tensors of a network, but for counters of batches; None if they are not below one prefix.

        Raises:
            InputError: The file holds several such networks of which none is preferred, or a larger one.
        """
        expected = network.state_dict()
        needed = [name for name in expected if not name.endswith(BATCH_COUNTER)]
        everywhere = [prefix for prefix in self._prefixes(needed) if self._has(prefix, needed, expected)]
        fits = [prefix for prefix in everywhere if prefix.startswith(self.asked)]
        if everywhere and not fits:
            there = some([prefix[:-1] or "the top" for prefix in everywhere])
            raise InputError(f"{self.where}: holds no such network below {self.asked[:-1]}; it is below {there}")
        if not fits:
            return None
        least = min(map(_place, fits))
        first = [prefix for prefix in fits if _place(prefix) == least]
        if len(first) > 1:
            places = [prefix[:-1] for prefix in first]
            raise InputError(
                f"{self.where}: holds several such networks, below {some(places)}; append one to the file "
                f"name, such as #{places[0]}"
            )
        prefix = first[0]
        inside = self.container[prefix + needed[0]]
        unused = [
            path for path, of in self.container.items()
            if of == inside and path.startswith(prefix) and path.removeprefix(prefix) not in expected
        ]  # fmt: skip
        further = [path for path in unused if is_inside(network, path.removeprefix(prefix))]
        if further:
            raise InputError(
                f"{self.where}: is of a larger network: it has {len(further)} tensors of further layers, "
                f"{some(further)}; name that network as `backbone`"
            )
        state = {name: self.tensors[prefix + name] for name in expected if prefix + name in self.tensors}
        return Fit(prefix, state, tuple(unused), tuple(other for other in fits if other != prefix))

    def misfit(self, expected: Mapping[str, Tensor], name: str) -> InputError:
        """The error for a file that lacks tensors of a state dict: which ones, where it fits best, and what it has."""
        counted: Counter[str] = Counter()
        for own in expected:
            counted.update(path.removesuffix(own) for path in self.tensors if path == own or path.endswith(f".{own}"))
        prefix = counted.most_common(1)[0][0] if counted else ""
        missing = [own for own in expected if prefix + own not in self.tensors and not own.endswith(BATCH_COUNTER)]
        wrong = [own for own in expected if not self._same_shape(prefix + own, expected[own])]
        shapes = ""
        if wrong:
            found, asked = (tuple(value.shape) for value in (self.tensors[prefix + wrong[0]], expected[wrong[0]]))
            shapes = f" ({found} instead of {asked})"
        lacks = f"{len(missing)} of {len(expected)} tensors are missing and {len(wrong)} have another shape"
        return InputError(
            f"{self.where}: does not fit {name}: {lacks}, first {(wrong + missing)[0]!r}{shapes}; the file holds "
            f"{len(self.tensors)} tensors: {some(self.tensors)}; name the network that the file is of as `backbone`"
        )

    def _prefixes(self, needed: Sequence[str]) -> list[str]:
        """What stands before the names of a network."""
        probe = max(needed, key=len)  # a long name is in few places
        return [path.removesuffix(probe) for path in self.tensors if path == probe or path.endswith(f".{probe}")]

    def _has(self, prefix: str, needed: Sequence[str], expected: Mapping[str, Tensor]) -> bool:
        return all(prefix + name in self.tensors and self._same_shape(prefix + name, expected[name]) for name in needed)

    def _same_shape(self, path: str, other: Tensor) -> bool:
        """Whether a tensor has the shape of another, or is not there."""
        return path not in self.tensors or self.tensors[path].shape == other.shape


@dataclass(frozen=True)
class Fit:
    """Where a network is in a file.

    Attributes:
        prefix: What stands before its names, such as ``model.module.``; empty for nothing.
        state: Its tensors by their names in the network.
        unused: Paths of the tensors beside them that the network does not have, such as a classifier's.
        others: Prefixes of other networks in the file that fit as well.
    """

    prefix: str
    state: dict[str, Tensor]
    unused: tuple[str, ...]
    others: tuple[str, ...]

    def describe(self, expected: Mapping[str, Tensor]) -> str:
        """Say in one line what is taken, what is not, and what is missing."""
        said = [f"{len(self.state)} tensors" + (f" below {printable(self.prefix[:-1])}" if self.prefix else "")]
        if self.unused:
            said.append(f"not used: {some(self.unused)}")
        if missing := len(expected) - len(self.state):
            said.append(f"not in it: {missing} batch counters ({BATCH_COUNTER}), which are not needed")
        if self.others:
            places = [other[:-1] or "its top" for other in self.others]
            said.append(
                f"the same network is also below {some(places)}; append #{places[0]} to the file name to load that"
            )
        return "; ".join(said)


def read_weights(file: str) -> WeightsFile:
    """Read the tensors of a ``.safetensors`` file, or of one that ``torch.save`` wrote.

    Objects of a pickle other than tensors, numbers, texts and containers are passed over: no code of them is run.

    Raises:
        InputError: The file is missing, is no file of tensors, or holds none.
    """
    path = Path(file) if Path(file).is_file() else Path(file.partition("#")[0])
    if not path.is_file():
        raise InputError(f"`weights` {file}: no such file; expected default, none, or a state-dict file")
    content: Any
    try:
        content = load_file(path) if _is_safetensors(path) else read_torch(path, "weights file", _Inert)
    except InputError:
        raise
    except Exception as error:  # decoders raise errors of any type on a file that holds no state dict
        reason = printable(str(error)) or type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # torch would advise to run the code
            reason = "no file of tensors, or one with objects that only code could read: save the state_dict() alone"
        raise InputError(f"`weights` {file}: not a readable state dict ({reason})") from error
    if not isinstance(content, Mapping):
        held = "a pickled object" if isinstance(content, _Inert) else f"a {type(content).__name__}"
        raise InputError(f"`weights` {file}: holds {held}; expected a state dict, tensors by name")
    found = list(islice(_tensors(content, ""), _MOST_TENSORS + 1))
    if len(found) > _MOST_TENSORS:
        raise InputError(f"`weights` {file}: holds more than {_MOST_TENSORS:,} tensors; expected a state dict")
    if not found:
        raise InputError(
            f"`weights` {file}: holds no tensor by name, only {some(content) or 'nothing'}; save a state_dict()"
        )
    tensors = {container + name: value for container, name, value in found}
    return WeightsFile(file, tensors, {container + name: container for container, name, _ in found})


def printable(text: str) -> str:
    """Return the first line of a text from elsewhere without characters that would control the screen."""
    return "".join(character for character in text.partition("\n")[0] if character.isprintable())


def some(names: Any) -> str:
    """The first names of several, as they can be printed."""
    shown = ", ".join(printable(str(name)) for name in list(names)[:_LISTED])
    return shown + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


def _is_safetensors(path: Path) -> bool:
    """Whether a file is of safetensors, by its name or its first bytes: the length of a header, and its brace."""
    with path.open("rb") as file:
        return path.suffix == ".safetensors" or file.read(9)[8:] == b"{"


def _tensors(
    content: Mapping[Any, Any], container: str, above: tuple[int, ...] = ()
) -> Iterator[tuple[str, str, Tensor]]:
    """Every tensor in nested mappings: the path of its mapping, its name there, and itself.

    Nothing is deeper than :data:`_DEEPEST`: a pickle can hold a mapping that holds itself.
    """
    for name, value in content.items():
        if isinstance(value, Tensor):
            yield container, str(name), value
        elif isinstance(value, Mapping) and len(above) < _DEEPEST and id(value) not in above:
            yield from _tensors(value, f"{container}{name}.", (*above, id(value)))


def is_inside(network: nn.Module, name: str) -> bool:
    """Whether a tensor is of a layer that a network lacks among its own layers, and not of a head.

    A head that was removed has left an identity. A further buffer of a layer that is there does not count.
    """
    layers = dict(network.named_modules())
    above = name.split(".")[:-1]
    paths = [".".join(above[: i + 1]) for i in range(len(above))]
    of_head = any(isinstance(layers.get(path), nn.Identity) for path in paths)
    used = {path.partition(".")[0] for path in network.state_dict() if "." in path}
    return bool(paths) and paths[0] in used and paths[-1] not in layers and not of_head


def _place(prefix: str) -> int:
    """The place of a prefix among those that are preferred."""
    first = prefix.partition(".")[0]
    return _PREFERRED.index(first if first in _PREFERRED else None)
