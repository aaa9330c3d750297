"""Work in processes gives what work in this process gives; what fails or is killed is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from hal_ros.core.errors import DatasetError, HalError
from hal_ros.datasets.pool import as_done, in_order
from pool_jobs import die, refuse_three, square

ITEMS = (3, 1, 2)
Pool = Callable[..., Iterator[tuple[int, int]]]
POOLS = (in_order, partial(as_done, when_killed="killed"))


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("processes", [1, 2])
def test_every_item_is_worked_on_once(pool: Pool, processes: int) -> None:
    results = list(pool(square, ITEMS, processes))
    assert sorted(result for result, _ in results) == [1, 4, 9]
    assert ({pid for _, pid in results} == {os.getpid()}) == (processes == 1)
    assert list(pool(square, (), processes)) == []


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order(processes: int) -> None:
    assert [result for result, _ in in_order(square, ITEMS, processes)] == [9, 1, 4]


def test_one_item_needs_no_other_process() -> None:
    assert list(in_order(square, (3,), 2)) == [(9, os.getpid())]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_ends_the_work(pool: Pool, processes: int, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="three"):
        list(pool(partial(refuse_three, folder=tmp_path), (3, *range(100, 200)), processes))
    assert len(list(tmp_path.iterdir())) < 100


def test_a_killed_process_is_told() -> None:
    with pytest.raises(HalError, match=r"^start again$"):
        list(as_done(die, ITEMS, 2, "start again"))
    with pytest.raises(HalError, match=r"^one of 2 processes was killed; expected "):
        list(in_order(die, ITEMS, 2))
