"""Cut-outs of real spheroids as bodies: played through the same scene as the drawn ones.

A cut-out is light relative to its local background, faded to 1 around the outline so that no
seam shows. It turns in the plane only, and nothing is known about its health.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hardware_sim.bodies import Body, Patch, defocus_sigma_um
from hardware_sim.spheroids import BodySpec
from sorter.errors import InputError

DROPLETS = "a673_droplets"
DROPLET_PITCH_UM = 3.26
_KEEP_PX = 5.0
_FADE_PX = 4.0

Light = NDArray[np.float32]
Mask = NDArray[np.bool_]


def relative_light(image: NDArray[np.float32]) -> Light:
    """Image (h, w) over its background, a paraboloid fitted to what is not far from it."""
    height, width = image.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1).reshape(-1, 6)
    flat = image.ravel()
    level = np.full(image.size, np.median(image), np.float32)
    for limit in (0.15, 0.1, 0.08):
        keep = np.abs(flat / level - 1.0) < limit
        fit, *_ = np.linalg.lstsq(terms[keep], flat[keep], rcond=None)
        level = (terms @ fit).astype(np.float32)
    return np.asarray(flat / level, dtype=np.float32).reshape(image.shape)


def outline(light: Light) -> Mask:
    """Filled mask (h, w) of the body in the middle, at about 3 µm/px.

    What differs from the background is closed (4 px), filled and opened (5 px, which takes off
    single cells that stick to the rim). All False where nothing is found.
    """
    smooth = cv2.GaussianBlur(light, (0, 0), 0.7)
    marked = (np.abs(smooth - 1.0) > 0.19).astype(np.uint8)
    closed = cv2.morphologyEx(marked, cv2.MORPH_CLOSE, _disc(4))
    contours, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(closed.shape, np.uint8)
    cv2.drawContours(filled, contours, -1, 1, cv2.FILLED)
    opened = cv2.morphologyEx(filled, cv2.MORPH_OPEN, _disc(5))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened)
    if count < 2:
        return np.zeros(light.shape, np.bool_)
    middle = labels[labels.shape[0] // 2, labels.shape[1] // 2]
    best = middle if middle else 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return np.asarray(labels == best, dtype=np.bool_)


def droplets(folder: Path) -> dict[str, Light]:
    """Relative light of the ``a673_droplets`` frames that ``visual_qc.csv`` calls ok.

    Args:
        folder: holds the sub-folder ``a673_droplets``.

    Raises:
        InputError: the folder or an image in it is missing or can't be read.
    """
    table = folder / DROPLETS / "visual_qc.csv"
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(
            f"the real images can't be read: {error.strerror}",
            on=table,
            do="Point to the folder that holds a673_droplets, as tests/data/real does.",
        ) from error
    names = [row["file"] for row in csv.DictReader(lines) if row["visual_qc"] == "ok"]
    return {name: relative_light(_read(folder / DROPLETS / "images" / name)) for name in names}


class RealBody:
    """One cut-out.

    Args:
        spec: what it is.
        light: (h, w) relative light, 1 outside the body.
        centre_px: (x, y) of the body's centroid in ``light``.
        pitch_um: µm per pixel of ``light``.
        depth_of_field_um: of the simulated lens.
    """

    def __init__(
        self,
        spec: BodySpec,
        light: Light,
        centre_px: tuple[float, float],
        *,
        pitch_um: float = DROPLET_PITCH_UM,
        depth_of_field_um: float = 100.0,
    ) -> None:
        self._spec = spec
        self._light = light
        self._centre_px = centre_px
        self._pitch_um = pitch_um
        self._depth_of_field_um = depth_of_field_um
        y, x = np.nonzero(light != 1.0)
        reach = np.hypot(x - centre_px[0], y - centre_px[1]).max() if len(x) else 1.0
        self._radius_um = float(reach + 1.0) * pitch_um

    @property
    def spec(self) -> BodySpec:
        """What it is: phenotype ``real``, health unknown."""
        return self._spec

    @property
    def radius_um(self) -> float:
        """Radius of a circle around its centroid that holds all of the cut-out."""
        return self._radius_um

    def transmission(
        self,
        rotation: NDArray[np.floating],
        *,
        pitch_um: float,
        defocus_um: float,
        centre_px: tuple[float, float],
    ) -> Patch:
        """See `hardware_sim.bodies.Body.transmission`; only the part of the rotation that lies in
        the image plane is used."""
        angle = np.arctan2(rotation[1, 0] - rotation[0, 1], rotation[0, 0] + rotation[1, 1])
        sigma_px = defocus_sigma_um(defocus_um, self._depth_of_field_um) / pitch_um
        half = int(np.ceil(self._radius_um / pitch_um + 3.0 * sigma_px + 2.0))
        x0, y0 = round(centre_px[0]) - half, round(centre_px[1]) - half
        scale = pitch_um / self._pitch_um
        cos, sin = scale * float(np.cos(angle)), scale * float(np.sin(angle))
        cx, cy = centre_px[0] - x0, centre_px[1] - y0
        # From the patch back to the cut-out: the inverse rotation about the centres.
        matrix = np.array(
            [
                [cos, sin, self._centre_px[0] - cos * cx - sin * cy],
                [-sin, cos, self._centre_px[1] + sin * cx - cos * cy],
            ]
        )
        side = 2 * half + 1
        light = cv2.warpAffine(
            self._light,
            matrix,
            (side, side),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=1.0,
        )
        if sigma_px > 0.3:
            light = cv2.GaussianBlur(light, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)
        return Patch(np.asarray(light, dtype=np.float32), x0, y0)


@dataclass(frozen=True, slots=True)
class _Cutout:
    light: Light
    centre_px: tuple[float, float]
    diameter_um: float


class RealSource:
    """All usable cut-outs of a folder of real images.

    Args:
        folder: holds the sub-folder ``a673_droplets`` (images, ``visual_qc.csv``).
        depth_of_field_um: of the simulated lens.

    Raises:
        InputError: the images are missing, or no body is found on any.
    """

    def __init__(self, folder: Path, *, depth_of_field_um: float = 100.0) -> None:
        self._depth_of_field_um = depth_of_field_um
        found = (_cut(light) for light in droplets(folder).values())
        self._cutouts = tuple(cutout for cutout in found if cutout is not None)
        if not self._cutouts:
            raise InputError("no body is found on any real image", on=folder)

    def __len__(self) -> int:
        return len(self._cutouts)

    def draw_spheroid(self, rng: np.random.Generator) -> BodySpec:
        """The spec of a random cut-out; its ``seed`` is the number of the cut-out."""
        number = int(rng.integers(len(self._cutouts)))
        return BodySpec(
            "spheroid", self._cutouts[number].diameter_um, None, "real", 0.0, seed=number
        )

    def make_body(self, spec: BodySpec) -> Body:
        """The body of a spec that `draw_spheroid` gave.

        Raises:
            ValueError: the spec is not of this source.
        """
        if spec.phenotype != "real" or not 0 <= spec.seed < len(self._cutouts):
            raise ValueError(f"{spec} is not one of {len(self._cutouts)} real cut-outs")
        cutout = self._cutouts[spec.seed]
        return RealBody(
            spec, cutout.light, cutout.centre_px, depth_of_field_um=self._depth_of_field_um
        )


def _cut(light: Light) -> _Cutout | None:
    mask = outline(light)
    if not mask.any():
        return None
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    alpha = np.clip(1.0 - (outside - _KEEP_PX) / _FADE_PX, 0.0, 1.0)
    y, x = np.nonzero(mask)
    diameter_um = 2.0 * float(np.sqrt(len(x) / np.pi)) * DROPLET_PITCH_UM
    faded = np.asarray(1.0 + alpha * (light - 1.0), dtype=np.float32)
    margin = int(_KEEP_PX + _FADE_PX) + 2
    x0, y0 = max(0, int(x.min()) - margin), max(0, int(y.min()) - margin)
    piece = faded[y0 : int(y.max()) + margin + 1, x0 : int(x.max()) + margin + 1]
    centre = (float(x.mean()) - x0, float(y.mean()) - y0)
    return _Cutout(np.ascontiguousarray(piece), centre, diameter_um)


def _read(path: Path) -> NDArray[np.float32]:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 2:
        raise InputError("a real image can't be read", on=path, do="Copy it again.")
    return np.asarray(image, dtype=np.float32)


def _disc(radius: int) -> NDArray[np.uint8]:
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
