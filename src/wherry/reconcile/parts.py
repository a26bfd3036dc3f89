"""What every controller, and the scheduler, is built from. Not what one of them alone needs: that is an argument of its own."""

from __future__ import annotations

import random

from msgspec import Struct

from wherry.aio.clock import Clock
from wherry.client.events import EventRecorder
from wherry.client.informer import InformerFactory
from wherry.client.rest import Client


class Parts(Struct, frozen=True):
    """Given to each `build`; nothing in it is started by it. Informers of one factory are shared between controllers."""

    client: Client
    factory: InformerFactory
    recorder: EventRecorder
    """Speaks as this controller: its component is the `source` of the events."""
    clock: Clock
    rng: random.Random
