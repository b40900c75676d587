"""The commands: one row each below, and one module each in this package.

The module of ``rank-models`` is ``rank_models``. It holds the configuration ``RankModelsConfig``, whose fields are the
options; the function ``rank_models``, from a configuration to a result with ``to_json()``; and ``show``, which prints
the result as tables. Where another package has the configuration and the function, the row names it as its ``home``,
and the module holds ``show`` alone. The rows are read without importing the modules, so that ``transfer --help``
answers at once.
"""

from __future__ import annotations

import importlib
from dataclasses import KW_ONLY, dataclass
from typing import Any


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: The word after ``transfer``.
        meaning: What it does, in one line.
        positional: Arguments that are typed without an option, in this order.
        noun: What the module, the function and the configuration are called, if not as the command.
        home: The package that exports the function and the configuration, if not the module of the command.
        step: The step of the job: all of them, features, choose, train, judge or use.
        needs, gives: What it reads, and what is there afterwards, in a few words.
        examples: Command lines for its help, without the word ``transfer``.
    """

    name: str
    meaning: str
    positional: tuple[str, ...] = ()
    noun: str = ""
    _: KW_ONLY
    home: str = ""
    step: str
    needs: str
    gives: str
    examples: tuple[str, ...]

    def config(self) -> Any:
        """The configuration dataclass."""
        return self._of_home("".join(word.capitalize() for word in self._words) + "Config")

    def function(self) -> Any:
        """The function from a configuration to a result."""
        return self._of_home("_".join(self._words))

    def show(self) -> Any:
        """The function that prints a configuration's result."""
        return self._module().show

    @property
    def _words(self) -> list[str]:
        return (self.noun or self.name).split("-")

    def _module(self) -> Any:
        return importlib.import_module(f"{__name__}.{'_'.join(self._words)}")

    def _of_home(self, name: str) -> Any:
        return getattr(importlib.import_module(self.home) if self.home else self._module(), name)


