"""Results as the commands write them, made without a training, and a reader of pages."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from features import open_dataset
from features.infrastructure.disk.files import write_json
from features.infrastructure.formats.tables import write_table
from finetune.evaluation.metrics import evaluate_scores
from transfer.arm import Arm

TARGET, TEST = "digits:@train?per_class=3", "digits:@test?per_class=4"


class Page(HTMLParser):
    """What a page holds: its texts, the addresses that it would load, and its scripts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.pieces: list[str] = []
        self.loaded: list[str] = []
        self.handlers: list[str] = []
        self.scripts: list[str] = []
        self.data: dict[str, Any] = {}
        self.policy = ""
        self.rows: list[tuple[str, list[str]]] = []
        self._within: list[tuple[str, dict[str, str | None]]] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loaded += [given[name] or "" for name in ("src", "srcset", "href", "action", "data") if name in given]
        self.handlers += [name for name in given if name.startswith("on")]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        if tag == "tr":
            self.rows.append((given.get("class") or "", []))
        if tag == "td" and self.rows:
            self.rows[-1][1].append("")
        if tag not in ("meta", "img", "br", "wbr", "source"):
            self._within.append((tag, given))

    def handle_endtag(self, tag: str) -> None:
        while self._within and self._within.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tag, given = self._within[-1] if self._within else ("", {})
        if tag == "script":
            if given.get("type") == "application/json":
                self.data[str(given["id"]).removeprefix("chart-")] = json.loads(data)
            else:
                self.scripts.append(data)
        elif tag != "style":
            self.pieces.append(data)
            if any(name == "td" for name, _ in self._within) and self.rows and self.rows[-1][1]:
                self.rows[-1][1][-1] += data

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.pieces))

    @property
    def drawn(self) -> list[str]:
        """The texts within its plots."""
        plots = [address for address in self.loaded if address.startswith("data:image/svg+xml;base64,")]
        decoded = [base64.b64decode(address.partition(",")[2]).decode() for address in plots]
        return [html.unescape(text) for one in decoded for text in re.findall(r"<text[^>]*>([^<]*)</text>", one)]

    def check(self) -> None:
        """The page needs nothing else, and runs nothing but its own scripts."""
        assert all(address.startswith("data:") for address in self.loaded), self.loaded[:3]
        assert not self.handlers
        assert self.policy.startswith("default-src 'none'")
        assert "unsafe-eval" not in self.policy
        for script in self.scripts:
            digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in self.policy
        assert len(self.source.encode()) < 5_000_000
        assert self.source.count("<script") == len(self.scripts) + len(self.data)


@pytest.fixture
def read_page() -> Callable[[Path], Page]:
    """A function that reads a page, and checks that it is self-contained."""

    def read(path: Path) -> Page:
        page = Page(Path(path))
        page.check()
        return page

    return read


@pytest.fixture
def write_run() -> Callable[..., Path]:
    """A function that writes a finished run: every ``wrong``-th of the test's images is taken for the next class."""

    def write(path: Path, wrong: int = 3, *, test: str = TEST, predictions: bool = True, **others: Any) -> Path:
        data = open_dataset(test)
        names, labels = data.classes, data.labels
        predicted = np.where(np.arange(len(data)) % wrong == 0, (labels + 1) % len(names), labels)
        figures = evaluate_scores(np.eye(len(names))[predicted], labels, np.full(len(names), 3)).to_json()
        confusions = [{"true": names[0], "predicted": names[1], "images": 2, "share": 0.5}]
        about = {"evaluated_on": test, "evaluated_on_sha256": 64 * "ab", "judged_on": "test", "confusions": confusions}
        write_json(path / "metrics.json", figures | about | others.get("metrics", {}))
        inputs = {"training data": "train", "test data": 64 * "ab"}
        versions = {"torch": "2"}
        started = {"run": "finetune", "started": "today", "inputs": inputs, "versions": versions, "seed": 0}
        write_json(path / "environment.json", started)
        config = {"dataset": TARGET, "test": test, "init": "resnet8", "weights": "none", "loss": "softmax"}
        config |= {"steps": 4, "out": str(path)} | others.get("config", {})
        (path / "config.yaml").write_text(yaml.safe_dump(config))
        accuracy = [float((predicted == labels)[labels == i].mean()) for i in range(len(names))]
        rows = [(name, 3, int((labels == i).sum()), accuracy[i]) for i, name in enumerate(names)]
        write_table(path / "per_class.csv", {}, ("class", "train_images", "images", "accuracy"), rows)
        if predictions:
            table = zip(data.ids, np.take(names, predicted), [0.75] * len(data), np.take(names, labels), strict=True)
            write_table(path / "predictions.csv", {}, ("image", "class", "probability", "label"), table)
        columns = ("epoch", "step", "lr", "train_loss", "images_per_second", "seconds")
        history = [(1, 2, 0.1, 2.0, 10.0, 4.0), (2, 4, 0.1, 1.0, 20.0, 3.0)]
        write_table(path / "history.csv", None, columns, history)
        return path

    return write


