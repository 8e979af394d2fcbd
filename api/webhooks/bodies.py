"""The bodies of requests about endpoints in postray's own shape."""

import msgspec
from msgspec import UNSET, Struct, UnsetType

from api.http.body import TypedBody


class EndpointFields(Struct, frozen=True, omit_defaults=True):
    """The settings of an endpoint. What a PATCH leaves out stays as it is."""

    url: str | UnsetType = UNSET
    enabled_events: list[str] | UnsetType = UNSET
    """Names of events, or ["*"] for all, also those of later versions."""
    name: str | UnsetType = UNSET
    categories: list[str] | UnsetType = UNSET
    """Only events of messages with one of these; []: of all."""
    api_key_ids: list[str] | UnsetType = UNSET
    """Only events of messages that one of these keys sent; []: of all."""
    batch: bool | UnsetType = UNSET
    """Whether a post is an array of events."""
    standard: bool | UnsetType = UNSET
    """Whether posts also have the header fields of Standard Webhooks."""
    enabled: bool | UnsetType = UNSET
    """Nothing is owed for the time in which it is not. True also ends that it was disabled because it failed."""
    notify_email: str | UnsetType = UNSET
    """The address that gets a mail when the endpoint is disabled because it fails; "": no mail is sent."""


class EndpointBody(TypedBody[EndpointFields]):
    decoder = msgspec.json.Decoder(EndpointFields)


class NewSecret(Struct, frozen=True):
    """How long posts are also signed with the secret of before, in seconds; 0: no longer."""

    keep_former_s: int = 86_400


class NewSecretBody(TypedBody[NewSecret]):
    decoder = msgspec.json.Decoder(NewSecret)
