"""API keys: ``calls.py`` has the routes of ``/v3/api_keys``; ``requests.py`` checks what a new key may be and
``views.py`` shows keys, both also for operators (api/admin/keys.py)."""
