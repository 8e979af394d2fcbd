"""routing.toml: its contents, its faults, and the choices that follow from it."""

import pickle
from collections import Counter
from datetime import date
from pathlib import Path

import msgspec
import pytest

from cluster.policy.limits.warm_up import WarmUpPlan
from cluster.policy.routes import routing
from cluster.policy.routes.routing import Mode, Route, Routing, RoutingError, Secret, Via
from cluster.policy.tls.level import AuthNeeds, TlsLevel

EXAMPLE = (Path(__file__).parents[3] / "examples" / "routing.example.toml").read_text(encoding="utf-8")
DAY = date(2026, 11, 2)

SOURCES = """
[sources.a]
address = "192.0.2.1"
[sources.b]
address = "192.0.2.2"
[sources.c]
address = "192.0.2.3"
"""
POOLS = SOURCES + "[pools.all]\na = 3\nb = 1\nc = 0\n[pools.default]\nc = 1\n"
WARM = SOURCES + "[pools.p]\na = 1\nb = 1\n[sources.b.warm_up]\nstarted = 2026-11-02\nper_day = [10]\n"


def routes(*tables: str, mode: Mode = "direct", relay: str = "") -> Routing:
    return Routing.parse("".join(f"[[routes]]\n{table}\n" for table in tables), mode, relay)


# The file


def test_the_example_file_has_every_key_explained() -> None:
    parsed = Routing.parse(EXAMPLE)
    assert set(parsed.pools) == {"marketing", "default"}
    explained = {line.split("=")[0].strip() for line in EXAMPLE.splitlines() if "=" in line and "#" in line}
    tables = (routing._SourceTable, routing._WarmUpTable, routing._SiteTable, routing._RouteTable)
    keys = {name for table in tables for name in table.__struct_fields__}
    assert keys - {"warm_up", "sites"} <= explained
    assert "[sources.b.warm_up]" in EXAMPLE
    assert '[sources.b.warm_up.sites."google.com"]' in EXAMPLE
    assert all(f"[{name}" in EXAMPLE for name in routing._FileTable.__struct_fields__)


def test_an_empty_file_says_nothing() -> None:
    assert Routing.parse("") == Routing()
    assert Routing().choose_source("any", "msg_1", site="example.com", day=DAY) == ""


def test_sources() -> None:
    source = Routing.parse(EXAMPLE).sources["a"]
    assert (source.name, source.address, source.address6) == ("a", "192.0.2.1", "2001:db8::1")
    assert source.helo_name == "out1.example.com"
    assert source.address_towards("198.51.100.1") == "192.0.2.1"
    assert source.address_towards("2001:db8::25") == "2001:db8::1"
    assert Routing.parse(EXAMPLE).sources["b"].address_towards("2001:db8::25") is None


