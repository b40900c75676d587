"""The rules of the architecture: the direction of imports, the promised names, and what is imported when."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

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
