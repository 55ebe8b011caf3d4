"""What is installed: every package, its data files, and nothing of the tests."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("sorter", "drivers", "models", "calibration", "hardware_sim")
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info", ".*")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel of this tree, built from a copy so that the tree stays clean; no network."""
    copy = tmp_path_factory.mktemp("source")
    for name in (*PACKAGES, "tests", "benchmarks"):
        shutil.copytree(ROOT / name, copy / name, ignore=NOT_SHIPPED)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(out), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [path] = out.glob("*.whl")
    return zipfile.ZipFile(path)


def test_holds_the_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {one for one in tops if not one.endswith(".dist-info")} == set(PACKAGES)


def test_holds_every_file_of_the_packages(wheel: zipfile.ZipFile) -> None:
    shipped = set(wheel.namelist())
    source = {
        path.relative_to(ROOT).as_posix()
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert not source - shipped, "extend package-data in pyproject.toml"


def test_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    [name] = [one for one in wheel.namelist() if one.endswith(".dist-info/METADATA")]
    metadata = wheel.read(name).decode()
    assert "Name: spheroid-sorter" in metadata
    assert "License-Expression: BSD-3-Clause" in metadata
    assert "Requires-Python: >=3.11" in metadata
    plain = [one for one in metadata.splitlines() if one.startswith("Requires-Dist:")]
    assert not [one for one in plain if "torch" in one and "extra ==" not in one]


def test_offers_one_command(wheel: zipfile.ZipFile) -> None:
    [name] = [one for one in wheel.namelist() if one.endswith("entry_points.txt")]
    assert wheel.read(name).decode().split() == [
        "[console_scripts]",
        "sorter",
        "=",
        "sorter.cli:main",
    ]


def test_torch_is_pinned_in_one_place_for_every_install() -> None:
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    train = config["project"]["optional-dependencies"]["train"]
    [torch] = [one for one in train if re.match(r"torch\b", one)]
    assert torch in pinned.splitlines()
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    installs = [one for one in makefile.splitlines() if "$(PIP) install" in one]
    assert installs
    assert all("-c constraints.txt" in one for one in installs)
