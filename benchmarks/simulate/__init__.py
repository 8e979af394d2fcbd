"""A cluster too large for the machine at hand, over the real code that decides who carries what, and when all know.

``cluster`` has the actors and what they carry, ``settling`` how a change is acknowledged, ``walls`` what each part of
the cluster can bear by measured costs, and ``command`` puts them together.
"""
