"""How bytes reach an endpoint we know by its key: identity, QUIC, paths, sockets."""
