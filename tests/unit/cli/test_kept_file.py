from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from wherry.cli.kept_file import KeptFile, judge_audit_policy, judge_scheduler_config

PROFILES = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles: [{schedulerName: packing}]
"""
POLICY = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"


@pytest.mark.parametrize(("judge", "text"), [(judge_scheduler_config, PROFILES), (judge_audit_policy, POLICY)])
def test_what_is_kept_needs_the_file_no_more(tmp_path: Path, judge: Any, text: str) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(text)
    kept = json.loads(KeptFile(judge).convert(str(file), None, None))
    assert kept["kind"] in text
    assert KeptFile(judge).convert("none", None, None) == ""


@pytest.mark.parametrize("judge", [judge_scheduler_config, judge_audit_policy])
@pytest.mark.parametrize("text", ["kind: Pod\n", "a: [", "\xff"])
def test_what_is_wrong_with_a_file_is_said_with_its_name(tmp_path: Path, judge: Any, text: str) -> None:
    file = tmp_path / "file.yaml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(click.BadParameter, match=r"file\.yaml: "):
        KeptFile(judge).convert(str(file), None, None)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(click.BadParameter, match="cannot read /nowhere: No such file"):
        KeptFile(judge_audit_policy).convert("/nowhere", None, None)
