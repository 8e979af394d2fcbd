"""GET /metrics: the metrics of this node, for Prometheus; without a key, as it reads them."""

from litestar import get
from litestar.openapi.datastructures import ResponseSpec

from api.http.errors import answers
from api.http.routes import RouteGroup, resource
from cluster.http.application import SERVED_BY
from cluster.monitoring.page import PATH, MetricsPage


class MetricsServing:
    """The route of this module."""

    def __init__(self, page: MetricsPage) -> None:
        self._page = page

    def routes(self) -> RouteGroup:
        route = get(
            PATH,
            media_type="text/plain",
            responses={200: ResponseSpec(str, description="Metrics", media_type="text/plain"), **answers()},
            opt={SERVED_BY: self._page},
            summary="The metrics of this node, as Prometheus reads them",
            description="OpenMetrics where the client accepts it. docs/metrics.md has all of them.",
        )
        return resource("/", route(self.show), tag="health")

    async def show(self) -> str:
        """The route in the OpenAPI document; ``MetricsPage`` answers its requests."""
        text, _ = await self._page.answer("")
        return text.decode()
