"""The texts of ``help`` in errors: the way out of each refusal. Pure.

A call is written as in the table of routes, a command in backticks. A test checks that each exists.
"""

KEY = (
    "Send the header Authorization: Bearer KEY, with an API key that is in use; POST /v3/api_keys or "
    "`postray keys add` makes one"
)
EXPIRED_KEY = "The key has expired; POST /v3/api_keys or `postray keys add` makes another"
NO_TOKENS = "JWTs are not accepted here: neither auth.jwt_secret nor auth.jwks_url is set. Use an API key"
OTHER_API = "POST /v3/api_keys without kind makes a key for /v3"
NETWORKS = (
    "GET /v3/api_keys/{id} shows the allowed_networks of the key. Behind a proxy, http.trusted_proxies must name it"
)
KEYS = "GET /v3/api_keys lists the keys"
OWN_SCOPES = "A key gives at most its own scopes, which GET /v3/scopes lists"
ALL_SCOPES = "docs/scopes.md lists the scopes that exist"
REVOKE_ONE = "DELETE /v3/api_keys/{id} revokes one"
ANOTHER_ADMIN = "POST /v3/api_keys makes another; an operator may revoke any key by `postray keys revoke`"
REVOKE_KEY = "`postray keys revoke` or DELETE /api/admin/keys/{id} revokes one"
OPERATOR_TOKEN = "Send the header Authorization: Bearer TOKEN; `postray operator-token add` makes a token"
OPERATOR_TOKENS = "`postray operator-token list` or GET /api/admin/operator-tokens lists the tokens"
OPERATOR_TOKEN_NAME = (
    "`postray operator-token revoke` or DELETE /api/admin/operator-tokens/{id} revokes it; or choose another name"
)
CONSOLE_AUDIT = "The page Audit lists what operators did in the last 400 days"
CONSOLE_FORM = "Load the page again, and send its form"
CONSOLE_MESSAGE = "The page of the message says where it is, why, and what comes next"
SCOPE = (
    "POST /v3/api_keys, with a key that may make keys, or `postray keys add` makes a key with this scope; "
    "GET /v3/scopes lists the scopes of the key in use"
)
SANDBOX = "Use a live key, sg_live_…; POST /v3/api_keys or `postray keys add` makes one"
SUBUSER = "Leave the header out, and use a key of the tenant that is meant; GET /v3/scopes shows what a key may do"
TENANT_SUSPENDED = (
    "The operator of this installation knows why, and can resume it with `postray tenants resume`; mail that was "
    "accepted before waits"
)
SENDER_DOMAIN = (
    "GET /v3/whitelabel/domains lists the sender domains of the tenant and whether each is verified; "
    "POST /v3/whitelabel/domains adds one, and POST /v3/whitelabel/domains/{id}/validate looks at its records. "
    "Operators do the same with `postray domains add` and `postray domains verify`"
)
DOMAIN_NAME = "It is a name that you registered, or a name below it, such as example.com or news.example.com"
DOMAIN_LABEL = "Leave it out for bounces, or give a label such as em"
DOMAIN_SELECTOR = "Leave it out for postray, or give some letters and digits"
DOMAIN_IS_YOURS = (
    "GET /v3/whitelabel/domains lists it, and POST /v3/whitelabel/domains/{id}/validate looks at its records. "
    "Operators do the same with `postray domains list` and `postray domains verify`"
)
DOMAIN_IS_ANOTHERS = "If it is yours, ask the operator: `postray domains remove` ends the other entry"
DOMAIN_NEEDLESS = "DELETE /v3/whitelabel/domains/{id} removes one that is not used any more"
DOMAIN_DEFAULT = "PATCH /v3/whitelabel/domains/{id} with default makes a domain the default"
DOMAIN_RECORDS = "Leave it out"
CNAMES = "Set it to false for TXT and MX records; for CNAMEs the operator sets domains.cname_target"
DOMAINS = "`postray domains list` or GET /api/admin/domains lists the domains"
TENANTS = "`postray tenants list` or GET /api/admin/tenants lists the tenants"

TENANT = "`postray tenants list` or GET /api/admin/tenants lists the tenants; an API key calls its own me"
TENANT_NAME = "Choose another name; `postray tenants list` or GET /api/admin/tenants lists the tenants"
SUSPEND_FIRST = "`postray tenants suspend` or POST /api/admin/tenants/{id}/suspend suspends it"
FINISH_FIRST = "`postray bounce` ends its mail; or resume it with `postray tenants resume` until all of it is sent"
DAYS = "Such as 2026-04-01; days are those of the tenant's time zone"
PERIODS = "Begin later, or ask by week or month"
METRICS = "docs/statistics.md says what each metric counts"
PROVIDERS = "They are the names of families of sites, in cluster/policy/routes/site_families.toml"
TIME_ZONE = "Names are those of the IANA database, such as Europe/Berlin"
OWN_LIMIT = "GET /api/admin/tenants/{id}/limits shows the limits of the operator, who alone can raise them"

