"""One module per API an upstream can speak, chosen by `Provider.adapter`."""

from collections.abc import Awaitable, Callable

from providers.adapters import odds_api
from providers.choices import Adapter
from providers.feed import Answer, Claim
from providers.fetch import Caller

Poller = Callable[[Claim, Caller], Awaitable[Answer]]
POLLERS: dict[str, Poller] = {Adapter.ODDS_API: odds_api.poll}
