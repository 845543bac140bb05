"""Usage: how much moved in each month, with whom, by which service and by what kind of path; it survives a crash.

`gateway.traffic.ledger` counts since the start. `tally` tells from its counters what is new and which path it took,
`meter` looks each second, writes what is new into a database and answers for a month. Months and days are those of UTC
(`months`).
"""
