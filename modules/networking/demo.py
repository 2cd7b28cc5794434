"""Plausible contacts for the local demo: made up, and the same for the same seed."""

import random
from collections.abc import Iterator

from modules.networking.schemas import ContactIn
from modules.networking.values import ContactStatus, ContactType, Priority

COUNT = 250
FIRST_NAMES = (
    "Amara Ben Chiara Diego Elif Femi Grace Hana Ivan Jonas Kavya Lena Mateo Nadia Omar Priya Quentin Rosa Samir Tove "
    "Uma Viktor Wanjiru Xenia Yusuf Zofia Aiko Bruno Clara Dmitri Esther Farid Greta Hugo Ines Jamal"
).split()
LAST_NAMES = (
    "Adeyemi Bauer Costa Dubois Eriksen Fischer Garcia Haddad Ito Jensen Khan Lindqvist Moreau Novak Okafor Petrov "
    "Quispe Rossi Silva Tanaka Umar Varga Weber Xu Yilmaz Zhang Andersson Brown Chen Diaz Evans Fernandez"
).split()
COMPANIES = {
    "Northwind Logistics": "Logistics",
    "Brightfield Energy": "Energy",
    "Cobalt Analytics": "Software",
    "Harbour & Finch": "Law",
    "Juniper Health": "Healthcare",
    "Kestrel Aviation": "Aviation",
    "Lumen Studios": "Media",
    "Meridian Capital": "Finance",
    "Orchard Foods": "Food",
    "Pinewood Construction": "Construction",
}
TITLES = ("Head of Partnerships|Sales Director|Event Lead|Founder|Procurement Manager|CTO|Marketing Manager|COO").split(
    "|"
)
BUSINESS_TYPES = ("enterprise", "mid-market", "startup")
NETWORK_TYPES = ("conference", "referral", "inbound", "alumni")


def demo_contacts(seed: str) -> Iterator[ContactIn]:
    """`COUNT` contacts; the same seed gives the same ones."""
    chance = random.Random(seed)  # noqa: S311 # nothing here is secret
    for number in range(COUNT):
        first, last = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES)
        company, industry = chance.choice(list(COMPANIES.items()))
        domain = "".join(character for character in company.lower() if character.isalnum())
        yield ContactIn(
            first_name=first,
            last_name=last,
            email=f"{first}.{last}.{number}@{domain}.example".lower(),
            phone=f"+44 20 7946 {number:04}",
            company=company,
            job_title=chance.choice(TITLES),
            linkedin_url=f"https://www.linkedin.com/in/{first}-{last}-{number}".lower(),
            contact_type=chance.choices(list(ContactType), weights=(5, 4, 1))[0],
            status=chance.choice(list(ContactStatus)),
            priority=chance.choice(list(Priority)),
            business_type=chance.choice(BUSINESS_TYPES),
            network_type=chance.choice(NETWORK_TYPES),
            industry=industry,
        )
