"""Sends every line back, on 8080, for as long as the client likes."""

import os
import signal
import socketserver

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # pid 1 hears no signal it has no handler for


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


print("serves", flush=True)
Server(("0.0.0.0", 8080), Echo).serve_forever()
