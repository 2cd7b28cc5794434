"""Networking keeps the rules that every module has to keep."""

from core.testing import conformance

FILLINGS = {
    "import_contacts": conformance.Filling(files={"file": ("contacts.csv", b"first_name\nAda\n", "text/csv")}),
    "restore_contact": conformance.Filling(
        path={"contact_id": conformance.Id("networking.contacts")}, rows={"networking.contacts": {"is_deleted": True}}
    ),
}

test_conformance = conformance.of(
    "networking", fillings=FILLINGS, definer_functions={"networking.find_contacts(text[])"}
)
