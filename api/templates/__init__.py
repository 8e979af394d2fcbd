"""``/v3/templates``: ``calls.py`` has the routes of templates, ``versions.py`` those of their versions and
``previewing.py`` the preview; ``bodies.py`` has the requests and their rules, ``saving.py`` makes a version ready to be
stored, ``views.py`` and ``paging.py`` make the answers."""
