"""The image library's rules: what an upload must be to be an image (``outline``, then ``decoding``), what is taken out
of it on request (``location``), and its names. Pure. The API calls it; bytes and rows are the journal's."""
