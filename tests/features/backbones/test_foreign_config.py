"""Folders and cards of models that somebody else made: one line for each fault, and no code of theirs runs."""

import json

import pytest
import torch
from mutations import hostile_pickle

from features import InputError, load_backbone
from features.checkpoint import save_checkpoint


@pytest.fixture(scope="module")
def of_timm(tmp_path_factory):
    """A folder of timm's format: its config.json, and the weights beside it."""
    import timm
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("timm")
    network = timm.create_model("resnet10t", num_classes=3)
    save_file(network.state_dict(), folder / "model.safetensors")
    return folder, {
        "architecture": "resnet10t",
        "num_classes": 3,
        "pretrained_cfg": {"input_size": [3, 64, 64], "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 0.9},
    }


@pytest.fixture(scope="module")
def of_transformers(tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    model = transformers.ViTModel(
        transformers.ViTConfig(image_size=32, patch_size=16, **sizes), add_pooling_layer=False
    )
    model.save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def copied(folder, to, name, content):
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).symlink_to(file)
    (to / name).unlink(missing_ok=True)
    (to / name).write_text(json.dumps(content))
    return str(to)


@pytest.mark.parametrize(
    "changes",
    [
        *({"model_args": value} for value in (5, [1], {"depth": 3}, {"layers": [10**7, 1, 1, 1]}, {"layers": -1})),
        *(
            {"model_args": {name: "evil.pth"}}
            for name in ("checkpoint_path", "cache_dir", "pretrained_cfg", "scriptable")
        ),
        {"model_args": {"pretrained": True, "pretrained_cfg": {"url": "http://127.0.0.1:9/x.pth"}}},
        {"model_args": {"base_width": 10**5}},
        *({"pretrained_cfg": value} for value in (5, "x", [1])),
        *({"pretrained_cfg": {"input_size": value}} for value in (5, [3, "a", "b"])),
        *({"pretrained_cfg": {"input_size": [3, 64, 64], "mean": value}} for value in (5, ["a", "b", "c"])),
        {"pretrained_cfg": {"input_size": [3, 64, 64], "crop_pct": "x"}},
        {"num_classes": "x"},
    ],
    ids=str,
)
def test_a_configuration_of_timm_that_describes_no_network(of_timm, tmp_path, changes):
    folder, config = of_timm
    name = copied(folder, tmp_path / "m", "config.json", config | changes)
    with pytest.raises(InputError) as found:
        load_backbone(name)
    assert str(found.value).startswith(f"backbone {name}") and "\n" not in str(found.value)


def test_a_pickle_in_a_folder_of_timm_does_not_run(of_timm, tmp_path):
    _, config = of_timm
    (tmp_path / "pytorch_model.bin").write_bytes(hostile_pickle(tmp_path / "ran"))
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"pytorch_model\.bin"):
        load_backbone(str(tmp_path))
    assert not (tmp_path / "ran").exists()


def test_the_whole_folder_of_timm_is_read(of_timm, tmp_path):
    folder, config = of_timm
    assert load_backbone(copied(folder, tmp_path / "m", "config.json", config)).dim == 512


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        *(("config.json", {"num_hidden_layers": value}) for value in (-1, 0, 2, 10**7)),
        *(("config.json", {name: 0}) for name in ("num_attention_heads", "patch_size")),
        *(("config.json", {name: 5}) for name in ("dtype", "quantization_config", "id2label")),
        ("config.json", {"hidden_act": "nosuch"}),
        ("config.json", {"quantization_config": {"quant_method": "bitsandbytes"}}),
        ("config.json", {"_attn_implementation": "a/b"}),
        ("config.json", {"hidden_size": 2**19}),
        *(("preprocessor_config.json", {"size": value}) for value in (5.5, None, "x")),
        *(("preprocessor_config.json", {"image_mean": value}) for value in (5, ["a", "b", "c"])),
        *(("preprocessor_config.json", {name: "x"}) for name in ("rescale_factor", "resample")),
        ("preprocessor_config.json", {"image_processor_type": 5}),
    ],
    ids=str,
)
def test_a_folder_of_transformers_that_describes_no_network_or_transform(of_transformers, tmp_path, file, changes):
    stated = json.loads((of_transformers / file).read_text())
    name = copied(of_transformers, tmp_path / "m", file, stated | changes)
    with pytest.raises(InputError) as found:
        load_backbone(name)
    assert str(found.value).startswith(f"backbone {name}") and "\n" not in str(found.value)


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
def test_code_of_a_folder_of_transformers_does_not_run(of_transformers, tmp_path, monkeypatch, file):
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    stated = json.loads((of_transformers / file).read_text())
    stated["auto_map"] = {
        "AutoConfig": "evil.Config",
        "AutoModel": "evil.Model",
        "AutoImageProcessor": "evil.Processor",
    }
    stated["image_processor_type"] = "Evil"
    name = copied(of_transformers, tmp_path / "m", file, stated)
    (tmp_path / "m" / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    try:
        load_backbone(name)
    except InputError as error:
        assert "\n" not in str(error)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "arguments",
    [{"checkpoint_path": "evil.pth"}, {"pretrained": True}, {"layers": [2 * 10**6] * 4}, {"base_width": 5000}, 5],
    ids=str,
)
def test_a_card_that_describes_no_network(tmp_path, arguments):
    card = {
        "backbone": "timm/resnet10t",
        "preprocessing": load_backbone("resnet8", "none").preprocessing.to_json(),
        "classes": ["a"],
        "blueprint": {"architecture": "resnet10t", "model_args": arguments},
    }
    save_checkpoint(tmp_path / "last.safetensors", {"backbone.weight": torch.zeros(2)}, card)
    with pytest.raises(InputError) as found:
        load_backbone(str(tmp_path / "last.safetensors"))
    said = str(found.value)
    assert said.startswith(f"{tmp_path / 'last.json'}: 'blueprint'") and "\n" not in said
    assert said.endswith("restore the checkpoint from a copy, or train again")
