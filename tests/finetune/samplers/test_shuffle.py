"""Shuffling: every image once an epoch."""

from __future__ import annotations

import numpy as np

from finetune.samplers import build_sampler


def test_shuffle_takes_every_image_once(labels, drawn):
    positions = drawn(build_sampler("shuffle", labels))
    np.testing.assert_array_equal(np.sort(positions), np.arange(len(labels)))
    assert (positions != np.arange(len(labels))).mean() > 0.9
