"""Filtered resampling against scipy, and what it keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import upfirdn as scipy_upfirdn

from models.gan.resample import (
    after_transposed,
    before_strided,
    double,
    halve,
    matrix_of,
    upfirdn,
)

TAPS = {"binomial": (1.0, 3.0, 3.0, 1.0), "lopsided": (1.0, -2.0, 4.0), "long": tuple(range(1, 13))}


@pytest.mark.parametrize("taps", TAPS.values(), ids=TAPS)
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (3, 2), (2, 3)])
@pytest.mark.parametrize("pad", [(0, 0), (2, 1), (5, 7)])
def test_same_as_scipy(taps: tuple[float, ...], up: int, down: int, pad: tuple[int, int]) -> None:
    images = torch.randn(2, 3, 13, 16, generator=torch.Generator().manual_seed(1)).double()
    ours = upfirdn(images, torch.tensor(taps, dtype=torch.float64), up, down, pad)
    wanted = images.numpy()
    for axis in (2, 3):
        # scipy adds zeros on both sides as far as the filter reaches, but none after the last
        # sample: so the padding is put there before, and what ours doesn't compute is cut off.
        spread = np.zeros(
            [*wanted.shape[:axis], wanted.shape[axis] * up, *wanted.shape[axis + 1 :]]
        )
        spread[(slice(None),) * axis + (slice(None, None, up),)] = wanted
        width = [(0, 0)] * 4
        width[axis] = pad
        padded = np.pad(spread, width)
        full = scipy_upfirdn(np.array(taps), padded, axis=axis)
        count = padded.shape[axis] - len(taps) + 1
        inner = np.take(full, range(len(taps) - 1, len(taps) - 1 + count), axis=axis)
        wanted = np.take(inner, range(0, count, down), axis=axis)
    assert ours.shape == wanted.shape
    assert np.allclose(ours.numpy(), wanted, atol=1e-10)


@pytest.mark.parametrize("taps", TAPS.values(), ids=TAPS)
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_matrix_does_the_same(taps: tuple[float, ...], up: int, down: int) -> None:
    images = torch.randn(2, 3, 11, 11, generator=torch.Generator().manual_seed(1)).double()
    kernel, pad = torch.tensor(taps, dtype=torch.float64), (4, 3)
    matrix = matrix_of(kernel, 11, up, down, pad)
    assert torch.allclose(matrix @ images @ matrix.T, upfirdn(images, kernel, up, down, pad))


def test_large_and_small_grids_agree() -> None:
    images = torch.randn(1, 2, 128, 128, generator=torch.Generator().manual_seed(1))
    small = halve(64)(images[:, :, :64, :64])
    large = halve(128)(images)
    assert torch.allclose(small[:, :, :30, :30], large[:, :, :30, :30], atol=1e-5)


def test_up_by_scipy_in_one_call() -> None:
    signal = torch.randn(1, 1, 1, 9, generator=torch.Generator().manual_seed(2)).double()
    taps = np.array([1.0, 3.0, 3.0, 1.0])
    wanted = scipy_upfirdn(taps, signal.numpy().ravel(), up=2)
    column = torch.cat([torch.zeros(1, 1, 3, 9), signal, torch.zeros(1, 1, 3, 9)], 2).double()
    ours = upfirdn(column, torch.from_numpy(taps), up=2, pad=(3, 2))
    # Rows were filtered too: the row of the sample itself was multiplied by the taps.
    row = ours[0, 0, 9]
    assert np.allclose(row.numpy()[: len(wanted)] / float(row[0] / wanted[0]), wanted, atol=1e-9)


@pytest.mark.parametrize("size", [8, 12])
def test_the_grey_level_stays_and_so_does_the_centre(size: int) -> None:
    flat = torch.ones(1, 1, size, size)
    for change in (double(size), halve(size)):
        middle = change(flat)[0, 0, change(flat).shape[2] // 2, change(flat).shape[3] // 2]
        assert float(middle) == pytest.approx(1.0)
    spot = torch.zeros(1, 1, size, size)
    spot[0, 0, 1, 2] = 1.0
    big = double(size)(spot)[0, 0].numpy()
    y, x = np.mgrid[: 2 * size, : 2 * size]
    # A pixel's middle lies at 2·i + 0.5 of a grid with twice as many.
    assert (y * big).sum() / big.sum() == pytest.approx(2.5)
    assert (x * big).sum() / big.sum() == pytest.approx(4.5)


@pytest.mark.parametrize("size", [4, 6, 12])
def test_sizes_beside_convolutions(size: int) -> None:
    kernel = torch.ones(1, 1, 3, 3)
    images = torch.ones(1, 1, size, size)
    up = torch.nn.functional.conv_transpose2d(images, kernel, stride=2)
    assert after_transposed(size)(up).shape[2] == 2 * size
    down = torch.nn.functional.conv2d(before_strided(size)(images), kernel, stride=2)
    assert down.shape[2] == size // 2
    assert halve(size)(images).shape[2] == size // 2
