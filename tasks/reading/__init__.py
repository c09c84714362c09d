"""The reading of pages: requests, validation and recording."""
