"""All commands that run a bundle are told in the same words which one, and what runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes import make_card
from hal_ros.bags.reader import BagWriter
from hal_ros.bench import verify
from hal_ros.cli import main
from hal_ros.core.errors import BackendError
from hal_ros.offline import bundle as offline_bundle
from hal_ros.runtime.backend import BackendOptions
from hal_ros.runtime.bundle import save_card

COMMANDS = [("replay", True), ("label", True), ("verify", False)]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, str, BackendOptions]]:
    """What backends were asked for; none is there."""
    asked: list[tuple[Path, str, BackendOptions]] = []

    def open_backend(bundle: Any, choice: str, options: BackendOptions) -> Any:
        asked.append((bundle.folder, choice, options))
        raise BackendError("nothing runs it")

    for module in (offline_bundle, verify):
        monkeypatch.setattr(module, "open_backend", open_backend)
    return asked


@pytest.fixture
def common(tmp_path: Path) -> Any:
    """The arguments before those of the back end. The bag comes last, where --providers could swallow it."""
    (tmp_path / "model").mkdir()
    save_card(make_card(), tmp_path / "model")
    with BagWriter(tmp_path / "bag.mcap"):
        pass

    def words(command: str, takes_bag: bool, *arguments: str) -> list[str]:
        bag = [str(tmp_path / "bag.mcap")] if takes_bag else []
        return [command, "--model", str(tmp_path / "model"), *arguments, *bag]

    return words


@pytest.mark.parametrize(("command", "takes_bag"), COMMANDS)
def test_what_is_given_reaches_the_backend(
    command: str, takes_bag: bool, common: Any, opened: Any, tmp_path: Path
) -> None:
    given = ["--backend", "onnxruntime", "--threads", "2", "--precision", "fp32"]
    given += ["--providers", "CUDAExecutionProvider, CPUExecutionProvider"]
    assert main(common(command, takes_bag, *given)) == 1
    ((folder, choice, options),) = opened
    assert (folder, choice) == (tmp_path / "model", "onnxruntime")
    assert options.providers == ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert (options.threads, options.precision) == (2, "fp32")


@pytest.mark.parametrize(("command", "takes_bag"), COMMANDS)
def test_what_is_not_given_is_as_in_the_node(command: str, takes_bag: bool, common: Any, opened: Any) -> None:
    assert main(common(command, takes_bag)) == 1
    ((_, choice, options),) = opened
    assert choice == "auto"
    plain = BackendOptions()
    assert (options.threads, options.providers, options.precision) == (plain.threads, plain.providers, plain.precision)


@pytest.mark.parametrize(("command", "takes_bag"), COMMANDS)
def test_no_threads_are_refused(
    command: str, takes_bag: bool, common: Any, opened: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(common(command, takes_bag, "--threads", "0")) == 1
    assert capsys.readouterr().err == f"hal {command}: --threads is 0; expected 1 or more\n"
    assert not opened
