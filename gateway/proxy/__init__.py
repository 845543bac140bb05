"""The browser adapter's proxy: SOCKS4/4a/5 and HTTP on one port."""
