"""The rules of the architecture: the direction of imports, the promised names, and what is imported when."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from features import FeatureBank
from transfer.commands import COMMANDS

ROOT = Path(__file__).parents[1]
ORDER = ("features", "similarity", "finetune", "transfer")


def imported_packages(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names & set(ORDER)


@pytest.mark.parametrize("package", ORDER)
def test_imports_go_leftwards_only(package: str) -> None:
    allowed = set(ORDER[: ORDER.index(package) + 1])
    files = list((ROOT / package).rglob("*.py"))
    assert files
    wrong = {str(file): sorted(imported_packages(file) - allowed) for file in files}
    assert not {file: names for file, names in wrong.items() if names}


@pytest.mark.parametrize("package", ORDER)
def test_every_promised_name_is_there(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_the_names_that_users_rely_on_are_promised() -> None:
    promised = {
        "features": {"FeatureBank", "extract"},
        "similarity": {"emd", "rank_domains", "select_classes"},
        "finetune": {
            "effective_number",
            "class_balanced_weights",
            "ClassBalancedLoss",
            "pretrain",
            "finetune",
            "evaluate",
        },
    }
    for package, names in promised.items():
        assert names <= set(importlib.import_module(package).__all__), package


def imported(code: str, module: str) -> bool:
    """Whether Python has imported a module after it has run some code."""
    code += f"; import sys; print({module!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    return {"True": True, "False": False}[done.stdout.splitlines()[-1]]


@pytest.mark.parametrize(
    "arguments",
    ["--help", "--version", "rnak", "rank --targt x", "rank-models --targt x", "select --target x", "rank --model a b"],
)
def test_a_mistake_is_told_before_pytorch_is_imported(arguments: str) -> None:
    assert not imported(f"from transfer.cli import main; main({arguments.split()!r})", "torch")


#: Libraries that take long to import.
HEAVY = ("torch", "torchvision", "timm", "lightning", "faiss", "sklearn", "ot", "transformers")


def imported_of(code: str, modules: Sequence[str], cwd: Path = ROOT) -> list[str]:
    """Those of the modules that Python has imported after it has run some code, which prints to standard output."""
    code += f"; import sys; print([name for name in {list(modules)} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, env=environment())
    return ast.literal_eval(done.stdout.splitlines()[-1])


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_an_unknown_option_of_any_command_imports_no_heavy_library() -> None:
    code = (
        f"from transfer.cli import main; assert [main([name, '--tpyo', 'x']) for name in {list(COMMANDS)}].count(2) == "
    )
    assert imported_of(code + str(len(COMMANDS)), HEAVY) == []


@pytest.mark.parametrize(
    ("line", "modules"),
    [
        *((f"inspect {kind}", (*HEAVY, "matplotlib")) for kind in ("commands", "schemes", "uses", "geometries")),
        *((f"inspect {kind}", (*HEAVY, "matplotlib")) for kind in ("strategies", "measures")),
        *((f"inspect {kind}", ("matplotlib", "lightning", "sklearn", "faiss", "ot")) for kind in ("losses", "methods")),
        ("inspect digits:@train", ("torch", "matplotlib", "timm", "lightning", "faiss", "ot")),
        ("inspect TARGET.h5", (*HEAVY, "matplotlib")),
        ("rank --target TARGET.h5 --source SOURCE.h5", ("torch", "matplotlib", "timm", "lightning", "faiss")),
        ("select --target TARGET.h5 --source SOURCE.h5 --classes 2", ("torch", "matplotlib", "timm", "lightning")),
    ],
)
def test_a_small_command_imports_what_it_needs(line: str, modules: Sequence[str], tmp_path: Path) -> None:
    """The time of a command that computes little is that of its imports."""
    rng = np.random.default_rng(0)
    for name, classes in (("TARGET", 3), ("SOURCE", 5)):
        bank(name, rng.normal(size=(classes, 4)), np.full(classes, 9)).write(tmp_path / f"{name}.h5")
    code = f"from transfer.cli import main; assert main({line.split()}) == 0"
    assert imported_of(code, modules, tmp_path) == []


@pytest.mark.parametrize(
    "line",
    [
        "run WRONG.yaml",
        "run WRONG.yaml --dry-run",
        "predict NO-RUN IMAGES --out predictions.csv",
        "evaluate NO-RUN digits:@test",
        "export NO-RUN --out model.onnx",
    ],
)
def test_a_wrong_recipe_or_run_is_told_before_a_heavy_library_is_imported(line: str, tmp_path: Path) -> None:
    (tmp_path / "WRONG.yaml").write_text("target: digits:@train\nno_such_key: 3\n")
    (tmp_path / "NO-RUN").mkdir()
    (tmp_path / "IMAGES").mkdir()
    code = f"from transfer.cli import main; assert main({line.split()}) == 2"
    assert imported_of(code, (*HEAVY, "matplotlib"), tmp_path) == []


def bank(name: str, means: NDArray[np.float64], counts: NDArray[np.int64]) -> FeatureBank:
    classes = tuple(f"class {i}" for i in range(len(means)))
    about = {"dataset": f"folder:{name}", "backbone": "b", "weights_sha256": "w", "transform": "t", "pooling": "avg"}
    ones = np.ones_like(means, dtype=np.float32)
    return FeatureBank(classes, counts, means.astype(np.float32), ones, np.eye(means.shape[1], dtype=np.float32), about)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_ends_with_what_follows(command: str) -> None:
    show = COMMANDS[command].show()
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(Path(inspect.getfile(show)).read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert "show_next" in calls


@pytest.mark.parametrize("module", ["numpy", "yaml", "rich"])
@pytest.mark.parametrize("arguments", ["--help", "rnak"])
def test_the_commands_are_listed_without_importing_any(arguments: str, module: str) -> None:
    assert not imported(f"from transfer.cli import main; main([{arguments!r}])", module)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one_module_of_its_name(command: str) -> None:
    row = COMMANDS[command]
    assert (ROOT / "transfer" / "commands" / f"{(row.noun or command).replace('-', '_')}.py").is_file()
    assert isinstance(row.config(), type) and callable(row.function()) and callable(row.show())


def test_a_training_imports_torchvision_only_where_it_is_used() -> None:
    assert not imported("import finetune; finetune.FinetuneConfig", "torchvision")


@pytest.mark.parametrize("name", ["features", "similarity", "finetune", "transfer"])
def test_a_public_name_is_not_hidden_by_a_module(name):
    """Importing a submodule sets its name in the package, where the function of that name was."""
    package = importlib.import_module(name)
    places = Path(str(package.__file__)).parent.iterdir()
    modules = {path.stem for path in places if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert not modules & {public for public in package.__all__ if callable(getattr(package, public))}
