"""A column may be null in its migration, and may not in its model."""

from tests.conformance.twinning import MIGRATION, Change

CHANGES = [Change('"going", sa.Boolean(), nullable=False', '"going", sa.Boolean(), nullable=True', MIGRATION)]
