"""Settings files say what is wrong by the key's full name, and survive a round trip."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sorter.errors import SettingsError
from sorter.settings_dump import dump_commented_toml, settings_reference
from sorter.settings_io import load_toml, parse_toml


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Policy(enum.Enum):
    PURITY = "purity"
    YIELD = "yield"


class DemoCamera(Frozen):
    """The camera that needs no hardware."""

    kind: Literal["demo"] = "demo"
    cfg: Path = Field(Path("demo.cfg"), description="Micro-Manager configuration file.")


class LabCamera(Frozen):
    """A camera in the lab."""

    kind: Literal["lab"] = "lab"
    exposure_us: int = Field(40, gt=0, le=10_000, description="Exposure, microseconds.")


class Outlet(Frozen):
    """One outlet."""

    pin: int = Field(0, ge=0, description="Gate pin.")


class Window(Frozen):
    """Diameters that may be collected, µm."""

    smallest_um: float = Field(80.0, gt=0, description="Smallest diameter, µm.")
    largest_um: float = Field(500.0, gt=0, description="Largest diameter, µm.")

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if self.smallest_um >= self.largest_um:
            raise ValueError("smallest_um must be below largest_um")
        return self


class Rig(Frozen):
    """A rig for tests."""

    name: str = Field(description="What people call it.")
    policy: Policy = Field(Policy.PURITY, description="What matters most.")
    model: Path | None = Field(None, description="Bundle folder.")
    gains: tuple[float, ...] = Field((1.0, 2.5), description="Gains.")
    camera: Annotated[DemoCamera | LabCamera, Field(discriminator="kind")] = DemoCamera()
    window: Window = Window()
    labels: dict[str, str] = Field({"healthy": "collect"}, description="Class to outlet.")
    outlets: dict[str, Outlet] = Field({}, description="Outlets by name.")
    views: tuple[Outlet, ...] = Field((), description="A list of tables.")
    spare: Window | None = Field(None, description="A window that is rarely used.")


@dataclass(frozen=True)
class Wrong:
    name: str
    text: str
    says: tuple[str, ...]


WRONG = [
    Wrong("missing", "", ("`name` is missing", "What people call it", "text")),
    Wrong(
        "unknown", "name='a'\npolicies='purity'", ("`policies` is unknown", "did you mean `policy`")
    ),
    Wrong("unknown and far", "name='a'\nzzz=1", ("`zzz` is unknown", "known here: camera, gains")),
    Wrong("not allowed", "name='a'\npolicy='purty'", ("`policy` = 'purty'", "`purity`")),
    Wrong("nested", "name='a'\n[window]\nsmallest=1", ("`window.smallest`", "`smallest_um`")),
    Wrong(
        "value out of range",
        "name='a'\n[camera]\nkind='lab'\nexposure_us=-1",
        ("`camera.exposure_us` = -1", "greater than 0"),
    ),
    Wrong(
        "unknown in the chosen member of a union",
        "name='a'\n[camera]\nkind='lab'\nexposure_ms=1",
        ("`camera.exposure_ms` is unknown", "`exposure_us`"),
    ),
    Wrong("tag", "name='a'\n[camera]\nkind='labb'", ("`camera`", "'demo', 'lab'")),
    Wrong("wrong type", "name=3", ("`name` = 3", "valid string")),
    Wrong("item of a list", "name='a'\n[[views]]\npin=1\n[[views]]\npan=1", ("`views[1].pan`",)),
    Wrong(
        "item of a mapping",
        "name='a'\n[outlets.waste]\npinn=1",
        ("`outlets.waste.pinn` is unknown", "did you mean `pin`"),
    ),
    Wrong(
        "model as a whole",
        "name='a'\n[window]\nsmallest_um=600.0",
        ("`window`: smallest_um must be below largest_um",),
    ),
    Wrong("two at once", "policies='purity'", ("2 settings", "`name` is missing", "`policies`")),
    Wrong("not TOML", "name = ?", ("not valid TOML", "line 1")),
    Wrong("twice", "name='a'\nname='b'", ("not valid TOML", "only once")),
]


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.name)
def test_says_what_is_wrong(case: Wrong, tmp_path: Path) -> None:
    path = tmp_path / "rig.toml"
    path.write_text(case.text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_toml(path, Rig)
    for part in (*case.says, str(path)):
        assert part in caught.value.message
    assert caught.value.exit_code == 2
    assert caught.value.do


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "no such settings file"), (b"name = '\xff'", "UTF-8")],
    ids=["absent", "another encoding"],
)
def test_unreadable_files(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "rig.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=says):
        load_toml(path, Rig)


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        load_toml(tmp_path, Rig)


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "rig.toml"
    path.write_bytes(b"\xef\xbb\xbfname = 'a'\r\n")
    assert load_toml(path, Rig).name == "a"


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rig.toml"
    absolute = (tmp_path / "elsewhere").as_posix()
    path.write_text(f"name='a'\nmodel='{absolute}'\n[camera]\nkind='demo'\ncfg='a/b.cfg'")
    rig = load_toml(path, Rig)
    assert isinstance(rig.camera, DemoCamera)
    assert rig.camera.cfg == tmp_path / "a" / "b.cfg"
    assert rig.model == Path(absolute)


def test_a_default_path_is_relative_to_the_file_too(tmp_path: Path) -> None:
    path = tmp_path / "rig.toml"
    path.write_text("name='a'")
    rig = load_toml(path, Rig)
    assert isinstance(rig.camera, DemoCamera)
    assert rig.camera.cfg == tmp_path / "demo.cfg"
    assert isinstance(Rig(name="a").camera, DemoCamera)  # the default itself is as it was
    assert Rig(name="a").camera == DemoCamera()


def test_dump_explains_every_key() -> None:
    text = dump_commented_toml(Rig, Rig(name="a", policy=Policy.YIELD))
    assert text.startswith("# A rig for tests.\n")
    assert "# What matters most. (one of 'purity', 'yield'; default \"purity\")" in text
    assert 'policy = "yield"' in text
    assert "# Smallest diameter, µm. (a number, > 0)\nsmallest_um = 80.0" in text
    assert "# model =" in text
    assert "gains = [1.0, 2.5]" in text
    assert '[labels]\nhealthy = "collect"' in text


def test_dump_without_values_asks_for_what_is_required() -> None:
    text = dump_commented_toml(Rig)
    assert "# name =   # REQUIRED" in text
    with pytest.raises(SettingsError, match="`name` is missing"):
        parse_toml(text, Rig, on="test")


def test_dump_of_a_part() -> None:
    text = dump_commented_toml(Rig, {"name": "b", "camera": {"kind": "lab", "exposure_us": 7}})
    assert parse_toml(text, Rig, on="test") == Rig(name="b", camera=LabCamera(exposure_us=7))


def test_reference_lists_every_table_and_key() -> None:
    page = settings_reference(Rig, "Settings")
    assert "## `[window]`\n" in page
    assert '## `[camera]` with `kind = "lab"`\n' in page
    assert "| `smallest_um` | Smallest diameter, µm. | a number, > 0 | `80.0` |" in page
    assert "| `name` | What people call it. | text | required |" in page


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
paths = st.text("abc/._ é", min_size=1, max_size=8).map(Path)
outlets = st.builds(Outlet, pin=st.integers(0, 40))
windows = st.builds(
    Window, smallest_um=st.floats(1.0, 99.0), largest_um=st.sampled_from([100.0, math.inf])
)
rigs = st.builds(
    Rig,
    name=names,
    policy=st.sampled_from(Policy),
    model=st.none() | paths,
    gains=st.lists(numbers, max_size=3).map(tuple),
    camera=st.builds(DemoCamera, cfg=paths) | st.builds(LabCamera, exposure_us=st.integers(1, 99)),
    window=windows,
    labels=st.dictionaries(names, names, max_size=3),
    outlets=st.dictionaries(names, outlets, max_size=2),
    views=st.lists(outlets, max_size=2).map(tuple),
    spare=st.none() | windows,
)


@given(rigs)
def test_round_trip(rig: Rig) -> None:
    assert parse_toml(dump_commented_toml(Rig, rig), Rig, on="test") == rig
