"""UDP over tunnel streams: each flow is a stream, its datagrams travel beside it and, when too large, on it."""