def test_what_is_ours() -> None:
    parsed = Routing.parse(EXAMPLE)
    assert parsed.addresses == {"192.0.2.1", "2001:db8::1", "192.0.2.2"}
    assert parsed.helo_names == {"out1.example.com"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("= 1", "not TOML"),
        ("nonsense = 1", "the file: Object contains unknown field `nonsense`"),
        ("sources = 1", "sources: Expected `object`"),
        ("[sources.A]\naddress = '192.0.2.1'", "sources.A: a source's name"),
        (f"[sources.{'a' * 33}]\naddress = '192.0.2.1'", "a source's name"),
        ("[sources.a]", "sources.a: needs an address"),
        ("[sources.a]\nadress = '192.0.2.1'", "sources.a: Object contains unknown field `adress`"),
        ("[sources.a]\naddress = 1", r"sources.a.address: Expected `str`"),
        ("[sources.a]\naddress = 'out1.example.com'", "sources.a.address: 'out1.example.com' is not an IP address"),
        ("[sources.a]\naddress = '2001:db8::1'", "sources.a.address: must be an IPv4"),
        ("[sources.a]\naddress6 = '192.0.2.1'", "sources.a.address6: must be an IPv6"),
        ("[sources.a]\naddress = '0.0.0.0'", "sources.a.address: no connection"),
        ("[sources.a]\naddress = '192.0.2.1'\nhelo_name = 'a b'", "sources.a.helo_name"),
        (SOURCES + "[sources.a.warm_up]\nper_day = [1]", "sources.a.warm_up: .*`started`"),
        (SOURCES + "[sources.a.warm_up]\nstarted = 2026-11-01\nper_day = [1, 'x']", r"sources.a.warm_up.per_day\[1\]"),
        (SOURCES + "[sources.a.warm_up]\nstarted = 2026-11-01\nper_day = [-1]", "sources.a.warm_up.per_day: a cap"),
        (
            SOURCES + '[sources.a.warm_up]\nstarted = 2026-11-01\nper_day = [1]\nsites."x.com".per_day = [-1]',
            'sources.a.warm_up.sites."x.com".per_day: a cap',
        ),
        (
            SOURCES + '[sources.a.warm_up]\nstarted = 2026-11-01\nper_day = [1]\nsites."x.com".caps = [1]',
            'sources.a.warm_up.sites."x.com": Object contains unknown field `caps`',
        ),
        ("[pools.p]\na = 1", "pools.p.a: there is no such source"),
        (SOURCES + "[pools.p]\na = 1.5", "pools.p.a: a weight"),
        (SOURCES + "[pools.p]\na = true", "pools.p.a: a weight"),
        (SOURCES + "[pools.p]\na = -1", "pools.p.a: a weight"),
        (SOURCES + "[pools.p]\na = 0", "pools.p: needs a source"),
        (SOURCES + f"[pools.{'p' * 65}]\na = 1", "a pool's name"),
        ("[[routes]]\nvia = 'direct'\n[[routes]]\ndomain = ['x']", "route 2: .*`via`"),
        ("[[routes]]\nvia = 'post'", "route 1.via: "),
        ("[[routes]]\nvia = 'direct'\ndomain = 'x.com'", "route 1.domain: Expected `array`"),
        ("[[routes]]\nvia = 'direct'\ndomain = ['x.*']", r"route 1.domain: 'x\.\*' is not a domain"),
        ("[[routes]]\nvia = 'direct'\nrelay = 'h:25'", "route 1: relay, tls"),
        ("[[routes]]\nvia = 'relay'", "is not host:port"),
        ("[[routes]]\nvia = 'relay'\nrelay = 'h'", "is not host:port"),
        ("[[routes]]\nvia = 'relay'\nrelay = '\u2764.example:25'", "is not host:port"),
        ("[[routes]]\nvia = 'relay'\nrelay = 'h:0'", "route 1.relay: 'h:0' has no port"),
        ("[[routes]]\nvia = 'relay'\nrelay = 'a b:25'", "route 1.relay: 'a b:25' is not host:port"),
        ("[[routes]]\nvia = 'relay'\nrelay = '::1:25'", "route 1.relay: '::1:25' is not host:port"),
        (
            "[[routes]]\nvia = 'relay'\nrelay = 'h:25'\nusername = \"a\\u0000\"\npassword = 'p'",
            "route 1.username: holds",
        ),
        ("[[routes]]\nvia = 'relay'\nrelay = 'h:25'\nusername = 'a'\npassword = \"p\\r\"", "route 1.password: holds"),
        ("[[routes]]\nvia = 'relay'\nrelay = 'h:25'\nusername = 'u'", "route 1: username and password"),
        ("[[routes]]\nvia = 'relay'\nrelay = 'h:25'\ntls = 'maybe'", "route 1.tls"),
        (
            "[[routes]]\nvia = 'relay'\nrelay = 'h:25'\nusername = 'u'\npassword = 'p'\ntls = 'opportunistic'",
            "route 1.tls: with a password",
        ),
        (
            "[[routes]]\nvia = 'relay'\nrelay = 'h:25'\nusername = 'u'\npassword = 'p'\ntls = 'none'\n"
            "auth_needs = 'encrypted'",
            "route 1.tls: with a password",
        ),
        (
            "[[routes]]\nvia = 'relay'\nrelay = 'h:25'\nauth_needs = 'nothing'",
            "route 1.auth_needs: is for a route",
        ),
        ("[[routes]]\nvia = 'relay'\nrelay = 'h:25'\nauth_needs = 'no'", "route 1.auth_needs: Invalid enum"),
        ("[[routes]]\nvia = 'direct'\nauth_needs = 'nothing'", "route 1: relay, tls"),
    ],
)
def test_what_is_wrong_is_named(text: str, named: str) -> None:
    with pytest.raises(RoutingError, match=named):
        Routing.parse(text)


# Routes


def test_the_mode_decides_for_what_no_route_is_for() -> None:
    assert Routing.parse("", "direct", "h:25").route("x.com", "ten_1") == Route(via=Via.DIRECT)
    assert Routing.parse("", "relay", "h:25").route("x.com", "ten_1") == Route(via=Via.RELAY, relay="h:25")
    assert Routing.parse("", "capture").route("x.com", "ten_1") == Route(via=Via.CAPTURE)


