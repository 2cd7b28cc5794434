"""Custom fields: defined, changed, archived; and judging values by them.

Who writes a value holds its definition until the transaction ends, so a change of kind or the loss of an option waits,
and then sees the value.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from msgspec import UNSET, convert, json
from sqlalchemy import ColumnElement, func, or_, select, union_all

from core.sdk import Conflict, Ctx, FieldError, Invalid, NotFound, Row, check_if_match
from modules.networking.field_models import CustomField
from modules.networking.field_queries import ALL_FIELDS, COLUMNS
from modules.networking.field_schemas import CUSTOM, MAX_FIELDS, MAX_OPTIONS, FieldIn, FieldPatch
from modules.networking.field_values import OF_CHOICE, Field, judged, missing, read, required_error, typed
from modules.networking.keys import name_key
from modules.networking.locks import lock
from modules.networking.models import Contact, ContactImport, ContactImportRow, ContactMerge
from modules.networking.pipeline import PipelineRules
from modules.networking.settings import NetworkingSettings
from modules.networking.values import FieldKind, ImportState

AT_WORK = (ImportState.QUEUED, ImportState.RUNNING)
type Fields = dict[str, Field]


async def create_field(ctx: Ctx, data: FieldIn) -> CustomField:
    """Raises `Conflict`: `field-exists` where another has the key or label, `too-many-fields` beyond `MAX_FIELDS`."""
    label_key = _label_key(data.label)
    await lock(ctx, "fields", "new")
    known = await _own(ctx)
    _refuse_taken(known, key=data.key, label_key=label_key)
    if len(known) >= MAX_FIELDS:
        raise Conflict(f"There are {MAX_FIELDS} fields already", code="too-many-fields")
    _check_options(data.kind, data.options, ())
    field = CustomField(
        key=data.key,
        label=" ".join(data.label.split()),
        label_key=label_key,
        kind=data.kind,
        options=data.options,
        archived_options=[],
        required=data.required,
        archived=False,
        created_by=ctx.user_id,
    )
    ctx.db.add(field)
    await ctx.db.flush()
    return field


async def find_field(ctx: Ctx, field_id: UUID, *, lock: bool = False) -> CustomField:
    statement = select(CustomField).where(
        CustomField.organization_id == ctx.organization_id, CustomField.id == field_id
    )
    field = await ctx.db.scalar(statement.with_for_update() if lock else statement)
    if field is None:
        raise NotFound("There is no such field")
    return field


async def update_field(ctx: Ctx, field_id: UUID, data: FieldPatch, *, if_match: str | None) -> CustomField:
    """Raises `Conflict` where it would make a value one that its field would not take: `field-in-use` for another kind,
    `option-in-use` for an option that is left out; `field-exists` where another has the label; and `field-needed` where
    it is to be archived and a stage asks for it."""
    field = await find_field(ctx, field_id, lock=True)
    check_if_match(if_match, field.version)
    kind = field.kind if data.kind is UNSET else data.kind
    options = field.options if data.options is UNSET else data.options
    archived = field.archived_options if data.archived_options is UNSET else data.archived_options
    if data.options is not UNSET and data.archived_options is UNSET:
        archived = [option for option in archived if option not in options]
    if data.archived_options is not UNSET and data.options is UNSET:
        options = [option for option in options if option not in archived]
    _check_options(FieldKind(kind), options, archived)
    if kind != field.kind:
        await _refuse_held(ctx, field.key)
    else:
        gone = [option for option in (*field.options, *field.archived_options) if option not in {*options, *archived}]
        await _refuse_held_options(ctx, field.key, gone)
    if data.label is not UNSET:
        label_key = _label_key(data.label)
        _refuse_taken([known for known in await _own(ctx) if known.id != field.id], label_key=label_key)
        field.label, field.label_key = " ".join(data.label.split()), label_key
    field.kind, field.options, field.archived_options = kind, options, archived
    if data.archived is True and not field.archived:
        _refuse_needed(ctx, field.key)
    field.required = field.required if data.required is UNSET else data.required
    field.archived = field.archived if data.archived is UNSET else data.archived
    await ctx.db.flush()
    return field


async def delete_field(ctx: Ctx, field_id: UUID, *, if_match: str | None) -> None:
    """Raises `Conflict` while a contact has a value (`field-in-use`: archive it), and while a stage asks for it
    (`field-needed`)."""
    field = await find_field(ctx, field_id, lock=True)
    check_if_match(if_match, field.version)
    _refuse_needed(ctx, field.key)
    await _refuse_held(ctx, field.key)
    await ctx.db.delete(field)
    await ctx.db.flush()


async def custom_values(
    ctx: Ctx, sent: Mapping[str, Any], *, stored: Mapping[str, Any], required: Iterable[Field] = ()
) -> dict[str, Any]:
    """The contact's `custom` once what was sent has been taken. `required` are the fields that a new contact must have.
    Raises `Invalid`, naming every `custom.key`."""
    fields = await held_fields(ctx, sent) if sent else {}
    found = judged(fields, sent, stored=stored)
    errors = found.errors
    if asked := {field.key: field for field in required}:
        named = {error.field for error in errors}
        lacking = missing(asked | fields, found.values)
        errors += [required_error(CUSTOM + key) for key in lacking if CUSTOM + key not in named]
    if errors:
        raise Invalid(errors=errors)
    return found.values


async def held_fields(ctx: Ctx, keys: Collection[str]) -> Fields:
    """Fields that keep their kind and their options until this transaction is over."""
    statement = _select(ctx).where(CustomField.key.in_(keys)).order_by(CustomField.id)
    return _by_key(await ctx.db.execute(statement.with_for_update(read=True, key_share=True)))


async def all_fields(ctx: Ctx) -> Fields:
    """In the order in which they were defined."""
    return _by_key(await ctx.db.execute(_select(ctx).order_by(CustomField.created_at, CustomField.id)))


async def shown_fields(ctx: Ctx) -> Fields:
    """As `all_fields`, on the read lane."""
    return _read(await ctx.reads.rows(ALL_FIELDS))


def containing(fields: Fields, given: str) -> tuple[str, list[FieldError]]:
    """What a contact must have, as the JSON document that its `custom` has to contain; and what is wrong with it.
    `given` is a filter as `account_tier:Gold`."""
    key, _, text = given.partition(":")
    if key not in fields:
        return "{}", [FieldError(field="custom", code="unknown", message=f"There is no field {key}")]
    field = fields[key]
    value, wrong = typed(field, read(field, text.strip()), besides=field.archived_options)
    errors = [FieldError(field="custom", code=error.code, message=f"{key}: {error.message}") for error in wrong]
    return json.encode({key: value}).decode(), errors


def own_fields(fields: Sequence[str]) -> list[str]:
    """The keys of those that a file's columns fill."""
    return [field.removeprefix(CUSTOM) for field in fields if field.startswith(CUSTOM)]


