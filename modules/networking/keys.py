"""What identifies a person: the same address, number or profile, however it is written."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import phonenumbers

PROFILE = re.compile(r"^/(?:mwlite/)?(in|pub)/([^/]+)")


class Key(NamedTuple):
    """`Key("phone", "+442079460018")`: two contacts that share one are exact duplicates."""

    kind: str
    value: str


def name_key(name: str) -> str:
    """A name that people gave, as it is compared: without regard to case, to how it is encoded, and to how much space
    is in it."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def phone_key(phone: str | None, country: str | None) -> str | None:
    """`+442079460018;ext=5`. A number without a country code is read as one of `country` (ISO 3166).

    None where it can't be told whose number it is; two extensions of one switchboard are two numbers.
    """
    if not phone:
        return None
    try:
        number = phonenumbers.parse(phone, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    plain = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return f"{plain};ext={number.extension}" if number.extension else plain


def linkedin_key(url: str | None) -> str | None:
    """`in/ada-okafor` of any address of that profile. None for what is no person's profile."""
    try:
        address = urlsplit(url or "")
    except ValueError:
        return None
    host = (address.hostname or "").lower()
    found = PROFILE.match(address.path)
    if found is None or not (host == "linkedin.com" or host.endswith(".linkedin.com")):
        return None
    return f"{found[1]}/{unquote(found[2]).lower()}"


def keys_of(values: Mapping[str, Any]) -> list[Key]:
    """All that identifies the contact of these columns."""
    addresses: list[str | None] = [values.get("email"), *(values.get("additional_emails") or [])]
    found: list[tuple[str, str | None]] = [("email", address) for address in addresses]
    found += [("phone", values.get("phone_e164")), ("linkedin", values.get("linkedin_key"))]
    return [Key(kind, value) for kind, value in found if value]
