"""How one client, or an outsider, may harm the others: each attack is a class in a table (``table.ATTACKS``)."""
