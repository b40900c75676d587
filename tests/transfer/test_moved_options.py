"""Options that stand in another command than before, or than one looks for them in."""

import pytest

from features.infrastructure.errors import InputError
from transfer.cli import main
from transfer.commands import COMMANDS


class Nothing:
    """A result that says nothing."""

    def to_json(self):
        return {}


@pytest.mark.parametrize(
    ("words", "content", "new"),
    [
        (["rank", "--target", "digits:", "--model", "resnet8"], "{target: 'digits:', model: [resnet8]}", "rank-models"),
        (
            ["finetune", "digits:", "--init", "a", "--out", "b", "--method", "ncm"],
            "{dataset: 'digits:', init: a, out: b, method: ncm, loss: softmax}",
            "fit-classifier",
        ),
    ],
)
def test_an_option_that_has_moved_runs_the_command_that_has_it_now(monkeypatch, capsys, tmp_path, words, content, new):
    seen = []

    def instead(config):
        seen.append(config)
        raise InputError("`out` x: stop here")

    function = new.replace("-", "_")
    monkeypatch.setattr(f"{COMMANDS[new].home or f'transfer.commands.{function}'}.{function}", instead)
    file = tmp_path / "options.yaml"
    file.write_text(content)
    old, option = words[0], words[-2]
    for given in (words, [old, "--config", str(file)], [old, f"--config={file}", option, words[-1]]):
        assert main(given) == 2
        assert capsys.readouterr().err.splitlines() == [
            f"transfer {old}: {option} has moved; running: transfer {new}",
            f"transfer {new}: error: --out x: stop here",
        ]
    assert seen[0] == seen[1] == seen[2] and isinstance(seen[0], COMMANDS[new].config())


@pytest.mark.parametrize("content", ["{}", "{method: full, space: cosine}"])
def test_fine_tuning_with_method_full_is_what_it_was(monkeypatch, capsys, tmp_path, content):
    seen = []
    monkeypatch.setattr("finetune.finetune", lambda config: seen.append(config) or Nothing())
    file = tmp_path / "options.yaml"
    file.write_text(content)
    words = ["digits:", "--init", "a", "--out", "b", "--json"]
    for more in ([], ["--config", str(file)]):
        assert main(["finetune", *words, *more]) == 0
    assert capsys.readouterr().err == ""
    for more in (["--method", "full"], ["--method=full", "--config", str(file)]):
        assert main(["finetune", *more, *words]) == 0
        assert capsys.readouterr().err == "transfer finetune: --method full is what this command does; leave it out\n"
    assert len(seen) == 4 and all(config == seen[0] for config in seen)


@pytest.mark.parametrize("command", ["rank", "finetune", "select"])
def test_two_files_of_options_are_refused(refused, tmp_path, command):
    for name in ("a", "b"):
        (tmp_path / name).write_text("{seed: 1}")
    files = ["--config", str(tmp_path / "a"), "--config", str(tmp_path / "b")]
    assert "--config is given twice" in refused(command, *files)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("rank --target a --source b --by emd", "--by is an option of: transfer rank-models"),
        ("rank-models --target a --model b --bootstrap 3", "--bootstrap is an option of: transfer rank"),
        ("finetune a --init b --out c --space raw", "--space is an option of: transfer fit-classifier"),
        ("fit-classifier a --init b --out c --method crt --loss ldam", "--loss is an option of: transfer pretrain, "),
        ("rank --target a --source b --classes 3", "--classes is an option of: transfer select; leave it out"),
        ("evaluate a b --test=c", "--test is an option of: transfer try, rank-models, pretrain, finetune, "),
        ("extract a --out b --epochs 3", "--epochs is an option of: transfer pretrain, finetune; leave it out"),
        ("fit-classifier a --init b --out c --method crt --views 2", "--views is an option of: transfer evaluate"),
        (
            "extract a --out b --init c",
            "--init is an option of: transfer pretrain, finetune, fit-classifier; leave it out",
        ),
        ("fit-classifier a --init b --out c --method", "--method: expected"),
        ("finetune a --init b --out c --beta 1", "--beta 1.0: expected auto, or at least 0 and below 1"),
        ("rank-models --target a --model b --by near", "--by near: there is no such measure"),
    ],
)
def test_a_wrong_option_is_told_with_where_it_belongs(refused, words, message):
    assert message in refused(*words.split())
