"""Files as the programs write them: Google Contacts, LinkedIn, HubSpot, Outlook, and vCards.

Headers and habits are those of the real exports: LinkedIn's notes above the header, Google's ` ::: `, HubSpot's BOM and
`;`, Outlook's hundred columns.
"""

import csv
import io
from collections.abc import Sequence

from msgspec import Struct


class Person(Struct, frozen=True, kw_only=True):
    first_name: str
    last_name: str
    emails: Sequence[str] = ()
    phone: str = ""
    company: str = ""
    job_title: str = ""
    linkedin: str = ""
    """The last part of the profile's address."""
    notes: str = ""
    tags: Sequence[str] = ()

    @property
    def stored(self) -> dict[str, object]:
        """What is to be found of them in a contact, whatever program wrote the file."""
        return {
            "first_name": self.first_name,
            "last_name": self.last_name,
            "email": self.emails[0] if self.emails else None,
        }


PEOPLE = (
    Person(
        first_name="Zoë",
        last_name="Müller-Lüdenscheidt",
        emails=("zoe@mueller.example", "zoe.private@mail.example"),
        phone="+49 30 901820",
        company="Müller & Söhne; GmbH",
        job_title="Geschäftsführerin",
        linkedin="zoe-mueller",
        notes='Says "hello", twice.\nSecond line',
        tags=("Key account", "Messe 2026"),
    ),
    Person(
        first_name="Grace",
        last_name="O'Hara, Jr.",
        emails=("grace@navy.example",),
        phone="+1 202-555-0143",
        company="US Navy",
        job_title="Rear Admiral",
        linkedin="grace-ohara",
    ),
    Person(first_name="Jo", last_name="Li", emails=("jo@li.example",)),
)

GOOGLE = (
    "First Name,Middle Name,Last Name,Phonetic First Name,Phonetic Middle Name,Phonetic Last Name,Name Prefix,"
    "Name Suffix,Nickname,File As,Organization Name,Organization Title,Organization Department,Birthday,Notes,Photo,"
    "Labels,E-mail 1 - Label,E-mail 1 - Value,E-mail 2 - Label,E-mail 2 - Value,Phone 1 - Label,Phone 1 - Value,"
    "Address 1 - Label,Address 1 - Formatted,Website 1 - Label,Website 1 - Value"
).split(",")
LINKEDIN_NOTES = (
    'Notes:\n"When exporting your connection data, you may notice that some of the email addresses are missing. You '
    "will only see email addresses for connections who have allowed their connections to see or download their email "
    "address using this setting https://www.linkedin.com/psettings/privacy/email. You can learn more here "
    'https://www.linkedin.com/help/linkedin/answer/261"\n\n'
)
LINKEDIN = ["First Name", "Last Name", "URL", "Email Address", "Company", "Position", "Connected On"]
HUBSPOT = [
    "Record ID", "First Name", "Last Name", "Email", "Additional email addresses", "Phone Number", "Contact owner",
    "Last Activity Date (GMT)", "Lead Status", "Marketing contact status", "Create Date (GMT)", "Associated Company",
    "Job Title", "LinkedIn URL", "Unsubscribed from all email",
]  # fmt: skip
OUTLOOK = (
    "Title,First Name,Middle Name,Last Name,Suffix,Company,Department,Job Title,Business Street,Business City,"
    "Business Postal Code,Business Country/Region,Business Fax,Business Phone,Business Phone 2,Home Phone,Mobile Phone,"
    "Pager,Account,Anniversary,Birthday,Categories,E-mail Address,E-mail Type,E-mail Display Name,E-mail 2 Address,"
    "E-mail 2 Type,E-mail 2 Display Name,Gender,Keywords,Notes,Priority,Private,Profession,Sensitivity,Web Page"
).split(",")
OUTLOOK_GERMAN = [
    "Anrede", "Vorname", "Weitere Vornamen", "Nachname", "Suffix", "Firma", "Abteilung", "Position",
    "Telefon geschäftlich", "Telefon privat", "Mobiltelefon", "E-Mail-Adresse", "E-Mail-Typ",
    "E-Mail: Angezeigter Name", "E-Mail 2: Adresse", "Kategorien", "Notizen", "Priorität", "Webseite",
]  # fmt: skip


def _profile(person: Person) -> str:
    return f"https://www.linkedin.com/in/{person.linkedin}" if person.linkedin else ""


def _second(person: Person) -> str:
    return person.emails[1] if len(person.emails) > 1 else ""


def _first(person: Person) -> str:
    return person.emails[0] if person.emails else ""


def table(columns: Sequence[str], rows: Sequence[dict[str, str]], *, delimiter: str = ",", end: str = "\r\n") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, delimiter=delimiter, lineterminator=end, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def google(people: Sequence[Person] = PEOPLE) -> bytes:
    """A second address shares the cell of the first, as Google writes those of one label."""
    rows = [
        {
            "First Name": person.first_name,
            "Last Name": person.last_name,
            "File As": "",
            "Organization Name": person.company,
            "Organization Title": person.job_title,
            "Notes": person.notes,
            "Labels": " ::: ".join((*person.tags, "* myContacts")),
            "E-mail 1 - Label": "* Work",
            "E-mail 1 - Value": " ::: ".join(person.emails),
            "Phone 1 - Label": "Mobile",
            "Phone 1 - Value": f"{person.phone} ::: +1 555-0100" if person.phone else "",
            "Website 1 - Value": _profile(person) or "https://example.com/blog",
        }
        for person in people
    ]
    return table(GOOGLE, rows, end="\n").encode()


