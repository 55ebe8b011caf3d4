"""Loops over pixels, views and openings that no library has a call for, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(function: _Function) -> _Function:
    """The function, compiled by Numba when it is called first; takes numbers and arrays only.

    What was compiled is kept beside the source, or in the user's cache where that can't be
    written, so that only the first start after an installation takes its time. Where neither can
    be, every start does. Numbers are NumPy's: a division by zero gives infinity.
    """
    try:
        return cast(_Function, njit(cache=True, error_model="numpy")(function))
    except RuntimeError:  # Numba found no place to keep it
        return cast(_Function, njit(error_model="numpy")(function))
