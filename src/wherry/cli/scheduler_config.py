"""`--scheduler-config FILE`: profiles of the scheduler, read, judged and kept with the options as an audit policy is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from wherry.api import yaml

NONE = "none"


class SchedulerConfig(click.ParamType[str]):
    """A file with a KubeSchedulerConfiguration, or `none`; the value is its text in JSON, empty for none."""

    name = "FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from wherry.scheduler.profiles import ConfigError, parse

        if value == NONE:
            return ""
        try:
            config = yaml.load(Path(value).read_text())
            parse(config)
        except OSError as error:
            self.fail(f"cannot read {value}: {error.strerror}", param, ctx)
        except (yaml.YAMLError, ConfigError, UnicodeDecodeError) as error:
            self.fail(f"{value}: {error}", param, ctx)
        return json.dumps(config, separators=(",", ":"))


option = click.option(
    "--scheduler-config", type=SchedulerConfig(), help="Profiles of the scheduler; `none` returns to the default one."
)
