"""One interaction: change it, say what became of it, delete it and bring it back."""

from uuid import UUID

from core.sdk import Ctx, FromPath, IfMatch, JSONBody, Tagged, delete, get, patch, post, requires, tagged
from modules.networking.models import ContactInteraction
from modules.networking.permissions import READ, WRITE
from modules.networking.schemas import InteractionDone, InteractionOut, InteractionPatch
from modules.networking.services import agenda
from modules.networking.views import interaction_out

INTERACTION = "/interactions/{interaction_id:uuid}"


@get(INTERACTION, operation_id="get_interaction", summary="One interaction", guards=[requires(READ)])
async def get_interaction(ctx: Ctx, interaction_id: FromPath[UUID]) -> Tagged[InteractionOut]:
    return _shown(await agenda.find_interaction(ctx, interaction_id))


@patch(
    INTERACTION,
    operation_id="update_interaction",
    summary="Change or reschedule an interaction",
    guards=[requires(WRITE)],
)
async def update_interaction(
    ctx: Ctx, interaction_id: FromPath[UUID], data: JSONBody[InteractionPatch], if_match: IfMatch = None
) -> Tagged[InteractionOut]:
    return _shown(await agenda.change_interaction(ctx, interaction_id, data, if_match=if_match))


@post(
    f"{INTERACTION}/complete",
    operation_id="complete_interaction",
    summary="A scheduled interaction took place",
    status_code=200,
    guards=[requires(WRITE)],
)
async def complete_interaction(
    ctx: Ctx, interaction_id: FromPath[UUID], data: JSONBody[InteractionDone], if_match: IfMatch = None
) -> Tagged[InteractionOut]:
    return _shown(await agenda.complete(ctx, interaction_id, data, if_match=if_match))


@post(
    f"{INTERACTION}/cancel",
    operation_id="cancel_interaction",
    summary="A scheduled interaction will not take place",
    status_code=200,
    guards=[requires(WRITE)],
)
async def cancel_interaction(
    ctx: Ctx, interaction_id: FromPath[UUID], if_match: IfMatch = None
) -> Tagged[InteractionOut]:
    return _shown(await agenda.cancel(ctx, interaction_id, if_match=if_match))


@delete(INTERACTION, operation_id="delete_interaction", summary="Delete an interaction", guards=[requires(WRITE)])
async def delete_interaction(ctx: Ctx, interaction_id: FromPath[UUID], if_match: IfMatch = None) -> None:
    await agenda.delete_interaction(ctx, interaction_id, if_match=if_match)


@post(
    f"{INTERACTION}/restore",
    operation_id="restore_interaction",
    summary="Bring a deleted interaction back",
    status_code=200,
    guards=[requires(WRITE)],
)
async def restore_interaction(ctx: Ctx, interaction_id: FromPath[UUID]) -> Tagged[InteractionOut]:
    return _shown(await agenda.restore_interaction(ctx, interaction_id))


def _shown(interaction: ContactInteraction) -> Tagged[InteractionOut]:
    return tagged(interaction_out(interaction), version=interaction.version)


INTERACTION_ROUTES = (
    get_interaction,
    update_interaction,
    complete_interaction,
    cancel_interaction,
    delete_interaction,
    restore_interaction,
)
