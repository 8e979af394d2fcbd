"""The traffic between the product and a mail host, read from the wire: bytes in each direction, and flights. Pure."""


class Flights:
    """Over all connections. A flight is what a client sends between two waits for the host."""

    def __init__(self) -> None:
        self.connections = 0
        self.bytes_sent = 0
        self.bytes_received = 0
        self.flights = 0

    def connection(self) -> "_Dialogue":
        self.connections += 1
        return _Dialogue(self)


class _Dialogue:
    """One connection."""

    def __init__(self, whole: Flights) -> None:
        self._whole = whole
        self._is_clients_turn = True

    def asked(self, data: bytes) -> None:
        self._whole.bytes_sent += len(data)
        if self._is_clients_turn:
            self._is_clients_turn = False
            self._whole.flights += 1

    def answered(self, data: bytes) -> None:
        self._whole.bytes_received += len(data)
        self._is_clients_turn = True
