"""HTTP/1.1 forwarding: what the proxy and the server adapter do with requests that they must look into."""
