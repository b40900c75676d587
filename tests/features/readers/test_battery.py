"""Every reader is given every oddity that its format can hold: what is right is one table for all of them."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass, field

import pytest
from layouts import LAYOUTS, PNG, Entry, encoded

from features import ExtractConfig, extract, open_dataset
from features.image_sources import UnreadableImage
from features.infrastructure.errors import InputError
from features.infrastructure.names import class_name
from features.readers import SCHEMES
from transfer.commands.inspect import InspectConfig, inspect

NFC, NFD = (unicodedata.normalize(form, "bée") for form in ("NFC", "NFD"))
BYTES = os.fsdecode(b"b\xe9e")


@dataclass(frozen=True)
class Oddity:
    """A dataset with an oddity, and what is right.

    Attributes:
        classes, entries: The dataset.
        needs: What a format must be able to hold.
        right: Class → images, whether they can be read or not; None if the dataset is to be refused.
        unreadable: Number of images that cannot be read.
        refusal: What the line says that refuses the dataset.
        said: What a line on the console says.
    """

    entries: tuple[Entry, ...]
    classes: tuple[str, ...] = ("ant", "bee")
    needs: frozenset[str] = frozenset()
    right: dict[str, int] | None = field(default_factory=lambda: {"ant": 2, "bee": 2})
    unreadable: int = 0
    refusal: str = ""
    said: str = ""


#: The picture of each class.
SHADES = (9, 120, 200)


def of(*names, label=0, content=None):
    return tuple(Entry(label, name, encoded(SHADES[label]) if content is None else content) for name in names)


ANTS, BEES = of("a.png", "b.png"), of("c.png", "d.png", label=1)
PLAIN = ANTS + BEES
ODDITIES = {
    "plain": Oddity(PLAIN),
    "one class": Oddity(ANTS, ("ant",), right={"ant": 2}),
    "a class without an image": Oddity(
        PLAIN, ("ant", "bee", "cow"), frozenset({"empty class"}), said="1 of 3 classes have no image .*'cow'"
    ),
    "the first class without an image": Oddity(
        of("a.png", "b.png", label=1), ("ant", "bee"), frozenset({"empty class"}), {"bee": 2}, said="'ant'"
    ),
    "no image at all": Oddity((), right=None, refusal="(empty|none of the|no annotations|Found no valid file|no line)"),
    "listed twice": Oddity(
        (*PLAIN, *of("a.png")), needs=frozenset({"twice"}), said="1 images are listed more than once"
    ),
    "listed in two classes": Oddity(
        (*PLAIN, *of("a.png", label=1)),
        needs=frozenset({"twice"}),
        right=None,
        refusal=r"the image \S*a\.png is listed in two classes, 'ant' and 'bee'",
    ),
    "a file that is not there": Oddity((*PLAIN, Entry(0, "gone.png", None)), needs=frozenset({"missing"}),
                                       right={"ant": 3, "bee": 2}, unreadable=1),
    "an empty file": Oddity((*PLAIN, Entry(0, "e.png", b"")), right={"ant": 3, "bee": 2}, unreadable=1),
    "a damaged file": Oddity((*PLAIN, Entry(1, "e.png", PNG[:40])), right={"ant": 2, "bee": 3}, unreadable=1),
    "a file of another kind than its name says": Oddity((*PLAIN, Entry(1, "e.png", encoded(SHADES[1], "JPEG"))),
                                                        right={"ant": 2, "bee": 3}),
    "a picture that is not read": Oddity((*PLAIN, Entry(0, "e.heic", b"no")), needs=frozenset({"heic"}),
                                         right={"ant": 3, "bee": 2}, unreadable=1),
    "endings in capitals": Oddity((*PLAIN, *of("e.PNG"), Entry(1, "f.JPG", encoded(SHADES[1], "JPEG"))),
                                  right={"ant": 3, "bee": 3}),
    "names in other scripts": Oddity((*ANTS, *of("蜂.png", "ü d.png", label=1)), ("ant", "ミツバチ"),
                                     frozenset({"unicode"}), {"ant": 2, "ミツバチ": 2}),
    "a decomposed class name": Oddity(PLAIN, ("ant", NFD), frozenset({"unicode"}), {"ant": 2, NFC: 2}),
    "one class name in two normalisations": Oddity(PLAIN, (NFC, NFD), frozenset({"unicode"}), None,
                                                   refusal=f"two classes are called '{NFC}', in two Unicode"),
    "names that are not UTF-8": Oddity((*ANTS, *of(os.fsdecode(b"\xff.png"), "d.png", label=1)), ("ant", BYTES),
                                       frozenset({"bytes"}), {"ant": 2, "b\\xe9e": 2}),
    "names with punctuation": Oddity((*ANTS, *of("#c,d;'e.png", "%20.png", label=1)), ("ant", "'bee', \"B\" & co; [x]"),
                                     frozenset({"punctuation"}), {"ant": 2, "'bee', \"B\" & co; [x]": 2}),
    "names that differ in case": Oddity(PLAIN, ("Bee", "bee"), right={"Bee": 2, "bee": 2}),
    "names that are numbers": Oddity(PLAIN, ("10", "9"), right={"10": 2, "9": 2}),
    "a long name": Oddity(PLAIN, ("ant", "b" * 200), right={"ant": 2, "b" * 200: 2}),
    "folders below a class": Oddity((*ANTS, *of("x/y/c.png", "x/d.png", label=1)), needs=frozenset({"deep"})),
    "what systems leave behind": Oddity((*PLAIN, *of("._a.png", "__MACOSX/a.png", "@eaDir/a.png", content=b"x")),
                                        needs=frozenset({"left behind"})),
}  # fmt: skip
CASES = [
    pytest.param(layout, oddity, id=f"{layout}: {oddity}")
    for layout in LAYOUTS
    for oddity in ODDITIES
    if ODDITIES[oddity].needs <= LAYOUTS[layout].can
]
#: Schemes that the battery cannot write: embedded images, images without labels, datasets relabelled, the hub, and
#: features without images.
ELSEWHERE = {"glyphs", "digits", "images", "clusters", "hf", "features"}


def shown(name, layout):
    """A class as its reader names it: numbers in WebDataset's label files are no names."""
    return f"class_{name}" if layout == "wds" and name.isdecimal() else name


