"""The evidence that each step of a recovery run stores: JSON whose keys stay, because old rows hold them too."""

from typing import NotRequired, TypedDict

from rollout.recovery.postgres.locks import BlockingSession


class DisabledRollouts(TypedDict):
    """The evidence of the step `rollouts`."""

    moved: list[str]  # for each rollout its name, and the stages that it left and reached


class SwitchedOffParts(TypedDict):
    """The evidence of the step `switch_off`."""

    switched_off: list[str]  # the parts that were on before


class TakenSnapshot(TypedDict):
    """The evidence of the step `snapshot`."""

    snapshot: str
    rows: NotRequired[int]  # these two are missing if a purge found a snapshot that the rollback had taken
    bytes: NotRequired[int]


class QuarantinedTables(TypedDict):
    """The evidence of the step `quarantine`."""

    schema: str
    tables: list[str]
    ended_sessions: list[BlockingSession]
    differs: list[str]  # the parts in which a stand-in differs from its table; only an unfinished migration causes one
    columns: dict[str, dict[str, str]]  # for each table the definitions of its columns


class RowCounts(TypedDict):
    before: int
    after: int


class CleanedUpTables(TypedDict):
    """The evidence of the step `clean_up`."""

    rows: dict[str, RowCounts]
    unchanged: list[str]  # the tables that are proven to be unchanged, apart from the fields that were reset


class HeldStage(TypedDict, total=False):
    """The evidence of one step of a gradual rollback."""

    moved: list[str]  # the rollouts that were moved down
    guards: dict[str, dict[str, str]]  # for each of them the verdicts of its guards as the hold ended
    paused_at: str  # ISO 8601; present while the run is paused
    paused_seconds: float


class ReturnedTables(TypedDict):
    """The evidence of the step `put_back`."""

    tables: list[str]
    ended_sessions: list[BlockingSession]
    written_meanwhile: dict[str, int]  # the number of rows that were written to each stand-in


class ComparedTables(TypedDict, total=False):
    """The evidence of the step `compare`."""

    equal: list[str]
    not_compared: list[str]
    inconclusive: str  # the reason that no table could be compared; the other keys are missing then


class ReadBackSnapshot(TypedDict):
    """The evidence of the step `read_back`."""

    snapshot: str
    tables: int


class DroppedTables(TypedDict):
    """The evidence of the step `drop`."""

    tables: list[str]
