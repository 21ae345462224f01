# SPDX-License-Identifier: MIT
"""A pytest plugin for scripts/check: one JSON line per finished test into a descriptor."""
import json
import os


def pytest_runtest_logreport(report):
    if report.when != "call" and report.outcome == "passed":
        return
    if report.when == "teardown" and report.outcome == "skipped":
        return
    detail = ""
    if report.outcome == "failed":
        detail = report.longreprtext
    elif report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        detail = report.longrepr[2]
    line = {"name": report.nodeid, "outcome": report.outcome, "seconds": report.duration,
            "detail": detail}
    os.write(int(os.environ["VZ_REPORT_FD"]), (json.dumps(line) + "\n").encode())
