# SPDX-License-Identifier: MIT
"""What this computer offers to machines: <vz/host.h>, and what `vz doctor` prints; and the interpreters that it has for
programs of other processors (vz.foreign_binaries())."""
import json
from typing import Dict, List, NamedTuple

from ._library import checked, enumeration, ffi, lib, new_error, text

ForeignBinariesAvailability = enumeration("ForeignBinariesAvailability", "vz_foreign_binaries_availability",
                                          "VZ_FOREIGN_BINARIES_")


class Finding(NamedTuple):
    """One thing about this computer."""
    level: str    # "good", "note", "problem"
    topic: str    # "kvm", "memory", ...
    code: str     # one word, for programs
    text: str     # sentences, for people
    command: str  # shell command lines that mend it, or ""


class HostReport(NamedTuple):
    accelerator: str  # what "auto" chooses here
    findings: List[Finding]


def host_report() -> HostReport:
    """Look at this computer; takes some milliseconds and changes nothing."""
    err = new_error()
    host = ffi.gc(checked(lib.vz_host_examine(err), err), lib.vz_host_free)
    form = checked(lib.vz_host_to_json(host, err), err)
    try:
        report = json.loads(text(form) or "")
    finally:
        lib.free(form)
    return HostReport(report["accelerator"],
                      [Finding(f["level"], f["topic"], f["code"], f["text"], f.get("command", ""))
                       for f in report["findings"]])


def foreign_binaries_availability() -> Dict[str, "ForeignBinariesAvailability"]:
    """By architecture: can guests be given an interpreter of its programs? What is not installed is by what
    foreign_binaries_install_hint() says."""
    names: Dict[str, "ForeignBinariesAvailability"] = {}
    while name := lib.vz_foreign_binaries_architecture(len(names)):
        names[text(name) or ""] = ForeignBinariesAvailability(lib.vz_foreign_binaries_availability(name))
    return names


def foreign_binaries_install_hint() -> str:
    return text(lib.vz_foreign_binaries_install_hint()) or ""