def linkedin(people: Sequence[Person] = PEOPLE) -> bytes:
    rows = [
        {
            "First Name": person.first_name,
            "Last Name": person.last_name,
            "URL": _profile(person),
            "Email Address": _first(person),
            "Company": person.company,
            "Position": person.job_title,
            "Connected On": "07 Mar 2025",
        }
        for person in people
    ]
    return (LINKEDIN_NOTES + table(LINKEDIN, rows, end="\n")).encode()


def hubspot(people: Sequence[Person] = PEOPLE) -> bytes:
    rows = [
        {
            "Record ID": str(40_251 + number),
            "First Name": person.first_name,
            "Last Name": person.last_name,
            "Email": _first(person),
            "Additional email addresses": ";".join(person.emails[1:]),
            "Phone Number": person.phone,
            "Contact owner": "Olu Owner (olu@acme.example)",
            "Lead Status": "ATTEMPTED_TO_CONTACT",
            "Marketing contact status": "Marketing contact",
            "Create Date (GMT)": "2025-03-07 09:30",
            "Associated Company": person.company,
            "Job Title": person.job_title,
            "LinkedIn URL": _profile(person).removeprefix("https://"),
            "Unsubscribed from all email": "true" if number == 1 else "",
        }
        for number, person in enumerate(people)
    ]
    return table(HUBSPOT, rows).encode("utf-8-sig")


def outlook(people: Sequence[Person] = PEOPLE, *, encoding: str = "cp1252", delimiter: str = ",") -> bytes:
    rows = [
        {
            "Title": "Dr.",
            "First Name": person.first_name,
            "Last Name": person.last_name,
            "Company": person.company,
            "Job Title": person.job_title,
            "Business Phone": person.phone,
            "Categories": ";".join(person.tags),
            "E-mail Address": _first(person),
            "E-mail Type": "SMTP",
            "E-mail 2 Address": _second(person),
            "Gender": "Unspecified",
            "Notes": person.notes,
            "Priority": "Normal",
            "Private": "False",
            "Web Page": _profile(person),
        }
        for person in people
    ]
    return table(OUTLOOK, rows, delimiter=delimiter).encode(encoding)


def outlook_german(people: Sequence[Person] = PEOPLE) -> bytes:
    rows = [
        {
            "Anrede": "Dr.",
            "Vorname": person.first_name,
            "Nachname": person.last_name,
            "Firma": person.company,
            "Position": person.job_title,
            "Mobiltelefon": person.phone,
            "E-Mail-Adresse": _first(person),
            "E-Mail 2: Adresse": _second(person),
            "Kategorien": ";".join(person.tags),
            "Notizen": person.notes,
            "Priorität": "Normal",
            "Webseite": _profile(person),
        }
        for person in people
    ]
    return table(OUTLOOK_GERMAN, rows, delimiter=";").encode("utf-16")


def _escaped(text: str) -> str:
    for plain, written in (("\\", "\\\\"), ("\n", "\\n"), (",", "\\,"), (";", "\\;")):
        text = text.replace(plain, written)
    return text


def _folded(line: str) -> str:
    """At 75 octets, as RFC 6350 has it; here at 60 characters."""
    return "\r\n ".join(line[start : start + 60] for start in range(0, len(line), 60))


def vcard(people: Sequence[Person] = PEOPLE, *, version: str = "3.0") -> bytes:
    """Version 3 marks the preferred address with TYPE, version 4 with PREF; the preferred one stands second."""
    preferred = "TYPE=INTERNET,pref" if version == "3.0" else "PREF=1"
    cards: list[str] = []
    for person in people:
        phone = f"TEL;TYPE=CELL:{person.phone}" if version == "3.0" else f"TEL;VALUE=uri:tel:{person.phone}"
        lines = [
            "BEGIN:VCARD",
            f"VERSION:{version}",
            f"FN:{_escaped(f'{person.first_name} {person.last_name}')}",
            f"N:{_escaped(person.last_name)};{_escaped(person.first_name)};;;",
            *(f"item1.EMAIL;TYPE=HOME:{address}" for address in person.emails[1:]),
            *(f"EMAIL;{preferred}:{address}" for address in person.emails[:1]),
            *([phone] if person.phone else []),
            f"ORG:{_escaped(person.company)};Sales",
            f"TITLE:{_escaped(person.job_title)}",
            *([f'X-SOCIALPROFILE;TYPE="linkedin:x":{_profile(person)}'] if person.linkedin else []),
            f"NOTE:{_escaped(person.notes)}",
            *([f"CATEGORIES:{','.join(map(_escaped, person.tags))}"] if person.tags else []),
            "PHOTO;ENCODING=b;TYPE=JPEG:" + "QUJD" * 400,
            "END:VCARD",
        ]
        cards += map(_folded, lines)
    return ("\r\n".join(cards) + "\r\n").encode()
