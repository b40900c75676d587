"""What is asked for reaches the loss and the sampler of the training: β, γ, τ, margins, and when they count."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from features import open_dataset
from features.checkpoint import find_checkpoint
from features.infrastructure.errors import InputError
from finetune import FinetuneConfig, FitClassifierConfig, finetune, fit_classifier
from finetune.losses import LongTailLoss, class_balanced_weights, log_prior
from finetune.samplers import class_probabilities, effective_probabilities
from finetune.training import engine

TAIL = "digits:@train?imbalance=8&per_class=40"
COUNTS = open_dataset(TAIL).counts


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Trains a little with some options; gives the loss, the sampler, and at which steps class weights counted."""

    def run(**given):
        made: dict[str, list] = {"loss": [], "sampler": [], "counted": []}

        def spy(module, name, kept):
            build = getattr(module, name)

            def built(*args, **options):
                made[kept].append(build(*args, **options))
                return made[kept][-1]

            monkeypatch.setattr(module, name, built)

        def checked(self, logits, target, inner=LongTailLoss._checked):
            made["loss"] = [self]
            made["counted"].append(self.reweighting)
            return inner(self, logits, target)

        spy(engine, "build_sampler", "sampler")
        monkeypatch.setattr(LongTailLoss, "_checked", checked)
        fixed = {
            "init": "resnet8",
            "weights": "none",
            "image_size": 16,
            "batch_size": 16,
            "augment": "none",
            "lr": 0.001,
        }
        fixed |= {"device": "cpu", "precision": "fp32", "workers": 0, "steps": 1}
        finetune(FinetuneConfig(dataset=TAIL, out=str(tmp_path / "run"), **fixed | given))
        ((loss,), (sampler,)) = made["loss"], made["sampler"]
        return loss, sampler, made["counted"]

    return run


def as_float32(values):
    return pytest.approx(np.asarray(values), rel=1e-6)


def test_beta_gamma_and_the_normalization(trained):
    loss, _, counted = trained(loss="cb-focal", beta=0.97, gamma=2.5, normalization="pytorch")
    assert loss.weight.numpy() == as_float32(class_balanced_weights(COUNTS, 0.97))
    assert (loss.gamma, loss.normalization, counted) == (2.5, "pytorch", [True])


def test_beta_is_automatic_where_asked(trained):
    loss, _, _ = trained(loss="cb-softmax", beta="auto")
    assert loss.weight.numpy() == as_float32(class_balanced_weights(COUNTS, 1 - 1 / COUNTS.max()))
    assert loss.normalization == "paper"


def test_tau_of_logit_adjustment(trained):
    loss, _, _ = trained(loss="logit-adjusted", tau=1.7)
    assert loss.offset.numpy() == as_float32(1.7 * log_prior(COUNTS))


def test_margin_scale_and_the_deferred_weights_of_ldam_drw(trained):
    loss, _, counted = trained(loss="ldam-drw", beta=0.99, margin=0.4, scale=20.0, steps=10)
    assert float(loss.margins.max()) == pytest.approx(0.4)
    assert loss.scale == 20
    assert loss.weight.numpy() == as_float32(class_balanced_weights(COUNTS, 0.99))
    assert counted == [False] * 8 + [True] * 2


def test_any_class_weights_may_come_late(trained, tmp_path):
    _, _, counted = trained(loss="cb-sigmoid", deferred=0.5, steps=6)
    assert counted == [False] * 3 + [True] * 3
    assert "class weights count after 50% of the steps" in (tmp_path / "run" / "log.txt").read_text()


def test_beta_of_the_effective_sampler(trained):
    _, sampler, _ = trained(sampler="effective", beta=0.9)
    np.testing.assert_allclose(sampler.probabilities(), effective_probabilities(COUNTS, 0.9))


def test_a_power_of_the_class_sizes(trained):
    _, sampler, _ = trained(sampler="q=0.25")
    np.testing.assert_allclose(sampler.probabilities(), class_probabilities(COUNTS, 0.25))


