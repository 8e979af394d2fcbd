"""Shaping: which rule gives which limit, which files are invalid, and the shipped rules."""

import tomllib
from pathlib import Path

import pytest
from msgspec import structs

from cluster.policy.limits.quantities import Rate, duration, duration_text, rate
from cluster.policy.limits.rules import KEYS, SELECTORS, TENANT_KEYS, TEXTS, ShapingError
from cluster.policy.limits.shaping import NO_TENANT_LIMITS, SHIPPED_TEXT, Limits, Shaping
from cluster.policy.replies.onward import NextHost
from cluster.policy.replies.triggers import TRIGGER_KEYS
from cluster.policy.routes.sites import FAMILY_NAMES
from cluster.policy.tls.level import TlsLevel

EXAMPLE = Path(__file__).parents[3] / "examples" / "shaping.example.toml"

BASE = Limits(
    connections=20,
    connections_per_ip=0,
    messages_per_connection=1000,
    connection_idle_s=5.0,
    connection_age_s=300.0,
    message_rate=None,
    connection_rate=None,
    next_host=NextHost.AT_ONCE,
    recipients_per_transaction=100,
    retry_schedule_s=(60.0, 300.0),
    lifetime_s=259200.0,
    tls=TlsLevel.OPPORTUNISTIC,
)


def shaping(text: str) -> Shaping:
    return Shaping.parse(text, base=BASE, default=structs.replace(BASE, lifetime_s=60.0))


def test_without_rules_the_settings_hold() -> None:
    assert shaping("").limits("mx.example.com") == BASE
    assert shaping("").tenant_limits("mx.example.com", "acme") == NO_TENANT_LIMITS


def test_every_key_is_read() -> None:
    limits = shaping("""
        [[rule]]
        name = "all"
        connections = 3
        connections_per_ip = 2
        messages_per_connection = 7
        connection_idle = "2s"
        connection_age = "1m"
        message_rate = "5000/h"
        connection_rate = "1/10s"
        next_host = "next_attempt"
        recipients_per_transaction = 50
        retry_schedule = ["5m", "1h30m"]
        lifetime = "2d"
        tls = "verified"
    """).limits("mx.example.com")
    assert limits == Limits(
        connections=3,
        connections_per_ip=2,
        messages_per_connection=7,
        connection_idle_s=2.0,
        connection_age_s=60.0,
        message_rate=Rate(5000, 3600.0),
        connection_rate=Rate(1, 10.0),
        next_host=NextHost.NEXT_ATTEMPT,
        recipients_per_transaction=50,
        retry_schedule_s=(300.0, 5400.0),
        lifetime_s=172800.0,
        tls=TlsLevel.VERIFIED,
    )


def test_the_first_rule_that_sets_a_key_gives_it() -> None:
    policy = shaping("""
        [[rule]]
        name = "narrow"
        site = "mx.example.com"
        connections = 1
        [[rule]]
        name = "wide"
        site = "*.example.com"
        connections = 2
        messages_per_connection = 2
    """)
    limits = policy.limits("mx.example.com")
    assert (limits.connections, limits.messages_per_connection) == (1, 2)
    assert policy.limits("mx2.example.com").connections == 2
    assert policy.limits("mx.example.org") == BASE


def test_operators_before_shipped_before_settings() -> None:
    policy = shaping('[[rule]]\nname = "mine"\nsite = "google.com"\nconnections = 7')
    assert policy.limits("google.com").connections == 7
    settings = {setting.key: setting for setting in policy.explain("google.com")}
    assert [setting.key for setting in policy.explain("google.com")] == [key.name for key in KEYS]
    mine, shipped, base = settings["connections"], settings["messages_per_connection"], settings["lifetime"]
    assert (mine.value, mine.rule, mine.origin) == ("7", "mine", "shaping.toml")
    assert (shipped.value, shipped.rule, shipped.origin) == ("100", "google", "shipped defaults")
    assert shipped.reference.startswith("https://")
    assert (base.value, base.rule, base.origin) == ("3d", "", "settings")
    assert settings["tls"].origin == "default"


def test_a_rate_can_be_lifted() -> None:
    assert shaping("").limits("qq.com").message_rate == Rate(120, 60.0)
    assert shaping('[[rule]]\nname = "a"\nsite = "qq.com"\nmessage_rate = "none"').limits("qq.com").message_rate is None


