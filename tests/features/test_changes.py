"""Changes of images by the dates of their files."""

import time
from datetime import datetime, timezone

import pytest

from features.changes import changed_since, last_change


def test_the_last_change_is_the_latest_that_is_not_in_the_future():
    now = time.time()
    assert last_change([now - 9, now - 5, now + 10**6]) == now - 5
    assert last_change([now + 10**6]) == last_change([]) == 0


@pytest.mark.parametrize(("seconds", "changed"), [(-1, False), (1, True)])
def test_a_change_after_a_moment(seconds, changed):
    began = datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert changed_since(began.timestamp() + seconds, began.isoformat()) == changed


@pytest.mark.parametrize("began", [None, "", "yesterday"])
def test_a_moment_that_is_not_known(began):
    assert changed_since(1.0, began) and not changed_since(0.0, began)
