"""The folder in which the documentation's commands run: small data sets in the layouts that the pages name."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from pathlib import Path

import layouts
import numpy as np
import torch
import torchvision
from layouts import Entry
from PIL import Image

BIRDS = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross", "004.Groove_billed_Ani")
THINGS = ("n01530575", "n01531178", "n02981792", "n03000134", "n03075370", "n04591713")
MUGS = ("bottle", "cup", "jug", "mug")
SPECIES = ("Albatross", "Finch", "Oak", "Pine", "Viper")


def picture(name: str, number: int, side: int = 48) -> bytes:
    """A PNG file of stripes whose colour and direction are the class's, with noise that is each image's own."""
    of_class, own = (np.random.default_rng(zlib.crc32(text.encode())) for text in (name, f"{name}/{number}"))
    colour, (down, across) = of_class.integers(40, 216, 3), of_class.uniform(0.1, 0.8, 2)
    rows, columns = np.mgrid[:side, :side]
    waves = 40 * np.sin(down * rows + across * columns + own.uniform(0, 6))
    pixels = colour + waves[..., None] + own.normal(0, 12, (side, side, 3))
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def entries(classes: Sequence[str], of_each: int, start: int = 0, folders: bool = False) -> list[Entry]:
    """So many images of each class, numbered from ``start``; in a folder of the class if the layout needs that."""
    return [
        Entry(label, f"{name}/{i}.png" if folders else f"{name}-{i}.png", picture(name, i))
        for label, name in enumerate(classes)
        for i in range(start, start + of_each)
    ]


def build(root: Path) -> None:
    """Write everything below ``root``."""
    data = root / "DATA"
    birds = entries(BIRDS, 10, folders=True)
    layouts.cub(data / "CUB_200_2011", BIRDS, birds)
    is_training = [f"{i} {int(i % 10 < 6)}" for i in range(len(birds))]
    (data / "CUB_200_2011" / "train_test_split.txt").write_text("\n".join(is_training) + "\n")
    for split, start in (("train", 0), ("test", 50)):
        layouts.folder(data / "imagenet" / split, THINGS, entries(THINGS, 6, start))
    layouts.coco(data, SPECIES, entries(SPECIES, 6))
    (data / "all.json").rename(data / "train2017.json")
    layouts.folder(root / "PHOTOGRAPHS", BIRDS[:3], entries(BIRDS[:3], 12, 100))
    for i in range(40):
        layouts._put(root / "LAKE" / f"{i}.png", picture(BIRDS[i % 4] if i % 2 else THINGS[i % 6], 200 + i))
        if i < 6:
            layouts._put(root / "NEW" / f"{i}.png", picture(BIRDS[i % 3], 300 + i))
    for i, file in enumerate(("002.Laysan_Albatross/8.png", "003.Sooty_Albatross/9.png")):  # test images in the lake
        image = Image.open(data / "CUB_200_2011" / "images" / file)
        (image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if i else image).save(root / "LAKE" / f"{40 + i}.png")
    own_folders(root)
    features_elsewhere(root)
    (root / "recipes").symlink_to(Path(__file__).parents[1] / "recipes")


def own_folders(root: Path) -> None:
    """Two collections to rank, and products with test images and some that nobody has sorted."""
    layouts.folder(root / "GARDEN", BIRDS, entries(BIRDS, 6, 400))
    layouts.folder(root / "STUDIO", THINGS[2:], entries(THINGS[2:], 6, 400))
    for split, start, of_each in (("train", 500, 8), ("test", 550, 4)):
        layouts.folder(root / "PRODUCTS" / split, MUGS, entries(MUGS, of_each, start))


def features_elsewhere(root: Path) -> None:
    """Embeddings in the files that other programs write: Parquet, .npy with labels beside it, means in .npz."""
    import pyarrow
    import pyarrow.parquet

    draw = np.random.default_rng(0)
    centres = draw.normal(size=(6, 16)).astype(np.float32)
    labels = np.arange(60) % 6
    points = centres[labels] + 0.3 * draw.normal(size=(60, 16)).astype(np.float32)
    species = [SPECIES[label] if label < 5 else "Moss" for label in labels]
    columns = {"id": [f"{i}.jpg" for i in range(60)], "clip": list(points), "species": species}
    pyarrow.parquet.write_table(pyarrow.table(columns), root / "emb.parquet")
    np.save(root / "target.npy", points[:30] + 0.1)
    (root / "labels.txt").write_text("".join(f"{species[i]}\n" for i in range(30)), encoding="utf-8")
    np.savez(root / "means.npz", imagenet=centres, names=np.array(THINGS))


def published_weights(home: Path) -> None:
    """Random tensors under the names of torchvision's files, where it looks before it downloads."""
    for name in ("resnet18", "resnet50"):
        url = torchvision.models.get_model_weights(name).DEFAULT.url
        file = home / "hub" / "checkpoints" / url.rpartition("/")[2]
        file.parent.mkdir(parents=True, exist_ok=True)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            torch.save(torchvision.models.get_model(name).state_dict(), file)
