"""It reaches behind the SDK."""

from tests.conformance.twinning import Change

CHANGES = [
    Change(
        "from msgspec import Struct, structs\n",
        "from core.db.database import Database\nfrom msgspec import Struct, structs\n",
    )
]
