"""FastAPI and Starlette: lifespan, dependencies, health routes, error responses."""
