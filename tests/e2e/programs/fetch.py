"""Fetches a URL, `fetch.py URL [TIMES]`: prints the answer, or for many times the last word of each answer or its error, and
waits less for each."""

import sys
import urllib.request

url, times = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
for _ in range(times or 1):
    try:
        with urllib.request.urlopen(url, timeout=5 if times else 30) as answer:
            text = answer.read().decode()
        print(text.split()[-1] if times else text, end="\n" if times else "")
    except OSError as error:
        if not times:
            raise
        print(error)
