"""The eye learns from single ticks, copes without joints, repeats itself, and is looked through once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hal_ros.core.answers import NO_ACTION  # noqa: E402
from hal_ros.core.errors import DatasetError  # noqa: E402
from hal_ros.datasets.encoded_clips import measure  # noqa: E402
from hal_ros.train import clips, eye  # noqa: E402
from hal_ros.train.clips import attended_clips, columns_of  # noqa: E402
from hal_ros.train.config import config_from_mapping  # noqa: E402
from synthetic_episodes import ACTIONS, COLUMNS, GRID, GROUPS, SETTINGS, make_encoded_clips, restrict  # noqa: E402

CONFIG = config_from_mapping(SETTINGS)
TRACKS, OTHERS = make_encoded_clips(10, seed=0), make_encoded_clips(4, seed=1)


def actions_of(encoded_clips: Any) -> dict[Any, Any]:
    return {encoded.name: encoded.actions for encoded in encoded_clips}


def trained(
    epochs: int, folder: Any = None, targets: Any = None, seed: int = 0, report: Callable[..., Any] = lambda _: None
) -> Any:
    config = replace(CONFIG, seed=seed, eye=replace(CONFIG.eye, epochs=epochs))
    model = eye.new_eye(config, ACTIONS, GRID, measure(TRACKS, GRID[2]))
    ticks = eye.gather(TRACKS, targets or actions_of(TRACKS), ACTIONS)
    return eye.fit_eye(config, model, ticks, folder, report)


@torch.no_grad()
def accuracy(model: Any, encoded_clips: Any) -> float:
    right = []
    for encoded in encoded_clips:
        inputs = (encoded.features[0].astype(np.float32), encoded.joints, encoded.joints_valid)
        log_probs = model.head(model(*(torch.from_numpy(x)[None] for x in inputs)))
        right.append(float((log_probs[0].argmax(1).numpy() == encoded.actions).mean()))
    return float(np.mean(right))


def same(first: Any, second: Any) -> bool:
    return all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_single_ticks_are_told_apart_by_camera_and_joints_together() -> None:
    model = trained(40)
    assert accuracy(model, OTHERS) > 0.8
    assert accuracy(model, restrict(OTHERS, "camera")) < 0.7  # the control: joints say where to look


def test_probabilities_teach_as_labels_do() -> None:
    soft = {name: np.eye(ACTIONS)[target] for name, target in actions_of(TRACKS).items()}
    assert same(trained(2), trained(2, targets=soft))


def test_ticks_without_picture_or_label_are_not_shown() -> None:
    dark = replace(TRACKS[0], image_valid=np.zeros_like(TRACKS[0].image_valid))
    unknown = replace(TRACKS[1], actions=np.full_like(TRACKS[1].actions, NO_ACTION))
    encoded_clips = [dark, unknown, TRACKS[2], TRACKS[3]]
    ticks = eye.gather(encoded_clips, {encoded.name: encoded.actions for encoded in encoded_clips[:3]}, ACTIONS)
    assert set(ticks.encoded.tolist()) == {2}
    assert len(ticks.tick) == TRACKS[2].ticks


def test_material_without_a_single_labelled_picture_is_refused() -> None:
    with pytest.raises(DatasetError, match="no tick"):
        eye.gather(TRACKS, {}, ACTIONS)


def test_a_resumed_eye_ends_as_the_uninterrupted_one_and_loads_again(tmp_path: Path) -> None:
    whole = trained(4)

    def stop(_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(4, tmp_path, report=stop)
    resumed = trained(4, tmp_path)
    assert same(whole, resumed)
    assert same(whole, eye.load_eye(tmp_path))
    assert not same(whole, trained(4, seed=1))


# --- its clips --------------------------------------------------------------------------------------------------------


def test_a_clip_holds_what_the_eye_saw_and_the_joints_where_they_are_valid() -> None:
    model = trained(1)
    encoded = OTHERS[0]
    encoded.image_valid[5] = 0
    encoded.joints_valid[3, 1] = 0
    encoded.joints[3, 1] = 77.0
    attended = attended_clips([model], [encoded], GROUPS)
    (clip,) = attended.clips
    assert columns_of([model], GROUPS) == COLUMNS
    rows = COLUMNS.split(clip.inputs)
    with torch.no_grad():
        inputs = (encoded.features[0].astype(np.float32), encoded.joints, encoded.joints_valid)
        expected = model(*(torch.from_numpy(x)[None] for x in inputs))[0].numpy()
        inputs = (inputs[0], inputs[1], 0 * encoded.joints_valid)
        expected_masked = model(*(torch.from_numpy(x)[None] for x in inputs))[0].numpy()
    lit = encoded.image_valid[:, 0] > 0
    np.testing.assert_allclose(rows.attended[lit], expected[lit], atol=1e-5)
    np.testing.assert_allclose(attended.joints_masked[encoded.name][lit], expected_masked[lit], atol=1e-5)
    assert not rows.attended[5].any()
    assert rows.joints[3, 1] == 0
    np.testing.assert_array_equal(rows.image_valid, encoded.image_valid)
    np.testing.assert_array_equal(rows.joints_valid, encoded.joints_valid)
    assert clip.transcript == encoded.transcript


def test_the_eye_looks_once_and_again_only_where_eye_or_tracks_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, looked = trained(1), []
    look = clips._attend
    monkeypatch.setattr(clips, "_attend", lambda *arguments: looked.append(1) or look(*arguments))
    first = attended_clips([model], OTHERS, GROUPS, tmp_path)
    count = len(looked)
    again = attended_clips([model], OTHERS, GROUPS, tmp_path)
    assert len(looked) == count
    for one, other in zip(first.clips, again.clips, strict=True):
        np.testing.assert_array_equal(one.inputs, other.inputs)
    attended_clips([model], restrict(OTHERS, "joints"), GROUPS, tmp_path)
    assert len(looked) == 2 * count
    with torch.no_grad():
        model.second.bias += 1
    attended_clips([model], OTHERS, GROUPS, tmp_path)
    assert len(looked) == 3 * count


def test_inputs_of_another_width_are_refused() -> None:
    with pytest.raises(DatasetError, match=f"expected {COLUMNS.width}"):
        COLUMNS.split(np.zeros((3, 5)))


def test_columns_are_found_again_where_they_were_put(rng: np.random.Generator) -> None:
    sizes = {"attended": (7, 16), "image_valid": (7, 1), "joints": (7, 6), "joints_valid": (7, 6)}
    rows = clips.Rows(**{name: rng.normal(size=size).astype(np.float32) for name, size in sizes.items()})
    inputs = COLUMNS.join(rows)
    assert inputs.shape == (7, COLUMNS.width)
    for name, found in vars(COLUMNS.split(inputs)).items():
        np.testing.assert_array_equal(found, getattr(rows, name))
        at = getattr(COLUMNS.places, name)
        assert found.shape[1] == at.stop - at.start
