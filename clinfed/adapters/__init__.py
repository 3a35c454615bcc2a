"""Which parameters are learnt, and how they travel. Importing this package never imports torch."""
