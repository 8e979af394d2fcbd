"""Host names in the configuration, checked before they reach a socket or the wire."""

import ipaddress
from urllib.parse import urlsplit

from cluster.policy.routes.domains import spelled_names
from cluster.policy.routes.mx import is_address, lookup_name


def host_port(text: str) -> tuple[str, int]:
    """("127.0.0.1", 25) of "127.0.0.1:25", ("::1", 25) of "[::1]:25"; names are normalised. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()) or len(port) > 5 or int(port) > 65535:
        raise ValueError(f"{text!r} is not host:port")
    return _host(host, text), int(port)


def joined(host: str, port: int) -> str:
    """The text that ``host_port`` reads: "127.0.0.1:25", "[::1]:25"."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def server(text: str) -> tuple[str, int]:
    """Host and port of a server to connect to; port 0 is invalid. Raises ValueError."""
    host, port = host_port(text)
    if port == 0:
        raise ValueError(f"{text!r} has no port")
    return host, port


def ehlo_name(text: str) -> str:
    """A name for EHLO, normalised: a domain name, or an address literal such as "[192.0.2.1]" or "[IPv6:2001:db8::1]"
    (RFC 5321 §4.1.3, §4.1.1.1). Raises ValueError."""
    if text.startswith("[") and text.endswith("]"):
        inside = text[1:-1]
        tagged = inside[:5].upper() == "IPV6:"
        try:
            if tagged:
                return f"[IPv6:{ipaddress.IPv6Address(inside[5:])}]"
            return f"[{ipaddress.IPv4Address(inside)}]"
        except ValueError:
            raise ValueError(f"{text!r} is not an address literal") from None
    return domain_name(text)


def public_url(text: str) -> str:
    """The host of a URL under which the API is reached from outside, normalised; "" when that is an IP address, which
    no record can lead to. Raises ValueError."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"{text!r} is not a URL") from None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"{text!r} is not a URL such as https://mail.example.net")
    return "" if is_address(host) else domain_name(host)


def domain_name(text: str) -> str:
    """A name that may be looked up in the DNS, normalised, without the final dot. Raises ValueError."""
    name = lookup_name(text)
    if not isinstance(name, str):
        raise ValueError(f"{text!r} is not a domain name")
    return name


def is_host(text: str) -> bool:
    """Whether the text is an IP address, or a name that may have one."""
    return is_address(text) or isinstance(lookup_name(text), str)


def has_control(text: str) -> bool:
    """Whether the text contains a control character, which is invalid in every name, path and credential."""
    return any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text)


def check_credential(text: str) -> None:
    """A user name or password of AUTH contains no control character (RFC 4616 §2, RFC 4013 §2.3). Raises ValueError,
    whose message does not show the text."""
    if has_control(text):
        raise ValueError("holds a control character")


def _host(host: str, text: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise ValueError(f"{text!r} is not host:port") from None
    if ":" in host:
        raise ValueError(f"{text!r} is not host:port: an IPv6 address stands in brackets")
    if not is_host(host):
        raise ValueError(f"{text!r} is not host:port: {host!r} is no name of a host")
    return spelled_names(host)
