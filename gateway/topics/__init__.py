"""Endpoints of the same app, and relays that strangers lend: found by topics, and believed after a handshake only."""
