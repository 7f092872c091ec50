"""What stands in for a server where a real one is not wanted: scripted answers, and sockets that misbehave."""

import contextlib
import json
import socket
import threading

from ramet.api.client.asking import Server
from ramet.api.client.messages import Pause, Reply
from ramet.api.client.results import Facts
from ramet.engine.settings import Settings

URL = "http://there:8000"


def server(**options):
    return Server(url=URL, random=lambda: 1.0, **options)


def facts(dim=4, metric="cosine", dtype="float32", embedder=None):
    return Facts(name="c", settings=Settings.checked(dim, metric, dtype, "auto"), embedder=embedder)


def reply(found, status=200, **headers):
    return Reply(
        status=status, headers={"content-type": "application/json", **headers}, body=json.dumps(found).encode()
    )


def problem(status, code, detail="said so", headers=None, **more):
    body = {"status": status, "code": code, "detail": detail, "title": "Title", **more}
    return Reply(
        status=status,
        headers={"content-type": "application/problem+json", **(headers or {})},
        body=json.dumps(body).encode(),
    )


def played(operation, answers):
    """Run an operation with answers that are given in order; returns its result, the requests and the pauses.

    ``answers``: replies and failures, or a function from a request to one.
    """
    script = answers if callable(answers) else iter(answers)
    requests, pauses, answer = [], [], None
    try:
        while True:
            step = operation.send(answer)
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                answer = None
            else:
                requests.append(step)
                answer = script(step) if callable(answers) else next(script)
    except StopIteration as done:
        return done.value, requests, pauses


def refused(operation, answers):
    """The error that an operation ends with, the requests and the pauses."""
    requests, pauses = [], []

    def noting():
        answer = None
        script = iter(answers)
        while True:
            step = operation.send(answer)
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                answer = None
            else:
                requests.append(step)
                answer = next(script)

    try:
        noting()
    except StopIteration as done:
        raise AssertionError(f"no error, but {done.value!r}") from None
    except Exception as error:
        return error, requests, pauses


@contextlib.contextmanager
def listening(*answers):
    """A socket that treats every connection as the next function says; yields its URL and how many came.

    A function gets the connection, after the head of a request came.
    """
    found = socket.create_server(("127.0.0.1", 0))
    came = []

    def serve():
        for answer in answers:
            try:
                connection, _ = found.accept()
            except OSError:
                return
            came.append(answer)
            with connection, contextlib.suppress(OSError):
                head = b""
                while b"\r\n\r\n" not in head and (block := connection.recv(65536)):
                    head += block
                answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{found.getsockname()[1]}", came
    finally:
        found.close()
        thread.join(10)


def says(status, body, content_type="application/json", **headers):
    """An answer of `listening`."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    whole = "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body

    def answer(connection):
        connection.sendall(whole)
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while connection.recv(65536):
                pass

    return answer


def hangs_up(connection):
    """An answer of `listening`: none."""
    connection.close()
