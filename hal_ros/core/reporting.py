"""How long work says what it is doing."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str], None]
"""Told one line at a time what is going on, `print` for one."""
