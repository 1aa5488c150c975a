"""What is known about Redis's commands; it imports nothing else of the package."""
