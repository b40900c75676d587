"""``transfer run --dry-run``: the steps of a recipe that are not finished, and how long they would take here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from features.checkpoint import is_trained_model
from features.extraction.options import DEFAULT_BACKBONE
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import located
from finetune import FinetuneConfig, FitClassifierConfig, PretrainConfig
from similarity import Subset
from transfer.arm import Arm
from transfer.commands.run import RunConfig, data_of, directory_of
from transfer.foresight import Foresight, in_words, say_downloads, training_steps
from transfer.rates import Rates, measure_rates
from transfer.recipe import Recipe, keys_as_in_yaml
from transfer.recipe_steps import RecipeSteps

if TYPE_CHECKING:
    from features.backbones.backbone import Backbone


@keys_as_in_yaml()
def foresee_recipe(config: RunConfig) -> Foresight:
    """Foresee a recipe; steps that are finished cost nothing. Choices, rankings and the page are not in the time.

    Raises:
        InputError: The recipe or its data is wrong, or its archives would have to be unpacked first.
    """
    recipe = Recipe.read(config.recipe)
    if recipe.archives:
        raise InputError(f"{config.recipe}: its archives are not unpacked, so that nothing is known of its images")
    steps = RecipeSteps(recipe.placed(data_of(config, recipe)), directory_of(config, recipe), config.recipe)
    found = [_extractions(steps), _trainings(steps)]
    computes = [line for lines, _ in found for line in lines]
    return Foresight.of(steps.opened.values(), computes, steps.out, sum(seconds for _, seconds in found) or None)


def _extractions(steps: RecipeSteps) -> tuple[list[str], float]:
    """What is extracted, in a line, and the seconds that it takes."""
    specs = [*steps.targets, *steps.recipe.sources]
    configs = {spec: steps.bank(spec) for spec in specs}
    missing = [spec for spec in specs if not located(configs[spec].out).is_file()]
    if not missing:
        return [_to_do("extraction", 0, len(specs))], 0.0
    config, images = configs[missing[0]], sum(len(steps.opened[spec]) for spec in missing)
    network = _network(config.backbone or DEFAULT_BACKBONE, config.image_size)
    rate = measure_rates(network, steps.opened[missing[0]], config, training=False).features
    number = _to_do("extraction", len(missing), len(specs))
    line = f"{number}: features of {images:,} images by {in_words(network)}, {rate:,.0f}/s"
    return [line, *say_downloads(config.backbone or DEFAULT_BACKBONE, config.weights)], images / rate


def _trainings(steps: RecipeSteps) -> tuple[list[str], float]:
    """What is trained, in a line a kind, and the seconds that it takes."""
    recipe = steps.recipe
    before: dict[str, tuple[Arm, PretrainConfig]] = {}  # by their places, which arms may share
    last: dict[str, tuple[Arm, FinetuneConfig | FitClassifierConfig]] = {}
    for name, arm in recipe.arms.items():
        for seed in recipe.seeds:
            choice, trainings = steps.subset(name, arm, seed), []
            subset = None if choice is None else choice.out
            if subset is not None:
                trainings = [training for _, training in steps.pretrainings(name, arm, subset, seed)]
                before |= {training.out: (arm, training) for training in trainings}
            start = trainings[-1].out if trainings else None
            tuning = steps.last(name, arm, subset, start, seed)
            last[tuning.out] = (arm, tuning)
    rates, seconds, lines = _Rates(steps), 0.0, []
    pretrainings = [training for training in before.values() if not _is_finished(training[1].out)]
    tunings = [tuning for tuning in last.values() if not _is_finished(tuning[1].out)]
    if before:
        number = 0
        for arm, config in pretrainings:
            trained = training_steps(config, _images(config, steps))
            number, seconds = number + trained, seconds + rates.seconds(arm, config, trained)
        together = f" of {number:,} steps together" if pretrainings else ""
        lines.append(_to_do("pre-training", len(pretrainings), len(before)) + together)
    for arm, tuning in tunings:
        images, test = len(steps.opened[tuning.dataset]), len(steps.opened[recipe.test])
        trained = training_steps(tuning, images) if isinstance(tuning, FinetuneConfig) else 0
        seconds += rates.seconds(arm, tuning, trained, test + (0 if trained else images))
    what = _to_do("fine-tuning", len(tunings), len(last))
    lines.append(f"{what}: {', '.join(recipe.arms)}; seeds {recipe.seeds}")
    beside = [option for option in ("search", "validation") if any(getattr(one, option, None) for _, one in tunings)]
    return lines + [f"what {option} adds, which is not in the time" for option in beside], seconds


class _Rates:
    """The seconds of trainings, by the rates of their networks; each network is measured once."""

    def __init__(self, steps: RecipeSteps) -> None:
        self.steps = steps
        self.known: dict[tuple[str, int | None], Rates] = {}

    def seconds(
        self,
        arm: Arm,
        config: PretrainConfig | FinetuneConfig | FitClassifierConfig,
        trained: int,
        features: int = 0,
    ) -> float:
        """The seconds of so many steps of a training, and of the features of so many images."""
        own = self.steps.recipe.pretrain
        name = arm.init or own.get("backbone", DEFAULT_BACKBONE)
        key = name, config.image_size or own.get("image_size")
        if key not in self.known:
            self.known[key] = measure_rates(_network(*key), self.steps.opened[self.steps.targets[0]], config)
        rates = self.known[key]
        if isinstance(config, FitClassifierConfig):
            return features / rates.features
        sides = 2 if getattr(config, "with_", None) else 1  # a batch of the source beside each of the target
        return trained * sides * config.images_per_step / rates.training + features / rates.features


def _network(name: str, image_size: int | None) -> Backbone:
    """A network to measure: its rate does not depend on published weights, which are not downloaded for that."""
    from features.backbones.loading import load_backbone  # imports PyTorch

    return load_backbone(name, "default" if is_trained_model(name) else "none", image_size, seed=0)


def _images(config: PretrainConfig, steps: RecipeSteps) -> int:
    """The images of a pre-training; all of the sources if its choice is not made yet."""
    if config.subset is not None and Path(config.subset).is_file():
        counts = [row.count for row in Subset.read(config.subset).rows]
        if None not in counts:
            return sum(count or 0 for count in counts)
    return sum(len(steps.opened[spec]) for spec in steps.recipe.sources)


def _is_finished(run: str) -> bool:
    return (Path(run) / "metrics.json").is_file()


def _to_do(step: str, number: int, total: int) -> str:
    """How many steps of a kind are to be done, and how many there are.

    >>> _to_do("extraction", 1, 1), _to_do("fine-tuning", 2, 6), _to_do("fine-tuning", 0, 6)
    ('1 extraction', '2 fine-tunings (4 of 6 are finished)', 'no fine-tuning (6 of 6 are finished)')
    """
    words = f"{number or 'no'} {step}{'s' * (number > 1)}"
    return words if number == total else f"{words} ({total - number} of {total} are finished)"
