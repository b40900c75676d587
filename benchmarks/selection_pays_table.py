"""The table of selection_pays.py: its groups and arms, accuracies, and paired differences to random choices."""

from __future__ import annotations

from typing import Any

import numpy as np
from recording import standard_error

from similarity import DEFAULT_GEOMETRY

#: Two superclasses each. Nothing is related to people, so they share a group with what was left.
GROUPS = {
    "large-mammals": ("large_carnivores", "large_omni"),
    "smaller-mammals": ("medium_mammals", "small_mammals"),
    "water-animals": ("aquatic_mammals", "fish"),
    "invertebrates": ("insects", "non_insect"),
    "people-reptiles": ("people", "reptiles"),
    "plants": ("flowers", "trees"),
    "food": ("food_containers", "fruit_veg"),
    "household": ("electrical", "furniture"),
    "outdoor-scenes": ("outdoor_man", "outdoor_nat"),
    "vehicles": ("vehicles1", "vehicles2"),
}
#: Strategy and geometry of the arms that choose for a target.
CHOICES = {
    "paper": ("nearest", "euclidean"),
    "local-scaling": ("local-scaling", DEFAULT_GEOMETRY),
    "coverage": ("coverage", DEFAULT_GEOMETRY),
    "nearest": ("nearest", DEFAULT_GEOMETRY),
    "farthest": ("local-scaling", DEFAULT_GEOMETRY),
}
ARMS = ("scratch", "all", "random", *CHOICES)


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Top-1 in percent and the paired difference to random, of what is finished.

    A pair is one group and one seed: the arm less the mean of the seed's random draws. Two standard errors:
    over the pairs; and over the groups (each the mean of its seeds), with the spread of the random draws'
    own means added, since every group shares the draws. The second is the one for another target.
    """
    top1: dict[str, dict[tuple[str, int], list[float]]] = {}
    draws: dict[int, list[float]] = {}
    for row in rows:
        if row["training"] == "finetune":
            top1.setdefault(row["arm"], {}).setdefault((row["group"], row["seed"]), []).append(100 * row["top1"])
            if row["arm"] == "random":
                draws.setdefault(row["draw"], []).append(100 * row["top1"])
    mean = {arm: {pair: float(np.mean(values)) for pair, values in cells.items()} for arm, cells in top1.items()}
    complete = [np.mean(values) for values in draws.values() if len(values) == max(map(len, draws.values()))]
    draw_error = standard_error(np.array(complete))
    arms = {}
    for arm in (arm for arm in ARMS if arm in mean):
        pairs = [pair for pair in mean[arm] if pair in mean.get("random", {})]
        difference = {pair: mean[arm][pair] - mean["random"][pair] for pair in pairs}
        by_group = {
            group: np.array([difference[pair] for pair in pairs if pair[0] == group])
            for group in dict.fromkeys(group for group, _ in pairs)
        }
        of_groups = np.array([values.mean() for values in by_group.values()])
        group_error = standard_error(of_groups)
        arms[arm] = {
            "runs": sum(map(len, top1[arm].values())),
            "top1": float(np.mean(list(mean[arm].values()))),
            "top1_by_group": {
                group: float(np.mean([v for pair, v in mean[arm].items() if pair[0] == group]))
                for group in dict.fromkeys(group for group, _ in mean[arm])
            },
        }
        if arm != "random" and pairs:
            arms[arm] |= {
                "less_random": float(np.mean(list(difference.values()))),
                "error_pairs": standard_error(np.array(list(difference.values()))),
                "error_groups": None if group_error is None else float(np.hypot(group_error, draw_error or 0.0)),
                "groups_above": int((of_groups > 0).sum()),
                "groups": len(of_groups),
                "less_random_by_group": {
                    group: {"mean": float(values.mean()), "error": standard_error(values), "seeds": len(values)}
                    for group, values in by_group.items()
                },
            }
    return {"arms": arms, "random_draws_error": draw_error, "random_draws": len(complete)}


def show(found: dict[str, Any]) -> None:
    """Print the tables."""

    def error(value: float | None) -> str:
        return "" if value is None else f"±{value:.1f}"

    print(f"\n{'top-1 %':<15}{'runs':>5}{'mean':>7}  {'less random':>11} {'pairs':>6} {'groups':>6}  groups above")
    for arm, row in found["arms"].items():
        line = f"{arm:<15}{row['runs']:>5}{row['top1']:7.1f}"
        if "less_random" in row:
            errors = f" {error(row['error_pairs']):>6} {error(row['error_groups']):>6}"
            line += f"  {row['less_random']:+11.2f}{errors}  {row['groups_above']} of {row['groups']}"
        print(line)
    print(f"\nless random, by group\n{'':<17}" + "".join(f"{arm:>15}" for arm in found["arms"] if arm != "random"))
    for group in GROUPS:
        cells = [row.get("less_random_by_group", {}).get(group) for a, row in found["arms"].items() if a != "random"]
        if any(cells):
            figures = (f"{cell['mean']:+.1f} {error(cell['error']):>5}" if cell else "" for cell in cells)
            print(f"{group:<17}" + "".join(f"{figure:>15}" for figure in figures))
