"""Health, readiness and figures."""


def test_health(client):
    for path in ("/livez", "/healthz"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "collections": 0, "quarantined": []})
