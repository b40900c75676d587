"""``evaluate``: the JSON of a fine-tuned run."""

from __future__ import annotations

TRAIN, TEST = "digits:@train?per_class=5", "digits:@test?per_class=4"


def test_finetune_and_evaluate(made_run, said, place):
    out = place / "fine"
    argv = ["finetune", TRAIN, "--init", made_run, "--out", out, "--test", TEST, "--method", "linear"]
    tuned = said(*argv, "--device", "cpu", "--precision", "fp32")
    assert not tuned["reused"]
    found = said("evaluate", out, TEST, "--device", "cpu", "--precision", "fp32")
    assert {"top1", "top5", "macro", "many", "medium", "few", "images"} <= found.keys()
    assert found["images"] == 40
    assert 0 <= found["top1"] <= found["top5"] <= 1  # fractions, not percent
    assert found["many"] is None
    assert all(tuned[name] == found[name] for name in found)
