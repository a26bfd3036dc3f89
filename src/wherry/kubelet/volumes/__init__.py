"""Volumes of pods: made before the containers start, kept fresh while they run, removed with the pod."""
