# SPDX-License-Identifier: MIT
"""Chromium without a window, driven by its DevTools protocol over two pipes: pages, what their scripts see, keys and a
pointer. A tab has cookies of its own, unless it is opened beside another one."""
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time

PIPES = "import os, sys\nos.dup2(int(sys.argv[1]), 3)\nos.dup2(int(sys.argv[2]), 4)\nos.execvp(sys.argv[3], sys.argv[3:])\n"
OPTIONS = ("--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
           "--no-first-run", "--no-default-browser-check", "--disable-extensions", "--disable-sync", "--hide-scrollbars",
           "--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--mute-audio",
           "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
           "--disable-backgrounding-occluded-windows", "--no-proxy-server", "--password-store=basic")


def possible():
    return shutil.which("chromium") is not None


class Failed(Exception):
    pass


def high(fd):
    """The same pipe's end by a number that is in nobody's way."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(fd)
    return moved


class Browser:
    def __init__(self, folder, limit_s=60):
        commands, self.to = map(high, os.pipe())
        self.fro, answers = map(high, os.pipe())
        env = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
        for name in "DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS":
            env.pop(name, None)
        self.p = subprocess.Popen([sys.executable, "-c", PIPES, str(commands), str(answers), "chromium", *OPTIONS,
                                   f"--user-data-dir={folder}/profile", "about:blank"], pass_fds=(commands, answers),
                                  env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  start_new_session=True)
        os.close(commands)
        os.close(answers)
        self.limit_s, self.data, self.id, self.events = limit_s, b"", 0, []

    def message(self, timeout):
        """The next one; None: there is none in time."""
        end = time.monotonic() + timeout
        while b"\0" not in self.data:
            if not select.select([self.fro], [], [], max(0, end - time.monotonic()))[0]:
                return None
            more = os.read(self.fro, 1 << 20)
            if not more:
                raise Failed("the browser has ended")
            self.data += more
        line, self.data = self.data.split(b"\0", 1)
        return json.loads(line)

    def call(self, method, session=None, **params):
        self.id += 1
        request = {"id": self.id, "method": method, "params": params, **({"sessionId": session} if session else {})}
        os.write(self.to, json.dumps(request).encode() + b"\0")
        end = time.monotonic() + self.limit_s
        while (answer := self.message(end - time.monotonic())) is not None:
            if answer.get("id") == self.id and "error" in answer:
                raise Failed(f"{method}: {answer['error']}")
            if answer.get("id") == self.id:
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)
        raise Failed(f"{method}: no answer in {self.limit_s} s")

    def tab(self, beside=None):
        """A tab with cookies of its own, or with those of another one."""
        context = beside.context if beside else self.call("Target.createBrowserContext")["browserContextId"]
        return Tab(self, context)

    def close(self):
        os.close(self.to)
        try:
            self.p.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self.p.pid, 9)
            self.p.wait()
        os.close(self.fro)


class Tab:
    def __init__(self, browser, context):
        self.browser, self.context = browser, context
        self.target = browser.call("Target.createTarget", url="about:blank", browserContextId=context,
                                   newWindow=True)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        self.call("Page.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        self.size(1000, 700)

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)

    def size(self, width, height, scale=1):
        """Of what is seen of a page, in its pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)

    def go(self, url):
        """The server's status, or the browser's own word for what is wrong."""
        self.browser.events.clear()
        self.call("Network.enable")
        try:
            return self.navigate(url)
        finally:
            self.call("Network.disable")  # or all that comes by a WebSocket would be told, too

    def navigate(self, url):
        error = self.call("Page.navigate", url=url).get("errorText")
        if error and error != "net::ERR_HTTP_RESPONSE_CODE_FAILURE":  # as without a body
            return error
        end = time.monotonic() + self.browser.limit_s
        while True:
            for e in self.browser.events:
                if (e["method"] == "Network.responseReceived" and e.get("sessionId") == self.session and
                        e["params"]["type"] == "Document"):
                    return e["params"]["response"]["status"]
            message = self.browser.message(end - time.monotonic())
            if message is None:
                raise Failed(f"{url}: nothing comes")
            self.browser.events.append(message)

    def js(self, expression, by_user=False):
        """Its value, which may have to be waited for."""
        r = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=by_user)
        if "exceptionDetails" in r:
            raise Failed(f"{expression}: {r['exceptionDetails']}")
        return r["result"].get("value")

    def until(self, expression):
        """Wait for it to be true; a page may be replaced meanwhile."""
        end = time.monotonic() + self.browser.limit_s
        while True:
            try:
                if self.js(expression):
                    return
                why = "it is not"
            except Failed as e:
                why = e
            if time.monotonic() > end:
                raise Failed(f"{expression}: {why}")
            time.sleep(0.1)

    def key(self, code, key, number, down, modifiers=0):
        """code: where it is; key: what it means; number: Windows' of it. modifiers: 1 Alt, 2 Ctrl, 4 Meta, 8 Shift."""
        text = {"text": key} if down and len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown" if down else "keyUp", code=code, key=key,
                  windowsVirtualKeyCode=number, modifiers=modifiers, **text)

    def pointer(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)
