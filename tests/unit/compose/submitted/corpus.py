"""Messages as software writes them, and as attackers do: written for these tests, with addresses of examples.

Of each it is said which of its parts without parts tracking changes, by number; all others keep their octets.
"""

from base64 import b64encode
from quopri import encodestring
from typing import NamedTuple

LINK = "https://shop.example.com/a?b=1"
HTML = f'<html><body><p>Hello -name-, <a href="{LINK}">look</a></p></body></html>'
TEXT = f"Hello -name-,\nlook: {LINK}\n"
HEAD = (
    "From: News <news@example.com>\nTo: Jane <jane@example.net>\nSubject: Hello -name-\n"
    "Date: Sun, 01 Mar 2026 10:00:00 +0100\nMessage-ID: <abc@example.com>\nMIME-Version: 1.0\n"
)


class Specimen(NamedTuple):
    data: bytes
    changed: tuple[int, ...] = ()
    """The numbers of the parts that tracking of opens and of links in html changes."""
    shortened: tuple[int, ...] = ()
    """The numbers of those that are encoded in any case, for their long lines."""


def crlf(text: str, charset: str = "utf-8") -> bytes:
    return text.replace("\n", "\r\n").encode(charset)


def message(kind: str, body: str, *, charset: str = "utf-8", head: str = HEAD) -> bytes:
    """``kind``: Content-Type, and further fields on lines of their own."""
    return crlf(f"{head}Content-Type: {kind}\n\n") + crlf(body, charset)


def part(kind: str, body: str) -> str:
    return f"Content-Type: {kind}\n\n{body}"


def parts(boundary: str, *inner: str, end: str = "--\n") -> str:
    return "".join(f"--{boundary}\n{one}\n" for one in inner) + f"--{boundary}{end}"


def base64(kind: str, data: bytes, width: int = 76) -> str:
    encoded = b64encode(data).decode()
    lines = "\n".join(encoded[at : at + width] for at in range(0, len(encoded), width))
    return f"Content-Type: {kind}\nContent-Transfer-Encoding: base64\n\n{lines}"


def quoted(kind: str, data: bytes) -> str:
    return f"Content-Type: {kind}\nContent-Transfer-Encoding: quoted-printable\n\n{encodestring(data).decode()}"


PLAIN = part("text/plain; charset=us-ascii", TEXT)
PAGE = part("text/html; charset=us-ascii", HTML)
JAPANESE = HTML.replace("look", "日本語のニュース")
RUSSIAN = HTML.replace("look", "Новости")
PGP = "-----BEGIN PGP MESSAGE-----\n\nhQEMA0t=\n=abcd\n-----END PGP MESSAGE-----\n"
CALENDAR = "BEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR\n"
SIGNATURE = base64('application/pkcs7-signature; name="smime.p7s"', b"signature" * 20)
SIGNED = 'multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="s"'
LONG = "x" * 1200


def _alternative(boundary: str, *inner: str, quotes: str = '"') -> bytes:
    return message(f"multipart/alternative; boundary={quotes}{boundary}{quotes}", parts(boundary, *inner))


