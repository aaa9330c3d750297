"""Subcommands are timed as processes, and one that fails is told."""

from __future__ import annotations

import pytest

from hal_ros.bench import commands
from hal_ros.core.errors import HalError


def test_a_command_that_fails_is_told_in_one_line() -> None:
    with pytest.raises(HalError, match=r"hal replay ended with code 1: .*nowhere"):
        commands.timed("replay", "/nowhere.mcap", "--model", "/nowhere")
