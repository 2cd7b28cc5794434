"""What its migration makes can not be taken back."""

from tests.conformance.twinning import MIGRATION, Change

CHANGES = [Change('op.drop_table("answers", schema="NAME")', 'op.execute("SELECT 1")', MIGRATION)]
