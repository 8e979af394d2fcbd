"""What one client, or a stranger, may do to hurt the others: each attack a class in a table (``table.ATTACKS``)."""
