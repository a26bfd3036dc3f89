"""Nodes that only pretend: their pods have no processes, they follow a script in their annotations (kwok's role)."""
