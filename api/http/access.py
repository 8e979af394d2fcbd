"""The access rules of all routes, in one table. Guards, OpenAPI and docs/scopes.md are made from it. Pure.

The application does not start when a route has no entry.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct, field

from api.http import help_texts
from api.http.refusals import Forbidden
from cluster.access.scopes import KEY_ADMIN
from cluster.access.terms import KeyKind
from cluster.journal.records import ApiKey
from cluster.tenancy.limits import Limit

if TYPE_CHECKING:  # the worker process must not load the web framework
    from litestar.handlers import HTTPRouteHandler

SANDBOX_REFUSED = "A sandbox key may not do this: it would change live mail"


class Caller(StrEnum):
    """The kind of caller that a route is for."""

    ANYBODY = "anybody"
    KEY = "an API key"
    OPERATOR = "an operator"
    OPERATOR_OR_KEY = "an operator, or an API key of the tenant that the path names"


class SandboxUse(StrEnum):
    """What a sandbox key may do on a route that its scopes open."""

    ALIKE = "like any key"
    OWN = "sandbox messages only"
    KEYS = "sandbox keys only"
    REFUSED = "refused"


class Access(Struct, frozen=True, kw_only=True):
    """What a route requires of its caller."""

    caller: Caller = Caller.KEY
    scopes: tuple[str, ...] = ()
    """One of these suffices; the first is the usual one. Empty when no scope is needed."""
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Parts of the route that need one of these further scopes, by the part's name."""
    sandbox: SandboxUse = SandboxUse.ALIKE
    limit: Limit = Limit.REQUESTS
    """The limit of the tenant that a request is counted under; only for callers with a key."""
    kinds: tuple[KeyKind, ...] = ("api",)
    """The kinds of API keys that may call it."""

    @property
    def takes_keys(self) -> bool:
        """Whether a tenant's key may call the route, and its limits hold."""
        return self.caller in (Caller.KEY, Caller.OPERATOR_OR_KEY)

    def admit(self, key: ApiKey) -> None:
        """Raises Forbidden when this key may not call the route."""
        _require(key, self.scopes)
        if key.sandbox and self.sandbox is SandboxUse.REFUSED:
            raise Forbidden(SANDBOX_REFUSED, help=help_texts.SANDBOX)

    def opens(self, key: ApiKey, part: str) -> bool:
        """Whether the key may use this part."""
        return not key.scopes.isdisjoint(self.parts[part])

    def require(self, key: ApiKey, part: str) -> None:
        """Raises Forbidden when the key may not use this part; one that is not named takes no more than the route."""
        _require(key, self.parts.get(part, ()))

    @property
    def security(self) -> list[dict[str, list[str]]]:
        """The security requirements of the OpenAPI operation: any one of them suffices."""
        if self.caller is Caller.ANYBODY:
            return [{}]
        if self.caller is Caller.OPERATOR:
            return [{"operator": []}]
        by_key: list[dict[str, list[str]]] = [{"key": [scope]} for scope in self.scopes] or [{"key": []}]
        return [{"operator": []}, *by_key] if self.caller is Caller.OPERATOR_OR_KEY else by_key


def _require(key: ApiKey, scopes: tuple[str, ...]) -> None:
    if scopes and key.scopes.isdisjoint(scopes):
        raise Forbidden(f"Missing required scope: {scopes[0]}", help=help_texts.SCOPE)


SEND_AT = "send_at"
CSV_FILE = "text/csv"
BODIES = "html_content, plain_content, custom_headers, custom_args"

