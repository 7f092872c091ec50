"""The routes, one file for each kind of thing; `ROUTERS` names the files whose ``router`` the application takes."""

ROUTERS = [
    "query",
    "records",
    "texts",
    "collections",
    "tenants",
    "backups",
    "chat",
    "ops",
    "rag",
]