@pytest.mark.parametrize(
    ("domain", "tenant", "number"),
    [
        ("example.com", "ten_1", 1),
        ("example.com", "ten_2", 3),
        ("mail.example.com", "ten_1", 2),
        ("a.b.example.com", "ten_1", 2),
        ("notexample.com", "ten_1", 0),
        ("xn--bcher-kva.example", "ten_1", 4),
        ("other.org", "ten_3", 5),
        ("example.com", "ten_3", 3),
        ("com", "ten_1", 0),
    ],
)
def test_the_first_route_that_is_for_the_domain_and_the_tenant_wins(domain: str, tenant: str, number: int) -> None:
    parsed = routes(
        "domain = ['Example.com']\ntenant = ['ten_1']\nvia = 'discard'",
        "domain = ['*.example.com']\nvia = 'capture'",
        "domain = ['example.com']\nvia = 'capture'",
        "domain = ['bücher.example']\nvia = 'discard'",
        "tenant = ['ten_3']\nvia = 'relay'\nrelay = 'h:25'",
    )
    assert parsed.route(domain, tenant).number == number


def test_an_earlier_route_for_all_hides_the_later() -> None:
    parsed = routes("domain = ['*']\nvia = 'direct'", "domain = ['x.com']\nvia = 'discard'")
    assert parsed.route("x.com", "ten_1").number == 1


def test_nothing_leaves_in_capture_mode() -> None:
    tables = (
        "domain = ['relayed.com']\nvia = 'relay'\nrelay = 'h:25'",
        "domain = ['direct.com']\nvia = 'direct'",
        "domain = ['gone.com']\nvia = 'discard'",
    )
    parsed = routes(*tables, mode="capture")
    ways = [parsed.route(f"{name}.com", "ten_1").via for name in ("relayed", "direct", "gone", "other")]
    assert ways == [Via.CAPTURE, Via.CAPTURE, Via.DISCARD, Via.CAPTURE]


def test_a_relay_with_a_password() -> None:
    table = "via = 'relay'\nrelay = 'SMTP.example.net:587'\nusername = 'u'\npassword = 'hunter2'"
    route = routes(table).route("x.com", "ten_1")
    assert (route.relay, route.tls, route.username) == ("smtp.example.net:587", TlsLevel.VERIFIED, "u")
    assert route.password.reveal() == "hunter2"
    assert pickle.loads(pickle.dumps(route)) == route
    assert routes("via = 'relay'\nrelay = '[::1]:25'").route("x.com", "t").tls is TlsLevel.OPPORTUNISTIC


@pytest.mark.parametrize(
    ("given", "tls", "needs"),
    [
        ("", TlsLevel.VERIFIED, AuthNeeds.VERIFIED),
        ("tls = 'required'", TlsLevel.REQUIRED, AuthNeeds.VERIFIED),
        ("auth_needs = 'encrypted'", TlsLevel.REQUIRED, AuthNeeds.ENCRYPTED),
        ("auth_needs = 'nothing'", TlsLevel.OPPORTUNISTIC, AuthNeeds.NOTHING),
        ("auth_needs = 'nothing'\ntls = 'none'", TlsLevel.NONE, AuthNeeds.NOTHING),
    ],
)
def test_what_a_password_needs(given: str, tls: TlsLevel, needs: AuthNeeds) -> None:
    table = f"via = 'relay'\nrelay = 'h:25'\nusername = 'u'\npassword = 'p'\n{given}"
    route = routes(table).route("x.com", "ten_1")
    assert (route.tls, route.auth_needs) == (tls, needs)


def test_a_password_is_shown_nowhere() -> None:
    parsed = routes("via = 'relay'\nrelay = 'h:25'\nusername = 'u'\npassword = 'hunter2'")
    assert "hunter2" not in repr(parsed)
    assert "hunter2" not in f"{parsed.route('x.com', 't').password}"
    with pytest.raises(TypeError):
        msgspec.json.encode(parsed)
    assert Secret("a") != Secret("b")
    wrong = "[[routes]]\nvia = 'relay'\nrelay = 'h:25'\npassword = 'hunter2'\n"
    for text in (wrong, wrong + "tls = 'x'", wrong + "username = 1", wrong + "extra = 1", wrong + "= 1"):
        with pytest.raises(RoutingError) as raised:
            Routing.parse(text)
        assert "hunter2" not in str(raised.value)


