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


def test_rows_are_read_in_parts(tmp_path):
    kept = KeptFeatures(tmp_path / "rows", FEATURES.shape[1], scratch=True)
    kept.append(FEATURES)
    rows, places = kept.array(), np.array([4, 0, 1, 4, 2])
    assert len(rows) == len(FEATURES) and rows.shape == FEATURES.shape
    np.testing.assert_array_equal(rows[1:3], FEATURES[1:3])
    np.testing.assert_array_equal(rows[3:100], FEATURES[3:])
    np.testing.assert_array_equal(rows.take(places), FEATURES[places])
    part = rows.part(places)
    np.testing.assert_array_equal(part[1:4], FEATURES[places[1:4]])
    np.testing.assert_array_equal(part.take(np.array([2, 0])), FEATURES[places[[2, 0]]])
    with pytest.raises(ValueError, match="step 2"):
        rows[::2]
    kept.close()
