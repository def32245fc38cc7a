"""The documentation page at /docs: Swagger UI over a service's OpenAPI description."""

from __future__ import annotations

import base64
import html
from hashlib import sha256
from importlib.resources import files
from typing import Final

from starlette.staticfiles import StaticFiles

PAGE_PATH: Final = "/docs"
ASSETS_PATH: Final = "/docs/assets"

_SCRIPT: Final = """
    SwaggerUIBundle({ url: "docs/openapi.json", dom_id: "#swagger-ui", deepLinking: true });
  """
#: By which a content security policy lets the page's own script run, and no other within it.
SCRIPT_HASH: Final = f"sha256-{base64.b64encode(sha256(_SCRIPT.encode()).digest()).decode()}"

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
  <script>{script}</script>
</body>
</html>
"""


def page(title: str) -> str:
    """Write the page of a service whose API is called `title`."""
    return _PAGE.format(title=html.escape(title), script=_SCRIPT)


def assets() -> StaticFiles:
    """Serve Swagger UI's own files, which ship with BentoML: the page needs no other host."""
    return StaticFiles(directory=str(files("bentoml") / "_internal/server/static_content"))
