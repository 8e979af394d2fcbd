"""The delivery actor: it owns the destinations that hash to it, and brings their mail out.

``deliverer.Deliverer`` is what other actors call; ``parts.Parts`` makes everything below. One delivery goes down to the
socket and comes back up once:

1. ``Deliverer.offer`` gives it to ``admission``: it is held, refused because others wait before it, or kept by
   ``unresolved`` until the DNS has told its route. What is parked in the journal comes in through ``lane_fetcher``.
2. ``Sites.queue`` lets it wait at the site of its destination. ``sites`` makes a site when there is work for it, and
   suspends, shapes and drops it; ``site`` decides how much it may claim. ``site_turns`` knows which sites are to claim
   next, and wakes the claimers.
3. ``claims`` takes what has its turn, claims it in the journal, has ``composing`` make messages of it (``large`` makes
   the large ones, one at a time), and ``handing_over`` submits each as a ``Job`` to the pool of its site. Where a
   request's messages are changed for each recipient (``compose.transform``), each recipient has a copy and a job.
4. ``pool`` holds the jobs and the connections of a site; ``workers`` hires as jobs wait.
5. ``courier`` is what a worker does: ``connector`` opens a connection (hosts and addresses in order; ``tls_dialer``
   makes it as safe as its domain asks for), and ``actors.smtp`` carries out the transaction.
6. The result comes back to the courier as a value. Where not all recipients were told the same, ``onward`` divides the
   job; the courier gives back to the pool what goes on.
7. ``reporting`` takes what is settled: ``outcomes`` makes outcomes and events of it, ``committer`` writes acceptances
   to the ``ledger`` at once and commits all to the journal in batches, ``automation`` slows the site down or suspends
   it. The delivery is then held no more, and its site and the parked lanes are looked at again.

Beside that run ``heartbeat`` (who owns what), ``upkeep`` (the active policy by ``policy_follower``, ``warm_up``, what
automation did, idle sites) and, at the end, ``leaving``. What is held and is not to be sent from here goes back to the
journal through ``giving_back``.
"""
