"""How long work is done: on one thread where others run beside it, and telling line by line how far it is."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str], None]
"""Told one line at a time what is going on, `print` for one."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"), "1")
"""The environment of a process that computes on one thread."""
