"""It makes a table in the schema of the core as well."""

from tests.conformance.twinning import MIGRATION, Change

GUARD, DROP = '    op.guard_tenant_table("NAME.answers")\n', '    op.drop_table("answers", schema="NAME")\n'
CHANGES = [
    Change(GUARD, f'{GUARD}    op.create_table("stray", sa.Column("id", sa.Uuid()), schema="core")\n', MIGRATION),
    Change(DROP, f'{DROP}    op.drop_table("stray", schema="core")\n', MIGRATION),
]
