"""Many episodes: what is there is left alone, in one process or several, and nobody's own data is touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hal_ros.core.errors import BagError, HalError
from hal_ros.datasets.folder import BENCHMARK
from hal_ros.sim import simulate as simulating
from hal_ros.sim.benchmark import VERSION, EpisodeSpec, episodes
from hal_ros.sim.extras import Extras
from hal_ros.sim.simulate import KILLED, Done, Wanted, simulate, write_missing
from hal_ros.sim.write import Pictures, Written, is_written
from pool_jobs import die
from short_episodes import shortened

pytestmark = pytest.mark.sim


@pytest.fixture(autouse=True, scope="module")
def short_episodes() -> Iterator[None]:
    with shortened():
        yield


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Wanted]:
    """What would be simulated."""
    seen: list[Wanted] = []

    def note(wanted: Wanted) -> Done:
        seen.append(wanted)
        return Done(wanted.out, (), 0, 1.0)

    monkeypatch.setattr(simulating, "simulate", note)
    return seen


def test_an_interrupted_call_is_completed(tmp_path: Path) -> None:
    first, second = episodes("train")[:2]
    done = simulate(Wanted(tmp_path, ("train",), limit=1))
    assert ([episode.name for episode in done.written], done.present) == ([first.name], 0)
    done = simulate(Wanted(tmp_path, ("train",), limit=2))
    assert ([episode.name for episode in done.written], done.present) == ([second.name], 1)
    assert all(is_written(spec, tmp_path / "train") for spec in (first, second))
    done = simulate(Wanted(tmp_path, ("train",), level="hard", limit=1))
    assert ([episode.name for episode in done.written], done.present) == ([first.name], 0)


def test_what_goes_wrong_is_told_with_the_episode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Written:
        raise BagError("the disk is full; expected room")

    monkeypatch.setattr(simulating, "write_episode", fail)
    with pytest.raises(BagError, match=rf"^episode {episodes('test')[0].name}: the disk is full; expected room$"):
        simulate(Wanted(tmp_path, ("test",), limit=1))


def test_a_killed_process_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulating, "_write", die)
    with pytest.raises(HalError, match=KILLED):
        simulate(Wanted(tmp_path, ("test",), jobs=2, limit=2))


def test_the_summary_says_how_fast_it_was_and_what_the_physics_denies() -> None:
    written = [Written("a-1", 30.0, 10.0, ()), Written("b-2", 30.0, 20.0, ("pour", "carry"))]
    assert Done(Path("there"), written, 3, 15.4).summary() == [
        "there: 2 episodes written, 3 were there already",
        "b-2: labelled, but not borne out by the physics: pour, carry",
        "60 s simulated in 15 s: 2.0 times real time per core, 3.9 in all",
    ]
    assert Done(Path("there"), (), 3, 15.4).summary() == ["there: 0 episodes written, 3 were there already"]


def test_pictures_are_those_that_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def note(spec: EpisodeSpec, folder: Path, pictures: Pictures, extras: Extras | None) -> Written:
        seen.append((spec, folder, pictures, extras))
        return Written(spec.name, 1.0, 1.0, ())

    monkeypatch.setattr(simulating, "write_episode", note)
    split = Extras(split_gripper=True)
    simulate(Wanted(tmp_path, ("unseen",), "hard", size_px=(640, 480), raw=True, limit=1, extras=split))
    assert seen == [(episodes("unseen", "hard")[0], tmp_path / "unseen", Pictures(640, 480, raw=True), split)]


def test_episodes_without_the_wanted_topics_are_completed(tmp_path: Path) -> None:
    plain = Wanted(tmp_path, ("train",), limit=1)
    simulate(plain)
    full = Wanted(tmp_path, ("train",), limit=2, extras=Extras())
    done = simulate(full)
    assert (len(done.written), done.present, done.replaced) == (2, 0, 1)
    assert "1 of them in place of episodes of another level or with other extra topics" in done.summary()
    for satisfied in (full, plain):
        done = simulate(satisfied)
        assert (len(done.written), done.present, done.replaced) == (0, satisfied.limit, 0)


# --- what training lacks ----------------------------------------------------------------------------------------------


def test_a_folder_of_another_name_is_the_users_own(tmp_path: Path, calls: list[Wanted]) -> None:
    assert BENCHMARK == VERSION
    write_missing(tmp_path / "mine", ("train",), 1)
    write_missing(tmp_path / "mine", ("train",), 1, {"train": 3})
    assert calls == []
    write_missing(tmp_path / BENCHMARK, ("train", "test"), 16)
    assert calls == [Wanted(tmp_path / BENCHMARK, ("train", "test"), jobs=simulating.MAX_JOBS)]


def test_with_limits_only_what_is_too_few_is_written(
    tmp_path: Path, calls: list[Wanted], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / BENCHMARK
    for name in ("one", "two"):
        (folder / "train" / name).mkdir(parents=True)
        (folder / "train" / name / "metadata.yaml").touch()
    write_missing(folder, ("train", "test"), 1, {"train": 2, "test": 1})
    assert calls == [Wanted(folder, ("test",), limit=1)]
    assert capsys.readouterr().out == f"{folder}: 0 episodes written, 0 were there already\n"
    calls.clear()
    write_missing(folder, ("train", "test"), 1, {})
    assert calls == [Wanted(folder, ("train", "test"))]


def test_what_lacks_the_extra_topics_is_missing_where_they_are_wanted(tmp_path: Path, calls: list[Wanted]) -> None:
    folder, extras = tmp_path / BENCHMARK, Extras()
    specs = episodes("train")[:2]
    for spec, mark in zip(specs, ({"extras": extras.mark()}, {}), strict=True):
        (folder / "train" / spec.name).mkdir(parents=True)
        (folder / "train" / spec.name / "metadata.yaml").touch()
        (folder / "train" / spec.name / "annotation.json").write_text(json.dumps({"level": "default", **mark}))
    write_missing(folder, ("train",), 1, {"train": 2})
    write_missing(folder, ("train",), 1, {"train": 1}, extras)
    assert calls == []
    write_missing(folder, ("train",), 1, {"train": 2}, extras)
    write_missing(folder, ("train",), 1, extras=extras)
    assert calls == [Wanted(folder, ("train",), limit=limit, extras=extras) for limit in (2, None)]
