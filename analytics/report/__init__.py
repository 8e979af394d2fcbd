"""The report of ``postray report``: what the SQL door is asked (``questions``), the sections that its answers make
(``sections``), and one HTML page of them (``page``). Nothing here reads or writes: ``making`` is given a way to ask.
"""