_OPEN = Access(caller=Caller.ANYBODY)
_OPERATOR = Access(caller=Caller.OPERATOR)
_READS_TENANT = Access(caller=Caller.OPERATOR_OR_KEY, scopes=("admin.settings",))
_SETS_TENANT = Access(caller=Caller.OPERATOR_OR_KEY, scopes=("admin.settings",), sandbox=SandboxUse.REFUSED)
_SETTING = Access(scopes=("admin.settings",))
_SETTING_CHANGE = Access(scopes=("admin.settings",), sandbox=SandboxUse.REFUSED)
_LIST = Access(scopes=("suppressions.read",))
_LIST_CHANGE = Access(scopes=("suppressions.write",), sandbox=SandboxUse.REFUSED)
_WEBHOOK = Access(scopes=("webhooks.read",))
_WEBHOOK_CHANGE = Access(scopes=("webhooks.write",), sandbox=SandboxUse.REFUSED)
_WEBHOOK_NEW = Access(scopes=("webhooks.write",), sandbox=SandboxUse.REFUSED, limit=Limit.CREATIONS)
_IMAGE = Access(scopes=("images.read",))
_IMAGE_CHANGE = Access(scopes=("images.write",), sandbox=SandboxUse.REFUSED)
_TEMPLATE = Access(scopes=("templates.read",))
_TEMPLATE_CHANGE = Access(scopes=("templates.write",), sandbox=SandboxUse.REFUSED)
_TEMPLATE_END = Access(scopes=("templates.delete",), sandbox=SandboxUse.REFUSED)
_BOTH: tuple[KeyKind, ...] = ("piisend", "api")
_CLASSIFICATIONS = Access(scopes=("suppressions.read",), parts={CSV_FILE: ("stats.export",)})
_STATISTICS = Access(scopes=("stats.read", "stats.export"), parts={CSV_FILE: ("stats.export",)})
_READS = ("messages.read", "stats.read", "mail.send", "mail.cancel")

