"""`overlay beacon`: a server for many gateways. It can refuse to help; it cannot read, forge or redirect."""
