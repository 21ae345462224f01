# SPDX-License-Identifier: MIT
"""generate.py COMPILER INCLUDE SONAME OUTPUT: make the module vz._vz from the public headers.

The module is cffi's out-of-line form for use without a compiler: what the headers declare, parsed
once, here, so that the bindings cannot disagree with the library they were built beside.
"""
import os
import re
import subprocess
import sys
import tempfile

import cffi

STANDARD = ("stdbool.h", "stddef.h", "stdint.h")  # what they define is known to cffi already


def preprocess(compiler, include, *options, text="#include <vz/vz.h>\n#include <vz/hypervisor.h>\n"):
    with tempfile.TemporaryDirectory() as empty:
        for name in STANDARD:
            open(os.path.join(empty, name), "w").close()
        return subprocess.run([*compiler, "-E", "-P", "-nostdinc", "-I", empty, "-I", include,
                               *options, "-x", "c", "-"], input=text, stdout=subprocess.PIPE,
                              text=True, check=True).stdout


def constants(compiler, include):
    """#define VZ_NAME NUMBER, which the preprocessor leaves nothing of."""
    macros = preprocess(compiler, include, "-dM")
    for name, value in re.findall(r"^#define (VZ_\w+) ([\d\w]+)$", macros, re.M):
        number = re.fullmatch(r"(0x[0-9a-fA-F]+|\d+)[uUlL]*", value)
        if number:
            yield f"#define {name} {number[1]}"


def signed(match):
    """The value of an enum that C casts to int, which cffi's parser does not."""
    return str(int.from_bytes(int(match[1], 16).to_bytes(4, "little"), "little", signed=True))


def main():
    *compiler, include, soname, output = sys.argv[1:]
    declarations = preprocess(compiler, include)
    declarations = re.sub(r"__attribute__\s*\(\(.*?\)\)\)?", "", declarations)
    declarations = re.sub(r"\(int\)(0x[0-9a-fA-F]+)", signed, declarations)
    ffi = cffi.FFI()
    ffi.set_source("vz._vz", None)
    ffi.cdef("\n".join(constants(compiler, include)) + "\n" + declarations + "void free(void *);")
    ffi.emit_python_code(output)
    with open(output, "a", encoding="utf-8") as f:
        f.write(f'SONAME = "{soname}"\n')


main()
