"""It keeps phone numbers like any other text."""

from tests.conformance.twinning import MIGRATION, Change

CHANGES = [
    Change("    email: Mapped[Pii]\n", "    email: Mapped[Pii]\n    phone: Mapped[str | None]\n"),
    Change(
        '        sa.Column("going"',
        '        sa.Column("phone", sa.Text(), nullable=True),\n        sa.Column("going"',
        MIGRATION,
    ),
]
