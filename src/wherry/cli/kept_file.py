"""Options whose value is a file: it is read, judged and kept with the system's options as JSON, so that the file may go."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

NONE = "none"


class KeptFile(click.ParamType[str]):
    """A YAML file, or `none`; the value is its content in JSON, empty for none.

    `judge` raises ValueError saying what is wrong with the content; it is called for a file only, and may import what it needs.
    """

    name = "FILE"

    def __init__(self, judge: Callable[[Any], object]) -> None:
        self._judge = judge

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value == NONE:
            return ""
        from wherry.api import yaml  # for who gives a file: a tenth of what `up` does until it has started a process

        try:
            content = yaml.load(Path(value).read_text())
            self._judge(content)
        except OSError as error:
            self.fail(f"cannot read {value}: {error.strerror}", param, ctx)
        except (yaml.YAMLError, ValueError) as error:
            self.fail(f"{value}: {error}", param, ctx)
        return json.dumps(content, separators=(",", ":"))


def judge_audit_policy(content: Any) -> object:
    from wherry.apiserver.audit.policy import parse

    return parse(content)


def judge_scheduler_config(content: Any) -> object:
    from wherry.scheduler.profiles import parse

    return parse(content)


audit_policy = click.option(
    "--audit-policy",
    type=KeptFile(judge_audit_policy),
    help="Write what is asked of the API to logs/audit.log; `none` ends it.",
)
"""An audit.k8s.io/v1 Policy."""
scheduler_config = click.option(
    "--scheduler-config",
    type=KeptFile(judge_scheduler_config),
    help="Profiles of the scheduler; `none` returns to the default one.",
)
"""A KubeSchedulerConfiguration."""
