"""`--audit-policy FILE`: the policy is read, judged and kept with the options, so that the file may go afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from wherry.api import yaml

NONE = "none"


class AuditPolicy(click.ParamType[str]):
    """A file with an audit.k8s.io/v1 Policy, or `none`; the value is its text in JSON, empty for none."""

    name = "FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from wherry.apiserver.audit.policy import PolicyError, parse

        if value == NONE:
            return ""
        try:
            policy = yaml.load(Path(value).read_text())
            parse(policy)
        except OSError as error:
            self.fail(f"cannot read {value}: {error.strerror}", param, ctx)
        except (yaml.YAMLError, PolicyError, UnicodeDecodeError) as error:
            self.fail(f"{value}: {error}", param, ctx)
        return json.dumps(policy, separators=(",", ":"))


option = click.option(
    "--audit-policy", type=AuditPolicy(), help="Write what is asked of the API to logs/audit.log; `none` ends it."
)
