"""The whole control plane against faults chosen by a seed, in virtual time: how we test ourselves.

    python -m wherry.testing.simulation --seeds 1000 --workers 2

Production code runs unchanged: storage over a disk that forgets what was not fsynced, the API server, every controller, the
scheduler and nodes that pretend, each of which may crash. docs/simulation.md tells the rest.
"""
