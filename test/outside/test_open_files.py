"""A process takes all the open files that it may have."""

import subprocess
import sys

CODE = """
import resource
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
from hal_ros.outside.open_files import allow_most
allow_most()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] == most)
"""


def test_the_limit_becomes_the_highest_one() -> None:
    assert subprocess.check_output([sys.executable, "-c", CODE], text=True).strip() == "True"
