"""The console: pages for operators, on ``admin.bind``. It decides nothing of its own: it shows what the services behind
``/api/admin`` answer, and has them do what its forms ask for. It works without scripts; one script keeps pages live."""
