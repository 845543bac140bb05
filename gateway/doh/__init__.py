"""DNS over HTTPS (RFC 8484): the DNS server's own answers, for browsers and programs that ask that way."""
