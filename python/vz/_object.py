# SPDX-License-Identifier: MIT
"""What the objects of a configuration have in common."""
import os
import re
import uuid
from typing import Any, Optional, Protocol, Union


class HasFileno(Protocol):
    def fileno(self) -> int: ...


Path = Union[str, "os.PathLike[str]"]
Descriptor = Union[int, HasFileno]
Uuid = Union[str, uuid.UUID]


def _value(value):
    """As JSON has it."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if hasattr(value, "fileno"):
        return value.fileno()
    if hasattr(value, "__iter__") and not isinstance(value, (str, bytes, dict, list)):
        return list(value)
    return value


def _camel(name):
    return re.sub("_(.)", lambda m: m[1].upper(), name)


def _snake(name):
    return re.sub("([A-Z])", lambda m: "_" + m[1].lower(), name)


class Object(dict):
    """An object of a configuration: the dict of its JSON form (docs/config-json.md). Arguments are
    members of that form in snake_case; what is None is left out. Files that are open, and whatever
    else has a fileno(), stand for their descriptors."""
    _type: Optional[str] = None

    def __init__(self, **members: Any) -> None:
        super().__init__()
        if self._type:
            self["type"] = self._type
        self.update((_camel(name), _value(value)) for name, value in members.items()
                    if value is not None)

    def __repr__(self) -> str:
        members = ", ".join(f"{_snake(name)}={value!r}" for name, value in self.items()
                            if name != "type")
        return f"{type(self).__name__}({members})"
