"""``extract``: its JSON, and the reuse of a bank."""

from __future__ import annotations

TRAIN = "digits:@train?per_class=5"
NETWORK = ["--weights", "none", "--device", "cpu", "--precision", "fp32"]


def test_extract_and_its_reuse(place, said):
    argv = ["extract", TRAIN, "--out", place / "one.h5", "--backbone", "resnet8", *NETWORK]
    found = said(*argv)
    assert {"bank", "classes", "images", "skipped", "images_per_second"} <= found.keys()
    assert (found["bank"], found["classes"], found["images"], found["skipped"]) == (str(place / "one.h5"), 10, 50, 0)
    assert found["images_per_second"] > 0
    assert said(*argv)["reused"]
