# SPDX-License-Identifier: MIT
"""scripts/soak, for as long as a check may take."""
import os
import subprocess

import pytest

from conftest import ROOT, VZ


@pytest.mark.parametrize("sandbox, guest", [
    ("off", "tiny"), ("on", "tiny"),
    pytest.param("on", "linux", marks=pytest.mark.skipif("VZ_LONG" not in os.environ, reason="minutes: VZ_LONG=1 does it"))])
def test_nothing_grows(sandbox, guest):
    r = subprocess.run([f"{ROOT}/scripts/soak", "--vz", VZ, "--time", "15s" if guest == "tiny" else "4m", "--machines", "1",
                        "--seed", "5", "--guest", guest],
                       env={**os.environ, "VZ_SANDBOX": sandbox}, capture_output=True, text=True, check=False)
    assert r.returncode == 0, r.stdout + r.stderr
    assert "nothing grew" in r.stdout
