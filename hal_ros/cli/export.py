"""`hal export`: a checkpoint becomes a bundle, with temperatures and decoder chosen on the validation split."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hal_ros.compile.bundle import Golden
    from hal_ros.runtime.card import Bundle
    from hal_ros.train.stages import Material

GOLDEN_TICKS = 48


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run_folder", type=Path, help="folder that `hal train` wrote, e.g. runs/tabletop-1a2b3c4d")
    parser.add_argument("--out", type=Path, help="folder of the bundle (default: models/<name>)")


def run(args: argparse.Namespace) -> int:
    """Export."""
    export_run(args.run_folder, args.out)
    return 0


def export_run(folder: Path, out: Path | None = None) -> Bundle:
    """Write the bundle of a run's best epoch. Raises BackendError when the ONNX graph differs from the model."""
    from dataclasses import replace

    from hal_ros.cli.ingest import ingest
    from hal_ros.compile.bundle import write_bundle
    from hal_ros.train import stages
    from hal_ros.train.decoding import choose_decoder, fit_temperatures

    config, model, about = stages.load_run(folder)
    card, encoder, (training, validation) = ingest(config, (stages.TRAINING, stages.VALIDATION))
    temperatures = fit_temperatures(model, validation.tracks, card.lag_ticks)
    chosen = choose_decoder(model, validation.tracks, card.lag_ticks)
    print(f"temperatures {temperatures[0]:.2f} and {temperatures[1]:.2f}; {chosen}")
    origin = stages.trained_from(config, about, training, validation)
    card = replace(card, decoder=chosen.decoder, trained_from=origin)
    out = out or Path("models") / config.name
    bundle, parity = write_bundle(model, card, encoder, _golden(validation), out)
    size = sum(path.stat().st_size for path in out.iterdir()) / 1e6
    print(
        f"{out}: {size:.1f} MB, {bundle.sha256[:12]}; over {parity.ticks} ticks outputs differ from torch by at most "
        f"{parity.output_error:.1e}, state by {parity.state_error:.1e}, equal labels {parity.label_agreement:.0%}"
    )
    return bundle


def _golden(validation: Material) -> Golden:
    """Take ticks of the first validation episode from its start, one without image and one without joints."""
    from hal_ros.compile.bundle import Golden
    from hal_ros.data.episodes import load

    episode = load(validation.folders[0])
    golden = Golden(
        images=episode.images[:GOLDEN_TICKS].copy(),
        image_valid=episode.image_valid[:GOLDEN_TICKS],
        joints=episode.joints[:GOLDEN_TICKS],
        joints_valid=episode.joints_valid[:GOLDEN_TICKS],
    )
    golden.image_valid[GOLDEN_TICKS // 3] = 0
    golden.joints[GOLDEN_TICKS // 2] = golden.joints_valid[GOLDEN_TICKS // 2] = 0
    return golden
