"""What holds for every family of backbones, and the order in which they are tried."""

import pytest

from features.backbones.family import FAMILIES, backbone_names, family_of
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
