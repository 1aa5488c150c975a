"""The web layer against real servers: Redis, uvicorn, HTTP and WebSocket clients."""
