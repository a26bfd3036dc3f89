"""Serves HTTP on 8080: `POST /NAME` keeps a name in /data/log and answers once it is on the disk, `GET /` gives all of them."""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOG = "/data/log"
lock, log = threading.Lock(), os.open(LOG, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o644)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        with open(LOG, "rb") as kept:
            self.answer(kept.read())

    def do_POST(self):
        with lock:
            os.write(log, self.path[1:].encode() + b"\n")
            os.fsync(log)
        self.answer(b"kept\n")

    def answer(self, page):
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_):
        pass


print("serves", flush=True)
ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