@pytest.mark.parametrize(("layout", "oddity"), CASES)
def test_every_reader_takes_every_oddity(layout, oddity, tmp_path, capsys):
    case = ODDITIES[oddity]
    spec = LAYOUTS[layout].write(tmp_path / "data", case.classes, case.entries)
    out = tmp_path / "bank.h5"
    options = {"backbone": "resnet8", "weights": "none", "workers": 0, "precision": "fp32", "device": "cpu"}
    extraction = ExtractConfig(dataset=spec, out=str(out), max_unreadable=0.5, **options)
    if case.right is None:
        for command in (lambda: inspect(InspectConfig(what=spec)), lambda: extract(extraction)):
            with pytest.raises(InputError) as caught:
                command()
            assert re.search(case.refusal, str(caught.value)) and "\n" not in str(caught.value)
        assert not out.exists() and "extract" not in capsys.readouterr().err  # before an image was decoded
        return
    right = {shown(name, layout): images for name, images in case.right.items()}
    dataset = open_dataset(spec)
    assert dict(zip(dataset.classes, dataset.counts.tolist(), strict=True)) == right
    seen = inspect(InspectConfig(what=spec)).content
    assert (seen["classes"], seen["images"]) == (len(right), sum(right.values()))
    bank = extract(extraction).bank
    assert bank.classes == dataset.classes and len(bank.skipped) == case.unreadable
    assert int(bank.counts.sum()) + len(bank.skipped) == seen["images"]
    err = capsys.readouterr().err
    assert re.search(case.said, err) if case.said else "left out" not in err
    assert len(set(dataset.ids)) == len(dataset)
    shade = {shown(class_name(name), layout): SHADES[i] for i, name in enumerate(case.classes)}
    unreadable = 0
    for i, label in enumerate(dataset.labels):
        try:
            assert abs(dataset.image(i).getpixel((0, 0))[0] - shade[dataset.classes[label]]) <= 2
        except UnreadableImage:
            unreadable += 1
    assert unreadable == case.unreadable
    "".join([*dataset.classes, *dataset.ids]).encode()


def test_the_battery_is_large_and_misses_no_reader():
    written = {layout.partition("@")[0].partition(" ")[0] for layout in LAYOUTS}
    assert written | ELSEWHERE == set(SCHEMES)
    assert len(CASES) >= 60
