"""Runs beside workers on other machines."""
