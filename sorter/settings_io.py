"""Settings files: TOML into frozen pydantic models and back, with errors that name the key.

A key is always told by its full dotted name, as it would be written in the file. Relative paths
in a file are relative to that file, so that a rig's folder can be moved as a whole.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sorter.errors import SettingsError
from sorter.settings_model import allowed, literals, models_at

M = TypeVar("M", bound=BaseModel)
_MISSING = object()


def load_toml(path: Path, model: type[M]) -> M:
    """Read ``path`` into ``model``.

    Every ``Path`` in the result that was relative is made absolute against the file's folder.

    Raises:
        SettingsError: no such file, not TOML, or a key that is missing, unknown or wrong; the
            message names every such key, what is allowed, and the nearest known name.
    """
    settings = parse_toml(_read(path), model, on=path)
    anchored: M = _anchored(settings, path.absolute().parent)
    return anchored


def parse_toml(text: str, model: type[M], *, on: object) -> M:
    """Validate TOML text; ``on`` is what the errors name as its source. Paths stay as written.

    Raises:
        SettingsError: as for `load_toml`.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"not valid TOML: {_lower_first(str(error))}",
            on=on,
            do="Text needs quotes, a key may stand only once, and a table starts with [name]",
        ) from error
    return validated(data, model, on=on)


def validated(data: Mapping[str, Any], model: type[M], *, on: object) -> M:
    """Validate settings that were read already.

    Raises:
        SettingsError: as for `load_toml`.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [_problem(dict(one), data, model) for one in error.errors()]
    unique = list(dict.fromkeys(problems))
    count = "" if len(unique) == 1 else f"{len(unique)} settings cannot be used: "
    raise SettingsError(count + "; ".join(unique), on=on, do="Correct the file and try again")


def _read(path: Path) -> str:
    try:
        # Windows editors like to put a byte order mark in front, which TOML does not allow.
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise SettingsError(
            "no such settings file", on=path, do="`sorter init` writes one to start from"
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            "the settings file is not UTF-8 text", on=path, do="Save it as UTF-8"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"cannot read the settings file: {(error.strerror or str(error)).lower()}",
            on=path,
            do="Check that it is a file and that you may read it",
        ) from error


def _problem(error: Mapping[str, Any], data: Mapping[str, Any], model: type[BaseModel]) -> str:
    """One clause for one thing that pydantic found."""
    keys, value = _located(error["loc"], data, keep_last=error["type"] in _NAMES_A_KEY)
    key = dotted(keys) or "the file as a whole"
    if error["type"] == "missing":
        meaning = _meaning(keys, data, model)
        return f"`{key}` is missing{f' ({meaning})' if meaning else ''}"
    if error["type"] == "extra_forbidden":
        known = sorted({name for one in models_at(model, keys[:-1], data) for name in one})
        hint = _nearest(str(keys[-1]), known) or f"known here: {', '.join(known) or 'nothing'}"
        return f"`{key}` is unknown; {hint}"
    said = _lower_first(str(error["msg"]).removeprefix("Value error, "))
    shown = "" if isinstance(value, Mapping | list) or value is _MISSING else f" = {value!r}"
    choices = [str(one) for one in _choices(keys, data, model)]
    hint = _nearest(value, choices) if isinstance(value, str) else ""
    return f"`{key}`{shown}: {said}{f'; {hint}' if hint else ''}"


_NAMES_A_KEY = frozenset({"missing", "extra_forbidden"})


def dotted(keys: Sequence[str | int]) -> str:
    """``("a", "b", 0, "c")`` as ``a.b[0].c``."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f"{'.' if text else ''}{key}"
    return text


def _located(
    loc: Sequence[str | int], data: Any, *, keep_last: bool
) -> tuple[tuple[str | int, ...], Any]:
    """The keys of ``loc`` that stand in the file, and the value there.

    pydantic puts names of union members and validators between the keys; the file knows none.
    """
    keys: list[str | int] = []
    value = data
    for place, part in enumerate(loc):
        if isinstance(value, Mapping) and part in value:
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif keep_last and place == len(loc) - 1:
            value = _MISSING
        else:
            continue
        keys.append(part)
    return tuple(keys), value


def _fields_of(keys: Sequence[str | int], data: Mapping[str, Any], model: type[BaseModel]) -> Any:
    if not keys:
        return []
    found = models_at(model, keys[:-1], data)
    return [one[str(keys[-1])] for one in found if str(keys[-1]) in one]


def _meaning(keys: Sequence[str | int], data: Mapping[str, Any], model: type[BaseModel]) -> str:
    for field in _fields_of(keys, data, model):
        parts = [field.description or "", allowed(field)]
        return "; ".join(part.rstrip(".") for part in parts if part)
    return ""


def _choices(
    keys: Sequence[str | int], data: Mapping[str, Any], model: type[BaseModel]
) -> list[Any]:
    return [one for field in _fields_of(keys, data, model) for one in literals(field.annotation)]


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else ""


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _anchored(value: Any, folder: Path) -> Any:
    """``value`` with every relative path in it made absolute against ``folder``."""
    if isinstance(value, BaseModel):
        old = {name: getattr(value, name) for name in type(value).model_fields}
        new = {name: _anchored(one, folder) for name, one in old.items()}
        changed = {name: one for name, one in new.items() if one is not old[name]}
        return value.model_copy(update=changed) if changed else value
    if isinstance(value, Path):
        absolute = folder / value.expanduser()
        return value if absolute == value else absolute
    if isinstance(value, dict):
        table = {key: _anchored(one, folder) for key, one in value.items()}
        return table if any(table[key] is not value[key] for key in table) else value
    if isinstance(value, tuple | list):
        items = [_anchored(one, folder) for one in value]
        same = all(a is b for a, b in zip(items, value, strict=True))
        return value if same else type(value)(items)
    return value
