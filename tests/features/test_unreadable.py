"""How many unreadable images are allowed."""

import pytest

from features.infrastructure.errors import InputError
from features.unreadable import check_unreadable

IMAGES = [("a.jpg", "truncated"), ("b.jpg", "empty")]


def test_the_limit_itself_is_allowed():
    check_unreadable("x:", IMAGES, 8, 0.25)
    check_unreadable("x:", [], 8, 0.0, "fail")
    with pytest.raises(
        InputError, match=r"^x:: at least 2 of 8 images .* `max_unreadable` 0\.24; the first is a\.jpg \(tr"
    ):
        check_unreadable("x:", IMAGES, 8, 0.24)
    with pytest.raises(InputError, match="at least 1 of 8"):
        check_unreadable("x:", IMAGES[:1], 8)  # more than a twentieth


def test_none_is_allowed_if_one_is_to_stop():
    with pytest.raises(InputError, match=r"^x:: cannot read a\.jpg \(truncated\)$"):
        check_unreadable("x:", IMAGES, 8, 1.0, "fail")
