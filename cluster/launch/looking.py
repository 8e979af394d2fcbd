"""Looking after a cluster from ``postray up``: whether its Ray and its actors are still there.

While the control service is away, as with a Redis it may be for long (docs/going-live.md), nothing is known to have
ended; a look then takes no longer than a signal may wait.
"""

import logging

from cluster.launch import places, ray_node
from cluster.launch.asking import Question, RayAway, has_ended

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How long a look waits for its answer. The next one goes on waiting for the same."""


class RayEnded(Exception):
    """Ray has ended, and every actor that ran on this node."""

    def __str__(self) -> str:
        return "Ray ended, and the actors with it; nothing is lost: start postray again"


class Looking:
    """``is_in_place``: the actors end with this process, and only with it."""

    def __init__(self, is_in_place: bool) -> None:
        self._is_in_place = is_in_place
        self._question: Question[bool] | None = None
        self._is_away = False

    def look(self) -> bool:
        """Whether the actors live, as far as is known. Raises RayEnded, and PeerGone when Ray refuses to answer."""
        if has_ended():  # Ray's control service would notice it after many seconds
            raise RayEnded
        if self._question is None:
            self._question = Question(self._are_there)
        try:
            there = self._question.answer("Ray", LOOK_S)
        except RayAway as away:
            if has_ended():
                raise RayEnded from away
            if not self._is_away:
                log.warning("not known whether the actors live: Ray's control service does not answer")
            self._is_away = True
            return True
        if self._is_away:
            log.info("Ray's control service answers again")
        self._question, self._is_away = None, False
        return there

    def _are_there(self) -> bool:
        if not ray_node.is_alive():
            raise RayEnded
        return self._is_in_place or bool(places.names())
