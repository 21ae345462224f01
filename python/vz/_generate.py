# SPDX-License-Identifier: MIT
"""_generate.py VZ OUTPUT: make the module vz._objects from what the program VZ says a configuration
consists of: a class for each object, whose arguments are its members. A package that was made without
the program (by pip) does it when it is imported, from what the library says."""
import json
import re
import subprocess
import sys
import textwrap

HEAD = '''# SPDX-License-Identifier: MIT
"""What a configuration consists of; made from the library's tables by _generate.py."""
from typing import Any, Iterable, Literal, Optional, Union

from ._object import Descriptor, Object, Path, Uuid
'''
PLAIN = {"boolean": "bool", "number": "int", "size": "int", "descriptor": "Descriptor", "string": "str",
         "path": "Path", "mac": "str", "uuid": "Uuid"}


def class_name(name):
    return "".join(word.capitalize() for word in name.split("_"))


def snake(name):
    return re.sub("([A-Z])", lambda m: "_" + m[1].lower(), name)


def sentence(text):
    return text[0].upper() + text[1:] + "."


def annotation(member):
    if member["type"] == "word":
        return "Literal[" + ", ".join(f'"{word}"' for word in member["words"]) + "]"
    if member["type"] in PLAIN:
        return PLAIN[member["type"]]
    of = ", ".join(f'"{class_name(name)}"' for name in member["of"])
    return f"Iterable[Union[{of}]]" if member["type"] == "list" else f"Union[{of}]"


def arguments(members):
    """What stands before something required is required too: Python wants it so."""
    required = [m.get("required", False) for m in members]
    for i, m in enumerate(members):
        if any(required[i:]):
            yield f"{snake(m['name'])}: {annotation(m)}"
        else:
            yield f"{snake(m['name'])}: Optional[{annotation(m)}] = None"


def documentation(of, members):
    yield sentence(of["text"])
    if members:
        yield ""
    for m in members:
        text = f"{snake(m['name'])}: {m['text']}"
        if "default" in m and "(default" not in text:
            text += f" (default {m['default']})"
        yield from textwrap.wrap(text, 92, subsequent_indent="    ")


def generate(of):
    members, name = of["members"], class_name(of["name"])
    names = [snake(m["name"]) for m in members]
    lines = list(documentation(of, members))
    yield ""
    yield ""
    yield f"class {name}(Object):"
    if len(lines) == 1:
        yield f'    """{lines[0]}"""'
    else:
        yield f'    """{lines[0]}'
        yield from (f"    {line}".rstrip() for line in lines[1:])
        yield '    """'
    yield f"    _type = {json.dumps(of.get('type')) if 'type' in of else None}"
    yield ""
    yield "    def __init__(self, " + "".join(f"{a},\n                 " for a in arguments(members)) + \
        "**more: Any) -> None:"
    yield "        super().__init__(" + "".join(f"{n}={n}, " for n in names) + "**more)"
    yield ""
    yield ""
    yield f"{of['name']} = {name}"


def source(objects):
    """The module, from the "objects" of vz_config_schema()."""
    lines = [HEAD.rstrip()]
    for of in objects:
        lines += generate(of)
    names = sorted([class_name(o["name"]) for o in objects] + [o["name"] for o in objects])
    return "\n".join(lines + ["", "", "__all__ = ["] + [f'    "{name}",' for name in names] + ["]", ""])


def main():
    program, output = sys.argv[1:]
    told = subprocess.run([program, "help", "--json"], stdout=subprocess.PIPE, check=True).stdout
    with open(output, "w", encoding="utf-8") as f:
        f.write(source(json.loads(told)["configuration"]["objects"]))


if __name__ == "__main__":
    main()
