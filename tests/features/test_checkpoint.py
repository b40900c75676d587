"""A checkpoint: tensors beside a card."""

import errno
import hashlib
import json

import pytest
import torch
from safetensors import SafetensorError, safe_open

from features import checkpoint as module
from features.backbones.loading import load_backbone
from features.checkpoint import find_checkpoint, save_checkpoint
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing

RECIPE = Preprocessing(24, 28, "bicubic", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
CARD = {"backbone": "resnet8", "preprocessing": RECIPE.to_json(), "classes": ["auk", "Überflieger"], "head": "linear"}


@pytest.fixture
def backbone():
    torch.manual_seed(5)
    backbone = load_backbone("resnet8", "none")
    for module_ in backbone.modules():
        if isinstance(module_, torch.nn.BatchNorm2d):  # statistics that are not the initial ones
            module_.running_mean.normal_()
            module_.running_var.uniform_(0.5, 2)
    return backbone.eval()


def tensors(backbone):
    parts = {f"backbone.{name}": value for name, value in backbone.network.state_dict().items()}
    return parts | {"head.weight": torch.ones(2, 64), "head.bias": torch.zeros(2)}


@pytest.fixture
def run(tmp_path, backbone):
    save_checkpoint(tmp_path / "run" / "checkpoints" / "last.safetensors", tensors(backbone), CARD)
    return tmp_path / "run"


def refused(do, *arguments):
    with pytest.raises(InputError) as caught:
        do(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_saved_is_found(run, backbone):
    for place in (run, str(run), run / "checkpoints" / "last.safetensors"):
        found = find_checkpoint(place)
        assert found.path == run / "checkpoints" / "last.safetensors"
        assert (found.backbone, found.classes, found.preprocessing) == ("resnet8", ("auk", "Überflieger"), RECIPE)
        digest = hashlib.sha256(found.path.read_bytes()).hexdigest()
        known = {"schema": "transfer.checkpoint", "schema_version": 1, "tensors_sha256": digest}
        assert found.card == json.loads(json.dumps(CARD)) | known
    assert set(found.state("head.")) == {"weight", "bias"} and found.state("none.") == {}
    for name, value in backbone.network.state_dict().items():
        assert torch.equal(found.state("backbone.")[name], value)
    assert sorted(path.name for path in found.path.parent.iterdir()) == ["last.json", "last.safetensors"]


def test_the_files_are_plain_json_and_safetensors(run):
    card = json.loads((run / "checkpoints" / "last.json").read_text(encoding="utf-8"))
    assert (
        card["schema"] == "transfer.checkpoint" and card["schema_version"] == 1 and card["classes"][1] == "Überflieger"
    )
    with safe_open(run / "checkpoints" / "last.safetensors", "pt") as file:
        assert {name.partition(".")[0] for name in file.keys()} == {"backbone", "head"}  # noqa: SIM118


def test_as_a_backbone_it_gives_identical_features(run, backbone):
    loaded = load_backbone(str(run)).eval()
    x = torch.randn(3, 3, 24, 24)
    with torch.no_grad():
        assert torch.equal(loaded(x), backbone(x))
    assert loaded.name == "resnet8" and loaded.weights == str(run) and loaded.dim == 64
    assert loaded.preprocessing == RECIPE and loaded.weights_sha256() == backbone.weights_sha256()
    assert load_backbone(str(run), image_size=48).preprocessing == RECIPE.at(48)


def test_where_there_is_none_the_answer_is_none(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "weights.pth").write_bytes(b"x")
    for place in (tmp_path / "absent", tmp_path / "empty", tmp_path / "weights.pth", "resnet50", "absent.safetensors"):
        assert find_checkpoint(place) is None


@pytest.mark.parametrize(
    ("card", "complaint"),
    [
        (None, "no such checkpoint card; restore the checkpoint from a copy, or train again"),
        ("{", "not a readable checkpoint card ("),
        ("[1]", "not a readable checkpoint card (its content is a list; expected names with values)"),
        (json.dumps(CARD), "not a checkpoint card of schema"),
        (json.dumps(CARD | {"schema": "transfer.checkpoint", "schema_version": 2}), "not a checkpoint card of schema"),
        ({"backbone": None}, "not a readable checkpoint card ('backbone' is missing)"),
        ({"classes": None}, "'classes'"),
        ({"preprocessing": None}, "'preprocessing'"),
        ({"preprocessing": {"image_size": 8}}, "'mean'"),
        ({"preprocessing": RECIPE.to_json() | {"zoom": 2}}, "zoom"),
        ({"preprocessing": RECIPE.to_json() | {"image_size": 99}}, "image size 99"),
        ({"classes": 3}, "'classes' is 3; expected a list"),
    ],
)
def test_a_card_that_cannot_be_used_is_refused(run, card, complaint):
    path = run / "checkpoints" / "last.json"
    if isinstance(card, dict):
        changed = json.loads(path.read_text()) | card
        card = json.dumps({name: value for name, value in changed.items() if value is not None})
    path.unlink() if card is None else path.write_text(card)
    message = refused(find_checkpoint, run)
    assert message.startswith(str(path)) and complaint in message


def test_only_the_tensors_that_are_needed_are_read(run, monkeypatch):
    read = []

    class Spy:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            self.opened = self.file.__enter__()
            return self

        def __exit__(self, *error):
            return self.file.__exit__(*error)

        def keys(self):
            return self.opened.keys()

        def get_tensor(self, name):
            read.append(name)
            return self.opened.get_tensor(name)

    monkeypatch.setattr(module, "safe_open", lambda *arguments: Spy(safe_open(*arguments)))
    state = find_checkpoint(run).state("head.")
    assert torch.equal(state["weight"], torch.ones(2, 64)) and sorted(read) == ["head.bias", "head.weight"]


def test_damaged_tensors_are_refused(run):
    path = run / "checkpoints" / "last.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    message = refused(load_backbone, str(run))
    assert message.startswith(f"{path}: its tensors are not those that its card last.json states: a byte has changed")
    card = path.with_suffix(".json")  # of an earlier version, without a digest
    card.write_text(json.dumps({n: v for n, v in json.loads(card.read_text()).items() if not n.endswith("sha256")}))
    assert refused(load_backbone, str(run)).startswith(f"{path}: the checkpoint's tensors cannot be read")


def test_tensors_of_another_network_are_refused(run, backbone):
    save_checkpoint(run / "checkpoints" / "last.safetensors", tensors(backbone), CARD | {"backbone": "resnet14"})
    message = refused(load_backbone, str(run))
    assert "last.safetensors: does not fit resnet14: " in message and "tensors are missing" in message
    save_checkpoint(run / "checkpoints" / "last.safetensors", tensors(backbone), CARD | {"backbone": "resnet-eight"})
    assert "backbone resnet-eight: no such model" in refused(load_backbone, str(run))


@pytest.mark.parametrize("weights", ["none", "file.pth"])
def test_a_trained_model_has_weights_of_its_own(run, weights):
    assert f"`weights` {weights}: {run} is a trained model" in refused(load_backbone, str(run), weights)


def test_a_full_disk_is_an_error_of_the_system(run, backbone, monkeypatch):
    def full(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError) as error:
        save_checkpoint(run / "checkpoints" / "last.safetensors", tensors(backbone), CARD)
    assert error.value.errno == errno.ENOSPC and error.value.filename.endswith("last.safetensors")


def test_a_write_that_breaks_off_leaves_the_old_checkpoint(run, backbone, monkeypatch):
    def break_off(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    before = {path.name: path.read_bytes() for path in (run / "checkpoints").iterdir()}
    monkeypatch.setattr("safetensors.torch.save_file", break_off)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(run / "checkpoints" / "last.safetensors", tensors(backbone), CARD)
    monkeypatch.undo()
    with pytest.raises(TypeError):  # a card that is not JSON, before a tensor is written
        save_checkpoint(
            run / "checkpoints" / "last.safetensors", {"head.weight": torch.zeros(1)}, CARD | {"x": object()}
        )
    assert {path.name: path.read_bytes() for path in (run / "checkpoints").iterdir()} == before
