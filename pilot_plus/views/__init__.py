"""Views: pure functions from a catalog to what somebody sees."""
