"""Compares docs/limits.md with the code: every number in it, and no other."""

import re
from pathlib import Path

from actors.webhooks import halving
from analytics import statistics
from analytics.troubles import effects
from api import app
from api.admin import bouncing, searching, sites, storing, suspensions, tenants, tracing
from api.console import result
from api.console import sql as console_sql
from api.domains import calls as domain_calls
from api.http import body as bodies
from api.http import emails, forms, free_json, idempotency, ignored, inflating, refusals, setting_rules
from api.http.unread import SKIPPED_BYTES
from api.images import cache as image_cache
from api.images import calls as image_calls
from api.images import checking, form
from api.images import texts as image_texts
from api.keys import requests as keys
from api.messages import commands, reading
from api.messages import searching as message_searches
from api.piisend import calls as email_calls
from api.piisend import drafting
from api.send import attachments, personalizations, reply_to, templating, texts
from api.send import validation as rules
from api.send.large import crowding
from api.stats import calls as stats_calls
from api.stats import periods
from api.suppressions import groups as suppression_group_calls
from api.suppressions import lists as suppression_lists
from api.suppressions import upload
from api.templates import bodies as template_bodies
from api.templates import missing_names, paging, previewing, saving, versions
from api.tracking import recording
from api.unsubscribing import form as unsubscribe_form
from api.webhooks import checking as checking_webhooks
from cluster.access import tokens
from cluster.commands import report
from cluster.http import ending, heads
from cluster.http.connections import ConnectionBounds
from cluster.images import names as image_names
from cluster.images import outline
from cluster.intake import embedding
from cluster.journal import (
    api_keys,
    database,
    images,
    scheduled_sends,
    suppression_groups,
    suppression_imports,
    templates,
    webhook_replays,
)
from cluster.journal.idempotency import KEPT
from cluster.message import addresses, custom_fields, mime_fields, substitution
from cluster.message.transfer_encoding import LINE_LIMIT
from cluster.policy.limits import patterns
from cluster.policy.tls.rua import MOST_DESTINATIONS
from cluster.routing import parked
from cluster.settings import Settings
from cluster.suppression import imported
from cluster.templates import markup
from cluster.templates.handlebars import bounds, lexing
from cluster.templates.handlebars import reading as template_reading
from cluster.tenancy.domains import domain, names
from cluster.tenancy.rates import Rate
from cluster.tracking import clients
from cluster.tracking import keys as token_keys
from cluster.tracking import tokens as token_texts
from cluster.webhooks import bundles

PAGE = (Path(__file__).parents[2] / "docs" / "limits.md").read_text(encoding="utf-8")
DEFAULTS = Settings()
BOUNDS = ConnectionBounds(
    connections=DEFAULTS.http.max_connections, per_address=DEFAULTS.http.max_connections_per_address
)
DAY_S = 86_400


def mb(octets: int) -> str:
    return f"{octets // 1024**2:,} MB" if octets % 1024**2 == 0 else f"{octets} octets"


def mib(size: int) -> str:
    return f"{size // 1024**2:,} MiB"


def kb(octets: int) -> str:
    return f"{octets // 1024:,} KB" if octets % 1024 == 0 else f"{octets} octets"


def seconds(length: float) -> str:
    return f"{length:,.0f} s"


def days(length_s: float) -> str:
    return f"{length_s / DAY_S:g} days"


