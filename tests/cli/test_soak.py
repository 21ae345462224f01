# SPDX-License-Identifier: MIT
"""scripts/soak, for as long as a check may take."""
import os
import subprocess

import pytest

from conftest import ROOT, VZ


@pytest.mark.parametrize("sandbox", ["off", "on"])
def test_nothing_grows(sandbox):
    r = subprocess.run([f"{ROOT}/scripts/soak", "--vz", VZ, "--time", "15s", "--machines", "1", "--seed", "5"],
                       env={**os.environ, "VZ_SANDBOX": sandbox}, capture_output=True, text=True, check=False)
    assert r.returncode == 0, r.stdout + r.stderr
    assert "nothing grew" in r.stdout
