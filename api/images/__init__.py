"""The image library: /v3/images for its owner (``calls``), /i/{id} for everybody (``serving``)."""
