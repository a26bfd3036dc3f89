"""Helm's SDK in a process of its own: a Go runtime inside Python does not survive a fork, and tests fork.

As a module: Helm(...) starts one; helm("install", chart, "demo", values) -> what the SDK's Config.install returns.
As a program: reads [action, arguments, options] as lines of JSON and answers each with {"value"} or {"error", "message"}.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any


class HelmFailed(Exception):
    """What the SDK raised, as `TypeOfTheError: message`."""


class Helm:
    def __init__(self, kubeconfig: Path, namespace: str, driver: str = "secret") -> None:
        options = {"kubeconfig_path": str(kubeconfig), "namespace": namespace, "storage_driver": driver}
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Helm:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(60) == 0
        self._process.stdout.close()

    def __call__(self, action: str, *arguments: Any, **options: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([action, arguments, options]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise HelmFailed(f"{answer['error']}: {answer['message']}")
        return answer["value"]


def main(options: dict[str, Any]) -> None:
    import helm_python

    with helm_python.Config(**options) as config:
        for line in sys.stdin:
            action, arguments, more = json.loads(line)
            try:
                answer = {"value": getattr(config, action)(*arguments, **more)}
            except helm_python.HelmError as error:
                answer = {"error": type(error).__name__, "message": str(error)}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
