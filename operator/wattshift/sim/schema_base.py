"""Base of the models of a scenario file: camelCase keys, nothing unknown, field texts for the docs.

Units are in the names. The models only say what a file may hold; `load*.py` turn it into arrays.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field


def camel(name: str) -> str:
    """`step_seconds` -> `stepSeconds`; a trailing underscore (`from_`) is dropped."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(word.capitalize() for word in rest)


class FileModel(BaseModel):
    """Base of every object in a scenario file."""

    model_config = ConfigDict(
        alias_generator=camel,
        validate_by_name=False,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )


def one_of(model: BaseModel, *names: str) -> None:
    """Raises ValueError unless exactly one of these attributes is set."""
    given = [name for name in names if getattr(model, name) is not None]
    if len(given) != 1:
        words = ", ".join(camel(name) for name in names)
        found = " and ".join(camel(name) for name in given) or "none"
        raise ValueError(f"set exactly one of {words}; found {found}")


def _aware(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError('needs an offset, such as "2023-01-01T00:00:00Z" in quotes')
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("must be a time such as 2023-01-01T00:00:00Z") from None
        if moment.tzinfo is None:
            raise ValueError("needs an offset, such as 2023-01-01T00:00:00Z")
        return moment
    if not isinstance(value, datetime):
        raise ValueError("must be a time such as 2023-01-01T00:00:00Z")  # noqa: TRY004
    return value


Name = Annotated[
    str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$")
]
Time = Annotated[AwareDatetime, BeforeValidator(_aware)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=1e15)]
NotNegative = Annotated[float, Field(ge=0, le=1e15)]
Whole = Annotated[int, Field(ge=0, le=10_000_000)]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
