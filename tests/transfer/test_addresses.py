"""Commands on addresses: from a web server to a store, and every mistake in one line without a secret."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import fsspec
import pytest
from support import picture

from features.infrastructure.storage.addresses import located
from features.infrastructure.storage.stores import TIMEOUT
from transfer.cli import main

NETWORK = ["--backbone", "resnet8", "--weights", "none", "--device", "cpu", "--precision", "fp32", "--workers", 0]


def content(address: str) -> str:
    return located(address).read_bytes().decode()


@pytest.fixture
def birds(web) -> str:
    """The address of a list of eight pictures of two classes, and of those pictures; both must be signed."""
    (web.root / "train.txt").write_text("".join(f"{'ab'[i % 2]}/{i}.png {i % 2}\n" for i in range(8)))
    for i in range(8):
        picture(web.root / f"{'ab'[i % 2]}/{i}.png", 120 * (i % 2) + i)
    web.key = "sig=SECRET"
    return f"list:<{web.address}/train.txt?{web.key}>"


def test_from_a_web_server_to_a_store(birds, web, memory, said, capsys):
    public = f"list:{web.address}/train.txt"
    bank, other, subset = (f"{memory}/{name}" for name in ("bank.h5", "other.h5", "subset.csv"))
    done = said("extract", birds, "--out", bank, *NETWORK)
    assert done["bank"] == bank and (done["classes"], done["images"]) == (2, 8)
    assert said("extract", birds, "--out", bank, *NETWORK)["reused"]
    said("extract", "digits:@train?per_class=3", "--out", other, *NETWORK)
    ranked = said("rank", "--target", bank, "--source", other, "--explain", f"{memory}/why.csv")
    assert ranked["target"] == public and public not in content(f"{memory}/why.csv").splitlines()[1]
    chosen = said("select", "--target", f"{bank}:3", "--source", other, "--out", subset, "--curve", f"{memory}/c.csv")
    assert len(chosen["selected"]) == 3 and len(content(subset).splitlines()) == 5
    assert said("inspect", subset)["classes"] == 3 and said("inspect", bank)["dataset"] == public
    assert said("inspect", birds)["images"] == 8
    run = Path("run").absolute()
    said("finetune", birds, "--init", "resnet8", "--weights", "none", "--steps", 2, "--out", run, "--device", "cpu")
    table, features = f"{memory}/p.csv", f"{memory}/f.npz"
    said("predict", run, birds, "--out", table, "--features", features, "--device", "cpu", "--workers", 0)
    rows = list(csv.DictReader(content(table).splitlines()))
    assert [row["image"] for row in rows] == [f"{'ab'[i % 2]}/{i}.png" for i in range(8)]
    said("evaluate", run, birds, "--per-class", f"{memory}/classes.csv", "--device", "cpu", "--workers", 0)
    said("report", run, "--out", f"{memory}/report.html")
    assert content(f"{memory}/report.html").startswith("<!doctype html>")
    store = fsspec.filesystem("memory")
    assert not [path for path in store.find(memory) if b"SECRET" in store.cat_file(path)]
    assert not [path for path in run.rglob("*") if path.is_file() and b"SECRET" in path.read_bytes()]
    assert os.listdir() == ["run"] and "SECRET" not in "".join(capsys.readouterr())


def test_images_and_plain_addresses_where_a_path_may_stand(web, memory, said, place, made_run):
    for i in range(3):
        picture(web.root / "new" / f"{i}.png", i)
    (web.root / "new.txt").write_text("new/2.png\nnew/0.png\n")
    for given, images in ((f"{web.address}/new/", 3), (f"{web.address}/new.txt", 2), (f"{web.address}/new/1.png", 1)):
        out = place / f"{images}.csv"
        done = said("predict", made_run, given, "--out", out, "--device", "cpu", "--workers", 0)
        assert done["images"] == images and done["unreadable"] == 0
    said("inspect", f"images:{web.address}/new/", "--plot", f"{memory}/plot.png")
    assert located(f"{memory}/plot.png").read_bytes().startswith(b"\x89PNG")


def test_what_does_not_answer_is_one_line_and_status_2(birds, web, refused, monkeypatch, tmp_path, write_bank):
    monkeypatch.setenv(TIMEOUT, "0.1")
    web.silent |= {"/train.txt", "/bank.h5"}
    out = str(tmp_path / "x.h5")
    assert f"{web.address}/train.txt: does not answer" in refused("extract", birds, "--out", out, *NETWORK)
    bank = f"{web.address}/bank.h5?sig=SECRET"
    line = refused("rank", "--target", bank, "--source", write_bank("a", [[0, 1], [1, 0]]))
    assert "no answer within 0.1 s" in line and "SECRET" not in line
    monkeypatch.delenv(TIMEOUT)
    web.silent.clear()
    for name, fails, told in (("none.h5", [], "no such feature bank"), ("bank.h5", [403] * 4, "access is denied")):
        web.fails[f"/{name}"] = fails
        line = refused("inspect", f"{web.address}/{name}?sig=SECRET")
        assert told in line and "SECRET" not in line


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("finetune digits: --init resnet8 --out s3://b/run", "--out s3://b/run: is an address, but a run directory"),
        ("pretrain digits: --out s3://b/run", "--out s3://b/run: is an address, but a run directory is on the disk"),
        (
            "finetune digits: --init s3://b/pre --out run",
            "s3://b/pre: is an address, but a run directory is on the disk",
        ),
        (
            "fit-classifier digits: --method ncm --init s3://b/pre --out run",
            "s3://b/pre: is an address, but a run directory",
        ),
        ("evaluate s3://b/run digits:", "RUN s3://b/run: is an address, but a run directory is on the disk"),
        ("predict hf://o/n/run digits: --out p.csv", "RUN hf://o/n/run: is an address, but a run directory"),
        ("report s3://b/run", "RUN s3://b/run: is an address, but a run directory is on the disk"),
        ("compare s3://b/one s3://b/two", "s3://b/one: is an address, but a run directory is on the disk"),
        ("run recipes/mixed-lake-to-cub.yaml --out s3://b/x", "--out s3://b/x: is an address, but a run directory"),
        ("try digits: --out s3://b/x", "--out s3://b/x: is an address, but a run directory is on the disk"),
        ("inspect s3://b/run", "s3://b/run: is an address, but a run directory is on the disk"),
        ("extract digits: --out https://h/bank.h5", "--out https://h/bank.h5: a web server takes no files"),
        ("extract torch:CIFAR10:s3://b/x --out bank.h5", "torch reads from the disk only; copy s3://b/x there"),
    ],
)
def test_where_an_address_cannot_stand_one_line_says_what_to_do(command, told, refused, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    assert told in refused(*command.split())


def test_results_on_the_screen_have_no_secret(birds, web, capsys, tmp_path):
    (web.root / "bank.h5").write_bytes(b"")
    assert main(["inspect", birds]) == 0 and main(["inspect", birds, "--json"]) == 0
    out, err = capsys.readouterr()
    assert "SECRET" not in out + err and web.address in out
    assert json.loads(out.splitlines()[-1])["dataset"] == f"list:<{web.address}/train.txt>"
