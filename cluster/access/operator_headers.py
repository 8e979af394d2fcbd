"""What requests of the command line to /api/admin tell of the user who types them, for the notes of what operators do.
Pure."""

from urllib.parse import quote, unquote

from cluster.printable import printable

OPERATOR, COMMAND = "Postray-Operator", "Postray-Command"
"""The user who types, and which command. They are claims: believed with the token of the installation, which every user
has who can read its secret, and not proved."""
LONGEST_NAME = 200


def in_header(text: str) -> str:
    """A text as the value of one of the headers."""
    return quote(text[:LONGEST_NAME], safe=" @()_.,-")


def of_header(value: str) -> str:
    """And back; what is unprintable is shown by its number."""
    return printable(unquote(value[: 12 * LONGEST_NAME]))[:LONGEST_NAME]
