"""Listings of stores against a plain loop over the files, and how many requests they take."""

import random

import fsspec
import pytest

from features.infrastructure.storage.addresses import located
from features.infrastructure.storage.listings import FileState, Listing, shared_folder


def random_paths(seed: int) -> list[str]:
    """Paths of a tree whose names sort in odd ways around the slash."""
    chance = random.Random(seed)
    names = ["a", "a-b", "a.b", "a0", "b", "b c", "ä", "A", "a!"]
    return sorted(
        {"/".join(chance.choices(names, k=chance.randint(1, 4))) + chance.choice(".x") + "f" for _ in range(80)}
    )


@pytest.mark.parametrize("seed", range(6))
def test_folders_and_what_is_below_them_as_a_plain_loop_finds_them(seed):
    paths = random_paths(seed)
    listing = Listing(located("memory://x"), paths, {})
    folders = {path.rpartition("/")[0] for path in paths} | {"", "none", "a/a"}
    for folder in folders:
        start = f"{folder}/" if folder else ""
        inside = [path for path in paths if path.startswith(start)]
        assert list(listing.below(folder)) == inside
        entries = {(rest.partition("/")[0], "/" in rest) for rest in (path[len(start) :] for path in inside)}
        assert sorted(listing.entries(folder)) == sorted(entries)


def test_a_store_is_listed_at_once(memory, monkeypatch):
    store = fsspec.filesystem("memory")
    for name in ("a/1.jpg", "a/b/2.jpg", "3.jpg", "ä b/#4.jpg"):
        store.pipe_file(f"{memory}/{name}", b"x" * len(name))
    asked = []
    real = type(store).find
    monkeypatch.setattr(type(store), "find", lambda self, path, **how: asked.append(path) or real(self, path, **how))
    listing = Listing.of(located(memory))
    assert listing.paths == ["3.jpg", "a/1.jpg", "a/b/2.jpg", "ä b/#4.jpg"] and len(asked) == 1
    assert [listing.states[path].size for path in listing.paths] == [len(path) for path in listing.paths]
    assert all(state.modified > 0 for state in listing.states.values())
    assert list(Listing.of(located(f"{memory}/none")).paths) == []


def test_a_web_server_is_asked_once_a_folder_whatever_it_links_to(web):
    for name in ("a/1.jpg", "a/b/2 #.jpg", "3.jpg", "a/ä%.jpg"):
        (web.root / "birds" / name).parent.mkdir(parents=True, exist_ok=True)
        (web.root / "birds" / name).write_bytes(b"x")
    (web.root / "other.jpg").write_bytes(b"x")
    for folder in ("birds", "birds/"):
        web.asked.clear()
        found = Listing.of(located(f"{web.address}/{folder}"))
        assert found.paths == ["3.jpg", "a/1.jpg", "a/b/2 #.jpg", "a/ä%.jpg"]
        assert len(web.asked) == 3 and found.states["3.jpg"] == FileState()
    links = [
        "../",
        "/",
        "?C=N;O=D",
        "one.jpg",
        "./two.jpg",
        "/birds/page/three.jpg",
        "/other.jpg",
        "http://h/x.jpg",
        "sub/",
    ]
    (web.root / "birds" / "page").mkdir()
    page = "".join(f'<a href="{link}">{link}</a>' for link in links)
    (web.root / "birds" / "page" / "index.html").write_text(page)
    (web.root / "birds" / "page" / "sub").mkdir()
    (web.root / "birds" / "page" / "sub" / "index.html").write_text('<a href="../">up</a><a href="four.jpg">4</a>')
    assert Listing.of(located(f"{web.address}/birds/page")).paths == ["one.jpg", "sub/four.jpg", "three.jpg", "two.jpg"]


def test_a_page_that_fails_is_not_an_empty_folder(web):
    (web.root / "birds" / "a").mkdir(parents=True)
    (web.root / "birds" / "a" / "1.jpg").write_bytes(b"x")
    web.fails["/birds/a/"] = [503]
    assert Listing.of(located(f"{web.address}/birds")).paths == ["a/1.jpg"]
    web.fails["/birds/a/"] = [503] * 3
    with pytest.raises(ValueError, match="does not answer"):
        Listing.of(located(f"{web.address}/birds"))


@pytest.mark.parametrize(
    ("info", "state"),
    [
        ({"Size": 3, "ETag": '"ab"', "LastModified": "2026-01-01T00:00:00Z"}, FileState(3, '"ab"', 1767225600.0)),
        ({"size": 3, "etag": "ab", "updated": "2026-01-01T00:00:00.000Z"}, FileState(3, "ab", 1767225600.0)),
        ({"size": 3, "blob_id": "ab", "last_commit": None}, FileState(3, "ab", 0.0)),
        ({"size": None}, FileState()),
        ({"size": 0, "mtime": 1767225600.5}, FileState(0, "", 1767225600.5)),
        ({"size": 1, "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}, FileState(1, "", 1767225600.0)),
        ({"size": 1, "mtime": "lately"}, FileState(1, "", 0.0)),
    ],
)
def test_what_stores_say_of_a_file(info, state):
    assert FileState.of(info) == state


def test_the_folder_that_paths_share():
    assert shared_folder(["a/b/1", "a/bc/2"]) == "a/" and shared_folder(["a/b/1"]) == "a/b/"
    assert shared_folder(["a", "b"]) == shared_folder([]) == shared_folder(["/a", "b/a"]) == ""
