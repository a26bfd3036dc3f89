"""One try of a probe: how each kind asks, and what its answer means. Scheduling and thresholds are `prober`'s."""
