"""The routes of ``/v3/templates``, put together."""

from api.http.routes import RouteGroup
from api.templates.calls import TemplateCalls
from api.templates.previewing import PreviewCall
from api.templates.saving import Saving
from api.templates.versions import VersionCalls
from cluster.intake.intake import Intake
from cluster.journal.journal import Journal
from cluster.settings import HttpSettings


def template_routes(journal: Journal, intake: Intake, settings: HttpSettings) -> list[RouteGroup]:
    saving = Saving()
    return [
        TemplateCalls(journal, settings.public_url).routes(),
        VersionCalls(journal, saving, intake, settings.max_body_bytes).routes(),
        PreviewCall(journal, saving, settings.max_body_bytes).routes(),
    ]
