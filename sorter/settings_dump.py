"""Settings models as text for people: a commented TOML file, and a page of reference."""

from __future__ import annotations

import enum
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sorter.settings_model import allowed, default_of, fits, is_mapping, literals, nested_models

_WIDTH = 98


def dump_commented_toml(
    model: type[BaseModel], values: BaseModel | Mapping[str, Any] | None = None
) -> str:
    """A TOML file with every field of ``model``, each under a comment that explains it.

    Args:
        model: the settings model; descriptions, choices and limits come from its fields.
        values: what to write; a field that is not among them gets its default, and one that is
            required is written as a comment that asks for it.

    `sorter.settings_io.load_toml` reads the file back to an equal model when ``values`` is one.
    """
    lines = [*_comment(_summary(model)), ""]
    lines.extend(_table(model, _as_mapping(values), ()))
    return "\n".join(lines).strip("\n") + "\n"


def settings_reference(model: type[BaseModel], title: str) -> str:
    """A Markdown page with one table for each table of the settings file."""
    parts = [f"# {title}\n"]
    for name, tag, one in _tables(model, ""):
        parts.append(f"## `[{name}]`{tag}\n" if name else "## At the top of the file\n")
        parts.append(f"{_summary(one)}\n")
        rows = [
            f"| `{key}` | {_cell(field.description or '')} | {_cell(allowed(field))} | "
            f"{_shown_default(field)} |"
            for key, field in one.model_fields.items()
            if not nested_models(field.annotation)
        ]
        if rows:
            parts.append("\n".join(["| key | what | allowed | default |", "|---|---|---|---|"]))
            parts[-1] += "\n" + "\n".join(rows) + "\n"
    return "\n".join(parts)


def _tables(
    model: type[BaseModel], prefix: str, tag: str = ""
) -> Iterator[tuple[str, str, type[BaseModel]]]:
    """Name, what tells it from others of that name, and model of every table."""
    yield prefix, tag, model
    for name, field in model.model_fields.items():
        models = nested_models(field.annotation)
        for nested in models:
            tag = _tag(nested) if len(models) > 1 else ""
            yield from _tables(nested, f"{prefix}.{name}" if prefix else name, tag)


def _tag(model: type[BaseModel]) -> str:
    """The field whose only value says that this model of a union is meant."""
    for name, field in model.model_fields.items():
        if len(literals(field.annotation)) == 1:
            return f" with `{name} = {_shown_default(field).strip('`')}`"
    return ""


def _table(model: type[BaseModel], values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """Lines of one table: plain keys first, as TOML demands, then the tables in it."""
    lines: list[str] = []
    tables: list[str] = []
    for name, field in model.model_fields.items():
        value = values[name] if name in values else default_of(field)
        if _is_table(field, value):
            tables.extend(_nested(name, field, value, path))
        else:
            lines.extend(_key(name, field, value))
    return lines + tables


def _nested(name: str, field: FieldInfo, value: Any, path: tuple[str, ...]) -> list[str]:
    """Lines of a field that holds a model, models in a list or mapping, or a plain mapping."""
    here = (*path, name)
    header = _header(here)
    about = ["", *_comment(field.description or "")]
    if value is None:
        return [*about, f"# [{header}] is not set"]
    if isinstance(value, list | tuple):
        return [
            line
            for item in value
            for line in [*about, f"[[{header}]]", *_table(type(item), _as_mapping(item), here)]
        ]
    if not is_mapping(field.annotation):
        about = about if field.description else ["", *_comment(_summary(_model(field, value)))]
        return [*about, *_model_lines(field, value, here)]
    items = {} if value is PydanticUndefined else value
    if nested_models(field.annotation) and items:
        lines = [_model_lines(field, item, (*here, str(key))) for key, item in items.items()]
        return [*about, *(line for one in lines for line in one)]
    return [*about, f"[{header}]", *(f"{_bare(k)} = {_literal(v)}" for k, v in items.items())]


def _model(field: FieldInfo, value: Any) -> type[BaseModel]:
    """Which of the models that ``field`` allows ``value`` is meant for."""
    if isinstance(value, BaseModel):
        return type(value)
    models = nested_models(field.annotation)
    return next((one for one in models if fits(one, value)), models[0])


def _model_lines(field: FieldInfo, value: Any, path: tuple[str, ...]) -> list[str]:
    known = {} if value is PydanticUndefined else _as_mapping(value)
    return [f"[{_header(path)}]", *_table(_model(field, value), known, path)]


def _key(name: str, field: FieldInfo, value: Any) -> list[str]:
    """Comment and assignment of one plain field."""
    lines = _comment(_explained(field, value))
    if value is PydanticUndefined:
        return [*lines, f"# {_bare(name)} =   # REQUIRED: take the # away and fill in"]
    if value is None:
        return [*lines, f"# {_bare(name)} ="]
    return [*lines, f"{_bare(name)} = {_literal(value)}"]


def _explained(field: FieldInfo, value: Any) -> str:
    """Description, what is allowed, and the default where another value is written."""
    default = default_of(field)
    notes = [allowed(field)]
    if default is not PydanticUndefined and default is not None and value != default:
        notes.append(f"default {_literal(default)}")
    note = "; ".join(filter(None, notes))
    text = (field.description or "").strip()
    return f"{text} ({note})" if note and text else text or note


def _is_table(field: FieldInfo, value: Any) -> bool:
    if isinstance(value, BaseModel | Mapping):
        return True
    if isinstance(value, list | tuple):
        return any(isinstance(one, BaseModel) for one in value)
    return value in (None, PydanticUndefined) and bool(nested_models(field.annotation))


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), _WIDTH)]


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").strip().split("\n\n")[0].split())


def _as_mapping(values: BaseModel | Mapping[str, Any] | None) -> Mapping[str, Any]:
    if isinstance(values, BaseModel):
        return {name: getattr(values, name) for name in type(values).model_fields}
    return values or {}


def _plain(value: Any) -> Any:
    """``value`` in the types that TOML knows; nothing is ever None here."""
    if isinstance(value, BaseModel):
        return _plain(_as_mapping(value))
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, set | frozenset):
        return sorted(_plain(one) for one in value)
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value


def _header(path: tuple[str, ...]) -> str:
    return ".".join(_bare(part) for part in path)


def _literal(value: Any) -> str:
    """``value`` as it stands in TOML after the equals sign, on one line."""
    plain = _plain(value)
    if isinstance(plain, list):
        return f"[{', '.join(_literal(one) for one in plain)}]"
    if isinstance(plain, dict):
        return f"{{{', '.join(f'{_bare(k)} = {_literal(v)}' for k, v in plain.items())}}}"
    return tomli_w.dumps({"x": plain}).removeprefix("x = ").rstrip("\n")


def _bare(key: str) -> str:
    return tomli_w.dumps({str(key): 0}).removesuffix(" = 0\n")


def _shown_default(field: FieldInfo) -> str:
    default = default_of(field)
    if default is PydanticUndefined:
        return "required"
    if default is None:
        return "not set"
    return f"`{_cell(_literal(default))}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
