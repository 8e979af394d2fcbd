"""Routes: which destination a delivery has, which hosts serve it, and which actor owns it."""
