#!/usr/bin/python3
"""What stands in Ollama's place on a machine that boots: its commands, and as much of its API as a boot needs.

Simulated; it runs on the machine's own Python. A model is a file. What takes the seconds of SECONDS is noted in
EVENTS: a pull, a load, a page. All who ask for a model that is being loaded wait for the one load.
"""

import contextlib
import json
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import environ
from pathlib import Path

MODELS = Path("/usr/share/ollama/models.json")
HOST, _, PORT = environ.get("OLLAMA_HOST", "127.0.0.1:11434").rpartition(":")
SECONDS = Path("/etc/ollama-seconds.json")
EVENTS = Path("/usr/share/ollama/events.jsonl")
loaded = {}
loading = threading.Lock()


@contextlib.contextmanager
def taking_time(what):
    note(f"{what} begins")
    time.sleep(json.loads(SECONDS.read_text()).get(what, 0) if SECONDS.exists() else 0)
    yield
    note(f"{what} ends")


def note(what):
    with EVENTS.open("a") as events:
        events.write(json.dumps({"at": time.time(), "what": what}) + "\n")


def load(name):
    with loading:
        if name not in loaded:
            with taking_time("load"):
                pass
        loaded[name] = str(time.time() + 300)


def models():
    return json.loads(MODELS.read_text()) if MODELS.exists() else []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/api/version":
            self.say({"version": "0.0.0"})
        elif self.path == "/api/tags":
            self.say({"models": [{"name": name, "digest": "ab" * 32} for name in models()]})
        elif self.path == "/api/ps":
            self.say({"models": [{"name": name, "expires_at": at} for name, at in loaded.items()]})
        else:
            self.say({"error": "not found"}, 404)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = asked["model"]
        if self.path == "/api/pull":
            with taking_time("pull"):
                MODELS.write_text(json.dumps([*models(), name]))
            self.say({"status": "success"})
        elif name not in models():
            self.say({"error": f"model {name} not found"}, 404)
        elif self.path == "/api/show":
            self.say({"details": {}})
        else:
            load(name)
            if asked["prompt"]:
                with taking_time("page"):
                    pass
            self.say({"model": name, "response": f"read: {asked['prompt']}", "done": True})

    def say(self, answer, status=200):
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def ask(path, model):
    data = json.dumps({"model": model}).encode()
    urllib.request.urlopen(f"http://{HOST}:{PORT}/api/{path}", data=data, timeout=300).close()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        ThreadingHTTPServer((HOST, int(PORT)), Handler).serve_forever()
    ask(sys.argv[1], sys.argv[2])
