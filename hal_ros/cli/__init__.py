"""The `hal` command: one module per subcommand, imported only when it runs."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

import hal_ros
from hal_ros.cli.missing import refuse, told, unknown_command
from hal_ros.core.errors import HalError
from hal_ros.live.nodes import NODES
from hal_ros.outside.terminal import printable_output

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
    "doctor": "say what is installed here, and what killed nodes left in shared memory",
}
NO_COMMAND, INTERRUPTED = 2, 130


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; what a user can act on becomes one line on stderr and exit code 1."""
    argv = sys.argv[1:] if argv is None else argv
    with printable_output():
        name = argv[0] if argv else ""
        try:
            code = _run(argv)
            sys.stdout.flush()  # what can't be written is told, and not met by Python as it ends
            return code
        except (HalError, ImportError, OSError, MemoryError) as error:
            if not (line := told(error)):
                raise
            return refuse(f"hal {name}".rstrip(), line)
        except KeyboardInterrupt:
            return INTERRUPTED


def _run(argv: Sequence[str]) -> int:
    name = argv[0] if argv else ""
    if name in NODES and not {"-h", "--help"} & set(argv):
        return int(importlib.import_module(NODES[name][0]).main(list(argv[1:])) or 0)
    parser = argparse.ArgumentParser(prog="hal", description="Live action segmentation for robots.")
    parser.add_argument("--version", action="version", version=f"hal {hal_ros.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    known = SUBCOMMANDS | {node: text for node, (_, text) in NODES.items()}
    if name and not name.startswith("-") and name not in known:
        print(f"hal: {unknown_command(name, known)}", file=sys.stderr)
        return NO_COMMAND
    chosen = parser
    parser.set_defaults(handler=lambda _: parser.print_help())  # of `hal` alone
    for command, text in known.items():
        added = commands.add_parser(command, help=text, description=text)
        if command == name and command in SUBCOMMANDS:  # only the chosen subcommand's module is imported
            chosen, module = added, importlib.import_module(f"hal_ros.cli.{command}")
            module.add_arguments(added)
            added.set_defaults(handler=module.run)
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        chosen.error(f"unrecognized arguments: {' '.join(unknown)}")  # with the subcommand's usage, not hal's
    return int(args.handler(args) or 0)
