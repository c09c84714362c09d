"""The servers and pages of one run: a group of servers, what keeps each at work, and page tasks."""
