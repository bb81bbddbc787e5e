"""Client of modtwin: the module twins of an Azure IoT Hub gateway, over a Unix socket.

::

    from modtwin import Modtwin

    client = Modtwin()
    for event in client.watch("thermostat"):
        if event.desired is not None:
            client.report("thermostat", {"target": event.desired.get("target")})
            client.ack("thermostat", event)
"""

from ._async import AsyncModtwin
from ._sync import Modtwin
from ._types import Call, Event, Hub, ModtwinError, Problem, ProtocolError, Report, Unreachable

__all__ = [
    "AsyncModtwin",
    "Call",
    "Event",
    "Hub",
    "Modtwin",
    "ModtwinError",
    "Problem",
    "ProtocolError",
    "Report",
    "Unreachable",
]
__version__ = "0.1.0"
