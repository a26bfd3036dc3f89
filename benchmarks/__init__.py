"""Measurements. Each prints ratios or figures of one run; nothing here asserts a time."""
