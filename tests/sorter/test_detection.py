"""Detections of a reduced image, in pixels of the frame."""

from __future__ import annotations

import numpy as np
import pytest

from sorter.outline import describe, measure
from sorter.tracing import chains_of

PITCH_UM = 1.73


@pytest.mark.parametrize("scale", [2, 4])
def test_a_detection_of_a_reduced_image_lies_where_it_would_have_been_found(scale: int) -> None:
    """A rectangle that fills whole pixels of the reduced image."""
    full = np.zeros((256, 320), np.uint8)
    full[64:128, 96:224] = 255
    reduced = full[::scale, ::scale]
    [large] = chains_of(np.pad(full, 1), -1, -1)
    [small] = chains_of(np.pad(reduced, 1), -1, -1)
    expected = describe(
        measure(large),
        pitch_um=PITCH_UM,
        grey_ratio=0.5,
        shape=full.shape,
    )
    found = describe(
        measure(small),
        pitch_um=PITCH_UM * scale,
        grey_ratio=0.5,
        shape=reduced.shape,
        scale=scale,
    )
    assert (found.x_px, found.y_px) == pytest.approx((expected.x_px, expected.y_px))
    assert found.bbox == expected.bbox
    assert found.area_um2 == pytest.approx(expected.area_um2)
    assert found.diameter_um == pytest.approx(expected.diameter_um)
    assert np.abs(found.contour.mean(axis=0) - (159.5, 95.5)).max() <= scale / 2
