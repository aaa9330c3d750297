"""How many files a process may hold open: each memory map of an episode takes one."""

from __future__ import annotations

import resource


def allow_most() -> None:
    """Raise this process' limit of open files as far as the system lets anybody."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
