"""A browser for tests: Debian's chromium without a window, driven through its debugging pipe.

    with Chrome() as page:
        page.open("page.html")
        page.key("ArrowDown")
        assert page.evaluate("document.activeElement.id") == "second"

It reaches no network, whatever a page asks for. All that is waited for has a timeout, in seconds.
"""
import base64
import collections
import fcntl
import json
import os
import pathlib
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = os.environ.get("CHROMIUM") or shutil.which("chromium")

FLAGS = [
    "--headless=new", "--remote-debugging-pipe", "--user-data-dir={folder}/profile", "--disable-gpu",
    "--disable-dev-shm-usage", "--no-first-run", "--no-default-browser-check", "--hide-scrollbars",
    "--force-color-profile=srgb", "--font-render-hinting=none", "--disable-lcd-text", "--lang=en", "--mute-audio",
    # Nothing of its own goes to the network, and nothing of a page can: this proxy is nowhere.
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--disable-sync",
    "--disable-extensions", "--disable-breakpad", "--disable-domain-reliability", "--metrics-recording-only",
    "--no-pings", "--disable-search-engine-choice-screen", "--password-store=basic",
    "--disable-features=Translate,OptimizationHints,MediaRouter", "--proxy-server=http://127.0.0.1:9",
    "--proxy-bypass-list=<-loopback>",
    *(["--no-sandbox"] if os.geteuid() == 0 else []),  # it refuses to start as root otherwise
    "about:blank",
]

# What a page said. kind: "console", "exception", "csp", "dialog" or "log" (the browser's own words);
# level: "info", "warning" or "error".
Message = collections.namedtuple("Message", "kind level text")


class ChromeError(Exception):
    """The browser did not do what was asked of it."""


class PageError(ChromeError):
    """JavaScript threw."""


class Node:
    """A node of the accessibility tree: what a screen reader is told."""

    def __init__(self, role, name, value, states):
        self.role, self.name, self.value, self.states, self.children = role, name, value, states, []

    def walk(self):
        yield self
        for child in self.children:
            yield from child.walk()

    def find(self, role=None, name=None):
        """All nodes of this role and name below this one, itself included."""
        return [node for node in self.walk() if role in (None, node.role) and name in (None, node.name)]

    def __str__(self, indent=0):
        value = f" = {self.value!r}" if self.value not in (None, "") else ""
        states = "".join(f" {key}={value}" for key, value in self.states.items())
        return "\n".join([f"{'  ' * indent}{self.role} {self.name!r}{value}{states}",
                          *(child.__str__(indent + 1) for child in self.children)])


# key: code, the number by which old handlers know it, the text it types
KEYS = {"Tab": ("Tab", 9, None), "Enter": ("Enter", 13, "\r"), "Escape": ("Escape", 27, None),
        " ": ("Space", 32, " "), "Backspace": ("Backspace", 8, None), "Delete": ("Delete", 46, None),
        "PageUp": ("PageUp", 33, None), "PageDown": ("PageDown", 34, None), "End": ("End", 35, None),
        "Home": ("Home", 36, None), "ArrowLeft": ("ArrowLeft", 37, None), "ArrowUp": ("ArrowUp", 38, None),
        "ArrowRight": ("ArrowRight", 39, None), "ArrowDown": ("ArrowDown", 40, None),
        **{f"F{i}": (f"F{i}", 111 + i, None) for i in range(1, 13)}}
MODIFIERS = {"Alt": 1, "Control": 2, "Meta": 4, "Shift": 8}
NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf"), "-0": -0.0}
LEVELS = {"warning": "warning", "error": "error", "assert": "error"}


def key_of(name):
    """What a press of this key, or of the key that types this character, is made of."""
    name = " " if name == "Space" else name
    if name not in KEYS and len(name) != 1:
        raise ValueError(f"no key is named {name!r}: one of {', '.join(KEYS)}, or a character")
    kind = "Key" if name.isalpha() else "Digit"
    code, number, text = KEYS.get(name) or (
        (kind + name.upper(), ord(name.upper()), name) if name.isascii() and name.isalnum() else ("", 0, name))
    return {"key": name, "code": code, "windowsVirtualKeyCode": number}, text


