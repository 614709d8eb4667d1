"""What every section of the configuration is made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0)]
Percent = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=1, le=64)]
Port = Annotated[int, Field(ge=1, le=65_535)]


class Section(BaseModel):
    """A section of the configuration; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _unset(cls, given: Any) -> Any:
        """Let an empty text, such as an unset ``${VAR}``, mean "not given" where a value is required, else "none"."""
        if not isinstance(given, dict):
            return given
        found = {}
        for key, value in given.items():
            field = cls.model_fields.get(key)
            if value == "" and field is not None and field.is_required():
                continue
            found[key] = None if value == "" and field is not None and field.default is None else value
        return found
