"""The operators' routes in the OpenAPI document: their answers, and who may call them."""

from tests.unit.api.operating import Operating

LISTS = "/api/admin/tenants/{tenant}/suppressions/{list}"


async def test_every_route_is_documented_with_its_answers(operating: Operating) -> None:
    found = (await operating.client.get("/schema/openapi.json")).json()
    declared = {(m, path): op for path, item in found["paths"].items() if "/admin/" in path for m, op in item.items()}
    with_body = {"400", "401", "408", "413", "415", "422", "500", "503"}
    assert {route: set(operation["responses"]) for route, operation in declared.items()} == {
        ("post", "/api/admin/tenants/{tenant}/keys"): {"201", "404", "409", *with_body},
        ("get", "/api/admin/tenants/{tenant}/keys"): {"200", "400", "401", "404", "500", "503"},
        ("get", "/api/admin/keys/{id}"): {"200", "400", "401", "404", "500", "503"},
        ("delete", "/api/admin/keys/{id}"): {"200", "400", "401", "404", "500", "503"},
        ("get", "/api/admin/domains"): {"200", "400", "401", "404", "500", "503"},
        ("post", "/api/admin/domains"): {"201", "404", "409", *with_body},
        ("get", "/api/admin/domains/{id}"): {"200", "400", "401", "404", "409", "500", "503"},
        ("delete", "/api/admin/domains/{id}"): {"204", "400", "401", "404", "409", "500", "503"},
        ("patch", "/api/admin/domains/{id}"): {"200", "404", "409", *with_body},
        ("post", "/api/admin/domains/{id}/verify"): {"200", "400", "401", "404", "409", "500", "503"},
        ("post", "/api/admin/domains/{id}/rotate"): {"200", "400", "401", "404", "409", "500", "503"},
        ("get", "/api/admin/tenants"): {"200", "400", "401", "500", "503"},
        ("post", "/api/admin/tenants"): {"201", "409", *with_body},
        ("get", "/api/admin/tenants/{id}"): {"200", "400", "401", "404", "500", "503"},
        ("delete", "/api/admin/tenants/{id}"): {"204", "400", "401", "404", "409", "500", "503"},
        ("patch", "/api/admin/tenants/{id}"): {"200", "404", "409", *with_body},
        ("post", "/api/admin/tenants/{id}/suspend"): {"200", "400", "401", "404", "500", "503"},
        ("post", "/api/admin/tenants/{id}/resume"): {"200", "400", "401", "404", "500", "503"},
        ("get", "/api/admin/tenants/{id}/tracking"): {"200", "400", "401", "403", "404", "429", "500", "503"},
        ("put", "/api/admin/tenants/{id}/tracking"): {"200", "403", "404", "429", *with_body},
        ("get", "/api/admin/tenants/{id}/settings"): {"200", "400", "401", "403", "404", "429", "500", "503"},
        ("put", "/api/admin/tenants/{id}/settings"): {"200", "403", "404", "429", *with_body},
        ("get", "/api/admin/tenants/{id}/limits"): {"200", "400", "401", "403", "404", "429", "500", "503"},
        ("put", "/api/admin/tenants/{id}/limits"): {"200", "403", "404", "429", *with_body},
        ("get", "/api/admin/webhooks"): {"200", "400", "401", "404", "500", "503"},
        ("get", "/api/admin/webhooks/{id}"): {"200", "400", "401", "404", "500", "503"},
        ("post", "/api/admin/webhooks/{id}/enable"): {"200", "400", "401", "404", "500", "503"},
        ("post", "/api/admin/webhooks/{id}/disable"): {"200", "400", "401", "404", "500", "503"},
        ("post", "/api/admin/webhooks/{id}/pause"): {"200", "400", "401", "404", "500", "503"},
        ("post", "/api/admin/webhooks/{id}/resume"): {"200", "400", "401", "404", "500", "503"},
        ("get", "/api/admin/sites"): {"200", "400", "401", "500", "503"},
        ("get", "/api/admin/actions"): {"200", "400", "401", "500", "503"},
        ("get", "/api/admin/history"): {"200", "400", "401", "500", "503"},
        ("get", "/api/admin/queue/ages"): {"200", "400", "401", "500", "503"},
        ("get", "/api/admin/inbound"): {"200", "400", "401", "500", "503"},
        ("get", "/api/admin/tls-reports"): {"200", "400", "401", "409", "500", "503"},
        ("post", "/api/admin/tls-reports"): {"202", "409", *with_body},
        ("get", "/api/admin/tenants/{tenant}/export/{what}"): {"200", "400", "401", "404", "500", "503"},
        ("post", "/api/admin/tenants/{tenant}/recipients/erasejob"): {"202", "404", *with_body},
        ("get", "/api/admin/tenants/{tenant}/recipients/erasejob/{id}"): {"200", "400", "401", "404", "500", "503"},
        ("post", "/api/admin/clickhouse-backup"): {"200", *with_body},
        ("get", "/api/admin/nodes"): {"200", "400", "401", "500", "503"},
        ("get", "/api/admin/storage"): {"200", "400", "401", "500", "503"},
        ("get", "/api/admin/storage/prune"): {"200", "400", "401", "500", "503"},
        ("post", "/api/admin/storage/prune"): {"200", *with_body},
        ("get", "/api/admin/suspensions"): {"200", "400", "401", "500", "503"},
        ("post", "/api/admin/suspensions"): {"201", *with_body},
        ("delete", "/api/admin/suspensions"): {"200", "400", "401", "500", "503"},
        ("post", "/api/admin/bounce"): {"200", *with_body},
        ("post", "/api/admin/send-now"): {"200", *with_body},
        ("post", "/api/admin/reroute"): {"200", *with_body},
        ("post", "/api/admin/suppressions/purge"): {"200", *with_body},
        ("get", LISTS): {"200", "400", "401", "404", "500", "503"},
        ("post", LISTS): {"200", "404", *with_body},
        ("delete", LISTS): {"200", "400", "401", "404", "500", "503"},
        ("get", f"{LISTS}/export"): {"200", "400", "401", "404", "500", "503"},
        ("post", f"{LISTS}/import"): {"202", "404", "409", *with_body} - {"422"},
        ("get", f"{LISTS}/import/{{id}}"): {"200", "400", "401", "404", "500", "503"},
        ("get", "/api/admin/trace"): {"200", "400", "401", "500", "503"},
        ("get", "/api/admin/explain/{id}"): {"200", "400", "401", "404", "500", "503"},
        ("get", "/api/admin/route/{domain}"): {"200", "400", "401", "500", "503"},
        ("get", "/api/admin/sources"): {"200", "400", "401", "500", "503"},
        ("post", "/api/admin/policies"): {"200", *with_body},
        ("post", "/api/admin/tracking/rotate-key"): {"201", "401", "409", "500", "503"},
        ("get", "/api/admin/operator-tokens"): {"200", "400", "401", "500", "503"},
        ("post", "/api/admin/operator-tokens"): {"201", *with_body},
        ("delete", "/api/admin/operator-tokens/{id}"): {"200", "400", "401", "404", "500", "503"},
    }
    for operation in declared.values():
        assert operation["summary"]
        # A tenant's own key may call a few; only these answer 403.
        by_key = [{"key": ["admin.settings"]}] if "403" in operation["responses"] else []
        assert operation["security"] == [{"operator": []}, *by_key]
        for status, answer in operation["responses"].items():
            assert answer["description"]
            assert status == "204" or all(content["schema"] for content in answer["content"].values())
    assert set(declared["get", "/api/admin/trace"]["responses"]["200"]["content"]) == {"application/x-ndjson"}
