"""Contacts and their interactions: who may, what comes in, which service, what goes out."""

from typing import Annotated, Literal
from uuid import UUID

from core.sdk import (
    DEFAULT_LIMIT,
    NO_NUL,
    NO_NUL_TITLE,
    Ctx,
    FromPath,
    FromQuery,
    IfMatch,
    JSONBody,
    Limit,
    Page,
    PageCursor,
    QueryParameter,
    Response,
    Stream,
    Tagged,
    delete,
    get,
    json_bytes,
    limited,
    patch,
    post,
    requires,
    tagged,
)
from modules.networking.exporting import export_contacts
from modules.networking.field_schemas import CUSTOM_FILTER, CUSTOM_FILTER_TITLE
from modules.networking.permissions import EXPORT, READ, WRITE
from modules.networking.queries import CONTACTS, DELETED_CONTACTS, FOUND_CONTACTS, FOUND_DELETED_CONTACTS, INTERACTIONS
from modules.networking.saved_view_schemas import ContactSort, ViewFilters
from modules.networking.schemas import ContactIn, ContactOut, ContactPatch, InteractionIn, InteractionOut
from modules.networking.searching import search_values
from modules.networking.services import contacts, interactions, saved_views
from modules.networking.values import ContactStatus, ContactType, Priority
from modules.networking.views import contact_of, contact_out, interaction_out, untagged_out
from modules.networking.visibility import viewer_of

Text = Annotated[str | None, QueryParameter(title=NO_NUL_TITLE, min_length=1, max_length=200, pattern=NO_NUL)]
Search = Annotated[
    str | None,
    QueryParameter(
        title=NO_NUL_TITLE,
        min_length=1,
        max_length=200,
        pattern=NO_NUL,
        description="Words in name, company, title, e-mail and notes; where nobody has them, words spelt alike",
    ),
]
TagFilter = Annotated[
    str | None,
    QueryParameter(title=NO_NUL_TITLE, min_length=1, max_length=50, pattern=NO_NUL, description="The name of a tag"),
]
OwnFilter = Annotated[
    str | None,
    QueryParameter(
        title=CUSTOM_FILTER_TITLE,
        min_length=3,
        max_length=300,
        pattern=CUSTOM_FILTER,
        description="A custom field's key and value, `account_tier:Gold`",
    ),
]
SavedViewId = Annotated[
    UUID | None,
    QueryParameter(description="A saved view, whose filters, order and columns hold where nothing else is said"),
]
AllowDuplicate = Annotated[
    bool,
    QueryParameter(description="Take it although another contact has the address, number or profile (409 otherwise)"),
]
InteractionSort = Literal["interaction_date", "-interaction_date", "created_at", "-created_at"]


@post("/contacts", operation_id="create_contact", summary="Add a contact", guards=[requires(WRITE)])
async def create_contact(
    ctx: Ctx, data: JSONBody[ContactIn], allow_duplicate: AllowDuplicate = False
) -> Tagged[ContactOut]:
    contact = await contacts.create_contact(ctx, data, allow_duplicate=allow_duplicate)
    shown = await contact_out(ctx, contact) if data.tags else untagged_out(contact)
    return tagged(shown, version=contact.version, status_code=201)


@get("/contacts", operation_id="list_contacts", summary="List, filter and search contacts", guards=[requires(READ)])
async def list_contacts(
    ctx: Ctx,
    contact_type: FromQuery[ContactType | None] = None,
    status: FromQuery[ContactStatus | None] = None,
    priority: FromQuery[Priority | None] = None,
    industry: Text = None,
    owner_id: FromQuery[UUID | None] = None,
    tag: TagFilter = None,
    custom: OwnFilter = None,
    q: Search = None,
    is_deleted: FromQuery[bool] = False,
    view: SavedViewId = None,
    sort: FromQuery[ContactSort | None] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = None,
) -> Response[Page[ContactOut]]:
    """With `q`, the best come first unless `sort` says otherwise; without it, the newest."""
    given = ViewFilters(
        contact_type=contact_type,
        status=status,
        priority=priority,
        industry=industry,
        owner_id=owner_id,
        tag=tag,
        custom=custom,
        q=q,
    )
    asked = await saved_views.asked(ctx, view, given, sort=sort)
    searched = search_values(asked.filters.get("q"))
    found = FOUND_DELETED_CONTACTS if is_deleted else FOUND_CONTACTS
    page = await ctx.page(
        found if searched else DELETED_CONTACTS if is_deleted else CONTACTS,
        sort=asked.sort,
        limit=limit,
        cursor=cursor,
        **{**asked.filters, "q": None, **searched},
        viewer=viewer_of(ctx),
    )
    return json_bytes(page)