class Pipe:
    """The debugging protocol: messages in JSON, each ended by a zero byte."""

    def __init__(self):
        if not PROGRAM:
            raise ChromeError("there is no chromium: apt-get install chromium")
        self.said = tempfile.TemporaryFile()
        self.pending = b""
        commands, self.commands = os.pipe()
        self.answers, answers = os.pipe()
        lifeline, self.lifeline = os.pipe()  # closes with this process, however it ends
        high = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 10) for number in (commands, answers)]
        self.keeper = subprocess.Popen(
            [sys.executable, HERE / "keeper.py", *map(str, high), PROGRAM, *FLAGS], stdin=lifeline,
            stdout=subprocess.DEVNULL, stderr=self.said, pass_fds=high, start_new_session=True)
        for number in (commands, answers, lifeline, *high):
            os.close(number)
        os.set_blocking(self.commands, False)

    def wait(self, reading, deadline, what):
        side = ([self.answers], []) if reading else ([], [self.commands])
        if not any(select.select(*side, [], max(0, deadline - time.monotonic()))):
            raise ChromeError(f"timeout: {what}")

    def send(self, message, deadline):
        data = json.dumps(message).encode() + b"\0"
        while data:
            self.wait(False, deadline, f"{message['method']}: the browser does not read")
            try:
                data = data[os.write(self.commands, data):]
            except OSError as error:
                raise ChromeError(self.ended()) from error

    def receive(self, deadline, what):
        while b"\0" not in self.pending:
            self.wait(True, deadline, what)
            data = os.read(self.answers, 1 << 20)
            if not data:
                raise ChromeError(self.ended())
            self.pending += data
        message, _, self.pending = self.pending.partition(b"\0")
        return json.loads(message)

    def ended(self):
        self.said.seek(0)
        said = self.said.read().decode(errors="replace").strip() or "nothing"
        return f"{PROGRAM} has ended; its standard error says:\n{said[-4000:]}"

    def close(self):
        for number in (self.commands, self.answers, self.lifeline):
            os.close(number)
        self.keeper.wait(30)
        self.said.close()