#: Every command by its name, in the order of the job.
COMMANDS = {
    row.name: row
    for row in (
        Command(
            "demo",
            "run the whole job on embedded data, offline",
            step="all",
            needs="nothing",
            gives="six arms on embedded data",
            examples=("demo", "demo --out runs/first"),
        ),
        Command(
            "try",
            "from photographs to a verdict on where to start, and a model",
            ("photographs",),
            "trial",
            step="all",
            needs="photographs",
            gives="where to start, and a model",
            examples=(
                "try photos/",
                "try photos/ --source folder:other-photos/ --minutes 60",
                "try table.csv --model resnet50 vit_small_patch16_224 --dry-run",
            ),
        ),
        Command(
            "run",
            "run a whole recipe; finished steps are reused",
            ("recipe",),
            step="all",
            needs="a recipe (.yaml)",
            gives="the results of its arms",
            examples=("run recipe.yaml", "run recipe.yaml --out runs/again --data archives/ --dry-run"),
        ),
        Command(
            "inspect",
            "show what a dataset, bank or run holds, or list the names of a kind",
            ("what", "names"),
            step="features",
            needs="a dataset, bank, run, kind",
            gives="what it holds",
            examples=(
                "inspect folder:photos/@train --plot sizes.png",
                "inspect photos.h5",
                "inspect backbones 'resnet*' '*small*'",
            ),
        ),
        Command(
            "extract",
            "extract a feature bank from images",
            ("dataset",),
            home="features",
            step="features",
            needs="a dataset",
            gives="a feature bank (.h5)",
            examples=(
                "extract folder:photos/@train --backbone resnet50 --out photos.h5",
                "extract inat:train2021.json?root=inat --backbone resnet50 --shard 1/8 --out inat-1.h5",
                "extract features:embeddings.npz --out photos.h5",
            ),
        ),
        Command(
            "merge",
            "merge the shards of a feature bank",
            ("shards",),
            home="features",
            step="features",
            needs="the shards of a bank",
            gives="the bank (.h5)",
            examples=("merge inat-1.h5 inat-2.h5 --out inat.h5", "merge inat-*.h5 --out inat.h5 --overwrite"),
        ),
        Command(
            "duplicates",
            "find copies of a target's images, or copies inside a bank, to exclude them",
            ("source",),
            step="features",
            needs="a bank, or two to compare",
            gives="the copies (.csv)",
            examples=(
                "duplicates inat.h5 --against test.h5 --out copies.csv",
                "duplicates inat.h5 --against test.h5 --out copies.csv --clean-bank inat-clean.h5",
                "duplicates lake.h5 --out copies.csv --clean-bank each-once.h5",
            ),
        ),
        Command(
            "cluster",
            "cluster unlabelled images into pseudo-classes",
            ("bank",),
            home="similarity",
            step="features",
            needs="a bank of unlabelled images",
            gives="a bank of pseudo-classes",
            examples=("cluster lake.h5 --out clusters.h5", "cluster lake.h5 --clusters 1000 --out clusters.h5"),
        ),
        Command(
            "rank",
            "rank source domains by their distance to a target",
            step="choose",
            needs="banks of target and sources",
            gives="the sources, nearest first",
            examples=(
                "rank --target photos.h5 --source inat.h5 imagenet.h5",
                "rank --target photos.h5 --source inat.h5 imagenet.h5 --explain pairs.csv",
                "rank --target photos.h5 --source inat.h5 imagenet.h5 --measures all",
            ),
        ),
        Command(
            "rank-models",
            "rank pre-trained models by how well they will transfer to a target",
            step="choose",
            needs="a dataset, names of models",
            gives="the models, best first",
            examples=(
                "rank-models --target folder:photos/@train --model resnet50 vit_small_patch16_224",
                "rank-models --target folder:photos/@train --model resnet50 runs/pre --test folder:photos/@test",
            ),
        ),
        Command(
            "select",
            "select source classes to pre-train on",
            step="choose",
            needs="banks of target and sources",
            gives="source classes (.csv)",
            examples=(
                "select --target photos.h5 --source inat.h5 --classes 200 --out subset.csv",
                "select --target photos.h5 --source inat.h5 imagenet.h5 --images 100000 --out subset.csv",
                "select --target photos.h5:100 birds.h5:50 --source inat.h5 --out subset.csv",
            ),
        ),
        Command(
            "pretrain",
            "train a backbone on source classes",
            ("sources",),
            home="finetune",
            step="train",
            needs="sources, and a choice",
            gives="a trained backbone (run)",
            examples=(
                "pretrain --subset subset.csv --backbone resnet50 --out runs/pre",
                "pretrain inat:train2021.json --loss cb-softmax --epochs 90 --out runs/pre",
                "pretrain --subset subset.csv --init resnet50 --out runs/pre",
            ),
        ),
        Command(
            "finetune",
            "transfer a backbone to the target",
            ("dataset",),
            home="finetune",
            step="train",
            needs="a dataset, a backbone",
            gives="a trained model (run)",
            examples=(
                "finetune folder:photos/@train --init resnet50 --test folder:photos/@test --out runs/photos",
                "finetune folder:photos/@train --init runs/pre --validation 5 --out runs/photos",
                "finetune folder:photos/@train --init resnet50 --loss balanced-softmax --out runs/photos --dry-run",
            ),
        ),
        Command(
            "fit-classifier",
            "fit a classifier to the frozen features of a backbone",
            ("dataset",),
            home="finetune",
            step="train",
            needs="a dataset, a backbone",
            gives="a classifier on it (run)",
            examples=(
                "fit-classifier folder:photos/@train --init resnet50 --method linear --out runs/probe",
                "fit-classifier folder:photos/@train --init runs/photos --method crt --out runs/balanced",
            ),
        ),
        Command(
            "evaluate",
            "measure the accuracy of a trained model",
            ("run", "dataset"),
            home="finetune",
            step="judge",
            needs="a run, a dataset",
            gives="accuracies, confusions",
            examples=(
                "evaluate runs/photos folder:photos/@test",
                "evaluate runs/photos folder:photos/@test --views 10 --per-class classes.csv",
            ),
        ),
        Command(
            "compare",
            "compare the figures of several runs",
            ("runs",),
            step="judge",
            needs="runs",
            gives="their figures side by side",
            examples=("compare runs/photos runs/probe", "compare runs/photos runs/probe --out figures.csv"),
        ),
        Command(
            "report",
            "write one HTML page of a run, several runs, a recipe, copies or clusters",
            ("run",),
            step="judge",
            needs="runs, results, a table",
            gives="one page (.html)",
            examples=("report runs/photos", "report runs/photos runs/probe", "report copies.csv --out copies.html"),
        ),
        Command(
            "predict",
            "predict the classes of images with a trained model",
            ("run", "images"),
            home="finetune",
            step="use",
            needs="a run, images",
            gives="their classes (.csv)",
            examples=(
                "predict runs/photos new-photos/ --out predictions.csv",
                "predict runs/photos new-photos/ --out predictions.parquet --features features.npz",
            ),
        ),
        Command(
            "export",
            "write a trained model or a bank for other programs, or publish it",
            ("run",),
            step="use",
            needs="a run or a bank",
            gives="files for other programs",
            examples=(
                "export runs/photos --out photos.onnx",
                "export runs/photos --format hub --out photos-model",
                "export photos.h5 --out photos.parquet",
            ),
        ),
    )
}
