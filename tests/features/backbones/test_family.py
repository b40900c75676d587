"""What holds for every family of backbones, and the order in which they are tried."""

import sys
import textwrap

import pytest

from features.backbones.family import FAMILIES, backbone_names, family_of, is_model_address, is_path_of_run
from features.infrastructure.entry_points import LOADED
from features.infrastructure.errors import InputError


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_every_row_keeps_the_contract(family):
    assert family.meaning and "\n" not in family.meaning
    assert all(family.knows(name) for name in family.names())
    assert not family.knows("no such network") and not family.knows("no/such/run")
    assert set(family.names()) <= set(backbone_names().get(family.origin, ()))


def test_families_are_tried_in_the_order_of_their_place():
    assert len({family.place for family in FAMILIES.values()}) == len(FAMILIES)
    # timm has networks of these names too, torchvision the first.
    found = {name: family_of(name).name for name in ("resnet50", "efficientnet_lite0", "resnet32", "resnet50.a1_in1k")}
    assert found == {
        "resnet50": "torchvision",
        "efficientnet_lite0": "efficientnet_lite0",
        "resnet32": "cifar",
        "resnet50.a1_in1k": "timm",
    }
    assert list(backbone_names()) == ["this toolkit", "torchvision", "timm"]


def test_an_unknown_name_is_one_line():
    with pytest.raises(InputError, match=r"^backbone resnet_50: no such model or run directory; did you mean resnet50"):
        family_of("resnet_50")


@pytest.fixture
def other_package(tmp_path, monkeypatch):
    """The name of a module that adds a family with the prefixes ``own/`` and ``own:``."""
    code = """
        from features.backbones.family import Family
        OWN = Family("own", "one", 9, lambda name: False, None, prefixes=("own/", "own:"))
    """
    (tmp_path / "own_family.py").write_text(textwrap.dedent(code))
    info = tmp_path / "own_family-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own_family\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[transfer.backbones]\nown = own_family:OWN\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    FAMILIES.__dict__.pop("_entries", None)
    yield "own_family"
    FAMILIES.__dict__.pop("_entries", None)
    sys.modules.pop("own_family", None)
    LOADED.pop("own_family", None)


def test_a_run_that_is_there_needs_no_other_package(other_package, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/pre/checkpoints").mkdir(parents=True)
    (tmp_path / "runs/pre/checkpoints/last.safetensors").touch()
    assert is_path_of_run("runs/pre") and not is_path_of_run("resnet50")
    assert not is_path_of_run("timm/resnet50") and not is_path_of_run("hf-hub:ann/birds")
    assert is_model_address("hf-hub:ann/birds") and not is_model_address("runs/pre")
    assert other_package not in sys.modules


def test_prefixes_of_other_packages_count(other_package):
    assert not is_path_of_run("own/net") and is_path_of_run("runs/none")
    assert is_model_address("own:net") and not is_model_address("own/net") and not is_model_address("runs:none")
    assert other_package in sys.modules
