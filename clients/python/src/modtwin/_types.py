"""What the clients hand out: events, answers, calls, and the errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional


class ModtwinError(Exception):
    """Whatever keeps a request from being done."""

    #: Whether the same request may do better a little later, without anybody's help.
    is_temporary = False


class Unreachable(ModtwinError):
    """Nobody answers at the socket, the connection broke, or the daemon fell silent."""

    def __init__(self, message: str, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_temporary = not is_final


class ProtocolError(ModtwinError):
    """Whoever answers at the socket does not speak this API."""


class Problem(ModtwinError):
    """The daemon refused, or could not; its text says what to do about it."""

    def __init__(
        self,
        detail: str,
        kind: str,
        status: int,
        retry_after: Optional[float] = None,
        members: Optional[Mapping[str, Any]] = None,
    ) -> None:
        super().__init__(detail)
        #: What sort of problem, such as ``forbidden``: programs steer by it.
        self.kind = kind
        #: The HTTP status.
        self.status = status
        #: After how many seconds to try again, where the daemon says so.
        self.retry_after = retry_after
        #: All that the daemon says: ``field``, ``pointer``, ``rule``, ``limit``, ``hub_status``, …
        self.members: Mapping[str, Any] = members or {}
        self.is_temporary = status == 429 or status >= 500


@dataclass(frozen=True)
class Hub:
    """How a module stands with its hub."""

    #: ``connected``, ``connecting``, ``disconnected`` or ``disabled``.
    state: str
    #: ``ok``, ``network``, ``bad_credential``, …
    reason: str
    #: When state or reason last changed, RFC 3339.
    since: str
    #: When the next attempt is due, RFC 3339, where one is.
    next_attempt: Optional[str] = None
    #: More about the reason, for people.
    detail: Optional[str] = None


@dataclass(frozen=True)
class Event:
    """What a watch tells. Apply ``desired`` wherever it is not None."""

    #: ``snapshot`` (first, after each reconnect, and where the process may see something else from
    #: now on), ``desired`` (a change), ``hub`` (the module stands otherwise with its hub), ``removed``
    #: (the module left the config; the last event), or ``lost`` (the daemon is away; the watch tries
    #: again by itself).
    type: str
    module: str
    #: The number of the version line, from 1; higher after the twin was created anew.
    generation: Optional[int] = None
    #: The version of desired; None before the first sync ever.
    version: Optional[int] = None
    #: The desired properties, whole, within the watched paths; None where there is nothing to apply.
    desired: Optional[Dict[str, Any]] = None
    #: The merge patch from what was told before to ``desired``; of a change.
    patch: Optional[Dict[str, Any]] = None
    #: How the module stands with its hub; of a snapshot and of ``hub``.
    hub: Optional[Hub] = None
    #: Whether the hub can't be reached, so that ``desired`` may be out of date.
    stale: bool = False
    #: Whether nothing has changed since the revision that the watch had; of a snapshot.
    unchanged: bool = False
    #: Whether the version line began anew.
    reset: bool = False
    #: Why the daemon is away; of ``lost``.
    error: Optional[ModtwinError] = None
    #: In how many seconds the watch tries again; of ``lost``.
    retry_in: float = 0.0

    @property
    def revision(self) -> Optional[str]:
        """``GENERATION.VERSION``, to give as ``since`` to a later watch."""
        return None if self.version is None else f"{self.generation}.{self.version}"


@dataclass(frozen=True)
class Report:
    """How far a report has come."""

    #: Its number; it survives power loss.
    sequence: int
    #: The version that the hub gave it, where the hub was waited for.
    version: Optional[int] = None


@dataclass(frozen=True)
class Call:
    """A direct-method call that waits for its answer."""

    module: str
    id: str
    method: str
    payload: Any
    #: How many seconds the hub waits for the answer.
    timeout: Optional[float] = None