def test_a_sampler_may_come_late(trained):
    _, sampler, _ = trained(sampler="class", deferred=0.5, steps=None, epochs=4, batch_size=64)
    for number in range(4):
        sampler.set_epoch(number)
        drawn = sampler.positions()
        once = len(set(drawn.tolist())) == len(drawn) == COUNTS.sum()
        assert once == (number < 2)


def test_plain_ldam_has_no_weights_to_defer(trained):
    loss, _, _ = trained(loss="ldam", margin=0.25)
    assert loss.deferred is None and loss.scale == 30
    assert torch.isclose(loss.margins.max(), torch.tensor(0.25))


def test_balancing_twice_is_said(tmp_path):
    options = {"init": "resnet8", "weights": "none", "image_size": 16, "steps": 1, "device": "cpu", "workers": 0}
    twice = FinetuneConfig(dataset=TAIL, out=str(tmp_path / "a"), loss="balanced-softmax", sampler="class", **options)
    finetune(twice)
    finetune(FinetuneConfig(dataset=TAIL, out=str(tmp_path / "b"), loss="balanced-softmax", **options))
    assert "rare ones are weighted up twice" in (tmp_path / "a" / "log.txt").read_text()
    assert "twice" not in (tmp_path / "b" / "log.txt").read_text()
    adjusted = {"dataset": TAIL, "init": str(tmp_path / "b"), "out": str(tmp_path / "c"), "method": "logit-adjusted"}
    with pytest.raises(InputError, match="was trained with `loss` balanced-softmax, which re-balances the classes"):
        fit_classifier(FitClassifierConfig(**adjusted, device="cpu", workers=0))
    finetune(FinetuneConfig(dataset=TAIL, out=str(tmp_path / "plain"), **options))
    for start, said in (("b", True), ("plain", False)):
        scaled = adjusted | {"init": str(tmp_path / start), "out": str(tmp_path / f"tau-{start}"), "method": "tau"}
        run = fit_classifier(FitClassifierConfig(**scaled, tau=1.0, device="cpu", workers=0)).run
        log = (run / "log.txt").read_text()
        assert ("after --loss balanced-softmax, so rare ones are weighted up twice" in log) == said
        assert "`" not in log + (run / "metrics.json").read_text()
    first = fit_classifier(FitClassifierConfig(**adjusted, tau=0.3, device="cpu", workers=0))
    assert first.metrics["images"] == COUNTS.sum()
    again = adjusted | {"init": str(first.run), "out": str(tmp_path / "d")}
    with pytest.raises(InputError, match="was trained with `method` logit-adjusted, which re-balances the classes"):
        fit_classifier(FitClassifierConfig(**again, device="cpu", workers=0))


@pytest.mark.parametrize(
    ("grows", "given"),
    [
        (1, {}),
        (-1, {}),
        (1, {"loss": "ldam-drw"}),
        (1, {"sampler": "class", "deferred": 0.5}),
        (1, {"sampler": "progressive"}),
    ],
)
def test_a_loss_that_ends_above_its_beginning_is_said(tmp_path, monkeypatch, grows, given):
    """Unless it is taken over other classes at the end than at the beginning."""
    values = itertools.count(100, grows)
    step = engine.TrainingStep.training_step
    monkeypatch.setattr(engine.TrainingStep, "training_step", lambda *args: step(*args) * 0 + next(values))
    options = {"init": "resnet8", "weights": "none", "image_size": 16, "epochs": 2, "device": "cpu", "workers": 0}
    finetune(FinetuneConfig(dataset=TAIL, out=str(tmp_path / "run"), **options, **given))
    said = "the training loss ended at " in (tmp_path / "run" / "log.txt").read_text()
    assert said == (grows > 0 and not given)


