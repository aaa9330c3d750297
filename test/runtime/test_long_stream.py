"""The long stream is the same each time and varied; what differs over it, and what grows, is told apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hal_ros.core.arrays import FloatArray
from hal_ros.core.step import StepOutput
from hal_ros.runtime.golden import LIMITS, GoldenTick
from hal_ros.runtime.long_stream import (
    FEWEST_SAMPLES,
    HIDDEN,
    RUN_TICKS,
    SAMPLES,
    MemoryWatch,
    Walked,
    compare_rows,
    finite,
    row_of,
    step_input,
    walk,
)

GOLDEN, COUNT, ACTIONS = 7, 4000, 4


def test_a_walk_is_repeated_and_reaches_everything() -> None:
    ticks = list(walk(GOLDEN, COUNT))
    assert len(ticks) == COUNT and ticks == list(walk(GOLDEN, COUNT))
    assert ticks != list(walk(GOLDEN, COUNT, seed=1))
    assert {tick.golden for tick in ticks} == set(range(GOLDEN))
    for hidden in zip(*ticks, strict=True):
        if isinstance(hidden[0], bool):
            assert HIDDEN / 2 < np.mean(hidden) < 2 * HIDDEN


def test_a_walk_goes_on_where_it_does_not_jump() -> None:
    indices = np.array([tick.golden for tick in walk(GOLDEN, COUNT)])
    jumps = np.flatnonzero((indices[1:] - indices[:-1]) % GOLDEN != 1)
    assert 0 < len(jumps) <= COUNT / RUN_TICKS[0]


@pytest.mark.parametrize(("image", "joints"), [(False, False), (True, False), (False, True)])
def test_only_what_is_hidden_is_invalid(image: bool, joints: bool) -> None:
    ones = np.ones(3, np.float32)
    golden = GoldenTick(np.zeros((2, 1, 1, 3), np.uint8), ones[:2], ones, ones, StepOutput(ones, ones, 0.0))
    inputs = step_input(golden, 2 * ones, Walked(0, image, joints))
    assert set(inputs.image_valid) == {float(not image)} and set(inputs.joints_valid) == {float(not joints)}
    assert inputs.joints_valid.dtype == np.float32 and inputs.feature[0] == 2.0 and inputs.joints is ones


def rows(count: int = 1000) -> FloatArray:
    """Sure answers: both heads name one action, and the boundary is a half."""
    logits = np.random.default_rng(0).normal(size=(count, 2, ACTIONS)).astype(np.float32)
    logits[np.arange(count), :, np.arange(count) % ACTIONS] += 10
    log_probs = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    return np.array([row_of(StepOutput(now, lagged, 0.5)) for now, lagged in log_probs])


def test_equal_answers_have_no_fault() -> None:
    right = rows()
    right[3, 1] = -np.inf  # a probability of zero, in both
    figures, faults = compare_rows(right.copy(), right, LIMITS["fp32"])
    assert faults == [] and figures["label_agreement"] == 1.0 and figures["log_prob_error"] == 0.0
    assert figures["compared_ticks"] == len(right)


def not_a_number(found: FloatArray) -> None:
    found[-1, 0] = np.nan  # beyond what is compared


def far_off(found: FloatArray) -> None:
    found[10, 1] += 0.01


def other_boundary(found: FloatArray) -> None:
    found[10, -1] += 0.1


def other_action(found: FloatArray) -> None:
    found[10, :ACTIONS] = np.roll(found[10, :ACTIONS], 1)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (not_a_number, ["1 ticks have outputs that are no numbers"]),
        (far_off, ["log-probabilities differ by 0.01"]),
        (other_boundary, ["the boundary differs by 0.1"]),
        (other_action, ["log-probabilities differ by", "another action is named where ONNX is sure by"]),
    ],
)
def test_each_fault_is_named(spoil: Callable[[FloatArray], None], says: list[str]) -> None:
    right = rows()
    found = right.copy()
    spoil(found)
    _, faults = compare_rows(found, right[:900], LIMITS["fp32"])
    assert len(faults) == len(says) and all(map(str.startswith, faults, says))


def test_ties_agree_and_close_calls_count() -> None:
    right, limits = rows(100), LIMITS["fp16"]
    right[:, :2] = -0.7
    found = right.copy()
    found[:, 1] += 1e-4
    right[:, 0] += 1e-4  # the two best are equal but for this
    assert compare_rows(found, right, limits)[1] == []
    right[:2, 0] += 0.04  # closer than the margin, and no tie
    found[:2, 1] += 0.04
    figures, faults = compare_rows(found, right, limits)
    assert figures["label_agreement"] == 0.98 and faults == ["98.00% of the ticks name the same actions"]


def watched(used: Callable[[int], object], free_bytes: Callable[[], int] = lambda: 0) -> MemoryWatch:
    """A watch over ten ticks for each sample, between which `used` is called."""
    watch = MemoryWatch(free_bytes, 10 * SAMPLES)
    for tick in range(10 * SAMPLES):
        watch.look(tick)
        used(tick)
    return watch


def test_memory_that_stays_is_seen() -> None:
    kept: list[bytearray] = []
    figures, faults = watched(lambda _: kept.append(bytearray(b"x" * (64 << 10)))).verdict(shared=False)
    assert figures["host_growth_mib"] > 4 and len(faults) == 1 and faults[0].startswith("the process grew by")
    figures, faults = watched(lambda _: bytearray(b"x" * (64 << 10))).verdict(shared=False)
    assert faults == [] and abs(figures["host_growth_mib"]) < 4


@pytest.mark.parametrize(("shared", "faults"), [(False, 1), (True, 0)])
def test_memory_of_the_device_is_judged_where_it_is_the_devices(shared: bool, faults: int) -> None:
    free = [1 << 30]

    def take(_: int) -> None:
        free[0] -= 64 << 10

    figures, found = watched(take, lambda: free[0]).verdict(shared)
    assert figures["device_growth_mib"] == pytest.approx(12.5, abs=0.7) and len(found) == faults


def test_too_few_samples_say_nothing() -> None:
    watch = MemoryWatch(lambda: 0, 3)
    watch.look(0)
    assert watch.verdict(shared=False) == ({"host_growth_mib": None, "device_growth_mib": None}, [])


@pytest.mark.parametrize(("looks", "faults"), [(FEWEST_SAMPLES - 1, 0), (FEWEST_SAMPLES, 1)])
def test_a_stream_that_ended_early_is_judged_by_enough_samples_alone(looks: int, faults: int) -> None:
    used = iter(range(SAMPLES))
    watch = MemoryWatch(lambda: -next(used) << 24, SAMPLES)  # more and more of the device's memory goes
    for tick in range(looks):
        watch.look(tick)
    assert len(watch.verdict(shared=False)[1]) == faults


def test_figures_have_four_digits_and_no_infinity() -> None:
    assert finite(1 / 3) == 0.3333 and finite(float("inf")) is None and finite(float("nan")) is None
