"""The middleware for every request: chunked bodies, trusted proxies and the content security policy."""