def test_rules_for_sources() -> None:
    policy = shaping('[[rule]]\nname = "warm"\nsource = "warm-*"\nconnections = 2')
    assert policy.limits("mx.example.com", source="warm-1").connections == 2
    assert policy.limits("mx.example.com", source="mta1").connections == 20
    assert policy.limits("mx.example.com").connections == 20


def test_what_holds_for_a_message_goes_by_site_or_domain() -> None:
    policy = shaping("""
        [[rule]]
        name = "tls"
        domain = ["bank.example", "*.bank.example"]
        site = "mx.bank.example"
        tls = "required"
    """)
    assert policy.limits("google.com", domain="bank.example").tls is TlsLevel.REQUIRED
    assert policy.limits("google.com", domain="a.bank.example").tls is TlsLevel.REQUIRED
    assert policy.limits("mx.bank.example", domain="other.example").tls is TlsLevel.REQUIRED
    assert policy.limits("google.com", domain="other.example").tls is TlsLevel.OPPORTUNISTIC
    assert not policy.is_separate("bank.example")


def test_a_domain_with_limits_of_a_site_is_a_site_of_its_own() -> None:
    policy = shaping('[[rule]]\nname = "apart"\ndomain = ["apart.example", "*.x.example"]\nconnections = 2')
    assert policy.is_separate("apart.example")
    assert policy.is_separate("a.x.example")
    assert not policy.is_separate("x.example")
    assert policy.limits("apart.example").connections == 2
    assert policy.limits("google.com", domain="apart.example").connections == 20


def test_rules_for_a_domain_lie_over_what_is_shipped_for_its_hosts() -> None:
    policy = shaping("""
        [[rule]]
        name = "theirs"
        site = "google.com"
        connection_idle = "1s"
        [[rule]]
        name = "apart"
        domain = ["gmail.com", "customer.example"]
        connections = 2
    """)
    for domain, hosts in (("gmail.com", ""), ("gmail.com", "google.com"), ("customer.example", "google.com")):
        limits = policy.limits(domain, hosts=hosts)
        assert (limits.connections, limits.messages_per_connection, limits.connection_idle_s) == (2, 100, 5.0)
        said = {setting.key: setting for setting in policy.explain(domain, hosts=hosts)}
        assert (said["connections"].rule, said["messages_per_connection"].rule) == ("apart", "google")
        assert said["messages_per_connection"].origin == "shipped defaults"
        names = [trigger.name for trigger in policy.triggers(domain, hosts=hosts)]
        assert names == [trigger.name for trigger in policy.triggers("google.com")]
        assert "google-rate" in names
    assert policy.limits("customer.example").messages_per_connection == 1000
    assert policy.limits("smtp.example.com:25", hosts="google.com").messages_per_connection == 1000


def test_a_wide_rule_for_domains_makes_no_familys_site_separate() -> None:
    policy = shaping('[[rule]]\nname = "all"\ndomain = "*"\nconnections = 2')
    assert policy.is_separate("example.com")
    for name in ("google.com", "a.example,b.example", "capture", "smtp.example.com:25"):
        assert not policy.is_separate(name)
        assert policy.limits(name).connections != 2


