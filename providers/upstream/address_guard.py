"""The guard on outbound requests: they reach public addresses and the stub feed, nothing else."""

import socket
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from providers.validators import is_public, names_private_host


class PrivateAddress(OSError):
    """The upstream's address is private, or its name resolves to a private address."""


class PublicResolver(AbstractResolver):
    """A resolver that returns public addresses only. It checks the very addresses that are then connected to."""

    def __init__(self, stub_feed_url: str) -> None:
        stub = urlsplit(stub_feed_url)
        self.stub = stub.hostname, stub.port or 80
        self.resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = await self.resolver.resolve(host, port, family)
        if (host, port) != self.stub and not all(is_public(address["host"]) for address in addresses):
            raise PrivateAddress(f"cannot call {host}: it resolves to a private address")
        return addresses

    async def close(self) -> None:
        await self.resolver.close()


def refuse_private(url: str, stub_feed_url: str) -> None:
    """Raise PrivateAddress if the URL names a private host: a literal address never reaches the resolver."""
    if url != stub_feed_url and names_private_host(url):
        raise PrivateAddress(f"cannot call {urlsplit(url).hostname}: it is a private address")
