"""Still images without history: detections, the JSON of ``sorter segment``, and overlays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from drivers.ports import Pixels
from sorter.background import BACKGROUND_LEVEL
from sorter.detection import Detection
from sorter.errors import InputError
from sorter.find import Finder, FindSettings, View
from sorter.grid import Grid, Pyramid
from sorter.still_background import StillBackgroundSettings, estimate_background

_AT_FULL_RESOLUTION_UM = 0.01  # finer than any pitch: still images have time


class StillSettings(BaseModel):
    """Settings for still images; the same as the stream's but for the background."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    find: FindSettings = FindSettings(large_pitch_um=_AT_FULL_RESOLUTION_UM)
    background: StillBackgroundSettings = StillBackgroundSettings()
    smallest_um: float = Field(
        50.0,
        ge=0,
        description="thickness from which `segment_files` reports an object, µm: the diameter of "
        "the largest circle inside its outline, so that no fibre or streak of light counts",
    )


def segment_still(
    pixels: Pixels, *, pitch_um: float, settings: StillSettings | None = None
) -> list[Detection]:
    """All objects of one image, whose background is estimated from the image itself.

    Args:
        pixels: (height, width) uint8 or uint16, any size from 16 x 16.
        pitch_um: µm per pixel.
        settings: how to find, and how to tell light from bodies.

    Raises:
        InputError: for an image of another type or a pitch that is not positive.
    """
    settings = settings or StillSettings()
    _check(pixels, pitch_um)
    shape = (int(pixels.shape[0]), int(pixels.shape[1]))
    grid = Grid.fit(shape, pitch_um, settings.find.coarsest_um)
    levels = Pyramid(grid, pixels.dtype).build(pixels)
    reduced = levels[-1]
    level = estimate_background(reduced, pitch_um * grid.reduction, settings.background)
    inverse = np.asarray(BACKGROUND_LEVEL / level, np.float32)
    grey = cv2.multiply(reduced, inverse, dtype=cv2.CV_8U)
    finder = Finder(settings.find, pitch_um=pitch_um, grid=grid)
    return finder.find(View(levels, grey, level, 1.0))


def of_size(found: Sequence[Detection], pitch_um: float, smallest_um: float) -> list[Detection]:
    """Those in whose outline a circle of that diameter fits; fibres and specks are left out."""
    return [
        d
        for d in found
        if d.diameter_um >= smallest_um and thickness_px(d) * pitch_um >= smallest_um
    ]


def thickness_px(detection: Detection) -> float:
    """Diameter of the largest circle inside the outline, in pixels."""
    x, y, width, height = detection.bbox
    mask = np.zeros((height + 2, width + 2), np.uint8)
    outline = (detection.contour - (x - 1, y - 1))[:, None, :].astype(np.int32)
    cv2.drawContours(mask, [outline], -1, 255, -1)
    # Distances are to the nearest pixel outside, half a pixel beyond the edge.
    return 2.0 * float(cv2.distanceTransform(mask, cv2.DIST_L2, 5).max()) - 1.0


def segment_files(
    paths: Sequence[Path],
    pitch_um: float,
    overlay_dir: Path | None = None,
    settings: StillSettings | None = None,
) -> dict[str, Any]:
    """Detections of image files, as ``sorter segment --json`` prints them.

    Args:
        paths: PNG, TIFF, BMP or JPEG files, grey or colour, 8 to 16 bit.
        pitch_um: µm per pixel of all of them.
        overlay_dir: where to write one PNG per image with its outlines; made if it is missing.
        settings: how to find; objects below ``smallest_um`` are left out.

    Returns:
        ``{"images": [{"file", "detections": [{"x_px", "y_px", "area_um2", "diameter_um",
        "circularity", "touches_border", "contour": [[x, y], …]}]}]}``.

    Raises:
        InputError: for a file that can't be read, or a directory that can't be written.
    """
    settings = settings or StillSettings()
    images = []
    used: set[str] = set()
    for path in paths:
        pixels = read_grey(path)
        found = segment_still(pixels, pitch_um=pitch_um, settings=settings)
        found = of_size(found, pitch_um, settings.smallest_um)
        images.append({"file": str(path), "detections": [_as_json(d) for d in found]})
        if overlay_dir is not None:
            name = _unused(f"{path.stem}_overlay", used)
            _write_overlay(overlay_dir / f"{name}.png", pixels, found)
    return {"images": images}