def test_tenants() -> None:
    policy = shaping("""
        [[rule]]
        name = "trial"
        tenant = "trial-*"
        message_rate = "100/h"
        [[rule]]
        name = "acme"
        tenant = ["acme", "trial-2"]
        site = "google.com"
        connections = 3
    """)
    assert policy.tenant_limits("google.com", "acme").connections == 3
    assert policy.tenant_limits("google.com", "acme").message_rate is None
    assert policy.tenant_limits("mx.example.com", "acme") == NO_TENANT_LIMITS
    both = policy.tenant_limits("google.com", "trial-2")
    assert (both.message_rate, both.connections) == (Rate(100, 3600.0), 3)
    assert policy.limits("google.com").connections == 20
    told = policy.explain("google.com", tenant_id="acme")[-2:]
    assert [(setting.key, setting.value, setting.rule) for setting in told] == [
        ("tenant message_rate", "none", ""),
        ("tenant connections", "3", "acme"),
    ]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("= 1", "is not TOML"),
        ("[[rules]]\nname = 'a'", "unknown key rules"),
        ("[rule]\nname = 'a'", r"rule: must be written \[\[rule\]\]"),
        ("rule = [1]", "rule 1: must be a table"),
        ("[[rule]]\nconnections = 1", "rule 1: name"),
        ("[[rule]]\nname = 1\nconnections = 1", "rule 1: name"),
        ("[[rule]]\nname = 'a'", r'rule 1 \("a"\): sets nothing'),
        ("[[rule]]\nname = 'a'\nnonsense = 1", r'rule 1 \("a"\): unknown key nonsense'),
        ("[[rule]]\nname = 'a'\nconnections = 0", "connections: must be at least 1"),
        ("[[rule]]\nname = 'a'\nconnections = true", "connections: must be a whole number"),
        ("[[rule]]\nname = 'a'\nconnections_per_ip = -1", "connections_per_ip: must be at least 0"),
        ("[[rule]]\nname = 'a'\nconnection_idle = 5", "connection_idle: must be a text"),
        ("[[rule]]\nname = 'a'\nlifetime = '3 days'", "lifetime: '3 days' is not a duration"),
        ("[[rule]]\nname = 'a'\nlifetime = '0s'", "lifetime: '0s' must be above zero"),
        ("[[rule]]\nname = 'a'\nmessage_rate = '5'", "message_rate: '5' is not a rate"),
        ("[[rule]]\nname = 'a'\nmessage_rate = '0/s'", "message_rate: '0/s' must be above zero"),
        ("[[rule]]\nname = 'a'\nmessage_rate = '5/fortnight'", "message_rate: 'fortnight' is not a duration"),
        ("[[rule]]\nname = 'a'\nretry_schedule = []", "retry_schedule: must be a list"),
        ("[[rule]]\nname = 'a'\ntls = 'maybe'", "tls: must be one of none, opportunistic"),
        ("[[rule]]\nname = 'a'\ntls = 'none'\nsite = []", "site: must name at least one"),
        ("[[rule]]\nname = 'a'\ntls = 'none'\nsite = [1]", "site: must be a text"),
        ("[[rule]]\nname = 'a'\ntls = 'none'\nsite = 'a?.example'", "site: 'a\\?.example' is not a name"),
        ("[[rule]]\nname = 'a'\ntls = 'none'\ndomain = 'bü*.example'", "domain: .* as the DNS has it"),
        ("[[rule]]\nname = 'a'\ntls = 'none'\ndomain = '.example'", "domain: .* dot"),
        ("[[rule]]\nname = 'a'\ntls = 'none'\nsite = '*a*b*c*d*e'", "site: .* stars"),
        ("[[rule]]\nname = 'a'\ndomain = 'google.com'\nconnections = 1", "google.com cannot be a site of its own"),
        ("[[rule]]\nname = 'a'\ntenant = 't'\ntls = 'none'", "tls: cannot be set for a tenant"),
        ("[[rule]]\nname = 'a'\ntenant = 't'\ndomain = 'x.example'\nconnections = 1", "domain: a tenant's limits"),
        ("[[rule]]\nname = 'a'\nconnections = 1\nconnections_per_ip = 2", "connections_per_ip: must not be above"),
        ("[[rule]]\nname = 'a'\nconnection_age = '1s'\nconnection_idle = '2s'", "connection_idle: must not be above"),
        ("[[rule]]\nname = 'a'\nlifetime = '1m'\nretry_schedule = ['5m']", "lifetime: ends before"),
        ("[[rule]]\nname = 'a'\ntls = 'none'\n[[rule]]\nname = 'a'\ntls = 'none'", r'rule 2 \("a"\): name: another'),
        ("[[automation]]\nname = 'a'\naction = 'suspend'", "says of no reply"),
        ("[[automation]]\nname = 'a'\nmatch = 'x'", "action: must be one of"),
        ("[[automation]]\nname = 'a'\nmatch = '('\naction = 'suspend'", "match: is not a regular expression"),
        ("[[automation]]\nname = 'a'\nmatch = 'x'\naction = 'raised'", "action: must be one of"),
        ("[[automation]]\nname = 'a'\ncode = '9xx'\naction = 'suspend'", "code: '9xx' is not a reply code"),
        ("[[automation]]\nname = 'a'\nenhanced = '4.x'\naction = 'suspend'", "enhanced: '4.x' is not a status code"),
        ("[[automation]]\nname = 'a'\nbounce_class = 'bad'\naction = 'suspend'", "bounce_class: 'bad' is not"),
        ("[[automation]]\nname = 'a'\nmatch = 'x'\naction = 'slow_down'\nfactor = 1", "factor: must be between"),
        ("[[automation]]\nname = 'a'\nmatch = 'x'\naction = 'suspend'\nfactor = 0.5", "factor: has no meaning"),
        ("[[automation]]\nname = 'a'\nmatch = 'x'\naction = 'ignore'\nfor = '1m'", "ignore takes neither"),
        ("[[automation]]\nname = 'a'\nmatch = 'x'\naction = 'suspend'\nthreshold = '101/m'", "threshold: .* more than"),
        ("[[automation]]\nname = 'a'\nmatch = 'x'\naction = 'suspend'\nsites = 'x'", "unknown key sites"),
    ],
)
def test_what_is_wrong_is_named(text: str, named: str) -> None:
    with pytest.raises(ShapingError, match=named) as caught:
        shaping(text)
    assert type(caught.value)(*caught.value.args).args == caught.value.args


