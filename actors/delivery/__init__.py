"""The delivery actor: it owns the destinations that hash to it and sends their mail.

``deliverer.Deliverer`` is what other actors call; ``parts.Parts`` makes everything below. One delivery goes down to the
socket and comes back up once:

1. ``Deliverer.offer`` passes it to ``admission``. It is held, refused because others are queued before it, or kept by
   ``unresolved`` until its route is looked up in the DNS. ``lane_fetcher`` leases deliveries parked in the journal.
2. ``Sites.queue`` queues it at the site of its destination. ``sites`` makes a site when there is work for it, and
   suspends, shapes and drops it; ``site`` decides how much it may claim. ``site_turns`` knows which sites claim next,
   and wakes the claim loops.
3. ``claims`` takes deliveries in turn and claims them in the journal. ``composing`` composes their messages (``large``
   the large ones, one at a time), signed with the keys of their sender domains (``signing``), and ``handing_over``
   submits each as a ``Job`` to the pool of its site. Where a request's messages are changed for each recipient
   (``compose.transform``), each recipient has a copy and a job.
4. ``pool`` holds the jobs and the connections of a site; ``workers`` starts workers as jobs queue up.
5. ``courier`` is what a worker does: ``connector`` opens a connection (hosts and addresses in order; ``tls_dialer``
   applies the TLS policy of the domain), and ``actors.smtp`` carries out the transaction.
6. The result comes back to the courier as a value. If the recipients got different replies, ``onward`` divides the
   job, and the courier puts what is to be sent again back into the pool.
7. ``reporting`` takes what is settled: ``outcomes`` builds outcomes and events, ``committer`` writes acceptances to the
   ``ledger`` at once and commits everything to the journal in batches, ``automation`` slows the site down or suspends
   it. The delivery is then released, and its site and the parked lanes are looked at again.

Beside that run ``heartbeat`` (ownership), ``upkeep`` (the active policy through ``policy_follower``, the
``site_allowances`` of warm-ups, automation's actions, idle sites, ``load_reports``) and, at shutdown, ``leaving``.
Deliveries that are held and must not be sent from here go back to the journal through ``giving_back``.
"""
