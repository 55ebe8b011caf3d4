"""Images that come in: sizes, depths, pitches, greys; what is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.dataset import load_crops
from models.duplicates import near_duplicates
from models.import_crops import (
    ImportSettings,
    entries_from_folders,
    entries_from_table,
    import_crops,
    normalised,
)
from sorter.crop import CropSettings, crop
from sorter.detection import Detection
from sorter.errors import InputError, UsageError
from tests.models.toy import draw, write_table, write_toy

SETTINGS = ImportSettings(size_px=32, pitch_um=6.0, source_pitch_um=6.0)


def disc(side: int, radius: float, background: float, dark: float) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    inside = np.hypot(x - (side - 1) / 2, y - (side - 1) / 2) < radius
    return np.where(inside, dark, background)


def save(file: Path, image: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), image)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label, kind in (("healthy", "healthy"), ("unhealthy", "spotted"), ("other", "ring")):
        for run in ("a", "b", "c"):
            for i in range(3):
                save(tmp_path / "in" / label / run / f"{i}.png", draw(kind, 32, rng))
    return tmp_path / "in"


def test_folders_by_class_and_run(folders: Path, tmp_path: Path) -> None:
    count = import_crops(entries_from_folders(folders), tmp_path / "out", SETTINGS)
    crops = load_crops(tmp_path / "out")
    assert count == len(crops) == 27
    assert sorted(set(crops.run.tolist())) == ["a", "b", "c"]
    assert np.bincount(crops.label).tolist() == [9, 9, 9]
    assert crops.pitch_um == 6.0
    assert np.median(crops.images[:, 0]) == 160


def test_table_with_donors(folders: Path, tmp_path: Path) -> None:
    rows = [
        {"file": "healthy/a/0.png", "label": "healthy", "run": "r1", "donor": "d1", "day": "3"},
        {"file": "unhealthy/b/1.png", "label": "unhealthy", "run": "r2", "donor": "d1", "day": "5"},
    ]
    write_table(folders, rows)
    entries = entries_from_table(folders / "labels.csv")
    import_crops(entries, tmp_path / "runs", SETTINGS)
    by_donor = SETTINGS.model_copy(update={"group_by": "donor"})
    import_crops(entries, tmp_path / "donors", by_donor)
    assert load_crops(tmp_path / "runs").run.tolist() == ["r1", "r2"]
    assert load_crops(tmp_path / "donors").run.tolist() == ["d1", "d1"]
    with (tmp_path / "runs" / "labels.csv").open(encoding="utf-8") as file:
        assert [row["day"] for row in csv.DictReader(file)] == ["3", "5"]


@pytest.mark.parametrize("side", [41, 64, 97])
@pytest.mark.parametrize("pitch_um", [3.0, 6.0, 9.0])
def test_sizes_in_micrometres_stay(side: int, pitch_um: float) -> None:
    radius_um = 50.0
    image = disc(side, radius_um / pitch_um, 120, 60).astype(np.uint8)
    out = normalised(image, pitch_um, SETTINGS)
    assert out.shape == (32, 32)
    # Darkness adds up to the disc's area, whatever the pixels' size.
    area_um2 = ((160 - out) / 80).sum() * 36
    assert area_um2 == pytest.approx(np.pi * radius_um**2, rel=0.08)


def test_grey_as_in_the_sorters_own_crops() -> None:
    image = disc(64, 12, 200, 90).astype(np.uint8)
    ours = normalised(image, 3.0, SETTINGS)
    detection = Detection(
        x_px=31.5,
        y_px=31.5,
        area_um2=4000.0,
        diameter_um=72.0,
        circularity=1.0,
        solidity=1.0,
        grey_ratio=0.45,
        bbox=(19, 19, 25, 25),
        touches_border=False,
        split=False,
        double=False,
        contour=np.array([[20, 20], [43, 20], [43, 43], [20, 43]], np.int32),
    )
    theirs = crop(image, 200.0, detection, pitch_um=3.0, settings=CropSettings(size_px=32))
    assert np.abs(np.rint(ours) - theirs.astype(float)).mean() < 1.0
    assert (theirs[0, 0], round(float(ours[0, 0]))) == (160, 160)


def test_sixteen_bit_and_colour(tmp_path: Path) -> None:
    image = disc(32, 8, 150, 60)
    save(tmp_path / "in/healthy/deep.tif", (image * 257).astype(np.uint16))
    save(tmp_path / "in/healthy/plain.png", image.astype(np.uint8))
    save(tmp_path / "in/healthy/colour.png", np.repeat(image.astype(np.uint8)[:, :, None], 3, 2))
    for bits in (8, 16):
        out = tmp_path / f"out{bits}"
        settings = SETTINGS.model_copy(update={"bits": bits})
        import_crops(entries_from_folders(tmp_path / "in"), out, settings)
        crops = load_crops(out)
        assert np.abs(np.diff(crops.images.astype(int), axis=0)).max() <= 1
        raw = cv2.imread(str(out / "images" / "000000.png"), cv2.IMREAD_UNCHANGED)
        assert raw is not None
        assert raw.dtype == (np.uint8 if bits == 8 else np.uint16)


def test_what_cannot_be_used_is_refused_and_nothing_is_left(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (folders / "other" / "a" / "0.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(InputError, match="corrupt"):
        import_crops(entries_from_folders(folders), out, SETTINGS)
    assert not [one for one in tmp_path.iterdir() if one.name != "in"]
    nameless = SETTINGS.model_copy(update={"source_pitch_um": None})
    with pytest.raises(InputError, match="how many µm"):
        import_crops(entries_from_folders(folders), out, nameless)
    out.mkdir()
    with pytest.raises(UsageError, match="exists"):
        import_crops(entries_from_folders(folders), out, SETTINGS)


def test_empty_classes_and_tables(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder of a class"):
        entries_from_folders(tmp_path)
    (tmp_path / "unhealthy").mkdir()
    with pytest.raises(InputError, match="has no images"):
        entries_from_folders(tmp_path)
    table = tmp_path / "t.csv"
    for text, words in (
        ("file\n", "columns are missing"),
        ("file,label\n", "empty"),
        ("file,label\na.png,ill\n", "line 2"),
    ):
        table.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=words):
            entries_from_table(table)
    with pytest.raises(InputError, match="can't be read"):
        entries_from_table(tmp_path / "none.csv")


def test_near_duplicates(tmp_path: Path) -> None:
    rows = write_toy(tmp_path / "data", objects=21, views=1)
    images = tmp_path / "data"
    first = cv2.imread(str(images / rows[0]["file"]), cv2.IMREAD_UNCHANGED)
    assert first is not None
    assert not near_duplicates(load_crops(images))
    save(images / rows[5]["file"], first)
    brighter = np.clip(first.astype(int) + 3, 0, 255).astype(np.uint8)
    save(images / rows[9]["file"], brighter)
    pairs = near_duplicates(load_crops(images))
    by_ids = {(one.first, one.second): one for one in pairs}
    exact = by_ids[rows[0]["id"], rows[5]["id"]]
    assert (exact.exact, exact.leaks, exact.clashes) == (True, True, True)
    near = by_ids[rows[0]["id"], rows[9]["id"]]
    assert (near.exact, near.clashes) == (False, False)
    assert len(pairs) == 3
