"""Two processes of one job judge unreadable images as one process does: against the whole dataset."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
from features import ExtractConfig, InputError, extract
from features.infrastructure.processes import rank

options = json.loads(sys.argv[1])
try:
    print(json.dumps(extract(ExtractConfig(**options)).to_json()) if rank() == 0 else extract(ExtractConfig(**options)))
except InputError as error:
    print(error)
    sys.exit(2)
"""


def two_processes(tmp_path, settings):
    (tmp_path / "job.py").write_text(SCRIPT)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, str(tmp_path / "job.py"), json.dumps(vars(settings))]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("damaged", "fails"),
    [(("azure/0.png",), False), (("azure/0.png", "coal/0.png"), True)],  # 1 and 2 of 24, where a share has 12
)
def test_the_limit_is_a_share_of_the_dataset(config, folder, tmp_path, damaged, fails):
    for name in damaged:
        (folder / name).write_bytes(b"damaged")
    out = tmp_path / "bank.h5"
    status, said = two_processes(tmp_path, config(folder, out))
    assert out.exists() == (not fails) and (status != 0) == fails, said
    if fails:
        assert "at least 2 of 24 images cannot be read, more than `max_unreadable` 0.05" in said
        status, said = two_processes(tmp_path, config(folder, out, max_unreadable=0.1))  # the shards are reused
        assert status == 0 and '"skipped": 2' in said, said
    assert not list(tmp_path.glob("bank.h5.*"))
