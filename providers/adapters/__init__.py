"""The adapters: one module per API that an upstream can speak, selected by `Provider.adapter`."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from providers.adapters import odds_api, prizepicks, sportradar
from providers.choices import Adapter
from providers.upstream.caller import Caller
from providers.upstream.messages import Answer, Claim, Line


@dataclass(frozen=True, slots=True)
class Upstream:
    """The API of an upstream.

    sports: the codes of the sports that it covers.
    poll: makes the calls of one poll. Raises CallFailed if there is no answer.
    bookmakers: a provider with one of these names is that bookmaker and gets only its own lines. Any other provider
    gets all lines.
    """

    sports: Collection[str]
    poll: Callable[[Claim, Caller], Awaitable[Answer]]
    bookmakers: frozenset[str] = frozenset()

    def is_line_of(self, line: Line, provider: str) -> bool:
        """Return whether the line belongs to the provider."""
        return provider not in self.bookmakers or line.bookmaker == provider


UPSTREAMS: dict[str, Upstream] = {
    Adapter.ODDS_API: Upstream(odds_api.SPORT_KEYS, odds_api.poll, odds_api.BOOKMAKERS),
    Adapter.SPORTRADAR: Upstream(sportradar.COMPETITIONS, sportradar.poll),
    Adapter.PRIZEPICKS: Upstream(prizepicks.LEAGUES, prizepicks.poll),
}
