"""Which column of which program's export fills which field."""

from collections.abc import Mapping, Sequence

from modules.networking.values import ImportField, ImportSource

F = ImportField

OWN = {field.value: field for field in ImportField}
COMMON: Mapping[str, ImportField] = OWN | {
    "first": F.FIRST_NAME,
    "given name": F.FIRST_NAME,
    "vorname": F.FIRST_NAME,
    "last": F.LAST_NAME,
    "family name": F.LAST_NAME,
    "surname": F.LAST_NAME,
    "nachname": F.LAST_NAME,
    "name": F.FULL_NAME,
    "display name": F.FULL_NAME,
    "e-mail": F.EMAIL,
    "email address": F.EMAIL,
    "e-mail address": F.EMAIL,
    "e-mail-adresse": F.EMAIL,
    "additional emails": F.EMAIL,
    "additional_emails": F.EMAIL,
    "phone number": F.PHONE,
    "mobile": F.PHONE,
    "mobile phone": F.PHONE,
    "mobile phone number": F.PHONE,
    "mobiltelefon": F.PHONE,
    "telephone": F.PHONE,
    "telefon": F.PHONE,
    "company name": F.COMPANY,
    "organization": F.COMPANY,
    "organization name": F.COMPANY,
    "firma": F.COMPANY,
    "job title": F.JOB_TITLE,
    "position": F.JOB_TITLE,
    "title": F.JOB_TITLE,
    "linkedin": F.LINKEDIN_URL,
    "linkedin url": F.LINKEDIN_URL,
    "linkedin profile": F.LINKEDIN_URL,
    "url": F.WEBSITE,
    "web page": F.WEBSITE,
    "website url": F.WEBSITE,
    "type": F.CONTACT_TYPE,
    "stage": F.CONTACT_TYPE,
    "lead status": F.STATUS,
    "note": F.NOTES,
    "notizen": F.NOTES,
    "tag": F.TAGS,
    "label": F.TAGS,
    "labels": F.TAGS,
    "group membership": F.TAGS,
    "categories": F.TAGS,
    "kategorien": F.TAGS,
}
"""Headers in lower case. Our own export's are the fields' names."""

GOOGLE: Mapping[str, ImportField | None] = {
    "file as": F.FULL_NAME,
    "organization title": F.JOB_TITLE,
    "organization 1 - name": F.COMPANY,
    "organization 1 - title": F.JOB_TITLE,
    **{f"e-mail {number} - value": F.EMAIL for number in range(1, 10)},
    **{f"phone {number} - value": F.PHONE for number in range(1, 10)},
    **{f"website {number} - value": F.WEBSITE for number in range(1, 10)},
    "photo": None,
}
LINKEDIN: Mapping[str, ImportField | None] = {"url": F.LINKEDIN_URL}
HUBSPOT: Mapping[str, ImportField | None] = {
    "lead status": None,  # its values are HubSpot's own
    "lifecycle stage": None,
    "record id": None,
    "id": None,
    "additional email addresses": F.EMAIL,
    "associated company": F.COMPANY,
    "unsubscribed from all email": F.OPTED_OUT,
}
OUTLOOK: Mapping[str, ImportField | None] = {
    "title": None,  # how somebody is addressed, not what they do
    "anrede": None,
    "e-mail 2 address": F.EMAIL,
    "e-mail 3 address": F.EMAIL,
    "e-mail 2: adresse": F.EMAIL,
    "e-mail 3: adresse": F.EMAIL,
    "business phone": F.PHONE,
    "business phone 2": F.PHONE,
    "primary phone": F.PHONE,
    "home phone": F.PHONE,
    "telefon geschäftlich": F.PHONE,
    "telefon privat": F.PHONE,
    "webseite": F.WEBSITE,
    "personal web page": F.WEBSITE,
    "priority": None,
    "priorität": None,
}
SIGNATURES: Sequence[tuple[ImportSource, Sequence[frozenset[str]], Mapping[str, ImportField | None]]] = (
    (ImportSource.LINKEDIN, [frozenset({"first name", "connected on"})], LINKEDIN),
    (ImportSource.GOOGLE, [frozenset({"e-mail 1 - value"}), frozenset({"labels", "file as"})], GOOGLE),
    (ImportSource.HUBSPOT, [frozenset({"record id"}), frozenset({"marketing contact status"})], HUBSPOT),
    (
        ImportSource.OUTLOOK,
        [
            frozenset({"e-mail address", "e-mail 2 address"}),
            frozenset({"e-mail address", "business phone"}),
            frozenset({"e-mail-adresse", "telefon geschäftlich"}),
        ],
        OUTLOOK,
    ),
)
"""Headers by which a program's export is known: any of the sets, and what is special about its columns."""


def plain(name: str) -> str:
    return " ".join(name.strip().lower().split())


def source_of(header: Sequence[str]) -> ImportSource:
    names = {plain(name) for name in header}
    for source, sets, _ in SIGNATURES:
        if any(required <= names for required in sets):
            return source
    return ImportSource.OTHER


def fields_of(header: Sequence[str], source: ImportSource) -> list[ImportField | None]:
    """The field of each column, None for a column that is left out."""
    special: Mapping[str, ImportField | None] = {}
    for known, _, fields in SIGNATURES:
        if known is source:
            special = fields
    return [_field_of(plain(name), special) for name in header]


def _field_of(name: str, special: Mapping[str, ImportField | None]) -> ImportField | None:
    if name in special:
        return special[name]
    return COMMON.get(name) or OWN.get(name.replace(" ", "_"))


def recognised(header: Sequence[str]) -> int:
    """How many of these cells look like headers of columns that we know."""
    return sum(field is not None for field in fields_of(header, source_of(header)))
