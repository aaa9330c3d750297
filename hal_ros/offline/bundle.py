"""A bundle opened as the node opens it, to be run on what was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hal_ros.core.segmenter import Segmenter
from hal_ros.core.work import Report
from hal_ros.runtime.backend import DEFAULTS, BackendOptions, open_backend
from hal_ros.runtime.bundle import Bundle, bundle_metadata, load_bundle
from hal_ros.runtime.golden import check_golden

ANSWERS, OFFLINE = "answers", "offline"
"""Metadata record of a bag whose labels were made offline: when they were received tells nothing of a computer."""


@dataclass(frozen=True)
class BundleChoice:
    """Which bundle to run, and what is to run it: `backend` and `options` as `runtime.backend.open_backend` takes."""

    folder: Path
    backend: str = "auto"
    options: BackendOptions = DEFAULTS


def answers_metadata(bundle: Bundle) -> dict[str, dict[str, str]]:
    """Return the metadata records of a bag with answers of this bundle that no node has published."""
    return {**bundle_metadata(bundle), ANSWERS: {"made": OFFLINE}}


def open_segmenter(choice: BundleChoice, report: Report = print) -> tuple[Bundle, Segmenter]:
    """Load a bundle, open its backend and check it as the node does, and report which.

    Raises CardError, ConfigError or BackendError.
    """
    bundle = load_bundle(choice.folder)
    backend, reason = open_backend(bundle, choice.backend, choice.options)
    check_golden(bundle, backend)
    report(f"{bundle.card.name} {bundle.sha256[:12]} on {backend.name} ({reason})")
    return bundle, Segmenter(bundle.card, backend)
