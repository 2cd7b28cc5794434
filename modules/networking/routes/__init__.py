"""Routes of networking, one file per resource."""

from modules.networking.routes.connections import CONNECTION_ROUTES
from modules.networking.routes.contacts import CONTACT_ROUTES
from modules.networking.routes.duplicates import DUPLICATE_ROUTES
from modules.networking.routes.fields import FIELD_ROUTES
from modules.networking.routes.imports import IMPORT_ROUTES
from modules.networking.routes.interactions import INTERACTION_ROUTES
from modules.networking.routes.matching import MATCHING_ROUTES
from modules.networking.routes.merging import MERGE_ROUTES
from modules.networking.routes.pipeline import PIPELINE_ROUTES
from modules.networking.routes.saved_views import SAVED_VIEW_ROUTES
from modules.networking.routes.scores import SCORE_ROUTES
from modules.networking.routes.sharing import SHARING_ROUTES
from modules.networking.routes.tags import TAG_ROUTES

ROUTES = (
    *CONTACT_ROUTES,
    *DUPLICATE_ROUTES,
    *MERGE_ROUTES,
    *IMPORT_ROUTES,
    *INTERACTION_ROUTES,
    *CONNECTION_ROUTES,
    *SCORE_ROUTES,
    *MATCHING_ROUTES,
    *PIPELINE_ROUTES,
    *SHARING_ROUTES,
    *TAG_ROUTES,
    *FIELD_ROUTES,
    *SAVED_VIEW_ROUTES,
)