ROUTES: Mapping[str, Access] = {
    "POST /v3/mail/send": Access(scopes=("mail.send",), parts={SEND_AT: ("mail.schedule",)}, limit=Limit.MESSAGES),
    "POST /v3/mail/batch": Access(scopes=("mail.schedule",)),
    "GET /v3/mail/batch/{id}": Access(scopes=("mail.schedule",)),
    "POST /v3/mail/batch/{id}/cancel": Access(scopes=("mail.cancel",), sandbox=SandboxUse.OWN),
    "POST /v3/user/scheduled_sends": Access(scopes=("mail.schedule",), sandbox=SandboxUse.REFUSED),
    "GET /v3/user/scheduled_sends": Access(scopes=("mail.schedule",)),
    "GET /v3/user/scheduled_sends/{batch_id}": Access(scopes=("mail.schedule",)),
    "PATCH /v3/user/scheduled_sends/{batch_id}": Access(scopes=("mail.schedule",), sandbox=SandboxUse.REFUSED),
    "DELETE /v3/user/scheduled_sends/{batch_id}": Access(scopes=("mail.schedule",), sandbox=SandboxUse.REFUSED),
    "GET /v3/messages": Access(scopes=_READS, sandbox=SandboxUse.OWN, limit=Limit.READS),
    "GET /v3/messages/{id}": Access(
        scopes=_READS, parts={BODIES: ("messages.read", "mail.send")}, sandbox=SandboxUse.OWN
    ),
    "POST /v3/messages/{id}/cancel": Access(scopes=("mail.cancel",), sandbox=SandboxUse.OWN),
    "POST /v3/messages/{id}/retry": Access(scopes=("mail.send",), sandbox=SandboxUse.OWN),
    "POST /v3/messages/{id}/fail": Access(scopes=("mail.cancel",), sandbox=SandboxUse.OWN),
    "GET /v3/stats": _STATISTICS,
    "GET /v3/stats/categories": _STATISTICS,
    "GET /v3/stats/summary": _STATISTICS,
    "GET /v3/categories": _STATISTICS,
    "GET /v3/categories/stats": _STATISTICS,
    "GET /v3/categories/stats/sums": _STATISTICS,
    "GET /v3/mailbox_providers/stats": _STATISTICS,
    "POST /api/v1/emails": Access(scopes=("emails:send",), limit=Limit.MESSAGES, kinds=_BOTH),
    "GET /api/v1/emails": Access(scopes=("emails:read",), sandbox=SandboxUse.OWN, limit=Limit.READS, kinds=_BOTH),
    "GET /api/v1/emails/{id}": Access(scopes=("emails:read",), sandbox=SandboxUse.OWN, kinds=_BOTH),
    "POST /api/v1/emails/{id}/cancel": Access(scopes=("emails:send",), sandbox=SandboxUse.OWN, kinds=_BOTH),
    "POST /api/v1/emails/{id}/resend": Access(scopes=("emails:send",), sandbox=SandboxUse.OWN, kinds=_BOTH),
    "GET /v3/whitelabel/domains": Access(scopes=("domains.read",)),
    "POST /v3/whitelabel/domains": Access(scopes=("domains.write",), sandbox=SandboxUse.REFUSED),
    "GET /v3/whitelabel/domains/default": Access(scopes=("domains.read",)),
    "GET /v3/whitelabel/domains/{id}": Access(scopes=("domains.read",)),
    "PATCH /v3/whitelabel/domains/{id}": Access(scopes=("domains.write",), sandbox=SandboxUse.REFUSED),
    "DELETE /v3/whitelabel/domains/{id}": Access(scopes=("domains.write",), sandbox=SandboxUse.REFUSED),
    "POST /v3/whitelabel/domains/{id}/validate": Access(scopes=("domains.write",), sandbox=SandboxUse.REFUSED),
    "GET /v3/whitelabel/links": Access(scopes=("domains.read",)),
    "POST /v3/whitelabel/links": Access(scopes=("domains.write",), sandbox=SandboxUse.REFUSED),
    "GET /v3/whitelabel/links/default": Access(scopes=("domains.read",)),
    "GET /v3/whitelabel/links/{id}": Access(scopes=("domains.read",)),
    "PATCH /v3/whitelabel/links/{id}": Access(scopes=("domains.write",), sandbox=SandboxUse.REFUSED),
    "DELETE /v3/whitelabel/links/{id}": Access(scopes=("domains.write",), sandbox=SandboxUse.REFUSED),
    "POST /v3/whitelabel/links/{id}/validate": Access(scopes=("domains.write",), sandbox=SandboxUse.REFUSED),
    "GET /v3/tracking_settings": _SETTING,
    "GET /v3/tracking_settings/click": _SETTING,
    "PATCH /v3/tracking_settings/click": _SETTING_CHANGE,
    "GET /v3/tracking_settings/google_analytics": _SETTING,
    "PATCH /v3/tracking_settings/google_analytics": _SETTING_CHANGE,
    "GET /v3/tracking_settings/open": _SETTING,
    "PATCH /v3/tracking_settings/open": _SETTING_CHANGE,
    "GET /v3/tracking_settings/subscription": _SETTING,
    "PATCH /v3/tracking_settings/subscription": _SETTING_CHANGE,
    "GET /v3/mail_settings": _SETTING,
    "GET /v3/mail_settings/address_whitelist": _SETTING,
    "PATCH /v3/mail_settings/address_whitelist": _SETTING_CHANGE,
    "GET /v3/mail_settings/bounce_purge": _SETTING,
    "PATCH /v3/mail_settings/bounce_purge": _SETTING_CHANGE,
    "GET /v3/mail_settings/footer": _SETTING,
    "PATCH /v3/mail_settings/footer": _SETTING_CHANGE,
    "GET /v3/mail_settings/forward_bounce": _SETTING,
    "PATCH /v3/mail_settings/forward_bounce": _SETTING_CHANGE,
    "GET /v3/mail_settings/forward_spam": _SETTING,
    "PATCH /v3/mail_settings/forward_spam": _SETTING_CHANGE,
    "GET /v3/user/settings/enforced_tls": _SETTING,
    "PATCH /v3/user/settings/enforced_tls": _SETTING_CHANGE,
    "POST /v3/images": _IMAGE_CHANGE,
    "GET /v3/images": _IMAGE,
    "GET /v3/images/folders": _IMAGE,
    "GET /v3/images/{id}": _IMAGE,
    "PATCH /v3/images/{id}": _IMAGE_CHANGE,
    "DELETE /v3/images/{id}": _IMAGE_CHANGE,
    "GET /v3/templates": _TEMPLATE,
    "POST /v3/templates": _TEMPLATE_CHANGE,
    "GET /v3/templates/{id}": _TEMPLATE,
    "PATCH /v3/templates/{id}": _TEMPLATE_CHANGE,
    "DELETE /v3/templates/{id}": _TEMPLATE_END,
    "POST /v3/templates/{id}": _TEMPLATE_CHANGE,
    "POST /v3/templates/{id}/preview": _TEMPLATE,
    "GET /v3/templates/{template_id}/versions": _TEMPLATE,
    "POST /v3/templates/{template_id}/versions": _TEMPLATE_CHANGE,
    "GET /v3/templates/{template_id}/versions/{id}": _TEMPLATE,
    "PATCH /v3/templates/{template_id}/versions/{id}": _TEMPLATE_CHANGE,
    "DELETE /v3/templates/{template_id}/versions/{id}": _TEMPLATE_END,
    "POST /v3/templates/{template_id}/versions/{id}/activate": _TEMPLATE_CHANGE,
    "POST /v3/templates/{template_id}/versions/{id}/deactivate": _TEMPLATE_CHANGE,
    "POST /v3/templates/{template_id}/versions/{id}/duplicate": _TEMPLATE_CHANGE,
    "GET /v3/ips": Access(),
    "GET /v3/ips/assigned": Access(),
    "GET /v3/ips/pools": Access(),
    "GET /v3/ips/pools/{pool_name}": Access(),
    "GET /v3/ips/warmup": Access(),
    "GET /v3/ips/warmup/{ip_address}": Access(),
    "GET /v3/ips/{ip_address}": Access(),
    "GET /v3/scopes": Access(),
    "POST /v3/api_keys": Access(scopes=(KEY_ADMIN,), sandbox=SandboxUse.KEYS, limit=Limit.CREATIONS),
    "GET /v3/api_keys": Access(scopes=(KEY_ADMIN,), sandbox=SandboxUse.KEYS),
    "GET /v3/api_keys/{id}": Access(scopes=(KEY_ADMIN,), sandbox=SandboxUse.KEYS),
    "PATCH /v3/api_keys/{id}": Access(scopes=(KEY_ADMIN,), sandbox=SandboxUse.KEYS),
    "PUT /v3/api_keys/{id}": Access(scopes=(KEY_ADMIN,), sandbox=SandboxUse.KEYS),
    "DELETE /v3/api_keys/{id}": Access(scopes=(KEY_ADMIN,), sandbox=SandboxUse.KEYS),
    "GET /v3/suppression/bounces": _LIST,
    "POST /v3/suppression/bounces": _LIST_CHANGE,
    "DELETE /v3/suppression/bounces": _LIST_CHANGE,
    "GET /v3/suppression/bounces/classifications": _CLASSIFICATIONS,
    "GET /v3/suppression/bounces/classifications/{classification}": _CLASSIFICATIONS,
    "GET /v3/suppression/bounces/export": _LIST,
    "POST /v3/suppression/bounces/import": _LIST_CHANGE,
    "GET /v3/suppression/bounces/import/{id}": _LIST,
    "GET /v3/suppression/bounces/{email}": _LIST,
    "DELETE /v3/suppression/bounces/{email}": _LIST_CHANGE,
    "GET /v3/suppression/blocks": _LIST,
    "POST /v3/suppression/blocks": _LIST_CHANGE,
    "DELETE /v3/suppression/blocks": _LIST_CHANGE,
    "GET /v3/suppression/blocks/export": _LIST,
    "POST /v3/suppression/blocks/import": _LIST_CHANGE,
    "GET /v3/suppression/blocks/import/{id}": _LIST,
    "GET /v3/suppression/blocks/{email}": _LIST,
    "DELETE /v3/suppression/blocks/{email}": _LIST_CHANGE,
    "GET /v3/suppression/invalid_emails": _LIST,
    "POST /v3/suppression/invalid_emails": _LIST_CHANGE,
    "DELETE /v3/suppression/invalid_emails": _LIST_CHANGE,
    "GET /v3/suppression/invalid_emails/export": _LIST,
    "POST /v3/suppression/invalid_emails/import": _LIST_CHANGE,
    "GET /v3/suppression/invalid_emails/import/{id}": _LIST,
    "GET /v3/suppression/invalid_emails/{email}": _LIST,
    "DELETE /v3/suppression/invalid_emails/{email}": _LIST_CHANGE,
    "GET /v3/suppression/spam_reports": _LIST,
    "POST /v3/suppression/spam_reports": _LIST_CHANGE,
    "DELETE /v3/suppression/spam_reports": _LIST_CHANGE,
    "GET /v3/suppression/spam_reports/export": _LIST,
    "POST /v3/suppression/spam_reports/import": _LIST_CHANGE,
    "GET /v3/suppression/spam_reports/import/{id}": _LIST,
    "GET /v3/suppression/spam_reports/{email}": _LIST,
    "DELETE /v3/suppression/spam_reports/{email}": _LIST_CHANGE,
    "GET /v3/suppression/unsubscribes": _LIST,
    "POST /v3/suppression/unsubscribes": _LIST_CHANGE,
    "DELETE /v3/suppression/unsubscribes": _LIST_CHANGE,
    "GET /v3/suppression/unsubscribes/export": _LIST,
    "POST /v3/suppression/unsubscribes/import": _LIST_CHANGE,
    "GET /v3/suppression/unsubscribes/import/{id}": _LIST,
    "GET /v3/suppression/unsubscribes/{email}": _LIST,
    "DELETE /v3/suppression/unsubscribes/{email}": _LIST_CHANGE,
    "POST /v3/user/webhooks": _WEBHOOK_NEW,
    "GET /v3/user/webhooks": _WEBHOOK,
    "GET /v3/user/webhooks/{id}": _WEBHOOK,
    "PATCH /v3/user/webhooks/{id}": _WEBHOOK_CHANGE,
    "DELETE /v3/user/webhooks/{id}": _WEBHOOK_CHANGE,
    "POST /v3/user/webhooks/{id}/rotate": _WEBHOOK_CHANGE,
    "POST /v3/user/webhooks/{id}/pause": _WEBHOOK_CHANGE,
    "POST /v3/user/webhooks/{id}/resume": _WEBHOOK_CHANGE,
    "POST /v3/user/webhooks/{id}/test": _WEBHOOK_CHANGE,
    "GET /v3/user/webhooks/{id}/deliveries": _WEBHOOK,
    "POST /v3/user/webhooks/{id}/replay": _WEBHOOK_CHANGE,
    "GET /v3/user/webhooks/{id}/replay": _WEBHOOK,
    "GET /v3/user/webhooks/{id}/replay/{replay_id}": _WEBHOOK,
    "GET /v3/events": _WEBHOOK,
    "POST /v3/user/webhooks/event/settings": _WEBHOOK_NEW,
    "GET /v3/user/webhooks/event/settings": _WEBHOOK,
    "PATCH /v3/user/webhooks/event/settings": _WEBHOOK_CHANGE,
    "GET /v3/user/webhooks/event/settings/all": _WEBHOOK,
    "GET /v3/user/webhooks/event/settings/{id}": _WEBHOOK,
    "PATCH /v3/user/webhooks/event/settings/{id}": _WEBHOOK_CHANGE,
    "DELETE /v3/user/webhooks/event/settings/{id}": _WEBHOOK_CHANGE,
    "GET /v3/user/webhooks/event/settings/signed/{id}": _WEBHOOK,
    "PATCH /v3/user/webhooks/event/settings/signed/{id}": _WEBHOOK_CHANGE,
    "POST /v3/user/webhooks/event/test": _WEBHOOK_CHANGE,
    "POST /v3/asm/groups": _LIST_CHANGE,
    "GET /v3/asm/groups": _LIST,
    "GET /v3/asm/groups/{group_id}": _LIST,
    "PATCH /v3/asm/groups/{group_id}": _LIST_CHANGE,
    "DELETE /v3/asm/groups/{group_id}": _LIST_CHANGE,
    "POST /v3/asm/groups/{group_id}/suppressions": _LIST_CHANGE,
    "GET /v3/asm/groups/{group_id}/suppressions": _LIST,
    "POST /v3/asm/groups/{group_id}/suppressions/search": _LIST,
    "DELETE /v3/asm/groups/{group_id}/suppressions/{email}": _LIST_CHANGE,
    "GET /v3/asm/suppressions": _LIST,
    "GET /v3/asm/suppressions/{email}": _LIST,
    "POST /v3/asm/suppressions/global": _LIST_CHANGE,
    "GET /v3/asm/suppressions/global/{email}": _LIST,
    "DELETE /v3/asm/suppressions/global/{email}": _LIST_CHANGE,
    "POST /v3/recipients/erasejob": _SETTING_CHANGE,
    "GET /v3/recipients/erasejob/{id}": _SETTING,
    "GET /i/{id}": _OPEN,
    "GET /t/o/{token}": _OPEN,
    "GET /t/c/{token}": _OPEN,
    "GET /t/u/{token}": _OPEN,
    "POST /t/u/{token}": _OPEN,
    "GET /healthz": _OPEN,
    "GET /readyz": _OPEN,
    "GET /metrics": _OPEN,
    "POST /api/admin/tenants/{tenant}/keys": _OPERATOR,
    "GET /api/admin/tenants/{tenant}/keys": _OPERATOR,
    "GET /api/admin/tenants/{tenant}/suppressions/{list}": _OPERATOR,
    "POST /api/admin/tenants/{tenant}/suppressions/{list}": _OPERATOR,
    "DELETE /api/admin/tenants/{tenant}/suppressions/{list}": _OPERATOR,
    "GET /api/admin/tenants/{tenant}/suppressions/{list}/export": _OPERATOR,
    "POST /api/admin/tenants/{tenant}/suppressions/{list}/import": _OPERATOR,
    "GET /api/admin/tenants/{tenant}/suppressions/{list}/import/{id}": _OPERATOR,
    "GET /api/admin/tenants/{tenant}/export/{what}": _OPERATOR,
    "POST /api/admin/tenants/{tenant}/recipients/erasejob": _OPERATOR,
    "GET /api/admin/tenants/{tenant}/recipients/erasejob/{id}": _OPERATOR,
    "GET /api/admin/keys/{id}": _OPERATOR,
    "DELETE /api/admin/keys/{id}": _OPERATOR,
    "GET /api/admin/webhooks": _OPERATOR,
    "GET /api/admin/webhooks/{id}": _OPERATOR,
    "POST /api/admin/webhooks/{id}/enable": _OPERATOR,
    "POST /api/admin/webhooks/{id}/disable": _OPERATOR,
    "POST /api/admin/webhooks/{id}/pause": _OPERATOR,
    "POST /api/admin/webhooks/{id}/resume": _OPERATOR,
    "GET /api/admin/sites": _OPERATOR,
    "GET /api/admin/actions": _OPERATOR,
    "GET /api/admin/history": _OPERATOR,
    "GET /api/admin/queue/ages": _OPERATOR,
    "GET /api/admin/inbound": _OPERATOR,
    "GET /api/admin/tls-reports": _OPERATOR,
    "POST /api/admin/tls-reports": _OPERATOR,
    "POST /api/admin/clickhouse-backup": _OPERATOR,
    "GET /api/admin/nodes": _OPERATOR,
    "GET /api/admin/storage": _OPERATOR,
    "GET /api/admin/storage/prune": _OPERATOR,
    "POST /api/admin/storage/prune": _OPERATOR,
    "GET /api/admin/suspensions": _OPERATOR,
    "POST /api/admin/suspensions": _OPERATOR,
    "DELETE /api/admin/suspensions": _OPERATOR,
    "POST /api/admin/bounce": _OPERATOR,
    "POST /api/admin/send-now": _OPERATOR,
    "POST /api/admin/reroute": _OPERATOR,
    "POST /api/admin/suppressions/purge": _OPERATOR,
    "GET /api/admin/trace": _OPERATOR,
    "GET /api/admin/explain/{id}": _OPERATOR,
    "GET /api/admin/route/{domain}": _OPERATOR,
    "GET /api/admin/sources": _OPERATOR,
    "POST /api/admin/policies": _OPERATOR,
    "GET /api/admin/domains": _OPERATOR,
    "POST /api/admin/domains": _OPERATOR,
    "GET /api/admin/domains/{id}": _OPERATOR,
    "PATCH /api/admin/domains/{id}": _OPERATOR,
    "DELETE /api/admin/domains/{id}": _OPERATOR,
    "POST /api/admin/domains/{id}/verify": _OPERATOR,
    "POST /api/admin/domains/{id}/rotate": _OPERATOR,
    "POST /api/admin/tenants": _OPERATOR,
    "GET /api/admin/tenants": _OPERATOR,
    "GET /api/admin/tenants/{id}": _OPERATOR,
    "PATCH /api/admin/tenants/{id}": _OPERATOR,
    "DELETE /api/admin/tenants/{id}": _OPERATOR,
    "POST /api/admin/tenants/{id}/suspend": _OPERATOR,
    "POST /api/admin/tenants/{id}/resume": _OPERATOR,
    "GET /api/admin/tenants/{id}/tracking": _READS_TENANT,
    "PUT /api/admin/tenants/{id}/tracking": _SETS_TENANT,
    "GET /api/admin/tenants/{id}/settings": _READS_TENANT,
    "PUT /api/admin/tenants/{id}/settings": _SETS_TENANT,
    "GET /api/admin/tenants/{id}/limits": _READS_TENANT,
    "PUT /api/admin/tenants/{id}/limits": _SETS_TENANT,
    "POST /api/admin/tracking/rotate-key": _OPERATOR,
    "GET /api/admin/operator-tokens": _OPERATOR,
    "POST /api/admin/operator-tokens": _OPERATOR,
    "DELETE /api/admin/operator-tokens/{id}": _OPERATOR,
}


def route_name(path: str, handler: "HTTPRouteHandler") -> str:
    """The key of a route in the table. ``path`` is the path of its group."""
    (own,) = handler.paths
    method = "GET" if "GET" in handler.http_methods else next(iter(handler.http_methods))
    whole = f"{path.rstrip('/')}{own if own != '/' else ''}"
    return f"{method} {whole.replace(':str}', '}')}"
