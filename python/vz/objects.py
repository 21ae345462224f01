# SPDX-License-Identifier: MIT
"""The classes of a configuration's objects. A build makes them ahead (_generate.py), so that editors
and type checkers know them; where that could not be done (pip), the library is asked now."""
import json
from typing import Any, Dict

from ._library import checked, lib, new_error, text


def schema() -> Dict[str, Any]:
    """What can be configured, and the options of `vz run`, as the library tells it
    (vz_config_schema())."""
    err = new_error()
    told = checked(lib.vz_config_schema(err), err)
    try:
        return json.loads(text(told))
    finally:
        lib.free(told)


try:
    from ._objects import *  # noqa: F401,F403
    from ._objects import __all__  # noqa: F401
except ImportError:
    from ._generate import source
    exec(source(schema()["objects"]), globals())
