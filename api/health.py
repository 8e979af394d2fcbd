"""Liveness and readiness of this process. Both need no key, for load balancers."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Literal

from litestar import Response, get
from msgspec import Struct

from api.http.errors import answers
from api.http.routes import RouteGroup, resource
from cluster.context import keeps_from_work

Readiness = Callable[[], Coroutine[Any, Any, Mapping[str, str | None]]]
"""Returns the state of each part by name: None when it works, otherwise its problem."""


class Health(Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(Struct, frozen=True):
    """The state of each part: "ok", or its problem. With a problem that begins with "degraded: " it still works."""

    status: Literal["ready", "not ready"]
    parts: dict[str, str]


class HealthChecks:
    """GET /healthz and /readyz."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def routes(self) -> RouteGroup:
        alive = get("/healthz", responses=answers(), summary="Alive")
        ready = get("/readyz", responses=answers(described={503: Ready}), summary="Ready to serve, part by part")
        return resource("/", alive(self.alive), ready(self.ready), tag="health")

    async def alive(self) -> Health:
        return Health()

    async def ready(self) -> Response[Ready]:
        problems = await self._readiness()
        parts = {name: "ok" if problem is None else problem for name, problem in problems.items()}
        if any(keeps_from_work(problem) for problem in problems.values()):
            return Response(Ready("not ready", parts), status_code=503)
        return Response(Ready("ready", parts))
