"""The server adapter: local services, who may use them, and the streams that reach them."""
