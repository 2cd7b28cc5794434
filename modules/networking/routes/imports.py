"""Imports: hand a file in, watch it become contacts."""

from uuid import UUID

from core.sdk import (
    DEFAULT_LIMIT,
    Ctx,
    FromPath,
    Limit,
    MultipartBody,
    Page,
    PageCursor,
    Response,
    get,
    json_bytes,
    limited,
    post,
    requires,
)
from modules.networking.actors import run_import
from modules.networking.permissions import IMPORT
from modules.networking.queries import IMPORT_ERRORS
from modules.networking.schemas import ImportErrorOut, ImportOut, ImportUpload
from modules.networking.services import imports
from modules.networking.views import import_out


@post(
    "/imports",
    operation_id="import_contacts",
    summary="Import contacts from a CSV file, in the background",
    status_code=202,
    guards=[requires(IMPORT)],
    opt=limited("expensive"),
    request_max_body_size=imports.MAX_FILE_BYTES,
)
async def import_contacts(ctx: Ctx, data: MultipartBody[ImportUpload]) -> Response[ImportOut]:
    job = await imports.start_import(ctx, data.file)
    ctx.enqueue(run_import, import_id=job.id)
    location = {"Location": f"/api/v1/networking/imports/{job.id}"}
    return Response(import_out(job, []), status_code=202, headers=location)


@get("/imports/{import_id:uuid}", operation_id="get_import", summary="How far an import is", guards=[requires(IMPORT)])
async def get_import(ctx: Ctx, import_id: FromPath[UUID]) -> ImportOut:
    job = await imports.find_import(ctx, import_id)
    return import_out(job, await imports.first_errors(ctx, import_id))


@get(
    "/imports/{import_id:uuid}/errors",
    operation_id="list_import_errors",
    summary="Every value that was not taken",
    guards=[requires(IMPORT)],
)
async def list_import_errors(
    ctx: Ctx,
    import_id: FromPath[UUID],
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = None,
) -> Response[Page[ImportErrorOut]]:
    await imports.find_import(ctx, import_id)
    return json_bytes(await ctx.page(IMPORT_ERRORS, limit=limit, cursor=cursor, import_id=import_id))


IMPORT_ROUTES = (import_contacts, get_import, list_import_errors)
