"""Files that are installed with the package: launch files, settings, models, message definitions."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from hal_ros.core.errors import ConfigError

PACKAGE = "hal_ros"
REPOSITORY = Path(__file__).parents[2]


def shared_file(name: str) -> Path:
    """Return a file or folder that lies in the source tree, or is installed below share/hal_ros.

    Raises ConfigError when it is in neither.
    """
    for candidate in (REPOSITORY / name, *(folder / name for folder in share_folders())):
        if candidate.exists():
            return candidate
    raise ConfigError(
        f"{name} is neither in {REPOSITORY} nor installed below share/{PACKAGE}; expected it in one of them"
    )


def given_or_shared(path: Path) -> Path:
    """Return a path as it is where it leads somewhere, or else what the package brings under that name, if it does."""
    if path.exists() or path.is_absolute() or ".." in path.parts:
        return path
    return next((folder / path for folder in (REPOSITORY, *share_folders()) if (folder / path).exists()), path)


def share_folders(package: str = PACKAGE) -> Iterator[Path]:
    """Yield where a package's shared files may be: of the sourced ROS, of this Python, of where pip put this one."""
    prefixes = [*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)), sys.prefix]
    prefixes += [sysconfig.get_path("data")]
    yield from dict.fromkeys(Path(prefix) / "share" / package for prefix in prefixes)
    try:
        files = metadata.files(PACKAGE) or ()
    except metadata.PackageNotFoundError:
        return
    for file in files:  # pip install --user and --target have places of their own
        if file.parts[-3:] == ("share", PACKAGE, "package.xml"):
            yield Path(str(file.locate())).resolve().parent.with_name(package)
