"""The application, for any ASGI server: `uvicorn main:app`."""

from core.app import create_app

app = create_app()
