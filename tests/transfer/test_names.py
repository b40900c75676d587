"""Every kind of name: all are listed with a meaning, and an unknown one gives one line that suggests a known one."""

from __future__ import annotations

import json
import shlex

import pytest
import yaml

from features.backbones.loading import backbone_names
from features.infrastructure.errors import as_typed
from features.readers import SCHEMES
from finetune.augmentation import AUGMENTATIONS
from finetune.classifiers.second_stage import METHODS
from finetune.exporting import FORMATS
from finetune.losses import LOSSES
from finetune.samplers import SAMPLERS
from similarity import GEOMETRIES, MEASURES, STRATEGIES
from transfer.cli import main
from transfer.commands import COMMANDS
from transfer.kinds import KINDS
from transfer.uses import USES

TRAIN = "finetune digits: --init resnet8 --weights none --out run"
FIT = "fit-classifier digits: --init resnet8 --weights none --out run"
SELECT = "select --target a.h5 --source b.h5 --classes 1"

#: Kind → its names, a command that uses a name of it where NAME stands, a misspelt name, and the name that was meant.
CASES = {
    "commands": (COMMANDS, "NAME digits:", "extrac", "extract"),
    "schemes": (SCHEMES, "inspect NAME:x", "foldr", "folder"),
    "losses": (LOSSES, f"{TRAIN} --loss NAME", "cb-sofmax", "cb-softmax"),
    "samplers": (SAMPLERS, f"{TRAIN} --sampler NAME", "clas", "class"),
    "methods": (METHODS, f"{FIT} --method NAME", "liner", "linear"),
    "augmentations": (AUGMENTATIONS, f"{TRAIN} --augment NAME", "afine", "affine"),
    "geometries": (GEOMETRIES, f"{SELECT} --geometry NAME", "whitend", "whitened"),
    "strategies": (STRATEGIES, f"{SELECT} --strategy NAME", "nearst", "nearest"),
    "formats": (FORMATS, "export runs/x --out m --format NAME", "onx", "onnx"),
    "measures": (MEASURES, "rank --target a.h5 --source b.h5 --measures NAME", "frechett", "frechet"),
    "uses": (USES, "run NAME.yaml", "continue", "continued"),  # a recipe of that name, whose arm has that use
    "backbones": (None, "extract digits: --out a.h5 --backbone NAME", "resnet51", "resnet5"),
}


def test_every_kind_is_here():
    assert CASES.keys() == KINDS.keys() - {"recipe-keys"}  # which are keys of a file, and tested with recipes


@pytest.mark.parametrize("kind", CASES)
def test_every_name_is_listed_with_a_meaning(kind, capsys):
    assert main(["inspect", kind, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed.pop("kind") == "names"
    if kind == "backbones":  # these are listed by where they come from
        assert listed == backbone_names()
        return
    assert set(CASES[kind][0]) <= set(listed)
    for name, meaning in listed.items():
        assert isinstance(meaning, str) and len(meaning.split()) > 1, name
    assert main(["inspect", kind]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[: len(listed)] == [as_typed(f"{name}: {meaning}") for name, meaning in listed.items()]


@pytest.mark.parametrize("kind", CASES)
def test_an_unknown_name_is_one_line_that_suggests_a_known_one(kind, refused, tmp_path, monkeypatch, write_bank):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        write_bank(name, [[0, 1], [1, 0]])
    _, command, misspelt, meant = CASES[kind]
    arms = {"one": {"strategy": "nearest", "use": misspelt}}
    recipe = {"name": "r", "sources": ["glyphs:"], "target": "digits:", "test": "digits:", "classes": 2, "arms": arms}
    (tmp_path / f"{misspelt}.yaml").write_text(yaml.safe_dump(recipe))
    line = refused(*shlex.split(command.replace("NAME", misspelt)))
    assert misspelt in line and f"did you mean {meant}" in line
    assert not (tmp_path / "run").exists()