def with_own_fields(columns: Sequence[str], found: Sequence[str | None], fields: Fields) -> list[str]:
    """What each column of a file fills: what it is known to, else the field whose label, or `custom.` and whose key,
    it has as its name. Empty for a column that is left out."""
    named = {
        name_key(name): CUSTOM + key for key, f in fields.items() if not f.archived for name in (f.label, CUSTOM + key)
    }
    return [field or named.get(name_key(name), "") for name, field in zip(columns, found, strict=True)]


def _select(ctx: Ctx) -> Any:
    return select(*COLUMNS).where(CustomField.organization_id == ctx.organization_id)


def _by_key(rows: Any) -> Fields:
    return {row.key: convert(dict(row._mapping), Field) for row in rows}  # pyright: ignore[reportPrivateUsage]


def _read(rows: Sequence[Row]) -> Fields:
    return {row["key"]: convert(dict(row), Field) for row in rows}


async def _own(ctx: Ctx) -> Sequence[CustomField]:
    found = await ctx.db.scalars(select(CustomField).where(CustomField.organization_id == ctx.organization_id))
    return found.all()


def _label_key(label: str) -> str:
    key = name_key(label)
    if not key:
        message = "Expected a label that can be seen"
        raise Invalid(message, errors=[FieldError(field="label", code="blank", message=message)])
    return key


