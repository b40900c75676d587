"""The subset file: round trip, hand edits, and what is refused."""

import csv
import json

import pytest

from features.infrastructure.errors import InputError
from similarity import Subset, SubsetRow

ROWS = (
    SubsetRow("inat:train.json", 'Gull, "herring"', 31, 1, 0.1 + 0.2, ("cub:CUB@train", "folder:birds")),
    SubsetRow("folder:imagenet@train", "Möwe", 7, 1, -1.5, ("cub:CUB@train",)),
    SubsetRow("inat:train.json", "#hash; tag", 1, 2, 12.0, ("folder:birds",), 0.25),
)
#: Of files without weights, as they were written before.
HEADER = "source,class,count,rank,distance,targets"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "subset.csv"


def read(path, text):
    path.write_text(text, encoding="utf-8")
    return Subset.read(path)


def test_round_trip(path):
    subset = Subset(ROWS, {"strategy": "nearest", "sources": [{"dataset": "Vögel\u2028x", "bank": None}], "seed": 0})
    subset.write(path)
    assert Subset.read(path) == subset
    assert [file.name for file in path.parent.iterdir()] == ["subset.csv"]


def test_the_file_is_the_contract(path):
    Subset(ROWS, {"strategy": "nearest"}).write(path)
    comment, *table = path.read_text(encoding="utf-8").splitlines()
    assert comment.startswith("#")
    assert list(json.loads(comment[1:]))[1:] == ["strategy", "versions"]  # after the digest
    first = next(csv.DictReader(table))
    assert list(first) == ["source", "class", "count", "rank", "distance", "weight", "targets"]
    assert [row["weight"] for row in csv.DictReader(table)] == ["", "", "0.25"]
    assert first["class"] == 'Gull, "herring"'
    assert first["targets"] == "cub:CUB@train;folder:birds"


def test_json_and_lookups():
    subset = Subset(ROWS)
    assert subset.to_json()["selected"][1] == {
        "source": "folder:imagenet@train",
        "class": "Möwe",
        "count": 7,
        "rank": 1,
        "distance": -1.5,
        "weight": None,
        "targets": ["cub:CUB@train"],
    }
    assert subset.to_json()["selected"][2]["weight"] == 0.25
    assert subset.sources == ("inat:train.json", "folder:imagenet@train")
    assert subset.classes_of("inat:train.json") == ('Gull, "herring"', "#hash; tag")
    assert subset.classes_of("folder:unknown") == ()
    assert len(subset) == 3


def test_hand_edits_are_understood(path):
    text = (
        "\ufeff\n# my own note\n\n"
        "rank, class , source,targets,distance,count,note\n"
        "  2 , tern , s:a , t:x ; t:y , 3.5 , 4 , keep\n"
        "\n"
        "# a comment, below\n"
        ",,,,,,\n"
        '1, "gull, grey" ,s:a,,1e0,9,\n'
    )
    subset = read(path, text)
    assert subset.rows == (
        SubsetRow("s:a", "gull, grey", 9, 1, 1.0, ()),
        SubsetRow("s:a", "tern", 4, 2, 3.5, ("t:x", "t:y")),
    )
    assert subset.provenance == {}


def test_windows_line_ends(path):
    path.write_bytes(f'# {{"seed": 1}}\r\n{HEADER}\r\ns:a,gull,1,1,2.0,t:x\r\n'.encode())
    assert Subset.read(path) == Subset((SubsetRow("s:a", "gull", 1, 1, 2.0, ("t:x",)),), {"seed": 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"# {{}}\n{HEADER}\n\ns:a,gull,1,first,2.0,t:x\n", "line 4: rank must be a whole number.*'first'"),
        (f"{HEADER}\ns:a,gull,0,1,2.0,t:x\n", "line 2: count must be a whole number of at least 1, got '0'"),
        (f"{HEADER}\ns:a,gull,1,1,nan,t:x\n", "line 2: distance must be a number, got 'nan'"),
        (f"{HEADER}\ns:a,,1,1,2.0,t:x\n", "line 2: class is empty"),
        (f"{HEADER},weight\ns:a,gull,1,1,2.0,t:x,1.5\n", "line 2: weight must be a number from 0 to 1.*'1.5'"),
        (f"{HEADER},weight\ns:a,gull,1,1,2.0,t:x,much\n", "line 2: weight must be a number from 0 to 1.*'much'"),
        (f"{HEADER}\ns:a,gull, grey,1,1,2.0,t:x\n", "line 2: 7 values for 6 columns.*quotes"),
        (f"{HEADER}\ns:a,gull,1,1,2.0\n", "line 2: 5 values for 6 columns"),
        (f"{HEADER}\ns:a,gull,1,1,2.0,t:x\n\ns:a,gull,1,2,3.0,t:x\n", "line 4: class 'gull' of s:a is on line 2"),
        ("# {}\nsource,class,count,rank,targets\ns:a,gull,1,1,t:x\n", "line 2: column 'distance'"),
        ("# {}\ns:a,gull,1,1,2.0,t:x\n", "line 2: column 'source'"),
        (
            f'{HEADER}\ns:a,"gull,1,1,2.0,t:x\ns:a,tern,1,2,3.0,t:x\n',
            "line 2: 2 values for 6 columns; close every quote",
        ),
        (f"{HEADER}\n#s:a,gull,1,one,2.0,t:x\n", "line 2: rank must be"),
        (f"# {{}}\n{HEADER}\n", "has no class"),
        ("", "it is empty; expected source,class,count"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(path, text, message):
    with pytest.raises(InputError, match=message):
        read(path, text)


def test_no_such_file(path):
    with pytest.raises(InputError, match=r"no such subset file.*transfer select"):
        Subset.read(path)


def test_not_text(path):
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a readable subset file"):
        Subset.read(path)


def test_a_name_that_is_not_utf_8_is_read_as_the_readers_do(tmp_path):
    name = b"m\xf6we".decode("utf-8", "surrogateescape")
    Subset((SubsetRow("folder:x", name, 3, 1, 0.5, ("t",)),)).write(tmp_path / "s.csv")
    assert b",m\xf6we," in (tmp_path / "s.csv").read_bytes()
    assert Subset.read(tmp_path / "s.csv").rows[0].class_name == "m\\xf6we"


@pytest.mark.parametrize("name", [" gull", "gull ", "gu\rll", "gu\nll"])
def test_a_name_that_an_edited_file_cannot_keep_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="cannot stand in a subset file"):
        Subset((SubsetRow("folder:x", name, 3, 1, 0.5, ("t",)),)).write(tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()


def test_a_file_that_a_spreadsheet_saved(tmp_path):
    path = tmp_path / "s.csv"
    Subset((SubsetRow("folder:x", "gull", 3, 1, 0.5, ("t",)),), {"strategy": "nearest"}).write(path)
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join(['"' + first.replace('"', '""') + '",,,,,', *rest]))
    found = Subset.read(path)
    assert found.provenance == {"strategy": "nearest"} and found.rows[0].class_name == "gull"


def test_a_number_with_an_underscore_is_no_number(tmp_path):
    (tmp_path / "s.csv").write_text("source,class,count,rank,distance,targets\nfolder:x,a,1_000,1,0.5,t\n")
    with pytest.raises(InputError, match="count must be a whole number"):
        Subset.read(tmp_path / "s.csv")
