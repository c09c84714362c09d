"""The servers and pages of one run: a group of servers, a supervisor for each, and page tasks."""