@pytest.fixture
def results(tmp_path, write_bank, write_run) -> Callable[..., Path]:
    """A function that writes the results of a recipe of three arms, of which the middle one is the best."""

    def write(top1=((0.5, 0.52), (0.8, 0.82), (0.6, 0.9)), sources=("glyphs:DIGIT",), **others: Any) -> Path:
        out = tmp_path / "results"
        rng = np.random.default_rng(0)
        specs = [TARGET, *sources]
        opened = [open_dataset(spec) for spec in specs]
        classes = [[*data.classes[:12]] for data in opened]
        if "classes" in others:
            classes[0] = others["classes"]
        files = {
            spec: write_bank(f"bank{i}", rng.normal(size=(len(names), 6)), classes=names, dataset=spec)
            for i, (spec, names) in enumerate(zip(specs, classes, strict=True))
        }
        arms = {
            "scratch": Arm(),
            "toolkit": Arm(strategy="mutual-proximity", geometry="euclidean"),
            "last": Arm(strategy="random"),
        }
        selected = [
            {
                "source": sources[0],
                "class": name,
                "count": 10,
                "rank": k,
                "distance": 0.1,
                "weight": 0.1,
                "targets": [TARGET],
            }
            for k, name in enumerate(classes[1][:4], start=1)
        ]
        rows = []
        for (name, arm), values in zip(arms.items(), top1, strict=True):
            runs = []
            for seed, value in enumerate(values):
                path = write_run(out / "finetune" / f"{name}-seed{seed}")
                runs.append({"seed": seed, "run": str(path), "top1": value, "top5": 1.0, "macro": value, "images": 40})
            rows.append({"arm": name, "top1_mean": float(np.mean(values)), "top1_std": 0.1, "runs": runs} | asdict(arm))
        recipe = {"name": "a & <b>", "target": TARGET, "test": TEST, "sources": list(sources), "classes": 4}
        recipe |= {"seeds": list(range(len(top1[0]))), "select": {}, "arms": {n: asdict(a) for n, a in arms.items()}}
        domains = [
            {
                "source": spec,
                "nearest_class_distance": 1.0 + i,
                "nearest_class_distance_estimate": 0.9 + i,
                "nearest_class_distance_interval": [0.8 + i, 1.0 + i],
                "nearer_than_next": 0.7 if i + 1 < len(sources) else None,
                "emd": 2.0,
                "similarity": 0.5,
                "classes": 12,
                "images": 120,
            }
            for i, spec in enumerate(sources)
        ]
        content = {
            "name": recipe["name"],
            "target": TARGET,
            "selected": selected,
            "arms": rows,
            "domains": domains,
            "selections": {"toolkit": selected, "last": selected},
            "recipe": recipe,
            "banks": files,
            "versions": {"torch": "2"},
            "report": str(out / "report.html"),
            "seconds": 75.0,
        }
        write_json(out / "result.json", content)
        return out

    return write
