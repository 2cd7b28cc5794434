"""Networking keeps the rules that every module has to keep."""

from datetime import UTC, datetime

from core.testing import conformance
from core.testing.conformance import Filling, Id

CONTACT, FIRST = Id("networking.contacts"), Id("networking.duplicate_pairs", "first_id")
SECOND = Id("networking.duplicate_pairs", "second_id")
PAIR = {"contact_id": FIRST, "other_id": SECOND}
FILLINGS = {
    "import_contacts": Filling(files={"file": ("contacts.csv", b"first_name\nAda\n", "text/csv")}),
    "restore_contact": Filling(path={"contact_id": CONTACT}, rows={"networking.contacts": {"is_deleted": True}}),
    "move_contact": Filling(path={"contact_id": CONTACT}, json={"contact_type": "contact"}),
    "dismiss_duplicate": Filling(path=PAIR),
    "reconsider_duplicate": Filling(path=PAIR),
    "preview_merge": Filling(path={"contact_id": FIRST}, json={"other_id": SECOND}),
    "merge_contacts": Filling(path={"contact_id": FIRST}, json={"other_id": SECOND}),
    "undo_merge": Filling(
        path={"merge_id": Id("networking.contact_merges")},
        rows={"networking.contact_merges": {"undo_until": datetime(2999, 1, 1, tzinfo=UTC)}},
    ),
    "revert_import": Filling(
        path={"import_id": Id("networking.contact_imports")}, rows={"networking.contact_imports": {"state": "done"}}
    ),
}

test_conformance = conformance.of(
    "networking",
    fillings=FILLINGS,
    definer_functions={
        "networking.find_contacts(text[])",
        "networking.find_matches(uuid[],text[],text[],text[])",
        "networking.find_similar(uuid[])",
    },
)
