"""An episode's predictions from a bundle's own step, run tick by tick as the node would run it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.arrays import ByteArray, FloatArray
from hal_ros.core.observations import Observation
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.segments import Labels
from hal_ros.core.step import Backend, StepInput, StepOutput
from hal_ros.datasets.episodes import Episode
from hal_ros.metrics.predictions import CONFIRMED, PROVISIONAL, OutputStream, Prediction


def run_segmenter(segmenter: Segmenter, episode: Episode, system: str = "") -> Prediction:
    """Step a bundle through an episode as the node would, tick by tick.

    Held ticks are stepped like others, but their answers come out with the next image. The last lag_ticks ticks before
    a reset or the end get no confirmed answer of their own: the one in force stands for them.
    """
    ticks, actions = len(episode.stamp_ns), len(segmenter.card.vocabulary)
    labels = np.full((2, ticks), NO_ACTION)  # provisional, confirmed
    log_probs = np.full((2, ticks, actions), np.nan, np.float32)
    arrival_ns = _arrivals(episode)
    confirmed_ns = arrival_ns.copy()
    rows = {int(stamp): row for row, stamp in enumerate(episode.stamp_ns)}
    state = segmenter.start()
    for row, observation in enumerate(observations(episode)):
        estimate, _, state = segmenter.step(observation, state)
        labels[0, row], log_probs[0, row] = estimate.provisional.action, estimate.provisional.log_probs
        if estimate.confirmed is not None:
            spoken_of = rows[estimate.confirmed.stamp_ns]
            labels[1, spoken_of], log_probs[1, spoken_of] = estimate.confirmed.action, estimate.confirmed.log_probs
            confirmed_ns[spoken_of] = arrival_ns[row]
    _hold_to_the_end(labels[1], confirmed_ns, episode)
    streams = {
        PROVISIONAL: OutputStream(labels[0], arrival_ns, log_probs[0]),
        CONFIRMED: OutputStream(labels[1], confirmed_ns, log_probs[1]),
    }
    return Prediction(system or segmenter.card.name, segmenter.card.supervision, streams)


def observations(episode: Episode) -> Iterator[Observation]:
    """Yield an episode's ticks as the node would hand them to the segmenter; held ones repeat the last inputs."""
    origin_ns, tick = 0, -1
    cameras = list(episode.images)
    before: dict[str, ByteArray] = {}
    for row, stamp_ns in enumerate(int(stamp) for stamp in episode.stamp_ns):
        if episode.fresh[row]:
            origin_ns, tick = stamp_ns, -1
        tick += 1
        pictures: dict[str, ByteArray | None] = {}
        for index, camera in enumerate(cameras):
            picture = np.asarray(episode.images[camera][row]) if episode.image_valid[row, index] else None
            known = before.get(camera)
            if picture is not None and known is not None and np.array_equal(picture, known):
                picture = known  # one that serves two ticks is encoded once
            pictures[camera] = picture
            before |= {} if picture is None else {camera: picture}
        yield Observation(stamp_ns, tick, origin_ns, pictures, episode.joints[row], episode.joints_valid[row])


def _arrivals(episode: Episode) -> NDArray[np.int64]:
    """Return when each row's input was there, (T,): its own stamp, or that of the next real tick for a held one."""
    stamps = np.asarray(episode.stamp_ns, np.int64)
    real = np.where(episode.held, np.iinfo(np.int64).max, stamps)
    arrivals: NDArray[np.int64] = np.minimum.accumulate(real[::-1])[::-1]
    return arrivals


def _hold_to_the_end(labels: Labels, emitted_ns: NDArray[np.int64], episode: Episode) -> None:
    """Fill the unconfirmed end of each grid with the confirmed action in force there."""
    ends = [*np.flatnonzero(episode.fresh[1:]) + 1, len(labels)]
    for end in (int(end) for end in ends):
        row = end
        while row > 0 and labels[row - 1] == NO_ACTION and not episode.fresh[row - 1]:
            row -= 1
        if row > 0 and labels[row - 1] != NO_ACTION:
            labels[row:end] = labels[row - 1]
            emitted_ns[row:end] = emitted_ns[row - 1]


class CachedEncoder:
    """A backend whose pictures were encoded before: features are found by the picture's own bytes."""

    def __init__(self, backend: Backend, features: Mapping[bytes, FloatArray]) -> None:
        """Take the real backend, for steps and for pictures not yet seen, and features (D,) by `image_digest`."""
        self.name = backend.name
        self._backend = backend
        self._features = features

    def encode(self, image: ByteArray) -> FloatArray:
        """Return the feature (D,) of one picture (S, S, 3) uint8."""
        feature = self._features.get(image_digest(image))
        return self._backend.encode(image) if feature is None else feature

    def initial_state(self) -> Any:
        """Return the state of a stream that has seen nothing."""
        return self._backend.initial_state()

    def step(self, inputs: StepInput, state: Any) -> tuple[StepOutput, Any]:
        """Advance the stream by one tick."""
        return self._backend.step(inputs, state)


def image_digest(image: ByteArray) -> bytes:
    """Return 16 bytes that name a picture (S, S, 3) by its content."""
    return hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16).digest()


def features_by_picture(images: ByteArray, features: NDArray[np.floating]) -> dict[bytes, FloatArray]:
    """Return what CachedEncoder takes, of an episode's pictures (T, S, S, 3) and their features (T, D)."""
    return {
        image_digest(image): np.asarray(feature, np.float32) for image, feature in zip(images, features, strict=True)
    }