EXPORTS = "There are messages, events, suppressions, groups, templates, domains, webhooks and settings"
EXPORT_POSITION = "Leave it out to begin, or give next of the last page"
ERASE_JOB = "POST /v3/recipients/erasejob answers the id of a job; it is known for 30 days after it is done"
EMAIL = "GET /api/v1/emails lists the emails that this key may see"
SCHEDULED_EMAILS = "GET /api/v1/emails with status=scheduled lists the emails that can be cancelled"
NEW_EMAIL = "POST /api/v1/emails sends a new one"
NO_BCC = "POST /v3/mail/send has bcc; or send these recipients an email of their own"
MESSAGE = "GET /v3/messages lists the messages that this key may see"
BATCH = "POST /v3/mail/batch makes a batch"
SCHEDULED_SEND = "GET /v3/user/scheduled_sends lists the batches that are paused or cancelled"
DOMAIN = "GET /v3/whitelabel/domains lists the sender domains of the tenant"
LINK = "GET /v3/whitelabel/links lists the branded links"
OTHER_LINK = "Choose another subdomain; GET /v3/whitelabel/links lists the branded links of this tenant"
FEWER_LINKS = "DELETE /v3/whitelabel/links/{id} deletes a branded link"
DEFAULT_LINK = "PATCH /v3/whitelabel/links/{id} makes a branded link the default one"
SUPPRESSIONS = "GET /v3/suppression/bounces lists the addresses that bounced; the other lists are beside it"
IMPORT = "POST /v3/suppression/bounces/import answers the id of an import; the other lists are beside it"
LIST_FILE = "Send CSV in UTF-8 with a header line, email[,created,reason], as text/csv or in the field file of a form"
FEWER_IMPORTS = "Wait until one is done: GET /v3/suppression/bounces/import/{id} says how far an import is"
GROUPS = "GET /v3/asm/groups lists the unsubscribe groups"
WEBHOOKS = "GET /v3/user/webhooks lists the endpoints, with how they answer"
ALL_WEBHOOKS = "`postray webhooks list` shows the endpoints of all tenants"
REPLAYS = "GET /v3/user/webhooks/{id}/replay lists the replays of an endpoint"
POSITION = "Take next of an answer as it is; without after, the feed begins with the oldest event"
IMAGES = "GET /v3/images lists the images of the library"
TOKEN_KEYS = "The newest key goes on signing: nothing needs to be done"
TRACKED_URL = "Use the URL as it stands in the message, all of it"
IMAGE = "Send a JPEG, PNG, GIF or WebP image, whatever its name; docs/limits.md has the limits"
UPLOAD = "Send a form, as curl does with -F file=@logo.png"
SMALLER_IMAGE = "Save it with fewer pixels or a lower quality: mail clients show images at most 1,000 pixels wide or so"
FEWER_IMAGES = "DELETE /v3/images/{id} deletes an image; its URL answers 410 from then on"
TEMPLATES = "GET /v3/templates lists the templates of the tenant"
FEWER_TEMPLATES = "DELETE /v3/templates/{id} deletes a template with its versions"
TEMPLATE_VERSION = "GET /v3/templates/{template_id}/versions lists the versions of a template"
ACTIVE_VERSION = (
    "POST /v3/templates/{template_id}/versions makes a version, and "
    "POST /v3/templates/{template_id}/versions/{id}/activate makes one the active one"
)
FEWER_VERSIONS = "DELETE /v3/templates/{template_id}/versions/{id} deletes a version that is not active"
OTHER_VERSION = (
    "POST /v3/templates/{template_id}/versions/{id}/activate makes another version the active one, "
    "POST /v3/templates/{template_id}/versions/{id}/deactivate leaves the template without one"
)
HANDLEBARS = "docs/templates.md lists the tags and helpers that there are"
SHORTER_TEXTS = "A message has at most 1 MB of text in all its parts, and 100,000 steps make it"
OWN_PLAIN_TEXT = "Give a plain_content, or set generate_plain_content to false"
TEST_DATA = 'Such as "{\\"name\\": \\"Ada\\"}"'
ADDRESS = "GET /v3/ips lists the addresses"
POOL = "GET /v3/ips/pools lists the pools"
WARM_UP = "GET /v3/ips/warmup lists the addresses in warm-up"
ROUTING = "The operator changes routing.toml, and puts it in force with `postray shaping reload`"
TLS_REPORTS = "The operator sets tls_reports.sender to an address of a verified domain; it is read at the next start"

CALLS = (
    "GET /docs shows the calls that there are, with their methods; a path has one spelling, without a slash at its end"
)
SCHEMA = "GET /docs shows the fields and their types, with an example"
MEDIA_TYPE = "Send JSON in UTF-8 with Content-Type: application/json, as it is or with Content-Encoding: gzip"
IDEMPOTENCY_KEY = "Send the first body again to get its answer, or send this body with a new key"
SMALLER = "Make several requests of it; attachments count as base64"
STEADY = "Send the whole body without a pause of half a minute"
NARROWER = "GET /v3/messages with start_date and end_date, batch_id or to_email has less to search"
LATER = "Try again after the seconds in Retry-After; GET /readyz shows what is not ready"
