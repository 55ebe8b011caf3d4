"""Which of these goes with which of those, at the greatest gain in all: exact, for small tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush


def best_pairs(gains: Sequence[Mapping[int, float]]) -> list[tuple[int, int]]:
    """Pairs (row, column), each row and column once at most, with the greatest sum of gains.

    A pair that gains nothing is never taken: rows and columns may stay alone. Rows are added one
    by one, each along the shortest augmenting path under dual prices (the Hungarian method of
    Kuhn 1955, with the paths of Tomizawa 1971); only pairs that are possible cost time.

    Args:
        gains: for each row, what it gains with a column; columns from 0, those left out: nothing.

    Returns:
        the pairs in order of rows; among optima of equal gain always the same one.
    """
    columns = 1 + max((column for row in gains for column in row), default=-1)
    # One more column for each row, free of charge: that row stays alone.
    costs = [
        {column: -gain for column, gain in row.items() if gain > 0} | {columns + number: 0.0}
        for number, row in enumerate(gains)
    ]
    table = _Table(costs, columns + len(costs))
    for row in range(len(costs)):
        table.add(row)
    return [(row, column) for row, column in enumerate(table.of_row) if column < columns]


class _Table:
    """Rows that have a column so far, and the prices that prove that no other way is cheaper."""

    def __init__(self, costs: Sequence[Mapping[int, float]], columns: int) -> None:
        self._costs = costs
        self.of_row = [-1] * len(costs)
        self._of_column = [-1] * columns
        self._row_price = [0.0] * len(costs)
        self._column_price = [0.0] * columns

    def add(self, first: int) -> None:
        """Give row `first` a column, moving others where that is cheapest."""
        self._row_price[first] = min(
            cost - self._column_price[column] for column, cost in self._costs[first].items()
        )
        reach: dict[int, float] = {}
        came_from: dict[int, int] = {}
        settled: dict[int, float] = {}
        queue: list[tuple[float, int]] = []
        row, travelled = first, 0.0
        while True:
            for column, cost in self._costs[row].items():
                far = travelled + cost - self._row_price[row] - self._column_price[column]
                if column not in settled and far < reach.get(column, float("inf")):
                    reach[column], came_from[column] = far, row
                    heappush(queue, (far, column))
            travelled, column = heappop(queue)
            if column in settled:
                continue
            if self._of_column[column] < 0:
                break
            settled[column] = travelled
            row = self._of_column[column]
        self._pay(first, settled, travelled)
        self._move(first, column, came_from)

    def _pay(self, first: int, settled: Mapping[int, float], travelled: float) -> None:
        """Prices after a path of length `travelled`."""
        self._row_price[first] += travelled
        for column, far in settled.items():
            self._column_price[column] -= travelled - far
            self._row_price[self._of_column[column]] += travelled - far

    def _move(self, first: int, column: int, came_from: Mapping[int, int]) -> None:
        """Each row of the path takes the column to which the path led from it."""
        row = -1
        while row != first:
            row = came_from[column]
            self._of_column[column] = row
            column, self.of_row[row] = self.of_row[row], column
