"""On the real long-tailed CIFAR-100: what stage two of decoupling is for shows after a few epochs."""

from __future__ import annotations

import pytest

from finetune import FinetuneConfig, finetune

CPU = {"device": "cpu", "workers": 0}


@pytest.fixture(scope="module")
def cifar(unpack) -> str:
    return f"folder:{unpack('cifar-100-lt-if100.tar') / 'cifar-100-lt-if100'}"


@pytest.fixture(scope="module")
def joint(cifar, tmp_path_factory):
    """A network trained for a few epochs with plain softmax on the images as they come."""
    options = {"init": "resnet8", "weights": "none", "image_size": 32, "epochs": 8, "augment": "crop-flip", "lr": 0.1}
    out = str(tmp_path_factory.mktemp("joint") / "run")
    return finetune(FinetuneConfig(dataset=f"{cifar}@train", test=f"{cifar}@test", out=out, **options, **CPU))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "gain"),
    [
        ({"method": "crt"}, 0.02),
        ({"method": "lws"}, 0.02),
        ({"method": "tau", "tau": 0.5}, 0.002),  # of the 3,000 images of rare classes 6; a trial gave 13
    ],
)
def test_the_rare_classes_gain(cifar, joint, tmp_path, given, gain):
    data = {"dataset": f"{cifar}@train", "test": f"{cifar}@test", "init": str(joint.run), "out": str(tmp_path / "run")}
    found = finetune(FinetuneConfig(**data, **given, **CPU)).metrics
    before = joint.metrics
    assert before["classes"] == {"macro": 100, "many": 35, "medium": 35, "few": 30} and before["images"] == 10_000
    assert before["many"] > 0.2 > before["few"]
    assert found["few"] > before["few"] + gain
    assert found["macro"] > before["macro"]
