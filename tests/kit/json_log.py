"""A logging set-up that writes each record's fields as one line of JSON."""

import json
import logging

_STANDARD = vars(logging.makeLogRecord({})).keys()


class JSONFormatter(logging.Formatter):
    """The time, the level, the message, and whatever was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        said = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "message": record.getMessage(),
        }
        return json.dumps(said | fields)


CONFIG = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "tests.kit.json_log.JSONFormatter"}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["out"], "level": "INFO"},
}
"""For `uvicorn --log-config`, as a file."""
