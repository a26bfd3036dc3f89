"""What a KubeSchedulerConfiguration may say."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.scheduler.framework import Filter, Score
from wherry.scheduler.plugins import image_locality, node_basics, node_resources
from wherry.scheduler.profiles import DEFAULT, ConfigError, parse

SCORES: list[Score] = [node_resources.LEAST_ALLOCATED, node_resources.BALANCED, image_locality.SCORE]
FILTERS: list[Filter] = [node_basics.NODE_PORTS, node_resources.FILTER]


def config(*profiles: Any, **more: Any) -> dict[str, Any]:
    base = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}
    return {**base, "profiles": list(profiles), **more}


def test_profiles_by_name() -> None:
    assert parse(config()) == DEFAULT
    assert [one.name for one in parse(config({}, {"schedulerName": "packing"}))] == ["default-scheduler", "packing"]


def test_plugins_are_left_out_and_weighed() -> None:
    plugins = {
        "multiPoint": {"disabled": [{"name": "NodePorts"}]},
        "score": {"disabled": [{"name": "*"}], "enabled": [{"name": "ImageLocality", "weight": 5}]},
    }
    profile = parse(config({"plugins": plugins}))[0]
    assert [one.name for one in profile.filters(FILTERS)] == ["NodeResourcesFit"]
    assert [(one.name, one.weight) for one in profile.scores(SCORES)] == [("ImageLocality", 5)]


def test_nodes_are_packed() -> None:
    args = {"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated"}}}
    profile = parse(config({"pluginConfig": [args]}))[0]
    assert node_resources.MOST_ALLOCATED in profile.scores(SCORES)
    assert node_resources.LEAST_ALLOCATED not in profile.scores(SCORES)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([], "kind: must be KubeSchedulerConfiguration"),
        ({**config(), "apiVersion": "v1"}, "apiVersion: must be kubescheduler.config.k8s.io/v1"),
        (config(extenders=[]), "extenders: is not supported"),
        (config(profiles={}, x=1), "x: is not supported"),
        (config("text"), "profiles[0]: must be an object"),
        (config({}, {}), 'profiles[1].schedulerName: Duplicate value: "default-scheduler"'),
        (config({"plugins": {"queueSort": {}}}), "profiles[0].plugins.queueSort: is not supported"),
        (
            config({"plugins": {"filter": {"disabled": [{"name": "Mine"}]}}}),
            'profiles[0].plugins.filter.disabled[0].name: Unsupported value: "Mine"',
        ),
        (
            config({"plugins": {"score": {"enabled": [{"name": "ImageLocality", "weight": 101}]}}}),
            "profiles[0].plugins.score.enabled[0].weight: must be between 0 and 100",
        ),
        (config({"pluginConfig": [{"name": "Other"}]}), 'profiles[0].pluginConfig[0].name: Unsupported value: "Other"'),
    ],
)
def test_what_is_refused(given: Any, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(given)
    assert str(caught.value).startswith(text)
