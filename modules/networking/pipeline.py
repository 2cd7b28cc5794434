"""The pipeline: from which stage a contact may go to which, what each stage takes, and one function that judges.

A contact's stage is its `contact_type`: target, contact, plug. The rules are an organization's own (see `settings`);
the API and the import ask the same function. Pure: no row, no request.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct

from core.sdk import FieldError
from modules.networking.field_schemas import CUSTOM, KEY
from modules.networking.values import ContactType

NOT_ALLOWED = "stage-not-allowed"
STAGE = "contact_type"
ORDER = {stage: place for place, stage in enumerate(ContactType)}


class StageField(StrEnum):
    """What a stage can ask for."""

    LAST_NAME = "last_name"
    EMAIL = "email"
    PHONE = "phone"
    COMPANY = "company"
    JOB_TITLE = "job_title"
    LINKEDIN_URL = "linkedin_url"
    BIO = "bio"
    BUSINESS_TYPE = "business_type"
    NETWORK_TYPE = "network_type"
    INDUSTRY = "industry"
    NOTES = "notes"


_COLUMNS = tuple(field.value for field in StageField)

type Needed = Annotated[
    str,
    Meta(
        title="the name of a field, or custom. and the key of one of your own",
        pattern=f"^(?:{'|'.join(StageField)}|custom\\.{KEY})$(?!\\n)",
        examples=["email"],
    ),
]


class Requirement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of which a contact has to have one."""

    any_of: Annotated[tuple[Needed, ...], Meta(min_length=1, max_length=20)]


class Transition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A move that may be made. What is in no transition is refused."""

    from_stage: ContactType
    to_stage: ContactType
    needs_reason: bool = False


type Requirements = Annotated[tuple[Requirement, ...], Meta(max_length=50)]


def _needs(*groups: tuple[str, ...]) -> tuple[Requirement, ...]:
    return tuple(Requirement(any_of=group) for group in groups)


class PipelineRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stages are gone through one by one; a step back says why. Whoever comes new may come at any stage."""

    transitions: Annotated[tuple[Transition, ...], Meta(max_length=len(ContactType) ** 2)] = (
        Transition(from_stage=ContactType.TARGET, to_stage=ContactType.CONTACT),
        Transition(from_stage=ContactType.CONTACT, to_stage=ContactType.PLUG),
        Transition(from_stage=ContactType.CONTACT, to_stage=ContactType.TARGET, needs_reason=True),
        Transition(from_stage=ContactType.PLUG, to_stage=ContactType.CONTACT, needs_reason=True),
        Transition(from_stage=ContactType.PLUG, to_stage=ContactType.TARGET, needs_reason=True),
    )
    contact_needs: Requirements = _needs((StageField.EMAIL, StageField.PHONE))
    plug_needs: Requirements = _needs(
        (StageField.EMAIL, StageField.PHONE),
        (StageField.COMPANY,),
        (StageField.BUSINESS_TYPE,),
        (StageField.NETWORK_TYPE,),
    )

    def __post_init__(self) -> None:
        moves = [(each.from_stage, each.to_stage) for each in self.transitions]
        if len(set(moves)) < len(moves) or any(start == end for start, end in moves):
            raise ValueError("Expected each move once, and none from a stage to itself")

    def transition(self, start: str, end: str) -> Transition | None:
        return next((each for each in self.transitions if (each.from_stage, each.to_stage) == (start, end)), None)

    def own_fields(self) -> dict[str, str]:
        """Where they ask for a field of the organization's own: its key, by the place in the settings."""
        return {
            f"{name}.{index}.any_of.{place}": field.removeprefix(CUSTOM)
            for name in ("contact_needs", "plug_needs")
            for index, need in enumerate(getattr(self, name))
            for place, field in enumerate(need.any_of)
            if field.startswith(CUSTOM)
        }

    def needs(self, stage: str) -> tuple[Requirement, ...]:
        return {ContactType.CONTACT: self.contact_needs, ContactType.PLUG: self.plug_needs}.get(ContactType(stage), ())


def check_move(
    before: Mapping[str, Any] | None, after: Mapping[str, Any], reason: str | None, rules: PipelineRules
) -> list[FieldError]:
    """All that is wrong with a contact's columns becoming `after`; `before` is None for one that comes new.

    A move that the table doesn't have is told alone, as `stage-not-allowed`; of one that it has, everything that is
    missing is told. A contact that stays where it is may go on lacking what it lacked, and lose nothing that its
    stage asks for.
    """
    stage = after[STAGE]
    if before is None:
        return [_missing(need, stage) for need in rules.needs(stage) if not _is_met(need, after)]
    if before[STAGE] == stage:
        return [
            _missing(need, stage) for need in rules.needs(stage) if _is_met(need, before) and not _is_met(need, after)
        ]
    transition = rules.transition(before[STAGE], stage)
    if transition is None:
        message = f"A {before[STAGE]} can't become a {stage} at once"
        return [FieldError(field=STAGE, code=NOT_ALLOWED, message=message)]
    errors = [_missing(need, stage) for need in rules.needs(stage) if not _is_met(need, after)]
    if transition.needs_reason and not (reason or "").strip():
        message = f"Say why a {before[STAGE]} becomes a {stage} again"
        errors.append(FieldError(field="stage_reason", code="required", message=message))
    return errors


def is_step_back(start: str, end: str) -> bool:
    return ORDER[ContactType(end)] < ORDER[ContactType(start)]


def filled(values: Mapping[str, Any]) -> frozenset[str]:
    """Those of the fields that a stage can ask for which say anything: in a column, blanks alone don't; of one of the
    organization's own, no and zero are values."""
    columns = {name for name in _COLUMNS if (values.get(name) or "").strip()}
    own: Mapping[str, Any] = values.get("custom") or {}
    return frozenset(columns | {CUSTOM + key for key, value in own.items() if value is not None})


def _is_met(need: Requirement, values: Mapping[str, Any]) -> bool:
    return not filled(values).isdisjoint(need.any_of)


def _missing(need: Requirement, stage: str) -> FieldError:
    wanted = " or ".join(field.replace("_", " ") for field in need.any_of)
    return FieldError(field=need.any_of[0], code="required", message=f"A {stage} needs {wanted}")
