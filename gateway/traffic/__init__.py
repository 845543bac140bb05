"""Traffic: who moved how many octets through which service, how much each may move, and who goes first.

`ledger` counts, `terms` says what the limits are, `account` holds one contact or service to its own, `fair` shares what
there is between them; all sans-IO. `control` joins them to the streams of tunnels.
"""