def _refuse_taken(known: Collection[CustomField], *, label_key: str, key: str | None = None) -> None:
    taken = [field for field in known if field.key == key or field.label_key == label_key]
    if taken:
        name = "key" if taken[0].key == key else "label"
        message = f"There is a field with this {name}"
        errors = [FieldError(field=name, code="duplicate", message=message)]
        raise Conflict(message, code="field-exists", conflicts_with=[field.id for field in taken], errors=errors)


def _check_options(kind: FieldKind, options: Sequence[str], archived: Sequence[str]) -> None:
    both = [*options, *archived]
    message = None
    if kind not in OF_CHOICE and both:
        message = "Only a field of choice has options"
    elif kind in OF_CHOICE and not options:
        message = "A field of choice needs an option"
    elif len({name_key(option) for option in both}) < len(both):
        message = "No two options may read alike"
    elif len(both) > MAX_OPTIONS:
        message = f"A field has at most {MAX_OPTIONS} options, the archived ones included"
    if message:
        raise Invalid(message, errors=[FieldError(field="options", code="value", message=message)])


async def refuse_unknown_needs(ctx: Ctx, rules: PipelineRules) -> None:
    """Raises `Invalid` for rules that ask for a field which is not there or takes no values. Those that they name can't
    go before this transaction is over."""
    asked = rules.own_fields()
    known = await held_fields(ctx, asked.values()) if asked else {}
    message = "There is no such field, or it is archived"
    errors = [
        FieldError(field=f"pipeline.{place}", code="unknown", message=message)
        for place, key in asked.items()
        if key not in known or known[key].archived
    ]
    if errors:
        raise Invalid(errors=errors)


def _refuse_needed(ctx: Ctx, key: str) -> None:
    """By the rules as this request knows them: ones that are set at the same moment may miss the field, and then say so
    of every contact."""
    if key in ctx.settings(NetworkingSettings).pipeline.own_fields().values():
        message = "A stage asks for this field: change the pipeline's rules first"
        raise Conflict(message, code="field-needed")


async def _refuse_held(ctx: Ctx, key: str) -> None:
    if await _is_held(ctx, key):
        message = "Contacts have values of this field: archive it, and define another"
        raise Conflict(message, code="field-in-use")


async def _refuse_held_options(ctx: Ctx, key: str, options: Sequence[str]) -> None:
    for option in options:
        if await _is_held(ctx, key, option):
            message = f"Contacts have {option}: archive it instead of leaving it out"
            error = FieldError(field="options", code="in-use", message=message)
            raise Conflict(message, code="option-in-use", errors=[error])


async def _is_held(ctx: Ctx, key: str, option: str | None = None) -> bool:
    """Whether a contact has it, one in the trash included; or it can come back, as a merge may be undone or an import
    reverted; or an import is at work that may bring it."""

    def within(custom: Any) -> ColumnElement[bool]:
        return custom.has_key(key) if option is None else custom[key].has_key(option)

    told = [
        select(model.id).where(model.organization_id == ctx.organization_id, or_(*map(within, documents)))
        for model, documents in (
            (Contact, [Contact.custom]),
            (ContactMerge, [ContactMerge.before["custom"], ContactMerge.after["custom"]]),
            (ContactImportRow, [ContactImportRow.before["custom"]]),
        )
    ]
    at_work = select(ContactImport.id).where(
        ContactImport.organization_id == ctx.organization_id,
        ContactImport.state.in_(AT_WORK),
        func.array_position(ContactImport.fields, CUSTOM + key).is_not(None),
    )
    return bool(await ctx.db.scalar(select(union_all(*told, at_work).limit(1).exists())))
