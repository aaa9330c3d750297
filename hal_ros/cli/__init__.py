"""The `hal` command: one module per subcommand, imported only when it runs."""

from __future__ import annotations

import argparse
import importlib
import sys

from hal_ros.core.errors import HalError

SUBCOMMANDS = {
    "sim": "simulate episodes of the tabletop benchmark and write them as bags",
    "ingest": "turn bags, yours or the benchmark's, into training episodes",
    "train": "train a model and export its bundle",
    "evaluate": "score a bundle and the baselines on the benchmark's splits",
    "predict": "label new clips of feature vectors, without annotations",
    "export": "export a checkpoint to ONNX and prove parity",
    "compile": "build TensorRT engines for this GPU and prove them",
    "device": "build engines of all bundles on this GPU and check all that they do, in minutes",
    "verify": "say what runs a bundle here, how exactly and how fast",
    "tables": "train and score all systems of the result tables, from a queue that resumes",
    "replay": "label a bag offline with the node's own code",
    "label": "write a bag again with labels and boundaries in it",
    "recover": "repair a recording that was cut off",
    "demo": "run robot, segmenter, recorder and live view together",
    "report": "write report.html for a recording",
    "bench": "measure speed, memory and losses",
}


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; a HalError becomes one line on stderr and exit code 1."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="hal", description="Live action segmentation for robots.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = parser
    for name, text in SUBCOMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        chosen = command if argv[:1] == [name] else chosen
        if argv[:1] == [name]:  # only the chosen subcommand's module is imported
            module = importlib.import_module(f"hal_ros.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(handler=module.run)
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        chosen.error(f"unrecognized arguments: {' '.join(unknown)}")  # with the subcommand's usage, not hal's
    try:
        return int(args.handler(args) or 0)
    except HalError as error:
        print(f"hal {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
