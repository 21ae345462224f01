# SPDX-License-Identifier: MIT
"""What scripts/bench, scripts/bench-devices and scripts/bench-display share: running a machine, and writing the report."""
import os
import re
import select
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIMIT_S = 900  # no single run of a machine may take longer


class Failed(Exception):
    pass


class Machine:
    """A running vz or QEMU, its output, and its peak of memory that is not the guest's RAM."""

    def __init__(self, argv, memory_mib=0, limit_s=LIMIT_S, **popen):
        self.started = time.monotonic()
        self.output = bytearray()
        self.memory_mib, self.limit_s = memory_mib, limit_s
        self.extra_kib = self.ram_kib = 0
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, **popen)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def wait_for(self, marker, sample=False, after=0):
        """Seconds from the start until marker was printed, behind so many bytes of output."""
        fd, next_sample, searched = self.process.stdout.fileno(), 0, after
        while self.output.find(marker, searched) < 0:
            searched = max(after, len(self.output) - len(marker))
            now = time.monotonic()
            if sample and now >= next_sample:
                self.sample_memory()
                next_sample = now + 0.25
            if now - self.started > self.limit_s:
                raise Failed(self.complaint(f"no '{marker.decode()}' in {self.limit_s} s"))
            if select.select([fd], [], [], 0.25)[0]:
                data = os.read(fd, 65536)
                if not data:
                    raise Failed(self.complaint(f"ended before '{marker.decode()}'"))
                self.output += data
        return time.monotonic() - self.started

    def complaint(self, what):
        tail = self.output.decode(errors="replace")[-2000:]
        return f"{self.process.args[0]}: {what}; the last it said:\n{tail}"

    def memory_now(self):
        """KiB of the guest's RAM that are resident, and of everything else, of which shared memory is this
        process's share: what it has mapped twice counts once."""
        mappings = []  # [begin, end, resident, share]
        with open(f"/proc/{self.process.pid}/smaps", encoding="ascii", errors="replace") as smaps:
            for line in smaps:
                head = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
                if head:
                    mappings.append([int(head[1], 16), int(head[2], 16), 0, 0])
                elif line.startswith("Rss:"):
                    mappings[-1][2] = int(line.split()[1])
                elif line.startswith("Pss:"):
                    mappings[-1][3] = int(line.split()[1])
        ram = range(0)
        for first in range(len(mappings)):  # neighbours that are as large as it together
            last = first
            while (last + 1 < len(mappings) and mappings[last][1] == mappings[last + 1][0] and
                   mappings[last][1] - mappings[first][0] < self.memory_mib << 20):
                last += 1
            if mappings[last][1] - mappings[first][0] == self.memory_mib << 20:
                ram = range(first, last + 1)
        return (sum(mappings[n][2] for n in ram),
                sum(m[3] for n, m in enumerate(mappings) if n not in ram))

    def sample_memory(self):
        """Keep the most of both."""
        try:
            ram, extra = self.memory_now()
        except OSError:
            return
        self.ram_kib, self.extra_kib = max(self.ram_kib, ram), max(self.extra_kib, extra)

    def cpu_s(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_model():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return "unknown"


def tool_version(argv, pattern):
    out = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False).stdout
    found = re.search(pattern, out)
    return found[1] if found else "?"


def record(name, text):
    """Put the text between the marks of that name in bench/RESULTS.md, leaving all else alone."""
    path = os.path.join(ROOT, "bench/RESULTS.md")
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    with open(path, encoding="utf-8") as f:
        old = f.read()
    if begin not in old or end not in old:
        raise Failed(f"{path}: the marks around the {name} are gone")
    head, rest = old.split(begin, 1)
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"{head}{begin}\n{text}{end}{rest.split(end, 1)[1]}")
