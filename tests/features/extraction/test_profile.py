"""An extraction that is measured: the bank is that of one that is not, and the slow part is named."""

import json

import pytest
from same_bits import assert_same_bits

from features import ExtractConfig, InputError, extract, write_features
from features.class_statistics import ClassStatistics
from features.decoding import Decoder
from features.extraction.shard import Shard
from features.inference_network import InferenceNetwork
from features.infrastructure import profiling
from features.infrastructure.formats.tables import read_provenance, read_rows
from features.infrastructure.interruptions import Interrupted
from features.kept_features import KeptFeatures


def seconds_of(bank):
    table = bank.with_name(f"{bank.name}.profile.csv")
    return {row["stage"]: float(row["seconds"]) for _, row in read_rows(table, profiling.COLUMNS, kind="profile")}


def names_beside(bank):
    return sorted(path.name for path in bank.parent.iterdir())


@pytest.mark.parametrize("workers", [0, 2])
def test_the_bank_is_that_without_it_and_its_files_lie_beside(checkpointed, photos, tmp_path, workers, capfd):
    plain = extract(checkpointed(photos, tmp_path / "plain" / "bank.h5", workers=workers))
    settings = checkpointed(photos, tmp_path / "measured" / "bank.h5", workers=workers, profile=True)
    result = extract(settings)
    assert_same_bits(result.path, plain.path)
    assert names_beside(plain.path) == ["bank.h5"]
    assert names_beside(result.path) == ["bank.h5", "bank.h5.profile.csv", "bank.h5.trace.json"]
    seconds = seconds_of(result.path)
    own = ["start", "wait for images", "class sums", "keep features", "the profile itself", "save", "other"]
    split = ["transfer to device", "forward"]
    assert list(seconds) == [*own[:2], *split * (workers == 0), *own[2:], "all", "decode", *split[1:] * (workers > 0)]
    assert sum(seconds[name] for name in [*own, *split * (workers == 0)]) == pytest.approx(seconds["all"], abs=1e-4)
    assert read_provenance(result.path.with_name("bank.h5.profile.csv"), kind="")["images"] == 120
    events = json.loads(result.path.with_name("bank.h5.trace.json").read_text())["traceEvents"]
    assert [event["name"] for event in events].count("class sums") == 5
    capfd.readouterr()
    assert extract(settings).reused and "share" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("slow", "stage", "said"),
    [
        ((Decoder, "__getitem__"), "wait for images", "waiting for images"),
        ((InferenceNetwork, "__call__"), "forward", "the network's forward pass"),
        ((ClassStatistics, "add"), "class sums", "adding up class sums"),
        ((KeptFeatures, "append"), "keep features", "writing the output"),
        ((Shard, "write"), "save", "writing the output"),
    ],
)
def test_what_is_slow_is_named(checkpointed, photos, tmp_path, monkeypatch, slow, stage, said):
    """By a clock that moves in the slow part alone: 8 seconds in each of its calls."""
    passed = [0.0]
    function = getattr(*slow)

    def slowed(*arguments):
        passed[0] += 8
        return function(*arguments)

    monkeypatch.setattr(*slow, slowed)
    monkeypatch.setattr(profiling.StageClock.__init__, "__defaults__", (lambda: None, lambda: passed[0]))
    bank = extract(checkpointed(photos, tmp_path / "bank.h5", profile=True)).path
    seconds = seconds_of(bank)
    assert seconds[stage] == seconds["all"] == passed[0] >= 30 * 8
    verdict = read_provenance(bank.with_name("bank.h5.profile.csv"), kind="")["verdict"]
    assert verdict.startswith(f"100% of the time after the start was {said}")


def test_an_interrupted_one_says_where_its_time_went_and_resumes_without(checkpointed, photos, whole, tmp_path):
    settings = checkpointed(photos, tmp_path / "bank.h5", profile=True)
    written, write = [], Shard.write

    def interrupting(shard, path, *images):
        write(shard, path, *images)
        written.append(path)
        if len(written) == 10:
            raise Interrupted("SIGTERM")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shard, "write", interrupting)
        with pytest.raises(Interrupted):
            extract(settings)
    assert read_provenance(tmp_path / "bank.h5.profile.csv", kind="")["images"] == 40
    result = extract(checkpointed(photos, tmp_path / "bank.h5"))
    assert result.read == 80
    assert_same_bits(result.path, whole.path)


def test_another_file_is_not_replaced(config, folder, tmp_path):
    (tmp_path / "bank.h5.profile.csv").write_text("mine,own\n")
    with pytest.raises(InputError, match=r"bank.h5.profile.csv: is there already; name another file or give `overwrit"):
        extract(config(folder, tmp_path / "bank.h5", profile=True))
    assert names_beside(tmp_path / "bank.h5") == ["bank.h5.profile.csv", "data"]


def test_the_first_of_two_processes_is_measured(config, folder, two_processes, tmp_path):
    out = tmp_path / "bank.h5"
    status, said = two_processes(config(folder, out, profile=True, batch_size=2))
    assert status == 0 and said.count("after the start was") == 1, said
    assert sorted(path.name for path in tmp_path.glob("bank.h5*")) == [
        "bank.h5",
        "bank.h5.profile.csv",
        "bank.h5.trace.json",
    ]
    assert read_provenance(tmp_path / "bank.h5.profile.csv", kind="")["images"] == 12  # of 24


def test_what_cannot_be_measured_is_refused(config, folder, tmp_path):
    with pytest.raises(InputError, match="`profile`: does not measure the workers of `engine` ray"):
        config(folder, engine="ray", profile=True)
    bank = extract(config(folder, tmp_path / "bank.h5", keep_images=True)).bank
    write_features(bank, tmp_path / "features.npz")
    file = f"features:{tmp_path / 'features.npz'}"
    with pytest.raises(InputError, match=r"`profile` True: the features of .* are computed already, without a network"):
        extract(ExtractConfig(file, str(tmp_path / "other.h5"), profile=True))
