"""What the benchmarks' page says in words agrees with the recorded results; its figures are read when it is built."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from pathlib import Path
from statistics import mean

import pytest
from choice_tables import POOLS
from recorded import RESULTS, figure, recorded
from result_tables import CHOICES, LONG_TAIL, TABLES

from similarity.uncertainty.expected_gain import PASSES, TOO_LONG

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
#: A page of its own for the result of one benchmark.
PLAN = (ROOT / "docs" / "guides" / "plan-a-large-extraction.md").read_text(encoding="utf-8")
PLAIN = " ".join(PAGE.split())


def test_every_table_is_on_a_page_once():
    assert sorted(re.findall(r":::\{results\} (\S+)", PAGE + PLAN)) == sorted(TABLES)


def test_every_figure_on_the_page_is_recorded():
    found = re.findall(r"\{recorded\}`([^`]+)`", PAGE + PLAN)
    assert len(found) > 15
    assert all(figure(text) for text in found)


def test_every_file_of_results_has_its_command_on_the_page():
    for path in RESULTS.glob("*.json"):
        assert f"benchmarks/results/{path.name}" in PAGE, path.name
    programs = re.findall(r"^    (?:OMP_NUM_THREADS=1 )?python (benchmarks/\w+\.py)", PAGE, re.MULTILINE)
    assert len(programs) > 10
    for name in programs:
        assert (ROOT / name).is_file()


@pytest.mark.parametrize("name", [name for name, table in TABLES.items() if (RESULTS / f"{table.file}.json").is_file()])
def test_a_table_has_a_cell_for_each_column(name):
    lines = TABLES[name].markdown().splitlines()
    assert len(lines) > 3
    assert len({line.count("|") for line in lines}) == 1


def test_the_tables_of_related_classes_have_the_recorded_precisions():
    columns = recorded("selection_quality")["columns"]
    cells = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in TABLES["pairs"].markdown().splitlines()}
    for head, recipe in CHOICES.items():
        row = columns["cub"]["recipes"][recipe]
        assert cells[head][5].split() == [f"{row['mean']:.3f}", "±", f"{row['standard_error']:.3f}"]


def test_the_long_tail_has_every_row_and_its_figures():
    files = {path.stem: json.loads(path.read_text())["metrics"] for path in (RESULTS / "long-tail").glob("*.json")}
    assert files.keys() == LONG_TAIL.keys()
    rows = TABLES["long-tail"].markdown().splitlines()[2:]
    for row, (name, (words, _)) in zip(rows, LONG_TAIL.items(), strict=True):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[:2] == [words, f"{100 - 100 * files[name]['top1']:.2f}"]
        assert cells[3:] == [f"{100 * files[name][group]:.1f}" for group in ("many", "medium", "few")]


def error(name: str) -> float:
    return 100 - 100 * json.loads((RESULTS / "long-tail" / f"{name}.json").read_text())["metrics"]["top1"]


def test_words_about_the_long_tail():
    assert "gains between two and three and a half points" in PLAIN
    second = [name for name in LONG_TAIL if name.startswith("softmax-")]
    gains = [error("softmax") - error(name) for name in second]
    assert min(gains) > 2 and max(gains) < 3.5
    assert "a second classifier on top of them gains nothing" in PLAIN
    for name in ("ldam-drw", "balanced-softmax"):
        assert error(f"{name}-crt") >= error(name) - 1e-9
    assert "gains more than any of these" in PLAIN
    assert error("balanced-softmax") - error("balanced-softmax-wd5e-4") > max(gains)
    assert min(LONG_TAIL, key=error) == "best"
    weights = json.loads((RESULTS / "long-tail" / "balanced-softmax.json").read_text())["options"]["weight_decay"]
    assert weights == 0.0002 and "weight decay 0.0002" in PLAIN


def test_words_about_strategies():
    columns = recorded("selection_quality")["columns"]

    def mean(column: str, recipe: str) -> float:
        return columns[column]["recipes"][recipe]["mean"]

    names = [*TABLES["pairs"].head, *TABLES["sizes"].head]
    assert len(names) == 16  # two empty heads
    assert "The paper's method is the worst in nearly every column" in PLAIN
    measured = [name for name in columns if "recipes" in columns[name]]
    last = [min(CHOICES.values(), key=lambda r, c=c: mean(c, r)) == "euclidean + nearest" for c in measured]
    assert sum(last) >= len(last) - 1
    pairs, fifty = "cifar100", "by_tiny_imagenet_50"
    default, local = "sqrt-whitened + mutual-proximity", "sqrt-whitened + local-scaling"
    assert "Local scaling, the former default, leads on pairs of CIFAR-100 by less than one standard error" in PLAIN
    lead = mean(pairs, local) - mean(pairs, default)
    assert 0 < lead < columns[pairs]["recipes"][local]["standard_error"]
    assert "`nearest-class` leads for fifty kinds, and is behind on pairs" in PLAIN
    assert max(CHOICES.values(), key=lambda r: mean(fifty, r)) == "sqrt-whitened + nearest-class"
    assert mean(pairs, "sqrt-whitened + nearest-class") < mean(pairs, default)
    assert "On the other species in pairs, which are 3 groups only, it is behind `nearest`" in PLAIN
    assert mean("cub_other", default) < mean("cub_other", "sqrt-whitened + nearest")


def test_words_about_the_choice_in_accuracy():
    arms = recorded("selection_pays-short")["arms"]
    assert "A subset is better than all classes" in PLAIN
    assert arms["all"]["less_random"] < -2 * arms["all"]["error_pairs"]
    assert "The paper's ranking chooses worse than chance" in PLAIN
    assert arms["paper"]["less_random"] < -2 * arms["paper"]["error_pairs"]
    assert "but is no better than chance itself" in PLAIN
    assert abs(arms["local-scaling"]["less_random"]) < arms["local-scaling"]["error_pairs"]


def test_words_about_every_use_of_a_choice():
    lake = recorded("selection_pays")["pools"]["lake"]["labelled"]
    few, every = lake["few"], lake["all"]

    def gains(arm: str, over: str = "less_random", labelled: dict = few) -> list[float]:
        return [value for target, value in labelled[arm][over]["targets"].items() if target != "birds"]

    def mean(arm: str, labelled: dict = few) -> float:
        return labelled[arm]["less_random"]["mean"]

    error = few["default, subset"]["less_random"]["error"]
    assert "on every target more than random classes, and more than all classes" in PLAIN
    assert sum(gain > 0 for gain in gains("default, subset", "less_all")) == 10
    assert sum(gain > 0 for gain in gains("default, subset")) == 10
    assert "on four of ten its gain over random classes is less than 90 % of that" in PLAIN
    pairs = zip(gains("default, subset"), gains("hand, subset"), strict=True)
    assert sum(gain < 0.9 * by_hand for gain, by_hand in pairs) == 4
    assert "On average it reaches the choice by hand" in PLAIN and "`local-scaling`, is level with it" in PLAIN
    for other in ("hand, subset", "former, subset"):
        assert abs(mean(other) - mean("default, subset")) < error / 2
    assert "the paper's choice lies between chance and these" in PLAIN
    assert 2 * few["paper, subset"]["less_random"]["error"] < mean("paper, subset") < mean("default, subset") - error
    assert "Continuing from a network of all classes gains less" in PLAIN and "so does sampling all classes" in PLAIN
    for other in ("default, continued", "default, weighted"):
        assert few[other]["less_all"]["mean"] < few["default, subset"]["less_all"]["mean"] - error
    assert "Co-training loses" in PLAIN and mean("default, co-trained") < 0
    assert "The class-balanced softmax undoes the gain" in PLAIN
    assert abs(mean("default, subset, cb-softmax")) < error
    assert abs(mean("default, subset, balanced-softmax") - mean("default, subset")) < error / 2
    assert "the same choice gains less" in PLAIN and mean("default, subset", every) < mean("default, subset")


def sizes(pool: str) -> dict[tuple[str, str], float]:
    """The images of each choice, by target and choice."""
    with (RESULTS / "selection_pays" / f"chosen-{pool}.csv").open(newline="", encoding="utf-8") as file:
        return {(row["target"], row["choice"]): float(row["images"]) for row in csv.DictReader(file)}


def images_seen(pool: str) -> int:
    """The images that a pre-training of a pool sees."""
    pretraining = recorded("selection_pays")["pools"][pool]["protocol"]["pretrain"]
    return pretraining["steps"] * pretraining["batch_size"]


def passes(pool: str) -> int:
    """The length of a pre-training in passes over all images of a pool."""
    return round(images_seen(pool) / sizes(pool)["", "all"])


def last_losses(pool: str) -> dict[str, dict[str, float]]:
    """The training loss in the end of the pre-training of each choice for each target, a mean of its trainings."""
    protocol = recorded("selection_pays")["pools"][pool]["protocol"]
    key = hashlib.sha256(json.dumps(protocol).encode()).hexdigest()[:8]
    losses: dict[str, dict[str, list[float]]] = {}
    with (RESULTS / "selection_pays" / "trainings.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if (row["protocol"], row["use"], row["loss"], row["labelled"]) == (key, "subset", "softmax", "few"):
                last = float(row["source_loss"].split()[-1])
                losses.setdefault(row["choice"], {}).setdefault(row["target"], []).append(last)
    return {choice: {name: mean(of) for name, of in targets.items()} for choice, targets in losses.items()}


def test_words_about_the_length_of_the_training():
    pools = recorded("selection_pays")["pools"]
    lake, longer, whole = (pools[name]["labelled"]["few"] for name in ("lake", "lake-longer", "whole-lake-longer"))
    assert "as long as 6 passes over the images of the mixed lake; four times the images are 23 passes" in PLAIN
    assert (passes("lake"), passes("lake-longer")) == (6, TOO_LONG) == (6, 23)
    default = longer["default, subset"]
    assert "still better than random classes on every target, but no better than all classes" in PLAIN
    assert default["less_random"]["targets_above"] == len(default["top1"]) == 10
    assert abs(default["less_all"]["mean"]) < default["less_all"]["error"]
    assert "is four times as large, so four times the images are 6 passes again" in PLAIN
    assert sizes("whole-lake-longer")["", "all"] / sizes("lake")["", "all"] == pytest.approx(4, rel=0.05)
    assert images_seen("whole-lake-longer") == 4 * images_seen("lake") and passes("whole-lake-longer") == 6
    assert "gains about as much as in the first protocol: on each of ten targets it is better" in PLAIN
    for over in ("less_random", "less_all"):
        first, again = (few["default, subset"][over]["of_families"] for few in (lake, whole))
        assert abs(again["mean"] - first["mean"]) < first["error"]
        assert whole["default, subset"][over]["targets_above"] == len(whole["default, subset"]["top1"]) == 10
    assert "The choice by hand gains half a point more, on the mean of the targets" in PLAIN
    by_hand = whole["hand, subset"]
    for over in ("less_random", "less_all"):
        assert by_hand[over]["mean"] - whole["default, subset"][over]["mean"] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("pool", POOLS)
def test_the_table_has_the_length_of_each_training(pool):
    assert f", {passes(pool)} passes" in POOLS[pool]


def test_words_about_the_number_of_classes():
    pools = recorded("selection_pays")["pools"]
    lake, longer = (pools[name]["labelled"]["few"] for name in ("lake", "lake-longer"))
    few, losses = sizes("lake-longer"), last_losses("lake-longer")
    assert "each image of the 40 classes at least 99 times" in PLAIN
    seen = [images_seen("lake-longer") / few[target, "default"] for target in longer["default, subset"]["top1"]]
    assert min(seen) > 99
    assert "below 0.1 for seven of ten targets, and that of all classes is 2.9" in PLAIN
    assert sum(loss < 0.1 for loss in losses["default"].values()) == 7 and len(losses["default"]) == 10
    assert {round(loss, 1) for loss in losses["all"].values()} == {2.9}

    def gain(few: dict, choice: str) -> float:
        return few[f"{choice}, subset"]["less_all"]["mean"]

    assert "Larger choices are better there: 160 classes gain" in PLAIN
    assert gain(longer, "default") < gain(longer, "default-80") < gain(longer, "default-160")
    assert "Continuing gains about as much" in PLAIN and "Going on with all classes gains nothing" in PLAIN
    continued = longer["default-160, continued"]["less_all"]
    assert abs(continued["mean"] - gain(longer, "default-160")) < continued["error"]
    assert abs(longer["all, continued"]["less_all"]["mean"]) < longer["all, continued"]["less_all"]["error"]
    assert "After 6 passes they gain less over all classes than 40 do" in PLAIN
    assert gain(lake, "default-160") < gain(lake, "default") - lake["default, subset"]["less_all"]["error"]


def test_words_about_the_hard_case_for_longer_and_with_a_larger_network():
    pools = recorded("selection_pays")["pools"]
    longer, larger = (pools[f"tiny-imagenet-{change}"]["labelled"]["few"] for change in ("longer", "larger"))
    assert "four times the images are 42 passes" in PLAIN and passes("tiny-imagenet-longer") == 42
    assert "better than random classes on every target, but all 200 classes are better than the choice" in PLAIN
    default = longer["default, subset"]
    assert default["less_random"]["targets_above"] == 4 and default["less_all"]["targets_above"] == 0
    larger_choice = longer["default-160, subset"]["less_all"]
    assert "A choice of 160 is level with all" in PLAIN and abs(larger_choice["mean"]) < larger_choice["error"]
    assert "A larger network, ResNet-20, gains nothing by the choice in the hard case" in PLAIN
    assert larger["default, subset"]["less_random"]["mean"] < larger["default, subset"]["less_random"]["error"]


def test_lengths_of_trainings_on_other_pages():
    pages = ("README.md", "docs/guides/choose-from-imagenet-and-inaturalist.md", "docs/methods/expected-gain.md")
    in_readme, guide, gain = (" ".join((ROOT / name).read_text(encoding="utf-8").split()) for name in pages)
    assert "as long as 6 passes over all its images" in in_readme and "After 23 passes over the lake, 40" in in_readme
    assert "40 classes were the better choice after 6 passes, and 160 classes after 23" in guide
    assert "as long as 6 passes over the lake, or 11 over Tiny ImageNet. After 23 passes over the lake" in gain
    assert PASSES == (passes("lake"), passes("tiny-imagenet")) == (6, 11)


def test_words_about_the_mixed_lake_for_birds():
    found = recorded("mixed-lake-to-cub")
    mean = {arm["arm"]: 100 * arm["top1_mean"] for arm in found["arms"]}
    assert "The chosen classes lie about 9 points above random classes, and 15 above all classes" in PLAIN
    assert round(mean["default"] - mean["random"]) == round(mean["paper"] - mean["random"]) == 9
    assert round(mean["default"] - mean["all"]) == 15
    assert "The default and the paper's ranking are level" in PLAIN and abs(mean["default"] - mean["paper"]) < 1
    of_birds = {"goose", "albatross", "black stork", "king penguin"}
    birds = {
        arm: sum(row["class"][0] != "n" or row["class"][10:] in of_birds for row in rows)
        for arm, rows in found["selections"].items()
    }
    assert "All 40 classes of the default are birds, and 39 of the paper's; 54 of the 250 classes are" in PLAIN
    assert (birds["default"], birds["paper"], birds["all"], len(found["selections"]["all"])) == (40, 39, 54, 250)
    assert "Continuing from all classes gains less" in PLAIN and mean["continued"] < mean["default"]


def test_words_about_influences():
    halves, tenths = (recorded("influence")[design] for design in ("halves", "tenths"))
    assert "a reliability of 0.09 to 0.23, those of halves hardly at all" in PLAIN
    assert [round(pick(tenths["reliability"].values()), 2) for pick in (min, max)] == [0.09, 0.23]
    assert max(halves["reliability"].values()) <= 0.2
    assert "the default predicts the influences better than the paper's ranking, by 1.8 standard errors" in PLAIN
    lead = tenths["predicted_by"]["euclidean nearest"]["default_less_this"]
    assert round(lead["mean"] / lead["error"], 1) == 1.8
    assert "A ranking by the number of images alone predicts them as well as the default" in PLAIN
    lead = tenths["predicted_by"]["images (baseline)"]["default_less_this"]
    assert abs(lead["mean"]) < lead["error"]
    out = recorded("influence")["leave_out"]
    assert "higher by less than half a point than without a random tenth, by two standard errors" in PLAIN
    assert 0 < out["worst"]["mean"] < 0.005 and round(out["worst"]["mean"] / out["worst"]["error"]) == 2
    assert "without it the probability is no higher" in PLAIN and out["last"]["mean"] < out["last"]["error"]
    assert "A training on all classes is worse than one without a random tenth" in PLAIN
    assert out["none"]["mean"] < -2 * out["none"]["error"]


def test_words_about_expected_gains():
    found = {name: row for name, row in recorded("measured_gains").items() if isinstance(row, dict) and "held" in row}
    assert "It is above 80 %, and the intervals are wide" in PLAIN and min(row["held"] for row in found.values()) > 0.8
    assert "the error for a new family is about as large as the spread of all gains" in PLAIN
    assert all(0.8 < row["error"] / row["standard_deviation"] < 1.1 for row in found.values())
    of_classes = [row["held_of"]["birds"] for name, row in found.items() if name.startswith("classes")]
    assert "hold less than 60 % of the gains of classes" in PLAIN and max(of_classes) < 0.6
    ranks = {
        kind: [row["rank_correlation"] for name, row in found.items() if name.startswith(kind)]
        for kind in ("classes", "domains")
    }
    assert "Nearness orders the choices of classes fairly well, and whole domains less well" in PLAIN
    assert min(ranks["classes"]) > 0.6 and max(ranks["domains"]) < 0.5


def test_words_about_what_similarity_predicts():
    found = recorded("similarity_predicts")
    assert set(found["seeds"]) == {0, 1, 2} and "with three trainings for each pair" in PLAIN
    assert (len(found["top1"]), {len(row) for row in found["top1"].values()}) == (6, {7})
    of_similarity = found["within_target_rank_correlation"]["similarity"]
    assert "The similarity predicts the order of the sources, but far from perfectly" in PLAIN
    assert of_similarity["interval"][0] > 0 and of_similarity["mean"] < 0.7
    assert "For birds and animals, the correlation is above 0.85. For mammals and things it is near 0" in PLAIN
    targets = of_similarity["targets"]
    assert min(targets["birds"], targets["animals"]) > 0.85 and max(targets["mammals"], targets["things"]) < 0.1


def test_words_about_a_large_lake():
    found = recorded("large_lake")
    assert "All steps for ten million images took less than an hour and less than 4 GiB" in PLAIN
    assert found["seconds_of_all_steps"]["10000000"] < 3600
    assert max(float(row["peak_gib"]) for row in found["steps"]) < 4


def test_words_about_domains_and_copies():
    right = recorded("domain_ranking")["right"]["sqrt-whitened"]
    assert "Where the source with the related classes is broad, the Earth Mover's Distance is increased" in PLAIN
    assert "`nearest-class`, the default order, is right" in PLAIN
    assert right["broad"]["nearest-class"]["right"] > right["broad"]["emd"]["right"]
    assert "Where it is narrow" in PLAIN and "the Earth Mover's Distance is the better guide" in PLAIN
    assert right["narrow"]["emd"]["right"] > right["narrow"]["nearest-class"]["right"]
    assert "that `transfer duplicates` finds, without a single false alarm" in PLAIN
    assert recorded("unlabelled")["duplicates"]["threshold 0.5"]["false_alarms"] == 0
    assert "The strategy was local scaling, the former default" in PLAIN
    assert recorded("unlabelled")["selection"] == "sqrt-whitened + local-scaling"


def test_words_about_measures():
    agreement = recorded("measures")["zoo"]["agreement"]
    assert "LogME and LEEP order the models as the test accuracies do" in PLAIN
    assert "The probe on the training images swaps the two models that differ by less than a point" in PLAIN
    assert agreement["logme"] > 0.999 and agreement["leep"] > 0.999 > agreement["linear-probe"]
    _, small, other, random_weights = (row["measures"] for row in recorded("measures")["zoo"]["models"])
    assert "H-score and TransRate rate the random weights of the wide network above both small networks" in PLAIN
    for name in ("h-score", "transrate"):
        assert random_weights[name] > max(small[name], other[name])
