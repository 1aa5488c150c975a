"""The demo: an app with a Redis to break, `python -m redis_manager_fastapi.demo`."""
