"""Asks a URL again and again, each time by a new connection, and prints every failure. `total N failed M` when told to end."""

import signal
import sys
import time
import urllib.request

url, ended, total, failed = sys.argv[1], False, 0, 0


def end(*_):
    global ended
    ended = True


signal.signal(signal.SIGTERM, end)
while not ended:
    total += 1
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            answer.read()
    except OSError as error:
        failed += 1
        print(f"request {total} failed: {error!r}", flush=True)
    if total == 1:
        print("began", flush=True)
    time.sleep(0.01)
print(f"total {total} failed {failed}", flush=True)
