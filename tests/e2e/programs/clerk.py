"""Serves HTTP on 8080: every request costs four milliseconds of a core; `/metrics` says how many there were."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COST_SECONDS = 0.004
lock, served = threading.Lock(), 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        global served
        if self.path == "/metrics":
            page = f"# TYPE http_requests_total counter\nhttp_requests_total {served}\n".encode()
        else:
            until = time.thread_time() + COST_SECONDS
            while time.thread_time() < until:
                pass
            with lock:
                served += 1
            page = b"served\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


print("serves", flush=True)
Server(("0.0.0.0", 8080), Handler).serve_forever()
