"""Parts of Lightning that a training takes by name: strategies, loggers and callbacks.

A logger or a callback is named by its class path, such as ``lightning.pytorch.callbacks.DeviceStatsMonitor``, or by the
class alone if it is Lightning's own. Lightning takes seconds to import, so it is imported where a part is named.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from features.infrastructure.errors import InputError
from features.infrastructure.suggestions import choice

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback
    from lightning.pytorch.loggers import Logger

#: Loggers by a short name, each of which is also the package that it needs and an extra; that of csv is always there.
LOGGERS = {"csv": "CSVLogger", "tensorboard": "TensorBoardLogger", "wandb": "WandbLogger", "mlflow": "MLFlowLogger"}
#: Callbacks of Lightning that would do again, or undo, what a training does itself → what to do instead.
_INSTEAD = {
    "ModelCheckpoint": "a run writes checkpoints of its own",
    "EarlyStopping": "give `patience`",
    "GradientAccumulationScheduler": "give `accumulate_grad_batches`",
    "StochasticWeightAveraging": "give `ema`",
    "EMAWeightAveraging": "give `ema`",
    "WeightAveraging": "give `ema`",
    "LearningRateFinder": "give `search`",
    "BatchSizeFinder": "give `batch_size`",
}
#: A callback: its class path, or a mapping of ``class_path`` and ``init_args`` as in Lightning's configuration files.
CallbackSpec = str | Mapping[str, Any]


def check_strategy(name: str) -> None:
    """Raise `InputError` unless it is ``auto`` or a strategy of Lightning that leaves the network whole."""
    if name == "auto":
        return
    from lightning.pytorch.strategies import StrategyRegistry

    registered = StrategyRegistry.available_strategies()
    # Those that start processes themselves take no part in a job that a launcher has started.
    usable = [n for n in registered if n.startswith("ddp") and not {"spawn", "fork", "notebook"} & set(n.split("_"))]
    if name in usable:
        return
    if name in registered:
        raise InputError(
            f"`strategy` {name}: every process holds the whole network, for checkpoints, validation and averages of "
            f"weights; give auto or one of {', '.join(usable)}. For a larger network, `optimizer` sgd and `freeze` "
            f"need less memory"
        )
    raise InputError(f"`strategy` {name}: Lightning has no such strategy; {choice(name, ['auto', *usable])}")


def logger_options(given: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Options as a mapping; words ``name=value`` have values as in YAML.

    >>> logger_options(["project=birds", "offline=true"])
    {'project': 'birds', 'offline': True}

    Raises:
        InputError: A word has no name or no value, or a name is given twice.
    """
    if isinstance(given, Mapping):
        return dict(given)
    found: dict[str, Any] = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not name or not equals or name in found:
            raise InputError(f"`logger_options` {word}: expected each option once, as name=value")
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            found[name] = value
    return found


def check_logger(name: str, given: Sequence[str] | Mapping[str, Any]) -> None:
    """Raise `InputError` for an unknown logger, a package that is missing, or an option that the logger lacks."""
    options = logger_options(given)
    if name in LOGGERS and name != "csv" and find_spec(name) is None:
        raise InputError(f'`logger` {name}: the package {name} is missing; run pip install "transfer-toolkit[{name}]"')
    _check_arguments(_logger_class(name), options, f"`logger_options` of `logger` {name}")


def build_logger(name: str, given: Sequence[str] | Mapping[str, Any], run: Path) -> Logger:
    """Return a logger that writes to the folder of a run unless its options say otherwise.

    Raises:
        InputError: As of :func:`check_logger`, or the logger refuses its options.
    """
    check_logger(name, given)
    kind, options = _logger_class(name), logger_options(given)
    own = {
        "csv": {"name": "csv"},
        "tensorboard": {"name": "tensorboard", "version": ""},
        "wandb": {"name": run.name},
        "mlflow": {"run_name": run.name, "save_dir": str(run / "mlruns")},
    }.get(name, {})
    if "save_dir" in inspect.signature(kind).parameters:
        own = {"save_dir": str(run), **own}
    return _made(kind, own | options, f"`logger` {name}")


def _logger_class(name: str) -> type:
    return _class_at(LOGGERS.get(name, name), "lightning.pytorch.loggers", "Logger", "logger", LOGGERS)


def check_callbacks(specs: Sequence[CallbackSpec]) -> None:
    """Raise `InputError` for a callback that is none, lacks an argument, or does what a training does itself."""
    for spec in specs:
        kind, arguments = _callback(spec)
        _check_arguments(kind, arguments, f"`callbacks` {kind.__name__}")


def build_callbacks(specs: Sequence[CallbackSpec]) -> list[Callback]:
    """Return the callbacks; errors are those of :func:`check_callbacks`, or a callback refuses its arguments."""
    check_callbacks(specs)
    return [_made(kind, arguments, f"`callbacks` {kind.__name__}") for kind, arguments in map(_callback, specs)]


def _callback(spec: CallbackSpec) -> tuple[type, dict[str, Any]]:
    """The class of a callback, and its arguments."""
    given: Mapping[str, Any] = {"class_path": spec} if isinstance(spec, str) else spec
    path, arguments = given.get("class_path"), given.get("init_args") or {}
    if not isinstance(path, str) or not isinstance(arguments, Mapping) or given.keys() - {"class_path", "init_args"}:
        raise InputError(f"`callbacks` {spec}: expected a class path, or a mapping of class_path and init_args")
    kind = _class_at(path, "lightning.pytorch.callbacks", "Callback", "callbacks", ())
    for base in kind.__mro__:
        if base.__name__ in _INSTEAD and base.__module__.startswith("lightning."):
            raise InputError(f"`callbacks` {path}: {_INSTEAD[base.__name__]}, and leave it out")
    return kind, dict(arguments)


def _class_at(path: str, home: str, base: str, argument: str, short: Sequence[str] | Mapping[str, str]) -> type:
    """The class at a path, or of this name in the module ``home``, if it is derived from the class ``base`` there."""
    module, _, name = path.rpartition(".")
    parent = getattr(import_module(home), base)
    try:
        found = getattr(import_module(module or home), name)
    except Exception as error:  # the code at the path may raise anything
        if not module:
            listed = [*short, *getattr(import_module(home), "__all__", ())]
            near = choice(path, [name for name in listed if name != base])
            raise InputError(f"`{argument}` {path}: Lightning has no such {base.lower()}; {near}") from error
        raise InputError(f"`{argument}` {path}: cannot be imported ({type(error).__name__}: {error})") from error
    if not (inspect.isclass(found) and issubclass(found, parent)):
        example = {"Logger": "CSVLogger", "Callback": "DeviceStatsMonitor"}[base]
        raise InputError(f"`{argument}` {path}: is not a subclass of {home}.{base}; give one, such as {example}")
    return found


def _check_arguments(kind: type, arguments: Mapping[str, Any], where: str) -> None:
    parameters = inspect.signature(kind).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    if unknown := [name for name in arguments if name not in parameters]:
        raise InputError(f"{where}: {kind.__name__} has no argument {unknown[0]}; {choice(unknown[0], parameters)}")


def _made(kind: type, arguments: Mapping[str, Any], where: str) -> Any:
    try:
        return kind(**arguments)
    except Exception as error:  # of any type, such as a service that cannot be reached
        raise InputError(f"{where}: cannot be made ({type(error).__name__}: {error})") from error
