"""Seeing what the system does: logs, metrics, health and the correlation id that ties them together."""
