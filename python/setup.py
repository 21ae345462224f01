# SPDX-License-Identifier: MIT
"""`pip install ./python`: the package beside an installed libvz. Its one generated module, vz._vz, is
made from the public headers of this tree by generate.py, with the C compiler's preprocessor."""
import os
import re
import subprocess
import sys

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.environ.get("VZ_TREE", os.path.dirname(HERE))  # where include/ and meson.build are


def soname():
    with open(f"{ROOT}/meson.build", encoding="utf-8") as f:
        major, minor, _ = re.search(r"version: '(\d+)\.(\d+)\.(\d+)'", f.read()).groups()
    return f"libvz.so.{major}.{minor}" if major == "0" else f"libvz.so.{major}"


class Build(build_py):
    def run(self):
        super().run()
        subprocess.run([sys.executable, f"{HERE}/generate.py", os.environ.get("CC", "cc"),
                        f"{ROOT}/include", soname(), f"{self.build_lib}/vz/_vz.py"], check=True)


setup(cmdclass={"build_py": Build})
