"""Serves HTTP on 8080: `/` says who it is, `/ready` and `/live` answer 200 unless the file /tmp/broken is there,
`/slow` answers after a second, `/peer` says whose address the request came from. Ends in order on SIGTERM,
listens no more after SIGUSR1."""

import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = sys.argv[1] if len(sys.argv) > 1 else "web"
PORT = int(os.environ.get("PORT", "8080"))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        broken = self.path in ("/ready", "/live") and os.path.exists("/tmp/broken")
        if self.path == "/slow":
            time.sleep(1)
        text = self.client_address[0] if self.path == "/peer" else f"{NAME} {os.environ['HOSTNAME']}"
        body = text.encode() + b"\n"
        self.send_response(500 if broken else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False


server = Server(("0.0.0.0", PORT), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
signal.signal(signal.SIGUSR1, lambda *_: server.socket.close())  # listens no more
print(f"{NAME} serves on {PORT}", flush=True)
server.serve_forever()
server.server_close()
print(f"{NAME} ended", flush=True)
