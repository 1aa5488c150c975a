"""How to reach a primary: one module for each kind of deployment."""
