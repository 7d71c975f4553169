"""One module per API an upstream can speak, chosen by `Provider.adapter`."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from providers.adapters import odds_api, prizepicks, sportradar
from providers.choices import Adapter
from providers.polling.caller import Caller
from providers.polling.messages import Answer, Claim, Line


@dataclass(frozen=True, slots=True)
class Upstream:
    """sports: those it has. poll: asks, and raises CallFailed where there is no answer. is_of: whose a line is."""

    sports: Collection[str]
    poll: Callable[[Claim, Caller], Awaitable[Answer]]
    is_of: Callable[[Line, str], bool] = lambda line, provider: True


UPSTREAMS: dict[str, Upstream] = {
    Adapter.ODDS_API: Upstream(odds_api.SPORT_KEYS, odds_api.poll, odds_api.is_of),
    Adapter.SPORTRADAR: Upstream(sportradar.COMPETITIONS, sportradar.poll),
    Adapter.PRIZEPICKS: Upstream(prizepicks.LEAGUES, prizepicks.poll),
}
