"""Every reader that takes addresses finds in a store, and on a web server, what it finds on the disk."""

from __future__ import annotations

import re

import fsspec
import pytest
from layouts import LAYOUTS, PNG, Entry, encoded
from support import refused

from features import ExtractConfig, extract, open_dataset
from features.image_sources import UnreadableImage
from features.infrastructure.errors import InputError
from features.readers import SCHEMES
from features.readers.copies import equal_images
from features.readers.schemes.clusters import write_clusters

CLASSES = ("ant", "bée & co")
PLAIN = (Entry(0, "a.png"), Entry(0, "b.png"), Entry(1, "c.png"), Entry(1, "ü d.png"))
ODDITIES = {
    "plain": (PLAIN, frozenset({"unicode"})),
    "signs of addresses in names": ((*PLAIN, Entry(0, "#1?x=%20&y.png")), frozenset({"punctuation"})),
    "folders below a class": ((*PLAIN, Entry(1, "x/y z/e.png")), frozenset({"deep"})),
    "a file that is not there": ((*PLAIN, Entry(0, "gone.png", None)), frozenset({"missing"})),
    "a damaged file": ((*PLAIN, Entry(0, "e.png", PNG[:40])), frozenset()),
    "listed twice": ((*PLAIN, Entry(0, "a.png")), frozenset({"twice"})),
    "what systems leave behind": ((*PLAIN, Entry(0, "@eaDir/a.png", b"x")), frozenset({"left behind"})),
}
#: MATLAB files of the official lists, as SciPy writes them, hold no other characters.
ASCII = {"dogs", "cars", "torch"}
CASES = [
    pytest.param(place, layout, oddity, id=f"{place}: {layout}: {oddity}")
    for place in ("memory", "web")
    for layout, row in LAYOUTS.items()
    for oddity, (_, needs) in ODDITIES.items()
    if needs - {"unicode"} <= row.can and layout != "torch"
]
#: Schemes that read from the disk only, or no file at all.
ON_DISK = {"torch", "hf", "glyphs", "digits"}


@pytest.fixture
def placed(web, memory):
    """A function that gives the address of what is on the disk below the web server's root."""

    def place(where: str, text: str) -> str:
        if where == "web":
            return text.replace(str(web.root), web.address)
        fsspec.filesystem("memory").put(f"{web.root}/", f"{memory}/", recursive=True)
        return text.replace(str(web.root), memory)

    return place


def images(dataset) -> list[bytes]:
    found = []
    for i in range(len(dataset)):
        try:
            found.append(dataset.image(i).tobytes())
        except UnreadableImage as error:
            found.append(re.sub(r"no file \S.*/", "no file ", str(error)).encode())
    return found


@pytest.mark.parametrize(("place", "layout", "oddity"), CASES)
def test_a_reader_finds_there_what_it_finds_on_the_disk(place, layout, oddity, web, placed):
    entries = ODDITIES[oddity][0]
    plain = "unicode" not in LAYOUTS[layout].can and layout in ASCII
    classes = ("ant", "bee") if plain or layout == "wds" else CLASSES
    here = LAYOUTS[layout].write(web.root / "my data", classes, entries)
    there = open_dataset(placed(place, here))
    beside = open_dataset(here)
    assert there.spec == placed(place, here)
    assert (there.classes, list(there.ids)) == (beside.classes, list(beside.ids))
    assert there.labels.tolist() == beside.labels.tolist() and there.numbers == beside.numbers
    assert images(there) == images(beside)
    assert there.manifest_sha256 == open_dataset(there.spec).manifest_sha256


def test_every_scheme_says_whether_it_takes_addresses():
    written = {layout.partition("@")[0].partition(" ")[0] for layout in LAYOUTS} | {"images", "clusters", "features"}
    assert {name for name, row in SCHEMES.items() if row.addresses} == written - ON_DISK
    assert set(SCHEMES) == written | ON_DISK


