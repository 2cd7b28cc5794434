"""E-mail: letters, and how they leave the house."""
