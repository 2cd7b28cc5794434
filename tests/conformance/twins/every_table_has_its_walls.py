"""The owner of its table is not held by row security."""

from tests.conformance.twinning import MIGRATION, Change

GUARD = '    op.guard_tenant_table("NAME.answers")\n'
CHANGES = [Change(GUARD, f'{GUARD}    op.execute("ALTER TABLE NAME.answers NO FORCE ROW LEVEL SECURITY")\n', MIGRATION)]