def test_the_shipped_rules_have_a_source_each_and_hold_where_they_say() -> None:
    file = tomllib.loads(SHIPPED_TEXT)
    for table in (*file["rule"], *file["automation"]):
        assert table["reference"], table["name"]
    policy = shaping("")
    for table in file["rule"]:
        site = table["site"]
        assert "domain" not in table
        assert site in FAMILY_NAMES or "*" in site, f"{table['name']} is for no site that there is"
        if "*" not in site:
            assert policy.limits(site) != BASE
            assert policy.limits(site).connections <= BASE.connections


@pytest.mark.parametrize("route", ["capture", "google.com:25", "mx.a.cloudfilter.net:587", "smtp.example.com:25"])
def test_nothing_shipped_holds_for_relays_and_the_capture_sink(route: str) -> None:
    assert shaping("").limits(route) == BASE
    assert shaping("").triggers(route) == ()
    mine = shaping('[[rule]]\nname = "a"\nconnections = 2\n[[automation]]\nname = "a"\nmatch = "x"\naction = "suspend"')
    assert mine.limits(route) == structs.replace(BASE, connections=2)
    assert [trigger.name for trigger in mine.triggers(route)] == ["a"]


def test_the_example_explains_every_key_and_is_valid() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    shaping(text)
    file = tomllib.loads(text)
    named = {key for table in file["rule"] for key in table}
    assert named == {key.name for key in (*KEYS, *TENANT_KEYS)} | set(SELECTORS) | set(TEXTS)
    assert {key for table in file["automation"] for key in table} == set(TRIGGER_KEYS)
    for line in text.splitlines():
        assert not line or line.startswith("[[") or "#" in line, f"{line} is not explained"


@pytest.mark.parametrize(
    ("text", "seconds", "shown"),
    [
        ("30s", 30, "30s"),
        ("90m", 5400, "1h30m"),
        ("1h30m", 5400, "1h30m"),
        ("500ms", 0.5, "500ms"),
        ("1.5s", 1.5, "1s500ms"),
        ("3d", 259200, "3d"),
    ],
)
def test_durations(text: str, seconds: float, shown: str) -> None:
    assert duration(text) == seconds
    assert duration_text(seconds) == shown
    assert duration(shown) == seconds


@pytest.mark.parametrize(
    ("text", "per_second"),
    [("100/s", 100), ("5000/h", 5000 / 3600), ("1/10s", 0.1), ("10/5m", 10 / 300), ("2/d", 2 / 86400)],
)
def test_rates(text: str, per_second: float) -> None:
    assert rate(text).per_second == per_second
    assert str(rate(text)) == text


@pytest.mark.parametrize("text", ["", "s", "5", "-5s", "5 s", "5s5", "1e3s", "367d"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|above zero"):
        duration(text)


@pytest.mark.parametrize("text", ["", "/s", "5/", "5/0s", "1.5/s", "5/s/s"])
def test_no_rates(text: str) -> None:
    with pytest.raises(ValueError, match=r"rate|duration|above zero"):
        rate(text)
