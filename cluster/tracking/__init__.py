"""What tracked mail carries, and how it is read when it comes back: the choices of a request, and the tokens of its
links, pixel and unsubscribe address."""
