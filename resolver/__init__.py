"""Names to endpoints: `.overlay` names, petnames, signed records and the DNS server."""
