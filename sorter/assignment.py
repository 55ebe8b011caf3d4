"""Which of these goes with which of those, at the greatest gain in all: exact, for small tables."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf


def best_pairs(gains: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Pairs (row, column), each row and column once at most, with the greatest sum of gains.

    A pair that gains nothing is never taken: rows and columns may stay alone. Rows are added one
    by one, each along the shortest augmenting path under dual prices (the Hungarian method of
    Kuhn 1955, with the paths of Tomizawa 1971), which takes rows² × (rows + columns) steps.

    Args:
        gains: (rows, columns), finite or minus infinity.

    Returns:
        the pairs in order of rows; among optima of equal gain always the same one.
    """
    rows = len(gains)
    columns = len(gains[0]) if rows else 0
    # One more column for each row, free of charge: that row stays alone.
    costs = [
        [-gain if gain > 0 else inf for gain in gains[row]]
        + [0.0 if alone == row else inf for alone in range(rows)]
        for row in range(rows)
    ]
    of_row = [-1] * rows
    of_column = [-1] * (columns + rows)
    row_price, column_price = [0.0] * rows, [0.0] * (columns + rows)
    for row in range(rows):
        _add(row, costs, of_row, of_column, row_price, column_price)
    return [(row, column) for row, column in enumerate(of_row) if column < columns]


def _add(
    first: int,
    costs: list[list[float]],
    of_row: list[int],
    of_column: list[int],
    row_price: list[float],
    column_price: list[float],
) -> None:
    """Give row `first` a column, moving others where that is cheapest."""
    width = len(of_column)
    row_price[first] = min(c - p for c, p in zip(costs[first], column_price, strict=True))
    reach = [inf] * width
    came_from = [first] * width
    settled: list[int] = []
    open_columns = set(range(width))
    row, travelled = first, 0.0
    while True:
        for column in open_columns:
            far = travelled + costs[row][column] - row_price[row] - column_price[column]
            if far < reach[column]:
                reach[column], came_from[column] = far, row
        column = min(open_columns, key=lambda c: (reach[c], c))
        travelled = reach[column]
        if of_column[column] < 0:
            break
        open_columns.remove(column)
        settled.append(column)
        row = of_column[column]
    row_price[first] += travelled
    for passed in settled:
        column_price[passed] -= travelled - reach[passed]
        row_price[of_column[passed]] += travelled - reach[passed]
    while True:
        row = came_from[column]
        of_column[column], of_row[row], column = row, column, of_row[row]
        if row == first:
            return
