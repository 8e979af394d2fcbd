"""Previews of templates over HTTP and a real journal."""

from typing import Any

from cluster.ids import new_id
from tests.integration.api.author import Author

MEGABYTE = 1024 * 1024

PREVIEWED = {
    "subject": "Hi {{name}}",
    "preheader": "{{n}} & more",
    "html_content": "<p>{{name}} {{{raw}}} {{user.city.name}}{{#each items}}{{this.a}}{{/each}}</p>",
}


async def test_a_preview_shows_what_a_recipient_would_see(author: Author) -> None:
    id = await author.template()
    data = {
        "name": "A & B",
        "n": 12345678901234567890123,
        "raw": "<i>",
        "items": [{"a": 1, "z": 2}],
        "user": {"age": 3, "city": {"zip": 4}},
        "spare": {"x": 1},
    }
    version = await author.version(id, **PREVIEWED)
    shown = await author.call("POST", f"/{id}/preview", 200, {"dynamic_template_data": data})
    assert (shown["subject"], shown["preheader"]) == ("Hi A & B", "12345678901234567890123 & more")
    assert shown["html_content"].endswith("<p>A &amp; B <i> 1</p>") and "123 &amp; more<" in shown["html_content"]
    assert shown["plain_content"] == "A & B <i> 1"
    assert shown["warnings"] == [
        "user.city.name is used and not given",
        "spare is given and not used",
        "user.age is given and not used",
        "user.city.zip is given and not used",
    ]
    nothing = await author.call("POST", f"/{id}/preview", 200)
    assert nothing["subject"] == "Hi " and len(nothing["warnings"]) == 5
    await author.call("PATCH", f"/{id}/versions/{version['id']}", 200, {"test_data": '{"name": "Test"}'})
    assert (await author.call("POST", f"/{id}/preview", 200))["subject"] == "Hi Test"
    draft = await author.version(id, subject="Draft", active=0)
    named = await author.call("POST", f"/{id}/preview", 200, {"version_id": draft["id"]})
    assert named["subject"] == "Draft"


async def test_a_preview_of_a_legacy_template_takes_substitutions(author: Author) -> None:
    id = await author.template(generation="legacy")
    await author.version(id, subject="-n-", html_content="<p>-n- {{x}}</p>", preheader="-n-")
    shown = await author.call("POST", f"/{id}/preview", 200, {"substitutions": {"-n-": "Ada", "{{x}}": "&"}})
    assert (shown["subject"], shown["preheader"], shown["plain_content"]) == ("Ada", "Ada", "Ada &")
    assert shown["html_content"].endswith("<p>Ada &</p>") and shown["warnings"] == []
    # As in mail/send, data that a legacy template does not read is named and does no harm.
    body = {"substitutions": {"-n-": "Ada"}, "dynamic_template_data": {"a": "\0"}}
    answer = await author.http.post(f"/v3/templates/{id}/preview", json=body)
    assert (answer.status_code, answer.json()["subject"]) == (200, "Ada")
    assert answer.headers["X-Postray-Ignored"] == "dynamic_template_data"
    assert set(await author.faults("POST", f"/{id}/preview", {"substitutions": {"a": "x" * 10_000}})) == {
        "substitutions"
    }


async def test_the_faults_of_a_preview(author: Author) -> None:
    id = await author.template()
    preview = f"/{id}/preview"
    assert set(await author.faults("POST", preview, {})) == {"version_id"}  # none is active
    await author.version(id, html_content="{{#each a}}{{#each ../a}}{{this}}{{/each}}{{/each}}")
    for wrong in (new_id("v_"), "v_x", ""):
        assert set(await author.faults("POST", preview, {"version_id": wrong})) == {"version_id"}
    assert set(await author.faults("POST", preview, {"substitutions": {"a": "b"}})) == {"substitutions"}
    deep: dict[str, Any] = {}
    for _ in range(70):
        deep = {"a": deep}
    steps: dict[str, Any] = {"a": list(range(1000))}
    for data in (steps, {"a": "x" * MEGABYTE}, deep, {"a": "\0"}):
        faults = await author.faults("POST", preview, {"dynamic_template_data": data})
        assert set(faults) == {"dynamic_template_data"}
    await author.call("POST", preview, 422, {"dynamic_template_data": []})
    await author.call("POST", f"/{new_id('d-')}/preview", 404, {})
