"""Features in a plain file: its checksum, its rows, and what is left of it."""

import os
import subprocess
import sys
import zlib

import numpy as np
import pytest

from features.kept_features import KeptFeatures

FEATURES = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)


def test_the_checksum_is_that_of_the_rows(tmp_path):
    kept = KeptFeatures(tmp_path / "f", 3)
    for part in (FEATURES[:2], FEATURES[2:2], FEATURES[2:]):
        kept.append(part)
    kept.flush()
    np.testing.assert_array_equal(kept.array(), FEATURES)
    assert kept.crc32 == zlib.crc32(FEATURES.tobytes()) == KeptFeatures.checksum(tmp_path / "f", 3, 7)
    kept.close()
    again = KeptFeatures(tmp_path / "f", 3, 4)  # rows after the fourth do not count
    again.append(FEATURES[4:])
    assert again.crc32 == kept.crc32
    np.testing.assert_array_equal(again.array(), FEATURES)
    again.close()


def test_scratch_leaves_nothing_behind_even_if_it_is_killed(tmp_path):
    kept = KeptFeatures(tmp_path / "f", 3, scratch=True)
    assert not list(tmp_path.iterdir())
    kept.append(FEATURES)
    np.testing.assert_array_equal(kept.array(), FEATURES)
    kept.close()


def test_no_room_names_the_file(tmp_path):
    code = (
        "import resource, sys; from pathlib import Path; import numpy as np;"
        "from features.kept_features import KeptFeatures; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000));"
        f"kept = KeptFeatures(Path({str(tmp_path / 'f')!r}), 1000);"
        "[kept.append(np.ones((1, 1000), 'f4')) for _ in range(3)]"
    )
    path = os.pathsep.join(sys.path)
    env = os.environ | {"PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert done.stderr.splitlines()[-1] == f"OSError: [Errno 27] File too large: '{tmp_path / 'f'}'"


@pytest.mark.parametrize("place", [0, 40, 83])
def test_every_byte_counts(tmp_path, place):
    content = bytearray(FEATURES.tobytes())
    content[place] ^= 1
    (tmp_path / "f").write_bytes(content)
    assert KeptFeatures.checksum(tmp_path / "f", 3, 7) != zlib.crc32(FEATURES.tobytes())
    assert KeptFeatures.checksum(tmp_path / "f", 3, place // 12) == zlib.crc32(FEATURES[: place // 12].tobytes())


def test_a_scratch_file_replaces_no_file_and_leaves_none(tmp_path):
    (tmp_path / "f").write_text("of someone else")
    kept = KeptFeatures(tmp_path / "f", 3, scratch=True)
    kept.append(FEATURES)
    np.testing.assert_array_equal(kept.array(), FEATURES)
    kept.close()
    assert [path.name for path in tmp_path.iterdir()] == ["f"] and (tmp_path / "f").read_text() == "of someone else"
