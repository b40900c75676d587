"""Results, rankings, verdicts and options of trials: whatever their files hold, they are refused or fit together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mutations import changed_json

from features.infrastructure.errors import InputError
from features.infrastructure.formats.shapes import fault_in
from features.infrastructure.formats.structured_files import write_sealed_json
from transfer import result_files
from transfer.arm_comparison import compare_arms, headline
from transfer.result_files import read_ranking, read_result, read_trial, read_verdict

DOMAIN = {
    "source": "glyphs:",
    "emd": 1.2,
    "similarity": 0.5,
    "nearest_class_distance": 0.6,
    "nearest_class_distance_estimate": 0.3,
    "nearest_class_distance_interval": [0.1, 0.7],
    "nearer_than_next": None,
    "classes": 3,
    "images": 20,
}
ARM: dict[str, Any] = {"strategy": "nearest", "use": "subset", "geometry": "euclidean", "init": None, "classes": 2}
RUN = {"seed": 0, "run": "runs/a", "top1": 0.5, "top5": 1.0, "macro": 0.5, "images": 20}
ROW = {
    "source": "glyphs:",
    "class": "a",
    "count": 2,
    "rank": 1,
    "distance": 0.5,
    "weight": None,
    "targets": ["digits:"],
}
RESULT = {
    "name": "tiny",
    "target": "digits:",
    "arms": [
        {"arm": "scratch", "runs": [RUN], "strategy": None},
        {"arm": "nearest", "runs": [RUN], **ARM},
    ],
    "domains": [DOMAIN],
    "selections": {"nearest": [ROW]},
    "recipe": {
        "name": "tiny",
        "target": "digits:",
        "test": "digits:@test",
        "seeds": [0],
        "classes": 2,
        "sources": ["glyphs:"],
        "arms": {"scratch": {}, "nearest": ARM},
        "select": {},
    },
    "banks": {"digits:": "a.h5", "glyphs:": "b.h5"},
    "versions": {"torch": "2"},
    "seconds": 1.5,
}
FIGURE = {"value": 0.5, "low": 0.4, "high": 0.6}
VERDICT = {
    "sentences": ["It is best."],
    "best": "probe",
    "accuracy": {"probe": FIGURE},
    "lead": {"other": FIGURE},
    "tied": [],
    "optimism": 0.01,
    "images": 20,
    "starts": {"probe": "runs/a"},
    "left_out": {"other": 3.5},
}
TRIAL = {"options": {"seed": 0}, "inputs": ["ab"], "recipe_sha256": "cd", "plan": {"left_out": {}, "pretraining": 3}}

READERS = {
    "result.json": (RESULT, result_files.Result, lambda path: read_result(path)),
    "ranking.json": ({"target": "digits:", "domains": [DOMAIN]}, None, lambda path: read_ranking(path)),
    "verdict.json": (VERDICT, result_files.Verdict, lambda path: read_verdict(path.parent)),
    "trial.json": (TRIAL, result_files.TrialOptions, lambda path: read_trial(path.parent)),
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_changed_is_refused_told_or_the_same(tmp_path, capsys, name):
    content, shape, read = READERS[name]
    path = Path(tmp_path) / name
    write_sealed_json(path, content)
    expected, refused = read(path), 0
    assert capsys.readouterr().err == ""
    for what, changed in changed_json(path.read_bytes(), 150):
        path.write_bytes(changed)
        try:
            found = read(path)
        except InputError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            continue
        told = capsys.readouterr().err
        assert "changed since" in told or found == expected or found in SEEN, what
        SEEN.append(found)
        if shape is not None:
            assert fault_in(found, shape) == ""
        if name == "result.json":  # what is read of it fits together
            assert headline(found) and compare_arms(found["arms"]).best
    assert refused > 50


#: What was told of before: the same content is told of once.
SEEN: list[Any] = []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arms": []}, "it has no arm"),
        ({"arms": [RESULT["arms"][0]] * 2}, "two arms have one name"),
        ({"arms": [RESULT["arms"][0], {**RESULT["arms"][1], "runs": []}]}, "an arm has no run, or fewer than another"),
        ({"arms": [RESULT["arms"][0], {**RESULT["arms"][1], "strategy": "best"}]}, "best"),
        ({"arms": [RESULT["arms"][0], {**RESULT["arms"][1], "use": "all"}]}, "there is no such use"),
        ({"selections": {"other": []}}, "'selections' names another arm"),
        ({"banks": {"glyphs:": "b.h5"}}, "'banks' lacks that of 'target'"),
        ({"banks": {"digits:": "a.h5"}}, "'banks' has none of a source"),
        ({"recipe": RESULT["recipe"] | {"seeds": []}}, "'recipe.seeds' is empty"),
        ({"recipe": RESULT["recipe"] | {"arms": {"scratch": {}}}}, "'arms' and 'recipe.arms' differ"),
    ],
)
def test_parts_that_do_not_fit_together_are_named(tmp_path, change, said):
    (tmp_path / "result.json").write_text(json.dumps(RESULT | change))
    with pytest.raises(InputError) as error:
        read_result(tmp_path / "result.json")
    assert said in str(error.value) and "remove it and give the command again" in str(error.value)