def test_a_classifier_that_is_kept_stays_balanced_and_a_new_one_does_not(tmp_path):
    options = {"dataset": TAIL, "image_size": 16, "steps": 1, "device": "cpu", "workers": 0}
    start = {"init": "resnet8", "weights": "none", "loss": "balanced-softmax", "out": str(tmp_path / "start")}
    finetune(FinetuneConfig(**options, **start))
    for kept, said in (("keep", "--loss balanced-softmax"), ("new", None)):
        then = FinetuneConfig(**options, init=start["out"], classifier=kept, out=str(tmp_path / kept))
        assert find_checkpoint(finetune(then).run).card["balanced_by"] == said


def test_the_shares_that_are_taken_out_are_those_of_the_last_training(tmp_path):
    """Of a network that saw a tail and whose classifier was then fitted to as many images of each class: none."""
    options = {"device": "cpu", "workers": 0}
    first = {"init": "resnet8", "weights": "none", "image_size": 16, "steps": 1, "out": str(tmp_path / "tail")}
    finetune(FinetuneConfig(dataset=TAIL, **first, **options))
    even = {"dataset": "digits:@train?per_class=3", "method": "linear", "out": str(tmp_path / "even")}
    fit_classifier(FitClassifierConfig(init=first["out"], **even, **options))
    for number, (start, counts) in enumerate(((first["out"], COUNTS), (even["out"], np.full(10, 3)))):
        adjusted = {"dataset": TAIL, "init": start, "method": "logit-adjusted", "out": str(tmp_path / str(number))}
        run = fit_classifier(FitClassifierConfig(**adjusted, **options)).run
        biases = [find_checkpoint(where).state("head.")["bias"].numpy() for where in (start, run)]
        np.testing.assert_allclose(biases[1], biases[0] - np.log(counts / counts.sum()), rtol=1e-5)
        card = find_checkpoint(run).card
        assert card["classifier_counts"] == counts.tolist() and card["train_counts"] == COUNTS.tolist()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"tau": 2.0},
            "`tau` 2.0: is for `loss` logit-adjusted; leave it out",
        ),
        ({"tau": -1.0, "loss": "logit-adjusted"}, "`tau` -1.0: expected at least 0"),
        (
            {"normalization": "pytorch"},
            "`normalization` pytorch: is for `loss` cb-softmax, cb-sigmoid, cb-focal; leave it out",
        ),
        ({"margin": 0.4, "loss": "cb-focal"}, "`margin` 0.4: is for `loss` ldam, ldam-drw; leave it out"),
        ({"scale": 0.0, "loss": "ldam"}, "`scale` 0.0: expected above 0"),
        ({"deferred": 0.5}, "`deferred` 0.5: is for `loss` cb-softmax, cb-sigmoid, cb-focal, ldam-drw and `sampler` "),
        (
            {"deferred": 0.5, "loss": "balanced-softmax"},
            "`deferred` 0.5: is for `loss` cb-softmax, cb-sigmoid, cb-focal, ldam-drw and `sampler` ",
        ),
        ({"deferred": 1.0, "sampler": "class"}, "`deferred` 1.0: expected at least 0 and below 1"),
        ({"loss": "focal", "classifier": "probe"}, "`loss` focal: reads scores by a sigmoid, and `classifier` probe"),
    ],
)
def test_what_nothing_reads_is_refused(given, message):
    with pytest.raises(InputError) as refusal:
        FinetuneConfig(dataset=TAIL, init="resnet8", weights="none", out="run", **given)
    assert str(refusal.value).startswith(message)


def test_progressive_sampling_needs_epochs_to_change_in(tmp_path):
    options = {"init": "resnet8", "weights": "none", "image_size": 16, "device": "cpu", "workers": 0}
    with pytest.raises(InputError, match="`sampler` progressive: changes from epoch to epoch, and there is one"):
        finetune(FinetuneConfig(dataset=TAIL, out=str(tmp_path), sampler="progressive", steps=2, **options))