@get(
    "/contacts/export.csv",
    operation_id="export_contacts",
    summary="All contacts that fit the filters, as CSV",
    media_type="text/csv",
    guards=[requires(EXPORT)],
    opt=limited("expensive"),
)
async def export_contacts_csv(
    ctx: Ctx,
    contact_type: FromQuery[ContactType | None] = None,
    status: FromQuery[ContactStatus | None] = None,
    priority: FromQuery[Priority | None] = None,
    industry: Text = None,
    owner_id: FromQuery[UUID | None] = None,
    tag: TagFilter = None,
    custom: OwnFilter = None,
    q: Search = None,
    view: SavedViewId = None,
) -> Stream:
    """The oldest first, and all columns, unless the view says otherwise."""
    given = ViewFilters(
        contact_type=contact_type,
        status=status,
        priority=priority,
        industry=industry,
        owner_id=owner_id,
        tag=tag,
        custom=custom,
        q=q,
    )
    asked = await saved_views.asked(ctx, view, given)
    await ctx.note_read("networking.contacts", format="csv", filters=asked.filters)
    rows = export_contacts(ctx, asked.filters, sort=asked.sort, columns=asked.columns)
    headers = {"Content-Disposition": 'attachment; filename="contacts.csv"'}
    return Stream(rows, media_type="text/csv", headers=headers)


@get("/contacts/{contact_id:uuid}", operation_id="get_contact", summary="One contact", guards=[requires(READ)])
async def get_contact(ctx: Ctx, contact_id: FromPath[UUID]) -> Tagged[ContactOut]:
    """The id of a contact that was merged answers with the one that it was merged into; Content-Location says so."""
    if (row := await ctx.row(CONTACTS, contact_id, viewer=viewer_of(ctx))) is not None:
        return tagged(contact_of(row), version=row["version"])
    contact = await contacts.find_contact(ctx, contact_id)
    answer = tagged(await contact_out(ctx, contact), version=contact.version)
    answer.headers["Content-Location"] = f"/api/v1/networking/contacts/{contact.id}"
    return answer


@patch(
    "/contacts/{contact_id:uuid}", operation_id="update_contact", summary="Change a contact", guards=[requires(WRITE)]
)
async def update_contact(
    ctx: Ctx,
    contact_id: FromPath[UUID],
    data: JSONBody[ContactPatch],
    if_match: IfMatch = None,
    allow_duplicate: AllowDuplicate = False,
) -> Tagged[ContactOut]:
    contact = await contacts.update_contact(ctx, contact_id, data, if_match=if_match, allow_duplicate=allow_duplicate)
    return tagged(await contact_out(ctx, contact), version=contact.version)


@delete(
    "/contacts/{contact_id:uuid}", operation_id="delete_contact", summary="Delete a contact", guards=[requires(WRITE)]
)
async def delete_contact(ctx: Ctx, contact_id: FromPath[UUID], if_match: IfMatch = None) -> None:
    await contacts.delete_contact(ctx, contact_id, if_match=if_match)


@post(
    "/contacts/{contact_id:uuid}/restore",
    operation_id="restore_contact",
    summary="Bring a deleted contact back",
    status_code=200,
    guards=[requires(WRITE)],
)
async def restore_contact(ctx: Ctx, contact_id: FromPath[UUID]) -> Tagged[ContactOut]:
    contact = await contacts.restore_contact(ctx, contact_id)
    return tagged(await contact_out(ctx, contact), version=contact.version)


@post(
    "/contacts/{contact_id:uuid}/interactions",
    operation_id="log_interaction",
    summary="Log or schedule an interaction",
    guards=[requires(WRITE)],
)
async def log_interaction(
    ctx: Ctx, contact_id: FromPath[UUID], data: JSONBody[InteractionIn]
) -> Tagged[InteractionOut]:
    interaction = await interactions.log_interaction(ctx, contact_id, data)
    return tagged(interaction_out(interaction), version=interaction.version, status_code=201)


@get(
    "/contacts/{contact_id:uuid}/interactions",
    operation_id="list_interactions",
    summary="What happened with a contact",
    guards=[requires(READ)],
)
async def list_interactions(
    ctx: Ctx,
    contact_id: FromPath[UUID],
    sort: FromQuery[InteractionSort] = "-interaction_date",
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = None,
) -> Response[Page[InteractionOut]]:
    contact = await contacts.find_contact(ctx, contact_id)
    return json_bytes(await ctx.page(INTERACTIONS, sort=sort, limit=limit, cursor=cursor, contact_id=contact.id))


CONTACT_ROUTES = (
    create_contact,
    list_contacts,
    export_contacts_csv,
    get_contact,
    update_contact,
    delete_contact,
    restore_contact,
    log_interaction,
    list_interactions,
)
