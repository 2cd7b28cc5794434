"""A route of its goes past the gate."""

from tests.conformance.twinning import Change

CHANGES = [Change("guards=[requires(READ)]", 'guards=[requires(READ)], opt={"module": None}')]
