"""What monitoring systems read: the same numbers for Prometheus and for OpenTelemetry."""
