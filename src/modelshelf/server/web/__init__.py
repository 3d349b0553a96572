"""The page at `/`: what people see in a browser."""
