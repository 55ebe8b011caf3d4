"""The documents say what is so. `make docs` writes the page of settings anew."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from sorter.settings import RigSettings
from sorter.settings_dump import settings_reference
from sorter.settings_io import parse_toml

ROOT = Path(__file__).parents[1]
SETTINGS_PAGE = ROOT / "docs" / "settings.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks/README.md"])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _settings_page() -> str:
    return settings_reference(RigSettings, "Settings of a rig")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [one for one in LINK.findall(text) if "://" not in one]
    assert not [one for one in links if not (page.parent / one).exists()]


def test_the_page_of_settings_is_current() -> None:
    assert SETTINGS_PAGE.read_text(encoding="utf-8") == _settings_page(), "run `make docs`"


def test_settings_in_readme_are_accepted() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = [body for kind, body in BLOCK.findall(text) if kind == "toml"]
    assert blocks
    for block in blocks:
        assert tomllib.loads(block)
        parse_toml(block, RigSettings, on="README.md")


def test_settings_of_a_text_valve_are_accepted() -> None:
    text = (ROOT / "docs" / "text_valve.md").read_text(encoding="utf-8")
    (block,) = [body for kind, body in BLOCK.findall(text) if kind == "toml"]
    camera = "[camera]\nconfig_file = 'camera.cfg'\n"
    rig = parse_toml(camera + block, RigSettings, on="docs/text_valve.md")
    assert rig.dispenser.kind == "text_valve"


def test_commands_in_documents_are_targets_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    for page in PAGES:
        used = set(re.findall(r"^make ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
        assert used <= targets, page


if __name__ == "__main__":
    SETTINGS_PAGE.write_text(_settings_page(), encoding="utf-8", newline="\n")


def test_what_the_safety_page_names_is_there() -> None:
    """Every file, and every name of the code, that it calls a mechanism or a test."""
    text = (ROOT / "docs" / "safety.md").read_text(encoding="utf-8")
    files = set(re.findall(r"`((?:tests|benchmarks|drivers|sorter)/[\w/.]+)`", text))
    assert len(files) >= 20
    assert not [one for one in files if not (ROOT / one).exists()]
    code = "".join(
        path.read_text(encoding="utf-8")
        for package in ("sorter", "drivers")
        for path in (ROOT / package).rglob("*.py")
    )
    names = set(re.findall(r"`([A-Z]\w+)\.(\w+)", text))
    assert len(names) >= 5
    for owner, name in names:
        assert f"class {owner}" in code
        assert re.search(rf"(def |self\.){name}\b", code)
