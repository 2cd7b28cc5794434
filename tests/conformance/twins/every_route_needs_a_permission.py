"""Whoever is signed in may see its answers."""

from tests.conformance.twinning import Change

CHANGES = [Change(", guards=[requires(READ)]", "")]
