"""The names of a kind, all or by patterns."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

from features.infrastructure.errors import InputError
from transfer.cli import main
from transfer.kinds import KINDS, USED_BY, kind_of, names_of


@pytest.mark.parametrize("kind", ["losses", "strategies", "schemes", "commands"])
def test_a_pattern_keeps_the_names_that_it_matches(kind):
    everything = names_of(kind)
    for pattern in ("*s*", "c*", next(iter(everything)), next(iter(everything)).upper()):
        expected = {name: text for name, text in everything.items() if fnmatch(name.lower(), pattern.lower())}
        assert expected and names_of(kind, [pattern]) == expected
    assert names_of(kind, ["*"]) == everything


def test_backbones_are_filtered_within_their_origins():
    found = names_of("backbones", ["resnet5*", "efficientnet_lite0"])
    assert found["this toolkit"] == ["efficientnet_lite0", "resnet56"]
    assert found["torchvision"] == ["resnet50"]
    assert all(name.startswith(("resnet5", "efficientnet_lite0")) for names in found.values() for name in names)


def test_a_pattern_without_a_match_is_refused(capsys):
    with pytest.raises(InputError, match="`names` sofmax: none of the losses has this name; did you mean softmax"):
        names_of("losses", ["softmax", "sofmax"])
    assert main(["inspect", "losses", "qqq*"]) == 2
    assert "NAMES qqq*: none of the losses has this name" in capsys.readouterr().err
    assert main(["inspect", "digits:", "x"]) == 2
    assert "NAMES x: can be given with a kind alone" in capsys.readouterr().err


def test_every_kind_says_which_command_takes_its_names(capsys):
    assert USED_BY.keys() == KINDS.keys()
    assert main(["inspect", "geometries", "eucl*"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("euclidean: ") and "whitened" not in out and USED_BY["geometries"] in out


def test_a_name_tells_its_kind():
    assert kind_of("cb-softmax") == "losses" and kind_of("nothing-of-that-name") is None
