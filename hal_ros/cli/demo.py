"""`hal demo`: robot, segmenter and recorder as processes, a live view of them, and a report at the end."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

from hal_ros.core.errors import ConfigError
from hal_ros.live.demo import conclude, fallback, run_live
from hal_ros.live.system import Live, check, prepare_environment
from hal_ros.outside.outputs import check_file
from hal_ros.outside.shared_files import shared_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--duration", type=float, default=60.0, help="seconds from the first label (default: 60)")
    parser.add_argument("--model", type=Path, help="folder of a model bundle (default: models/tabletop)")
    parser.add_argument("--out", type=Path, help="folder for recording, logs and report (default: recordings/<now>)")
    parser.add_argument("--recording", type=Path, metavar="BAG", help="play this bag instead of simulating a robot")
    parser.add_argument("--planner", metavar="RECIPE", help="have examples/planner drive the simulated robot, as serve")
    parser.add_argument("--screenshot", type=Path, metavar="FILE.svg", help="save the last picture of the live view")


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 when labels came, nothing crashed and the recording can be read, 130 after Ctrl-C."""
    if not args.duration > 0:
        raise ConfigError(f"--duration is {args.duration}; expected seconds above 0")
    model = args.model or shared_file("models/tabletop")
    folder = args.out or Path("recordings") / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    if folder.exists():
        raise ConfigError(f"--out {folder} exists; expected the name of a new folder")
    prepare_environment(folder / "logs")  # before anything loads DDS or GL
    if args.screenshot is not None:
        from hal_ros.ros.view.main import IS_PICTURE

        check_file(args.screenshot, IS_PICTURE, "a picture of the view")
    if args.planner and args.recording:
        raise ConfigError(f"--planner is {args.planner} beside --recording; expected one of them: a bag obeys nobody")
    bag = args.recording or fallback()
    if args.planner and bag is not None:
        raise ConfigError("--planner needs a robot that can be simulated; expected MuJoCo and EGL")
    live = Live(model, folder, bag, args.planner or "")
    check(live)
    ending = run_live(live, args.duration)
    if args.screenshot is not None:
        from hal_ros.ros.view.main import save_picture

        save_picture(ending.state, args.screenshot)
    return conclude(live, ending, _write_report)


def _write_report(recording: Path, page: Path) -> None:
    from hal_ros.report.write import write_and_print

    write_and_print(recording, page)
