"""What a settings model says about its own fields: choices, limits, defaults, nested models."""

from __future__ import annotations

import enum
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

Fields = Mapping[str, FieldInfo]
_LIMITS = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"), ("multiple_of", "a multiple of"))
_KINDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
}


def members(annotation: Any) -> Iterator[Any]:
    """The types that ``annotation`` allows, unions and ``Annotated`` taken apart."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for one in get_args(annotation):
            yield from members(one)
    else:
        yield annotation


def nested_models(annotation: Any) -> list[type[BaseModel]]:
    """The models that a value of ``annotation`` may be, or may hold as an item."""
    found: list[type[BaseModel]] = []
    for one in members(annotation):
        if isinstance(one, type) and issubclass(one, BaseModel):
            found.append(one)
        elif get_origin(one) is not None:
            found.extend(model for arg in get_args(one) for model in nested_models(arg))
    return found


def literals(annotation: Any) -> list[Any]:
    """The values of every ``Literal`` and ``Enum`` in ``annotation``."""
    values: list[Any] = []
    for one in members(annotation):
        if get_origin(one) is Literal:
            values.extend(get_args(one))
        elif isinstance(one, type) and issubclass(one, enum.Enum):
            values.extend(member.value for member in one)
    return values


def allowed(field: FieldInfo) -> str:
    """What may stand in ``field``, in words: its choices, or its kind and limits."""
    choices = literals(field.annotation)
    if choices:
        return "one of " + ", ".join(repr(one) for one in choices)
    kinds = [_KINDS[one] for one in members(field.annotation) if one in _KINDS]
    limits = [
        f"{sign} {getattr(mark, name)}"
        for mark in field.metadata
        for name, sign in _LIMITS
        if getattr(mark, name, None) is not None
    ]
    return ", ".join(filter(None, [" or ".join(kinds), " and ".join(limits)]))


def default_of(field: FieldInfo) -> Any:
    """The default value, or ``PydanticUndefined`` where the field is required."""
    if field.is_required():
        return PydanticUndefined
    return field.get_default(call_default_factory=True, validated_data={})


def models_at(model: type[BaseModel], keys: Sequence[str | int], data: Any) -> list[Fields]:
    """The fields that may stand in the table at ``keys`` of ``data``.

    Several where a union of models is allowed there and ``data`` doesn't tell which is meant.
    """
    candidates = [model]
    value = data
    names_an_item = False
    for key in keys:
        value = _step(value, key)
        if isinstance(key, int) or names_an_item:
            names_an_item = False
            continue  # an item of a list or mapping: the field's annotation named its model
        fields = [one.model_fields[key] for one in candidates if key in one.model_fields]
        candidates = [found for field in fields for found in nested_models(field.annotation)]
        names_an_item = any(is_mapping(field.annotation) for field in fields)
    fitting = [one for one in candidates if fits(one, value)]
    return [one.model_fields for one in (fitting or candidates)]


def _step(value: Any, key: str | int) -> Any:
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None


def is_mapping(annotation: Any) -> bool:
    """Whether ``annotation`` allows a mapping of free keys, as ``dict[str, Outlet]`` does."""
    origins = [get_origin(one) for one in members(annotation)]
    return any(isinstance(one, type) and issubclass(one, Mapping) for one in origins)


def fits(model: type[BaseModel], value: Any) -> bool:
    """Whether the literal fields of ``model``, its tags, agree with ``value``."""
    if not isinstance(value, Mapping):
        return True
    return all(
        value[name] in choices
        for name, field in model.model_fields.items()
        if name in value and (choices := literals(field.annotation))
    )
