"""What docs/rest.md shows is run."""

import re
import shlex
from pathlib import Path

from tests.rest.test_records import ok

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "rest.md"


def test_every_command_of_the_page_succeeds(client):
    block = re.search(r"```console\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)[1]
    commands = [shlex.split(one) for one in re.split(r"^\$ ", block, flags=re.MULTILINE) if one.strip()]
    assert len(commands) == 6
    answers = []
    for command in commands:
        assert command[:2] == ["curl", "-s"]
        path = command[2].removeprefix("localhost:8000")
        if "-d" in command:
            name, value = command[command.index("-H") + 1].split(": ")
            answer = client.post(path, content=command[command.index("-d") + 1], headers={name: value})
        else:
            answer = client.get(path)
        answers.append(ok(answer, 201 if path == "/v1/collections" else 200))
    assert [hit["id"] for hit in answers[2]["hits"]] == ["b1"]
    assert [hit["id"] for hit in answers[3]["hits"]] == ["b2"]
    assert answers[4]["document"] == "A book about rivers." and answers[5] == {"deleted": 1}


def test_every_route_of_the_page_is_there(client):
    schema = client.get("/openapi.json").json()
    there = {
        f"{method.upper()} {path.removeprefix('/v1').replace('{name}', '{c}').replace('{tenant}', '{t}')}"
        for path, methods in schema["paths"].items() for method in methods
    }  # fmt: skip
    cells = re.findall(r"^\| `(.*?)` *(?:, `(.*?)`)? \|", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    shown = {cell.partition("?")[0].replace("...", "") for row in cells for cell in row[:1]}
    assert shown <= there and len(shown) > 20
