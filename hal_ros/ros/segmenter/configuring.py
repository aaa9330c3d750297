"""Opening the model: it runs there for the first time, which may take minutes or never return, and can be given up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from hal_ros.core.errors import BackendError
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.step import Backend
from hal_ros.ros.segmenter.session import Opened
from hal_ros.ros.segmenter_parameters import SegmenterParameters
from hal_ros.runtime.backend import BackendOptions, about, open_backend, provider_names
from hal_ros.runtime.bundle import Bundle
from hal_ros.runtime.golden import check_golden

OpenBackend = Callable[[Bundle, str, BackendOptions], tuple[Backend, str]]
Result = TypeVar("Result")
POLL_S = 0.05
"""How soon it is noticed that somebody wants the process to end."""
GRACE_S = 2.0


@dataclass(frozen=True)
class Opening:
    """What is to be opened, and who is told of it on the way."""

    bundle: Bundle
    parameters: SegmenterParameters
    build: bool  # missing engines
    progress: Callable[[str], None]
    warn: Callable[[str], None]


def open_proven_backend(bundle: Bundle, choice: str, options: BackendOptions) -> tuple[Backend, str]:
    """Open the backend and compare it with the bundle's golden outputs, which warms it up too."""
    backend, reason = open_backend(bundle, choice, options)
    check_golden(bundle, backend)
    return backend, reason


def open_model(opener: OpenBackend, opening: Opening, given_up: Callable[[], bool]) -> Opened:
    """Return the bundle on its backend; raises what the opener raises, and BackendError when it is given up."""
    bundle, parameters = opening.bundle, opening.parameters
    options = BackendOptions(
        threads=parameters.threads,
        providers=provider_names(parameters.providers),
        precision=parameters.precision,
        build_on_start=opening.build,
        progress=opening.progress,
        warn=opening.warn,
        cancelled=given_up,
    )
    backend, reason = run_unless(given_up, lambda: opener(bundle, parameters.backend, options), "running the model")
    return Opened(Segmenter(bundle.card, backend), reason, about(backend))


class _Call(Generic[Result]):
    """A call in a thread of its own, and what became of it."""

    def __init__(self, act: Callable[[], Result]) -> None:
        self.results: list[Result] = []
        self.errors: list[BaseException] = []
        self._act = act

    def run(self) -> None:
        try:
            self.results.append(self._act())
        except BaseException as error:  # noqa: BLE001  # it is raised again where it was called
            self.errors.append(error)


def run_unless(given_up: Callable[[], bool], act: Callable[[], Result], what: str) -> Result:
    """Return what `act` returns, or raise what it raises.

    Raises BackendError when it is given up and has not ended by itself GRACE_S later, as a build of engines does; its
    thread is left behind then, and ends with the process.
    """
    call = _Call(act)
    thread = threading.Thread(target=call.run, name=what, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(POLL_S)
        if thread.is_alive() and given_up():
            thread.join(GRACE_S)
        if thread.is_alive() and given_up():
            raise BackendError(f"{what} was given up, as the process is to end")
    if call.errors:
        raise call.errors.pop()
    return call.results.pop()