class Chrome:
    def __init__(self, timeout=60):
        self.timeout = timeout
        self.pipe = Pipe()
        self.last = 0
        self.context = None
        try:
            self.fresh()
        except BaseException:
            self.pipe.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends the browser, and removes all that it wrote."""
        self.pipe.close()

    def fresh(self):
        """Another empty page, as in a browser that was never used."""
        self.session = None
        self.results, self.loaded, self.downloads = {}, set(), {}
        self._requests, self._console = [], []
        if self.context:
            self._call("Target.disposeBrowserContext", browserContextId=self.context)
        self.context = self._call("Target.createBrowserContext")["browserContextId"]
        target = self._call("Target.createTarget", url="about:blank", browserContextId=self.context)["targetId"]
        self.session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Inspector", "Audits"):
            self._call(f"{domain}.enable")
        self._call("Page.setLifecycleEventsEnabled", enabled=True)
        self._call("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=True, flatten=True)
        self.emulate()
        return self

    # ---- The protocol ----

    def _post(self, method, session, deadline, parameters):
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        self.pipe.send({**message, "sessionId": session} if session else message, deadline)
        return self.last

    def _call(self, method, timeout=None, **parameters):
        deadline = time.monotonic() + (timeout or self.timeout)
        number = self._post(method, self.session, deadline, parameters)
        while number not in self.results:
            self._step(deadline, f"{method} is not answered")
        answer = self.results.pop(number)
        if "error" in answer:
            raise ChromeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _step(self, deadline, what):
        """Takes the next message. An answer to a question that is no longer waited for is dropped."""
        message = self.pipe.receive(deadline, what)
        if "id" in message:
            self.results = {message["id"]: message}
            return
        handler = getattr(self, "_on_" + message["method"].replace(".", "_"), None)
        if handler:
            handler(message["params"], message.get("sessionId"))

    def _on_Target_attachedToTarget(self, event, _):
        """A frame or worker of the page: what it asks for and says counts too."""
        session = event["sessionId"]
        if self.session is None or not event["waitingForDebugger"]:
            return
        deadline = time.monotonic() + self.timeout
        for method in ("Network.enable", "Runtime.enable", "Log.enable", "Runtime.runIfWaitingForDebugger"):
            self._post(method, session, deadline, {})

    def _on_Page_lifecycleEvent(self, event, _):
        if event["name"] == "load":
            self.loaded.add(event["loaderId"])

    def _on_Network_requestWillBeSent(self, event, _):
        if not event["request"]["url"].startswith("data:"):
            self._requests.append(event["request"]["url"])

    def _on_Network_webSocketCreated(self, event, _):
        self._requests.append(event["url"])

    def _on_Runtime_consoleAPICalled(self, event, _):
        words = [str(part.get("value", part.get("unserializableValue", part.get("description", part["type"]))))
                 for part in event["args"]]
        self._console.append(Message("console", LEVELS.get(event["type"], "info"), " ".join(words)))

    def _on_Runtime_exceptionThrown(self, event, _):
        self._console.append(Message("exception", "error", exception_text(event["exceptionDetails"])))

    def _on_Log_entryAdded(self, event, _):
        entry = event["entry"]
        level = LEVELS.get(entry["level"], "info")
        self._console.append(Message("log", level, " ".join(filter(None, [entry["text"], entry.get("url")]))))

    def _on_Audits_issueAdded(self, event, _):
        details = event["issue"]["details"].get("contentSecurityPolicyIssueDetails")
        if details:
            what = details.get("blockedURL") or details["contentSecurityPolicyViolationType"]
            self._console.append(Message("csp", "error", f"{details['violatedDirective']}: {what}"))

    def _on_Page_javascriptDialogOpening(self, event, session):
        self._console.append(Message("dialog", "error", f"{event['type']}: {event['message']}"))
        self._post("Page.handleJavaScriptDialog", session, time.monotonic() + self.timeout, {"accept": True})

    def _on_Browser_downloadWillBegin(self, event, _):
        self.downloads[event["guid"]] = [event["suggestedFilename"], "begun"]

    def _on_Browser_downloadProgress(self, event, _):
        self.downloads[event["guid"]][1] = event["state"]

    def _on_Inspector_targetCrashed(self, *_):
        raise ChromeError("the page has crashed")

    # ---- Pages ----

    def open(self, path, fragment="", timeout=None):
        """Opens a file, or an address if `path` is a string with a scheme, and waits until it is loaded. What was
        asked for and said before is forgotten."""
        url = str(path)
        if not re.match(r"[a-z]+:", url):
            url = pathlib.Path(path).resolve(strict=True).as_uri()
        self._round()
        self._requests, self._console, self.loaded = [], [], set()
        answer = self._call("Page.navigate", timeout, url=url + fragment)
        if answer.get("errorText"):
            raise ChromeError(f"{url}: {answer['errorText']}")
        if "loaderId" in answer:  # otherwise only the fragment is another
            self._until(lambda: answer["loaderId"] in self.loaded, timeout, f"{url} does not load")
        return self

    def reload(self, timeout=None):
        self._round()
        self.loaded = set()
        self._call("Page.reload", timeout)
        self._until(lambda: self.loaded, timeout, "the page does not load again")
        return self

    def _until(self, condition, timeout, what):
        deadline = time.monotonic() + (timeout or self.timeout)
        while not condition():
            self._step(deadline, what)

    def evaluate(self, script, *arguments, timeout=None):
        """The value of an expression, or of a function called with arguments (numbers, texts, lists, dicts), as
        JSON would bring it over; a promise is waited for. PageError: it threw."""
        if arguments:
            script = f"({script})({','.join(map(json.dumps, arguments))})"
        answer = self._call("Runtime.evaluate", timeout, expression=script, awaitPromise=True, returnByValue=True,
                            userGesture=True)
        if "exceptionDetails" in answer:
            raise PageError(f"{exception_text(answer['exceptionDetails'])}\nin: {script[:500]}")
        result = answer["result"]
        return NUMBERS.get(result.get("unserializableValue"), result.get("value"))

    def wait(self, condition, timeout=10):
        """Waits until an expression is true, and returns its value."""
        deadline = time.monotonic() + timeout
        while not (value := self.evaluate(condition, timeout=timeout)):
            if time.monotonic() > deadline:
                raise ChromeError(f"timeout: after {timeout} s this is still {value!r}: {condition}")
            time.sleep(0.02)
        return value

    def _round(self):
        """All that happened before now has been heard of after it."""
        self.evaluate("new Promise(done => setTimeout(done, 0))")

    @property
    def requests(self):
        """The addresses that the page asked for, its own among them; data: addresses ask for nothing."""
        self._round()
        return list(self._requests)

    @property
    def console(self):
        """What the page said, as Messages."""
        self._round()
        return list(self._console)

    @property
    def problems(self):
        """What it said that a page in order does not say."""
        return [message for message in self.console if message.level != "info"]

    # ---- Hands ----

    def key(self, name, *modifiers):
        """Presses a key: "Tab", "ArrowLeft", "a", "?"; modifiers: "Shift", "Control", "Alt", "Meta"."""
        key, text = key_of(name)
        held = sum(MODIFIERS[modifier] for modifier in modifiers)
        typed = {"text": text} if text and not held & ~MODIFIERS["Shift"] else {}
        self._call("Input.dispatchKeyEvent", type="keyDown" if typed else "rawKeyDown", modifiers=held, **key, **typed)
        self._call("Input.dispatchKeyEvent", type="keyUp", modifiers=held, **key)

    def type(self, text):
        for character in text:
            self.key("Enter" if character == "\n" else character)

    def _mouse(self, kind, x, y, **more):
        self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def _middle(self, selector):
        """An element's middle in the window, into which it is scrolled."""
        place = self.evaluate("""selector => {
            const element = document.querySelector(selector);
            if (!element) return "nothing is";
            element.scrollIntoView({block: "center", inline: "center", behavior: "instant"});
            const box = element.getBoundingClientRect();
            const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
            const top = document.elementFromPoint(x, y);
            const open = !top || element.contains(top) || top.contains(element) || top.closest("label") &&
                  top.closest("label").control === element;
            return box.width || box.height ? [x, y, open ? "" : top.outerHTML.slice(0, 200)] : "what has no size is";
        }""", selector)
        if isinstance(place, str):
            raise ChromeError(f"{place} at {selector!r}")
        return place

    def hover(self, *where):
        """Moves the mouse to an element's middle, hover("#cell"), or to a place in the window, hover(x, y)."""
        x, y = self._middle(*where)[:2] if len(where) == 1 else where
        self._mouse("mouseMoved", x, y)

    def click(self, *where, count=1):
        """Clicks on an element's middle, which nothing may cover, or on a place in the window."""
        x, y, cover = self._middle(*where) if len(where) == 1 else (*where, "")
        if cover:
            raise ChromeError(f"{where[0]!r} cannot be clicked on, since this lies above it: {cover}")
        self._mouse("mouseMoved", x, y)
        for i in range(1, count + 1):
            self._mouse("mousePressed", x, y, button="left", clickCount=i)
            self._mouse("mouseReleased", x, y, button="left", clickCount=i)

    def saved(self, action, timeout=None):
        """The name and the bytes of the file that the page gives to be saved when action() is called."""
        self.downloads = {}
        ends = ("completed", "canceled")
        with tempfile.TemporaryDirectory(prefix="gradus-browser-") as folder:
            session, self.session = self.session, None  # a matter of the browser, not of the page
            self._call("Browser.setDownloadBehavior", behavior="allowAndName", browserContextId=self.context,
                       downloadPath=folder, eventsEnabled=True)
            self.session = session
            action()
            self._until(lambda: any(state in ends for _, state in self.downloads.values()), timeout,
                        "no file was saved")
            guid, (name, state) = next(iter(self.downloads.items()))
            if state != "completed":
                raise ChromeError(f"{name} was not saved: {state}")
            return name, (pathlib.Path(folder) / guid).read_bytes()

    # ---- Eyes ----

    def emulate(self, dark=False, width=1280, height=800, reduced_motion=False):
        """How the page is seen; widths below 600 are a phone's."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                   mobile=width < 600)
        self._call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if reduced_motion else "no-preference"}])

    def screenshot(self, path, full=False):
        """Writes a PNG of what is seen, or of the full page."""
        more = {}
        if full:
            size = self._call("Page.getLayoutMetrics")["cssContentSize"]
            more = {"captureBeyondViewport": True, "clip": {**size, "scale": 1}}
        data = self._call("Page.captureScreenshot", format="png", **more)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))

    def accessibility(self):
        """The root of the accessibility tree, without what screen readers pass over."""
        nodes = {node["nodeId"]: node for node in self._call("Accessibility.getFullAXTree")["nodes"]}

        def below(node):
            for number in node.get("childIds", []):
                child = nodes.get(number)
                if child and not child["ignored"] and child["role"]["value"] != "InlineTextBox":
                    yield made(child)
                elif child:
                    yield from below(child)

        def made(node):
            states = {state["name"]: state["value"].get("value") for state in node.get("properties", [])}
            result = Node(node["role"]["value"], node.get("name", {}).get("value", ""),
                          node.get("value", {}).get("value"), states)
            result.children = list(below(node))
            return result

        return made(next(node for node in nodes.values() if "parentId" not in node))

    def texts(self):
        """All texts that are seen, each with the contrast to what lies below it (as WCAG 2 counts it: 1 to 21), and
        whether it is large: [{"text", "ratio", "large"}]. Below pictures and gradients their colour is not known."""
        return self.evaluate((HERE / "texts.js").read_text())

    def faint(self):
        """The texts with less contrast than WCAG's level AA asks for: 4.5, or 3 if large."""
        return [text for text in self.texts() if text["ratio"] < (3 if text["large"] else 4.5)]

    def wide(self):
        """What makes the page scroll sideways: the tags of the elements that stick out, none if it does not."""
        return self.evaluate("""(() => {
            const page = document.scrollingElement, room = page.clientWidth;
            if (page.scrollWidth <= room) return [];
            const out = [...document.querySelectorAll("body *")]
                .filter(element => element.getBoundingClientRect().right + scrollX > room + 0.5)
                .map(element => element.cloneNode().outerHTML);
            return out.length ? out : [`the page: ${page.scrollWidth} > ${room}`];
        })()""")


def exception_text(details):
    exception = details.get("exception", {})
    text = exception.get("description") or str(exception.get("value", ""))
    return text or details["text"]
