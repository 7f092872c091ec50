"""A server on loopback that speaks the OpenAI protocol, well or badly: the model's name says how."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TEXT = "Paris is the capital [1]. It lies on the Seine [2]."
PIECES = ["Paris is ", "the capital", " [1]. It lies ", "on the Seine [2]."]
USAGE = {"prompt_tokens": 40, "completion_tokens": 12, "total_tokens": 52}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/tokenize"):
            if body.get("model") == "torn":
                self.send_response(200)
                self.send_header("Content-Length", "99")
                self.end_headers()
                self.wfile.write(b'{"tok')
                self.close_connection = True
                return
            self.whole({"tokens": list(range(len(body["content"].split())))})
            return
        model = body["model"]
        self.server.asked.append(body)
        self.server.keys.append(self.headers["Authorization"])
        n = sum(1 for one in self.server.asked if one["model"] == model)
        getattr(self, "do_" + model.split("-")[0])(body, model, n)

    def do_good(self, body, model, n):
        self.stream(body) if body.get("stream") else self.whole(answer(model))

    def do_counting(self, body, model, n):
        """As many tokens as allowed, a millisecond each."""
        time.sleep(0.001 * body["max_tokens"])
        found = answer(model)
        n_words = len(body["messages"][0]["content"].split())
        found["usage"] = {"prompt_tokens": n_words, "completion_tokens": body["max_tokens"], "total_tokens": 1}
        self.whole(found)

    def do_busy(self, body, model, n):
        """busy-2: two refusals, then the answer."""
        if n <= int(model.split("-")[1]):
            self.whole({"error": {"message": "too many requests"}}, 429, {"Retry-After": "0"})
        else:
            self.do_good(body, model, n)

    def do_status(self, body, model, n):
        """status-401: always that."""
        self.whole({"error": {"message": "no, and here is why"}}, int(model.split("-")[1]), {"Retry-After": "0"})

    def do_slow(self, body, model, n):
        self.server.stopped.wait(20)

    def do_dying(self, body, model, n):
        """The connection ends without an answer."""
        self.close_connection = True
        self.connection.close()

    def do_dripping(self, body, model, n):
        """White space for ever: every byte begins a read time-out anew."""
        self.begin("text/event-stream" if body.get("stream") else "application/json")
        while not self.server.stopped.wait(0.02):
            self.chunk(": wait\n\n" if body.get("stream") else " ")

    def do_html(self, body, model, n):
        self.send("<html>Welcome</html>", "text/html")

    def do_notjson(self, body, model, n):
        self.send("{'choices': [", "application/json")

    def do_wrong(self, body, model, n):
        self.whole({"hello": "world"})

    def do_null(self, body, model, n):
        self.whole({"choices": [{"message": None}]})

    def do_broken(self, body, model, n):
        """broken-json, broken-shape, broken-error, broken-end, broken-socket: after two pieces."""
        self.begin("text/event-stream")
        for piece in PIECES[:2]:
            self.event(delta(piece))
        match model.split("-")[1]:
            case "json":
                self.chunk('data: {"choices": [{"delta": {"cont\n\n')
            case "shape":
                self.event({"hello": "world"})
            case "error":
                self.event({"error": {"message": "out of memory"}})
            case "socket":
                self.wfile.write(b"ffff\r\nhalf")
                self.connection.close()
                self.close_connection = True
                return
        self.chunk("data: [DONE]\n\n")
        self.chunk("")

    def stream(self, body):
        self.begin("text/event-stream")
        self.event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]})
        for piece in PIECES:
            self.event(delta(piece))
        self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self.event({"choices": [], "usage": USAGE})
        self.chunk("data: [DONE]\n\n")
        self.chunk("")

    def begin(self, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def event(self, data):
        self.chunk(f"data: {json.dumps(data)}\n\n")

    def chunk(self, text):
        data = text.encode()
        try:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        except OSError:  # nobody listens any more
            self.close_connection = True
            self.server.stopped.set()

    def whole(self, data, status=200, headers=None):
        self.send(json.dumps(data), "application/json", status, headers)

    def send(self, text, kind, status=200, headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


def answer(model):
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": TEXT}}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": USAGE}


def delta(piece):
    return {"choices": [{"index": 0, "delta": {"content": piece}}]}


class LlmServer:
    """Runs while the block does; `base_url`, and `asked`: the bodies of the requests."""

    def __enter__(self):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # clients that go in the middle are what some tests are about
        self.asked = self._server.asked = []
        self.keys = self._server.keys = []
        self._server.stopped = threading.Event()
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._server.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