@pytest.mark.parametrize("place", ["memory", "web"])
def test_images_without_labels(place, web, placed):
    for name in ("b/2.png", "a/deep/1.JPG", "top.png", "a/.hidden/3.png", "notes/a.txt"):
        (web.root / "lake" / name).parent.mkdir(parents=True, exist_ok=True)
        (web.root / "lake" / name).write_bytes(PNG)
    (web.root / "list.txt").write_text("lake/top.png\nlake/b/2.png\n")
    for location in ("lake", "lake/top.png", "list.txt", "list.txt?root={}"):
        here = f"images:{web.root}/{location.format(web.root)}"
        there = open_dataset(placed(place, here))
        assert list(there.ids) == list(open_dataset(here).ids) and images(there) == images(open_dataset(here))
    assert "lake/notes holds no image" in refused(placed(place, f"images:{web.root}/lake/notes"))


@pytest.mark.parametrize("place", ["memory", "web"])
def test_a_list_and_its_images_in_two_places(place, web, placed, tmp_path):
    spec = LAYOUTS["list"].write(web.root / "d", CLASSES, PLAIN)
    (tmp_path / "list.txt").write_bytes((web.root / "d" / "list.txt").read_bytes())
    root = placed(place, str(web.root / "d"))
    expected = images(open_dataset(spec))
    assert images(open_dataset(f"list:{tmp_path}/list.txt?root={root}")) == expected
    assert images(open_dataset(f"list:{root}/list.txt?root={web.root}/d")) == expected


def test_everything_of_a_signed_dataset_is_read_with_its_signature_and_called_without(web):
    LAYOUTS["list"].write(web.root / "d", CLASSES, PLAIN)
    web.key = "sig=SECRET&t=1"
    file, names = (f"<{web.address}/d/{name}?{web.key}>" for name in ("list.txt", "names.txt"))
    dataset = open_dataset(f"list:{file}?names={names}")
    assert len(images(dataset)) == 4 and b"denied" not in b"".join(images(dataset))
    assert dataset.spec == f"list:{web.address}/d/list.txt?names={web.address}/d/names.txt"
    line = refused(dataset.spec)
    assert "access is denied (HTTP status 403)" in line and "not recorded: give them anew" in line
    line = refused(f"list:{file}?nmaes=x")
    assert "list has no option 'nmaes'; did you mean names" in line or "stands in <>" in line
    assert "SECRET" not in line
    line = refused(f"list:{web.address}/d/list.txt?{web.key}")  # as one pastes it
    assert "an address that holds a ? stands in <>, as in list:<ADDRESS>" in line and "SECRET" not in line


