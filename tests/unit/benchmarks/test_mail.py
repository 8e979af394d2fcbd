"""The requests of the load: every address once, but those of subscribers, and traceable to its request."""

from random import Random

from benchmarks.chaos import mail


def test_every_address_is_used_once() -> None:
    random = Random(1)
    drafts = [mail.draw(random) for _ in range(300)]
    addresses = [
        address
        for number, draft in enumerate(drafts)
        if not draft.subscribers
        for one in mail.recipients(draft, number)
        for address in one
    ]
    assert len(addresses) == len(set(addresses))


def test_every_shape_comes_up() -> None:
    random = Random(1)
    drafts = [mail.draw(random) for _ in range(300)]
    assert any(draft.messages >= 20 for draft in drafts)
    assert any(len(fates) > 1 for draft in drafts for fates in draft.fates)
    assert any(draft.delay_s for draft in drafts)
    assert any(draft.batch for draft in drafts)
    assert any(draft.subscribers and draft.delay_s for draft in drafts)
    assert {fate for draft in drafts for fates in draft.fates for fate in fates} == {"ok", *mail.FATES}
    submitted = [draft for draft in drafts if draft.submitted]
    assert all(draft.messages == 1 and not draft.subscribers for draft in submitted)
    assert any(draft.batch and draft.delay_s for draft in submitted)
    assert any(len(draft.fates[0]) > 1 for draft in submitted)


def test_a_body_says_whose_it_is() -> None:
    draft = mail.RequestDraft(fates=(("ok",), ("later", "no")), delay_s=7.0, batch=True)
    body = mail.body(draft, 12, now=1000.0, batch_id="bat_1")
    assert (body["send_at"], body["batch_id"]) == (1007, "bat_1")
    assert mail.number_of(body["categories"]) == 12
    addresses = [[to["email"] for to in one["to"]] for one in body["personalizations"]]
    assert addresses == mail.recipients(draft, 12)
    assert [[mail.fate_of(address) for address in one] for one in addresses] == [["ok"], ["later", "no"]]


def test_a_category_of_somebody_else_is_no_number() -> None:
    assert mail.number_of(["newsletter"]) is None


def test_tracked_mail_goes_to_subscribers_of_one_kind() -> None:
    random = Random(1)
    drafts = [draft for draft in (mail.draw(random) for _ in range(300)) if draft.subscribers]
    for draft in drafts:
        body = mail.body(draft, 7, now=0.0, batch_id=None, group_id=12)
        addresses = [to["email"] for one in body["personalizations"] for to in one["to"]]
        assert len(set(addresses)) == draft.messages
        [in_group] = {mail.is_in_group(address) for address in addresses}
        assert ("asm" in body) == in_group
        assert ("subscription_tracking" in body["tracking_settings"]) != in_group
    assert {mail.is_in_group(mail.recipients(draft, 7)[0][0]) for draft in drafts} == {True, False}
