"""Settings: the file, the overlaid variables, and errors that name the key."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from cluster.settings import Settings, SettingsError, host_port, keys, load, variable_name
from cluster.settings_environment import without_settings

EXAMPLE = Path(__file__).parents[2] / "examples" / "postray.example.toml"


def _texts_of(section: Struct, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name in section.__struct_fields__:
        value = getattr(section, name)
        if isinstance(value, Struct):
            yield from _texts_of(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "postray.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults() -> None:
    assert load(None, {}) == Settings()
    assert load(None, {}).http.bind == "127.0.0.1:8080"


def test_the_example_file_has_every_key_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLE.parent)  # relative paths are resolved against the file's folder
    assert load(EXAMPLE, {}) == Settings()
    text = EXAMPLE.read_text(encoding="utf-8")
    section = ""
    named = set()
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]") + "."
        elif "=" in line and not line.startswith("#"):
            named.add(section + line.partition("=")[0].strip())
            assert "#" in line, f"{line} is not explained"
    assert named == set(keys())


def test_a_rate_is_a_share(tmp_path: Path) -> None:
    assert load(write(tmp_path, "[tenants]\nmax_bounce_rate = 0\nmax_complaint_rate = 1\n"), {}).tenants
    with pytest.raises(SettingsError, match=r"tenants\.max_bounce_rate: is a share, at most 1, not 10"):
        load(write(tmp_path, "[tenants]\nmax_bounce_rate = 10\n"), {})


def test_a_cluster_that_nothing_can_run_on(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cluster\.roles: must name at least one role"):
        load(write(tmp_path, "[cluster]\nroles = []\n"), {})
    with pytest.raises(SettingsError, match=r"cluster\.min_nodes: is above cluster\.max_nodes \(8\)"):
        load(write(tmp_path, "[cluster]\nmin_nodes = 9\n"), {})
    assert load(write(tmp_path, "[cluster]\nmin_nodes = 9\nmax_nodes = 9\n"), {}).cluster.min_nodes == 9


def test_bodies_are_not_kept_longer_than_messages(tmp_path: Path) -> None:
    assert load(write(tmp_path, "[retention]\nbodies_days = 0\nmessages_days = 1\n"), {}).retention.bodies_days == 0
    with pytest.raises(SettingsError, match=r"retention\.bodies_days: bodies are not kept longer than their messages"):
        load(write(tmp_path, "[retention]\nmessages_days = 6\n"), {})
    with pytest.raises(SettingsError, match=r"retention\.messages_days: must be at most 3650"):
        load(write(tmp_path, "[retention]\nmessages_days = 100000\n"), {})


def test_a_variable_wins_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[http]\nbind = "127.0.0.1:1"\n[delivery]\nwindow = 7\n')
    settings = load(path, {"POSTRAY_HTTP_BIND": "127.0.0.1:2", "PATH": "/bin"})
    assert (settings.http.bind, settings.delivery.window) == ("127.0.0.1:2", 7)


@pytest.mark.parametrize(
    ("variable", "text", "read"),
    [
        ("POSTRAY_DATA_DIR", "/d", lambda s: s.data_dir == "/d"),
        ("POSTRAY_DELIVERY_MODE", "direct", lambda s: s.delivery.mode == "direct"),
        ("POSTRAY_DNS_NAMESERVERS", "127.0.0.1:53,127.0.0.1:54", lambda s: s.dns.nameservers[1] == "127.0.0.1:54"),
        ("POSTRAY_DELIVERY_RETRY_SCHEDULE_S", "1,2.5", lambda s: s.delivery.retry_schedule_s == (1, 2.5)),
        ("POSTRAY_DELIVERY_RETRY_SCHEDULE_S", "[3]", lambda s: s.delivery.retry_schedule_s == (3,)),
        ("POSTRAY_LOG_LEVELS", '{"actors.delivery" = "debug"}', lambda s: s.log.levels == {"actors.delivery": "debug"}),
        ("POSTRAY_HTTP_COMMIT_WINDOW_MS", "0.5", lambda s: s.http.commit_window_ms == 0.5),
    ],
)
def test_variables_of_every_type(variable: str, text: str, read: object) -> None:
    assert read(load(None, {variable: text}))  # type: ignore[operator]


def test_an_environment_may_be_without_variables_of_settings_for_a_while() -> None:
    environ = {"POSTRAY_SECRET": "s3cret", "PATH": "/bin"}
    with without_settings(environ):
        assert environ == {"PATH": "/bin"}
    assert environ == {"POSTRAY_SECRET": "s3cret", "PATH": "/bin"}


def test_every_key_has_a_variable_of_its_own() -> None:
    variables = {variable_name(tuple(key.split("."))) for key in keys()}
    assert len(variables) == len(keys())


@pytest.mark.parametrize(
    ("text", "environ", "named"),
    [
        ("[http]\nbinde = 1", {}, "unknown key http.binde; the nearest names: http.bind"),
        ("nonsense = 1", {}, "unknown key nonsense"),
        ("[http]\nbind = 1", {}, "http.bind"),
        ("[http]\nbind = 'x'", {}, "http.bind"),
        ("[http]\ntrusted_proxies = ['10.0.0.0/8', 'proxy']", {}, "http.trusted_proxies[1]"),
        ("[auth]\njwt_secret = '0123456789abcdef0123456789abcde'", {}, "auth.jwt_secret: is shorter than 32 bytes"),
        ("", {"POSTRAY_AUTH_JWT_SECRET": "weak"}, "auth.jwt_secret"),
        ("[auth]\njwks_url = 'http://issuer.example/keys'", {}, "auth.jwks_url: must be https"),
        ("[auth]\njwks_url = 'issuer.example'", {}, "auth.jwks_url"),
        ("[delivery]\nmode = 'smart'", {}, "delivery.mode: must be capture, direct or relay, not 'smart'"),
        ("[log]\nlevel = 'loud'", {}, "log.level: must be debug, info, warning or error, not 'loud'"),
        ("[log.levels]\nactors = 'loud'", {}, "log.levels[...]: must be debug, info, warning or error, not 'loud'"),
        ("", {"POSTRAY_DELIVERY_MODE": "smart"}, "delivery.mode: must be capture, direct or relay, not 'smart'"),
        ("[delivery]\nwindow = 'x'", {}, "delivery.window: must be a whole number, not a text"),
        ("[delivery]\nretry_schedule_s = 1", {}, "delivery.retry_schedule_s: must be a list, not a whole number"),
        ("http = 1", {}, "http: must be a table, not a whole number"),
        ("data_dir = 2026-11-28", {}, "data_dir: must be a text, not a date"),
        ("[delivery]\nmode = 'relay'", {}, 'delivery.relay: mode "relay" needs the smarthost here, as host:port'),
        ("[tls]\ndane = true", {}, "tls.dane: needs resolvers that validate DNSSEC: name them in dns.nameservers"),
        ("[delivery]\nwindow = 0", {}, "delivery.window"),
        ("[delivery]\nretry_schedule_s = []", {}, "delivery.retry_schedule_s"),
        ("[dns]\nnameservers = ['1.2.3.4']", {}, "dns.nameservers[0]: '1.2.3.4' is not ip:port"),
        ("[dns]\nnameservers = ['localhost']", {}, "dns.nameservers[0]: 'localhost' is not ip:port"),
        ("[dns]\nnameservers = ['localhost:53']", {}, "dns.nameservers[0]: 'localhost:53' is not ip:port"),
        ("[dns]\nlookups_at_once = 0", {}, "dns.lookups_at_once"),
        ("[dns]\nstale_s = -1", {}, "dns.stale_s"),
        ("[smtp]\nallowed_networks = ['private']", {}, "smtp.allowed_networks[0]"),
        *(
            (f"[webhooks]\nnotices_from = '{text}'", {}, "webhooks.notices_from")
            for text in (
                "notices",
                "@example.com",
                "a b@example.com",
                "a@localhost",
                "a@b@example.com",
                "A <a@example.com>",
            )
        ),
        ("[smtp]\nprohibited_networks = ['10.0.0.0/8', '10.0.0.1/8']", {}, "smtp.prohibited_networks[1]"),
        ("[delivery]\nmode = 'relay'\nrelay = '\u2764.example:25'", {}, "delivery.relay"),
        ("[smtp]\nhelo_name = 'a\u200e'", {}, "smtp.helo_name"),
        ("[ray]\naddress = 'head:6379'", {}, "postgres.dsn"),
        ("[dns]\nnameservers = ['dns.example:53']", {}, "dns.nameservers[0]"),
        ("[dns]\nnameservers = ['127.0.0.1:0']", {}, "dns.nameservers[0]"),
        ("[dns]\ntimeout_s = nan", {}, "dns.timeout_s"),
        ("[dns]\ntries = 0", {}, "dns.tries"),
        ("[smtp]\nport = 70000", {}, "smtp.port"),
        ("[smtp]\nconnect_timeout_s = -1", {}, "smtp.connect_timeout_s"),
        ("[delivery]\nlease_s = inf", {}, "delivery.lease_s"),
        ("[delivery]\nretry_schedule_s = [60, 0]", {}, "delivery.retry_schedule_s[1]"),
        ("[delivery]\nsplit_sites = {'a.test' = 0}", {}, "delivery.split_sites['a.test']"),
        ("secret = 'short'", {}, "secret: it is not 32 bytes"),
        ("secret = 'é'", {}, "secret: it is not 32 bytes"),
        ("[clickhouse]\ndsn = 'http://localhost:8123'", {}, "clickhouse.dsn: it is not clickhouse"),
        ("[clickhouse]\ndsn = 'clickhouse://localhost:x'", {}, "clickhouse.dsn"),
        ("[postgres]\ndsn = 'localhost:5432'", {}, "postgres.dsn: it is not a libpq"),
        (
            "[ray]\naddress = 'head'\n[postgres]\ndsn = 'host=a'",
            {},
            "ray.address: 'head' is not host:port, nor \"auto\"",
        ),
        ("data_dir = ''", {}, "data_dir"),
        (
            '[smtp]\nhelo_name = "a b\\r\\nNOOP INJECTED"',
            {},
            "smtp.helo_name: holds a control character",
        ),
        ("[smtp]\nhelo_name = 'a b'", {}, "smtp.helo_name: 'a b' is not a domain name"),
        ("[smtp]\nhelo_name = '192.0.2.1'", {}, "smtp.helo_name: '192.0.2.1' is not a domain name"),
        ("[smtp]\nhelo_name = '[mail]'", {}, "smtp.helo_name: '[mail]' is not an address literal"),
        ("[delivery]\nrelay = 'a b:25'", {}, "delivery.relay: 'a b:25' is not host:port: 'a b' is no name of a host"),
        ("[delivery]\nrelay = '::1:25'", {}, "delivery.relay: '::1:25' is not host:port: an IPv6 address stands in"),
        ("[delivery]\nrelay = 'h:\u0663'", {}, "delivery.relay: 'h:\u0663' is not"),
        ("[http]\nbind = 'a b:80'", {}, "http.bind: 'a b:80' is not host:port"),
        ("[http]\nbind = '[192.0.2.1]:80'", {}, "http.bind: '[192.0.2.1]:80' is not host:port"),
        ("[clickhouse]\ndsn = 'clickhouse://a b:1/x'", {}, "clickhouse.dsn: it is not clickhouse"),
        ("[clickhouse]\ndsn = 'clickhouse://[::1/x'", {}, "clickhouse.dsn: it is not clickhouse"),
        ("= 1", {}, "is not TOML"),
        ("", {"POSTRAY_HTTP_BINDE": "x"}, "unknown variable POSTRAY_HTTP_BINDE; the nearest names: POSTRAY_HTTP_BIND"),
        ("", {"POSTRAY_DELIVERY_WINDOW": "many"}, "POSTRAY_DELIVERY_WINDOW: 'many' is not a whole number"),
        ("", {"POSTRAY_DNS_TIMEOUT_S": "many"}, "POSTRAY_DNS_TIMEOUT_S: 'many' is not a number"),
        ("http = 1", {"POSTRAY_HTTP_BIND": "127.0.0.1:1"}, "http must be a table"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(named)):
        load(write(tmp_path, text), environ)


@pytest.mark.parametrize("key", [key for key, value in _texts_of(Settings()) if isinstance(value, str)])
def test_no_text_holds_a_control_character_whichever_key_has_it(tmp_path: Path, key: str) -> None:
    *sections, name = key.split(".")
    table = f"[{sections[0]}]\n" if sections else ""
    text = f'{table}{name} = "a\\u0000b"'
    with pytest.raises(SettingsError, match=rf"^{re.escape(key)}: (must be|holds a control character)"):
        load(write(tmp_path, text), {})


def test_names_of_hosts_in_lists_and_tables_hold_none_either(tmp_path: Path) -> None:
    for text, key in (
        ('[delivery]\nsplit_sites = {"a\\n" = 2}', "delivery.split_sites"),
        ('[dns]\nnameservers = ["127.0.0.1:53\\n"]', "dns.nameservers[0]"),
        ('[log]\nlevels = {"a\\u001b" = "debug"}', "log.levels"),
    ):
        with pytest.raises(SettingsError, match=re.escape(key) + ": .*holds a control character"):
            load(write(tmp_path, text), {})


def test_an_address_literal_is_a_name_to_give_in_ehlo(tmp_path: Path) -> None:
    for text in ("[192.0.2.1]", "[ipv6:2001:db8::1]"):
        assert load(write(tmp_path, f"[smtp]\nhelo_name = '{text}'"), {}).smtp.helo_name == text
    assert load(write(tmp_path, "[smtp]\nhelo_name = 'mail.example.'"), {}).smtp.helo_name == "mail.example"


def test_hosts_and_sites_are_read_in_every_spelling(tmp_path: Path) -> None:
    text = "[delivery]\nrelay = 'Relay.Bücher.example:587'\nsplit_sites = {'MX.Bücher.example' = 2}\n"
    settings = load(write(tmp_path, text), {"POSTRAY_SMTP_HELO_NAME": "Out.Bücher.example"})
    assert settings.delivery.relay == "relay.xn--bcher-kva.example:587"
    assert settings.delivery.split_sites == {"mx.xn--bcher-kva.example": 2}
    assert settings.smtp.helo_name == "out.xn--bcher-kva.example"


def test_a_cluster_that_runs_on_this_machine_is_named_auto(tmp_path: Path) -> None:
    (told,) = re.findall(
        r'ray\.address = "([^"]*)"', (EXAMPLE.parents[1] / "ray-cluster.yaml").read_text(encoding="utf-8")
    )
    text = f"[ray]\naddress = '{told}'\n[postgres]\ndsn = 'host=a'"
    assert load(write(tmp_path, text), {}).ray.address == told == "auto"


@pytest.mark.parametrize("file", ["routing.example.toml", "shaping.example.toml"])
def test_the_examples_name_tenants_as_they_are_named(file: str) -> None:
    text = (EXAMPLE.parent / file).read_text(encoding="utf-8")
    named = re.findall(r'^#?\s*tenant = \[?"([^"]+)"', text, re.MULTILINE)
    assert named
    assert all(name.startswith("tnt_") for name in named)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml"):
        load(tmp_path / "absent.toml", {})


def test_host_port() -> None:
    assert host_port("127.0.0.1:25") == ("127.0.0.1", 25)
    assert host_port("[::1]:25") == ("::1", 25)
    assert host_port("localhost:0") == ("localhost", 0)
    for wrong in (
        "",
        "host",
        "host:",
        ":25",
        "host:x",
        "host:65536",
        "::1:25",
        "[::1:25",
        "a b:25",
        "host:" + "9" * 5000,
    ):
        with pytest.raises(ValueError, match="host:port"):
            host_port(wrong)


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "postray.toml"
    path.write_bytes(b"\xef\xbb\xbf[delivery]\nwindow = 7\n")
    assert load(path, {}).delivery.window == 7


def test_relative_paths_follow_the_file_that_names_them(tmp_path: Path) -> None:
    path = write(tmp_path, "data_dir = 'data'\n[tls]\nca_file = '/etc/ca.pem'\n[delivery]\nshaping_file = 's.toml'\n")
    settings = load(path, {})
    assert (settings.data_dir, settings.tls.ca_file) == (str(tmp_path / "data"), "/etc/ca.pem")
    assert settings.delivery.shaping_file == str(tmp_path / "s.toml")
    assert load(path, {"POSTRAY_DATA_DIR": "here"}).data_dir == "here"
    assert load(write(tmp_path, ""), {}).data_dir == Settings().data_dir
