"""Its table refuses what an erased address becomes."""

from tests.conformance.twinning import MIGRATION, Change

CHECK = 'CheckConstraint("length(email) > 10", name={name}),'
UNIQUE = '(tenant_unique("event_id", "subject_id"),)'
KEY = "        sa.PrimaryKeyConstraint("
CHANGES = [
    Change(
        "from msgspec import Struct, structs\n",
        "from msgspec import Struct, structs\nfrom sqlalchemy import CheckConstraint\n",
    ),
    Change(UNIQUE, f"{UNIQUE[:-1]} {CHECK.format(name="'email'")})"),
    Change(KEY, f"        sa.{CHECK.format(name="op.f('ck_answers_email')")}\n{KEY}", MIGRATION),
]
