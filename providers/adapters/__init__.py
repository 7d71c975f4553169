"""The adapters: one module per API that an upstream can speak, selected by `Provider.adapter`."""

from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache

from core.errors import first_line
from core.redaction import redact
from providers.adapter_names import AdapterUnusable, all_entry_points, find_entry_point, owner
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


def find_upstream(name: str) -> Upstream:
    """Return the adapter of that name. Raises AdapterUnusable if it is not installed, or if it cannot be loaded."""
    upstream = _load(name)
    if isinstance(upstream, Upstream):
        return upstream
    raise AdapterUnusable(*upstream.args)


@cache
def _load(name: str) -> Upstream | AdapterUnusable:
    """Return the adapter, or the error that names why it cannot be used. Such an adapter harms no other one."""
    try:
        point = find_entry_point(name)
    except AdapterUnusable as error:
        return error
    try:
        upstream = point.load()
    except (Exception, SystemExit) as error:
        cause = redact(f"{type(error).__name__}: {first_line(error)}")
    else:
        if isinstance(upstream, Upstream):
            return upstream
        cause = f"{point.value} must be an Upstream (got {type(upstream).__name__})"
    package = owner(point)
    return AdapterUnusable(
        f"cannot load the adapter {name} of {package}: {cause}", f"correct {package}, then restart the workers"
    )


def find_problems() -> Iterator[AdapterUnusable]:
    """Load every installed adapter. Yield the error of each one that cannot be used."""
    for name, points in all_entry_points().items():
        try:
            find_upstream(name)
        except AdapterUnusable as error:
            yield error
            continue
        for point in points[1:]:  # the adapter itself is Slipway's, else the name would be refused
            yield AdapterUnusable(
                f"cannot use the adapter {name} of {owner(point)}: Slipway has one of that name",
                f"rename it in the entry points of {owner(point)}",
            )
