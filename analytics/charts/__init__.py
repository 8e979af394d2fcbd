"""Charts as SVG: pure functions from numbers to markup, without scripts.

``bars`` stacks bars over time, ``lines`` draws curves over time, ``horizontal`` compares names. Widths are in per cent
of the place that a chart is given, heights and letters in pixels, so a chart is legible at every width. Colours and
sizes are in ``style.css``, which a page must include: it has a light and a dark scheme. Whatever text a chart is given
is escaped.
"""