def read_grey(path: Path) -> Pixels:
    """One image file as grey values, uint8 or uint16. Raises `InputError`."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise InputError(
            f"the image can't be read: {error.strerror}", on=path, do="Check the path."
        ) from error
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if image is None:
        raise InputError(
            "not an image that can be read", on=path, do="Give a PNG, TIFF, BMP or JPEG file."
        )
    if image.ndim == 3:
        image = cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2GRAY)
    if image.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"an image of {image.dtype} values", on=path, do="Save it with 8 or 16 bits per pixel."
        )
    return cast(Pixels, image)


def overlay(pixels: Pixels, found: Sequence[Detection]) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 BGR: the image stretched to 8 bits, with outlines.

    Green is whole, orange reaches the border, blue was split from a neighbour, red is a double.
    """
    low, high = np.percentile(pixels, [0.2, 99.8])
    scale = 235.0 / max(high - low, 1.0)
    grey = np.clip((pixels.astype(np.float32) - low) * scale + 10.0, 0, 255).astype(np.uint8)
    zoom = max(1, round(900 / max(pixels.shape)))
    canvas = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    size = canvas.shape[1] * zoom, canvas.shape[0] * zoom
    canvas = cv2.resize(canvas, size, interpolation=cv2.INTER_CUBIC if zoom > 1 else cv2.INTER_AREA)
    for detection in found:
        points = (detection.contour + 0.5) * zoom - 0.5
        line = np.round(points * 16).astype(np.int32)[:, None, :]
        cv2.polylines(canvas, [line], True, _colour(detection), 1, cv2.LINE_AA, shift=4)
        x, y, width, _ = detection.bbox
        where = int((x + width / 2) * zoom) - 14, max(11, int(y * zoom) - 4)
        label = f"{detection.diameter_um:.0f}"
        cv2.putText(canvas, label, where, 0, 0.42, _colour(detection), 1, cv2.LINE_AA)
    return np.asarray(canvas, np.uint8)


def _colour(detection: Detection) -> tuple[int, int, int]:
    if detection.double:
        return (40, 40, 230)
    if detection.touches_border:
        return (0, 140, 255)
    return (230, 150, 0) if detection.split else (60, 190, 0)


def _unused(name: str, used: set[str]) -> str:
    """``name``, or with a number where two images have the same name; remembers it."""
    free, number = name, 2
    while free in used:
        free, number = f"{name}_{number}", number + 1
    used.add(free)
    return free


def _write_overlay(path: Path, pixels: Pixels, found: Sequence[Detection]) -> None:
    _, data = cv2.imencode(".png", overlay(pixels, found))
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data.tobytes())
        partial.replace(path)
    except OSError as error:
        raise InputError(
            f"the overlay can't be written: {error.strerror}", on=path, do="Check the directory."
        ) from error


def _as_json(detection: Detection) -> dict[str, Any]:
    return {
        "x_px": round(detection.x_px, 3),
        "y_px": round(detection.y_px, 3),
        "area_um2": round(detection.area_um2, 3),
        "diameter_um": round(detection.diameter_um, 3),
        "circularity": round(detection.circularity, 4),
        "touches_border": detection.touches_border,
        "contour": detection.contour.tolist(),
    }


def _check(pixels: Pixels, pitch_um: float) -> None:
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16) or min(pixels.shape) < 16:
        raise InputError(
            f"an image of shape {pixels.shape} and type {pixels.dtype}",
            do="Give a grey image of at least 16x16 pixels with 8 or 16 bits.",
        )
    if not pitch_um > 0:
        raise InputError(f"a pitch of {pitch_um} µm/px", do="Give --pitch-um, greater than 0.")