CORPUS = {
    "alternative": Specimen(_alternative("b", PLAIN, PAGE), (1,)),
    "html in quoted-printable": Specimen(
        message(
            "text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable",
            encodestring(JAPANESE.encode()).decode(),
        ),
        (0,),
    ),
    "html in base64": Specimen(_alternative("b", PLAIN, base64("text/html; charset=utf-8", JAPANESE.encode())), (1,)),
    "html in base64 with CRLF": Specimen(
        _alternative("b", base64("text/html; charset=utf-8", HTML.replace("<p>", "\r\n<p>").encode())), (0,)
    ),
    "html in 8bit": Specimen(message("text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit", JAPANESE), (0,)),
    "8bit without saying so": Specimen(message("text/html; charset=utf-8", JAPANESE), (0,)),
    "8bit without a charset": Specimen(message("text/html\nContent-Transfer-Encoding: 8bit", JAPANESE), (0,)),
    "iso-2022-jp": Specimen(message("text/html; charset=ISO-2022-JP", JAPANESE, charset="iso2022_jp"), (0,)),
    "shift_jis": Specimen(
        message("text/html; charset=Shift_JIS\nContent-Transfer-Encoding: 8bit", JAPANESE, charset="cp932"), (0,)
    ),
    "windows-1251": Specimen(
        message('text/html; charset="windows-1251"\nContent-Transfer-Encoding: 8bit', RUSSIAN, charset="cp1251"), (0,)
    ),
    "koi8-r in quoted-printable": Specimen(
        _alternative("b", PLAIN, quoted("text/html; charset=koi8-r", RUSSIAN.encode("koi8-r"))), (1,)
    ),
    "gb2312": Specimen(
        message(
            "text/html; charset=gb2312\nContent-Transfer-Encoding: 8bit", HTML.replace("look", "新闻"), charset="gbk"
        ),
        (0,),
    ),
    "utf-16 in base64": Specimen(
        _alternative("b", base64("text/html; charset=utf-16le", HTML.encode("utf-16le"))), (0,)
    ),
    "utf-7": Specimen(message("text/html; charset=utf-7", HTML)),
    "ebcdic": Specimen(message("text/html; charset=cp037\nContent-Transfer-Encoding: 8bit", HTML)),
    "an unknown charset": Specimen(message("text/html; charset=x-unknown", HTML)),
    "a codec that is no charset": Specimen(message("text/html; charset=base64", HTML)),
    "octets outside the charset": Specimen(message("text/html; charset=us-ascii", JAPANESE)),
    "an unknown transfer encoding": Specimen(message("text/html\nContent-Transfer-Encoding: x-uuencode", HTML)),
    "base64 with faults": Specimen(message("text/html\nContent-Transfer-Encoding: base64", "PGh0bWw+!!\n")),
    "quoted-printable with faults": Specimen(message("text/html\nContent-Transfer-Encoding: quoted-printable", HTML)),
    "nested": Specimen(
        message(
            'multipart/mixed; boundary="m"',
            "This is a message in MIME format.\n"
            + parts(
                "m",
                'Content-Type: multipart/related; type="multipart/alternative"; boundary="m.r"\n\n'
                + parts(
                    "m.r",
                    'Content-Type: multipart/alternative; boundary="m.r.a"\n\n' + parts("m.r.a", PLAIN, PAGE),
                    base64('image/png; name="a.png"\nContent-ID: <a>\nContent-Disposition: inline', b"\x89PNG" * 99),
                ),
                base64('application/pdf\nContent-Disposition: attachment; filename="b.pdf"', b"%PDF" * 99),
            )
            + "epilogue\n",
        ),
        (1,),
    ),
    "s/mime signed": Specimen(message(SIGNED, parts("s", PAGE, SIGNATURE))),
    "s/mime signed with long lines": Specimen(message(SIGNED, parts("s", part("text/html", HTML + LONG), SIGNATURE))),
    "a signed part": Specimen(
        message(
            "multipart/mixed; boundary=m",
            parts("m", f"Content-Type: {SIGNED}\n\n" + parts("s", PAGE, SIGNATURE), part("text/html", HTML)),
        ),
        (2,),
    ),
    "s/mime encrypted": Specimen(
        message(
            "application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\nContent-Transfer-Encoding: base64",
            "MIAG\n",
        )
    ),
    "pgp/mime encrypted": Specimen(
        message(
            'multipart/encrypted; protocol="application/pgp-encrypted"; boundary=e',
            parts("e", part("application/pgp-encrypted", "Version: 1\n"), part("application/octet-stream", PGP)),
        )
    ),
    "pgp/mime signed": Specimen(
        message(
            'multipart/signed; protocol="application/pgp-signature"; boundary=e',
            parts("e", PAGE, part("application/pgp-signature", PGP)),
        )
    ),
    "pgp inline": Specimen(_alternative("b", part("text/plain", PGP), part("text/html", f"<pre>{PGP}</pre>{HTML}"))),
    "calendar": Specimen(_alternative("b", PLAIN, PAGE, part("text/calendar; method=REQUEST", CALENDAR)), (1,)),
    "amp": Specimen(
        _alternative("b", PLAIN, part("text/x-amp-html", f'<a href="{LINK}">x</a>'), PAGE),
        (1, 2),
    ),
    "attached html": Specimen(
        message(
            "multipart/mixed; boundary=m",
            parts(
                "m",
                part('text/html\nContent-Disposition: attachment; filename="page.html"', HTML),
                part('text/html; name="page.html"', HTML),
                PLAIN,
            ),
        )
    ),
    "an attached message": Specimen(
        message("multipart/mixed; boundary=m", parts("m", PAGE, f"Content-Type: message/rfc822\n\nSubject: x\n{PAGE}")),
        (0,),
    ),
    "two pages": Specimen(
        message("multipart/mixed; boundary=m", parts("m", PAGE, base64("image/png", b"x"), PAGE)), (0,)
    ),
    "a digest": Specimen(message("multipart/digest; boundary=m", parts("m", f"\n{PAGE}"))),
    "long lines": Specimen(
        message(
            "multipart/mixed; boundary=m",
            parts("m", part("text/html", HTML + LONG), part("text/plain", LONG + "\t \nend ")),
        ),
        (0,),
        (0, 1),
    ),
    "a long line of base64": Specimen(
        message("multipart/mixed; boundary=m", parts("m", PLAIN, base64("image/png", bytes(range(256)) * 9, 10_000))),
        (),
        (1,),
    ),
    "long lines without a type": Specimen(crlf(f"From: news@example.com\nTo: jane@example.net\n\n{LONG}\n"), (), (0,)),
    "long lines of an attached message": Specimen(message("message/rfc822", f"Subject: x\n\n{LONG}\n")),
    "no last delimiter": Specimen(message("multipart/alternative; boundary=b", f"--b\n{PLAIN}\n--b\n{PAGE}\n"), (1,)),
    "an odd boundary": Specimen(_alternative("=_ (a),b'?:/+ c", PLAIN, PAGE), (1,)),
    "a boundary within another": Specimen(
        message(
            "multipart/mixed; boundary=b",
            parts("b", "Content-Type: multipart/alternative; boundary=b-\n\n" + parts("b-", PLAIN, PAGE)),
        ),
        (1,),
    ),
    "a boundary in pieces": Specimen(
        message("multipart/mixed; boundary*0=ab;\n boundary*1*=c%64", parts("abcd", PAGE)), (0,)
    ),
    "no boundary": Specimen(message("multipart/mixed", parts("b", PAGE))),
    "two types": Specimen(message("text/html\nContent-Type: text/plain", HTML)),
    "folded oddly": Specimen(
        message(
            'text/html;\n\tcharset =\n  utf-8 ;\n x="a;b"',
            HTML,
            head="X-Long:\n \n folded\nSUBJECT:x\nfrom:news@example.com\nX-Empty:\nX-Two: 1\nX-Two:  2\t\n",
        ),
        (0,),
    ),
    "white space before a colon": Specimen(message("text/plain", TEXT, head=HEAD.replace("Subject:", "Subject :"))),
    "duplicate fields": Specimen(
        message("text/plain", TEXT, head=HEAD + "Subject: again\nReceived: by a\nReceived: by b\nTo: c@example.net\n")
    ),
    "signed by the sender": Specimen(
        message(
            "text/html",
            HTML,
            head="DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=x; h=from; bh=eA==;\n b=eA==\n" + HEAD,
        ),
        (0,),
    ),
    "no type": Specimen(crlf(f"{HEAD}\n{TEXT}")),
    "an empty body": Specimen(message("text/plain", "")),
    "an empty html": Specimen(message("text/html", ""), (0,)),
    "only a header": Specimen(crlf("From: news@example.com\nSubject: x\n")),
    "no last line end": Specimen(message("text/html", HTML), (0,)),
    "empty lines at the end": Specimen(message("text/plain", TEXT + "\n\n \n\n")),
    "octets that are no text": Specimen(
        message("application/octet-stream\nContent-Transfer-Encoding: binary", "\x00\x01é")
    ),
    "8bit in the header": Specimen(message("text/plain", TEXT, head=HEAD.replace("Jane", "Jané"))),
}
