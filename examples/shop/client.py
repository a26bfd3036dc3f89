"""A running shop seen from outside: the system it runs on, its pages, its objects, the processes of its services."""

from __future__ import annotations

import argparse
import http.cookiejar
import json
import ssl
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMESPACE = "shop"


class System:
    """One Wherry system, by the same options as `wherry` itself."""

    def __init__(self, name: str = "", state_dir: str = "") -> None:
        self.options = [*(["--name", name] if name else []), *(["--state-dir", state_dir] if state_dir else [])]

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--name", default="", help="which system, as for `wherry`")
        parser.add_argument("--state-dir", default="", help="where its state lies")

    def command(self, verb: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "wherry", verb, *self.options, *arguments]

    def status(self) -> dict[str, Any]:
        """What `wherry status -o json` says. Raises SystemExit unless the shop is there."""
        for _ in range(5):  # the API may fail on purpose
            done = subprocess.run(self.command("status", "-o", "json"), stdout=subprocess.PIPE, check=False)
            if f"{NAMESPACE}/storefront" in (found := json.loads(done.stdout or b"{}")).get("urls", {}):
                return dict(found)
        raise SystemExit("the shop does not run: `make demo` brings it up")


class Visitor:
    """Somebody with a browser that keeps cookies."""

    def __init__(self, status: dict[str, Any]) -> None:
        self.url = status["urls"][f"{NAMESPACE}/storefront"]
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def get(self, path: str) -> str:
        with self._opener.open(self.url + path, timeout=10) as answer:
            return str(answer.read().decode())

    def post(self, path: str, **form: object) -> tuple[str, str]:
        """The page it led to, and its address."""
        data = urllib.parse.urlencode(form).encode()
        with self._opener.open(self.url + path, data, timeout=10) as answer:
            return answer.read().decode(), answer.url

    @property
    def cookie(self) -> str:
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.cookies)


class Api:
    """Asks the API server as `kubectl --raw` does, as the administrator."""

    def __init__(self, status: dict[str, Any]) -> None:
        pki = Path(status["stateDir"]) / "pki"
        self._context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self._server = status["apiServer"]

    def call(self, path: str, method: str = "GET", body: object = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._server + path, data, headers, method=method)
        with urllib.request.urlopen(request, context=self._context, timeout=30) as answer:
            return dict(json.load(answer))

    def pods(self, service: str) -> list[dict[str, Any]]:
        selector = f"labelSelector=app.kubernetes.io/name%3D{service}"
        return list(self.call(f"/api/v1/namespaces/{NAMESPACE}/pods?{selector}")["items"])

    def ready(self, deployment: str) -> int:
        """How many of its pods are."""
        found = self.call(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{deployment}")
        return int(found["status"].get("readyReplicas", 0))


def processes(status: dict[str, Any]) -> dict[int, tuple[int, str]]:
    """Pid → (its pod's first process, service) of every process of the shop: what the launcher has below it."""
    parents: dict[int, int] = {}
    commands: dict[int, list[str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                commands[int(entry.name)] = (entry / "cmdline").read_text().split("\0")
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has just ended
    launcher = next(each["pid"] for each in status["processes"] if each["role"] == "launcher")
    found = {}
    for pid, parent in parents.items():
        service = _service(commands[pid])
        above = parent
        while service and above not in (0, launcher):
            above = parents.get(above, 0)
        if service and above == launcher:
            found[pid] = (parent, service)
    return found


def _service(command: list[str]) -> str:
    if Path(command[0]).name == "nats-server":
        return "nats"
    if len(command) > 2 and command[1] == "-m" and command[2].endswith(".app"):
        return command[2].removesuffix(".app")
    return ""
