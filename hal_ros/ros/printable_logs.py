"""Nodes' log lines made printable: names in bags, bundles and messages must not steer the terminal that shows them."""

from __future__ import annotations

from typing import Any

from hal_ros.core.printable import printable


class PrintableLogger:
    """A node's logger, which is all else that it is.

    Each severity is passed on from a line of its own: rclpy knows who logs by its line, and takes one severity of each.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)

    def debug(self, text: str, **how: Any) -> bool:
        """Log a text, printable."""
        return bool(self._logger.debug(printable(text), **how))

    def info(self, text: str, **how: Any) -> bool:
        """Log a text, printable."""
        return bool(self._logger.info(printable(text), **how))

    def warning(self, text: str, **how: Any) -> bool:
        """Log a text, printable."""
        return bool(self._logger.warning(printable(text), **how))

    def error(self, text: str, **how: Any) -> bool:
        """Log a text, printable."""
        return bool(self._logger.error(printable(text), **how))


class PrintableLogs:
    """Comes before rclpy's Node in the bases of every node here."""

    def get_logger(self) -> Any:
        """Return the node's logger, whose lines are printable."""
        return PrintableLogger(super().get_logger())  # type: ignore[misc]
