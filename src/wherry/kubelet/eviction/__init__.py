"""Node-pressure eviction: what a node lacks, what it says of that, and which pod goes so that the others can stay.

Is: Kubernetes' "Node-pressure Eviction": thresholds, conditions, ranking, refusal of new pods. Is not: eviction by the API,
by taints or by preemption, which the control plane decides.
Always true: pods go one at a time, none before the node says why, and critical ones never.
"""
