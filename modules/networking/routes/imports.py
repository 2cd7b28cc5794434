"""Imports: hand a file in, see how it is understood, watch it become contacts, take it back."""

from uuid import UUID

from core.sdk import (
    DEFAULT_LIMIT,
    Ctx,
    FromPath,
    FromQuery,
    IfMatch,
    JSONBody,
    Limit,
    MultipartBody,
    Page,
    PageCursor,
    Response,
    Stream,
    Tagged,
    get,
    json_bytes,
    limited,
    patch,
    post,
    requires,
    tagged,
)
from modules.networking.actors import revert_import, run_import
from modules.networking.exporting import import_errors_file
from modules.networking.import_schemas import (
    ImportErrorOut,
    ImportOut,
    ImportPatch,
    ImportRowOut,
    ImportSummary,
    ImportUpload,
)
from modules.networking.permissions import IMPORT
from modules.networking.queries import IMPORT_ERRORS, IMPORT_ROWS, IMPORTS
from modules.networking.services import imports
from modules.networking.values import ImportState, RowOutcome
from modules.networking.views import import_out
from modules.networking.visibility import viewer_of


@post(
    "/imports",
    operation_id="import_contacts",
    summary="Import contacts from a CSV or vCard file, in the background",
    status_code=202,
    guards=[requires(IMPORT)],
    opt=limited("expensive"),
    request_max_body_size=imports.MAX_FILE_BYTES,
)
async def import_contacts(ctx: Ctx, data: MultipartBody[ImportUpload]) -> Response[ImportOut]:
    job = await imports.upload_import(ctx, data)
    if job.state == ImportState.QUEUED:
        ctx.enqueue(run_import, import_id=job.id, viewer=viewer_of(ctx))
    location = {"Location": f"/api/v1/networking/imports/{job.id}"}
    return Response(import_out(job, []), status_code=202, headers=location)


@get("/imports", operation_id="list_imports", summary="All imports, the latest first", guards=[requires(IMPORT)])
async def list_imports(
    ctx: Ctx, status: FromQuery[ImportState | None] = None, limit: Limit = DEFAULT_LIMIT, cursor: PageCursor = None
) -> Response[Page[ImportSummary]]:
    return json_bytes(await ctx.page(IMPORTS, limit=limit, cursor=cursor, state=status))


@get("/imports/{import_id:uuid}", operation_id="get_import", summary="How far an import is", guards=[requires(IMPORT)])
async def get_import(ctx: Ctx, import_id: FromPath[UUID]) -> Tagged[ImportOut]:
    job = await imports.find_import(ctx, import_id)
    return tagged(import_out(job, await imports.first_errors(ctx, import_id)), version=job.version)


@patch(
    "/imports/{import_id:uuid}",
    operation_id="update_import",
    summary="Change how a draft is read and taken",
    guards=[requires(IMPORT)],
)
async def update_import(
    ctx: Ctx, import_id: FromPath[UUID], data: JSONBody[ImportPatch], if_match: IfMatch = None
) -> Tagged[ImportOut]:
    job = await imports.update_import(ctx, import_id, data, if_match=if_match)
    return tagged(import_out(job, []), version=job.version)


@post(
    "/imports/{import_id:uuid}/start",
    operation_id="start_import",
    summary="Start a draft",
    status_code=202,
    guards=[requires(IMPORT)],
)
async def start_import(ctx: Ctx, import_id: FromPath[UUID]) -> Tagged[ImportOut]:
    job = await imports.start_import(ctx, import_id)
    ctx.enqueue(run_import, import_id=job.id, viewer=viewer_of(ctx))
    return tagged(import_out(job, []), version=job.version, status_code=202)


@post(
    "/imports/{import_id:uuid}/revert",
    operation_id="revert_import",
    summary="Take an import back, in the background",
    status_code=202,
    guards=[requires(IMPORT)],
)
async def revert(ctx: Ctx, import_id: FromPath[UUID]) -> Tagged[ImportOut]:
    job = await imports.begin_revert(ctx, import_id)
    ctx.enqueue(revert_import, import_id=job.id)
    return tagged(import_out(job, []), version=job.version, status_code=202)


@get(
    "/imports/{import_id:uuid}/rows",
    operation_id="list_import_rows",
    summary="What became of every row",
    guards=[requires(IMPORT)],
)
async def list_import_rows(
    ctx: Ctx,
    import_id: FromPath[UUID],
    outcome: FromQuery[RowOutcome | None] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = None,
) -> Response[Page[ImportRowOut]]:
    await imports.find_import(ctx, import_id)
    page = await ctx.page(
        IMPORT_ROWS, limit=limit, cursor=cursor, import_id=import_id, outcome=outcome, viewer=viewer_of(ctx)
    )
    return json_bytes(page)


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


@get(
    "/imports/{import_id:uuid}/errors.csv",
    operation_id="download_import_errors",
    summary="The rows that were not taken, with the reasons, as CSV",
    media_type="text/csv",
    guards=[requires(IMPORT)],
)
async def download_import_errors(ctx: Ctx, import_id: FromPath[UUID]) -> Stream:
    job = await imports.find_import(ctx, import_id)
    headers = {"Content-Disposition": 'attachment; filename="errors.csv"', "X-Content-Type-Options": "nosniff"}
    return Stream(import_errors_file(ctx, job), media_type="text/csv", headers=headers)


IMPORT_ROUTES = (
    import_contacts,
    list_imports,
    get_import,
    update_import,
    start_import,
    revert,
    list_import_rows,
    list_import_errors,
    download_import_errors,
)
