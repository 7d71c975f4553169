"""Outbound requests reach public addresses only, and the one stub feed."""

import socket
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from providers.validators import is_public, names_private_host


class PrivateAddress(OSError):
    """The upstream's address is private, or its name leads to one."""


class PublicResolver(AbstractResolver):
    """Resolves a name to public addresses only. The check is on the very addresses that are then connected to."""

    def __init__(self, stub_feed_url: str) -> None:
        stub = urlsplit(stub_feed_url)
        self.stub = stub.hostname, stub.port or 80
        self.resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self.resolver.resolve(host, port, family)
        if (host, port) != self.stub and not all(is_public(result["host"]) for result in found):
            raise PrivateAddress(f"{host} leads to a private address")
        return found

    async def close(self) -> None:
        await self.resolver.close()


def refuse_private(url: str, stub_feed_url: str) -> None:
    """Raises PrivateAddress; a literal address never reaches the resolver, so it is checked here."""
    if url != stub_feed_url and names_private_host(url):
        raise PrivateAddress(f"{urlsplit(url).hostname} is a private address")
