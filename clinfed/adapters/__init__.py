"""Which parameters are trained, and how they travel. Importing this package never imports torch."""