LIMITS: dict[str, int | str] = {
    "messages of `POST /v3/mail/send` and `POST /api/v1/emails`": f"{DEFAULTS.limits.messages_per_s:,.0f} a second",
    "requests of `GET /v3/messages` and `GET /api/v1/emails`": f"{DEFAULTS.limits.reads_per_s:,.0f} a second",
    "new keys and webhooks": f"{DEFAULTS.limits.creations_per_min:,.0f} a minute",
    "all other requests with a key": f"{DEFAULTS.limits.requests_per_s:,.0f} a second",
    "messages in a day": DEFAULTS.limits.messages_per_day or "none",
    "hard bounces": f"{100 * DEFAULTS.tenants.max_bounce_rate:g} %",
    "complaints": f"{100 * DEFAULTS.tenants.max_complaint_rate:g} %",
    "body": mb(DEFAULTS.http.max_body_bytes),
    "gzip members": inflating.MOST_MEMBERS,
    "values in a body": crowding.MOST_VALUES,
    "personalizations": personalizations.MOST_PERSONALIZATIONS,
    "recipients of a personalization": personalizations.MOST_RECIPIENTS,
    "recipients of a request": personalizations.MOST_RECIPIENTS_IN_ALL,
    "`reply_to_list`": rules.MOST_REPLY_TO,
    "address": addresses.LONGEST_ADDRESS,
    "local part of an address": addresses.LONGEST_LOCAL_PART,
    "`reply_to` with substitutions filled in": reply_to.LONGEST_FILLED,
    "content types": len(rules.CONTENT_TYPES),
    "attachments": attachments.MOST_ATTACHMENTS,
    "`filename`": attachments.LONGEST_FILENAME,
    "`content_id`": mime_fields.LONGEST,
    "`type` of an attachment": mime_fields.LONGEST,
    "categories": rules.MOST_CATEGORIES,
    "category": rules.LONGEST_CATEGORY,
    "`custom_args`": texts.LONGEST_CUSTOM_ARGS,
    "`substitutions`": substitution.LONGEST_SUBSTITUTIONS,
    "`dynamic_template_data`": mb(templating.MOST_DATA),
    "`dynamic_template_data` of a request": mb(templating.MOST_DATA_IN_ALL),
    "levels of nesting": free_json.DEEPEST,
    "name of a header": custom_fields.LONGEST_NAME,
    "word of a header": LINE_LIMIT,
    "`asm.groups_to_display`": rules.MOST_GROUPS_TO_DISPLAY,
    "`lifetime`": rules.LONGEST_LIFETIME_S,
    "`send_at`": personalizations.LATEST_SEND_AT,
    "`Idempotency-Key`": idempotency.LONGEST,
    "time that a key is kept": f"{KEPT.total_seconds() / 3600:g} h",
    "faults in an answer": refusals.MOST_FAULTS,
    "paths in `X-Postray-Ignored`": ignored.MOST_NAMED,
    "subject": DEFAULTS.message.max_subject_bytes,
    "text": mb(DEFAULTS.message.max_part_bytes),
    "whole message": mb(DEFAULTS.message.max_bytes),
    "time to be delivered": seconds(DEFAULTS.delivery.lifetime_s),
    "tags of a text": lexing.MAX_TAGS,
    "values in the tags of a text": template_reading.MAX_VALUES,
    "blocks in each other": template_reading.MAX_LEVELS,
    "names of a path": template_reading.MAX_LEVELS,
    "steps of a message": bounds.MOST_STEPS,
    "output of a message": bounds.MOST_OUTPUT,
    "body of another route": mb(app.COMMAND_BYTES),
    "attachments of an email": drafting.MOST_ATTACHMENTS,
    "attachments of an email together": mb(drafting.MOST_ATTACHED_BYTES),
    "recipients of an email": personalizations.MOST_RECIPIENTS,
    "`reply_to` of an email": rules.MOST_REPLY_TO,
    "`limit` of emails": email_calls.LARGEST_PAGE,
    "`offset` of emails": email_calls.LAST_OFFSET,
    "`page_size`": reading.LARGEST_PAGE,
    "`page`": reading.LAST_PAGE,
    "searches of a tenant": message_searches.SEARCHES_OF_A_TENANT,
    "length of a search": seconds(database.LONGEST_SEARCH_S),
    "API keys of a tenant": api_keys.MOST_KEYS,
    "name of an API key": keys.LONGEST_NAME,
    "`allowed_networks` of an API key": keys.MOST_NETWORKS,
    "a JWT": tokens.LONGEST_TOKEN,
    "scheduled sends in a list": scheduled_sends.MOST_LISTED,
    "`reason` of a fail": commands.LONGEST_REASON,
    "sender domains of a tenant": domain.MOST_DOMAINS,
    "sender domains in a list": domain_calls.MOST_LISTED,
    "`custom_dkim_selector`": names.LONGEST_SELECTOR,
    "text of a setting": setting_rules.LONGEST_TEXT,
    "`utm_…` of a setting": setting_rules.LONGEST_PARAMETER,
    "`text` of the unsubscribe page": setting_rules.LONGEST_PAGE_TEXT,
    "`url` of a setting": setting_rules.LONGEST_URL,
    "address whitelist": setting_rules.MOST_WHITELISTED,
    "forward addresses": setting_rules.MOST_FORWARDED,
    "days until a bounce is purged": setting_rules.MOST_DAYS,
    "addresses in a request to a list": emails.MOST_EMAILS,
    "entries of a list on a page": suppression_lists.MOST_OF_PAGE,
    "unsubscribe groups of a tenant": suppression_groups.MOST_GROUPS,
    "name of a group": suppression_group_calls.LONGEST_NAME,
    "description of a group": suppression_group_calls.LONGEST_DESCRIPTION,
    "addresses on a page of who has left a group": suppression_group_calls.MOST_OF_PAGE,
    "destinations of the TLS reports of a domain": MOST_DESTINATIONS,
    "endpoints of webhooks of a tenant": DEFAULTS.webhooks.most_endpoints,
    "events of a post to an endpoint": bundles.MOST_EVENTS,
    "posts of parts of an array that an endpoint refuses": f"{halving.MOST_PARTS}, within {halving.LONGEST_S:g} s",
    "time that events wait for an endpoint": f"{DEFAULTS.webhooks.keep_h:g} h",
    "events that wait for the endpoints of a tenant": f"{DEFAULTS.webhooks.keep_mb:,} MB",
    "replays of an endpoint that are not finished": webhook_replays.MOST_PENDING,
    "URL of an endpoint": checking_webhooks.LONGEST_URL,
    "file of an import": mb(upload.MOST_BYTES),
    "imports of a tenant": suppression_imports.MOST_UNFINISHED,
    "line of an import": imported.LONGEST_RECORD,
    "`reason` of an import": imported.LONGEST_REASON,
    "`status` and `ip` of an import": imported.LONGEST_CODE,
    "faulty lines of an import": suppression_imports.MOST_FAULTS,
    "time that an import can be asked about": days(suppression_imports.KEPT_S),
    "templates of a tenant": templates.MOST_TEMPLATES,
    "versions of a template": templates.MOST_VERSIONS,
    "request for a version": mb(versions.LARGEST_BODY),
    "request for a preview": mb(previewing.LARGEST_BODY),
    "name of a template or version": template_bodies.LONGEST_NAME,
    "`subject` of a version": template_bodies.LONGEST_SUBJECT,
    "`preheader`": template_bodies.LONGEST_PREHEADER,
    "`html_content` and `plain_content`": mb(template_bodies.LONGEST_CONTENT),
    "levels of nesting of a preview's data": free_json.DEEPEST,
    "warnings of a preview": missing_names.MOST_WARNINGS,
    "templates on a page": paging.LARGEST_PAGE,
    "versions on a page of templates": paging.MOST_VERSIONS_LISTED,
    "levels of elements": markup.MAX_DEPTH,
    "wait for the compiler": seconds(saving.LONGEST_WAIT_S),
    "file of an image": mb(form.MOST_BYTES),
    "form around a file": kb(form.FORM_BYTES),
    "parts of a form": forms.MOST_PARTS,
    "pixels of a JPEG or PNG": outline.MOST_PIXELS["JPEG"],
    "pixels of a GIF or WebP": outline.MOST_PIXELS["GIF"],
    "frames of an animation": outline.MOST_FRAMES,
    "pixels of all frames": outline.MOST_PIXELS_IN_ALL,
    "scans of a JPEG": outline.MOST_SCANS,
    "segments, chunks and blocks of a file": outline.MOST_PIECES,
    "periods of an answer": periods.MOST_PERIODS,
    "`categories`, `mailbox_providers` of a question": stats_calls.MOST_NAMES,
    "`limit` of `/v3/categories` and of sums": stats_calls.MOST_SUMS,
    "domains of a day of a classification": statistics.MOST_EACH,
    "time for a question": seconds(statistics.MOST_S),
    "name of an image's file": image_names.LONGEST_FILENAME,
    "`alt_text`": image_texts.LONGEST["alt_text"],
    "`folder`": image_texts.LONGEST["folder"],
    "`search` of images": image_calls.LONGEST_SEARCH,
    "images on a page": image_calls.LARGEST_PAGE,
    "images of a tenant": images.MOST_IMAGES,
    "images of a tenant together": mb(images.MOST_BYTES),
    "images embedded in a request": embedding.MOST_EMBEDDED,
    "images being decoded": f"{checking.MEMORY_MB} MB",
    "images in the cache": mb(image_cache.KEPT_BYTES),
    "target of a tracked link": f"{token_texts.LONGEST_TARGET:,} bytes",
    "token of a URL": token_texts.LONGEST,
    "keys of tokens": token_keys.LAST_ID,
    "user agent of an event": clients.LONGEST_USER_AGENT,
    "form of an unsubscribe page": f"{unsubscribe_form.MOST_BYTES:,} bytes",
    "opens and clicks that wait for the journal": mb(recording.MOST_BYTES),
    "head of a request": kb(heads.HEAD_BYTES),
    "header fields of a request": heads.HEAD_FIELDS,
    "time for a head": seconds(DEFAULTS.http.head_timeout_s),
    "pause in a body": seconds(bodies.CHUNK_PATIENCE_S),
    "idle connection": seconds(DEFAULTS.http.idle_timeout_s),
    "connections": DEFAULTS.http.max_connections,
    "connections from an address": DEFAULTS.http.max_connections_per_address,
    "unread answers": mb(BOUNDS.unread_bytes),
    "requests while a node drains": seconds(ending.IN_ORDER.grace_s),
    "connections while a node drains": seconds(ending.IN_ORDER.quiet_s),
    "time for an unread answer": seconds(BOUNDS.unread_timeout_s),
    "deliveries in the queue": DEFAULTS.http.max_backlog,
    "free disk": f"{DEFAULTS.http.min_free_disk_mb:,} MiB",
    "age of a message that is retried or sent again": f"{DEFAULTS.retention.bodies_days} days",
    "age of a message that can be read": f"{DEFAULTS.retention.messages_days} days",
    "`--limit` of `sites` and `actions`": sites.MOST_SITES,
    "`--seconds` of `trace`": tracing.LONGEST_S,
    "length of a suspension": days(suspensions.LONGEST_SUSPENSION_S),
    "name of a tenant": tenants.LONGEST_NAME,
    "tenants on a page": tenants.MOST_LISTED,
    "`bodies_days` of a tenant": Settings().retention.bodies_days,
    "`tenants` of `GET /api/admin/storage`": storing.MOST_TENANTS,
    "parked deliveries counted in a lane": parked.COUNTED,
    "`report --about troubles`": f"{report.MOST_DAYS_OF_TROUBLES} days",
    "troubles of a report": effects.MOST,
    "unfinished messages counted before a prune": storing.MOST_COUNTED,
    "`--older-than`": days(searching.LONGEST_AGE_S),
    "`--reason`": bouncing.LONGEST_REASON,
    "`*` in a name of `shaping.toml`": patterns.MOST_STARS,
    "rows of an answer on a page": console_sql.MOST_ROWS,
    "answer on a page": mib(console_sql.MOST_BYTES),
    "rows of the table": result.SHOWN_ROWS,
    "columns of the table": result.SHOWN_COLUMNS,
    "value in the table": result.LONGEST_CELL,
    "CSV file": mib(console_sql.MOST_CSV_BYTES),
}


