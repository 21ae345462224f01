# SPDX-License-Identifier: MIT
"""nbdkit, for tests of disks on servers."""
import contextlib
import subprocess
import time
import types


@contextlib.contextmanager
def nbdkit(socket, *words):
    """Serve there, by these words. The disk's uri, and the process."""
    process = subprocess.Popen(["nbdkit", "-f", "-U", socket, *words])
    try:
        while not socket.exists():
            assert process.poll() is None
            time.sleep(0.01)
        yield types.SimpleNamespace(uri=f"nbd+unix:///?socket={socket}", process=process)
    finally:
        process.kill()
        process.wait()
