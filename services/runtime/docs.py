"""The documentation page at /docs: Swagger UI over a service's OpenAPI description."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from starlette.staticfiles import StaticFiles

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Copyist: {title} API</title>
  <link rel="stylesheet" href="docs/assets/swagger-ui.css">
</head>
<body>
  <div id="swagger-ui"></div>
  <script src="docs/assets/swagger-ui-bundle.js"></script>
  <script>
    SwaggerUIBundle({{ url: "docs/openapi.json", dom_id: "#swagger-ui", deepLinking: true }});
  </script>
</body>
</html>
"""


def page(title: str) -> str:
    """Write the page of a service whose API is called `title`."""
    return _PAGE.format(title=title)


def assets() -> StaticFiles:
    """Serve Swagger UI's own files, which ship with BentoML: the page needs no other host."""
    return StaticFiles(directory=str(files("bentoml") / "_internal/server/static_content"))
