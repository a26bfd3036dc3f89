"""Dockerfile to image."""
