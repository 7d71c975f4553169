"""The middleware for every request: trusted proxies and the content security policy."""