# Sources


def chosen(parsed: Routing, pool: str, keys: range, **arguments: object) -> Counter[str | None]:
    return Counter(
        parsed.choose_source(pool, f"msg_{n}", site="example.com", day=DAY, **arguments)  # type: ignore[arg-type]
        for n in keys
    )


def test_sources_by_weight() -> None:
    counts = chosen(Routing.parse(POOLS), "all", range(4000))
    assert set(counts) == {"a", "b"}
    assert counts["b"] == pytest.approx(1000, rel=0.1)


def test_a_message_has_one_source() -> None:
    first, second = Routing.parse(POOLS), Routing.parse(POOLS)
    for n in range(50):
        sources = {r.choose_source("all", f"msg_{n}", site="example.com", day=DAY) for r in (first, first, second)}
        assert len(sources) == 1


def test_pools() -> None:
    parsed = Routing.parse(POOLS)
    assert parsed.pool("all") == "all"
    for name in ("", "default", "forgotten"):
        assert parsed.pool(name) == "default"
        assert chosen(parsed, name, range(20)) == {"c": 20}


def test_without_a_default_pool_the_system_chooses() -> None:
    parsed = Routing.parse(WARM)
    assert chosen(parsed, "", range(5)) == chosen(parsed, "forgotten", range(5)) == {"": 5}


def test_only_what_an_exhausted_source_had_moves() -> None:
    parsed = Routing.parse(SOURCES + "[pools.p]\na = 1\nb = 1\nc = 1\n")
    exhausted = {("b", "example.com"), ("a", "other.com")}
    moved = Counter[str | None]()
    for n in range(300):
        before, after = (
            parsed.choose_source("p", f"msg_{n}", site="example.com", day=DAY, exhausted=e) for e in (set(), exhausted)
        )
        assert before in ("b", after)
        moved[after] += before != after
    assert moved["a"] > 30
    assert moved["c"] > 30
    assert moved["b"] == 0


def test_what_an_absent_source_had_leaves_from_the_others() -> None:
    parsed = Routing.parse(POOLS)
    assert chosen(parsed, "all", range(50), absent={"b"}) == {"a": 50}
    exhausted = {("a", "example.com")}
    assert chosen(parsed, "all", range(5), absent={"b"}, exhausted=exhausted) == {None: 5}
    assert {parsed.waiting_source("all", f"msg_{n}", {"b"}) for n in range(20)} == {"a"}
    # Where no source is present, each message waits for its own.
    assert chosen(parsed, "all", range(50), absent={"a", "b"}) == chosen(parsed, "all", range(50))
    assert (parsed.waiting_pools({"b"}), parsed.waiting_pools({"a", "b"})) == ((), ("all",))
    assert not parsed.serves("b", {"b"})
    assert parsed.serves("b") and parsed.serves("b", {"a", "b"})


def test_all_exhausted() -> None:
    parsed = Routing.parse(POOLS)
    assert chosen(parsed, "all", range(5), exhausted={("a", "example.com"), ("b", "example.com")}) == {None: 5}


def test_a_message_waits_where_it_leaves_from() -> None:
    parsed = Routing.parse(POOLS)
    for n in range(20):
        leaves = parsed.choose_source("all", f"msg_{n}", site="example.com", day=DAY)
        assert parsed.waiting_source("all", f"msg_{n}") == leaves
    assert Routing().waiting_source("all", "msg_1") == ""


def test_caps() -> None:
    parsed = Routing.parse(WARM)
    assert parsed.sources["b"].warm_up == WarmUpPlan(DAY, (10,))
    days = [date(2026, 11, n) for n in (1, 2, 3)]
    assert [parsed.cap("b", "example.com", day) for day in days] == [0, 10, None]
    assert [parsed.cap(name, "example.com", DAY) for name in ("a", "", "unknown")] == [None, None, None]


def test_a_source_whose_warm_up_has_not_begun_is_not_chosen() -> None:
    parsed = Routing.parse(WARM)
    picks = {
        day: {parsed.choose_source("p", f"msg_{n}", site="example.com", day=date(2026, 11, day)) for n in range(50)}
        for day in (1, 2)
    }
    assert picks == {1: {"a"}, 2: {"a", "b"}}


def test_a_site_with_caps_of_its_own() -> None:
    parsed = Routing.parse(EXAMPLE)
    assert parsed.cap("b", "example.com", DAY) == 100
    assert parsed.cap("b", "google.com", DAY) == 40
