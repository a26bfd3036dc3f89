"""Faults on purpose: what is to fail, for whom, until when. Components ask here; nobody is told.

Is: the record of a fault, where faults are kept, and the pure decisions of what a fault does to one request, question or
node. Is not: the commands (`cli/chaos.py`) and the fixture's methods (`testing/chaos.py`) that bring faults about.
Always true: a fault is a lease. Whoever wants it renews it; the component in which it strikes asks whether it still holds,
so that a fault ends by itself when whoever wanted it was killed.
"""
