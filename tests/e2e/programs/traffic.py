"""Asks a URL again and again, each time by a new connection, and prints every failure. `total N failed M` when told to end."""

import http.client
import signal
import sys
import time
import urllib.request
from datetime import UTC, datetime

url, ended, total, failed = sys.argv[1], False, 0, 0


def end(*_):
    global ended
    ended = True


signal.signal(signal.SIGTERM, end)
while not ended:
    total += 1
    began = time.time()
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            answer.read()
    except (OSError, http.client.HTTPException) as error:
        failed += 1
        at, took = datetime.fromtimestamp(began, UTC).time(), time.time() - began
        print(f"request {total} at {at} failed after {took:.3f} s: {error!r}", flush=True)
    if total == 1:
        print("began", flush=True)
    time.sleep(0.01)
print(f"total {total} failed {failed}", flush=True)
