"""When a site is too hot for one actor, and is split into shares of its limits over several; and when it returns.

An actor stands at its limit when its event loop has hardly a moment left. If one site is most of what it carries,
moving others away would not help. After a minute of that the site has twice as many shares, and the balance places
them. When half of the shares could have carried all of it for ten minutes, half of them remain. Pure.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from cluster.policy.balance.assignment import Assignment, Split, whole_name
from cluster.policy.balance.loads import ActorLoad, Known, known
from cluster.policy.routes.destinations import may_be_split, parse
from cluster.policy.routes.ownership import Candidate

AT_LIMIT = 0.85
"""The part of the time for which an event loop works when its actor stands at its limit."""
MOST_OF_IT = 0.5
"""The part of what an actor carries from which on one site is the reason."""
SPLIT_AFTER_S = 60.0
RETURN_AFTER_S = 600.0
WOULD_DO = 0.6
"""Fewer shares would do when they would carry at most this part of what their actors can."""
MOST_SHARES = 64


def hot_s(before_s: float, passed_s: float, *, busy: float, part: float, waits: bool) -> float:
    """For how long an actor has stood at its limit because of a destination. ``busy``: the part of the last
    ``passed_s`` for which its event loop worked. ``part``: what the destination is of all that it carries. ``waits``:
    whether more waits there."""
    return before_s + passed_s if busy >= AT_LIMIT and part >= MOST_OF_IT and waits else 0.0


def split(
    members: Sequence[Candidate],
    reports: Sequence[ActorLoad],
    current: Assignment,
    quiet_since: Mapping[str, float],
    home: Callable[[str], int],
    now: float,
) -> tuple[Assignment, dict[str, float]]:
    """The assignment with the shares that the loads ask for, ``current`` itself where nothing is to change; and since
    when fewer shares would do, by source → site. ``home``: the number of shares of a site by the settings. ``now``:
    seconds since the epoch."""
    sites: dict[str, list[Known]] = defaultdict(list)
    for one in known(reports):
        if may_be_split(one.place) and current.exists(one.place):
            sites[whole_name(one.place)].append(one)
    splits, quiet = dict(current.splits), {}
    for name in sites.keys() | splits.keys():
        place, shares = parse(name), sites.get(name, [])
        if place is None:
            continue
        able = sum(member.can_send(place) for member in members)
        least = home(place.site)
        former = current.splits.get(name)
        hotter = _hotter(former, shares, least, able, now)
        if hotter is not None:
            splits[name] = hotter
        elif former is not None:
            since = quiet_since.get(name, now) if _would_do(former, shares, least) else None
            cooler = _cooler(former, shares, least, since, now)
            if cooler is None:
                del splits[name]
            else:
                splits[name] = cooler
            if since is not None and cooler == former:
                quiet[name] = since
    if splits == current.splits:
        return current, quiet
    changed = replace(current, splits=splits)
    placed = {name: owner for name, owner in current.placed.items() if _exists(changed, name)}
    return replace(changed, version=current.version + 1, changed_at=now, placed=placed), quiet


def _hotter(former: Split | None, shares: Sequence[Known], least: int, able: int, now: float) -> Split | None:
    """More shares, when one has been too hot for long enough; None while they stay."""
    hot = [one for one in shares if one.hot_s >= SPLIT_AFTER_S and not one.stays]
    if not hot or (former is not None and now < former.changed_at + SPLIT_AFTER_S):
        return None
    have = former.shares if former is not None else least
    most = min(min(one.most_shares for one in shares), able, MOST_SHARES)
    more = min(2 * have, most)
    return Split(shares=more, capacity=max(one.per_min for one in hot), changed_at=now) if more > have else None


def _would_do(former: Split, shares: Sequence[Known], least: int) -> bool:
    """Whether half of the shares would carry all."""
    fewer = max(former.shares // 2, least)
    return sum(one.per_min for one in shares) <= WOULD_DO * former.capacity * fewer


def _cooler(former: Split, shares: Sequence[Known], least: int, quiet_since: float | None, now: float) -> Split | None:
    """The split with as many shares as are needed and its limits have; None: it is over, and forgotten."""
    most = min((one.most_shares for one in shares), default=former.shares)
    if most < former.shares and former.shares > least:
        return replace(former, shares=max(most, least), changed_at=now)
    if former.shares < least:
        return replace(former, shares=least, changed_at=now)
    if quiet_since is None or now < quiet_since + RETURN_AFTER_S or now < former.changed_at + RETURN_AFTER_S:
        return former
    fewer = max(former.shares // 2, least)
    # With the number of the settings it stays for a while, so that no actor has a share of the former number any more.
    return replace(former, shares=fewer, changed_at=now) if fewer < former.shares else None


def _exists(assignment: Assignment, name: str) -> bool:
    place = parse(name)
    return place is not None and assignment.exists(place)
