"""Real data, where there is some."""

import tarfile

import pytest
from support import DATA


@pytest.fixture(scope="session")
def unpack(tmp_path_factory):
    """A function that unpacks (part of) an archive of real data, or skips the test where there is none."""

    def unpacked(archive, wanted=lambda name: True):
        path = DATA / archive
        if not path.is_file():
            pytest.skip(f"{path} is not there")
        to = tmp_path_factory.mktemp(path.stem)
        with tarfile.open(path) as tar:
            tar.extraction_filter = getattr(tarfile, "data_filter", None)  # older Pythons have none
            tar.extractall(to, [member for member in tar if wanted(member.name)])
        return to

    return unpacked
