"""The connection layer between FastAPI or Starlette services and Redis."""
