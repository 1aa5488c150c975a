"""What the layers above hear of the pool's life."""