def test_exclusions_groups_and_clusters_at_addresses(memory, web, placed):
    entries = [Entry(i // 4, f"{i}.png", encoded(20 * i)) for i in range(8)]
    here = LAYOUTS["folder"].write(web.root / "d", ("ant", "bee"), entries)
    spec = placed("memory", here)
    store = fsspec.filesystem("memory")
    store.pipe_file(f"{memory}/x.csv", b"id\nant/0.png\n")
    store.pipe_file(f"{memory}/y.csv", b"id\nbee/4.png\n")
    left = open_dataset(f"{spec}?exclude={memory}/x.csv,<{memory}/y.csv>")
    assert list(left.ids) == [id_ for id_ in open_dataset(here).ids if id_ not in ("ant/0.png", "bee/4.png")]
    assert left.spec == f"{spec}?exclude={memory}/x.csv,{memory}/y.csv"
    store.pipe_file(f"{memory}/g.csv", b"id,group\nant/0.png,1\nant/1.png,1\n")
    held = open_dataset(f"{spec}?holdout=0.5&groups={memory}/g.csv&part=held-out")
    assert held.ids == open_dataset(f"{here}?holdout=0.5&part=held-out&groups={memory}/g.csv").ids
    rows = [("ant/0.png", "one"), ("bee/7.png", "two")]
    write_clusters(f"{memory}/c.csv", spec, open_dataset(spec).manifest_sha256, rows, {})
    assert open_dataset(f"clusters:{memory}/c.csv").classes == ("one", "two")


def test_copies_in_a_store_are_found_by_size_and_content_as_on_the_disk(web, placed, capsys):
    contents = {
        "1": b"one" * 3000,
        "2": b"two" * 3000,
        "3": b"one" * 3000,
        "4": b"one" * 2000,
        "5": b"x" + b"one" * 3000,
    }
    contents["6"] = b"two" + b"one" * 2999  # of the size of 1, and like it in the middle
    for name, content in contents.items():
        (web.root / "a").mkdir(exist_ok=True)
        (web.root / "a" / f"{name}.jpg").write_bytes(content)
    here = f"images:{web.root}/a"
    numbers = equal_images(open_dataset(placed("memory", here)).source)
    beside = equal_images(open_dataset(here).source)
    assert [[a == b for b in numbers] for a in numbers] == [[a == b for b in beside] for a in beside]
    assert numbers[0] == numbers[2] and len(set(numbers.tolist())) == 5
    assert len(set(equal_images(open_dataset(placed("web", here)).source).tolist())) == 6
    assert f"{web.address}/a: a web server does not list sizes: its images are not compared" in capsys.readouterr().err


def test_shards_are_named_by_braces_and_read_by_parts(web, memory, placed):
    for shard in "01":
        LAYOUTS["wds"].write(web.root / shard, ("ant", "bee"), PLAIN[:3])
        (web.root / shard / "s.tar").rename(web.root / f"s-{shard}.tar")
    here = f"wds:{web.root}/s-{{0..1}}.tar"
    for place in ("memory", "web"):
        there = open_dataset(placed(place, here))
        assert list(there.ids) == list(open_dataset(here).ids) and images(there) == images(open_dataset(here))
    web.parts = False
    assert "its server may not read parts of files: copy the file to the disk" in refused(placed("web", here))
    web.parts = True
    (web.root / "s-1.tar").write_bytes((web.root / "s-1.tar").read_bytes()[:700])
    assert "s-1.tar is not an uncompressed, whole tar file" in refused(placed("web", here))
    assert f"no such file: {web.address}/s-2.tar" in refused(placed("web", here).replace("..1", "..2"))


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("torch:CIFAR10:s3://b/data@train", "torch reads from the disk only; copy s3://b/data there"),
        ("hf:s3://b/data@train", "hf reads from the disk only; copy s3://b/data there"),
        ("s3://bucket/birds", "unknown scheme 's3'"),
    ],
)
def test_where_an_address_cannot_stand(spec, told):
    assert told in refused(spec)


def test_what_is_not_there(web, memory):
    for place in (web.address, memory):
        for spec in (f"list:{place}/a.txt", f"csv:{place}/a.csv", f"inat:{place}/a.json", f"images:{place}/a.txt"):
            assert f"no such file: {place}/a" in refused(spec)
        assert re.search("holds no folders|no such directory", refused(f"folder:{place}/birds"))
    (web.root / "birds" / "train" / "ant").mkdir(parents=True)
    (web.root / "birds" / "train" / "ant" / "a.png").write_bytes(PNG)
    assert f"type folder:{web.address}/birds@train" in refused(f"folder:{web.address}/birds")
    assert "unknown split 'test'" in refused(f"folder:{web.address}/birds@test")


def test_an_extraction_stops_where_the_server_does_and_goes_on_from_there(web, tmp_path):
    spec = LAYOUTS["folder"].write(web.root / "d", ("ant", "bee"), [Entry(i % 2, f"{i}.png") for i in range(8)])
    there = spec.replace(str(web.root), web.address)
    options = {"backbone": "resnet8", "weights": "none", "workers": 0, "precision": "fp32", "device": "cpu"}
    options |= {"batch_size": 2, "checkpoint_seconds": 0}
    web.fails["/d/bee/5.png"] = [503] * 3
    with pytest.raises(InputError, match=r"5\.png: does not answer"):
        extract(ExtractConfig(dataset=there, out=str(tmp_path / "there.h5"), **options))
    done = extract(ExtractConfig(dataset=there, out=str(tmp_path / "there.h5"), **options))
    assert 0 < done.read < 8 and done.skipped == 0
    beside = extract(ExtractConfig(dataset=spec, out=str(tmp_path / "here.h5"), **options))
    assert (done.bank.means == beside.bank.means).all() and (done.bank.counts == beside.bank.counts).all()
