"""Which delivery actor carries what: loads, the assignment of heavy destinations, and how hot sites are split."""
