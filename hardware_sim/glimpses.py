"""What is left of detections where there was no time to outline them all, as `sorter.find` does it:
boxes of whole cells of those that are known, and of the others those that may matter."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sorter.attention import Attention, Box
from sorter.detection import Detection, glimpse
from sorter.find import FindSettings
from sorter.grid import Grid
from sorter.speck import MATTERS_UM


def in_haste(
    detections: Sequence[Detection],
    attention: Attention,
    *,
    pitch_um: float,
    shape: tuple[int, int],
) -> list[tuple[Detection, Detection]]:
    """What a late frame tells of its detections, each with the outline that it comes from.

    Args:
        detections: outlined, of one frame.
        attention: what is paid to the frame.
        pitch_um: µm per pixel.
        shape: (height, width) of the frame.
    """
    found = []
    for detection in detections:
        box = whole_cells(detection.bbox, pitch_um=pitch_um, shape=shape)
        if is_glimpsed(box, attention, shape):
            found.append((glimpse(box, pitch_um=pitch_um, shape=shape), detection))
        elif max(box[2:]) * pitch_um >= MATTERS_UM or attention.seeks(box):
            found.append((detection, detection))
    return found


def is_glimpsed(box: Box, attention: Attention, shape: tuple[int, int]) -> bool:
    """Whether it is known, or comes into view or leaves it beside nobody who is not."""
    is_cut = box[0] == 0 or box[0] + box[2] >= shape[1]
    return attention.knows(box) or (is_cut and not attention.seeks(box))


def whole_cells(bbox: Box, *, pitch_um: float, shape: tuple[int, int]) -> Box:
    """The box of cells of the coarse search around one in pixels."""
    cell_px = Grid.fit(shape, pitch_um, FindSettings().coarsest_um).reduction
    x, y, width, height = bbox
    left, top = x // cell_px, y // cell_px
    right, bottom = math.ceil((x + width) / cell_px), math.ceil((y + height) / cell_px)
    return left * cell_px, top * cell_px, (right - left) * cell_px, (bottom - top) * cell_px
