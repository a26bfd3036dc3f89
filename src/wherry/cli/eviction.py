"""When pods are ended so that others can stay: options of `wherry up` and `wherry serve`, named as the kubelet's."""

from __future__ import annotations

import click

eviction_hard = click.option(
    "--eviction-hard",
    help="From where on pods are evicted, such as memory.available<1Gi,nodefs.available<10%; all others are off then.",
)
"""`kubelet.eviction.thresholds.parse` reads it."""
eviction_pressure_transition_period = click.option(
    "--eviction-pressure-transition-period",
    help="How long a node says a pressure after it was seen last. [default: 5m]",
)
"""A duration."""
