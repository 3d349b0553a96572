"""The door to engines: requests of other protocols to models by name, carried to whichever engine answers for them."""
