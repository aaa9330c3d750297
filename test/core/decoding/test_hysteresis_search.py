"""Decoders that are tried at once say what each says alone."""

from __future__ import annotations

import itertools

import numpy as np

from hal_ros.core.card import DecoderSpec
from hal_ros.core.decoding.decode import Decoder, decode
from hal_ros.core.decoding.hysteresis_search import decode_each

SPECS = [
    DecoderSpec("hysteresis", *numbers) for numbers in itertools.product((0.0, 0.5, 0.7), (1, 2, 3), (0.5, 0.0, 0.3))
]


def clip(ticks: int) -> np.ndarray:
    logits = 2 * np.random.default_rng(ticks).normal(size=(ticks, 4))
    return (logits - np.logaddexp.reduce(logits, 1, keepdims=True)).astype(np.float32)


def test_each_decoder_says_of_each_clip_what_it_says_alone() -> None:
    clips = [clip(ticks) for ticks in (60, 1, 0, 87)]
    said = decode_each(SPECS, clips)
    for spec, actions in zip(SPECS, said, strict=True):
        for found, rows in zip(actions, clips, strict=True):
            np.testing.assert_array_equal(found, decode(Decoder(spec), rows))
    assert len({tuple(actions[-1]) for actions in said}) > len(SPECS) / 2  # they do differ


def test_what_is_no_number_is_decoded_alike() -> None:
    rows = clip(40)
    rows[10, 1] = rows[25] = np.nan
    for spec, (found,) in zip(SPECS, decode_each(SPECS, [rows]), strict=True):
        np.testing.assert_array_equal(found, decode(Decoder(spec), rows))
