"""Run `hal` as `python -m hal_ros`."""

import sys

from hal_ros.cli import main

sys.exit(main())
