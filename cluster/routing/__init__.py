"""Which delivery actor owns a delivery, and offering it to that actor."""
