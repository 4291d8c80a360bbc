"""Chromium by WebDriver (https://www.w3.org/TR/webdriver2/), as far as the checks need it: Debian's `chromedriver` and nothing
else between."""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request

from simulator import Failed, wait_until

# Started as root in a container, without asking for anything in the background.
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-sync", "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
    # A name that is not this machine's leads nowhere.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def find(package, *names):
    """The first of these commands that there is; Debian's package is installed where there is none."""
    for name in names:
        if path := shutil.which(name):
            return path
    subprocess.run(["apt-get", "update"], check=True, capture_output=True)
    subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", package], check=True, capture_output=True)
    return shutil.which(names[0])


def chromium():
    return find("chromium", "chromium", "chromium-browser", "google-chrome")


class Browser:
    """A browser with one page, from `with` to its end."""

    def __init__(self, width=1280, height=900, script=True):
        self._size = (width, height)
        self._script = script

    def __enter__(self):
        driver = find("chromium-driver", "chromedriver")
        self._folder = tempfile.TemporaryDirectory(prefix="apns-browser-")
        said = os.path.join(self._folder.name, "driver.txt")
        environment = {**os.environ, "HOME": self._folder.name}
        with open(said, "w") as output:
            command = [driver, "--port=0"]
            self._driver = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        try:
            wait_until("chromedriver listens", lambda: self._find_port(said))
            self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _find_port(self, said):
        if self._driver.poll() is not None:
            raise Failed(f"chromedriver ended: {open(said).read()}")
        found = re.search(r"started successfully on port (\d+)", open(said).read())
        self._base = found and f"http://127.0.0.1:{found[1]}"
        return found

    def _open(self):
        width, height = self._size
        arguments = [*FLAGS, f"--window-size={width},{height}", f"--user-data-dir={self._folder.name}/profile"]
        options = {"binary": chromium(), "args": arguments}
        if not self._script:
            options["prefs"] = {"profile.managed_default_content_settings.javascript": 2}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{answer['sessionId']}"

    def __exit__(self, *_):
        if getattr(self, "_session", None):
            try:
                self._call("DELETE", self._session)
            except (OSError, Failed):
                pass
        self._driver.terminate()
        self._driver.wait(timeout=30)
        self._folder.cleanup()

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._base + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise Failed(f"{method} {path}: {json.load(error)['value']['message']}") from None

    def go(self, address):
        """Goes to an address and waits until it is loaded."""
        self._call("POST", f"{self._session}/url", {"url": address})

    def address(self):
        return self._call("GET", f"{self._session}/url")

    def run(self, script, *arguments):
        """Runs a function's body in the page and returns what it returns."""
        return self._call("POST", f"{self._session}/execute/sync", {"script": script, "args": list(arguments)})

    def texts(self, selector):
        """What a person reads in each element: text that is not shown is left out."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)"
        return [" ".join(text.split()) for text in self.run(script, selector)]

    def text(self, selector):
        texts = self.texts(selector)
        if len(texts) != 1:
            raise Failed(f"there are {len(texts)} of {selector}")
        return texts[0]

    def click(self, selector):
        """Clicks as a person does: on what can be seen."""
        found = self._call("POST", f"{self._session}/element", {"using": "css selector", "value": selector})
        self._call("POST", f"{self._session}/element/{found[ELEMENT]}/click", {})

    def follow(self, selector):
        """Clicks on what leads to another page, or to this one again, and waits until that is loaded."""
        # The driver itself waits only where the browser was quick to begin.
        self.run("window.leftBehind = true")
        self.click(selector)
        loaded = "return !window.leftBehind && document.readyState === 'complete'"
        wait_until("the next page is loaded", lambda: self.run(loaded))

    def type(self, selector, text):
        found = self._call("POST", f"{self._session}/element", {"using": "css selector", "value": selector})
        self._call("POST", f"{self._session}/element/{found[ELEMENT]}/value", {"text": text})

    def accept(self):
        """Says yes to the question that the page asks."""
        self._call("POST", f"{self._session}/alert/accept", {})

    def complaints(self):
        """What the browser says against the page since it was asked last: errors, and what the policy forbade."""
        entries = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    def devtools(self, command, **parameters):
        body = {"cmd": command, "params": parameters}
        return self._call("POST", f"{self._session}/goog/cdp/execute", body)

    def scheme(self, name):
        """Light or dark, as a person has it."""
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def picture(self, path, selector=None):
        """What is seen, or the whole of one element, however long it is."""
        if selector is None:
            data = self._call("GET", f"{self._session}/screenshot")
        else:
            box = self.run("""
                const { left, top, width, height } = document.querySelector(arguments[0]).getBoundingClientRect()
                return { x: left + scrollX, y: top + scrollY, width, height, scale: 1 }""", selector)
            data = self.devtools("Page.captureScreenshot", captureBeyondViewport=True, clip=box)["data"]
        path.write_bytes(base64.b64decode(data))
