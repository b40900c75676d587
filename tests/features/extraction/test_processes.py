"""Two processes of one job judge unreadable images as one process does: against the whole dataset."""

import pytest


@pytest.mark.parametrize(
    ("damaged", "fails"),
    [(("azure/0.png",), False), (("azure/0.png", "coal/0.png"), True)],  # 1 and 2 of 24, where a share has 12
)
def test_the_limit_is_a_share_of_the_dataset(config, folder, two_processes, tmp_path, damaged, fails):
    for name in damaged:
        (folder / name).write_bytes(b"damaged")
    out = tmp_path / "bank.h5"
    status, said = two_processes(config(folder, out))
    assert out.exists() == (not fails) and (status != 0) == fails, said
    if fails:
        assert "at least 2 of 24 images cannot be read, more than `max_unreadable` 0.05" in said
        status, said = two_processes(config(folder, out, max_unreadable=0.1))  # the shards are reused
        assert status == 0 and '"skipped": 2' in said, said
    assert not list(tmp_path.glob("bank.h5.*"))
