"""Shuffling: every image once an epoch."""

from __future__ import annotations

import numpy as np

from finetune.samplers import build_sampler


def test_shuffle_takes_every_image_once_and_more_than_an_epoch_in_turns(labels, drawn):
    positions = drawn(build_sampler("shuffle", labels))
    np.testing.assert_array_equal(np.sort(positions), np.arange(len(labels)))
    assert (positions != np.arange(len(labels))).mean() > 0.9
    longer = drawn(build_sampler("shuffle", labels, length=1000))
    assert set(np.bincount(longer)) == {2, 3}  # 1000 of 419 images
    assert len(set(drawn(build_sampler("shuffle", labels, length=100)))) == 100