def test_every_limit_is_the_code_s() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+?) \|.*\|$", PAGE, re.MULTILINE)
    named = {what: limit for what, limit in rows if what != "what"}
    assert len(named) == len(rows) - PAGE.count("| what |")  # no name twice
    assert named == {what: f"{limit:,}" if isinstance(limit, int) else limit for what, limit in LIMITS.items()}


def test_what_stands_beside_the_tables() -> None:
    assert f"{kb(SKIPPED_BYTES)} of it are skipped" in re.sub(r"\s+", " ", PAGE)
    assert f"others wait {seconds(message_searches.SEARCH_MAX_WAIT_S)} for it" in PAGE
    assert (sites.MOST_SITES, bouncing.LONGEST_REASON) == (sites.MOST_ACTIONS, suspensions.LONGEST_REASON)
    assert outline.MOST_PIXELS["PNG"] == outline.MOST_PIXELS["JPEG"]
    assert outline.MOST_PIXELS["WEBP"] == outline.MOST_PIXELS["GIF"]
    assert f"the default is {image_calls.USUAL_PAGE} |" in PAGE
    assert f"others wait {seconds(checking.MAX_WAIT_S)} for them" in PAGE
    for rate, of in ((Rate.BOUNCES, "recipients"), (Rate.COMPLAINTS, "recipients delivered to")):
        assert f"of the last {rate.window:,} {of}, from {rate.least:,} on" in PAGE
    for kind in rules.CONTENT_TYPES:
        assert kind in PAGE
